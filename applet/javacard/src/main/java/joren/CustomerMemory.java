package joren;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.RandomData;

/**
 * The few ways to read and write what a customer card keeps (docs/spec/records.md).
 *
 * How it works. Two balance sheets lie side by side; the transaction counter says which is in force (REQ-REC-4) and where the next log
 * record goes (REQ-REC-3). Adding a transaction therefore writes the sheet that is not in force, one log record and the counter, and the
 * counter is what makes them true. The sheet of before stays: voiding the last transaction is one more step of the counter.
 */
final class CustomerMemory {
    static final short MAC_SIZE = 8;
    static final short COUNTER_MAX = Words.MOST;
    /** Where a command has its next sheet: one that is made from the one in force, and not yet written. */
    static final short SHEET = Transients.FREE;
    /** Four bytes more. */
    static final short REST = SHEET + Codes.SHEET_SIZE;

    final Persistent cells;
    final Transients ram;
    final short programme;
    private final RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
    private final CardKey[] keys = new CardKey[Persistent.CUSTOMER_KEYS];

    CustomerMemory(Persistent cells, Transients ram, short programme) {
        this.cells = cells;
        this.ram = ram;
        this.programme = programme;
        boolean chips = Mac.isNative();
        Mac rare = new Mac(chips, ram.scratch);
        key(Codes.KEY_TILL, cells.keyTill, new Mac(chips, ram.scratch), true);
        key(Codes.KEY_SHOP, cells.keyShop, new Mac(chips, ram.scratch), true);
        key(Codes.KEY_RECEIPT, cells.keyReceipt, new Mac(chips, ram.scratch), true);
        key(Codes.KEY_LOAD, cells.keyLoad, rare, false);
        key(Codes.KEY_ADMIN, cells.keyAdmin, rare, false);
    }

    private void key(byte ref, byte[] bytes, Mac mac, boolean alone) {
        short place = (short) (ref - 1);
        keys[place] = new CardKey(bytes, cells.cacheStale, place, mac, alone);
    }

    short counter() {
        return Util.getShort(cells.counter, (short) 0);
    }

    /** Where in the sheets the one in force lies. */
    short sheet() {
        return (cells.counter[1] & 1) == 0 ? 0 : Codes.SHEET_SIZE;
    }

    /** Where in the sheets the one from before the last transaction lies. */
    short sheetBefore() {
        return (cells.counter[1] & 1) == 0 ? Codes.SHEET_SIZE : 0;
    }

    /** The version of all keys (REQ-KEY-5): that of RECEIPT, which every issued card has; 0 before it is there. */
    byte keyVersion() {
        return cells.keyVersions[Codes.KEY_RECEIPT - 1];
    }

    /** What was authorized with the old nonce is void (REQ-MAC-3). */
    void drawNonce() {
        random.generateData(ram.session, Transients.NONCE, Transients.NONCE_SIZE);
    }

    boolean hasKey(byte ref) {
        return cells.keyVersions[(short) (ref - 1)] != 0;
    }

    /** 6A88 for a key that was not personalized (REQ-KEY-1). */
    void checkKey(byte ref) {
        if (!hasKey(ref)) {
            ISOException.throwIt(Codes.SW_REFERENCED_DATA_NOT_FOUND);
        }
    }

    /** A key may authorize here: 6A88 if it is not there, 9408 if the rules do not take it. */
    void checkAuthority(byte ref) {
        checkKey(ref);
        if ((ref == Codes.KEY_TILL || ref == Codes.KEY_SHOP) && (cells.limits[Codes.LIMITS_MODES] & ref) == 0) {
            ISOException.throwIt(Codes.SW_MODE_NOT_ALLOWED);
        }
    }

    void storeKey(byte ref, byte[] source, short offset) {
        keys[(short) (ref - 1)].store(source, offset);
    }

    void loadKeys() {
        for (short at = 0; at < (short) keys.length; at++) {
            keys[at].load();
        }
    }

    /** Begins a message about this card in the scratch: use, programme, card id. Where it goes on. */
    short head(byte use) {
        byte[] scratch = ram.scratch;
        scratch[Transients.MESSAGE] = use;
        Util.setShort(scratch, (short) (Transients.MESSAGE + 1), programme);
        return Util.arrayCopyNonAtomic(cells.cardId, (short) 0, scratch, (short) (Transients.MESSAGE + 3), Persistent.CARD_ID_SIZE);
    }

    /** The same with counter and nonce. */
    short headWithNonce(byte use) {
        short at = head(use);
        at = Util.setShort(ram.scratch, at, counter());
        return Util.arrayCopyNonAtomic(ram.session, Transients.NONCE, ram.scratch, at, Transients.NONCE_SIZE);
    }

    /** The CMAC of the message that ends here, at MAC in the scratch. */
    void mac(byte ref, short end) {
        keys[(short) (ref - 1)].mac(ram.scratch, Transients.MESSAGE, (short) (end - Transients.MESSAGE), ram.scratch, Transients.MAC);
    }

    /** 6988 unless the 8 bytes are the MAC of the message that ends here. */
    void checkMac(byte ref, short end, byte[] mac, short offset) {
        mac(ref, end);
        Checks.mac(ram.scratch, Transients.MAC, mac, offset);
    }

    /** RECEIPT, 8 bytes, of the record at RECORD in the scratch, before which a head stands. Where it ends. */
    short receipt(byte[] out, short offset) {
        return macOfRecord(Codes.USE_RECEIPT, Codes.KEY_RECEIPT, out, offset);
    }

    /** PROOF, 8 bytes, likewise, under the key that authorized the transaction. Where it ends. */
    short proof(byte[] out, short offset) {
        return macOfRecord(Codes.USE_PROOF, ram.scratch[Transients.RECORD + Codes.RECORD_KEY_REF], out, offset);
    }

    private short macOfRecord(byte use, byte ref, byte[] out, short offset) {
        ram.scratch[Transients.MESSAGE] = use;
        mac(ref, (short) (Transients.RECORD + Codes.RECORD_SIZE));
        return Util.arrayCopyNonAtomic(ram.scratch, Transients.MAC, out, offset, MAC_SIZE);
    }

    /** Brings a sheet to SHEET in the scratch. */
    void fetchSheet(short from) {
        Util.arrayCopyNonAtomic(cells.sheets, from, ram.scratch, SHEET, Codes.SHEET_SIZE);
    }

    /** Where in the log the record of a transaction lies. */
    static short place(short counter) {
        return (short) (Words.remainder(counter, Codes.LOG_RECORDS) * Codes.RECORD_SIZE);
    }

    /** Brings the record of a transaction, which is still there, to RECORD in the scratch, and a head before it. */
    void fetchRecord(short counter) {
        head(Codes.USE_RECEIPT);
        Util.arrayCopyNonAtomic(cells.log, place(counter), ram.scratch, Transients.RECORD, Codes.RECORD_SIZE);
    }

    /** Commits a transaction: SHEET and RECORD of the scratch, and the counter, in one go (REQ-TRX-7). */
    void add() {
        short counter = counter();
        JCSystem.beginTransaction();
        Util.arrayCopy(ram.scratch, SHEET, cells.sheets, sheetBefore(), Codes.SHEET_SIZE);
        Util.arrayCopy(ram.scratch, Transients.RECORD, cells.log, place(counter), Codes.RECORD_SIZE);
        Util.setShort(cells.counter, (short) 0, (short) (counter + 1));
        JCSystem.commitTransaction();
    }
}
