"""joren till: the till service, its token, its OpenAPI document, and cards put into its simulated readers."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import click

from joren.host import HostError, Journal, KeyHolder, ShopCardHolder, Slot, SoftwareKeys, Till, run
from joren.host.selecting import select_shop

from .counter_readers import Counter, CounterReader, Hold
from .options import complete_shops
from .output import Commands, console, json_option, reply, table
from .seats import PCSC, Seat, check_apart, pattern_of
from .shop import SOFTWARE_SHOP
from .workspace import SHOPS, Workspace, pass_workspace

if TYPE_CHECKING:
    from joren.host.service.station import Station, TapReader

__all__ = ["address_path", "till", "till_stations", "token_path"]

PORT = 7413
READERS_MAX = 16
NAME_MAX = 128
TERMINAL_MAX = 0xFF


@click.group("till", cls=Commands)
def till() -> None:
    """The till service: point-of-sale software in any language sells through it, on this machine alone."""


@till.command("token")
@json_option
@pass_workspace
def token(workspace: Workspace) -> None:
    """Make the token that clients of the service show, if there is none; it lies in a file that only you can read.

    \b
    Example:
      joren till token
    """
    from joren.host.service.secret import Token

    path = token_path(workspace)
    made = Token.create(path)
    Token.load(path)
    reply("till-token", {"token_file": str(path), "made": made}, lambda: click.echo(f"{'made' if made else 'there is'} a token in {path}"))


@till.command("openapi")
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the service.

    \b
    Example:
      joren till openapi > openapi-till.json
    """
    from .till_docs import openapi_text

    click.echo(openapi_text(), nl=False)


@till.command("serve")
@click.option("--readers", default="sim:counter", show_default=True, help="sim:NAME,... simulates them; pcsc:PATTERN,... of PC/SC.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Of 127.0.0.1; 0 for any free one.")
@click.option("--shop-card", metavar="SHOP", shell_complete=complete_shops, help="Use this shop card, with one reader; else software keys.")
@click.option(
    "--terminal", type=click.IntRange(0, TERMINAL_MAX), default=1, show_default=True, help="Of the first reader; the next has the next."
)
@json_option
@pass_workspace
def serve(workspace: Workspace, readers: str, port: int, shop_card: str | None, terminal: int) -> None:
    """Sell for clients on this machine, until SIGTERM or Ctrl-C.

    Each reader is a terminal with a journal of its own. Cards are put into simulated readers with `joren till tap`.

    \b
    Examples:
      joren till serve
      joren till serve --readers sim:left,right --port 0
      joren till serve --readers "pcsc:ACS*" --shop-card "pcsc:Identiv*"
    """
    service_library()
    from joren.host.service.desk import Desk
    from joren.host.service.pcsc import tap_readers
    from joren.host.service.secret import Token
    from joren.host.service.server import TillService

    kind, names = reader_names(readers)
    if shop_card is not None and len(names) > 1:
        raise HostError(f"--shop-card: a shop card serves one reader, {len(names)} came")
    if shop_card is not None and kind == "pcsc":
        check_apart(PCSC + names[0], shop_card)
    if terminal + len(names) - 1 > TERMINAL_MAX:
        raise HostError(f"--terminal: {len(names)} readers from {terminal} on go beyond {TERMINAL_MAX}")
    shown = Token.load(token_path(workspace))
    with ExitStack() as stack:
        hold, simulated = Hold(workspace), [CounterReader(name) for name in names if kind == "sim"]
        counter = Counter(hold, simulated) if simulated else None
        stations = stack.enter_context(till_stations(hold, simulated or tap_readers(names), shop_card, terminal))
        names = [station.name for station in stations]
        if counter is not None:
            stack.callback(counter.close)
        service = TillService(Desk(stations, workspace.product.hour_of, counter), shown, port)

        def ready() -> None:
            stack.callback(_note_address(workspace, service.url))
            fields = {"url": service.url, "readers": names, "token_file": str(token_path(workspace))}
            where = f"till service on {service.url}, readers {', '.join(names)}; token in {token_path(workspace)}"
            reply("till-serve", fields, lambda: click.echo(where))
            sys.stdout.flush()

        if not asyncio.run(service.run(ready)):
            click.echo("joren: a reader did not answer; what it was doing is pending, and settled at the card's next tap", err=True)


@till.command("tap")
@click.argument("reader")
@click.argument("card")
@click.option("--lose", metavar="N:WHEN", help="Lose the N-th APDU, `before` or `after` the card acted.")
@json_option
@pass_workspace
def tap(workspace: Workspace, reader: str, card: str, lose: str | None) -> None:
    """Put CARD into the simulated READER of a service that runs.

    \b
    Example:
      joren till tap counter alice
    """
    ask(workspace, f"/v1/simulation/{quote(reader, safe='')}/tap", {"card": card} | ({"lose": lose} if lose else {}))
    reply("till-tap", {"reader": reader, "card": card}, lambda: click.echo(f"{card} is in reader {reader}"))


@till.command("remove")
@click.argument("reader")
@json_option
@pass_workspace
def remove(workspace: Workspace, reader: str) -> None:
    """Take the card out of the simulated READER of a service that runs.

    \b
    Example:
      joren till remove counter
    """
    ask(workspace, f"/v1/simulation/{quote(reader, safe='')}/remove", {})
    reply("till-remove", {"reader": reader}, lambda: click.echo(f"reader {reader} is empty"))


@till.command("readers")
@json_option
@pass_workspace
def readers(workspace: Workspace) -> None:
    """Show the readers of a service that runs, and who has claimed them.

    \b
    Example:
      joren till readers
    """
    fields = ask(workspace, "/v1/readers", None)
    rows = [
        [
            one["name"],
            "in" if one["card_in"] else "none" if one["usable"] else "reader gone",
            (one["claimed"] or {}).get("client", "nobody"),
        ]
        for one in fields["readers"]
    ]
    reply("till-readers", fields, lambda: console().print(table(("reader", "card", "claimed by"), rows)))


def service_library() -> None:
    """Raises HostError where aiohttp is missing."""
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        raise HostError("the till service needs aiohttp: pip install 'joren[service]'") from None


def token_path(workspace: Workspace) -> Path:
    """Where the token is."""
    return workspace.home / "till" / "token"


def address_path(workspace: Workspace) -> Path:
    """Where a service that runs says its address."""
    return workspace.home / "till" / "address"


def _note_address(workspace: Workspace, url: str) -> Callable[[], None]:
    """Writes the address; what is given back takes it away."""
    path = address_path(workspace)
    path.write_text(f"{url}\n", encoding="ascii")

    def forget() -> None:
        if path.exists() and path.read_text(encoding="ascii").strip() == url:
            path.unlink()

    return forget


def reader_names(text: str) -> tuple[str, list[str]]:
    """What `--readers` asks for: the kind, and names or patterns. Raises HostError."""
    kind, _, listed = text.partition(":")
    names = [name.removeprefix(f"{kind}:") for name in listed.split(",")]
    right = kind in ("sim", "pcsc") and len(set(names)) == len(names) <= READERS_MAX
    if not right or not all(name.isprintable() and name == name.strip() and 0 < len(name) <= NAME_MAX for name in names):
        raise HostError(f"--readers: sim:NAME,... or pcsc:PATTERN,..., up to {READERS_MAX} that differ, expected, {text!r} came")
    return kind, names


@contextmanager
def till_stations(hold: Hold, readers: "Sequence[TapReader]", shop_card: str | None, terminal: int) -> "Iterator[list[Station]]":
    """A station for each reader, each with its till and journal. With a simulated shop card the folder is this process's own."""
    from joren.host.service.station import Station

    workspace = hold.workspace
    with ExitStack() as stack, hold.held():
        product, offers = workspace.product, workspace.offers
        shop: Seat | None = None
        if shop_card is not None:
            if pattern_of(shop_card) is None:
                stack.enter_context(hold.held())
            shop = stack.enter_context(workspace.inserted(SHOPS, shop_card))
        stations = []
        for number, reader in enumerate(readers):
            holder, name = _holder(workspace, shop, terminal + number)
            journal = stack.enter_context(Journal(workspace.home / "tills" / f"{name}.sqlite", shared=True))
            made = Till(holder, journal, stop_list=workspace.stop_list, offers=offers)
            stations.append(Station(reader, made, lambda: product.hour_of(datetime.now()), shop))
        _ = workspace.storage  # read now: cards come in while other threads work
        kept = stack.pop_all()
    with kept:
        yield stations


def _holder(workspace: Workspace, shop: Seat | None, terminal: int) -> tuple[KeyHolder, str]:
    programme, masters = workspace.product.programme, workspace.masters
    if shop is not None:
        info = run(select_shop(programme), {Slot.SHOP: shop.transmit})
        return ShopCardHolder(programme), f"{programme}-{info.shop}-{info.terminal}"
    keys = SoftwareKeys(programme, SOFTWARE_SHOP, terminal, masters.ring("till", programme), masters.ring("load", programme))
    return keys, f"{programme}-{SOFTWARE_SHOP}-{terminal}"


def ask(workspace: Workspace, path: str, body: dict[str, Any] | None) -> Any:
    """One call of the service that runs for this folder. Raises HostError."""
    try:
        url = address_path(workspace).read_text(encoding="ascii").strip()
        shown = token_path(workspace).read_text(encoding="ascii").strip()
    except OSError:
        raise HostError(f"no till service runs for {workspace.home}; start one with: joren till serve") from None
    data = None if body is None else json.dumps(body).encode()
    request = Request(url + path, data, {"Authorization": f"Bearer {shown}"})  # noqa: S310 - an address on the loopback
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=30) as response:
            return json.load(response)
    except HTTPError as error:
        told = json.load(error)
        raise HostError(f"{told['message']}; {told['what_to_do']}") from None
    except (URLError, OSError):
        raise HostError(f"the till service at {url} does not answer; start it with: joren till serve") from None
