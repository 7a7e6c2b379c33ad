package joren;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** The customer card (docs/spec/customer.md): one programme on a customer's card. */
public final class CustomerApplet extends CardApplet {
    private static final byte VERSION = 1;
    private static final byte FLAG_PURSE = 0x04;
    private static final byte FLAG_PIN = 0x08;

    private static final byte PIN_REFERENCE = (byte) 0x81;
    private static final byte STATUS_OF_INSTANCE = 0x40;
    private static final byte LOG = 0x0C;
    private static final byte DATA_RULES = 1;
    private static final byte DATA_TRIES = 3;
    private static final byte DATA_KEYS = 4;
    private static final byte DATA_SHEET = 5;
    private static final short VALUES_SIZE = Codes.STATE_SIZE - Codes.STATE_VALUES;
    private static final short GET_STATE_SIZE = Codes.STATE_SIZE + CustomerMemory.MAC_SIZE;
    private static final short RECORD_ANSWER_SIZE = Codes.RECORD_SIZE + CustomerMemory.MAC_SIZE;
    private static final short RESULT_SIZE = 3;
    private static final short HOLDER_RESULT_SIZE = RESULT_SIZE + VALUES_SIZE + 3 * DoubleWords.SIZE;

    private final CustomerMemory customer;
    private final Pin pin;
    private final Transact transact;
    private final Proof proof;
    private final CustomerData data;

    private CustomerApplet(byte[] parameters, short offset, byte length) {
        super(Codes.AID_CUSTOMER, parameters, offset, length);
        customer = new CustomerMemory(memory, ram, programme);
        pin = new Pin(memory, ram);
        transact = new Transact(customer, pin);
        proof = new Proof(customer);
        data = new CustomerData(this, customer, pin);
        memory.sheets[Codes.STATE_VERSION] = VERSION;
    }

    public static void install(byte[] parameters, short offset, byte length) {
        new CustomerApplet(parameters, offset, length).register(parameters, (short) (offset + 1), parameters[offset]);
    }

    /** REQ-SEL-1, REQ-SEL-2. */
    @Override
    short select(APDU apdu, byte[] buffer) {
        boolean template = (buffer[ISO7816.OFFSET_P2] & SELECT_RECORD) == 0;
        customer.drawNonce();
        checkNe(apdu, template ? (short) (TEMPLATE_HEAD_SIZE + Codes.CUSTOMER_INFO_SIZE) : Codes.CUSTOMER_INFO_SIZE);
        short at = template ? templateHead(buffer, Codes.CUSTOMER_INFO_SIZE) : 0;
        buffer[at++] = VERSION;
        buffer[at++] = memory.lifeCycle[0];
        buffer[at++] = flags();
        buffer[at++] = memory.rules[Codes.RULES_RULES_VERSION];
        at = Util.setShort(buffer, at, programme);
        at = Util.arrayCopyNonAtomic(memory.cardId, (short) 0, buffer, at, Persistent.CARD_ID_SIZE);
        at = Util.setShort(buffer, at, customer.counter());
        at = Util.arrayCopyNonAtomic(ram.session, Transients.NONCE, buffer, at, Transients.NONCE_SIZE);
        buffer[at++] = memory.sheets[(short) (customer.sheet() + Codes.STATE_RANK)];
        buffer[at++] = customer.keyVersion();
        return at;
    }

    private byte flags() {
        byte flags = memory.limits[Codes.LIMITS_MODES];
        if (!DoubleWords.isZero(memory.limits, Codes.LIMITS_PURSE_MAX_MINOR)) {
            flags |= FLAG_PURSE;
        }
        return pin.isPresent() ? (byte) (flags | FLAG_PIN) : flags;
    }

    @Override
    short answer(APDU apdu, byte[] buffer, boolean iso, short lc) {
        byte p1 = buffer[ISO7816.OFFSET_P1];
        byte p2 = buffer[ISO7816.OFFSET_P2];
        return iso ? answerIso(apdu, buffer, p1, p2, lc) : answerOwn(apdu, buffer, p1, p2, lc);
    }

    private short answerOwn(APDU apdu, byte[] buffer, byte p1, byte p2, short lc) {
        switch (buffer[ISO7816.OFFSET_INS]) {
            case Codes.INS_TRANSACT:
                check(apdu, Transact.isListed(p1, p2), lc == Transact.TRANSACT_SIZE, Transact.ANSWER_SIZE, Codes.CUSTOMER_TRANSACT_IN);
                return transact.transact(buffer);
            case Codes.INS_GET_STATE:
                check(apdu, p1 == 0 && p2 == 0, lc == 0, GET_STATE_SIZE, Codes.CUSTOMER_GET_STATE_IN);
                return getState(buffer);
            case Codes.INS_COMMIT:
                check(apdu, Transact.earns(p1) && p2 == Codes.KEY_SHOP, lc == Transact.COMMIT_SIZE, Transact.ANSWER_SIZE,
                    Codes.CUSTOMER_COMMIT_IN);
                return transact.commit(buffer);
            case Codes.INS_PROVE:
                check(apdu, p1 == 0 && (p2 == Codes.KEY_TILL || p2 == Codes.KEY_SHOP || p2 == Codes.KEY_LOAD), lc == Proof.DATA_SIZE,
                    Proof.ANSWER_SIZE, Codes.CUSTOMER_PROVE_IN);
                return proof.prove(buffer, p2);
            case Codes.INS_GET_RESULT:
                check(apdu, (p1 == 0 || p1 == 1) && p2 == 0, lc == 2, p1 == 0 ? RESULT_SIZE : HOLDER_RESULT_SIZE,
                    Codes.CUSTOMER_GET_RESULT_IN);
                return getResult(buffer, p1 != 0);
            case Codes.INS_STORE_DATA:
                check(apdu, Personalization.isListed(p1), lc > 0, (short) 0, Codes.CUSTOMER_STORE_DATA_IN);
                data.personalization().storeData(buffer, lc);
                return 0;
            case Codes.INS_SET_STATUS:
                check(apdu, p1 == STATUS_OF_INSTANCE && LifeCycle.isTarget(p2),
                    lc == CustomerMemory.MAC_SIZE || lc == 0 && channel.isOpen(), (short) 0, Codes.CUSTOMER_SET_STATUS_IN);
                setStatus(buffer, p2, lc);
                return 0;
            default:
                ISOException.throwIt(Codes.SW_INS_NOT_SUPPORTED);
                return 0;
        }
    }

    private short answerIso(APDU apdu, byte[] buffer, byte p1, byte p2, short lc) {
        switch (buffer[ISO7816.OFFSET_INS]) {
            case Codes.INS_READ_RECORD:
                check(apdu, p1 != 0 && p2 == LOG, lc == 0, RECORD_ANSWER_SIZE, Codes.CUSTOMER_READ_RECORD_IN);
                return readRecord(buffer, (short) (p1 & Words.BYTE));
            case Codes.INS_GET_DATA:
                short size = dataSize(p2);
                check(apdu, p1 == 1 && size != 0, lc == 0, size, Codes.CUSTOMER_GET_DATA_IN);
                return getData(buffer, p2);
            case Codes.INS_VERIFY:
                check(apdu, p1 == 0 && p2 == PIN_REFERENCE, lc == 0 || lc == Persistent.PIN_SIZE, (short) 0, Codes.CUSTOMER_VERIFY_IN);
                pin.verify(buffer, ISO7816.OFFSET_CDATA, lc);
                return 0;
            case Codes.INS_CHANGE_REFERENCE_DATA:
                check(apdu, p1 == 0 && p2 == PIN_REFERENCE, lc == 2 * Persistent.PIN_SIZE, (short) 0,
                    Codes.CUSTOMER_CHANGE_REFERENCE_DATA_IN);
                pin.change(buffer, ISO7816.OFFSET_CDATA);
                return 0;
            case Codes.INS_RESET_RETRY_COUNTER:
                check(apdu, p1 == 0 && p2 == PIN_REFERENCE, lc == 2 * Persistent.PIN_SIZE, (short) 0,
                    Codes.CUSTOMER_RESET_RETRY_COUNTER_IN);
                pin.reset(buffer, ISO7816.OFFSET_CDATA);
                return 0;
            default:
                ISOException.throwIt(Codes.SW_INS_NOT_SUPPORTED);
                return 0;
        }
    }

    private short getState(byte[] buffer) {
        customer.checkAuthority(Codes.KEY_SHOP);
        byte[] scratch = ram.scratch;
        short at = customer.headWithNonce(Codes.USE_STATE);
        scratch[at++] = memory.rules[Codes.RULES_RULES_VERSION];
        at = Util.arrayCopyNonAtomic(memory.sheets, customer.sheet(), scratch, at, Codes.STATE_SIZE);
        customer.mac(Codes.KEY_SHOP, at);
        Util.arrayCopyNonAtomic(memory.sheets, customer.sheet(), buffer, (short) 0, Codes.STATE_SIZE);
        return Util.arrayCopyNonAtomic(scratch, Transients.MAC, buffer, Codes.STATE_SIZE, CustomerMemory.MAC_SIZE);
    }

    private short getResult(byte[] buffer, boolean holders) {
        byte[] scratch = ram.scratch;
        short sheet = CustomerMemory.SHEET;
        short hour = Util.getShort(buffer, ISO7816.OFFSET_CDATA);
        if (holders) {
            checkHolder();
        }
        customer.fetchSheet(customer.sheet());
        Rank.readAt(scratch, sheet, memory.rules, hour);
        buffer[0] = scratch[(short) (sheet + Codes.STATE_RANK)];
        short at = Util.setShort(buffer, (short) 1, Rank.score(scratch, sheet, memory.rules));
        if (holders) {
            Sheet.roll(scratch, sheet, hour, Util.getShort(memory.limits, Codes.LIMITS_PERIOD_HOURS));
            at = Util.arrayCopyNonAtomic(scratch, (short) (sheet + Codes.STATE_VALUES), buffer, at, VALUES_SIZE);
            at = number(scratch, (short) (sheet + Codes.SHEET_POINTS_BEFORE), buffer, at);
            at = number(scratch, (short) (sheet + Codes.SHEET_POINTS_NOW), buffer, at);
            at = number(scratch, (short) (sheet + Codes.SHEET_PURSE_MINOR), buffer, at);
        }
        return at;
    }

    private static short number(byte[] from, short fo, byte[] to, short at) {
        return Util.arrayCopyNonAtomic(from, fo, to, at, DoubleWords.SIZE);
    }

    private short readRecord(byte[] buffer, short number) {
        checkHolder();
        short counter = customer.counter();
        if (number > Codes.LOG_RECORDS || Words.below(counter, number)) {
            ISOException.throwIt(Codes.SW_RECORD_NOT_FOUND);
        }
        customer.fetchRecord((short) (counter - number));
        short at = Util.arrayCopyNonAtomic(ram.scratch, Transients.RECORD, buffer, (short) 0, Codes.RECORD_SIZE);
        return customer.receipt(buffer, at);
    }

    /** 6982 if the card has a PIN and it is not verified (REQ-RES-2). */
    private void checkHolder() {
        if (pin.isPresent() && !pin.isVerified()) {
            ISOException.throwIt(Codes.SW_SECURITY_STATUS_NOT_SATISFIED);
        }
    }

    /** The length of a data object by its tag's second byte; 0 where there is none. */
    private static short dataSize(byte tag) {
        switch (tag) {
            case DATA_RULES:
                return Codes.RULES_SIZE + Codes.LIMITS_SIZE;
            case DATA_TRIES:
                return 2;
            case DATA_KEYS:
                return 2 * Persistent.CUSTOMER_KEYS;
            case DATA_SHEET:
                return Codes.SHEET_SIZE;
            default:
                return 0;
        }
    }

    private short getData(byte[] buffer, byte tag) {
        if (tag == DATA_SHEET) {
            Checks.secured(channel, true);
            return Util.arrayCopyNonAtomic(memory.sheets, customer.sheet(), buffer, (short) 0, Codes.SHEET_SIZE);
        }
        if (memory.lifeCycle[0] == Codes.LIFE_TERMINATED) {
            ISOException.throwIt(Codes.SW_CONDITIONS_NOT_SATISFIED);
        }
        if (tag == DATA_RULES) {
            short at = Util.arrayCopyNonAtomic(memory.rules, (short) 0, buffer, (short) 0, Codes.RULES_SIZE);
            return Util.arrayCopyNonAtomic(memory.limits, (short) 0, buffer, at, Codes.LIMITS_SIZE);
        }
        if (tag == DATA_TRIES) {
            return Util.arrayCopyNonAtomic(memory.tries, (short) 0, buffer, (short) 0, (short) 2);
        }
        short at = 0;
        for (byte ref = 1; ref <= Persistent.CUSTOMER_KEYS; ref++) {
            buffer[at++] = ref;
            buffer[at++] = memory.keyVersions[(short) (ref - 1)];
        }
        return at;
    }

    /** REQ-ADM-1, REQ-ADM-2. */
    private void setStatus(byte[] buffer, byte state, short lc) {
        LifeCycle.checkTransition(memory.lifeCycle[0], state);
        if (lc > 0) {
            customer.checkKey(Codes.KEY_ADMIN);
            short at = customer.headWithNonce(Codes.USE_ADMIN);
            ram.scratch[at++] = state;
            customer.checkMac(Codes.KEY_ADMIN, at, buffer, ISO7816.OFFSET_CDATA);
        } else {
            Checks.secured(channel, false);
        }
        memory.lifeCycle[0] = state;
        customer.drawNonce();
    }
}
