"""What every applet of ours is: an instance that answers commands, and the way it refuses them."""

from dataclasses import dataclass
from typing import Protocol

from joren.apdu import Command, Response

__all__ = ["NEEDS", "Applet", "Needs", "Refused"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a chip must have for an applet beside the cells that its instances allocate, in bytes (REQ-FIT-1)."""

    code_bytes: int
    """The package of both applets."""
    working_ram_bytes: int
    """RAM in which a command is computed, shared by all instances; the model has Python's objects instead."""
    commit_bytes: int
    """The most bytes that a transaction changes."""
    commit_writes: int
    """The most writes in one; a chip's journal takes some bytes for each beside the old values."""


NEEDS = Needs(code_bytes=24_576, working_ram_bytes=256, commit_bytes=240, commit_writes=18)
"""What both applets need."""


class Refused(Exception):
    """Ends a command with a status word and no data; an open transaction is rolled back on the way out."""

    def __init__(self, sw: int) -> None:
        super().__init__(f"SW={sw:04X}")
        self.sw = sw


class Applet(Protocol):
    """One instance on a chip. It is made by its class with (platform, aid) at install."""

    aid: bytes

    def select(self, command: Command) -> Response:
        """Answers the SELECT that chose this instance; transient memory has just been cleared."""

    def process(self, command: Command) -> Response:
        """Answers any other command. Never raises for what a host sent."""
