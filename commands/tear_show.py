"""How tears are told: letters in colour for people, objects for programs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from rich.text import Text

from joren.apdu import Command
from joren.apdu.explain import explain_command
from joren.simulator.tear import AFTER, Outcome, Remains, Tear

from .output import console, table

__all__ = ["command_name", "counts", "show_mixed", "show_one", "show_tears", "where"]

COLOURS = {
    Outcome.OLD: "white on blue",
    Outcome.NEW: "black on green",
    Outcome.COUNTED: "black on yellow",
    Outcome.MIXED: "bold white on red",
}
LETTERS = {Outcome.OLD: "o", Outcome.NEW: "n", Outcome.COUNTED: "c", Outcome.MIXED: "X"}


def command_name(command: Command) -> str:
    """The command's name for people."""
    return explain_command(command).name


def counts(tears: Iterable[Tear]) -> dict[str, int]:
    """How many tears, and how many of each outcome."""
    found = Counter(tear.outcome for tear in tears)
    return {"tears": found.total(), **{outcome.value: found[outcome] for outcome in Outcome}}


def where(tears: Iterable[Tear]) -> list[dict[str, Any]]:
    """Where something mixed was left."""
    mixed = [one for one in tears if one.outcome is Outcome.MIXED]
    return [{"script": one.script, "command": command_name(one.command), "write": one.number, "place": one.place} for one in mixed]


def show_tears(tears: Iterable[Tear]) -> None:
    """A coloured letter for each tear, a line for each command that writes."""
    screen = console()
    for name, of_script in groupby(tears, lambda one: one.script):
        screen.print(Text(name, style="bold"))
        for _, of_step in groupby(of_script, lambda one: one.step):
            torn = list(of_step)
            if any(one.place != AFTER for one in torn):
                blocks = Text.assemble(*((LETTERS[one.outcome], COLOURS[one.outcome]) for one in torn))
                screen.print(Text("  ") + blocks + Text(" " * max(1, 16 - len(torn)) + command_name(torn[0].command)))
    screen.print(Text.assemble(*((f"{LETTERS[outcome]} {outcome.value}  ", COLOURS[outcome]) for outcome in Outcome)))


def show_mixed(tears: Iterable[Tear], profile: str = "") -> None:
    """Where something mixed was left, if anywhere."""
    rows = [[*map(str, one.values())] for one in where(tears)]
    if rows:
        heads = ("script", "command", "write", "place")
        console().print(table(("profile", *heads), [[profile, *row] for row in rows]) if profile else table(heads, rows))


def show_one(tear: Tear, number: int, last: int, remains: Sequence[Remains]) -> None:
    """One tear, and what it left of each region."""
    screen = console()
    screen.print(Text(f"{tear.script}, command {tear.step + 1}: {command_name(tear.command)}", style="bold"))
    what = "the commit" if tear.place == "commit" else f"the write to {tear.place}"
    screen.print(f"the power goes in place of {what}, {number} of {last}")
    screen.print(Text.assemble((f" {LETTERS[tear.outcome]} {tear.outcome.value} ", COLOURS[tear.outcome])))
    screen.print(table(("region", "what is left"), [[one.region, one.outcome.value] for one in remains]))
