"""What a card manager keeps: the card's life cycle state, its key sets with their counters, the registry of applications, and its RAM.

How it works. All of it lies in cells of the chip, so tears, transactions and wear see it. A registry entry is one record in one write: an
application is on the card when its entry says so, whatever else was written for it.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import ClassVar, Self

from joren.apdu import SW, Key
from joren.apdu.record import MalformedRecord
from joren.apdu.scp03 import ScpKeys
from joren.applet.applet import Refused
from joren.applet.platform import Platform

__all__ = ["CARD_TRANSITIONS", "ENTRIES", "INITIAL_VERSION", "KEY_SETS", "CardState", "Entry", "ManagerMemory", "Production"]

KEY_SETS, KEY_SIZE = 3, 16
SET_SIZE = 3 * KEY_SIZE
COUNTER_SIZE = 3
ENTRIES = 16
INITIAL_VERSION = 0xFF
"""The key version of a card as it is delivered: the first set that is added takes its place (REQ-MAN-8)."""
NAMES = ("Key-ENC", "Key-MAC", "Key-DEK")


class CardState(IntEnum):
    """Card life cycle states (GlobalPlatform 2.3.1, Table 11-6)."""

    OP_READY = 0x01
    INITIALIZED = 0x07
    SECURED = 0x0F
    CARD_LOCKED = 0x7F
    TERMINATED = 0xFF


CARD_TRANSITIONS: dict[CardState, frozenset[CardState]] = {
    CardState.OP_READY: frozenset({CardState.INITIALIZED, CardState.TERMINATED}),
    CardState.INITIALIZED: frozenset({CardState.SECURED, CardState.TERMINATED}),
    CardState.SECURED: frozenset({CardState.CARD_LOCKED, CardState.TERMINATED}),
    CardState.CARD_LOCKED: frozenset({CardState.SECURED, CardState.TERMINATED}),
    CardState.TERMINATED: frozenset(),
}
"""Every step there is (GlobalPlatform 2.3.1, Figure 5-1; REQ-MAN-11)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A registry entry, 21 bytes: state u8 (00 free, 01 there, 81 locked) | privileges 3 | length of the AID u8 | AID 16, right-padded."""

    aid: bytes
    privileges: bytes = bytes(3)
    locked: bool = False

    FORMAT: ClassVar[Struct] = Struct(">B3sB16s")

    def encode(self) -> bytes:
        """The record's bytes."""
        return self.FORMAT.pack(0x81 if self.locked else 0x01, self.privileges, len(self.aid), self.aid)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From exactly 21 bytes of an entry that is not free. Raises MalformedRecord."""
        if len(raw) != cls.FORMAT.size or raw[0] not in (0x01, 0x81) or not 5 <= raw[4] <= 16:
            raise MalformedRecord(f"registry entry: 21 bytes, state 01 or 81, an AID of 5..16 bytes expected, {len(raw)} bytes came")
        state, privileges, size, aid = cls.FORMAT.unpack(raw)
        return cls(aid[:size], privileges, state == 0x81)


@dataclass(frozen=True, slots=True)
class Production:
    """What the maker writes once, 30 bytes: diversification data 10 | IIN, 0..8 bytes, and CIN, 0..10, each after its length and padded."""

    diversification_data: bytes = bytes(10)
    iin: bytes = b""
    cin: bytes = b""

    SIZE: ClassVar[int] = 30

    def __post_init__(self) -> None:
        """Raises MalformedRecord for lengths that do not fit."""
        if len(self.diversification_data) != 10 or len(self.iin) > 8 or len(self.cin) > 10:
            raise MalformedRecord("production: diversification data 10 bytes, IIN 0..8, CIN 0..10 expected")

    def encode(self) -> bytes:
        """The record's bytes."""
        iin, cin = bytes((len(self.iin),)) + self.iin.ljust(8, b"\0"), bytes((len(self.cin),)) + self.cin.ljust(10, b"\0")
        return self.diversification_data + iin + cin

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From exactly 30 bytes. Raises MalformedRecord."""
        if len(raw) != cls.SIZE:
            raise MalformedRecord(f"production: {cls.SIZE} bytes expected, {len(raw)} came")
        return cls(raw[:10], raw[11 : 11 + raw[10]], raw[20 : 20 + raw[19]])


class Counters(MutableMapping[int, int]):
    """The sequence counter of each key version, u24, in the chip's memory (Amendment D, 6.2.2.1)."""

    def __init__(self, memory: "ManagerMemory") -> None:
        self._memory = memory

    def __getitem__(self, version: int) -> int:
        return int.from_bytes(self._memory.counter_cells.get(self._offset(version), COUNTER_SIZE))

    def __setitem__(self, version: int, counter: int) -> None:
        self._memory.counter_cells.put(self._offset(version), counter.to_bytes(COUNTER_SIZE))

    def __delitem__(self, version: int) -> None:
        self[version] = 0

    def __iter__(self) -> Iterator[int]:
        return iter(self._memory.versions)

    def __len__(self) -> int:
        return len(self._memory.versions)

    def _offset(self, version: int) -> int:
        return self._memory.slot_of(version) * COUNTER_SIZE


class ManagerMemory:
    """The cells, and the few ways to read and write them."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.state_cells = platform.persistent("card_state", 1)
        self.version_cells = platform.persistent("key_versions", KEY_SETS)
        self.key_cells = platform.persistent("key_sets", KEY_SETS * SET_SIZE, secret=True)
        self.counter_cells = platform.persistent("counters", KEY_SETS * COUNTER_SIZE)
        self.registry_cells = platform.persistent("registry", ENTRIES * Entry.FORMAT.size)
        self.production_cells = platform.persistent("production", Production.SIZE)
        self.session = platform.transient("session", 84)
        """Byte 0: whether the session is alive. The others are what a card keeps for it: three keys, chaining value, challenge, counter."""
        self.target = platform.transient("target", 1)
        """Place in the registry, from 1, of the application in personalization; 0: none."""
        self.cursor = platform.transient("cursor", 2)
        """GET STATUS: P1 of the answer that is to be continued (0: none), and the place in the registry where it goes on."""
        self.counters = Counters(self)

    @property
    def state(self) -> CardState:
        """The card's life cycle state."""
        return CardState(self.state_cells.get()[0])

    @property
    def production(self) -> Production:
        """What the maker wrote."""
        return Production.decode(self.production_cells.get())

    @property
    def versions(self) -> list[int]:
        """The key versions there are, in the order of their places; the first is that of key version 00."""
        return [version for version in self.version_cells.get() if version]

    def slot_of(self, version: int) -> int:
        """The place of a key set. Raises Refused(6A88)."""
        slot = self.version_cells.get().find(version) if version else -1
        if slot < 0:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        return slot

    def key_set(self, version: int) -> ScpKeys:
        """The keys of a version. Raises Refused(6A88)."""
        raw = self.key_cells.get(self.slot_of(version) * SET_SIZE, SET_SIZE)
        keys = [Key(raw[index * KEY_SIZE : (index + 1) * KEY_SIZE], name, version) for index, name in enumerate(NAMES)]
        return ScpKeys(keys[0], keys[1], keys[2], version)

    def slot_for(self, replaces: int) -> int:
        """Where a new key set goes: in place of the one it replaces (6A88), else of the initial one, else where it is free (6A84)."""
        versions = self.version_cells.get()
        if replaces:
            return self.slot_of(replaces)
        slot = versions.find(INITIAL_VERSION)
        slot = versions.find(0) if slot < 0 else slot
        if slot < 0:
            raise Refused(SW.NOT_ENOUGH_MEMORY)
        return slot

    def put_keys(self, slot: int, keys: ScpKeys) -> None:
        """Writes a key set, its counter at 0; in the caller's transaction."""
        self.key_cells.put(slot * SET_SIZE, keys.enc.reveal() + keys.mac.reveal() + keys.dek.reveal())
        self.counter_cells.put(slot * COUNTER_SIZE, bytes(COUNTER_SIZE))
        self.version_cells.put(slot, bytes((keys.version,)))

    def delete_keys(self, version: int) -> None:
        """Wipes a key set and its counter, and frees its place; in the caller's transaction. Raises Refused(6A88)."""
        slot = self.slot_of(version)
        self.key_cells.put(slot * SET_SIZE, bytes(SET_SIZE))
        self.counter_cells.put(slot * COUNTER_SIZE, bytes(COUNTER_SIZE))
        self.version_cells.put(slot, b"\x00")

    def produce(self, keys: ScpKeys, production: Production) -> None:
        """What the maker does: the first key set, AES-128, version 1..255, and the production data. Raises ValueError for other keys."""
        if len(keys.enc) != KEY_SIZE or not keys.version:
            raise ValueError(f"key set: AES-128 of version 1..255 expected, {len(keys.enc) * 8} bits of version {keys.version} came")
        with self.platform.transaction():
            self.put_keys(0, keys)
            self.production_cells.put(0, production.encode())

    def entries(self) -> list[tuple[int, Entry]]:
        """The registry: place, from 1, and entry."""
        size, raw = Entry.FORMAT.size, self.registry_cells.get()
        records = [raw[index * size : (index + 1) * size] for index in range(ENTRIES)]
        return [(index + 1, Entry.decode(record)) for index, record in enumerate(records) if record[0]]

    def find(self, aid: bytes) -> tuple[int, Entry] | None:
        """Place and entry of an application."""
        return next(((place, entry) for place, entry in self.entries() if entry.aid == aid), None)

    def free_place(self) -> int:
        """The first free place of the registry. Raises Refused(6A84)."""
        taken = {place for place, _ in self.entries()}
        place = next((place for place in range(1, ENTRIES + 1) if place not in taken), None)
        if place is None:
            raise Refused(SW.NOT_ENOUGH_MEMORY)
        return place

    def put_entry(self, place: int, entry: Entry | None) -> None:
        """Writes an entry, or frees its place, in one write."""
        raw = bytes(Entry.FORMAT.size) if entry is None else entry.encode()
        self.registry_cells.put((place - 1) * Entry.FORMAT.size, raw)
