"""joren personalize batch: the cards of a CSV file, made in several readers at once, resumed where it was left."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from joren.host import HostError, Product, VaultError
from joren.host.batch import FAILURES, FAILURES_MAX, CardReader, CardResult, Line, Verdict, check_keys
from joren.host.batch_csv import CsvRow, MemberRow, Problem, csv_digest, csv_kind, read_csv
from joren.host.batch_journal import Batch, BatchJournal, Counts, Entry
from joren.host.production_report import write_rejects, write_report

from .batch_progress import Progress
from .card_folder import CardFolder, readers_of
from .output import json_line, json_option, reply, wants_json
from .workspace import CARDS, SHOPS, Workspace, pass_workspace

__all__ = ["batch_command", "entry_fields", "journal_option", "journal_path", "whose_card"]

FILE = click.Path(path_type=Path, dir_okay=False)
NOT_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
INCOMPLETE, HALF_MADE = 1, 5
SHOWN_MAX = 20

journal_option = click.option("--journal", type=FILE, help="The issuer's journal; personalize.sqlite in the folder if left out.")


@dataclass(frozen=True, slots=True)
class Options:
    """Where a batch leaves what it leaves, and when it stops."""

    report: Path
    rejects: Path
    failures_max: int
    force: bool


@click.command("batch")
@click.argument("csv_file", type=FILE, metavar="CSV")
@click.option("--product", type=FILE, help="The card product, a TOML file; that of joren --product if left out.")
@click.option(
    "--readers",
    default="sim:1",
    show_default=True,
    metavar="KIND:WHICH",
    help="sim:N: N simulated readers; pcsc:PATTERN,...: of PC/SC.",
)
@click.option("--cards", type=click.Path(path_type=Path), help="Where simulated readers take cards; blanks in the folder if left out.")
@journal_option
@click.option("--report", type=FILE, help="The signed production report; BATCH.report.json beside the journal if left out.")
@click.option("--rejects", type=FILE, help="What was rejected, as CSV; BATCH.rejects.csv beside the journal if left out.")
@click.option("--skip-bad-rows", is_flag=True, help="Make the cards of the good rows where others are bad.")
@click.option("--stop-after", type=click.IntRange(1), default=FAILURES_MAX, show_default=True, help="Failures in a row that stop the line.")
@click.option("--force", is_flag=True, help="Try keys again on a card on which they failed before.")
@json_option
@pass_workspace
def batch_command(
    workspace: Workspace,
    csv_file: Path,
    product: Path | None,
    readers: str,
    cards: Path | None,
    journal: Path | None,
    report: Path | None,
    rejects: Path | None,
    skip_bad_rows: bool,
    stop_after: int,
    force: bool,
) -> None:
    """Make the cards that a CSV file orders.

    CSV has a row for each card: the columns member and, if you like, name; or for shop cards shop, terminal, points, money, may_load.
    The same command again goes on where it was left, whatever ended it. Exit code 5: half-made cards are still out; 1: other rows are.

    \b
    Examples:
      joren personalize batch members.csv --readers sim:2
      joren personalize batch members.csv --readers "pcsc:ACS*,2"
      joren personalize batch members.csv --product gold.toml --readers sim:4 --json
    """
    if product is not None:
        workspace.use_product(product)
    with workspace.alone():
        masters, made = workspace.masters, workspace.product
        check_keys(made, masters)
        _ = workspace.vault.public_key
    path = journal_path(workspace, journal)
    with ExitStack() as stack:
        opened = stack.enter_context(BatchJournal(path, made.programme, made.cards.id_prefix))
        found = _batch(opened, csv_file, workspace, skip_bad_rows)

        def box() -> CardFolder:
            folder = CardFolder(cards or workspace.home / "blanks", CARDS if found.kind == "customer" else SHOPS, workspace.home)
            stack.callback(folder.close)
            folder.file_issued(opened)
            return folder

        feeds = readers_of(readers, box, workspace)
        options = Options(
            report or path.with_name(f"{found.name}.report.json"), rejects or path.with_name(f"{found.name}.rejects.csv"), stop_after, force
        )
        run = _Run(workspace, opened, found, options)
        run.make(feeds)
        code = run.tell()
    click.get_current_context().exit(code)


def journal_path(workspace: Workspace, journal: Path | None) -> Path:
    """Where the journal is."""
    return journal or workspace.home / "personalize.sqlite"


def _batch(journal: BatchJournal, csv_file: Path, workspace: Workspace, skip_bad: bool) -> Batch:
    """The batch of the CSV file, taken in now or before. Raises HostError."""
    digest = csv_digest(csv_file)
    known = journal.known_batch(digest)
    if known is not None:
        return known
    name = NOT_NAME.sub("-", csv_file.stem)[:32] or "batch"
    return journal.take_in(name, digest, csv_kind(csv_file), _rows(csv_file, digest, workspace.product), skip_bad=skip_bad)


def _rows(csv_file: Path, digest: bytes, product: Product) -> Iterator[CsvRow | Problem]:
    """The rows of the very file that has this SHA-256. Raises HostError, also where it is another one in the end."""
    yield from read_csv(csv_file, product)
    if csv_digest(csv_file) != digest:
        raise HostError(f"CSV {csv_file}: it changed while it was read; nothing was issued")


class _Run:
    """One run over a batch, and what is told of it."""

    def __init__(self, workspace: Workspace, journal: BatchJournal, batch: Batch, options: Options) -> None:
        self._workspace = workspace
        self._journal = journal
        self._batch = batch
        self._options = options
        self._as_json = wants_json()
        counts = journal.counts(batch)
        self._progress = Progress(batch.name, batch.rows, counts.issued, quiet=self._as_json)
        self._line = Line(
            workspace.product,
            workspace.masters,
            journal,
            batch,
            self._card,
            guard=workspace.guard(force=options.force),
            failures_max=options.failures_max,
        )

    def make(self, feeds: Sequence[CardReader]) -> None:
        """Raises JournalError, VaultError, OSError: then the batch can be resumed. Without a vault there are rejects and no report."""
        try:
            with self._progress:
                self._line.run(feeds, self._progress.tick)
        except VaultError as error:
            write_rejects(self._options.rejects, self._journal, self._batch)
            raise VaultError(f"{error}; no card was rejected for it, the same command again goes on with the batch") from error
        write_rejects(self._options.rejects, self._journal, self._batch)
        write_report(self._options.report, self._journal, self._batch, self._workspace.product, self._workspace.vault)

    def _card(self, result: CardResult) -> None:
        """Told by the readers' threads, one at a time."""
        progress = self._progress
        progress.failed += result.verdict in FAILURES
        progress.done += result.verdict is Verdict.ISSUED and result.entry is not None and result.entry.batch_id == self._batch.batch_id
        if self._as_json:
            click.echo(json_line("personalize-card", _result_fields(result)))
        elif result.verdict in (*FAILURES, Verdict.SCRAP) or (result.entry is not None and result.entry.resumed):
            click.echo(_result_text(result))

    def tell(self) -> int:
        """The summary; the exit code."""
        line, batch, options = self._line, self._batch, self._options
        counts = self._journal.counts(batch)
        half_made = [entry for entry, _ in zip(self._journal.open_rows(batch), range(SHOWN_MAX), strict=False)]
        fields = {
            "batch": batch.name,
            "counts": {"rows": batch.rows, "bad_rows": batch.bad_rows, **asdict(counts)},
            "stopped": line.stopped,
            "readers_gone": line.readers_gone,
            "half_made": [entry_fields(entry) for entry in half_made],
            "report": str(options.report),
            "rejects": str(options.rejects),
        }
        reply("personalize", fields, lambda: self._show(counts, half_made))
        return HALF_MADE if counts.assigned else INCOMPLETE if counts.waiting else 0

    def _show(self, counts: Counts, half_made: list[Entry]) -> None:
        for name in self._line.readers_gone:
            click.echo(f"reader gone: {name}")
        for entry in half_made:
            chip = entry.chip.hex().upper()
            click.echo(f"half-made: {whose_card(entry)}, chip {chip}: put this card in again, or scrap it: joren personalize scrap {chip}")
        if counts.assigned > len(half_made):
            click.echo(f"half-made: and {counts.assigned - len(half_made):,} more")
        batch, options = self._batch, self._options
        click.echo(f"batch {batch.name}: {counts.issued:,} of {batch.rows:,} issued, {counts.rejected:,} cards rejected")
        if batch.bad_rows:
            click.echo(f"bad rows left out: {batch.bad_rows:,}, in {options.rejects}")
        if self._line.stopped:
            click.echo(f"stopped: {self._line.stopped}")
        elif counts.waiting:
            click.echo(f"{counts.waiting:,} rows wait for cards: the same command again goes on")
        click.echo(f"report {options.report}")


def whose_card(entry: Entry) -> str:
    """The member, or the shop and its terminal."""
    order = entry.order
    return order.member if isinstance(order, MemberRow) else f"shop {order.shop}, terminal {order.terminal}"


def entry_fields(entry: Entry) -> dict[str, Any]:
    """A row and its card, for JSON."""
    order = entry.order
    ordered = (
        {"member": order.member, "name": order.name} if isinstance(order, MemberRow) else {"shop": order.shop, "terminal": order.terminal}
    )
    return {
        "batch": entry.batch,
        "row": order.number,
        **ordered,
        "row_state": entry.row_state,
        "state": entry.state,
        "id": entry.identity.hex().upper() or None,
        "chip": entry.chip.hex().upper() or None,
        "key_version": entry.key_version or None,
        "check_values": dict(entry.check_values),
        "resumed": entry.resumed,
        "reason": entry.reason or None,
        "assigned": entry.assigned_at or None,
        "ended": entry.ended_at or None,
    }


def _result_fields(result: CardResult) -> dict[str, Any]:
    told: dict[str, Any] = {"verdict": result.verdict.value, "reader": result.reader, "chip": result.chip.hex().upper() or None}
    told |= {"found": result.found.value if result.found else None, "reason": result.reason or None}
    return told | {"card": entry_fields(result.entry) if result.entry else None}


VERBS: dict[Verdict, Callable[[CardResult], str]] = {
    Verdict.ISSUED: lambda result: f"finished, it was {result.found.value if result.found else 'blank'}",
    Verdict.REJECTED: lambda result: f"rejected: {result.reason}",
    Verdict.LOST: lambda result: f"lost: {result.reason}",
    Verdict.UNREADABLE: lambda result: f"unreadable: {result.reason}",
    Verdict.SCRAP: lambda result: result.reason,
}


def _result_text(result: CardResult) -> str:
    whose = f"{whose_card(result.entry)}, " if result.entry else ""
    return f"{result.reader}: {whose}chip {result.chip.hex().upper() or 'not told'}: {VERBS[result.verdict](result)}"
