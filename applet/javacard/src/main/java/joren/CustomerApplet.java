package joren;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/** The customer card (docs/spec/customer.md): one programme on a customer's card. */
public final class CustomerApplet extends CardApplet {
    private static final byte VERSION = 1;
    private static final byte FLAG_PURSE = 0x04;
    private static final byte FLAG_PIN = 0x08;

    private final CustomerMemory customer;
    private final Pin pin;

    private CustomerApplet(byte[] parameters, short offset, byte length) {
        super(Codes.AID_CUSTOMER, parameters, offset, length);
        customer = new CustomerMemory(memory, ram, programme);
        pin = new Pin(memory, ram);
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
        ISOException.throwIt(Codes.SW_INS_NOT_SUPPORTED);
        return 0;
    }
}
