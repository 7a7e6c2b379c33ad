package joren.harness;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jacoco.core.analysis.Analyzer;
import org.jacoco.core.analysis.CoverageBuilder;
import org.jacoco.core.analysis.IClassCoverage;
import org.jacoco.core.analysis.ICounter;
import org.jacoco.core.data.ExecutionDataWriter;
import org.jacoco.core.instr.Instrumenter;
import org.jacoco.core.runtime.LoggerRuntime;
import org.jacoco.core.runtime.RuntimeData;
import org.jacoco.core.tools.ExecFileLoader;

/**
 * JaCoCo's coverage of the applet. Its probes are put into the classes before they are woven, so that what is counted is the applet as it was
 * compiled. As a program: the folder of classes, then files that `write` wrote; prints a line for each class, and for each line of it that has
 * a branch that was not taken.
 */
public final class Coverage {
    private final LoggerRuntime runtime = new LoggerRuntime();
    private final RuntimeData data = new RuntimeData();

    Coverage() throws Exception {
        runtime.startup(data);
    }

    Instrumenter instrumenter() {
        return new Instrumenter(runtime);
    }

    void write(Path file) throws IOException {
        try (OutputStream out = Files.newOutputStream(file)) {
            ExecutionDataWriter writer = new ExecutionDataWriter(out);
            data.collect(writer, writer, false);
        }
        runtime.shutdown();
    }

    public static void main(String[] arguments) throws IOException {
        ExecFileLoader found = new ExecFileLoader();
        for (int index = 1; index < arguments.length; index++) {
            found.load(Paths.get(arguments[index]).toFile());
        }
        CoverageBuilder told = new CoverageBuilder();
        Analyzer analyzer = new Analyzer(found.getExecutionDataStore(), told);
        for (Path file : classes(Paths.get(arguments[0], "joren"))) {
            try (InputStream in = Files.newInputStream(file)) {
                analyzer.analyzeClass(in, file.toString());
            }
        }
        for (IClassCoverage type : told.getClasses()) {
            ICounter branches = type.getBranchCounter();
            ICounter lines = type.getLineCounter();
            System.out.println("class " + type.getName() + " " + branches.getTotalCount() + " " + branches.getMissedCount() + " "
                + lines.getTotalCount() + " " + lines.getMissedCount());
            for (int line = type.getFirstLine(); line <= type.getLastLine(); line++) {
                int missed = type.getLine(line).getBranchCounter().getMissedCount();
                boolean never = type.getLine(line).getInstructionCounter().getStatus() == ICounter.NOT_COVERED;
                if (missed > 0 || never) {
                    System.out.println("missed " + type.getName() + " " + line + " " + missed);
                }
            }
        }
    }

    private static List<Path> classes(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> file.toString().endsWith(".class")).sorted().collect(Collectors.toList());
        }
    }
}
