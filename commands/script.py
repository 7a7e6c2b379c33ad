"""joren script: probe a card for a server, run a server's script, check what came of it. The terminal's part needs no key of the card."""

from pathlib import Path

import click

from joren.apdu import LinkLost
from joren.host import HostError, Slot, run
from joren.host.script import check_script, probe, relay
from joren.host.scriptfile import Answers, Script

from .admin import FILE, SLOTS, find_card, read_text, write_text
from .output import Commands, json_option, reply
from .workspace import CARDS, SHOPS, Workspace, pass_workspace

__all__ = ["script"]

NOT_DONE = 1


@click.group("script", cls=Commands)
def script() -> None:
    """Changes that a server makes as scripts (joren admin ... --script), and any terminal relays to the card."""


@script.command("probe")
@click.argument("card")
@click.option("--shop-card", is_flag=True, help="CARD is a shop card, though a customer card has its name.")
@click.option("--version", type=click.IntRange(0, 0xFF), default=0, help="Of the card manager's key set; the card's choice if left out.")
@click.option("--out", metavar="FILE", type=FILE, required=True, help="Write it to this file.")
@json_option
@pass_workspace
def probe_command(workspace: Workspace, card: str, shop_card: bool, version: int, out: Path) -> None:
    """Ask a card what a server must know to make a script for it.

    \b
    Example:
      joren script probe alice --out alice.probe
    """
    with workspace.alone():
        place = find_card(workspace, card, None, shop_card)
        with workspace.inserted(place, card) as reader:
            found = run(probe(SLOTS[place], workspace.product.programme, version=version), {SLOTS[place]: reader.transmit})
    write_text("probe", out, found.encode())
    fields = {"name": card, "probe": str(out), "key_version": found.key_version, "counter": found.counter}
    reply("script-probe", fields, lambda: click.echo(f"{card}: key version {found.key_version}, counter {found.counter}, in {out}"))


@script.command("run")
@click.argument("file", metavar="SCRIPT", type=FILE)
@click.argument("card")
@click.option("--answers", metavar="FILE", type=FILE, required=True, help="Write the card's answers to this file, whatever comes.")
@json_option
@pass_workspace
def run_command(workspace: Workspace, file: Path, card: str, answers: Path) -> None:
    """Send the commands of SCRIPT to a card, until one is answered otherwise than it says.

    \b
    Example:
      joren script run alice.script alice --answers alice.answers
    """
    made = Script.decode(read_text("script", file))
    place = CARDS if made.slot is Slot.CUSTOMER else SHOPS
    with workspace.alone(), workspace.inserted(place, card) as reader:
        found = run(relay(made), {made.slot: reader.transmit})
        lost = not reader.powered
    write_text("answers", answers, found.encode())
    if found.ended:
        raise (LinkLost if lost else HostError)(f"{found.ended}; the answers so far are in {answers}")
    fields = {"name": card, "answers": str(answers), "steps": len(made.lines)}
    reply("script-run", fields, lambda: click.echo(f"{card}: all {len(made.lines)} steps answered; the answers are in {answers}"))


@script.command("check")
@click.argument("file", metavar="SCRIPT", type=FILE)
@click.argument("answers", type=FILE)
@json_option
@click.pass_context
def check_command(ctx: click.Context, file: Path, answers: Path) -> None:
    """Tell what the card did, by the answers to SCRIPT and the issuer's keys. Exit code 1: not all of it.

    \b
    Example:
      joren script check alice.script alice.answers
    """
    workspace = ctx.find_object(Workspace)
    assert workspace is not None
    made, found = Script.decode(read_text("script", file)), Answers.decode(read_text("answers", answers))
    with workspace.alone():
        checked = check_script(made, found, workspace.masters)
    identity = made.identity.hex().upper()
    fields = {"change": made.purpose, "card": identity, "done": checked.done, "proven": checked.proven, "steps": checked.steps}
    told = f"{made.purpose}, {made.slot.value} {identity}: {checked.word} ({checked.proven} of {checked.steps} steps proven)"
    reply("script-check", {**fields, "word": checked.word}, lambda: click.echo(told))
    ctx.exit(0 if checked.done else NOT_DONE)
