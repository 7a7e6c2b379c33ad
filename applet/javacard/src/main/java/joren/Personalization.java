package joren;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * STORE DATA, for both cards: before issuance, and after it by the issuer (REQ-PER-1 to REQ-PER-6, REQ-SPE-1).
 *
 * How it works. A block is whole DGIs, all stored in one transaction or none: a refusal leaves the transaction open, and the runtime
 * takes it back. A block comes through a secure channel, keys and PINs in it under the Key-DEK too; in the clear it is taken on a chip
 * for development alone. Of an issued card the issuer may change some DGIs, and the card must be complete after every block, as it was
 * when it was issued.
 */
final class Personalization {
    static final short KEY_DGI_SIZE = Persistent.KEY_SIZE + 1;

    private static final byte LAST = (byte) 0x80;
    private static final byte PLAIN = 0x08;
    private static final byte SECURED = 0x28;
    private static final short HEAD_SIZE = 3;
    private static final byte KEYS = (byte) 0x80;
    private static final byte PINS = (byte) 0x81;
    private static final byte LONG_LENGTH = (byte) 0xFF;
    private static final short PIN_SEALED_SIZE = 16;

    private final Persistent cells;
    private final byte[] session;
    private final Channel channel;
    private final boolean development;
    private final Personalizable card;

    Personalization(CardApplet applet, Personalizable card) {
        this.card = card;
        cells = applet.memory;
        session = applet.ram.session;
        channel = applet.channel;
        development = applet.development;
    }

    static boolean isListed(byte p1) {
        byte form = (byte) (p1 & ~LAST);
        return form == PLAIN || form == SECURED;
    }

    /** One block; with bit 8 of P1 the last one, which issues a card that is not issued, or is refused. */
    void storeData(byte[] buffer, short lc) {
        boolean issued = cells.lifeCycle[0] != Codes.LIFE_SELECTABLE;
        boolean last = (buffer[ISO7816.OFFSET_P1] & LAST) != 0;
        boolean secured = (buffer[ISO7816.OFFSET_P1] & ~LAST) == SECURED;
        checkWay(secured, issued);
        byte block = buffer[ISO7816.OFFSET_P2];
        byte expected = session[Transients.NEXT_BLOCK];
        session[Transients.NEXT_BLOCK] = 0;
        Checks.that(block == expected, Codes.SW_INCORRECT_P1_P2);
        short end = (short) (ISO7816.OFFSET_CDATA + lc);
        checkDgis(buffer, end);
        JCSystem.beginTransaction();
        for (short at = ISO7816.OFFSET_CDATA; at < end; at += HEAD_SIZE + (short) (buffer[(short) (at + 2)] & Words.BYTE)) {
            storeDgi(buffer, at, secured, issued ? Personalizable.LATER : Personalizable.FIRST);
        }
        if (last || issued) {
            Checks.that(card.isComplete(), Codes.SW_REFERENCED_DATA_NOT_FOUND);
            Checks.that(card.isConsistent(), Codes.SW_WRONG_DATA);
        }
        if (last && !issued) {
            cells.lifeCycle[0] = Codes.LIFE_ISSUED;
        }
        JCSystem.commitTransaction();
        card.loadKeys();
        if (!last) {
            session[Transients.NEXT_BLOCK] = (byte) (block + 1);
        }
    }

    /** 6A80 unless the versions of the keys that are there, not 0, are all the same. */
    static boolean isOneVersion(byte[] versions) {
        byte version = 0;
        for (short at = 0; at < (short) versions.length; at++) {
            if (versions[at] != 0) {
                if (version != 0 && version != versions[at]) {
                    return false;
                }
                version = versions[at];
            }
        }
        return version != 0;
    }

    /** 6A80 for rules that are not 80 bytes or that rank.md refuses; else stores them. */
    void storeRules(byte[] value, short offset, short length) {
        Checks.that(length == Codes.RULES_SIZE && Rank.validRules(value, offset), Codes.SW_WRONG_DATA);
        Util.arrayCopy(value, offset, cells.rules, (short) 0, length);
    }

    /** 6A80 for limits that are not 18 bytes or that can not be; else stores them. */
    void storeLimits(byte[] value, short offset, short length) {
        Checks.that(length == Codes.LIMITS_SIZE && Checks.validLimits(value, offset), Codes.SW_WRONG_DATA);
        Util.arrayCopy(value, offset, cells.limits, (short) 0, length);
    }

    /** A block in the secured form comes through a secure channel; one in the clear only where that may be (REQ-PER-5). */
    private void checkWay(boolean secured, boolean issued) {
        Checks.that(secured || !issued, Codes.SW_CONDITIONS_NOT_SATISFIED);
        Checks.that(secured ? channel.cDecryption() : development, Codes.SW_SECURITY_STATUS_NOT_SATISFIED);
    }

    /** 6A80 for a block that is not whole DGIs; a length in three bytes is of a value that no block can hold. */
    private static void checkDgis(byte[] buffer, short end) {
        short at = ISO7816.OFFSET_CDATA;
        while (at < end) {
            short value = (short) (at + HEAD_SIZE);
            Checks.that(value <= end && buffer[(short) (value - 1)] != LONG_LENGTH, Codes.SW_WRONG_DATA);
            at = (short) (value + (buffer[(short) (value - 1)] & Words.BYTE));
        }
        Checks.that(at == end, Codes.SW_WRONG_DATA);
    }

    private void storeDgi(byte[] buffer, short at, boolean secured, byte now) {
        short tag = Util.getShort(buffer, at);
        short value = (short) (at + HEAD_SIZE);
        short length = (short) (buffer[(short) (at + 2)] & Words.BYTE);
        byte taken = card.taken(tag);
        Checks.that(taken != Personalizable.UNKNOWN, Codes.SW_REFERENCED_DATA_NOT_FOUND);
        Checks.that((taken & now) != 0, Codes.SW_CONDITIONS_NOT_SATISFIED);
        card.store(tag, buffer, value, secured ? open(buffer[at], buffer, value, length) : length);
    }

    /** Opens a value in place, of a key all behind its version, of PIN and PUK the first 8 of 16 bytes: its length in the clear. */
    private short open(byte group, byte[] buffer, short value, short length) {
        if (group == KEYS && length > 1) {
            Checks.that(length == KEY_DGI_SIZE, Codes.SW_WRONG_DATA);
            channel.decrypt(buffer, (short) (value + 1), Persistent.KEY_SIZE);
        }
        if (group == PINS) {
            Checks.that(length == PIN_SEALED_SIZE, Codes.SW_WRONG_DATA);
            channel.decrypt(buffer, value, PIN_SEALED_SIZE);
            return Persistent.PIN_SIZE;
        }
        return length;
    }
}
