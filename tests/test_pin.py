"""PIN and PUK of the customer card: VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER, and what the PIN guards (docs/spec/customer.md)."""

from collections.abc import Callable
from dataclasses import replace
from hmac import compare_digest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardkit import LIMITS, NEVER, PIN, PUK, Customer, pin_block
from joren.apdu import AID_CUSTOMER, SW, Command, Ins, KeyRef, Kind, Response, aid, messages
from joren.apdu.state import State
from joren.applet import checks
from joren.applet import pin as pin_module
from joren.applet.customer import CustomerCard
from joren.simulator.memory import PowerCut

OK = Response(b"", SW.OK)
OTHER, WRONG = b"567890", b"1235"
WRONG_PUK = b"87654320"
MALFORMED = [
    bytes(8), b"\xff" * 8, pin_block(b"123"), pin_block(b"123a"), pin_block(b"12 4"), b"1234\x00\x00\x00\x00", b"1234    ",
    b"1234\xff\xff\xff5", b"\xff1234567", b"\x121234\xff\xff\xff", b"/2345678", b":2345678", b"\x01\x02\x03\x04\xff\xff\xff\xff",
]  # fmt: skip


def issued(digits: bytes | None = PIN, **limits: int) -> Customer:
    """A card with 5000 in the purse and 1000 points."""
    customer = Customer(limits=replace(LIMITS, **limits), pin=digits)
    customer.load(5_000)
    customer.buy(100_000)
    return customer


def asking(customer: Customer) -> Response:
    """VERIFY without data: is the PIN verified, and else how many tries are left."""
    return customer.send(0x00, Ins.VERIFY, 0, 0x81)


def change(customer: Customer, old: bytes, new: bytes) -> Response:
    return customer.send(0x00, Ins.CHANGE_REFERENCE_DATA, 0, 0x81, pin_block(old) + pin_block(new))


def reset(customer: Customer, puk: bytes, new: bytes) -> Response:
    return customer.send(0x00, Ins.RESET_RETRY_COUNTER, 0, 0x81, puk + pin_block(new))


def tries(customer: Customer) -> tuple[int, int]:
    """Tries left, of PIN and PUK."""
    pin, puk = customer.send(0x00, Ins.GET_DATA, 1, 3, ne=2).data
    return pin, puk


def refused(sw: int) -> Response:
    return Response(b"", sw)


def test_verify() -> None:
    """REQ-PIN-1: asked before and after; a right PIN brings all tries back; a wrong one costs a try and the verification."""
    customer = issued()
    assert asking(customer) == refused(0x63C3)
    assert customer.verify(WRONG) == refused(0x63C2)
    assert asking(customer) == refused(0x63C2)
    assert customer.verify(PIN) == OK == asking(customer)
    assert tries(customer) == (3, 10)
    assert customer.verify(WRONG) == refused(0x63C2) == asking(customer)
    assert tries(customer) == (2, 10)


@pytest.mark.parametrize("wrong", [WRONG, b"12345", b"123", b"", b"1234    ", b"\x00" * 8, b"\x31\x32\x33\x34\x00\x00\x00\x00"])
def test_three_wrong_pins_close_the_card(wrong: bytes) -> None:
    """REQ-PIN-1, REQ-PIN-4: then even the right one is 6983, changes nothing, and power does not help."""
    customer = issued()
    assert [customer.verify(wrong).sw for _ in range(3)] == [0x63C2, 0x63C1, 0x63C0]
    before = customer.chip.snapshot()
    for _ in range(2):
        for digits in (PIN, wrong):
            assert customer.verify(digits) == change(customer, digits, OTHER) == refused(SW.AUTHENTICATION_METHOD_BLOCKED)
        assert asking(customer) == refused(SW.AUTHENTICATION_METHOD_BLOCKED)
        customer.chip.power_on()
        customer.select()
    assert tries(customer) == (0, 10)
    assert customer.chip.snapshot() == before
    assert reset(customer, PUK, OTHER) == OK
    assert asking(customer) == refused(0x63C3)
    assert customer.verify(PIN) == refused(0x63C2)
    assert customer.verify(OTHER) == OK


def test_change() -> None:
    """REQ-PIN-2, REQ-PIN-4: the new PIN counts, with all its tries, and is verified; a wrong old one is a wrong try."""
    customer = issued()
    assert customer.verify(WRONG) == refused(0x63C2)
    assert change(customer, WRONG, OTHER) == refused(0x63C1) == asking(customer)
    assert change(customer, PIN, OTHER) == OK == asking(customer)
    assert tries(customer) == (3, 10)
    customer.select()
    assert customer.verify(PIN) == refused(0x63C2)
    assert customer.verify(OTHER) == OK
    assert change(customer, PIN, WRONG) == refused(0x63C2) == asking(customer)


def test_reset() -> None:
    """REQ-PIN-3: the PUK gives a new PIN and three tries; the PIN is not verified, also where it was."""
    customer = issued()
    assert reset(customer, WRONG_PUK, OTHER) == refused(0x63C9)
    assert tries(customer) == (3, 9)
    assert customer.verify(PIN) == OK
    assert reset(customer, PUK, OTHER) == OK
    assert asking(customer) == refused(0x63C3)
    assert tries(customer) == (3, 10)
    assert customer.verify(OTHER) == OK


def test_ten_wrong_puks_close_it_for_good() -> None:
    """REQ-PIN-3, REQ-PIN-4: the PIN itself still goes."""
    customer = issued()
    assert [reset(customer, WRONG_PUK, OTHER).sw for _ in range(10)] == [0x63C0 + left for left in range(9, -1, -1)]
    before = customer.chip.snapshot()
    assert reset(customer, PUK, OTHER) == reset(customer, WRONG_PUK, OTHER) == refused(SW.AUTHENTICATION_METHOD_BLOCKED)
    assert customer.chip.snapshot() == before
    assert customer.verify(PIN) == OK


@pytest.mark.parametrize("new", MALFORMED, ids=bytes.hex)
def test_a_malformed_new_pin(new: bytes) -> None:
    """REQ-PIN-2, REQ-PIN-3: refused before any try is counted, whatever PIN or PUK comes with it; the verification stays."""
    customer = issued()
    assert customer.verify(PIN) == OK
    before = customer.chip.snapshot()
    for first in (PIN, WRONG):
        assert customer.send(0x00, Ins.CHANGE_REFERENCE_DATA, 0, 0x81, pin_block(first) + new) == refused(SW.WRONG_DATA)
    for first in (PUK, WRONG_PUK):
        assert customer.send(0x00, Ins.RESET_RETRY_COUNTER, 0, 0x81, first + new) == refused(SW.WRONG_DATA)
    assert customer.chip.snapshot() == before
    assert asking(customer) == OK


def test_a_malformed_new_pin_comes_before_no_tries() -> None:
    """REQ-PIN-2, REQ-PIN-3: in the order of the page."""
    customer = issued()
    for _ in range(3):
        customer.verify(WRONG)
    for _ in range(10):
        reset(customer, WRONG_PUK, OTHER)
    assert change(customer, PIN, b"123") == reset(customer, PUK, b"123") == refused(SW.WRONG_DATA)


@pytest.mark.parametrize("digits", [b"0000", b"98765", b"000000", b"1234567", b"99999999"])
def test_a_pin_has_4_to_8_digits(digits: bytes) -> None:
    """REQ-PIN-2, REQ-PIN-3."""
    for customer in (issued(), issued()):
        assert change(customer, PIN, digits) == OK
        customer.select()
        assert customer.verify(digits) == OK
        assert reset(customer, PUK, PIN) == OK
        assert reset(customer, PUK, digits) == OK
        assert customer.verify(digits) == OK


def test_no_pin_on_the_card() -> None:
    """REQ-PIN-1: 6A88; and what only the holder may read is free (REQ-RES-2, REQ-LOG-1)."""
    customer = issued(None)
    before = customer.chip.snapshot()
    for response in (
        asking(customer),
        customer.verify(PIN),
        customer.verify(b""),
        change(customer, PIN, OTHER),
        reset(customer, PUK, OTHER),
    ):
        assert response == refused(SW.REFERENCED_DATA_NOT_FOUND)
    assert customer.chip.snapshot() == before
    assert [response.ok for response in guarded(customer)] == [True, True]


def guarded(customer: Customer) -> list[Response]:
    """What the holder's PIN guards: GET RESULT with all values, READ RECORD."""
    return [customer.send(0x80, Ins.GET_RESULT, 1, 0, bytes(2), 31), customer.send(0x00, Ins.READ_RECORD, 1, 0x0C, ne=44)]


def test_the_holders_data_need_the_pin_and_do_not_use_it_up() -> None:
    """REQ-RES-2, REQ-LOG-1: 6982 before 6A83; rank and score are anybody's."""
    customer = issued()
    assert guarded(customer) == [refused(SW.SECURITY_STATUS_NOT_SATISFIED)] * 2
    assert customer.send(0x00, Ins.READ_RECORD, 3, 0x0C, ne=44) == refused(SW.SECURITY_STATUS_NOT_SATISFIED)
    assert customer.send(0x80, Ins.GET_RESULT, 0, 0, bytes(2), 3).ok
    assert customer.verify(PIN) == OK
    for _ in range(3):
        assert [len(response.data) for response in guarded(customer)] == [31, 44]
    assert customer.send(0x00, Ins.READ_RECORD, 3, 0x0C, ne=44) == refused(SW.RECORD_NOT_FOUND)
    assert asking(customer) == OK


LOSSES: dict[str, Callable[[Customer], object]] = {
    "SELECT": lambda customer: customer.select(),
    "SELECT by a part": lambda customer: customer.send(0x00, Ins.SELECT, 0x04, 0x00, customer.aid[:5], 256),
    "another instance": lambda customer: (customer.send(0x00, Ins.SELECT, 0x04, 0x00, aid(AID_CUSTOMER, 2), 256), customer.select()),
    "reset": lambda customer: (customer.chip.power_on(), customer.select()),
    "power": lambda customer: cut(customer, lambda card: card.verify(PIN), 1),
    "a wrong PIN": lambda customer: customer.verify(WRONG),
    "a wrong PIN to change": lambda customer: change(customer, WRONG, OTHER),
    "a wrong PUK": lambda customer: reset(customer, WRONG_PUK, OTHER),
    "the PUK": lambda customer: reset(customer, PUK, PIN),
}


@pytest.mark.parametrize("how", LOSSES)
def test_verification_is_lost(how: str) -> None:
    """REQ-PIN-1, REQ-PIN-3, REQ-SEL-2."""
    customer = issued()
    customer.chip.install(CustomerCard, aid(AID_CUSTOMER, 2))
    assert customer.verify(PIN) == OK
    LOSSES[how](customer)
    assert asking(customer).sw & 0xFFF0 == SW.VERIFY_FAILED
    assert guarded(customer) == [refused(SW.SECURITY_STATUS_NOT_SATISFIED)] * 2


def test_verification_lasts_over_all_else() -> None:
    """REQ-PIN-1, REQ-TRX-6: a refused SELECT, transactions that need no PIN or are refused, PROVE, reading."""
    customer = issued(redeem_pin_from=10, pay_pin_from_minor=10)
    assert customer.verify(PIN) == OK
    customer.send(0x00, Ins.SELECT, 0x04, 0x0C, bytes(5), 26)
    customer.buy(100_000)
    customer.load(100)
    customer.prove(0, 7, 1, bytes(8))
    for kind, amount, sw in ((Kind.REDEEM, 9, 0x9000), (Kind.PAY, 9, 0x9000), (Kind.VOID_PAY, 9, 0x9000), (Kind.PAY, 5_101, 0x9401)):
        assert customer.transact(kind, customer.plain(amount)).sw == sw
    assert asking(customer) == OK


NEED = [
    # limit, amount, is the PIN needed
    (0, 1, True),
    (1, 1, True),
    (500, 499, False),
    (500, 500, True),
    (500, 501, True),
    (501, 500, False),
    (NEVER - 1, 500, False),
    (NEVER, 500, False),
]
SPENDING = [(Kind.REDEEM, KeyRef.TILL), (Kind.REDEEM, KeyRef.SHOP), (Kind.PAY, KeyRef.TILL), (Kind.PAY, KeyRef.SHOP)]
SPENDING += [(Kind.PAY_AND_EARN, KeyRef.TILL), (Kind.PAY_AND_EARN, KeyRef.SHOP)]


def spending(customer: Customer, kind: Kind, key_ref: KeyRef, amount: int) -> Command:
    """TRANSACT, or COMMIT where a shop card computes."""
    order = customer.order(amount) if kind == Kind.PAY_AND_EARN else customer.plain(amount)
    if (kind, key_ref) != (Kind.PAY_AND_EARN, KeyRef.SHOP):
        return customer.transact_command(kind, order, key_ref)
    info, raw, state = customer.info, order.encode(), replace(State.blank(), last_hour=100).encode()
    message = messages.commit(customer.head, info.counter, info.nonce, kind, key_ref, raw, info.rules_version, 0, state)
    return customer.commit_command(kind, order, 0, state, customer.keys[key_ref].mac8(message))


@pytest.mark.parametrize(("limit", "amount", "needed"), NEED)
@pytest.mark.parametrize(("kind", "key_ref"), SPENDING)
def test_the_pin_is_needed_from_a_limit_on(kind: Kind, key_ref: KeyRef, limit: int, amount: int, needed: bool) -> None:
    """REQ-TRX-6: of points for REDEEM, of money for PAY and PAY AND EARN; a transaction that needed it uses it up, another does not."""
    redeem, pay = (limit, NEVER) if kind == Kind.REDEEM else (NEVER, limit)
    without = issued(None, redeem_pin_from=redeem, pay_pin_from_minor=pay)
    customer = issued(redeem_pin_from=redeem, pay_pin_from_minor=pay)
    for card in (without, customer):
        before = card.chip.snapshot()
        response = card.chip.process(spending(card, kind, key_ref, amount))
        assert response.sw == (SW.SECURITY_STATUS_NOT_SATISFIED if needed else SW.OK)
        assert (card.chip.snapshot() == before) == needed
    customer.select()
    assert customer.verify(PIN) == OK
    assert customer.chip.process(spending(customer, kind, key_ref, amount)).ok
    assert asking(customer) == (refused(0x63C3) if needed else OK)


def test_the_limit_that_is_never_reached() -> None:
    """REQ-TRX-6: FFFFFFFF is no limit even for the largest amount, and one less is."""
    for limit, sw in ((NEVER, SW.OK), (NEVER - 1, SW.SECURITY_STATUS_NOT_SATISFIED)):
        customer = Customer(limits=replace(LIMITS, purse_max_minor=NEVER, pay_pin_from_minor=limit))
        customer.load(NEVER)
        assert customer.transact(Kind.PAY, customer.plain(NEVER)).sw == sw


Act = Callable[[Customer], Response]


def cut(customer: Customer, act: Act, write: int) -> bool:
    """Whether the power went at the write; then it comes back."""
    customer.chip.memory.cut_after(write)
    try:
        act(customer)
        torn = False
    except PowerCut:
        torn = True
    customer.chip.power_on()
    customer.select()
    return torn


GUESSES: list[tuple[Act, Act, tuple[int, int]]] = [
    (lambda card: card.verify(PIN), lambda card: card.verify(WRONG), (2, 10)),
    (lambda card: change(card, PIN, OTHER), lambda card: change(card, WRONG, OTHER), (2, 10)),
    (lambda card: reset(card, PUK, OTHER), lambda card: reset(card, WRONG_PUK, OTHER), (3, 9)),
]


@pytest.mark.parametrize(("right", "wrong", "lowered"), GUESSES, ids=["VERIFY", "CHANGE", "RESET"])
def test_the_try_counter_falls_before_the_comparison(right: Act, wrong: Act, lowered: tuple[int, int]) -> None:
    """REQ-PIN-4, REQ-APDU-7: right or wrong, the first write takes the try; who pulls the card before has not guessed."""
    for guess in (right, wrong):
        customer = issued()
        assert cut(customer, guess, 1)
        assert tries(customer) == (3, 10)
        assert cut(customer, guess, 2) == (guess is right)
        assert tries(customer) == lowered


def test_pulling_the_card_wins_no_guess() -> None:
    """REQ-PIN-4: three right guesses that are torn after the first write are three lost."""
    customer = issued()
    assert [cut(customer, lambda card: card.verify(PIN), 2) for _ in range(4)] == [True, True, True, False]
    assert tries(customer) == (0, 10)
    assert customer.verify(PIN) == refused(SW.AUTHENTICATION_METHOD_BLOCKED)


def test_a_wrong_guess_is_one_write_outside_transactions() -> None:
    """REQ-PIN-4."""
    for _, act, _ in GUESSES:
        customer = issued()
        statistics = replace(customer.chip.memory.statistics)
        assert act(customer).sw & 0xFFF0 == SW.VERIFY_FAILED
        assert customer.chip.memory.statistics.writes == statistics.writes + 1
        assert customer.chip.memory.statistics.transactions == statistics.transactions


@pytest.mark.parametrize(
    ("act", "left"),
    [
        (lambda card: change(card, PIN, OTHER), [(2, 10), (1, 10), (3, 10), (3, 10), (3, 10), (3, 10)]),
        (lambda card: reset(card, PUK, OTHER), [(2, 10), (2, 9), (2, 10), (2, 10), (2, 10), (3, 10)]),
    ],
    ids=["CHANGE REFERENCE DATA", "RESET RETRY COUNTER"],
)
def test_a_pin_is_stored_whole_or_not_at_all(act: Act, left: list[tuple[int, int]]) -> None:
    """REQ-PIN-4, REQ-APDU-8: with its tries, at whatever write the power goes; one try was lost before."""
    for write, expected in enumerate(left, 1):
        customer = issued()
        assert customer.verify(WRONG) == refused(0x63C2)
        torn = cut(customer, act, write)
        assert (torn, tries(customer)) == (write < len(left), expected)
        region = customer.chip.memory.regions[customer.aid.hex().upper() + "/pin"]
        assert customer.chip.memory.read(region.address, 8) == pin_block(PIN if torn else OTHER)


ACTIONS = ["ask", "verify", "wrong", "change", "change wrong", "reset", "reset wrong", "select"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(ACTIONS), max_size=40))
def test_any_row_of_attempts(actions: list[str]) -> None:
    """REQ-PIN-1, REQ-PIN-2, REQ-PIN-3: a card and a model of two counters and a flag say the same."""
    customer, pin, other = Customer(pin=PIN), PIN, OTHER
    left, puk_left, verified = 3, 10, False
    for action in actions:
        if action == "select":
            customer.select()
            verified = False
            continue
        blocked = SW.AUTHENTICATION_METHOD_BLOCKED
        if action == "ask":
            expected = SW.OK if verified else 0x63C0 + left if left else blocked
            assert asking(customer) == refused(expected)
        elif action.startswith("reset"):
            right, had = action == "reset", puk_left
            puk_left = 10 if right and had else max(had - 1, 0)
            verified = False
            assert reset(customer, PUK if right else WRONG_PUK, other) == refused(
                blocked if not had else 0x9000 if right else 0x63C0 + puk_left
            )
            if right and had:
                pin, other, left = other, pin, 3
        else:
            right, had = action in ("verify", "change"), left
            left = 3 if right and had else max(had - 1, 0)
            verified = right and had > 0
            guess = pin if right else WRONG
            response = change(customer, guess, other) if "change" in action else customer.verify(guess)
            assert response == refused(blocked if not had else 0x9000 if right else 0x63C0 + left)
            if action == "change" and had:
                pin, other = other, pin
        assert tries(customer) == (left, puk_left)


@pytest.mark.model
def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """REQ-PIN-4, REQ-MAC-2: by compare_digest, each whole."""
    compared: list[tuple[int, int]] = []

    def spy(expected: bytes, came: bytes) -> bool:
        compared.append((len(expected), len(came)))
        return compare_digest(expected, came)

    customer = issued()
    monkeypatch.setattr(pin_module, "compare_digest", spy)
    monkeypatch.setattr(checks, "compare_digest", spy)
    assert customer.verify(WRONG).sw == 0x63C2
    assert reset(customer, PUK, OTHER) == OK
    customer.buy(1)
    assert compared == [(8, 8)] * 3
