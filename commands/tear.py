"""joren tear: pulls a card's power at every single write of every command, and shows what is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from joren.apdu import SW, Command, Ins
from joren.apdu.trace import Line
from joren.host import HostError
from joren.host.replaying import Verdict, load_trace, play_back
from joren.simulator.chip import MODEL, Chip, DoesNotFit
from joren.simulator.image import load_image
from joren.simulator.java_roles import PROGRAMS
from joren.simulator.profile import load_profile, profile_names
from joren.simulator.protocol import Protocol
from joren.simulator.reader import Reader
from joren.simulator.tear import AFTER, Outcome, Script, Tear, explore, look

from .output import console, json_option, reply
from .tear_all import fields_of, show_all, tear_all
from .tear_show import command_name, counts, show_mixed, show_one, show_tears, where
from .workspace import CARDS, SHOPS, Workspace, pass_workspace

__all__ = ["tear"]

SEED, NUMBER, NUMBER_MAX = 1, 300, 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked beside TRACE or --all; None where nothing was."""

    profiles: tuple[str, ...]
    seed: int | None
    number: int | None
    card: str | None
    shop_card: str | None
    write: int | None


@click.command("tear")
@click.argument("trace", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--all", "everything", is_flag=True, help="Every state-changing command of both cards, every mutant, every torn sale.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="NAME",
    help="With --all: this card profile, or TOML file of your own, and no others. Repeatable.",
)
@click.option("--seed", type=click.IntRange(0), help=f"With --all: for the sales torn three times at random.  [default: {SEED}]")
@click.option("--random", "number", type=click.IntRange(0, NUMBER_MAX), help=f"With --all: how many of those.  [default: {NUMBER}]")
@click.option(
    "--card",
    metavar="CARD",
    help="The customer card of the trace: the image it had before. With --all: what the cards run, model or javacard.  [default: model]",
)
@click.option("--shop-card", metavar="SHOP", help="The shop card of the trace, likewise.")
@click.option("--write", type=click.IntRange(1), metavar="N", help="The tear at the N-th write of the trace alone; commits count too.")
@json_option
@pass_workspace
def tear(workspace: Workspace, /, trace: Path | None, everything: bool, **options: object) -> None:
    """Cut a card's power at every write of every command of TRACE, or with --all of every command there is.

    After each cut the card is powered up and compared with the memory of before and with that of after: it must be one of the two. No card
    is changed. --all does so on every card profile; then it tries memories that write wrongly, each of which must be noticed, and
    tears sales of every kind, each of which must be settled by the next taps. Ends with exit code 1 where one of these is not so.

    \b
    Examples:
      joren tear --all
      joren tear --all --profile jcop4 --random 1000 --seed 7
      joren tear --all --card javacard --profile ideal
      joren tear tap.jsonl --card before.json
      joren tear tap.jsonl --card before.json --write 3
    """
    asked = Options(**options)  # type: ignore[arg-type]
    if everything == (trace is not None):
        raise HostError("tear: TRACE or --all expected, one of the two")
    if trace is None:
        _tear_all(asked)
    else:
        _tear_trace(workspace, trace, asked)


def _tear_all(asked: Options) -> None:
    if asked.shop_card or asked.write:
        raise HostError("tear: --shop-card and --write go with TRACE, not with --all")
    program = PROGRAMS.get(asked.card or MODEL.name)
    if program is None:
        raise HostError(f"tear: --all --card: {' or '.join(PROGRAMS)} expected, {asked.card!r} came; an image goes with TRACE")
    profiles = [load_profile(name) for name in dict.fromkeys(asked.profiles or profile_names())]
    try:
        number = NUMBER if asked.number is None else asked.number
        found = tear_all(profiles, SEED if asked.seed is None else asked.seed, number, program)
    except DoesNotFit as error:
        raise HostError(f"tear: {error}") from error
    reply("tear", fields_of(found), lambda: show_all(found))
    if not found.good:
        raise SystemExit(1)


def _tear_trace(workspace: Workspace, trace: Path, asked: Options) -> None:
    if asked.profiles or asked.seed is not None or asked.number is not None:
        raise HostError("tear: --profile, --seed and --random go with --all, not with TRACE")
    chosen = _from_trace(workspace, trace, asked.card, asked.shop_card)
    if asked.write is not None:
        _tear_once(chosen, asked.write)
        return
    tears = [one for script in chosen for one in explore(script)]
    figures = counts(tears)
    fields = {"scripts": len(chosen), "commands": sum(len(one.commands) for one in chosen), **figures, "where": where(tears)}
    reply("tear", fields, lambda: _show(tears))
    if figures[Outcome.MIXED.value]:
        raise SystemExit(1)


def _show(tears: Sequence[Tear]) -> None:
    show_tears(tears)
    totals = counts(tears)
    console().print(f"{totals.pop('tears'):,} tears: " + ", ".join(f"{number:,} {name}" for name, number in totals.items()))
    show_mixed(tears)


def _tear_once(chosen: Sequence[Script], number: int) -> None:
    """The tear at one write alone, counted over all commands of the trace."""
    writes = [(script, one) for script in chosen for one in explore(script) if one.place != AFTER]
    if number > len(writes):
        raise HostError(f"tear: --write {number}: the trace has {len(writes)} writes and commits")
    script, one = writes[number - 1]
    remains = look(script, one)
    fields = {
        "script": one.script,
        "step": one.step + 1,
        "command": command_name(one.command),
        "write": number,
        "writes": len(writes),
        "place": one.place,
        "outcome": one.outcome.value,
        "regions": [{"region": left.region, "outcome": left.outcome.value} for left in remains],
    }
    reply("tear", fields, lambda: show_one(one, number, len(writes), remains))
    if one.outcome is Outcome.MIXED:
        raise SystemExit(1)


def _from_trace(workspace: Workspace, trace: Path, card: str | None, shop_card: str | None) -> list[Script]:
    found = []
    lines = [line for line in load_trace(trace) if line.event == "apdu"]
    masked = [line.number for line in lines if line.masked]
    if masked:
        raise HostError(f"{trace}: the secrets of line {masked[0]} were left out of the trace, so its card can not do it again")
    with workspace.alone():
        for place, name in ((CARDS, card), (SHOPS, shop_card)):
            if name is not None:
                of_card = [line for line in lines if line.reader == place.what]
                chip = load_image(workspace.path(place, name), workspace.storage)
                protocol = _protocol_of(chip, of_card, name)
                found.append(Script(f"{trace.name}: {place.what}", chip, _commands_of(of_card), protocol))
    if not found:
        raise HostError("tear: --card CARD or --shop-card SHOP expected, or both")
    return found


def _protocol_of(chip: Chip, lines: Sequence[Line], name: str) -> Protocol:
    """The protocol by which the card answers as it did in the trace. Raises HostError where there is none."""
    for protocol in map(Protocol, chip.profile.protocols):
        reader = Reader(lines[0].reader if lines else "", protocol)
        reader.insert(chip.fork())
        if all(step.verdict is Verdict.SAME for step in play_back(lines, {reader.name: reader})):
            return protocol
    raise HostError(f"{name}: the state the card had before the trace expected; keep its image before (joren card image)")


def _commands_of(lines: Sequence[Line]) -> tuple[Command, ...]:
    """The commands, without what T=0 adds: GET RESPONSE, and a command that was answered 6CXX and sent again."""
    commands = []
    for line in lines:
        command, answer = line.asked(), line.answer()
        again = answer is not None and answer.sw >> 8 == SW.WRONG_LE >> 8
        if command.ins != Ins.GET_RESPONSE and not again:
            commands.append(command)
    return tuple(commands)
