package joren;

/**
 * Unsigned arithmetic on words of 16 bits, as a card without 32-bit arithmetic has them.
 *
 * The lower word of a product is (short) (a * b); of a remainder, (short) (n - quotient * divisor): both need no more than the lower words.
 */
final class Words {
    static final short MOST = -1;
    static final short BYTE = 0xFF;
    /** What turns the order of unsigned words into that of signed ones: a is below b where (short) (a ^ SIGN) < (short) (b ^ SIGN). */
    static final short SIGN = (short) 0x8000;

    private Words() {
    }

    static boolean below(short a, short b) {
        return (short) (a ^ SIGN) < (short) (b ^ SIGN);
    }

    /** The sum, or the largest word where it is more. */
    static short addSaturating(short a, short b) {
        short sum = (short) (a + b);
        return (short) (sum ^ SIGN) < (short) (b ^ SIGN) ? MOST : sum;
    }

    /** The upper word of a product, from four products of bytes. No sum of the middle ones passes 16 bits. */
    static short upper(short a, short b) {
        short aHigh = (short) ((a >> 8) & BYTE);
        short aLow = (short) (a & BYTE);
        short bHigh = (short) ((b >> 8) & BYTE);
        short bLow = (short) (b & BYTE);
        short middle = (short) (aHigh * bLow + (((short) (aLow * bLow) >> 8) & BYTE));
        short other = (short) (aLow * bHigh + (middle & BYTE));
        return (short) (aHigh * bHigh + ((middle >> 8) & BYTE) + ((other >> 8) & BYTE));
    }

    /** (word * share) >> 8 for a share of 0..256. */
    static short part(short word, short share) {
        return (short) (((word >> 8) & BYTE) * share + (((short) ((word & BYTE) * share) >> 8) & BYTE));
    }

    /** The word with zeros from the left; bits is 1..15. */
    static short shiftRight(short word, short bits) {
        return (short) (((word >> 1) & 0x7FFF) >> (short) (bits - 1));
    }

    /** number / divisor; the divisor is not 0. */
    static short whole(short number, short divisor) {
        if (number >= 0 && divisor > 0) {
            return (short) (number / divisor);
        }
        if (divisor < 0) {
            return below(number, divisor) ? (short) 0 : (short) 1;
        }
        short quotient = (short) ((short) (((number >> 1) & 0x7FFF) / divisor) << 1);
        return below((short) (number - quotient * divisor), divisor) ? quotient : (short) (quotient + 1);
    }

    /** number % divisor; the divisor is not 0. */
    static short remainder(short number, short divisor) {
        return (short) (number - whole(number, divisor) * divisor);
    }
}
