"""joren: the command line. A thin shell: what commands do is in commands/, and in the library behind them."""

import sys
from io import TextIOWrapper
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from joren.commands.admin import admin
from joren.commands.applet import applet
from joren.commands.card import card
from joren.commands.conform import conform
from joren.commands.demo import demo
from joren.commands.estimate import estimate
from joren.commands.keys import keys
from joren.commands.kiosk import kiosk
from joren.commands.output import Commands
from joren.commands.pcscd import pcscd
from joren.commands.personalize import personalize
from joren.commands.profiles import profiles
from joren.commands.readers import readers
from joren.commands.script import script
from joren.commands.shop import shop
from joren.commands.tear import tear
from joren.commands.till import load, pay, redeem, settle, tap, void
from joren.commands.till_service import till
from joren.commands.trace import decode, trace
from joren.commands.vault_option import vault_options
from joren.commands.wear import wear
from joren.commands.workspace import CARD_WAIT_S, Workspace

__all__ = ["main"]

PATH = click.Path(path_type=Path)


@click.group("joren", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="joren")
@click.option(
    "--home", type=PATH, default=Path(".joren"), envvar="JOREN_HOME", show_default=True, help="Cards, keys, journals ($JOREN_HOME)."
)
@click.option("--product", type=PATH, envvar="JOREN_PRODUCT", help="The card product, a TOML file ($JOREN_PRODUCT).")
@click.option(
    "--card-wait",
    type=click.FloatRange(0, 3600),
    default=CARD_WAIT_S,
    envvar="JOREN_CARD_WAIT",
    show_default=True,
    help="Seconds to wait for a card in a reader ($JOREN_CARD_WAIT).",
)
@vault_options
@click.pass_context
def main(ctx: click.Context, home: Path, product: Path | None, card_wait: float, vault: str | None, vault_pin_file: Path | None) -> None:
    """Loyalty on the card itself: cards, simulated or in readers, tills, and a demo on real purchases.

    \b
    A first tour:
      joren card new alice
      joren tap alice 12.50
      joren card show alice
      joren demo

    Exit codes: 0 done; 1 a fault of joren; 2 a wrong argument; 3 a card refused; 4 a card broke the protocol; 5 the link to a card was
    lost, the sale may be pending; 6 a file, a vault or a reader can not be used.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shall not end a sale
    ctx.obj = Workspace(home, product, vault, vault_pin_file, card_wait)
    ctx.call_on_close(ctx.obj.close)


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete joren's commands.

    \b
    Example:
      joren completion bash > ~/.local/share/bash-completion/completions/joren
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "joren", "_JOREN_COMPLETE").source())


for command in (
    demo,
    card,
    shop,
    applet,
    admin,
    script,
    trace,
    decode,
    tear,
    conform,
    estimate,
    wear,
    profiles,
    readers,
    pcscd,
    keys,
    personalize,
    till,
    kiosk,
    completion,
):
    main.add_command(command)
for command in (tap, redeem, load, pay, void, settle):
    main.add_command(command)

if __name__ == "__main__":
    main()
