"""A balance sheet from what a lost card last proved: the newest receipt that the issuer verifies.

How it works. A receipt tells rank, score and balances, not the four values behind the score. So the values are made anew: units go into
the slot with the largest share, and where it can not hold them into the next, until the score is exactly the proven one. They are as of the
hour of the receipt; visits begin with that one. All points are taken for points of the receipt's period.
"""

from collections.abc import Iterable

from joren.apdu import MacMismatch
from joren.apdu.sheet import BalanceSheet
from joren.apdu.state import RANK_MAX, RankRules, State, Values
from joren.apdu.transaction import Order, Outcome, Transaction

from .errors import HostError
from .masters import Masters
from .product import Product
from .results import Receipt

__all__ = ["newest_proven", "sheet_of", "values_for"]

UNITS_MAX = 0xFFFF
WHOLE = 256


def newest_proven(masters: Masters, receipts: Iterable[Receipt], programme: int, card_id: bytes) -> Transaction | None:
    """Of a card's receipts that the issuer's keys verify, the one with the highest counter; None where there is none."""
    newest: Transaction | None = None
    for receipt in receipts:
        if (receipt.programme, receipt.card_id) != (programme, card_id):
            continue
        try:
            found = masters.verify_receipt(receipt)
        except MacMismatch:
            continue
        if newest is None or found.counter > newest.counter:
            newest = found
    return newest


def sheet_of(product: Product, proven: Transaction) -> bytes:
    """The balance sheet, 46 bytes, of a card as it was after a transaction. Raises HostError where the rules have no such score."""
    order, outcome = Order.decode(proven.order), Outcome.decode(proven.outcome)
    if outcome.rank > RANK_MAX:
        raise HostError(f"receipt: a rank up to {RANK_MAX} expected, {outcome.rank} came")
    hour = order.hour
    state = State(1, outcome.rank, hour, hour, hour, 1, hour, 0, 0, values_for(product.rules, outcome.score))
    period = hour // product.limits.period_hours
    return BalanceSheet(state.encode(), outcome.points_balance, 0, period, outcome.purse_minor).encode()


def values_for(rules: RankRules, score: int) -> Values:
    """Four values whose score is exactly that (REQ-RANK-16). Raises HostError where no values give it."""
    values, left = [0, 0, 0, 0], score
    for share, index in sorted(((slot.share, index) for index, slot in enumerate(rules.slots)), key=lambda one: (-one[0], one[1])):
        if share and left:
            units = min(-(-left * WHOLE // share), UNITS_MAX)
            values[index] = units << 16
            left -= units * share >> 8
    if left:
        raise HostError(f"receipt: a score that the product's rules can give expected, {score} came; it was given under other rules")
    first, second, third, fourth = values
    return first, second, third, fourth
