package joren;

import javacard.framework.Util;

/** The DGIs of a shop card (docs/spec/shop.md, STORE DATA). */
final class ShopData implements Personalizable {
    private static final short RULES = 0x0102;
    private static final short LIMITS = 0x0103;
    private static final short IDENTITY = 0x0201;
    private static final short CEILINGS = 0x0202;
    private static final short REFILL = 0x0203;
    private static final short ADMIN = (short) 0x8005;
    private static final short SHOP = (short) 0x8012;
    private static final short LOAD = (short) 0x8014;
    private static final short IDENTITY_SIZE = 7;
    private static final short CEILINGS_SIZE = 8;
    private static final short REFILL_SIZE = 10;

    private final ShopMemory memory;
    private final Persistent cells;
    private final Personalization personalization;

    ShopData(CardApplet applet, ShopMemory memory) {
        this.memory = memory;
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
            case CEILINGS:
                return FIRST;
            case REFILL:
                return LATER;
            case RULES:
            case LIMITS:
            case ADMIN:
            case SHOP:
            case LOAD:
                return FIRST | LATER;
            default:
                return UNKNOWN;
        }
    }

    @Override
    public void store(short tag, byte[] value, short offset, short length) {
        switch (tag) {
            case IDENTITY:
                Checks.that(length == IDENTITY_SIZE && Util.getShort(value, offset) == memory.programme
                    && !DoubleWords.isZero(value, (short) (offset + 2)), Codes.SW_WRONG_DATA);
                Util.arrayCopy(value, (short) (offset + 2), cells.identity, (short) 0, (short) (IDENTITY_SIZE - 2));
                break;
            case RULES:
                personalization.storeRules(value, offset, length);
                break;
            case LIMITS:
                personalization.storeLimits(value, offset, length);
                break;
            case CEILINGS:
                Checks.that(length == CEILINGS_SIZE, Codes.SW_WRONG_DATA);
                memory.giveCeilings(value, offset);
                break;
            case REFILL:
                Checks.that(length == REFILL_SIZE, Codes.SW_WRONG_DATA);
                memory.refill(value, offset);
                break;
            case ADMIN:
                Checks.that(length == Personalization.KEY_DGI_SIZE && value[offset] != 0, Codes.SW_WRONG_DATA);
                memory.masters.putAdmin(value[offset], value, (short) (offset + 1));
                break;
            default:
                storeMaster(tag == SHOP ? Codes.KEY_SHOP : Codes.KEY_LOAD, value, offset, length);
        }
    }

    /** A version of a master, or the version alone of one that goes (REQ-SPE-2). */
    private void storeMaster(byte keyRef, byte[] value, short offset, short length) {
        Checks.that((length == 1 || length == Personalization.KEY_DGI_SIZE) && value[offset] != 0, Codes.SW_WRONG_DATA);
        if (length == 1) {
            Checks.that(memory.masters.mayGo(keyRef, value[offset]), Codes.SW_WRONG_DATA);
            memory.masters.remove(keyRef, value[offset]);
        } else {
            memory.masters.put(keyRef, value[offset], value, (short) (offset + 1));
        }
    }

    @Override
    public void loadKeys() {
        memory.masters.loadKeys();
    }

    /** REQ-SPE-1. */
    @Override
    public boolean isComplete() {
        return Checks.any(cells.identity, (short) 0, (short) (IDENTITY_SIZE - 2))
            && Checks.any(cells.rules, (short) 0, Codes.RULES_SIZE)
            && Checks.any(cells.limits, (short) 0, Codes.LIMITS_SIZE)
            && cells.ceilingsGiven[0] != 0
            && memory.masters.any(Codes.KEY_SHOP)
            && cells.keyVersions[ShopMasters.ADMIN_AT] != 0;
    }

    /** Always: the versions of a shop card's masters differ, and stand side by side on purpose (REQ-SPE-2). */
    @Override
    public boolean isConsistent() {
        return true;
    }
}
