package joren;

import javacard.framework.ISOException;
import javacard.framework.Util;

/** Checks that customer card and shop card make alike, each with the status word the spec names. */
final class Checks {
    private static final byte CATEGORY_MAX = 15;
    private static final short FACTOR_LEAST = 10;

    private Checks() {
    }

    static void that(boolean right, short otherwise) {
        if (!right) {
            ISOException.throwIt(otherwise);
        }
    }

    /** 6988 unless the 8 bytes are the same; in constant time (REQ-MAC-2). */
    static void mac(byte[] expected, short eo, byte[] mac, short mo) {
        if (!same8(expected, eo, mac, mo)) {
            ISOException.throwIt(Codes.SW_MAC_INCORRECT);
        }
    }

    /** Whether two times 8 bytes are the same; in constant time. */
    static boolean same8(byte[] a, short ao, byte[] b, short bo) {
        return (short) (Util.getShort(a, ao) ^ Util.getShort(b, bo)
            | Util.getShort(a, (short) (ao + 2)) ^ Util.getShort(b, (short) (bo + 2))
            | Util.getShort(a, (short) (ao + 4)) ^ Util.getShort(b, (short) (bo + 4))
            | Util.getShort(a, (short) (ao + 6)) ^ Util.getShort(b, (short) (bo + 6))) == 0;
    }

    /** 6982 unless the command came through a secure channel with C-MAC, and where it is an answer that counts, with R-MAC (REQ-ADM-2). */
    static void secured(Channel channel, boolean answer) {
        if (!channel.cMac() || (answer && !channel.rMac())) {
            ISOException.throwIt(Codes.SW_SECURITY_STATUS_NOT_SATISFIED);
        }
    }

    /** For kinds that earn: 9406, then 9405 (REQ-TRX-2). */
    static void categoryAndFactor(byte[] order, short oo, byte[] limits) {
        byte category = order[(short) (oo + Codes.ORDER_CATEGORY)];
        if (category < 0 || category > CATEGORY_MAX
            || (Util.getShort(limits, Codes.LIMITS_CATEGORIES) & (short) (1 << category)) == 0) {
            ISOException.throwIt(Codes.SW_CATEGORY_UNKNOWN);
        }
        short factor = (short) (order[(short) (oo + Codes.ORDER_FACTOR_TENTHS)] & Words.BYTE);
        if (factor == 0 || factor > (short) (limits[Codes.LIMITS_FACTOR_MAX_TENTHS] & Words.BYTE)) {
            ISOException.throwIt(Codes.SW_FACTOR_ABOVE_LIMIT);
        }
    }

    /** For REDEEM, LOAD and PAY: no category, no factor, and some amount: 6A80 (REQ-TRX-2). */
    static void plainOrder(byte[] order, short oo) {
        if (Util.getShort(order, (short) (oo + Codes.ORDER_CATEGORY)) != 0) {
            ISOException.throwIt(Codes.SW_WRONG_DATA);
        }
        someAmount(order, oo);
    }

    /** 6A80 for an amount of 0. */
    static void someAmount(byte[] order, short oo) {
        if (DoubleWords.isZero(order, (short) (oo + Codes.ORDER_AMOUNT))) {
            ISOException.throwIt(Codes.SW_WRONG_DATA);
        }
    }

    /** 9404 when the hour is too far ahead of the last one (REQ-TRX-3). */
    static void time(byte[] state, short so, byte[] rules, short hour) {
        if (Rank.timeJump(state, so, rules, hour)) {
            ISOException.throwIt(Codes.SW_TIME_JUMP);
        }
    }

    /** 6A80 for a state, of another card, that can not be (REQ-RANK-02). */
    static void state(byte[] state, short so) {
        if (!Rank.validState(state, so)) {
            ISOException.throwIt(Codes.SW_WRONG_DATA);
        }
    }

    /** REQ-REC-2, of 18 bytes. */
    static boolean validLimits(byte[] limits, short at) {
        byte modes = limits[(short) (at + Codes.LIMITS_MODES)];
        return modes > 0 && modes <= (Codes.KEY_TILL | Codes.KEY_SHOP)
            && (short) (limits[(short) (at + Codes.LIMITS_FACTOR_MAX_TENTHS)] & Words.BYTE) >= FACTOR_LEAST
            && Util.getShort(limits, (short) (at + Codes.LIMITS_CATEGORIES)) != 0
            && Util.getShort(limits, (short) (at + Codes.LIMITS_PERIOD_HOURS)) != 0;
    }

    /** Whether there is any byte but 0. */
    static boolean any(byte[] bytes, short offset, short length) {
        for (short end = (short) (offset + length); offset < end; offset++) {
            if (bytes[offset] != 0) {
                return true;
            }
        }
        return false;
    }
}
