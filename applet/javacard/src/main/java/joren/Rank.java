package joren;

import javacard.framework.Util;

/**
 * The rank arithmetic of docs/spec/rank.md on records as they are: rules, and state and order with their offsets.
 *
 * How it works. A purchase changes a state that the caller has copied to RAM, in place, step by step. Nothing is wider than a word, and no
 * word is kept but on the stack. What a card reads at a later hour is the first three steps alone.
 */
final class Rank {
    private static final byte VERSION = 1;
    private static final byte RANK_MAX = 4;
    private static final short CARRY_DIVISOR = 10000;
    private static final short GAP_MAX = 8191;
    private static final short X1 = 10;

    private static final short VALUE_SIZE = 4;
    /** Of a number of steps what is less than a half-life. */
    private static final short STEPS = 63;
    private static final short SHARE_MAX = 256;

    /** T[j] of REQ-RANK-09, less 65536, which leaves the same 16 bits. */
    private static final short[] FALL_FACTORS = {
        0, -706, -1404, -2095, -2779, -3455, -4123, -4785, -5439, -6087, -6727, -7360, -7987, -8607, -9220, -9827,
        -10427, -11021, -11608, -12189, -12763, -13332, -13894, -14451, -15001, -15545, -16084, -16616, -17143, -17665, -18180, -18690,
        -19195, -19694, -20188, -20677, -21160, -21638, -22111, -22578, -23041, -23499, -23952, -24400, -24843, -25281, -25715, -26144,
        -26568, -26988, -27403, -27814, -28220, -28622, -29020, -29413, -29802, -30187, -30568, -30945, -31317, -31686, -32050, -32411,
    };

    private Rank() {
    }

    /** REQ-RANK-02. */
    static boolean validState(byte[] state, short so) {
        short last = Util.getShort(state, (short) (so + Codes.STATE_LAST_HOUR));
        short visit = Util.getShort(state, (short) (so + Codes.STATE_VISIT_HOUR));
        byte rank = state[(short) (so + Codes.STATE_RANK)];
        return state[so] == VERSION && rank >= 0 && rank <= RANK_MAX
            && Words.below(Util.getShort(state, (short) (so + Codes.STATE_CARRY)), CARRY_DIVISOR)
            && !Words.below(visit, Util.getShort(state, (short) (so + Codes.STATE_FIRST_HOUR)))
            && !Words.below(last, visit)
            && !Words.below(last, Util.getShort(state, (short) (so + Codes.STATE_RANK_HOUR)));
    }

    /** REQ-RANK-05, of 80 bytes. */
    static boolean validRules(byte[] rules, short ro) {
        byte shift = rules[(short) (ro + Codes.RULES_AMOUNT_SHIFT)];
        if (shift < 0 || shift > 31 || Util.getShort(rules, (short) (ro + Codes.RULES_HOLD_HOURS)) == 0
            || Util.getShort(rules, (short) (ro + Codes.RULES_CLIMB)) != 0 || Util.getShort(rules, (short) (ro + Codes.RULES_KEEP)) != 0) {
            return false;
        }
        for (short at = 2; at <= 2 * RANK_MAX; at += 2) {
            short climb = Util.getShort(rules, (short) (ro + Codes.RULES_CLIMB + at));
            short keep = Util.getShort(rules, (short) (ro + Codes.RULES_KEEP + at));
            if (!Words.below(Util.getShort(rules, (short) (ro + Codes.RULES_CLIMB + at - 2)), climb)
                || !Words.below(Util.getShort(rules, (short) (ro + Codes.RULES_KEEP + at - 2)), keep) || Words.below(climb, keep)) {
                return false;
            }
        }
        for (short at = Codes.RULES_SLOTS + Codes.SLOT_SHARE; at < Codes.RULES_SIZE; at += Codes.SLOT_SIZE) {
            if (Words.below(SHARE_MAX, Util.getShort(rules, (short) (ro + at)))) {
                return false;
            }
        }
        return true;
    }

    /** Whether the hour is too far ahead of the newest one of a state that has been used (REQ-RANK-07, REQ-TRX-3). */
    static boolean timeJump(byte[] state, short so, byte[] rules, short hour) {
        short last = Util.getShort(state, (short) (so + Codes.STATE_LAST_HOUR));
        return Util.getShort(state, (short) (so + Codes.STATE_VISITS)) != 0 && Words.below(last, hour)
            && Words.below(Util.getShort(rules, Codes.RULES_JUMP_MAX_HOURS), (short) (hour - last));
    }

    /**
     * A purchase (REQ-RANK-06) by the first 8 bytes of an order, at an hour that is no time jump: changes the state, in RAM, writes its score
     * to a place in the same array, and returns the points granted, u16.
     */
    static short purchase(byte[] state, short so, byte[] rules, byte[] order, short oo, short scoreAt) {
        short hour = Util.getShort(order, oo);
        if (Util.getShort(state, (short) (so + Codes.STATE_VISITS)) == 0) {
            Util.setShort(state, (short) (so + Codes.STATE_FIRST_HOUR), hour);
            Util.setShort(state, (short) (so + Codes.STATE_LAST_HOUR), hour);
            Util.setShort(state, (short) (so + Codes.STATE_VISIT_HOUR), hour);
            Util.setShort(state, (short) (so + Codes.STATE_RANK_HOUR), hour);
        } else {
            hour = readAt(state, so, rules, hour);
        }
        short points = earn(state, so, rules, order, oo);
        boolean counted = visit(state, so, Util.getShort(rules, Codes.RULES_VISIT_GAP_HOURS), hour);
        short score = deposit(state, so, rules, order, oo, counted);
        Util.setShort(state, scoreAt, score);
        climb(state, so, rules, (short) (score ^ Words.SIGN), hour);
        return points;
    }

    /** The score of the values as they are, u16 (REQ-RANK-16). */
    static short score(byte[] state, short so, byte[] rules) {
        short total = 0;
        short slot = (short) (Codes.RULES_SLOTS + Codes.SLOT_SHARE);
        short end = (short) (so + Codes.STATE_SIZE);
        for (short at = (short) (so + Codes.STATE_VALUES); at < end; at += VALUE_SIZE) {
            short share = Util.getShort(rules, slot);
            if (share != 0) {
                total = Words.addSaturating(total, Words.part(Util.getShort(state, at), share));
            }
            slot += Codes.SLOT_SIZE;
        }
        return total;
    }

    /**
     * Steps 1 to 3: makes the state, in RAM, what a purchase at this hour would start from (REQ-RANK-17), last_hour with it, and returns
     * the hour that takes its place. A state that has not been used stays as it is. The steps of a value, G(last + gap) - G(last) of
     * REQ-RANK-08, are the upper word of gap * rate and the carry of the lower words.
     */
    static short readAt(byte[] state, short so, byte[] rules, short hour) {
        short last = Util.getShort(state, (short) (so + Codes.STATE_LAST_HOUR));
        if (Util.getShort(state, (short) (so + Codes.STATE_VISITS)) == 0) {
            return hour;
        }
        if ((short) (hour ^ Words.SIGN) < (short) (last ^ Words.SIGN)) {
            hour = last;
        }
        short gap = (short) (hour - last);
        if (gap != 0) {
            short slot = Codes.RULES_SLOTS;
            short end = (short) (so + Codes.STATE_SIZE);
            for (short at = (short) (so + Codes.STATE_VALUES); at < end; at += VALUE_SIZE) {
                short rate = Util.getShort(rules, slot);
                if (rate != 0) {
                    short steps = Words.upper(gap, rate);
                    short low = (short) (gap * rate);
                    if ((short) ((low + last * rate) ^ Words.SIGN) < (short) (low ^ Words.SIGN)) {
                        steps++;
                    }
                    if ((steps & STEPS) != 0) {
                        fall(state, at, FALL_FACTORS[(short) (steps & STEPS)]);
                    }
                    if ((steps & ~STEPS) != 0) {
                        halve(state, at, (short) ((steps >> 6) & 0x3FF));
                    }
                }
                slot += Codes.SLOT_SIZE;
            }
            Util.setShort(state, (short) (so + Codes.STATE_LAST_HOUR), hour);
        }
        settle(state, so, rules, hour, gap);
        return hour;
    }

    /** value * factor >> 16, byte after byte from the lowest: what is carried is at most 65535 each time. */
    private static void fall(byte[] state, short at, short factor) {
        short factorHigh = (short) ((factor >> 8) & Words.BYTE);
        short factorLow = (short) (factor & Words.BYTE);
        short digit = (short) (state[(short) (at + 3)] & Words.BYTE);
        short carry = (short) (digit * factorHigh + (((short) (digit * factorLow) >> 8) & Words.BYTE));
        digit = (short) (state[(short) (at + 2)] & Words.BYTE);
        short sum = (short) (digit * factorLow + (carry & Words.BYTE));
        carry = (short) (digit * factorHigh + ((carry >> 8) & Words.BYTE) + ((sum >> 8) & Words.BYTE));
        digit = (short) (state[(short) (at + 1)] & Words.BYTE);
        sum = (short) (digit * factorLow + (carry & Words.BYTE));
        state[(short) (at + 3)] = (byte) sum;
        carry = (short) (digit * factorHigh + ((carry >> 8) & Words.BYTE) + ((sum >> 8) & Words.BYTE));
        digit = (short) (state[at] & Words.BYTE);
        sum = (short) (digit * factorLow + (carry & Words.BYTE));
        state[(short) (at + 2)] = (byte) sum;
        Util.setShort(state, at, (short) (digit * factorHigh + ((carry >> 8) & Words.BYTE) + ((sum >> 8) & Words.BYTE)));
    }

    /** value >> halvings, of which there are some. */
    private static void halve(byte[] state, short at, short halvings) {
        short high = Util.getShort(state, at);
        short low = Util.getShort(state, (short) (at + 2));
        if (halvings >= 32) {
            high = 0;
            low = 0;
        } else if (halvings >= 16) {
            low = halvings == 16 ? high : Words.shiftRight(high, (short) (halvings - 16));
            high = 0;
        } else {
            low = (short) (Words.shiftRight(low, halvings) | (high << (short) (16 - halvings)));
            high = Words.shiftRight(high, halvings);
        }
        Util.setShort(state, at, high);
        Util.setShort(state, (short) (at + 2), low);
    }

    /** REQ-RANK-10: one rank, and one more for each whole hold that the gap has beyond the first. */
    private static void settle(byte[] state, short so, byte[] rules, short hour, short gap) {
        byte rank = state[(short) (so + Codes.STATE_RANK)];
        short hold = Util.getShort(rules, Codes.RULES_HOLD_HOURS);
        if (rank == 0 || Words.below((short) (hour - Util.getShort(state, (short) (so + Codes.STATE_RANK_HOUR))), hold)) {
            return;
        }
        short score = score(state, so, rules);
        short left = Words.below(gap, hold) ? 0 : (short) (gap - hold);
        while (rank > 0 && Words.below(score, Util.getShort(rules, (short) (Codes.RULES_KEEP + 2 * rank)))) {
            rank--;
            Util.setShort(state, (short) (so + Codes.STATE_RANK_HOUR), hour);
            if (Words.below(left, hold)) {
                break;
            }
            left -= hold;
        }
        state[(short) (so + Codes.STATE_RANK)] = rank;
    }

    /** REQ-RANK-11, REQ-RANK-12. */
    private static short earn(byte[] state, short so, byte[] rules, byte[] order, short oo) {
        short rate = rate(Util.getShort(rules, (short) (Codes.RULES_RATE_BP + 2 * state[(short) (so + Codes.STATE_RANK)])),
            (short) (order[(short) (oo + Codes.ORDER_FACTOR_TENTHS)] & Words.BYTE));
        short carry = Util.getShort(state, (short) (so + Codes.STATE_CARRY));
        short high = Util.getShort(order, (short) (oo + Codes.ORDER_AMOUNT));
        short low = Util.getShort(order, (short) (oo + Codes.ORDER_AMOUNT + 2));
        short top = 0;
        short middle = Words.upper(low, rate);
        short bottom = (short) (low * rate + carry);
        if ((short) (bottom ^ Words.SIGN) < (short) (carry ^ Words.SIGN)) {
            middle++;
        }
        if (high != 0) {
            top = Words.upper(high, rate);
            high = (short) (high * rate);
            middle += high;
            if (Words.below(middle, high)) {
                top++;
            }
        }
        short points = Util.getShort(rules, Codes.RULES_POINTS_CAP);
        carry = 0;
        if (top == 0 && middle >= 0 && middle < CARRY_DIVISOR) {
            short quotient = quotient(middle, bottom);
            if ((short) (points ^ Words.SIGN) >= (short) (quotient ^ Words.SIGN)) {
                points = quotient;
                carry = (short) (bottom - quotient * CARRY_DIVISOR);
            }
        }
        Util.setShort(state, (short) (so + Codes.STATE_CARRY), carry);
        return points;
    }

    /** The rate by the factor, in tenths: by long division, eight bits a step. */
    private static short rate(short rate, short factor) {
        if (factor == X1) {
            return rate;
        }
        short over = Words.upper(rate, factor);
        if (over >= X1) {
            return Words.MOST;
        }
        rate = (short) (rate * factor);
        short rest = (short) ((over << 8) | ((rate >> 8) & Words.BYTE));
        return (short) (((rest / X1) << 8) | (short) ((short) (((rest % X1) << 8) | (rate & Words.BYTE)) / X1));
    }

    /** A number of 32 bits, its upper word below 10000, by 10000 = 16 * 625: by long division, four bits a step, without the last four. */
    private static short quotient(short high, short low) {
        short rest = (short) (((high % 625) << 4) | ((low >> 12) & 0x0F));
        short quotient = (short) (((high / 625) << 4) | (rest / 625));
        rest = (short) (((rest % 625) << 4) | ((low >> 8) & 0x0F));
        quotient = (short) ((quotient << 4) | (rest / 625));
        rest = (short) (((rest % 625) << 4) | ((low >> 4) & 0x0F));
        return (short) ((quotient << 4) | (rest / 625));
    }

    /** REQ-RANK-13: whether the visit is counted. */
    private static boolean visit(byte[] state, short so, short visitGap, short hour) {
        short visits = Util.getShort(state, (short) (so + Codes.STATE_VISITS));
        short gap = (short) (hour - Util.getShort(state, (short) (so + Codes.STATE_VISIT_HOUR)));
        if (visits != 0 && Words.below(gap, visitGap)) {
            return false;
        }
        if (gap < 0 || gap > GAP_MAX) {
            gap = GAP_MAX;
        }
        short gap8 = Util.getShort(state, (short) (so + Codes.STATE_GAP8));
        gap8 = visits == 0 || visits == 1 ? (short) (gap << 3) : (short) (gap8 + gap - ((gap8 >> 3) & 0x1FFF));
        Util.setShort(state, (short) (so + Codes.STATE_GAP8), gap8);
        Util.setShort(state, (short) (so + Codes.STATE_VISIT_HOUR), hour);
        Util.setShort(state, (short) (so + Codes.STATE_VISITS), Words.addSaturating(visits, (short) 1));
        return true;
    }

    /** REQ-RANK-14; the score of the new values. */
    private static short deposit(byte[] state, short so, byte[] rules, byte[] order, short oo, boolean counted) {
        short category = (short) (1 << order[(short) (oo + Codes.ORDER_CATEGORY)]);
        short most = units(order, (short) (oo + Codes.ORDER_AMOUNT), rules[Codes.RULES_AMOUNT_SHIFT]);
        short mostOrdered = (short) (most ^ Words.SIGN);
        short total = 0;
        short slot = Codes.RULES_SLOTS;
        short end = (short) (so + Codes.STATE_SIZE);
        for (short at = (short) (so + Codes.STATE_VALUES); at < end; at += VALUE_SIZE) {
            short high = Util.getShort(state, at);
            if ((Util.getShort(rules, (short) (slot + Codes.SLOT_CATEGORIES)) & category) != 0) {
                short units = Util.getShort(rules, (short) (slot + Codes.SLOT_CAP));
                if (mostOrdered < (short) (units ^ Words.SIGN)) {
                    units = most;
                }
                if (counted) {
                    short visit = Util.getShort(rules, (short) (slot + Codes.SLOT_VISIT));
                    units += visit;
                    if ((short) (units ^ Words.SIGN) < (short) (visit ^ Words.SIGN)) {
                        units = Words.MOST;
                    }
                }
                high += units;
                if ((short) (high ^ Words.SIGN) < (short) (units ^ Words.SIGN)) {
                    high = Words.MOST;
                    Util.setShort(state, (short) (at + 2), Words.MOST);
                }
                Util.setShort(state, at, high);
            }
            short share = Util.getShort(rules, (short) (slot + Codes.SLOT_SHARE));
            if (share != 0) {
                total = Words.addSaturating(total, Words.part(high, share));
            }
            slot += Codes.SLOT_SIZE;
        }
        return total;
    }

    /** The amount >> shift, or 65535 where it is more, which no cap is above. */
    private static short units(byte[] order, short amount, byte shift) {
        short high = Util.getShort(order, amount);
        short low = Util.getShort(order, (short) (amount + 2));
        if (shift >= 16) {
            return shift == 16 ? high : Words.shiftRight(high, (short) (shift - 16));
        }
        if (shift == 0) {
            return high == 0 ? low : Words.MOST;
        }
        return Words.shiftRight(high, shift) == 0 ? (short) (Words.shiftRight(low, shift) | (high << (short) (16 - shift))) : Words.MOST;
    }

    /** REQ-RANK-15; the score with its sign turned over, for comparing. */
    private static void climb(byte[] state, short so, byte[] rules, short score, short hour) {
        byte level = RANK_MAX;
        short at = Codes.RULES_CLIMB + 2 * RANK_MAX;
        while (score < (short) (Util.getShort(rules, at) ^ Words.SIGN)) {
            level--;
            at -= 2;
        }
        if (level >= state[(short) (so + Codes.STATE_RANK)]) {
            state[(short) (so + Codes.STATE_RANK)] = level;
            Util.setShort(state, (short) (so + Codes.STATE_RANK_HOUR), hour);
        }
    }
}
