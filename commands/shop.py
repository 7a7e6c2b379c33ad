"""joren shop: make, look at and block shop cards."""

from contextlib import suppress

import click

from joren.host import CardRefused, HostError, Slot, run, set_shop_status
from joren.host.desk import make_card
from joren.host.kiosk import view_shop
from joren.host.personalization import ShopOrder
from joren.host.selecting import select_shop
from joren.simulator.profile import load_profile

from .card import STATES
from .options import profile_option, program_option, shop_argument
from .output import Commands, console, json_option, reply
from .views import shop_fields, shop_identity, shop_picture
from .workspace import SHOPS, Workspace, pass_workspace

__all__ = ["shop"]

SOFTWARE_SHOP = 1
"""The shop of the till with software keys; shop cards are numbered from the next one on."""


@click.group("shop", cls=Commands)
def shop() -> None:
    """Make, look at and block shop cards."""


@shop.command("new")
@click.argument("name")
@click.option("--shop", "number", type=click.IntRange(1, 0xFFFFFFFF), help="The shop number; the next free one if left out.")
@click.option("--terminal", type=click.IntRange(1, 0xFF), default=1, show_default=True, help="Unique within the shop.")
@click.option("--points", type=click.IntRange(0, 0xFFFFFFFF), default=100_000, show_default=True, help="Points it may grant.")
@click.option("--money", default="1000", show_default=True, help="Money it may load.")
@click.option("--may-load/--may-not-load", default=True, show_default=True, help="Whether it gets the key to load purses.")
@profile_option
@program_option
@json_option
@pass_workspace
def new(
    workspace: Workspace, name: str, number: int | None, terminal: int, points: int, money: str, may_load: bool, profile: str, program: str
) -> None:
    """Make a shop card in the simulator and issue it.

    \b
    Examples:
      joren shop new bakery
      joren shop new bakery-2 --shop 2 --terminal 2 --points 5000 --may-not-load
    """
    with workspace.alone():
        path, product = workspace.new_path(SHOPS, name), workspace.product
        taken = _identities(workspace)
        number = number or max((shop for shop, _ in taken), default=SOFTWARE_SHOP) + 1
        if (number, terminal) in taken:
            raise HostError(f"shop {number}, terminal {terminal}: there is a shop card of this number already; give it another terminal")
        order = ShopOrder(number, terminal, points, product.minor(money), may_load)
        dialog = make_card(product, workspace.masters, order, guard=workspace.guard())
        with workspace.followed(SHOPS, workspace.blank(SHOPS, load_profile(profile), program), path) as reader:
            links = {Slot.SHOP: reader.transmit}
            run(dialog, links)
            info = run(select_shop(product.programme), links)
    fields = {"name": name, "image": str(path), "profile": profile, "program": program, **shop_identity(info)}
    reply("shop-new", fields, lambda: click.echo(f"{name}: shop {info.shop}, terminal {info.terminal}, {fields['state']}, in {path}"))


@shop.command("show")
@shop_argument
@json_option
@pass_workspace
def show(workspace: Workspace, shop: str) -> None:
    """Show what a shop card granted, what it may still grant, and what is pending on it.

    \b
    Example:
      joren shop show bakery
    """
    with workspace.alone(), workspace.inserted(SHOPS, shop) as reader:
        view = run(view_shop(workspace.product.programme), {Slot.SHOP: reader.transmit})
    reply("shop", {"name": shop, **shop_fields(view)}, lambda: console().print(shop_picture(shop, view, workspace.product)))


@shop.command("status")
@shop_argument
@click.argument("state", type=click.Choice(list(STATES)))
@json_option
@pass_workspace
def status(workspace: Workspace, shop: str, state: str) -> None:
    """Block a shop card, let it in again, or end its life for good.

    \b
    Example:
      joren shop status bakery blocked
    """
    with workspace.alone(), workspace.inserted(SHOPS, shop) as reader:
        dialog = set_shop_status(workspace.product.programme, workspace.masters, STATES[state])
        info = run(dialog, {Slot.SHOP: reader.transmit})
    fields = {"name": shop, **shop_identity(info)}
    reply("shop-status", fields, lambda: click.echo(f"{shop}: {fields['state']}"))


def _identities(workspace: Workspace) -> set[tuple[int, int]]:
    """Shop and terminal of every shop card here."""
    found = set()
    for _, reader in workspace.each(SHOPS):
        with suppress(CardRefused):  # another programme's card refuses its SELECT
            info = run(select_shop(workspace.product.programme), {Slot.SHOP: reader.transmit})
            found.add((info.shop, info.terminal))
    return found
