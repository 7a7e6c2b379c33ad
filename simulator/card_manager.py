"""The card manager: an issuer security domain by GlobalPlatform 2.3.1 behind SCP03 (docs/spec/manager.md).

How it works. Every command goes through the card's side of SCP03 first (CardSession); what that hands on is looked up in ROWS, which has
the checks common to all commands in their order, and a handler. The same channel stands in front of an instance that is selected on the
basic channel (`lend`). What must reach beyond the manager's own cells it asks of the chip (`Card`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import ClassVar, Protocol

from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, MacMismatch, Response
from joren.apdu.gp import (
    MANAGER_AID,
    MANAGER_PRIVILEGES,
    MODULES,
    PACKAGE_AID,
    GpIns,
    InstallData,
    card_data,
    cplc,
    file_control_information,
    key_information,
    parse_delete,
    parse_personalization,
    parse_search,
    registry_data,
    with_key_lengths,
)
from joren.apdu.record import MalformedRecord
from joren.apdu.scp03 import Level, decode_put_keys, put_keys_answer
from joren.apdu.tlv import MalformedTlv, build_tlv
from joren.applet.applet import Needs, Refused
from joren.applet.dispatch import guarded
from joren.applet.open_channel import SCP03_PARAMETER
from joren.applet.personalize import STORE_P1
from joren.applet.platform import Platform, SecureChannel

from .card_manager_channel import ManagerChannel, opens
from .card_manager_memory import CARD_TRANSITIONS, CardState, Entry, ManagerMemory

__all__ = ["ANSWER_MAX", "ROWS", "Card", "CardManager", "Row", "Security"]

ANSWER_MAX = 239
"""Bytes of an answer of GET STATUS: with padding and R-MAC it stays below 256."""
SECURE_MESSAGING = 0x04
INSTALL_LOAD, INSTALL_SELECTABLE, INSTALL_PERSONALIZATION = 0x02, 0x0C, 0x20
LAST_BLOCK, LOCK = 0x80, 0x80
LOADED = 0x01
CARD, APPLICATION = 0x80, 0x40
ISD, APPLICATIONS, PACKAGES, MODULES_TOO = 0x80, 0x40, 0x20, 0x10


class Security(IntEnum):
    """What a command needs of the channel."""

    NONE = 0
    SESSION = 1
    C_MAC = 2
    C_DECRYPTION = 3


class Card(Protocol):
    """The chip as the manager needs it beside its own cells."""

    extended: bool
    """Whether the command in hand came in extended length."""

    def place(self, module: bytes, aid: bytes) -> None:
        """Makes the instance of a module, not yet selectable. Raises DoesNotFit."""

    def sync(self) -> None:
        """After a change of registry or card state: who is selectable, whose sessions end, whose cells are wiped."""

    def hand_on(self, aid: bytes, command: Command, channel: SecureChannel | None) -> Response:
        """The answer of a registered instance to a command that came through a channel, or in the clear."""

    def life_cycle(self, aid: bytes) -> int:
        """Its life cycle state."""

    def is_selected(self, aid: bytes) -> bool:
        """Whether it is selected on some logical channel."""

    def clear_ram(self, aid: bytes) -> None:
        """Clears its RAM that lasts until deselection."""

    def fits(self, module: bytes, aid: bytes) -> bool:
        """Whether there is room for it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A command: which P1 P2 it has, the fewest and the most bytes of data, the card states that allow it, the channel it needs."""

    parameters: Callable[[int, int], bool]
    shortest: int
    longest: int
    states: frozenset[CardState]
    security: Security


IN_USE = frozenset({CardState.OP_READY, CardState.INITIALIZED, CardState.SECURED})
NOT_TERMINATED = IN_USE | {CardState.CARD_LOCKED}
LENGTH_MAX = 255
STATUS_TYPES = (ISD, APPLICATIONS, PACKAGES, MODULES_TOO)
INSTALLS = (INSTALL_LOAD, INSTALL_SELECTABLE, INSTALL_PERSONALIZATION)

ROWS: dict[GpIns, Row] = {
    GpIns.GET_DATA: Row(lambda _p1, _p2: True, 0, 0, frozenset(CardState), Security.NONE),
    GpIns.GET_STATUS: Row(
        lambda p1, p2: p1 in STATUS_TYPES and (p2 == 2 or (p2 == 3 and p1 != ISD)), 2, LENGTH_MAX, NOT_TERMINATED, Security.SESSION
    ),
    GpIns.SET_STATUS: Row(
        lambda p1, p2: p1 == APPLICATION or (p1 == CARD and p2 in list(CardState)), 0, LENGTH_MAX, NOT_TERMINATED, Security.C_MAC
    ),
    GpIns.PUT_KEY: Row(lambda p1, p2: p1 <= 0x7F and p2 == 0x81, 1, LENGTH_MAX, IN_USE, Security.C_MAC),
    GpIns.INSTALL: Row(lambda p1, p2: p1 in INSTALLS and p2 == 0, 1, LENGTH_MAX, IN_USE, Security.C_MAC),
    GpIns.LOAD: Row(lambda _p1, _p2: True, 0, LENGTH_MAX, IN_USE, Security.C_MAC),
    GpIns.DELETE: Row(lambda p1, p2: p1 == 0 and p2 in (0x00, 0x80), 1, LENGTH_MAX, IN_USE, Security.C_MAC),
    GpIns.STORE_DATA: Row(lambda p1, _p2: p1 in STORE_P1, 1, LENGTH_MAX, IN_USE, Security.C_DECRYPTION),
}
"""The table of docs/spec/manager.md (REQ-MAN-3, REQ-MAN-4)."""


class CardManager:
    """The issuer security domain of a chip. It is made with (platform, aid) like an applet; `attach` then gives it the chip."""

    NEEDS: ClassVar[Needs] = Needs(code_bytes=0, working_ram_bytes=256, commit_bytes=100, commit_writes=4)

    def __init__(self, platform: Platform, aid: bytes) -> None:
        self.aid = aid
        self.memory = ManagerMemory(platform)
        self._platform = platform
        self._channel = ManagerChannel(self.memory, platform.random)
        self._card: Card | None = None
        self.memory.state_cells.put(0, bytes((CardState.OP_READY,)))

    def attach(self, card: Card) -> None:
        """The chip it is on."""
        self._card = card

    @property
    def card(self) -> Card:
        """The chip it is on. Raises RuntimeError where it was never attached."""
        if self._card is None:
            raise RuntimeError("a card manager works on a managed chip alone")
        return self._card

    def select(self, command: Command) -> Response:
        """SELECT (REQ-MAN-1); its RAM has just been cleared, and with it the session."""
        return guarded(self._select, command)

    def _select(self, command: Command) -> Response:
        state = self.memory.state
        if state is CardState.TERMINATED:
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        answer = b""
        if command.p2 & 0x0C == 0:
            answer = file_control_information(SCP03_PARAMETER.encode(), self._serial)
        return Response(answer, SW.FILE_DEACTIVATED if state is CardState.CARD_LOCKED else SW.OK)

    @property
    def _serial(self) -> bytes:
        return self.memory.production.diversification_data[-4:]

    def process(self, command: Command) -> Response:
        """Any other command: through the secure channel, then by ROWS. Once the card is terminated there is no channel (REQ-MAN-12)."""
        if self.memory.state is CardState.TERMINATED:
            self._channel.drop()
            return self.process_plain(command)
        return self._channel.through(self.aid, command, self._dispatch, extended=self.card.extended)

    def process_plain(self, command: Command) -> Response:
        """A command where there is no channel: on a logical channel that is not the basic one, on a card at its end (REQ-MAN-4)."""
        if opens(command):
            return Response(b"", SW.CONDITIONS_NOT_SATISFIED)
        return guarded(partial(self._dispatch, plain=True), command)

    def lend(self, aid: bytes, command: Command) -> Response:
        """A command for an instance that is selected on the basic channel: through the channel in front of it (REQ-MAN-17)."""
        channel, card = self._channel, self.card
        if opens(command) or command.cla & SECURE_MESSAGING or channel.alive:
            return channel.through(aid, command, lambda meant: card.hand_on(aid, meant, channel.lent), extended=card.extended)
        return card.hand_on(aid, command, None)

    def _dispatch(self, command: Command, plain: bool = False) -> Response:
        """The checks common to all commands, in their order (REQ-MAN-3), and the handler."""
        ins = next((ins for ins in ROWS if ins == command.ins), None)
        if command.cla not in (CLA_ISO, CLA_JOREN):
            raise Refused(SW.CLA_NOT_SUPPORTED)
        if ins is None or (command.cla == CLA_ISO and ins is not GpIns.GET_DATA):
            raise Refused(SW.INS_NOT_SUPPORTED)
        row = ROWS[ins]
        if not row.parameters(command.p1, command.p2):
            raise Refused(SW.INCORRECT_P1_P2)
        if not row.shortest <= len(command.data) <= row.longest:
            raise Refused(SW.WRONG_LENGTH)
        if self.memory.state not in row.states:
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        if not self._secure_enough(row.security, None if plain else self._channel.level):
            raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)
        try:
            return self.HANDLERS[ins](self, command)
        except (MalformedRecord, MalformedTlv, MacMismatch):
            raise Refused(SW.WRONG_DATA) from None

    @staticmethod
    def _secure_enough(needed: Security, level: Level | None) -> bool:
        if level is None or needed is Security.NONE:
            return needed is Security.NONE
        return needed is Security.SESSION or (level.c_decryption if needed is Security.C_DECRYPTION else level.c_mac)

    def _get_data(self, command: Command) -> Response:
        """GET DATA (REQ-MAN-5)."""
        memory = self.memory
        tag = command.p1 << 8 | command.p2
        production = memory.production
        versions = memory.versions
        objects: dict[int, bytes] = {
            0x0066: card_data(SCP03_PARAMETER.encode()),
            0x00E0: key_information(versions),
            0x00C1: build_tlv(0xC1, memory.counters[versions[0]].to_bytes(3)),
            0x9F7F: cplc(production.diversification_data),
        }
        if production.iin:
            objects[0x0042] = build_tlv(0x42, production.iin)
        if production.cin:
            objects[0x0045] = build_tlv(0x45, production.cin)
        if tag not in objects:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        return Response(objects[tag], SW.OK)

    def _put_key(self, command: Command) -> Response:
        """PUT KEY (REQ-MAN-7, REQ-MAN-8): a whole key set, in one transaction."""
        memory, session_keys = self.memory, self._channel.keys
        if session_keys is None:
            raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)
        if command.p1:
            memory.slot_of(command.p1)
        keys = decode_put_keys(session_keys.dek, with_key_lengths(command.data))
        if len(keys.enc) != len(session_keys.enc) or (keys.version != command.p1 and keys.version in memory.versions):
            raise Refused(SW.WRONG_DATA)
        slot = memory.slot_for(command.p1)
        with self._platform.transaction():
            memory.put_keys(slot, keys)
        return Response(put_keys_answer(keys), SW.OK)

    def _found(self, kind: int, part: bytes) -> list[tuple[int, bytes]]:
        """What GET STATUS finds: place and data."""
        if kind == ISD:
            return [(1, registry_data(MANAGER_AID, self.memory.state, MANAGER_PRIVILEGES))]
        if kind in (PACKAGES, MODULES_TOO):
            data = registry_data(PACKAGE_AID, LOADED, modules=MODULES if kind == MODULES_TOO else ())
            return [(1, data)] if PACKAGE_AID.startswith(part) else []
        entries = [(place, entry) for place, entry in self.memory.entries() if entry.aid.startswith(part)]
        return [(place, registry_data(entry.aid, self._state_of(entry), entry.privileges)) for place, entry in entries]

    def _state_of(self, entry: Entry) -> int:
        return self.card.life_cycle(entry.aid) | (LOCK if entry.locked else 0)

    def _get_status(self, command: Command) -> Response:
        """GET STATUS, first and next (REQ-MAN-9)."""
        memory = self.memory
        part = parse_search(command.data)
        kind, start = memory.cursor.get()
        if command.p2 & 0x01 == 0:
            start = 1
        elif kind != command.p1:
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        found = [(place, data) for place, data in self._found(command.p1, part) if place >= start]
        if not found:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        answer = b""
        for place, data in found:
            if len(answer) + len(data) > ANSWER_MAX:
                memory.cursor.put(0, bytes((command.p1, place)))
                return Response(answer, SW.MORE_DATA_AVAILABLE)
            answer += data
        memory.cursor.put(0, bytes(2))
        return Response(answer, SW.OK)

    def _set_status(self, command: Command) -> Response:
        """SET STATUS of the card (REQ-MAN-11) or of an application (REQ-MAN-10)."""
        memory = self.memory
        if command.p1 == CARD:
            if command.p2 not in CARD_TRANSITIONS[memory.state]:
                raise Refused(SW.CONDITIONS_NOT_SATISFIED)
            memory.state_cells.put(0, bytes((command.p2,)))
        else:
            place, entry = self._registered(command.data, SW.REFERENCED_DATA_NOT_FOUND)
            locked = bool(command.p2 & LOCK)
            if entry.locked is locked:
                raise Refused(SW.CONDITIONS_NOT_SATISFIED)
            memory.put_entry(place, Entry(entry.aid, entry.privileges, locked))
        self.card.sync()
        return Response(b"", SW.OK)

    def _registered(self, aid: bytes, otherwise: SW) -> tuple[int, Entry]:
        found = self.memory.find(aid)
        if found is None:
            raise Refused(otherwise)
        return found

    def _install(self, command: Command) -> Response:
        """INSTALL: for load is refused (REQ-MAN-13), for install and make selectable (REQ-MAN-6), for personalization (REQ-MAN-15)."""
        if command.p1 == INSTALL_LOAD:
            raise Refused(SW.FUNCTION_NOT_SUPPORTED)
        self.memory.target.put(0, b"\x00")
        if command.p1 == INSTALL_PERSONALIZATION:
            return self._install_for_personalization(command)
        data = InstallData.decode(command.data)
        if data.package != PACKAGE_AID or data.module not in MODULES:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        named = data.aid[:-2] == data.module and not self.memory.find(data.aid)
        if not named or any(data.privileges) or data.token or data.application_parameters():
            raise Refused(SW.WRONG_DATA)
        place = self.memory.free_place()
        if not self.card.fits(data.module, data.aid):
            raise Refused(SW.NOT_ENOUGH_MEMORY)
        self.card.place(data.module, data.aid)
        self.memory.put_entry(place, Entry(data.aid))
        self.card.sync()
        return Response(b"\x00", SW.OK)

    def _install_for_personalization(self, command: Command) -> Response:
        place, entry = self._registered(parse_personalization(command.data), SW.REFERENCED_DATA_NOT_FOUND)
        self._check_at_rest(entry)
        self.card.clear_ram(entry.aid)
        self.memory.target.put(0, bytes((place,)))
        return Response(b"\x00", SW.OK)

    def _check_at_rest(self, entry: Entry) -> None:
        """Refused(6985) for an application that is locked, or selected on another channel."""
        if entry.locked or self.card.is_selected(entry.aid):
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)

    def _store_data(self, command: Command) -> Response:
        """STORE DATA, handed on to the application in personalization, which has the last word (REQ-MAN-15, REQ-MAN-16)."""
        target = self.memory.target.get()[0]
        if command.p1 & LAST_BLOCK:
            self.memory.target.put(0, b"\x00")
        entry = dict(self.memory.entries()).get(target)
        if entry is None:
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        self._check_at_rest(entry)
        return self.card.hand_on(entry.aid, command, self._channel.lent)

    def _load(self, _command: Command) -> Response:
        """LOAD: the simulator runs no load files (REQ-MAN-13)."""
        raise Refused(SW.FUNCTION_NOT_SUPPORTED)

    def _delete(self, command: Command) -> Response:
        """DELETE of an instance (REQ-MAN-14) or of a key set (REQ-MAN-18)."""
        aid = parse_delete(command.data)
        if isinstance(aid, int):
            return self._delete_keys(aid)
        if aid in (MANAGER_AID, PACKAGE_AID):
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        place, entry = self._registered(aid, SW.FILE_NOT_FOUND)
        if self.card.is_selected(entry.aid):
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        self.memory.target.put(0, b"\x00")
        self.memory.put_entry(place, None)
        self.card.sync()
        return Response(b"\x00", SW.OK)

    def _delete_keys(self, version: int) -> Response:
        memory, session_keys = self.memory, self._channel.keys
        memory.slot_of(version)
        if memory.versions == [version] or (session_keys is not None and session_keys.version == version):
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        with self._platform.transaction():
            memory.delete_keys(version)
        memory.target.put(0, b"\x00")
        return Response(b"\x00", SW.OK)

    HANDLERS: ClassVar[dict[GpIns, Callable[["CardManager", Command], Response]]] = {
        GpIns.GET_DATA: _get_data,
        GpIns.GET_STATUS: _get_status,
        GpIns.SET_STATUS: _set_status,
        GpIns.PUT_KEY: _put_key,
        GpIns.INSTALL: _install,
        GpIns.LOAD: _load,
        GpIns.DELETE: _delete,
        GpIns.STORE_DATA: _store_data,
    }
