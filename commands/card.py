"""joren card: make, look at, save and block customer cards."""

import json
from datetime import datetime
from pathlib import Path
from secrets import token_bytes

import click

from joren.apdu import LifeCycle
from joren.host import HostError, Slot, run, set_customer_status
from joren.host.desk import make_card
from joren.host.kiosk import read_receipts, view_customer
from joren.host.personalization import CustomerOrder
from joren.host.pin import change_pin, unblock_pin
from joren.host.selecting import select_customer
from joren.simulator.image import image_of, load_image, save_image
from joren.simulator.profile import load_profile

from .options import card_argument, pin_options, profile_option, program_option, read_pins, time_option
from .output import Commands, console, json_option, reply
from .reissue import reissue
from .serve import readers, remove, serve, tap, tear
from .views import customer_fields, customer_picture, identity_fields, log_picture, receipt_fields
from .workspace import CARDS, Workspace, pass_workspace

__all__ = ["card"]

STATES = {"issued": LifeCycle.ISSUED, "blocked": LifeCycle.BLOCKED, "terminated": LifeCycle.TERMINATED}


@click.group("card", cls=Commands)
def card() -> None:
    """Make, look at, save and block customer cards."""


@card.command("new")
@click.argument("name")
@click.option("--id", "card_id", metavar="HEX", help="The card id, 8 bytes; at random if left out.")
@profile_option
@program_option
@pin_options
@json_option
@pass_workspace
def new(workspace: Workspace, name: str, card_id: str | None, profile: str, program: str, pin_file: Path | None, ask_pin: bool) -> None:
    """Make a customer card in the simulator and issue it.

    With a PIN: --pin-file has the PIN in its first line and the PUK (8 digits) in its second; --ask-pin asks for both.

    \b
    Examples:
      joren card new alice
      joren card new bob --id 0102030405060708 --ask-pin
      joren card new carol --profile jcop4
      joren card new dave --card javacard
    """
    pin, puk = read_pins(pin_file, ask_pin, "PIN", "PUK")
    try:
        identity = token_bytes(8) if card_id is None else bytes.fromhex(card_id)
    except ValueError:
        raise HostError(f"card id: 8 bytes in hexadecimal expected, {card_id!r} came") from None
    with workspace.alone():
        path = workspace.new_path(CARDS, name)
        workspace.check_new(identity)
        product = workspace.product
        dialog = make_card(product, workspace.masters, CustomerOrder(identity, pin, puk), guard=workspace.guard())
        with workspace.followed(CARDS, workspace.blank(CARDS, load_profile(profile), program), path) as reader:
            links = {Slot.CUSTOMER: reader.transmit}
            run(dialog, links)
            info = run(select_customer(product.programme), links)
    fields = {"name": name, "image": str(path), "profile": profile, "program": program, **identity_fields(info)}
    reply("card-new", fields, lambda: click.echo(f"{name}: card {fields['card_id']}, {fields['state']}, in {path}"))


@card.command("show")
@card_argument
@time_option
@pin_options
@json_option
@pass_workspace
def show(workspace: Workspace, card: str, time: datetime, pin_file: Path | None, ask_pin: bool) -> None:
    """Show what a customer card tells: rank, score, points, purse.

    What only the holder may see needs the PIN, if the card has one.

    \b
    Examples:
      joren card show alice
      joren card show alice --time 2026-12-24 --json
    """
    (pin,) = read_pins(pin_file, ask_pin, "PIN")
    product = workspace.product
    dialog = view_customer(product.programme, product.hour_of(time), pin=pin)
    with workspace.alone(), workspace.inserted(CARDS, card) as reader:
        view = run(dialog, {Slot.CUSTOMER: reader.transmit})
    reply("card", {"name": card, **customer_fields(view)}, lambda: console().print(customer_picture(card, view, product)))


@card.command("log")
@card_argument
@pin_options
@json_option
@pass_workspace
def log(workspace: Workspace, card: str, pin_file: Path | None, ask_pin: bool) -> None:
    """Show the transactions a customer card still keeps, newest first, each receipt verified with the issuer's key.

    \b
    Example:
      joren card log alice
    """
    (pin,) = read_pins(pin_file, ask_pin, "PIN")
    product = workspace.product
    dialog = read_receipts(product.programme, pin=pin)
    with workspace.alone(), workspace.inserted(CARDS, card) as reader:
        receipts = run(dialog, {Slot.CUSTOMER: reader.transmit})
        masters = workspace.masters
    fields = {"name": card, "transactions": [receipt_fields(receipt, product, masters) for receipt in receipts]}
    reply("card-log", fields, lambda: console().print(log_picture(receipts, product, masters)))


@card.command("image")
@card_argument
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the image to this file.")
@click.option("--with-secrets", is_flag=True, help="With keys and PIN in the clear, in the file alone.")
@json_option
@pass_workspace
def image(workspace: Workspace, card: str, out: Path | None, with_secrets: bool) -> None:
    """Show the image of a card without its secrets, or copy it to a file.

    In the file keys and PIN are wrapped under the storage key of this workspace; --with-secrets writes them in the clear.

    \b
    Examples:
      joren card image alice
      joren card image alice --out before.json
    """
    if with_secrets and out is None:
        raise HostError("--with-secrets: --out FILE expected as well; keys are never shown")
    with workspace.alone():
        storage = workspace.storage
        chip = load_image(workspace.path(CARDS, card), storage)
        if out is not None:
            save_image(chip, out, storage, with_secrets=with_secrets)
            fields = {"image": str(out), "with_secrets": with_secrets}
            reply("card-image", fields, lambda: click.echo(f"written to {out}"))
            return
    shown = image_of(chip)
    reply("card-image", {"content": shown}, lambda: click.echo(json.dumps(shown, indent=1)))


@card.command("pin")
@card_argument
@click.option("--with-puk", is_flag=True, help="Set the PIN with the PUK, also where it has no tries left.")
@pin_options
@json_option
@pass_workspace
def pin(workspace: Workspace, card: str, with_puk: bool, pin_file: Path | None, ask_pin: bool) -> None:
    """Change the PIN of a customer card.

    Asks for the PIN (with --with-puk: the PUK) and the new PIN, or reads them from the two lines of --pin-file.

    \b
    Examples:
      joren card pin bob
      joren card pin bob --with-puk
    """
    secret, wanted = read_pins(pin_file, ask_pin or pin_file is None, "PUK" if with_puk else "PIN", "new PIN")
    assert secret is not None
    assert wanted is not None
    dialog = (unblock_pin if with_puk else change_pin)(workspace.product.programme, secret, wanted)
    with workspace.alone(), workspace.inserted(CARDS, card) as reader:
        run(dialog, {Slot.CUSTOMER: reader.transmit})
    reply("card-pin", {"name": card, "changed": True}, lambda: click.echo(f"{card}: the PIN is changed"))


@card.command("status")
@card_argument
@click.argument("state", type=click.Choice(list(STATES)))
@json_option
@pass_workspace
def status(workspace: Workspace, card: str, state: str) -> None:
    """Block a customer card, let it in again, or end its life for good.

    \b
    Examples:
      joren card status alice blocked
      joren card status alice issued
    """
    with workspace.alone(), workspace.inserted(CARDS, card) as reader:
        dialog = set_customer_status(workspace.product.programme, workspace.masters, STATES[state])
        info = run(dialog, {Slot.CUSTOMER: reader.transmit})
    fields = {"name": card, **identity_fields(info)}
    reply("card-status", fields, lambda: click.echo(f"{card}: {fields['state']}"))


for command in (reissue, serve, tap, remove, tear, readers):
    card.add_command(command)
