package joren.tiny;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.TransactionException;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;
import javacard.security.RandomData;
import javacard.security.Signature;
import javacardx.crypto.Cipher;
import org.globalplatform.GPSystem;
import org.globalplatform.SecureChannel;

/** An applet to try the harness with: an instruction for each way to write. It is on no card. */
public final class Tiny extends Applet {
    /** What it keeps. */
    static final class Persistent {
        final byte[] first = new byte[4];
        final byte[] second = new byte[16];
        final byte[] cacheStale = {1};
    }

    private final Persistent memory = new Persistent();
    private final byte[] session = JCSystem.makeTransientByteArray((short) 32, JCSystem.CLEAR_ON_DESELECT);
    private final byte[] lasting = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_RESET);
    private final short[] numbers = new short[2];
    private final RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
    private final AESKey key = (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES, KeyBuilder.LENGTH_AES_128, false);
    private final AESKey volatileKey =
            (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_DESELECT, KeyBuilder.LENGTH_AES_128, false);
    private final Signature mac = Signature.getInstance((byte) 49, false);
    private final Cipher cipher = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);
    private short field;
    private byte small;
    private boolean flag;
    private Object other;

    private Tiny(byte[] parameters, short offset) {
        memory.first[0] = 7;
        if (parameters[(short) (offset + parameters[offset] + 2)] != 0) {
            memory.first[1] = 1;
        }
    }

    public static void install(byte[] parameters, short offset, byte length) {
        new Tiny(parameters, offset).register(parameters, (short) (offset + 1), parameters[offset]);
    }

    @Override
    public void process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        if (selectingApplet()) {
            random.generateData(session, (short) 0, (short) 8);
            Util.arrayCopyNonAtomic(session, (short) 0, buffer, (short) 0, (short) 8);
            apdu.setOutgoingAndSend((short) 0, (short) 8);
            return;
        }
        short lc = apdu.setIncomingAndReceive();
        short at = ISO7816.OFFSET_CDATA;
        switch (buffer[ISO7816.OFFSET_INS]) {
            case 0x10:
                memory.first[0] = buffer[at];
                break;
            case 0x11:
                Util.arrayCopy(buffer, at, memory.second, (short) 0, lc);
                break;
            case 0x12:
                Util.arrayCopyNonAtomic(buffer, at, memory.second, (short) 0, lc);
                break;
            case 0x13:
                Util.setShort(memory.first, (short) 2, Util.getShort(buffer, at));
                break;
            case 0x14:
                Util.arrayFillNonAtomic(memory.second, (short) 0, lc, buffer[at]);
                break;
            case 0x20:
                add(buffer, at, lc);
                break;
            case 0x21:
                JCSystem.beginTransaction();
                memory.first[0] = buffer[at];
                break;
            case 0x22:
                JCSystem.beginTransaction();
                memory.first[0] = buffer[at];
                ISOException.throwIt((short) 0x6985);
                break;
            case 0x23:
                JCSystem.beginTransaction();
                memory.first[0] = buffer[at];
                JCSystem.abortTransaction();
                break;
            case 0x24:
                JCSystem.beginTransaction();
                memory.first[0] = buffer[at];
                Util.arrayCopyNonAtomic(buffer, at, memory.second, (short) 0, lc);
                JCSystem.commitTransaction();
                break;
            case 0x25:
                JCSystem.beginTransaction();
                try {
                    memory.first[0] = buffer[at];
                    memory.first[1] = buffer[at];
                } finally {
                    JCSystem.commitTransaction();
                }
                break;
            case 0x26:
                tryAndGoOn(buffer, at, lc);
                break;
            case 0x30:
                buffer[(short) 1000] = 1;
                break;
            case 0x31:
                TransactionException.throwIt((short) 0x9000);
                break;
            case 0x40:
                fields(buffer[at]);
                break;
            case 0x50:
                storeKey(buffer, at);
                break;
            case 0x51:
                mac(buffer, at, lc);
                apdu.setOutgoingAndSend((short) 0, (short) 16);
                return;
            case 0x52:
                volatileKey.setKey(buffer, at);
                break;
            case 0x53:
                cipher.init(volatileKey, Cipher.MODE_ENCRYPT);
                cipher.doFinal(memory.second, (short) 0, (short) 16, buffer, (short) 0);
                apdu.setOutgoingAndSend((short) 0, (short) 16);
                return;
            case 0x54:
                mac.init(key, Signature.MODE_SIGN);
                mac.sign(buffer, at, lc, memory.second, (short) 0);
                break;
            case (byte) 0xA0:
                level(apdu, buffer);
                return;
            case (byte) 0xA1:
                if (GPSystem.getSecureChannel() == null) {
                    ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
                }
                GPSystem.getSecureChannel().decryptData(buffer, at, lc);
                apdu.setOutgoingAndSend(at, lc);
                return;
            case (byte) 0xB0:
                session[8] = buffer[at];
                lasting[0] = buffer[at];
                break;
            case (byte) 0xB1:
                buffer[0] = session[8];
                buffer[1] = lasting[0];
                apdu.setOutgoingAndSend((short) 0, (short) 2);
                return;
            case (byte) 0xB2:
                Util.setShort(buffer, (short) 0, apdu.setOutgoing());
                apdu.setOutgoingLength((short) 2);
                apdu.sendBytes((short) 0, (short) 2);
                ISOException.throwIt((short) 0x6283);
                return;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    /** Two writes that belong together. */
    private void add(byte[] buffer, short at, short lc) {
        JCSystem.beginTransaction();
        memory.first[0]++;
        Util.arrayCopy(buffer, at, memory.second, (short) 0, lc);
        JCSystem.commitTransaction();
    }

    /** A write that the journal may have no room for. */
    private void tryAndGoOn(byte[] buffer, short at, short lc) {
        JCSystem.beginTransaction();
        try {
            Util.arrayCopy(buffer, at, memory.second, (short) 0, lc);
        } catch (TransactionException full) {
            JCSystem.abortTransaction();
            memory.first[3] = (byte) full.getReason();
            return;
        }
        JCSystem.commitTransaction();
    }

    private void fields(byte value) {
        JCSystem.beginTransaction();
        field = value;
        small = value;
        flag = true;
        other = memory;
        numbers[1] = value;
        JCSystem.abortTransaction();
        if (field != 0 || small != 0 || flag || other != null || numbers[1] != 0) {
            ISOException.throwIt((short) 0x6F01);
        }
    }

    private void storeKey(byte[] buffer, short at) {
        JCSystem.beginTransaction();
        Util.arrayCopy(buffer, at, memory.second, (short) 0, (short) 16);
        memory.cacheStale[0] = 1;
        JCSystem.commitTransaction();
    }

    private void mac(byte[] buffer, short at, short lc) {
        if (memory.cacheStale[0] != 0) {
            key.setKey(memory.second, (short) 0);
            mac.init(key, Signature.MODE_SIGN);
            memory.cacheStale[0] = 0;
        }
        mac.update(buffer, at, (short) 1);
        mac.sign(buffer, (short) (at + 1), (short) (lc - 1), buffer, (short) 0);
    }

    private void level(APDU apdu, byte[] buffer) {
        SecureChannel channel = GPSystem.getSecureChannel();
        byte level = channel == null ? 0 : channel.getSecurityLevel();
        if (channel != null) {
            channel.unwrap(buffer, (short) 0, (short) 5);
        }
        buffer[1] = buffer[0];
        buffer[0] = level;
        short length = channel == null ? 2 : channel.wrap(buffer, (short) 0, (short) 4);
        apdu.setOutgoingAndSend((short) 0, length);
    }
}
