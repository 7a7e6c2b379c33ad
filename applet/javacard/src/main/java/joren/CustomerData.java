package joren;

import javacard.framework.Util;

/** The DGIs of a customer card (docs/spec/customer.md, STORE DATA). */
final class CustomerData implements Personalizable {
    private static final short IDENTITY = 0x0101;
    private static final short RULES = 0x0102;
    private static final short LIMITS = 0x0103;
    private static final short SHEET = 0x0105;
    private static final short KEY = (short) 0x8000;
    private static final short PIN = (short) 0x8110;
    private static final short PUK = (short) 0x8112;
    private static final short IDENTITY_SIZE = 10;

    private final CustomerMemory memory;
    private final Persistent cells;
    private final Pin pin;
    private final Personalization personalization;

    CustomerData(CardApplet applet, CustomerMemory memory, Pin pin) {
        this.memory = memory;
        this.pin = pin;
        cells = memory.cells;
        personalization = new Personalization(applet, this);
    }

    Personalization personalization() {
        return personalization;
    }

    @Override
    public byte taken(short tag) {
        switch (tag) {
            case IDENTITY:
            case SHEET:
                return FIRST;
            case RULES:
            case LIMITS:
            case PIN:
            case PUK:
                return FIRST | LATER;
            default:
                return isKey(tag) ? FIRST | LATER : UNKNOWN;
        }
    }

    private static boolean isKey(short tag) {
        short ref = (short) (tag - KEY);
        return ref > 0 && ref <= Persistent.CUSTOMER_KEYS;
    }

    @Override
    public void store(short tag, byte[] value, short offset, short length) {
        switch (tag) {
            case IDENTITY:
                Checks.that(length == IDENTITY_SIZE
                    && Util.getShort(value, (short) (offset + Persistent.CARD_ID_SIZE)) == memory.programme
                    && Checks.any(value, offset, Persistent.CARD_ID_SIZE), Codes.SW_WRONG_DATA);
                Util.arrayCopy(value, offset, cells.cardId, (short) 0, Persistent.CARD_ID_SIZE);
                break;
            case RULES:
                personalization.storeRules(value, offset, length);
                break;
            case LIMITS:
                personalization.storeLimits(value, offset, length);
                break;
            case SHEET:
                Checks.that(length == Codes.SHEET_SIZE && Rank.validState(value, offset), Codes.SW_WRONG_DATA);
                Util.arrayCopy(value, offset, cells.sheets, (short) 0, Codes.SHEET_SIZE);
                break;
            case PIN:
                Checks.that(length == Persistent.PIN_SIZE && Pin.isPin(value, offset), Codes.SW_WRONG_DATA);
                pin.storePin(value, offset);
                pin.forget();
                break;
            case PUK:
                Checks.that(length == Persistent.PIN_SIZE && Pin.isPuk(value, offset), Codes.SW_WRONG_DATA);
                pin.storePuk(value, offset);
                break;
            default:
                storeKey((byte) (tag - KEY), value, offset, length);
        }
    }

    private void storeKey(byte ref, byte[] value, short offset, short length) {
        Checks.that(length == Personalization.KEY_DGI_SIZE && value[offset] != 0, Codes.SW_WRONG_DATA);
        cells.keyVersions[(short) (ref - 1)] = value[offset];
        memory.storeKey(ref, value, (short) (offset + 1));
    }

    @Override
    public void loadKeys() {
        memory.loadKeys();
    }

    /** REQ-PER-3. */
    @Override
    public boolean isComplete() {
        byte modes = cells.limits[Codes.LIMITS_MODES];
        return Checks.any(cells.cardId, (short) 0, Persistent.CARD_ID_SIZE)
            && Checks.any(cells.rules, (short) 0, Codes.RULES_SIZE)
            && Checks.any(cells.limits, (short) 0, Codes.LIMITS_SIZE)
            && memory.hasKey(Codes.KEY_RECEIPT)
            && memory.hasKey(Codes.KEY_ADMIN)
            && ((modes & Codes.KEY_TILL) == 0 || memory.hasKey(Codes.KEY_TILL))
            && ((modes & Codes.KEY_SHOP) == 0 || memory.hasKey(Codes.KEY_SHOP))
            && (DoubleWords.isZero(cells.limits, Codes.LIMITS_PURSE_MAX_MINOR) || memory.hasKey(Codes.KEY_LOAD))
            && pin.isPresent() == pin.isPukPresent();
    }

    /** REQ-KEY-5. */
    @Override
    public boolean isConsistent() {
        return Personalization.isOneVersion(cells.keyVersions);
    }
}
