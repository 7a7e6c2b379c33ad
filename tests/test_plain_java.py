"""The Java customer card on jCardSim as that is, with nothing woven, over T=0 and T=1."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from cardkit import PIN, Customer
from javakit import class_path
from joren.apdu import CLA_ISO, CLA_JOREN, Command, Ins, KeyRef, Kind, Response
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
def issued(protocol: str) -> Iterator[Customer]:
    """A card that is ready for its holder."""
    arguments = [protocol, "joren.CustomerApplet", NAME.hex(), INSTALL.hex()]
    command = [find_java(), "-XX:+UseSerialGC", "-cp", class_path(), "joren.harness.PlainCard", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        card = PlainCard(program)
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
