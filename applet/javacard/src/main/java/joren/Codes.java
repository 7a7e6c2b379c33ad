package joren;

/** The numbers of the specification: made by `python -m joren.commands.java_constants`, not to be edited. */
final class Codes {
    static final byte[] AID_CUSTOMER = {(byte) 0xF0, (byte) 0x6A, (byte) 0x6F, (byte) 0x72, (byte) 0x65, (byte) 0x6E, (byte) 0x01};
    static final byte[] AID_SHOP = {(byte) 0xF0, (byte) 0x6A, (byte) 0x6F, (byte) 0x72, (byte) 0x65, (byte) 0x6E, (byte) 0x02};

    static final byte INS_VERIFY = (byte) 0x20;
    static final byte INS_CHANGE_REFERENCE_DATA = (byte) 0x24;
    static final byte INS_RESET_RETRY_COUNTER = (byte) 0x2C;
    static final byte INS_TRANSACT = (byte) 0x30;
    static final byte INS_GET_STATE = (byte) 0x32;
    static final byte INS_COMMIT = (byte) 0x34;
    static final byte INS_PROVE = (byte) 0x36;
    static final byte INS_GET_RESULT = (byte) 0x38;
    static final byte INS_COMPUTE = (byte) 0x40;
    static final byte INS_AUTHORIZE = (byte) 0x42;
    static final byte INS_RATIFY = (byte) 0x44;
    static final byte INS_MANAGE_CHANNEL = (byte) 0x70;
    static final byte INS_GET_CHALLENGE = (byte) 0x84;
    static final byte INS_SELECT = (byte) 0xA4;
    static final byte INS_READ_RECORD = (byte) 0xB2;
    static final byte INS_GET_RESPONSE = (byte) 0xC0;
    static final byte INS_GET_DATA = (byte) 0xCA;
    static final byte INS_STORE_DATA = (byte) 0xE2;
    static final byte INS_SET_STATUS = (byte) 0xF0;

    static final byte KIND_PURCHASE = (byte) 0x01;
    static final byte KIND_PAY_AND_EARN = (byte) 0x02;
    static final byte KIND_REDEEM = (byte) 0x03;
    static final byte KIND_LOAD = (byte) 0x04;
    static final byte KIND_PAY = (byte) 0x05;
    static final byte KIND_VOID_PURCHASE = (byte) 0x81;
    static final byte KIND_VOID_PAY_AND_EARN = (byte) 0x82;
    static final byte KIND_VOID_REDEEM = (byte) 0x83;
    static final byte KIND_VOID_LOAD = (byte) 0x84;
    static final byte KIND_VOID_PAY = (byte) 0x85;

    static final byte KEY_TILL = (byte) 0x01;
    static final byte KEY_SHOP = (byte) 0x02;
    static final byte KEY_RECEIPT = (byte) 0x03;
    static final byte KEY_LOAD = (byte) 0x04;
    static final byte KEY_ADMIN = (byte) 0x05;

    static final byte LIFE_SELECTABLE = (byte) 0x07;
    static final byte LIFE_ISSUED = (byte) 0x0F;
    static final byte LIFE_BLOCKED = (byte) 0x83;
    static final byte LIFE_TERMINATED = (byte) 0xFF;

    static final byte ENDING_NOT_COMMITTED = (byte) 0x00;
    static final byte ENDING_COMMITTED = (byte) 0x01;
    static final byte ENDING_UNKNOWN = (byte) 0x02;
    static final byte ENDING_VOIDED = (byte) 0x03;

    static final short SW_OK = (short) 0x9000;
    static final short SW_RESPONSE_AVAILABLE = (short) 0x6100;
    static final short SW_NO_INFORMATION_GIVEN = (short) 0x6200;
    static final short SW_FILE_DEACTIVATED = (short) 0x6283;
    static final short SW_FILE_TERMINATED = (short) 0x6285;
    static final short SW_AUTHENTICATION_FAILED = (short) 0x6300;
    static final short SW_MORE_DATA_AVAILABLE = (short) 0x6310;
    static final short SW_VERIFY_FAILED = (short) 0x63C0;
    static final short SW_WRONG_LENGTH = (short) 0x6700;
    static final short SW_LOGICAL_CHANNEL_NOT_SUPPORTED = (short) 0x6881;
    static final short SW_SECURE_MESSAGING_NOT_SUPPORTED = (short) 0x6882;
    static final short SW_SECURITY_STATUS_NOT_SATISFIED = (short) 0x6982;
    static final short SW_AUTHENTICATION_METHOD_BLOCKED = (short) 0x6983;
    static final short SW_CONDITIONS_NOT_SATISFIED = (short) 0x6985;
    static final short SW_MAC_INCORRECT = (short) 0x6988;
    static final short SW_WRONG_DATA = (short) 0x6A80;
    static final short SW_FUNCTION_NOT_SUPPORTED = (short) 0x6A81;
    static final short SW_FILE_NOT_FOUND = (short) 0x6A82;
    static final short SW_RECORD_NOT_FOUND = (short) 0x6A83;
    static final short SW_NOT_ENOUGH_MEMORY = (short) 0x6A84;
    static final short SW_INCORRECT_P1_P2 = (short) 0x6A86;
    static final short SW_REFERENCED_DATA_NOT_FOUND = (short) 0x6A88;
    static final short SW_WRONG_LE = (short) 0x6C00;
    static final short SW_INS_NOT_SUPPORTED = (short) 0x6D00;
    static final short SW_CLA_NOT_SUPPORTED = (short) 0x6E00;
    static final short SW_NO_PRECISE_DIAGNOSIS = (short) 0x6F00;
    static final short SW_BALANCE_TOO_SMALL = (short) 0x9401;
    static final short SW_BALANCE_TOO_LARGE = (short) 0x9402;
    static final short SW_CEILING_REACHED = (short) 0x9403;
    static final short SW_TIME_JUMP = (short) 0x9404;
    static final short SW_FACTOR_ABOVE_LIMIT = (short) 0x9405;
    static final short SW_CATEGORY_UNKNOWN = (short) 0x9406;
    static final short SW_COUNTER_EXHAUSTED = (short) 0x9407;
    static final short SW_MODE_NOT_ALLOWED = (short) 0x9408;
    static final short SW_RULES_MISMATCH = (short) 0x9409;
    static final short SW_NOTHING_TO_VOID = (short) 0x940A;
    static final short SW_PENDING_FULL = (short) 0x940B;

    static final byte USE_STATE = (byte) 0x51;
    static final byte USE_ORDER = (byte) 0x52;
    static final byte USE_COMMIT = (byte) 0x53;
    static final byte USE_PROOF = (byte) 0x54;
    static final byte USE_ABSENCE = (byte) 0x55;
    static final byte USE_RECEIPT = (byte) 0x56;
    static final byte USE_ADMIN = (byte) 0x57;

    static final short LOG_RECORDS = 24;
    static final short PENDING_ENTRIES = 16;
    static final short SHOP_LOG_RECORDS = 32;
    static final short SHOP_SHEETS = 16;
    static final short PIN_TRIES = 3;
    static final short PUK_TRIES = 10;

    static final short STATE_VERSION = 0;
    static final short STATE_RANK = 1;
    static final short STATE_FIRST_HOUR = 2;
    static final short STATE_LAST_HOUR = 4;
    static final short STATE_VISIT_HOUR = 6;
    static final short STATE_VISITS = 8;
    static final short STATE_RANK_HOUR = 10;
    static final short STATE_GAP8 = 12;
    static final short STATE_CARRY = 14;
    static final short STATE_VALUES = 16;
    static final short STATE_SIZE = 32;

    static final short RULES_RULES_VERSION = 0;
    static final short RULES_AMOUNT_SHIFT = 1;
    static final short RULES_VISIT_GAP_HOURS = 2;
    static final short RULES_JUMP_MAX_HOURS = 4;
    static final short RULES_HOLD_HOURS = 6;
    static final short RULES_CLIMB = 8;
    static final short RULES_KEEP = 18;
    static final short RULES_RATE_BP = 28;
    static final short RULES_POINTS_CAP = 38;
    static final short RULES_SLOTS = 40;
    static final short RULES_SIZE = 80;

    static final short LIMITS_MODES = 0;
    static final short LIMITS_FACTOR_MAX_TENTHS = 1;
    static final short LIMITS_CATEGORIES = 2;
    static final short LIMITS_PERIOD_HOURS = 4;
    static final short LIMITS_PURSE_MAX_MINOR = 6;
    static final short LIMITS_REDEEM_PIN_FROM = 10;
    static final short LIMITS_PAY_PIN_FROM_MINOR = 14;
    static final short LIMITS_SIZE = 18;

    static final short ORDER_HOUR = 0;
    static final short ORDER_AMOUNT = 2;
    static final short ORDER_CATEGORY = 6;
    static final short ORDER_FACTOR_TENTHS = 7;
    static final short ORDER_SHOP = 8;
    static final short ORDER_SEQUENCE = 12;
    static final short ORDER_SIZE = 16;

    static final short OUTCOME_RANK = 0;
    static final short OUTCOME_RULES_VERSION = 1;
    static final short OUTCOME_SCORE = 2;
    static final short OUTCOME_POINTS = 4;
    static final short OUTCOME_POINTS_BALANCE = 8;
    static final short OUTCOME_PURSE_MINOR = 12;
    static final short OUTCOME_SIZE = 16;

    static final short SHEET_POINTS_NOW = 32;
    static final short SHEET_POINTS_BEFORE = 36;
    static final short SHEET_PERIOD = 40;
    static final short SHEET_PURSE_MINOR = 42;
    static final short SHEET_SIZE = 46;

    static final short CUSTOMER_INFO_VERSION = 0;
    static final short CUSTOMER_INFO_LIFE_CYCLE = 1;
    static final short CUSTOMER_INFO_FLAGS = 2;
    static final short CUSTOMER_INFO_RULES_VERSION = 3;
    static final short CUSTOMER_INFO_PROGRAMME = 4;
    static final short CUSTOMER_INFO_CARD_ID = 6;
    static final short CUSTOMER_INFO_COUNTER = 14;
    static final short CUSTOMER_INFO_NONCE = 16;
    static final short CUSTOMER_INFO_RANK = 24;
    static final short CUSTOMER_INFO_KEY_VERSION = 25;
    static final short CUSTOMER_INFO_SIZE = 26;

    static final short SHOP_INFO_VERSION = 0;
    static final short SHOP_INFO_LIFE_CYCLE = 1;
    static final short SHOP_INFO_RULES_VERSION = 2;
    static final short SHOP_INFO_PENDING = 3;
    static final short SHOP_INFO_PROGRAMME = 4;
    static final short SHOP_INFO_SHOP = 6;
    static final short SHOP_INFO_TERMINAL = 10;
    static final short SHOP_INFO_SEQUENCE = 11;
    static final short SHOP_INFO_POINTS_LEFT = 15;
    static final short SHOP_INFO_MONEY_LEFT_MINOR = 19;
    static final short SHOP_INFO_REFILLS = 23;
    static final short SHOP_INFO_SIZE = 25;

    static final short ENTRY_KIND = 0;
    static final short ENTRY_KEY_REF = 1;
    static final short ENTRY_COUNTER = 2;
    static final short ENTRY_HOUR = 4;
    static final short ENTRY_AMOUNT = 6;
    static final short ENTRY_CATEGORY = 10;
    static final short ENTRY_FACTOR_TENTHS = 11;
    static final short ENTRY_SEQUENCE = 12;
    static final short ENTRY_CARD_ID = 16;
    static final short ENTRY_RANK = 24;
    static final short ENTRY_RULES_VERSION = 25;
    static final short ENTRY_SCORE = 26;
    static final short ENTRY_POINTS = 28;
    static final short ENTRY_SIZE = 32;

    static final short TOTALS_POINTS_GRANTED = 0;
    static final short TOTALS_POINTS_REDEEMED = 4;
    static final short TOTALS_MONEY_LOADED_MINOR = 8;
    static final short TOTALS_MONEY_PAID_MINOR = 12;
    static final short TOTALS_POINTS_GRANTED_VOIDED = 16;
    static final short TOTALS_POINTS_REDEEMED_VOIDED = 20;
    static final short TOTALS_MONEY_LOADED_VOIDED_MINOR = 24;
    static final short TOTALS_MONEY_PAID_VOIDED_MINOR = 28;
    static final short TOTALS_POINTS_WRITTEN_OFF = 32;
    static final short TOTALS_MONEY_WRITTEN_OFF_MINOR = 36;
    static final short TOTALS_TRANSACTIONS = 40;
    static final short TOTALS_SIZE = 44;

    static final short SHOP_SHEET_COUNT = 0;
    static final short SHOP_SHEET_CLOSED = 4;
    static final short SHOP_SHEET_POINTS_LEFT = 8;
    static final short SHOP_SHEET_MONEY_LEFT_MINOR = 12;
    static final short SHOP_SHEET_TOTALS = 16;
    static final short SHOP_SHEET_REFILLS = 60;
    static final short SHOP_SHEET_SIZE = 62;

    static final short SLOT_RATE = 0;
    static final short SLOT_VISIT = 2;
    static final short SLOT_CAP = 4;
    static final short SLOT_CATEGORIES = 6;
    static final short SLOT_SHARE = 8;
    static final short SLOT_SIZE = 10;

    static final short RECORD_KIND = 0;
    static final short RECORD_KEY_REF = 1;
    static final short RECORD_COUNTER = 2;
    static final short RECORD_ORDER = 4;
    static final short RECORD_OUTCOME = 20;
    static final short RECORD_SIZE = 36;

    static final byte IN_SELECTABLE = (byte) 0x01;
    static final byte IN_ISSUED = (byte) 0x02;
    static final byte IN_BLOCKED = (byte) 0x04;
    static final byte IN_TERMINATED = (byte) 0x08;

    static final byte CUSTOMER_VERIFY_IN = (byte) 0x02;
    static final byte CUSTOMER_CHANGE_REFERENCE_DATA_IN = (byte) 0x02;
    static final byte CUSTOMER_RESET_RETRY_COUNTER_IN = (byte) 0x02;
    static final byte CUSTOMER_TRANSACT_IN = (byte) 0x02;
    static final byte CUSTOMER_GET_STATE_IN = (byte) 0x02;
    static final byte CUSTOMER_COMMIT_IN = (byte) 0x02;
    static final byte CUSTOMER_PROVE_IN = (byte) 0x06;
    static final byte CUSTOMER_GET_RESULT_IN = (byte) 0x02;
    static final byte CUSTOMER_READ_RECORD_IN = (byte) 0x02;
    static final byte CUSTOMER_GET_DATA_IN = (byte) 0x0E;
    static final byte CUSTOMER_STORE_DATA_IN = (byte) 0x07;
    static final byte CUSTOMER_SET_STATUS_IN = (byte) 0x06;

    static final byte SHOP_COMPUTE_IN = (byte) 0x02;
    static final byte SHOP_AUTHORIZE_IN = (byte) 0x02;
    static final byte SHOP_RATIFY_IN = (byte) 0x06;
    static final byte SHOP_GET_CHALLENGE_IN = (byte) 0x06;
    static final byte SHOP_READ_RECORD_IN = (byte) 0x0E;
    static final byte SHOP_GET_DATA_IN = (byte) 0x0E;
    static final byte SHOP_STORE_DATA_IN = (byte) 0x07;
    static final byte SHOP_SET_STATUS_IN = (byte) 0x06;

    private Codes() {
    }
}
