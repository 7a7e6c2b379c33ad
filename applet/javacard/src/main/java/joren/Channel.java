package joren;

import javacard.framework.APDU;

/**
 * The secure channel before an instance (REQ-MAN-17): the platform's, or the applet's own, as the build chooses (class PlatformChannel,
 * whose constructor takes the install parameters: array, offset, length; 6A80 for those it does not know).
 */
interface Channel {
    /** What process answers to a command that is not the channel's own. */
    short NOT_MINE = -1;

    /**
     * Receives and answers a command that opens the channel, from the start of the APDU buffer on: the length of the answer. Any other
     * command is NOT_MINE, and is left as it is.
     */
    short process(APDU apdu);

    /** Takes the protection from a command in the APDU buffer: its length of data then. A status word where it is not as it must be. */
    short unwrap(byte[] buffer, short lc);

    /** Protects an answer at the start of the APDU buffer, to go with 9000 or a warning: its length then. */
    short wrap(byte[] buffer, short length, short sw);

    /** Whether a session is open. */
    boolean isOpen();

    /** Whether commands are authenticated. */
    boolean cMac();

    /** Whether answers are authenticated too. */
    boolean rMac();

    /** Whether the data of commands came encrypted too. */
    boolean cDecryption();

    /** Decrypts whole blocks of 16 bytes in place, in RAM, with the session's Key-DEK. */
    void decrypt(byte[] buffer, short offset, short length);

    /** The session is over: the instance is selected, or deselected. */
    void reset();
}
