package joren;

import javacard.framework.ISOException;
import javacard.framework.Util;

/** What a transaction does to a balance sheet in RAM (docs/spec/records.md, REQ-PTS-1 to REQ-PTS-3). Points saturate (REQ-REC-5). */
final class Sheet {
    private Sheet() {
    }

    /** The sheet at an hour: points of older periods are gone; time going back rolls nothing (REQ-PTS-1). */
    static void roll(byte[] sheet, short at, short hour, short periodHours) {
        short period = Words.whole(hour, periodHours);
        short before = Util.getShort(sheet, (short) (at + Codes.SHEET_PERIOD));
        if (!Words.below(before, period)) {
            return;
        }
        short now = (short) (at + Codes.SHEET_POINTS_NOW);
        if ((short) (period - before) == 1) {
            DoubleWords.copy(sheet, now, sheet, (short) (at + Codes.SHEET_POINTS_BEFORE));
        } else {
            DoubleWords.clear(sheet, (short) (at + Codes.SHEET_POINTS_BEFORE));
        }
        DoubleWords.clear(sheet, now);
        Util.setShort(sheet, (short) (at + Codes.SHEET_PERIOD), period);
    }

    static void earn(byte[] sheet, short at, short points) {
        DoubleWords.addSaturating(sheet, (short) (at + Codes.SHEET_POINTS_NOW), points);
    }

    /** Takes points, the oldest first; 9401 if there are too few (REQ-PTS-2). `rest`: 4 bytes of RAM to compute in. */
    static void redeem(byte[] sheet, short at, byte[] points, short offset, short rest) {
        short before = (short) (at + Codes.SHEET_POINTS_BEFORE);
        if (!DoubleWords.below(sheet, before, points, offset)) {
            DoubleWords.subtract(sheet, before, points, offset);
            return;
        }
        DoubleWords.copy(points, offset, sheet, rest);
        DoubleWords.subtract(sheet, rest, sheet, before);
        DoubleWords.clear(sheet, before);
        take(sheet, (short) (at + Codes.SHEET_POINTS_NOW), sheet, rest);
    }

    /** Takes money from the purse; 9401 if it has too little. */
    static void pay(byte[] sheet, short at, byte[] amount, short offset) {
        take(sheet, (short) (at + Codes.SHEET_PURSE_MINOR), amount, offset);
    }

    /** Adds money to the purse; 9402 if that is above its limit. */
    static void load(byte[] sheet, short at, byte[] amount, short offset, byte[] limits) {
        short purse = (short) (at + Codes.SHEET_PURSE_MINOR);
        if (DoubleWords.addSaturating(sheet, purse, amount, offset)
            || DoubleWords.below(limits, Codes.LIMITS_PURSE_MAX_MINOR, sheet, purse)) {
            ISOException.throwIt(Codes.SW_BALANCE_TOO_LARGE);
        }
    }

    private static void take(byte[] sheet, short from, byte[] amount, short offset) {
        if (DoubleWords.below(sheet, from, amount, offset)) {
            ISOException.throwIt(Codes.SW_BALANCE_TOO_SMALL);
        }
        DoubleWords.subtract(sheet, from, amount, offset);
    }
}
