"""Cards by the batch: `./run bench batch [--json] [CARDS]`, each figure measured in a process of its own.

Cards a second: a batch of customer cards on simulated chips in memory, by one reader and by four, keys in a file and in a token of
SoftHSM2. Whatever else the machine does, and how long its disk takes to have a commit, counts in that; milliseconds of processor a card
are what joren takes. Beside it the floor: the same cards without a journal (both sides of SCP03, the card model, key derivation), and the
journal alone. Peak memory: of a tenth of the batch and of all of it. Look-ups: in a journal of a hundred times as many rows.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from secrets import token_bytes
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from rich.console import Console
from rich.table import Table

from joren.apdu import Key, Transmit
from joren.host import DEFAULT_PRODUCT, Masters, Slot, run
from joren.host.batch import CardResult, Line, Verdict
from joren.host.batch_csv import CsvRow, MemberRow
from joren.host.batch_journal import BatchJournal
from joren.host.desk import make_card
from joren.host.personalization import CustomerOrder
from joren.host.production_report import write_report
from joren.host.softhsm import make_token
from joren.host.vault import MASTER_NAMES, VaultStore
from joren.host.vault_file import FileVault, MemoryVault
from joren.host.vault_pkcs11 import Pkcs11Vault
from joren.simulator.card_manager_chip import ManagedChip, make_managed_chip
from joren.simulator.card_manager_memory import Production
from joren.simulator.chip import IDEAL
from joren.simulator.reader import Reader

__all__ = ["main"]

CARDS, ROWS_A_CARD, LOOK_UPS = 10_000, 100, 500
PRODUCT = DEFAULT_PRODUCT
CHECK_VALUES = tuple((name, "AABBCC") for name in ("till", "shop", "receipt", "load", "admin"))
TITLES = {
    "batch file 1": "a batch, keys in a file, one reader",
    "batch file 4": "a batch, keys in a file, four readers",
    "cards file": "its cards alone, keys in a file",
    "batch token 1": "a batch, keys in a token of SoftHSM2, one reader",
    "batch token 4": "a batch, keys in a token of SoftHSM2, four readers",
    "cards token": "its cards alone, keys in a token",
    "journal": "its journal alone",
}


def blanks(maker: Masters, numbers: Iterable[int]) -> Iterator[ManagedChip]:
    """Blank cards, made as they are asked for."""
    for number in numbers:
        data = b"\xd1\xd2\xd3\xd4" + number.to_bytes(6)
        yield make_managed_chip(data, IDEAL, maker.transport_keys(data), Production(data))


class MemoryReader:
    """A reader over chips in memory."""

    def __init__(self, name: str, cards: Iterator[ManagedChip]) -> None:
        self.name = name
        self._cards = cards
        self._reader = Reader(name)

    def wait_card(self, _stopped: Callable[[], bool]) -> Transmit | None:
        """The next chip."""
        chip = next(self._cards, None)
        if chip is None:
            return None
        self._reader.insert(chip)
        return self._reader.transmit

    def reset(self) -> None:
        """Power off and on."""
        self._reader.reset()

    def release(self, _result: CardResult) -> None:
        """The chip is thrown away."""
        self._reader.remove()


def rows(number: int) -> Iterator[CsvRow]:
    """As a CSV file would give them."""
    return (MemberRow(row, f"member-{row}", f"Member {row}") for row in range(2, number + 2))


def vault_of(kind: str, folder: Path) -> tuple[VaultStore, Callable[[], Masters]]:
    """Masters in a file or in a token; and as a maker of blank cards has them, one for each reader, so that he costs the vault nothing."""
    keys = [Key(token_bytes(16), name) for name in MASTER_NAMES]
    vault: VaultStore
    if kind == "file":
        vault = FileVault.create_file(folder / "keys.json", masters=False)
    else:
        uri = make_token(folder / "hsm")
        assert uri.pin_file is not None
        vault = Pkcs11Vault(uri, uri.pin_file.read_text().strip())
    for key in keys:
        vault.put(key.name, 1, key)
    vault.make_signing_key()
    return vault, lambda: Masters(MemoryVault(Key(key.reveal(), key.name, 1) for key in keys))


def journal_in(folder: Path) -> BatchJournal:
    """A new one."""
    return BatchJournal(folder / "batch.sqlite", PRODUCT.programme, PRODUCT.cards.id_prefix)


class Stopwatch:
    """How many a second since it was made, and milliseconds of processor for each."""

    def __init__(self) -> None:
        self._start = perf_counter(), process_time()

    def told(self, cards: int) -> dict[str, float]:
        """For so many cards."""
        passed, busy = perf_counter() - self._start[0], process_time() - self._start[1]
        return {"per_second": cards / passed, "processor_ms": busy / cards * 1_000}


def batch(folder: Path, cards: int, kind: str, readers: int) -> dict[str, float]:
    """Cards a second of a whole batch with its report, blank chips made meanwhile, and the peak of this process in MB."""
    vault, maker = vault_of(kind, folder)
    made = [0]

    def tell(result: CardResult) -> None:
        made[0] += result.verdict is Verdict.ISSUED

    with journal_in(folder) as journal:
        watch = Stopwatch()
        taken = journal.take_in("batch", bytes(32), "customer", rows(cards))
        line = Line(PRODUCT, Masters(vault), journal, taken, tell)
        line.run([MemoryReader(f"reader {one}", blanks(maker(), range(one, cards, readers))) for one in range(readers)])
        write_report(folder / "report.json", journal, taken, PRODUCT, vault)
        told = watch.told(cards)
    assert made[0] == cards
    return {**told, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def cards_alone(folder: Path, cards: int, kind: str) -> dict[str, float]:
    """The same cards without journal, report and threads."""
    vault, maker = vault_of(kind, folder)
    masters = Masters(vault)
    watch = Stopwatch()
    for number, chip in enumerate(blanks(maker(), range(cards)), 1):
        chip.power_on()
        run(make_card(PRODUCT, masters, CustomerOrder(number.to_bytes(8)), unused=True), {Slot.CUSTOMER: chip.process})
    return watch.told(cards)


def journal_alone(folder: Path, cards: int) -> dict[str, float]:
    """What a batch writes, without a card."""
    with journal_in(folder) as journal:
        watch = Stopwatch()
        taken = journal.take_in("batch", bytes(32), "customer", rows(cards))
        for number in range(cards):
            chip = number.to_bytes(12)
            journal.assign(taken, chip, "reader")
            journal.issue(chip, 1, CHECK_VALUES)
        return watch.told(cards)


def look_ups(folder: Path, count: int) -> dict[str, float]:
    """Milliseconds of a look-up at random in a journal of `count` issued rows, and of giving the next chip its row, with its commit."""
    with journal_in(folder) as journal:
        taken = journal.take_in("batch", bytes(32), "customer", rows(count))
        told = json.dumps(CHECK_VALUES)
        with journal._transaction():
            journal._db.execute("UPDATE row SET state = 'issued' WHERE number <= ?", (count - LOOK_UPS,))
            journal._db.executemany(
                "INSERT INTO card VALUES (?, ?, ?, 'issued', 1, ?, NULL, 0, '2026-01-31T12:00:00Z', '2026-01-31T12:00:01Z')",
                ((number.to_bytes(12), number, bytes(4) + number.to_bytes(4), told) for number in range(1, count - LOOK_UPS)),
            )
            journal._db.execute("UPDATE meta SET next_serial = ?", (count,))
        draw = Random(1)  # noqa: S311 - which rows are looked up
        numbers = [draw.randrange(1, count - LOOK_UPS) for _ in range(LOOK_UPS)]
        works: dict[str, Callable[[int], object]] = {
            "by chip": lambda number: journal.by_chip(number.to_bytes(12)),
            "by id": lambda number: journal.by_identity(bytes(4) + number.to_bytes(4)),
            "by member": lambda number: journal.by_member(f"member-{number + 1}"),
            "next row": lambda number: journal.assign(taken, b"next" + number.to_bytes(8), "reader"),
        }
        found = {}
        for name, work in works.items():
            asked = sorted(set(numbers)) if name == "next row" else numbers
            start = perf_counter()
            assert all(work(number) for number in asked)
            found[name] = (perf_counter() - start) / len(asked) * 1_000
        return found


def one(what: str, cards: int) -> dict[str, float]:
    """A figure, in a folder of its own."""
    kind, *rest = what.split()
    with TemporaryDirectory() as name:
        folder = Path(name)
        if kind == "look-ups":
            return look_ups(folder, cards)
        if kind == "journal":
            return journal_alone(folder, cards)
        if kind == "cards":
            return cards_alone(folder, cards, rest[0])
        return batch(folder, cards, rest[0], int(rest[1]))


def measured(what: str, cards: int) -> dict[str, float]:
    """The same in a process of its own, so that its peak is its own."""
    command = [sys.executable, __file__, "--one", what, str(cards)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - this file
    told: dict[str, float] = json.loads(output)
    return told


def main(arguments: list[str]) -> None:
    """Prints tables; with `--json` one object. A number among the arguments: so many cards, and a hundred times as many rows."""
    if arguments[:1] == ["--one"]:
        print(json.dumps(one(arguments[1], int(arguments[2]))))
        return
    cards = next((int(word) for word in arguments if word.isdigit()), CARDS)
    names = ["batch file 1", "batch file 4", "cards file", "batch token 1", "batch token 4", "cards token", "journal"]
    found = {name: measured(name, cards) for name in names}
    few = measured("batch file 1", cards // 10)
    times = measured("look-ups", cards * ROWS_A_CARD)
    peaks = {str(cards // 10): few["peak_mb"], str(cards): found["batch file 1"]["peak_mb"]}
    if "--json" in arguments:
        per_second = {name: round(figure["per_second"], 1) for name, figure in found.items()}
        processor = {name: round(figure["processor_ms"], 3) for name, figure in found.items()}
        told = {
            "cards": cards,
            "per_second": per_second,
            "processor_ms": processor,
            "peak_mb": {name: round(peak, 1) for name, peak in peaks.items()},
        }
        print(json.dumps({"format": "joren-bench-batch", "version": 1, **told, "rows": cards * ROWS_A_CARD, "look_up_ms": times}))
        return
    table = Table("what", "cards a second", "ms of processor a card", "times its cards alone", box=None)
    for name, figure in found.items():
        busy = figure["processor_ms"]
        ratio = f"{busy / found[f'cards {name.split()[1]}']['processor_ms']:.2f}" if name.startswith("batch") else ""
        table.add_row(TITLES[name], f"{figure['per_second']:,.0f}", f"{busy:.2f}", ratio)
    console = Console(width=140)
    console.print(table)
    console.print(f"peak memory: {', '.join(f'{peak:.1f} MB for {int(number):,} cards' for number, peak in peaks.items())}")
    console.print(f"with {cards * ROWS_A_CARD:,} rows: {', '.join(f'{name} {time:.3f} ms' for name, time in times.items())}")


if __name__ == "__main__":
    main(sys.argv[1:])
