"""The one seam to a card: `transmit(Command) -> Response`."""

from collections.abc import Callable

from .command import Command
from .response import Response

__all__ = ["LinkLost", "Transmit"]

Transmit = Callable[[Command], Response]


class LinkLost(Exception):
    """The card or the reader went away; whether the card acted on the last command is not known."""
