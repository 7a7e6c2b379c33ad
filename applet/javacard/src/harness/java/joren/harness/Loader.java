package joren.harness;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.jacoco.core.instr.Instrumenter;
import org.objectweb.asm.tree.ClassNode;

/** Loads the applets' classes woven, and once more for each mutant; those of this package, and all others, are its parent's. */
final class Loader extends ClassLoader {
    private static final String PACKAGE = "joren.";
    private static final String HARNESS = "joren.harness.";
    private static final Map<String, Loader> LOADERS = new HashMap<>();

    private final Path folder;
    private final String mutant;
    private final boolean counting;
    private final Instrumenter coverage;

    private Loader(Path folder, String mutant, boolean counting, Instrumenter coverage) {
        super(Loader.class.getClassLoader());
        this.folder = folder;
        this.mutant = mutant;
        this.counting = counting;
        this.coverage = coverage;
    }

    /** The one for a mutant ("": the applet as it is), with or without the counting of bytecodes. Coverage: null, or who takes it. */
    static Loader of(Path folder, String mutant, boolean counting, Instrumenter coverage) {
        boolean covered = mutant.isEmpty() && !counting;
        return LOADERS.computeIfAbsent(mutant + " " + counting, key -> new Loader(folder, mutant, counting, covered ? coverage : null));
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        if (!name.startsWith(PACKAGE) || name.startsWith(HARNESS)) {
            return super.loadClass(name, resolve);
        }
        synchronized (getClassLoadingLock(name)) {
            Class<?> loaded = findLoadedClass(name);
            return loaded != null ? loaded : define(name);
        }
    }

    private Class<?> define(String name) throws ClassNotFoundException {
        try {
            byte[] bytes = Files.readAllBytes(folder.resolve(name.replace('.', '/') + ".class"));
            if (coverage != null) {
                bytes = coverage.instrument(bytes, name);
            }
            ClassNode type = Weave.read(bytes);
            if (!mutant.isEmpty()) {
                Mutate.apply(type, mutant);
            }
            bytes = Weave.woven(type, counting || Mutate.behaves(mutant));
            return defineClass(name, bytes, 0, bytes.length);
        } catch (IOException error) {
            throw new ClassNotFoundException(name, error);
        }
    }
}
