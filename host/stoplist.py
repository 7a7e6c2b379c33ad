"""The stop list: a text file with one card id, 8 bytes in hexadecimal, a line; `#` begins a comment. A till refuses the cards on it."""

import os
from pathlib import Path

from .errors import HostError

__all__ = ["StopList"]

ID_SIZE = 8


class StopList:
    """A stop list in a file, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> frozenset[bytes]:
        """The ids on it. Raises HostError for a file that can not be read, naming the line: no sale without the list."""
        found = set()
        for number, line in enumerate(self._text().splitlines(), 1):
            text = line.partition("#")[0].strip()
            if text:
                found.add(_card_id(f"stop list {self.path}, line {number}", text))
        return frozenset(found)

    def __contains__(self, card_id: object) -> bool:
        """Whether an id is on it now. Raises HostError."""
        return card_id in self.read()

    def add(self, card_id: bytes, why: str = "") -> bool:
        """Adds an id; durable when this returns. False where it is there already. Raises HostError."""
        if card_id in self.read():
            return False
        text = self._text()
        line = card_id.hex().upper() + (f"  # {why}" if why else "")
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(("" if not text or text.endswith("\n") else "\n") + line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise HostError(f"stop list {self.path}: {error.strerror}; the card is not on it") from error
        return True

    def _text(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise HostError(f"stop list {self.path}: {error}; without it no card is served") from error


def _card_id(where: str, text: str) -> bytes:
    try:
        card_id = bytes.fromhex(text)
    except ValueError:
        card_id = b""
    if len(card_id) != ID_SIZE:
        raise HostError(f"{where}: a card id, 8 bytes in hexadecimal, expected, {text!r} came")
    return card_id
