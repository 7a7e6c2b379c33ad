"""joren tap, redeem, load, pay, void, settle: a counter with simulated cards, or with the cards in readers (`pcsc:PATTERN`).

How it works. A sale is a dialog of the host library's Till, driven over two readers. Every till has its journal in the workspace,
so a sale that was lost is settled at the next tap, by any of these commands. `--lose` breaks the link on purpose.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import Any, TypeVar

import click

from joren.apdu import Command, Response, Transmit
from joren.apdu.explain import decoded
from joren.apdu.trace import TraceWriter
from joren.host import (
    CardFault,
    CardLost,
    Dialog,
    Granted,
    HostError,
    Journal,
    JournalError,
    KeyHolder,
    Settled,
    ShopCardHolder,
    Slot,
    SoftwareKeys,
    Till,
    run,
)
from joren.host.record import BestEffortFile
from joren.host.selecting import select_customer, select_shop
from joren.simulator.chip import Chip
from joren.simulator.profile import Profile
from joren.simulator.protocol import Protocol
from joren.simulator.reader import Loss, Losses, Meter, Reader, When
from joren.simulator.work import Work

from .options import card_argument, complete_shops, pin_options, read_pins, time_option
from .output import console, json_option, reply
from .seats import Seat, check_apart
from .shop import SOFTWARE_SHOP
from .times import timed, times_fields, times_picture, wire_for
from .tryout import Exchange
from .views import granted_fields, granted_picture, row_fields
from .workspace import CARDS, SHOPS, Workspace, pass_workspace

__all__ = ["load", "loss", "pay", "redeem", "settle", "tap", "void"]

SOFTWARE_TERMINAL = 0
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Counter:
    """What all commands at a counter are given."""

    card: str
    shop_card: str | None
    lose: tuple[str, ...]
    trace: Path | None
    stop: tuple[str, ...]
    reference: str | None = None
    time: datetime | None = None
    language: str = "en"
    timed: bool = False
    exchanges: list[tuple[Exchange, Profile]] = field(default_factory=list)
    """What each APDU was, and the profile of its card."""


def counter_options(function: F) -> F:
    """CARD and the options of a counter, which become a Counter."""
    trace_file = click.Path(path_type=Path, dir_okay=False)
    options = [
        card_argument,
        click.option("--shop-card", metavar="SHOP", shell_complete=complete_shops, help="Use this shop card; else software keys."),
        click.option("--lose", metavar="N:WHEN", multiple=True, help="Lose the N-th APDU, `before` or `after` the card acted."),
        click.option("--trace", type=trace_file, help="Write every APDU to this file, as JSON lines."),
        click.option("--stop", metavar="HEX", multiple=True, help="Refuse the card with this id, beside those of stop.txt."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def sale_options(function: F) -> F:
    """--reference, --time, --language, --timed and --json."""
    reference = click.option("--reference", help="The till's name for the sale. The same again gives the same sale's result.")
    language = click.option("--language", default="en", show_default=True, help="Of the offers.")
    timed = click.option("--timed", is_flag=True, help="Tell how long the sale would take on the cards' profiles, by the model.")
    return reference(time_option(language(timed(json_option(function)))))


@click.command("tap")
@counter_options
@click.argument("amount")
@click.option("--category", type=click.IntRange(0, 15), default=0, show_default=True, help="Of what was bought.")
@click.option("--factor", default="1", show_default=True, help="Campaign factor: 2 for double points, 1.5, ...")
@click.option("--pay", is_flag=True, help="Take the amount from the purse in the same tap.")
@pin_options
@sale_options
@pass_workspace
def tap(
    workspace: Workspace,
    /,
    amount: str,
    category: int,
    factor: str,
    pay: bool,
    pin_file: Path | None,
    ask_pin: bool,
    **counter: Any,
) -> None:
    """A purchase of AMOUNT: the card computes rank and points. With --shop-card the shop card computes.

    \b
    Examples:
      joren tap alice 12.50
      joren tap alice 48 --shop-card bakery --category 3 --factor 2
      joren tap alice 12.50 --lose 2:after
    """
    minor = workspace.product.minor(amount)
    (pin,) = read_pins(pin_file, ask_pin, "PIN")
    tenths = _tenths(factor)
    _sell(workspace, Counter(**counter), lambda till, name, hour: till.purchase(name, hour, minor, category, tenths, pay=pay, pin=pin))


@click.command("redeem")
@counter_options
@click.argument("points", type=int)
@pin_options
@sale_options
@pass_workspace
def redeem(workspace: Workspace, /, points: int, pin_file: Path | None, ask_pin: bool, **counter: Any) -> None:
    """Take POINTS from a card.

    \b
    Example:
      joren redeem alice 100
    """
    (pin,) = read_pins(pin_file, ask_pin, "PIN")
    _sell(workspace, Counter(**counter), lambda till, name, hour: till.redeem(name, hour, points, pin=pin))


@click.command("load")
@counter_options
@click.argument("amount")
@sale_options
@pass_workspace
def load(workspace: Workspace, /, amount: str, **counter: Any) -> None:
    """Load the purse of a card with AMOUNT.

    \b
    Example:
      joren load alice 50
    """
    minor = workspace.product.minor(amount)
    _sell(workspace, Counter(**counter), lambda till, name, hour: till.load(name, hour, minor))


@click.command("pay")
@counter_options
@click.argument("amount")
@pin_options
@sale_options
@pass_workspace
def pay(workspace: Workspace, /, amount: str, pin_file: Path | None, ask_pin: bool, **counter: Any) -> None:
    """Take AMOUNT from the purse of a card. `joren tap --pay` pays and earns in one tap.

    \b
    Example:
      joren pay alice 3.20
    """
    minor = workspace.product.minor(amount)
    (pin,) = read_pins(pin_file, ask_pin, "PIN")
    _sell(workspace, Counter(**counter), lambda till, name, hour: till.pay(name, hour, minor, pin=pin))


@click.command("void")
@counter_options
@click.argument("sold", metavar="REFERENCE")
@sale_options
@pass_workspace
def void(workspace: Workspace, /, sold: str, **counter: Any) -> None:
    """Take back the sale REFERENCE: the last one of its card, made at this till.

    \b
    Example:
      joren void alice S-1
    """
    _sell(workspace, Counter(**counter), lambda till, name, hour: till.void(name, hour, sold))


@click.command("settle")
@counter_options
@json_option
@pass_workspace
def settle(workspace: Workspace, /, **counter: Any) -> None:
    """Find out what became of lost sales of a card, and sell nothing.

    \b
    Example:
      joren settle alice
    """
    settled: Settled = _drive(workspace, Counter(**counter), lambda till: till.settle())
    rows = [row_fields(row) for row in settled.rows]
    lines = [f"{row['reference'] or 'a sale without a reference'}: {row['fate']}" for row in rows] or ["nothing to settle"]
    reply("settled", {"card_id": settled.card_id.hex().upper(), "settled": rows}, lambda: click.echo("\n".join(lines)))


def _sell(workspace: Workspace, counter: Counter, make: Callable[[Till, str, int], Dialog[Granted]]) -> None:
    name = f"S-{token_hex(4)}" if counter.reference is None else counter.reference
    product, language = workspace.product, counter.language
    hour = product.hour_of(counter.time or datetime.now())
    try:
        granted = _drive(workspace, counter, lambda till: make(till, name, hour))
    except (CardFault, CardLost, JournalError, OSError):
        if counter.reference is None:
            click.echo(f"joren: the sale's reference is {name}; ask for it again with --reference {name}", err=True)
        raise
    times = [timed(profile, wire_for(profile, one.protocol, None), one) for one, profile in counter.exchanges]
    fields = granted_fields(granted, language) | ({"times": times_fields(times)} if counter.timed else {})
    parts = [granted_picture(granted, product, language), *([times_picture(times)] if counter.timed else [])]
    reply("sale", fields, lambda: console().print(*parts, sep="\n"))


def _drive(workspace: Workspace, counter: Counter, make: Callable[[Till], Dialog[T]]) -> T:
    """Both readers with their cards, the till with its journal, and the dialog to its end."""
    cards = {Slot.CUSTOMER: (CARDS, counter.card)}
    if counter.shop_card is not None:
        cards[Slot.SHOP] = (SHOPS, counter.shop_card)
    check_apart(*(name for _, name in cards.values()))
    for place, name in cards.values():
        workspace.expect(place, name)
    with ExitStack() as stack:
        stack.enter_context(workspace.alone())
        trace = None if counter.trace is None else stack.enter_context(closing(BestEffortFile(counter.trace, _untraced)))
        readers: dict[Slot, Seat] = {slot: stack.enter_context(workspace.inserted(*card)) for slot, card in cards.items()}
        holder, shop, terminal = _holder(workspace, readers)
        journal = stack.enter_context(Journal(workspace.home / "tills" / f"{workspace.product.programme}-{shop}-{terminal}.sqlite"))
        _watch(counter, readers, trace)
        stop_list = workspace.stop_list.read() | frozenset(map(_card_id, counter.stop))
        till = Till(holder, journal, stop_list=stop_list, offers=workspace.offers)
        links: dict[Slot, Transmit] = {slot: reader.transmit for slot, reader in readers.items()}
        result = run(make(till), links)
        if isinstance(result, Granted) and result.recovered:
            _check_card(workspace, readers[Slot.CUSTOMER], result)
        return result


def _check_card(workspace: Workspace, reader: Seat, granted: Granted) -> None:
    """Raises HostError where the result that was found again is that of another card than the one in the reader."""
    reader.losses = None
    reader.reset()
    info = run(select_customer(workspace.product.programme), {Slot.CUSTOMER: reader.transmit})
    if info.card_id != granted.card_id:
        cards = f"card {granted.card_id.hex().upper()}, card {info.card_id.hex().upper()} came"
        raise HostError(f"sale {granted.reference} was made with {cards}: give each sale a reference of its own")


def _holder(workspace: Workspace, readers: dict[Slot, Seat]) -> tuple[KeyHolder, int, int]:
    programme, masters = workspace.product.programme, workspace.masters
    if Slot.SHOP in readers:
        info = run(select_shop(programme), {Slot.SHOP: readers[Slot.SHOP].transmit})
        return ShopCardHolder(programme), info.shop, info.terminal
    keys = SoftwareKeys(programme, SOFTWARE_SHOP, SOFTWARE_TERMINAL, masters.ring("till", programme), masters.ring("load", programme))
    return keys, SOFTWARE_SHOP, SOFTWARE_TERMINAL


def _watch(counter: Counter, readers: dict[Slot, Seat], trace: BestEffortFile | None) -> None:
    """From here on APDUs are counted, lost on order, and written to the trace."""
    losses = Losses(map(loss, counter.lose))
    writer = TraceWriter(trace, monotonic, decoded) if trace else None
    for slot, reader in readers.items():
        reader.losses = losses
        if counter.timed:
            if not isinstance(reader, Reader):
                raise HostError(f"--timed: a simulated {slot.value} expected, whose profile tells the times")
            reader.meter = _metered(counter, slot)
        if writer is not None:
            writer.attach(reader)


def _untraced(error: OSError) -> None:
    click.echo(f"joren: the trace ends here: {error.strerror}", err=True)


def _metered(counter: Counter, slot: Slot) -> Meter:
    def meter(chip: Chip, protocol: Protocol, command: Command, response: Response, work: Work) -> None:
        counter.exchanges.append((Exchange(slot, protocol, command, response, work), chip.profile))

    return meter


def loss(text: str) -> Loss:
    """What `--lose` says, 2:after. Raises HostError."""
    number, _, when = text.partition(":")
    if not (number.isascii() and number.isdigit() and 0 < len(number) < 6) or int(number) == 0 or when not in ("before", "after"):
        raise HostError(f"--lose: the number of an APDU and when, as 2:after, expected, {text!r} came")
    return Loss(int(number), When(when))


def _card_id(text: str) -> bytes:
    try:
        card_id = bytes.fromhex(text)
    except ValueError:
        card_id = b""
    if len(card_id) != 8:
        raise HostError(f"--stop: a card id, 8 bytes in hexadecimal, expected, {text!r} came")
    return card_id


def _tenths(factor: str) -> int:
    whole, _, tenth = factor.partition(".")
    if not (factor.isascii() and whole.isdigit() and len(whole) <= 2 and len(tenth) <= 1 and (tenth or "0").isdigit()) or int(whole) > 25:
        raise HostError(f"--factor: 0.1 to 25.5 with at most one decimal expected, {factor!r} came")
    return int(whole) * 10 + int(tenth or 0)
