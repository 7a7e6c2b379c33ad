package joren.harness;

import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.function.Function;
import javacard.framework.AID;
import javacard.framework.Applet;
import javacard.framework.CardRuntimeException;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.security.AESKey;

/**
 * One applet instance.
 *
 * How it works. Its persistent state is the byte arrays of its object of class Persistent: each is a region, under its name. Arrays there whose
 * name begins with "cache" are marks of what is stale, and no region: where the regions are set from outside, every mark is set, and what the
 * applet then does to make its caches anew is not counted, since no card has to do it. All else that is not RAM is persistent as well, and
 * counted, without a name. Before a command ends an open transaction is rolled back, as the standard has it.
 */
final class Card {
    private static final String CACHE = "cache";
    private static final int KEY_BYTES = 16;
    private static final byte STALE = 1;

    final AID aid;
    final Log log;
    final Nvm nvm;
    final Ram ram = new Ram();
    final ServedChannel channel;
    final Runtime runtime;
    final boolean cmac;
    int macBytes;
    private final Link link;
    private final Applet applet;
    private final Map<Object, Region> places = new IdentityHashMap<>();
    private final Map<byte[], boolean[]> forced = new IdentityHashMap<>();
    private final Map<AESKey, byte[]> keys = new IdentityHashMap<>();
    private final Region[] regions;
    private boolean installing = true;
    private boolean selected;

    Card(Runtime runtime, Link link, Class<?> type, Order order) {
        this.runtime = runtime;
        this.link = link;
        this.log = link.log;
        cmac = order.cmac;
        nvm = new Nvm(order.capacity, order.overhead, log);
        channel = new ServedChannel(link);
        aid = new AID(order.aid, (short) 0, (byte) order.aid.length);
        runtime.use(this);
        applet = runtime.registered(() -> install(type, order.parameters));
        ram.close();
        places.put(runtime.apduBuffer(), Region.RAM);
        for (Object array : ram.arrays()) {
            places.put(array, Region.RAM);
        }
        regions = new Region[order.names.length];
        map(persistent(), order);
        installing = false;
    }

    private static void install(Class<?> type, byte[] parameters) {
        try {
            Method method = type.getMethod("install", byte[].class, short.class, byte.class);
            method.invoke(null, parameters, (short) 0, (byte) parameters.length);
        } catch (InvocationTargetException error) {
            Throwable cause = error.getCause();
            if (cause instanceof RuntimeException) {
                throw (RuntimeException) cause;
            }
            throw new IllegalStateException(cause);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    private Object persistent() {
        for (Field field : Fields.of(applet)) {
            if (field.getType().getSimpleName().equals("Persistent")) {
                return Fields.get(field, applet);
            }
        }
        throw new IllegalStateException(applet.getClass().getName() + ": no field of class Persistent");
    }

    private void map(Object memory, Order order) {
        Map<String, byte[]> arrays = new java.util.HashMap<>();
        for (Field field : Fields.of(memory)) {
            Object value = Fields.get(field, memory);
            if (value instanceof byte[]) {
                byte[] bytes = (byte[]) value;
                if (field.getName().startsWith(CACHE)) {
                    forced.put(bytes, new boolean[bytes.length]);
                } else {
                    arrays.put(plain(field.getName()), bytes);
                }
            }
        }
        int address = 0;
        for (int index = 0; index < regions.length; index++) {
            byte[] bytes = arrays.remove(plain(order.names[index]));
            if (bytes == null || bytes.length != order.sizes[index]) {
                String came = bytes == null ? "none" : Integer.toString(bytes.length);
                throw new IllegalStateException(order.names[index] + ": " + order.sizes[index] + " bytes expected, " + came + " came");
            }
            regions[index] = new Region(order.names[index], bytes, address);
            places.put(bytes, regions[index]);
            address += bytes.length;
        }
        if (!arrays.isEmpty()) {
            throw new IllegalStateException("persistent arrays that the model does not have: " + arrays.keySet());
        }
    }

    /** life_cycle and lifeCycle are the same. */
    private static String plain(String name) {
        return name.replace("_", "").toLowerCase(java.util.Locale.ROOT);
    }

    Region regionOf(Object array) {
        Region region = installing ? Region.RAM : places.get(array);
        return region != null ? region : forced.containsKey(array) && isForced((byte[]) array) ? Region.RAM : Region.INTERNAL;
    }

    private boolean isForced(byte[] marks) {
        for (boolean one : forced.get(marks)) {
            if (one) {
                return true;
            }
        }
        return false;
    }

    /** The regions, one after the other. */
    byte[] dump() {
        int size = 0;
        for (Region region : regions) {
            size += region.bytes.length;
        }
        byte[] all = new byte[size];
        for (Region region : regions) {
            System.arraycopy(region.bytes, 0, all, region.address, region.bytes.length);
        }
        return all;
    }

    /** Sets the regions as they are outside. */
    void load(byte[] all) {
        for (Region region : regions) {
            System.arraycopy(all, region.address, region.bytes, 0, region.bytes.length);
        }
        for (Map.Entry<byte[], boolean[]> entry : forced.entrySet()) {
            java.util.Arrays.fill(entry.getKey(), STALE);
            java.util.Arrays.fill(entry.getValue(), true);
        }
    }

    /** Persistent bytes that are no region: marks and key objects. */
    int internalBytes() {
        int size = KEY_BYTES * keys.size();
        for (byte[] marks : forced.keySet()) {
            size += marks.length;
        }
        return size;
    }

    /** Deselects the instance, if it was selected, or takes its power; either clears RAM. */
    void clearRam(boolean reset) {
        runtime.use(this);
        if (selected && !reset) {
            applet.deselect();
        }
        selected = false;
        ram.clear(reset);
    }

    /** Answers a command; the log has what it did. The text of an error of the applet's program is in the outcome. */
    Outcome process(byte[] apdu, boolean select) {
        runtime.use(this);
        macBytes = 0;
        Outcome outcome = run(apdu, select);
        if (!nvm.isPowered()) {
            nvm.rollBack();
            return Outcome.cut();
        }
        if (nvm.isOpen()) {
            if (outcome.fault == null && (outcome.status() == (ISO7816.SW_NO_ERROR & 0xFFFF))) {
                outcome = Outcome.fault("the applet left a transaction open");
            }
            nvm.abort();
        }
        return outcome;
    }

    private Outcome run(byte[] apdu, boolean select) {
        try {
            selected |= select;
            if (select && !applet.select()) {
                return Outcome.answer(runtime.answered(ISO7816.SW_APPLET_SELECT_FAILED));
            }
            runtime.process(applet, apdu, select);
            return Outcome.answer(runtime.answered(ISO7816.SW_NO_ERROR));
        } catch (ISOException refused) {
            return Outcome.answer(runtime.answered(refused.getReason()));
        } catch (PowerCut cut) {
            return Outcome.cut();
        } catch (CardRuntimeException error) {
            return Outcome.fault(error.getClass().getSimpleName() + ", reason " + error.getReason() + where(error));
        } catch (RuntimeException | LinkageError | AssertionError | StackOverflowError error) {
            return Outcome.fault(error + where(error));
        }
    }

    private static String where(Throwable error) {
        for (StackTraceElement frame : error.getStackTrace()) {
            if (frame.getClassName().startsWith("joren.") && !frame.getClassName().startsWith("joren.harness.")) {
                return " at " + frame.getClassName() + "." + frame.getMethodName() + ":" + frame.getLineNumber();
            }
        }
        return "";
    }

    byte[] random(int length) {
        return link.random(length);
    }

    /** AESKey.setKey of a key in persistent memory; null: clearKey. */
    void setPersistentKey(AESKey key, byte[] bytes) {
        byte[] old = keys.get(key);
        Runnable change = () -> put(key, bytes);
        if (installing || anyForced()) {
            change.run();
        } else {
            nvm.change(KEY_BYTES, change, () -> put(key, old));
        }
    }

    private boolean anyForced() {
        for (byte[] marks : forced.keySet()) {
            if (isForced(marks)) {
                return true;
            }
        }
        return false;
    }

    private void put(AESKey key, byte[] bytes) {
        keys.put(key, bytes);
        if (bytes == null) {
            key.clearKey();
        } else {
            key.setKey(bytes, (short) 0);
        }
    }

    /** PUTFIELD: fields are persistent. */
    void putField(Object object, String owner, String name, Function<Field, Object> value) {
        Field field = Fields.find(object.getClass(), name);
        Object next = value.apply(field);
        if (installing) {
            Fields.set(field, object, next);
            return;
        }
        Object old = Fields.get(field, object);
        int size = field.getType() == byte.class || field.getType() == boolean.class ? 1 : 2;
        nvm.change(size, () -> Fields.set(field, object, next), () -> Fields.set(field, object, old));
    }
}
