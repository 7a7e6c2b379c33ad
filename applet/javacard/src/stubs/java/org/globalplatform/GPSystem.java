package org.globalplatform;

/** To compile against, with the names and numbers of the GlobalPlatform API; the platform has its own. */
public final class GPSystem {
    private GPSystem() {
    }

    public static SecureChannel getSecureChannel() {
        return null;
    }
}
