package joren.harness;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;

/** Fields of an applet's objects, by reflection. */
final class Fields {
    private Fields() {}

    /** A number as the type of a field has it. */
    static Object number(Field field, int value) {
        Class<?> type = field.getType();
        if (type == byte.class) {
            return (byte) value;
        }
        return type == boolean.class ? (Object) ((value & 1) != 0) : (Object) (short) value;
    }

    static Field find(Class<?> type, String name) {
        for (Class<?> one = type; one != null; one = one.getSuperclass()) {
            for (Field field : one.getDeclaredFields()) {
                if (field.getName().equals(name)) {
                    field.setAccessible(true);
                    return field;
                }
            }
        }
        throw new IllegalStateException("no field " + name + " in " + type.getName());
    }

    static Object get(Field field, Object object) {
        try {
            return field.get(object);
        } catch (IllegalAccessException error) {
            throw new IllegalStateException(error);
        }
    }

    static void set(Field field, Object object, Object value) {
        try {
            field.set(object, value);
        } catch (IllegalAccessException error) {
            throw new IllegalStateException(error);
        }
    }

    /** The fields of an object that are its own and its superclasses', without static ones. */
    static List<Field> of(Object object) {
        List<Field> found = new ArrayList<>();
        for (Class<?> one = object.getClass(); one != null; one = one.getSuperclass()) {
            for (Field field : one.getDeclaredFields()) {
                if (!java.lang.reflect.Modifier.isStatic(field.getModifiers()) && one.getName().startsWith("joren.")) {
                    field.setAccessible(true);
                    found.add(field);
                }
            }
        }
        return found;
    }
}
