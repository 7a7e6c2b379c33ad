"""joren kiosk: a card holder looks at the card, and changes its PIN."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import UnsupportedOperation
from pathlib import Path
from types import FrameType
from typing import Any

import click

from joren.apdu import LinkLost
from joren.host import HolderView, HostError, view_holder
from joren.host.pcsc import find_reader

from .kiosk_pages import Page, expiries, known_hour, log_body, logged, rank_body, screen, standing_body
from .kiosk_stations import ReaderStation, SimulatedStation, gone_from
from .kiosk_terminal import Terminal, attend
from .kiosk_visit import CardCame, CardGone, Kiosk, Station, Visit, visit
from .kiosk_words import LANGUAGES
from .options import pin_options, read_pins
from .output import json_option, reply
from .seats import pattern_of
from .views import identity_fields, kind_name
from .workspace import CARDS, Workspace, pass_workspace

__all__ = ["kiosk"]

SCREENS = ("card", "standing", "log")
TIMEOUT_S = 30
TERMINATED = 128 + signal.SIGTERM


def _clock(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> Callable[[], datetime]:
    if value is None:
        return datetime.now
    try:
        time = datetime.fromisoformat(value).replace(tzinfo=None)
    except ValueError:
        raise click.BadParameter(f'2026-01-31 or "2026-01-31 18:30" expected, {value!r} came') from None
    return lambda: time


@click.command("kiosk")
@click.argument("card", required=False)
@click.option("--language", type=click.Choice(list(LANGUAGES)), default="en", show_default=True, help="Of the first screen.")
@click.option(
    "--timeout", type=click.IntRange(1, 3_600), default=TIMEOUT_S, show_default=True, help="Seconds until a holder is logged out."
)
@click.option("--once", type=click.Choice(SCREENS), help="Show this screen alone, and ask nothing.")
@click.option("--time", "clock", metavar="TIME", callback=_clock, help='The time it is, as 2026-01-31 or "2026-01-31 18:30".')
@pin_options
@json_option
@pass_workspace
def kiosk(
    workspace: Workspace,
    card: str | None,
    language: str,
    timeout: int,
    once: str | None,
    clock: Callable[[], datetime],
    pin_file: Path | None,
    ask_pin: bool,
) -> None:
    """Show a card holder rank, points and when they are lost, purse and transactions, after the PIN; the PIN can be changed.

    With CARD it serves that simulated card, once; with pcsc:PATTERN the cards that are put on that reader, one after the other; without
    CARD the simulated cards that are chosen. Screens are plain text of 80 by 25, in English or Japanese; everything is chosen by a digit
    and Enter. With --once one screen is printed, for scripts.

    \b
    Examples:
      joren kiosk alice
      joren kiosk "pcsc:ACS*" --language ja
      joren kiosk alice --once standing --json
    """
    hours = _hours(workspace, clock)
    if once is not None:
        if card is None:
            raise HostError("kiosk --once: a CARD expected")
        (pin,) = read_pins(pin_file, ask_pin, "PIN")
        _once(workspace, Kiosk(workspace.product, SimulatedStation(workspace, card), hours, language), once, pin)
        return
    if pin_file is not None or ask_pin or click.get_current_context().meta.get("joren.json"):
        raise HostError("kiosk: --json, --pin-file and --ask-pin go with --once; the holder enters the PIN")
    _serve(workspace, card, language, timeout, hours)


def _hours(workspace: Workspace, clock: Callable[[], datetime]) -> Callable[[], int]:
    return lambda: workspace.product.hour_of(clock())


def _serve(workspace: Workspace, card: str | None, language: str, timeout: int, hours: Callable[[], int]) -> None:
    terminal, pattern = _terminal(language), None if card is None else pattern_of(card)

    def attend_visit(station: Station) -> None:
        attend(visit(Kiosk(workspace.product, station, hours, language, _shown())), terminal, timeout, gone_from(station))

    with _terminated_is_the_end(), suppress(EOFError, KeyboardInterrupt):
        if pattern is not None:
            with find_reader(pattern) as reader:
                station = ReaderStation(reader)
                while True:
                    attend(_waiting(language), terminal, None, station.arrival)
                    attend_visit(station)
        elif card is not None:
            attend_visit(SimulatedStation(workspace, card))
        else:
            while True:
                chosen: list[str] = []
                attend(_choose(workspace, language, chosen), terminal, None)
                attend_visit(SimulatedStation(workspace, chosen[0]))


def _waiting(language: str) -> Visit:
    """Until a card is put in."""
    words = LANGUAGES[language]
    with suppress(CardCame):
        while True:
            yield screen("waiting", words.choose, ["", f"  {words.put_in}"], prompt="")


def _choose(workspace: Workspace, language: str, chosen: list[str]) -> Visit:
    """In place of a reader: which simulated card is put in, by number or name."""
    notice, words = "", LANGUAGES[language]
    while not chosen:
        names = workspace.names(CARDS)
        listed = [f"  {number:>4}  {name}" for number, name in enumerate(names, 1)]
        body = ["", f"  {words.choose_text if names else words.choose_none}", "", *listed]
        text = (yield screen("choose", words.choose, body, notice=notice)).strip()
        numbered = {str(number): name for number, name in enumerate(names, 1)}
        chosen += [name for name in [numbered.get(text, text)] if name in names]
        notice = words.unknown_choice


def _terminal(language: str) -> Terminal:
    try:
        source = sys.stdin.fileno()
    except (UnsupportedOperation, AttributeError, ValueError):
        raise HostError("kiosk: a terminal, or lines from a pipe, expected; --once shows one screen without") from None
    if language not in _shown():
        raise HostError(f"--language {language}: a terminal with UTF-8 expected, {sys.stdout.encoding} came")
    return Terminal(source, sys.stdout, os.environ.get("TERM", ""))


def _shown() -> tuple[str, ...]:
    """The languages whose characters the terminal has."""

    def can_show(text: str) -> bool:
        try:
            text.encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            return False
        return True

    return tuple(code for code, words in LANGUAGES.items() if can_show(words.own_name))


@contextmanager
def _terminated_is_the_end() -> Iterator[None]:
    """SIGTERM leaves no holder logged in, and no terminal that hides what is typed."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _once(workspace: Workspace, asked: Kiosk, name: str, pin: str | None) -> None:
    product, hour = workspace.product, asked.clock()
    try:
        holder = asked.ask(view_holder(product.programme, hour, pin=pin))
    except CardGone:
        raise LinkLost("the card went away") from None
    if name != "card" and holder.view.detail is None:
        raise HostError(f"kiosk --once {name}: the PIN of the card expected, in --pin-file or with --ask-pin")
    page = _page(asked, name, holder, hour)
    fields = {"screen": name, "language": asked.language, "lines": page.lines, **_fields(asked, name, holder, hour)}
    reply("kiosk", fields, lambda: click.echo("\n".join(page.lines).rstrip()))


def _page(asked: Kiosk, name: str, holder: HolderView, hour: int) -> Page:
    words, product = asked.words, asked.product
    if name == "log":
        return asked.page(name, words.log, log_body(holder.receipts, product, 0, words))
    if name == "standing":
        return asked.page(name, words.standing, standing_body(holder, product, hour, words))
    return asked.page(name, words.standing, ["", *rank_body(holder.view, words)])


def _fields(asked: Kiosk, name: str, holder: HolderView, hour: int) -> dict[str, Any]:
    view, product = holder.view, asked.product
    fields = {**identity_fields(view.info), "pin_tries": view.pin_tries, "rank": view.rank, "score": view.score}
    detail, limits = view.detail, view.limits
    if name == "standing" and detail is not None and limits is not None:
        hour = known_hour(holder, hour)
        lost = [{"points": points, "from": product.time_of(until).isoformat()} for points, until in expiries(detail, limits, hour)]
        fields |= {"points": detail.points_before + detail.points_now, "lost": lost, "purse_minor": detail.purse_minor}
    if name == "log":
        fields["transactions"] = [_logged_fields(asked, receipt) for receipt in holder.receipts]
    return fields


def _logged_fields(asked: Kiosk, receipt: Any) -> dict[str, Any]:
    one = logged(receipt, asked.product)
    return {
        "time": one.time.isoformat(),
        "kind": kind_name(one.kind),
        "void": one.void,
        "amount": one.amount,
        "points": one.points,
        "points_balance": one.points_balance,
        "purse_minor": one.purse_minor,
        "rank": one.rank,
        "shop": one.shop,
    }
