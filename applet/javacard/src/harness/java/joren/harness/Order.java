package joren.harness;

/** What an instance is made from: class, AID, install parameters, the names and sizes of its regions in order, the chip's journal. */
final class Order {
    final String type;
    final String mutant;
    final boolean counting;
    final boolean cmac;
    final byte[] aid;
    final byte[] parameters;
    final int capacity;
    final int overhead;
    final String[] names;
    final int[] sizes;

    Order(Frame frame) {
        type = frame.text();
        mutant = frame.text();
        counting = frame.u8() != 0;
        cmac = frame.u8() != 0;
        aid = frame.bytes(frame.u8());
        parameters = frame.bytes(frame.u8());
        capacity = frame.i32();
        overhead = frame.u16();
        names = new String[frame.u8()];
        sizes = new int[names.length];
        for (int index = 0; index < names.length; index++) {
            names[index] = frame.text();
            sizes[index] = frame.u16();
        }
    }
}
