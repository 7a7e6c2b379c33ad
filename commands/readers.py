"""joren readers: the readers of PC/SC, and what is in them."""

from time import monotonic
from typing import Any

import click

from joren.apdu.atr import BadAtr, read_atr, takes_extended_length
from joren.host.pcsc_readers import ReaderState, list_readers, watch

from .output import console, json_line, json_option, reply, table, wants_json

__all__ = ["readers"]


@click.command("readers")
@click.option("--watch", "watching", is_flag=True, help="Go on, and tell every change, until interrupted.")
@click.option("--seconds", type=click.FloatRange(0), help="With --watch: end after so long.")
@json_option
def readers(watching: bool, seconds: float | None) -> None:
    """List the readers of PC/SC, with number, name, what is in them and the card's ATR.

    Where a command wants a card, `pcsc:` and a reader's name, number or pattern takes the card that is in it.

    \b
    Examples:
      joren readers
      joren readers --watch --json
      joren tap "pcsc:ACS*" 12.50
    """
    if watching:
        _watch(seconds)
        return
    found = list_readers()
    rows = [(str(number), state.name, state.word, state.atr.hex().upper()) for number, state in enumerate(found)]

    def show() -> None:
        if not rows:
            click.echo("no reader")
        else:
            console().print(table(("no.", "reader", "card", "ATR"), rows, frozenset({"no."})))

    reply("readers", {"readers": [{"number": number, **_fields(state)} for number, state in enumerate(found)]}, show)


def _watch(seconds: float | None) -> None:
    end = None if seconds is None else monotonic() + seconds
    try:
        for state in watch(lambda: end is not None and monotonic() >= end):
            if wants_json():
                click.echo(json_line("reader", _fields(state)))
            else:
                click.echo(f"{state.name}: {state.word} {state.atr.hex().upper()}".rstrip())
    except KeyboardInterrupt:
        pass


def _fields(state: ReaderState) -> dict[str, Any]:
    protocols: list[str] = []
    extended = False
    try:
        atr = read_atr(state.atr)
    except BadAtr:
        pass
    else:
        protocols = [f"T={number}" for number in atr.protocols]
        extended = takes_extended_length(atr.historical)
    told = {"name": state.name, "state": state.word, "present": state.present, "atr": state.atr.hex().upper() or None}
    return {**told, "protocols": protocols, "extended_length": extended}
