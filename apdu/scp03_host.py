"""The host's side of SCP03, sans I/O: Opening, then Authenticating, then HostSession; each is made by the one before.

How it works.

    opening = Opening(host_challenge)                                     # 8 random bytes, or 16 for S16
    authenticating = opening.authenticate(transmit(opening.initialize_update()), keys)
    session = authenticating.open(transmit(authenticating.command))
    answer = session.unwrap(transmit(session.wrap(command)))

An EXTERNAL AUTHENTICATE exists only once the card has proved that it knows the keys: wrong keys cost no failed attempt on the card.
Before that there is nothing that wraps. A response that is not authentic ends the session, and so does one that never came: use `close()`
then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest

from .command import NC_MAX, Command, MalformedCommand
from .record import MalformedRecord
from .response import Response
from .scp03_class import class_byte, plain_classes
from .scp03_errors import AnswerMalformed, CardNotAuthentic, ChannelEnded, ChannelRefused, LevelNotSupported, ResponseNotAuthentic
from .scp03_keys import ScpKeys
from .scp03_messages import SecureMessages
from .scp03_records import LEVELS, R_ENCRYPTION, R_MAC, InitializeUpdateAnswer, Level, Parameter

__all__ = ["Authenticating", "HostSession", "KeySource", "Opening"]

KeySource = ScpKeys | Callable[[InitializeUpdateAnswer], ScpKeys]
"""The static keys, or what finds or derives them from the card's key version and diversification data."""

BEGIN_R_MAC, END_R_MAC = 0x7A, 0x78
NE_SHORT_MAX = 0x100


@dataclass(frozen=True, slots=True)
class Opening:
    """What the host asks for. `host_challenge` is 8 random bytes, or 16 for S16, never used before; `level` one of Level.

    `version` and `key_id` are P1 and P2 of INITIALIZE UPDATE; version 0 leaves the choice to the card. `aid`, 5..16 bytes, is that of the
    application that opens the channel; with it a pseudo-random card challenge is checked. `channel` is the logical channel, 0..19.
    """

    host_challenge: bytes
    level: int = Level.FULL
    version: int = 0
    key_id: int = 0
    channel: int = 0
    aid: bytes | None = None

    def __post_init__(self) -> None:
        """Raises LevelNotSupported for a level that there is not, ValueError for other values that can not be."""
        if self.level not in LEVELS:
            raise LevelNotSupported(f"security level: 00, 01, 03, 11, 13 or 33 expected, {self.level:02X} came")
        if len(self.host_challenge) not in (8, 16):
            raise ValueError(f"host challenge: 8 or 16 bytes expected, {len(self.host_challenge)} came")
        if self.aid is not None and not 5 <= len(self.aid) <= 16:
            raise ValueError(f"AID: 5..16 bytes expected, {len(self.aid)} came")
        class_byte(self.channel)

    def initialize_update(self) -> Command:
        """INITIALIZE UPDATE (Amendment D, 7.1.1): 80 50, key version, key identifier, the host challenge, Le 00."""
        return Command(class_byte(self.channel), 0x50, self.version, self.key_id, self.host_challenge, NE_SHORT_MAX)

    def answer(self, response: Response) -> InitializeUpdateAnswer:
        """What the card says of itself, not yet proved. Raises ChannelRefused, AnswerMalformed, LevelNotSupported."""
        if not response.ok:
            raise ChannelRefused("INITIALIZE UPDATE", response.sw)
        try:
            answer = InitializeUpdateAnswer.decode(response.data)
        except MalformedRecord as error:
            raise AnswerMalformed(str(error)) from None
        if answer.parameter.size != len(self.host_challenge):
            raise AnswerMalformed(f"card: mode S{len(self.host_challenge)} expected, S{answer.parameter.size} came")
        if self.version and answer.key_version != self.version:
            raise AnswerMalformed(f"card: key version {self.version:02X} expected, {answer.key_version:02X} came")
        if not answer.parameter.allows(self.level):
            raise LevelNotSupported(
                f"card: level {self.level:02X} needs more than its parameter i = {answer.parameter.encode():02X} allows"
            )
        return answer

    def authenticate(self, response: Response, keys: KeySource) -> "Authenticating":
        """Checks the card's proof and, where an AID is given, its pseudo-random challenge; in constant time.

        Raises what answer() raises, and CardNotAuthentic.
        """
        answer = self.answer(response)
        static = keys if isinstance(keys, ScpKeys) else keys(answer)
        if static.version not in (0, answer.key_version):
            raise CardNotAuthentic(f"card: keys of version {answer.key_version:02X} expected, of version {static.version:02X} are at hand")
        context = self.host_challenge + answer.challenge
        messages = SecureMessages(static.session(context), Level(self.level), answer.parameter.size)
        if not compare_digest(messages.card_cryptogram(context), answer.cryptogram):
            raise CardNotAuthentic(
                f"card: its cryptogram is not made with these keys (key version {answer.key_version:02X}, diversification data "
                f"{answer.diversification_data.hex().upper()}, check value at hand {static.enc.kcv().hex().upper()})"
            )
        if answer.sequence_counter is not None and self.aid is not None:
            expected = static.card_challenge(answer.sequence_counter, self.aid, answer.parameter.size)
            if not compare_digest(expected, answer.challenge):
                raise CardNotAuthentic("card: its challenge is not that of its sequence counter and the AID")
        proof = messages.host_cryptogram(context)
        command = messages.authenticate(class_byte(self.channel), proof)
        return Authenticating(answer, command, HostSession(messages, answer.parameter, self.channel))


class Authenticating:
    """The card has proved itself, the host not yet. `command` is EXTERNAL AUTHENTICATE, `answer` what the card said of itself."""

    __slots__ = ("_session", "answer", "command")

    def __init__(self, answer: InitializeUpdateAnswer, command: Command, session: "HostSession") -> None:
        self.answer = answer
        self.command = command
        self._session: HostSession | None = session

    def open(self, response: Response) -> "HostSession":
        """The session, once the card took the host's proof.

        Raises ChannelRefused, AnswerMalformed for an answer with data, ChannelEnded at a second call.
        """
        session, self._session = self._session, None
        if session is None:
            raise ChannelEnded("EXTERNAL AUTHENTICATE: its answer was taken before")
        if not response.ok:
            raise ChannelRefused("EXTERNAL AUTHENTICATE", response.sw)
        if response.data:
            raise AnswerMalformed(f"EXTERNAL AUTHENTICATE: no data expected, {len(response.data)} bytes came")
        return session


class HostSession:
    """An open channel: one command wrapped, its response unwrapped, and so on. Made by Authenticating.open alone."""

    __slots__ = ("_begun", "_channel", "_classes", "_ended", "_messages", "_next_level", "_parameter", "_room", "_waiting")

    def __init__(self, messages: SecureMessages, parameter: Parameter, channel: int) -> None:
        self._messages, self._parameter, self._channel = messages, parameter, channel
        self._classes = plain_classes(channel)
        self._room = messages.room(NC_MAX)
        self._begun: Level | None = None
        self._next_level: tuple[Level, Level | None] | None = None
        self._waiting = self._ended = False

    @property
    def level(self) -> Level:
        """The security level in force, with what BEGIN R-MAC SESSION added."""
        return self._messages.level

    @property
    def ended(self) -> bool:
        """Whether the session is over."""
        return self._ended

    def room(self, *, extended: bool = True) -> int:
        """The most bytes of data that a command can carry, with extended lengths or with short ones."""
        return self._room if extended else self._messages.room(0xFF)

    def close(self) -> None:
        """Ends the session on this side: when a response was lost, above all."""
        self._ended = True

    def wrap(self, command: Command, *, extended: bool = False) -> Command:
        """The command, protected. `extended` says that it will be encoded with extended lengths whatever its size: the MAC covers Lc.

        Raises ChannelEnded when the session has ended or a response is outstanding; MalformedCommand for a CLA that is not plain or of
        another channel, and for data above room(). What raises changes nothing.
        """
        if self._ended or self._waiting:
            raise ChannelEnded("wrap: the session has ended" if self._ended else "wrap: the response to the last command is outstanding")
        if command.cla not in self._classes:
            raise MalformedCommand(f"CLA: a plain one of logical channel {self._channel} expected, {command.cla:02X} came")
        if len(command.data) > self._room:
            raise MalformedCommand(f"data: at most {self._room} bytes expected at level {self.level:02X}, {len(command.data)} came")
        wrapped = self._messages.protect(command, extended)
        self._waiting = True
        return wrapped

    def unwrap(self, response: Response) -> Response:
        """The response to the last wrapped command, checked and in the clear. An error's status word is never authentic (6.2.5).

        Raises ChannelEnded when no response is awaited; ResponseNotAuthentic, which ends the session.
        """
        if self._ended or not self._waiting:
            raise ChannelEnded("unwrap: the session has ended" if self._ended else "unwrap: no command was wrapped")
        try:
            plain = self._messages.unprotect_response(response)
        except ResponseNotAuthentic:
            self._ended = True
            raise
        self._waiting = False
        if self._next_level is not None:
            if plain.ok:
                self._messages.level, self._begun = self._next_level
            self._next_level = None
        return plain

    def begin_r_mac(self, data: bytes = b"", *, encrypt: bool = False) -> Command:
        """BEGIN R-MAC SESSION, wrapped (7.1.3): from the next response on an R-MAC, with `encrypt` R-ENCRYPTION too. `data` is 0..255
        bytes.

        Raises LevelNotSupported where this adds nothing, or more than commands are protected with, or more than the card's i allows.
        """
        asked = R_MAC | (R_ENCRYPTION if encrypt else 0)
        level = self.level
        fits = level.c_decryption and not level.r_encryption if encrypt else level.c_mac and not level.r_mac
        if not fits or self._begun is not None or not self._parameter.allows(asked):
            raise LevelNotSupported(f"BEGIN R-MAC SESSION: {asked:02X} can not be added to level {level:02X} now")
        if len(data) > 0xFF:
            raise MalformedCommand(f"data: at most 255 bytes expected, {len(data)} came")
        body = bytes((len(data),)) + data
        wrapped = self.wrap(Command(class_byte(self._channel), BEGIN_R_MAC, asked, 0x01, body))
        self._next_level = (Level(level | asked), level)
        return wrapped

    def end_r_mac(self) -> Command:
        """END R-MAC SESSION, wrapped (7.1.4): after its response the level is again that of EXTERNAL AUTHENTICATE."""
        if self._begun is None:
            raise LevelNotSupported("END R-MAC SESSION: none was begun")
        wrapped = self.wrap(Command(class_byte(self._channel), END_R_MAC, 0x00, 0x03, b"", NE_SHORT_MAX))
        self._next_level = (self._begun, None)
        return wrapped
