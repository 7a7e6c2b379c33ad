"""All that a customer card keeps: its persistent cells and its RAM, under names (docs/spec/records.md).

How it works. Two balance sheets lie side by side; the transaction counter says which is in force (REQ-REC-4) and where the next log
record goes (REQ-REC-3). Adding a transaction therefore writes the sheet that is not in force, one log record and the counter, and the
counter is what makes them true. The sheet of before stays: voiding the last transaction is one more step of the counter."""

from joren.apdu import LOG_SIZE, SW, KeyRef, LifeCycle, messages
from joren.apdu.cards import Limits
from joren.apdu.state import RankRules

from .applet import Refused
from .checks import limits_of, rules_of
from .platform import CardKey, Platform
from .sheet import Sheet

__all__ = ["CustomerMemory"]

SHEET_SIZE = Sheet.FORMAT.size
RECORD_SIZE = 36
COUNTER_MAX = 0xFFFF


class CustomerMemory:
    """The cells, and the few ways to read and write them."""

    def __init__(self, platform: Platform, programme: int) -> None:
        self.platform = platform
        self.programme = programme
        self.life_cycle = platform.persistent("life_cycle", 1)
        self.card_id = platform.persistent("card_id", 8)
        self.rules_cells = platform.persistent("rules", 80)
        self.limits_cells = platform.persistent("limits", 18)
        self.counter_cells = platform.persistent("counter", 2)
        self.sheets = platform.persistent("sheets", 2 * SHEET_SIZE)
        self.log = platform.persistent("log", LOG_SIZE * RECORD_SIZE)
        self.key_versions = platform.persistent("key_versions", len(KeyRef))
        self.keys: dict[int, CardKey] = {key_ref: platform.key(f"key_{key_ref.name.lower()}") for key_ref in KeyRef}
        self.nonce = platform.transient("nonce", 8)
        self.next_block = platform.transient("next_block", 1)

    @property
    def status(self) -> LifeCycle:
        """The life cycle state."""
        return LifeCycle(self.life_cycle.get()[0])

    @property
    def head(self) -> bytes:
        """What every MAC message of this card begins with."""
        return messages.head(self.programme, self.card_id.get())

    @property
    def counter(self) -> int:
        """Transactions so far, u16."""
        return int.from_bytes(self.counter_cells.get())

    @property
    def rules_raw(self) -> bytes:
        """The rank rules, 80 bytes."""
        return self.rules_cells.get()

    @property
    def rules(self) -> RankRules:
        """The rank rules."""
        return rules_of(self.rules_raw)

    @property
    def limits(self) -> Limits:
        """The limits."""
        return limits_of(self.limits_cells.get())

    @property
    def sheet_raw(self) -> bytes:
        """The balance sheet in force, 46 bytes."""
        return self.sheets.get(self.counter % 2 * SHEET_SIZE, SHEET_SIZE)

    @property
    def sheet(self) -> Sheet:
        """The balance sheet in force."""
        return Sheet.decode(self.sheet_raw)

    @property
    def sheet_before(self) -> Sheet:
        """The balance sheet from before the last transaction."""
        return Sheet.decode(self.sheets.get((self.counter + 1) % 2 * SHEET_SIZE, SHEET_SIZE))

    @property
    def state(self) -> bytes:
        """The rank state in force, 32 bytes."""
        return self.sheet_raw[:32]

    @property
    def key_version(self) -> int:
        """The version of all keys (REQ-KEY-5), u8: that of RECEIPT, which every issued card has; 0 before it is there."""
        return self.key_versions.get(KeyRef.RECEIPT - 1, 1)[0]

    def draw_nonce(self) -> None:
        """What was authorized with the old nonce is void (REQ-MAC-3)."""
        self.nonce.put(0, self.platform.random(8))

    def key(self, key_ref: int) -> CardKey:
        """A key that was personalized; Refused(6A88) otherwise (REQ-KEY-1)."""
        if not self.key_versions.get(key_ref - 1, 1)[0]:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        return self.keys[key_ref]

    def authority(self, key_ref: int) -> CardKey:
        """A key that may authorize here: 6A88 if it is not there, 9408 if the rules do not take it."""
        key = self.key(key_ref)
        if key_ref in (KeyRef.TILL, KeyRef.SHOP) and not self.limits.modes & key_ref:
            raise Refused(SW.MODE_NOT_ALLOWED)
        return key

    def log_record(self, counter: int) -> bytes:
        """The record of transaction `counter`, 36 bytes; the caller knows that it is still there."""
        return self.log.get(counter % LOG_SIZE * RECORD_SIZE, RECORD_SIZE)

    def receipt(self, record: bytes) -> bytes:
        """The RECEIPT MAC of a log record, 8 bytes."""
        return self.keys[KeyRef.RECEIPT].mac8(messages.receipt(self.head, record))

    def proof(self, record: bytes) -> bytes:
        """The PROOF MAC of a log record, 8 bytes, under the key that authorized it."""
        return self.keys[record[1]].mac8(messages.proof(self.head, record))

    def add(self, sheet: Sheet, record: bytes) -> None:
        """Commits a transaction: sheet, record, counter, in one go (REQ-TRX-7)."""
        counter = self.counter
        with self.platform.transaction():
            self.sheets.put((counter + 1) % 2 * SHEET_SIZE, sheet.encode())
            self.log.put(counter % LOG_SIZE * RECORD_SIZE, record)
            self.counter_cells.put(0, (counter + 1).to_bytes(2))
