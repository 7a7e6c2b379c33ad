"""Random days of two customer cards, a shop card and a till key against a plain ledger: whatever is bought, lost, withheld, replayed or
garbled, the cards say what the ledger says, and what they refuse changes no byte.

How it works. Each rule first works out from the ledger alone what the card must answer, then asks the card, then books what happened.
The power may go at any write of a command, or after it; which of the two the card then shows, old or new, the ledger follows, and all it
has must agree with that. JOREN_EXAMPLES sets the number of days, which are the same each time."""

import os
from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cardkit import LIMITS, Customer, Shop
from joren.apdu import CLA_ISO, CLA_JOREN, LOG_SIZE, SHOP_LOG_SIZE, VOID, Command, Ending, Ins, KeyRef, Kind, Response, messages
from joren.apdu.cards import PendingEntry, ShopInfo, Totals
from joren.apdu.state import DEFAULT_RULES, State
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.applet.rank import Purchase, aged, purchase, rank_at, score, score_at
from joren.simulator.chip import Chip
from joren.simulator.memory import PowerCut

EXAMPLES, STEPS = int(os.environ.get("JOREN_EXAMPLES", "100")), 40
PERIOD, PURSE_MAX, JUMP_MAX = 1_000, 50_000, DEFAULT_RULES.jump_max_hours
POINTS_LEFT, MONEY_LEFT, PENDING = 2_000, 60_000, 16
TILL_SHOP, CARD_SHOP = 9, 7
EARNING = (Kind.PURCHASE, Kind.PAY_AND_EARN)
KINDS = (Kind.PURCHASE, Kind.PURCHASE, *(kind for kind in Kind if not kind & VOID))
AFTER = 99
"""The power goes when the command has been carried out and before its answer."""


@dataclass(frozen=True)
class Account:
    """What a customer has: rank state, points by period, the newest period, the purse."""

    state: State = field(default_factory=State.blank)
    points: dict[int, int] = field(default_factory=dict)
    period: int = 0
    purse: int = 0

    @property
    def balance(self) -> int:
        return sum(self.points.values())

    def at(self, hour: int) -> "Account":
        """Points live in their period and the next one."""
        period = max(self.period, hour // PERIOD)
        return replace(self, period=period, points={born: points for born, points in self.points.items() if born >= period - 1})

    def earned(self, state: State, points: int) -> "Account":
        return replace(self, state=state, points=self.points | {self.period: self.points.get(self.period, 0) + points})

    def redeemed(self, points: int) -> "Account":
        """The oldest first."""
        left = dict(self.points)
        for born in sorted(left):
            taken = min(points, left[born])
            left[born] -= taken
            points -= taken
        return replace(self, points=left)


@dataclass
class Card:
    """A customer card and its page in the ledger."""

    customer: Customer
    now: Account = field(default_factory=Account)
    before: Account = field(default_factory=Account)
    log: list[Transaction] = field(default_factory=list)

    def plan(self, kind: int, key_ref: int, order: Order) -> tuple[Account, int] | int:
        """The account after a transaction and the points it moves, or the status word that refuses it."""
        if kind & VOID:
            return self._plan_void(kind, key_ref, order)
        refused = refusal(kind, order, self.now.state)
        if refused is not None:
            return refused
        account, amount = self.now.at(order.hour), order.amount
        if kind in (Kind.PAY, Kind.PAY_AND_EARN):
            if amount > account.purse:
                return 0x9401
            account = replace(account, purse=account.purse - amount)
        if kind in EARNING:
            state, points = bought(self.now.state, order)
            return account.earned(state, points), points
        if kind == Kind.REDEEM:
            return (account.redeemed(amount), amount) if amount <= account.balance else 0x9401
        if kind == Kind.LOAD:
            return (replace(account, purse=account.purse + amount), 0) if account.purse + amount <= PURSE_MAX else 0x9402
        return account, 0

    def _plan_void(self, kind: int, key_ref: int, order: Order) -> tuple[Account, int] | int:
        if not self.log:
            return 0x940A
        last, done = self.log[-1], Order.decode(self.log[-1].order)
        same = replace(order, hour=0, sequence=0) == replace(done, hour=0, sequence=0)
        if not same or (last.kind, last.key_ref) != (kind - VOID, key_ref):
            return 0x940A
        return self.before, Outcome.decode(last.outcome).points

    def book(self, kind: int, key_ref: int, order: Order, account: Account, points: int) -> Transaction:
        state = account.state
        outcome = Outcome(state.rank, 1, score(state, DEFAULT_RULES), points, account.balance, account.purse)
        self.log.append(Transaction(kind, key_ref, len(self.log), order.encode(), outcome.encode()))
        self.now, self.before = account, self.now
        return self.log[-1]

    def answer(self, record: Transaction) -> bytes:
        """Outcome, receipt, proof."""
        raw, keys, head = record.encode(), self.customer.keys, self.customer.head
        receipt = keys[KeyRef.RECEIPT].mac8(messages.receipt(head, raw))
        return record.outcome + receipt + keys[KeyRef(record.key_ref)].mac8(messages.proof(head, raw))


def refusal(kind: int, order: Order, state: State) -> int | None:
    """What both cards check of an order that is no void."""
    if kind in EARNING and not (order.category <= 15 and LIMITS.categories >> order.category & 1):
        return 0x9406
    if kind in EARNING and not 0 < order.factor_tenths <= LIMITS.factor_max_tenths:
        return 0x9405
    if order.amount == 0 and kind != Kind.PURCHASE:
        return 0x6A80
    return 0x9404 if state.visits and order.hour > state.last_hour + JUMP_MAX else None


def bought(state: State, order: Order) -> tuple[State, int]:
    return purchase(state, DEFAULT_RULES, Purchase(order.hour, order.amount, order.category, order.factor_tenths))


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes((data[bit // 8] ^ 1 << bit % 8,)) + data[bit // 8 + 1 :]


@dataclass(frozen=True)
class Entry:
    """A pending entry as the ledger has it, and the command that the till may still hold."""

    card: int
    order: Order
    record: PendingEntry
    command: Command | None


@dataclass(frozen=True)
class Sale:
    """What happens at a counter some hours after the sale before; `over`: the most that can be and so much more; None: amount."""

    card: int
    kind: Kind
    amount: int
    over: int | None
    category: int
    factor: int
    wait: int
    lost: tuple[int, int, int]
    stage: int

    def order(self, hour: int, account: Account) -> Order:
        most = {Kind.REDEEM: account.at(hour).balance, Kind.LOAD: PURSE_MAX - account.purse}.get(self.kind, account.purse)
        amount = self.amount if self.over is None else most + self.over
        return Order(hour, amount, *((self.category, self.factor) if self.kind in EARNING else (0, 0)), 0, 0)


cards, losses = st.integers(0, 1), st.sampled_from((0,) * 20 + (1, 2, 3, 4, 5, AFTER))
lost = st.tuples(losses, losses, losses)
sales = st.lists(
    st.builds(
        Sale,
        card=cards,
        kind=st.sampled_from(KINDS),
        amount=st.integers(0, 400) | st.integers(0, 20_000) | st.sampled_from((0, 49_999, 50_001, 0xFFFFFFFF)),
        over=st.sampled_from((None,) * 8 + (0, 0, 1)),
        category=st.sampled_from((0, 1, 3, 7) * 5 + (8, 16)),
        factor=st.sampled_from((10, 10, 15, 30) * 5 + (0, 31)),
        wait=st.integers(0, 30) | st.integers(0, 600),
        lost=lost,
        stage=st.sampled_from((3,) * 8 + (2, 1)),
    ),
    min_size=2,
    max_size=8,
)
waits = st.integers(0, 3_000) | st.integers(0, 20_000) | st.integers(-3_000, -1)
commands = st.builds(
    Command,
    st.sampled_from((CLA_ISO, CLA_JOREN)),
    st.sampled_from(sorted(set(Ins) - {Ins.AUTHORIZE, Ins.RATIFY})) | st.just(0x02),
    st.integers(0, 5) | st.sampled_from((0x08, 0x40, 0x81, 0x85, 0x88)),
    st.integers(0, 4) | st.sampled_from((0x0C, 0x0F, 0x14, 0x81, 0x83, 0xFF)),
    st.sampled_from((0, 2, 8, 16, 18, 24, 58, 67)).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.none() | st.just(256),
)
noise = commands.map(Command.encode) | st.binary(max_size=12).filter(lambda raw: raw[1:2] not in (b"\x52", b"\x54"))
"""Without AUTHORIZE and RATIFY: they need no MAC to open an entry or write one off."""


class Ledger(RuleBasedStateMachine):
    """The cards, and the books kept about them."""

    def __init__(self) -> None:
        super().__init__()
        limits = replace(LIMITS, period_hours=PERIOD, purse_max_minor=PURSE_MAX)
        self.cards = [Card(Customer(card_id=bytes([number]) * 8, limits=limits)) for number in (1, 2)]
        self.shop = Shop(CARD_SHOP, 1, POINTS_LEFT, MONEY_LEFT)
        self.points_left, self.money_left, self.count = POINTS_LEFT, MONEY_LEFT, 0
        self.totals: Counter[str] = Counter()
        self.pending: dict[int, Entry] = {}
        self.closed: list[bytes] = []
        self.given_back = 0
        self.hour, self.till_count = 10, 0
        self.spent: list[tuple[int, Command]] = []
        for number in (0, 1):
            self.by_till(number, Kind.LOAD, Order(10, 20_000, 0, 0, 0, 0), 0)
            self.by_till(number, Kind.PURCHASE, Order(10, 30_000, 0, 10, 0, 0), 0)

    # What goes to a card, and what the ledger makes of it

    def send(self, chip: Chip, command: Command, loss: int = 0) -> Response | None:
        """The answer, or None where it was lost with the power. What is refused changes no byte (REQ-APDU-7)."""
        before = chip.snapshot()
        chip.memory.cut_after(loss)
        try:
            response = chip.process(command)
        except PowerCut:
            chip.power_on()
            return None
        chip.memory.cut_after(0)
        if not response.ok:
            assert response.data == b""
            assert chip.snapshot() == before
        if loss == AFTER:
            chip.power_off()
            chip.power_on()
            return None
        return response

    def refuses(self, chip: Chip, command: Command, sw: int) -> None:
        response = self.send(chip, command)
        assert response is not None
        assert response.sw == sw, response.status

    def carry(self, number: int, command: Command, order: Order, loss: int) -> bytes | None:
        """TRANSACT or COMMIT goes to a customer card; the ledger books it if the card did it (REQ-APDU-8). What it answered, if it did."""
        card = self.cards[number]
        plan = card.plan(command.p1, command.p2, order)
        response = self.send(card.customer.chip, command, loss)
        if isinstance(plan, int):
            assert response is None or response.sw == plan, response.status
            return None
        if response is None and loss != AFTER and card.customer.select().counter == len(card.log):
            return None
        answer = card.answer(card.book(command.p1, command.p2, order, *plan))
        self.spent.append((number, command))
        assert response is None or (response.ok and response.data == answer), response.status
        return None if response is None else answer

    def open_entry(self, number: int, kind: int, order: Order, loss: int) -> int | None:
        """COMPUTE or AUTHORIZE; the slot, if an entry was opened."""
        card = self.cards[number]
        card.customer.select()
        order = replace(order, shop=CARD_SHOP, sequence=1 << 24 | self.count)
        plan = self.plan_entry(card, kind, order)
        if kind in EARNING:
            command = self.shop.compute_command(card.customer, order, kind)
        else:
            info = card.customer.info
            data = info.card_id + info.counter.to_bytes(2) + info.nonce + order.encode()[:8]
            command = Command(CLA_JOREN, Ins.AUTHORIZE, kind, 0, data, 13)
        response = self.send(self.shop.chip, command, loss)
        if isinstance(plan, int):
            assert response is None or response.sw == plan, response.status
            self.shop.select()
            return None
        if response is None and loss != AFTER and self.shop.select().sequence == order.sequence:
            return None
        slot = min(set(range(PENDING)) - set(self.pending), key=lambda free: (free - self.count) % PENDING)
        self.pending[slot] = Entry(number, order, plan, self.carrier(card, slot, order, plan, response))
        self.points_left -= plan.points
        self.money_left -= order.amount if kind == Kind.LOAD else 0
        self.count += 1
        self.shop.select()
        return slot

    def plan_entry(self, card: Card, kind: int, order: Order) -> PendingEntry | int:
        """The entry that the shop card must make, or the status word that refuses it."""
        after, points = State(0, 0, 0, 0, 0, 0, 0, 0, 0, (0, 0, 0, 0)), 0
        state = card.now.state
        refused = None if kind & VOID else refusal(kind, order, state if kind in EARNING else State.blank())
        if refused is not None:
            return refused
        if len(self.pending) == PENDING:
            return 0x940B
        if kind in EARNING:
            after, points = bought(state, order)
        if points > self.points_left or (kind == Kind.LOAD and order.amount > self.money_left):
            return 0x9403
        key_ref = KeyRef.LOAD if kind in (Kind.LOAD, Kind.VOID_LOAD) else KeyRef.SHOP
        fields = (order.hour, order.amount, order.category, order.factor_tenths, order.sequence)
        expected = (after.rank, after.version, score(after, DEFAULT_RULES), points)
        return PendingEntry(kind, key_ref, len(card.log), *fields, card.customer.card_id, *expected)

    def carrier(self, card: Card, slot: int, order: Order, entry: PendingEntry, response: Response | None) -> Command | None:
        """What the till may now send to the customer card."""
        if response is None:
            return None
        assert response.ok, response.status
        assert response.data[:5] == bytes((slot,)) + order.sequence.to_bytes(4)
        if entry.kind not in EARNING:
            return Command(CLA_JOREN, Ins.TRANSACT, entry.kind, entry.key_ref, order.encode() + response.data[5:], 32)
        made = self.shop.computed(response, order)
        assert (made.state, made.points) == (bought(card.now.state, order)[0].encode(), entry.points)
        return card.customer.commit_command(entry.kind, order, made.points, made.state, made.mac)

    def ratify(self, slot: int, ending: Ending, data: bytes, loss: int, points: int | None = None) -> None:
        """Closes an entry; `points` as the customer card proved them."""
        response = self.send(self.shop.chip, Command(CLA_JOREN, Ins.RATIFY, ending, slot, data), loss)
        assert response is None or response.ok, response.status
        if response is None and self.shop.select().pending == len(self.pending) and loss != AFTER:
            return
        entry = self.pending.pop(slot).record
        entry = replace(entry, points=entry.points if points is None else points)
        sale = self.sale_of(entry) if ending is Ending.COMMITTED and entry.kind & VOID else None
        self.closed.append(entry.encode() + bytes((ending,)))
        kind, amount, voided = entry.kind & ~VOID, entry.amount, bool(entry.kind & VOID)
        money = amount if kind == Kind.LOAD else 0
        if ending is Ending.UNKNOWN:
            self.totals.update(points_written_off=entry.points, money_written_off_minor=0 if voided else money)
        if ending is Ending.COMMITTED:
            name = "_voided" if voided else ""
            self.totals["transactions"] += 1
            self.totals[f"points_granted{name}"] += entry.points if kind in EARNING else 0
            self.totals[f"points_redeemed{name}"] += entry.points if kind == Kind.REDEEM else 0
            self.totals[f"money_loaded{name}_minor"] += money
            self.totals[f"money_paid{name}_minor"] += amount if kind in (Kind.PAY_AND_EARN, Kind.PAY) else 0
        if ending is Ending.NOT_COMMITTED:
            self.points_left += entry.points
            self.money_left += 0 if voided else money
        if sale is not None:
            self.closed[sale] = self.closed[sale][:-1] + bytes((Ending.VOIDED,))
            self.given_back += entry.points if kind in EARNING else 0
            self.points_left += entry.points if kind in EARNING else 0
            self.money_left += money

    def sale_of(self, void: PendingEntry) -> int | None:
        """Which closed entry a void takes back, if the shop card still remembers it (REQ-RAT-2)."""
        same = (void.kind - VOID, void.card_id, void.counter - 1, void.amount, void.points)
        for number in range(max(0, len(self.closed) - SHOP_LOG_SIZE), len(self.closed)):
            closed = PendingEntry.decode(self.closed[number][:-1])
            if self.closed[number][-1] == Ending.COMMITTED and same == (
                closed.kind, closed.card_id, closed.counter, closed.amount, closed.points,
            ):  # fmt: skip
                return number
        return None

    # What happens at a counter

    @rule(sales=sales)
    def at_the_till(self, sales: list[Sale]) -> None:
        """TRANSACT by the till's own keys (REQ-TRX-2 to REQ-TRX-5)."""
        for sale in sales:
            self.hour = min(self.hour + sale.wait, 0xFFFF)
            self.by_till(sale.card, sale.kind, sale.order(self.hour, self.cards[sale.card].now), sale.lost[1])

    def by_till(self, number: int, kind: int, order: Order, loss: int) -> None:
        self.till_count += 1
        order = replace(order, shop=TILL_SHOP, sequence=self.till_count)
        self.cards[number].customer.select()
        key_ref = KeyRef.LOAD if kind & ~VOID == Kind.LOAD else KeyRef.TILL
        self.carry(number, self.cards[number].customer.transact_command(kind, order, key_ref), order, loss)

    @rule(sales=sales)
    def at_the_shop_card(self, sales: list[Sale]) -> None:
        """Two cards; at stage 1 the customer card is sent nothing, at 2 its answer is kept from the shop card.

        REQ-CMP-1, REQ-AUT-1, REQ-COM-1.
        """
        for sale in sales:
            self.hour = min(self.hour + sale.wait, 0xFFFF)
            self.by_shop_card(sale.card, sale.kind, sale.order(self.hour, self.cards[sale.card].now), sale.lost, sale.stage)

    def by_shop_card(self, number: int, kind: int, order: Order, lost: tuple[int, int, int], stage: int = 3) -> None:
        slot = self.open_entry(number, kind, order, lost[0])
        entry = None if slot is None else self.pending[slot]
        if slot is None or entry is None or entry.command is None or stage == 1:
            return
        answer = self.carry(number, entry.command, entry.order, lost[1])
        if answer is not None and stage == 3:
            self.ratify(slot, Ending.COMMITTED, answer[:16] + answer[24:], lost[2], Outcome.decode(answer[:16]).points)

    @rule(number=cards, by_card=st.booleans(), lost=lost, wrong=st.integers(0, 9))
    def void(self, number: int, by_card: bool, lost: tuple[int, int, int], wrong: int) -> None:
        """Of the last transaction, by anyone: refused where it was another's, a void, or another amount (REQ-VOID-1, REQ-VOID-2)."""
        log = self.cards[number].log
        done = replace(Order.decode(log[-1].order), hour=self.hour)
        order = replace(done, amount=done.amount ^ 1) if wrong == 0 else done
        if by_card:
            self.by_shop_card(number, log[-1].kind | VOID, order, lost)
        else:
            self.by_till(number, log[-1].kind | VOID, order, lost[1])

    @rule(number=cards, kind=st.sampled_from((Kind.PAY, Kind.REDEEM, Kind.LOAD, Kind.VOID_PAY)), times=st.integers(1, 5))
    def leave_pending(self, number: int, kind: Kind, times: int) -> None:
        """A terminal that asks again and again and carries nothing on."""
        for _ in range(times):
            self.open_entry(number, kind, Order(self.hour, 50, 0, 0, 0, 0), 0)

    @precondition(lambda self: self.pending)
    @rule(picks=st.lists(st.tuples(st.integers(0, PENDING - 1), losses), min_size=1, max_size=8))
    def settle(self, picks: list[tuple[int, int]]) -> None:
        """Some entries, in any order."""
        for pick, loss in picks[: len(self.pending)]:
            self.settle_one(sorted(self.pending)[pick % len(self.pending)], loss)

    def settle_one(self, slot: int, loss: int) -> None:
        """PROVE and RATIFY (REQ-PRV-1, REQ-RAT-1, REQ-MAC-4); what was withheld is worth nothing afterwards (REQ-PRV-2)."""
        entry = self.pending[slot]
        card, counter = self.cards[entry.card], entry.record.counter
        card.customer.select()
        proof = card.customer.prove(counter, CARD_SHOP, entry.order.sequence, self.shop.challenge(), entry.record.key_ref)
        assert proof.ok, proof.status
        ending = Ending.NOT_COMMITTED
        if counter + LOG_SIZE < len(card.log):
            ending = Ending.UNKNOWN
        elif counter < len(card.log) and (card.log[counter].order, card.log[counter].key_ref) == (
            entry.order.encode(),
            entry.record.key_ref,
        ):
            ending = Ending.COMMITTED
        assert proof.data[:3] == bytes((ending,)) + len(card.log).to_bytes(2)
        if ending is Ending.COMMITTED:
            record = card.log[counter]
            assert proof.data[11:] == record.encode() + card.answer(record)[16:]
            self.ratify(slot, ending, record.outcome + proof.data[55:], loss, Outcome.decode(record.outcome).points)
            return
        if ending is Ending.UNKNOWN:
            self.refuses(self.shop.chip, Command(CLA_JOREN, Ins.RATIFY, Ending.NOT_COMMITTED, slot, proof.data[1:]), 0x6988)
            self.ratify(slot, ending, b"", loss)
        else:
            self.ratify(slot, ending, proof.data[1:], loss)
        if entry.command is not None:
            self.refuses(card.customer.chip, entry.command, 0x6988)

    @precondition(lambda self: self.pending)
    @rule(pick=st.integers(0, PENDING - 1), loss=losses)
    def write_off(self, pick: int, loss: int) -> None:
        """REQ-RAT-4."""
        self.ratify(sorted(self.pending)[pick % len(self.pending)], Ending.UNKNOWN, b"", loss)

    @rule(hours=waits)
    def wait(self, hours: int) -> None:
        """Hours or years, or a clock that is set back (REQ-PTS-1, REQ-TRX-3)."""
        self.hour = min(max(self.hour + hours, 0), 0xFFFF)

    @rule(number=cards, kind=st.sampled_from([kind for kind in Kind if not kind & VOID]), by_card=st.booleans())
    def far_ahead(self, number: int, kind: Kind, by_card: bool) -> None:
        """A clock that is an hour too far ahead of the card's last one (REQ-TRX-3)."""
        hour = min(self.cards[number].now.state.last_hour + JUMP_MAX + 1, 0xFFFF)
        order = Order(hour, 10, 0, 10 if kind in EARNING else 0, 0, 0)
        if by_card:
            self.by_shop_card(number, kind, order, (0, 0, 0))
        else:
            self.by_till(number, kind, order, 0)

    # What a thief or a broken reader sends

    @rule(number=cards, kind=st.sampled_from([kind for kind in Kind if not kind & VOID]), bit=st.integers(0, 24 * 8 - 1))
    def tamper(self, number: int, kind: Kind, bit: int) -> None:
        """One bit wrong in an order or its MAC, or in what COMPUTE is told of a card (REQ-MAC-1, REQ-MAC-2); other lengths."""
        customer = self.cards[number].customer
        customer.select()
        key_ref = KeyRef.LOAD if kind == Kind.LOAD else KeyRef.TILL
        right = customer.transact_command(kind, Order(self.hour, 50, 0, 10 if kind in EARNING else 0, TILL_SHOP, 0), key_ref)
        self.refuses(customer.chip, replace(right, data=flipped(right.data, bit)), 0x6988)
        for other in (right.data[:-1], right.data + b"\0", b""):
            self.refuses(customer.chip, replace(right, data=other), 0x6700)
        self.refuses(customer.chip, replace(right, ins=Ins.COMPUTE), 0x6D00)
        asked = self.shop.compute_command(customer, Order(self.hour, 50, 0, 10, 0, 0))
        for byte in range(bit % 8, 59, 8):
            self.refuses(self.shop.chip, replace(asked, data=flipped(asked.data, byte * 8 + bit % 8)), 0x9409 if byte == 18 else 0x6988)

    @rule(pick=st.integers(0, 1_000), selected=st.booleans())
    def replay(self, pick: int, selected: bool) -> None:
        """A command that a card accepted before, in the same session or in a new one (REQ-MAC-3)."""
        number, command = self.spent[pick % len(self.spent)]
        if selected:
            self.cards[number].customer.select()
        self.refuses(self.cards[number].customer.chip, command, 0x6988)

    @rule(card=st.integers(0, 2), raw=noise)
    def garbage(self, card: int, raw: bytes) -> None:
        """Any bytes: read they may, write they may not."""
        chip = self.shop.chip if card == 2 else self.cards[card].customer.chip
        before = chip.snapshot()
        answer = chip.process_bytes(raw)
        assert chip.snapshot() == before
        assert len(answer) == 2 or answer[-2:] == b"\x90\x00"
        assert chip.last_error is None

    # What must always agree

    @invariant()
    def customer_cards_agree(self) -> None:
        """REQ-REC-3, REQ-REC-4, REQ-PTS-1, REQ-PTS-2, REQ-PTS-3, REQ-TRX-5, REQ-RES-1, REQ-LOG-1."""
        for card in self.cards:
            customer, account, log = card.customer, card.now, card.log
            info = customer.select()
            assert (info.counter, info.rank) == (len(log), account.state.rank)
            assert customer.get_state().data[:32] == account.state.encode()
            then = account.at(self.hour)
            values = (*aged(account.state, DEFAULT_RULES, self.hour), then.points.get(then.period - 1, 0), then.points.get(then.period, 0))
            public = bytes((rank_at(account.state, DEFAULT_RULES, self.hour),)) + score_at(
                account.state, DEFAULT_RULES, self.hour
            ).to_bytes(2)
            result = customer.send(CLA_JOREN, Ins.GET_RESULT, 1, 0, self.hour.to_bytes(2), 31).data
            assert result == public + b"".join(value.to_bytes(4) for value in (*values, account.purse))
            kept = log[::-1][:LOG_SIZE]
            for back, record in enumerate(kept, 1):
                data = customer.send(CLA_ISO, Ins.READ_RECORD, back, 0x0C, ne=44).data
                assert data == record.encode() + card.answer(record)[16:24]
            assert customer.send(CLA_ISO, Ins.READ_RECORD, len(kept) + 1, 0x0C, ne=44).sw == 0x6A83

    @invariant()
    def shop_card_agrees(self) -> None:
        """REQ-REC-6, REQ-REC-8, REQ-CMP-3, REQ-AUT-2, REQ-RAT-2, REQ-RAT-3, REQ-RAT-4, REQ-SRD-1."""
        info, totals = self.shop.select(), self.shop.totals()
        sequence = 1 << 24 | self.count
        assert info == ShopInfo(1, 0x0F, 1, len(self.pending), 1, CARD_SHOP, 1, sequence, self.points_left, self.money_left, 0)
        assert totals == Totals(**{name: self.totals[name] for name in Totals.__slots__})
        for slot in range(PENDING):
            response = self.shop.send(CLA_ISO, Ins.READ_RECORD, slot + 1, 0x14, ne=32)
            assert response.data == (self.pending[slot].record.encode() if slot in self.pending else b"")
        for back, record in enumerate(self.closed[::-1][:SHOP_LOG_SIZE], 1):
            assert self.shop.send(CLA_ISO, Ins.READ_RECORD, back, 0x0C, ne=33).data == record

    @invariant()
    def no_point_is_granted_beyond_the_ceiling(self) -> None:
        """REQ-RAT-4, from what the shop card itself says."""
        totals, left = self.shop.totals(), self.shop.select().points_left
        reserved = sum(entry.record.points for entry in self.pending.values() if not entry.record.kind & VOID)
        assert left + reserved + totals.points_written_off + totals.points_granted == POINTS_LEFT + self.given_back
        assert self.given_back <= totals.points_granted_voided


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, derandomize=True, deadline=None, database=None)
