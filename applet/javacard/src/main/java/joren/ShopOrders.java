package joren;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * COMPUTE and AUTHORIZE (docs/spec/shop.md): what opens a pending entry.
 *
 * How it works. Both make the message that the customer card will check, in the scratch; entry and answer are taken from it. The commands'
 * data begin as all messages do, with card_id, counter and nonce.
 */
final class ShopOrders {
    static final short COMPUTE_SIZE = 67;
    static final short COMPUTE_ANSWER_SIZE = 47;
    static final short AUTHORIZE_SIZE = 26;
    static final short AUTHORIZE_ANSWER_SIZE = 13;

    private static final byte VOID = (byte) 0x80;
    private static final short CARD = ISO7816.OFFSET_CDATA;
    private static final short COUNTER = CARD + 8;
    private static final short RULES_VERSION = CARD + 18;
    private static final short STATE = CARD + 19;
    private static final short STATE_MAC = CARD + 51;
    private static final short COMPUTE_ORDER = CARD + 59;
    private static final short AUTHORIZE_ORDER = CARD + 18;
    /** What ORDER and COMMIT begin with, and STATE has before its MAC. */
    private static final short SESSION_SIZE = 18;
    private static final short STATE_MESSAGE_SIZE = 51;
    /** Hour, amount, category, factor: of an order what the till says. */
    private static final short ASKED_SIZE = 8;

    private static final short MESSAGE_CARD = Transients.MESSAGE + 3;
    private static final short MESSAGE_COUNTER = Transients.MESSAGE + 11;
    private static final short MESSAGE_KIND = Transients.MESSAGE + 21;
    private static final short MESSAGE_ORDER = Transients.MESSAGE + 23;
    private static final short MESSAGE_SEQUENCE = MESSAGE_ORDER + Codes.ORDER_SEQUENCE;
    private static final short MESSAGE_POINTS = Transients.MESSAGE + 40;
    private static final short MESSAGE_STATE = Transients.MESSAGE + 42;
    private static final short COMMIT_END = MESSAGE_STATE + Codes.STATE_SIZE;

    private static final short SCORE = ShopMemory.ENTRY + Codes.ENTRY_SCORE;
    private static final short POINTS = ShopMemory.ENTRY + Codes.ENTRY_POINTS;
    private static final short POINTS_LEFT = ShopMemory.SHEET + Codes.SHOP_SHEET_POINTS_LEFT;
    private static final short MONEY_LEFT = ShopMemory.SHEET + Codes.SHOP_SHEET_MONEY_LEFT_MINOR;

    private final ShopMemory memory;
    private final ShopMasters masters;
    private final Persistent cells;
    private final byte[] scratch;

    ShopOrders(ShopMemory memory) {
        this.memory = memory;
        masters = memory.masters;
        cells = memory.cells;
        scratch = memory.ram.scratch;
    }

    static boolean computes(byte kind) {
        return kind == Codes.KIND_PURCHASE || kind == Codes.KIND_PAY_AND_EARN;
    }

    static boolean authorizes(byte kind) {
        byte base = baseKind(kind);
        return base >= Codes.KIND_PURCHASE && base <= Codes.KIND_PAY && !computes(kind);
    }

    static byte baseKind(byte kind) {
        return (byte) (kind & ~VOID);
    }

    static boolean isVoid(byte kind) {
        return kind < 0;
    }

    /** REQ-CMP-1 to REQ-CMP-3: slot, sequence, points, new state, COMMIT MAC. */
    short compute(byte[] buffer) {
        byte kind = buffer[ISO7816.OFFSET_P1];
        memory.fetchSheet();
        masters.derive(Codes.KEY_SHOP, buffer[ISO7816.OFFSET_P2], buffer, CARD);
        Checks.that(buffer[RULES_VERSION] == cells.rules[Codes.RULES_RULES_VERSION], Codes.SW_RULES_MISMATCH);
        masters.checkMac(memory.head(Codes.USE_STATE, buffer, CARD, STATE_MESSAGE_SIZE), buffer, STATE_MAC);
        Checks.state(buffer, STATE);
        checkCounter(buffer);
        Checks.categoryAndFactor(buffer, COMPUTE_ORDER, cells.limits);
        if (kind == Codes.KIND_PAY_AND_EARN) {
            Checks.someAmount(buffer, COMPUTE_ORDER);
        }
        Checks.time(buffer, STATE, cells.rules, Util.getShort(buffer, COMPUTE_ORDER));
        byte slot = memory.freeSlot();
        memory.checkCount();
        short at = order(Codes.USE_COMMIT, kind, Codes.KEY_SHOP, buffer, COMPUTE_ORDER);
        entry();
        scratch[at] = cells.rules[Codes.RULES_RULES_VERSION];
        Util.arrayCopyNonAtomic(buffer, STATE, scratch, MESSAGE_STATE, Codes.STATE_SIZE);
        short points = Rank.purchase(scratch, MESSAGE_STATE, cells.rules, buffer, COMPUTE_ORDER, SCORE);
        Util.setShort(scratch, MESSAGE_POINTS, points);
        expect(points);
        take(POINTS_LEFT, POINTS);
        memory.open(slot);
        masters.mac(COMMIT_END);
        short end = answerHead(buffer, slot);
        end = Util.arrayCopyNonAtomic(scratch, MESSAGE_POINTS, buffer, end, (short) (COMMIT_END - MESSAGE_POINTS));
        return Util.arrayCopyNonAtomic(scratch, Transients.MAC, buffer, end, CustomerMemory.MAC_SIZE);
    }

    /** REQ-AUT-1, REQ-AUT-2: slot, sequence, ORDER MAC. */
    short authorize(byte[] buffer) {
        byte kind = buffer[ISO7816.OFFSET_P1];
        byte keyRef = baseKind(kind) == Codes.KIND_LOAD ? Codes.KEY_LOAD : Codes.KEY_SHOP;
        memory.fetchSheet();
        masters.derive(keyRef, buffer[ISO7816.OFFSET_P2], buffer, CARD);
        if (!isVoid(kind)) {
            Checks.plainOrder(buffer, AUTHORIZE_ORDER);
        }
        checkCounter(buffer);
        byte slot = memory.freeSlot();
        memory.checkCount();
        if (kind == Codes.KIND_LOAD) {
            DoubleWords.copy(buffer, (short) (AUTHORIZE_ORDER + Codes.ORDER_AMOUNT), scratch, POINTS);
            take(MONEY_LEFT, POINTS);
        }
        short at = order(Codes.USE_ORDER, kind, keyRef, buffer, AUTHORIZE_ORDER);
        entry();
        memory.open(slot);
        masters.mac(at);
        return Util.arrayCopyNonAtomic(scratch, Transients.MAC, buffer, answerHead(buffer, slot), CustomerMemory.MAC_SIZE);
    }

    private static void checkCounter(byte[] buffer) {
        Checks.that(Util.getShort(buffer, COUNTER) != CustomerMemory.COUNTER_MAX, Codes.SW_COUNTER_EXHAUSTED);
    }

    /** The message up to the order, which is what the till asks, and this card's shop and sequence. Where it ends. */
    private short order(byte use, byte kind, byte keyRef, byte[] buffer, short asked) {
        short at = memory.head(use, buffer, CARD, SESSION_SIZE);
        scratch[at++] = kind;
        scratch[at++] = keyRef;
        at = Util.arrayCopyNonAtomic(buffer, asked, scratch, at, ASKED_SIZE);
        at = Util.arrayCopyNonAtomic(cells.identity, (short) 0, scratch, at, DoubleWords.SIZE);
        return memory.putSequence(scratch, at);
    }

    /** The entry, from the message; nothing is expected yet. */
    private void entry() {
        short at = Util.arrayCopyNonAtomic(scratch, MESSAGE_KIND, scratch, ShopMemory.ENTRY, (short) 2);
        at = Util.arrayCopyNonAtomic(scratch, MESSAGE_COUNTER, scratch, at, (short) 2);
        at = Util.arrayCopyNonAtomic(scratch, MESSAGE_ORDER, scratch, at, ASKED_SIZE);
        at = Util.arrayCopyNonAtomic(scratch, MESSAGE_SEQUENCE, scratch, at, DoubleWords.SIZE);
        at = Util.arrayCopyNonAtomic(scratch, MESSAGE_CARD, scratch, at, Persistent.CARD_ID_SIZE);
        Util.arrayFillNonAtomic(scratch, at, (short) (Codes.ENTRY_SIZE - Codes.ENTRY_RANK), (byte) 0);
    }

    /** What the customer card's outcome has to say of the state that was computed; the score is there. */
    private void expect(short points) {
        scratch[ShopMemory.ENTRY + Codes.ENTRY_RANK] = scratch[MESSAGE_STATE + Codes.STATE_RANK];
        scratch[ShopMemory.ENTRY + Codes.ENTRY_RULES_VERSION] = cells.rules[Codes.RULES_RULES_VERSION];
        Util.setShort(scratch, (short) (POINTS + 2), points);
    }

    /** Takes a number in the scratch from a ceiling there: 9403 where it is above. */
    private void take(short ceiling, short number) {
        if (DoubleWords.below(scratch, ceiling, scratch, number)) {
            ISOException.throwIt(Codes.SW_CEILING_REACHED);
        }
        DoubleWords.subtract(scratch, ceiling, scratch, number);
    }

    private short answerHead(byte[] buffer, byte slot) {
        buffer[0] = slot;
        return Util.arrayCopyNonAtomic(scratch, MESSAGE_SEQUENCE, buffer, (short) 1, DoubleWords.SIZE);
    }
}
