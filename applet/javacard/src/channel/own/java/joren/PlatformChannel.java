package joren;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * SCP03 inside the applet, for platforms that have no GlobalPlatform API (docs/spec/manager.md, REQ-OWN-1 to REQ-OWN-5).
 *
 * How it works. One state says where the session is. A command that is not authentic aborts it: from then on every command but INITIALIZE
 * UPDATE is refused, until that, or a SELECT. The chaining value is the MAC of the command before; the counter of commands makes the
 * initial vectors. All of it is in RAM.
 */
final class PlatformChannel implements Channel {
    /** How many bytes of keys there are in persistent memory. */
    static final short KEYS_SIZE = Scp03Keys.SIZE;
    static final short COUNTER_SIZE = Scp03Keys.COUNTER_SIZE;

    private static final byte SECURED = 0x04;
    private static final byte CHANNEL_AND_OURS = (byte) 0x83;
    private static final byte CLA_OURS = (byte) 0x80;
    private static final byte INITIALIZE_UPDATE = 0x50;
    private static final byte EXTERNAL_AUTHENTICATE = (byte) 0x82;
    private static final byte BEGIN_R_MAC = 0x7A;
    private static final byte END_R_MAC = 0x78;
    private static final byte PROTOCOL = 0x03;
    private static final byte PARAMETER = 0x70;
    private static final byte C_MAC = 0x01;
    private static final byte C_DECRYPTION = 0x02;
    private static final byte R_MAC = 0x10;
    private static final byte R_ENCRYPTION = 0x20;
    private static final byte PAD = (byte) 0x80;

    private static final byte CLOSED = 0;
    private static final byte INITIALIZED = 1;
    private static final byte ABORTED = 2;
    private static final byte OPEN = 3;
    private static final byte R_MAC_SESSION = 4;

    private static final short STATE = 0;
    private static final short LEVEL = 1;
    private static final short LEVEL_BEFORE = 2;
    private static final short COUNTER = 3;
    private static final short CHAIN = 6;
    private static final short HOST_CRYPTOGRAM = 22;
    private static final short SESSION_SIZE = 30;
    private static final short CHALLENGE_SIZE = 8;

    private final byte[] session = JCSystem.makeTransientByteArray(SESSION_SIZE, JCSystem.CLEAR_ON_DESELECT);
    private final byte[] scratch;
    private final byte[] kept;
    private final byte[] sequence;
    private final Scp03Keys keys;

    /** From a key set: version u8 (not 0), Key-ENC, Key-MAC, Key-DEK, 16 bytes each, and key diversification data, 10 bytes, or none. */
    PlatformChannel(Persistent cells, Transients ram, byte[] parameters, short offset, short length) {
        boolean whole = length == Scp03Keys.SET_SIZE || length == Scp03Keys.SIZE;
        kept = cells.channelKeys;
        sequence = cells.channelCounter;
        if (length != 0) {
            Checks.that(whole && parameters[offset] != 0, Codes.SW_WRONG_DATA);
            Util.arrayCopy(parameters, offset, kept, (short) 0, length);
        }
        scratch = ram.scratch;
        keys = new Scp03Keys(cells, scratch);
    }

    @Override
    public short process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        byte cla = buffer[ISO7816.OFFSET_CLA];
        byte ins = buffer[ISO7816.OFFSET_INS];
        boolean plain = (cla & ~CHANNEL_AND_OURS) == 0;
        Checks.that(plain || isSecured(cla), Codes.SW_CLA_NOT_SUPPORTED);
        if (cla == CLA_OURS && ins == INITIALIZE_UPDATE) {
            return initialize(buffer, CardApplet.receive(apdu, buffer));
        }
        byte state = session[STATE];
        Checks.that(state != ABORTED, Codes.SW_SECURITY_STATUS_NOT_SATISFIED);
        boolean ofSessions = cla < 0 && (ins == BEGIN_R_MAC || ins == END_R_MAC);
        if (state >= OPEN) {
            return ofSessions ? rMacSession(buffer, ins, unwrap(buffer, CardApplet.receive(apdu, buffer))) : NOT_MINE;
        }
        if (cla < 0 && !plain && ins == EXTERNAL_AUTHENTICATE) {
            return authenticate(buffer, CardApplet.receive(apdu, buffer));
        }
        Checks.that(plain && !ofSessions, Codes.SW_CONDITIONS_NOT_SATISFIED);
        return NOT_MINE;
    }

    private static boolean isSecured(byte cla) {
        return (cla & ~CLA_OURS) == SECURED;
    }

    /** INITIALIZE UPDATE (Amendment D, 7.1.1). Whatever comes of it, the session before has ended. */
    private short initialize(byte[] buffer, short lc) {
        reset();
        Checks.that(lc == CHALLENGE_SIZE, Codes.SW_WRONG_LENGTH);
        Checks.that(keys.has(buffer[ISO7816.OFFSET_P1]) && buffer[ISO7816.OFFSET_P2] == 0, Codes.SW_REFERENCED_DATA_NOT_FOUND);
        Checks.that(keys.count(), Codes.SW_CONDITIONS_NOT_SATISFIED);
        short at = Scp03Keys.DIVERSIFICATION_SIZE + 3;
        at = keys.open(buffer, ISO7816.OFFSET_CDATA, buffer, at);
        at = keys.cryptogram(Scp03Keys.CARD_CRYPTOGRAM, buffer, at);
        keys.cryptogram(Scp03Keys.HOST_CRYPTOGRAM, session, HOST_CRYPTOGRAM);
        short end = Util.arrayCopyNonAtomic(sequence, (short) 0, buffer, at, COUNTER_SIZE);
        at = Util.arrayCopyNonAtomic(kept, Scp03Keys.DIVERSIFICATION, buffer, (short) 0, Scp03Keys.DIVERSIFICATION_SIZE);
        buffer[at++] = kept[0];
        buffer[at++] = PROTOCOL;
        buffer[at] = PARAMETER;
        session[STATE] = INITIALIZED;
        return end;
    }

    /** EXTERNAL AUTHENTICATE (7.1.2): there is one attempt a challenge. */
    private short authenticate(byte[] buffer, short lc) {
        Checks.that(session[STATE] == INITIALIZED, Codes.SW_CONDITIONS_NOT_SATISFIED);
        session[STATE] = CLOSED;
        byte level = buffer[ISO7816.OFFSET_P1];
        Checks.that(isLevel(level) && buffer[ISO7816.OFFSET_P2] == 0, Codes.SW_INCORRECT_P1_P2);
        Checks.that(lc == 2 * Scp03Keys.MAC_SIZE, Codes.SW_WRONG_LENGTH);
        Checks.that(Checks.same8(session, HOST_CRYPTOGRAM, buffer, ISO7816.OFFSET_CDATA), Codes.SW_AUTHENTICATION_FAILED);
        Checks.that(isAuthentic(buffer, (short) (lc - Scp03Keys.MAC_SIZE)), Codes.SW_SECURITY_STATUS_NOT_SATISFIED);
        session[LEVEL] = level;
        session[STATE] = OPEN;
        return 0;
    }

    private static boolean isLevel(byte level) {
        switch (level) {
            case 0:
            case C_MAC:
            case C_MAC | C_DECRYPTION:
            case C_MAC | R_MAC:
            case C_MAC | C_DECRYPTION | R_MAC:
            case C_MAC | C_DECRYPTION | R_MAC | R_ENCRYPTION:
                return true;
            default:
                return false;
        }
    }

    /** Whether the C-MAC behind so many bytes of data fits; it is the chaining value then. */
    private boolean isAuthentic(byte[] buffer, short length) {
        short end = (short) (ISO7816.OFFSET_CDATA + length);
        keys.sign(false, session, CHAIN, buffer, (short) 0, end);
        if (!Checks.same8(scratch, Transients.MAC, buffer, end)) {
            return false;
        }
        Util.arrayCopyNonAtomic(scratch, Transients.MAC, session, CHAIN, Scp03Keys.BLOCK_SIZE);
        return true;
    }

    @Override
    public short unwrap(byte[] buffer, short lc) {
        if (!cMac()) {
            return lc;
        }
        byte cla = buffer[ISO7816.OFFSET_CLA];
        short length = (short) (lc - Scp03Keys.MAC_SIZE);
        demand(isSecured(cla) && length >= 0 && isAuthentic(buffer, length) && Scp03Keys.increment(session, COUNTER));
        if (length > 0 && cDecryption()) {
            length = opened(buffer, length);
        }
        buffer[ISO7816.OFFSET_CLA] = (byte) (cla & ~SECURED);
        buffer[ISO7816.OFFSET_LC] = (byte) length;
        return length;
    }

    /** Decrypts the data in place: their length without padding. */
    private short opened(byte[] buffer, short length) {
        demand((length & (Scp03Keys.BLOCK_SIZE - 1)) == 0);
        keys.open(session, COUNTER, buffer, ISO7816.OFFSET_CDATA, length);
        short end = (short) (ISO7816.OFFSET_CDATA + length - 1);
        while (end >= ISO7816.OFFSET_CDATA && buffer[end] == 0) {
            end--;
        }
        demand(end >= ISO7816.OFFSET_CDATA && buffer[end] == PAD);
        return (short) (end - ISO7816.OFFSET_CDATA);
    }

    /** What is not so aborts the session: 6982. */
    private void demand(boolean authentic) {
        if (!authentic) {
            reset();
            session[STATE] = ABORTED;
            ISOException.throwIt(Codes.SW_SECURITY_STATUS_NOT_SATISFIED);
        }
    }

    @Override
    public short wrap(byte[] buffer, short length, short sw) {
        if (!rMac()) {
            return length;
        }
        if (length > 0 && has(R_ENCRYPTION)) {
            short size = (short) ((length & ~(Scp03Keys.BLOCK_SIZE - 1)) + Scp03Keys.BLOCK_SIZE);
            Util.arrayFillNonAtomic(buffer, length, (short) (size - length), (byte) 0);
            buffer[length] = PAD;
            keys.seal(session, COUNTER, buffer, (short) 0, size);
            length = size;
        }
        Util.setShort(buffer, length, sw);
        keys.sign(true, session, CHAIN, buffer, (short) 0, (short) (length + 2));
        return Util.arrayCopyNonAtomic(scratch, Transients.MAC, buffer, length, Scp03Keys.MAC_SIZE);
    }

    /** BEGIN and END R-MAC SESSION (7.1.3, 7.1.4): each answer is protected at the level before, or still in force. */
    private short rMacSession(byte[] buffer, byte ins, short lc) {
        short parameters = Util.getShort(buffer, ISO7816.OFFSET_P1);
        byte state = session[STATE];
        byte added = buffer[ISO7816.OFFSET_P1];
        if (ins == END_R_MAC) {
            Checks.that(parameters == 0x0003, Codes.SW_INCORRECT_P1_P2);
            Checks.that(state == R_MAC_SESSION, Codes.SW_CONDITIONS_NOT_SATISFIED);
            Checks.that(lc == 0, Codes.SW_WRONG_LENGTH);
            short end = wrap(buffer, (short) 0, Codes.SW_OK);
            session[STATE] = OPEN;
            session[LEVEL] = session[LEVEL_BEFORE];
            return end;
        }
        Checks.that(parameters == 0x1001 || parameters == 0x3001, Codes.SW_INCORRECT_P1_P2);
        boolean fits = added == R_MAC ? cMac() && !rMac() : cDecryption() && !has(R_ENCRYPTION);
        Checks.that(fits && state == OPEN, Codes.SW_CONDITIONS_NOT_SATISFIED);
        Checks.that(lc == 0 || buffer[ISO7816.OFFSET_CDATA] == (byte) (lc - 1), Codes.SW_WRONG_DATA);
        short end = wrap(buffer, (short) 0, Codes.SW_OK);
        session[STATE] = R_MAC_SESSION;
        session[LEVEL_BEFORE] = session[LEVEL];
        session[LEVEL] |= added;
        return end;
    }

    @Override
    public boolean isOpen() {
        return session[STATE] >= OPEN;
    }

    @Override
    public boolean cMac() {
        return has(C_MAC);
    }

    @Override
    public boolean rMac() {
        return has(R_MAC);
    }

    @Override
    public boolean cDecryption() {
        return has(C_DECRYPTION);
    }

    private boolean has(byte bit) {
        return isOpen() && (session[LEVEL] & bit) != 0;
    }

    @Override
    public void decrypt(byte[] buffer, short offset, short length) {
        keys.decrypt(buffer, offset, length);
    }

    @Override
    public void reset() {
        Util.arrayFillNonAtomic(session, (short) 0, SESSION_SIZE, (byte) 0);
        keys.forget();
    }
}
