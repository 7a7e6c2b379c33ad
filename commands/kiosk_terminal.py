"""A terminal for the kiosk: screens out, a line in, with a time-out and nothing shown of what is secret.

How it works. Nothing is asked of the terminal but to show lines and to send one when Enter is pressed, so any will do. One that can not
clear its screen (TERM=dumb, or no terminal at all) gets as many empty lines as push the last screen out of sight.
"""

import os
import select
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import monotonic
from typing import TextIO

from .kiosk_pages import LINES, Page
from .kiosk_visit import Happening, TimeUp, Visit

__all__ = ["Terminal", "Watch", "attend"]

CLEAR = "\x1b[H\x1b[2J\x1b[3J"
"""To the upper left, the screen, and what was scrolled out of it."""
AWAY = "\n" * (LINES + 1)
PLAIN = ("", "dumb", "unknown")
TICK_S, PASSING_S = 0.2, 4.0
LINE_MAX = 1_024
Watch = Callable[[], Happening | None]
"""What has happened while nothing was entered, if anything has."""


class Terminal:
    """Where lines are read, a file descriptor, and where screens are written. `kind` is $TERM."""

    def __init__(self, source: int, out: TextIO, kind: str) -> None:
        self._source = source
        self._out = out
        self._clear = CLEAR if out.isatty() and kind not in PLAIN else AWAY
        self._rest = b""

    def clear(self) -> None:
        """Leaves nothing on the screen, and nothing of what was typed ahead; what a script has in a pipe stays."""
        if os.isatty(self._source):
            self._rest = b""
            termios.tcflush(self._source, termios.TCIFLUSH)
        self._write(self._clear)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def ask(self, page: Page, timeout_s: float | None, watch: Watch) -> str:
        """Clears the screen, shows a page; what is entered. Raises what happens instead, TimeUp, EOFError at the end of input."""
        with self._unseen() if page.secret else nullcontext():
            self._write(self._clear + "\n".join(page.lines) + "\n" + page.prompt)
            return self._line(timeout_s, watch)

    def _line(self, timeout_s: float | None, watch: Watch) -> str:
        end = None if timeout_s is None else monotonic() + timeout_s
        while b"\n" not in self._rest:
            happened = watch()
            if happened is not None:
                raise happened
            left = TICK_S if end is None else min(TICK_S, end - monotonic())
            if left <= 0:
                raise TimeUp
            if select.select([self._source], [], [], left)[0]:
                self._take()
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace")

    def _take(self) -> None:
        try:
            came = os.read(self._source, LINE_MAX)
        except OSError:  # the terminal was hung up
            came = b""
        if not came:
            raise EOFError
        self._rest = (self._rest + came)[-LINE_MAX:]

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """What is typed is not shown."""
        if not os.isatty(self._source):
            yield
            return
        before = termios.tcgetattr(self._source)
        hidden = [*before]
        hidden[3] = before[3] & ~termios.ECHO
        termios.tcsetattr(self._source, termios.TCSADRAIN, hidden)
        try:
            yield
        finally:
            termios.tcsetattr(self._source, termios.TCSADRAIN, before)


def _nothing() -> None:
    """Nothing happens."""


def attend(visit: Visit, terminal: Terminal, timeout_s: float | None, watch: Watch = _nothing) -> None:
    """A visit from its first screen to its last; the screen is empty then. Raises EOFError."""
    try:
        page = next(visit)
        while True:
            page = _next(visit, page, terminal, timeout_s, watch)
    except StopIteration:
        pass
    finally:
        visit.close()
        terminal.clear()


def _next(visit: Visit, page: Page, terminal: Terminal, timeout_s: float | None, watch: Watch) -> Page:
    if page.passing:
        try:
            return visit.send(terminal.ask(page, PASSING_S, _nothing))
        except TimeUp:
            return visit.send("")
    try:
        entered = terminal.ask(page, timeout_s, watch)
    except Happening as happened:
        return visit.throw(happened)
    return visit.send(entered)
