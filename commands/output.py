"""How every command answers: text for people, with `--json` one JSON object, and an exit code that says whose fault it was.

0 done; 1 a fault of joren; 2 a wrong command line or argument; 3 a card refused; 4 a card broke the protocol; 5 the link to a card was
lost; 6 a file, a vault or a reader can not be used.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from joren.apdu.trace import BadTrace
from joren.host import CardFault, CardLost, CardRefused, HostError, JournalError, LinkLost, VaultError
from joren.host.conform import BadVectors
from joren.host.pcsc_errors import ReaderError, ReaderLost
from joren.host.production_report import BadReport
from joren.host.replay.log import BadLog
from joren.simulator.chip import DoesNotFit
from joren.simulator.image import BadImage
from joren.simulator.javacard import JavaFault
from joren.simulator.jvm import JvmDied, NoJava
from joren.simulator.pcscd import NoPcscd
from joren.simulator.profile import BadProfile
from joren.simulator.vpcd import NoDriver
from joren.simulator.wire import NoWire

__all__ = ["Commands", "Failure", "bar", "console", "json_line", "json_option", "reply", "table", "wants_json"]

VERSION = 1
WIDE = 1_000
PIPE_CLOSED = 141
META = "joren.json"
EXIT_CODES: dict[type[Exception], int] = {
    VaultError: 6,
    ReaderError: 6,
    HostError: 2,
    CardRefused: 3,
    CardFault: 4,
    CardLost: 5,
    LinkLost: 5,
    JournalError: 6,
    BadImage: 6,
    BadLog: 6,
    BadReport: 6,
    BadVectors: 6,
    BadProfile: 2,
    NoWire: 2,
    NoJava: 6,
    JvmDied: 6,
    JavaFault: 1,
    DoesNotFit: 2,
    BadTrace: 6,
    NoDriver: 6,
    NoPcscd: 6,
    OSError: 6,
}
F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """An error as a command tells it."""

    def __init__(self, error: Exception, exit_code: int, as_json: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.exit_code = exit_code  # type: ignore[misc]
        self.as_json = as_json

    def show(self, file: IO[Any] | None = None) -> None:
        if self.as_json:
            fields: dict[str, Any] = {"error": type(self.error).__name__, "message": self.message, "exit_code": self.exit_code}
            if isinstance(self.error, CardRefused):
                fields |= {"card": self.error.card, "sw": f"{self.error.sw:04X}", "status": self.error.status.name}
            if isinstance(self.error, CardLost):
                fields |= {"card": self.error.card, "reference": self.error.reference}
                fields["fate"] = self.error.fate.value if self.error.fate else None
            if isinstance(self.error.__cause__, ReaderLost):
                fields["cause"] = str(self.error.__cause__)
            click.echo(json_line("error", fields))
        else:
            if isinstance(self.error.__cause__, ReaderLost):
                click.echo(f"joren: {self.error.__cause__}", err=True)
            click.echo(f"joren: {self.message}", err=True)


class Commands(click.Group):
    """A group whose commands end with the exit code of their error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            sys.stderr.close()  # whoever read has gone; nobody is left to be told
            raise SystemExit(PIPE_CLOSED) from None
        except tuple(EXIT_CODES) as error:
            code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
            raise Failure(error, code, wants_json(ctx)) from error


def wants_json(ctx: click.Context | None = None) -> bool:
    """Whether the command that runs was called with `--json`."""
    return bool((ctx or click.get_current_context()).meta.get(META))


def json_option(function: F) -> F:
    """Adds `--json`."""

    def note(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        ctx.meta[META] = value

    text = "Answer with one JSON object."
    return click.option("--json", is_flag=True, expose_value=False, is_eager=True, callback=note, help=text)(function)


def reply(name: str, fields: Mapping[str, Any], show: Callable[[], None]) -> None:
    """Answers: with `--json` the fields as one object of format joren-NAME, else what `show` prints."""
    if wants_json():
        click.echo(json_line(name, fields))
    else:
        show()


def json_line(name: str, fields: Mapping[str, Any]) -> str:
    """The fields as one JSON object of format joren-NAME, on one line."""
    plain = "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower()
    return json.dumps({"format": f"joren-{name}", "version": VERSION, **fields}, ensure_ascii=plain, allow_nan=False)


def console(*, stderr: bool = False) -> Console:
    """Where tables and progress are drawn. Not on a terminal: plain text, as wide as it comes."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream is not None and stream.isatty() else WIDE, highlight=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> Table:
    """A table; the columns named in `right` are set to the right."""
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*map(Text, row))
    return drawn


def bar(part: float, width: int = 24) -> str:
    """A bar of `width` characters, `part` (0..1) of it full."""
    full = round(max(0.0, min(1.0, part)) * width)
    return "█" * full + "░" * (width - full)
