package joren.harness;

/** The power went away in the middle of a command. An Error, so that no catch of an applet's takes it; one that does gains nothing. */
final class PowerCut extends Error {
    private static final long serialVersionUID = 1L;

    PowerCut() {
        super("power cut", null, false, false);
    }
}
