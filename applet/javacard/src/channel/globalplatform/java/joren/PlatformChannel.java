package joren;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;
import org.globalplatform.GPSystem;
import org.globalplatform.SecureChannel;

/**
 * The secure channel of a GlobalPlatform card: that of the security domain which the instance belongs to.
 *
 * How it works. The platform's object is asked for anew each time, as it may not be kept; a chip without a card manager gives none. A
 * command that came in the clear while a session authenticates commands ends that session (REQ-MAN-4). Tests put a card manager of their
 * own in front, which opens sessions and takes off and puts on the protection itself; unwrap then clears the bit in CLA, and no more.
 */
final class PlatformChannel implements Channel {
    static final short KEYS_SIZE = 0;
    static final short COUNTER_SIZE = 0;

    private static final byte CLA_OPEN = (byte) 0x80;
    private static final byte CLA_SECURED = (byte) 0x84;
    private static final byte SECURED = 0x04;
    private static final byte NO_CHANNEL = 0x7C;
    private static final byte INITIALIZE_UPDATE = 0x50;
    private static final byte EXTERNAL_AUTHENTICATE = (byte) 0x82;

    /** It takes no install parameters. */
    PlatformChannel(Persistent cells, Transients ram, byte[] parameters, short offset, short length) {
        if (length != 0) {
            ISOException.throwIt(Codes.SW_WRONG_DATA);
        }
    }

    @Override
    public short process(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        byte cla = buffer[ISO7816.OFFSET_CLA];
        byte ins = buffer[ISO7816.OFFSET_INS];
        SecureChannel channel = GPSystem.getSecureChannel();
        if (channel == null || !(cla == CLA_OPEN && ins == INITIALIZE_UPDATE || cla == CLA_SECURED && ins == EXTERNAL_AUTHENTICATE)) {
            return NOT_MINE;
        }
        short length = channel.processSecurity(apdu);
        Util.arrayCopyNonAtomic(buffer, ISO7816.OFFSET_CDATA, buffer, (short) 0, length);
        return length;
    }

    @Override
    public short unwrap(byte[] buffer, short lc) {
        SecureChannel channel = GPSystem.getSecureChannel();
        if (channel == null) {
            return lc;
        }
        byte level = channel.getSecurityLevel();
        if ((buffer[ISO7816.OFFSET_CLA] & NO_CHANNEL) == SECURED) {
            if (level == SecureChannel.NO_SECURITY_LEVEL) {
                ISOException.throwIt(Codes.SW_CONDITIONS_NOT_SATISFIED);
            }
            return (short) (channel.unwrap(buffer, (short) 0, (short) (ISO7816.OFFSET_CDATA + lc)) - ISO7816.OFFSET_CDATA);
        }
        if ((level & SecureChannel.C_MAC) != 0) {
            channel.resetSecurity();
            ISOException.throwIt(Codes.SW_SECURITY_STATUS_NOT_SATISFIED);
        }
        return lc;
    }

    @Override
    public short wrap(byte[] buffer, short length, short sw) {
        if (!has(SecureChannel.R_MAC)) {
            return length;
        }
        Util.setShort(buffer, length, sw);
        return GPSystem.getSecureChannel().wrap(buffer, (short) 0, (short) (length + 2));
    }

    @Override
    public boolean isOpen() {
        return has(SecureChannel.AUTHENTICATED);
    }

    @Override
    public boolean cMac() {
        return has(SecureChannel.C_MAC);
    }

    @Override
    public boolean rMac() {
        return has(SecureChannel.R_MAC);
    }

    @Override
    public boolean cDecryption() {
        return has(SecureChannel.C_DECRYPTION);
    }

    @Override
    public void decrypt(byte[] buffer, short offset, short length) {
        GPSystem.getSecureChannel().decryptData(buffer, offset, length);
    }

    @Override
    public void reset() {
        SecureChannel channel = GPSystem.getSecureChannel();
        if (channel != null) {
            channel.resetSecurity();
        }
    }

    private static boolean has(byte bits) {
        SecureChannel channel = GPSystem.getSecureChannel();
        return channel != null && (channel.getSecurityLevel() & bits) != 0;
    }
}
