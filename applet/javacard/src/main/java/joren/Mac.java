package joren;

import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.CryptoException;
import javacard.security.Signature;

/**
 * AES-CMAC (NIST SP 800-38B): the chip's own, or made from its CBC-MAC.
 *
 * How it works. A CMAC is the CBC-MAC of a message whose last block is padded where it is not whole, and then masked with K1 or K2. The
 * masks come from the CBC-MAC of a block of zeros and are made for each MAC, in RAM, so that nothing made from a key stays anywhere.
 */
final class Mac {
    static final short SIZE = 16;
    /** Signature.ALG_AES_CMAC_128, which Java Card has a name for since 3.0.5. */
    static final byte CMAC = 49;

    private static final short BLOCK_SIZE = 16;
    private static final byte RB = (byte) 0x87;
    private static final byte PADDING = (byte) 0x80;

    private final Signature signature;
    private final boolean chips;
    private final byte[] scratch;

    /** `chips`: whether the chip has CMAC (see isNative); `scratch`: RAM with a block at Transients.BLOCK. */
    Mac(boolean chips, byte[] scratch) {
        this.chips = chips;
        this.scratch = scratch;
        signature = Signature.getInstance(chips ? CMAC : Signature.ALG_AES_MAC_128_NOPAD, false);
    }

    /** Whether the chip has CMAC; asked at install. */
    static boolean isNative() {
        try {
            Signature.getInstance(CMAC, false);
            return true;
        } catch (CryptoException none) {
            return false;
        }
    }

    void init(AESKey key) {
        signature.init(key, Signature.MODE_SIGN);
    }

    /** 16 bytes. Message and MAC are in RAM, and are not the block that is this class's own; the message has one byte or more. */
    void sign(byte[] message, short offset, short length, byte[] mac, short macOffset) {
        if (chips) {
            signature.sign(message, offset, length, mac, macOffset);
        } else {
            make(null, (short) 0, message, offset, length, mac, macOffset);
        }
    }

    /** The same of a message that has one block more before it, elsewhere in RAM. */
    void sign(byte[] block, short blockOffset, byte[] message, short offset, short length, byte[] mac, short macOffset) {
        if (chips) {
            signature.update(block, blockOffset, BLOCK_SIZE);
            signature.sign(message, offset, length, mac, macOffset);
        } else {
            make(block, blockOffset, message, offset, length, mac, macOffset);
        }
    }

    /** The same by the chip's CBC-MAC; no block is null. */
    private void make(byte[] block, short blockOffset, byte[] message, short offset, short length, byte[] mac, short macOffset) {
        short last = (short) ((short) (length - 1) & ~(BLOCK_SIZE - 1));
        short rest = (short) (length - last);
        Util.arrayFillNonAtomic(scratch, Transients.BLOCK, BLOCK_SIZE, (byte) 0);
        signature.sign(scratch, Transients.BLOCK, BLOCK_SIZE, scratch, Transients.BLOCK);
        doubled();
        if (rest < BLOCK_SIZE) {
            doubled();
            scratch[(short) (Transients.BLOCK + rest)] ^= PADDING;
        }
        for (short at = 0; at < rest; at++) {
            scratch[(short) (Transients.BLOCK + at)] ^= message[(short) (offset + last + at)];
        }
        if (block != null) {
            signature.update(block, blockOffset, BLOCK_SIZE);
        }
        if (last > 0) {
            signature.update(message, offset, last);
        }
        signature.sign(scratch, Transients.BLOCK, BLOCK_SIZE, mac, macOffset);
    }

    /** The block times x in GF(2^128), without a branch on its bits. */
    private void doubled() {
        byte carry = (byte) ((scratch[Transients.BLOCK] >> 7) & RB);
        short end = Transients.BLOCK + BLOCK_SIZE - 1;
        for (short at = Transients.BLOCK; at < end; at++) {
            scratch[at] = (byte) ((scratch[at] << 1) | ((scratch[(short) (at + 1)] >> 7) & 1));
        }
        scratch[end] = (byte) ((scratch[end] << 1) ^ carry);
    }
}
