package joren.harness;

import java.util.ArrayList;
import java.util.List;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.MethodNode;

/**
 * Applets that write wrongly, to see whether the tear explorer notices. A mutant is KIND:Class.method or KIND:Class.method#N, where N counts the
 * writes of that method from 1: calls of arrayCopy and setShort, and stores of a byte. The kinds of class Behaviour are named alike.
 */
final class Mutate {
    private static final String SYSTEM = "javacard/framework/JCSystem";
    private static final String UTIL = "javacard/framework/Util";

    private Mutate() {}

    static void apply(ClassNode type, String mutant) {
        int colon = mutant.indexOf(':');
        int dot = mutant.indexOf('.');
        int hash = mutant.indexOf('#');
        String method = mutant.substring(dot + 1, hash < 0 ? mutant.length() : hash);
        if (!type.name.endsWith("/" + mutant.substring(colon + 1, dot))) {
            return;
        }
        int number = hash < 0 ? 1 : Integer.parseInt(mutant.substring(hash + 1));
        if (behaves(mutant)) {
            Behaviour.apply(type, method, mutant.substring(0, colon), number);
            return;
        }
        boolean found = false;
        for (MethodNode one : type.methods) {
            if (one.name.equals(method)) {
                change(one, mutant.substring(0, colon), number);
                found = true;
            }
        }
        if (!found) {
            throw new IllegalArgumentException("mutant " + mutant + ": no such method");
        }
    }

    /** Whether it is one that behaves wrongly. */
    static boolean behaves(String mutant) {
        return Behaviour.KINDS.contains(mutant.substring(0, Math.max(0, mutant.indexOf(':'))));
    }

    private static void change(MethodNode method, String kind, int number) {
        switch (kind) {
            case "no-transaction":
                remove(method, "beginTransaction");
                remove(method, "commitTransaction");
                break;
            case "non-atomic":
                copy(method, number).name = "arrayCopyNonAtomic";
                break;
            case "early-commit":
                after(method, write(method, number), "beginTransaction");
                after(method, write(method, number), "commitTransaction");
                break;
            case "late-begin":
                remove(method, "beginTransaction");
                after(method, write(method, number), "beginTransaction");
                break;
            case "late":
                remove(method, "commitTransaction");
                after(method, write(method, number), "commitTransaction");
                break;
            default:
                throw new IllegalArgumentException("mutant " + kind + ": not known");
        }
    }

    private static void remove(MethodNode method, String name) {
        boolean found = false;
        for (AbstractInsnNode one : method.instructions.toArray()) {
            if (one instanceof MethodInsnNode && ((MethodInsnNode) one).name.equals(name)) {
                method.instructions.remove(one);
                found = true;
            }
        }
        if (!found) {
            throw new IllegalArgumentException(method.name + ": no " + name);
        }
    }

    private static void after(MethodNode method, AbstractInsnNode place, String name) {
        method.instructions.insert(place, new MethodInsnNode(Opcodes.INVOKESTATIC, SYSTEM, name, "()V", false));
    }

    private static MethodInsnNode copy(MethodNode method, int number) {
        AbstractInsnNode found = write(method, number);
        if (!(found instanceof MethodInsnNode) || !((MethodInsnNode) found).name.equals("arrayCopy")) {
            throw new IllegalArgumentException(method.name + ": write " + number + " is no arrayCopy");
        }
        return (MethodInsnNode) found;
    }

    private static AbstractInsnNode write(MethodNode method, int number) {
        List<AbstractInsnNode> writes = new ArrayList<>();
        for (AbstractInsnNode one : method.instructions.toArray()) {
            boolean copies = one instanceof MethodInsnNode && ((MethodInsnNode) one).owner.equals(UTIL)
                && (((MethodInsnNode) one).name.equals("arrayCopy") || ((MethodInsnNode) one).name.equals("setShort"));
            if (copies || one.getOpcode() == Opcodes.BASTORE) {
                writes.add(one);
            }
        }
        if (number > writes.size()) {
            throw new IllegalArgumentException(method.name + ": " + writes.size() + " writes, no " + number);
        }
        return writes.get(number - 1);
    }
}
