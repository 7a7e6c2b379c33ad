package joren.harness;

/**
 * What a command did to the memory, and what it took, in order, as bytes: a kind, then one u16 of size or an offset and the bytes.
 * simulator/javacard.py reads it.
 */
final class Log {
    static final int WRITE = 1;
    static final int WRITE_NON_ATOMIC = 2;
    static final int WRITE_INTERNAL = 3;
    static final int BEGIN = 4;
    static final int COMMIT = 5;
    static final int ABORT = 6;
    static final int MAC = 7;
    static final int SET_KEY = 8;

    byte[] bytes = new byte[4096];
    int size;

    void clear() {
        size = 0;
    }

    void event(int kind) {
        room(1);
        bytes[size++] = (byte) kind;
    }

    void event(int kind, int number) {
        room(3);
        bytes[size++] = (byte) kind;
        u16(number);
    }

    void event(int kind, int address, byte[] data, int offset, int length) {
        room(5 + length);
        bytes[size++] = (byte) kind;
        u16(address);
        u16(length);
        System.arraycopy(data, offset, bytes, size, length);
        size += length;
    }

    void raw(byte[] data, int offset, int length) {
        room(length);
        System.arraycopy(data, offset, bytes, size, length);
        size += length;
    }

    void u16(int value) {
        bytes[size++] = (byte) (value >> 8);
        bytes[size++] = (byte) value;
    }

    private void room(int more) {
        if (size + more > bytes.length) {
            bytes = java.util.Arrays.copyOf(bytes, 2 * (size + more));
        }
    }
}
