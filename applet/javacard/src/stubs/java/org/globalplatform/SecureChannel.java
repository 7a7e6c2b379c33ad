package org.globalplatform;

import javacard.framework.APDU;

/** To compile against, with the names and numbers of the GlobalPlatform API; the platform has its own. */
public interface SecureChannel {
    byte NO_SECURITY_LEVEL = 0x00;
    byte C_MAC = 0x01;
    byte C_DECRYPTION = 0x02;
    byte R_MAC = 0x10;
    byte R_ENCRYPTION = 0x20;
    byte AUTHENTICATED = (byte) 0x80;

    short processSecurity(APDU apdu);

    short wrap(byte[] buffer, short offset, short length);

    short unwrap(byte[] buffer, short offset, short length);

    short decryptData(byte[] buffer, short offset, short length);

    short encryptData(byte[] buffer, short offset, short length);

    void resetSecurity();

    byte getSecurityLevel();
}
