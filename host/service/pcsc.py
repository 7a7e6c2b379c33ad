"""Readers of PC/SC at a counter (station.TapReader): cards come and go, and a card that lies there after its link broke is a new tap."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from joren.apdu import Command, LinkLost, Response, Transmit
from joren.host.errors import CardFault, HostError
from joren.host.pcsc import PcscCard, PcscReader
from joren.host.pcsc_api import Context, Scard
from joren.host.pcsc_errors import ReaderError, ReaderLost
from joren.host.pcsc_readers import ReaderState, choose

__all__ = ["PcscTapReader", "tap_readers"]


def tap_readers(patterns: Sequence[str], scard: Scard | None = None) -> list["PcscTapReader"]:
    """The reader that each pattern fits. Raises ReaderError where one fits none, HostError where it fits several or two fit the same."""
    context = Context(scard)
    try:
        names = context.reader_names()
    finally:
        context.close()
    found = [choose(names, pattern) for pattern in patterns]
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise HostError(f"reader {twice}: named twice; each reader is one terminal")
    return [PcscTapReader(name, scard) for name in found]


class PcscTapReader:
    """A reader at a counter, for one thread."""

    def __init__(self, name: str, scard: Scard | None = None) -> None:
        self.name = name
        self._reader = PcscReader(name, scard)
        self._card: PcscCard | None = None
        self._state: ReaderState | None = None
        self._mute: ReaderState | None = None

    def wait_card(self, stopped: Callable[[], bool]) -> Transmit | None:
        """The link to the card that is in, connected anew, or that comes. One that does not answer to power is given once."""
        with self._links():
            while (state := self._reader.wait_card(stopped=stopped, after=self._mute)) is not None:
                self._state = state
                link = self._connected(state)
                if link is not None:
                    return link
        self._reader.close()
        return None

    def _connected(self, state: ReaderState) -> Transmit | None:
        try:
            self._card, self._mute = self._reader.connect(), None
        except (CardFault, ReaderError) as error:
            if not self._reader.state().present:
                return None
            self._mute = state
            return _silent(str(error))
        return self._card.transmit

    def card_left(self) -> bool:
        """Whether it was taken out, also where another was put in since."""
        with self._links():
            now = self._reader.state()
        return not now.present or self._state is None or now.events != self._state.events

    def release(self) -> None:
        """Lets go of the card."""
        card, self._card = self._card, None
        if card is not None:
            card.close()

    @contextmanager
    def _links(self) -> Iterator[None]:
        """A reader that can not be used is a link that is lost."""
        try:
            yield
        except ReaderError as error:
            self._reader.close()
            raise ReaderLost(str(error), error.code) from error


def _silent(reason: str) -> Transmit:
    def transmit(_command: Command) -> Response:
        raise LinkLost(reason)

    return transmit
