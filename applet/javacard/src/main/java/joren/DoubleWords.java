package joren;

import javacard.framework.Util;

/** Unsigned arithmetic on u32 in arrays, each at its offset. */
final class DoubleWords {
    static final short SIZE = 4;

    private DoubleWords() {
    }

    static boolean isZero(byte[] a, short ao) {
        return (short) (Util.getShort(a, ao) | Util.getShort(a, (short) (ao + 2))) == 0;
    }

    /** FFFFFFFF. */
    static boolean isMost(byte[] a, short ao) {
        return (short) (Util.getShort(a, ao) & Util.getShort(a, (short) (ao + 2))) == Words.MOST;
    }

    static boolean below(byte[] a, short ao, byte[] b, short bo) {
        short high = Util.getShort(a, ao);
        short other = Util.getShort(b, bo);
        if (high != other) {
            return Words.below(high, other);
        }
        return Words.below(Util.getShort(a, (short) (ao + 2)), Util.getShort(b, (short) (bo + 2)));
    }

    /** Makes it 0, in RAM. */
    static void clear(byte[] a, short ao) {
        Util.setShort(a, ao, (short) 0);
        Util.setShort(a, (short) (ao + 2), (short) 0);
    }

    /** To RAM. */
    static void copy(byte[] from, short fo, byte[] to, short offset) {
        Util.arrayCopyNonAtomic(from, fo, to, offset, SIZE);
    }

    /** a + b in place of a, in RAM; whether that was more than fits, and a is FFFFFFFF. */
    static boolean addSaturating(byte[] a, short ao, byte[] b, short bo) {
        short high = Util.getShort(b, bo);
        short low = Util.getShort(b, (short) (bo + 2));
        short highSum = (short) (Util.getShort(a, ao) + high);
        short lowSum = (short) (Util.getShort(a, (short) (ao + 2)) + low);
        boolean over = (short) (highSum ^ Words.SIGN) < (short) (high ^ Words.SIGN);
        if ((short) (lowSum ^ Words.SIGN) < (short) (low ^ Words.SIGN)) {
            highSum++;
            over |= highSum == 0;
        }
        Util.setShort(a, ao, over ? Words.MOST : highSum);
        Util.setShort(a, (short) (ao + 2), over ? Words.MOST : lowSum);
        return over;
    }

    /** a + word in place of a, in RAM, or FFFFFFFF. */
    static void addSaturating(byte[] a, short ao, short word) {
        short low = (short) (ao + 2);
        short sum = (short) (Util.getShort(a, low) + word);
        if ((short) (sum ^ Words.SIGN) < (short) (word ^ Words.SIGN)) {
            short high = Util.getShort(a, ao);
            if (high == Words.MOST) {
                sum = Words.MOST;
            } else {
                Util.setShort(a, ao, (short) (high + 1));
            }
        }
        Util.setShort(a, low, sum);
    }

    /** a - b in place of a, in RAM; b is not above a. */
    static void subtract(byte[] a, short ao, byte[] b, short bo) {
        short low = Util.getShort(a, (short) (ao + 2));
        short less = Util.getShort(b, (short) (bo + 2));
        short high = (short) (Util.getShort(a, ao) - Util.getShort(b, bo));
        Util.setShort(a, ao, Words.below(low, less) ? (short) (high - 1) : high);
        Util.setShort(a, (short) (ao + 2), (short) (low - less));
    }
}
