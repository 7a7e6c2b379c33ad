"""SCP03 inside an instance, for platforms that have no GlobalPlatform API (docs/spec/manager.md, REQ-OWN-1 to REQ-OWN-5).

How it works. `OwnChannel` is a class of instances made from another: the inner instance answers as ever, and sees the session as it would
see a card manager's. The session, an object of Python, stands for RAM: a transient cell says whether it is alive, and where the chip
clears that cell the object is thrown away.
"""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from joren.apdu import CLA_JOREN, SW, Command, Key, Response
from joren.apdu.gp import GpIns
from joren.apdu.scp03 import CardSession, CardSettings, ScpKeys

from .applet import NEEDS, Applet, Needs
from .open_channel import SCP03_PARAMETER, OpenChannel
from .platform import CardKey, Cells, Platform, SecureChannel, Until

__all__ = ["OwnChannel", "channel_parameters"]

KEY_SIZE = 16
SET_SIZE = 1 + 3 * KEY_SIZE
DIVERSIFICATION_SIZE = 10
COUNTER_SIZE = 3
SESSION_SIZE = 110
"""RAM of a session: 30 bytes, and five keys."""
NE_MAX = 256
SECURED = 0x04
NOT_A_CHANNEL = 0x7C


def channel_parameters(keys: ScpKeys, diversification_data: bytes = b"") -> bytes:
    """Install parameters, value of C9: version u8, Key-ENC, Key-MAC, Key-DEK, and diversification data, 10 bytes or none (REQ-OWN-1)."""
    return bytes((keys.version,)) + keys.enc.reveal() + keys.mac.reveal() + keys.dek.reveal() + diversification_data


@dataclass(frozen=True)
class OwnChannel:
    """An applet's class with a channel of its own: called with (platform, aid) it makes an instance. `parameters` are the value of C9.

    Raises ValueError for parameters of another form, which is 6A80 at INSTALL.
    """

    applet_class: Callable[[Platform, bytes], Applet]
    parameters: bytes = b""
    NEEDS: Needs = NEEDS

    def __call__(self, platform: Platform, aid: bytes) -> "ChannelledApplet":
        size = len(self.parameters)
        if size and (size not in (SET_SIZE, SET_SIZE + DIVERSIFICATION_SIZE) or not self.parameters[0]):
            raise ValueError(f"install parameters: version, three keys and perhaps diversification data expected, {size} bytes came")
        return ChannelledApplet(self, platform, aid)


class Lending:
    """The platform, with the instance's own channel in front (joren.applet.platform.Platform)."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.channel: SecureChannel | None = None

    @property
    def development(self) -> bool:
        return self._platform.development

    def persistent(self, name: str, size: int, *, secret: bool = False) -> Cells:
        return self._platform.persistent(name, size, secret=secret)

    def transient(self, name: str, size: int, *, until: Until = Until.DESELECT) -> Cells:
        return self._platform.transient(name, size, until=until)

    def key(self, name: str) -> CardKey:
        return self._platform.key(name)

    def transaction(self) -> AbstractContextManager[None]:
        return self._platform.transaction()

    def random(self, length: int) -> bytes:
        return self._platform.random(length)


class Sequence(MutableMapping[int, int]):
    """The sequence counter, u24, as CardSession wants it: of the one version that there is."""

    def __init__(self, keys: Cells, counter: Cells) -> None:
        self._keys, self._counter = keys, counter

    def __getitem__(self, version: int) -> int:
        return int.from_bytes(self._counter.get())

    def __setitem__(self, version: int, counter: int) -> None:
        self._counter.put(0, counter.to_bytes(COUNTER_SIZE))

    def __delitem__(self, version: int) -> None:
        raise NotImplementedError("a key set stays")

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys.get(0, 1))

    def __len__(self) -> int:
        return 1


class ChannelledApplet:
    """One instance (joren.applet.applet.Applet)."""

    def __init__(self, made_by: OwnChannel, platform: Platform, aid: bytes) -> None:
        self.aid = aid
        self._lending = Lending(platform)
        self.inner = made_by.applet_class(self._lending, aid)
        self._keys = platform.persistent("channel_keys", SET_SIZE + DIVERSIFICATION_SIZE, secret=True)
        counter = platform.persistent("channel_counter", COUNTER_SIZE)
        self._sequence = Sequence(self._keys, counter)
        self._alive = platform.transient("channel", SESSION_SIZE)
        self._random = platform.random
        self._session: CardSession | None = None
        if made_by.parameters:
            self._keys.put(0, made_by.parameters)

    def select(self, command: Command) -> Response:
        """SELECT; the session has ended with the RAM."""
        self._lending.channel = None
        return self.inner.select(command)

    def process(self, command: Command) -> Response:
        """Any other command: through the session, or as it came where there is none (REQ-OWN-2, REQ-OWN-3)."""
        if command.cla & NOT_A_CHANNEL and command.cla & ~CLA_JOREN != SECURED:
            return Response(b"", SW.CLA_NOT_SUPPORTED)
        opens = command.cla == CLA_JOREN and command.ins == GpIns.INITIALIZE_UPDATE
        if opens and not self._keys.get(0, 1)[0]:
            return Response(b"", SW.REFERENCED_DATA_NOT_FOUND if len(command.data) == SCP03_PARAMETER.size else SW.WRONG_LENGTH)
        if command.ne is not None and command.ne > NE_MAX:
            command = replace(command, ne=NE_MAX)
        session = self._session_in_ram()
        outcome = session.process(command)
        if isinstance(outcome, Response):
            return outcome
        level = session.level
        self._lending.channel = None if level is None else OpenChannel(level, self._key_set().dek)
        return session.wrap_response(self.inner.process(outcome))

    def _session_in_ram(self) -> CardSession:
        """The session that RAM holds; a new one where the chip has cleared it."""
        if self._session is None or not self._alive.get(0, 1)[0]:
            settings = CardSettings((self._key_set(),), SCP03_PARAMETER, self._keys.get(SET_SIZE), self.aid)
            self._session = CardSession(settings, self._random, self._sequence)
            self._alive.put(0, b"\x01")
        return self._session

    def _key_set(self) -> ScpKeys:
        """The key set; where there is none, one that nothing can be opened with."""
        raw = self._keys.get(0, SET_SIZE)
        enc, mac, dek = (Key(raw[at : at + KEY_SIZE], "channel", raw[0]) for at in range(1, SET_SIZE, KEY_SIZE))
        return ScpKeys(enc, mac, dek, raw[0] or 0xFF)
