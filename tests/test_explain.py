"""APDUs explained: every command and every answer of both cards, what is wrong or unknown, and no secret in any of it."""

import io
import json
from collections.abc import Callable
from itertools import product
from unittest.mock import ANY

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cardkit import PIN, PUK, Answer, Customer, Shop, pin_block
from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, LifeCycle, Response, messages
from joren.apdu.cards import Limits
from joren.apdu.explain import COMMANDS, Explained, Field, decoded, explain_command, explain_response, to_json
from joren.apdu.tlv import MalformedTlv, build_dgi, parse_dgis
from joren.apdu.trace import TraceWriter
from joren.applet.customer import FORMS as CUSTOMER_FORMS
from joren.applet.dispatch import Form
from joren.applet.shop import FORMS as SHOP_FORMS
from joren.simulator.reader import Reader

Said = tuple[Command, Response]
Values = dict[str, object]
SELECT = (CLA_ISO, Ins.SELECT)
CHALLENGE = bytes.fromhex("C0C1C2C3C4C5C6C7")
DONE = "9000 OK: done"


def say(card: Customer | Shop, cla: int, ins: int, p1: int, p2: int, data: bytes = b"", ne: int | None = None) -> Said:
    """A command, and what the card answers."""
    return told(card, Command(cla, ins, p1, p2, data, ne))


def told(card: Customer | Shop, command: Command) -> Said:
    return command, card.chip.process(command)


def select(card: Customer | Shop, p2: int) -> Said:
    return say(card, *SELECT, 4, p2, card.aid, 256)


def used() -> Customer:
    """A card with its PIN verified, 50000 in the purse, 1000 points, rank 2, and transactions 0 and 1 in the log."""
    customer = Customer(pin=PIN)
    customer.load(50_000)
    customer.buy(100_000, sequence=0x01000002)
    assert customer.verify(PIN).ok
    return customer


def computed() -> tuple[Shop, Customer, Command]:
    """A shop card with a purchase in slot 0, the customer card it is for, and the COMMIT."""
    shop, customer = Shop(), used()
    made = shop.compute(customer, customer.order(1000, 150))
    return shop, customer, customer.commit_command(Kind.PURCHASE, made.order, made.points, made.state, made.mac)


def transact_purchase() -> Said:
    customer = used()
    return told(customer, customer.transact_command(Kind.PURCHASE, customer.order(1000, 150, 3, 20)))


def transact_redeem() -> Said:
    customer = used()
    return told(customer, customer.transact_command(Kind.REDEEM, customer.plain(40), KeyRef.SHOP))


def commit() -> Said:
    _, customer, command = computed()
    return told(customer, command)


def prove(counter: int) -> Said:
    asked = counter.to_bytes(2) + bytes.fromhex("00000007 01000002")
    return say(used(), CLA_JOREN, Ins.PROVE, 0, KeyRef.TILL, asked + CHALLENGE, 63)


def compute() -> Said:
    shop, customer = Shop(), used()
    return told(shop, shop.compute_command(customer, customer.order(1000, 150, 3, 20), Kind.PAY_AND_EARN))


def authorize() -> Said:
    customer = used()
    session = customer.info.card_id + customer.info.counter.to_bytes(2) + customer.info.nonce
    return say(Shop(), CLA_JOREN, Ins.AUTHORIZE, Kind.REDEEM, 0, session + customer.plain(40).encode()[:8], 13)


def deny() -> Said:
    shop, customer, _ = computed()
    absence = customer.prove(2, 7, 0x01000000, shop.challenge(), KeyRef.SHOP).data
    return say(shop, CLA_JOREN, Ins.RATIFY, Ending.NOT_COMMITTED, 0, absence[1:])


def ratify() -> Said:
    shop, customer, command = computed()
    answer = Answer.of(customer.chip.process(command))
    return say(shop, CLA_JOREN, Ins.RATIFY, Ending.COMMITTED, 0, answer.raw_outcome + answer.proof)


def write_off() -> Said:
    return say(computed()[0], CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, 0)


def read_pending() -> Said:
    return say(computed()[0], CLA_ISO, Ins.READ_RECORD, 1, 0x14, ne=32)


def read_closed() -> Said:
    shop, _, _ = computed()
    assert shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, 0).ok
    return say(shop, CLA_ISO, Ins.READ_RECORD, 1, 0x0C, ne=33)


def totals() -> Said:
    shop = Shop()
    shop.purchase(used())
    return say(shop, CLA_ISO, Ins.GET_DATA, 1, 2, ne=44)


def block(customer: Customer) -> Said:
    info = customer.info
    mac = customer.keys[KeyRef.ADMIN].mac8(messages.admin(customer.head, info.counter, info.nonce, LifeCycle.BLOCKED))
    return say(customer, CLA_JOREN, Ins.SET_STATUS, 0x40, LifeCycle.BLOCKED, mac)


def select_blocked() -> Said:
    customer = Customer()
    assert block(customer)[1].ok
    return select(customer, 0x0C)


def store(number: int) -> Said:
    return say(Customer(issue=False), CLA_JOREN, Ins.STORE_DATA, 0x08, number, Customer(pin=PIN).blocks()[number])


CUSTOMER_AID: Values = {"aid": "F06A6F72656E010001 (customer card, programme 1)"}
SHOP_AID: Values = {"aid": "F06A6F72656E020001 (shop card, programme 1)"}
HEAD: Values = {"version": "1", "life_cycle": "ISSUED", "flags": "07 (one-card, two-card, purse)", "rules_version": "1", "programme": "1"}
CUSTOMER_INFO: Values = HEAD | {"card_id": "A1A2A3A4A5A6A7A8", "counter": "0", "nonce": ANY, "rank": "0", "key_version": "1"}
SHOP_INFO: Values = {
    "version": "1", "life_cycle": "ISSUED", "rules_version": "1", "pending": "0", "programme": "1", "shop": "7", "terminal": "1",
    "sequence": "01000000", "points_left": "1000000 points", "money_left_minor": "1000000 minor units", "refills": "0",
}  # fmt: skip
SESSION: Values = {"card_id": "A1A2A3A4A5A6A7A8", "counter": "2", "nonce": ANY}
PLAIN: Values = {"hour": "150 h", "amount": "1000 minor units", "category": "0", "factor_tenths": "x1.0"}
DOUBLE: Values = {"hour": "150 h", "amount": "1000 minor units", "category": "3", "factor_tenths": "x2.0"}
REDEEMED: Values = {"hour": "100 h", "amount": "40 points", "category": "0", "factor_tenths": "x0.0"}
FIRST: Values = {"shop": "7", "sequence": "00000001"}
MAC: Values = {"mac": ANY}
PROOF: Values = {"proof": ANY}
SIGNED: Values = {"receipt": ANY} | PROOF
STATE: Values = {
    "version": "1", "rank": "2", "first_hour": "100 h", "last_hour": "100 h", "visit_hour": "100 h", "visits": "1", "rank_hour": "100 h",
    "gap8": "0", "carry": "0", "values[0]": "374.00", "values[1]": "64.00", "values[2]": "1562.00", "values[3]": "1562.00",
}  # fmt: skip
NEXT_STATE: Values = {
    "version": "1", "rank": "2", "first_hour": "100 h", "last_hour": "150 h", "visit_hour": "150 h", "visits": "2", "rank_hour": "150 h",
    "gap8": "400", "carry": "0", "values[0]": "442.99", "values[1]": "124.63", "values[2]": "1560.17", "values[3]": "1577.00",
}  # fmt: skip
RECORD: Values = {
    "kind": "PURCHASE", "key_ref": "TILL", "counter": "1", "hour": "100 h", "amount": "100000 minor units", "category": "0",
    "factor_tenths": "x1.0", "shop": "7", "sequence": "01000002", "rank": "2", "rules_version": "1", "score": "374",
    "points": "1000 points", "points_balance": "1000 points", "purse_minor": "50000 minor units", "receipt": ANY,
}  # fmt: skip
ENTRY: Values = (
    {"kind": "PURCHASE", "key_ref": "SHOP", "counter": "2"}
    | PLAIN
    | {"sequence": "01000000", "card_id": "A1A2A3A4A5A6A7A8", "rank": "2", "rules_version": "1", "score": "442", "points": "15 points"}
)
HOLDINGS: Values = {
    "rank": "2", "score": "365", "values[0]": "365.99", "values[1]": "60.63", "values[2]": "1545.17", "values[3]": "1562.00",
    "points_before": "0 points", "points_now": "1000 points", "purse_minor": "50000 minor units",
}  # fmt: skip
LINES = {"climb": "0 100 250 600 1500", "keep": "0 75 190 450 1100", "rate_bp": "100_bp 125_bp 150_bp 200_bp 300_bp"}
RULE_SLOTS = ("1942 62 312 FFFF 256", "5825 64 0 FFFF 0", "479 0 65535 FFFF 0", "0 0 65535 FFFF 0")
RULES: Values = {
    "rules_version": "1", "amount_shift": "6", "visit_gap_hours": "4 h", "jump_max_hours": "17520 h", "hold_hours": "2160 h",
    **{f"{name}[{rank}]": line.replace("_", " ") for name, lines in LINES.items() for rank, line in enumerate(lines.split())},
    "points_cap": "65535 points",
    **{
        f"slots[{number}].{name}": value
        for number, slot in enumerate(RULE_SLOTS)
        for name, value in zip(("rate", "visit", "cap", "categories", "share"), slot.split(), strict=True)
    },
}  # fmt: skip
LIMITS: Values = {
    "modes": "03 (one-card, two-card)", "factor_max_tenths": "x3.0", "categories": "00FF", "period_hours": "8760 h",
    "purse_max_minor": "100000 minor units", "redeem_pin_from": "never", "pay_pin_from_minor": "never",
}  # fmt: skip
TOTALS: Values = {
    "points_granted": "15 points", "points_redeemed": "0 points", "money_loaded_minor": "0 minor units",
    "money_paid_minor": "0 minor units", "points_granted_voided": "0 points", "points_redeemed_voided": "0 points",
    "money_loaded_voided_minor": "0 minor units", "money_paid_voided_minor": "0 minor units", "points_written_off": "0 points",
    "money_written_off_minor": "0 minor units", "transactions": "1",
}  # fmt: skip


def outcome(score: int, points: int, balance: int) -> Values:
    return {
        "rank": "2", "rules_version": "1", "score": f"{score}", "points": f"{points} points", "points_balance": f"{balance} points",
        "purse_minor": "50000 minor units",
    }  # fmt: skip


def hidden(**lengths: int) -> Values:
    return {name: f"(secret, {length} bytes)" for name, length in lengths.items()}


def groupings(*dgis: str) -> Values:
    """What is shown of DGIs, each given as tag, name and length."""
    found: Values = {}
    for number, dgi in enumerate(dgis):
        found |= {f"dgi[{number}]": f"{dgi} bytes", f"value[{number}]": f"(secret, {dgi.split()[-1]} bytes)"}
    return found


KEY_NAMES = ("TILL", "SHOP", "RECEIPT", "LOAD", "ADMIN")
KEY_DGIS = [f"{0x8001 + number:04X} key {name}, 17" for number, name in enumerate(KEY_NAMES)]
CASES: list[tuple[Callable[[], Said], str, Values, str, Values]] = [
    (lambda: select(Customer(), 0x0C), "SELECT, record alone", CUSTOMER_AID, DONE, CUSTOMER_INFO),
    (lambda: select(Customer(), 0x00), "SELECT, template", CUSTOMER_AID, DONE,
     {"template": "6F27", "tag 84": "8409"} | CUSTOMER_AID | {"tag 85": "851A"} | CUSTOMER_INFO),
    (lambda: select(Shop(), 0x0C), "SELECT, record alone", SHOP_AID, DONE, SHOP_INFO),
    (lambda: select(Shop(), 0x00), "SELECT, template", SHOP_AID, DONE,
     {"template": "6F26", "tag 84": "8409"} | SHOP_AID | {"tag 85": "8519"} | SHOP_INFO),
    (select_blocked, "SELECT, record alone", CUSTOMER_AID, "6283 FILE_DEACTIVATED: the card is blocked",
     CUSTOMER_INFO | {"life_cycle": "BLOCKED"}),
    (transact_purchase, "TRANSACT PURCHASE, key TILL", DOUBLE | FIRST | MAC, DONE, outcome(442, 30, 1030) | SIGNED),
    (transact_redeem, "TRANSACT REDEEM, key SHOP", REDEEMED | FIRST | MAC, DONE, outcome(374, 40, 960) | SIGNED),
    (lambda: say(used(), CLA_JOREN, Ins.GET_STATE, 0, 0, ne=40), "GET STATE", {}, DONE, STATE | MAC),
    (commit, "COMMIT PURCHASE, key SHOP",
     PLAIN | {"shop": "7", "sequence": "01000000", "points": "15 points"} | NEXT_STATE | MAC, DONE, outcome(442, 15, 1015) | SIGNED),
    (lambda: prove(1), "PROVE, key TILL",
     {"counter_asked": "1", "shop": "7", "sequence": "01000002", "challenge": "C0C1C2C3C4C5C6C7"}, DONE,
     {"ending": "COMMITTED", "counter_now": "2", "nonce": ANY} | RECORD | SIGNED),
    (lambda: prove(2), "PROVE, key TILL",
     {"counter_asked": "2", "shop": "7", "sequence": "01000002", "challenge": "C0C1C2C3C4C5C6C7"}, DONE,
     {"ending": "NOT COMMITTED", "counter_now": "2", "nonce": ANY} | MAC),
    (lambda: say(used(), CLA_JOREN, Ins.GET_RESULT, 0, 0, b"\x00\x96", 3), "GET RESULT", {"hour": "150 h"}, DONE,
     {"rank": "2", "score": "365"}),
    (lambda: say(used(), CLA_JOREN, Ins.GET_RESULT, 1, 0, b"\x00\x96", 31), "GET RESULT for the holder", {"hour": "150 h"}, DONE, HOLDINGS),
    (lambda: say(used(), CLA_ISO, Ins.READ_RECORD, 1, 0x0C, ne=44), "READ RECORD 1 of the log", {}, DONE, RECORD),
    (lambda: say(used(), CLA_ISO, Ins.GET_DATA, 1, 1, ne=98), "GET DATA, rank rules and limits", {}, DONE, RULES | LIMITS),
    (lambda: say(used(), CLA_ISO, Ins.GET_DATA, 1, 3, ne=2), "GET DATA, tries left", {}, DONE, {"pin_tries": "3", "puk_tries": "10"}),
    (lambda: say(Customer(), CLA_ISO, Ins.GET_DATA, 1, 3, ne=2), "GET DATA, tries left", {}, DONE,
     {"pin_tries": "no PIN", "puk_tries": "no PIN"}),
    (lambda: say(Customer(issue=False), CLA_ISO, Ins.GET_DATA, 1, 4, ne=10), "GET DATA, key versions", {},
     "6985 CONDITIONS_NOT_SATISFIED: not in this state of the card or session", {}),
    (lambda: say(used(), CLA_ISO, Ins.GET_DATA, 1, 4, ne=10), "GET DATA, key versions", {}, DONE,
     {f"keys[{number}]": f"{name} version 1" for number, name in enumerate(KEY_NAMES)}),
    (lambda: say(used(), CLA_ISO, Ins.VERIFY, 0, 0x81), "VERIFY, PIN", {}, DONE, {}),
    (lambda: say(used(), CLA_ISO, Ins.VERIFY, 0, 0x81, pin_block(b"0000")), "VERIFY, PIN", hidden(pin=8),
     "63C2 VERIFY_FAILED: PIN or PUK wrong, 2 tries left", {}),
    (lambda: say(used(), CLA_ISO, Ins.CHANGE_REFERENCE_DATA, 0, 0x81, pin_block(PIN) * 2), "CHANGE REFERENCE DATA, PIN",
     hidden(old_pin=8, new_pin=8), DONE, {}),
    (lambda: say(used(), CLA_ISO, Ins.RESET_RETRY_COUNTER, 0, 0x81, PUK + pin_block(PIN)), "RESET RETRY COUNTER, PIN",
     hidden(puk=8, new_pin=8), DONE, {}),
    (lambda: store(0), "STORE DATA, block 0",
     groupings("0101 card id and programme, 10", "0102 rank rules, 80", "0103 limits, 18"), DONE, {}),
    (lambda: store(1), "STORE DATA, block 1", groupings(*KEY_DGIS, "8110 PIN, 8", "8112 PUK, 8"),
     "6A86 INCORRECT_P1_P2: P1 or P2 wrong", {}),
    (lambda: block(Customer()), "SET STATUS BLOCKED", MAC, DONE, {}),
    (compute, "COMPUTE PAY AND EARN, key version 1", SESSION | {"rules_version": "1"} | STATE | MAC | DOUBLE, DONE,
     {"slot": "0", "sequence": "01000000", "points": "30 points"} | NEXT_STATE | MAC),
    (authorize, "AUTHORIZE REDEEM, highest key version", SESSION | REDEEMED, DONE, {"slot": "0", "sequence": "01000000"} | MAC),
    (deny, "RATIFY NOT COMMITTED, slot 0", {"counter_now": "2", "nonce": ANY} | MAC, DONE, {}),
    (ratify, "RATIFY COMMITTED, slot 0", outcome(442, 15, 1015) | PROOF, DONE, {}),
    (write_off, "RATIFY WRITE OFF, slot 0", {}, DONE, {}),
    (lambda: say(Shop(), CLA_ISO, Ins.GET_CHALLENGE, 0, 0, ne=8), "GET CHALLENGE", {}, DONE, {"challenge": ANY}),
    (read_pending, "READ RECORD 1 of the pending entries", {}, DONE, ENTRY),
    (read_closed, "READ RECORD 1 of the log", {}, DONE, ENTRY | {"ending": "WRITTEN OFF"}),
    (totals, "GET DATA, totals", {}, DONE, TOTALS),
    (lambda: say(Shop(), CLA_ISO, Ins.GET_DATA, 1, 4, ne=10), "GET DATA, key versions", {}, DONE,
     {f"keys[{place}]": text for place, text in
      enumerate(("SHOP version 1", "SHOP not there", "LOAD version 1", "LOAD not there", "ADMIN version 1"))}),
]  # fmt: skip


def values(explained: Explained) -> list[tuple[str, object]]:
    return [(field.name, field.value) for field in explained.fields]


def covers(explained: Explained, data: bytes) -> bool:
    """Whether the fields follow each other from the first byte to the last, each with a name of its own."""
    offset = 0
    for field in explained.fields:
        assert field.offset == offset
        offset += field.length
    names = {field.name for field in explained.fields}
    return offset == len(data) and len(names) == len(explained.fields)


OF_THE_CHIP = {(CLA_ISO, Ins.MANAGE_CHANNEL), (CLA_ISO, Ins.GET_RESPONSE)}


@pytest.mark.parametrize("case", CASES, ids=[f"{case[1]}: {case[3][:4]}, {len(case[4])} items" for case in CASES])
def test_what_the_cards_are_told_and_say(case: tuple[Callable[[], Said], str, Values, str, Values]) -> None:
    make, name, sent, status, came = case
    command, response = make()
    asked, answered = explain_command(command), explain_response(command, response)
    assert (asked.name, values(asked), asked.note) == (name, list(sent.items()), "")
    assert (answered.name, values(answered), answered.note) == (status, list(came.items()), "")
    assert asked.case == answered.case == command.case.value
    assert covers(asked, command.data)
    assert covers(answered, response.data)


def test_every_command_was_told() -> None:
    assert {(command.cla, command.ins) for command, _ in (case[0]() for case in CASES)} | OF_THE_CHIP == COMMANDS.keys()


def test_macs_nonces_and_receipts_are_shown_where_they_lie() -> None:
    command, response = transact_purchase()
    assert explain_command(command).fields[-1] == Field(16, 8, "mac", command.data[16:].hex().upper())
    proof, receipt = Field(24, 8, "proof", response.data[24:].hex().upper()), Field(16, 8, "receipt", response.data[16:24].hex().upper())
    assert explain_response(command, response).fields[-2:] == (receipt, proof)


FORMS = [(form, *key) for forms in (CUSTOMER_FORMS, SHOP_FORMS) for key, form in forms.items()]


@pytest.mark.parametrize(("form_of", "cla", "ins"), FORMS, ids=[f"{key[1]:02X}" for forms in (CUSTOMER_FORMS, SHOP_FORMS) for key in forms])
def test_what_the_cards_take_is_not_wrong(form_of: Callable[[int, int], Form | None], cla: int, ins: int) -> None:
    """Whatever form of a command one of the cards has, no note is made of it, nor of an answer of the length it has."""
    forms = {(p1, p2): form for p1, p2 in product(range(256), repeat=2) if (form := form_of(p1, p2))}
    assert forms
    for (p1, p2), form in forms.items():
        for length in form.lengths if ins != Ins.STORE_DATA else ():
            assert explain_command(Command(cla, ins, p1, p2, bytes(length))).note == ""
        assert explain_response(Command(cla, ins, p1, p2), Response(bytes(form.answer), SW.OK)).note == ""


@pytest.mark.parametrize(("cla", "ins"), [key for key in COMMANDS if key not in {SELECT, *OF_THE_CHIP}], ids=lambda number: f"{number:02X}")
def test_no_other_p1_or_p2_is_named(cla: int, ins: int) -> None:
    row = COMMANDS[cla, ins]
    forms = [card[cla, ins] for card in (CUSTOMER_FORMS, SHOP_FORMS) if (cla, ins) in card]
    taken = [(p1, p2) for p1, p2 in product(range(256), repeat=2) if any(form_of(p1, p2) for form_of in forms)]
    assert (set(row.p1), set(row.p2)) == ({p1 for p1, _ in taken}, {p2 for _, p2 in taken})


AIDS_PART = bytes.fromhex("F06A6F72656E01")
WRONG: list[tuple[Command, str, str, list[str]]] = [
    (Command(0x80, 0x30, 1, 1, bytes(23)), "TRANSACT PURCHASE, key TILL", "data: 24 bytes expected, 23 came", ["00" * 23]),
    (Command(0x80, 0x30, 0x81, 9), "TRANSACT VOID PURCHASE P2 09", "P2: 09 is not listed; data: 24 bytes expected, 0 came", []),
    (Command(0x80, 0x32, 0, 0, b"\xab"), "GET STATE", "data: 0 bytes expected, 1 came", ["AB"]),
    (Command(0x80, 0x44, 7, 16, b"\x01"), "RATIFY P1 07 P2 10",
     "P1: 07 is not listed; P2: 10 is not listed; data: not as the specification lays it out", ["01"]),
    (Command(0x00, 0xA4, 4, 0x0C, b"\xf0" * 4), "SELECT, record alone", "data: 5 to 16 bytes expected, 4 came", ["F0F0F0F0"]),
    (Command(0x00, 0xA4, 4, 0x0C, b"\xa0\x00\x00\x00\x03"), "SELECT, record alone", "", ["A000000003"]),
    (Command(0x00, 0xA4, 4, 0x0C, bytes.fromhex("F06A6F72656E01")), "SELECT, record alone", "", ["F06A6F72656E01 (customer card)"]),
    (Command(0x00, 0x20, 0, 0x81, b"1234567"), "VERIFY, PIN", "data: 0 or 8 bytes expected, 7 came", ["(secret, 7 bytes)"]),
    (Command(0x80, 0xE2, 8, 0), "STORE DATA, block 0", "data: not as the specification lays it out", []),
    (Command(0x80, 0xE2, 0x88, 3, b"1"), "STORE DATA, last block 3", "data: not as the specification lays it out", ["(secret, 1 byte)"]),
    (Command(0x80, 0xE2, 8, 0, build_dgi(0x0102, bytes(253))), "STORE DATA, block 0", "data: not as the specification lays it out",
     ["(secret, 256 bytes)"]),
    (Command(0x80, 0xE2, 8, 0, build_dgi(0x9999, b"\x77")), "STORE DATA, block 0", "", ["9999 (unknown), 1 byte", "(secret, 1 byte)"]),
    (Command(0x80, 0xE2, 8, 0, build_dgi(0x8110, b"") + build_dgi(0x8112, b"\x77")), "STORE DATA, block 0", "",
     ["8110 PIN, 0 bytes", "(secret, 0 bytes)", "8112 PUK, 1 byte", "(secret, 1 byte)"]),
    (Command(0x80, 0x19, 1, 2, b"\xbe\xef"), "CLA 80 INS 19: not a joren command", "unknown command", ["BEEF"]),
    (Command(0x00, 0xC0, 0, 0, ne=8), "GET RESPONSE", "", []),
    (Command(0x00, 0x70, 0, 0, ne=1), "MANAGE CHANNEL, open", "", []),
    (Command(0x00, 0x70, 0x80, 2), "MANAGE CHANNEL, close 2", "", []),
    (Command(0x82, 0x32, 0, 0, ne=40), "GET STATE, channel 2", "", []),
    (Command(0x00, 0xA4, 4, 0x0E, AIDS_PART, 26), "SELECT, next, record alone", "", ["F06A6F72656E01 (customer card)"]),
    (Command(0x00, 0x30, 1, 1), "CLA 00 INS 30 (TRANSACT): not a joren command", "unknown command", []),
    (Command(0x0C, 0x20, 0, 0x81, b"12345678"), "CLA 0C INS 20 (VERIFY): not a joren command", "unknown command", ["(secret, 8 bytes)"]),
]  # fmt: skip


@pytest.mark.parametrize(("command", "name", "note", "shown"), WRONG, ids=[case[0].encode().hex()[:20] for case in WRONG])
def test_what_is_wrong_with_a_command(command: Command, name: str, note: str, shown: list[str]) -> None:
    explained = explain_command(command)
    assert (explained.name, explained.note) == (name, note)
    assert [field.value for field in explained.fields] == shown
    assert covers(explained, command.data)


LOG = Command(0x00, 0xB2, 1, 0x0C, ne=256)
ANSWERS: list[tuple[Command, Response, str, str, str]] = [
    (LOG, Response(bytes(34), SW.OK), DONE, "answer: 33 or 44 bytes expected, 34 came", "00" * 34),
    (LOG, Response(b"\x01", SW.RECORD_NOT_FOUND), "6A83 RECORD_NOT_FOUND: no such record", "answer: 0 bytes expected, 1 came", "01"),
    (LOG, Response(b"\x83" + bytes(43), SW.OK), DONE, "", "VOID REDEEM"),
    (LOG, Response(b"\x77" + bytes(43), SW.OK), DONE, "", "77 (unknown)"),
    (Command(0x00, 0xCA, 1, 9, ne=1), Response(b"\x05", SW.OK), DONE, "answer: not as the specification lays it out", "05"),
    (Command(0x00, 0xCA, 1, 4, ne=10), Response(b"\x01\x00" * 5, SW.OK), DONE, "", "TILL not there"),
    (Command(0x00, 0xCA, 1, 4, ne=10), Response(b"\x09\x02" * 5, SW.OK), DONE, "", "09 (unknown) version 2"),
    (Command(0x00, 0xA4, 4, 0, ne=41), Response(bytes(41), SW.OK), DONE, "", "0000 (6F27 expected)"),
    (Command(0x00, 0x19, 0, 0), Response(b"\x01", 0x6999), "6999 UNKNOWN: a status word this specification does not have",
     "answer to an unknown command", "01"),
    (Command(0x00, 0x20, 0, 0x81), Response(b"12345678", SW.OK), DONE, "answer: 0 bytes expected, 8 came", "(secret, 8 bytes)"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "response", "name", "note", "first"), ANSWERS)
def test_what_is_wrong_with_an_answer(command: Command, response: Response, name: str, note: str, first: str) -> None:
    explained = explain_response(command, response)
    assert (explained.name, explained.note, explained.fields[0].value) == (name, note, first)


@pytest.mark.parametrize(("threshold", "points", "money"), [(0, "0 points", "0 minor units"), (500, "500 points", "500 minor units")])
def test_amounts_from_which_the_pin_is_needed(threshold: int, points: str, money: str) -> None:
    limits = Limits(0, 10, 1, 1, 0, threshold, threshold).encode()
    explained = explain_response(Command(0x00, 0xCA, 1, 1, ne=98), Response(bytes(80) + limits, SW.OK))
    assert values(explained)[-2:] == [("redeem_pin_from", points), ("pay_pin_from_minor", money)]
    assert ("modes", "00 (none)") in values(explained)


@pytest.mark.parametrize(("kind", "unit"), [(1, "minor units"), (3, "points"), (0x83, "points"), (0x85, "minor units")])
def test_the_unit_of_an_amount_follows_the_kind(kind: int, unit: str) -> None:
    """That of P1, and in a record its own, whatever the number of the record."""
    order = bytes.fromhex("0064 00000028 00 00 00000007 00000001")
    assert ("amount", f"40 {unit}") in values(explain_command(Command(0x80, 0x30, kind, 2, order + bytes(8))))
    record = bytes((kind, 2, 0, 0)) + order + bytes(24)
    for number in (1, 3):
        assert ("amount", f"40 {unit}") in values(explain_response(Command(0x00, 0xB2, number, 0x0C), Response(record, SW.OK)))


def test_flags_are_told_one_by_one() -> None:
    flags = {flag: bytes((1, 0x0F, flag)) + bytes(23) for flag in (0, 1, 2, 4, 8, 0x0A)}
    shown = [values(explain_response(Command(*SELECT, 4, 0x0C), Response(record, SW.OK)))[2][1] for record in flags.values()]
    assert shown == ["00 (none)", "01 (one-card)", "02 (two-card)", "04 (purse)", "08 (PIN)", "0A (two-card, PIN)"]


def test_json() -> None:
    """For traces: names and values, and null for an answer that did not come."""
    command = Command(0x80, 0x38, 0, 0, b"\x00\x96", 3)
    asked = {"name": "GET RESULT", "fields": {"hour": "150 h"}, "note": ""}
    assert to_json(explain_command(command)) == asked
    assert decoded(command, None) == {"command": asked, "response": None}
    answered = {"name": DONE, "fields": {"rank": "2", "score": "256"}, "note": ""}
    assert decoded(command, Response(b"\x02\x01\x00", SW.OK)) == {"command": asked, "response": answered}


def test_a_trace_tells_what_is_said_and_keeps_secrets() -> None:
    customer, out, reader = Customer(pin=PIN), io.StringIO(), Reader("desk")
    TraceWriter(out, decoder=decoded).attach(reader)
    reader.insert(customer.chip)
    for command in (Command(0, 0xA4, 4, 0x0C, customer.aid, 26), Command(0, 0x20, 0, 0x81, pin_block(PIN))):
        assert reader.transmit(command).ok
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[2]["decoded"]["response"]["fields"]["card_id"] == "A1A2A3A4A5A6A7A8"
    assert lines[3]["decoded"]["command"]["fields"] == {"pin": "(secret, 8 bytes)"}
    assert PIN.hex() not in out.getvalue()
    assert PIN.decode() not in out.getvalue()


KNOWN_LENGTHS = [0, 2, 3, 8, 10, 13, 16, 18, 23, 24, 25, 26, 31, 32, 33, 36, 40, 41, 44, 47, 58, 63, 67, 98]
BYTES = st.integers(0, 255)
DATA = st.sampled_from(KNOWN_LENGTHS).flatmap(lambda length: st.binary(min_size=length, max_size=length)) | st.binary(max_size=300)
P1_P2 = st.sampled_from([0, 1, 2, 3, 4, 0x0C, 0x14, 0x40, 0x81, 0x88]) | BYTES
INSTRUCTIONS = st.sampled_from(sorted(Ins)) | BYTES.filter(lambda ins: ins & 0xF0 not in {0x60, 0x90})
CLASSES = st.sampled_from([CLA_ISO, CLA_JOREN]) | st.integers(0, 0xFE)
COMMAND = st.builds(Command, CLASSES, INSTRUCTIONS, P1_P2, P1_P2, DATA, st.none() | st.integers(1, 65536))
LISTED = st.sampled_from(sorted(COMMANDS)).flatmap(lambda key: st.builds(Command, st.just(key[0]), st.just(key[1]), P1_P2, P1_P2, DATA))
RESPONSE = st.builds(Response, DATA, st.sampled_from([SW.OK, *SW]) | st.integers(0, 0xFFFF))


@given(COMMAND | LISTED, RESPONSE)
def test_anything_is_explained_to_the_last_byte(command: Command, response: Response) -> None:
    """Every byte is in exactly one field, and names are unique, so that an object of JSON holds them all."""
    assert covers(explain_command(command), command.data)
    assert covers(explain_response(command, response), response.data)
    assert json.loads(json.dumps(decoded(command, response)))["command"]["name"] == explain_command(command).name


SECRET_INS = st.sampled_from([Ins.VERIFY, Ins.CHANGE_REFERENCE_DATA, Ins.RESET_RETRY_COUNTER])
TWO_SECRETS = st.integers(0, 40).flatmap(lambda length: st.tuples(*[st.binary(min_size=length, max_size=length)] * 2))


@given(CLASSES, SECRET_INS, P1_P2, P1_P2, TWO_SECRETS)
@example(CLA_ISO, Ins.VERIFY, 0, 0x81, (pin_block(PIN), pin_block(b"73915028")))
def test_no_pin_makes_a_difference(cla: int, ins: int, p1: int, p2: int, secrets: tuple[bytes, bytes]) -> None:
    """What is told of two PINs is the same, in any class and form, even if a card sent them back."""
    one, two = (decoded(Command(cla, ins, p1, p2, secret), Response(secret, SW.OK)) for secret in secrets)
    assert one == two


@given(CLASSES, P1_P2, P1_P2, st.lists(st.tuples(st.integers(1, 0xFFFF), TWO_SECRETS), max_size=5))
def test_no_value_of_store_data_makes_a_difference(cla: int, p1: int, p2: int, groups: list[tuple[int, tuple[bytes, bytes]]]) -> None:
    one, two = (
        decoded(Command(cla, Ins.STORE_DATA, p1, p2, b"".join(build_dgi(tag, pair[which]) for tag, pair in groups)), None)
        for which in (0, 1)
    )
    assert one == two


def whole(block: bytes) -> bool:
    try:
        return bool(parse_dgis(block))
    except MalformedTlv:
        return False


@given(TWO_SECRETS)
def test_nothing_is_told_of_a_block_that_is_not_whole(blocks: tuple[bytes, bytes]) -> None:
    assume(not any(map(whole, blocks)))
    one, two = (explain_command(Command(CLA_JOREN, Ins.STORE_DATA, 0x08, 0, raw)) for raw in blocks)
    assert one == two


def test_what_the_chip_answers() -> None:
    opened = explain_response(Command(0x00, Ins.MANAGE_CHANNEL, 0, 0, ne=1), Response(b"\x01", SW.OK))
    assert values(opened) == [("channel", "1")]
    fetched = explain_response(Command(0x00, Ins.GET_RESPONSE, 0, 0, ne=3), Response(b"abc", SW.OK))
    assert values(fetched) == [("data", "616263")]
