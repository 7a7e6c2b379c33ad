package joren;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * PIN and PUK of the customer card (REQ-PIN-1 to REQ-PIN-4).
 *
 * How it works. The lowered try counter is written, outside any transaction, before the comparison, so that pulling the card after a
 * wrong guess gains nothing. Whether the PIN has been verified is one byte of RAM.
 */
final class Pin {
    private static final byte NONE = (byte) 0xFF;
    private static final byte PADDING = (byte) 0xFF;
    private static final short PIN = 0;
    private static final short PUK = 1;
    private static final short DIGITS_LEAST = 4;

    private final Persistent cells;
    private final byte[] session;

    Pin(Persistent cells, Transients ram) {
        this.cells = cells;
        session = ram.session;
        cells.tries[PIN] = NONE;
        cells.tries[PUK] = NONE;
    }

    /** 4 to 8 ASCII digits, padded right with FF to 8 bytes. */
    static boolean isPin(byte[] block, short offset) {
        short digits = digits(block, offset);
        for (short at = digits; at < Persistent.PIN_SIZE; at++) {
            if (block[(short) (offset + at)] != PADDING) {
                return false;
            }
        }
        return digits >= DIGITS_LEAST;
    }

    /** 8 ASCII digits. */
    static boolean isPuk(byte[] block, short offset) {
        return digits(block, offset) == Persistent.PIN_SIZE;
    }

    /** How many of 8 bytes are digits, before the first that is none. */
    private static short digits(byte[] block, short offset) {
        short count = 0;
        while (count < Persistent.PIN_SIZE && block[(short) (offset + count)] >= '0' && block[(short) (offset + count)] <= '9') {
            count++;
        }
        return count;
    }

    boolean isPresent() {
        return cells.tries[PIN] != NONE;
    }

    boolean isPukPresent() {
        return cells.tries[PUK] != NONE;
    }

    boolean isVerified() {
        return session[Transients.PIN_VERIFIED] != 0;
    }

    /** Stores a PIN with all its tries, in the caller's transaction. */
    void storePin(byte[] block, short offset) {
        Util.arrayCopy(block, offset, cells.pin, (short) 0, Persistent.PIN_SIZE);
        cells.tries[PIN] = (byte) Codes.PIN_TRIES;
    }

    /** Stores a PUK with all its tries, in the caller's transaction. */
    void storePuk(byte[] block, short offset) {
        Util.arrayCopy(block, offset, cells.puk, (short) 0, Persistent.PIN_SIZE);
        cells.tries[PUK] = (byte) Codes.PUK_TRIES;
    }

    /** The PIN is no longer verified. */
    void forget() {
        session[Transients.PIN_VERIFIED] = 0;
    }

    /** VERIFY; no data asks for the tries left (REQ-PIN-1). */
    void verify(byte[] buffer, short offset, short length) {
        checkPresent();
        if (length > 0) {
            attempt(PIN, cells.pin, buffer, offset, Codes.PIN_TRIES);
            session[Transients.PIN_VERIFIED] = 1;
        } else if (!isVerified()) {
            byte tries = cells.tries[PIN];
            ISOException.throwIt(tries == 0 ? Codes.SW_AUTHENTICATION_METHOD_BLOCKED : (short) (Codes.SW_VERIFY_FAILED | tries));
        }
    }

    /** CHANGE REFERENCE DATA (REQ-PIN-2): old PIN, new PIN. */
    void change(byte[] buffer, short offset) {
        short renewed = checkRenewed(buffer, offset);
        attempt(PIN, cells.pin, buffer, offset, Codes.PIN_TRIES);
        renew(buffer, renewed);
        session[Transients.PIN_VERIFIED] = 1;
    }

    /** RESET RETRY COUNTER (REQ-PIN-3): PUK, new PIN. */
    void reset(byte[] buffer, short offset) {
        short renewed = checkRenewed(buffer, offset);
        attempt(PUK, cells.puk, buffer, offset, Codes.PUK_TRIES);
        renew(buffer, renewed);
    }

    private void checkPresent() {
        if (!isPresent()) {
            ISOException.throwIt(Codes.SW_REFERENCED_DATA_NOT_FOUND);
        }
    }

    /** Where the new PIN is, which follows 8 other bytes. */
    private short checkRenewed(byte[] buffer, short offset) {
        checkPresent();
        short renewed = (short) (offset + Persistent.PIN_SIZE);
        if (!isPin(buffer, renewed)) {
            ISOException.throwIt(Codes.SW_WRONG_DATA);
        }
        return renewed;
    }

    private void renew(byte[] buffer, short offset) {
        JCSystem.beginTransaction();
        storePin(buffer, offset);
        JCSystem.commitTransaction();
    }

    private void attempt(short which, byte[] secret, byte[] buffer, short offset, short allTries) {
        byte tries = cells.tries[which];
        forget();
        if (tries == 0) {
            ISOException.throwIt(Codes.SW_AUTHENTICATION_METHOD_BLOCKED);
        }
        tries--;
        cells.tries[which] = tries;
        if (!Checks.same8(secret, (short) 0, buffer, offset)) {
            ISOException.throwIt((short) (Codes.SW_VERIFY_FAILED | tries));
        }
        cells.tries[which] = (byte) allTries;
    }
}
