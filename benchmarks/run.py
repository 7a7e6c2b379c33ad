"""Measures, side by side in one run, so that only the ratios count: `./run bench`.

Purchases: both cards, the till with its journal, and all cryptography in one process, beside the limit that the same AES-CMACs alone
set; with the memory's journal, its wear, the trace and the meter of work on and off, one at a time; and where the time goes, by layer. TLV
and records: ours beside construct doing the same. A figure is the best of several rounds, of which each runs every rival once; the
machine's noise only ever adds.
"""

import cProfile
import json
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pstats import Stats
from time import perf_counter, process_time
from typing import Any

import construct as cs
from rich.console import Console
from rich.table import Table

from joren.apdu import AID_CUSTOMER, AID_SHOP, Key, Transmit, aid, messages
from joren.apdu.cards import CustomerInfo
from joren.apdu.tlv import build_tlv, parse_tlv
from joren.apdu.trace import TraceWriter
from joren.apdu.transaction import Order, Transaction
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host import DEFAULT_PRODUCT, Journal, Masters, ShopCardHolder, Slot, SoftwareKeys, Till, issue_customer, issue_shop, run
from joren.simulator.chip import Chip
from joren.simulator.memory import Memory
from joren.simulator.reader import Reader

__all__ = ["main"]

ROUNDS, PURCHASES, RECORDS, CARDS = 5, 400, 4_000, 10_000
SWITCHED_PURCHASES = 150
CARD_ID = bytes(range(1, 9))
LAYERS = ("apdu", "applet", "simulator", "host", "sqlite", "cryptography", "python")


@dataclass(frozen=True, slots=True)
class Figure:
    """How many a second, and the name of what it is compared with."""

    name: str
    per_second: float
    beside: str | None = None


class NoJournal(Memory):
    """A memory that keeps no old values: nothing can be taken back."""

    def begin(self) -> None:
        """Nothing to do."""

    def commit(self) -> None:
        """Nothing to do."""


class Nowhere:
    """Where a trace goes that nobody reads."""

    def write(self, _text: str) -> None:
        """Nothing to do."""


class Counter:
    """A till and its cards, on chips in this process."""

    def __init__(
        self, by_card: bool, *, make_memory: type[Memory] = Memory, wear: bool = True, trace: bool = False, metered: bool = False
    ) -> None:
        product, masters = DEFAULT_PRODUCT, Masters.create()
        self.sold = 0
        self.reader, shop_reader = Reader("customer card"), Reader("shop card")
        self.chip, shop = Chip(b"customer", make_memory=make_memory), Chip(b"shop", make_memory=make_memory)
        for reader, chip in ((self.reader, self.chip), (shop_reader, shop)):
            chip.memory.wear = {} if wear else None
            reader.meter = (lambda *_of_an_apdu: None) if metered else None
            if trace:
                TraceWriter(Nowhere(), perf_counter).attach(reader)
        self.chip.install(CustomerCard, aid(AID_CUSTOMER, product.programme))
        shop.install(ShopCard, aid(AID_SHOP, product.programme))
        self.links: dict[Slot, Transmit] = {Slot.CUSTOMER: self.reader.transmit, Slot.SHOP: shop_reader.transmit}
        self.reader.insert(self.chip)
        shop_reader.insert(shop)
        run(issue_customer(product, masters, CARD_ID), self.links)
        run(issue_shop(product, masters, 2, 1, 0xFFFFFFFF, 0), self.links)
        holder = (
            ShopCardHolder(product.programme)
            if by_card
            else SoftwareKeys(product.programme, 1, 0, masters.group_master("till", product.programme))
        )
        self.till = Till(holder, Journal(":memory:"))
        run(self.till.open(), self.links)

    def purchases(self, number: int) -> None:
        """Taps, each with the card put in anew."""
        for _ in range(number):
            self.reader.remove()
            self.reader.insert(self.chip)
            self.sold += 1
            run(self.till.purchase(str(self.sold), self.sold, 1_250), self.links)


def cmacs(two_card: bool) -> Callable[[int], None]:
    """The AES-CMACs of a purchase, and no more: each by who makes it, keys ready but for those a command derives anew."""
    key, head = Key(bytes(16)), messages.head(1, CARD_ID)
    order, record, state, nonce = bytes(16), bytes(36), bytes(32), bytes(8)
    ordered = messages.order(head, 1, nonce, 1, 1, order)
    stated, committed = messages.state(head, 1, nonce, 1, state), messages.commit(head, 1, nonce, 1, 2, order, 1, 10, state)
    proof, receipt = messages.proof(head, record), messages.receipt(head, record)

    def one_card_macs(number: int) -> None:
        for _ in range(number):
            for message in (ordered, ordered, proof, proof, receipt):
                key.mac8(message)

    def two_card_macs(number: int) -> None:
        for _ in range(number):
            computing, ratifying = key.derive(b"shop", head), key.derive(b"shop", head)
            for maker, message in ((key, stated), (computing, stated), (computing, committed), (key, committed)):
                maker.mac8(message)
            for maker, message in ((key, proof), (key, receipt), (ratifying, proof)):
                maker.mac8(message)

    return two_card_macs if two_card else one_card_macs


def best(rivals: dict[str, tuple[Callable[[int], None], int]]) -> dict[str, float]:
    """How many a second each rival does, the best of ROUNDS rounds; each round runs every one."""
    found = dict.fromkeys(rivals, 0.0)
    for _ in range(ROUNDS):
        for name, (work, number) in rivals.items():
            start = process_time()
            work(number)
            found[name] = max(found[name], number / (process_time() - start))
    return found


def purchases() -> list[Figure]:
    """Purchases a second of either kind, and what bare cryptography would allow."""
    rivals: dict[str, tuple[Callable[[int], None], int]] = {}
    for kind, two_card in (("one-card", False), ("two-card", True)):
        rivals[f"{kind} purchase"] = (Counter(two_card).purchases, PURCHASES)
        rivals[f"{kind} purchase, its CMACs alone"] = (cmacs(two_card), RECORDS)
    found = best(rivals)
    return [Figure(name, rate, None if "alone" in name else f"{name}, its CMACs alone") for name, rate in found.items()]


SWITCHED: dict[str, dict[str, Any]] = {
    "wear not counted": {"wear": False},
    "no journal": {"make_memory": NoJournal},
    "trace on": {"trace": True},
    "work metered": {"metered": True},
}


def switched() -> list[Figure]:
    """Purchases a second with one thing on that is usually off, or the other way round."""
    usual = {
        f"{kind} purchase, as it is": (Counter(two).purchases, SWITCHED_PURCHASES)
        for kind, two in (("one-card", False), ("two-card", True))
    }
    others = {
        f"{kind} purchase, {name}": (Counter(two, **options).purchases, SWITCHED_PURCHASES)
        for kind, two in (("one-card", False), ("two-card", True))
        for name, options in SWITCHED.items()
    }
    found = best({**usual, **others})
    return [Figure(name, rate, name.partition(",")[0] + ", as it is" if name in others else None) for name, rate in found.items()]


def layers(two_card: bool) -> dict[str, float]:
    """The share of each layer in the time of purchases, by where a function is written (under a profiler, which favours few large ones)."""
    counter, profile = Counter(two_card), cProfile.Profile()
    counter.purchases(PURCHASES)
    profile.runcall(counter.purchases, PURCHASES)
    shares = dict.fromkeys(LAYERS, 0.0)
    for (file, _, name), (_, _, own, _, _) in Stats(profile).stats.items():  # type: ignore[attr-defined]
        shares[_layer(file, name)] += own
    total = sum(shares.values())
    return {layer: share / total for layer, share in shares.items()}


def _layer(file: str, name: str) -> str:
    room = next((room for room in ("apdu", "applet", "simulator", "host") if f"/{room}/" in file), None)
    if room is not None:
        return room
    if "sqlite3" in name:
        return "sqlite"
    return "cryptography" if "cryptography" in file or "cryptography" in name or "'update'" in name else "python"


def records() -> list[Figure]:
    """TLV, and a fixed record, built and parsed: ours beside construct."""
    info = CustomerInfo(1, 0x0F, 3, 1, 1, CARD_ID, 7, bytes(8), 2, 1)
    raw, ours_tlv = info.encode(), build_tlv(0x6F, build_tlv(0x84, bytes(9)) + build_tlv(0x85, info.encode()))
    record = Transaction(1, 2, 3, Order(1, 2, 3, 10, 5, 6).encode(), bytes(16))
    shape = cs.Struct(
        "version" / cs.Int8ub, "life_cycle" / cs.Int8ub, "flags" / cs.Int8ub, "rules_version" / cs.Int8ub, "programme" / cs.Int16ub,
        "card_id" / cs.Bytes(8), "counter" / cs.Int16ub, "nonce" / cs.Bytes(8), "rank" / cs.Int8ub,
    )  # fmt: skip
    tlv_shape = cs.GreedyRange(cs.Struct("tag" / cs.Int8ub, "value" / cs.Prefixed(cs.Int8ub, cs.GreedyBytes)))
    parsed, objects = shape.parse(raw), tlv_shape.parse(ours_tlv)
    assert parsed.card_id == CARD_ID
    assert objects[0].value == parse_tlv(ours_tlv)[0].value
    works: dict[str, Callable[[], object]] = {
        "record parsed": lambda: CustomerInfo.decode(raw),
        "record parsed, construct": lambda: shape.parse(raw),
        "record built": info.encode,
        "record built, construct": lambda: shape.build(parsed),
        "TLV parsed": lambda: parse_tlv(ours_tlv),
        "TLV parsed, construct": lambda: tlv_shape.parse(ours_tlv),
        "TLV built": lambda: build_tlv(0x6F, ours_tlv[2:]),
        "TLV built, construct": lambda: tlv_shape.build(objects),
        "transaction record built": record.encode,
    }
    found = best({name: (_repeat(work), RECORDS) for name, work in works.items()})
    return [Figure(name, rate, f"{name}, construct" if f"{name}, construct" in found else None) for name, rate in found.items()]


def cards() -> tuple[float, dict[str, float]]:
    """KB of memory that a personalized card takes among CARDS of them, and how many forks and snapshots of one a second."""
    product, masters = DEFAULT_PRODUCT, Masters.create()
    tracemalloc.start()
    chips = []
    for number in range(1, CARDS + 1):
        chip = Chip(number.to_bytes(4))
        chip.install(CustomerCard, aid(AID_CUSTOMER, product.programme))
        chip.power_on()
        run(issue_customer(product, masters, number.to_bytes(8)), {Slot.CUSTOMER: chip.process})
        chip.power_off()
        chips.append(chip)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / CARDS / 1024, best({"fork": (_repeat(chips[0].fork), RECORDS), "snapshot": (_repeat(chips[0].snapshot), RECORDS)})


def _repeat(work: Callable[[], object]) -> Callable[[int], None]:
    def repeated(number: int) -> None:
        for _ in range(number):
            work()

    return repeated


def main(arguments: list[str]) -> None:
    """Prints tables; with `--json` one object."""
    figures = purchases() + switched() + records()
    card_kb, copies = cards()
    figures += [Figure(f"{name} of a card", rate) for name, rate in copies.items()]
    shares = {"one-card": layers(two_card=False), "two-card": layers(two_card=True)}
    if "--json" in arguments:
        told = {figure.name: round(figure.per_second, 1) for figure in figures}
        print(json.dumps({"format": "joren-bench", "version": 1, "per_second": told, "layers": shares, "card_kb": round(card_kb, 2)}))
        return
    rates = {figure.name: figure.per_second for figure in figures}
    table = Table("what", "a second", "times the one it is compared with", box=None)
    for figure in figures:
        ratio = "" if figure.beside is None else f"{figure.per_second / rates[figure.beside]:.2f} of {figure.beside}"
        table.add_row(figure.name, f"{figure.per_second:,.0f}", ratio)
    console = Console(width=140)
    console.print(table)
    console.print(f"a personalized card in memory: {card_kb:.1f} KB, of {CARDS:,} at once")
    where = Table("where the time goes", *shares, box=None)
    for layer in LAYERS:
        where.add_row(layer, *(f"{shares[kind][layer]:.0%}" for kind in shares))
    console.print(where)


if __name__ == "__main__":
    main(sys.argv[1:])
