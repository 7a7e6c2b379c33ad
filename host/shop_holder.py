"""A till with a shop card: it holds no key, relays between the two cards, and keeps its journal in step with the shop card's pending
entries.

How it works. COMPUTE and AUTHORIZE leave an entry on the shop card, RATIFY closes it. Whenever an answer of the shop card did not
arrive (or nobody was left to take it), what the card did with the command is not known; and a card that was reset must be selected
again. The holder is then not ready, and `open` reads the card before it is used again. Entries that the journal does not know are added
to it, rows whose proof is there are ratified, and rows whose entry is gone end as the shop card's own log says (REQ-STL-4, REQ-STL-5).
What the shop card can not check any more, because the entry was written off or the master key is gone, is left to the issuer: UNKNOWN.
"""

from dataclasses import replace

from joren.apdu import PENDING_SIZE, SHOP_LOG_SIZE, SW, Command, Ending, KeyRef, Kind, LifeCycle, base_kind
from joren.apdu.cards import CustomerInfo, PendingEntry, ShopInfo
from joren.apdu.transaction import Order

from . import wire
from .dialog import Ask, Dialog, Slot, data_of, understood
from .errors import CardFault, CardRefused, HostError
from .fate import Fate
from .holder import Acceptor, Authorization
from .journal import Journal, Row
from .sale import EARNING, Sale
from .selecting import select_shop

__all__ = ["ShopCardHolder"]

Entries = dict[int, tuple[int, PendingEntry]]
"""Sequence to slot and entry."""
HAPPENED = (Ending.COMMITTED, Ending.VOIDED)
NO_MASTER = SW.REFERENCED_DATA_NOT_FOUND
"""What RATIFY answers when the shop card has no master left to check the customer card's word with (REQ-RAT-1)."""
DOUBTFUL = (SW.RECORD_NOT_FOUND, SW.MAC_INCORRECT, SW.WRONG_DATA, NO_MASTER)
"""What RATIFY answers when the entry is gone or another one, or the customer card's word is wrong or can not be checked."""


class ShopCardHolder:
    """The shop card of a programme, in the slot SHOP (a KeyHolder). `info` is what its SELECT told, None while it is not ready."""

    def __init__(self, programme: int) -> None:
        self.programme = programme
        self.info: ShopInfo | None = None

    @property
    def ready(self) -> bool:
        """Whether it was opened, and no answer was lost since."""
        return self.info is not None

    def close(self) -> None:
        """The next use opens again."""
        self.info = None

    def open(self, journal: Journal) -> Dialog[Acceptor]:
        """SELECT, then the journal and the pending entries are brought into step. A blocked shop card opens: it can still ratify."""
        self.close()
        info = yield from select_shop(self.programme)
        if info.life_cycle == LifeCycle.TERMINATED:
            raise CardRefused(Slot.SHOP.value, "SELECT", SW.FILE_TERMINATED)
        if info.life_cycle == LifeCycle.SELECTABLE:
            raise HostError("shop card: not personalized; give the till an issued one")
        acceptor = Acceptor(info.programme, info.shop, info.terminal, by_card=True)
        journal.bind(str(acceptor))
        if journal.last is not None and info.sequence <= journal.last:
            came = f"{info.sequence:08X}: a copy of the card, one that was set back, or another of its number"
            raise CardFault(Slot.SHOP.value, "SELECT", f"a sequence above {journal.last:08X}", came)
        self.info = info
        try:
            yield from self._reconcile(journal, info)
        except BaseException:
            self.close()
            raise
        return acceptor

    def check(self, sale: Sale, info: CustomerInfo) -> None:
        """Raises HostError for a card that takes till keys only, and CardRefused while the shop card is blocked."""
        if base_kind(sale.kind) != Kind.LOAD and not info.two_card:
            raise HostError(f"customer card {info.card_id.hex().upper()} takes till keys only: serve it at a till with software keys")
        if self.info is not None and self.info.life_cycle != LifeCycle.ISSUED:
            raise CardRefused(Slot.SHOP.value, "SELECT", SW.FILE_DEACTIVATED)

    def authorize(self, sale: Sale, info: CustomerInfo, journal: Journal) -> Dialog[Authorization]:
        """GET STATE and COMPUTE, or AUTHORIZE. Where all entries are in use room is made (docs/spec/shop.md, When entries are full)."""
        for make_room in (self.open, self._write_off_oldest):
            try:
                return (yield from self._authorize(sale, info))
            except CardRefused as refused:
                if refused.sw != SW.PENDING_FULL:
                    raise
            yield from make_room(journal)
        return (yield from self._authorize(sale, info))

    def challenge(self) -> Dialog[bytes]:
        """GET CHALLENGE."""
        return self._ask(wire.get_challenge(), wire.CHALLENGE_SIZE)

    def confirm(self, row: Row) -> Dialog[Row]:
        """RATIFY COMMITTED. A row without an entry ends as the shop card's log says; what it wrote off can not be checked here: UNKNOWN."""
        if row.slot is None:
            return (yield from self._confirm_by_log(row))
        answer = row.answer()
        refused = yield from self._ratify(Ending.COMMITTED, row, answer.outcome + answer.proof)
        if refused:
            return (yield from self._doubted(row, refused, "a PROOF that the shop card accepts"))
        return row.ended(Fate.COMMITTED)

    def _confirm_by_log(self, row: Row) -> Dialog[Row]:
        logged = yield from self._logged(row.order.sequence)
        if logged is None or logged[1] not in HAPPENED:
            return row.ended(Fate.UNKNOWN)
        assert row.outcome is not None
        if row.outcome.points != logged[0].points:
            raise CardFault(Slot.CUSTOMER.value, row.kind.name, f"{logged[0].points} points, as ratified", str(row.outcome.points))
        return row.ended(Fate.COMMITTED)

    def dismiss(self, row: Row, challenge: bytes, absence: wire.Absence) -> Dialog[Row]:
        """RATIFY NOT COMMITTED, for the challenge the shop card gave. UNKNOWN leaves the entry as it is."""
        if row.slot is None or absence.ending == Ending.UNKNOWN:
            return row.ended(Fate.UNKNOWN)
        data = absence.counter.to_bytes(2) + absence.nonce + absence.mac
        refused = yield from self._ratify(Ending.NOT_COMMITTED, row, data)
        if refused:
            return (yield from self._doubted(row, refused, "an ABSENCE that the shop card accepts"))
        return row.ended(Fate.NOT_COMMITTED)

    def _ask(self, command: Command, *lengths: int) -> Dialog[bytes]:
        try:
            response = yield Ask(Slot.SHOP, command)
            return data_of(Slot.SHOP, command, response, lengths)
        except CardRefused as refused:
            if refused.sw == SW.CONDITIONS_NOT_SATISFIED:
                self.close()
            raise
        except BaseException:
            self.close()
            raise

    def _authorize(self, sale: Sale, info: CustomerInfo) -> Dialog[Authorization]:
        shop = self.info
        assert shop is not None
        request = Order(sale.hour, sale.amount, sale.category, sale.factor_tenths, shop.shop, 0)
        raw = request.encode()[:8]
        if sale.kind in EARNING:
            command = wire.get_state()
            response = yield Ask(Slot.CUSTOMER, command)
            state = wire.StateAnswer.decode(data_of(Slot.CUSTOMER, command, response, (wire.StateAnswer.FORMAT.size,)))
            data = yield from self._ask(wire.compute(sale.kind, info, state, raw), wire.ComputeAnswer.FORMAT.size)
            computed = wire.ComputeAnswer.decode(data)
            order = replace(request, sequence=computed.sequence)
            commit = wire.commit(sale.kind, KeyRef.SHOP, order.encode(), computed)
            return Authorization(KeyRef.SHOP, order, commit, computed.slot)
        key_ref = KeyRef.LOAD if base_kind(sale.kind) == Kind.LOAD else KeyRef.SHOP
        data = yield from self._ask(wire.authorize(sale.kind, info, raw), wire.AuthorizeAnswer.FORMAT.size)
        authorized = wire.AuthorizeAnswer.decode(data)
        order = replace(request, sequence=authorized.sequence)
        return Authorization(key_ref, order, wire.transact(sale.kind, key_ref, order.encode(), authorized.mac), authorized.slot)

    def _ratify(self, ending: Ending, row: Row, data: bytes = b"") -> Dialog[CardRefused | None]:
        assert row.slot is not None
        try:
            yield from self._ask(wire.ratify(ending, row.slot, data), 0)
        except CardRefused as refused:
            if refused.sw in DOUBTFUL:
                return refused
            self.close()
            raise
        return None

    def _doubted(self, row: Row, refused: CardRefused, expected: str) -> Dialog[Row]:
        assert row.slot is not None
        if refused.sw == NO_MASTER:
            return row.ended(Fate.UNKNOWN)
        entry = yield from self._entry(row.slot)
        if entry is None or entry.sequence != row.order.sequence:
            return (yield from self._gone(row))
        raise CardFault(Slot.CUSTOMER.value, row.kind.name, expected, f"what it refused with {refused.status}")

    def _gone(self, row: Row) -> Dialog[Row]:
        """The row whose entry is not there, as the shop card's log says; what was proven and is not in the log was ratified (REQ-STL-5)."""
        logged = yield from self._logged(row.order.sequence)
        ending = None if logged is None else logged[1]
        gone = replace(row, slot=None)
        if ending == Ending.NOT_COMMITTED:
            return gone.ended(Fate.NOT_COMMITTED)
        if row.fate is not Fate.PROVEN:
            return gone
        return gone.ended(Fate.UNKNOWN if ending == Ending.UNKNOWN else Fate.COMMITTED)

    def _logged(self, sequence: int) -> Dialog[tuple[PendingEntry, int] | None]:
        for number in range(1, SHOP_LOG_SIZE + 1):
            try:
                data = yield from self._ask(wire.read_log(number), wire.SHOP_LOG_RECORD_SIZE)
            except CardRefused as refused:
                if refused.sw != SW.RECORD_NOT_FOUND:
                    raise
                break
            entry = PendingEntry.decode(data[:-1])
            if entry.sequence == sequence:
                return entry, data[-1]
        return None

    def _entry(self, slot: int) -> Dialog[PendingEntry | None]:
        try:
            return PendingEntry.decode((yield from self._ask(wire.read_pending(slot), PendingEntry.FORMAT.size)))
        except CardRefused as refused:
            if refused.sw != SW.RECORD_NOT_FOUND:
                raise
            return None

    def _entries(self, info: ShopInfo) -> Dialog[Entries]:
        """The pending entries, by sequence; the newest are looked for first (REQ-REC-8)."""
        found: Entries = {}
        for back in range(1, PENDING_SIZE + 1):
            if len(found) == info.pending:
                break
            slot = (info.sequence - back) % PENDING_SIZE
            entry = yield from self._entry(slot)
            if entry is not None:
                found[entry.sequence] = (slot, entry)
        return found

    def _reconcile(self, journal: Journal, info: ShopInfo) -> Dialog[None]:
        entries = yield from self._entries(info)
        for row in journal.entries():
            slot_entry = entries.pop(row.order.sequence, None)
            if slot_entry is None:
                journal.save((yield from self._gone(row)))
            elif row.fate is Fate.PROVEN:
                journal.save((yield from self._ratified(row)))
        for slot, entry in entries.values():
            if journal.at(entry.sequence) is None:
                journal.add(_adopted(slot, entry, info.shop))

    def _ratified(self, row: Row) -> Dialog[Row]:
        try:
            return (yield from self.confirm(row))
        except CardFault as fault:
            if fault.card != Slot.CUSTOMER.value:
                raise
            return row.doubted()

    def _write_off_oldest(self, journal: Journal) -> Dialog[None]:
        """Gives up the entry that the customer card can not settle any more, or else the oldest. Its row stays, without an entry."""
        rows = sorted(journal.entries(), key=lambda row: row.fate is not Fate.UNKNOWN)
        if not rows:
            return
        row = rows[0]
        refused = yield from self._ratify(Ending.UNKNOWN, row)
        if refused:
            raise refused
        journal.save(replace(row, slot=None))


def _adopted(slot: int, entry: PendingEntry, shop: int) -> Row:
    order = Order(entry.hour, entry.amount, entry.category, entry.factor_tenths, shop, entry.sequence)
    kind = understood(Slot.SHOP, "READ RECORD", lambda byte: Kind(byte[0]), bytes((entry.kind,)))
    return Row(None, Fate.PENDING, kind, entry.key_ref, entry.card_id, entry.counter, order, slot)
