"""SCP03, host's side, and TLV beside yubikit (yubikey-manager), side by side in one run: `./run bench scp03`.

How it works. Each row is one piece of work, done by rivals that come to the same result (rivals.py). A round does every piece of work once,
a few milliseconds each, one after another, so that whatever else the machine does meets all of them. A figure is the median of the rounds,
in processor time; a ratio is the median of the rounds' ratios.

A command is one of 32 bytes at level 33, S8, AES-128, and its answer of 32 bytes: wrapped, encoded, decoded, unwrapped. An opening is
INITIALIZE UPDATE made, its answer checked, EXTERNAL AUTHENTICATE made. Of TLV, tag and value of each data object are wanted: of a list of
seven, and of the four objects three levels down in an FCI.
"""

import json
import sys
from dataclasses import dataclass
from statistics import median
from time import process_time

from rich.console import Console
from rich.table import Table
from rivals import (
    COMMANDS,
    FCI,
    FLAT,
    Prepare,
    Record,
    kept,
    made_anew,
    nested,
    opening_kept,
    opening_made_anew,
    our_card,
    our_opening,
    ours,
    parsing,
    unchecked,
    yubikit,
)  # fmt: skip

from joren.apdu.tlv import parse_tlv

__all__ = ["main"]

ROUNDS, OPENINGS, PARSES = 41, 200, 600
CAPTION = (
    "An opening is, for both, three session keys, two cryptograms and a C-MAC; neither checks a pseudo-random challenge here, and yubikit\n"
    "never does. Ours checks the answer's form, parameter i, key version and level too."
)
HOW_TO_GET = "yubikit is not installed: .venv/bin/python -m pip install --no-deps yubikey-manager"


@dataclass(frozen=True, slots=True)
class Row:
    """A piece of work: how often a round does it, the most of yubikit's time that it is to take, and who does it."""

    number: int
    goal: float | None
    rivals: dict[str, Prepare]


OURS, YUBIKIT, ANEW, FLOOR = "ours", "yubikit", "made anew", "floor"


def rows(record: Record) -> dict[str, Row]:
    """The table's rows by name."""
    made = {
        "command": Row(COMMANDS, 1 / 4, {OURS: ours(record), ANEW: made_anew(record), FLOOR: kept(record)}),
        "command, the card's side": Row(COMMANDS, None, {OURS: our_card(record), ANEW: made_anew(record), FLOOR: kept(record)}),
        "opening": Row(OPENINGS, 1 / 2, {OURS: our_opening(record), ANEW: opening_made_anew(record), FLOOR: opening_kept(record)}),
        "TLV, flat": Row(PARSES, 1 / 5, {OURS: parsing(parse_tlv, FLAT), FLOOR: parsing(unchecked, FLAT)}),
        "TLV, nested": Row(PARSES, 1 / 5, {OURS: parsing(nested(parse_tlv), FCI), FLOOR: parsing(nested(unchecked), FCI)}),
    }
    for name, prepare in yubikit(record).items():
        made[name].rivals[YUBIKIT] = prepare
    return made


Rounds = dict[str, dict[str, list[float]]]
"""Microseconds by row, rival and round."""


def measure(table: dict[str, Row]) -> Rounds:
    """All rounds, each of which does everything once."""
    found: Rounds = {name: {rival: [] for rival in row.rivals} for name, row in table.items()}
    for _ in range(ROUNDS):
        for name, row in table.items():
            for rival, prepare in row.rivals.items():
                work = prepare()
                start = process_time()
                work(row.number)
                found[name][rival].append((process_time() - start) / row.number * 1e6)
    return found


def ratio(times: dict[str, list[float]], rival: str) -> float | None:
    """Our time by a rival's: the median of the rounds' ratios; None where there is no such rival."""
    if rival not in times:
        return None
    return median(mine / its for mine, its in zip(times[OURS], times[rival], strict=True))


def main(arguments: list[str]) -> None:
    """Prints a table; with `--json` one object."""
    table = rows(Record())
    found = measure(table)
    if "--json" in arguments:
        told = {
            name: {
                "goal": table[name].goal,
                "microseconds": {rival: round(median(rounds), 3) for rival, rounds in times.items()},
                "least_microseconds": {rival: round(min(rounds), 3) for rival, rounds in times.items()},
                "of_yubikit": ratio(times, YUBIKIT),
                "of_floor": ratio(times, FLOOR),
            }
            for name, times in found.items()
        }
        print(json.dumps({"format": "joren-bench-scp03", "version": 2, "rounds": ROUNDS, "rows": told}))
        return
    shown = Table("microseconds", OURS, YUBIKIT, "ours / yubikit", "goal", ANEW, FLOOR, "ours / floor", box=None)
    for name, times in found.items():
        middle = {rival: f"{median(rounds):.1f}" for rival, rounds in times.items()}
        of_yubikit, of_floor, goal = ratio(times, YUBIKIT), ratio(times, FLOOR), table[name].goal
        shown.add_row(
            name, middle[OURS], middle.get(YUBIKIT, "-"), decimals(of_yubikit, 3), decimals(goal, 3), middle.get(ANEW, "-"), middle[FLOOR],
            decimals(of_floor, 1),
        )  # fmt: skip
    console = Console(width=140)
    console.print(shown)
    console.print(f"Medians of {ROUNDS} interleaved rounds, in processor time; ratios are medians of the rounds' ratios.\n{CAPTION}")
    if YUBIKIT not in found["opening"]:
        console.print(HOW_TO_GET)


def decimals(value: float | None, places: int) -> str:
    """The value, or a dash where there is none."""
    return "-" if value is None else f"{value:.{places}f}"


if __name__ == "__main__":
    main(sys.argv[1:])
