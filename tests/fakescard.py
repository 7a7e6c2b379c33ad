"""smartcard.scard without pcscd: readers, cards, other programs, and errors on order; it behaves as pcscd 1.9.9 with vpcd was seen to."""

from collections.abc import Callable
from dataclasses import dataclass, field

from joren.apdu.atr import read_atr
from joren.host.pcsc_api import Pc, ReaderTuple
from joren.simulator.chip import Chip
from joren.simulator.memory import PowerCut
from joren.simulator.vpcd import ChipInSlot, SlotCard

__all__ = ["FakeScard", "FakeSlot", "Scripted"]

CHANGED, UNKNOWN, EMPTY, PRESENT, EXCLUSIVE, IN_USE, MUTE = 0x02, 0x04, 0x10, 0x20, 0x80, 0x100, 0x200
EXCLUSIVE_SHARE = 1
SHARING_VIOLATION, PROTO_MISMATCH, UNRESPONSIVE = 0x8010000B, 0x8010000F, 0x80100066


class Scripted:
    """A card that answers from a table, and notes what it was sent. Anything else: 6D00."""

    def __init__(self, atr: str, answers: dict[str, str] | None = None) -> None:
        self.atr = bytes.fromhex(atr)
        self.answers = {bytes.fromhex(key): bytes.fromhex(value) for key, value in (answers or {}).items()}
        self.sent: list[bytes] = []
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def exchange(self, apdu: bytes) -> bytes:
        self.sent.append(apdu)
        return self.answers.get(apdu, b"\x6d\x00")


@dataclass
class FakeSlot:
    """A reader: what is in it, and what pcscd has seen of that."""

    card: SlotCard | None = None
    seen: bool = False
    events: int = 0
    mute: bool = False
    handles: dict[int, int] = field(default_factory=dict)
    """Share mode by connection."""
    reset: set[int] = field(default_factory=set)
    """Connections that have to be told of a reset."""
    removed: set[int] = field(default_factory=set)

    def insert(self, card: SlotCard | Chip) -> None:
        """A card goes in, and pcscd sees it."""
        self.swap(card)
        self.seen = True
        self.events += 1

    def pull(self, *, noticed: bool = True) -> None:
        """The card goes; pcscd sees it at its next poll, which is now or later."""
        self.card = None
        if noticed:
            self.notice()

    def notice(self) -> None:
        """pcscd polls."""
        now = self.card is not None
        if now != self.seen:
            self.seen = now
            self.events += 1
            self.removed |= set(self.handles)

    def swap(self, card: SlotCard | Chip) -> None:
        """Another card, within the polling gap."""
        self.card = ChipInSlot(card) if isinstance(card, Chip) else card
        self.card.reset()

    def reset_by_another(self) -> None:
        """Another program resets the card."""
        assert self.card is not None
        self.card.reset()
        self.reset |= set(self.handles)

    @property
    def raw(self) -> int:
        held = EXCLUSIVE if EXCLUSIVE_SHARE in self.handles.values() else IN_USE if self.handles else 0
        return self.events << 16 | ((PRESENT | (MUTE if self.mute else 0)) if self.seen else EMPTY) | held


class FakeScard:
    """The module. `ordered` are codes that the next calls of a function give; `meanwhile` is called at every wait."""

    def __init__(self, *names: str) -> None:
        self.slots = {name: FakeSlot() for name in names or ("Desk 00 00",)}
        self.running = True
        self.ordered: dict[str, list[int]] = {}
        self.calls: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.before_connect: Callable[[], object] = lambda: None
        self.before_transmit: Callable[[], object] = lambda: None
        self.after_transmit: Callable[[], object] = lambda: None
        self._contexts: set[int] = set()
        self._owner: dict[int, int] = {}
        self._number = 1_000

    def __getitem__(self, name: str) -> FakeSlot:
        return self.slots[name]

    def die(self) -> None:
        """pcscd ends; what it knew is gone."""
        self.running = False
        self._contexts.clear()
        for slot in self.slots.values():
            slot.handles.clear()

    def _failed(self, name: str, context: int | None = None) -> int:
        self.calls.append(name)
        if self.ordered.get(name):
            return self.ordered[name].pop(0)
        if not self.running:
            return Pc.NO_SERVICE
        return Pc.INVALID_HANDLE if context is not None and context not in self._contexts else 0

    def _next(self) -> int:
        self._number += 1
        return self._number

    def SCardEstablishContext(self, scope: int) -> tuple[int, int]:
        if code := self._failed("EstablishContext"):
            return code, 0
        self._contexts.add(made := self._next())
        return 0, made

    def SCardReleaseContext(self, context: int) -> int:
        if code := self._failed("ReleaseContext", context):
            return code
        self._contexts.discard(context)
        for slot in self.slots.values():
            slot.handles = {handle: share for handle, share in slot.handles.items() if self._owner[handle] != context}
        return 0

    def SCardListReaders(self, context: int, groups: list[str]) -> tuple[int, list[str]]:
        if code := self._failed("ListReaders", context):
            return code, []
        return (0, list(self.slots)) if self.slots else (Pc.NO_READERS, [])

    def SCardGetStatusChange(self, context: int, timeout_ms: int, readers: list[tuple[str, int]]) -> tuple[int, list[ReaderTuple]]:
        for waited in (False, True):
            if code := self._failed("GetStatusChange", context):
                return code, []
            if any(name not in self.slots for name, _ in readers):
                return Pc.UNKNOWN_READER, [(name, UNKNOWN, []) for name, _ in readers]
            told: list[ReaderTuple] = []
            for name, known in readers:
                slot = self.slots[name]
                atr = list(slot.card.atr) if slot.seen and slot.card is not None else []
                told.append((name, slot.raw | (CHANGED if slot.raw != known else 0), atr))
            if any(raw & CHANGED for _, raw, _ in told):
                return 0, told
            if not waited and timeout_ms:
                self.meanwhile()
        return Pc.TIMEOUT, told

    def SCardConnect(self, context: int, reader: str, share: int, protocols: int) -> tuple[int, int, int]:
        self.before_connect()
        self.before_connect = lambda: None
        code = self._failed("Connect", context)
        slot = self.slots.get(reader)
        if code or slot is None:
            return code or Pc.UNKNOWN_READER, 0, 0
        if EXCLUSIVE_SHARE in slot.handles.values() or (slot.handles and share == EXCLUSIVE_SHARE):
            return SHARING_VIOLATION, 0, 0
        if slot.card is None or not slot.seen:
            return Pc.NO_SMARTCARD, 0, 0
        if slot.mute:
            return UNRESPONSIVE, 0, 0
        protocol = _protocol(slot.card.atr, protocols)
        if not protocol:
            return PROTO_MISMATCH, 0, 0
        handle = self._next()
        slot.handles[handle] = share
        self._owner[handle] = context
        return 0, handle, protocol

    def _slot(self, name: str, card: int) -> tuple[int, FakeSlot | None]:
        code = self._failed(name)
        slot = next((slot for slot in self.slots.values() if card in slot.handles), None)
        return code or (0 if slot else Pc.INVALID_HANDLE), slot

    def SCardReconnect(self, card: int, share: int, protocols: int, initialization: int) -> tuple[int, int]:
        code, slot = self._slot("Reconnect", card)
        if code or slot is None:
            return code, 0
        slot.reset.discard(card)
        slot.removed.discard(card)
        if slot.card is None:
            slot.seen = False
            return Pc.NO_SMARTCARD, 0
        if initialization:
            slot.card.reset()
            slot.reset |= set(slot.handles) - {card}
        return 0, _protocol(slot.card.atr, protocols)

    def SCardDisconnect(self, card: int, disposition: int) -> int:
        code, slot = self._slot(f"Disconnect {disposition}", card)
        if slot is not None:
            del slot.handles[card]
            if disposition and slot.card is not None:
                slot.card.reset()
                slot.reset |= set(slot.handles)
        return code

    def SCardBeginTransaction(self, card: int) -> int:
        return self._state("BeginTransaction", card)[0]

    def SCardEndTransaction(self, card: int, disposition: int) -> int:
        return self._state("EndTransaction", card)[0]

    def _state(self, name: str, card: int) -> tuple[int, FakeSlot | None]:
        code, slot = self._slot(name, card)
        if not code and slot is not None:
            code = Pc.REMOVED_CARD if card in slot.removed else Pc.RESET_CARD if card in slot.reset else 0
        return code, slot

    def SCardStatus(self, card: int) -> tuple[int, str, int, int, list[int]]:
        code, slot = self._state("Status", card)
        return (code, "", 0, 0, []) if code or slot is None or slot.card is None else (0, "", 0x34, 2, list(slot.card.atr))

    def SCardTransmit(self, card: int, protocol: int, command: list[int]) -> tuple[int, list[int]]:
        self.before_transmit()
        code, slot = self._state("Transmit", card)
        if code or slot is None:
            return code, [0xEE] * 300  # what was in its memory, as pyscard does
        if slot.card is None:
            return Pc.NOT_TRANSACTED, [0xEE] * 300
        try:
            answer = slot.card.exchange(bytes(command))
        except PowerCut:
            slot.card = None
            return Pc.NOT_TRANSACTED, []
        self.after_transmit()
        return (Pc.NOT_TRANSACTED, []) if slot.card is None else (0, list(answer))


def _protocol(atr: bytes, wanted: int) -> int:
    """T=1 where the ATR offers it and it is wanted, else T=0 where that is so."""
    offered = sum(1 << number for number in read_atr(atr).protocols if number in (0, 1))
    both = offered & wanted
    return 2 if both & 2 else both
