"""What every applet of ours is: an instance that answers commands, and the way it refuses them."""

from typing import Protocol

from joren.apdu import Command, Response

__all__ = ["Applet", "Refused"]


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
