"""The calls of PC/SC (pyscard's smartcard.scard), and a context that lives longer than the PC/SC system does.

How it works. pyscard is imported when a reader is asked for. Where libpcsclite is missing it complains on the standard output, through C's
own buffer; so file descriptor 1 leads to the error stream while it is imported. A context belongs to one object of ours, and so to one
thread at a time: PC/SC lets one call at a time into a context, and a wait is a call. When pcscd dies, its contexts die with it; the next
call makes a new one.
"""

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum, IntFlag
from importlib import import_module
from threading import Lock
from typing import Protocol, cast

from .pcsc_errors import ReaderError, code_of, not_opened

__all__ = ["Context", "Disposition", "Flag", "Pc", "ReaderTuple", "Scard", "Share", "WireProtocol", "load_scard"]


class Share(IntEnum):
    """Whether other programs may use the card meanwhile."""

    EXCLUSIVE = 1
    SHARED = 2


class WireProtocol(IntFlag):
    """The protocols that a connection may use; which one it uses is one of T0 and T1."""

    T0 = 1
    T1 = 2
    ANY = 3


class Disposition(IntEnum):
    """What becomes of the card at the end of a connection, or at its renewal."""

    LEAVE = 0
    RESET = 1
    UNPOWER = 2


class Flag(IntEnum):
    """What PC/SC tells of a reader. The upper 16 bits of the number beside it count insertions and removals."""

    CHANGED = 0x02
    UNKNOWN = 0x04
    UNAVAILABLE = 0x08
    EMPTY = 0x10
    PRESENT = 0x20
    EXCLUSIVE = 0x80
    IN_USE = 0x100
    MUTE = 0x200


class Pc(IntEnum):
    """The codes that are looked at one by one."""

    OK = 0
    INVALID_HANDLE = 0x80100003
    TIMEOUT = 0x8010000A
    UNKNOWN_READER = 0x80100009
    NO_SMARTCARD = 0x8010000C
    COMM_ERROR = 0x80100013
    NOT_TRANSACTED = 0x80100016
    NO_SERVICE = 0x8010001D
    SERVICE_STOPPED = 0x8010001E
    NO_READERS = 0x8010002E
    RESET_CARD = 0x80100068
    REMOVED_CARD = 0x80100069


DEAD = frozenset({Pc.INVALID_HANDLE, Pc.COMM_ERROR, Pc.NO_SERVICE, Pc.SERVICE_STOPPED})
"""Codes of a context whose pcscd is gone."""
SCOPE_SYSTEM = 2
ReaderTuple = tuple[str, int, list[int]]


class Scard(Protocol):
    """What is used of smartcard.scard. Every call gives its code first; what follows means nothing where that is not 0."""

    def SCardEstablishContext(self, scope: int) -> tuple[int, int]: ...
    def SCardReleaseContext(self, context: int) -> int: ...
    def SCardListReaders(self, context: int, groups: list[str]) -> tuple[int, list[str]]: ...
    def SCardGetStatusChange(self, context: int, timeout_ms: int, readers: list[tuple[str, int]]) -> tuple[int, list[ReaderTuple]]: ...
    def SCardConnect(self, context: int, reader: str, share: int, protocols: int) -> tuple[int, int, int]: ...
    def SCardReconnect(self, card: int, share: int, protocols: int, initialization: int) -> tuple[int, int]: ...
    def SCardDisconnect(self, card: int, disposition: int) -> int: ...
    def SCardBeginTransaction(self, card: int) -> int: ...
    def SCardEndTransaction(self, card: int, disposition: int) -> int: ...
    def SCardStatus(self, card: int) -> tuple[int, str, int, int, list[int]]: ...
    def SCardTransmit(self, card: int, protocol: int, command: list[int]) -> tuple[int, list[int]]: ...


_importing = Lock()


def load_scard() -> Scard:
    """pyscard. Raises ReaderError where it is not installed."""
    try:
        with _importing:
            if "smartcard.scard" not in sys.modules:
                with _quiet_output():
                    import_module("smartcard.scard")
            return cast(Scard, sys.modules["smartcard.scard"])
    except ImportError as error:
        raise ReaderError(
            f"PC/SC readers need pyscard, which can not be imported ({error}): apt install gcc python3-dev libpcsclite-dev pcscd, then "
            "pip install 'joren[pcsc]'"
        ) from None


@contextmanager
def _quiet_output() -> Iterator[None]:
    """What C code writes to the standard output meanwhile goes to the error stream."""
    try:
        kept = os.dup(1)
    except OSError:  # there is none
        yield
        return
    try:
        sys.stdout.flush()
        with suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


class Context:
    """A context of PC/SC, made at the first use, and made anew when pcscd has gone. One thread at a time."""

    def __init__(self, scard: Scard | None = None) -> None:
        self._given = scard
        self._handle: int | None = None

    @property
    def scard(self) -> Scard:
        """The calls. Raises ReaderError."""
        if self._given is None:
            self._given = load_scard()
        return self._given

    def handle(self) -> int:
        """The context. Raises ReaderError without pcscd."""
        if self._handle is None:
            code, handle = self.scard.SCardEstablishContext(SCOPE_SYSTEM)
            if code:
                raise not_opened("PC/SC", code)
            self._handle = handle
        return self._handle

    def note(self, code: int) -> bool:
        """Whether a code says that the context is dead; then the next call makes a new one."""
        dead = code_of(code).number in DEAD
        if dead:
            self.close()
        return dead

    def close(self) -> None:
        """Gives the context back, with all connections in it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self.scard.SCardReleaseContext(handle)

    def reader_names(self) -> list[str]:
        """In the order of PC/SC. Raises ReaderError without pcscd."""
        for again in (True, False):
            code, names = self.scard.SCardListReaders(self.handle(), [])
            if not code or code_of(code).number == Pc.NO_READERS:
                return list(names) if not code else []
            if not (self.note(code) and again):
                break
        raise not_opened("PC/SC", code)

    def changes(self, known: Sequence[tuple[str, int]], timeout_ms: int) -> list[ReaderTuple] | None:
        """The states of readers as soon as one differs from what is known; None when the time is over. Raises ReaderError."""
        for again in (True, False):
            code, states = self.scard.SCardGetStatusChange(self.handle(), timeout_ms, list(known))
            number = code_of(code).number
            if not code or number == Pc.TIMEOUT:
                return states if not code else None
            if number == Pc.UNKNOWN_READER:
                there = set(self.reader_names())
                gone = [name for name, _ in known if name not in there]
                raise not_opened(", ".join(gone) or "PC/SC", code)
            if not (self.note(code) and again):
                break
        raise not_opened("PC/SC", code)
