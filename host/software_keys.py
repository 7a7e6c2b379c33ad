"""A till that holds keys in software: the one-card mode (key TILL), and LOAD where it may load purses.

How it works. Masters of several versions stand side by side, as rings. A card is served with the version that its SELECT tells. What a
card proves is taken under any version: its keys may have been renewed since the sale was authorized.
"""

from collections.abc import Callable
from secrets import token_bytes

from joren.apdu import Ending, Key, KeyRef, Kind, MacMismatch, base_kind, messages
from joren.apdu.cards import CustomerInfo
from joren.apdu.transaction import Order

from . import wire
from .ceremony import KeyRing
from .dialog import Dialog, Slot, answered
from .errors import CardFault, HostError
from .fate import Fate
from .holder import Acceptor, Authorization
from .journal import Journal, Row
from .sale import Sale

__all__ = ["SoftwareKeys"]

PROGRAMME_MAX, SHOP_MAX, TERMINAL_MAX = 0xFFFF, 0xFFFFFFFF, 0xFF


class SoftwareKeys:
    """The TILL master key of a programme, and the LOAD master key if this till may load purses (a KeyHolder).

    A master is a ring of its versions; a Key is the ring of the one version that it has. `terminal` is u8, unique within the shop among
    software tills and shop cards alike. Challenges come from `random`.
    """

    def __init__(
        self,
        programme: int,
        shop: int,
        terminal: int,
        till_master: Key | KeyRing,
        load_master: Key | KeyRing | None = None,
        *,
        random: Callable[[int], bytes] = token_bytes,
    ) -> None:
        for name, value, most in (("programme", programme, PROGRAMME_MAX), ("shop", shop, SHOP_MAX), ("terminal", terminal, TERMINAL_MAX)):
            if not 0 <= value <= most:
                raise HostError(f"{name}: 0..{most} expected, {value} came")
        self.programme = programme
        self.ready = False
        self._acceptor = Acceptor(programme, shop, terminal, by_card=False)
        self._till_masters = _ring(till_master, "TILL master")
        self._load_masters = None if load_master is None else _ring(load_master, "LOAD master")
        self._random = random
        self._derived: tuple[int, bytes, dict[int, Key]] | None = None

    def open(self, journal: Journal) -> Dialog[Acceptor]:
        """Asks no card."""
        journal.bind(str(self._acceptor))
        self.ready = True
        return answered(self._acceptor)

    def close(self) -> None:
        """The next use opens again."""
        self.ready = False

    def check(self, sale: Sale, info: CustomerInfo) -> None:
        """Raises HostError: the card takes no till keys, this till may not load, or has no master of the version of the card's keys."""
        card, masters = f"customer card {info.card_id.hex().upper()}", self._till_masters
        if base_kind(sale.kind) == Kind.LOAD:
            if self._load_masters is None:
                raise HostError("this till has no LOAD master key: load at a till that has one")
            masters = self._load_masters
        elif not info.one_card:
            raise HostError(f"{card} takes shop cards only: serve it at a till with a shop card")
        versions = [key.version for key in masters]
        if info.key_version not in versions:
            here = f"this till the {masters.name} of version {', '.join(map(str, versions))}"
            raise HostError(f"{card} has keys of version {info.key_version}, {here}: serve it at a till that has that version")

    def authorize(self, sale: Sale, info: CustomerInfo, journal: Journal) -> Dialog[Authorization]:
        """An order of the journal's next sequence, and its MAC, as TRANSACT."""
        acceptor = self._acceptor
        key_ref = KeyRef.LOAD if base_kind(sale.kind) == Kind.LOAD else KeyRef.TILL
        sequence = journal.next_sequence(acceptor.terminal)
        order = Order(sale.hour, sale.amount, sale.category, sale.factor_tenths, acceptor.shop, sequence)
        raw = order.encode()
        message = messages.order(self._head(info.card_id), info.counter, info.nonce, sale.kind, key_ref, raw)
        mac = self._key(key_ref, info.card_id, info.key_version).mac8(message)
        return answered(Authorization(key_ref, order, wire.transact(sale.kind, key_ref, raw, mac), None))

    def challenge(self) -> Dialog[bytes]:
        """From this till's random generator."""
        return answered(self._random(wire.CHALLENGE_SIZE))

    def confirm(self, row: Row) -> Dialog[Row]:
        """Checks the PROOF MAC."""
        answer = row.answer()
        self._verify(row, messages.proof(self._head(row.card_id), row.head + answer.outcome), answer.proof, "the PROOF MAC of its record")
        return answered(row.ended(Fate.COMMITTED))

    def dismiss(self, row: Row, challenge: bytes, absence: wire.Absence) -> Dialog[Row]:
        """Checks the ABSENCE MAC, of NOT COMMITTED and of UNKNOWN."""
        ending, order = Ending(absence.ending), row.order
        message = messages.absence(
            self._head(row.card_id), row.key_ref, row.counter, order.shop, order.sequence, challenge, ending, absence.counter, absence.nonce
        )
        self._verify(row, message, absence.mac, f"the ABSENCE MAC of {ending.name}")
        return answered(row.ended(Fate.UNKNOWN if ending == Ending.UNKNOWN else Fate.NOT_COMMITTED))

    def _head(self, card_id: bytes) -> bytes:
        return messages.head(self.programme, card_id)

    def _masters(self, key_ref: int) -> KeyRing:
        masters = self._load_masters if key_ref == KeyRef.LOAD else self._till_masters
        if masters is None:
            raise HostError("the journal has a load to settle, and this till no LOAD master key: give it the key it had")
        return masters

    def _key(self, key_ref: int, card_id: bytes, version: int) -> Key:
        if self._derived is None or self._derived[:2] != (key_ref, card_id):
            self._derived = (key_ref, card_id, {})
        keys = self._derived[2]
        if version not in keys:
            label = b"load" if key_ref == KeyRef.LOAD else b"till"
            keys[version] = self._masters(key_ref).derive(version, label, self._head(card_id))
        return keys[version]

    def _verify(self, row: Row, message: bytes, mac: bytes, expected: str) -> None:
        """Under any version, the newest first."""
        for master in reversed(list(self._masters(row.key_ref))):
            try:
                self._key(row.key_ref, row.card_id, master.version).verify8(message, mac)
            except MacMismatch:
                continue
            return
        raise CardFault(Slot.CUSTOMER.value, row.kind.name, expected, "another MAC")


def _ring(master: Key | KeyRing, name: str) -> KeyRing:
    return master if isinstance(master, KeyRing) else KeyRing(name, master)
