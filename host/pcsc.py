"""A reader of PC/SC and the card in it: the seam `transmit(Command) -> Response` over pyscard.

How it works. A `PcscReader` waits for cards; `connect` gives the `PcscCard` that dialogs are run with. Each reader has a context of its
own, and is used by one thread at a time, with its card; two readers may be used by two threads.

A link that is lost stays lost for the dialog in hand, whatever PC/SC says afterwards: `transmit` raises ReaderLost until `reset` (or
`ready`) has begun a new session, with the card that is in the reader by then. No session goes on over a reset by another program.

What PC/SC does not see is a card that is swapped within its polling gap (400 ms with pcscd and a driver that is polled): the connection
goes on with the other card. So nothing here says which card it is. The dialogs do: every one begins with SELECT, the other card has no
instance selected and refuses, and what a card did counts only by its MAC, under keys made from the id that SELECT told.

What becomes of a card is chosen. The end of a connection that had the card for itself resets it, so that nobody goes on with its session;
a card that others share is left as it is, and so is one whose link was lost: to reset a card that is gone makes pcscd 1.9.9 deaf to a
card that comes within its polling gap. For the same reason `reset` waits, after a link that was lost on the way, until PC/SC had the time
to see that the card is gone.

With T=0 a command goes as its TPDU: no Le behind data, P3 = 00 where there is nothing; what the card says goes up, and
`joren.host.dialog` fetches what waits (61XX) and corrects Le (6CXX), in part of drivers that do so themselves too. Extended length needs
T=1 and a card whose ATR says that it takes it; else the command is refused before its first byte.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Never, Self

from joren.apdu import Command, MalformedResponse, Response
from joren.apdu.atr import BadAtr, read_atr, takes_extended_length

from .errors import CardFault, HostError
from .pcsc_api import Context, Disposition, Flag, Pc, Scard, Share, WireProtocol
from .pcsc_errors import ReaderError, ReaderLost, code_of, not_opened
from .pcsc_readers import ReaderState, choose, slices

__all__ = ["Disposition", "PcscCard", "PcscReader", "ReaderError", "ReaderLost", "Share", "WireProtocol", "find_reader"]

APDU_MAX = 0xFFFF
"""What drivers carry; a longer one throws vpcd's card out."""
SETTLE_S = 1.0
"""More than twice as long as pcscd takes to see that a card is gone."""
LEFT_ALONE = (Pc.NOT_TRANSACTED,)


def _never() -> bool:
    return False


def find_reader(pattern: str, scard: Scard | None = None) -> "PcscReader":
    """The reader that is named in full, by number or by a pattern (pcsc_readers). Raises ReaderError, and HostError for several."""
    context = Context(scard)
    try:
        return PcscReader(choose(context.reader_names(), pattern), scard)
    finally:
        context.close()


class PcscReader:
    """A reader, by its full name. Nothing is asked of PC/SC before its first use; `close` gives its context back."""

    def __init__(self, name: str, scard: Scard | None = None) -> None:
        self.name = name
        self.context = Context(scard)

    def close(self) -> None:
        """Gives its context back, with what is connected in it."""
        self.context.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def state(self) -> ReaderState:
        """What is in it now. Raises ReaderError."""
        found = self.context.changes([(self.name, 0)], 0) or [(self.name, 0, [])]
        state = ReaderState(self.name, found[0][1], bytes(found[0][2]))
        if state.raw & (Flag.UNKNOWN | Flag.UNAVAILABLE):
            raise not_opened(self.name, Pc.UNKNOWN_READER)
        return state

    def wait_card(
        self, timeout_s: float | None = None, stopped: Callable[[], bool] = _never, after: ReaderState | None = None
    ) -> ReaderState | None:
        """Waits until a card is in; with `after`, another one than was in then, or the same one put in again.

        None when it is time or `stopped` says so. Raises ReaderError for a reader that is gone.
        """
        return self._wait(
            lambda now: now.present and (after is None or not after.present or now.events != after.events), timeout_s, stopped
        )

    def wait_gone(
        self, timeout_s: float | None = None, stopped: Callable[[], bool] = _never, after: ReaderState | None = None
    ) -> ReaderState | None:
        """Waits until no card is in, or with `after` the one that was in then has left. Otherwise as `wait_card`."""
        return self._wait(lambda now: not now.present or (after is not None and now.events != after.events), timeout_s, stopped)

    def _wait(self, reached: Callable[[ReaderState], bool], timeout_s: float | None, stopped: Callable[[], bool]) -> ReaderState | None:
        state = self.state()
        for slice_ms in slices(timeout_s, stopped):
            if reached(state):
                return state
            if self.context.changes([(self.name, state.known)], slice_ms) is not None:
                state = self.state()
        return state if reached(state) else None

    def connect(
        self, share: Share = Share.EXCLUSIVE, protocols: WireProtocol = WireProtocol.ANY, extended: bool | None = None
    ) -> "PcscCard":
        """The card that is in. `extended`: whether it takes extended length, None: what its ATR says.

        Raises ReaderError (no card, held by another program, no reader, no pcscd) and CardFault (it does not answer to power).
        """
        return PcscCard(self, share, protocols, extended)


class PcscCard:
    """A card in a reader, connected; `transmit` is the seam the host library wants."""

    def __init__(self, reader: PcscReader, share: Share, protocols: WireProtocol, extended: bool | None) -> None:
        self.reader = reader
        self.name = reader.name
        self.atr = b""
        self.protocol = WireProtocol.T1
        self.extended = False
        self._share = share
        self._protocols = protocols
        self._wanted_extended = extended
        self._scard = reader.context.scard
        self._handle: int | None = None
        self._lost_by: int | None = None
        self._found: ReaderState | None = None
        self._connect()

    @property
    def lost(self) -> bool:
        """Whether the link is lost, or closed: `transmit` raises until `reset`."""
        return self._handle is None or self._lost_by is not None

    def transmit(self, command: Command) -> Response:
        """Sends a command, and gives what the card says.

        Raises HostError, before anything is sent, for a command that the card or PC/SC does not carry; ReaderLost from then on.
        """
        handle = self._handle
        if handle is None or self._lost_by is not None:
            raise ReaderLost(f"{self.name}: the link to the card is lost already; a new dialog begins with a reset")
        code, answer = self._scard.SCardTransmit(handle, self.protocol, list(self._written(command)))
        if code:
            self._lose(code)
        try:
            return Response.decode(bytes(answer))
        except MalformedResponse as error:
            self._lost_by = Pc.COMM_ERROR
            told = error if answer else "the card gave no answer"
            raise ReaderLost(f"{self.name}: {told}; take the card out and put it in again") from None

    def _written(self, command: Command) -> bytes:
        """The bytes that go to PC/SC."""
        raw = command.encode()
        nc, ne = len(command.data), command.ne
        if nc > 255 or (ne is not None and ne > 256):
            if self.protocol == WireProtocol.T0:
                raise HostError(f"{self.name}: with T=0 up to 255 bytes of data and 256 of answer expected, {nc} and {ne} came; chain them")
            if not self.extended:
                atr = self.atr.hex().upper()
                raise HostError(f"{self.name}: a command of short length expected, as the card's ATR {atr} tells of no other; chain it")
            if len(raw) > APDU_MAX:
                raise HostError(f"{self.name}: a command of up to {APDU_MAX} bytes expected, {len(raw)} came; send it in parts")
        elif self.protocol == WireProtocol.T0:
            raw = raw + b"\x00" if len(raw) == 4 else raw[:-1] if nc and ne is not None else raw
        return raw

    def _lose(self, code: int) -> Never:
        meaning = code_of(code)
        self._lost_by = meaning.number
        self.reader.context.note(meaning.number)
        raise ReaderLost(f"{self.name}: {meaning}; {meaning.advice}", meaning.number)

    def ready(self) -> None:
        """Fit for another dialog: a new session where the link was lost, else as it is. Raises as `reset`."""
        if self.lost:
            self.reset()

    def reset(self) -> None:
        """Power off and on, and a new session with the card that is in now. Raises ReaderLost where there is none, or no reader."""
        try:
            if self._handle is None or self._lost_by is not None:
                self._renew()
            handle = self._handle
            assert handle is not None
            code, protocol = self._scard.SCardReconnect(handle, self._share, self._protocols, Disposition.RESET)
            if code:
                self._lose(code)
            self._begin(protocol)
        except (ReaderError, CardFault) as error:
            self._lost_by = Pc.NO_SMARTCARD
            raise ReaderLost(str(error), getattr(error, "code", None)) from error

    def _renew(self) -> None:
        """A new connection after a link that was lost."""
        by = self._lost_by
        self._drop(Disposition.LEAVE)
        if by in LEFT_ALONE:
            self.reader.wait_gone(SETTLE_S, after=self._found)
        self._connect()

    def _connect(self) -> None:
        self._found = self.reader.state()
        code, handle, protocol = self._scard.SCardConnect(self.reader.context.handle(), self.name, self._share, self._protocols)
        if code and self.reader.context.note(code):
            code, handle, protocol = self._scard.SCardConnect(self.reader.context.handle(), self.name, self._share, self._protocols)
        if code:
            raise not_opened(self.name, code)
        self._handle, self._lost_by = handle, None
        try:
            self._begin(protocol)
        except ReaderLost as error:
            self._drop(Disposition.LEAVE)
            raise ReaderError(str(error), error.code) from error

    def _begin(self, protocol: int) -> None:
        """What the card is, at the beginning of a session."""
        assert self._handle is not None
        code, _, _, _, atr = self._scard.SCardStatus(self._handle)
        if code:
            self._lose(code)
        self.atr, self.protocol = bytes(atr), WireProtocol(protocol)
        told = False
        with suppress(BadAtr):
            told = takes_extended_length(read_atr(self.atr).historical)
        self.extended = told if self._wanted_extended is None else self._wanted_extended

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other program's command comes in between; for a card that is shared. Raises ReaderLost."""
        if self._handle is None:
            raise ReaderLost(f"{self.name}: the link to the card is lost already")
        handle = self._handle
        code = self._scard.SCardBeginTransaction(handle)
        if code:
            self._lose(code)
        try:
            yield
        finally:
            if self._handle == handle:
                self._scard.SCardEndTransaction(handle, Disposition.LEAVE)

    def close(self, disposition: Disposition | None = None) -> None:
        """Ends the connection; the link is lost from then on. None: resets a card that was held and is not lost, else leaves it."""
        if disposition is None:
            disposition = Disposition.RESET if self._share is Share.EXCLUSIVE and not self.lost else Disposition.LEAVE
        self._drop(disposition)

    def _drop(self, disposition: Disposition) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            self._scard.SCardDisconnect(handle, disposition)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
