"""A till that holds keys in software: the one-card mode (key TILL), and LOAD where it may load purses."""

from collections.abc import Callable
from secrets import token_bytes

from joren.apdu import Ending, Key, KeyRef, Kind, MacMismatch, base_kind, messages
from joren.apdu.cards import CustomerInfo, PendingEntry
from joren.apdu.transaction import Order

from . import wire
from .dialog import Dialog, Slot, answered
from .errors import CardFault, HostError
from .holder import Acceptor, Authorization
from .journal import Row
from .sale import Sale

__all__ = ["SoftwareKeys"]

TERMINAL_MAX, PROGRAMME_MAX, SHOP_MAX = 0xFF, 0xFFFF, 0xFFFFFFFF
DERIVED_MAX = 256


class SoftwareKeys:
    """The TILL master key of a programme, and the LOAD master key if this till may load purses (a KeyHolder).

    `terminal` is u8, unique within the shop, of software tills and shop cards alike. Challenges come from `random`.
    """

    by_card = False

    def __init__(
        self,
        programme: int,
        shop: int,
        terminal: int,
        till_master: Key,
        load_master: Key | None = None,
        *,
        random: Callable[[int], bytes] = token_bytes,
    ) -> None:
        for name, value, most in (("programme", programme, PROGRAMME_MAX), ("shop", shop, SHOP_MAX), ("terminal", terminal, TERMINAL_MAX)):
            if not 0 <= value <= most:
                raise HostError(f"{name}: 0..{most} expected, {value} came")
        self.programme = programme
        self._acceptor = Acceptor(programme, shop, terminal, by_card=False)
        self._till_master = till_master
        self._load_master = load_master
        self._random = random
        self._derived: dict[tuple[int, bytes], Key] = {}
        self.ready = False

    def open(self) -> Dialog[Acceptor]:
        """Asks no card."""
        self.ready = True
        return answered(self._acceptor)

    def close(self) -> None:
        """The next use opens again."""
        self.ready = False

    def check(self, sale: Sale, info: CustomerInfo) -> None:
        """Raises HostError: the card takes no till keys, or this till may not load."""
        if base_kind(sale.kind) == Kind.LOAD:
            if self._load_master is None:
                raise HostError("this till has no LOAD master key: load at a till that has one")
        elif not info.one_card:
            raise HostError(f"customer card {info.card_id.hex().upper()} takes shop cards only: serve it at a till with a shop card")

    def authorize(self, sale: Sale, info: CustomerInfo, next_sequence: Callable[[int], int]) -> Dialog[Authorization]:
        """An order of the next sequence, with its MAC, as TRANSACT."""
        acceptor = self._acceptor
        key_ref = KeyRef.LOAD if base_kind(sale.kind) == Kind.LOAD else KeyRef.TILL
        sequence = next_sequence(acceptor.terminal)
        order = Order(sale.hour, sale.amount, sale.category, sale.factor_tenths, acceptor.shop, sequence)
        raw = order.encode()
        message = messages.order(self._head(info.card_id), info.counter, info.nonce, sale.kind, key_ref, raw)
        mac = self._key(key_ref, info.card_id).mac8(message)
        return answered(Authorization(key_ref, order, wire.transact(sale.kind, key_ref, raw, mac), None))

    def challenge(self) -> Dialog[bytes]:
        """From this till's random generator."""
        return answered(self._random(wire.CHALLENGE_SIZE))

    def confirm(self, row: Row) -> Dialog[None]:
        """Checks the PROOF MAC."""
        assert row.outcome is not None
        assert row.proof is not None
        message = messages.proof(self._head(row.card_id), row.record(row.outcome.encode()))
        self._verify(row, message, row.proof, "the PROOF MAC of its record")
        return answered(None)

    def dismiss(self, row: Row, challenge: bytes, absence: wire.Absence) -> Dialog[None]:
        """Checks the ABSENCE MAC, of NOT COMMITTED and UNKNOWN alike."""
        order = row.order
        message = messages.absence(
            self._head(row.card_id),
            row.key_ref,
            row.counter,
            order.shop,
            order.sequence,
            challenge,
            absence.ending,
            absence.counter,
            absence.nonce,
        )
        self._verify(row, message, absence.mac, f"the ABSENCE MAC of {Ending(absence.ending).name}")
        return answered(None)

    def entries(self) -> Dialog[dict[int, tuple[int, PendingEntry]]]:
        """None: there is no shop card."""
        return answered({})

    def ending(self, _sequence: int) -> Dialog[int | None]:
        """None: there is no shop card."""
        return answered(None)

    def write_off(self, _row: Row) -> Dialog[None]:
        """Nothing: there is no shop card."""
        return answered(None)

    def _head(self, card_id: bytes) -> bytes:
        return messages.head(self.programme, card_id)

    def _key(self, key_ref: int, card_id: bytes) -> Key:
        key = self._derived.get((key_ref, card_id))
        if key is None:
            master, label = (self._load_master, b"load") if key_ref == KeyRef.LOAD else (self._till_master, b"till")
            if master is None:
                raise HostError("this till has no LOAD master key, and its journal has a load to settle: give it the key it had")
            key = master.derive(label, self._head(card_id))
            if len(self._derived) >= DERIVED_MAX:
                self._derived.pop(next(iter(self._derived)))
            self._derived[key_ref, card_id] = key
        return key

    def _verify(self, row: Row, message: bytes, mac: bytes, expected: str) -> None:
        try:
            self._key(row.key_ref, row.card_id).verify8(message, mac)
        except MacMismatch:
            raise CardFault(Slot.CUSTOMER.value, row.kind.name, expected, "another MAC") from None
