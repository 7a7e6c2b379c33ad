package joren.harness;

/** Where an array lies: RAM, or a named range of the persistent memory, or persistent without a name that anybody outside knows. */
final class Region {
    static final Region RAM = new Region("RAM", null, -1);
    static final Region INTERNAL = new Region("internal", null, -1);

    final String name;
    final byte[] bytes;
    final int address;

    Region(String name, byte[] bytes, int address) {
        this.name = name;
        this.bytes = bytes;
        this.address = address;
    }
}
