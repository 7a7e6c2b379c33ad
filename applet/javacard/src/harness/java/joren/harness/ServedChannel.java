package joren.harness;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import org.globalplatform.SecureChannel;

/**
 * The platform's secure channel as an instance sees it. The card manager on the other side has unwrapped the command, but for the bit in
 * CLA, and will wrap the answer; so wrapping takes the status word off, as it does on a card, and no more.
 */
final class ServedChannel implements SecureChannel {
    private static final int SECURED = 0x04;
    private static final int STATUS_SIZE = 2;

    private final Link link;
    private byte level;

    ServedChannel(Link link) {
        this.link = link;
    }

    void open(int securityLevel) {
        level = (byte) securityLevel;
    }

    @Override
    public short processSecurity(APDU apdu) {
        ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        return 0;
    }

    @Override
    public short wrap(byte[] buffer, short offset, short length) {
        return (short) (length - STATUS_SIZE);
    }

    @Override
    public short unwrap(byte[] buffer, short offset, short length) {
        buffer[offset] &= ~SECURED;
        return length;
    }

    @Override
    public short decryptData(byte[] buffer, short offset, short length) {
        byte[] plain = link.decrypt(buffer, offset, length);
        if (plain == null) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        Hook.arrayCopyNonAtomic(plain, (short) 0, buffer, offset, length);
        return length;
    }

    @Override
    public short encryptData(byte[] buffer, short offset, short length) {
        ISOException.throwIt(ISO7816.SW_FUNC_NOT_SUPPORTED);
        return 0;
    }

    @Override
    public void resetSecurity() {
        level = NO_SECURITY_LEVEL;
    }

    @Override
    public byte getSecurityLevel() {
        return level;
    }
}
