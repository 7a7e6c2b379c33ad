package joren.harness;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.HashMap;
import java.util.Map;
import org.jacoco.core.instr.Instrumenter;

/**
 * Runs applet instances for the program that started it, frame by frame over standard input and output; simulator/javacard.py is the other end.
 * Arguments: the folder of the applet's classes, and where coverage goes, if it is wanted.
 */
public final class Main {
    private static final int CREATE = 1;
    private static final int RUN = 2;
    private static final int DUMP = 3;
    private static final int DROP = 4;

    private static final int DESELECT = 0x01;
    private static final int RESET = 0x02;
    private static final int SELECT = 0x04;
    private static final int KEEP_NON_ATOMIC = 0x08;
    private static final int LOAD = 0x10;
    private static final int T0 = 0x20;

    private final Path folder;
    private final Instrumenter coverage;
    private final Link link;
    private final Log answer = new Log();
    private final Map<Integer, Card> cards = new HashMap<>();
    private final Runtime runtime = new Runtime();

    private Main(Path folder, Instrumenter coverage, Link link) {
        this.folder = folder;
        this.coverage = coverage;
        this.link = link;
    }

    public static void main(String[] arguments) throws Exception {
        OutputStream out = new java.io.FileOutputStream(java.io.FileDescriptor.out);
        System.setOut(new PrintStream(System.err, true));
        Coverage coverage = arguments.length > 1 ? new Coverage() : null;
        Link link = new Link(new java.io.FileInputStream(java.io.FileDescriptor.in), out);
        new Main(Paths.get(arguments[0]), coverage == null ? null : coverage.instrumenter(), link).serve();
        if (coverage != null) {
            coverage.write(Paths.get(arguments[1]));
        }
    }

    private void serve() throws IOException {
        for (byte[] bytes = link.read(); bytes != null; bytes = link.read()) {
            answer.clear();
            Frame frame = new Frame(bytes);
            int what = frame.u8();
            try {
                handle(what, frame);
            } catch (RuntimeException | LinkageError error) {
                answer.clear();
                fault(error.toString());
            }
            link.write(answer);
        }
    }

    private void handle(int what, Frame frame) {
        switch (what) {
            case CREATE:
                create(frame.i32(), new Order(frame));
                break;
            case RUN:
                run(card(frame.i32()), frame);
                break;
            case DUMP:
                answer.event(Link.DONE);
                byte[] cells = card(frame.i32()).dump();
                answer.raw(cells, 0, cells.length);
                break;
            case DROP:
                while (frame.more()) {
                    cards.remove(frame.i32());
                }
                answer.event(Link.DONE);
                break;
            default:
                throw new IllegalArgumentException("no such frame: " + what);
        }
    }

    private Card card(int number) {
        Card card = cards.get(number);
        if (card == null) {
            throw new IllegalArgumentException("no such card: " + number);
        }
        return card;
    }

    private void create(int number, Order order) {
        Hook.bytecodes = 0;
        try {
            Class<?> type = Loader.of(folder, order.mutant, order.counting, coverage).loadClass(order.type);
            Card card = new Card(runtime, link, type, order);
            cards.put(number, card);
            answer.event(Link.DONE);
            answer.u16(card.ram.bytesUntilDeselect());
            answer.u16(card.ram.bytesUntilReset());
            answer.u16(card.internalBytes());
            byte[] cells = card.dump();
            answer.raw(cells, 0, cells.length);
        } catch (ClassNotFoundException error) {
            throw new IllegalStateException(error + "; " + error.getCause());
        }
    }

    private void run(Card card, Frame frame) {
        int flags = frame.u8();
        link.log.clear();
        if ((flags & (DESELECT | RESET)) != 0) {
            card.clearRam((flags & RESET) != 0);
        }
        card.channel.open(frame.u8());
        card.nvm.start(frame.i32(), (flags & KEEP_NON_ATOMIC) != 0);
        if ((flags & LOAD) != 0) {
            card.load(frame.bytes(frame.u16()));
        }
        Hook.bytecodes = 0;
        runtime.speak((flags & T0) != 0);
        Outcome outcome = card.process(frame.rest(), (flags & SELECT) != 0);
        if (outcome.fault != null) {
            fault(outcome.fault);
        } else {
            answer.event(outcome.answer == null ? Link.CUT : Link.DONE);
            byte[] bytes = outcome.answer == null ? card.dump() : outcome.answer;
            answer.u16(bytes.length);
            answer.raw(bytes, 0, bytes.length);
        }
        answer.u16((int) Math.min(Hook.bytecodes, 0xFFFF));
        answer.raw(link.log.bytes, 0, link.log.size);
    }

    private void fault(String text) {
        byte[] bytes = text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
        answer.event(Link.FAULT);
        answer.u16(bytes.length);
        answer.raw(bytes, 0, bytes.length);
    }
}
