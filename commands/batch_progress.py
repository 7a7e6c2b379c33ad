"""How a batch goes on, while it does: made, failed, cards a second over the last ten, and the time that is left."""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from types import TracebackType
from typing import Self

import click
from rich.live import Live
from rich.text import Text

from .output import bar, console

__all__ = ["Pace", "Progress", "time_text"]

WINDOW_S = 10.0
SAMPLE_S = 0.2
PLAIN_S = 10.0


class Pace:
    """So many a second over the last ten seconds, of a count that rises; holds no more than the samples of these."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._samples: deque[tuple[float, int]] = deque([(now(), 0)])

    def note(self, count: int) -> None:
        """The count as it is now."""
        time = self._now()
        if time - self._samples[-1][0] >= SAMPLE_S:
            self._samples.append((time, count))
        while len(self._samples) > 2 and time - self._samples[1][0] >= WINDOW_S:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """0.0 before anything can be told."""
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start else 0.0

    def remaining_s(self, left: int) -> float | None:
        """How long `left` more will take; None where nobody knows."""
        return left / self.per_second if self.per_second else None


def time_text(seconds: float | None) -> str:
    """Hours, minutes and seconds; a dash where nobody knows."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Progress(AbstractContextManager["Progress"]):
    """Shows it on stderr: a line that is drawn anew on a terminal, else one every ten seconds."""

    def __init__(self, what: str, total: int, done: int = 0, *, quiet: bool = False) -> None:
        self.what = what
        self.total = total
        self.done = done
        self.failed = 0
        self._pace = Pace()
        self._started = done
        self._quiet = quiet
        self._told = monotonic()
        terminal = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._live = Live(self._text(), console=console(stderr=True), transient=True, auto_refresh=False) if terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def per_second(self) -> float:
        """Made a second, over the last ten."""
        return self._pace.per_second

    def tick(self) -> None:
        """To be called now and then."""
        self._pace.note(self.done - self._started)
        if self._live is not None:
            self._live.update(self._text(), refresh=True)
        elif not self._quiet and monotonic() - self._told >= PLAIN_S:
            self._told = monotonic()
            click.echo(self._text().plain, err=True)

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        self.tick()

    def _text(self) -> Text:
        rest = time_text(self._pace.remaining_s(self.total - self.done))
        drawn = bar(self.done / self.total if self.total else 1.0)
        return Text(
            f"{drawn} {self.what} {self.done:,} of {self.total:,}, failed {self.failed:,}, {self.per_second:.1f} a second, {rest} to go"
        )
