package joren.harness;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.InsnList;
import org.objectweb.asm.tree.InsnNode;
import org.objectweb.asm.tree.IntInsnNode;
import org.objectweb.asm.tree.JumpInsnNode;
import org.objectweb.asm.tree.LdcInsnNode;
import org.objectweb.asm.tree.LineNumberNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.MethodNode;

/**
 * Applets that behave wrongly in one place, to see whether the conformance vectors notice. A place is one instruction of a method, by its
 * number from 1 among those that the kind can change; methods of one name count as one.
 *
 * Each change leaves the stack as it was, so the frames of the class stay true. A constant becomes one more; but 1, which may be a boolean, 0.
 */
final class Behaviour {
    static final List<String> KINDS = Collections.unmodifiableList(Arrays.asList("negate", "constant", "drop", "status"));

    private static final Map<Integer, Integer> OPPOSITE = new HashMap<>();

    static {
        pair(Opcodes.IFEQ, Opcodes.IFNE);
        pair(Opcodes.IFLT, Opcodes.IFGE);
        pair(Opcodes.IFGT, Opcodes.IFLE);
        pair(Opcodes.IF_ICMPEQ, Opcodes.IF_ICMPNE);
        pair(Opcodes.IF_ICMPLT, Opcodes.IF_ICMPGE);
        pair(Opcodes.IF_ICMPGT, Opcodes.IF_ICMPLE);
        pair(Opcodes.IF_ACMPEQ, Opcodes.IF_ACMPNE);
        pair(Opcodes.IFNULL, Opcodes.IFNONNULL);
    }

    private Behaviour() {}

    private static void pair(int one, int other) {
        OPPOSITE.put(one, other);
        OPPOSITE.put(other, one);
    }

    /** An instruction that a kind can change. */
    static final class Place {
        final MethodNode method;
        final AbstractInsnNode instruction;

        Place(MethodNode method, AbstractInsnNode instruction) {
            this.method = method;
            this.instruction = instruction;
        }

        /** In the source; 0 where the class does not say. */
        int line() {
            for (AbstractInsnNode one = instruction; one != null; one = one.getPrevious()) {
                if (one instanceof LineNumberNode) {
                    return ((LineNumberNode) one).line;
                }
            }
            return 0;
        }
    }

    /** Those of a method's name, in the order of the class file. */
    static List<Place> places(ClassNode type, String method, String kind) {
        List<Place> found = new ArrayList<>();
        for (MethodNode one : type.methods) {
            if (one.name.equals(method)) {
                for (AbstractInsnNode instruction : one.instructions.toArray()) {
                    if (fits(instruction, kind)) {
                        found.add(new Place(one, instruction));
                    }
                }
            }
        }
        return found;
    }

    static void apply(ClassNode type, String method, String kind, int number) {
        List<Place> found = places(type, method, kind);
        if (number < 1 || number > found.size()) {
            throw new IllegalArgumentException(method + ": " + found.size() + " places for " + kind + ", no " + number);
        }
        Place place = found.get(number - 1);
        InsnList code = place.method.instructions;
        switch (kind) {
            case "negate":
                JumpInsnNode jump = (JumpInsnNode) place.instruction;
                jump.setOpcode(OPPOSITE.get(jump.getOpcode()));
                break;
            case "constant":
                int value = value(place.instruction);
                code.set(place.instruction, new LdcInsnNode(value == 1 ? 0 : value + 1));
                break;
            case "drop":
                drop(code, (MethodInsnNode) place.instruction);
                break;
            default:
                code.insertBefore(place.instruction, new InsnNode(Opcodes.ICONST_1));
                code.insertBefore(place.instruction, new InsnNode(Opcodes.IXOR));
        }
    }

    private static boolean fits(AbstractInsnNode one, String kind) {
        switch (kind) {
            case "negate":
                return OPPOSITE.containsKey(one.getOpcode());
            case "constant":
                return value(one) != null;
            case "drop":
                return one instanceof MethodInsnNode && isForItsEffect((MethodInsnNode) one);
            default:
                return isThrowIt(one);
        }
    }

    private static boolean isThrowIt(AbstractInsnNode one) {
        return one instanceof MethodInsnNode && ((MethodInsnNode) one).name.equals("throwIt")
            && ((MethodInsnNode) one).owner.equals("javacard/framework/ISOException");
    }

    /** A call without a result, or whose result is thrown away; not that of a constructor. */
    private static boolean isForItsEffect(MethodInsnNode call) {
        boolean thrownAway = call.getNext() != null && call.getNext().getOpcode() == Opcodes.POP;
        return !call.name.startsWith("<") && (thrownAway || Type.getReturnType(call.desc).getSort() == Type.VOID);
    }

    /** The number that is put on the stack; null where none is. */
    private static Integer value(AbstractInsnNode one) {
        int opcode = one.getOpcode();
        if (opcode >= Opcodes.ICONST_M1 && opcode <= Opcodes.ICONST_5) {
            return opcode - Opcodes.ICONST_0;
        }
        if (opcode == Opcodes.BIPUSH || opcode == Opcodes.SIPUSH) {
            return ((IntInsnNode) one).operand;
        }
        return one instanceof LdcInsnNode && ((LdcInsnNode) one).cst instanceof Integer ? (Integer) ((LdcInsnNode) one).cst : null;
    }

    private static void drop(InsnList code, MethodInsnNode call) {
        int arguments = Type.getArgumentTypes(call.desc).length + (call.getOpcode() == Opcodes.INVOKESTATIC ? 0 : 1);
        for (int count = 0; count < arguments; count++) {
            code.insertBefore(call, new InsnNode(Opcodes.POP));
        }
        if (Type.getReturnType(call.desc).getSort() == Type.VOID) {
            code.remove(call);
        } else {
            code.set(call, new InsnNode(Opcodes.ICONST_0));
        }
    }
}
