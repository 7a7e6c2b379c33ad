package joren.harness;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;

/**
 * The applet's CMAC alone, without a card: reads key 16 | length u8 | message, writes the MAC by the chip's own CMAC, 16 bytes, and the one
 * made from its CBC-MAC, 16 bytes.
 */
public final class MacStream {
    private static final int MESSAGE = 128;

    private MacStream() {
    }

    public static void main(String[] arguments) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        Class<?> type = Class.forName("joren.Mac");
        Constructor<?> constructor = type.getDeclaredConstructor(boolean.class, byte[].class);
        Method init = type.getDeclaredMethod("init", AESKey.class);
        Method sign = type.getDeclaredMethod("sign", byte[].class, short.class, short.class, byte[].class, short.class);
        constructor.setAccessible(true);
        init.setAccessible(true);
        sign.setAccessible(true);
        byte[] ram = new byte[512];
        Object[] macs = {constructor.newInstance(true, ram), constructor.newInstance(false, ram)};
        AESKey key = (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES, KeyBuilder.LENGTH_AES_128, false);
        byte[] bytes = new byte[16];
        for (int first = in.read(); first >= 0; first = in.read()) {
            bytes[0] = (byte) first;
            in.readFully(bytes, 1, 15);
            int length = in.readUnsignedByte();
            in.readFully(ram, MESSAGE, length);
            key.setKey(bytes, (short) 0);
            for (Object mac : macs) {
                init.invoke(mac, key);
                sign.invoke(mac, ram, (short) MESSAGE, (short) length, ram, (short) 0);
                out.write(ram, 0, 16);
            }
        }
        out.flush();
    }
}
