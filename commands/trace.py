"""joren trace: look at a trace of APDUs, and do it again on cards; joren decode: explain one APDU."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from joren.apdu import Command, MalformedCommand, Response
from joren.apdu.explain import Explained, explain_command, explain_response
from joren.host import HostError
from joren.host.replaying import load_trace

from .output import Commands, console, json_option, reply, table
from .trace_replay import replay

__all__ = ["decode", "trace"]

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("trace", cls=Commands)
def trace() -> None:
    """Look at traces of APDUs, and do them again."""


@trace.command("show")
@click.argument("file", type=FILE)
@json_option
def show(file: Path) -> None:
    """Show a trace: which card, which command, what it carried, what came back.

    \b
    Example:
      joren trace show tap.jsonl
    """
    lines = load_trace(file)

    def draw() -> None:
        out = console()
        for line in lines:
            if line.event != "apdu":
                out.print(Text(f"{line.reader}: {line.event}", style="dim"))
                continue
            command = _text(line.decoded.get("command")) or line.command
            response = _text(line.decoded.get("response")) or line.response or "no answer"
            out.print(Text(f"{line.reader}  ", style="bold") + Text(command))
            out.print(Text(f"    > {line.command}", style="dim"), soft_wrap=True)
            out.print(
                Text(f"    < {line.response or '(none)'}  {response}", style="" if line.response.endswith("9000") else "red"),
                soft_wrap=True,
            )
        apdus = [line for line in lines if line.event == "apdu"]
        size = sum((len(line.command) + len(line.response)) // 2 for line in apdus)
        out.print(f"{len(apdus)} APDUs, {size} bytes")

    fields = [
        {"reader": line.reader, "event": line.event, "command": line.command, "response": line.response, "decoded": line.decoded}
        for line in lines
    ]
    reply("trace-show", {"lines": fields}, draw)


@click.command("decode")
@click.argument("apdu")
@click.argument("response", required=False)
@json_option
def decode(apdu: str, response: str | None) -> None:
    """Explain an APDU in hexadecimal, and the RESPONSE to it; "-" reads the APDU from standard input. Secrets are not shown.

    \b
    Examples:
      joren decode 00A4040C09F06A6F72656E01000119
      joren decode "80 38 00 00 02 01 2C 03" "02 01 9C 90 00"
    """
    if apdu == "-":
        apdu = sys.stdin.read()
    command = _command_of(apdu)
    told = [("command", explain_command(command))]
    if response is not None:
        told.append(("response", explain_response(command, _response_of(response))))

    def draw() -> None:
        for what, explained in told:
            console().print(Text(f"{what}: {explained.name}", style="bold"))
            rows = [[f"{field.offset}", f"{field.length}", field.name, field.value] for field in explained.fields]
            if rows:
                console().print(table(("offset", "bytes", "field", "value"), rows, frozenset({"offset", "bytes"})))
            if explained.note:
                console().print(Text(explained.note, style="red"))

    reply("decode", {what: _fields(explained) for what, explained in told}, draw)


def _text(told: Any) -> str:
    return str(told.get("name", "")) if isinstance(told, Mapping) else ""


def _fields(explained: Explained) -> dict[str, Any]:
    fields = [{"offset": one.offset, "length": one.length, "name": one.name, "value": one.value} for one in explained.fields]
    return {"name": explained.name, "case": explained.case, "fields": fields, "note": explained.note}


def _command_of(text: str) -> Command:
    try:
        return Command.decode(bytes.fromhex(text))
    except MalformedCommand as error:
        raise HostError(f"APDU: {error}") from None
    except ValueError:
        raise HostError("APDU: bytes in hexadecimal expected, something else came") from None


def _response_of(text: str) -> Response:
    try:
        return Response.decode(bytes.fromhex(text))
    except ValueError as error:
        raise HostError(f"response: bytes in hexadecimal, at least 2, expected ({error})") from None


trace.add_command(replay)
