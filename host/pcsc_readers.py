"""Which readers PC/SC has, which of them is meant, and what is in them.

A reader is named in full, by its number in the list (from 0), or by a pattern in which * stands for any text and ? for a character; small
letters and capitals are alike in a pattern. All waits end: at a time, or when the caller's `stopped` says so, which is asked every SLICE_S.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic, sleep

from .errors import HostError
from .pcsc_api import Context, Flag, Scard
from .pcsc_errors import Blame, ReaderError, code_of

__all__ = ["SLICE_S", "ReaderState", "choose", "chosen", "list_readers", "slices", "watch"]

SLICE_S = 0.25
EVENTS_SHIFT = 16


@dataclass(frozen=True, slots=True)
class ReaderState:
    """A reader and what is in it. `raw` is PC/SC's number, `atr` b"" where no card answers."""

    name: str
    raw: int
    atr: bytes = b""

    @property
    def events(self) -> int:
        """How many cards came and went, u16; it moves by 2 where one card left and another came."""
        return self.raw >> EVENTS_SHIFT & 0xFFFF

    @property
    def present(self) -> bool:
        """Whether a card is in."""
        return bool(self.raw & Flag.PRESENT)

    @property
    def known(self) -> int:
        """What to tell PC/SC that is known, to hear of a change."""
        return self.raw & ~Flag.CHANGED

    @property
    def word(self) -> str:
        """`empty`, `card`, `card, in use`, `card, held`, `mute card` or `unavailable`."""
        if self.raw & (Flag.UNKNOWN | Flag.UNAVAILABLE):
            return "unavailable"
        if not self.present:
            return "empty"
        if self.raw & Flag.MUTE:
            return "mute card"
        return "card, held" if self.raw & Flag.EXCLUSIVE else "card, in use" if self.raw & Flag.IN_USE else "card"


def list_readers(scard: Scard | None = None) -> list[ReaderState]:
    """Every reader, in the order of PC/SC. Raises ReaderError without pyscard or pcscd."""
    context = Context(scard)
    try:
        return _states(context)
    finally:
        context.close()


def _states(context: Context) -> list[ReaderState]:
    names = context.reader_names()
    if not names:
        return []
    found = context.changes([(name, 0) for name in names], 0)
    return [ReaderState(name, raw, bytes(atr)) for name, raw, atr in found or []]


def chosen(names: Sequence[str], pattern: str) -> list[str]:
    """The readers that are meant: one by its name or number, else all that the pattern fits."""
    if pattern in names:
        return [pattern]
    if pattern.isascii() and pattern.isdigit():
        return [names[int(pattern)]] if len(pattern) <= 3 and int(pattern) < len(names) else []
    told = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return [name for name in names if re.fullmatch(told, name, re.IGNORECASE | re.DOTALL)]


def choose(names: Sequence[str], pattern: str) -> str:
    """The one reader that is meant. Raises ReaderError where there is none, HostError where it could be several."""
    if not pattern:
        raise HostError("reader: its name, its number or a pattern expected, nothing came; joren readers lists them")
    found = chosen(names, pattern)
    if len(found) > 1:
        raise HostError(f"reader {pattern}: one expected, {len(found)} came: {_quoted(found)}; name one in full or by number")
    if not found:
        there = f"there are: {_quoted(names)}" if names else "there is none; plug one in"
        raise ReaderError(f"reader {pattern}: no such reader; {there}")
    return found[0]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def slices(timeout_s: float | None, stopped: Callable[[], bool]) -> Iterator[int]:
    """Milliseconds to wait, slice by slice, until it is time or `stopped` says so; the first may be 0."""
    deadline = None if timeout_s is None else monotonic() + timeout_s
    while not stopped():
        left_s = SLICE_S if deadline is None else deadline - monotonic()
        if left_s < 0:
            return
        yield int(min(SLICE_S, left_s) * 1000)


def watch(stopped: Callable[[], bool], scard: Scard | None = None) -> Iterator[ReaderState]:
    """Every reader as it is, then each change, until `stopped`; a reader that goes is UNAVAILABLE. pcscd may end and start meanwhile."""
    context = Context(scard)
    known: dict[str, ReaderState] = {}
    try:
        for slice_ms in slices(None, stopped):
            now = {state.name: state for state in _states_or_none(context)}
            yield from (ReaderState(name, Flag.UNAVAILABLE) for name in known if name not in now)
            yield from (state for name, state in now.items() if name not in known or state.known != known[name].known)
            known = now
            _wait(context, list(known.values()), slice_ms)
    finally:
        context.close()


def _states_or_none(context: Context) -> list[ReaderState]:
    try:
        return _states(context)
    except ReaderError as error:
        if error.code is None or code_of(error.code).blame not in (Blame.SYSTEM, Blame.READER):
            raise
        return []


def _wait(context: Context, states: list[ReaderState], slice_ms: int) -> None:
    try:
        if states:
            context.changes([(state.name, state.known) for state in states], slice_ms)
            return
    except ReaderError:
        pass
    sleep(slice_ms / 1000)
