"""A program that kills batches: kill -9 at a chosen moment, again if asked for, then a run to the end, then a look at cards and journal.

How it works. Everything is on disk: keys, blank cards as images, the CSV file, the journal. A moment is the n-th APDU, "before" the card
has it or "after" it acted, or the n-th "sql" statement of the journal, before it is executed. This program has one thread and forks: a
child runs the batch by one reader and kills itself; the next child goes on with other readers, which get the cards in another order. It
reads a plan (JSON) from stdin and writes what it found to stdout. Nothing is forced to the disk in it: a process dies, not the machine.
"""

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr
from dataclasses import dataclass
from functools import partial
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import joren.simulator.image
from joren.apdu import Command, Response, Transmit
from joren.commands.card_folder import CardFolder, FolderReader, make_blanks
from joren.commands.workspace import CARDS, SHOPS, Workspace
from joren.host import DialogError, Slot, run
from joren.host.batch import CardResult, Line
from joren.host.batch_csv import csv_digest, csv_kind, read_csv
from joren.host.batch_journal import BatchJournal
from joren.host.desk import identify
from joren.host.selecting import select_customer, select_shop
from joren.simulator.card_manager_chip import ManagedChip
from joren.simulator.card_manager_memory import CardState
from joren.simulator.image import load_image
from joren.simulator.profile import load_profile

__all__ = ["Moment", "main"]

SPARE = 1
RUNS_MAX = 40


@dataclass(frozen=True)
class Moment:
    """The n-th APDU or statement, and on which side of it."""

    when: str
    number: int


class Killer:
    """Counts what goes by, and kills this process at the moment."""

    def __init__(self, moment: Moment | None) -> None:
        self.moment = moment
        self.seen = dict.fromkeys(("before", "after", "sql"), 0)

    def passes(self, when: str) -> None:
        self.seen[when] += 1
        if self.moment == Moment(when, self.seen[when]):
            os.kill(os.getpid(), signal.SIGKILL)


class KillingConnection(sqlite3.Connection):
    """A journal at whose statements this process may die."""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        KillingReader.killer.passes("sql")
        return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *values)


class KillingReader(FolderReader):
    """A reader at whose APDUs this process may die."""

    killer = Killer(None)

    def wait_card(self, stopped: Callable[[], bool]) -> Transmit | None:
        link = super().wait_card(stopped)
        return None if link is None else self._killing(link)

    def _killing(self, link: Transmit) -> Transmit:
        def transmit(command: Command) -> Response:
            self.killer.passes("before")
            response = link(command)
            self.killer.passes("after")
            return response

        return transmit


def make_template(folder: Path, kind: str, cards: int) -> None:
    """Keys, blank cards and the CSV file of a batch of so many cards."""
    workspace = Workspace(folder)
    with redirect_stderr(StringIO()), workspace.alone():
        place = CARDS if kind == "customer" else SHOPS
        make_blanks(workspace, folder / "blanks", place, cards + SPARE, load_profile("ideal"), lambda: None)
    lines = ["member,name", *(f"member-{number},Member {number}" for number in range(cards))]
    if kind == "shop":
        lines = ["shop,terminal,points,money,may_load", *(f"{number + 1},{number % 3},500,20.50,yes" for number in range(cards))]
    (folder / "batch.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def open_journal(workspace: Workspace, *, writer: bool = True) -> BatchJournal:
    product = workspace.product
    return BatchJournal(workspace.home / "batch.sqlite", product.programme, product.cards.id_prefix, writer=writer)


def one_run(folder: Path, readers: int, seed: int, moment: Moment | None) -> None:
    """The batch, from where it is, until it is done or this process dies."""
    KillingReader.killer = Killer(moment)
    sqlite3.connect = partial(sqlite3.connect, factory=KillingConnection)  # type: ignore[assignment]
    workspace, told = Workspace(folder), list[CardResult]()
    csv_file = folder / "batch.csv"
    digest, kind = csv_digest(csv_file), csv_kind(csv_file)
    with open_journal(workspace) as journal:
        batch = journal.known_batch(digest) or journal.take_in("batch", digest, kind, read_csv(csv_file, workspace.product))
        cards = CardFolder(folder / "blanks", CARDS if kind == "customer" else SHOPS, folder, seed)
        cards.file_issued(journal)
        line = Line(workspace.product, workspace.masters, journal, batch, told.append)
        line.run([KillingReader(f"reader {seed}-{number}", cards, workspace) for number in range(readers)])
    if line.left or line.stopped:
        raise RuntimeError(f"left {line.left}, stopped {line.stopped}, {told}")


def forked(work: Callable[[], None]) -> bool:
    """Whether it came to its end in a child, or was killed. Raises RuntimeError where it failed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status):
        raise RuntimeError("a run failed by itself")
    return True


def identity_on(path: Path, workspace: Workspace, kind: str) -> tuple[bytes, bytes | None]:
    """The chip of a card and the identity it tells; None where it is not issued and secured."""
    chip = load_image(path, workspace.storage)
    chip.power_on()
    links: dict[Slot, Transmit] = dict.fromkeys(Slot, chip.process)
    told = run(identify(Slot.CUSTOMER), links)
    programme = workspace.product.programme
    try:
        if not isinstance(chip, ManagedChip) or chip.manager is None or chip.manager.memory.state != CardState.SECURED:
            return told, None
        if kind == "customer":
            customer = run(select_customer(programme), links)
            return told, customer.card_id if customer.life_cycle == 0x0F else None
        shop = run(select_shop(programme), links)
    except DialogError:  # a card without the instance
        return told, None
    return told, bytes(3) + bytes((shop.terminal,)) + shop.shop.to_bytes(4) if shop.life_cycle == 0x0F else None


def wrong(folder: Path, kind: str, cards: int) -> Iterator[str]:
    """What is not as it must be after a batch came to its end: nothing lost, nothing twice, cards and journal agree."""
    workspace = Workspace(folder)
    with closing(sqlite3.connect(folder / "batch.sqlite")) as db:
        rows = db.execute("SELECT id, state, member, shop, terminal FROM row").fetchall()
        made = db.execute("SELECT row, chip, identity, state FROM card").fetchall()
        (serial,) = db.execute("SELECT next_serial FROM meta").fetchone()
        open_sessions = db.execute("SELECT count(*) FROM session WHERE outcome = 'issued'").fetchone()[0]
    if len(rows) != cards or {row[1] for row in rows} != {"issued"}:
        yield f"rows {rows}"
    if sorted(card[0] for card in made) != sorted(row[0] for row in rows) or {card[3] for card in made} != {"issued"}:
        yield f"cards {made}"
    if len({card[2] for card in made}) != cards or (kind == "customer" and serial != cards + 1):
        yield f"identities of {made}, next serial {serial}"
    if open_sessions != cards:
        yield f"{open_sessions} sessions that issued"
    journal = {card[1]: card[2] for card in made}
    place = CARDS if kind == "customer" else SHOPS
    filed = {path.stem: identity_on(path, workspace, kind) for path in (folder / place.folder).glob("*.json")}
    if dict(filed.values()) != journal:
        yield f"cards {filed}, journal {journal}"
    names = {card[1]: next(_name(row) for row in rows if row[0] == card[0]) for card in made}
    if {name: told[0] for name, told in filed.items()} != {name: chip for chip, name in names.items()}:
        yield f"cards {filed} under names {names}"
    left = [identity_on(path, workspace, kind)[1] for path in (folder / "blanks").glob("*.json")]
    if left != [None] * SPARE:
        yield f"blank cards left: {left}"


def _name(row: tuple[Any, ...]) -> str:
    return row[2] or f"shop-{row[3]}-{row[4]}"


def one_case(template: Path, folder: Path, kind: str, cards: int, moments: list[Moment], seed: int) -> tuple[int, list[str]]:
    """How many of the moments came, and what was wrong in the end."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    killed = 0
    for number, moment in enumerate(moments):
        readers = 1 if number == 0 else 1 + number % 3
        killed += not forked(partial(one_run, folder, readers, seed + number, moment))
    if not forked(lambda: one_run(folder, 1 + seed % 3, seed + RUNS_MAX, None)):
        return killed, ["killed without a reason"]
    return killed, list(wrong(folder, kind, cards))


def main() -> None:
    """Reads the plan: folder, kind, cards, and `every` moment of a kind, or `cases` at random with so many `kills` each, by a `seed`."""
    joren.simulator.image.os.fsync = lambda _handle: None  # type: ignore[attr-defined]
    plan = json.load(sys.stdin)
    root, kind, cards = Path(plan["folder"]), plan["kind"], plan["cards"]
    template, folder = root / "template", root / "case"
    make_template(template, kind, cards)
    problems: list[str] = []
    kills = cases = 0
    draw = random.Random(plan.get("seed", 0))

    def plans() -> Iterator[list[Moment]]:
        if "every" in plan:
            yield from ([Moment(plan["every"], number)] for number in count(1))
        for _ in range(plan.get("cases", 0)):
            yield [Moment(draw.choice(("before", "after", "sql")), draw.randint(1, plan["span"])) for _ in range(plan["kills"])]

    for moments in plans():
        killed, found = one_case(template, folder, kind, cards, moments, cases)
        problems += [f"{moments}: {problem}" for problem in found]
        kills += killed
        cases += 1
        if "every" in plan and not killed:
            break
    print(json.dumps({"cases": cases, "kills": kills, "problems": problems}))


if __name__ == "__main__":
    main()
