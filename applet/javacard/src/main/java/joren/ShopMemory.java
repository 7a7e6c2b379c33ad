package joren;

import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.RandomData;

/**
 * The few ways to read and write what a shop card keeps (docs/spec/records.md).
 *
 * How it works. What changes at every command is one sheet, in a ring of sixteen: a change writes the next place of the ring, and the
 * highest generation says which sheet is in force (REQ-REC-7). RAM remembers the place until the card is deselected; it learns a new one
 * after the commit only, so it never names a sheet that was rolled back. A command makes entry and next sheet in the scratch, then commits
 * both.
 */
final class ShopMemory {
    /** Where a command has its entry, with room for the ending behind it, and its next sheet. */
    static final short ENTRY = Transients.FREE;
    static final short ENDING = ENTRY + Codes.ENTRY_SIZE;
    static final short SHEET = ENDING + 1;
    static final short NO_SALE = -1;
    static final short CHALLENGE_SIZE = 8;

    private static final byte TERMINAL = 4;
    private static final short RECORD_SIZE = Persistent.SHOP_LOG_RECORD_SIZE;
    private static final byte CHALLENGE_THERE = 1;
    private static final byte VOID = (byte) 0x80;

    final Persistent cells;
    final Transients ram;
    final ShopMasters masters;
    final short programme;
    private final RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);

    ShopMemory(Persistent cells, Transients ram, short programme) {
        this.cells = cells;
        this.ram = ram;
        this.programme = programme;
        masters = new ShopMasters(cells, ram.scratch, programme);
    }

    /** Where in the sheets the one in force lies. Not to be asked for in a transaction that has written one. */
    short sheet() {
        byte known = ram.session[Transients.PLACE_KNOWN];
        if (known == 0) {
            known = (byte) (placeInForce() + 1);
            ram.session[Transients.PLACE_KNOWN] = known;
        }
        return (short) ((short) (known - 1) * Codes.SHOP_SHEET_SIZE);
    }

    /** The place of the highest generation of those that can be; 6F00 if none can: damaged (REQ-REC-7). */
    private byte placeInForce() {
        byte[] sheets = cells.shopSheets;
        byte found = -1;
        short bestHigh = -1;
        short bestLow = 0;
        short at = 0;
        for (byte place = 0; place < Codes.SHOP_SHEETS; place++) {
            if (sheets[at] == 0 && !DoubleWords.below(sheets, at, sheets, (short) (at + Codes.SHOP_SHEET_CLOSED))) {
                short low = Util.getShort(sheets, (short) (at + 2));
                short high = (short) (Util.getShort(sheets, at) + Util.getShort(sheets, (short) (at + Codes.SHOP_SHEET_CLOSED)));
                short more = Util.getShort(sheets, (short) (at + Codes.SHOP_SHEET_CLOSED + 2));
                low += more;
                high += Words.below(low, more) ? (short) 1 : (short) 0;
                more = Util.getShort(sheets, (short) (at + Codes.SHOP_SHEET_REFILLS));
                low += more;
                high += Words.below(low, more) ? (short) 1 : (short) 0;
                if ((byte) (low & 0x0F) == place && (high > bestHigh || high == bestHigh && Words.below(bestLow, low))) {
                    found = place;
                    bestHigh = high;
                    bestLow = low;
                }
            }
            at += Codes.SHOP_SHEET_SIZE;
        }
        if (found < 0) {
            ISOException.throwIt(Codes.SW_NO_PRECISE_DIAGNOSIS);
        }
        return found;
    }

    /** The place of a sheet in the scratch: its generation modulo 16. */
    private byte place() {
        byte[] scratch = ram.scratch;
        return (byte) ((byte) (scratch[(short) (SHEET + 3)] + scratch[(short) (SHEET + Codes.SHOP_SHEET_CLOSED + 3)]
            + scratch[(short) (SHEET + Codes.SHOP_SHEET_REFILLS + 1)]) & 0x0F);
    }

    /** Brings the sheet in force to SHEET in the scratch. */
    void fetchSheet() {
        Util.arrayCopyNonAtomic(cells.shopSheets, sheet(), ram.scratch, SHEET, Codes.SHOP_SHEET_SIZE);
    }

    /** Writes the sheet in the scratch to its place, in the caller's transaction. */
    private void putSheet() {
        Util.arrayCopy(ram.scratch, SHEET, cells.shopSheets, (short) (place() * Codes.SHOP_SHEET_SIZE), Codes.SHOP_SHEET_SIZE);
    }

    /** The sheet in the scratch is in force now: its transaction has been committed. */
    private void remember() {
        ram.session[Transients.PLACE_KNOWN] = (byte) (place() + 1);
    }

    /** Adds 1 to a count of the sheet in the scratch, which stops at its most. */
    void count(short field) {
        DoubleWords.addSaturating(ram.scratch, (short) (SHEET + field), (short) 1);
    }

    /** The next sequence, u32: terminal, and the count of the sheet in force. Where it ends. */
    short putSequence(byte[] out, short offset) {
        short end = Util.arrayCopyNonAtomic(cells.shopSheets, sheet(), out, offset, DoubleWords.SIZE);
        out[offset] = cells.identity[TERMINAL];
        return end;
    }

    /** 9407 if no sequence is left; of the sheet in the scratch. */
    void checkCount() {
        byte[] scratch = ram.scratch;
        if (scratch[(short) (SHEET + 1)] == -1 && Util.getShort(scratch, (short) (SHEET + 2)) == Words.MOST) {
            ISOException.throwIt(Codes.SW_COUNTER_EXHAUSTED);
        }
    }

    /** Entries in use. */
    byte pendingCount() {
        byte found = 0;
        for (short at = 0; at < (short) (Codes.PENDING_ENTRIES * Codes.ENTRY_SIZE); at += Codes.ENTRY_SIZE) {
            if (cells.pending[at] != 0) {
                found++;
            }
        }
        return found;
    }

    /**
     * The first free slot from count mod 16 on, cyclically (REQ-REC-8); 940B if there is none. The count is that of the sheet in the
     * scratch.
     */
    byte freeSlot() {
        byte slot = (byte) (ram.scratch[(short) (SHEET + 3)] & 0x0F);
        for (byte tried = 0; tried < Codes.PENDING_ENTRIES; tried++) {
            if (cells.pending[(short) (slot * Codes.ENTRY_SIZE)] == 0) {
                return slot;
            }
            slot = (byte) ((byte) (slot + 1) & 0x0F);
        }
        ISOException.throwIt(Codes.SW_PENDING_FULL);
        return slot;
    }

    /** Where in the pending entries that of a slot lies; 6A83 if it is free or there is no such slot. */
    short entry(short slot) {
        short at = (short) (slot * Codes.ENTRY_SIZE);
        if (slot < 0 || slot >= Codes.PENDING_ENTRIES || cells.pending[at] == 0) {
            ISOException.throwIt(Codes.SW_RECORD_NOT_FOUND);
        }
        return at;
    }

    /** Where in the log the number-th newest record lies; 6A83 if there are not so many. */
    short logRecord(short number) {
        short closed = (short) (sheet() + Codes.SHOP_SHEET_CLOSED);
        short low = Util.getShort(cells.shopSheets, (short) (closed + 2));
        boolean many = Util.getShort(cells.shopSheets, closed) != 0 || low < 0 || low > Codes.SHOP_LOG_RECORDS;
        if (number > (many ? Codes.SHOP_LOG_RECORDS : low)) {
            ISOException.throwIt(Codes.SW_RECORD_NOT_FOUND);
        }
        return logPlace((short) (low - number));
    }

    private static short logPlace(short closed) {
        return (short) ((short) (closed & (Codes.SHOP_LOG_RECORDS - 1)) * RECORD_SIZE);
    }

    /**
     * Opens the entry in the scratch with the sheet there, which has its ceilings already, in one go (REQ-CMP-3). An outstanding challenge
     * ends: evidence from before the entry was there proves nothing of it (REQ-CHA-1).
     */
    void open(byte slot) {
        endChallenge();
        count(Codes.SHOP_SHEET_COUNT);
        JCSystem.beginTransaction();
        Util.arrayCopy(ram.scratch, ENTRY, cells.pending, (short) (slot * Codes.ENTRY_SIZE), Codes.ENTRY_SIZE);
        putSheet();
        JCSystem.commitTransaction();
        remember();
    }

    /** Where in the log the committed sale stands that the void in the scratch takes back (REQ-RAT-2), or NO_SALE. */
    short saleOf() {
        byte[] log = cells.log;
        byte[] entry = ram.scratch;
        short counter = (short) (Util.getShort(entry, (short) (ENTRY + Codes.ENTRY_COUNTER)) - 1);
        for (short at = 0; at < (short) (Codes.SHOP_LOG_RECORDS * RECORD_SIZE); at += RECORD_SIZE) {
            if ((byte) (log[at] | VOID) == entry[ENTRY] && log[(short) (at + Codes.ENTRY_SIZE)] == Codes.ENDING_COMMITTED
                && Util.getShort(log, (short) (at + Codes.ENTRY_COUNTER)) == counter
                && same(log, at, Codes.ENTRY_CARD_ID, Persistent.CARD_ID_SIZE) && same(log, at, Codes.ENTRY_AMOUNT, DoubleWords.SIZE)
                && same(log, at, Codes.ENTRY_POINTS, DoubleWords.SIZE)) {
                return at;
            }
        }
        return NO_SALE;
    }

    private boolean same(byte[] log, short at, short field, short size) {
        return Util.arrayCompare(log, (short) (at + field), ram.scratch, (short) (ENTRY + field), size) == 0;
    }

    /** Adds an amount of the entry in the scratch to a field of the sheet there, which stops at its most. */
    void add(short sheetField, short entryField) {
        DoubleWords.addSaturating(ram.scratch, (short) (SHEET + sheetField), ram.scratch, (short) (ENTRY + entryField));
    }

    /**
     * Frees the slot, logs the entry in the scratch, marks the sale that became void, and writes the sheet in the scratch, which has its
     * totals and ceilings already, in one go (REQ-RAT-5).
     */
    void close(short slot, byte ending, short sale) {
        byte[] scratch = ram.scratch;
        scratch[ENDING] = ending;
        short place = logPlace(Util.getShort(scratch, (short) (SHEET + Codes.SHOP_SHEET_CLOSED + 2)));
        count(Codes.SHOP_SHEET_CLOSED);
        JCSystem.beginTransaction();
        cells.pending[(short) (slot * Codes.ENTRY_SIZE)] = 0;
        if (sale != NO_SALE) {
            cells.log[(short) (sale + Codes.ENTRY_SIZE)] = Codes.ENDING_VOIDED;
        }
        Util.arrayCopy(scratch, ENTRY, cells.log, place, RECORD_SIZE);
        putSheet();
        JCSystem.commitTransaction();
        remember();
    }

    /** points_left and money_left_minor of a card that is being personalized, in the caller's transaction: generation 0, place 0. */
    void giveCeilings(byte[] source, short offset) {
        Util.arrayCopy(source, offset, cells.shopSheets, Codes.SHOP_SHEET_POINTS_LEFT, (short) (2 * DoubleWords.SIZE));
        cells.ceilingsGiven[0] = 1;
    }

    /**
     * Raises the ceilings by a refill (number u16, points u32, money u32) whose number is the next; else 9407, 6985 or 6A80 (REQ-REF-1).
     * One write, in the caller's transaction. Whether that will be committed is not known here, so RAM forgets the place.
     */
    void refill(byte[] source, short offset) {
        byte[] scratch = ram.scratch;
        Util.arrayCopyNonAtomic(cells.shopSheets, (short) (placeInForce() * Codes.SHOP_SHEET_SIZE), scratch, SHEET, Codes.SHOP_SHEET_SIZE);
        short refills = Util.getShort(scratch, (short) (SHEET + Codes.SHOP_SHEET_REFILLS));
        if (refills == Words.MOST) {
            ISOException.throwIt(Codes.SW_COUNTER_EXHAUSTED);
        }
        refills++;
        if (Util.getShort(source, offset) != refills) {
            ISOException.throwIt(Codes.SW_CONDITIONS_NOT_SATISFIED);
        }
        if (DoubleWords.addSaturating(scratch, (short) (SHEET + Codes.SHOP_SHEET_POINTS_LEFT), source, (short) (offset + 2))
            | DoubleWords.addSaturating(scratch, (short) (SHEET + Codes.SHOP_SHEET_MONEY_LEFT_MINOR), source, (short) (offset + 6))) {
            ISOException.throwIt(Codes.SW_WRONG_DATA);
        }
        Util.setShort(scratch, (short) (SHEET + Codes.SHOP_SHEET_REFILLS), refills);
        ram.session[Transients.PLACE_KNOWN] = 0;
        putSheet();
    }

    /** A new challenge (REQ-CHA-1), 8 bytes. */
    short drawChallenge(byte[] out, short offset) {
        random.generateData(ram.session, (short) (Transients.CHALLENGE + 1), CHALLENGE_SIZE);
        ram.session[Transients.CHALLENGE] = CHALLENGE_THERE;
        return Util.arrayCopyNonAtomic(ram.session, (short) (Transients.CHALLENGE + 1), out, offset, CHALLENGE_SIZE);
    }

    /** Uses the outstanding challenge up: whether there was one, which is at this place of the scratch then. */
    boolean useChallenge(short offset) {
        boolean there = ram.session[Transients.CHALLENGE] == CHALLENGE_THERE;
        Util.arrayCopyNonAtomic(ram.session, (short) (Transients.CHALLENGE + 1), ram.scratch, offset, CHALLENGE_SIZE);
        endChallenge();
        return there;
    }

    private void endChallenge() {
        Util.arrayFillNonAtomic(ram.session, Transients.CHALLENGE, (short) (CHALLENGE_SIZE + 1), (byte) 0);
    }

    /**
     * Begins a message about a customer card in the scratch: use, programme, and what the command has, from its card_id on. Where it goes
     * on.
     */
    short head(byte use, byte[] card, short offset, short length) {
        ram.scratch[Transients.MESSAGE] = use;
        short at = Util.setShort(ram.scratch, (short) (Transients.MESSAGE + 1), programme);
        return Util.arrayCopyNonAtomic(card, offset, ram.scratch, at, length);
    }

    /** Begins a message about this card itself (REQ-KEY-4): 00 00 00, terminal, shop in place of a card_id. */
    short ownHead(byte use) {
        byte[] scratch = ram.scratch;
        scratch[Transients.MESSAGE] = use;
        short at = Util.setShort(scratch, (short) (Transients.MESSAGE + 1), programme);
        at = Util.setShort(scratch, at, (short) 0);
        scratch[at++] = 0;
        scratch[at++] = cells.identity[TERMINAL];
        return Util.arrayCopyNonAtomic(cells.identity, (short) 0, scratch, at, DoubleWords.SIZE);
    }
}
