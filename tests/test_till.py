"""The till at work, with software keys and with a shop card: what its dialogs send, what they give back, and what they keep."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cardkit import LIMITS, PIN, PROGRAMME, Customer, Shop
from joren.apdu import CLA_ISO, Ins, KeyRef, Kind, messages
from joren.apdu.state import State
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.host import Acceptor, CardLost, CardRefused, Detail, Dialog, Fate, Granted, HostError, Offers, Receipt, Standing, Till, run
from support import POINTS_LEFT, SHOP, TERMINAL, Counter, Fault, card_number, free_of_pin

Sale = Callable[[Till], Dialog[Granted]]
MODES = pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])

OPEN = ["SHOP SELECT"]
ONE_CARD = ["CUSTOMER SELECT", "CUSTOMER TRANSACT"]
TWO_CARD = ["CUSTOMER SELECT", "CUSTOMER GET_STATE", "SHOP COMPUTE", "CUSTOMER COMMIT", "SHOP RATIFY"]
AUTHORIZED = ["CUSTOMER SELECT", "SHOP AUTHORIZE", "CUSTOMER TRANSACT", "SHOP RATIFY"]

# The first rows of the vectors in docs/spec/rank.md: hour, amount, category, factor, points, rank, score, state.
VECTORS = [
    (100, 1_000, 0, 10, 10, 0, 77, "01000064006400640001006400000000004D000000400000000F0000000F0000"),
    (102, 64_000, 0, 10, 640, 2, 388, "0102006400660064000100660000000001842BA6003F4F8003F7000003F70000"),
    (270, 12_345, 3, 20, 370, 3, 621, "01030064010E010E0002010E05500DAC026DB4DC0076675404AC10D204B70000"),
]
OFFERS = Offers.parse(
    """
    version = 1
    languages = ["en"]
    offer = [
        { id = "any", priority = 1, text = { en = "A free bag" } },
        { id = "bread", priority = 2, categories = [0, 2], text = { en = "A roll" } },
        { id = "high", priority = 3, ranks = [2, 4], text = { en = "The lounge" } },
        { id = "low", priority = 4, ranks = [0, 0], scores = [60, 99], text = { en = "A coffee" } },
    ]
    """
)
START_POINTS, START_PURSE = 1_000, 50_000


def buys(reference: str, hour: int = 200, amount: int = 1_000, category: int = 0, factor: int = 10) -> Sale:
    """A purchase."""
    return lambda till: till.purchase(reference, hour, amount, category, factor)


def shows(hour: int) -> Callable[[Till], Dialog[Standing]]:
    """The detailed result at an hour."""
    return lambda till: till.result(hour, detailed=True)


def served(by_card: bool, path: Path | str = ":memory:") -> tuple[Counter, Customer]:
    """A counter, its shop card open, and a customer with 1,000 points and a purse of 50,000."""
    counter, customer = Counter(by_card, path), free_of_pin()
    counter.tap(customer, lambda till: till.load("loaded first", 100, START_PURSE))
    counter.tap(customer, lambda till: till.purchase("bought first", 101, 100_000))
    return counter, customer


# name: dialog, kind, APDUs with a shop card, points moved, points after, purse after. At rank 2 a point costs 66.67.
SALES: dict[str, tuple[Sale, Kind, list[str], int, int, int]] = {
    "purchase": (lambda till: till.purchase("S", 200, 10_000, 3), Kind.PURCHASE, TWO_CARD, 150, 1_150, 50_000),
    "campaign": (lambda till: till.purchase("S", 200, 10_000, 3, 20), Kind.PURCHASE, TWO_CARD, 300, 1_300, 50_000),
    "visit": (lambda till: till.purchase("S", 200, 0), Kind.PURCHASE, TWO_CARD, 0, 1_000, 50_000),
    "pay and earn": (lambda till: till.purchase("S", 200, 2_000, pay=True), Kind.PAY_AND_EARN, TWO_CARD, 30, 1_030, 48_000),
    "redeem": (lambda till: till.redeem("S", 200, 400), Kind.REDEEM, AUTHORIZED, 400, 600, 50_000),
    "load": (lambda till: till.load("S", 200, 700), Kind.LOAD, AUTHORIZED, 0, 1_000, 50_700),
    "pay": (lambda till: till.pay("S", 200, 700), Kind.PAY, AUTHORIZED, 0, 1_000, 49_300),
}
KINDS = pytest.mark.parametrize("name", SALES)


@MODES
@KINDS
def test_each_kind_of_sale(by_card: bool, name: str) -> None:
    """REQ-FLW-1: no APDU more than the flows have. Every field of the result says what the card did."""
    counter, customer = served(by_card)
    sale, kind, two_card, points, balance, purse = SALES[name]
    granted = counter.tap(customer, sale)
    assert counter.names() == (two_card if by_card else ONE_CARD)
    assert (granted.reference, granted.kind, granted.card_id) == ("S", kind, customer.card_id)
    assert (granted.points, granted.points_balance, granted.purse_minor) == (points, balance, purse)
    assert (granted.recovered, granted.voided, granted.settled, granted.offers) == (False, False, (), ())
    counter.audit(customer)


@MODES
@KINDS
def test_each_kind_of_sale_is_taken_back(by_card: bool, name: str) -> None:
    counter, customer = served(by_card)
    sale, kind, _, points, _, _ = SALES[name]
    before = counter.tap(customer, shows(200))
    counter.tap(customer, sale)
    void = counter.tap(customer, lambda till: till.void("V", 205, "S"))
    assert counter.names() == (AUTHORIZED if by_card else ONE_CARD)
    assert (void.reference, void.kind, void.points) == ("V", Kind(kind | 0x80), points)
    assert (void.points_balance, void.purse_minor, void.voided) == (START_POINTS, START_PURSE, False)
    assert counter.tap(customer, shows(200)) == before
    assert counter.tap(customer, sale).voided
    counter.audit(customer)


@MODES
def test_purchases_give_what_the_specification_gives(by_card: bool) -> None:
    """The vectors of docs/spec/rank.md, through the till: points, rank, score, and the values behind them."""
    counter, customer, balance = Counter(by_card), free_of_pin(), 0
    for number, (hour, amount, category, factor, points, rank, score, state) in enumerate(VECTORS):
        granted = counter.tap(customer, buys(f"S{number}", hour, amount, category, factor))
        balance += points
        assert (granted.points, granted.rank, granted.score, granted.points_balance) == (points, rank, score, balance)
        standing = counter.tap(customer, shows(hour))
        detail = Detail(State.decode(bytes.fromhex(state)).values, 0, balance, 0)
        assert standing == Standing(customer.card_id, rank, score, detail, (), ())


@MODES
def test_the_receipt_is_the_cards_own_record(by_card: bool) -> None:
    """REQ-MAC-4: what the issuer needs to check it, in 54 bytes, and the key RECEIPT agrees."""
    counter, customer = Counter(by_card), free_of_pin()
    receipt = counter.tap(customer, lambda till: till.purchase("S", 100, 1_000, 2, 20)).receipt
    assert (receipt.programme, receipt.card_id, len(receipt.encode())) == (PROGRAMME, customer.card_id, 54)
    assert Receipt.decode(receipt.encode()) == receipt
    customer.keys[KeyRef.RECEIPT].verify8(messages.receipt(customer.head, receipt.record), receipt.mac)
    record = Transaction.decode(receipt.record)
    key_ref = KeyRef.SHOP if by_card else KeyRef.TILL
    order = Order(100, 1_000, 2, 20, SHOP, TERMINAL << 24)
    outcome = Outcome(rank=0, rules_version=1, score=77, points=20, points_balance=20, purse_minor=0)
    assert record == Transaction(Kind.PURCHASE, key_ref, 0, order.encode(), outcome.encode())
    customer.chip.power_on()
    customer.select()
    assert customer.send(CLA_ISO, Ins.READ_RECORD, 1, 0x0C, ne=44).data == receipt.record + receipt.mac


@MODES
def test_the_last_values_that_can_be_are_sold(by_card: bool) -> None:
    limits = replace(LIMITS, categories=0xFFFF, factor_max_tenths=255, purse_max_minor=0xFFFFFFFF)
    customer, shop = Customer(limits=limits), Shop(SHOP, TERMINAL, 1_000_000, 0xFFFFFFFF, limits=limits)
    counter = Counter(by_card, shop=shop)
    assert counter.tap(customer, lambda till: till.load("R" * 64, 0, 0xFFFFFFFF)).purse_minor == 0xFFFFFFFF
    assert counter.tap(customer, lambda till: till.purchase("コ" * 64, 0xFFFF, 0xFFFFFFFF, 15, 255, pay=True)).points == 65_535
    assert counter.tap(customer, lambda till: till.result(0xFFFF)).rank == 2
    assert counter.journal.unsettled() == []


@MODES
def test_open_tells_who_authorizes(by_card: bool) -> None:
    counter = Counter(by_card)
    acceptor = run(counter.till.open(), counter.links)
    assert acceptor == Acceptor(PROGRAMME, SHOP, TERMINAL, by_card)
    assert counter.names() == (OPEN if by_card else [])
    assert f"shop {SHOP}, terminal {TERMINAL} with {'a shop card' if by_card else 'software keys'}" in str(acceptor)


@MODES
def test_result_reads_and_writes_nothing(by_card: bool) -> None:
    """REQ-RES-1: the standing at any hour, here one half-life later; the plain one without the detail."""
    counter, customer = served(by_card)
    before = customer.chip.snapshot()
    plain = counter.tap(customer, lambda till: till.result(101))
    later = counter.tap(customer, shows(101 + 2_160))
    assert counter.names() == ["CUSTOMER SELECT", "CUSTOMER GET_RESULT"]
    assert plain == Standing(customer.card_id, 2, 62 + 312, None, (), ())
    assert later.score == (62 + 312) // 2
    assert later.detail is not None
    assert (later.detail.points_before, later.detail.points_now, later.detail.purse_minor) == (0, START_POINTS, START_PURSE)
    assert customer.chip.snapshot() == before


def test_points_of_the_period_before_are_told_apart() -> None:
    """REQ-PTS-1: after a period's end the points are the old ones, after another they are gone."""
    counter, customer = served(by_card=False)
    details = [counter.tap(customer, shows(hour)).detail for hour in (200, 8_760, 17_520)]
    assert [(one.points_before, one.points_now) for one in details if one] == [(0, 1_000), (1_000, 0), (0, 0)]


@MODES
def test_settle_has_nothing_to_do_and_says_so(by_card: bool) -> None:
    counter, customer = served(by_card)
    settled = counter.tap(customer, lambda till: till.settle())
    assert (settled.card_id, settled.rows, counter.names()) == (customer.card_id, (), ["CUSTOMER SELECT"])


@MODES
def test_offers_come_with_results(by_card: bool) -> None:
    """For rank, score and category of this sale; a sale that does not earn has no category."""
    counter, customer = Counter(by_card, offers=OFFERS), free_of_pin()

    def ids(dialog: Callable[[Till], Dialog[Granted | Standing]]) -> list[str]:
        return [offer.id for offer in counter.tap(customer, dialog).offers]

    assert ids(lambda till: till.purchase("A", 100, 1_000, 2)) == ["low", "bread", "any"]
    assert ids(lambda till: till.purchase("A", 100, 1_000, 2)) == ["low", "bread", "any"]
    assert ids(lambda till: till.redeem("B", 100, 1)) == ["low", "any"]
    assert ids(lambda till: till.result(100)) == ["low", "any"]
    assert ids(lambda till: till.purchase("C", 102, 64_000, 1)) == ["high", "any"]
    assert counter.tap(customer, lambda till: till.result(102)).offers[0].text == {"en": "The lounge"}


def test_no_more_offers_than_the_till_shows() -> None:
    counter, customer = Counter(by_card=False), free_of_pin()
    counter.till = Till(counter.till.holder, counter.journal, offers=OFFERS, offers_max=1)
    assert [offer.id for offer in counter.tap(customer, lambda till: till.purchase("A", 100, 1_000, 2)).offers] == ["low"]
    assert [offer.id for offer in counter.tap(customer, lambda till: till.result(100)).offers] == ["low"]


PIN_LIMITS = replace(LIMITS, redeem_pin_from=0, pay_pin_from_minor=0)
NEED_PIN: dict[str, Callable[[Till, str | bytes], Dialog[Granted]]] = {
    "redeem": lambda till, pin: till.redeem("S", 200, 10, pin=pin),
    "pay": lambda till, pin: till.pay("S", 200, 100, pin=pin),
    "pay and earn": lambda till, pin: till.purchase("S", 200, 100, pay=True, pin=pin),
}


@MODES
@pytest.mark.parametrize("name", NEED_PIN)
@pytest.mark.parametrize("pin", [PIN, PIN.decode()], ids=["bytes", "text"])
def test_a_sale_with_the_pin(by_card: bool, name: str, pin: str | bytes) -> None:
    """The PIN goes to the card before the sale, and into nothing else."""
    counter, customer = Counter(by_card), Customer(pin=PIN, limits=PIN_LIMITS)
    counter.tap(customer, lambda till: till.load("L", 100, 1_000))
    counter.tap(customer, lambda till: till.purchase("P", 101, 10_000))
    assert counter.tap(customer, lambda till: NEED_PIN[name](till, pin)).reference == "S"
    assert counter.names()[:2] == ["CUSTOMER SELECT", "CUSTOMER VERIFY"]
    assert counter.sent[1].command.data == b"1234\xff\xff\xff\xff"


def test_the_longest_pin_and_the_detail_behind_it() -> None:
    """REQ-RES-2: the plain result needs no PIN, the detail does."""
    counter, customer = Counter(by_card=False), Customer(pin=b"12345678")
    assert counter.tap(customer, lambda till: till.result(100)).detail is None
    standing = counter.tap(customer, lambda till: till.result(100, detailed=True, pin="12345678"))
    assert standing == Standing(customer.card_id, 0, 0, Detail((0, 0, 0, 0), 0, 0, 0), (), ())
    assert counter.names() == ["CUSTOMER SELECT", "CUSTOMER VERIFY", "CUSTOMER GET_RESULT"]


@MODES
@KINDS
def test_the_same_reference_again_gives_the_stored_result(by_card: bool, name: str, tmp_path: Path) -> None:
    """REQ-STL-3: no APDU is sent, whatever card is there, now and after a restart; the void of a sale likewise."""
    counter, customer = served(by_card, tmp_path / "journal")
    first = counter.tap(customer, SALES[name][0])
    rows = list(counter.journal.rows())
    for _ in range(2):
        assert counter.tap(free_of_pin(2), SALES[name][0]) == replace(first, recovered=True)
        assert counter.sent == []
        counter.restart()
    assert list(counter.journal.rows()) == rows
    void = counter.tap(customer, lambda till: till.void("V", 205, "S"))
    assert counter.tap(customer, lambda till: till.void("V", 206, "S")) == replace(void, recovered=True)
    assert counter.sent == []
    counter.journal.close()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda till: till.redeem("S", 200, 1_000), id="kind"),
        pytest.param(lambda till: till.purchase("S", 200, 1_000, 2, pay=True), id="paid by purse"),
        pytest.param(lambda till: till.purchase("S", 200, 1_001, 2), id="amount"),
        pytest.param(lambda till: till.purchase("S", 200, 1_000, 3), id="category"),
        pytest.param(lambda till: till.purchase("S", 200, 1_000, 2, 20), id="factor"),
        pytest.param(lambda till: till.void("S", 200, "S"), id="its own void"),
    ],
)
@MODES
def test_another_sale_under_the_same_reference_is_refused(by_card: bool, other: Sale) -> None:
    counter, customer = Counter(by_card), free_of_pin()
    counter.tap(customer, lambda till: till.purchase("S", 100, 1_000, 2))
    with pytest.raises(HostError, match=r"reference S is that of another sale, PURCHASE of 1000: give each sale a reference of its own"):
        counter.tap(customer, other)
    assert counter.sent == []
    assert counter.tap(customer, lambda till: till.purchase("S", 999, 1_000, 2)).recovered
    counter.audit(customer)


def test_two_voids_under_one_reference_are_two_sales() -> None:
    """A void is known by what it takes back, too."""
    counter, customer = Counter(by_card=False), free_of_pin()
    for number in "12":
        counter.tap(customer, buys(f"S{number}"))
    counter.tap(customer, lambda till: till.void("V", 100, "S2"))
    with pytest.raises(HostError, match="reference V is that of another sale"):
        counter.tap(customer, lambda till: till.void("V", 100, "S1"))


def torn(by_card: bool, fault: Fault = Fault.LOST_BEFORE) -> tuple[Counter, Customer]:
    """A purchase "S" of 1,000 at hour 200 whose TRANSACT or COMMIT, or its answer, was lost."""
    counter, customer = served(by_card)
    with pytest.raises(CardLost, match="customer card lost; sale S: whether the card committed is not known"):
        counter.tap(customer, buys("S"), {4 if by_card else 2: fault})
    assert [row.fate for row in counter.journal.unsettled()] == [Fate.PENDING]
    return counter, customer


@MODES
def test_what_is_pending_on_one_card_is_refused_on_another(by_card: bool) -> None:
    """REQ-STL-3: until the first card has said what became of it."""
    counter, customer = torn(by_card)
    other = free_of_pin(2)
    before = other.chip.snapshot(), counter.shop.chip.snapshot()
    with pytest.raises(HostError, match=f"sale S is pending on card {card_number(1).hex().upper()}, card .*0002 came: tap the first again"):
        counter.tap(other, buys("S"))
    assert (other.chip.snapshot(), counter.shop.chip.snapshot(), counter.names()) == (*before, ["CUSTOMER SELECT"])
    assert counter.tap(customer, buys("S")).points == 15
    counter.audit(customer, other)


@MODES
@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER], ids=["never came", "came"])
def test_settle_tells_what_became_of_a_torn_sale(by_card: bool, fault: Fault) -> None:
    """REQ-STL-2: PROVE, before anything else; a result settles as well as a sale does, and tells."""
    fate = Fate.COMMITTED if fault is Fault.LOST_AFTER else Fate.NOT_COMMITTED
    prove = ["CUSTOMER SELECT", *["SHOP GET_CHALLENGE"] * by_card, "CUSTOMER PROVE", *["SHOP RATIFY"] * by_card]
    counter, customer = torn(by_card, fault)
    settled = counter.tap(customer, lambda till: till.settle())
    assert [(row.reference, row.fate, row.order.amount) for row in settled.rows] == [("S", fate, 1_000)]
    assert (settled.card_id, counter.names()) == (customer.card_id, prove)
    counter.audit(customer)
    counter, customer = torn(by_card, fault)
    assert [(row.reference, row.fate) for row in counter.tap(customer, shows(200)).settled] == [("S", fate)]
    assert counter.names() == [*prove, "CUSTOMER GET_RESULT"]
    counter.audit(customer)


@MODES
def test_a_torn_sale_is_recovered_and_says_so(by_card: bool) -> None:
    counter, customer = torn(by_card, Fault.LOST_AFTER)
    granted = counter.tap(customer, buys("S"))
    assert (granted.recovered, granted.points, [row.fate for row in granted.settled]) == (True, 15, [Fate.COMMITTED])
    assert "CUSTOMER TRANSACT" not in counter.names()
    assert "CUSTOMER COMMIT" not in counter.names()


@MODES
def test_what_did_not_happen_is_sold_anew_under_its_reference(by_card: bool) -> None:
    """REQ-FLW-4: with a sequence number of its own."""
    counter, customer = torn(by_card, Fault.LOST_BEFORE)
    granted = counter.tap(customer, buys("S"))
    assert (granted.recovered, [row.fate for row in granted.settled]) == (False, [Fate.NOT_COMMITTED])
    rows = [row for row in counter.journal.rows() if row.reference == "S"]
    assert [row.fate for row in rows] == [Fate.NOT_COMMITTED, Fate.COMMITTED]
    assert rows[0].order.sequence < rows[1].order.sequence


@MODES
def test_a_blocked_card_still_settles(by_card: bool) -> None:
    """What was pending is known afterwards, though the card is not served."""
    counter, customer = torn(by_card, Fault.LOST_AFTER)
    customer.chip.power_on()
    info = customer.select()
    mac = customer.keys[KeyRef.ADMIN].mac8(messages.admin(customer.head, info.counter, info.nonce, 0x83))
    assert customer.send(0x80, Ins.SET_STATUS, 0x40, 0x83, mac).ok
    with pytest.raises(CardRefused, match="customer card refused SELECT: 6283 FILE_DEACTIVATED"):
        counter.tap(customer, lambda till: till.settle())
    assert counter.tap(customer, buys("S")).recovered


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER], ids=["still there", "gone"])
def test_a_proof_is_ratified_without_the_customer(fault: Fault) -> None:
    """REQ-STL-5: an entry that is still there is ratified when the till opens; one that is gone was ratified before."""
    counter, customer = served(by_card=True)
    with pytest.raises(
        CardLost,
        match="shop card lost; sale S: the customer card has answered and may go; hand nothing out yet, ask for the same sale again",
    ):
        counter.tap(customer, buys("S"), {5: fault})
    assert [row.fate for row in counter.journal.unsettled()] == [Fate.PROVEN]
    other = free_of_pin(2)
    granted = counter.tap(other, buys("S"))
    assert (granted.card_id, granted.points, granted.recovered) == (customer.card_id, 15, True)
    reads = {Fault.LOST_BEFORE: ["SHOP READ_RECORD", "SHOP RATIFY"], Fault.LOST_AFTER: ["SHOP READ_RECORD"]}
    assert list(dict.fromkeys(counter.names())) == [*OPEN, *reads[fault]]
    counter.audit(customer, other)


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER], ids=["not computed", "computed"])
def test_an_entry_the_till_does_not_know_is_adopted(fault: Fault) -> None:
    """REQ-STL-4: COMPUTE's answer was lost. The entry has no sale; its customer settles it at the next tap."""
    counter, customer = served(by_card=True)
    with pytest.raises(CardLost, match="shop card lost; sale S: nothing was transacted; try again"):
        counter.tap(customer, buys("S"), {3: fault})
    assert counter.journal.unsettled() == []
    granted = counter.tap(customer, buys("S"))
    adopted = [(row.reference, row.fate, row.order.amount) for row in granted.settled]
    assert adopted == ([(None, Fate.NOT_COMMITTED, 1_000)] if fault is Fault.LOST_AFTER else [])
    counter.audit(customer)


def test_cards_that_take_orders_of_one_acceptor_are_served_there() -> None:
    """REQ-KEY-3: each by its own; LOAD has a key of its own, which any acceptor may hold."""
    for modes, by_card in ((1, False), (2, True)):
        customer, counter = Customer(limits=replace(LIMITS, modes=modes)), Counter(by_card)
        counter.tap(customer, buys("S"))
        assert Counter(not by_card).tap(customer, lambda till: till.load("L", 200, 100)).purse_minor == 100
        assert counter.tap(customer, lambda till: till.pay("P", 200, 40)).purse_minor == 60


def leave(counter: Counter, customer: Customer, fault: Fault) -> None:
    """One entry more: a purchase "lost N" of 1,000, card N, torn at COMMIT."""
    with pytest.raises(CardLost):
        counter.tap(customer, buys(f"lost {customer.card_id[-1]}", 100), {4: fault})


def full(fault: Fault, entries: int = 16) -> tuple[Counter, list[Customer]]:
    """A counter whose shop card has all its entries in use, and the customers that left them, the oldest first."""
    counter, customers = Counter(by_card=True), [free_of_pin(number) for number in range(1, entries + 1)]
    run(counter.till.open(), counter.links)
    for customer in customers:
        leave(counter, customer, fault)
    return counter, customers


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER], ids=["not committed", "committed"])
@pytest.mark.parametrize("name", ["purchase", "load"])
def test_when_all_entries_are_in_use_the_oldest_is_written_off(fault: Fault, name: str) -> None:
    """REQ-RAT-4, REQ-REC-6: the sale goes on, the ceiling stays used, and the customer who returns is the issuer's to settle."""
    counter, customers = full(fault)
    granted = counter.tap(free_of_pin(17), SALES[name][0])
    assert [(row.reference, row.fate) for row in counter.journal.unsettled() if row.slot is None] == [("lost 1", Fate.PENDING)]
    assert counter.shop.totals().points_written_off == 10
    if name == "purchase":
        makes_room = [*OPEN, *["SHOP READ_RECORD"] * 16, *TWO_CARD[1:3], "SHOP RATIFY"]
        assert counter.names() == [*TWO_CARD[:3], *makes_room, *TWO_CARD[1:]]
    with pytest.raises(HostError, match=r"sale lost 1 on card C0+1 can not be settled here: the issuer settles it by receipts"):
        counter.tap(customers[0], buys("lost 1", 100))
    (row,) = [row for row in counter.journal.unsettled() if row.fate is Fate.UNKNOWN]
    if fault is Fault.LOST_AFTER:
        answer = row.answer()
        customers[0].keys[KeyRef.RECEIPT].verify8(messages.receipt(customers[0].head, row.head + answer.outcome), answer.receipt)
    again = counter.tap(customers[0], buys("after", 101))
    assert (again.settled, again.recovered) == ((), False)
    for customer in customers[1:]:
        counter.tap(customer, lambda till: till.settle())
    committed = 15 if fault is Fault.LOST_AFTER else 0
    info = counter.shop.select()
    assert (info.pending, info.points_left) == (0, POINTS_LEFT - 10 - granted.points - again.points - 10 * committed)
    assert [row.reference for row in counter.journal.unsettled()] == ["lost 1"]


def buy_elsewhere(customer: Customer, times: int) -> None:
    """Purchases at another acceptor of the shop 9."""
    customer.chip.power_on()
    customer.select()
    for sequence in range(times):
        customer.buy(10, shop=9, sequence=sequence)


@pytest.mark.parametrize(("times", "fate"), [(24, Fate.COMMITTED), (25, Fate.UNKNOWN)], ids=["still known", "forgotten"])
def test_a_torn_sale_that_the_card_has_forgotten(times: int, fate: Fate) -> None:
    """REQ-PRV-1, REQ-STL-2: the 24 last transactions are known; an older one stays open, for the issuer to settle from receipts."""
    counter, customer = torn(by_card=False, fault=Fault.LOST_AFTER)
    buy_elsewhere(customer, times - 1)
    settled = counter.tap(customer, lambda till: till.settle())
    assert [(row.reference, row.fate) for row in settled.rows] == [("S", fate)]
    if fate is Fate.UNKNOWN:
        assert counter.journal.unsettled() == list(settled.rows)
        with pytest.raises(HostError, match="sale S on card C000000000000001 can not be settled here: the issuer settles it by receipts"):
            counter.tap(customer, buys("S"))
        assert counter.sent == []
    assert counter.tap(customer, buys("T")).settled == ()


def test_what_no_card_can_settle_is_written_off_before_the_oldest() -> None:
    """The second customer has bought 25 times elsewhere, and his card has forgotten (REQ-PRV-1): UNKNOWN, its entry still in use."""
    counter, customers = full(Fault.LOST_BEFORE)
    buy_elsewhere(customers[1], 25)
    settled = counter.tap(customers[1], lambda till: till.settle())
    assert [(row.reference, row.fate, row.slot) for row in settled.rows] == [("lost 2", Fate.UNKNOWN, 1)]
    with pytest.raises(HostError, match="sale lost 2 did not happen, as far as this till knows: nothing to void"):
        counter.tap(customers[1], lambda till: till.void("V", 200, "lost 2"))
    counter.tap(free_of_pin(17), buys("S"))
    assert [row.reference for row in counter.journal.unsettled() if row.slot is None] == ["lost 2"]


def test_what_is_proven_is_ratified_before_anything_is_written_off() -> None:
    """The till holds the proof of the last of sixteen entries: room enough (REQ-STL-5)."""
    counter, customers = full(Fault.LOST_BEFORE, 15)
    proven, other = free_of_pin(16), free_of_pin(17)
    with pytest.raises(CardLost):
        counter.tap(proven, buys("proven"), {5: Fault.LOST_BEFORE})
    assert counter.shop.select().pending == 16
    counter.tap(other, buys("S"))
    for customer in customers:
        counter.tap(customer, lambda till: till.settle())
    counter.audit(*customers, proven, other)
