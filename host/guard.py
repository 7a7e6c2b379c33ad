"""The lock-out guard: which keys failed on which card, kept in a file over all runs, so that no one tries them again without a word.

How it works. One line for each failure: the card's diversification data, key version, the three check values of the key set. No key and
nothing that tells one: check values are shown to people anyway. A card locks itself after some failures, for good.
"""

import os
from pathlib import Path

from .channel import WrongKeys
from .errors import HostError

__all__ = ["FileGuard"]


class FileGuard:
    """A guard over a text file. `force` lets keys be tried again, and still notes that they failed."""

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self.force = force

    def check(self, card: bytes, version: int, check_values: bytes) -> None:
        """Raises WrongKeys for keys that failed on this card before. Raises HostError where the file can not be read."""
        try:
            known = self.path.read_text(encoding="ascii").splitlines() if self.path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise HostError(f"failed keys {self.path}: {error}; without it no card is opened") from error
        if not self.force and _line(card, version, check_values) in known:
            raise WrongKeys(
                f"card {card.hex().upper()}: the keys of version {version:02X} with check values {check_values.hex().upper()} failed on it "
                f"before, and a card locks itself after some failures; look for the right keys, or try these again with --force"
            )

    def failed(self, card: bytes, version: int, check_values: bytes) -> None:
        """Adds a line. Raises HostError."""
        try:
            with self.path.open("a", encoding="ascii") as file:
                file.write(_line(card, version, check_values) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise HostError(f"failed keys {self.path}: {error.strerror}; these keys failed, do not try them again") from error


def _line(card: bytes, version: int, check_values: bytes) -> str:
    return f"{card.hex().upper()} {version:02X} {check_values.hex().upper()}"
