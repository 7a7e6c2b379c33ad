"""A card of the workspace in a reader that other programs see: a slot of the vpcd driver, or a TCP port with the card line protocol."""

import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import Protocol

from joren.host import HostError
from joren.simulator.cardserver import CardServer, listen, serve_stream
from joren.simulator.image import KeptImage, load_image
from joren.simulator.vpcd import ChipInSlot, News

from .workspace import CARDS, SHOPS, Workspace

__all__ = ["KeptCard", "Served", "TcpSlot", "found"]


def found(workspace: Workspace, image: str) -> tuple[str, Path]:
    """What kind of card it is, for people, and its image: a card of the workspace by its name, or an image file. Raises HostError."""
    here = [place for place in (CARDS, SHOPS) if image in workspace.names(place)]
    if len(here) > 1:
        path = workspace.home / CARDS.folder / f"{image}.json"
        raise HostError(f"{image}: a customer card and a shop card have this name; give the image's path, such as {path}")
    if not here and not Path(image).is_file():
        known = (
            ", ".join(sorted({name for place in (CARDS, SHOPS) for name in workspace.names(place)})) or "none yet; joren card new makes one"
        )
        raise HostError(f"card {image}: none of this name; there are: {known}")
    path = workspace.path(here[0] if here else CARDS, image)
    return next((place.what for place in (CARDS, SHOPS) if path.parent.name == place.folder), "card"), path


class KeptCard(ChipInSlot):
    """The chip of an image, which follows what the chip does, before its answer goes."""

    def __init__(self, path: Path, workspace: Workspace) -> None:
        """Raises BadImage, OSError."""
        super().__init__(load_image(path, workspace.storage))
        self.image = KeptImage(self.chip, path, workspace.storage)

    def reset(self) -> None:
        """Power off and on. Raises OSError."""
        super().reset()
        self.image.keep()

    def exchange(self, apdu: bytes) -> bytes:
        """The answer. Raises PowerCut, OSError."""
        answer = super().exchange(apdu)
        self.image.keep()
        return answer


class KeptCardServer(CardServer):
    """The same behind the card line protocol; nobody may make another card of it."""

    def __init__(self, card: KeptCard, name: str) -> None:
        super().__init__(card.chip, name=name, maker=None)
        self.error: Exception | None = None
        self._image = card.image

    def answer(self, line: bytes) -> bytes:
        """The reply to a request. Raises OSError, and has it in `error`, where the image can not be kept."""
        reply = super().answer(line)
        try:
            self._image.keep()
        except OSError as error:
            self.error = error
            raise
        return reply


class Slot(Protocol):
    """A reader for one card, as VpcdSlot and TcpSlot are."""

    error: Exception | None
    """Why the card could not go on."""

    @property
    def wanted(self) -> bool:
        """Whether a card is in, or goes in when there is a driver."""

    @property
    def inserted(self) -> bool:
        """Whether programs have it."""

    def insert(self, timeout_s: float | None, card: KeptCard) -> None:
        """Puts a card in."""

    def remove(self) -> None:
        """Pulls it out."""


class TcpSlot:
    """A TCP port with the card line protocol (docs/card-protocol.md), for one program at a time."""

    def __init__(self, name: str, address: tuple[str, int], told: Callable[[News], None]) -> None:
        self._name = name
        self._address = address
        self._told = told
        self.error: Exception | None = None
        self._sockets: list[socket.socket] = []
        self._thread: Thread | None = None
        self._wanted = False

    @property
    def wanted(self) -> bool:
        """Whether a card is in."""
        return self._wanted

    @property
    def inserted(self) -> bool:
        """The same."""
        return self.wanted

    def insert(self, _timeout_s: float | None, card: KeptCard) -> None:
        """Offers a card. Raises OSError where somebody else listens."""
        listening = listen(*self._address)
        self._sockets, self._wanted = [listening], True
        self._thread = Thread(target=self._run, args=(listening, KeptCardServer(card, self._name)), daemon=True)
        self._thread.start()
        self._told(News.INSERTED)

    def remove(self) -> None:
        """Ends the connection, if there is one, and listens no more."""
        thread, self._thread = self._thread, None
        if thread is not None:
            for each in self._sockets:
                with suppress(OSError):  # the other side was quicker
                    each.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _run(self, listening: socket.socket, server: KeptCardServer) -> None:
        with listening, suppress(OSError):  # that it is shut down
            while server.error is None:
                connection, _ = listening.accept()
                self._sockets = [listening, connection]
                with connection, suppress(OSError):  # of answers that nobody waits for any more
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with connection.makefile("rb") as lines, connection.makefile("wb") as out:
                        serve_stream(server, lines, out)
        self.error, self._wanted = server.error, False
        self._told(News.FAILED if server.error else News.REMOVED)


class Served:
    """A card of the workspace and the reader in which it belongs. While the card is out, other commands may have it."""

    def __init__(self, workspace: Workspace, image: str, where: str, make: Callable[[KeptCard], Slot]) -> None:
        """Raises HostError."""
        self.kind, self.path = found(workspace, image)
        self.name = self.path.stem
        self.where = where
        self._workspace = workspace
        self._make = make
        self._slot: Slot | None = None
        self._card: KeptCard | None = None
        self._taken = ExitStack()

    @property
    def state(self) -> str:
        """`in`, `waiting` for a driver, or `out`."""
        if self._slot is None or not self._slot.wanted:
            return "out"
        return "in" if self._slot.inserted else "waiting"

    def tap(self, timeout_s: float | None) -> None:
        """Puts the card in. Raises HostError if it is in or somebody else has it, BadImage, NoDriver after `timeout_s`, OSError."""
        if self.state != "out":
            raise HostError(f"{self.name}: the card is in already: {self.where}")
        self.release()
        self._taken.enter_context(self._workspace.taken(self.path))
        try:
            self._card = KeptCard(self.path, self._workspace)
            self._slot = self._slot or self._make(self._card)
            self._slot.insert(timeout_s, self._card)
        except BaseException:
            self.release()
            raise

    def remove(self) -> None:
        """Pulls the card out, if it is in."""
        if self._slot is not None:
            self._slot.remove()
        self.release()

    def release(self) -> None:
        """Lets others have the card, which is out."""
        self._card = None
        self._taken.close()

    @property
    def trouble(self) -> str:
        """Why the card could not go on, or nothing."""
        return "" if self._slot is None or self._slot.error is None else str(self._slot.error)

    def tear(self, writes: int) -> None:
        """Power goes at the n-th write or commit of what follows; 0: it does not. Raises HostError."""
        if self._card is None:
            raise HostError(f"{self.name}: the card is out; put it in first: joren card tap {self.name}")
        if isinstance(self._slot, TcpSlot):
            raise HostError(f"{self.name}: tears are for cards in readers of PC/SC")
        self._card.chip.memory.cut_after(writes)
