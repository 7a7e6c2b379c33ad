package joren.harness;

import javacard.framework.TransactionException;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.CryptoException;
import javacard.security.KeyBuilder;
import javacard.security.RandomData;
import javacard.security.Signature;
import javacardx.crypto.Cipher;
import org.globalplatform.SecureChannel;

/** What the woven classes call in place of a store or of the API. The stack they leave is that of what they stand for. */
public final class Hook {
    private static final int AES_BYTES = 16;
    /** Of one command: more than any takes, and soon over. */
    private static final long BYTECODES_MAX = 1_000_000;
    static Card card;
    static long bytecodes;

    private Hook() {}

    /** A basic block of so many bytecodes begins. A command that does not end is ended; what the applet does finally is counted anew. */
    public static void ran(int count) {
        bytecodes += count;
        if (bytecodes > BYTECODES_MAX) {
            bytecodes = 0;
            throw new IllegalStateException("a command of more than " + BYTECODES_MAX + " bytecodes");
        }
    }

    /** BASTORE. */
    public static void storeByte(Object array, int index, int value) {
        if (!(array instanceof byte[])) {
            ((boolean[]) array)[index] = (value & 1) != 0;
            return;
        }
        byte[] bytes = (byte[]) array;
        Region region = card.regionOf(bytes);
        if (region == Region.RAM) {
            bytes[index] = (byte) value;
        } else {
            check(bytes, index, 1);
            card.nvm.write(region, bytes, index, new byte[] {(byte) value}, 0, 1);
        }
    }

    /** SASTORE. */
    public static void storeShort(short[] array, int index, int value) {
        if (card.regionOf(array) == Region.RAM) {
            array[index] = (short) value;
        } else {
            short old = array[index];
            card.nvm.change(2, () -> array[index] = (short) value, () -> array[index] = old);
        }
    }

    /** PUTFIELD of a byte, short or boolean, outside a constructor. */
    public static void putNumber(Object object, int value, String owner, String name) {
        card.putField(object, owner, name, field -> Fields.number(field, value));
    }

    /** PUTFIELD of a reference, outside a constructor. */
    public static void putReference(Object object, Object value, String owner, String name) {
        card.putField(object, owner, name, field -> value);
    }

    public static short arrayCopy(byte[] source, short from, byte[] target, short to, short length) {
        Region region = card.regionOf(target);
        if (region == Region.RAM || length <= 0) {
            return Util.arrayCopy(source, from, target, to, length);
        }
        check(source, from, length);
        check(target, to, length);
        card.nvm.write(region, target, to, source, from, length);
        return (short) (to + length);
    }

    public static short arrayCopyNonAtomic(byte[] source, short from, byte[] target, short to, short length) {
        Region region = card.regionOf(target);
        if (region == Region.RAM || length <= 0) {
            return Util.arrayCopyNonAtomic(source, from, target, to, length);
        }
        check(source, from, length);
        check(target, to, length);
        card.nvm.writeNonAtomic(region, target, to, source.clone(), from, length);
        return (short) (to + length);
    }

    public static short arrayFillNonAtomic(byte[] target, short to, short length, byte value) {
        Region region = card.regionOf(target);
        if (region == Region.RAM || length <= 0) {
            return Util.arrayFillNonAtomic(target, to, length, value);
        }
        check(target, to, length);
        byte[] filled = new byte[length];
        java.util.Arrays.fill(filled, value);
        card.nvm.writeNonAtomic(region, target, to, filled, 0, length);
        return (short) (to + length);
    }

    /** Atomic within a transaction alone: the standard promises no more. */
    public static short setShort(byte[] target, short to, short value) {
        Region region = card.regionOf(target);
        if (region == Region.RAM) {
            return Util.setShort(target, to, value);
        }
        check(target, to, 2);
        byte[] both = {(byte) (value >> 8), (byte) value};
        if (card.nvm.isOpen()) {
            card.nvm.write(region, target, to, both, 0, 2);
        } else {
            card.nvm.write(region, target, to, both, 0, 1);
            card.nvm.write(region, target, to + 1, both, 1, 1);
        }
        return (short) (to + 2);
    }

    public static void generateData(RandomData random, byte[] target, short to, short length) {
        check(target, to, length);
        apiWrite(target, to, card.random(length), length);
    }

    /** A chip without CMAC has CBC-MAC alone. */
    public static Signature getInstance(byte algorithm, boolean external) {
        if (algorithm == Signature.ALG_AES_CMAC_128 && !card.cmac) {
            CryptoException.throwIt(CryptoException.NO_SUCH_ALGORITHM);
        }
        return Signature.getInstance(algorithm, external);
    }

    public static void update(Signature signature, byte[] data, short from, short length) {
        card.macBytes += length;
        signature.update(data, from, length);
    }

    public static short sign(Signature signature, byte[] data, short from, short length, byte[] target, short to) {
        card.log.event(Log.MAC, card.macBytes + length);
        card.macBytes = 0;
        byte[] mac = new byte[signature.getLength()];
        short size = signature.sign(data, from, length, mac, (short) 0);
        check(target, to, size);
        apiWrite(target, to, mac, size);
        return size;
    }

    public static boolean verify(
            Signature signature, byte[] data, short from, short length, byte[] mac, short macFrom, short macLength) {
        card.log.event(Log.MAC, card.macBytes + length);
        card.macBytes = 0;
        return signature.verify(data, from, length, mac, macFrom, macLength);
    }

    public static short update(Cipher cipher, byte[] data, short from, short length, byte[] target, short to) {
        return crypt(cipher, data, from, length, target, to, false);
    }

    public static short doFinal(Cipher cipher, byte[] data, short from, short length, byte[] target, short to) {
        return crypt(cipher, data, from, length, target, to, true);
    }

    private static short crypt(Cipher cipher, byte[] data, short from, short length, byte[] target, short to, boolean last) {
        card.log.event(Log.MAC, length);
        if (card.regionOf(target) == Region.RAM) {
            return last ? cipher.doFinal(data, from, length, target, to) : cipher.update(data, from, length, target, to);
        }
        byte[] out = new byte[length + AES_BYTES];
        short size = last ? cipher.doFinal(data, from, length, out, (short) 0) : cipher.update(data, from, length, out, (short) 0);
        check(target, to, size);
        apiWrite(target, to, out, size);
        return size;
    }

    public static void setKey(AESKey key, byte[] data, short from) {
        card.log.event(Log.SET_KEY, key.getSize() / 8);
        if (key.getType() != KeyBuilder.TYPE_AES) {
            card.ram.holds(key);
            key.setKey(data, from);
            return;
        }
        byte[] copy = java.util.Arrays.copyOfRange(data, from, from + key.getSize() / 8);
        card.setPersistentKey(key, copy);
    }

    public static void clearKey(AESKey key) {
        if (key.getType() == KeyBuilder.TYPE_AES) {
            card.setPersistentKey(key, null);
        } else {
            key.clearKey();
        }
    }

    /** GPSystem.getSecureChannel: none where the command in hand came through none. */
    public static SecureChannel getSecureChannel() {
        return card.channel.getSecurityLevel() == SecureChannel.NO_SECURITY_LEVEL ? null : card.channel;
    }

    /** What an applet never does, and this memory does not model. */
    public static void forbidden(String what) {
        throw new IllegalStateException("not for an applet: " + what);
    }

    private static void apiWrite(byte[] target, short to, byte[] data, int length) {
        Region region = card.regionOf(target);
        if (region == Region.RAM) {
            System.arraycopy(data, 0, target, to, length);
        } else {
            card.nvm.write(region, target, to, data, 0, length);
        }
    }

    private static void check(byte[] array, int offset, int length) {
        if (offset < 0 || length < 0 || offset + length > array.length) {
            throw new ArrayIndexOutOfBoundsException(offset + ".." + (offset + length) + " of " + array.length);
        }
    }

    static short reasonOf(Throwable error) {
        if (error instanceof TransactionException) {
            return ((TransactionException) error).getReason();
        }
        return error instanceof CryptoException ? ((CryptoException) error).getReason() : 0;
    }
}
