package joren.harness;

import java.util.ArrayList;
import java.util.List;
import javacard.framework.TransactionException;

/**
 * The persistent memory of one instance. Its rules, and the order in which they are applied, are those of simulator/memory.py: every write
 * and every commit is numbered; `countdown` says which of them does not happen, and nothing does after it.
 */
final class Nvm {
    private final int capacity;
    private final int overhead;
    private final Log log;
    private final List<Runnable> journal = new ArrayList<>();
    private boolean open;
    private boolean powered = true;
    private int room;
    private int countdown;
    private boolean keepNonAtomic;

    /** Capacity -1: a journal without end. */
    Nvm(int capacity, int overhead, Log log) {
        this.capacity = capacity;
        this.overhead = overhead;
        this.log = log;
    }

    void start(int cutAt, boolean keep) {
        powered = true;
        countdown = cutAt;
        keepNonAtomic = keep;
    }

    boolean isPowered() {
        return powered;
    }

    boolean isOpen() {
        return open;
    }

    int roomLeft() {
        return capacity < 0 ? Short.MAX_VALUE : open ? room : capacity;
    }

    int capacity() {
        return capacity < 0 ? Short.MAX_VALUE : capacity;
    }

    /** One atomic write into an array; undone by an abort. */
    void write(Region region, byte[] array, int offset, byte[] source, int from, int length) {
        demandPower();
        if (region == Region.INTERNAL) {
            log.event(Log.WRITE_INTERNAL, length);
        } else {
            log.event(Log.WRITE, region.address + offset, source, from, length);
        }
        tick();
        if (open) {
            takeRoom(length);
            keep(array, offset, length);
        }
        System.arraycopy(source, from, array, offset, length);
    }

    /** Byte by byte; an abort takes it back or not. */
    void writeNonAtomic(Region region, byte[] array, int offset, byte[] source, int from, int length) {
        demandPower();
        if (region != Region.INTERNAL) {
            log.event(Log.WRITE_NON_ATOMIC, region.address + offset, source, from, length);
        }
        for (int index = 0; index < length; index++) {
            if (region == Region.INTERNAL) {
                log.event(Log.WRITE_INTERNAL, 1);
            }
            tick();
            if (open && !keepNonAtomic) {
                keep(array, offset + index, 1);
            }
            array[offset + index] = source[from + index];
        }
    }

    /** A write to what is no byte array: a field, a key object. `undo` takes it back. */
    void change(int size, Runnable change, Runnable undo) {
        demandPower();
        log.event(Log.WRITE_INTERNAL, size);
        tick();
        if (open) {
            takeRoom(size);
            journal.add(undo);
        }
        change.run();
    }

    void begin() {
        demandPower();
        if (open) {
            TransactionException.throwIt(TransactionException.IN_PROGRESS);
        }
        log.event(Log.BEGIN);
        open = true;
        room = capacity;
    }

    void commit() {
        demandPower();
        if (!open) {
            TransactionException.throwIt(TransactionException.NOT_IN_PROGRESS);
        }
        log.event(Log.COMMIT);
        tick();
        open = false;
        journal.clear();
    }

    void abort() {
        demandPower();
        if (!open) {
            TransactionException.throwIt(TransactionException.NOT_IN_PROGRESS);
        }
        log.event(Log.ABORT);
        rollBack();
    }

    /** What an abort does, and the next power-up after a cut. */
    void rollBack() {
        for (int index = journal.size() - 1; index >= 0; index--) {
            journal.get(index).run();
        }
        journal.clear();
        open = false;
    }

    private void keep(byte[] array, int offset, int length) {
        byte[] old = java.util.Arrays.copyOfRange(array, offset, offset + length);
        journal.add(() -> System.arraycopy(old, 0, array, offset, old.length));
    }

    private void takeRoom(int length) {
        if (capacity >= 0) {
            room -= length + overhead;
            if (room < 0) {
                TransactionException.throwIt(TransactionException.BUFFER_FULL);
            }
        }
    }

    private void tick() {
        if (countdown != 0 && --countdown == 0) {
            powered = false;
            throw new PowerCut();
        }
    }

    private void demandPower() {
        if (!powered) {
            throw new PowerCut();
        }
    }
}
