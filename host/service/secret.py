"""The token by which clients show that they may sell: a file that its owner alone can read."""

import hmac
import os
import stat
from pathlib import Path
from secrets import token_hex

from joren.host.errors import HostError

__all__ = ["Token"]

SIZE_MIN, SIZE_MAX = 32, 256


class Token:
    """The token. Shows nothing of itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text.encode()

    def __repr__(self) -> str:
        return "Token(...)"

    def fits(self, text: str) -> bool:
        """Whether this is it, in constant time."""
        return hmac.compare_digest(self._text, text.encode("utf-8", "replace"))

    @classmethod
    def create(cls, path: Path) -> bool:
        """Makes a token file where there is none; whether it did. Raises OSError."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="ascii") as file:
            os.fchmod(handle, 0o600)
            file.write(token_hex(32) + "\n")
        return True

    @classmethod
    def load(cls, path: Path) -> "Token":
        """Raises HostError for a file that is missing, that others can read, or that has no token in it."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise HostError(f"token {path}: there is none; make it with: joren till token") from None
        except OSError as error:
            raise HostError(f"token {path}: {error.strerror}; a file of your own expected") from None
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_uid != os.geteuid():
                raise HostError(f"token {path}: others can read or change it; make it yours alone: chmod 600 {path}")
            text = os.read(handle, SIZE_MAX + 2).decode("ascii", "replace").strip()
        finally:
            os.close(handle)
        if not (SIZE_MIN <= len(text) <= SIZE_MAX and text.isascii() and text.isprintable() and " " not in text):
            raise HostError(f"token {path}: {SIZE_MIN} to {SIZE_MAX} characters in one line expected; remove it, then: joren till token")
        return cls(text)
