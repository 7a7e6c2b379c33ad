package joren;

import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;

/** A customer card's key, derived from a master for the command in hand (REQ-CMP-2): in RAM, and wiped when the command ends. */
final class DerivedKey {
    private static final short MESSAGE_SIZE = 18;
    private static final short LENGTH_BITS = 0x0080;
    private static final byte COUNTER = 1;

    private final byte[] scratch;
    private final AESKey key;
    private final Mac mac;

    DerivedKey(boolean chips, byte[] scratch) {
        this.scratch = scratch;
        key = (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_DESELECT, KeyBuilder.LENGTH_AES_128, false);
        mac = new Mac(chips, scratch);
    }

    /** REQ-KEY-2, for a label of four letters; the message of a MAC in the scratch stays. */
    void derive(CardKey master, byte[] label, short programme, byte[] card, short cardOffset) {
        short at = Transients.DERIVATION;
        scratch[at++] = COUNTER;
        at = Util.arrayCopyNonAtomic(label, (short) 0, scratch, at, (short) 4);
        scratch[at++] = 0;
        at = Util.setShort(scratch, at, programme);
        at = Util.arrayCopyNonAtomic(card, cardOffset, scratch, at, Persistent.CARD_ID_SIZE);
        Util.setShort(scratch, at, LENGTH_BITS);
        master.mac(scratch, Transients.DERIVATION, MESSAGE_SIZE, scratch, Transients.MAC);
        key.setKey(scratch, Transients.MAC);
        Util.arrayFillNonAtomic(scratch, Transients.MAC, Mac.SIZE, (byte) 0);
        mac.init(key);
    }

    /** The CMAC of the message in the scratch that ends here, at MAC. */
    void mac(short end) {
        mac.sign(scratch, Transients.MESSAGE, (short) (end - Transients.MESSAGE), scratch, Transients.MAC);
    }

    void forget() {
        key.clearKey();
    }
}
