"""The secure channel of a card manager: one session on the basic channel, for the manager or for the instance that is selected there.

How it works. The session, an object of Python, stands for RAM: a transient cell says whether it is alive, and where the chip clears that
cell the object is thrown away. What the session hands on goes to the application; its answer is protected on the way back.
"""

from collections.abc import Callable

from joren.apdu import CLA_JOREN, SW, Command, Response
from joren.apdu.gp import GpIns
from joren.apdu.scp03 import CardSession, CardSettings, Level, ScpKeys
from joren.applet.dispatch import guarded
from joren.applet.open_channel import SCP03_PARAMETER, OpenChannel
from joren.applet.platform import SecureChannel

from .card_manager_memory import ManagerMemory

__all__ = ["ManagerChannel", "opens"]

KEY_VERSION_AT = 10
Application = Callable[[Command], Response]


def opens(command: Command) -> bool:
    """Whether it is INITIALIZE UPDATE."""
    return command.cla == CLA_JOREN and command.ins == GpIns.INITIALIZE_UPDATE


class ManagerChannel:
    """The session, and the key set with which it was opened."""

    def __init__(self, memory: ManagerMemory, random: Callable[[int], bytes]) -> None:
        self._memory = memory
        self._random = random
        self._session: CardSession | None = None
        self.keys: ScpKeys | None = None

    @property
    def alive(self) -> bool:
        """Whether RAM holds a session, open or not."""
        return bool(self._memory.session.get(0, 1)[0])

    @property
    def level(self) -> Level | None:
        """The security level in force; None where no session is open."""
        return None if self._session is None else self._session.level

    @property
    def lent(self) -> SecureChannel | None:
        """The open session as an instance sees it."""
        return None if self.level is None or self.keys is None else OpenChannel(self.level, self.keys.dek)

    def drop(self) -> None:
        """The session is over."""
        self._session = self.keys = None

    def through(self, aid: bytes, command: Command, application: Application, *, extended: bool) -> Response:
        """The answer to a command for the application with this AID, which is selected on the basic channel (REQ-MAN-3, REQ-MAN-17)."""
        session = self._session_for(aid, opens(command))
        outcome = session.process(command, extended=extended)
        if session.level is None:
            self._memory.target.put(0, b"\x00")
        if isinstance(outcome, Response):
            if opens(command) and outcome.sw == SW.OK:
                self.keys = self._memory.key_set(outcome.data[KEY_VERSION_AT])
            return outcome
        return session.wrap_response(guarded(application, outcome))

    def _session_for(self, aid: bytes, anew: bool) -> CardSession:
        """The session that RAM holds; a new one where the chip cleared its RAM, and at INITIALIZE UPDATE, which knows new keys."""
        memory, session = self._memory, self._session
        if session is None or anew or not self.alive:
            self.drop()
            key_sets = tuple(memory.key_set(version) for version in memory.versions)
            settings = CardSettings(key_sets, SCP03_PARAMETER, memory.production.diversification_data, aid)
            self._session = session = CardSession(settings, self._random, memory.counters)
            memory.session.put(0, b"\x01")
        return session
