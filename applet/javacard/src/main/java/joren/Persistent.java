package joren;

/**
 * All that a card keeps. A field of bytes is a region of the model of the same name: lifeCycle is life_cycle there.
 *
 * Fields that begin with "cache" are no state: what they say can be made anew from the others.
 */
final class Persistent {
    static final short KEY_SIZE = 16;
    static final short CARD_ID_SIZE = 8;
    static final short PIN_SIZE = 8;
    static final short CUSTOMER_KEYS = 5;
    static final short SHOP_KEYS = 5;
    static final short SHOP_LOG_RECORD_SIZE = Codes.ENTRY_SIZE + 1;

    final byte[] lifeCycle = new byte[1];
    final byte[] rules = new byte[Codes.RULES_SIZE];
    final byte[] limits = new byte[Codes.LIMITS_SIZE];
    final byte[] log;
    final byte[] keyVersions;
    final byte[] keyAdmin = new byte[KEY_SIZE];

    final byte[] cardId;
    final byte[] counter;
    final byte[] sheets;
    final byte[] keyTill;
    final byte[] keyShop;
    final byte[] keyReceipt;
    final byte[] keyLoad;
    final byte[] pin;
    final byte[] puk;
    final byte[] tries;

    final byte[] identity;
    final byte[] ceilingsGiven;
    final byte[] shopSheets;
    final byte[] pending;
    final byte[] keyShopMaster0;
    final byte[] keyShopMaster1;
    final byte[] keyLoadMaster0;
    final byte[] keyLoadMaster1;

    /** What the applet's own secure channel keeps, in a build that has one. */
    final byte[] channelKeys;
    final byte[] channelCounter;

    /** For each key whether its key object has to be loaded from its bytes. */
    final byte[] cacheStale;

    Persistent(boolean customer) {
        cardId = customer ? new byte[CARD_ID_SIZE] : null;
        counter = customer ? new byte[2] : null;
        sheets = customer ? new byte[2 * Codes.SHEET_SIZE] : null;
        keyTill = customer ? new byte[KEY_SIZE] : null;
        keyShop = customer ? new byte[KEY_SIZE] : null;
        keyReceipt = customer ? new byte[KEY_SIZE] : null;
        keyLoad = customer ? new byte[KEY_SIZE] : null;
        pin = customer ? new byte[PIN_SIZE] : null;
        puk = customer ? new byte[PIN_SIZE] : null;
        tries = customer ? new byte[2] : null;

        identity = customer ? null : new byte[5];
        ceilingsGiven = customer ? null : new byte[1];
        shopSheets = customer ? null : new byte[Codes.SHOP_SHEETS * Codes.SHOP_SHEET_SIZE];
        pending = customer ? null : new byte[Codes.PENDING_ENTRIES * Codes.ENTRY_SIZE];
        keyShopMaster0 = customer ? null : new byte[KEY_SIZE];
        keyShopMaster1 = customer ? null : new byte[KEY_SIZE];
        keyLoadMaster0 = customer ? null : new byte[KEY_SIZE];
        keyLoadMaster1 = customer ? null : new byte[KEY_SIZE];

        log = customer ? new byte[Codes.LOG_RECORDS * Codes.RECORD_SIZE] : new byte[Codes.SHOP_LOG_RECORDS * SHOP_LOG_RECORD_SIZE];
        keyVersions = new byte[customer ? CUSTOMER_KEYS : SHOP_KEYS];
        boolean own = PlatformChannel.KEYS_SIZE > 0;
        channelKeys = own ? new byte[PlatformChannel.KEYS_SIZE] : null;
        channelCounter = own ? new byte[PlatformChannel.COUNTER_SIZE] : null;
        cacheStale = new byte[customer ? CUSTOMER_KEYS : SHOP_KEYS];
    }
}
