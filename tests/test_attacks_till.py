"""Attacks at an honest till (docs/spec/attacks.md): a device in place of the card, sales told twice, cards on the stop list."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from joren.apdu import CLA_ISO, SW, Command, Ins, LinkLost, Response
from joren.host import CardFault, CardLost, CardRefused, Fate, HostError
from joren.simulator.chip import Chip
from support import Counter, Fault, finish, free_of_pin
from test_attacks_settling import MODES, Sale, buys, refused


class Device(Chip):
    """What a customer holds to the reader in place of his card: it answers some instructions itself and passes the rest on."""

    def __init__(self, card: Chip, answers: dict[int, Callable[[Command], Response]]) -> None:
        super().__init__(b"device")
        self.card = card
        self.answers = answers

    def process(self, command: Command) -> Response:
        return self.answers.get(command.ins, self.card.process)(command)

    def power_on(self) -> bytes:
        return self.card.power_on()

    def power_off(self) -> None:
        self.card.power_off()


@MODES
def test_a_forged_select_locks_nobody_out(by_card: bool) -> None:
    """REQ-ATK-41: a device claims the victim's card id and a counter far ahead, takes an order, and vanishes."""
    counter, victim = Counter(by_card), free_of_pin()
    card, told = victim.chip, replace(victim.info, counter=0xFF00).encode()

    def gone(_: Command) -> Response:
        raise LinkLost("gone")

    victim.chip = Device(card, {Ins.SELECT: lambda _: Response(told, SW.OK), Ins.TRANSACT: gone})
    with pytest.raises(CardLost):
        counter.tap(victim, lambda till: till.pay("A", 200, 1))
    victim.chip = card
    granted = counter.tap(victim, buys("B"))
    assert (granted.points, [row.fate for row in granted.settled]) == (200, [Fate.UNKNOWN])


class TestTheTill:
    @MODES
    def test_a_torn_sale_is_asked_for_twice_or_with_another_card(self, by_card: bool) -> None:
        """REQ-ATK-17: committed once on the first card, whoever asks and however often."""
        counter, customer, other = Counter(by_card), free_of_pin(), free_of_pin(2)
        memory = other.chip.snapshot()
        with pytest.raises(CardLost):
            counter.tap(customer, buys("S"), {5 if by_card else 2: Fault.LOST_AFTER})
        with pytest.raises(HostError, match="tap the first again"):
            counter.tap(other, buys("S"))
        results = [finish(counter, customer, buys("S")) for _ in range(3)]
        assert len({one.receipt for one in results}) == 1
        with pytest.raises(HostError, match="another sale"):
            counter.tap(other, lambda till: till.purchase("S", 200, 30_000))
        assert counter.tap(other, buys("S")).card_id == customer.card_id
        assert other.chip.snapshot() == memory
        counter.audit(customer)

    @MODES
    def test_a_customer_does_not_come_back(self, by_card: bool) -> None:
        """REQ-ATK-21: pulled before or after it happened, nothing is granted or given back for it: neither goods, nor points, nor money."""
        for fault in (Fault.LOST_BEFORE, Fault.LOST_AFTER):
            counter = Counter(by_card)
            for number in range(16):
                customer = free_of_pin(number)
                with pytest.raises(CardLost) as lost:
                    counter.tap(customer, load_of(str(number)), {(4 if number == 0 else 3) if by_card else 2: fault})
                assert lost.value.fate is Fate.PENDING
            assert counter.tap(free_of_pin(16), load_of("16")).purse_minor == 100
            assert [row.fate for row in counter.journal.unsettled()] == [Fate.PENDING] * 16
            if by_card:
                assert counter.shop.select().money_left_minor == 1_000_000 - 17 * 100
                assert counter.shop.totals().money_written_off_minor == 100

    @MODES
    @pytest.mark.parametrize("name", ["redeem", "purchase"])
    def test_a_device_answers_in_place_of_the_card(self, by_card: bool, name: str) -> None:
        """REQ-ATK-22: a success that it makes up is no proof: the card itself is asked, and it never happened."""
        counter, customer = Counter(by_card), free_of_pin()
        counter.tap(customer, buys("before"))
        card = customer.chip
        memory = card.snapshot()
        made_up = Response(b"\x04\x01" + bytes(30), SW.OK)
        customer.chip = Device(card, {Ins.TRANSACT: lambda _: made_up, Ins.COMMIT: lambda _: made_up})
        sale: Sale = buys("S") if name == "purchase" else lambda till: till.redeem("S", 200, 100)
        with pytest.raises(CardFault):
            counter.tap(customer, sale)
        assert (card.snapshot(), counter.journal.find("S")) == (memory, None)
        customer.chip = Device(card, {Ins.TRANSACT: lambda _: made_up, Ins.COMMIT: lambda _: made_up, Ins.PROVE: lambda _: made_up})
        with pytest.raises((CardFault, CardRefused)):
            counter.tap(customer, sale)
        row = counter.journal.find("S")
        assert row is not None
        assert (card.snapshot(), row.fate) == (memory, Fate.PENDING)

    @MODES
    def test_a_device_keeps_an_order_for_later(self, by_card: bool) -> None:
        """REQ-ATK-38, REQ-ATK-13: the session begins with a refused SELECT, the till is told of a nonce of zeros; the load never comes."""
        counter, customer = Counter(by_card), free_of_pin()
        card, kept, memory = customer.chip, list[Command](), customer.chip.snapshot()

        def refused_select(command: Command) -> Response:
            assert card.process(replace(command, ne=1)).sw == SW.WRONG_LE | 26
            return Response(customer.info.encode()[:16] + bytes(8) + customer.info.encode()[24:], SW.OK)

        def keep(command: Command) -> Response:
            kept.append(command)
            raise LinkLost("kept")

        customer.chip = Device(card, {Ins.SELECT: refused_select, Ins.TRANSACT: keep})
        with pytest.raises(CardLost):
            counter.tap(customer, load_of("S"))
        customer.chip = card
        assert [row.fate for row in counter.tap(customer, lambda till: till.settle()).rows] == [Fate.NOT_COMMITTED]
        card.power_on()
        assert not card.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, customer.aid, 1)).ok
        refused(card, kept[0], SW.MAC_INCORRECT)
        assert card.snapshot() == memory

    @MODES
    def test_a_device_claims_a_rank(self, by_card: bool) -> None:
        """REQ-ATK-22: the rank of a result is that of the proof, not the one that SELECT told."""
        counter, customer = Counter(by_card), free_of_pin()
        card = customer.chip

        def boast(command: Command) -> Response:
            told = card.process(command)
            return Response(told.data[:24] + b"\x04" + told.data[25:], told.sw)

        customer.chip = Device(card, {Ins.SELECT: boast})
        assert counter.tap(customer, buys("S")).rank == 2
        customer.chip = card
        counter.audit(customer)


def load_of(reference: str) -> Sale:
    return lambda till: till.load(reference, 200, 100)
