"""joren card serve: simulated cards in readers of PC/SC, for any program; and the orders to it while it runs."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

import click

from joren.host import HostError
from joren.simulator.pcscd_room import FIRST_PORT, SLOTS_A_DRIVER, Door, reader_name
from joren.simulator.vpcd import GAP_S, HOST, PORT, Plug, TcpPort, VpcdSlot

from .orders import Order, send_order, served_names
from .output import console, json_line, json_option, reply, table, wants_json
from .served import KeptCard, Served, Slot, TcpSlot
from .serving import Hear, Serving
from .workspace import CARDS, SHOPS, Workspace, pass_workspace

__all__ = ["PRIVATE", "interrupted", "readers", "remove", "serve", "tap", "tear"]

PRIVATE = "JOREN_PCSCD"
"""The environment variable with the folder of a private pcscd."""
PORT_MAX = 0xFFFF
TEXTS = {
    "inserted": "{name} ({kind}): in {reader}",
    "waiting": "{name} ({kind}): waits for pcscd with vpcd, {reader}",
    "removed": "{name}: out",
    "lost": "{name}: pcscd went away; the card goes in again when it is back",
    "torn": "{name}: its power went in the middle of a command, it is out; joren card tap {name} puts it in",
    "failed": "{name}: out, as it can not be kept: {detail}",
}
port_type = click.IntRange(1, PORT_MAX)


def _complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    workspace = Workspace(ctx.find_root().params.get("home") or Path(".joren"))
    return [name for place in (CARDS, SHOPS) for name in workspace.names(place) if name.startswith(incomplete)]


def _name_argument(function: Callable[..., None]) -> Callable[..., None]:
    """NAME: a card that is served."""

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        folder = Workspace(ctx.find_root().params.get("home") or Path(".joren")).serving
        return [name for name in served_names(folder) if name.startswith(incomplete)]

    return click.argument("name", shell_complete=complete)(function)


@click.command("serve")
@click.argument("cards", nargs=-1, required=True, metavar="CARD...", shell_complete=_complete)
@click.option(
    "--port", type=port_type, default=PORT, show_default=True, help="The driver's first slot; each further card is a port further."
)
@click.option("--host", default=HOST, show_default=True, help="Where the driver listens.")
@click.option(
    "--pcscd",
    "folder",
    type=click.Path(path_type=Path),
    envvar=PRIVATE,
    help=f"The folder of a private pcscd, of joren pcscd (${PRIVATE}).",
)
@click.option("--tcp", type=port_type, help="No PC/SC: the card line protocol on this port, and those that follow, of --host.")
@click.option("--out", is_flag=True, help="The cards start out of their readers; joren card tap puts them in.")
@click.option("--wait", is_flag=True, help="Wait for a pcscd that is not there yet.")
@json_option
@pass_workspace
def serve(
    workspace: Workspace, cards: tuple[str, ...], port: int, host: str, folder: Path | None, tcp: int | None, out: bool, wait: bool
) -> None:
    """Put simulated cards into readers that any program on this machine sees, until Ctrl-C.

    CARD is a customer or shop card of the workspace, or an image file. The readers are slots of pcscd's driver vpcd. What a card does is in
    its image before its answer goes. While a card is in, other commands can not have it; orders for it are joren card tap, remove and tear.
    With --json each event is an object on a line.

    \b
    Examples:
      joren card serve alice bakery
      joren card serve alice --tcp 9000
    """
    with workspace.alone():
        workspace.serving.mkdir(mode=0o700, exist_ok=True)
    with interrupted(), Serving(workspace, _tell, wait=wait) as serving:
        for number, image in enumerate(cards):
            if tcp is not None:
                _add_tcp(serving, image, (host, tcp + number))
            else:
                _add_vpcd(serving, image, number, TcpPort(host, port + number) if folder is None else Door(folder, number))
        if not out:
            with workspace.alone():
                serving.tap_all()
        serving.run()


def _add_tcp(serving: Serving, image: str, address: tuple[str, int]) -> None:
    host, port = address
    serving.add(image, f"TCP {host}:{port}", lambda card, hear: TcpSlot(Path(image).stem, address, hear))


def _add_vpcd(serving: Serving, image: str, number: int, plug: Plug) -> None:
    def make(card: KeptCard, hear: Hear) -> Slot:
        return VpcdSlot(card, plug, hear)

    serving.add(image, _where(plug), make)


def _where(plug: Plug) -> str:
    """With the name that PC/SC has for the reader, where it is known: of a private pcscd, and of the system's as Debian sets it up."""
    if isinstance(plug, Door):
        return f"{reader_name(plug.slot)} of the pcscd in {plug.folder}"
    first_driver = {str(TcpPort(port=FIRST_PORT + slot)): slot for slot in range(SLOTS_A_DRIVER)}
    slot = first_driver.get(str(plug))
    return str(plug) if slot is None else f"{reader_name(slot)} ({plug})"


@contextmanager
def interrupted() -> Iterator[None]:
    """Ends in peace at Ctrl-C or SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(served: Served, event: str) -> None:
    fields = {"event": event, "name": served.name, "kind": served.kind, "reader": served.where, "detail": served.trouble}
    click.echo(json_line("card-serve", fields) if wants_json() else TEXTS[event].format(**fields))


def _order(workspace: Workspace, name: str, order: Order) -> Order:
    return send_order(workspace.serving, name, order)


def _picture(states: list[Order]) -> None:
    rows = [[str(state[field]) for field in ("name", "kind", "reader", "state")] for state in states]
    console().print(table(("card", "kind", "reader", "state"), rows))


@click.command("tap")
@_name_argument
@json_option
@pass_workspace
def tap(workspace: Workspace, name: str) -> None:
    """Put a card that joren card serve has into its reader; done when programs have it.

    \b
    Example:
      joren card tap alice
    """
    state = _order(workspace, name, {"order": "tap"})
    reply("card-order", state, lambda: click.echo(f"{name}: {state['state']}, {state['reader']}"))


@click.command("remove")
@_name_argument
@json_option
@pass_workspace
def remove(workspace: Workspace, name: str) -> None:
    """Pull a card that joren card serve has out of its reader; done when programs miss it.

    \b
    Example:
      joren card remove alice
    """
    state = _order(workspace, name, {"order": "remove"})
    sleep(GAP_S)  # pcscd looks every 0.4 s
    reply("card-order", state, lambda: click.echo(f"{name}: {state['state']}"))


@click.command("tear")
@_name_argument
@click.argument("writes", type=click.IntRange(0), metavar="N")
@json_option
@pass_workspace
def tear(workspace: Workspace, name: str, writes: int) -> None:
    """Let the power of a card that joren card serve has go at the N-th write or commit of what follows; 0: it stays.

    That write does not happen, the command is not answered, and the card is out of its reader.

    \b
    Example:
      joren card tear alice 3
    """
    state = _order(workspace, name, {"order": "tear", "writes": writes})
    text = f"its power goes at write {writes} of what follows" if writes else "its power stays"
    reply("card-order", {**state, "writes": writes}, lambda: click.echo(f"{name}: {text}"))


@click.command("readers")
@json_option
@pass_workspace
def readers(workspace: Workspace) -> None:
    """Show which cards joren card serve has, in which readers.

    \b
    Example:
      joren card readers
    """
    states = []
    for name in served_names(workspace.serving):
        with suppress(HostError):  # one that ended without a word
            states.append(_order(workspace, name, {"order": "state"}))
    reply("card-readers", {"readers": states}, lambda: _picture(states))
