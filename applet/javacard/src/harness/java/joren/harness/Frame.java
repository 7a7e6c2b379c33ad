package joren.harness;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A frame that is read field by field; numbers are big-endian. */
final class Frame {
    private final byte[] bytes;
    private int at;

    Frame(byte[] bytes) {
        this.bytes = bytes;
    }

    int u8() {
        return bytes[at++] & 0xFF;
    }

    int u16() {
        return u8() << 8 | u8();
    }

    int i32() {
        return u16() << 16 | u16();
    }

    byte[] bytes(int length) {
        at += length;
        return Arrays.copyOfRange(bytes, at - length, at);
    }

    byte[] rest() {
        return bytes(bytes.length - at);
    }

    String text() {
        return new String(bytes(u8()), StandardCharsets.UTF_8);
    }

    boolean more() {
        return at < bytes.length;
    }
}
