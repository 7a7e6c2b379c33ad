package joren;

import javacard.framework.ISO7816;
import javacard.framework.Util;

/** RATIFY (docs/spec/shop.md): what closes a pending entry, by the customer card's own word, or with nothing given back. */
final class ShopSettling {
    static final short COMMITTED_SIZE = 24;
    static final short ABSENT_SIZE = 18;

    private static final short DATA = ISO7816.OFFSET_CDATA;
    private static final short PROOF = DATA + Codes.OUTCOME_SIZE;
    private static final short ABSENCE_MAC = DATA + 10;
    private static final short ASKED_SIZE = 8;
    /** Rank, rules_version, score, points: in an outcome, and in an entry as expected. */
    private static final short EXPECTED_SIZE = 8;

    private static final short ENTRY = ShopMemory.ENTRY;
    private static final short CARD = ENTRY + Codes.ENTRY_CARD_ID;
    private static final short VOIDED_TOTALS = Codes.TOTALS_POINTS_GRANTED_VOIDED - Codes.TOTALS_POINTS_GRANTED;

    private final ShopMemory memory;
    private final ShopMasters masters;
    private final Persistent cells;
    private final byte[] scratch;

    ShopSettling(ShopMemory memory) {
        this.memory = memory;
        masters = memory.masters;
        cells = memory.cells;
        scratch = memory.ram.scratch;
    }

    static boolean isListed(byte ending, byte slot) {
        return ending >= Codes.ENDING_NOT_COMMITTED && ending <= Codes.ENDING_UNKNOWN && slot >= 0 && slot < Codes.PENDING_ENTRIES;
    }

    /** The length of data for an ending. */
    static short size(byte ending) {
        return ending == Codes.ENDING_COMMITTED ? COMMITTED_SIZE : ending == Codes.ENDING_NOT_COMMITTED ? ABSENT_SIZE : 0;
    }

    void ratify(byte[] buffer) {
        byte slot = buffer[ISO7816.OFFSET_P2];
        Util.arrayCopyNonAtomic(cells.pending, memory.entry(slot), scratch, ENTRY, Codes.ENTRY_SIZE);
        switch (buffer[ISO7816.OFFSET_P1]) {
            case Codes.ENDING_COMMITTED:
                committed(slot, buffer);
                break;
            case Codes.ENDING_NOT_COMMITTED:
                absent(slot, buffer);
                break;
            default:
                writeOff(slot);
        }
    }

    /** REQ-RAT-2. */
    private void committed(short slot, byte[] buffer) {
        byte kind = scratch[ENTRY];
        checkProof(buffer);
        if (ShopOrders.computes(kind)) {
            Checks.that(Util.arrayCompare(buffer, DATA, scratch, (short) (ENTRY + Codes.ENTRY_RANK), EXPECTED_SIZE) == 0,
                Codes.SW_WRONG_DATA);
        }
        DoubleWords.copy(buffer, (short) (DATA + Codes.OUTCOME_POINTS), scratch, (short) (ENTRY + Codes.ENTRY_POINTS));
        memory.fetchSheet();
        byte base = ShopOrders.baseKind(kind);
        boolean isVoid = ShopOrders.isVoid(kind);
        addTotals(base, isVoid ? VOIDED_TOTALS : 0);
        short sale = ShopMemory.NO_SALE;
        if (isVoid) {
            sale = memory.saleOf();
        }
        if (sale != ShopMemory.NO_SALE) {
            giveBack(base);
        }
        memory.close(slot, Codes.ENDING_COMMITTED, sale);
    }

    /** 6988 unless the proof is of the entry's transaction record with this outcome; 6A88 without a master (REQ-RAT-1). */
    private void checkProof(byte[] buffer) {
        short at = memory.head(Codes.USE_PROOF, scratch, CARD, Persistent.CARD_ID_SIZE);
        at = Util.arrayCopyNonAtomic(scratch, ENTRY, scratch, at, (short) (Codes.ENTRY_HOUR + ASKED_SIZE));
        at = shopAndSequence(at);
        at = Util.arrayCopyNonAtomic(buffer, DATA, scratch, at, Codes.OUTCOME_SIZE);
        masters.checkWord(scratch[(short) (ENTRY + Codes.ENTRY_KEY_REF)], scratch, CARD, at, buffer, PROOF);
    }

    private short shopAndSequence(short at) {
        at = Util.arrayCopyNonAtomic(cells.identity, (short) 0, scratch, at, DoubleWords.SIZE);
        return Util.arrayCopyNonAtomic(scratch, (short) (ENTRY + Codes.ENTRY_SEQUENCE), scratch, at, DoubleWords.SIZE);
    }

    private void addTotals(byte base, short which) {
        short totals = (short) (Codes.SHOP_SHEET_TOTALS + which);
        switch (base) {
            case Codes.KIND_REDEEM:
                memory.add((short) (totals + Codes.TOTALS_POINTS_REDEEMED), Codes.ENTRY_POINTS);
                break;
            case Codes.KIND_LOAD:
                memory.add((short) (totals + Codes.TOTALS_MONEY_LOADED_MINOR), Codes.ENTRY_AMOUNT);
                break;
            default:
                if (base != Codes.KIND_PAY) {
                    memory.add((short) (totals + Codes.TOTALS_POINTS_GRANTED), Codes.ENTRY_POINTS);
                }
                if (base != Codes.KIND_PURCHASE) {
                    memory.add((short) (totals + Codes.TOTALS_MONEY_PAID_MINOR), Codes.ENTRY_AMOUNT);
                }
        }
        memory.count((short) (Codes.SHOP_SHEET_TOTALS + Codes.TOTALS_TRANSACTIONS));
    }

    /** A ceiling fills up again by what this very card granted. */
    private void giveBack(byte base) {
        if (ShopOrders.computes(base)) {
            memory.add(Codes.SHOP_SHEET_POINTS_LEFT, Codes.ENTRY_POINTS);
        }
        if (base == Codes.KIND_LOAD) {
            memory.add(Codes.SHOP_SHEET_MONEY_LEFT_MINOR, Codes.ENTRY_AMOUNT);
        }
    }

    /** REQ-RAT-3. */
    private void absent(short slot, byte[] buffer) {
        short at = memory.head(Codes.USE_ABSENCE, scratch, CARD, Persistent.CARD_ID_SIZE);
        scratch[at++] = scratch[(short) (ENTRY + Codes.ENTRY_KEY_REF)];
        at = Util.arrayCopyNonAtomic(scratch, (short) (ENTRY + Codes.ENTRY_COUNTER), scratch, at, (short) 2);
        at = shopAndSequence(at);
        Checks.that(memory.useChallenge(at), Codes.SW_CONDITIONS_NOT_SATISFIED);
        at += ShopMemory.CHALLENGE_SIZE;
        scratch[at++] = Codes.ENDING_NOT_COMMITTED;
        at = Util.arrayCopyNonAtomic(buffer, DATA, scratch, at, (short) (ABSENCE_MAC - DATA));
        masters.checkWord(scratch[(short) (ENTRY + Codes.ENTRY_KEY_REF)], scratch, CARD, at, buffer, ABSENCE_MAC);
        memory.fetchSheet();
        memory.add(Codes.SHOP_SHEET_POINTS_LEFT, Codes.ENTRY_POINTS);
        if (scratch[ENTRY] == Codes.KIND_LOAD) {
            memory.add(Codes.SHOP_SHEET_MONEY_LEFT_MINOR, Codes.ENTRY_AMOUNT);
        }
        memory.close(slot, Codes.ENDING_NOT_COMMITTED, ShopMemory.NO_SALE);
    }

    /** REQ-RAT-4. */
    private void writeOff(short slot) {
        memory.fetchSheet();
        memory.add((short) (Codes.SHOP_SHEET_TOTALS + Codes.TOTALS_POINTS_WRITTEN_OFF), Codes.ENTRY_POINTS);
        if (scratch[ENTRY] == Codes.KIND_LOAD) {
            memory.add((short) (Codes.SHOP_SHEET_TOTALS + Codes.TOTALS_MONEY_WRITTEN_OFF_MINOR), Codes.ENTRY_AMOUNT);
        }
        memory.close(slot, Codes.ENDING_UNKNOWN, ShopMemory.NO_SALE);
    }
}
