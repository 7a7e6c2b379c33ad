"""What the kit asks of a card under test, and the two ways to one: the card line protocol, and a link of the host library.

A target of another kind has the methods of `Target` and says in `can` what it is good for.
"""

from collections.abc import Callable
from typing import Protocol

from joren.apdu import Command, MalformedCommand, Response, Transmit
from joren.host.cardline import CardLine, can_of
from joren.host.dialog import Ask, Dialog, Slot, run
from joren.host.errors import HostError

__all__ = ["LineTarget", "LinkTarget", "Target"]


class Target(Protocol):
    """A card under test. Every method may raise LinkLost and CardFault; `exchange` PowerLost after a tear."""

    @property
    def name(self) -> str:
        """For people and reports."""

    @property
    def can(self) -> frozenset[str]:
        """What it is good for: words of FEATURES (load.py)."""

    def exchange(self, apdu: bytes) -> bytes:
        """An APDU, and all of its answer with the status word."""

    def reset(self) -> None:
        """Power off and on."""

    def fresh(self, card: str, seed: bytes) -> None:
        """A blank card in the place of this one. Only where `can` has "fresh"."""

    def tear(self, after: int, *, keep_non_atomic: bool) -> None:
        """The power shall go in place of the after-th write from now. Only where `can` has "tear"."""

    def close(self) -> None:
        """The end."""


class LineTarget:
    """A card behind the card line protocol."""

    def __init__(self, line: CardLine, profile: str = "ideal") -> None:
        self._line = line
        self._profile = profile
        self.name = ""
        self.can: frozenset[str] = frozenset()

    def open(self) -> "LineTarget":
        """Greets, and finds out what it can. Raises HostError for a profile that the server does not have, LinkLost, CardFault."""
        hello = self._line.hello()
        self.name, can = hello.name, hello.can
        if "fresh" in can:
            self.fresh("customer", b"")
            can |= {"manager", "plain"}
        if "info" in can:
            told = can_of(self._line.info())
            can |= told & {"channels", "extended", "room"}
            can |= {without for word, without in (("channels", "one-channel"), ("extended", "no-extended")) if word not in told}
        self.can = can | {"whole"}
        return self

    def exchange(self, apdu: bytes) -> bytes:
        return self._line.exchange(apdu)

    def reset(self) -> None:
        self._line.reset()

    def fresh(self, card: str, seed: bytes) -> None:
        self._line.fresh(card, seed, self._profile)

    def tear(self, after: int, *, keep_non_atomic: bool) -> None:
        self._line.tear(after, keep_non_atomic=keep_non_atomic)

    def close(self) -> None:
        self._line.close()


class LinkTarget:
    """A card in a reader. `t0`: its answers come in parts (ISO/IEC 7816-3, 12.2), and it does not see Le."""

    def __init__(
        self, name: str, transmit: Transmit, reset: Callable[[], object], close: Callable[[], object], *, t0: bool = False
    ) -> None:
        self.name = name
        self.can: frozenset[str] = frozenset({"manager", "reset"} if t0 else {"manager", "reset", "whole"})
        self._transmit = transmit
        self._reset = reset
        self._close = close
        self._t0 = t0

    def exchange(self, apdu: bytes) -> bytes:
        try:
            command = Command.decode(apdu)
        except MalformedCommand as error:
            raise HostError(f"{self.name}: {error}; a reader sends whole APDUs alone") from None
        transmit = self._transmit
        return (run(_one(command), {Slot.CUSTOMER: transmit}) if self._t0 else transmit(command)).encode()

    def reset(self) -> None:
        self._reset()

    def fresh(self, card: str, seed: bytes) -> None:
        raise HostError(f"{self.name}: a card in a reader is not made anew")

    def tear(self, after: int, *, keep_non_atomic: bool) -> None:
        raise HostError(f"{self.name}: a card in a reader is not torn at a write")

    def close(self) -> None:
        self._close()


def _one(command: Command) -> Dialog[Response]:
    return (yield Ask(Slot.CUSTOMER, command))
