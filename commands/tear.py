"""joren tear: pulls a card's power at every single write of every command, and shows what is left."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import click
from rich.progress import track
from rich.text import Text

from joren.apdu import Command
from joren.apdu.explain import explain_command
from joren.host import HostError
from joren.simulator.chip import Chip
from joren.simulator.image import load_image
from joren.simulator.reader import Reader
from joren.simulator.tear import Outcome, Script, Tear, explore
from joren.simulator.trace import Line, replay

from .output import console, json_option, reply, table
from .tear_scripts import scripts
from .trace import read_lines
from .workspace import CARDS, SHOPS, Workspace, pass_workspace

__all__ = ["tear"]

COLOURS = {
    Outcome.OLD: "white on blue",
    Outcome.NEW: "black on green",
    Outcome.COUNTED: "black on yellow",
    Outcome.MIXED: "bold white on red",
}
LETTERS = {Outcome.OLD: "o", Outcome.NEW: "n", Outcome.COUNTED: "c", Outcome.MIXED: "X"}


@click.command("tear")
@click.argument("trace", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--all", "everything", is_flag=True, help="Every state-changing command of both cards, personalization included.")
@click.option("--card", metavar="CARD", help="The customer card of the trace: the image it had before.")
@click.option("--shop-card", metavar="SHOP", help="The shop card of the trace, likewise.")
@json_option
@pass_workspace
def tear(workspace: Workspace, trace: Path | None, everything: bool, card: str | None, shop_card: str | None) -> None:
    """Cut a card's power at every write of every command of TRACE, or with --all of every command there is.

    After each cut the card is powered up and compared with the memory of before and with that of after: it must be one of the two. No card
    is changed. Ends with exit code 1 where something mixed is left.

    \b
    Examples:
      joren tear --all
      joren tear tap.jsonl --card before.json
    """
    if everything == (trace is not None):
        raise HostError("tear: TRACE or --all expected")
    chosen = list(scripts()) if trace is None else _from_trace(workspace, trace, card, shop_card)
    out = console(stderr=True)
    tears = [one for script in track(chosen, "scripts torn", console=out, disable=not out.is_terminal) for one in explore(script)]
    outcomes = Counter(one.outcome for one in tears)
    figures = {outcome.value: outcomes[outcome] for outcome in Outcome}
    mixed = [{"script": one.script, "command": _name(one.command), "write": one.number, "place": one.place} for one in tears if _bad(one)]
    fields = {"scripts": len(chosen), "commands": sum(len(one.commands) for one in chosen), "tears": len(tears), **figures, "where": mixed}
    reply("tear", fields, lambda: _show(tears, figures))
    if mixed:
        raise SystemExit(1)


def _from_trace(workspace: Workspace, trace: Path, card: str | None, shop_card: str | None) -> list[Script]:
    found = []
    lines = [line for line in read_lines(trace) if line.event == "apdu"]
    masked = [line.number for line in lines if line.masked]
    if masked:
        raise HostError(f"{trace}: the secrets of line {masked[0]} were left out of the trace, so its card can not do it again")
    with workspace.alone():
        for place, name in ((CARDS, card), (SHOPS, shop_card)):
            if name is not None:
                of_card = [line for line in lines if line.reader == place.what]
                commands = tuple(Command.decode(bytes.fromhex(line.command)) for line in of_card)
                chip = load_image(workspace.path(place, name), workspace.masters.storage)
                _check_state(chip, of_card, name)
                found.append(Script(f"{trace.name}: {place.what}", chip, commands))
    if not found:
        raise HostError("tear: --card CARD or --shop-card SHOP expected, or both")
    return found


def _check_state(chip: Chip, lines: Sequence[Line], name: str) -> None:
    """Raises HostError unless the card answers as it did in the trace."""
    reader = Reader(lines[0].reader if lines else "")
    reader.insert(chip.fork())
    if any(replay(lines, {reader.name: reader})):
        raise HostError(f"{name}: the state the card had before the trace expected; keep its image before (joren card image)")


def _bad(one: Tear) -> bool:
    return one.outcome is Outcome.MIXED


def _name(command: Command) -> str:
    return explain_command(command).name


def _show(tears: Sequence[Tear], figures: dict[str, int]) -> None:
    """A coloured letter for each tear, a line for each command that writes, and where a mixed state was left."""
    screen = console()
    for name, of_script in groupby(tears, lambda one: one.script):
        screen.print(Text(name, style="bold"))
        for _, of_step in groupby(of_script, lambda one: one.step):
            torn = list(of_step)
            if len(torn) > 1:
                blocks = Text.assemble(*((LETTERS[one.outcome], COLOURS[one.outcome]) for one in torn))
                screen.print(Text("  ") + blocks + Text(" " * max(1, 16 - len(torn)) + _name(torn[0].command)))
    legend = Text.assemble(*((f"{LETTERS[outcome]} {outcome.value}  ", COLOURS[outcome]) for outcome in Outcome))
    screen.print(legend)
    screen.print(f"{len(tears):,} tears: " + ", ".join(f"{number:,} {name}" for name, number in figures.items()))
    rows = [[one.script, _name(one.command), str(one.number), one.place] for one in tears if _bad(one)]
    if rows:
        screen.print(table(("script", "command", "write", "place"), rows))
