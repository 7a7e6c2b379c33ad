package joren.harness;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.TreeSet;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.MethodNode;

/** Prints every place where an applet can be made to behave wrongly: mutant and source line. Argument: the folder of the classes. */
public final class Sites {
    private Sites() {}

    public static void main(String[] arguments) throws IOException {
        Set<Path> classes = new TreeSet<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(Paths.get(arguments[0], "joren"), "*.class")) {
            files.forEach(classes::add);
        }
        for (Path path : classes) {
            print(Weave.read(Files.readAllBytes(path)));
        }
    }

    private static void print(ClassNode type) {
        Set<String> names = new LinkedHashSet<>();
        for (MethodNode method : type.methods) {
            names.add(method.name);
        }
        String simple = type.name.substring(type.name.indexOf('/') + 1);
        for (String name : names) {
            for (String kind : Behaviour.KINDS) {
                int number = 0;
                for (Behaviour.Place place : Behaviour.places(type, name, kind)) {
                    System.out.println(kind + ":" + simple + "." + name + "#" + ++number + " " + place.line());
                }
            }
        }
    }
}
