package joren.harness;

import com.licel.jcardsim.base.TransientMemory;
import java.util.HashSet;
import java.util.Set;
import javacard.framework.JCSystem;
import javacard.security.AESKey;

/**
 * The RAM of one instance. jCardSim makes a transient array for every key that it reads, and keeps it for good; what is made after the
 * install is therefore nobody's, and a key is cleared by what set it.
 */
final class Ram extends TransientMemory {
    private final Set<AESKey> keys = new HashSet<>();
    private boolean full;
    private int untilDeselect;
    private int untilReset;

    /** From here on arrays are jCardSim's own. */
    void close() {
        full = true;
    }

    int bytesUntilDeselect() {
        return untilDeselect;
    }

    int bytesUntilReset() {
        return untilReset;
    }

    /** A key in RAM was set: it is cleared with the rest. */
    void holds(AESKey key) {
        keys.add(key);
    }

    void clear(boolean reset) {
        if (reset) {
            clearOnReset();
        } else {
            clearOnDeselect();
        }
        for (AESKey key : keys) {
            key.clearKey();
        }
        keys.clear();
    }

    @Override
    protected void storeArray(Object array, byte event) {
        if (full) {
            return;
        }
        super.storeArray(array, event);
        int size = array instanceof byte[] ? ((byte[]) array).length : array instanceof short[] ? 2 * ((short[]) array).length : 0;
        if (array instanceof boolean[]) {
            size = ((boolean[]) array).length;
        } else if (array instanceof Object[]) {
            size = 2 * ((Object[]) array).length;
        }
        if (event == JCSystem.CLEAR_ON_RESET) {
            untilReset += size;
        } else {
            untilDeselect += size;
        }
    }

    Iterable<Object> arrays() {
        Set<Object> all = java.util.Collections.newSetFromMap(new java.util.IdentityHashMap<>());
        all.addAll(clearOnDeselect);
        all.addAll(clearOnReset);
        return all;
    }
}
