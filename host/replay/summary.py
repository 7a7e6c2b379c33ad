"""What a play of a purchase log has shown: one value for a table, a page and JSON alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from joren.apdu import MacMismatch, Transmit
from joren.apdu.state import RANK_MAX
from joren.apdu.transaction import Outcome, Transaction
from joren.host.dialog import Slot
from joren.host.masters import Masters
from joren.host.results import Receipt

from .measure import auc, gain_curve, gini
from .play import Counter, Customer, Play, Sample

__all__ = ["RankRow", "Summary", "flip_a_bit", "summarize"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RankRow:
    """The cards of one rank. `cards` to `bought_again` by the rank at the cut, the points by the rank at the end."""

    rank: int
    cards: int
    cards_at_end: int
    spent_after_minor: int
    bought_again: int
    points_granted: int
    points_owed: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures. Points granted by three witnesses; `gini`, `auc` and `gain` are None where nothing can be foretold."""

    purchases: int
    cards: int
    cards_one_card: int
    cards_two_card: int
    lines_skipped: int
    points_granted_cards: int
    points_granted_tills: int
    points_granted_receipts: int
    points_owed: int
    receipts_verified: int
    flipped_bit_refused: bool
    gini: float | None
    auc: float | None
    gain: tuple[float, ...] | None
    ranks: tuple[RankRow, ...]
    watched: str
    samples: tuple[Sample, ...]

    @property
    def agrees(self) -> bool:
        """Whether the three witnesses agree, and every receipt was verified and a forged one was not."""
        granted = {self.points_granted_cards, self.points_granted_tills, self.points_granted_receipts}
        return len(granted) == 1 and self.receipts_verified == self.purchases and self.flipped_bit_refused


def summarize(play: Play, counters: Sequence[tuple[Counter, Mapping[Slot, Transmit]]], masters: Masters, lines_skipped: int) -> Summary:
    """The summary of a play that has ended. `counters` with the links to their shop cards."""
    customers = list(play.used())
    receipts = [receipt for counter, _ in counters for receipt in counter.receipts]
    known = [(customer, customer.at_cut.score) for customer in customers if customer.at_cut and customer.at_cut.score is not None]
    gini_, auc_, gain = _measures([score for _, score in known], [customer for customer, _ in known])
    by_card = sum(customer.counter.by_card for customer in customers)
    programme = play.product.programme
    return Summary(
        purchases=sum(customer.taps for customer in customers),
        cards=len(customers),
        cards_one_card=len(customers) - by_card,
        cards_two_card=by_card,
        lines_skipped=lines_skipped,
        points_granted_cards=sum(customer.points_granted for customer in customers),
        points_granted_tills=sum(counter.points_granted(links, programme) for counter, links in counters),
        points_granted_receipts=sum(_points(receipt) for receipt in receipts),
        points_owed=sum(_owed(customer) for customer in customers),
        receipts_verified=sum(_verifies(masters, receipt) for receipt in receipts),
        flipped_bit_refused=not any(_verifies(masters, flip_a_bit(receipts[0], bit)) for bit in range(8 * Receipt.FORMAT.size)),
        gini=gini_,
        auc=auc_,
        gain=gain,
        ranks=tuple(_rank_row(rank, customers) for rank in range(RANK_MAX + 1)),
        watched=play.watched,
        samples=tuple(play.samples),
    )


def flip_a_bit(receipt: Receipt, bit: int) -> Receipt:
    """The receipt with one of its 432 bits changed."""
    raw = bytearray(receipt.encode())
    raw[bit // 8] ^= 1 << bit % 8
    return Receipt.decode(bytes(raw))


def _measures(scores: list[int], customers: list[Customer]) -> tuple[float | None, float | None, tuple[float, ...] | None]:
    spending = [customer.spent_after_minor for customer in customers]
    bought_again = [customer.bought_again for customer in customers]
    return (
        _or_none(lambda: gini(scores, spending)),
        _or_none(lambda: auc(scores, bought_again)),
        _or_none(lambda: gain_curve(scores, spending)),
    )


def _or_none(measure: Callable[[], T]) -> T | None:
    try:
        return measure()
    except ValueError:
        return None


def _rank_row(rank: int, customers: list[Customer]) -> RankRow:
    then = [customer for customer in customers if customer.at_cut is not None and customer.at_cut.rank == rank]
    now = [customer for customer in customers if customer.at_end is not None and customer.at_end.rank == rank]
    return RankRow(
        rank=rank,
        cards=len(then),
        cards_at_end=len(now),
        spent_after_minor=sum(customer.spent_after_minor for customer in then),
        bought_again=sum(customer.bought_again for customer in then),
        points_granted=sum(customer.points_granted for customer in now),
        points_owed=sum(_owed(customer) for customer in now),
    )


def _owed(customer: Customer) -> int:
    detail = customer.at_end.detail if customer.at_end else None
    return 0 if detail is None else detail.points_before + detail.points_now


def _points(receipt: Receipt) -> int:
    return Outcome.decode(Transaction.decode(receipt.record).outcome).points


def _verifies(masters: Masters, receipt: Receipt) -> bool:
    try:
        masters.verify_receipt(receipt)
    except MacMismatch:
        return False
    return True
