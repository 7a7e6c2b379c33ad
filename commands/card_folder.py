"""Readers for a batch. Simulated ones take blank cards from a folder of images, one after the other, and file those that are issued.

How it works. A card's image follows what the card does (workspace.py), so the folder is as a box of real cards after a power cut: whoever
starts again offers every card in it, in any order, and the journal knows them. A card that was issued goes to the workspace's cards or
shops, under its member's name; where the program was killed before that, it goes there at the next start.
"""

import fcntl
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import IO

import click

from joren.apdu import Transmit
from joren.host import HostError, Slot, run
from joren.host.batch import CardReader, CardResult, Verdict
from joren.host.batch_csv import MemberRow
from joren.host.batch_journal import BatchJournal, Entry
from joren.host.desk import identify
from joren.host.pcsc_batch import batch_readers
from joren.simulator.image import BadImage, load_image, save_image
from joren.simulator.profile import Profile
from joren.simulator.reader import Reader

from .workspace import CARDS, SHOPS, Place, Workspace

__all__ = ["CardFolder", "FolderReader", "make_blanks", "readers_of"]

READERS_MAX = 64
CHIP_NAME = re.compile("[0-9A-F]{24}")


class CardFolder:
    """The images in a folder, each given out once; used by one program at a time. `seed`: in an order of its own, not by name."""

    def __init__(self, folder: Path, place: Place, home: Path, seed: int | None = None) -> None:
        """Raises HostError for a folder that is not there or in use."""
        if not folder.is_dir():
            raise HostError(f"cards {folder}: no such folder; joren personalize blanks makes blank cards")
        self.folder = folder
        self.place = place
        self._home = home
        self._lock = self._take_lock()
        self._seed = seed
        self._names: Iterator[str] | None = None
        self._turn = Lock()

    def _take_lock(self) -> IO[str]:
        lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise HostError(f"cards {self.folder}: another joren takes cards from it; wait for its end") from None
        return lock

    def close(self) -> None:
        """Lets others take cards."""
        self._lock.close()

    def file(self, path: Path, entry: Entry) -> None:
        """Puts an issued card among the workspace's, under its member's name, or as shop-SHOP-TERMINAL; not over another one."""
        order = entry.order
        place, name = (CARDS, order.member) if isinstance(order, MemberRow) else (SHOPS, f"shop-{order.shop}-{order.terminal}")
        home = self._home / place.folder / f"{name}.json"
        if home.exists():
            click.echo(f"joren: {home} is there already; the new {place.what} {name} stays in {path}", err=True)
        else:
            path.rename(home)

    def file_issued(self, journal: BatchJournal) -> None:
        """Files what was issued when this program was killed; images are named by their chips."""
        for path in self.folder.glob("*.json"):
            chip = bytes.fromhex(path.stem) if CHIP_NAME.fullmatch(path.stem) else b""
            entry = journal.by_chip(chip)
            if entry is not None and entry.state == "issued":
                self.file(path, entry)

    def next(self) -> Path | None:
        """The next image."""
        with self._turn:
            if self._names is None:
                names = sorted(path.name for path in self.folder.glob("*.json"))
                if self._seed is not None:
                    random.Random(self._seed).shuffle(names)
                self._names = iter(names)
            name = next(self._names, None)
        return None if name is None else self.folder / name


class FolderReader:
    """A simulated reader (joren.host.batch.CardReader) that is fed from a folder."""

    def __init__(self, name: str, folder: CardFolder, workspace: Workspace) -> None:
        self.name = name
        self._folder = folder
        self._workspace = workspace
        self._card = ExitStack()
        self._reader: Reader | None = None
        self._path: Path | None = None

    def wait_card(self, _stopped: Callable[[], bool]) -> Transmit | None:
        """The next card of the folder; one whose image can not be used is named and passed over."""
        while (path := self._folder.next()) is not None:
            try:
                chip = load_image(path, self._workspace.storage)
            except BadImage as error:
                click.echo(f"joren: passed over, {error}", err=True)
                continue
            self._path = path
            self._reader = self._card.enter_context(self._workspace.followed(self._folder.place, chip, path))
            return self._reader.transmit
        return None

    def reset(self) -> None:
        """Power off and on."""
        if self._reader is not None:
            self._reader.reset()

    def release(self, result: CardResult) -> None:
        """Takes the card out; one that is issued goes where it belongs."""
        self._card.close()
        path, self._path, self._reader = self._path, None, None
        if path is not None and result.entry is not None and result.verdict in (Verdict.ISSUED, Verdict.ISSUED_BEFORE):
            self._folder.file(path, result.entry)


def readers_of(text: str, folder: Callable[[], CardFolder], workspace: Workspace) -> Sequence[CardReader]:
    """What `--readers` asks for: sim:N, or pcsc:PATTERN,PATTERN... Raises HostError, also as ReaderError."""
    kind, _, number = text.partition(":")
    patterns = [pattern.removeprefix("pcsc:") for pattern in number.split(",")]
    if kind == "pcsc" and all(patterns):
        return batch_readers(patterns, lambda told: click.echo(told, err=True))
    if kind != "sim" or not (number.isascii() and number.isdigit() and 1 <= int(number) <= READERS_MAX):
        raise HostError(f"--readers: sim:N, N in 1..{READERS_MAX}, or pcsc:PATTERN,... expected, {text!r} came")
    cards = folder()
    return [FolderReader(f"sim-{one}", cards, workspace) for one in range(1, int(number) + 1)]


def make_blanks(workspace: Workspace, folder: Path, place: Place, number: int, profile: Profile, tick: Callable[[], None]) -> None:
    """So many blank cards as images in the folder, each named by its chip. Raises HostError, DoesNotFit, OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for _ in range(number):
        chip = workspace.blank(place, profile)
        chip.power_on()
        told = run(identify(Slot.CUSTOMER), {Slot.CUSTOMER: chip.process})
        path = folder / f"{told.hex().upper()}.json"
        if path.exists():
            raise HostError(f"{path}: a card of this chip is there already; make the rest again")
        chip.power_off()
        save_image(chip, path, workspace.storage)
        tick()
