"""T=0: what a card behind TPDUs answers, byte by byte, and that the host's dialogs come to the same end over it as over T=1."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from cardkit import MASTERS, PIN, PROGRAMME, Customer, Shop, pin_block
from joren.apdu import AID_CUSTOMER, SW, Command, Ins, LinkLost, Response, aid
from joren.host import Dialog, Granted, Journal, ShopCardHolder, Slot, SoftwareKeys, Till, run
from joren.host.dialog import Ask, Done, chained, feed, start
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.protocol import Protocol, T0Card
from joren.simulator.reader import Loss, Losses, Reader, When

T0_ONLY = replace(IDEAL, title="T=0 alone", protocols=("T=0",), extended_length=False)
SELECT = "00A4040C09F06A6F72656E010001"


def card(**options: bytes) -> tuple[Customer, T0Card]:
    customer = Customer(**options)  # type: ignore[arg-type]
    customer.chip.power_on()
    return customer, T0Card(customer.chip)


def ask(t0: T0Card, tpdu: str) -> str:
    return t0.exchange(bytes.fromhex(tpdu)).hex().upper()


def test_an_answer_to_a_command_with_data_waits() -> None:
    """REQ-FIT-2."""
    customer, t0 = card()
    assert ask(t0, SELECT) == "611A"
    assert ask(t0, "00C0000019")[-4:] == "6101"
    assert ask(t0, "00C0000001")[-4:] == "9000"
    assert ask(t0, "00C0000001") == "6985"
    assert ask(t0, SELECT) == "611A"
    assert ask(t0, "00C0000000") == "6C1A"
    answer = t0.exchange(bytes.fromhex("00C000001A"))
    assert (len(answer), answer[-2:].hex()) == (28, "9000")
    assert answer[6:14] == customer.card_id


def test_what_waits_is_lost_at_another_command_and_at_reset() -> None:
    """REQ-FIT-2."""
    _, t0 = card()
    for between in (lambda: ask(t0, "00CA010300"), t0.reset):
        assert ask(t0, SELECT) == "611A"
        between()
        assert ask(t0, "00C000001A") == "6985"


def test_a_wrong_p3_is_told_and_the_answer_waits_for_the_right_one() -> None:
    """REQ-FIT-2: what was drawn at the first try is what comes at the second."""
    shop = Shop()
    t0 = T0Card(shop.chip)
    assert ask(t0, "0084000000") == "6C08"
    draws = shop.chip.draws
    assert ask(t0, "0084000008")[-4:] == "9000"
    assert shop.chip.draws == draws
    assert ask(t0, "0084000001") == "6C08"
    assert ask(t0, "00C0000008") == "6985"
    assert ask(t0, "0084000008")[-4:] == "9000"
    assert shop.chip.draws == draws + 2


def test_a_warning_keeps_its_data() -> None:
    """REQ-FIT-2, REQ-LIFE-3: SELECT of a blocked card is 6283 with data."""
    customer, t0 = card()
    memory = customer.chip.memory
    memory.write(memory.regions[f"{customer.aid.hex().upper()}/life_cycle"].address, b"\x83")
    assert ask(t0, SELECT) == "611A"
    assert ask(t0, "00C000001A")[-4:] == "6283"


@pytest.mark.parametrize(
    ("tpdu", "answer"),
    [("", "6700"), ("00A4040C", "6700"), ("00A4040C0901", "6700"), ("0060000000", "6D00"), ("FF30000000", "6E00"), ("8019000000", "6985")],
)
def test_what_is_no_tpdu(tpdu: str, answer: str) -> None:
    """REQ-APDU-1, REQ-APDU-3."""
    assert ask(card()[1], tpdu) == answer


def test_commands_without_an_answer() -> None:
    _, t0 = card(pin=PIN)
    assert ask(t0, SELECT) == "611A"
    assert ask(t0, "0020008108" + pin_block(PIN).hex()) == "9000"
    assert ask(t0, "0020008100") == "9000"


def test_extended_length() -> None:
    """REQ-FIT-3."""
    short = replace(IDEAL, extended_length=False)
    for profile, expected in ((IDEAL, SW.WRONG_LENGTH), (short, SW.WRONG_LENGTH)):
        chip = Customer().chip.on(profile)
        chip.power_on()
        assert T0Card(chip).transmit(Command(0, Ins.SELECT, 4, 0x0C, bytes(256))).sw == expected
    chip = Customer().chip.on(short)
    name = aid(AID_CUSTOMER, PROGRAMME)
    assert chip.process(Command(0, Ins.SELECT, 4, 0x0C, name, 257)).sw == SW.WRONG_LENGTH
    raw = Command(0, Ins.SELECT, 4, 0x0C, name, 26).encode(extended=True)
    assert chip.process_bytes(raw) == b"\x67\x00"
    assert Customer().chip.process_bytes(raw)[-2:] == b"\x90\x00"


def test_a_reader_speaks_what_the_card_has() -> None:
    t0_chip, t1_chip = Chip(b"0", T0_ONLY), Chip(b"1", replace(IDEAL, protocols=("T=1",)))
    reader = Reader()
    spoken = []
    for chip in (t0_chip, t1_chip):
        reader.insert(chip)
        spoken.append(reader.protocol)
        reader.remove()
    assert spoken == [Protocol.T0, Protocol.T1]
    with pytest.raises(ValueError, match="a card with T=1 expected, T=0 alone has T=0"):
        Reader("contacts", Protocol.T1).insert(t0_chip)


SALES: dict[str, Callable[[Till], Dialog[object]]] = {
    "load": lambda till: till.load("load", 100, 20_000),
    "purchase": lambda till: till.purchase("purchase", 100, 50_000, 3),
    "pay and earn": lambda till: till.purchase("pay and earn", 101, 1_500, pay=True),
    "redeem": lambda till: till.redeem("redeem", 102, 50),
    "pay": lambda till: till.pay("pay", 103, 300),
    "void": lambda till: till.void("void", 104, "pay"),
}


class Desk:
    """A till, a customer card and a shop card, behind readers of one protocol."""

    def __init__(self, by_card: bool, protocol: Protocol) -> None:
        self.readers = {Slot.CUSTOMER: Reader("customer", protocol), Slot.SHOP: Reader("shop", protocol)}
        self.readers[Slot.CUSTOMER].insert(Customer().chip)
        self.readers[Slot.SHOP].insert(Shop().chip)
        keys = SoftwareKeys(PROGRAMME, 7, 1, MASTERS["till"], MASTERS["load"], random=bytes)
        self.till = Till(ShopCardHolder(PROGRAMME) if by_card else keys, Journal(":memory:"))

    def sell(self, name: str) -> object:
        return run(SALES[name](self.till), {slot: reader.transmit for slot, reader in self.readers.items()})

    def memories(self) -> list[bytes]:
        return [reader.chip.snapshot() for reader in self.readers.values() if reader.chip]


@pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])
def test_every_sale_ends_alike_over_t0_and_t1(by_card: bool) -> None:
    """REQ-FIT-2: the same results and the same memory, though the APDUs differ."""
    t0, t1 = Desk(by_card, Protocol.T0), Desk(by_card, Protocol.T1)
    for name in SALES:
        assert t0.sell(name) == t1.sell(name)
        assert t0.memories() == t1.memories()


@pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])
def test_every_loss_over_t0_is_settled(by_card: bool) -> None:
    """REQ-STL-1 to REQ-STL-6, REQ-FIT-2: also between 61XX and GET RESPONSE, where the card has acted and its answer waits."""
    whole = Desk(by_card, Protocol.T0)
    seen: list[Command] = []
    for reader in whole.readers.values():
        reader.observers.append(lambda _reader, _event, command, _response: seen.append(command) if command else None)
    granted = whole.sell("purchase")
    assert [command.ins for command in seen].count(Ins.GET_RESPONSE) == (4 if by_card else 2)
    for number in range(1, len(seen) + 1):
        for when in When:
            desk = Desk(by_card, Protocol.T0)
            losses = Losses([Loss(number, when)])
            for reader in desk.readers.values():
                reader.losses = losses
            with pytest.raises(Exception, match="lost"):
                desk.sell("purchase")
            for reader in desk.readers.values():
                reader.losses = None
                if not reader.powered or reader.name == "customer":
                    reader.reset()
            again = desk.sell("purchase")
            assert isinstance(again, Granted)
            assert isinstance(granted, Granted)
            assert (again.points, again.points_balance) == (granted.points, granted.points_balance)
            customer = desk.readers[Slot.CUSTOMER].chip
            assert customer is not None
            counter = customer.memory.regions[f"{aid(AID_CUSTOMER, PROGRAMME).hex().upper()}/counter"]
            assert customer.memory.read(counter.address, counter.size) == b"\0\1"


def parts_of(*answers: tuple[str, int]) -> Callable[[Command], Response]:
    left = iter(answers)

    def transmit(command: Command) -> Response:
        data, sw = next(left)
        asked.append(command)
        return Response(bytes.fromhex(data), sw)

    asked: list[Command] = []
    transmit.asked = asked  # type: ignore[attr-defined]
    return transmit


def one(command: Command) -> Dialog[Response]:
    return (yield Ask(Slot.CUSTOMER, command))


@pytest.mark.parametrize(
    ("answers", "data", "sw", "sent"),
    [
        ([("", 0x6102), ("ABCD", 0x9000)], "ABCD", 0x9000, ["80320000 28", "00C00000 02"]),
        ([("", 0x6100), ("AB", 0x6101), ("CD", 0x6283)], "ABCD", 0x6283, ["80320000 28", "00C00000 00", "00C00000 01"]),
        ([("", 0x6C02), ("ABCD", 0x9000)], "ABCD", 0x9000, ["80320000 28", "80320000 02"]),
        ([("", 0x6C02), ("", 0x6C03)], "", 0x6C03, ["80320000 28", "80320000 02"]),
        ([("", 0x6102), ("", 0x6C03), ("ABCDEF", 0x9000)], "ABCDEF", 0x9000, ["80320000 28", "00C00000 02", "00C00000 03"]),
        ([("", 0x6985)], "", 0x6985, ["80320000 28"]),
    ],
)
def test_answers_in_parts(answers: list[tuple[str, int]], data: str, sw: int, sent: list[str]) -> None:
    """ISO/IEC 7816-3:2006, 12.2."""
    transmit = parts_of(*answers)
    response = run(one(Command(0x80, Ins.GET_STATE, 0, 0, ne=40)), {Slot.CUSTOMER: transmit})
    assert response == Response(bytes.fromhex(data), sw)
    asked: list[Command] = transmit.asked  # type: ignore[attr-defined]
    assert [command.encode().hex().upper() for command in asked] == [text.replace(" ", "") for text in sent]


def test_a_card_that_never_ends_is_left() -> None:
    """And GET RESPONSE goes to the command's channel."""
    transmit = parts_of(*[("AB", 0x6101)] * 300)
    with pytest.raises(LinkLost, match="an answer that ends expected, 256 parts came"):
        run(one(Command(0x82, Ins.GET_STATE, 0, 0, ne=40)), {Slot.CUSTOMER: transmit})
    assert transmit.asked[-1].cla == 0x02  # type: ignore[attr-defined]


@pytest.mark.parametrize("sw", [0x6985, 0x6D00, 0x6F00, 0x6A86])
def test_an_answer_that_is_not_given_is_a_link_lost(sw: int) -> None:
    """The card has acted: what it says to GET RESPONSE is no refusal of the command."""
    with pytest.raises(LinkLost, match="the rest of its answer expected"):
        run(one(Command(0x80, Ins.TRANSACT, 1, 1, bytes(24), 32)), {Slot.CUSTOMER: parts_of(("", 0x6120), ("", sw))})


def test_get_response_has_one_form() -> None:
    """REQ-FIT-2, REQ-CHN-3: P1 P2 are 00 00, and it fetches what waits on its own channel."""
    for tpdu, answer in (("00C0123419", "6A86"), ("01C0000019", "6881")):
        _, t0 = card()
        assert ask(t0, SELECT) == "611A"
        assert ask(t0, tpdu) == answer
        assert ask(t0, "00C000001A") == "6985"
    _, t0 = card()
    assert ask(t0, "0070000001") == "019000"
    assert ask(t0, SELECT) == "611A"
    assert ask(t0, "01C0000019") == "6985"


def test_a_6cxx_to_a_command_without_le_is_the_answer() -> None:
    transmit = parts_of(("", 0x6C02))
    assert run(one(Command(0x80, Ins.GET_STATE, 0, 0)), {Slot.CUSTOMER: transmit}).sw == 0x6C02


def test_step_by_step_and_lost_in_between() -> None:
    dialog = chained(one(Command(0x80, Ins.GET_STATE, 0, 0, ne=40)))
    step = start(dialog)
    assert isinstance(step, Ask)
    step = feed(dialog, Response(b"", 0x6102))
    assert isinstance(step, Ask)
    assert step.command.ins == Ins.GET_RESPONSE
    with pytest.raises(LinkLost):
        feed(dialog, LinkLost("gone"))
    done = feed(chained_and_started(), Response(b"ab", 0x9000))
    assert done == Done(Response(b"ab", 0x9000))


def chained_and_started() -> Dialog[Response]:
    dialog = chained(one(Command(0x80, Ins.GET_STATE, 0, 0, ne=40)))
    start(dialog)
    return dialog


def test_noise_over_t0() -> None:
    """REQ-APDU-7: whatever bytes come as TPDUs, the memory stays."""
    customer, t0 = card()
    chance, before = Random(7), customer.chip.snapshot()
    for _ in range(20_000):
        raw = bytes((chance.choice((0, 0x80, 1, 0x81)), chance.choice(list(Ins)))) + chance.randbytes(chance.randrange(30))
        if len(raw) > 5 and chance.random() < 0.7:
            raw = raw[:4] + bytes((len(raw) - 5,)) + raw[5:]
        answer = t0.exchange(raw)
        assert len(answer) >= 2
    assert customer.chip.snapshot() == before
    assert customer.chip.last_error is None
