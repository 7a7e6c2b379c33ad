"""Readers of PC/SC for a batch (joren.host.batch.CardReader): an operator puts one card after the other into each.

How it works. PC/SC counts the cards that came and went in a reader. So the card that is done with is not taken for a new one while it
stays, and a card that was swapped quickly is not taken for the old one. A card that does not answer to power is given to the line all the
same: its first command is lost, the line notes that, and the operator is told.
"""

from collections.abc import Callable, Sequence

from joren.apdu import Command, LinkLost, Response, Transmit

from .batch import CardResult
from .errors import CardFault
from .pcsc import PcscCard, PcscReader
from .pcsc_api import Context, Scard
from .pcsc_errors import ReaderError, ReaderLost
from .pcsc_readers import ReaderState, choose, chosen

__all__ = ["PcscBatchReader", "Tell", "batch_readers"]


Tell = Callable[[str], object]
"""Tells the operator something; called by the readers' threads."""


def batch_readers(patterns: Sequence[str], tell: Tell, scard: Scard | None = None) -> list["PcscBatchReader"]:
    """A reader for every reader of PC/SC that a pattern fits, each once. Raises ReaderError where one fits none."""
    context = Context(scard)
    try:
        names = context.reader_names()
    finally:
        context.close()
    found: dict[str, None] = {}
    for pattern in patterns:
        found |= dict.fromkeys(chosen(names, pattern) or [choose(names, pattern)])
    return [PcscBatchReader(name, tell, scard) for name in found]


class PcscBatchReader:
    """A reader that is fed by hand. Used by one thread."""

    def __init__(self, name: str, tell: Tell, scard: Scard | None = None) -> None:
        self.name = name
        self._reader = PcscReader(name, scard)
        self._tell = tell
        self._card: PcscCard | None = None
        self._done: ReaderState | None = None

    def wait_card(self, stopped: Callable[[], bool]) -> Transmit | None:
        """The link to the next card that is put in; None once `stopped` says so. Raises LinkLost for a reader that is gone."""
        try:
            while (state := self._reader.wait_card(stopped=stopped, after=self._done)) is not None:
                self._done = state
                link = self._connected()
                if link is not None:
                    return link
        except ReaderError as error:
            self._reader.close()
            raise ReaderLost(str(error), error.code) from error
        self._reader.close()
        return None

    def _connected(self) -> Transmit | None:
        """The card that is in, or why not; None where it is out again. Raises ReaderError for a reader that is gone."""
        try:
            self._card = self._reader.connect()
        except CardFault as error:
            return _mute(str(error))
        except ReaderError as error:
            if not self._reader.state().present:
                return None
            return _mute(str(error))
        return self._card.transmit

    def reset(self) -> None:
        """Takes the power from the card and gives it again. Raises LinkLost."""
        if self._card is None:
            raise LinkLost(f"{self.name}: no card")
        self._card.reset()

    def release(self, result: CardResult) -> None:
        """Lets go of the card, and tells that it may be taken out."""
        card, self._card = self._card, None
        if card is not None:
            card.close()
        self._tell(f"{self.name}: {result.verdict.value}; take the card out")


def _mute(reason: str) -> Transmit:
    def transmit(_command: Command) -> Response:
        raise LinkLost(reason)

    return transmit
