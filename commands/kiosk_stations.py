"""Where the kiosk's card is: a simulated card of the workspace, or a reader of PC/SC."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from joren.apdu import LinkLost, Transmit
from joren.host import Slot
from joren.host.pcsc import PcscReader
from joren.host.pcsc_errors import ReaderError
from joren.host.pcsc_readers import ReaderState

from .kiosk_terminal import Watch
from .kiosk_visit import CardCame, CardGone, Station
from .seats import pattern_of
from .workspace import CARDS, Workspace

__all__ = ["ReaderStation", "SimulatedStation", "gone_from"]


class SimulatedStation:
    """A card that a name stands for; a simulated one is there while its image is. The folder is ours for the time of a dialog alone."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._workspace = workspace
        self._name = name
        self._path = None if pattern_of(name) is not None else workspace.path(CARDS, name)

    @contextmanager
    def links(self) -> Iterator[Mapping[Slot, Transmit]]:
        """The card in a reader."""
        with self._workspace.alone():
            if not self.present():
                raise LinkLost(f"{self._name}: the card went away")
            with self._workspace.inserted(CARDS, self._name) as seat:
                yield {Slot.CUSTOMER: seat.transmit}

    def present(self) -> bool:
        """Whether the image is there."""
        return self._path is None or self._path.exists()


class ReaderStation:
    """A reader of PC/SC. A visit is for the card that came; one that stays in, or was changed for another, is no longer it.

    A reader that is unplugged, or whose pcscd ended, is empty until it is back.
    """

    def __init__(self, reader: PcscReader) -> None:
        self._reader = reader
        self._came: ReaderState | None = None

    def arrival(self) -> CardCame | None:
        """A card that came since the last one did."""
        now = self._state()
        if now is None or not now.present or (self._came is not None and now.events == self._came.events):
            return None
        self._came = now
        return CardCame()

    @contextmanager
    def links(self) -> Iterator[Mapping[Slot, Transmit]]:
        """The card that came, for this program alone; nothing is verified on it once this ends, for it has no power then."""
        if not self.present():
            raise LinkLost(f"{self._reader.name}: the card went away")
        try:
            card = self._reader.connect()
        except ReaderError as error:
            raise LinkLost(str(error)) from error
        with card:
            yield {Slot.CUSTOMER: card.transmit}

    def present(self) -> bool:
        """Whether the card that came has been in ever since."""
        now = self._state()
        return now is not None and self._came is not None and now.present and now.events == self._came.events

    def _state(self) -> ReaderState | None:
        """None: the reader can not be used; when it is back, whatever is in it has come."""
        try:
            return self._reader.state()
        except ReaderError:
            self._reader.close()
            self._came = None
            return None


def gone_from(station: Station) -> Watch:
    """The card that goes away."""
    return lambda: None if station.present() else CardGone()
