package joren.harness;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;

/** Frames, each after its length (u32), to and from the program that started this one. */
final class Link {
    static final int DONE = 0;
    static final int CUT = 1;
    static final int FAULT = 2;
    static final int ASK_RANDOM = 3;
    static final int ASK_DECRYPT = 4;

    final Log log = new Log();
    private final InputStream in;
    private final OutputStream out;
    private byte[] buffer = new byte[8192];
    private int start;
    private int end;

    Link(InputStream in, OutputStream out) {
        this.in = in;
        this.out = out;
    }

    /** The next frame; null when the other end is closed. */
    byte[] read() throws IOException {
        if (!fill(4)) {
            return null;
        }
        int length = (buffer[start] & 0xFF) << 24 | (buffer[start + 1] & 0xFF) << 16 | (buffer[start + 2] & 0xFF) << 8
            | buffer[start + 3] & 0xFF;
        start += 4;
        if (!fill(length)) {
            throw new EOFException();
        }
        byte[] frame = java.util.Arrays.copyOfRange(buffer, start, start + length);
        start += length;
        return frame;
    }

    private boolean fill(int size) throws IOException {
        if (start + size > buffer.length) {
            byte[] larger = new byte[Math.max(buffer.length, 2 * size)];
            System.arraycopy(buffer, start, larger, 0, end - start);
            end -= start;
            start = 0;
            buffer = larger;
        }
        while (end - start < size) {
            int count = in.read(buffer, end, buffer.length - end);
            if (count < 0) {
                return false;
            }
            end += count;
        }
        return true;
    }

    void write(Log frame) throws IOException {
        byte[] all = new byte[frame.size + 4];
        all[0] = (byte) (frame.size >> 24);
        all[1] = (byte) (frame.size >> 16);
        all[2] = (byte) (frame.size >> 8);
        all[3] = (byte) frame.size;
        System.arraycopy(frame.bytes, 0, all, 4, frame.size);
        out.write(all);
        out.flush();
    }

    /** So many bytes from the chip's generator. */
    byte[] random(int length) {
        Log frame = new Log();
        frame.event(ASK_RANDOM, length);
        return ask(frame);
    }

    /** Data decrypted with the session's Key-DEK; null where the platform can not. */
    byte[] decrypt(byte[] data, int offset, int length) {
        Log frame = new Log();
        frame.event(ASK_DECRYPT, length);
        frame.raw(data, offset, length);
        byte[] plain = ask(frame);
        return plain.length == length ? plain : null;
    }

    private byte[] ask(Log frame) {
        try {
            write(frame);
            byte[] answer = read();
            if (answer == null) {
                throw new EOFException();
            }
            return answer;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
