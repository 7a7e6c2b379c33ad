package joren;

import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;

/**
 * An AES-128 key in persistent memory.
 *
 * How it works. The bytes are the truth, and take part in transactions; whether loading a key object does is the chip's affair. So a key
 * is stored together with a mark that its object is stale, and loaded once its transaction has been committed, or, where power went before
 * that, at its next use. A key with a Mac of its own leaves that initialised, so that a tap loads and initialises nothing.
 */
final class CardKey {
    private static final byte FRESH = 0;
    private static final byte STALE = 1;

    private final byte[] bytes;
    private final byte[] stale;
    private final short place;
    private final AESKey key;
    private final Mac mac;
    private final boolean alone;

    /** `stale[place]` is this key's mark; `alone`: no other key has this Mac. */
    CardKey(byte[] bytes, byte[] stale, short place, Mac mac, boolean alone) {
        this.bytes = bytes;
        this.stale = stale;
        this.place = place;
        this.mac = mac;
        this.alone = alone;
        key = (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES, KeyBuilder.LENGTH_AES_128, false);
    }

    /** Stores 16 bytes, in the caller's transaction. */
    void store(byte[] source, short offset) {
        Util.arrayCopy(source, offset, bytes, (short) 0, Persistent.KEY_SIZE);
        stale[place] = STALE;
    }

    /** Loads the key object if that is stale; outside transactions. */
    void load() {
        if (stale[place] != FRESH) {
            key.setKey(bytes, (short) 0);
            if (alone) {
                mac.init(key);
            }
            stale[place] = FRESH;
        }
    }

    /** The CMAC of a message, 16 bytes; both in RAM. */
    void mac(byte[] message, short offset, short length, byte[] out, short outOffset) {
        load();
        if (!alone) {
            mac.init(key);
        }
        mac.sign(message, offset, length, out, outOffset);
    }
}
