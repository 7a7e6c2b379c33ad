"""A private pcscd for tests, and simulated cards in its readers: the fixture `pcscd`.

The libraries of PC/SC remember where their pcscd is from their first use on: so every pcscd of a test process has the same socket, and it
is told here, before any test runs. Each worker of pytest-xdist is a process, with a pcscd and ports of its own. A test may end the pcscd.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import sleep

import pytest

from joren.simulator.chip import Chip
from joren.simulator.pcscd import SOCKET, NoPcscd, PrivatePcscd
from joren.simulator.pcscd_room import RUN
from joren.simulator.vpcd import GAP_S, ChipInSlot, VpcdSlot

__all__ = ["FOLDER", "PcscdKit", "pcscd", "running_pcscd"]

FOLDER = Path(tempfile.mkdtemp(prefix="joren-pcscd-"))
os.environ[SOCKET] = str(FOLDER / RUN / "pcscd.comm")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


class PcscdKit:
    """pcscd, and the slots of a test. `names`: the readers; `environment`: for programs that shall find this pcscd."""

    def __init__(self, pcscd: PrivatePcscd) -> None:
        self.pcscd = pcscd
        self.names = pcscd.reader_names
        self.environment = {**os.environ, **pcscd.environment}
        self._slots = ExitStack()

    def slot(self, chip: Chip, number: int = 0) -> VpcdSlot:
        """A slot (0 or 1) for a chip; `insert()` puts it in, `remove()` pulls it out, and the end of the test does."""
        return self._slots.enter_context(VpcdSlot(ChipInSlot(chip), self.pcscd.slot(number)))

    def empty(self) -> None:
        """Takes all cards out."""
        self._slots.close()


@pytest.fixture(scope="session")
def running_pcscd() -> Iterator[PrivatePcscd]:
    """One pcscd with two slots for all tests of this process."""
    try:
        pcscd = PrivatePcscd(FOLDER)
    except NoPcscd as error:
        pytest.fail(str(error), pytrace=False)
    with pcscd:
        yield pcscd


@pytest.fixture
def pcscd(running_pcscd: PrivatePcscd) -> Iterator[PcscdKit]:
    """A kit with empty slots; a pcscd that the test before has ended runs again, and has seen that its cards left."""
    if not running_pcscd.running:
        running_pcscd.start()
    kit = PcscdKit(running_pcscd)
    yield kit
    kit.empty()
    sleep(GAP_S)  # pcscd looks every 0.4 s, and tells nobody that it did
