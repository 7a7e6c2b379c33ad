"""What the issuer may change on an issued card: each a plan of commands through a secure channel, and of the answers of a card that obeys.

How it works. A change looks at what the card says of itself and gives sessions: which application, which key set, which steps. A step is a
command and the data that must come back; the last one reads back what was changed, through the channel, so that its R-MAC proves it. All
values are absolute and refills are numbered, so a change that was cut short is simply made again. No session: it is so already.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from joren.apdu import CLA_ISO, CLA_JOREN, Command, Ins, Key, KeyRef, LifeCycle
from joren.apdu.cards import CustomerInfo, Limits, ShopInfo
from joren.apdu.gp import MANAGER_AID
from joren.apdu.scp03 import ScpKeys, put_keys, put_keys_answer
from joren.apdu.state import RankRules
from joren.apdu.tlv import Dgi

from .dialog import Slot
from .errors import HostError
from .facts import GET_CARD_KEYS, GET_MANAGER_KEYS, GET_TRIES, Facts
from .personalization import IssuerKeys, blocks, pin_groupings
from .product import Product

__all__ = ["AdminKeys", "CardKeys", "Change", "ManagerKeys", "NewPin", "Opened", "Refill", "Retire", "Rules", "Session", "Status", "Step"]

SET_CARD = 0x40
PIN_TRIES, PUK_TRIES = 3, 10
PLACES = 2
U16_MAX, U32_MAX = 0xFFFF, 0xFFFFFFFF
RULES_AND_LIMITS = RankRules.SIZE + Limits.FORMAT.size


class AdminKeys(IssuerKeys, Protocol):
    """The issuer's keys and first PINs, as the desk needs them after issuance (joren.host.masters.Masters)."""

    def pin(self, programme: int, card_id: bytes) -> str:
        """A card's first PIN."""

    def puk(self, programme: int, card_id: bytes) -> str:
        """A card's first PUK."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command through the channel, and the data that a card which obeys answers with 9000."""

    command: Command
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open channel: the key set, the card's diversification data (10 bytes), the most bytes of data in a command."""

    keys: ScpKeys
    card: bytes
    room: int


@dataclass(frozen=True, slots=True)
class Session:
    """One channel: the AID of the application, the version of the key set (0: the card's choice), and the steps within."""

    aid: bytes
    version: int
    steps: Callable[[Opened], list[Step]]


class Change(Protocol):
    """One thing to be changed."""

    @property
    def purpose(self) -> str:
        """What it does, for people; no secret."""

    def plan(self, facts: Facts, product: Product, keys: AdminKeys) -> list[Session]:
        """The sessions that make it, none where it is so already. Raises HostError where it can not be."""


def _store(facts: Facts, found: list[Dgi], *read_back: Step) -> list[Session]:
    """STORE DATA of groupings that fit one block, so all or none are stored; then what reads them back."""

    def steps(opened: Opened) -> list[Step]:
        return [*(Step(block) for block in blocks(found, opened.keys.dek, opened.room)), *read_back]

    return [Session(facts.aid, 0, steps)]


def _check_usable(facts: Facts) -> None:
    if facts.state not in (LifeCycle.ISSUED, LifeCycle.BLOCKED):
        raise HostError(f"{facts.slot.value}: ISSUED or BLOCKED expected, it is {facts.state.name}; nothing was changed")


def _keyed(tag: int, key: Key) -> Dgi:
    return Dgi(tag, bytes((key.version,)) + key.reveal())


def _check_number(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise HostError(f"{name}: {least}..{most} expected, {value} came")


@dataclass(frozen=True, slots=True)
class Status:
    """BLOCKED, ISSUED (let in again) or TERMINATED, which is for good."""

    state: LifeCycle

    @property
    def purpose(self) -> str:
        return f"set status {self.state.name}"

    def plan(self, facts: Facts, product: Product, keys: AdminKeys) -> list[Session]:
        """SET STATUS (REQ-ADM-2)."""
        if facts.state == self.state:
            return []
        _check_usable(facts)
        return [Session(facts.aid, 0, lambda opened: [Step(Command(CLA_JOREN, Ins.SET_STATUS, SET_CARD, self.state))])]


@dataclass(frozen=True, slots=True)
class Rules:
    """Rank rules and limits, those of the product."""

    purpose: ClassVar[str] = "set rules and limits"

    def plan(self, facts: Facts, product: Product, keys: AdminKeys) -> list[Session]:
        """DGIs 0102, 0103 in one block."""
        _check_usable(facts)
        rules, limits = product.rules.encode(), product.limits.encode()
        told = Step(Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x01, ne=RULES_AND_LIMITS), rules + limits)
        return _store(facts, [Dgi(0x0102, rules), Dgi(0x0103, limits)], told)


@dataclass(frozen=True, slots=True)
class NewPin:
    """A PIN of 4 to 8 digits with all its tries, and a PUK of 8 with all of its own. None: the first ones, which the issuer derives.

    `keep_puk` leaves PUK and its tries as they are.
    """

    pin: str | None = field(default=None, repr=False)
    puk: str | None = field(default=None, repr=False)
    keep_puk: bool = False

    purpose: ClassVar[str] = "set PIN"

    def __post_init__(self) -> None:
        """Raises HostError for digits that can not be."""
        if self.keep_puk and self.puk is not None:
            raise HostError("PUK: a new one, or the one that is there, expected, both came")
        pin_groupings(self.pin or "0000", self.puk or "00000000")

    def plan(self, facts: Facts, product: Product, keys: AdminKeys) -> list[Session]:
        """DGIs 8110, 8112 in one block."""
        _check_usable(facts)
        info = facts.info
        if not isinstance(info, CustomerInfo):
            raise HostError("shop card: it has no PIN; nothing was changed")
        if self.keep_puk and not info.has_pin:
            raise HostError("customer card: it has no PUK to keep; give it one, nothing was changed")
        if self.keep_puk and len(facts.tries) != 2:
            raise HostError("customer card: it does not tell the tries of its PUK; nothing was changed")
        pin = keys.pin(facts.programme, info.card_id) if self.pin is None else self.pin
        puk = keys.puk(facts.programme, info.card_id) if self.puk is None else self.puk
        found = pin_groupings(pin, puk)
        tries = bytes((PIN_TRIES, facts.tries[1] if self.keep_puk else PUK_TRIES))
        return _store(facts, found[:1] if self.keep_puk else found, Step(GET_TRIES, tries))


@dataclass(frozen=True, slots=True)
class CardKeys:
    """The card's keys of a version of the masters, None: the newest. A customer card gets all five at once.

    A shop card gets the SHOP master, and the LOAD master if it has one, beside the old one, and its newest ADMIN key.
    """

    version: int | None = None

    @property
    def purpose(self) -> str:
        return f"renew keys, version {self.version or 'newest'}"

    def plan(self, facts: Facts, product: Product, keys: AdminKeys) -> list[Session]:
        """DGIs 8001..8005, or 8012, 8014, 8005, in one block."""
        _check_usable(facts)
        info, programme = facts.info, facts.programme
        if isinstance(info, CustomerInfo):
            own = [keys.card_key(key_ref, programme, info.card_id, self.version) for key_ref in KeyRef]
            told = b"".join(bytes((key_ref, key.version)) for key_ref, key in zip(KeyRef, own, strict=True))
            found = [_keyed(0x8000 | key_ref, key) for key_ref, key in zip(KeyRef, own, strict=True)]
        else:
            places = _places(facts)
            names = {KeyRef.SHOP: "shop", KeyRef.LOAD: "load"} if any(places[KeyRef.LOAD]) else {KeyRef.SHOP: "shop"}
            masters = {key_ref: keys.group_master(name, programme, self.version) for key_ref, name in names.items()}
            admin = keys.shop_admin_key(programme, info.shop, info.terminal)
            for key_ref, master in masters.items():
                _put(places[key_ref], master.version)
            told = _told(places, admin.version)
            found = [*(_keyed(0x8010 | key_ref, master) for key_ref, master in masters.items()), _keyed(0x8005, admin)]
        return _store(facts, found, Step(GET_CARD_KEYS, told))


@dataclass(frozen=True, slots=True)
class Retire:
    """Removes the masters of an old version from a shop card."""

    version: int

    @property
    def purpose(self) -> str:
        return f"retire keys of version {self.version}"

    def plan(self, facts: Facts, product: Product, keys: AdminKeys) -> list[Session]:
        """DGIs 8012, 8014 with the version alone, those that are there (REQ-SPE-2)."""
        _check_usable(facts)
        if facts.slot is not Slot.SHOP:
            raise HostError("customer card: its keys are replaced, not retired; nothing was changed")
        places = _places(facts)
        if not set(places[KeyRef.SHOP]) - {0, self.version}:
            raise HostError(f"shop card: version {self.version} is its only SHOP master; give it the new one first, nothing was changed")
        there = [key_ref for key_ref, versions in places.items() if self.version in versions]
        for key_ref in there:
            places[key_ref][places[key_ref].index(self.version)] = 0
        told = Step(GET_CARD_KEYS, _told(places, facts.card_keys[-1]))
        if not there:
            return [Session(facts.aid, 0, lambda opened: [told])]
        return _store(facts, [Dgi(0x8010 | key_ref, bytes((self.version,))) for key_ref in there], told)


def _places(facts: Facts) -> dict[KeyRef, list[int]]:
    """The versions in the places of a shop card's SHOP and LOAD masters, 0 for a free one (REQ-SRD-1)."""
    versions = facts.card_keys[1::2]
    if len(versions) != 2 * PLACES + 1:
        raise HostError("shop card: it does not tell its key versions; nothing was changed")
    return {KeyRef.SHOP: list(versions[:PLACES]), KeyRef.LOAD: list(versions[PLACES : 2 * PLACES])}


def _put(places: list[int], version: int) -> None:
    """Where a new master goes: its version's place, a free one, or that of the lower version (REQ-SPE-2)."""
    places[places.index(version if version in places else min(places))] = version


def _told(places: dict[KeyRef, list[int]], admin_version: int) -> bytes:
    masters = b"".join(bytes((key_ref, version)) for key_ref, versions in places.items() for version in versions)
    return masters + bytes((KeyRef.ADMIN, admin_version))


@dataclass(frozen=True, slots=True)
class Refill:
    """Adds to what a shop card may grant and load. `number` counts the refills of this card from 1 (u16); the same twice is one refill."""

    number: int
    points: int
    money_minor: int

    def __post_init__(self) -> None:
        """Raises HostError."""
        _check_number("refill number", self.number, 1, U16_MAX)
        _check_number("points", self.points, 0, U32_MAX)
        _check_number("money in minor units", self.money_minor, 0, U32_MAX)

    @property
    def purpose(self) -> str:
        return f"refill {self.number}: {self.points} points, {self.money_minor} minor units"

    def plan(self, facts: Facts, product: Product, keys: AdminKeys) -> list[Session]:
        """DGI 0203 (REQ-REF-1)."""
        _check_usable(facts)
        info = facts.info
        if not isinstance(info, ShopInfo):
            raise HostError("customer card: shop cards are refilled; nothing was changed")
        if info.refills == self.number:
            return []
        if info.refills != self.number - 1:
            raise HostError(f"refill number: {info.refills + 1} expected, as the card has had {info.refills}, {self.number} came")
        for name, left, more in (("points", info.points_left, self.points), ("money", info.money_left_minor, self.money_minor)):
            if left + more > U32_MAX:
                raise HostError(f"{name}: at most {U32_MAX - left} more fit on the card, {more} came; nothing was changed")
        value = self.number.to_bytes(2) + self.points.to_bytes(4) + self.money_minor.to_bytes(4)
        return _store(facts, [Dgi(0x0203, value)], Step(GET_CARD_KEYS, facts.card_keys))


@dataclass(frozen=True, slots=True)
class ManagerKeys:
    """The card manager's key set of a version of the master, None: the newest; in place of the one in use, or `beside` it."""

    version: int | None = None
    beside: bool = False

    @property
    def purpose(self) -> str:
        return f"renew card manager keys, version {self.version or 'newest'}"

    def plan(self, facts: Facts, product: Product, keys: AdminKeys) -> list[Session]:
        """PUT KEY, and the channel opened anew with the new set (REQ-MAN-7, REQ-MAN-8). Every step in the card manager."""
        version = keys.manager_keys(bytes(10), self.version).version
        if version in facts.manager_versions:
            told = Step(GET_MANAGER_KEYS, facts.manager_keys)
            return [Session(MANAGER_AID, version, lambda opened: [told])]

        def put(opened: Opened) -> list[Step]:
            new = keys.manager_keys(opened.card, version)
            return [Step(put_keys(opened.keys.dek, new, 0 if self.beside else opened.keys.version), put_keys_answer(new))]

        return [Session(MANAGER_AID, 0, put), Session(MANAGER_AID, version, lambda opened: [])]
