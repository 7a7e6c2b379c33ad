"""One APDU to a card in a reader of pcscd, by joren and beside it: `./run bench readers`.

How it works. A pcscd of this program's own, and in its virtual reader a card that answers 9000 to everything. The floor is libpcsclite's
SCardTransmit, called through ctypes with bytes that are there already. Each round sends as many APDUs by every way, one way after the
other, so that whatever else the machine does meets all of them; a figure is the median APDU, a ratio the median of the rounds' ratios.
"""

import ctypes
import ctypes.util
import json
import os
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table

from joren.apdu import Command
from joren.host.pcsc import PcscReader
from joren.simulator.pcscd import PrivatePcscd
from joren.simulator.vpcd import VpcdSlot

__all__ = ["main"]

ROUNDS, APDUS = 21, 400
COMMAND = Command(0x80, 0x30, 0, 0, bytes(40), 64)
FLOOR = "libpcsclite through ctypes"
T1 = 2
Way = Callable[[], object]


class Yes:
    """A card that answers 9000."""

    atr = bytes.fromhex("3B9097800186")

    def reset(self) -> None:
        """Nothing to end."""

    def exchange(self, _apdu: bytes) -> bytes:
        """9000."""
        return b"\x90\x00"


class Pci(ctypes.Structure):
    """SCARD_IO_REQUEST."""

    _fields_ = (("protocol", ctypes.c_ulong), ("length", ctypes.c_ulong))


def floor(handle: int) -> Way:
    """SCardTransmit with what it needs made before."""
    library = ctypes.CDLL(ctypes.util.find_library("pcsclite") or "libpcsclite.so.1")
    pci, raw, answer, length = Pci(T1, ctypes.sizeof(Pci)), COMMAND.encode(), ctypes.create_string_buffer(258), ctypes.c_ulong()

    def transmit() -> None:
        length.value = 258
        code = library.SCardTransmit(
            ctypes.c_long(handle), ctypes.byref(pci), raw, ctypes.c_ulong(len(raw)), None, answer, ctypes.byref(length)
        )
        assert code == 0

    return transmit


def timed(way: Way) -> float:
    """The median APDU, in microseconds."""
    took = []
    for _ in range(APDUS):
        begun = perf_counter()
        way()
        took.append(perf_counter() - begun)
    return median(took) * 1e6


def measured() -> dict[str, list[float]]:
    """Each way's medians, by round."""
    with PrivatePcscd() as pcscd, VpcdSlot(Yes(), pcscd.slot(0)) as slot:
        os.environ.update(pcscd.environment)  # before the library is first used
        slot.insert()
        with PcscReader(pcscd.reader_names[0]) as reader, reader.connect() as card:
            handle, scard, sent = card._handle, reader.context.scard, list(COMMAND.encode())
            assert handle is not None
            ways: dict[str, Way] = {
                FLOOR: floor(handle),
                "pyscard's SCardTransmit": lambda: scard.SCardTransmit(handle, T1, sent),
                "joren": lambda: card.transmit(COMMAND),
            }
            found: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    found[name].append(timed(way))
    return found


def main() -> None:
    """A table, or with --json an object."""
    found = measured()
    of_floor = {name: median(one / least for one, least in zip(rounds, found[FLOOR], strict=True)) for name, rounds in found.items()}
    took_us = {name: median(rounds) for name, rounds in found.items()}
    if "--json" in sys.argv:
        rows = {name: {"us": round(took_us[name], 1), "of_floor": round(of_floor[name], 3)} for name in found}
        print(json.dumps({"format": "joren-bench-readers", "version": 1, "rows": rows}))
        return
    table = Table("one APDU over pcscd", "microseconds", "APDUs a second", "of the floor", box=None)
    for name in found:
        table.add_row(name, f"{took_us[name]:.1f}", f"{1e6 / took_us[name]:,.0f}", f"{of_floor[name]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
