"""joren admin: what the issuer changes on cards in the field, at a reader or as a script for any terminal."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from joren.apdu import LifeCycle, LinkLost
from joren.apdu.cards import CustomerInfo
from joren.host import HostError, Slot, run
from joren.host.admin import administer
from joren.host.changes import CardKeys, Change, ManagerKeys, NewPin, Refill, Retire, Rules, Status
from joren.host.facts import Facts
from joren.host.script import make_script
from joren.host.scriptfile import Probe

from .options import pin_options, read_pins
from .output import Commands, json_option, reply
from .views import identity_fields, shop_identity
from .workspace import CARDS, SHOPS, Place, Workspace, pass_workspace

__all__ = ["SLOTS", "admin", "find_card", "read_text", "write_text"]

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, dir_okay=False)
SLOTS = {CARDS: Slot.CUSTOMER, SHOPS: Slot.SHOP}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a change is for: the card in a reader, or the one that was probed, for which a script is made."""

    card: str | None
    shop_card: bool = False
    script: Path | None = None
    probe: Path | None = None
    force: bool = False


@click.group("admin", cls=Commands)
def admin() -> None:
    """Change cards in the field: with CARD at a reader here, with --script and --probe as a script for any terminal."""


def target_options(*, shop_card: bool = False) -> Callable[[F], F]:
    """CARD, --script, --probe, --force and --json; with `shop_card` --shop-card."""

    def add(function: F) -> F:
        options = [
            click.argument("card", required=False),
            click.option("--script", metavar="FILE", type=FILE, help="Write a script to this file; no card is needed."),
            click.option("--probe", metavar="FILE", type=FILE, help="Of the card that the script is for (joren script probe)."),
            click.option("--force", is_flag=True, help="Try keys that failed on this card before."),
            json_option,
        ]
        if shop_card:
            options.insert(1, click.option("--shop-card", is_flag=True, help="CARD is a shop card, though a customer card has its name."))
        for option in reversed(options):
            function = option(function)
        return function

    return add


@admin.command("status")
@click.argument("state", type=click.Choice(["issued", "blocked"]))
@target_options(shop_card=True)
@pass_workspace
def status(workspace: Workspace, /, state: str, **target: Any) -> None:
    """Block a card, or let it in again.

    \b
    Examples:
      joren admin status blocked alice
      joren admin status issued --probe alice.probe --script alice.script
    """
    _change(workspace, Status(LifeCycle[state.upper()]), Target(**target))


@admin.command("end")
@target_options(shop_card=True)
@pass_workspace
def end(workspace: Workspace, /, **target: Any) -> None:
    """End the life of a card, for good. What it had can still be taken over by a new card.

    \b
    Example:
      joren admin end alice
    """
    _change(workspace, Status(LifeCycle.TERMINATED), Target(**target))


@admin.command("rules")
@target_options(shop_card=True)
@pass_workspace
def rules(workspace: Workspace, /, **target: Any) -> None:
    """Give a card the rules, rates and limits of the product.

    \b
    Example:
      joren --product summer.toml admin rules alice
    """
    _change(workspace, Rules(), Target(**target))


@admin.command("pin")
@click.option("--keep-puk", is_flag=True, help="Leave the PUK and its tries as they are.")
@pin_options
@target_options()
@pass_workspace
def pin(workspace: Workspace, /, keep_puk: bool, pin_file: Path | None, ask_pin: bool, **target: Any) -> None:
    """Set PIN and PUK of a customer card anew, with all their tries; without --pin-file and --ask-pin the first ones.

    --pin-file has the PIN in its first line and the PUK (8 digits) in its second; with --keep-puk the PIN alone.

    \b
    Examples:
      joren admin pin alice
      joren admin pin alice --ask-pin
    """
    prompts = ("new PIN",) if keep_puk else ("new PIN", "new PUK")
    digits = read_pins(pin_file, ask_pin, *prompts)
    change = NewPin(digits[0], None if keep_puk else digits[1], keep_puk)
    _change(workspace, change, Target(**target), CARDS)


@admin.command("keys")
@click.option("--version", type=click.IntRange(1, 0xFF), help="Of the masters; the newest if left out.")
@target_options(shop_card=True)
@pass_workspace
def keys(workspace: Workspace, /, version: int | None, **target: Any) -> None:
    """Give a card keys of the newest version of the masters; a shop card beside those of before, which `retire` removes.

    \b
    Examples:
      joren admin keys alice
      joren admin keys bakery
    """
    _change(workspace, CardKeys(version), Target(**target))


@admin.command("retire")
@click.argument("version", type=click.IntRange(1, 0xFF))
@target_options()
@pass_workspace
def retire(workspace: Workspace, /, version: int, **target: Any) -> None:
    """Remove the masters of VERSION from a shop card.

    \b
    Example:
      joren admin retire 1 bakery
    """
    _change(workspace, Retire(version), Target(**target), SHOPS)


@admin.command("refill")
@click.argument("number", type=click.IntRange(1, 0xFFFF))
@click.option("--points", type=click.IntRange(0, 0xFFFFFFFF), default=0, help="Points more that it may grant.")
@click.option("--money", default="0", help="Money more that it may load.")
@target_options()
@pass_workspace
def refill(workspace: Workspace, /, number: int, points: int, money: str, **target: Any) -> None:
    """Add to what a shop card may grant and load. NUMBER counts its refills from 1: the same number twice is one refill.

    \b
    Example:
      joren admin refill 1 bakery --points 50000 --money 500
    """
    _change(workspace, Refill(number, points, workspace.product.minor(money)), Target(**target), SHOPS)


@admin.command("manager-keys")
@click.option("--version", type=click.IntRange(1, 0x7F), help="Of the master; the newest if left out.")
@click.option("--beside", is_flag=True, help="Leave the key set in use, and put the new one beside it.")
@target_options(shop_card=True)
@pass_workspace
def manager_keys(workspace: Workspace, /, version: int | None, beside: bool, **target: Any) -> None:
    """Give the card manager of a card its key set of the newest version of the master.

    \b
    Example:
      joren admin manager-keys alice
    """
    _change(workspace, ManagerKeys(version, beside), Target(**target))


@admin.command("stop")
@click.argument("card_id", metavar="ID")
@click.option("--why", default="", help="A comment beside it.")
@json_option
@pass_workspace
def stop(workspace: Workspace, card_id: str, why: str) -> None:
    """Put the customer card with this id on the stop list, stop.txt: no till here serves it any more.

    \b
    Example:
      joren admin stop 00000000000A11CE --why stolen
    """
    try:
        raw = bytes.fromhex(card_id)
    except ValueError:
        raw = b""
    if len(raw) != 8 or not why.isprintable():
        raise HostError(f"stop: a card id, 8 bytes in hexadecimal, and a comment on one line expected, {card_id!r}, {why!r} came")
    with workspace.alone():
        added = workspace.stop_list.add(raw, why)
    fields = {"card_id": raw.hex().upper(), "added": added}
    reply("admin-stop", fields, lambda: click.echo(f"{fields['card_id']}: {'on the stop list' if added else 'on it already'}"))


def find_card(workspace: Workspace, name: str, place: Place | None, shop_card: bool = False) -> Place:
    """Where a card of this name is: among customer cards, or else among shop cards."""
    if place is not None:
        return place
    return SHOPS if shop_card or (name not in workspace.names(CARDS) and name in workspace.names(SHOPS)) else CARDS


def _change(workspace: Workspace, change: Change, target: Target, place: Place | None = None) -> None:
    if target.script is not None and target.probe is not None and target.card is None:
        _script(workspace, change, target.script, target.probe)
    elif target.script is None and target.probe is None and target.card is not None:
        _in_person(workspace, change, target, target.card, place)
    else:
        raise click.UsageError("CARD, or --script and --probe, expected")


def _in_person(workspace: Workspace, change: Change, target: Target, name: str, place: Place | None) -> None:
    with workspace.alone():
        place = find_card(workspace, name, place, target.shop_card)
        slot = SLOTS[place]
        with workspace.inserted(place, name) as reader:
            dialog = administer(slot, workspace.product, workspace.masters, change, guard=workspace.guard(force=target.force))
            try:
                done = run(dialog, {slot: reader.transmit})
            except LinkLost:
                click.echo("joren: run the same command again: what was done is found done", err=True)
                raise
    fields = {"name": name, "change": change.purpose, "changed": done.changed, **_facts_fields(done.facts)}
    word = "done" if done.changed else "it was so already"
    reply("admin", fields, lambda: click.echo(f"{name}: {change.purpose}: {word}; {fields['state']}"))


def _script(workspace: Workspace, change: Change, file: Path, probe: Path) -> None:
    probed = Probe.decode(read_text("probe", probe))
    with workspace.alone():
        product, masters = workspace.product, workspace.masters
    script = make_script(probed, product, masters, change, datetime.now().isoformat(" ", "seconds"))
    write_text("script", file, script.encode())
    fields = {"script": str(file), "change": script.purpose, "card": script.identity.hex().upper(), "steps": len(script.lines)}
    told = f"{script.purpose}, for {script.slot.value} {fields['card']}: {fields['steps']} steps in {file}"
    reply("admin-script", fields, lambda: click.echo(told))


def _facts_fields(facts: Facts) -> dict[str, Any]:
    info = facts.info
    told = identity_fields(info) if isinstance(info, CustomerInfo) else {**shop_identity(info), "refills": info.refills}
    return {**told, "key_versions": facts.card_keys.hex().upper(), "manager_versions": facts.manager_versions}


def read_text(what: str, path: Path) -> str:
    """A file's text. Raises HostError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"{what} {path}: can not be read: {error}") from error


def write_text(what: str, path: Path, text: str) -> None:
    """Writes a file. Raises HostError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HostError(f"{what} {path}: {error.strerror}") from error
