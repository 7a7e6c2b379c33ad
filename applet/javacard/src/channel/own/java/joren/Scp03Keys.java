package joren;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;
import javacardx.crypto.Cipher;

/**
 * The keys of SCP03 at work (GlobalPlatform Amendment D, 4.1.5, 6.2): AES-128, a sequence counter, MACs of 8 bytes.
 *
 * How it works. The key set lies in persistent memory as bytes; it is loaded into key objects in RAM when a session is opened, and the
 * session keys are derived there. What a derivation has as its context stands in the scratch, behind the 16 bytes that come before any.
 */
final class Scp03Keys {
    static final byte CARD_CRYPTOGRAM = 0x00;
    static final byte HOST_CRYPTOGRAM = 0x01;
    /** Version, Key-ENC, Key-MAC, Key-DEK; key diversification data. */
    static final short SET_SIZE = 49;
    static final short DIVERSIFICATION = SET_SIZE;
    static final short DIVERSIFICATION_SIZE = 10;
    static final short SIZE = SET_SIZE + DIVERSIFICATION_SIZE;
    static final short COUNTER_SIZE = 3;
    static final short MAC_SIZE = 8;
    static final short BLOCK_SIZE = 16;

    private static final byte CARD_CHALLENGE = 0x02;
    private static final byte S_ENC = 0x04;
    private static final byte S_MAC = 0x06;
    private static final byte S_RMAC = 0x07;
    private static final short ENC_AT = 1;
    private static final short MAC_AT = 17;
    private static final short DEK_AT = 33;
    private static final byte RESPONSE = (byte) 0x80;
    private static final short CONSTANT_AT = Transients.MESSAGE + 11;
    private static final short CONTEXT = Transients.MESSAGE + 16;
    private static final short CONTEXT_SIZE = 16;
    private static final short VECTOR = Transients.FREE;
    private static final short HOST_CHALLENGE = VECTOR + BLOCK_SIZE;
    private static final short CHALLENGE_SIZE = 8;

    private final Persistent cells;
    private final byte[] scratch;
    private final AESKey root = ramKey();
    private final AESKey enc = ramKey();
    private final AESKey mac = ramKey();
    private final AESKey rMac = ramKey();
    private final AESKey dek = ramKey();
    private final Mac macs;
    private final Cipher cipher = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);

    Scp03Keys(Persistent cells, byte[] scratch) {
        this.cells = cells;
        this.scratch = scratch;
        macs = new Mac(Mac.isNative(), scratch);
    }

    private static AESKey ramKey() {
        return (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_DESELECT, KeyBuilder.LENGTH_AES_128, false);
    }

    /** Whether there is a key set of this version; 00 is any. */
    boolean has(byte version) {
        byte there = cells.channelKeys[0];
        return there != 0 && (version == 0 || version == there);
    }

    /** One step of the sequence counter, in one write; false where it is at its end. */
    boolean count() {
        Util.arrayCopyNonAtomic(cells.channelCounter, (short) 0, scratch, VECTOR, COUNTER_SIZE);
        if (!increment(scratch, VECTOR)) {
            return false;
        }
        Util.arrayCopy(scratch, VECTOR, cells.channelCounter, (short) 0, COUNTER_SIZE);
        return true;
    }

    /** Adds 1 to three bytes in RAM; false, and they stay, where they are at their end. */
    static boolean increment(byte[] bytes, short offset) {
        short low = (short) (Util.getShort(bytes, (short) (offset + 1)) + 1);
        if (low == 0) {
            if (bytes[offset] == (byte) 0xFF) {
                return false;
            }
            bytes[offset]++;
        }
        Util.setShort(bytes, (short) (offset + 1), low);
        return true;
    }

    /** Derives the session keys for a host challenge and the card challenge, 8 bytes, which goes to the other array (6.2.2.1). */
    short open(byte[] host, short hostOffset, byte[] challenge, short challengeOffset) {
        Util.arrayCopyNonAtomic(host, hostOffset, scratch, HOST_CHALLENGE, CHALLENGE_SIZE);
        root.setKey(cells.channelKeys, ENC_AT);
        short at = Util.arrayCopyNonAtomic(cells.channelCounter, (short) 0, scratch, CONTEXT, COUNTER_SIZE);
        short size = JCSystem.getAID().getBytes(scratch, at);
        derive(root, CARD_CHALLENGE, CHALLENGE_SIZE, (short) (COUNTER_SIZE + size));
        at = Util.arrayCopyNonAtomic(scratch, HOST_CHALLENGE, scratch, CONTEXT, CHALLENGE_SIZE);
        Util.arrayCopyNonAtomic(scratch, Transients.MAC, scratch, at, CHALLENGE_SIZE);
        short end = Util.arrayCopyNonAtomic(scratch, Transients.MAC, challenge, challengeOffset, CHALLENGE_SIZE);
        load(enc, S_ENC);
        root.setKey(cells.channelKeys, MAC_AT);
        load(mac, S_MAC);
        load(rMac, S_RMAC);
        root.clearKey();
        dek.setKey(cells.channelKeys, DEK_AT);
        return end;
    }

    private void load(AESKey key, byte constant) {
        derive(root, constant, BLOCK_SIZE, CONTEXT_SIZE);
        key.setKey(scratch, Transients.MAC);
        Util.arrayFillNonAtomic(scratch, Transients.MAC, BLOCK_SIZE, (byte) 0);
    }

    /** A cryptogram of the session that open has begun, 8 bytes. Where it ends. */
    short cryptogram(byte constant, byte[] out, short offset) {
        derive(mac, constant, MAC_SIZE, CONTEXT_SIZE);
        return Util.arrayCopyNonAtomic(scratch, Transients.MAC, out, offset, MAC_SIZE);
    }

    /** SP 800-108 in counter mode, of the context in the scratch: up to 16 bytes at MAC. */
    private void derive(AESKey key, byte constant, short size, short contextSize) {
        Util.arrayFillNonAtomic(scratch, Transients.MESSAGE, (short) (CONTEXT - Transients.MESSAGE), (byte) 0);
        scratch[CONSTANT_AT] = constant;
        Util.setShort(scratch, (short) (CONSTANT_AT + 2), (short) (size << 3));
        scratch[(short) (CONTEXT - 1)] = 1;
        macs.init(key);
        macs.sign(scratch, Transients.MESSAGE, (short) (CONTEXT - Transients.MESSAGE + contextSize), scratch, Transients.MAC);
    }

    /** The C-MAC of a command, or the R-MAC of a response, behind the chaining value: 16 bytes at MAC in the scratch. */
    void sign(boolean response, byte[] chain, short chainOffset, byte[] message, short offset, short length) {
        macs.init(response ? rMac : mac);
        macs.sign(chain, chainOffset, message, offset, length, scratch, Transients.MAC);
    }

    /** Decrypts a command's data in place. */
    void open(byte[] counter, short counterOffset, byte[] data, short offset, short length) {
        vector(counter, counterOffset, (byte) 0);
        cipher.init(enc, Cipher.MODE_DECRYPT, scratch, VECTOR, BLOCK_SIZE);
        cipher.doFinal(data, offset, length, data, offset);
    }

    /** Encrypts a response's data in place. */
    void seal(byte[] counter, short counterOffset, byte[] data, short offset, short length) {
        vector(counter, counterOffset, RESPONSE);
        cipher.init(enc, Cipher.MODE_ENCRYPT, scratch, VECTOR, BLOCK_SIZE);
        cipher.doFinal(data, offset, length, data, offset);
    }

    private void vector(byte[] counter, short counterOffset, byte direction) {
        Util.arrayFillNonAtomic(scratch, VECTOR, BLOCK_SIZE, (byte) 0);
        scratch[VECTOR] = direction;
        Util.arrayCopyNonAtomic(counter, counterOffset, scratch, (short) (VECTOR + BLOCK_SIZE - COUNTER_SIZE), COUNTER_SIZE);
        cipher.init(enc, Cipher.MODE_ENCRYPT);
        cipher.doFinal(scratch, VECTOR, BLOCK_SIZE, scratch, VECTOR);
    }

    /** Decrypts whole blocks in place with the Key-DEK (6.2.8). */
    void decrypt(byte[] data, short offset, short length) {
        cipher.init(dek, Cipher.MODE_DECRYPT);
        cipher.doFinal(data, offset, length, data, offset);
    }

    void forget() {
        enc.clearKey();
        mac.clearKey();
        rMac.clearKey();
        dek.clearKey();
    }
}
