"""The kiosk's screens as text: 24 lines of at most 80 columns, in which a full-width character takes two; the 25th is left for Enter.

How it works. A Page is drawn from words and figures alone. Lines are built of cells with `fit`, which counts columns as a terminal does.
There are no frames and blocks but of ASCII: terminals for East Asian text draw others twice as wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len, set_cell_size

from joren.apdu import Kind, base_kind, is_void
from joren.apdu.cards import Limits
from joren.apdu.state import RANK_MAX, RankRules
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.host import CustomerView, Detail, HolderView, Product, Receipt

from .kiosk_words import Words

__all__ = [
    "COLUMNS",
    "LINES",
    "LOG_ROWS",
    "Page",
    "expiries",
    "fit",
    "known_hour",
    "log_body",
    "logged",
    "rank_body",
    "screen",
    "standing_body",
]

COLUMNS, LINES = 80, 24
BODY, INDENT, NAME = LINES - 6, "  ", 14
LOG_ROWS = 12
LOG_WIDTHS = (15, 20, 9, 8, 8, 8, 6)
"""Columns of the log; all but the first two are set to the right. They and what is between them fill a line."""
BAR = 24


@dataclass(frozen=True, slots=True)
class Page:
    """A screen. `prompt` stands in its last line, before what is entered; `secret`: that is not shown. `passing`: it goes by itself."""

    name: str
    lines: tuple[str, ...]
    prompt: str = "> "
    secret: bool = False
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Logged:
    """A transaction for people. `amount`: minor units, or points for REDEEM; `points`: what the balance gained, below 0 what it lost."""

    time: datetime
    kind: Kind
    void: bool
    amount: int
    points: int
    points_balance: int
    purse_minor: int
    rank: int
    shop: int


def fit(text: str, columns: int, *, right: bool = False) -> str:
    """The text in exactly so many columns: cut, or with spaces behind it, or before it."""
    spare = columns - cell_len(text)
    return " " * spare + text if right and spare > 0 else set_cell_size(text, columns)


def screen(
    name: str,
    title: str,
    body: Sequence[str],
    menu: Sequence[str] = (),
    *,
    at_right: str = "",
    notice: str = "",
    prompt: str = "> ",
    secret: bool = False,
    passing: bool = False,
) -> Page:
    """A page: title and what stands at its right, a rule, the body, a notice, a rule, the menu, and the line where the prompt goes."""
    head = fit(title, COLUMNS - cell_len(at_right)) + at_right
    shown = [*body[:BODY], *[""] * (BODY - len(body)), notice]
    lines = [head, "-" * COLUMNS, *shown, "-" * COLUMNS, "   ".join(menu)]
    return Page(name, tuple(fit(line, COLUMNS).rstrip() for line in lines), prompt, secret, passing)


def _row(name: str, value: str) -> str:
    return INDENT + fit(name, NAME) + value


def rank_body(view: CustomerView, words: Words) -> list[str]:
    """Rank and score, which anybody may see; nothing of a card that does not tell them."""
    if view.rank is None or view.score is None or view.rules is None:
        return []
    rate = words.rate.format(rate=f"{view.rules.rate_bp[view.rank] / 100:g}")
    rank = words.rank_of.format(rank=view.rank, top=RANK_MAX)
    way = _way(view.rank, view.score, view.rules, words)
    return [_row(words.rank, rank), _row("", f"{_bar(view.rank, view.score, view.rules)}  {way}"), _row("", rate)]


def _way(rank: int, score: int, rules: RankRules, words: Words) -> str:
    higher = words.rank_top if rank == RANK_MAX else words.rank_next.format(rank=rank + 1, score=f"{rules.climb[rank + 1]:,}")
    return words.way.format(score=f"{score:,}", higher=higher)


def _bar(rank: int, score: int, rules: RankRules) -> str:
    low, high = rules.climb[rank], rules.climb[min(rank + 1, RANK_MAX)]
    part = 1.0 if rank == RANK_MAX else max(0.0, min(1.0, (score - low) / (high - low)))
    full = round(part * BAR)
    return f"[{'#' * full}{'.' * (BAR - full)}]"


def expiries(detail: Detail, limits: Limits, hour: int) -> list[tuple[int, int]]:
    """Points and the hour from which they are lost (REQ-PTS-1), those of the last period first."""
    end = (hour // limits.period_hours + 1) * limits.period_hours
    both = [(detail.points_before, end), (detail.points_now, end + limits.period_hours)]
    return [(points, hour) for points, hour in both if points]


def known_hour(holder: HolderView, hour: int) -> int:
    """The hour, or that of the newest transaction where it is later: for a card time does not go back (REQ-RES-1)."""
    return max([hour, *(_order(receipt).hour for receipt in holder.receipts[:1])])


def standing_body(holder: HolderView, product: Product, hour: int, words: Words) -> list[str]:
    """What the holder of a card sees: rank, points and when they are lost, purse, the last use."""
    view, newest = holder.view, holder.receipts[:1]
    detail = view.detail
    assert detail is not None and view.limits is not None  # noqa: PT018 - the visit shows this page with the detail alone
    hour = known_hour(holder, hour)
    lines = ["", *rank_body(view, words), "", _row(words.points, f"{detail.points_before + detail.points_now:,}")]
    for points, until in expiries(detail, view.limits, hour):
        lines.append(_row("", words.points_until.format(points=f"{points:,}", day=f"{product.time_of(until):%Y-%m-%d}")))
    lines += ["", _row(words.purse, product.money(detail.purse_minor) if view.info.has_purse else words.no_purse), ""]
    last = f"{product.time_of(_order(newest[0]).hour):%Y-%m-%d}" if newest else words.last_none
    return [*lines, _row(words.last, last)]


def _order(receipt: Receipt) -> Order:
    return Order.decode(Transaction.decode(receipt.record).order)


def logged(receipt: Receipt, product: Product) -> Logged:
    """What a receipt says."""
    record = Transaction.decode(receipt.record)
    order, outcome = Order.decode(record.order), Outcome.decode(record.outcome)
    kind, void = base_kind(record.kind), is_void(record.kind)
    sign = (-1 if void else 1) * (-1 if kind == Kind.REDEEM else 1)
    balances = outcome.points_balance, outcome.purse_minor
    return Logged(product.time_of(order.hour), kind, void, order.amount, sign * outcome.points, *balances, outcome.rank, order.shop)


def log_body(receipts: Sequence[Receipt], product: Product, first: int, words: Words) -> list[str]:
    """A page of the log, from the receipt with that index."""
    if not receipts:
        return ["", INDENT + words.log_none]
    shown = receipts[first : first + LOG_ROWS]
    pages = words.log_pages.format(first=first + 1, last=first + len(shown), all=len(receipts))
    rows = [_log_row(logged(receipt, product), product, words) for receipt in shown]
    return ["", pages, "", _cells(words.log_head), *map(_cells, rows)]


def _log_row(one: Logged, product: Product, words: Words) -> tuple[str, ...]:
    kind = words.kinds[one.kind]
    return (
        words.hour.format(time=one.time),
        words.void.format(kind=kind) if one.void else kind,
        "" if one.kind == Kind.REDEEM else _money(one.amount, product),
        f"{one.points:+,}" if one.points else "0",
        f"{one.points_balance:,}",
        _money(one.purse_minor, product),
        str(one.rank),
    )


def _money(amount_minor: int, product: Product) -> str:
    """Without the currency."""
    return product.money(amount_minor).removesuffix(product.currency).rstrip()


def _cells(texts: Sequence[str]) -> str:
    return " ".join(fit(text, width, right=index > 1) for index, (text, width) in enumerate(zip(texts, LOG_WIDTHS, strict=True)))
