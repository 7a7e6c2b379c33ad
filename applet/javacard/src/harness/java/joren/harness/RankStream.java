package joren.harness;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.lang.reflect.Method;
import java.util.Arrays;

/**
 * The rank arithmetic alone, without a card: reads state 32 | rules 80 | first half of an order 8, writes what became of it.
 *
 * The answer, 71 bytes: ending u8 (0 a state or rules that are refused, 1 a time jump, 2 done), the state after the purchase 32, points u16, its
 * score u16, and the state as it reads at the hour 32, its score u16. What an ending does not have is zeros.
 */
public final class RankStream {
    private static final int AT = 3;
    private static final int RULES = AT + 32;
    private static final int ORDER = RULES + 80;

    private RankStream() {
    }

    public static void main(String[] arguments) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        Method validState = method("validState", byte[].class, short.class);
        Method validRules = method("validRules", byte[].class, short.class);
        Method timeJump = method("timeJump", byte[].class, short.class, byte[].class, short.class);
        Method purchase = method("purchase", byte[].class, short.class, byte[].class, byte[].class, short.class, short.class);
        Method readAt = method("readAt", byte[].class, short.class, byte[].class, short.class);
        Method score = method("score", byte[].class, short.class, byte[].class);
        byte[] all = new byte[ORDER + 8];
        short at = AT;
        byte[] rules = new byte[80];
        while (read(in, all)) {
            byte[] answer = new byte[71];
            short hour = (short) ((all[ORDER] << 8) | (all[ORDER + 1] & 0xFF));
            if ((boolean) validState.invoke(null, all, at) && (boolean) validRules.invoke(null, all, (short) RULES)) {
                System.arraycopy(all, RULES, rules, 0, rules.length);
                byte[] before = Arrays.copyOf(all, all.length);
                readAt.invoke(null, before, at, rules, hour);
                System.arraycopy(before, AT, answer, 37, 32);
                put(answer, 69, (short) score.invoke(null, before, at, rules));
                answer[0] = 1;
                if (!(boolean) timeJump.invoke(null, all, at, rules, hour)) {
                    answer[0] = 2;
                    put(answer, 33, (short) purchase.invoke(null, all, at, rules, all, (short) ORDER, (short) 0));
                    System.arraycopy(all, AT, answer, 1, 32);
                    System.arraycopy(all, 0, answer, 35, 2);
                }
            }
            out.write(answer);
        }
        out.flush();
    }

    private static boolean read(DataInputStream in, byte[] all) throws IOException {
        try {
            in.readFully(all, AT, all.length - AT);
            return true;
        } catch (EOFException end) {
            return false;
        }
    }

    private static void put(byte[] answer, int at, short word) {
        answer[at] = (byte) (word >> 8);
        answer[at + 1] = (byte) word;
    }

    private static Method method(String name, Class<?>... parameters) throws ReflectiveOperationException {
        Method method = Class.forName("joren.Rank").getDeclaredMethod(name, parameters);
        method.setAccessible(true);
        return method;
    }
}
