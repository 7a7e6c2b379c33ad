"""Batches in tests: a product, keys, readers over chips in memory that can fail on order, and what a batch left."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from joren.apdu import Command, LinkLost, Response, Transmit
from joren.apdu.scp03 import ScpKeys
from joren.host import DEFAULT_PRODUCT, Masters, Product, Slot, run
from joren.host.batch import CardResult, Line
from joren.host.batch_csv import csv_digest, csv_kind, read_csv
from joren.host.batch_journal import Batch, BatchJournal
from joren.host.desk import identify
from joren.host.selecting import select_customer, select_shop
from joren.simulator.card_manager_chip import ManagedChip, make_managed_chip
from joren.simulator.card_manager_memory import Production
from joren.simulator.chip import IDEAL
from joren.simulator.reader import Reader

__all__ = [
    "CUSTOMERS", "LETTERS", "MASTERS", "PRODUCT", "SHOPS", "MemoryReader", "Workshop", "blank", "chip_of", "identity_on", "open_journal",
    "take_in",
]  # fmt: skip

MASTERS = Masters.create(lambda size: bytes(range(0x60, 0x60 + size)))
PRODUCT = DEFAULT_PRODUCT
LETTERS = replace(PRODUCT, cards=replace(PRODUCT.cards, pin="letter"))
CUSTOMERS = "member,name\nalice,Alice Ä.\nbob,Bob\ncarol,Carol\n"
SHOPS = "shop,terminal,points,money,may_load\n7,1,500,20.50,yes\n7,2,100,0,no\n"


def blank(number: int, masters: Masters = MASTERS, keys: ScpKeys | None = None) -> ManagedChip:
    """The number-th chip as its maker delivers it."""
    data = b"\xd1\xd2\xd3\xd4" + number.to_bytes(6)
    return make_managed_chip(b"chip %d" % number, IDEAL, keys or masters.transport_keys(data), Production(data))


def chip_of(chip: ManagedChip) -> bytes:
    """The 12 bytes it tells."""
    chip.power_on()
    return run(identify(Slot.CUSTOMER), {Slot.CUSTOMER: chip.process})


def identity_on(chip: ManagedChip, kind: str = "customer") -> bytes:
    """The identity that the card itself tells by SELECT."""
    chip.power_on()
    links: dict[Slot, Transmit] = dict.fromkeys(Slot, chip.process)
    if kind == "customer":
        return run(select_customer(PRODUCT.programme), links).card_id
    info = run(select_shop(PRODUCT.programme), links)
    return bytes(3) + bytes((info.terminal,)) + info.shop.to_bytes(4)


def open_journal(folder: Path, product: Product = PRODUCT, *, writer: bool = True) -> BatchJournal:
    return BatchJournal(folder / "batch.sqlite", product.programme, product.cards.id_prefix, writer=writer)


def take_in(
    journal: BatchJournal, folder: Path, text: str, product: Product = PRODUCT, *, name: str = "batch", skip_bad: bool = False
) -> Batch:
    """The batch of a CSV file with this text, taken in unless it was before."""
    path = folder / f"{name}.csv"
    path.write_text(text, encoding="utf-8")
    digest = csv_digest(path)
    return journal.known_batch(digest) or journal.take_in(name, digest, csv_kind(path), read_csv(path, product), skip_bad=skip_bad)


class MemoryReader:
    """A reader that is fed with chips; `fault` is called with each command before the card gets it, and after."""

    def __init__(self, name: str, chips: Iterable[ManagedChip], fault: Callable[[str, Command], None] | None = None) -> None:
        self.name = name
        self.chips: Iterator[ManagedChip] = iter(chips)
        self.reader = Reader(name)
        self.fault = fault
        self.gone = False
        self.released: list[CardResult] = []

    def wait_card(self, _stopped: Callable[[], bool]) -> Transmit | None:
        if self.gone:
            raise LinkLost(f"{self.name}: unplugged")
        chip = next(self.chips, None)
        if chip is None:
            return None
        self.reader.insert(chip)
        return self.transmit

    def transmit(self, command: Command) -> Response:
        if self.gone:
            raise LinkLost(f"{self.name}: unplugged")
        if self.fault:
            self.fault("before", command)
        response = self.reader.transmit(command)
        if self.fault:
            self.fault("after", command)
        return response

    def reset(self) -> None:
        self.reader.reset()

    def release(self, result: CardResult) -> None:
        self.released.append(result)
        self.reader.remove()


@dataclass
class Workshop:
    """A journal with one batch, and what is told about its cards."""

    folder: Path
    text: str = CUSTOMERS
    product: Product = PRODUCT
    masters: Masters = MASTERS
    results: list[CardResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = open_journal(self.folder, self.product)
        self.batch = take_in(self.journal, self.folder, self.text, self.product)

    def line(self, **options: int) -> Line:
        return Line(self.product, self.masters, self.journal, self.batch, self.results.append, **options)  # type: ignore[arg-type]

    def run(self, *readers: MemoryReader, **options: int) -> Line:
        line = self.line(**options)
        line.run(readers)
        return line

    @property
    def verdicts(self) -> list[str]:
        return [result.verdict.value for result in self.results]
