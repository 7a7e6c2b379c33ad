"""A secure channel inside a dialog: opened by a card's key set, then every command goes through it, checked both ways (SCP03).

How it works. `open_channel` sends INITIALIZE UPDATE, finds or derives the keys from what the card tells, and checks the card's cryptogram
before EXTERNAL AUTHENTICATE is made: wrong keys cost no failed attempt on the card. A guard remembers keys that failed on a card, over
runs, and refuses them a second time. Whatever fails within ends the channel; the card then has to be selected anew.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_bytes
from typing import Protocol

from joren.apdu import SW, Command, Ins, LinkLost, Response
from joren.apdu.gp import MANAGER_AID, GpIns
from joren.apdu.scp03 import (
    AnswerMalformed,
    CardNotAuthentic,
    ChannelEnded,
    ChannelRefused,
    HostSession,
    InitializeUpdateAnswer,
    Level,
    Opening,
    ResponseNotAuthentic,
    ScpKeys,
)

from .dialog import Ask, Dialog, Slot
from .errors import CardFault, CardRefused, HostError

__all__ = ["Channel", "Guard", "KeyFinder", "NoGuard", "WrongKeys", "open_channel"]

CHALLENGE_SIZE = 8
KeyFinder = Callable[[InitializeUpdateAnswer], ScpKeys]
"""From what the card says of itself (key version, diversification data) to its key set. Raises HostError where there is none."""


class WrongKeys(HostError):
    """The keys at hand are not the card's; nothing was changed, and the card counted no failure."""


class Guard(Protocol):
    """Remembers which keys failed on which card. `card` is its diversification data, `check_values` the three of the key set, 9 bytes."""

    def check(self, card: bytes, version: int, check_values: bytes) -> None:
        """Raises WrongKeys for keys that failed on this card before, unless force was asked for."""

    def failed(self, card: bytes, version: int, check_values: bytes) -> None:
        """Notes that they failed."""


class NoGuard:
    """Remembers nothing: for cards that can be thrown away."""

    def check(self, card: bytes, version: int, check_values: bytes) -> None:
        """Takes everything."""

    def failed(self, card: bytes, version: int, check_values: bytes) -> None:
        """Notes nothing."""


class Channel:
    """An open channel to the application selected in a slot. Made by open_channel."""

    __slots__ = ("_session", "answer", "keys", "slot")

    def __init__(self, slot: Slot, session: HostSession, keys: ScpKeys, answer: InitializeUpdateAnswer) -> None:
        self._session = session
        self.slot = slot
        self.keys = keys
        self.answer = answer

    def ask(self, command: Command) -> Dialog[Response]:
        """A command through the channel, whatever comes of it. Raises CardFault where the answer is not authentic, LinkLost."""
        try:
            answer = yield Ask(self.slot, self._session.wrap(command))
        except LinkLost:
            self._session.close()
            raise
        with _told(self.slot, _name(command)):
            return self._session.unwrap(answer)

    def send(self, command: Command) -> Dialog[bytes]:
        """The data of the answer to a command that is done. Raises CardRefused for another status word, CardFault, LinkLost."""
        response = yield from self.ask(command)
        if not response.ok:
            raise CardRefused(self.slot.value, _name(command), response.sw)
        return response.data

    def room(self) -> int:
        """The most bytes of data of a command, in short length."""
        return self._session.room(extended=False)


def open_channel(
    slot: Slot,
    keys: KeyFinder,
    *,
    aid: bytes = MANAGER_AID,
    level: Level = Level.FULL,
    version: int = 0,
    guard: Guard | None = None,
    random: Callable[[int], bytes] = token_bytes,
) -> Dialog[Channel]:
    """Opens a channel to the application `aid`, which is selected. `version` 0 leaves the choice of the key set to the card.

    Raises WrongKeys, CardRefused, CardFault, LinkLost, and what `keys` raises.
    """
    guard = guard or NoGuard()
    opening = Opening(random(CHALLENGE_SIZE), level, version, aid=aid)
    told = yield Ask(slot, opening.initialize_update())
    with _told(slot, "INITIALIZE_UPDATE"):
        answer = opening.answer(told)
    static = keys(answer)
    known = (answer.diversification_data, answer.key_version, static.enc.kcv() + static.mac.kcv() + static.dek.kcv())
    guard.check(*known)
    try:
        with _told(slot, "INITIALIZE_UPDATE"):
            authenticating = opening.authenticate(told, static)
    except CardNotAuthentic as error:
        guard.failed(*known)
        raise WrongKeys(f"{slot.value}: {error}; {error.advice}") from None
    told = yield Ask(slot, authenticating.command)
    if told.sw == SW.AUTHENTICATION_FAILED:
        guard.failed(*known)
    with _told(slot, "EXTERNAL_AUTHENTICATE"):
        return Channel(slot, authenticating.open(told), static, answer)


@contextmanager
def _told(slot: Slot, command: str) -> Iterator[None]:
    """What the channel raises, by whose fault it is."""
    try:
        yield
    except ChannelRefused as error:
        raise CardRefused(slot.value, command, error.sw) from None
    except (AnswerMalformed, ResponseNotAuthentic) as error:
        raise CardFault(slot.value, command, "an answer as Amendment D has it, and authentic", str(error)) from None
    except ChannelEnded as error:
        raise HostError(f"{slot.value}: {error}; {error.advice}") from None


def _name(command: Command) -> str:
    for kind in (GpIns, Ins):
        if command.ins in set(kind):
            return kind(command.ins).name
    return f"INS_{command.ins:02X}"
