package joren;

import javacard.framework.JCSystem;

/** All RAM of an instance: its session, and 256 bytes to compute a command in (REQ-FIT-1). Deselection clears both. */
final class Transients {
    static final short NEXT_BLOCK = 0;
    static final short NONCE = 1;
    static final short NONCE_SIZE = 8;
    static final short PIN_VERIFIED = 9;
    static final short CUSTOMER_SESSION_SIZE = 10;

    /** A shop card's flag and challenge; the place of the sheet in force, from 1; 0: not known. */
    static final short CHALLENGE = 1;
    static final short PLACE_KNOWN = 10;
    static final short SHOP_SESSION_SIZE = 11;

    /** The message of a MAC, at most 74 bytes; a transaction record stands where PROOF and RECEIPT have it. */
    static final short MESSAGE = 0;
    static final short MESSAGE_HEAD_SIZE = 11;
    static final short RECORD = MESSAGE + MESSAGE_HEAD_SIZE;
    static final short MAC = 80;
    /** One block of its own for Mac. */
    static final short BLOCK = 96;
    /** From here on the scratch is the command's; at the end a shop card has the message that derives a key. */
    static final short FREE = 112;
    static final short DERIVATION = 238;
    static final short SCRATCH_SIZE = 256;

    final byte[] session;
    final byte[] scratch = JCSystem.makeTransientByteArray(SCRATCH_SIZE, JCSystem.CLEAR_ON_DESELECT);

    Transients(boolean customer) {
        session = JCSystem.makeTransientByteArray(customer ? CUSTOMER_SESSION_SIZE : SHOP_SESSION_SIZE, JCSystem.CLEAR_ON_DESELECT);
    }
}
