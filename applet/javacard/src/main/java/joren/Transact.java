package joren;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * TRANSACT and COMMIT on the customer card (REQ-TRX-1 to REQ-COM-2): check, compute the next balance sheet, write all at once, answer.
 *
 * How it works. Once the MAC is right, the record of the transaction is made where PROOF and RECEIPT have it, in the scratch, and the
 * next sheet beside it. Both commands end in `finish`, which logs and answers. Before it nothing is written, so any refusal on the way
 * leaves the card as it was.
 */
final class Transact {
    static final short TRANSACT_SIZE = Codes.ORDER_SIZE + CustomerMemory.MAC_SIZE;
    static final short COMMIT_SIZE = TRANSACT_SIZE + 2 + Codes.STATE_SIZE;
    static final short ANSWER_SIZE = Codes.OUTCOME_SIZE + 2 * CustomerMemory.MAC_SIZE;

    private static final byte VOID = (byte) 0x80;
    private static final short DATA = ISO7816.OFFSET_CDATA;
    private static final short COMMIT_POINTS = DATA + Codes.ORDER_SIZE;
    private static final short COMMIT_STATE = COMMIT_POINTS + 2;
    private static final short COMMIT_MAC = COMMIT_STATE + Codes.STATE_SIZE;
    private static final short SHEET = CustomerMemory.SHEET;
    private static final short ORDER = Transients.RECORD + Codes.RECORD_ORDER;
    private static final short AMOUNT = ORDER + Codes.ORDER_AMOUNT;
    private static final short OUTCOME = Transients.RECORD + Codes.RECORD_OUTCOME;
    private static final short SCORE = OUTCOME + Codes.OUTCOME_SCORE;
    private static final short POINTS = OUTCOME + Codes.OUTCOME_POINTS;
    /** Amount, category, factor and shop: what a void names again. */
    private static final short NAMED_SIZE = Codes.ORDER_SEQUENCE - Codes.ORDER_AMOUNT;

    private final CustomerMemory memory;
    private final Persistent cells;
    private final byte[] scratch;
    private final Pin pin;

    Transact(CustomerMemory memory, Pin pin) {
        this.memory = memory;
        this.pin = pin;
        cells = memory.cells;
        scratch = memory.ram.scratch;
    }

    /** Which keys authorize which kind by TRANSACT (REQ-TRX-1). */
    static boolean isListed(byte kind, byte ref) {
        switch (kind) {
            case Codes.KIND_PURCHASE:
            case Codes.KIND_PAY_AND_EARN:
                return ref == Codes.KEY_TILL;
            case Codes.KIND_LOAD:
            case Codes.KIND_VOID_LOAD:
                return ref == Codes.KEY_LOAD;
            case Codes.KIND_REDEEM:
            case Codes.KIND_PAY:
            case Codes.KIND_VOID_PURCHASE:
            case Codes.KIND_VOID_PAY_AND_EARN:
            case Codes.KIND_VOID_REDEEM:
            case Codes.KIND_VOID_PAY:
                return ref == Codes.KEY_TILL || ref == Codes.KEY_SHOP;
            default:
                return false;
        }
    }

    static boolean earns(byte kind) {
        return kind == Codes.KIND_PURCHASE || kind == Codes.KIND_PAY_AND_EARN;
    }

    /** TRANSACT: order 16 | MAC 8; answers outcome 16 | receipt 8 | proof 8. */
    short transact(byte[] buffer) {
        byte kind = buffer[ISO7816.OFFSET_P1];
        byte ref = buffer[ISO7816.OFFSET_P2];
        memory.checkAuthority(ref);
        short end = order(Codes.USE_ORDER, buffer, kind, ref);
        memory.checkMac(ref, end, buffer, (short) (DATA + Codes.ORDER_SIZE));
        begin(buffer, kind, ref);
        if ((kind & VOID) != 0) {
            return takeBack(buffer, kind, ref);
        }
        memory.fetchSheet(memory.sheet());
        if (earns(kind)) {
            checkEarning(kind);
            short points = Rank.purchase(scratch, SHEET, cells.rules, scratch, ORDER, SCORE);
            return earn(buffer, kind, points);
        }
        return move(buffer, kind);
    }

    /** COMMIT: order 16 | points u16 | state 32 | MAC 8; answers as TRANSACT. */
    short commit(byte[] buffer) {
        byte kind = buffer[ISO7816.OFFSET_P1];
        memory.checkAuthority(Codes.KEY_SHOP);
        short end = order(Codes.USE_COMMIT, buffer, kind, Codes.KEY_SHOP);
        scratch[end++] = cells.rules[Codes.RULES_RULES_VERSION];
        end = Util.arrayCopyNonAtomic(buffer, COMMIT_POINTS, scratch, end, (short) (2 + Codes.STATE_SIZE));
        memory.checkMac(Codes.KEY_SHOP, end, buffer, COMMIT_MAC);
        begin(buffer, kind, Codes.KEY_SHOP);
        memory.fetchSheet(memory.sheet());
        checkEarning(kind);
        Checks.state(buffer, COMMIT_STATE);
        short points = Util.getShort(buffer, COMMIT_POINTS);
        if (Words.below(Util.getShort(cells.rules, Codes.RULES_POINTS_CAP), points)
            || Util.getShort(buffer, (short) (COMMIT_STATE + Codes.STATE_LAST_HOUR)) != lastHour()) {
            ISOException.throwIt(Codes.SW_WRONG_DATA);
        }
        Util.arrayCopyNonAtomic(buffer, COMMIT_STATE, scratch, SHEET, Codes.STATE_SIZE);
        score();
        return earn(buffer, kind, points);
    }

    /** The message of an order, as far as ORDER and COMMIT have it in common. */
    private short order(byte use, byte[] buffer, byte kind, byte ref) {
        short at = memory.headWithNonce(use);
        scratch[at++] = kind;
        scratch[at++] = ref;
        return Util.arrayCopyNonAtomic(buffer, DATA, scratch, at, Codes.ORDER_SIZE);
    }

    /** Begins the record, over the message whose MAC was right: 9407 first. */
    private void begin(byte[] buffer, byte kind, byte ref) {
        short counter = memory.counter();
        if (counter == CustomerMemory.COUNTER_MAX) {
            ISOException.throwIt(Codes.SW_COUNTER_EXHAUSTED);
        }
        scratch[Transients.RECORD + Codes.RECORD_KIND] = kind;
        scratch[Transients.RECORD + Codes.RECORD_KEY_REF] = ref;
        Util.setShort(scratch, (short) (Transients.RECORD + Codes.RECORD_COUNTER), counter);
        Util.arrayCopyNonAtomic(buffer, DATA, scratch, ORDER, Codes.ORDER_SIZE);
        DoubleWords.clear(scratch, POINTS);
    }

    private short hour() {
        return Util.getShort(scratch, (short) (ORDER + Codes.ORDER_HOUR));
    }

    /** The last hour of the sheet in force after a purchase at the order's hour. */
    private short lastHour() {
        short last = Util.getShort(scratch, (short) (SHEET + Codes.STATE_LAST_HOUR));
        return Util.getShort(scratch, (short) (SHEET + Codes.STATE_VISITS)) != 0 && Words.below(hour(), last) ? last : hour();
    }

    private void checkEarning(byte kind) {
        Checks.categoryAndFactor(scratch, ORDER, cells.limits);
        if (kind == Codes.KIND_PAY_AND_EARN) {
            Checks.someAmount(scratch, ORDER);
        }
        Checks.time(scratch, SHEET, cells.rules, hour());
    }

    /** The sheet has its new state; the rest of what a purchase does. */
    private short earn(byte[] buffer, byte kind, short points) {
        roll();
        boolean usesPin = false;
        if (kind == Codes.KIND_PAY_AND_EARN) {
            usesPin = needsPin(Codes.LIMITS_PAY_PIN_FROM_MINOR);
            Sheet.pay(scratch, SHEET, scratch, AMOUNT);
        }
        Sheet.earn(scratch, SHEET, points);
        Util.setShort(scratch, (short) (POINTS + 2), points);
        return finish(buffer, usesPin);
    }

    /** REDEEM, LOAD and PAY. */
    private short move(byte[] buffer, byte kind) {
        Checks.plainOrder(scratch, ORDER);
        Checks.time(scratch, SHEET, cells.rules, hour());
        roll();
        boolean usesPin = false;
        if (kind == Codes.KIND_LOAD) {
            Sheet.load(scratch, SHEET, scratch, AMOUNT, cells.limits);
        } else if (kind == Codes.KIND_PAY) {
            usesPin = needsPin(Codes.LIMITS_PAY_PIN_FROM_MINOR);
            Sheet.pay(scratch, SHEET, scratch, AMOUNT);
        } else {
            usesPin = needsPin(Codes.LIMITS_REDEEM_PIN_FROM);
            Sheet.redeem(scratch, SHEET, scratch, AMOUNT, CustomerMemory.REST);
            DoubleWords.copy(scratch, AMOUNT, scratch, POINTS);
        }
        score();
        return finish(buffer, usesPin);
    }

    /** The score of the sheet's state, where Rank has not told it. */
    private void score() {
        Util.setShort(scratch, SCORE, Rank.score(scratch, SHEET, cells.rules));
    }

    private void roll() {
        Sheet.roll(scratch, SHEET, hour(), Util.getShort(cells.limits, Codes.LIMITS_PERIOD_HOURS));
    }

    /** Whether the amount needs the PIN, by the limit there; 6982 if it does and the PIN is not verified (REQ-TRX-6). */
    private boolean needsPin(short limit) {
        if (DoubleWords.isMost(cells.limits, limit) || DoubleWords.below(scratch, AMOUNT, cells.limits, limit)) {
            return false;
        }
        if (!pin.isVerified()) {
            ISOException.throwIt(Codes.SW_SECURITY_STATUS_NOT_SATISFIED);
        }
        return true;
    }

    /** VOID (REQ-VOID-1, REQ-VOID-2). */
    private short takeBack(byte[] buffer, byte kind, byte ref) {
        short counter = memory.counter();
        short last = CustomerMemory.place((short) (counter - 1));
        short lastOrder = (short) (last + Codes.RECORD_ORDER);
        if (counter == 0 || cells.log[last] != (byte) (kind & ~VOID) || cells.log[(short) (last + Codes.RECORD_KEY_REF)] != ref
            || Util.arrayCompare(cells.log, (short) (lastOrder + Codes.ORDER_AMOUNT), scratch, AMOUNT, NAMED_SIZE) != 0) {
            ISOException.throwIt(Codes.SW_NOTHING_TO_VOID);
        }
        memory.fetchSheet(memory.sheetBefore());
        DoubleWords.copy(cells.log, (short) (last + Codes.RECORD_OUTCOME + Codes.OUTCOME_POINTS), scratch, POINTS);
        score();
        return finish(buffer, false);
    }

    /** Completes the record, writes it with the sheet, and answers. */
    private short finish(byte[] buffer, boolean usesPin) {
        scratch[OUTCOME + Codes.OUTCOME_RANK] = scratch[SHEET + Codes.STATE_RANK];
        scratch[OUTCOME + Codes.OUTCOME_RULES_VERSION] = cells.rules[Codes.RULES_RULES_VERSION];
        short balance = (short) (OUTCOME + Codes.OUTCOME_POINTS_BALANCE);
        DoubleWords.copy(scratch, (short) (SHEET + Codes.SHEET_POINTS_NOW), scratch, balance);
        DoubleWords.addSaturating(scratch, balance, scratch, (short) (SHEET + Codes.SHEET_POINTS_BEFORE));
        DoubleWords.copy(scratch, (short) (SHEET + Codes.SHEET_PURSE_MINOR), scratch, (short) (OUTCOME + Codes.OUTCOME_PURSE_MINOR));
        memory.add();
        if (usesPin) {
            pin.forget();
        }
        short at = Util.arrayCopyNonAtomic(scratch, OUTCOME, buffer, (short) 0, Codes.OUTCOME_SIZE);
        return memory.proof(buffer, memory.receipt(buffer, at));
    }
}
