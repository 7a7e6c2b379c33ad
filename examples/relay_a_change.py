"""A server that has the keys changes a card that lies at a terminal: JSON lines of hexadecimal between them, one command at a time.

Run it with `.venv/bin/python examples/relay_a_change.py`.
"""

import json
import socket
from threading import Thread
from typing import TextIO

from joren.apdu import Command, LifeCycle, LinkLost, Response, Transmit
from joren.host import DEFAULT_PRODUCT, Masters, Slot, run
from joren.host.admin import administer
from joren.host.changes import Status
from joren.host.desk import make_card
from joren.host.dialog import Dialog, Done, T, chained, feed, start
from joren.host.personalization import CustomerOrder
from joren.simulator.card_manager_chip import make_managed_chip
from joren.simulator.card_manager_memory import Production
from joren.simulator.chip import IDEAL
from joren.simulator.reader import Reader

__all__: list[str] = []


def terminal(lines: TextIO, transmit: Transmit) -> None:
    """Carries commands to the card and answers back, until the server has hung up. It has no key."""
    for line in lines:
        try:
            answer = transmit(Command.decode(bytes.fromhex(json.loads(line)["command"]))).encode().hex()
        except LinkLost:
            answer = None
        print(json.dumps({"answer": answer}), file=lines, flush=True)


def server(lines: TextIO, dialog: Dialog[T]) -> T:
    """Moves a dialog to its end with the answers that the terminal brings. It has no card."""
    step = start(dialog := chained(dialog))
    while not isinstance(step, Done):
        print(json.dumps({"command": step.command.encode().hex()}), file=lines, flush=True)
        line = lines.readline()
        answer = json.loads(line)["answer"] if line else None
        step = feed(dialog, LinkLost("terminal") if answer is None else Response.decode(bytes.fromhex(answer)))
    return step.value


# A card, made at the issuer's desk on a simulated chip.
masters = Masters.create()
production = Production(bytes(range(10)))
chip = make_managed_chip(b"relayed", IDEAL, masters.transport_keys(production.diversification_data), production)
reader = Reader()
reader.insert(chip)
run(make_card(DEFAULT_PRODUCT, masters, CustomerOrder(bytes.fromhex("0102030405060708"))), {Slot.CUSTOMER: reader.transmit})

# Later the card lies at a terminal, and the keys are elsewhere.
here, there = socket.socketpair()
with here, there, here.makefile("rw") as ours, there.makefile("rw") as theirs:
    Thread(target=terminal, args=(theirs, reader.transmit), daemon=True).start()
    done = server(ours, administer(Slot.CUSTOMER, DEFAULT_PRODUCT, masters, Status(LifeCycle.BLOCKED)))
    here.shutdown(socket.SHUT_RDWR)
print(f"card {done.facts.identity.hex()} is {done.facts.state.name}")
