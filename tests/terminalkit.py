"""A program on a pseudo-terminal of 80 by 25, and what its screen shows: an emulator of the little that plain screens need.

Widths are those of Unicode's own table (East Asian Width): wide and full-width characters take two columns, all others one.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from unicodedata import east_asian_width

__all__ = ["COLUMNS", "ROWS", "Screen", "Session", "session"]

COLUMNS, ROWS = 80, 25
WAIT_S = 60.0
HOME = "\x1b[H"
"""With which a screen is begun anew."""
SEQUENCE = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])")
BEGUN = re.compile(r"\x1b(\[[0-9;]*)?$")
"""A sequence whose end has not come yet."""


class Screen:
    """What stands on a screen after all that was written to it. Raises AssertionError for what a plain screen has no business to do."""

    def __init__(self) -> None:
        self.rows = [""] * ROWS
        self.row = 0
        self.scrolled: list[str] = []

    def write(self, text: str) -> None:
        at = 0
        while at < len(text):
            found = SEQUENCE.match(text, at)
            if found:
                self._sequence(found[1], found[2])
                at = found.end()
            else:
                self._character(text[at])
                at += 1

    def _sequence(self, number: str, letter: str) -> None:
        match number, letter:
            case "", "H":
                self.row = 0
            case "2", "J":
                self.rows = [""] * ROWS
            case "3", "J":
                self.scrolled = []
            case _:
                raise AssertionError(f"escape sequence {number}{letter}")

    def _character(self, character: str) -> None:
        if character == "\n":
            self.row += 1
            if self.row == ROWS:
                self.scrolled.append(self.rows[0])
                self.rows, self.row = [*self.rows[1:], ""], ROWS - 1
        elif character != "\r":
            assert character.isprintable(), ascii(character)
            self.rows[self.row] += character
            assert width(self.rows[self.row]) <= COLUMNS, self.rows[self.row]

    @property
    def text(self) -> str:
        """The screen without what is blank at the ends of lines and at its end."""
        return "\n".join(row.rstrip() for row in self.rows).rstrip("\n")


def width(text: str) -> int:
    """How many columns a text takes."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


class Session:
    """A program on a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.screen = Screen()
        self._master = master
        self._decoder = getincrementaldecoder("utf-8")()
        self._rest = ""
        self._past: list[str] = []

    def wait(self, *texts: str) -> str:
        """The screen, as soon as all the texts stand on it; also one that was cleared again since the last wait."""
        end = monotonic() + WAIT_S
        while True:
            for shown in (*self._past, self.screen.text):
                if all(text in shown for text in texts) and not self._rest:
                    self._past = []
                    return shown
            assert self._read(end), f"{texts} expected, and the program ended:\n{self.screen.text}"

    def ended(self) -> int:
        """The exit code, once all has been read."""
        end = monotonic() + WAIT_S
        while self._read(end):
            pass
        return self.process.wait(WAIT_S)

    def enter(self, text: str) -> None:
        os.write(self._master, text.encode() + b"\n")

    def hides(self) -> bool:
        """Whether what is typed is not shown."""
        return not termios.tcgetattr(self._master)[3] & termios.ECHO

    def _read(self, end: float) -> bool:
        """Takes what comes next; False at the end of it."""
        assert select.select([self._master], [], [], max(0.0, end - monotonic()))[0], f"nothing came:\n{self.screen.text}"
        try:
            came = os.read(self._master, 65_536)
        except OSError:  # Linux's way to say that nobody has the terminal open any more
            return False
        text = self._rest + self._decoder.decode(came)
        begun = BEGUN.search(text)
        whole = len(text) if begun is None else begun.start()
        self._rest = text[whole:]
        for number, piece in enumerate(text[:whole].split(HOME)):
            if number:
                self._past.append(self.screen.text)
                self.screen.write(HOME)
            self.screen.write(piece)
        return bool(came)


@contextmanager
def session(folder: Path, *words: str, kind: str = "xterm", environment: Mapping[str, str] | None = None) -> Iterator[Session]:
    """`joren` with these words, in a folder, on a terminal of that kind ($TERM)."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (ROWS, COLUMNS))
    given = {name: value for name, value in os.environ.items() if not name.startswith(("JOREN", "COV"))}
    given |= {"TERM": kind, "PYTHONIOENCODING": "utf-8", **(environment or {})}
    command = [sys.executable, "-m", "joren.cli", *words]
    process = subprocess.Popen(command, cwd=folder, env=given, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    try:
        yield Session(process, master)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(WAIT_S)
        os.close(master)
