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
from .kiosk_visit import CardGone, TimeUp, Visit

__all__ = ["Terminal", "attend"]

CLEAR = "\x1b[H\x1b[2J\x1b[3J"
"""To the upper left, the screen, and what was scrolled out of it."""
AWAY = "\n" * (LINES + 1)
PLAIN = ("", "dumb", "unknown")
TICK_S, PASSING_S = 0.2, 4.0
LINE_MAX = 1_024


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

    def ask(self, page: Page, timeout_s: float | None, still: Callable[[], bool]) -> str:
        """Clears the screen, shows a page; what is entered. Raises TimeUp, CardGone once `still` says no, EOFError at the end of input."""
        with self._unseen() if page.secret else nullcontext():
            self._write(self._clear + "\n".join(page.lines) + "\n" + page.prompt)
            return self._line(timeout_s, still)

    def _line(self, timeout_s: float | None, still: Callable[[], bool]) -> str:
        end = None if timeout_s is None else monotonic() + timeout_s
        while b"\n" not in self._rest:
            if not still():
                raise CardGone
            left = TICK_S if end is None else min(TICK_S, end - monotonic())
            if left <= 0:
                raise TimeUp
            if select.select([self._source], [], [], left)[0]:
                self._take()
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace")

    def _take(self) -> None:
        came = os.read(self._source, LINE_MAX)
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


def attend(visit: Visit, terminal: Terminal, timeout_s: float | None, still: Callable[[], bool] = lambda: True) -> None:
    """A visit from its first screen to its last; the screen is empty then. Raises EOFError."""
    try:
        page = next(visit)
        while True:
            page = _next(visit, page, terminal, timeout_s, still)
    except StopIteration:
        pass
    finally:
        visit.close()
        terminal.clear()


def _next(visit: Visit, page: Page, terminal: Terminal, timeout_s: float | None, still: Callable[[], bool]) -> Page:
    if page.passing:
        try:
            return visit.send(terminal.ask(page, PASSING_S, lambda: True))
        except TimeUp:
            return visit.send("")
    try:
        entered = terminal.ask(page, timeout_s, still)
    except (TimeUp, CardGone) as happened:
        return visit.throw(happened)
    return visit.send(entered)
