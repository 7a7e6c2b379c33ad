"""A chip with a card manager on it: the registry says which instances there are, and the manager answers after reset.

How it works. A `ManagedChip` is a Chip whose list of selectable instances is made from the manager's registry (`sync`), at power-on and
after every change. The memory can not give cells back: those of a deleted instance, and of one whose INSTALL was torn, are wiped and kept
for the same AID, which gets them again when it is installed anew. So the memory holds, for each AID that ever was, its regions.
"""

from joren.apdu import CLA_ISO, Command, Ins, Response
from joren.apdu.gp import MANAGER_AID
from joren.apdu.scp03 import ScpKeys
from joren.applet.applet import Applet
from joren.applet.platform import SecureChannel

from .card_manager import CardManager
from .card_manager_memory import CardState, Entry, Production
from .chip import IDEAL, AppletClass, Chip, DoesNotFit, MemoryMaker, Program
from .memory import Memory, Region, Secrecy, Snapshot
from .profile import Profile
from .roles import ROLES
from .seat import Seat

__all__ = ["ManagedChip", "make_managed_chip"]

SELECTABLE = 0x07


class ReusingSeat(Seat):
    """A seat that takes the regions of an instance with the same AID that is no more."""

    __slots__ = ()

    def _region(self, name: str, size: int, secrecy: Secrecy) -> Region:
        old = self._memory.regions.get(self._prefix + name)
        if old is None:
            return super()._region(name, size, secrecy)
        self.nvm_bytes += size
        return old


class ManagedChip(Chip):
    """A chip that a card manager manages. Without the manager installed it is a plain chip."""

    __slots__ = ("extended", "manager", "placed")

    def __init__(
        self, seed: bytes = b"", profile: Profile = IDEAL, make_memory: MemoryMaker = Memory, program: Program | None = None
    ) -> None:
        super().__init__(seed, profile, make_memory, program)
        self.manager: CardManager | None = None
        self.extended = False
        self.placed: dict[bytes, Applet] = {}

    def install(self, applet_class: AppletClass, aid: bytes) -> None:
        """Makes an instance and registers it, as the maker does. Raises ValueError for an AID that is taken, DoesNotFit."""
        manager = self.manager
        if manager is None:
            super().install(applet_class, aid)
            return
        if aid in self.applets or manager.memory.find(aid):
            raise ValueError(f"AID {aid.hex().upper()}: installed before")
        place = manager.memory.free_place()
        if aid not in self.seats:
            self.check_fit(applet_class, aid)
        self._place(applet_class, aid)
        manager.memory.put_entry(place, Entry(aid))
        self.sync()

    def _place(self, applet_class: AppletClass, aid: bytes) -> None:
        development = self.profile.development and self.manager is None
        seat = ReusingSeat(self.memory, self.random, aid, development=development, cmac=self.profile.cmac)
        self.classes[aid] = applet_class
        self.seats[aid] = seat
        self._wipe(aid)
        self.placed[aid] = applet = self.programmed(applet_class)(seat, aid)
        if isinstance(applet, CardManager):
            self.manager = applet
            applet.attach(self)
        self.applets[aid] = applet

    def place(self, module: bytes, aid: bytes) -> None:
        """The instance of a module, not yet selectable (joren.simulator.card_manager.Card)."""
        self._place(ROLES[module][1], aid)
        del self.applets[aid]

    def fits(self, module: bytes, aid: bytes) -> bool:
        """Whether there is room for it; one that was there before has its room still."""
        if aid in self.seats:
            return True
        try:
            self.check_fit(ROLES[module][1], aid)
        except DoesNotFit:
            return False
        return True

    def hand_on(self, aid: bytes, command: Command, channel: SecureChannel | None) -> Response:
        """The answer of a registered instance to a command that came through a channel, or in the clear."""
        seat = self.seats[aid]
        seat.channel = channel
        try:
            return self.placed[aid].process(command)
        finally:
            seat.channel = None

    def _deliver(self, aid: bytes, command: Command, channel: int) -> Response:
        """On the basic channel through the manager's secure channel (REQ-MAN-17); on others there is none."""
        manager = self.manager
        if manager is None:
            return super()._deliver(aid, command, channel)
        if aid == MANAGER_AID:
            return manager.process_plain(command) if channel else manager.process(command)
        return self.hand_on(aid, command, None) if channel else manager.lend(aid, command)

    def _chosen(self, channel: int) -> None:
        """A SELECT on the basic channel ends the session there (REQ-MAN-4)."""
        if channel == 0 and self.manager is not None:
            self.seats[MANAGER_AID].deselect()

    def life_cycle(self, aid: bytes) -> int:
        """The state that the instance keeps in its cells of that name; SELECTABLE where it keeps none."""
        region = self.memory.regions.get(f"{aid.hex().upper()}/life_cycle")
        return SELECTABLE if region is None else self.memory.read(region.address, 1)[0]

    def is_selected(self, aid: bytes) -> bool:
        """Whether it is selected on some logical channel."""
        return aid in self._channels.values()

    def clear_ram(self, aid: bytes) -> None:
        """Clears its RAM that lasts until deselection."""
        self.seats[aid].deselect()

    def sync(self) -> None:
        """Selectable is the manager and what the registry has unlocked, on a card in use; all others lose their session.

        Cells of instances that the registry does not have are wiped.
        """
        manager = self.manager
        if manager is None:
            return
        registered = [entry for _, entry in manager.memory.entries()]
        in_use = manager.memory.state not in (CardState.CARD_LOCKED, CardState.TERMINATED)
        chosen = [entry.aid for entry in registered if in_use and not entry.locked]
        self.applets = {aid: self.placed[aid] for aid in (MANAGER_AID, *chosen)}
        for channel, aid in list(self._channels.items()):
            if aid is not None and aid not in self.applets:
                self.seats[aid].deselect()
                self._channels[channel] = None
        kept = {MANAGER_AID, *(entry.aid for entry in registered)}
        for aid in self.seats.keys() - kept:
            self._wipe(aid)

    def _wipe(self, aid: bytes) -> None:
        """Zeros the cells of an AID, where they are not zero: the first step of making an instance, the last of deleting one."""
        prefix = aid.hex().upper() + "/"
        for name, region in self.memory.regions.items():
            if name.startswith(prefix) and any(self.memory.read(region.address, region.size)):
                self.memory.write(region.address, bytes(region.size))

    def process_bytes(self, raw: bytes) -> bytes:
        """As a plain chip; the secure channel is told in which form the lengths came, as its MAC covers Lc (REQ-MAN-4)."""
        self.extended = len(raw) > 5 and raw[4] == 0
        try:
            return super().process_bytes(raw)
        finally:
            self.extended = False

    def power_on(self) -> bytes:
        """As a plain chip; then the manager is selected on the basic channel (REQ-MAN-2)."""
        atr = super().power_on()
        self.sync()
        return atr

    def _leave_all(self) -> None:
        super()._leave_all()
        if self.manager is not None:
            self._channels[0] = MANAGER_AID

    def _select(self, command: Command, channel: int) -> Response:
        """SELECT without data chooses the manager (REQ-MAN-1)."""
        if self.manager is not None and not command.data:
            command = Command(CLA_ISO, Ins.SELECT, command.p1, command.p2 & ~0x02, MANAGER_AID, command.ne)
        return super()._select(command, channel)

    def restore(self, snapshot: Snapshot) -> None:
        """The memory as it was; a snapshot from before an INSTALL is shorter, and the cells added since are zero in it."""
        super().restore(snapshot + bytes(max(0, len(self.memory) - len(snapshot))))
        self.sync()


def make_managed_chip(
    seed: bytes, profile: Profile, keys: ScpKeys, production: Production | None = None, program: Program | None = None
) -> ManagedChip:
    """A chip as its maker delivers it: the manager, with its first key set, AES-128, version 1..255. Raises DoesNotFit or ValueError."""
    chip = ManagedChip(seed, profile, program=program)
    manager_class: AppletClass = CardManager
    chip.install(manager_class, MANAGER_AID)
    if chip.manager is None:
        raise RuntimeError("the manager is on the chip")
    chip.manager.memory.produce(keys, production or Production())
    return chip
