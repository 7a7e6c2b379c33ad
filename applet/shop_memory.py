"""All that a shop card keeps: its persistent cells and its RAM, under names (docs/spec/records.md)."""

from dataclasses import replace

from joren.apdu import PENDING_SIZE, SHOP_LOG_SIZE, SW, VOID, Ending, Key, LifeCycle, messages
from joren.apdu.cards import Limits, PendingEntry, Totals
from joren.apdu.state import RankRules

from .applet import Refused
from .checks import limits_of, rules_of
from .platform import Platform

__all__ = ["ShopMemory"]

ENTRY_SIZE = PendingEntry.FORMAT.size
LOG_RECORD_SIZE = ENTRY_SIZE + 1
COUNT_MAX = 0xFFFFFF
SATURATED = 0xFFFFFFFF


class ShopMemory:
    """The cells, and the few ways to read and write them."""

    def __init__(self, platform: Platform, programme: int) -> None:
        self.platform = platform
        self.programme = programme
        self.life_cycle = platform.persistent("life_cycle", 1)
        self.identity = platform.persistent("identity", 5)
        self.rules_cells = platform.persistent("rules", 80)
        self.limits_cells = platform.persistent("limits", 18)
        self.ceilings = platform.persistent("ceilings", 8)
        self.ceilings_given = platform.persistent("ceilings_given", 1)
        self.count_cells = platform.persistent("count", 3)
        self.totals_cells = platform.persistent("totals", Totals.FORMAT.size)
        self.pending = platform.persistent("pending", PENDING_SIZE * ENTRY_SIZE)
        self.log = platform.persistent("log", SHOP_LOG_SIZE * LOG_RECORD_SIZE)
        self.log_count = platform.persistent("log_count", 4)
        self.key_versions = platform.persistent("key_versions", 3)
        self.shop_master = platform.key("key_shop_master")
        self.load_master = platform.key("key_load_master")
        self.admin_key = platform.key("key_admin")
        self.challenge = platform.transient("challenge", 9)
        self.next_block = platform.transient("next_block", 1)

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
    def count(self) -> int:
        """The count of the next sequence, 24 bits."""
        return int.from_bytes(self.count_cells.get())

    @property
    def sequence(self) -> int:
        """The next sequence: terminal u8 and count."""
        return self.terminal << 24 | self.count

    @property
    def points_left(self) -> int:
        """Points this card may still grant."""
        return int.from_bytes(self.ceilings.get(0, 4))

    @property
    def money_left_minor(self) -> int:
        """Money this card may still load."""
        return int.from_bytes(self.ceilings.get(4, 4))

    @property
    def totals(self) -> Totals:
        """The totals."""
        return Totals.decode(self.totals_cells.get())

    def shop_key(self, card_id: bytes) -> Key:
        """A customer card's SHOP key, for this command only (REQ-CMP-2)."""
        return self.shop_master.derive(b"shop", messages.head(self.programme, card_id))

    def load_key(self, card_id: bytes) -> Key:
        """A customer card's LOAD key, for this command only; Refused(6A88) if this card may not load."""
        if not self.key_versions.get(1, 1)[0]:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        return self.load_master.derive(b"load", messages.head(self.programme, card_id))

    @property
    def pending_count(self) -> int:
        """Entries in use."""
        return PENDING_SIZE - self.pending.get()[::ENTRY_SIZE].count(0)

    def free_slot(self) -> int:
        """The lowest free slot; Refused(940B) if there is none."""
        slot = self.pending.get()[::ENTRY_SIZE].find(0)
        if slot < 0:
            raise Refused(SW.PENDING_FULL)
        return slot

    def entry_raw(self, slot: int) -> bytes:
        """The entry in a slot, 32 bytes; Refused(6A83) if it is free or there is no such slot."""
        raw = self.pending.get(slot * ENTRY_SIZE, ENTRY_SIZE) if slot < PENDING_SIZE else b"\x00"
        if not raw[0]:
            raise Refused(SW.RECORD_NOT_FOUND)
        return raw

    def check_count(self) -> None:
        """Refused(9407) if no sequence is left."""
        if self.count == COUNT_MAX:
            raise Refused(SW.COUNTER_EXHAUSTED)

    def open(self, slot: int, entry: PendingEntry, points: int, money_minor: int) -> None:
        """Adds a pending entry, takes points and money from the ceilings, uses up the sequence, in one go (REQ-CMP-3).

        An outstanding challenge ends: evidence from before the entry was there proves nothing of it (REQ-CHA-1).
        """
        self.challenge.put(0, bytes(len(self.challenge)))
        with self.platform.transaction():
            self.pending.put(slot * ENTRY_SIZE, entry.encode())
            self._change_ceilings(-points, -money_minor)
            self.count_cells.put(0, (self.count + 1).to_bytes(3))

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
        """Frees the slot, logs the entry, adds to totals and ceilings, marks the sale that became void, in one go (REQ-RAT-5)."""
        totals = self.totals
        closed = int.from_bytes(self.log_count.get())
        with self.platform.transaction():
            self.pending.put(slot * ENTRY_SIZE, b"\x00")
            if sale is not None:
                self.log.put(sale + ENTRY_SIZE, bytes((Ending.VOIDED,)))
            self.log.put(closed % SHOP_LOG_SIZE * LOG_RECORD_SIZE, entry.encode() + bytes((ending,)))
            self.log_count.put(0, (closed + 1).to_bytes(4))
            if changes:
                added = {name: min(getattr(totals, name) + amount, SATURATED) for name, amount in changes.items()}
                self.totals_cells.put(0, replace(totals, **added).encode())
            if points or money_minor:
                self._change_ceilings(points, money_minor)

    def _change_ceilings(self, points: int, money_minor: int) -> None:
        self.ceilings.put(0, (self.points_left + points).to_bytes(4) + (self.money_left_minor + money_minor).to_bytes(4))

    def log_record(self, number: int) -> bytes:
        """The number-th newest closed entry, 33 bytes; Refused(6A83) if there are not so many."""
        closed = int.from_bytes(self.log_count.get())
        if number > min(closed, SHOP_LOG_SIZE):
            raise Refused(SW.RECORD_NOT_FOUND)
        return self.log.get((closed - number) % SHOP_LOG_SIZE * LOG_RECORD_SIZE, LOG_RECORD_SIZE)
