"""Scripts for the tear explorer: a dialog of the host library for every state-changing command of both cards, recorded APDU by APDU."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from joren.apdu import AID_CUSTOMER, AID_SHOP, PENDING_SIZE, Command, Ending, Ins, KeyRef, LifeCycle, LinkLost, Response, Transmit, aid
from joren.apdu.tlv import Dgi
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host import (
    DEFAULT_PRODUCT,
    CardLost,
    CardRefused,
    Dialog,
    HostError,
    Journal,
    Masters,
    ShopCardHolder,
    Slot,
    SoftwareKeys,
    Till,
    issue_customer,
    run,
    set_customer_status,
    set_shop_status,
    wire,
)
from joren.host.dialog import Ask, ask
from joren.host.personalization import ShopOrder, groupings, plain_block
from joren.host.pin import change_pin, unblock_pin
from joren.host.selecting import select_customer, select_shop
from joren.simulator.chip import MODEL, Chip, Program
from joren.simulator.reader import When
from joren.simulator.tear import Script

__all__ = ["Recorder", "scripts"]

CARD_ID = bytes.fromhex("7EA27EA27EA27EA2")
PIN, PUK, NEW_PIN, WRONG_PIN = "1234", "12345678", "9876", "0000"
PROGRAMME = DEFAULT_PRODUCT.programme
AnyDialog = Dialog[object]


class Recorder:
    """A customer card, a shop card, a till of either kind; what a dialog sends becomes a script for each card."""

    def __init__(self, program: Program = MODEL) -> None:
        self.masters = Masters.create(lambda size: bytes(range(1, size + 1)))
        self.chips = {slot: Chip(f"torn {slot.name.lower()}".encode(), program=program) for slot in Slot}
        self.chips[Slot.CUSTOMER].install(CustomerCard, aid(AID_CUSTOMER, PROGRAMME))
        self.chips[Slot.SHOP].install(ShopCard, aid(AID_SHOP, PROGRAMME))
        till, load = (self.masters.group_master(name, PROGRAMME) for name in ("till", "load"))
        keys = SoftwareKeys(PROGRAMME, 1, 0, till, load, random=bytes)
        self.tills = {"one-card": Till(keys, Journal(":memory:")), "two-card": Till(ShopCardHolder(PROGRAMME), Journal(":memory:"))}
        self.sent: dict[Slot, list[Command]] = {}
        self.lose: When | None = None

    def record(self, name: str, dialog: AnyDialog, *, lose: When | None = None) -> Iterator[Script]:
        """Runs a dialog from power on; `lose`: COMMIT is lost on the way to the customer card, or its answer on the way back."""
        before = {slot: chip.fork() for slot, chip in self.chips.items()}
        self.sent, self.lose = {slot: [] for slot in Slot}, lose
        for chip in self.chips.values():
            chip.power_on()
        for till in self.tills.values():
            till.holder.close()
        with suppress(CardRefused, CardLost):
            run(dialog, self._links())
        for chip in self.chips.values():
            chip.power_off()
        for slot, commands in self.sent.items():
            if commands:
                yield Script(f"{name}: {slot.value}", before[slot], tuple(commands))

    def _links(self) -> Mapping[Slot, Transmit]:
        return {slot: self._link(slot) for slot in Slot}

    def _link(self, slot: Slot) -> Transmit:
        def transmit(command: Command) -> Response:
            lost = self.lose if command.ins == Ins.COMMIT else None
            if lost is When.BEFORE:
                raise LinkLost("on order")
            self.sent[slot].append(command)
            response = self.chips[slot].process(command)
            if lost is When.AFTER:
                raise LinkLost("on order")
            return response

        return transmit


def scripts(program: Program = MODEL) -> Iterator[Script]:
    """One after the other: each is recorded on the cards, which run that program, as the one before left them."""
    recorder = Recorder(program)
    product, masters = DEFAULT_PRODUCT, recorder.masters
    yield from recorder.record("issue", issue_customer(product, masters, CARD_ID, pin=PIN, puk=PUK))
    yield from recorder.record("issue", _issue_shop(masters))
    for kind, till in recorder.tills.items():
        yield from _sales(recorder, kind, till)
    yield from _torn_sales(recorder, recorder.tills["two-card"])
    yield from _pins(recorder)
    yield from _states(recorder)


def _issue_shop(masters: Masters) -> Dialog[None]:
    """With masters of two versions, as in a time of change (REQ-SPE-2)."""
    found = groupings(ShopOrder(2, 1, 100_000, 100_000), DEFAULT_PRODUCT, masters)
    for ref in (KeyRef.SHOP, KeyRef.LOAD):
        found.append(Dgi(0x8010 | ref, b"\x02" + masters.group_master(ref.name.lower(), PROGRAMME + 1).reveal()))
    yield from select_shop(PROGRAMME)
    yield from ask(Slot.SHOP, plain_block(found), 0)
    yield from select_shop(PROGRAMME)


def _sales(recorder: Recorder, kind: str, till: Till) -> Iterator[Script]:
    sales: dict[str, Callable[[str], AnyDialog]] = {
        "load": lambda name: till.load(name, 100, 20_000),
        "purchase": lambda name: till.purchase(name, 100, 50_000),
        "pay and earn": lambda name: till.purchase(name, 101, 1_500, pay=True),
        "redeem": lambda name: till.redeem(name, 102, 50),
        "pay": lambda name: till.pay(name, 103, 300),
        "purchase, a period later": lambda name: till.purchase(name, 9_000 + 9_000 * (kind == "two-card"), 2_000),
    }
    for what, make in sales.items():
        name = f"{kind} {what}"
        yield from recorder.record(name, make(name))
        if "later" not in what:
            yield from recorder.record(f"{name}, void", till.void(f"{name}, void", 103, name))
            yield from recorder.record(f"{name}, again", make(f"{name}, again"))


def _torn_sales(recorder: Recorder, till: Till) -> Iterator[Script]:
    for name, lost in (("not committed", When.BEFORE), ("committed", When.AFTER)):
        yield from recorder.record(f"purchase, {name}, lost", till.purchase(name, 30_000, 100), lose=lost)
        yield from recorder.record(f"purchase, {name}, settled", till.settle())
    yield from recorder.record("purchase, never settled", till.purchase("gone", 30_000, 100), lose=When.BEFORE)
    yield from recorder.record("write off", _write_off())


def _write_off() -> Dialog[None]:
    """The first pending entry."""
    yield from select_shop(PROGRAMME)
    for slot in range(PENDING_SIZE):
        if (yield Ask(Slot.SHOP, wire.read_pending(slot))).ok:
            yield from ask(Slot.SHOP, wire.ratify(Ending.UNKNOWN, slot), 0)
            return
    raise HostError("write off: a pending entry expected, there is none")


def _verify(pin: str) -> Dialog[None]:
    yield from select_customer(PROGRAMME)
    yield from ask(Slot.CUSTOMER, wire.verify(pin.encode().ljust(8, b"\xff")), 0)


def _pins(recorder: Recorder) -> Iterator[Script]:
    yield from recorder.record("PIN wrong", _verify(WRONG_PIN))
    yield from recorder.record("PIN right", _verify(PIN))
    yield from recorder.record("PIN changed", change_pin(PROGRAMME, PIN, NEW_PIN))
    yield from recorder.record("PUK wrong", unblock_pin(PROGRAMME, PUK[::-1], PIN))
    yield from recorder.record("PIN wrong again", _verify(WRONG_PIN))
    yield from recorder.record("PIN set by PUK", unblock_pin(PROGRAMME, PUK, PIN))


def _states(recorder: Recorder) -> Iterator[Script]:
    for state in (LifeCycle.BLOCKED, LifeCycle.ISSUED, LifeCycle.TERMINATED):
        yield from recorder.record(f"status {state.name}", set_customer_status(PROGRAMME, recorder.masters, state))
        yield from recorder.record(f"status {state.name}", set_shop_status(PROGRAMME, recorder.masters, state))
