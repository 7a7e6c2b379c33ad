"""Mutants of the model: cards that are wrong in one place, to see whether the vectors notice.

Each is wrong by a name that says how; another implementation may be spoiled in the same places under the same names. SURVIVORS are those
that no vector can show, and why.
"""

from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

from conformkit import (
    AnyHour,
    Mutant,
    NoKinds,
    always,
    around,
    authorize_under_shop,
    block_not_reset,
    both,
    challenge_stays,
    close_with,
    commit_without_cap,
    compared_in_steps,
    compute_with_own_version,
    constant_nonce,
    count_after,
    deselect_keeps,
    developing,
    drops_le,
    earning,
    first_slot_points,
    handler,
    keeps_nonce,
    keeps_verified,
    log_bytes,
    mac_compared,
    message_without,
    no_transaction,
    not_aged,
    points_that_look_less,
    prove_keeps_nonce,
    rank_with,
    ratify_absent_twice,
    redeemed_from_the_new,
    rules_with,
    select_any,
    shared_selection,
    skipped,
    slot_zero,
    status_instead,
    store_partly,
    swap,
    sync_with_locked,
    unrefused_balance,
    verify_without_count,
    void_of_a_void,
    void_of_any,
)
from joren.apdu import SW, KeyRef, LifeCycle, messages
from joren.apdu.state import State
from joren.applet import customer, customer_memory, dispatch, lifecycle, personalize, pin, rank, shop, shop_masters, shop_memory, transact
from joren.applet.applet import Refused
from joren.applet.sheet import Sheet
from joren.applet.shop_sheet import place_in_force
from joren.simulator import card_manager, card_manager_chip, chip
from joren.simulator.card_manager_memory import CardState
from joren.simulator.seat import Seat

__all__ = ["JAVA_SURVIVORS", "MUTANTS", "SURVIVORS"]

MUTANTS: Sequence[Mutant] = (
    Mutant("an INS that the card does not have is 6E00", "REQ-APDU-1", status_instead(Refused, SW.INS_NOT_SUPPORTED, SW.CLA_NOT_SUPPORTED)),
    Mutant("a wrong P1 P2 is 6A80", "REQ-APDU-2", status_instead(Refused, SW.INCORRECT_P1_P2, SW.WRONG_DATA)),
    Mutant("a wrong length is 6A80", "REQ-APDU-3", status_instead(Refused, SW.WRONG_LENGTH, SW.WRONG_DATA)),
    Mutant("a balance that is too small is 6985", "REQ-TRX-2", status_instead(Refused, SW.BALANCE_TOO_SMALL, SW.CONDITIONS_NOT_SATISFIED)),
    Mutant(
        "Ne that is too small is not told", "REQ-APDU-4", both(swap(dispatch, "check_le", drops_le), swap(customer, "check_le", drops_le))
    ),
    Mutant(
        "Ne is off by one",
        "REQ-APDU-4",
        around(dispatch, "check_le", lambda old, command, answer: old(command, answer - 1 if answer else 0)),
    ),
    Mutant(
        "the state of life is not looked at",
        "REQ-LIFE-2",
        swap(customer, "ALLOWED_CUSTOMER", dict.fromkeys(LifeCycle, frozenset(customer.HANDLERS))),
    ),
    Mutant(
        "a blocked shop card computes",
        "shop-life",
        lambda: patch.dict(lifecycle.ALLOWED_SHOP, {LifeCycle.BLOCKED: lifecycle.ALLOWED_SHOP[LifeCycle.ISSUED]}),
    ),
    Mutant(
        "a terminated card can be let in again",
        "adm-life",
        both(
            lambda: patch.dict(lifecycle.TRANSITIONS, {(LifeCycle.TERMINATED, lifecycle.Cause.UNBLOCK): LifeCycle.ISSUED}),
            lambda: patch.dict(lifecycle.ALLOWED_CUSTOMER, {LifeCycle.TERMINATED: lifecycle.ALLOWED_CUSTOMER[LifeCycle.BLOCKED]}),
        ),
    ),
    Mutant("SELECT of a blocked card is 9000", "REQ-LIFE-3", lambda: patch.dict(lifecycle.SELECT_STATUS, {LifeCycle.BLOCKED: SW.OK})),
    Mutant("the nonce is not renewed", "REQ-SEL-2", keeps_nonce(customer_memory.CustomerMemory)),
    Mutant("the nonce is a constant", "REQ-MAC-3", around(customer_memory.CustomerMemory, "draw_nonce", constant_nonce)),
    Mutant("PROVE keeps the nonce", "REQ-PRV-2", handler(customer.CustomerCard, 0x36, prove_keeps_nonce)),
    Mutant("SET STATUS keeps the nonce", "adm-life", handler(customer.CustomerCard, 0xF0, prove_keeps_nonce)),
    Mutant("no MAC is checked", "REQ-MAC-2", mac_compared(0)),
    Mutant("four bytes of a MAC are compared", "REQ-MAC-2", mac_compared(4)),
    Mutant("the last byte of a MAC is not compared", "REQ-MAC-2", mac_compared(7)),
    Mutant("the ORDER MAC does not cover the counter", "REQ-MAC-1", message_without("order", counter=0)),
    Mutant("the ORDER MAC does not cover the nonce", "REQ-MAC-1", message_without("order", nonce=bytes(8))),
    Mutant("the ORDER MAC does not cover the kind", "REQ-MAC-1", message_without("order", kind=1)),
    Mutant("the ORDER MAC does not cover the key_ref", "trx-kinds", message_without("order", key_ref=1)),
    Mutant("the COMMIT MAC does not cover the points", "REQ-COM-2", message_without("commit", points=10)),
    Mutant("the COMMIT MAC does not cover the state", "mac-commit", message_without("commit", state=bytes(32))),
    Mutant("the COMMIT MAC does not cover the rules version", "REQ-COM-2", message_without("commit", rules_version=0)),
    Mutant("the STATE MAC does not cover the nonce", "REQ-GST-1", message_without("state", nonce=bytes(8))),
    Mutant("the ABSENCE MAC does not cover the challenge", "REQ-PRV-1", message_without("absence", challenge=bytes(8))),
    Mutant("the ABSENCE MAC does not cover the ending", "prove-unknown", message_without("absence", ending=0)),
    Mutant("the ADMIN MAC does not cover the new state", "adm-life", message_without("admin", life_cycle=0x83)),
    Mutant(
        "the proof is under the till key whatever the order",
        "REQ-MAC-1",
        around(
            customer_memory.CustomerMemory,
            "proof",
            lambda old, self, record: self.keys[KeyRef.TILL].mac8(messages.proof(self.head, record)),
        ),
    ),
    Mutant(
        "the receipt is made with the key of the proof",
        "REQ-MAC-4",
        around(
            customer_memory.CustomerMemory,
            "receipt",
            lambda old, self, record: self.keys[record[1]].mac8(messages.receipt(self.head, record)),
        ),
    ),
    Mutant(
        "modes are not looked at",
        "REQ-ATK-06",
        around(customer_memory.CustomerMemory, "authority", lambda old, self, key_ref: self.key(key_ref)),
    ),
    Mutant(
        "a category above 15 is taken for its lower half",
        "REQ-TRX-2",
        earning(lambda old, category, factor, limits: old(category & 15, factor, limits)),
    ),
    Mutant("the category is not looked at", "REQ-TRX-2", earning(lambda old, category, factor, limits: old(0, factor, limits))),
    Mutant("the factor is not looked at", "REQ-TRX-2", earning(lambda old, category, factor, limits: old(category, 10, limits))),
    Mutant("a factor of 0 is taken", "REQ-TRX-2", earning(lambda old, category, factor, limits: old(category, factor or 10, limits))),
    Mutant("time may jump", "REQ-TRX-3", both(swap(transact, "check_time", skipped), swap(shop, "check_time", skipped))),
    Mutant(
        "time may jump by one hour less",
        "REQ-TRX-3",
        around(transact, "check_time", lambda old, state, rules, hour: old(state, rules, hour + 1)),
    ),
    Mutant(
        "time jumps for a card that is new",
        "trx-time",
        around(transact, "check_time", lambda old, state, rules, hour: old(replace(state, visits=1), rules, hour)),
    ),
    Mutant(
        "REDEEM may have a category",
        "trx-order-of-checks-moving",
        around(transact, "check_plain_order", lambda old, order: old(replace(order, category=0))),
    ),
    Mutant(
        "REDEEM of nothing is taken",
        "trx-order-of-checks-moving",
        around(transact, "check_plain_order", lambda old, order: old(replace(order, amount=1))),
    ),
    Mutant("PAY takes more than there is", "REQ-TRX-2", around(Sheet, "paid", unrefused_balance)),
    Mutant(
        "LOAD goes above the limit",
        "REQ-TRX-2",
        around(Sheet, "loaded", lambda old, self, amount, most: old(self, amount, 1 << 40)),
    ),
    Mutant(
        "LOAD stops one below the limit",
        "trx-order-of-checks-moving",
        around(Sheet, "loaded", lambda old, self, amount, most: old(self, amount, most - 1)),
    ),
    Mutant("the PIN is not asked for", "REQ-TRX-6", swap(transact, "_check_pin", always(False))),
    Mutant(
        "the PIN is asked for above its limit alone",
        "REQ-TRX-6",
        around(transact, "_check_pin", lambda old, pin, amount, limit: old(pin, amount - 1, limit)),
    ),
    Mutant(
        "a PIN lasts for more than one transaction", "REQ-TRX-6", around(transact, "_check_pin", lambda old, *args: old(*args) and False)
    ),
    Mutant("the points of a period never end", "REQ-PTS-1", around(Sheet, "rolled", lambda old, self, hour, period: self)),
    Mutant(
        "points live one period more",
        "points-periods",
        around(
            Sheet,
            "rolled",
            lambda old, self, hour, period: replace(
                old(self, hour, period), points_before=self.points_before + (self.points_now if old(self, hour, period) is not self else 0)
            ),
        ),
    ),
    Mutant(
        "what is redeemed comes from the new points first",
        "REQ-PTS-2",
        around(
            Sheet,
            "redeemed",
            redeemed_from_the_new,
        ),
    ),
    Mutant(
        "the sum of points wraps round",
        "REQ-REC-5",
        lambda: patch.object(Sheet, "points_balance", property(lambda self: (self.points_now + self.points_before) & 0xFFFFFFFF)),
    ),
    Mutant("a void is open to every shop", "REQ-VOID-1", around(transact, "_void", void_of_any)),
    Mutant(
        "a void keeps the newer sheet",
        "REQ-VOID-2",
        lambda: patch.object(customer_memory.CustomerMemory, "sheet_before", property(lambda self: self.sheet)),
    ),
    Mutant("a void can be voided", "REQ-VOID-1", around(transact, "_void", void_of_a_void)),
    Mutant("the log has 23 records", "REQ-REC-3", log_bytes(23)),
    Mutant(
        "READ RECORD counts from the oldest",
        "REQ-LOG-1",
        around(customer_memory.CustomerMemory, "log_record", lambda old, self, counter: old(self, max(self.counter - 1 - counter, 0))),
    ),
    Mutant("the log is open without the PIN", "REQ-RES-2", swap(customer.CustomerCard, "_check_holder", skipped)),
    Mutant("GET RESULT does not age", "REQ-RES-1", both(*(around(where, "aged", not_aged) for where in (customer, rank)))),
    Mutant("COMMIT takes more points than the cap", "com-cap", around(customer, "commit", commit_without_cap)),
    Mutant(
        "COMMIT takes a state of another hour",
        "REQ-COM-1",
        around(transact, "decode_state", lambda old, raw: replace(old(raw), last_hour=AnyHour(old(raw).last_hour))),
    ),
    Mutant("a state that can not be is stored", "REQ-RANK-02", lambda: patch.object(State, "check", skipped)),
    Mutant("a wrong PIN is not counted", "REQ-PIN-1", around(pin.Pin, "_try", verify_without_count)),
    Mutant("a PIN is counted after the comparison", "REQ-PIN-4", around(pin.Pin, "_try", count_after)),
    Mutant("a PIN has four tries", "REQ-PIN-1", swap(pin, "PIN_TRIES", 4)),
    Mutant("a PUK has nine tries", "REQ-PIN-3", swap(pin, "PUK_TRIES", 9)),
    Mutant("a wrong PIN leaves the PIN verified", "REQ-PIN-1", around(pin.Pin, "_try", keeps_verified)),
    Mutant(
        "a new PIN may be three digits",
        "REQ-PIN-2",
        swap(pin, "is_pin", lambda block: len(block.rstrip(b"\xff")) >= 3 and block.rstrip(b"\xff").isdigit()),
    ),
    Mutant(
        "a PIN set with the PUK is verified",
        "REQ-PIN-3",
        around(pin.Pin, "reset", lambda old, self, puk, new: (old(self, puk, new), self.flag.put(0, b"\x01"))[0]),
    ),
    Mutant("deselection keeps the PIN verified", "REQ-SEL-2", around(Seat, "deselect", deselect_keeps)),
    Mutant(
        "a block of STORE DATA is stored as far as it is right",
        "REQ-PER-2",
        both(around(customer, "store_data", store_partly), around(shop, "store_data", store_partly)),
    ),
    Mutant("an error does not set the block number back", "REQ-PER-1", around(customer, "store_data", block_not_reset)),
    Mutant("rules are not looked at", "REQ-RANK-05", lambda: patch.object(rank.RankRules, "check", skipped)),
    Mutant("a card is issued without PUK", "REQ-PER-3", lambda: patch.object(pin.Pin, "puk_present", property(lambda self: self.present))),
    Mutant("keys may have different versions", "REQ-KEY-5", swap(personalize.CustomerData, "consistent", always(True))),
    Mutant("keys come in the clear on every chip", "REQ-PER-5", lambda: patch.object(Seat, "__init__", developing(Seat.__init__))),
    Mutant(
        "an issued card takes another id",
        "REQ-PER-6",
        lambda: patch.object(personalize.CustomerData, "LATER", personalize.CustomerData.FIRST),
    ),
    Mutant("the balance sheet goes to everybody", "REQ-DAT-2", swap(customer, "check_secured", skipped)),
    Mutant("a purchase has a point more", "REQ-RANK-12", rank_with(first_slot_points)),
    Mutant(
        "points are rounded to the nearest",
        "REQ-RANK-12",
        rank_with(lambda before, after, points: (after, points + (after.carry >= 5_000))),
    ),
    Mutant("the carry is thrown away", "REQ-RANK-12", rank_with(lambda before, after, points: (replace(after, carry=0), points))),
    Mutant(
        "the rank is reached one point later",
        "REQ-RANK-15",
        around(rank, "_level", lambda old, score, climb: old(max(score - 1, 0), climb)),
    ),
    Mutant(
        "the rank falls to where it belongs at once",
        "REQ-RANK-10",
        around(rank, "_settle", lambda old, state, rules, values, hour: old(replace(state, last_hour=0), rules, values, hour)),
    ),
    Mutant(
        "values are rounded up as they age",
        "REQ-RANK-09",
        around(rank, "_halved", lambda old, value, steps: old(value, steps) + (1 if steps & 63 else 0)),
    ),
    Mutant(
        "a half-life is one step shorter",
        "REQ-RANK-09",
        around(rank, "_halved", lambda old, value, steps: old(value, steps + (steps >= 64))),
    ),
    Mutant("every purchase is a visit", "REQ-RANK-13", rules_with(visit_gap_hours=0)),
    Mutant(
        "a deposit has no cap",
        "REQ-RANK-14",
        around(rank, "_units", lambda old, slot, counted, units: min((slot.visit if counted else 0) + units, 0xFFFF)),
    ),
    Mutant(
        "a value wraps round",
        "REQ-RANK-14",
        around(
            rank,
            "_deposit",
            lambda old, values, slots, category, counted, units: tuple(
                (value + (rank._units(slot, counted, units) << 16)) & 0xFFFFFFFF if slot.categories >> category & 1 else value
                for value, slot in zip(values, slots, strict=True)
            ),
        ),
    ),
    Mutant(
        "the score wraps round",
        "REQ-RANK-16",
        around(
            rank,
            "_score",
            lambda old, values, slots: sum((value >> 16) * slot.share >> 8 for value, slot in zip(values, slots, strict=True)) & 0xFFFF,
        ),
    ),
    Mutant("COMPUTE takes other rules", "REQ-CMP-1", handler(shop.ShopCard, 0x40, compute_with_own_version)),
    Mutant("COMPUTE grants one point above the ceiling", "cmp-ceiling", around(shop, "purchase", points_that_look_less)),
    Mutant(
        "the ceiling does not fall",
        "REQ-CMP-3",
        around(shop_memory.ShopMemory, "open", lambda old, self, slot, entry, sheet, points, money: old(self, slot, entry, sheet, 0, 0)),
    ),
    Mutant(
        "a sequence is used twice", "REQ-CMP-3", around(shop_memory.ShopMemory, "sequence", lambda old, self, sheet: old(self, sheet) & ~1)
    ),
    Mutant("the first free slot is taken", "REQ-REC-8", around(shop_memory.ShopMemory, "free_slot", slot_zero)),
    Mutant(
        "the highest master is taken whatever was asked",
        "REQ-CMP-1",
        around(shop_masters.ShopMasters, "derive", lambda old, self, version, context: old(self, 0, context)),
    ),
    Mutant("LOAD is authorized under the SHOP master", "REQ-AUT-2", handler(shop.ShopCard, 0x42, authorize_under_shop)),
    Mutant("AUTHORIZE does not look at money", "REQ-AUT-1", swap(shop, "_loaded", always(0))),
    Mutant("a challenge outlives a new entry", "REQ-CHA-1", around(shop_memory.ShopMemory, "open", challenge_stays)),
    Mutant("a challenge is good twice", "REQ-CHA-1", around(shop.ShopCard, "_ratify_absent", ratify_absent_twice)),
    Mutant("a proof is not compared with what was computed", "REQ-RAT-1", lambda: patch.object(shop, "Kind", NoKinds)),
    Mutant(
        "a write-off gives points back",
        "REQ-RAT-4",
        close_with(lambda changes, points, money, sale: (changes, points + changes.get("points_written_off", 0), money, sale)),
    ),
    Mutant(
        "a denied entry gives nothing back",
        "REQ-RAT-3",
        close_with(lambda changes, points, money, sale: (changes, 0, 0, sale) if not changes else (changes, points, money, sale)),
    ),
    Mutant(
        "a void gives back twice", "rat-void-gives-back", close_with(lambda changes, points, money, sale: (changes, points, money, None))
    ),
    Mutant(
        "every void gives back",
        "rat-void-gives-back",
        around(shop_memory.ShopMemory, "sale_of", lambda old, self, entry: old(self, entry) or 0),
    ),
    Mutant("totals are not counted", "REQ-RAT-2", close_with(lambda changes, points, money, sale: ({}, points, money, sale))),
    Mutant(
        "a proof fits under the newest master alone",
        "spe-masters",
        around(shop_masters.ShopMasters, "derive_each", lambda old, self, context: iter([self.derive(0, context)])),
    ),
    Mutant(
        "a refill counts as often as it comes",
        "REQ-REF-1",
        around(
            shop_memory.ShopMemory,
            "refill",
            lambda old, self, number, points, money: old(
                self, self._sheet_at(place_in_force(self.shop_sheets.get())).refills + 1, points, money
            ),
        ),
    ),
    Mutant(
        "the last SHOP master can be removed",
        "REQ-SPE-2",
        around(personalize, "_store_master", lambda old, value, masters, may_all_go: old(value, masters, may_all_go=True)),
    ),
    Mutant(
        "a third master takes the first place",
        "REQ-SPE-2",
        around(shop_masters.ShopMasters, "put", lambda old, self, version, key: self._write(0, version, key)),
    ),
    Mutant("the newest sheet is the first that can be", "REQ-REC-7", swap(shop_memory, "place_in_force", always(0))),
    Mutant("nothing is a transaction", "REQ-APDU-8", no_transaction(Seat)),
    Mutant("the next instance is the first", "aid-several", around(chip.Chip, "_select", select_any)),
    Mutant("an instance may be selected on two channels", "REQ-CHN-4", around(chip.Chip, "_select", shared_selection)),
    Mutant("a channel above 3 is opened", "REQ-CHN-2", swap(chip, "CHANNELS", 5)),
    Mutant("a locked application is found", "REQ-MAN-10", around(card_manager_chip.ManagedChip, "sync", sync_with_locked)),
    Mutant(
        "the manager takes any step of life",
        "REQ-MAN-11",
        swap(card_manager, "CARD_TRANSITIONS", dict.fromkeys(CardState, frozenset(CardState))),
    ),
    Mutant("the customer card counts on after FFFF", "REQ-TRX-2", swap(transact, "_check_counter", skipped)),
    Mutant("the shop card counts on after FFFFFF", "REQ-CMP-1", swap(shop_memory.ShopMemory, "check_count", staticmethod(skipped))),
    Mutant("refills count on after FFFF", "REQ-REF-1", swap(shop_memory, "REFILLS_MAX", 0x10000)),
    Mutant(
        "MACs are compared byte by byte, to the first that differs",
        "REQ-MAC-2",
        both(*(swap(where, "check_mac", compared_in_steps) for where in (transact, customer, shop))),
    ),
)

SURVIVORS: dict[str, str] = {
    "the customer card counts on after FFFF": "65,535 transactions would have to come first",
    "the shop card counts on after FFFFFF": "16,777,215 entries would have to come first",
    "refills count on after FFFF": "65,535 refills would have to come first",
    "MACs are compared byte by byte, to the first that differs": "the answers are the same; a clock would tell, and a review of the code",
}
"""By name: why no vector shows it."""
KEY_IN_USE = "the key object in use is made anew only where a byte says so, which the same transaction writes"
JAVA_SURVIVORS: dict[str, str] = {
    "customer card, no-transaction:Pin.renew": "a new PIN without tries is blocked, as the old one was; with the PUK it is set again",
    "customer card, non-atomic:CardKey.store#1": KEY_IN_USE,
    "shop card, non-atomic:CardKey.store#1": KEY_IN_USE,
}
"""Of the Java Card applets that write wrongly (joren.commands.tear_java), by name: why no vector shows it."""
