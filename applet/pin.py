"""PIN and PUK of the customer card (REQ-PIN-1 to REQ-PIN-4).

How it works. The lowered try counter is written, outside any transaction, before the comparison, so that pulling the card after a wrong
guess gains nothing. Whether the PIN has been verified is one byte of RAM."""

from hmac import compare_digest

from joren.apdu import SW

from .applet import Refused
from .platform import Platform

__all__ = ["PIN_TRIES", "PUK_TRIES", "Pin", "is_pin", "is_puk"]

PIN_TRIES = 3
PUK_TRIES = 10
NONE = 0xFF
DIGITS = frozenset(b"0123456789")


def is_pin(block: bytes) -> bool:
    """4 to 8 ASCII digits, padded right with FF to 8 bytes."""
    digits = block.rstrip(b"\xff")
    return len(block) == 8 and len(digits) >= 4 and DIGITS.issuperset(digits)


def is_puk(block: bytes) -> bool:
    """8 ASCII digits."""
    return len(block) == 8 and DIGITS.issuperset(block)


class Pin:
    """The two secrets, their try counters (u8 each, FF: there is no PIN) and the verified flag."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.pin = platform.persistent("pin", 8, secret=True)
        self.puk = platform.persistent("puk", 8, secret=True)
        self.tries = platform.persistent("tries", 2)
        self.flag = platform.transient("pin_verified", 1)

    def clear(self) -> None:
        """No PIN and no PUK; at install."""
        self.tries.put(0, bytes((NONE, NONE)))

    @property
    def present(self) -> bool:
        """Whether the card has a PIN."""
        return self.tries.get(0, 1)[0] != NONE

    @property
    def puk_present(self) -> bool:
        """Whether the card has a PUK."""
        return self.tries.get(1, 1)[0] != NONE

    @property
    def verified(self) -> bool:
        """Whether the PIN was verified and not used up since."""
        return self.flag.get() == b"\x01"

    def store_pin(self, block: bytes) -> None:
        """Stores a PIN with all its tries, in the caller's transaction."""
        self.pin.put(0, block)
        self.tries.put(0, bytes((PIN_TRIES,)))

    def store_puk(self, block: bytes) -> None:
        """Stores a PUK with all its tries, in the caller's transaction."""
        self.puk.put(0, block)
        self.tries.put(1, bytes((PUK_TRIES,)))

    def forget(self) -> None:
        """The PIN is no longer verified."""
        self.flag.put(0, b"\x00")

    def verify(self, block: bytes) -> None:
        """VERIFY; no data asks for the tries left (REQ-PIN-1)."""
        if not self.present:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        if block:
            self._try(0, self.pin.get(), block, PIN_TRIES)
            self.flag.put(0, b"\x01")
        elif not self.verified:
            tries = self.tries.get(0, 1)[0]
            raise Refused(SW.VERIFY_FAILED | tries if tries else SW.AUTHENTICATION_METHOD_BLOCKED)

    def change(self, old: bytes, new: bytes) -> None:
        """CHANGE REFERENCE DATA (REQ-PIN-2)."""
        if not self.present:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        if not is_pin(new):
            raise Refused(SW.WRONG_DATA)
        self._try(0, self.pin.get(), old, PIN_TRIES)
        with self.platform.transaction():
            self.store_pin(new)
        self.flag.put(0, b"\x01")

    def reset(self, puk: bytes, new: bytes) -> None:
        """RESET RETRY COUNTER (REQ-PIN-3)."""
        if not self.present:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        if not is_pin(new):
            raise Refused(SW.WRONG_DATA)
        self._try(1, self.puk.get(), puk, PUK_TRIES)
        with self.platform.transaction():
            self.store_pin(new)

    def _try(self, which: int, secret: bytes, guess: bytes, all_tries: int) -> None:
        tries = self.tries.get(which, 1)[0]
        self.forget()
        if not tries:
            raise Refused(SW.AUTHENTICATION_METHOD_BLOCKED)
        self.tries.put(which, bytes((tries - 1,)))
        if not compare_digest(secret, guess):
            raise Refused(SW.VERIFY_FAILED | tries - 1)
        self.tries.put(which, bytes((all_tries,)))
