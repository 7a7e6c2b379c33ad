"""All that a shop card keeps: its persistent cells and its RAM, under names (docs/spec/records.md).

How it works. What changes at every command is one sheet, in a ring of sixteen (shop_sheet.py): a change writes the next place of the ring,
and the highest generation says which sheet is in force (REQ-REC-7); so no cell wears faster than the others, and there is no pointer that
would. RAM remembers the place until the card is deselected; it learns a new one after the commit only, so it never names a sheet that was
rolled back."""

from dataclasses import replace

from joren.apdu import PENDING_SIZE, SHOP_LOG_SIZE, SW, VOID, Ending, KeyRef, LifeCycle, messages
from joren.apdu.cards import Limits, PendingEntry, Totals
from joren.apdu.state import RankRules

from .applet import Refused
from .checks import limits_of, rules_of
from .platform import Platform
from .shop_masters import PLACES, ShopMasters
from .shop_sheet import COUNT_MAX, REFILLS_MAX, RING_PLACES, ShopSheet, place_in_force

__all__ = ["KEY_PLACES", "ShopMemory"]

ENTRY_SIZE = PendingEntry.FORMAT.size
LOG_RECORD_SIZE = ENTRY_SIZE + 1
SHEET_SIZE = ShopSheet.FORMAT.size
CEILINGS_AT = 8
SATURATED = CEILING_MAX = 0xFFFFFFFF
KEY_PLACES = (*[KeyRef.SHOP] * PLACES, *[KeyRef.LOAD] * PLACES, KeyRef.ADMIN)
"""Of which key each version in `key_versions` is, in order."""


class ShopMemory:
    """The cells, and the few ways to read and write them."""

    def __init__(self, platform: Platform, programme: int) -> None:
        self.platform = platform
        self.programme = programme
        self.life_cycle = platform.persistent("life_cycle", 1)
        self.identity = platform.persistent("identity", 5)
        self.rules_cells = platform.persistent("rules", 80)
        self.limits_cells = platform.persistent("limits", 18)
        self.ceilings_given = platform.persistent("ceilings_given", 1)
        self.shop_sheets = platform.persistent("shop_sheets", RING_PLACES * SHEET_SIZE)
        self.pending = platform.persistent("pending", PENDING_SIZE * ENTRY_SIZE)
        self.log = platform.persistent("log", SHOP_LOG_SIZE * LOG_RECORD_SIZE)
        self.key_versions = platform.persistent("key_versions", len(KEY_PLACES))
        self.masters = {ref: ShopMasters(platform, ref, self.key_versions, KEY_PLACES.index(ref)) for ref in (KeyRef.SHOP, KeyRef.LOAD)}
        self.admin_key = platform.key("key_admin")
        self.challenge = platform.transient("challenge", 9)
        self.next_block = platform.transient("next_block", 1)
        self.place_known = platform.transient("place_known", 1)

    @property
    def status(self) -> LifeCycle:
        """The life cycle state."""
        return LifeCycle(self.life_cycle.get()[0])

    @property
    def shop(self) -> int:
        """The shop number, u32."""
        return int.from_bytes(self.identity.get(0, 4))

    @property
    def terminal(self) -> int:
        """The terminal number within the shop, u8."""
        return self.identity.get(4, 1)[0]

    @property
    def head(self) -> bytes:
        """What every MAC message about this card itself begins with (REQ-KEY-4)."""
        return messages.head(self.programme, bytes(3) + bytes((self.terminal,)) + self.identity.get(0, 4))

    def customer_head(self, card_id: bytes) -> bytes:
        """What every MAC message about a customer card begins with."""
        return messages.head(self.programme, card_id)

    @property
    def rules(self) -> RankRules:
        """The rank rules."""
        return rules_of(self.rules_cells.get())

    @property
    def limits(self) -> Limits:
        """The limits."""
        return limits_of(self.limits_cells.get())

    @property
    def sheet(self) -> ShopSheet:
        """The sheet in force (REQ-REC-7). Not to be asked for in a transaction that has written one."""
        known = self.place_known.get()[0]
        if not known:
            known = place_in_force(self.shop_sheets.get()) + 1
            self.place_known.put(0, bytes((known,)))
        return self._sheet_at(known - 1)

    def _sheet_at(self, place: int) -> ShopSheet:
        return ShopSheet.decode(self.shop_sheets.get(place * SHEET_SIZE, SHEET_SIZE))

    def sequence(self, sheet: ShopSheet) -> int:
        """The next sequence: terminal u8 and count."""
        return self.terminal << 24 | sheet.count

    def give_ceilings(self, ceilings: bytes) -> None:
        """points_left and money_left_minor of a card that is being personalized, in the caller's transaction: generation 0, place 0."""
        self.shop_sheets.put(CEILINGS_AT, ceilings)
        self.ceilings_given.put(0, b"\x01")

    def refill(self, number: int, points: int, money_minor: int) -> None:
        """Raises the ceilings by a refill whose number is the next; else Refused with 9407, 6985 or 6A80 (REQ-REF-1).

        One write, in the caller's transaction if there is one. Whether that will be committed is not known here, so RAM forgets the place.
        """
        sheet = self._sheet_at(place_in_force(self.shop_sheets.get()))
        if sheet.refills == REFILLS_MAX:
            raise Refused(SW.COUNTER_EXHAUSTED)
        if number != sheet.refills + 1:
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        points_left, money_left_minor = sheet.points_left + points, sheet.money_left_minor + money_minor
        if max(points_left, money_left_minor) > CEILING_MAX:
            raise Refused(SW.WRONG_DATA)
        self.place_known.put(0, b"\x00")
        self._put(replace(sheet, refills=number, points_left=points_left, money_left_minor=money_left_minor))

    @property
    def versions(self) -> bytes:
        """key_ref and version of every place for a key, 10 bytes; version 0 where it is free (REQ-SRD-1)."""
        return b"".join(bytes((key_ref, version)) for key_ref, version in zip(KEY_PLACES, self.key_versions.get(), strict=True))

    @property
    def pending_count(self) -> int:
        """Entries in use."""
        return PENDING_SIZE - self.pending.get()[::ENTRY_SIZE].count(0)

    def free_slot(self, count: int) -> int:
        """The first free slot from count mod 16 on, cyclically (REQ-REC-8); Refused(940B) if there is none."""
        kinds, first = self.pending.get()[::ENTRY_SIZE], count % PENDING_SIZE
        ahead = (kinds[first:] + kinds[:first]).find(0)
        if ahead < 0:
            raise Refused(SW.PENDING_FULL)
        return (first + ahead) % PENDING_SIZE

    def entry_raw(self, slot: int) -> bytes:
        """The entry in a slot, 32 bytes; Refused(6A83) if it is free or there is no such slot."""
        raw = self.pending.get(slot * ENTRY_SIZE, ENTRY_SIZE) if slot < PENDING_SIZE else b"\x00"
        if not raw[0]:
            raise Refused(SW.RECORD_NOT_FOUND)
        return raw

    @staticmethod
    def check_count(count: int) -> None:
        """Refused(9407) if no sequence is left."""
        if count == COUNT_MAX:
            raise Refused(SW.COUNTER_EXHAUSTED)

    def open(self, slot: int, entry: PendingEntry, sheet: ShopSheet, points: int, money_minor: int) -> None:
        """Adds a pending entry, takes points and money from the ceilings, uses up the sequence, in one go (REQ-CMP-3).

        An outstanding challenge ends: evidence from before the entry was there proves nothing of it (REQ-CHA-1).
        """
        self.challenge.put(0, bytes(len(self.challenge)))
        sheet = replace(
            sheet, count=sheet.count + 1, points_left=sheet.points_left - points, money_left_minor=sheet.money_left_minor - money_minor
        )
        with self.platform.transaction():
            self.pending.put(slot * ENTRY_SIZE, entry.encode())
            self._put(sheet)
        self._remember(sheet)

    def sale_of(self, void: PendingEntry) -> int | None:
        """Where in the log the committed sale stands that a void takes back (REQ-RAT-2)."""
        for at in range(0, len(self.log), LOG_RECORD_SIZE):
            raw = self.log.get(at, LOG_RECORD_SIZE)
            if raw[0] | VOID == void.kind and raw[-1] == Ending.COMMITTED:
                sale = PendingEntry.decode(raw[:-1])
                if (sale.card_id, sale.counter + 1, sale.amount, sale.points) == (void.card_id, void.counter, void.amount, void.points):
                    return at
        return None

    def close(
        self,
        slot: int,
        entry: PendingEntry,
        ending: int,
        changes: dict[str, int],
        points: int = 0,
        money_minor: int = 0,
        sale: int | None = None,
    ) -> None:
        """Frees the slot, logs the entry, adds to totals and ceilings, marks the sale that became void, in one go (REQ-RAT-5).

        Where a refill has come in between, a ceiling can be too high to take all back: it stops at its most (REQ-RAT-2).
        """
        before = self.sheet
        totals = before.totals
        if changes:
            counted = Totals.decode(totals)
            added = {name: min(getattr(counted, name) + amount, SATURATED) for name, amount in changes.items()}
            totals = replace(counted, **added).encode()
        points_left, money_left_minor = before.points_left + points, before.money_left_minor + money_minor
        sheet = replace(
            before,
            closed=before.closed + 1,
            points_left=min(points_left, CEILING_MAX),
            money_left_minor=min(money_left_minor, CEILING_MAX),
            totals=totals,
        )
        with self.platform.transaction():
            self.pending.put(slot * ENTRY_SIZE, b"\x00")
            if sale is not None:
                self.log.put(sale + ENTRY_SIZE, bytes((Ending.VOIDED,)))
            self.log.put(before.closed % SHOP_LOG_SIZE * LOG_RECORD_SIZE, entry.encode() + bytes((ending,)))
            self._put(sheet)
        self._remember(sheet)

    def _put(self, sheet: ShopSheet) -> None:
        self.shop_sheets.put(sheet.place * SHEET_SIZE, sheet.encode())

    def _remember(self, sheet: ShopSheet) -> None:
        """The sheet is in force now: its transaction has been committed."""
        self.place_known.put(0, bytes((sheet.place + 1,)))

    def log_record(self, number: int) -> bytes:
        """The number-th newest closed entry, 33 bytes; Refused(6A83) if there are not so many."""
        closed = self.sheet.closed
        if number > min(closed, SHOP_LOG_SIZE):
            raise Refused(SW.RECORD_NOT_FOUND)
        return self.log.get((closed - number) % SHOP_LOG_SIZE * LOG_RECORD_SIZE, LOG_RECORD_SIZE)
