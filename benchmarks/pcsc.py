"""Commands a second through pcscd and the vpcd driver: `./run bench pcsc [--json] [ROUNDS]`.

How it works. A private pcscd; the card is in a process of its own, so that host and card do not take turns in one interpreter. In a round a
hundred commands are sent by joren's PcscCard, and as many by the floor, a loop round SCardTransmit by ctypes that checks the code and
decodes nothing, on a connection of its own to the same card. What else the machine does only adds time: so a rate is that of the quickest
tenth of the rounds (its slowest), and the ratio is that of the rates. Beside our card, in GET DATA, a card that answers 9000 to everything.
"""

import ctypes
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from time import perf_counter

from rich.console import Console
from rich.table import Table

from joren.apdu import AID_CUSTOMER, CLA_ISO, Command, Ins, aid
from joren.applet.customer import CustomerCard
from joren.host.pcsc import Share, find_reader
from joren.simulator.chip import Chip
from joren.simulator.pcscd import PrivatePcscd
from joren.simulator.pcscd_room import Door
from joren.simulator.vpcd import ChipInSlot, VpcdSlot

__all__ = ["main"]

ROUNDS, COMMANDS = 100, 100
GOAL_A_SECOND, GOAL_RATIO = 12_000, 1.3
SHARED, ANY_PROTOCOL, LEAVE = 2, 3, 0
SELECT = Command(CLA_ISO, Ins.SELECT, 4, 0, aid(AID_CUSTOMER, 1), 256)
PLAIN = Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x01, ne=256)


class Nothing:
    """A card that answers 9000."""

    atr = bytes.fromhex("3B80800101")

    def reset(self) -> None:
        """Nothing happens."""

    def exchange(self, _apdu: bytes) -> bytes:
        """The answer."""
        return b"\x90\x00"


def our_card() -> ChipInSlot:
    """A blank customer card."""
    chip = Chip(b"bench")
    chip.install(CustomerCard, aid(AID_CUSTOMER, 1))
    return ChipInSlot(chip)


def hold(door: Door, name: str, told: Connection) -> None:
    """The card's process: in its reader until the other side hangs up."""
    card = our_card() if name == "our card" else Nothing()
    with VpcdSlot(card, door) as slot:
        slot.insert()
        told.send(True)
        told.poll(None)


@contextmanager
def card_in(door: Door, name: str) -> Iterator[None]:
    """A process that holds a card in a slot."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(door, name, theirs))
    process.start()
    try:
        ours.recv()
        yield
    finally:
        ours.close()
        theirs.close()
        process.join()


@contextmanager
def floor(reader: str) -> Iterator[Callable[[bytes, int], None]]:
    """What sends a command so many times by ctypes."""
    lib = ctypes.CDLL("libpcsclite.so.1")
    context, card, protocol = ctypes.c_long(), ctypes.c_long(), ctypes.c_ulong()
    lib.SCardEstablishContext(ctypes.c_ulong(2), None, None, ctypes.byref(context))
    lib.SCardConnect.argtypes = [ctypes.c_long, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p]
    code = lib.SCardConnect(context, reader.encode(), SHARED, ANY_PROTOCOL, ctypes.byref(card), ctypes.byref(protocol))
    if code:
        raise OSError(f"SCardConnect: {code & 0xFFFFFFFF:08X}")
    header = (ctypes.c_ulong * 2)(protocol, 16)
    answer, size, transmit = ctypes.create_string_buffer(65_538), ctypes.c_ulong(), lib.SCardTransmit

    def send(raw: bytes, times: int) -> None:
        length = ctypes.c_ulong(len(raw))
        for _ in range(times):
            size.value = len(answer)
            if transmit(card, header, raw, length, None, answer, ctypes.byref(size)):
                raise OSError("SCardTransmit")

    yield send
    lib.SCardDisconnect(card, ctypes.c_ulong(LEAVE))
    lib.SCardReleaseContext(context)


def seconds(work: Callable[[], None]) -> float:
    """How long it takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


def measure(reader: str, rounds: int) -> dict[str, float]:
    """Rates of both, and how much longer ours takes."""
    with find_reader(reader) as pcsc, pcsc.connect(Share.SHARED) as card, floor(reader) as send:
        raw = PLAIN.encode()

        def ours() -> None:
            for _ in range(COMMANDS):
                card.transmit(PLAIN)

        def bare() -> None:
            send(raw, COMMANDS)

        card.transmit(SELECT)
        ours()
        bare()
        pairs = []
        for number in range(rounds):
            first, second = (ours, bare) if number % 2 else (bare, ours)
            took = {first: seconds(first), second: seconds(second)}
            pairs.append((took[ours], took[bare]))
    mine, floors = (sorted(times)[rounds // 10] / COMMANDS for times in zip(*pairs, strict=True))
    return {"per_second": round(1 / mine), "floor_per_second": round(1 / floors), "ratio": round(mine / floors, 3)}


def main(arguments: list[str]) -> int:
    """Measures, and prints."""
    as_json = "--json" in arguments
    rounds = next((int(word) for word in arguments if word.isdigit()), ROUNDS)
    rows = {}
    with PrivatePcscd() as private:
        os.environ.update(private.environment)
        for slot, name in enumerate(("our card", "a card that does nothing")):
            with card_in(private.slot(slot), name):
                rows[name] = measure(private.reader_names[slot], rounds)
    ours = rows["our card"]
    reached = ours["per_second"] >= GOAL_A_SECOND or ours["ratio"] <= GOAL_RATIO
    if as_json:
        print(json.dumps({"format": "joren-bench-pcsc", "version": 1, "rounds": rounds, "rows": rows, "goal_reached": reached}))
        return 0
    table = Table(title="commands a second through pcscd and vpcd", box=None)
    for column in ("", "joren", "floor", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    for name, row in rows.items():
        table.add_row(name, f"{row['per_second']:,}", f"{row['floor_per_second']:,}", f"{row['ratio']:.2f}")
    Console().print(table)
    print(f"goal: {GOAL_A_SECOND:,} a second, or a ratio of {GOAL_RATIO} at most: {'reached' if reached else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
