package joren.harness;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.FieldInsnNode;
import org.objectweb.asm.tree.InsnList;
import org.objectweb.asm.tree.IntInsnNode;
import org.objectweb.asm.tree.JumpInsnNode;
import org.objectweb.asm.tree.LabelNode;
import org.objectweb.asm.tree.LdcInsnNode;
import org.objectweb.asm.tree.LookupSwitchInsnNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.MethodNode;
import org.objectweb.asm.tree.TableSwitchInsnNode;
import org.objectweb.asm.tree.VarInsnNode;

/**
 * Redirects an applet's stores, and what it asks of the API for its memory, to Hook; on demand counts its bytecodes, basic block by basic block.
 * Each instruction gives way to one call with the same effect on the stack, so the frames of the class stay true. Static initializers stay as
 * they are: a card has run them when the package was loaded.
 *
 * What is counted is a Java Card's bytecodes (see bytecodes), by those of the class file.
 */
final class Weave {
    private static final String HOOK = "joren/harness/Hook";
    private static final String UTIL = "javacard/framework/Util";
    private static final Map<String, String> CALLS = new HashMap<>();

    static {
        String copy = "([BS[BSS)S";
        call(UTIL, "arrayCopy", copy, "");
        call(UTIL, "arrayCopyNonAtomic", copy, "");
        call(UTIL, "arrayFillNonAtomic", "([BSSB)S", "");
        call(UTIL, "setShort", "([BSS)S", "");
        call("javacard/security/RandomData", "generateData", "([BSS)V", "L");
        call("javacard/security/Signature", "getInstance", "(BZ)Ljavacard/security/Signature;", "");
        call("javacard/security/Signature", "update", "([BSS)V", "L");
        call("javacard/security/Signature", "sign", "([BSS[BS)S", "L");
        call("javacard/security/Signature", "verify", "([BSS[BSS)Z", "L");
        call("javacardx/crypto/Cipher", "update", "([BSS[BS)S", "L");
        call("javacardx/crypto/Cipher", "doFinal", "([BSS[BS)S", "L");
        call("javacard/security/AESKey", "setKey", "([BS)V", "L");
        call("javacard/security/AESKey", "clearKey", "()V", "L");
        call("org/globalplatform/GPSystem", "getSecureChannel", "()Lorg/globalplatform/SecureChannel;", "");
    }

    private Weave() {}

    private static void call(String owner, String name, String descriptor, String receiver) {
        String hooked = receiver.isEmpty() ? descriptor : "(L" + owner + ";" + descriptor.substring(1);
        CALLS.put(owner + "." + name + descriptor, hooked);
    }

    static byte[] woven(ClassNode type, boolean counting) {
        for (MethodNode method : type.methods) {
            if (counting) {
                count(method);
            }
            if (!method.name.equals("<clinit>")) {
                redirect(method);
            }
        }
        ClassWriter writer = new ClassWriter(ClassWriter.COMPUTE_MAXS);
        type.accept(writer);
        return writer.toByteArray();
    }

    static ClassNode read(byte[] bytes) {
        ClassNode type = new ClassNode();
        new ClassReader(bytes).accept(type, 0);
        return type;
    }

    private static void redirect(MethodNode method) {
        boolean making = method.name.equals("<init>");
        for (AbstractInsnNode one : method.instructions.toArray()) {
            if (one.getOpcode() == Opcodes.BASTORE) {
                method.instructions.set(one, hook("storeByte", "(Ljava/lang/Object;II)V"));
            } else if (one.getOpcode() == Opcodes.SASTORE) {
                method.instructions.set(one, hook("storeShort", "([SII)V"));
            } else if (one instanceof FieldInsnNode && !making) {
                field(method, (FieldInsnNode) one);
            } else if (one instanceof MethodInsnNode) {
                MethodInsnNode call = (MethodInsnNode) one;
                String hooked = CALLS.get(call.owner + "." + call.name + call.desc);
                if (hooked != null) {
                    method.instructions.set(one, hook(call.name, hooked));
                }
            }
        }
    }

    private static void field(MethodNode method, FieldInsnNode put) {
        if (put.getOpcode() == Opcodes.PUTSTATIC && !put.name.startsWith("$")) {
            method.instructions.insertBefore(put, new LdcInsnNode("a static field, " + put.name));
            method.instructions.insertBefore(put, hook("forbidden", "(Ljava/lang/String;)V"));
        }
        if (put.getOpcode() != Opcodes.PUTFIELD) {
            return;
        }
        int sort = Type.getType(put.desc).getSort();
        boolean number = sort == Type.BYTE || sort == Type.SHORT || sort == Type.BOOLEAN;
        method.instructions.insertBefore(put, new LdcInsnNode(put.owner));
        method.instructions.insertBefore(put, new LdcInsnNode(put.name));
        String value = number ? "I" : "Ljava/lang/Object;";
        String name = number ? "putNumber" : "putReference";
        method.instructions.set(put, hook(name, "(Ljava/lang/Object;" + value + "Ljava/lang/String;Ljava/lang/String;)V"));
    }

    private static MethodInsnNode hook(String name, String descriptor) {
        return new MethodInsnNode(Opcodes.INVOKESTATIC, HOOK, name, descriptor, false);
    }

    private static void count(MethodNode method) {
        Set<AbstractInsnNode> leaders = leaders(method);
        int block = 0;
        AbstractInsnNode[] all = method.instructions.toArray();
        for (int index = all.length - 1; index >= 0; index--) {
            AbstractInsnNode one = all[index];
            block += bytecodes(method, one);
            if (index == 0 || leaders.contains(one)) {
                if (block > 0) {
                    mark(method, one, block);
                }
                block = 0;
            }
        }
    }

    /**
     * How many bytecodes of a Java Card an instruction stands for: there is no I2S; a field of `this` is one with its ALOAD_0 (getfield_a_this and
     * the like), and a constant added to a short variable is one in all (sinc), as the instruction that ends it tells.
     */
    private static int bytecodes(MethodNode method, AbstractInsnNode one) {
        int opcode = one.getOpcode();
        if (opcode < 0 || opcode == Opcodes.I2S) {
            return 0;
        }
        AbstractInsnNode before = before(one);
        if (opcode == Opcodes.GETFIELD) {
            boolean isStatic = (method.access & Opcodes.ACC_STATIC) != 0;
            return !isStatic && before instanceof VarInsnNode && before.getOpcode() == Opcodes.ALOAD && ((VarInsnNode) before).var == 0 ? 0 : 1;
        }
        return opcode == Opcodes.ISTORE && isIncrement(before, ((VarInsnNode) one).var) ? -2 : 1;
    }

    /** Whether it ends ILOAD variable, constant, IADD or ISUB, I2S. */
    private static boolean isIncrement(AbstractInsnNode cast, int variable) {
        if (cast == null || cast.getOpcode() != Opcodes.I2S) {
            return false;
        }
        AbstractInsnNode sum = before(cast);
        if (sum == null || sum.getOpcode() != Opcodes.IADD && sum.getOpcode() != Opcodes.ISUB) {
            return false;
        }
        AbstractInsnNode constant = before(sum);
        if (constant == null || constant.getOpcode() < Opcodes.ICONST_M1 || constant.getOpcode() > Opcodes.SIPUSH) {
            return false;
        }
        AbstractInsnNode load = before(constant);
        return load != null && load.getOpcode() == Opcodes.ILOAD && ((VarInsnNode) load).var == variable;
    }

    /** The instruction before, in the same block. */
    private static AbstractInsnNode before(AbstractInsnNode one) {
        AbstractInsnNode found = one.getPrevious();
        while (found != null && found.getOpcode() < 0 && !(found instanceof LabelNode)) {
            found = found.getPrevious();
        }
        return found;
    }

    /** Labels that are jumped to, and what stands behind a jump or a return. */
    private static Set<AbstractInsnNode> leaders(MethodNode method) {
        Set<AbstractInsnNode> found = new HashSet<>();
        for (AbstractInsnNode one : method.instructions.toArray()) {
            boolean ends = one.getOpcode() >= Opcodes.IRETURN && one.getOpcode() <= Opcodes.RETURN || one.getOpcode() == Opcodes.ATHROW;
            if (one instanceof JumpInsnNode) {
                found.add(((JumpInsnNode) one).label);
                ends = true;
            } else if (one instanceof TableSwitchInsnNode) {
                found.addAll(((TableSwitchInsnNode) one).labels);
                found.add(((TableSwitchInsnNode) one).dflt);
                ends = true;
            } else if (one instanceof LookupSwitchInsnNode) {
                found.addAll(((LookupSwitchInsnNode) one).labels);
                found.add(((LookupSwitchInsnNode) one).dflt);
                ends = true;
            }
            if (ends && one.getNext() != null) {
                found.add(one.getNext());
            }
        }
        method.tryCatchBlocks.forEach(block -> found.add(block.handler));
        return found;
    }

    /** Puts the count at the beginning of a block: behind its label and frame, before its first instruction. */
    private static void mark(MethodNode method, AbstractInsnNode leader, int count) {
        InsnList marks = new InsnList();
        marks.add(count <= Byte.MAX_VALUE ? new IntInsnNode(Opcodes.BIPUSH, count) : new IntInsnNode(Opcodes.SIPUSH, count));
        marks.add(hook("ran", "(I)V"));
        AbstractInsnNode first = leader;
        while (first.getOpcode() < 0 && first.getNext() != null) {
            first = first.getNext();
        }
        method.instructions.insertBefore(first, marks);
    }
}
