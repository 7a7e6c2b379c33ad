package joren;

import javacard.framework.ISOException;

/** The life cycle of both cards (REQ-LIFE-1 to REQ-LIFE-3). Which commands a state allows is in Codes: one bit a state. */
final class LifeCycle {
    private LifeCycle() {
    }

    /** The bit of a state in the masks of Codes. */
    static byte bit(byte state) {
        switch (state) {
            case Codes.LIFE_SELECTABLE:
                return Codes.IN_SELECTABLE;
            case Codes.LIFE_ISSUED:
                return Codes.IN_ISSUED;
            case Codes.LIFE_BLOCKED:
                return Codes.IN_BLOCKED;
            default:
                return Codes.IN_TERMINATED;
        }
    }

    /** Ends a SELECT whose answer has been sent with the warning of its state, if that has one. */
    static void warn(byte state) {
        if (state == Codes.LIFE_BLOCKED) {
            ISOException.throwIt(Codes.SW_FILE_DEACTIVATED);
        }
        if (state == Codes.LIFE_TERMINATED) {
            ISOException.throwIt(Codes.SW_FILE_TERMINATED);
        }
    }

    /** Whether P2 of SET STATUS names a state that it can lead to. */
    static boolean isTarget(byte state) {
        return state == Codes.LIFE_ISSUED || state == Codes.LIFE_BLOCKED || state == Codes.LIFE_TERMINATED;
    }

    /** 6985 unless there is a transition; to be asked in ISSUED and BLOCKED alone, where SET STATUS is allowed. */
    static void checkTransition(byte state, byte target) {
        if (state == target) {
            ISOException.throwIt(Codes.SW_CONDITIONS_NOT_SATISFIED);
        }
    }
}
