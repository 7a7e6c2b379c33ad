package joren;

import javacard.framework.APDU;
import javacard.framework.APDUException;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/** What both cards are: instances made at install, that take a command and answer it. */
public abstract class CardApplet extends Applet {
    static final byte SELECT_RECORD = 0x0C;
    static final short TEMPLATE_HEAD_SIZE = 15;

    private static final byte CLA_JOREN = (byte) 0x80;
    private static final byte CLA_NO_CHANNEL = 0x7C;
    private static final byte SECURED = 0x04;
    private static final byte ROLE_SIZE = 7;
    private static final byte AID_SIZE = 9;
    private static final byte DEVELOPMENT = 1;
    private static final byte SELECT_NAME = 4;
    private static final byte SELECT_NEXT = 0x02;
    private static final byte TAG_FCI = 0x6F;
    private static final byte TAG_AID = (byte) 0x84;
    private static final byte TAG_RECORD = (byte) 0x85;
    private static final short FAMILY = (short) 0xFFF0;
    private static final short AID_PART_MIN = 5;
    private static final short AID_MAX = 16;

    final Persistent memory;
    final Transients ram;
    final Channel channel;
    final short programme;
    /** Whether the chip is one for development, on which cards are personalized in the clear (REQ-PER-5). */
    final boolean development;

    /**
     * From install parameters: AID, control information, and what is the applet's (GlobalPlatform: the value of C9): nothing, 01 for a
     * chip for development, or what the channel takes. Anything else: 6A80.
     */
    CardApplet(byte[] role, byte[] parameters, short offset, byte length) {
        short end = (short) (offset + length);
        short control = (short) (offset + 1 + AID_SIZE);
        Checks.that(parameters[offset] == AID_SIZE && control < end
            && Util.arrayCompare(role, (short) 0, parameters, (short) (offset + 1), ROLE_SIZE) == 0, Codes.SW_WRONG_DATA);
        short own = (short) (control + 1 + (parameters[control] & Words.BYTE));
        short ownLength = 0;
        Checks.that(own <= end, Codes.SW_WRONG_DATA);
        if (own < end) {
            ownLength = (short) (parameters[own++] & Words.BYTE);
            Checks.that((short) (own + ownLength) <= end, Codes.SW_WRONG_DATA);
        }
        programme = Util.getShort(parameters, (short) (offset + 1 + ROLE_SIZE));
        development = ownLength == 1 && parameters[own] == DEVELOPMENT;
        boolean customer = role == Codes.AID_CUSTOMER;
        memory = new Persistent(customer);
        ram = new Transients(customer);
        channel = new PlatformChannel(memory, ram, parameters, own, development ? 0 : ownLength);
        memory.lifeCycle[0] = Codes.LIFE_SELECTABLE;
    }

    /** Answers SELECT from the start of the buffer on: the length of the answer. RAM has just been cleared. */
    abstract short select(APDU apdu, byte[] buffer);

    /** Answers a command with CLA 00 or 80, as `iso` says: the length of the answer. */
    abstract short answer(APDU apdu, byte[] buffer, boolean iso, short lc);

    @Override
    public final void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        if (selectingApplet()) {
            receive(apdu, buffer);
            send(apdu, select(apdu, buffer));
            LifeCycle.warn(memory.lifeCycle[0]);
            return;
        }
        short length = channel.process(apdu);
        if (length == Channel.NOT_MINE) {
            short lc = channel.unwrap(buffer, receive(apdu, buffer));
            byte cla = buffer[ISO7816.OFFSET_CLA];
            if ((cla & CLA_NO_CHANNEL) != 0) {
                ISOException.throwIt(Codes.SW_CLA_NOT_SUPPORTED);
            }
            boolean iso = (cla & CLA_JOREN) == 0;
            if (iso && buffer[ISO7816.OFFSET_INS] == Codes.INS_SELECT) {
                refuseSelect(buffer, lc);
            }
            length = protectedAnswer(apdu, buffer, iso, lc);
        }
        send(apdu, length);
    }

    /** The answer behind the channel's protection, which a warning has too. */
    private short protectedAnswer(APDU apdu, byte[] buffer, boolean iso, short lc) {
        short warning;
        try {
            return channel.wrap(buffer, answer(apdu, buffer, iso, lc), Codes.SW_OK);
        } catch (ISOException ended) {
            warning = ended.getReason();
        }
        if (channel.rMac() && (short) (warning & FAMILY) == Codes.SW_VERIFY_FAILED) {
            send(apdu, channel.wrap(buffer, (short) 0, warning));
        }
        ISOException.throwIt(warning);
        return 0;
    }

    @Override
    public final void deselect() {
        channel.reset();
    }

    /** A SELECT that chose no instance (REQ-AID-2): the runtime hands it to the one that is selected. */
    private static void refuseSelect(byte[] buffer, short lc) {
        byte p2 = (byte) (buffer[ISO7816.OFFSET_P2] & ~SELECT_NEXT);
        if (buffer[ISO7816.OFFSET_P1] != SELECT_NAME || (p2 != 0 && p2 != SELECT_RECORD)) {
            ISOException.throwIt(Codes.SW_INCORRECT_P1_P2);
        }
        ISOException.throwIt(lc < AID_PART_MIN || lc > AID_MAX ? Codes.SW_WRONG_LENGTH : Codes.SW_FILE_NOT_FOUND);
    }

    /**
     * The length of the data field, all of which is in the buffer then. With T=0 a card does not see whether P3 is a length of data: it
     * is for the commands that have data. Elsewhere the runtime knows, and some refuse to receive where there is none.
     */
    static short receive(APDU apdu, byte[] buffer) {
        boolean t0 = (APDU.getProtocol() & APDU.PROTOCOL_TYPE_MASK) == APDU.PROTOCOL_T0;
        if (t0 && (buffer[ISO7816.OFFSET_LC] == 0 || !hasData(buffer[ISO7816.OFFSET_CLA], buffer[ISO7816.OFFSET_INS]))) {
            return 0;
        }
        try {
            short lc = apdu.setIncomingAndReceive();
            short expected = lc == 0 ? 0 : (short) (buffer[ISO7816.OFFSET_LC] & Words.BYTE);
            while (lc < expected) {
                lc += apdu.receiveBytes((short) (ISO7816.OFFSET_CDATA + lc));
            }
            return lc;
        } catch (APDUException none) {
            return 0;
        }
    }

    private static boolean hasData(byte cla, byte ins) {
        return (cla & SECURED) != 0
            || ins != Codes.INS_GET_STATE && ins != Codes.INS_GET_CHALLENGE && ins != Codes.INS_READ_RECORD && ins != Codes.INS_GET_DATA;
    }

    /** Begins an FCI template around a SELECT record at the start of the buffer (REQ-SEL-1). Where the record goes. */
    static short templateHead(byte[] buffer, short recordSize) {
        buffer[0] = TAG_FCI;
        buffer[1] = (byte) (TEMPLATE_HEAD_SIZE - 2 + recordSize);
        buffer[2] = TAG_AID;
        buffer[3] = AID_SIZE;
        short at = (short) (4 + JCSystem.getAID().getBytes(buffer, (short) 4));
        buffer[at++] = TAG_RECORD;
        buffer[at++] = (byte) recordSize;
        return at;
    }

    /** The checks that every command has in common, in order: 6A86, 6700, 6CXX, 6985 (REQ-APDU-2 to REQ-APDU-5). */
    final void check(APDU apdu, boolean listed, boolean lengthRight, short answer, byte allowedIn) {
        if (!listed) {
            ISOException.throwIt(Codes.SW_INCORRECT_P1_P2);
        }
        if (!lengthRight) {
            ISOException.throwIt(Codes.SW_WRONG_LENGTH);
        }
        checkNe(apdu, answer);
        if ((allowedIn & LifeCycle.bit(memory.lifeCycle[0])) == 0) {
            ISOException.throwIt(Codes.SW_CONDITIONS_NOT_SATISFIED);
        }
    }

    /** 6CXX if the command asks for fewer bytes than its answer has (REQ-APDU-4). Nothing can be received from then on. */
    static void checkNe(APDU apdu, short answer) {
        if (answer > 0 && apdu.setOutgoing() < answer) {
            ISOException.throwIt((short) (Codes.SW_WRONG_LE + answer));
        }
    }

    private static void send(APDU apdu, short length) {
        if (length > 0) {
            if (apdu.getCurrentState() < APDU.STATE_OUTGOING) {
                apdu.setOutgoing();
            }
            apdu.setOutgoingLength(length);
            apdu.sendBytes((short) 0, length);
        }
    }
}
