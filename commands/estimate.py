"""joren estimate: how long APDUs take on cards that can be bought, by the model of docs/timing.md."""

import binascii
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.text import Text

from joren.apdu import Command, Ins, MalformedCommand, Response, Transmit
from joren.apdu.trace import BadTrace
from joren.host import Dialog, HostError, Slot, run
from joren.host.dialog import Ask
from joren.host.replaying import load_trace
from joren.simulator.chip import Chip
from joren.simulator.image import load_image
from joren.simulator.profile import Band, Profile, load_profile, profile_names
from joren.simulator.protocol import Protocol, slot_protocol, tap_protocol
from joren.simulator.reader import Reader
from joren.simulator.timing import total
from joren.simulator.wire import WIRES, wire_of
from joren.simulator.work import Work

from .output import console, json_option, reply, table
from .times import Timed, bar_of, legend, sum_of, timed, times_fields, times_picture, wire_for
from .tryout import SALES, Exchange, Tryout
from .workspace import CARDS, SHOPS, Place, Workspace, pass_workspace

__all__ = ["estimate"]

TRACE_SUFFIX = ".jsonl"
DONE = (0x90, 0x61, 0x62, 0x63)
"""SW1 of a command that the card did, maybe with a warning."""
SLOTS: dict[Slot, Place] = {Slot.CUSTOMER: CARDS, Slot.SHOP: SHOPS}


@dataclass(frozen=True, slots=True)
class Asked:
    """A command for a card; `done`: whether the card of a trace did it, None where nothing is known."""

    slot: Slot
    command: Command
    done: bool | None


@click.command("estimate")
@click.argument("script")
@click.option(
    "--card", "names", multiple=True, metavar="NAME", help="A card profile, or a TOML file of your own; may be given again. Default: all."
)
@click.option("--wire", type=click.Choice(WIRES), help="kbit/s without contacts, or T=0 or T=1; default: 106, or the card's contacts.")
@click.option("--two-card", is_flag=True, help="The sale with a shop card, on a card of the same profile in the till.")
@click.option(
    "--on", metavar="CARD", help="Of a file: the customer card, as it was before. Of APDUs in hexadecimal, by default one that has bought."
)
@click.option("--on-shop", metavar="SHOP", help="Of a file: the shop card, likewise.")
@json_option
@pass_workspace
def estimate(
    workspace: Workspace, script: str, names: tuple[str, ...], wire: str | None, two_card: bool, on: str | None, on_shop: str | None
) -> None:
    """Estimate how long SCRIPT takes on cards of a profile: a sale by its name, a trace, or a file with an APDU in hexadecimal a line.

    The sales: purchase, pay-and-earn, redeem, load, pay, void. The model and its assumptions: docs/timing.md.

    \b
    Examples:
      joren estimate purchase
      joren estimate purchase --card jcop4 --wire 106
      joren estimate purchase --two-card --card jcop3
      joren estimate tap.jsonl --card jcop4 --on before.json
    """
    profiles = [load_profile(name) for name in names or profile_names()]
    if script not in SALES and not Path(script).is_file():
        raise HostError(f"estimate: {', '.join(SALES)}, or a file, expected, {script!r} came")
    if script in SALES and (on or on_shop):
        raise HostError("estimate: --on and --on-shop go with a file, a sale has cards of its own")
    if script not in SALES and two_card:
        raise HostError("estimate: --two-card goes with a sale, a file says itself which cards it speaks to")
    chips = _chips(workspace, on, on_shop)
    answers = []
    for profile in profiles:
        if wire is not None and not names and not _has(profile, wire):
            continue
        if script in SALES:
            exchanges = Tryout(profile, by_card=two_card, protocol=_protocol(profile, wire)).try_sale(script)
        else:
            exchanges = _run_file(Path(script), profile, chips, wire)
        answers.append((profile, [timed(profile, wire_for(profile, one.protocol, wire), one) for one in exchanges]))
    fields = [
        {"card": profile.name, "title": profile.title, "activation_ms": asdict(_activation(profile, wire)), **times_fields(rows)}
        for profile, rows in answers
    ]
    reply("estimate", {"script": script, "two_card": two_card, "wire": wire, "cards": fields}, lambda: _show(answers, wire))


def _has(profile: Profile, wire: str) -> bool:
    return _protocol_of(wire).value in profile.protocols


def _protocol_of(wire: str) -> Protocol:
    return {"t0": Protocol.T0, "t1": Protocol.T1}.get(wire, Protocol.TCL)


def _protocol(profile: Profile, wire: str | None) -> Protocol:
    """What the customer card is spoken to in. Raises NoWire where the card does not have the wire."""
    if wire is not None:
        wire_of(profile, wire)
        return _protocol_of(wire)
    return tap_protocol(profile)


def _activation(profile: Profile, wire: str | None) -> Band:
    """What goes before the first APDU of the customer card."""
    return wire_for(profile, _protocol(profile, wire), wire).activation


def _chips(workspace: Workspace, on: str | None, on_shop: str | None) -> dict[Slot, Chip]:
    chips = {}
    for slot, name in ((Slot.CUSTOMER, on), (Slot.SHOP, on_shop)):
        if name is not None:
            with workspace.alone():
                chips[slot] = load_image(workspace.path(SLOTS[slot], name), workspace.storage)
    return chips


def _run_file(path: Path, profile: Profile, chips: dict[Slot, Chip], wire: str | None) -> list[Exchange]:
    """What the commands of a file do on copies of the cards, on chips of the profile."""
    of_trace = path.suffix == TRACE_SUFFIX
    asked = _of_trace(path) if of_trace else [Asked(Slot.CUSTOMER, command, None) for command in _of_text(path)]
    if not of_trace and Slot.SHOP in chips:
        raise HostError(f"{path}: APDUs in hexadecimal go to a customer card; --on-shop goes with a trace")
    if not of_trace and Slot.CUSTOMER not in chips:
        chips = {Slot.CUSTOMER: Tryout(profile, by_card=False).chips[Slot.CUSTOMER]}
    exchanges: list[Exchange] = []
    readers = {slot: _reader(slot, chip.on(profile), wire, exchanges) for slot, chip in chips.items()}
    links: dict[Slot, Transmit] = {slot: reader.transmit for slot, reader in readers.items()}
    for one in asked:
        if one.slot not in readers:
            raise HostError(
                f"{path}: it speaks to a {one.slot.value}; give one with {'--on' if one.slot is Slot.CUSTOMER else '--on-shop'}"
            )
        response = run(_asked(one), links)
        if one.done and response.sw >> 8 not in DONE:
            raise HostError(
                f"{path}: a {one.slot.value} as it was before the trace expected, it answered {response.status}; keep its image before"
            )
    return exchanges


def _asked(one: Asked) -> Dialog[Response]:
    """One command, and its whole answer."""
    return (yield Ask(one.slot, one.command))


def _reader(slot: Slot, chip: Chip, wire: str | None, exchanges: list[Exchange]) -> Reader:
    """A reader with the card, which tells what each APDU was."""
    profile = chip.profile
    reader = Reader(slot.value, _protocol(profile, wire) if slot is Slot.CUSTOMER else slot_protocol(profile))
    reader.insert(chip)

    def meter(_chip: Chip, protocol: Protocol, command: Command, response: Response, work: Work) -> None:
        exchanges.append(Exchange(slot, protocol, command, response, work))

    reader.meter = meter
    return reader


def _of_trace(path: Path) -> list[Asked]:
    """The commands of a trace but GET RESPONSE, with the slot that its reader is named for, and whether the card did them."""
    places = {place.what: slot for slot, place in SLOTS.items()}
    found = []
    for line in load_trace(path):
        if line.event != "apdu":
            continue
        if line.masked:
            raise HostError(f"{path}: the secrets of line {line.number} were left out of the trace, so its card can not do it again")
        if line.reader not in places:
            raise HostError(f"{path}: line {line.number}: a reader named {' or '.join(places)} expected, {line.reader} came")
        command, answer = line.asked(), line.answer()
        if command.ins != Ins.GET_RESPONSE:
            done = answer is not None and answer.sw >> 8 in DONE
            found.append(Asked(places[line.reader], command, done))
    return found


def _of_text(path: Path) -> list[Command]:
    """A command a line, in hexadecimal; blank lines and what follows # are left out. Raises BadTrace naming the line."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        text = "".join(line.partition("#")[0].split())
        if text:
            try:
                found.append(Command.decode(binascii.unhexlify(text)))
            except MalformedCommand as error:
                raise BadTrace(f"{path}: line {number}: {error}; nothing was run") from None
            except ValueError:
                raise BadTrace(
                    f"{path}: line {number}: a command APDU in hexadecimal expected, {text[:40]!r} came; nothing was run"
                ) from None
    if not found:
        raise BadTrace(f"{path}: a command APDU in hexadecimal on a line expected, there is none")
    return found


def _show(answers: Sequence[tuple[Profile, list[Timed]]], wire: str | None) -> None:
    screen = console()
    if not answers:
        screen.print(f"no card has the wire {wire}")
    elif len(answers) == 1:
        profile, rows = answers[0]
        screen.print(Text(f"{profile.name}: {profile.title}", style="bold"))
        screen.print(times_picture(rows))
        before = _activation(profile, wire)
        screen.print(
            f"Before the first APDU, until the card can answer: {before.likely:.0f} ms, from {before.low:.0f} to {before.high:.0f}."
        )
    else:
        longest = max(total(sum_of(rows)).likely for _, rows in answers)
        lines: list[Any] = []
        columns = ("card", "what it is", "ms", "from", "to")
        cells = []
        for profile, rows in answers:
            parts = sum_of(rows)
            whole = total(parts)
            cells.append([profile.name, profile.title, f"{whole.likely:.1f}", f"{whole.low:.1f}", f"{whole.high:.1f}"])
            lines.append(Text.assemble(f"{whole.likely:7.1f} ms  ", bar_of(parts, longest), "  ", profile.name))
        screen.print(Group(table(columns, cells, frozenset(columns[2:])), Text(""), *lines, legend()))
