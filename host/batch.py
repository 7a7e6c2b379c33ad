"""Making the cards of a batch: what happens to each card that is put into a reader, with several readers at once.

How it works. A card tells its chip, and the journal knows what that chip is: unknown, then it gets the next row that waits; half-made, then
it is finished, whatever reader it was in before; issued or scrap, then it is not touched. All of this is in the journal before the first
byte that changes the card, so this program may be killed anywhere. Each reader has a thread of its own; the journal is used under one lock,
the keys under another. A card that fails is not the line's failure: the line stops after several in a row, without a vault, or without a
journal. In the last case no card is sent another command, as nobody could say later what became of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from threading import Condition, Lock, Thread
from typing import Protocol, TypeVar

from joren.apdu import Command, Key, KeyRef, LinkLost, Response, Transmit
from joren.apdu.scp03 import ScpKeys

from .batch_csv import MemberRow
from .batch_journal import Batch, BatchJournal, Entry
from .channel import Guard
from .desk import Found, identify, make_card
from .dialog import Slot, run
from .errors import CardFault, CardRefused, DialogError, JournalError, VaultError
from .personalization import CustomerOrder, IssuerKeys, Order, ShopOrder
from .product import Product

__all__ = ["FAILURES", "FAILURES_MAX", "BatchKeys", "CardReader", "CardResult", "Line", "Verdict", "check_keys", "order_of"]

T = TypeVar("T")
FAILURES_MAX = 5
TICK_S = 0.1


class BatchKeys(IssuerKeys, Protocol):
    """The issuer's keys, and the PINs that come from them (joren.host.masters.Masters)."""

    def pin(self, programme: int, card_id: bytes) -> str:
        """A card's first PIN."""

    def puk(self, programme: int, card_id: bytes) -> str:
        """A card's PUK, 8 digits."""


class Verdict(Enum):
    """What became of a card that was put in."""

    ISSUED = "issued"
    REJECTED = "rejected"
    LOST = "lost"
    UNREADABLE = "unreadable"
    ISSUED_BEFORE = "issued before"
    SCRAP = "scrap"
    SPARE = "spare"


FAILURES = (Verdict.REJECTED, Verdict.LOST, Verdict.UNREADABLE)


@dataclass(frozen=True, slots=True)
class CardResult:
    """A card that was put in: `chip` is 12 bytes, b"" where it told none; `entry` its row, None where it has none."""

    verdict: Verdict
    reader: str
    chip: bytes = b""
    entry: Entry | None = None
    found: Found | None = None
    reason: str = ""


class CardReader(Protocol):
    """A reader into which somebody, or something, puts one card after the other. Used by one thread."""

    @property
    def name(self) -> str:
        """What it is called."""

    def wait_card(self, stopped: Callable[[], bool]) -> Transmit | None:
        """The link to the next card; None when no more come, or once `stopped` says so. Raises LinkLost for a reader that is gone."""

    def reset(self) -> None:
        """Takes the power from the card and gives it again. Raises LinkLost."""

    def release(self, result: CardResult) -> None:
        """The card is done with, and may be taken out. Raises LinkLost."""


class Halted(Exception):
    """The journal can not be written: no card gets another command."""


class LockedKeys:
    """Keys for several threads: one derives at a time, and each gets Key objects of its own."""

    def __init__(self, keys: BatchKeys) -> None:
        self._keys = keys
        self._lock = Lock()

    def card_key(self, key_ref: KeyRef, programme: int, card_id: bytes, version: int | None = None) -> Key:
        """As IssuerKeys."""
        with self._lock:
            return self._keys.card_key(key_ref, programme, card_id, version)

    def group_master(self, name: str, programme: int, version: int | None = None) -> Key:
        """As IssuerKeys."""
        with self._lock:
            shared = self._keys.group_master(name, programme, version)
        return Key(shared.reveal(), shared.name, shared.version)

    def shop_admin_key(self, programme: int, shop: int, terminal: int, version: int | None = None) -> Key:
        """As IssuerKeys."""
        with self._lock:
            return self._keys.shop_admin_key(programme, shop, terminal, version)

    def manager_keys(self, diversification_data: bytes, version: int | None = None) -> ScpKeys:
        """As IssuerKeys."""
        with self._lock:
            return self._keys.manager_keys(diversification_data, version)

    def transport_keys(self, diversification_data: bytes) -> ScpKeys:
        """As IssuerKeys."""
        with self._lock:
            return self._keys.transport_keys(diversification_data)

    def pin(self, programme: int, card_id: bytes) -> str:
        """As BatchKeys."""
        with self._lock:
            return self._keys.pin(programme, card_id)

    def puk(self, programme: int, card_id: bytes) -> str:
        """As BatchKeys."""
        with self._lock:
            return self._keys.puk(programme, card_id)


def check_keys(product: Product, keys: BatchKeys) -> None:
    """Makes one of each kind of key, so that what is missing is missed before any card is taken. Raises HostError."""
    programme, nobody = product.programme, bytes(8)
    for key_ref in KeyRef:
        keys.card_key(key_ref, programme, nobody)
    keys.shop_admin_key(programme, 1, 0)
    keys.manager_keys(bytes(10))
    keys.transport_keys(bytes(10))
    if product.cards.pin == "letter":
        keys.pin(programme, nobody)


def order_of(entry: Entry, product: Product, keys: BatchKeys) -> Order:
    """The card that a row orders, with the identity it was given."""
    row = entry.order
    if not isinstance(row, MemberRow):
        return ShopOrder(row.shop, row.terminal, row.points, row.money_minor, row.may_load)
    if product.cards.pin == "none":
        return CustomerOrder(entry.identity)
    programme = product.programme
    return CustomerOrder(entry.identity, keys.pin(programme, entry.identity), keys.puk(programme, entry.identity))


class Line:
    """The readers and the batch they make. `left` is how many rows have no card yet; `stopped` why it stopped before that is 0."""

    def __init__(
        self,
        product: Product,
        keys: BatchKeys,
        journal: BatchJournal,
        batch: Batch,
        tell: Callable[[CardResult], None],
        *,
        guard: Guard | None = None,
        failures_max: int = FAILURES_MAX,
    ) -> None:
        self.batch = batch
        counts = journal.counts(batch)
        self.left = counts.waiting + counts.assigned
        self.stopped: str | None = None
        self.error: Exception | None = None
        self.readers_gone: list[str] = []
        self._product = product
        self._keys = LockedKeys(keys)
        self._journal = journal
        self._tell = tell
        self._guard = guard
        self._failures_max = failures_max
        self._failures = 0
        self._halted = False
        self._in_hand: dict[bytes, str] = {}
        self._turn = Condition()

    def run(self, readers: Sequence[CardReader], tick: Callable[[], None] = lambda: None) -> None:
        """Serves all readers until every row has its card, no more cards come, or the line stops. `tick` is called meanwhile.

        Raises what stopped it: JournalError, VaultError, OSError of the readers.
        """
        threads = [Thread(target=self.serve, args=(reader,), name=reader.name) for reader in readers]
        for thread in threads:
            thread.start()
        try:
            while alive := [thread for thread in threads if thread.is_alive()]:
                alive[0].join(TICK_S)
                tick()
        except KeyboardInterrupt:
            self.stop("interrupted")
        finally:
            for thread in threads:
                thread.join()
        if self.error is not None:
            raise self.error

    def stop(self, reason: str, error: Exception | None = None) -> None:
        """No reader takes another card; those that are in are finished, unless the journal is gone."""
        with self._turn:
            self.stopped = self.stopped or reason
            self.error = self.error or error
            self._halted = self._halted or (error is not None and not isinstance(error, VaultError))
            self._turn.notify_all()

    def serve(self, reader: CardReader) -> None:
        """One card after the other. What it raises stops the line."""
        try:
            while not self._over() and (link := reader.wait_card(self._over)) is not None:
                result = self.card(reader, link)
                self._note(result)
                reader.release(result)
        except LinkLost as gone:
            self.readers_gone.append(f"{reader.name}: {gone}")
        except Halted:
            pass
        except Exception as error:
            self.stop(str(error), error)

    def _over(self) -> bool:
        return self.stopped is not None or self.left == 0

    def _note(self, result: CardResult) -> None:
        with self._turn:
            if result.verdict is Verdict.ISSUED:
                self._failures = 0
            self._failures += result.verdict in FAILURES
            self._tell(result)
            stopping = self._failures >= self._failures_max
        if stopping:
            self.stop(f"{self._failures_max} failures in a row, the last one: {result.reason}")

    def card(self, reader: CardReader, link: Transmit) -> CardResult:
        """What is done with the card in a reader. Raises JournalError, VaultError, and Halted once the journal is gone."""

        def gated(command: Command) -> Response:
            if self._halted:
                raise Halted
            return link(command)

        links: dict[Slot, Transmit] = {Slot.CUSTOMER: gated, Slot.SHOP: gated}
        slot = Slot.SHOP if self.batch.kind == "shop" else Slot.CUSTOMER
        try:
            chip = _twice(lambda: run(identify(slot), links), reader)
        except (CardRefused, CardFault, LinkLost) as error:
            verdict = Verdict.LOST if isinstance(error, LinkLost) else Verdict.UNREADABLE
            return self._untouched(verdict, reader, None, None, str(error))
        begun = self._begin(chip, reader)
        if isinstance(begun, CardResult):
            return begun
        try:
            return self._make(begun, reader, links)
        finally:
            with self._turn:
                del self._in_hand[chip]
                self._turn.notify_all()

    def _begin(self, chip: bytes, reader: CardReader) -> Entry | CardResult:
        """The row of the card, noted in the journal, or why it is not touched. While other readers have the last rows, waits for them."""
        with self._turn:
            known = self._journal.by_chip(chip)
            if known is not None and known.state == "issued":
                reason = f"issued already, as {known.identity.hex().upper()}, row {known.order.number} of batch {known.batch}"
                return self._untouched(Verdict.ISSUED_BEFORE, reader, chip, known, reason)
            if known is not None and known.state == "rejected":
                return self._untouched(Verdict.SCRAP, reader, chip, known, f"scrap: {known.reason}")
            if chip in self._in_hand:
                reason = f"a card that tells the same chip is in {self._in_hand[chip]}"
                return self._untouched(Verdict.UNREADABLE, reader, chip, None, reason)
            while self.stopped is None:
                entry = known or self._journal.assign(self.batch, chip, reader.name)
                if entry is not None:
                    if known is not None:
                        self._journal.resume(known, reader.name)
                    self._in_hand[chip] = reader.name
                    return entry
                if not self._in_hand:
                    break
                self._turn.wait()
            return CardResult(Verdict.SPARE, reader.name, chip, known, reason=f"not touched: {self.stopped or 'no row waits for a card'}")

    def _untouched(self, verdict: Verdict, reader: CardReader, chip: bytes | None, entry: Entry | None, reason: str) -> CardResult:
        with self._turn:
            self._journal.note(chip, reader.name, verdict.value, reason)
        return CardResult(verdict, reader.name, chip or b"", entry, None, reason)

    def _make(self, entry: Entry, reader: CardReader, links: dict[Slot, Transmit]) -> CardResult:
        chip = entry.chip
        try:
            order = order_of(entry, self._product, self._keys)
            made = _twice(lambda: run(make_card(self._product, self._keys, order, guard=self._guard, unused=True), links), reader)
        except LinkLost as error:
            with self._turn:
                self._journal.lost(chip, str(error))
            return CardResult(Verdict.LOST, reader.name, chip, entry, None, str(error))
        except VaultError as error:
            with self._turn:
                self._journal.lost(chip, str(error))
            raise
        except (JournalError, Halted):
            raise
        except DialogError as error:
            with self._turn:
                self._journal.reject(chip, str(error))
            return CardResult(Verdict.REJECTED, reader.name, chip, entry, None, str(error))
        with self._turn:
            self._journal.issue(chip, made.key_version, made.check_values)
            self.left -= entry.batch_id == self.batch.batch_id
            done = self._journal.by_chip(chip)
        return CardResult(Verdict.ISSUED, reader.name, chip, done, made.found)


def _twice(dialog: Callable[[], T], reader: CardReader) -> T:
    """Once more after a reset, where the card refused or broke the protocol; wrong keys stay wrong."""
    try:
        return dialog()
    except (CardRefused, CardFault):
        reader.reset()
        return dialog()
