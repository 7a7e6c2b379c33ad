"""The shop card (docs/spec/shop.md): it computes, authorizes, ratifies, counts and keeps to its ceilings. Keys and MACs are computed here
a second time."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from cardkit import LIMITS, MASTERS, PROGRAMME, Answer, Customer, Shop
from joren.apdu import CLA_ISO, CLA_JOREN, SW, VOID, Command, Ending, Ins, Key, KeyRef, Kind, LifeCycle, Response
from joren.apdu.cards import PendingEntry, ShopInfo, Totals
from joren.apdu.state import DEFAULT_RULES, State
from joren.apdu.tlv import find
from joren.apdu.transaction import Order, Outcome
from joren.applet.rank import Purchase, purchase, score

EARNING = (Kind.PURCHASE, Kind.PAY_AND_EARN)
ZERO = Totals.decode(bytes(44))
FULL = 0xFFFFFFFF
CASES = [
    (Kind.PURCHASE, 10_000, {"points_granted": 150}, (150, 0)),
    (Kind.PAY_AND_EARN, 2_000, {"points_granted": 30, "money_paid_minor": 2_000}, (30, 0)),
    (Kind.REDEEM, 40, {"points_redeemed": 40}, (0, 0)),
    (Kind.LOAD, 4_000, {"money_loaded_minor": 4_000}, (0, 4_000)),
    (Kind.PAY, 700, {"money_paid_minor": 700}, (0, 0)),
]
"""Kind, amount, what it adds to the totals, and what it takes from the ceilings, for the card of `served`."""
EACH_KIND = pytest.mark.parametrize(("kind", "amount", "added", "taken"), CASES, ids=[case[0].name for case in CASES])
VOIDED = {
    "points_granted": "points_granted_voided",
    "points_redeemed": "points_redeemed_voided",
    "money_loaded_minor": "money_loaded_voided_minor",
    "money_paid_minor": "money_paid_voided_minor",
}


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC of the cryptography package."""
    mac = CMAC(AES(key))
    mac.update(message)
    return mac.finalize()


def derived(master: str, identity: bytes, label: str = "") -> bytes:
    """REQ-KEY-2 and REQ-KEY-4, from the text of the specification."""
    context = PROGRAMME.to_bytes(2) + identity
    return cmac(MASTERS[master].reveal(), b"\x01" + (label or master).encode() + b"\x00" + context + b"\x00\x80")


def served(**fields: bytes) -> Customer:
    """A customer card with 1000 points, rank 2 and 50000 in the purse."""
    customer = Customer(**fields)  # type: ignore[arg-type]
    customer.buy(100_000)
    customer.load(50_000)
    return customer


@dataclass(frozen=True)
class Opened:
    """An entry that was opened, and what the customer card is to be sent."""

    slot: int
    counter: int
    order: Order
    command: Command


def open_entry(shop: Shop, customer: Customer, kind: int, amount: int) -> Opened:
    """COMPUTE or AUTHORIZE."""
    counter = customer.info.counter
    if kind in EARNING:
        made = shop.compute(customer, customer.order(amount), kind)
        return Opened(made.slot, counter, made.order, customer.commit_command(kind, made.order, made.points, made.state, made.mac))
    order = customer.order(amount) if kind & 0x7F in EARNING else customer.plain(amount)
    response = shop.authorize(customer, kind, order)
    assert response.ok, response.status
    full = replace(order, shop=shop.shop, sequence=int.from_bytes(response.data[1:5]))
    key_ref = KeyRef.LOAD if kind & 0x7F == Kind.LOAD else KeyRef.SHOP
    command = Command(CLA_JOREN, Ins.TRANSACT, kind, key_ref, full.encode() + response.data[5:], 32)
    return Opened(response.data[0], counter, full, command)


def carry_out(customer: Customer, opened: Opened) -> Answer:
    """The command goes to the customer card."""
    response = customer.chip.process(opened.command)
    customer.select_quietly(response)
    return Answer.of(response)


def prove(shop: Shop, customer: Customer, opened: Opened, challenge: bytes) -> Response:
    """PROVE for an entry of this shop card."""
    return customer.prove(opened.counter, shop.shop, opened.order.sequence, challenge, opened.command.p2)


def deny(shop: Shop, customer: Customer, opened: Opened) -> Response:
    """NOT COMMITTED, by the card's own word."""
    absence = prove(shop, customer, opened, shop.challenge()).data
    assert absence[0] == Ending.NOT_COMMITTED
    return shop.deny(opened.slot, absence[1:])


def write_off(shop: Shop, slot: int) -> Response:
    return shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, slot)


def sell(shop: Shop, customer: Customer, kind: int, amount: int) -> Opened:
    """A whole transaction, ratified."""
    opened = open_entry(shop, customer, kind, amount)
    assert shop.ratify(opened.slot, carry_out(customer, opened)).ok
    return opened


def pending(shop: Shop, slot: int) -> Response:
    return shop.send(CLA_ISO, Ins.READ_RECORD, slot + 1, 0x14, ne=32)


def entry(shop: Shop, slot: int) -> PendingEntry:
    return PendingEntry.decode(pending(shop, slot).data)


def logged(shop: Shop, number: int = 1) -> tuple[PendingEntry, int]:
    """The number-th newest closed entry and its ending."""
    data = shop.send(CLA_ISO, Ins.READ_RECORD, number, 0x0C, ne=33).data
    return PendingEntry.decode(data[:32]), data[32]


def left(shop: Shop) -> tuple[int, int]:
    """The ceilings."""
    info = shop.select()
    return info.points_left, info.money_left_minor


class TestSelect:
    def test_a_new_card(self) -> None:
        """REQ-SPE-1, REQ-REC-6: the sequence starts at the terminal number, and nothing is pending."""
        shop = Shop(shop=0x01020304, terminal=0xAB, points_left=5, money_left=6)
        assert shop.select() == ShopInfo(1, LifeCycle.ISSUED, 1, 0, PROGRAMME, 0x01020304, 0xAB, 0xAB000000, 5, 6, 0)
        assert shop.totals() == ZERO

    def test_the_template(self) -> None:
        """REQ-SEL-1 for a shop card, REQ-APDU-4."""
        shop = Shop()
        template = shop.send(CLA_ISO, Ins.SELECT, 4, 0, shop.aid[:5], 256).data
        assert (find(template, 0x6F, 0x84), find(template, 0x6F, 0x85)) == (shop.aid, shop.select().encode())
        for p2, answer in ((0, 40), (0x0C, 25)):
            assert shop.send(CLA_ISO, Ins.SELECT, 4, p2, shop.aid, answer - 1) == Response(b"", SW.WRONG_LE | answer)
            assert len(shop.send(CLA_ISO, Ins.SELECT, 4, p2, shop.aid, answer).data) == answer

    def test_rules_and_limits(self) -> None:
        """REQ-SRD-1."""
        data = Shop().send(CLA_ISO, Ins.GET_DATA, 1, 1, ne=98).data
        assert data == DEFAULT_RULES.encode() + LIMITS.encode()


class TestCompute:
    @pytest.mark.parametrize("kind", EARNING)
    def test_answer_entry_and_ceilings(self, kind: Kind) -> None:
        """REQ-CMP-2, REQ-CMP-3, REQ-KEY-2, REQ-MAC-1."""
        shop, customer = Shop(), served()
        info, before = customer.info, State.decode(customer.get_state().data[:32])
        order = customer.order(12_345, 150, 3, 20)
        made = shop.compute(customer, order, kind)
        state, points = purchase(before, DEFAULT_RULES, Purchase(150, 12_345, 3, 20))
        full = order.encode()[:8] + shop.shop.to_bytes(4) + b"\x01\x00\x00\x00"
        message = b"\x53" + customer.head + info.counter.to_bytes(2) + info.nonce + bytes((kind, 2)) + full + b"\x01" + points.to_bytes(2)
        mac = cmac(derived("shop", customer.card_id), message + state.encode())[:8]
        assert len(message) + 32 == 74
        assert (made.slot, made.order.encode(), made.points, made.state, made.mac) == (0, full, points, state.encode(), mac)
        assert entry(shop, 0) == PendingEntry(
            kind, 2, info.counter, 150, 12_345, 3, 20, 0x01000000, customer.card_id, state.rank, 1, score(state, DEFAULT_RULES), points
        )
        assert shop.select() == replace(shop.select(), sequence=0x01000001, points_left=1_000_000 - points, pending=1)

    def test_the_customer_card_takes_it(self) -> None:
        """REQ-COM-2."""
        shop, customer = Shop(), served()
        opened = open_entry(shop, customer, Kind.PURCHASE, 5_000)
        expected = entry(shop, opened.slot)
        outcome = carry_out(customer, opened).outcome
        assert (outcome.rank, outcome.score, outcome.points) == (expected.rank, expected.score, expected.points)

    def test_no_key_of_a_customer_card_is_kept(self) -> None:
        """REQ-CMP-2: it is in no cell, and no answer shows it."""
        shop, customer = Shop(), served()
        before = shop.chip.snapshot()
        response = shop.chip.process(shop.compute_command(customer, customer.order()))
        key = derived("shop", customer.card_id)
        assert MASTERS["shop"].reveal() in before
        assert key not in shop.chip.snapshot() + response.data
        assert all(key not in cells.get() for cells in shop.chip.seats[shop.aid].ram)

    def test_own_rules(self) -> None:
        """REQ-CMP-2: the shop card's rules make the points, not the customer card's."""
        generous = replace(DEFAULT_RULES, rate_bp=(500,) * 5)
        assert Shop(rules=generous).compute(Customer(), Customer().order(10_000)).points == 500

    def test_the_ceiling_itself_may_be_granted(self) -> None:
        """REQ-CMP-1."""
        shop, customer = Shop(points_left=150), served()
        refused = shop.chip.process(shop.compute_command(customer, customer.order(10_067)))
        assert (refused.sw, left(shop)) == (SW.CEILING_REACHED, (150, 1_000_000))
        sell(shop, customer, Kind.PURCHASE, 10_000)
        assert left(shop) == (0, 1_000_000)
        assert shop.compute(customer, customer.order(0)).points == 0

    @pytest.mark.parametrize(("hour", "category", "factor"), [(100 + 17_520, 0, 10), (0, 7, 1), (100, 0, 30)])
    def test_the_limits_themselves_are_accepted(self, hour: int, category: int, factor: int) -> None:
        """REQ-CMP-1, REQ-TRX-3: and an hour before the last one."""
        assert Shop().compute(served(), Customer().order(1_000, hour, category, factor)).slot == 0

    def test_one_transaction(self) -> None:
        """REQ-CMP-3, REQ-AUT-2, REQ-APDU-8: all that is written is written in one; the key has been in use before."""
        for kind in (Kind.PURCHASE, Kind.LOAD, Kind.REDEEM):
            shop, customer = Shop(), served()
            open_entry(shop, customer, kind, 100)
            statistics = shop.chip.memory.statistics
            before = replace(statistics)
            open_entry(shop, customer, kind, 100)
            assert statistics.transactions == before.transactions + 1
            assert statistics.bytes_written - before.bytes_written == statistics.last_transaction_bytes


class TestAuthorize:
    @pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in EARNING])
    def test_answer_and_entry(self, kind: Kind) -> None:
        """REQ-AUT-2, REQ-KEY-2, REQ-MAC-1: for a void nothing of the order is looked at."""
        shop, customer = Shop(shop=0x0A0B0C0D, terminal=9), served()
        info, by_load = customer.info, kind in (Kind.LOAD, Kind.VOID_LOAD)
        category, factor = (200, 255) if kind & VOID else (0, 0)
        response = shop.authorize(customer, kind, Order(60_000, 777, category, factor, 0, 0))
        full = (60_000).to_bytes(2) + (777).to_bytes(4) + bytes((category, factor)) + bytes.fromhex("0A0B0C0D 09000000")
        key_ref = 4 if by_load else 2
        message = b"\x52" + customer.head + info.counter.to_bytes(2) + info.nonce + bytes((kind, key_ref)) + full
        assert len(message) == 39
        mac = cmac(derived("load" if by_load else "shop", customer.card_id), message)[:8]
        assert response.data == b"\x00\x09\x00\x00\x00" + mac
        assert entry(shop, 0) == PendingEntry(
            kind, key_ref, info.counter, 60_000, 777, category, factor, 0x09000000, customer.card_id, 0, 0, 0, 0
        )
        assert left(shop) == (1_000_000, 1_000_000 - (777 if kind == Kind.LOAD else 0))

    def test_the_ceiling_itself_may_be_loaded(self) -> None:
        """REQ-AUT-1."""
        shop, customer = Shop(money_left=500), served()
        assert shop.authorize(customer, Kind.LOAD, customer.plain(501)).sw == SW.CEILING_REACHED
        assert shop.authorize(customer, Kind.LOAD, customer.plain(500)).ok
        assert left(shop) == (1_000_000, 0)
        assert shop.authorize(customer, Kind.LOAD, customer.plain(1)).sw == SW.CEILING_REACHED

    def test_without_the_load_master_all_but_loads_go(self) -> None:
        """REQ-AUT-1, REQ-KEY-1."""
        shop, customer = Shop(leave_out=frozenset({0x8014})), served()
        for kind in (kind for kind in Kind if kind not in EARNING):
            response = shop.authorize(customer, kind, customer.plain(10))
            assert response.sw == (SW.REFERENCED_DATA_NOT_FOUND if kind in (Kind.LOAD, Kind.VOID_LOAD) else SW.OK)
        sell(shop, customer, Kind.PURCHASE, 100)


class TestCommitted:
    @EACH_KIND
    def test_totals_ceilings_and_log(self, kind: Kind, amount: int, added: dict[str, int], taken: tuple[int, int]) -> None:
        """REQ-RAT-2, of each kind and then of its void."""
        shop, customer = Shop(), served()
        opened = open_entry(shop, customer, kind, amount)
        reserved, answer = entry(shop, opened.slot), carry_out(customer, opened)
        assert shop.totals() == ZERO
        assert shop.ratify(opened.slot, answer).ok
        assert shop.totals() == replace(ZERO, **added, transactions=1)
        assert left(shop) == (1_000_000 - taken[0], 1_000_000 - taken[1])
        assert logged(shop) == (replace(reserved, points=answer.outcome.points), Ending.COMMITTED)
        void = sell(shop, customer, kind | VOID, amount)
        voided = {VOIDED[name]: value for name, value in added.items()}
        assert shop.totals() == replace(ZERO, **added, **voided, transactions=2)
        assert left(shop) == (1_000_000, 1_000_000)
        closed, ending = logged(shop)
        assert (closed.kind, closed.points, closed.sequence, ending) == (kind | VOID, answer.outcome.points, void.order.sequence, 1)
        assert pending(shop, 0).sw == SW.RECORD_NOT_FOUND

    @EACH_KIND
    def test_totals_saturate(self, kind: Kind, amount: int, added: dict[str, int], taken: tuple[int, int]) -> None:
        """REQ-RAT-2, REQ-RAT-4: the record of totals says saturating u32."""
        shop, customer = Shop(), served()
        shop.force(totals=(FULL - 1).to_bytes(4) * 11)
        sell(shop, customer, kind, amount)
        opened = open_entry(shop, customer, kind | VOID, amount)
        assert shop.ratify(opened.slot, carry_out(customer, opened)).ok
        written_off = open_entry(shop, customer, kind, amount)
        assert write_off(shop, written_off.slot).ok
        lost = dict(zip(("points_written_off", "money_written_off_minor"), taken, strict=True))
        grown = [*added, *(VOIDED[name] for name in added), *(name for name, value in lost.items() if value), "transactions"]
        assert shop.totals() == replace(Totals(*[FULL - 1] * 11), **dict.fromkeys(grown, FULL))

    @pytest.mark.parametrize("field", ["rank", "rules_version", "score", "points"])
    @pytest.mark.parametrize("kind", EARNING)
    def test_a_proof_of_something_else(self, kind: Kind, field: str) -> None:
        """REQ-RAT-1: a right MAC over an outcome that was not computed here is refused; the right one is still taken."""
        shop, customer = Shop(), served()
        opened = open_entry(shop, customer, kind, 1_000)
        answer = carry_out(customer, opened)
        forged = replace(answer.outcome, **{field: getattr(answer.outcome, field) + 1})
        assert shop.ratify(opened.slot, proven(customer, opened, forged)).sw == SW.WRONG_DATA
        assert shop.ratify(opened.slot, answer).ok

    def test_balances_are_the_customer_cards_own(self) -> None:
        """REQ-RAT-1: nothing is expected of them, nor of the outcome of a kind that the shop card does not compute."""
        shop, customer = Shop(), served()
        opened = open_entry(shop, customer, Kind.PURCHASE, 1_000)
        outcome = replace(carry_out(customer, opened).outcome, points_balance=1, purse_minor=2)
        assert shop.ratify(opened.slot, proven(customer, opened, outcome)).ok
        opened = open_entry(shop, customer, Kind.REDEEM, 40)
        assert shop.ratify(opened.slot, proven(customer, opened, Outcome(4, 9, 999, 40, 1, 2))).ok
        assert shop.totals().points_redeemed == 40


def proven(customer: Customer, opened: Opened, outcome: Outcome) -> Answer:
    """A right PROOF MAC over any outcome: what only a holder of the card's key can make."""
    record = bytes((opened.command.p1, opened.command.p2)) + opened.counter.to_bytes(2) + opened.order.encode() + outcome.encode()
    mac = cmac(derived("shop", customer.card_id), b"\x54" + customer.head + record)[:8]
    return Answer(outcome, outcome.encode(), bytes(8), mac)


class TestOtherEndings:
    @EACH_KIND
    def test_not_committed_gives_back(self, kind: Kind, amount: int, added: dict[str, int], taken: tuple[int, int]) -> None:
        """REQ-RAT-3: to the ceilings, and adds to no total; what was withheld is void from then on (REQ-PRV-2)."""
        shop, customer = Shop(), served()
        for number, one in enumerate((kind, kind | VOID)):
            opened = open_entry(shop, customer, one, amount)
            reserved = entry(shop, opened.slot)
            assert left(shop) == ((1_000_000 - taken[0], 1_000_000 - taken[1]) if one == kind else (1_000_000, 1_000_000))
            assert deny(shop, customer, opened).ok
            assert (left(shop), shop.totals()) == ((1_000_000, 1_000_000), ZERO)
            assert logged(shop) == (reserved, Ending.NOT_COMMITTED)
            assert customer.chip.process(opened.command).sw == SW.MAC_INCORRECT
            assert shop.select().sequence == 0x01000001 + number

    @EACH_KIND
    def test_write_off_gives_nothing_back(self, kind: Kind, amount: int, added: dict[str, int], taken: tuple[int, int]) -> None:
        """REQ-RAT-4."""
        shop, customer = Shop(), served()
        for one in (kind, kind | VOID):
            opened = open_entry(shop, customer, one, amount)
            reserved = entry(shop, opened.slot)
            assert write_off(shop, opened.slot).ok
            assert left(shop) == (1_000_000 - taken[0], 1_000_000 - taken[1])
            assert shop.totals() == replace(ZERO, points_written_off=taken[0], money_written_off_minor=taken[1])
            assert logged(shop) == (reserved, Ending.UNKNOWN)
            assert pending(shop, opened.slot).sw == SW.RECORD_NOT_FOUND

    def test_never_more_than_the_ceiling(self) -> None:
        """REQ-RAT-4: a terminal that takes what it is given and writes it off gets the ceiling once."""
        shop, customer, granted = Shop(points_left=400), served(), 0
        while (response := shop.chip.process(shop.compute_command(customer, customer.order(10_000)))).ok:
            made = shop.computed(response, customer.order(10_000))
            answer = Answer.of(customer.chip.process(customer.commit_command(Kind.PURCHASE, made.order, made.points, made.state, made.mac)))
            granted += answer.outcome.points
            customer.select()
            assert write_off(shop, made.slot).ok
        assert response.sw == SW.CEILING_REACHED
        assert (granted, left(shop), shop.totals().points_written_off) == (300, (100, 1_000_000), 300)

    def test_a_customer_who_comes_back_after_the_write_off(self) -> None:
        """REQ-RAT-1: his card proves it, the entry is gone, and nothing changes; nor for the entry that has its slot now."""
        shop, customer, other = Shop(), served(), served(card_id=b"\x02" * 8)
        opened = open_entry(shop, customer, Kind.PURCHASE, 1_000)
        answer = carry_out(customer, opened)
        assert write_off(shop, opened.slot).ok
        before = shop.chip.snapshot()
        assert prove(shop, customer, opened, shop.challenge()).data[55:] == answer.proof
        assert shop.ratify(opened.slot, answer).sw == SW.RECORD_NOT_FOUND
        assert shop.chip.snapshot() == before
        for _ in range(15):
            assert write_off(shop, open_entry(shop, other, Kind.PAY, 1).slot).ok
        assert open_entry(shop, other, Kind.PURCHASE, 1_000).slot == opened.slot
        assert shop.ratify(opened.slot, answer).sw == SW.MAC_INCORRECT

    @pytest.mark.parametrize("ending", [Ending.NOT_COMMITTED, Ending.COMMITTED, Ending.UNKNOWN])
    @pytest.mark.parametrize("kind", [Kind.PURCHASE, Kind.LOAD, Kind.REDEEM])
    def test_one_transaction(self, kind: Kind, ending: Ending) -> None:
        """REQ-RAT-5, REQ-APDU-8."""
        shop, customer = Shop(), served()
        opened = open_entry(shop, customer, kind, 100)
        statistics = shop.chip.memory.statistics
        before = replace(statistics)
        if ending is Ending.COMMITTED:
            assert shop.ratify(opened.slot, carry_out(customer, opened)).ok
        else:
            assert (deny(shop, customer, opened) if ending is Ending.NOT_COMMITTED else write_off(shop, opened.slot)).ok
        assert statistics.transactions == before.transactions + 1
        assert statistics.bytes_written - before.bytes_written == statistics.last_transaction_bytes


class TestEntries:
    def test_sixteen_fit(self) -> None:
        """REQ-REC-6, REQ-REC-8, REQ-SRD-1, REQ-CMP-3: the slots are taken in turn; the seventeenth is refused until one is closed."""
        shop, customer = Shop(), served()
        opened = [open_entry(shop, customer, kind, 10) for kind in (Kind.PURCHASE, Kind.LOAD, Kind.REDEEM, Kind.PAY) * 4]
        assert [one.slot for one in opened] == list(range(16))
        assert [one.order.sequence for one in opened] == [0x01000000 + number for number in range(16)]
        assert [entry(shop, slot).sequence for slot in range(16)] == [one.order.sequence for one in opened]
        assert shop.select().pending == 16
        assert pending(shop, 16).sw == SW.RECORD_NOT_FOUND
        before = shop.chip.snapshot()
        assert shop.chip.process(shop.compute_command(customer, customer.order())).sw == SW.PENDING_FULL
        assert shop.authorize(customer, Kind.PAY, customer.plain(1)).sw == SW.PENDING_FULL
        assert shop.chip.snapshot() == before
        for slot in (9, 5):
            assert write_off(shop, slot).ok
        assert shop.select().pending == 14
        again = [open_entry(shop, customer, Kind.PAY, 1) for _ in range(2)]
        assert [(one.slot, one.order.sequence) for one in again] == [(5, 0x01000010), (9, 0x01000011)]

    def test_the_log_keeps_the_last_32(self) -> None:
        """REQ-REC-6, REQ-SRD-1."""
        shop, customer = Shop(), served()
        closed: list[int] = []
        for number in range(70):
            assert shop.send(CLA_ISO, Ins.READ_RECORD, min(number, 32) + 1, 0x0C, ne=33).sw == SW.RECORD_NOT_FOUND
            opened = open_entry(shop, customer, Kind.REDEEM, 1 + number)
            assert write_off(shop, opened.slot).ok
            closed.append(opened.order.sequence)
            newest = [logged(shop, 1 + back)[0] for back in range(min(number + 1, 32))]
            assert [one.sequence for one in newest] == closed[::-1][:32]
        assert shop.send(CLA_ISO, Ins.READ_RECORD, 255, 0x0C, ne=33).sw == SW.RECORD_NOT_FOUND

    def test_the_sequence_ends(self) -> None:
        """REQ-CMP-1, REQ-AUT-1, REQ-FLW-4: FFFFFF is never used; what is pending can still be closed."""
        shop, customer = Shop(terminal=0xFF), served()
        shop.force(count=0xFFFFFD)
        first, last = (open_entry(shop, customer, kind, 10) for kind in (Kind.PURCHASE, Kind.REDEEM))
        assert (first.order.sequence, last.order.sequence) == (0xFFFFFFFD, 0xFFFFFFFE)
        before = shop.chip.snapshot()
        assert shop.chip.process(shop.compute_command(customer, customer.order())).sw == SW.COUNTER_EXHAUSTED
        assert shop.authorize(customer, Kind.PAY, customer.plain(1)).sw == SW.COUNTER_EXHAUSTED
        assert shop.chip.snapshot() == before
        assert shop.ratify(last.slot, carry_out(customer, last)).ok
        assert write_off(shop, first.slot).ok
        assert shop.select().sequence == 0xFFFFFFFF

    def test_a_sequence_is_used_once(self) -> None:
        """REQ-FLW-4, REQ-APDU-7: however entries end; what is refused uses none."""
        shop, customer = Shop(), served()
        for number in range(6):
            assert shop.authorize(customer, Kind.PAY, customer.plain(0)).sw == SW.WRONG_DATA
            opened = open_entry(shop, customer, Kind.PURCHASE, 100)
            assert opened.order.sequence == 0x01000000 + number
            if number % 3:
                assert (deny(shop, customer, opened) if number % 3 == 1 else write_off(shop, opened.slot)).ok
            else:
                assert shop.ratify(opened.slot, carry_out(customer, opened)).ok
            shop.chip.power_on()
            shop.select()


def reset(shop: Shop) -> Response:
    shop.chip.power_on()
    return shop.send(CLA_ISO, Ins.SELECT, 4, 0x0C, shop.aid, 25)


ENDS: list[tuple[str, Callable[[Shop], Response], int, int]] = [
    ("RATIFY with a wrong MAC", lambda shop: shop.deny(0, bytes(18)), 0x6988, 0x6985),
    ("SET STATUS with a wrong MAC", lambda shop: shop.send(CLA_JOREN, Ins.SET_STATUS, 0x40, 0x83, bytes(8)), 0x6988, 0x6985),
    ("GET CHALLENGE", lambda shop: shop.send(CLA_ISO, Ins.GET_CHALLENGE, 0, 0, ne=8), 0x9000, 0x6988),
    ("SELECT", lambda shop: shop.send(CLA_ISO, Ins.SELECT, 4, 0x0C, shop.aid, 25), 0x9000, 0x6985),
    ("reset", reset, 0x9000, 0x6985),
    ("SELECT without Le", lambda shop: shop.send(CLA_ISO, Ins.SELECT, 4, 0x0C, shop.aid), 0x6C19, 0x6985),
    ("SET STATUS to the state it has", lambda shop: shop.send(CLA_JOREN, Ins.SET_STATUS, 0x40, 0x0F, bytes(8)), 0x6985, 0x6985),
]
LASTS: list[tuple[str, Callable[[Shop], Response], int]] = [
    ("RATIFY of a free slot", lambda shop: shop.deny(15, bytes(18)), 0x6A83),
    ("RATIFY of another length", lambda shop: shop.deny(0, bytes(17)), 0x6700),
    ("RATIFY COMMITTED, wrong", lambda shop: shop.send(CLA_JOREN, Ins.RATIFY, 1, 0, bytes(24)), 0x6988),
    ("RATIFY WRITE OFF", lambda shop: write_off(shop, 1), 0x9000),
    ("GET CHALLENGE without Le", lambda shop: shop.send(CLA_ISO, Ins.GET_CHALLENGE, 0, 0), 0x6C08),
    ("GET CHALLENGE of another form", lambda shop: shop.send(CLA_ISO, Ins.GET_CHALLENGE, 1, 0, ne=8), 0x6A86),
    ("SET STATUS of another length", lambda shop: shop.send(CLA_JOREN, Ins.SET_STATUS, 0x40, 0x83, bytes(7)), 0x6700),
    ("SELECT of nothing here", lambda shop: shop.send(CLA_ISO, Ins.SELECT, 4, 0x0C, b"\x01" * 5, 25), 0x6A82),
    ("READ RECORD", lambda shop: pending(shop, 0), 0x9000),
    ("GET DATA", lambda shop: shop.send(CLA_ISO, Ins.GET_DATA, 1, 2, ne=44), 0x9000),
    ("AUTHORIZE, refused", lambda shop: shop.send(CLA_JOREN, Ins.AUTHORIZE, Kind.PAY, 0, bytes(26), 13), 0x6A80),
    ("COMPUTE, refused", lambda shop: shop.send(CLA_JOREN, Ins.COMPUTE, 1, 0, bytes(67), 47), 0x9409),
]


class TestChallenge:
    @pytest.mark.parametrize(("event", "sw", "then"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
    def test_what_ends_it(self, event: Callable[[Shop], Response], sw: int, then: int) -> None:
        """REQ-CHA-1; a new one then does."""
        shop, customer = Shop(), served()
        opened = open_entry(shop, customer, Kind.PURCHASE, 1_000)
        challenge = shop.challenge()
        before = shop.chip.snapshot()
        assert event(shop).sw == sw
        assert shop.deny(opened.slot, prove(shop, customer, opened, challenge).data[1:]).sw == then
        assert shop.chip.snapshot() == before
        assert deny(shop, customer, opened).ok

    @pytest.mark.parametrize(("event", "sw"), [row[1:] for row in LASTS], ids=[row[0] for row in LASTS])
    def test_what_does_not(self, event: Callable[[Shop], Response], sw: int) -> None:
        """REQ-CHA-1."""
        shop, customer = Shop(), served()
        opened, _ = (open_entry(shop, customer, Kind.PURCHASE, 1_000) for _ in range(2))
        challenge = shop.challenge()
        assert event(shop).sw == sw
        assert shop.deny(opened.slot, prove(shop, customer, opened, challenge).data[1:]).ok

    def test_it_is_good_once(self) -> None:
        """REQ-CHA-1: for one entry, and for RATIFY or SET STATUS."""
        shop, customer = Shop(), served()
        first, second = (open_entry(shop, customer, Kind.PURCHASE, 1_000) for _ in range(2))
        challenge = shop.challenge()
        assert shop.deny(first.slot, prove(shop, customer, first, challenge).data[1:]).ok
        assert shop.deny(second.slot, prove(shop, customer, second, challenge).data[1:]).sw == SW.CONDITIONS_NOT_SATISFIED
        assert set_status(shop, LifeCycle.BLOCKED, challenge).sw == SW.CONDITIONS_NOT_SATISFIED

    def test_none_comes_twice(self) -> None:
        """REQ-CHA-1: nor after a reset, nor on two cards."""
        cards = Shop(), Shop(terminal=2)
        drawn = [shop.challenge() for _ in range(50) for shop in cards if reset(shop).ok]
        assert len(set(drawn)) == 100


def set_status(shop: Shop, state: int, challenge: bytes, key: bytes | None = None) -> Response:
    """SET STATUS with the ADMIN MAC of keys.md, made by hand."""
    identity = bytes((0, 0, 0, shop.terminal)) + shop.shop.to_bytes(4)
    message = b"\x57" + PROGRAMME.to_bytes(2) + identity + b"\x00\x00" + challenge + bytes((state,))
    assert len(message) == 22
    key = derived("shop-admin", identity) if key is None else key
    return shop.send(CLA_JOREN, Ins.SET_STATUS, 0x40, state, cmac(key, message)[:8])


class TestSetStatus:
    def test_the_way_through(self) -> None:
        """REQ-SAD-1, REQ-KEY-4, REQ-LIFE-1: blocked, issued, blocked, terminated; each with a challenge of its own."""
        shop = Shop(shop=0x01020304, terminal=0xAB)
        for state in (LifeCycle.BLOCKED, LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED):
            challenge = shop.challenge()
            assert set_status(shop, state, challenge).ok
            assert shop.select().life_cycle == state

    def test_refusals(self) -> None:
        """REQ-SAD-1: no challenge, a used one, another card's key, another state's MAC."""
        shop, other = Shop(), Shop(terminal=2)
        before = shop.chip.snapshot()
        assert set_status(shop, LifeCycle.BLOCKED, bytes(8)).sw == SW.CONDITIONS_NOT_SATISFIED
        identity = bytes((0, 0, 0, other.terminal)) + other.shop.to_bytes(4)
        assert set_status(shop, LifeCycle.BLOCKED, shop.challenge(), derived("shop-admin", identity)).sw == SW.MAC_INCORRECT
        assert set_status(shop, LifeCycle.BLOCKED, shop.challenge(), derived("admin", shop.identity)).sw == SW.MAC_INCORRECT
        challenge = shop.challenge()
        mac = cmac(derived("shop-admin", shop.identity), b"\x57" + shop.head + b"\x00\x00" + challenge + b"\x83")[:8]
        assert shop.send(CLA_JOREN, Ins.SET_STATUS, 0x40, 0xFF, mac).sw == SW.MAC_INCORRECT
        assert set_status(shop, LifeCycle.BLOCKED, challenge).sw == SW.CONDITIONS_NOT_SATISFIED
        assert set_status(shop, LifeCycle.ISSUED, shop.challenge()).sw == SW.CONDITIONS_NOT_SATISFIED
        assert shop.chip.snapshot() == before
        assert set_status(shop, LifeCycle.BLOCKED, shop.challenge()).ok


class TestKeys:
    def test_derivation(self) -> None:
        """REQ-KEY-2, REQ-KEY-4: by the package's CMAC, for all masters, and no two keys of a card alike."""
        customer, shop = Customer(), Shop()
        computed = {label: derived(label, customer.card_id) for label in ("till", "shop", "receipt", "load", "admin")}
        assert [key.reveal() for key in customer.keys.values()] == list(computed.values())
        assert shop.admin.reveal() == derived("shop-admin", bytes.fromhex("00000001 00000007"))
        assert len(set(computed.values())) == 5

    def test_what_leaks_from_a_till_is_worth_nothing_on_a_two_card_card(self) -> None:
        """REQ-KEY-3: with the TILL master nothing can be authorized there, under either key reference."""
        two_card = Customer(limits=replace(LIMITS, modes=2))
        leaked = Key(derived("till", two_card.card_id))
        for kind, order in ((Kind.PAY, two_card.plain()), (Kind.REDEEM, two_card.plain()), (Kind.VOID_PURCHASE, two_card.order())):
            for key_ref, sw in ((KeyRef.TILL, SW.MODE_NOT_ALLOWED), (KeyRef.SHOP, SW.MAC_INCORRECT)):
                two_card.keys[key_ref] = leaked
                assert two_card.transact(kind, order, key_ref).sw == sw

    def test_another_groups_shop_card(self) -> None:
        """REQ-KEY-2: it reads no state, and what it authorizes is refused."""
        customer = served()
        stranger = Shop(masters=MASTERS | {"shop": Key(b"\x99" * 16), "load": Key(b"\x98" * 16)})
        assert stranger.chip.process(stranger.compute_command(customer, customer.order())).sw == SW.MAC_INCORRECT
        for kind in (Kind.REDEEM, Kind.LOAD, Kind.PAY):
            opened = open_entry(stranger, customer, kind, 10)
            assert customer.chip.process(opened.command).sw == SW.MAC_INCORRECT
            assert deny(stranger, customer, opened).sw == SW.MAC_INCORRECT
