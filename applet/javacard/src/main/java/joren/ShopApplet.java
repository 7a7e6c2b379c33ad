package joren;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * The shop card (docs/spec/shop.md): it computes for customer cards, authorizes orders, and counts what it granted.
 *
 * How it works. COMPUTE and AUTHORIZE leave a pending entry and take what it may grant from the ceilings at once; RATIFY closes the entry
 * by the customer card's own word, or writes it off with nothing given back. Whatever a terminal says, drops or repeats, no more than the
 * ceilings is ever granted.
 */
public final class ShopApplet extends CardApplet {
    private static final byte VERSION = 1;
    private static final byte STATUS_OF_INSTANCE = 0x40;
    private static final byte LOG = 0x0C;
    private static final byte PENDING = 0x14;
    private static final byte DATA_RULES = 1;
    private static final byte DATA_TOTALS = 2;
    private static final byte DATA_KEYS = 4;

    private final ShopMemory shop;
    private final ShopOrders orders;
    private final ShopSettling settling;
    private final ShopData data;

    private ShopApplet(byte[] parameters, short offset, byte length) {
        super(Codes.AID_SHOP, parameters, offset, length);
        shop = new ShopMemory(memory, ram, programme);
        orders = new ShopOrders(shop);
        settling = new ShopSettling(shop);
        data = new ShopData(this, shop);
    }

    public static void install(byte[] parameters, short offset, byte length) {
        new ShopApplet(parameters, offset, length).register(parameters, (short) (offset + 1), parameters[offset]);
    }

    @Override
    short select(APDU apdu, byte[] buffer) {
        boolean template = (buffer[ISO7816.OFFSET_P2] & SELECT_RECORD) == 0;
        checkNe(apdu, template ? (short) (TEMPLATE_HEAD_SIZE + Codes.SHOP_INFO_SIZE) : Codes.SHOP_INFO_SIZE);
        short sheet = shop.sheet();
        short at = template ? templateHead(buffer, Codes.SHOP_INFO_SIZE) : 0;
        buffer[at++] = VERSION;
        buffer[at++] = memory.lifeCycle[0];
        buffer[at++] = memory.rules[Codes.RULES_RULES_VERSION];
        buffer[at++] = shop.pendingCount();
        at = Util.setShort(buffer, at, programme);
        at = Util.arrayCopyNonAtomic(memory.identity, (short) 0, buffer, at, (short) memory.identity.length);
        at = shop.putSequence(buffer, at);
        at = Util.arrayCopyNonAtomic(memory.shopSheets, (short) (sheet + Codes.SHOP_SHEET_POINTS_LEFT), buffer, at,
            (short) (2 * DoubleWords.SIZE));
        return Util.arrayCopyNonAtomic(memory.shopSheets, (short) (sheet + Codes.SHOP_SHEET_REFILLS), buffer, at, (short) 2);
    }

    @Override
    short answer(APDU apdu, byte[] buffer, boolean iso, short lc) {
        byte p1 = buffer[ISO7816.OFFSET_P1];
        byte p2 = buffer[ISO7816.OFFSET_P2];
        try {
            return iso ? answerIso(apdu, buffer, p1, p2, lc) : answerOwn(apdu, buffer, p1, p2, lc);
        } finally {
            shop.masters.forget();
        }
    }

    private short answerOwn(APDU apdu, byte[] buffer, byte p1, byte p2, short lc) {
        switch (buffer[ISO7816.OFFSET_INS]) {
            case Codes.INS_COMPUTE:
                check(apdu, ShopOrders.computes(p1), lc == ShopOrders.COMPUTE_SIZE, ShopOrders.COMPUTE_ANSWER_SIZE, Codes.SHOP_COMPUTE_IN);
                return orders.compute(buffer);
            case Codes.INS_AUTHORIZE:
                check(apdu, ShopOrders.authorizes(p1), lc == ShopOrders.AUTHORIZE_SIZE, ShopOrders.AUTHORIZE_ANSWER_SIZE,
                    Codes.SHOP_AUTHORIZE_IN);
                return orders.authorize(buffer);
            case Codes.INS_RATIFY:
                check(apdu, ShopSettling.isListed(p1, p2), lc == ShopSettling.size(p1), (short) 0, Codes.SHOP_RATIFY_IN);
                settling.ratify(buffer);
                return 0;
            case Codes.INS_STORE_DATA:
                check(apdu, Personalization.isListed(p1), lc > 0, (short) 0, Codes.SHOP_STORE_DATA_IN);
                data.personalization().storeData(buffer, lc);
                return 0;
            case Codes.INS_SET_STATUS:
                check(apdu, p1 == STATUS_OF_INSTANCE && LifeCycle.isTarget(p2),
                    lc == CustomerMemory.MAC_SIZE || lc == 0 && channel.isOpen(), (short) 0, Codes.SHOP_SET_STATUS_IN);
                setStatus(buffer, p2, lc);
                return 0;
            default:
                ISOException.throwIt(Codes.SW_INS_NOT_SUPPORTED);
                return 0;
        }
    }

    private short answerIso(APDU apdu, byte[] buffer, byte p1, byte p2, short lc) {
        switch (buffer[ISO7816.OFFSET_INS]) {
            case Codes.INS_GET_CHALLENGE:
                check(apdu, p1 == 0 && p2 == 0, lc == 0, ShopMemory.CHALLENGE_SIZE, Codes.SHOP_GET_CHALLENGE_IN);
                return shop.drawChallenge(buffer, (short) 0);
            case Codes.INS_READ_RECORD:
                check(apdu, p1 != 0 && (p2 == LOG || p2 == PENDING), lc == 0,
                    p2 == LOG ? Persistent.SHOP_LOG_RECORD_SIZE : Codes.ENTRY_SIZE, Codes.SHOP_READ_RECORD_IN);
                return readRecord(buffer, (short) (p1 & Words.BYTE), p2 == LOG);
            case Codes.INS_GET_DATA:
                short size = dataSize(p2);
                check(apdu, p1 == 1 && size != 0, lc == 0, size, Codes.SHOP_GET_DATA_IN);
                return getData(buffer, p2);
            default:
                ISOException.throwIt(Codes.SW_INS_NOT_SUPPORTED);
                return 0;
        }
    }

    private short readRecord(byte[] buffer, short number, boolean log) {
        if (log) {
            return Util.arrayCopyNonAtomic(memory.log, shop.logRecord(number), buffer, (short) 0, Persistent.SHOP_LOG_RECORD_SIZE);
        }
        return Util.arrayCopyNonAtomic(memory.pending, shop.entry((short) (number - 1)), buffer, (short) 0, Codes.ENTRY_SIZE);
    }

    /** The length of a data object by its tag's second byte; 0 where there is none. */
    private static short dataSize(byte tag) {
        switch (tag) {
            case DATA_RULES:
                return Codes.RULES_SIZE + Codes.LIMITS_SIZE;
            case DATA_TOTALS:
                return Codes.TOTALS_SIZE;
            case DATA_KEYS:
                return 2 * Persistent.SHOP_KEYS;
            default:
                return 0;
        }
    }

    private short getData(byte[] buffer, byte tag) {
        if (tag == DATA_RULES) {
            short at = Util.arrayCopyNonAtomic(memory.rules, (short) 0, buffer, (short) 0, Codes.RULES_SIZE);
            return Util.arrayCopyNonAtomic(memory.limits, (short) 0, buffer, at, Codes.LIMITS_SIZE);
        }
        if (tag == DATA_TOTALS) {
            return Util.arrayCopyNonAtomic(memory.shopSheets, (short) (shop.sheet() + Codes.SHOP_SHEET_TOTALS), buffer, (short) 0,
                Codes.TOTALS_SIZE);
        }
        short at = 0;
        for (short place = 0; place < Persistent.SHOP_KEYS; place++) {
            buffer[at++] = ShopMasters.keyRef(place);
            buffer[at++] = memory.keyVersions[place];
        }
        return at;
    }

    /** REQ-ADM-1, REQ-ADM-2, REQ-SAD-1. */
    private void setStatus(byte[] buffer, byte state, short lc) {
        byte[] scratch = ram.scratch;
        short at = Util.setShort(scratch, shop.ownHead(Codes.USE_ADMIN), (short) 0);
        boolean challenged = shop.useChallenge(at);
        LifeCycle.checkTransition(memory.lifeCycle[0], state);
        if (lc == 0) {
            Checks.secured(channel, false);
        } else {
            Checks.that(challenged, Codes.SW_CONDITIONS_NOT_SATISFIED);
            at += ShopMemory.CHALLENGE_SIZE;
            scratch[at++] = state;
            shop.masters.checkAdminMac(at, buffer, ISO7816.OFFSET_CDATA);
        }
        memory.lifeCycle[0] = state;
    }
}
