"""joren trace replay: a trace stands in for the cards, or its commands go to cards once more."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from joren.apdu import Command, Ins
from joren.apdu.trace import Line
from joren.host import CardFault, CardLost, CardRefused, Diverged, HostError, Journal, LinkLost, Replay, Till, run
from joren.host.ceremony import KeyRing
from joren.host.replaying import Step, Verdict, load_trace, play_back
from joren.host.sale import pin_block
from joren.host.taps import dialog_of, holder_of, start_journal, taps_of
from joren.simulator.image import load_image
from joren.simulator.reader import Reader

from .options import read_pins
from .output import json_option, reply
from .seats import Seat, pattern_of
from .workspace import CARDS, SHOPS, Place, Workspace, pass_workspace

__all__ = ["replay"]

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
OUTCOMES = (Verdict.DIFFERENT, Verdict.NOT_SENT, Verdict.NOT_ASKED)
ENDS = (CardRefused, CardFault, CardLost, LinkLost)
"""How a dialog may end with these cards; it did so when the trace was made."""


@dataclass
class Played:
    """What a replay found: `side` is whose, `skipped` the APDUs for cards that were not given, `ended` dialogs that did not end well."""

    side: str
    steps: list[Step] = field(default_factory=list)
    skipped: int = 0
    taps: int = 0
    ended: list[str] = field(default_factory=list)
    more: str = ""
    """What the host asked beyond the end of the trace."""

    def failed(self, strict: bool) -> list[Step]:
        """The steps that were not to be so."""
        return [step for step in self.steps if step.verdict in OUTCOMES or (strict and step.verdict is Verdict.MAY_DIFFER)]


@click.command("replay")
@click.argument("file", type=FILE)
@click.option("--on", "--card", "card", metavar="CARD", help="The customer card: a name, or the image it had before.")
@click.option("--shop-card", metavar="SHOP", help="The shop card, likewise. APDUs for a card that is not given are left out.")
@click.option("--pin-file", type=FILE, help="On cards: the PIN of masked VERIFY, in the first line.")
@click.option("--journal", type=FILE, help="Without cards: the till's journal as it was before. It is not changed.")
@click.option("--strict", is_flag=True, help="Nonces, challenges and MACs over them shall not differ either.")
@json_option
@pass_workspace
def replay(
    workspace: Workspace, file: Path, card: str | None, shop_card: str | None, pin_file: Path | None, journal: Path | None, strict: bool
) -> None:
    """Do a trace again, and show what differs, APDU by APDU.

    Without cards the trace stands in for them: the till does each tap again, and each command it sends is compared with the recorded one.
    With --on or --shop-card the recorded commands are sent to copies of simulated cards, which are not changed, or to the card itself in a
    reader (pcsc:PATTERN), and the answers compared.

    A card answers as before only in the state of before: keep its image (joren card image CARD --out FILE) before the trace is made.
    Ends with exit code 1 where something differs that may not.

    \b
    Examples:
      joren trace replay tap.jsonl
      joren trace replay tap.jsonl --on before.json
    """
    lines = load_trace(file)
    if card is None and shop_card is None:
        if pin_file is not None:
            raise HostError("trace replay: --pin-file goes with --on CARD")
        played = _by_the_host(workspace, lines, journal)
    else:
        if journal is not None:
            raise HostError("trace replay: --journal goes without --on and --shop-card")
        (pin,) = read_pins(pin_file, False, "PIN")
        played = _on_cards(workspace, lines, card, shop_card, pin)
    reply("trace-replay", _fields(played, strict), lambda: _show(played))
    if played.failed(strict) or played.more:
        raise SystemExit(1)


def _on_cards(workspace: Workspace, lines: Sequence[Line], card: str | None, shop_card: str | None, pin: str | None) -> Played:
    with ExitStack() as stack:
        seats = {
            place.what: _seat(workspace, stack, place, name) for place, name in ((CARDS, card), (SHOPS, shop_card)) if name is not None
        }
        chosen = [line for line in lines if line.reader in seats]
        apdus = [sum(line.event == "apdu" for line in some) for some in (lines, chosen)]
        return Played("card", list(play_back(chosen, seats, _secrets(pin))), apdus[0] - apdus[1])


def _seat(workspace: Workspace, stack: ExitStack, place: Place, name: str) -> Seat:
    """A copy of a simulated card, or the card in a reader itself."""
    if pattern_of(name) is not None:
        return stack.enter_context(workspace.inserted(place, name))
    reader = Reader(place.what)
    with workspace.alone():
        reader.insert(load_image(workspace.path(place, name), workspace.storage))
    return reader


def _secrets(pin: str | None) -> Callable[[Command], bytes | None]:
    """The block of VERIFY with this PIN; other secrets are not known."""
    block = pin_block(pin)
    return lambda command: block if command.ins == Ins.VERIFY else None


def _by_the_host(workspace: Workspace, lines: Sequence[Line], before: Path | None) -> Played:
    def ring(name: str, programme: int) -> KeyRing:
        with workspace.alone():
            return workspace.masters.ring(name, programme)

    taps, played, again = taps_of(lines), Played("host"), Replay(lines, strict=False)
    with _journal(before) as journal:
        till = Till(holder_of(taps, ring), journal)
        start_journal(journal, taps)
        try:
            while again.left:
                tap = taps_of(again.left)[0]
                end, played.taps = len(again.steps) + len(tap.lines), played.taps + 1
                try:
                    run(dialog_of(tap, till, f"replayed {played.taps}"), again.links)
                except ENDS as error:
                    played.ended.append(f"tap {played.taps} ended: {error}")
                if len(again.steps) < end:
                    break
            again.finish()
        except Diverged as diverged:
            played.more = "" if diverged.step else str(diverged)
    played.steps = again.steps + [Step(line, Verdict.NOT_ASKED, "") for line in again.left]
    return played


@contextmanager
def _journal(before: Path | None) -> Iterator[Journal]:
    """An empty journal, or a copy of the one given."""
    if before is None:
        with Journal(":memory:") as journal:
            yield journal
        return
    with TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            if (part := before.with_name(before.name + suffix)).exists():
                shutil.copy(part, Path(folder) / f"journal{suffix}")
        with Journal(Path(folder) / "journal") as journal:
            yield journal


def _fields(played: Played, strict: bool) -> dict[str, Any]:
    failed = played.failed(strict)
    counts = Counter(step.verdict.name.lower() for step in played.steps)
    may = [step for step in played.steps if step.verdict is Verdict.MAY_DIFFER and step not in failed]
    return {
        "side": played.side,
        "apdus": len(played.steps),
        "skipped": played.skipped,
        "verdicts": {verdict.name.lower(): counts[verdict.name.lower()] for verdict in Verdict},
        "differences": [_step(played.side, step) for step in failed],
        "may_differ": [_step(played.side, step) for step in may],
        "ended": played.ended,
        "more": played.more,
    }


def _step(side: str, step: Step) -> dict[str, Any]:
    changes = [
        {"field": change.field, "expected": change.expected, "came": change.came, "may_differ": change.may_differ}
        for change in step.changes
    ]
    line = step.line
    return {
        "line": line.number,
        "reader": line.reader,
        "name": step.name,
        "verdict": step.verdict.value,
        "expected": line.command if side == "host" else line.response,
        "came": step.came,
        "changes": changes,
    }


def _show(played: Played) -> None:
    for step in played.steps:
        if step.verdict is not Verdict.SAME:
            click.echo(str(step))
    for told in (*played.ended, *([played.more] if played.more else [])):
        click.echo(told)
    counts = Counter(step.verdict for step in played.steps)
    others = [
        f", {counts[verdict]} {verdict.value}" for verdict in (Verdict.MAY_DIFFER, Verdict.NOT_SENT, Verdict.NOT_ASKED) if counts[verdict]
    ]
    left = f"; {played.skipped} for another card left out" if played.skipped else ""
    taps = f" of {played.taps} tap{'s' * (played.taps != 1)}" if played.side == "host" else ""
    click.echo(f"{len(played.steps)} APDUs{taps}, {counts[Verdict.DIFFERENT]} different{''.join(others)}{left}")
