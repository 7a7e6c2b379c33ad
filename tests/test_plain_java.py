"""The Java customer card on jCardSim as that is, with nothing woven, over T=0 and T=1; and what it takes at its install."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from cardkit import PIN, Customer, pin_block
from javakit import class_path
from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ins, KeyRef, Kind, Response
from joren.simulator.jvm import find_java

BOTH = pytest.mark.parametrize("protocol", ["T=0", "T=1"])
NAME = Customer(issue=False).aid
INSTALL = b"\x09" + NAME + b"\x01\x00\x01\x01"
"""AID, privileges, and 01 for a chip for development."""


@dataclass
class PlainCard:
    """A program that holds one card; `process` is what the kit's cards send their commands to."""

    program: "subprocess.Popen[bytes]"

    def process(self, command: Command) -> Response:
        raw = command.encode()
        assert self.program.stdin is not None
        self.program.stdin.write(len(raw).to_bytes(2) + raw)
        self.program.stdin.flush()
        return self.read()

    def read(self) -> Response:
        assert self.program.stdout is not None
        return Response.decode(self.program.stdout.read(int.from_bytes(self.program.stdout.read(2))))


@contextmanager
def plain(protocol: str, parameters: bytes = INSTALL) -> Iterator[tuple[PlainCard, Response]]:
    """The card, and how its install ended."""
    arguments = [protocol, "joren.CustomerApplet", NAME.hex(), parameters.hex()]
    command = [find_java(), "-XX:+UseSerialGC", "-cp", class_path(), "joren.harness.PlainCard", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        card = PlainCard(program)
        yield card, card.read()


@contextmanager
def issued(protocol: str) -> Iterator[Customer]:
    with plain(protocol) as (card, made):
        assert made.ok
        customer = Customer(pin=PIN, issue=False)
        customer.chip = card  # type: ignore[assignment]
        customer.select()
        blocks = customer.blocks()
        for number, block in enumerate(blocks):
            assert customer.send(CLA_JOREN, Ins.STORE_DATA, 0x88 if block == blocks[-1] else 0x08, number, block).ok
        customer.select()
        yield customer


@BOTH
def test_it_answers_as_the_model(protocol: str) -> None:
    """REQ-FIT-1, REQ-TRX-5, REQ-MAC-4: outcomes, receipts, proofs; log, state and keys, as they are read."""
    model = Customer(pin=PIN)
    with issued(protocol) as customer:
        for card in (model, customer):
            assert card.verify(PIN).ok
        for step in range(1, 6):
            assert model.buy(1_000 * step, hour=100 * step, sequence=step) == customer.buy(1_000 * step, hour=100 * step, sequence=step)
        redeem = model.transact(Kind.REDEEM, model.plain(20, hour=700), KeyRef.SHOP)
        assert redeem.ok
        assert redeem == customer.transact(Kind.REDEEM, customer.plain(20, hour=700), KeyRef.SHOP)
        for ins, p1, p2, ne in ((Ins.READ_RECORD, 1, 0x0C, 44), (Ins.GET_DATA, 1, 1, 98), (Ins.GET_DATA, 1, 4, 256)):
            assert model.send(CLA_ISO, ins, p1, p2, ne=ne) == customer.send(CLA_ISO, ins, p1, p2, ne=ne)
        assert model.get_state().data[:32] == customer.get_state().data[:32]


@BOTH
def test_lengths_are_told_apart_as_the_protocol_can(protocol: str) -> None:
    """REQ-APDU-3, REQ-APDU-4, REQ-FIT-2: over T=0 a card does not see data where a command has none."""
    with issued(protocol) as customer:
        assert customer.send(CLA_JOREN, Ins.GET_STATE, 0, 0) == Response(b"", SW.WRONG_LE | 40)
        assert customer.send(CLA_JOREN, Ins.GET_STATE, 0, 0, ne=39) == Response(b"", SW.WRONG_LE | 40)
        assert customer.send(CLA_JOREN, Ins.GET_STATE, 0, 0, ne=256).ok
        assert customer.send(CLA_JOREN, Ins.GET_STATE, 0, 0, b"\x00", 256).ok is (protocol == "T=0")
        assert customer.send(CLA_ISO, Ins.VERIFY, 0, 0x81).sw == 0x63C3
        assert customer.send(CLA_ISO, Ins.VERIFY, 0, 0x81, pin_block(PIN)[:7]).sw == SW.WRONG_LENGTH
        assert customer.send(CLA_ISO, Ins.VERIFY, 0, 0x81, pin_block(PIN)).ok
        assert customer.send(CLA_JOREN, Ins.STORE_DATA, 0x08, 0).sw == SW.WRONG_LENGTH
        assert customer.send(CLA_JOREN, 0x58, 0, 0, b"\x00").sw == SW.INS_NOT_SUPPORTED


@BOTH
def test_a_select_that_chooses_nothing_reaches_whoever_is_selected(protocol: str) -> None:
    """REQ-AID-2: where the platform hands it on, it is refused, and the session goes on."""
    with issued(protocol) as customer:
        nonce = customer.info.nonce
        for p1, p2, name, sw in (
            (0x04, 0x00, bytes(9), SW.FILE_NOT_FOUND),
            (0x04, 0x0E, bytes(9), SW.FILE_NOT_FOUND),
            (0x04, 0x00, bytes(4), SW.WRONG_LENGTH),
            (0x04, 0x04, bytes(9), SW.INCORRECT_P1_P2),
            (0x00, 0x00, bytes(2), SW.INCORRECT_P1_P2),
        ):
            assert customer.send(CLA_ISO, Ins.SELECT, p1, p2, name, 256).sw == sw
        assert customer.buy(1).outcome.points_balance == 0
        assert customer.select().nonce != nonce


@pytest.mark.parametrize(
    "parameters",
    [
        b"\x09" + NAME[:6] + b"\x02" + NAME[7:] + b"\x01\x00\x00",
        b"\x07" + NAME[:7] + b"\x01\x00\x00",
        b"\x09" + NAME,
        b"\x09" + NAME + b"\x03\x00",
        b"\x09" + NAME + b"\x01\x00\x05\x01",
        b"\x09" + NAME + b"\x01\x00\x01\x02",
        b"\x09" + NAME + b"\x01\x00\x02\x01\x01",
    ],
    ids=["a shop card's AID", "no programme", "AID alone", "control cut short", "own cut short", "own unknown", "own too long"],
)
def test_what_an_install_does_not_take(parameters: bytes) -> None:
    """REQ-MAN-6: parameters that are wrong or missing."""
    with plain("T=1", parameters) as (_, made):
        assert made.sw == SW.WRONG_DATA


@pytest.mark.parametrize("parameters", [b"\x09" + NAME + b"\x01\x00\x00", b"\x09" + NAME + b"\x00"], ids=["empty", "none"])
def test_an_install_for_production(parameters: bytes) -> None:
    """REQ-PER-5: nothing says development, so no block comes in the clear."""
    with plain("T=1", parameters) as (card, made):
        assert made.ok
        customer = Customer(issue=False)
        customer.chip = card  # type: ignore[assignment]
        assert customer.select().life_cycle == 0x07
        assert customer.send(CLA_JOREN, Ins.STORE_DATA, 0x08, 0, customer.blocks()[0]).sw == SW.SECURITY_STATUS_NOT_SATISFIED
