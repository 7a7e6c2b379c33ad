"""The power goes at every write of every command that changes a card: afterwards the card is as before or as after, never between, and
what the till asks next settles which."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import pytest

from cardkit import PIN, PUK, Answer, Customer, Shop, pin_block
from joren.apdu import CLA_ISO, CLA_JOREN, SW, VOID, Command, Ending, Ins, KeyRef, Kind, LifeCycle, messages
from joren.apdu.transaction import Order
from joren.simulator.chip import Chip
from joren.simulator.memory import PowerCut

EARNING = (Kind.PURCHASE, Kind.PAY_AND_EARN)
CHALLENGE = bytes(range(8))
NEW_PIN = b"98765"


@dataclass(frozen=True)
class Torn:
    """A command that is about to be sent, and what the till does after the power is back: it is told what has happened."""

    chip: Chip
    command: Command
    settle: Callable[[bool], None]


def torn_everywhere(make: Callable[[], Torn]) -> Iterator[tuple[Torn, bytes, bytes, bytes]]:
    """The command, torn at its first write, at its second, ... and at last after its end; with the memory before, after it, and now."""
    whole = make()
    old, before = whole.chip.snapshot(), replace(whole.chip.memory.statistics)
    assert whole.chip.process(whole.command).ok
    new, after = whole.chip.snapshot(), whole.chip.memory.statistics
    points = after.writes - before.writes + after.transactions - before.transactions
    for number in count(1):
        torn = make()
        assert torn.chip.snapshot() == old
        torn.chip.memory.cut_after(number)
        try:
            assert torn.chip.process(torn.command).ok
            torn.chip.power_off()
            done = True
        except PowerCut:
            done = False
        torn.chip.power_on()
        yield torn, old, new, torn.chip.snapshot()
        if done:
            assert number == points + 1
            return


def check(make: Callable[[], Torn]) -> None:
    """Old or new at every write; new at the end; and it is settled."""
    seen = []
    for torn, old, new, now in torn_everywhere(make):
        assert now in (old, new)
        assert old != new
        seen.append(now == new)
        torn.settle(now == new)
    assert seen[-1]
    assert not seen[0]


def served() -> Customer:
    customer = Customer()
    customer.load(50_000)
    customer.buy(100_000)
    return customer


def key_of(kind: int, other: KeyRef) -> KeyRef:
    return KeyRef.LOAD if kind & ~VOID == Kind.LOAD else other


def asked(customer: Customer, kind: int, sequence: int = 9) -> Order:
    return customer.order(500, sequence=sequence) if kind & ~VOID in EARNING else customer.plain(500, sequence=sequence)


def proof_of(customer: Customer, kind: int, order: Order, counter: int, key_ref: KeyRef, happened: bool, challenge: bytes) -> bytes:
    """What PROVE answers, checked; without its first byte, or as outcome and proof."""
    data = customer.prove(counter, order.shop, order.sequence, challenge, key_ref).data
    key = customer.keys[key_ref]
    if happened:
        record, proof = data[11:47], data[55:]
        assert (data[0], record[:20]) == (1, bytes((kind, key_ref)) + counter.to_bytes(2) + order.encode())
        assert proof == key.mac8(messages.proof(customer.head, record))
        return record[20:] + proof
    message = messages.absence(customer.head, key_ref, counter, order.shop, order.sequence, challenge, 0, counter, data[3:11])
    assert (data[:3], data[11:]) == (b"\0" + counter.to_bytes(2), key.mac8(message))
    return data[1:]


def worthless(customer: Customer, command: Command) -> None:
    """What was authorized before PROVE is void."""
    before = customer.chip.snapshot()
    assert customer.chip.process(command).sw == SW.MAC_INCORRECT
    assert customer.chip.snapshot() == before


def by_till(kind: int) -> Torn:
    """TRANSACT under a key of the till."""
    customer, key_ref = served(), key_of(kind, KeyRef.TILL)
    if kind & VOID:
        assert customer.transact(kind & ~VOID, asked(customer, kind & ~VOID, 8), key_ref).ok
    order, counter = asked(customer, kind), customer.info.counter
    command = customer.transact_command(kind, order, key_ref)

    def settle(happened: bool) -> None:
        assert customer.select().counter == counter + happened
        proof_of(customer, kind, order, counter, key_ref, happened, CHALLENGE)
        worthless(customer, command)
        if not happened:
            assert customer.transact(kind, order, key_ref).ok

    return Torn(customer.chip, command, settle)


@dataclass
class Opened:
    """A customer card, a shop card, an entry there, and the command that carries it to the customer card."""

    customer: Customer
    shop: Shop
    counter: int
    slot: int
    order: Order
    command: Command

    def ended(self, happened: bool, total: int) -> None:
        """Settles the entry by PROVE and RATIFY; then nothing is pending, and `total` transactions have been counted."""
        self.customer.select()
        key_ref, challenge = KeyRef(self.command.p2), self.shop.challenge()
        proof = proof_of(self.customer, self.command.p1, self.order, self.counter, key_ref, happened, challenge)
        ending = Ending.COMMITTED if happened else Ending.NOT_COMMITTED
        assert self.shop.send(CLA_JOREN, Ins.RATIFY, ending, self.slot, proof).ok
        worthless(self.customer, self.command)
        assert (self.shop.select().pending, self.shop.totals().transactions) == (0, total)


def opened(kind: int) -> Opened:
    """After COMPUTE or AUTHORIZE; the shop card has closed one entry before, for a void the one that is to be voided."""
    customer, shop = served(), Shop()
    if kind & ~VOID in EARNING:
        shop.purchase(customer, 500, kind & ~VOID)
    else:
        shop.transact(customer, kind & ~VOID, customer.plain(500))
    counter = customer.info.counter
    if kind in EARNING:
        made = shop.compute(customer, customer.order(500), kind)
        command = customer.commit_command(kind, made.order, made.points, made.state, made.mac)
        return Opened(customer, shop, counter, made.slot, made.order, command)
    data = shop.authorize(customer, kind, asked(customer, kind)).data
    order = replace(asked(customer, kind), sequence=int.from_bytes(data[1:5]))
    command = Command(CLA_JOREN, Ins.TRANSACT, kind, key_of(kind, KeyRef.SHOP), order.encode() + data[5:], 32)
    return Opened(customer, shop, counter, data[0], order, command)


def by_shop_card(kind: int) -> Torn:
    """COMMIT, or TRANSACT authorized by the shop card: it goes on with the same entry."""
    at = opened(kind)
    return Torn(at.customer.chip, at.command, lambda happened: at.ended(happened, 1 + happened))


def opening(kind: int) -> Torn:
    """COMPUTE or AUTHORIZE: an entry of which the till knows nothing is found with READ RECORD."""
    customer, shop = served(), Shop()
    before = shop.select()
    if kind in EARNING:
        command = shop.compute_command(customer, customer.order(500), kind)
        carrier = Command(CLA_JOREN, Ins.COMMIT, kind, KeyRef.SHOP, bytes(58), 32)
    else:
        info = customer.info
        data = info.card_id + info.counter.to_bytes(2) + info.nonce + asked(customer, kind).encode()[:8]
        command = Command(CLA_JOREN, Ins.AUTHORIZE, kind, 0, data, 13)
        carrier = Command(CLA_JOREN, Ins.TRANSACT, kind, key_of(kind, KeyRef.SHOP), bytes(24), 32)

    def settle(happened: bool) -> None:
        assert shop.select().pending == happened
        entry = shop.send(CLA_ISO, Ins.READ_RECORD, 1, 0x14, ne=32)
        if not happened:
            assert (entry.sw, shop.select()) == (SW.RECORD_NOT_FOUND, before)
            return
        order = replace(asked(customer, kind), sequence=0x01000000)
        assert (entry.data[0], entry.data[4:16]) == (kind, order.encode()[:8] + order.encode()[12:])
        Opened(customer, shop, customer.info.counter, 0, order, carrier).ended(False, 0)
        assert shop.select() == replace(before, sequence=0x01000001)

    return Torn(shop.chip, command, settle)


ENDINGS = (Ending.NOT_COMMITTED, Ending.COMMITTED, Ending.UNKNOWN)
"""What RATIFY may say."""


def closing(kind: int, ending: Ending) -> Torn:
    """RATIFY: it is sent again until the entry is gone."""
    at = opened(kind)
    data = b""
    if ending is Ending.COMMITTED:
        answer = Answer.of(at.customer.chip.process(at.command))
        data = answer.raw_outcome + answer.proof
    elif ending is Ending.NOT_COMMITTED:
        data = proof_of(at.customer, kind, at.order, at.counter, KeyRef(at.command.p2), False, at.shop.challenge())
    command = Command(CLA_JOREN, Ins.RATIFY, ending, at.slot, data)

    def settle(happened: bool) -> None:
        again = command
        at.shop.select()
        if ending is Ending.NOT_COMMITTED:
            at.customer.select()
            challenge = at.shop.challenge()
            again = replace(command, data=proof_of(at.customer, kind, at.order, at.counter, KeyRef(at.command.p2), False, challenge))
        assert at.shop.chip.process(again).sw == (SW.RECORD_NOT_FOUND if happened else SW.OK)
        assert at.shop.chip.process(again).sw == SW.RECORD_NOT_FOUND
        assert at.shop.totals().transactions == 1 + (ending is Ending.COMMITTED)

    return Torn(at.shop.chip, command, settle)


class TestTransactions:
    @pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
    def test_of_a_till(self, kind: Kind) -> None:
        """REQ-APDU-8, REQ-REC-4, REQ-TRX-7, REQ-PRV-1, REQ-PRV-2."""
        check(lambda: by_till(kind))

    @pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
    def test_of_a_shop_card(self, kind: Kind) -> None:
        """REQ-APDU-8, REQ-REC-4, REQ-TRX-7, REQ-COM-2, REQ-RAT-1."""
        check(lambda: by_shop_card(kind))

    def test_when_the_log_is_full(self) -> None:
        """REQ-REC-3, REQ-APDU-8: the oldest record is there until the new one is."""

        def make() -> Torn:
            customer = served()
            for number in range(22):
                customer.buy(number)
            oldest = customer.send(CLA_ISO, Ins.READ_RECORD, 24, 0x0C, ne=44).data

            def settle(happened: bool) -> None:
                customer.select()
                assert (customer.send(CLA_ISO, Ins.READ_RECORD, 24, 0x0C, ne=44).data == oldest) != happened

            return Torn(customer.chip, customer.transact_command(Kind.PURCHASE, customer.order()), settle)

        check(make)


class TestShopCard:
    @pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
    def test_compute_and_authorize(self, kind: Kind) -> None:
        """REQ-APDU-8, REQ-CMP-3, REQ-AUT-2, REQ-RAT-3."""
        check(lambda: opening(kind))

    @pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
    @pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
    def test_ratify(self, kind: Kind, ending: Ending) -> None:
        """REQ-APDU-8, REQ-RAT-5: nothing is counted twice."""
        check(lambda: closing(kind, ending))


Card = Customer | Shop


def set_status(card: Card, state: LifeCycle) -> Command:
    """SET STATUS, right at this moment."""
    if isinstance(card, Shop):
        mac = card.admin.mac8(messages.admin(card.head, 0, card.challenge(), state))
    else:
        info = card.select()
        mac = card.keys[KeyRef.ADMIN].mac8(messages.admin(card.head, info.counter, info.nonce, state))
    return Command(CLA_JOREN, Ins.SET_STATUS, 0x40, state, mac)


def store_data(card: Card, block: int) -> Command:
    return Command(CLA_JOREN, Ins.STORE_DATA, 0x88 if block else 0x08, block, card.blocks()[block])


CARDS: list[Callable[[bool], Card]] = [lambda issue: Customer(pin=PIN, issue=issue), lambda issue: Shop(issue=issue)]
EACH_CARD = pytest.mark.parametrize("card_of", CARDS, ids=["customer card", "shop card"])


class TestLifeCycle:
    @EACH_CARD
    @pytest.mark.parametrize("state", [LifeCycle.BLOCKED, LifeCycle.TERMINATED])
    def test_set_status(self, card_of: Callable[[bool], Card], state: LifeCycle) -> None:
        """REQ-APDU-8, REQ-ADM-1, REQ-SAD-1: authorized anew, it is done or was."""

        def make() -> Torn:
            card = card_of(True)

            def settle(happened: bool) -> None:
                assert card.select().life_cycle == (state if happened else LifeCycle.ISSUED)
                if not happened:
                    assert card.chip.process(set_status(card, state)).ok

            return Torn(card.chip, set_status(card, state), settle)

        check(make)

    @EACH_CARD
    @pytest.mark.parametrize("block", [0, 1])
    def test_store_data(self, card_of: Callable[[bool], Card], block: int) -> None:
        """REQ-APDU-8, REQ-PER-1, REQ-PER-2, REQ-PER-3: a card is never half issued; personalization begins again."""

        def make() -> Torn:
            card = card_of(False)
            for number in range(block):
                assert card.chip.process(store_data(card, number)).ok

            def settle(happened: bool) -> None:
                if happened and block:
                    assert card.select().life_cycle == LifeCycle.ISSUED
                    return
                assert card.select().life_cycle == LifeCycle.SELECTABLE
                assert all(card.chip.process(store_data(card, number)).ok for number in (0, 1))
                assert card.select().life_cycle == LifeCycle.ISSUED

            return Torn(card.chip, store_data(card, block), settle)

        check(make)


PIN_COMMANDS: dict[str, tuple[Command, list[tuple[int, int]]]] = {
    "VERIFY": (Command(CLA_ISO, Ins.VERIFY, 0, 0x81, pin_block(PIN)), [(1, 9), (0, 9), (3, 9)]),
    "CHANGE REFERENCE DATA": (
        Command(CLA_ISO, Ins.CHANGE_REFERENCE_DATA, 0, 0x81, pin_block(PIN) + pin_block(NEW_PIN)),
        [(1, 9), (0, 9), (3, 9), (3, 9), (3, 9), (3, 9)],
    ),
    "RESET RETRY COUNTER": (
        Command(CLA_ISO, Ins.RESET_RETRY_COUNTER, 0, 0x81, PUK + pin_block(NEW_PIN)),
        [(1, 9), (1, 8), (1, 10), (1, 10), (1, 10), (3, 10)],
    ),
}
"""With the tries left of PIN and PUK, torn at the first write, at the second, ... and not torn, on a card that had 1 and 9 left."""
EACH_PIN_COMMAND = pytest.mark.parametrize(("command", "tries"), PIN_COMMANDS.values(), ids=PIN_COMMANDS)


def guessed_wrong() -> Customer:
    """A card with a PIN on which few tries are left."""
    customer = Customer(pin=PIN)
    for _ in range(2):
        customer.verify(b"0000")
    customer.send(CLA_ISO, Ins.RESET_RETRY_COUNTER, 0, 0x81, bytes(8) + pin_block(NEW_PIN))
    return customer


def tries_of(customer: Customer) -> tuple[int, ...]:
    return tuple(customer.send(CLA_ISO, Ins.GET_DATA, 1, 3, ne=2).data)


def torn_tries(make: Callable[[], Torn], customers: list[Customer]) -> list[tuple[tuple[int, ...], bool]]:
    """The tries left after each tear, and whether anything else changed."""
    found = []
    for torn, old, _, now in torn_everywhere(make):
        customer = customers[-1]
        customer.select()
        region = torn.chip.memory.regions[f"{customer.aid.hex().upper()}/tries"]
        end = region.address + region.size
        found.append((tries_of(customer), now[: region.address] + now[end:] != old[: region.address] + old[end:]))
    return found


class TestPin:
    @EACH_PIN_COMMAND
    def test_right(self, command: Command, tries: list[tuple[int, int]]) -> None:
        """REQ-PIN-4, REQ-APDU-8: the PIN and its tries change together; until then only try counters do."""
        customers: list[Customer] = []

        def make() -> Torn:
            customers.append(guessed_wrong())
            return Torn(customers[-1].chip, command, lambda _: None)

        found = torn_tries(make, customers)
        assert [left for left, _ in found] == tries
        assert [changed for _, changed in found] == [False] * (len(tries) - 1) + [command.ins != Ins.VERIFY]
        assert customers[-1].verify(PIN if command.ins == Ins.VERIFY else NEW_PIN).ok

    @EACH_PIN_COMMAND
    def test_wrong(self, command: Command, tries: list[tuple[int, int]]) -> None:
        """REQ-PIN-4: torn before the try is counted, the card has not answered; then it has been counted."""
        customer = guessed_wrong()
        wrong = replace(command, data=b"00000000" + command.data[8:])
        customer.chip.memory.cut_after(1)
        with pytest.raises(PowerCut):
            customer.chip.process(wrong)
        customer.chip.power_on()
        customer.select()
        assert tries_of(customer) == tries[0]
        assert customer.chip.process(wrong).sw == SW.VERIFY_FAILED | tries[1][command.ins == Ins.RESET_RETRY_COUNTER]
        assert tries_of(customer) == tries[1]
