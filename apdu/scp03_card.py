"""The card side of SCP03, sans I/O: takes every command of a logical channel, answers the protocol's own, hands on the others in the clear.

How it works. `process(command)` gives a Response, to be sent as it is, or a Command for the application, whose answer goes through
`wrap_response` before it is sent. The states and what leads from one to another stand in TRANSITIONS. A command that is not authentic
aborts the session: from then on every command but INITIALIZE UPDATE is refused, until that or `terminate()` (selection, reset; Amendment
D, 5.6).
"""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from enum import Enum, auto
from hmac import compare_digest

from .command import Command
from .response import Response
from .scp03_class import class_byte, is_plain, is_protected, logical_channel
from .scp03_errors import ChannelEnded, CommandNotAuthentic
from .scp03_keys import ScpKeys
from .scp03_messages import SecureMessages
from .scp03_records import LEVELS, R_ENCRYPTION, R_MAC, InitializeUpdateAnswer, Level, Parameter
from .status import SW

__all__ = ["TRANSITIONS", "CardSession", "CardSettings", "Event", "State"]

INITIALIZE_UPDATE, EXTERNAL_AUTHENTICATE, BEGIN_R_MAC, END_R_MAC = 0x50, 0x82, 0x7A, 0x78
COUNTER_MAX = 0xFFFFFF


class State(Enum):
    """Where a card's side is."""

    CLOSED = auto()
    INITIALIZED = auto()
    OPEN = auto()
    R_MAC_SESSION = auto()
    ABORTED = auto()


class Event(Enum):
    """What moves it."""

    INITIALIZED = auto()
    NOT_INITIALIZED = auto()
    AUTHENTICATED = auto()
    NOT_AUTHENTICATED = auto()
    R_MAC_BEGUN = auto()
    R_MAC_ENDED = auto()
    SECURITY_ERROR = auto()
    TERMINATED = auto()


TRANSITIONS: dict[tuple[State, Event], State] = {
    **{(state, Event.INITIALIZED): State.INITIALIZED for state in State},
    **{(state, Event.NOT_INITIALIZED): State.CLOSED for state in State},
    **{(state, Event.TERMINATED): State.CLOSED for state in State},
    (State.INITIALIZED, Event.AUTHENTICATED): State.OPEN,
    (State.INITIALIZED, Event.NOT_AUTHENTICATED): State.CLOSED,
    (State.OPEN, Event.R_MAC_BEGUN): State.R_MAC_SESSION,
    (State.R_MAC_SESSION, Event.R_MAC_ENDED): State.OPEN,
    (State.OPEN, Event.SECURITY_ERROR): State.ABORTED,
    (State.R_MAC_SESSION, Event.SECURITY_ERROR): State.ABORTED,
}
"""Every step there is (Amendment D, 5.6); a pair that is not here can not come about."""


@dataclass(frozen=True, slots=True)
class CardSettings:
    """What a card has for the protocol. The first key set is the one for key version 00; the sets' versions, 1..255, all differ.

    `diversification_data` is 10 bytes. `aid`, 5..16 bytes, is that of the application; only a pseudo-random challenge needs it.
    """

    key_sets: tuple[ScpKeys, ...]
    parameter: Parameter
    diversification_data: bytes = bytes(10)
    aid: bytes = b""
    key_id: int = 0

    def __post_init__(self) -> None:
        versions = {keys.version for keys in self.key_sets}
        if not versions or 0 in versions or len(versions) != len(self.key_sets):
            raise ValueError("key sets: at least one expected, each with another version, 1..255")
        if len(self.diversification_data) != 10:
            raise ValueError(f"diversification data: 10 bytes expected, {len(self.diversification_data)} came")
        if self.parameter.pseudo_random and not 5 <= len(self.aid) <= 16:
            raise ValueError(f"AID: 5..16 bytes expected, {len(self.aid)} came")


class CardSession:
    """The protocol on one logical channel of a card.

    `random` gives so many random bytes, 8 or 16, for a challenge. With a pseudo-random challenge it is not asked; `counters` then keeps the
    sequence counter of each key version, u24, which the card must not forget and sets to 0 with a new key set (6.2.2.1).
    """

    def __init__(
        self,
        settings: CardSettings,
        random: Callable[[int], bytes],
        counters: MutableMapping[int, int] | None = None,
        channel: int = 0,
    ) -> None:
        self._settings, self._random, self._channel = settings, random, channel
        self._counters: MutableMapping[int, int] = {} if counters is None else counters
        self._state = State.CLOSED
        self._messages: SecureMessages | None = None
        self._proof: tuple[SecureMessages, bytes] | None = None
        self._level_before = Level.AUTHENTICATED
        self._waiting = False
        class_byte(channel)

    @property
    def state(self) -> State:
        """Where it is."""
        return self._state

    @property
    def level(self) -> Level | None:
        """The security level in force; None without a session."""
        return None if self._messages is None else self._messages.level

    def terminate(self) -> None:
        """Ends the session: at reset, when another application is selected, when the logical channel is closed."""
        self._move(Event.TERMINATED)

    def process(self, command: Command, *, extended: bool = False) -> Response | Command:
        """The answer to a command of the protocol or to one refused, or the command for the application.

        `extended` says that the APDU came with extended lengths though short ones would have done: the MAC covers Lc as it came. A
        command of another logical channel is refused, and nothing changes.
        """
        self._waiting = False
        cla, ins = command.cla, command.ins
        plain, protected = is_plain(cla), is_protected(cla)
        if (plain or protected) and logical_channel(cla) != self._channel:
            return _refusal(SW.LOGICAL_CHANNEL_NOT_SUPPORTED)
        ours = bool(cla & 0x80)
        if ours and plain and ins == INITIALIZE_UPDATE:
            return self._initialize(command)
        if self._state is State.ABORTED:
            return _refusal(SW.SECURITY_STATUS_NOT_SATISFIED)
        if self._messages is not None:
            return self._secured(command, self._messages, extended)
        if ours and protected and ins == EXTERNAL_AUTHENTICATE:
            return self._authenticate(command, extended)
        if protected or (ours and ins in (BEGIN_R_MAC, END_R_MAC)):
            return _refusal(SW.CONDITIONS_NOT_SATISFIED)
        self._waiting = True
        return command

    def wrap_response(self, response: Response) -> Response:
        """The application's response, protected at the session's level. Raises ChannelEnded where no command awaits one.

        Raises ValueError for one that is too long with its protection; another may be given then.
        """
        if not self._waiting:
            raise ChannelEnded("wrap_response: no command was handed on")
        protected = response if self._messages is None else self._messages.protect_response(response)
        self._waiting = False
        return protected

    def _move(self, event: Event) -> None:
        self._state = TRANSITIONS[self._state, event]
        if self._state is not State.INITIALIZED:
            self._proof = None
        if self._state not in (State.OPEN, State.R_MAC_SESSION):
            self._messages = None

    def _initialize(self, command: Command) -> Response:
        """INITIALIZE UPDATE (7.1.1). Whatever comes of it, the session before has ended."""
        settings = self._settings
        self._move(Event.NOT_INITIALIZED)
        if len(command.data) != settings.parameter.size:
            return _refusal(SW.WRONG_LENGTH)
        keys = next((keys for keys in settings.key_sets if command.p1 in (0, keys.version)), None)
        if keys is None or command.p2 != settings.key_id:
            return _refusal(SW.REFERENCED_DATA_NOT_FOUND)
        counter: int | None = None
        if settings.parameter.pseudo_random:
            counter = self._counters.get(keys.version, 0) + 1
            if counter > COUNTER_MAX:
                return _refusal(SW.CONDITIONS_NOT_SATISFIED)
            self._counters[keys.version] = counter
            challenge = keys.card_challenge(counter, settings.aid, settings.parameter.size)
        else:
            challenge = self._random(settings.parameter.size)
        context = command.data + challenge
        messages = SecureMessages(keys.session(context), Level.AUTHENTICATED, len(challenge))
        cryptogram = messages.card_cryptogram(context)
        answer = InitializeUpdateAnswer(settings.diversification_data, keys.version, settings.parameter, challenge, cryptogram, counter)
        self._move(Event.INITIALIZED)
        self._proof = (messages, messages.host_cryptogram(context))
        return Response(answer.encode(), SW.OK)

    def _authenticate(self, command: Command, extended: bool) -> Response:
        """EXTERNAL AUTHENTICATE (7.1.2). One that fails ends the session that was being opened: there is one attempt a challenge."""
        if self._proof is None:
            return _refusal(SW.CONDITIONS_NOT_SATISFIED)
        messages, expected = self._proof
        size = self._settings.parameter.size
        self._move(Event.NOT_AUTHENTICATED)
        if command.p2 or command.p1 not in LEVELS or not self._settings.parameter.allows(command.p1):
            return _refusal(SW.INCORRECT_P1_P2)
        if len(command.data) != 2 * size:
            return _refusal(SW.WRONG_LENGTH)
        if not compare_digest(command.data[:size], expected):
            return _refusal(SW.AUTHENTICATION_FAILED)
        try:
            messages.check_authenticate(command, extended)
        except CommandNotAuthentic:
            return _refusal(SW.SECURITY_STATUS_NOT_SATISFIED)
        self._state = TRANSITIONS[State.INITIALIZED, Event.AUTHENTICATED]
        self._messages, messages.level = messages, Level(command.p1)
        return Response(b"", SW.OK)

    def _secured(self, command: Command, messages: SecureMessages, extended: bool) -> Response | Command:
        """A command within the session."""
        try:
            meant = messages.unprotect(command, extended)
        except CommandNotAuthentic:
            self._move(Event.SECURITY_ERROR)
            return _refusal(SW.SECURITY_STATUS_NOT_SATISFIED)
        if meant.cla & 0x80 and meant.ins == BEGIN_R_MAC:
            return self._begin_r_mac(meant, messages)
        if meant.cla & 0x80 and meant.ins == END_R_MAC:
            return self._end_r_mac(meant, messages)
        self._waiting = True
        return meant

    def _begin_r_mac(self, command: Command, messages: SecureMessages) -> Response:
        """BEGIN R-MAC SESSION (7.1.3): its own response is protected at the level before. A second one without an END is refused."""
        added, level = command.p1, messages.level
        if command.p2 != 0x01 or added not in (R_MAC, R_MAC | R_ENCRYPTION) or not self._settings.parameter.allows(added):
            return _refusal(SW.INCORRECT_P1_P2)
        fits = level.c_decryption and not level.r_encryption if added & R_ENCRYPTION else level.c_mac and not level.r_mac
        if not fits or self._state is State.R_MAC_SESSION:
            return _refusal(SW.CONDITIONS_NOT_SATISFIED)
        if command.data and command.data[0] != len(command.data) - 1:
            return _refusal(SW.WRONG_DATA)
        response = messages.protect_response(Response(b"", SW.OK))
        self._move(Event.R_MAC_BEGUN)
        self._level_before, messages.level = level, Level(level | added)
        return response

    def _end_r_mac(self, command: Command, messages: SecureMessages) -> Response:
        """END R-MAC SESSION (7.1.4): its response carries the last R-MAC; then the level is again that of EXTERNAL AUTHENTICATE."""
        if command.p1 != 0x00 or command.p2 != 0x03:
            return _refusal(SW.INCORRECT_P1_P2)
        if self._state is not State.R_MAC_SESSION:
            return _refusal(SW.CONDITIONS_NOT_SATISFIED)
        if command.data:
            return _refusal(SW.WRONG_LENGTH)
        response = messages.protect_response(Response(b"", SW.OK))
        self._move(Event.R_MAC_ENDED)
        messages.level = self._level_before
        return response


def _refusal(sw: int) -> Response:
    return Response(b"", sw)
