"""Options that several commands have."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from joren.host import HostError
from joren.simulator.chip import MODEL
from joren.simulator.java_roles import PROGRAMS

from .workspace import CARDS, SHOPS, Place, Workspace

__all__ = [
    "TapsADay", "card_argument", "complete_shops", "pin_options", "profile_option", "program_option", "read_pins", "shop_argument",
    "time_option",
]  # fmt: skip


class TapsADay(click.FloatRange):
    """A rate from 0.001 to 1,000,000; no nan."""

    def __init__(self) -> None:
        super().__init__(0.001, 1e6)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        rate = float(super().convert(value, param, ctx))
        if rate != rate:  # noqa: PLR0124 - nan is not itself, and in no range
            self.fail("a number expected, nan came", param, ctx)
        return rate


F = TypeVar("F", bound=Callable[..., Any])


def _complete(place: Place) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What the shell may complete: the names of the cards in the workspace."""

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        home = ctx.find_root().params.get("home") or Path(".joren")
        return [name for name in Workspace(home).names(place) if name.startswith(incomplete)]

    return complete


def _time(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> datetime:
    try:
        return datetime.now() if value is None else datetime.fromisoformat(value).replace(tzinfo=None)
    except ValueError:
        raise click.BadParameter(f'2026-01-31 or "2026-01-31 18:30" expected, {value!r} came') from None


complete_shops = _complete(SHOPS)


def card_argument(function: F) -> F:
    """CARD: a customer card."""
    return click.argument("card", shell_complete=_complete(CARDS))(function)


def shop_argument(function: F) -> F:
    """SHOP: a shop card."""
    return click.argument("shop", shell_complete=_complete(SHOPS))(function)


def profile_option(function: F) -> F:
    """--profile: which chip a new card is made on."""
    text = "The chip: a card profile (joren profiles), or a TOML file of your own."
    return click.option("--profile", metavar="NAME", default="ideal", show_default=True, help=text)(function)


def program_option(function: F) -> F:
    """--card: which program a new card runs."""
    text = "What it runs: the model of the card, or the Java Card applet (joren applet build)."
    return click.option("--card", "program", type=click.Choice(list(PROGRAMS)), default=MODEL.name, show_default=True, help=text)(function)


def time_option(function: F) -> F:
    """--time: when it happens, now by default."""
    text = 'When it happens, as 2026-01-31 or "2026-01-31 18:30"; now if left out.'
    return click.option("--time", metavar="TIME", callback=_time, help=text)(function)


def pin_options(function: F) -> F:
    """--pin-file and --ask-pin; never the PIN itself, which other users of the machine could read in the list of processes."""
    ask = click.option("--ask-pin", is_flag=True, help="Ask for the PIN at the terminal.")
    file = click.option("--pin-file", type=click.Path(path_type=Path, dir_okay=False), help="A file with the PIN in its first line.")
    return file(ask(function))


def read_pins(pin_file: Path | None, ask_pin: bool, *prompts: str) -> tuple[str | None, ...]:
    """One secret for each prompt: from the lines of the file, or asked for, or None."""
    if pin_file is not None:
        try:
            lines = pin_file.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            raise HostError(f"PIN file {pin_file}: can not be read, or is no ASCII text") from None
        if len(lines) < len(prompts):
            raise HostError(f"PIN file {pin_file}: {len(prompts)} lines expected ({', '.join(prompts)}), {len(lines)} came")
        return tuple(lines[: len(prompts)])
    if ask_pin:
        return tuple(str(click.prompt(prompt, hide_input=True)) for prompt in prompts)
    return (None,) * len(prompts)
