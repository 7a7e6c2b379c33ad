"""How cards, transactions and receipts look: as JSON fields, and drawn for a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from joren.apdu import Kind, LifeCycle, MacMismatch
from joren.apdu.cards import CustomerInfo, PendingEntry, ShopInfo
from joren.apdu.state import RANK_MAX, RankRules
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.host import Granted, Masters, Product, Receipt, Row
from joren.host.kiosk import CustomerView, ShopView

from .output import bar, table

__all__ = [
    "customer_fields",
    "customer_picture",
    "granted_fields",
    "granted_picture",
    "identity_fields",
    "log_picture",
    "receipt_fields",
    "shop_fields",
    "shop_picture",
]

LOG_COLUMNS = ("counter", "time", "kind", "amount", "category", "shop", "points", "balance", "purse", "rank", "score", "receipt")
TEXT_COLUMNS = {"time", "kind", "receipt"}
UNIT = 65_536


def kind_name(kind: int) -> str:
    """A kind of transaction as people call it: "pay and earn"."""
    return Kind(kind).name.replace("_", " ").lower()


def _hex(data: bytes) -> str:
    return data.hex().upper()


def _amount(kind: int, amount: int, product: Product) -> str:
    return f"{amount} points" if kind & 0x7F == Kind.REDEEM else product.money(amount)


def identity_fields(info: CustomerInfo) -> dict[str, Any]:
    """What SELECT tells of a customer card."""
    return {
        "card_id": _hex(info.card_id),
        "state": LifeCycle(info.life_cycle).name,
        "programme": info.programme,
        "one_card": info.one_card,
        "two_card": info.two_card,
        "has_purse": info.has_purse,
        "has_pin": info.has_pin,
        "counter": info.counter,
        "rank_written": info.rank,
        "key_version": info.key_version,
    }


def customer_fields(view: CustomerView) -> dict[str, Any]:
    """A customer card as JSON."""
    fields = {**identity_fields(view.info), "pin_tries": view.pin_tries, "rank": view.rank, "score": view.score}
    detail = view.detail
    if detail is not None:
        fields |= {
            "values": [round(value / UNIT, 4) for value in detail.values],
            "points_before": detail.points_before,
            "points_now": detail.points_now,
            "purse_minor": detail.purse_minor,
        }
    return fields


def customer_picture(name: str, view: CustomerView, product: Product) -> RenderableType:
    """A customer card for a terminal."""
    info = view.info
    modes = " and ".join(name for name, on in (("one-card", info.one_card), ("two-card", info.two_card)) if on) or "none"
    lines = [
        f"[bold]{escape(name)}[/]  card {_hex(info.card_id)}, {LifeCycle(info.life_cycle).name}, {info.counter} transactions, modes {modes}"
    ]
    if view.rank is not None and view.score is not None and view.rules is not None:
        lines += [_ladder(view.rank, view.score, view.rules)]
    detail = view.detail
    if detail is not None:
        points = detail.points_before + detail.points_now
        lines.append(f"  points {points:>8,}   of them {detail.points_before:,} from the last period, which go first")
        lines += [f"  purse  {escape(product.money(detail.purse_minor)):>8}"] * info.has_purse
    elif view.rank is not None:
        lines.append("  points and purse: with the PIN (--ask-pin, --pin-file)")
    if view.pin_tries is not None:
        lines.append(f"  PIN    {view.pin_tries} tries left")
    return Group(*(Text.from_markup(line) for line in lines))


def _ladder(rank: int, score: int, rules: RankRules) -> str:
    rate = f"{rules.rate_bp[rank] / 100:g} %"
    if rank == RANK_MAX:
        return f"  rank   {rank} of {RANK_MAX}   [green]{bar(1)}[/] score {score:,}; grants {rate}"
    low, high = rules.climb[rank], rules.climb[rank + 1]
    part = (score - low) / (high - low)
    return f"  rank   {rank} of {RANK_MAX}   [green]{bar(part)}[/] score {score:,}; rank {rank + 1} from {high:,}; grants {rate}"


def receipt_fields(receipt: Receipt, product: Product, masters: Masters) -> dict[str, Any]:
    """A receipt as JSON, verified with the issuer's key."""
    record = Transaction.decode(receipt.record)
    order, outcome = Order.decode(record.order), Outcome.decode(record.outcome)
    try:
        masters.verify_receipt(receipt)
        verified = True
    except MacMismatch:
        verified = False
    return {
        "counter": record.counter,
        "time": product.time_of(order.hour).isoformat(),
        "kind": kind_name(record.kind),
        "amount": order.amount,
        "category": order.category,
        "factor_tenths": order.factor_tenths,
        "shop": order.shop,
        "sequence": order.sequence,
        "rank": outcome.rank,
        "score": outcome.score,
        "points": outcome.points,
        "points_balance": outcome.points_balance,
        "purse_minor": outcome.purse_minor,
        "receipt": _hex(receipt.encode()),
        "verified": verified,
    }


def log_picture(receipts: list[Receipt], product: Product, masters: Masters) -> RenderableType:
    """The log of a card as a table."""
    rows = []
    for receipt in receipts:
        fields = receipt_fields(receipt, product, masters)
        kind = receipt.record[0]
        told = [str(fields["counter"]), str(fields["time"])[:16].replace("T", " "), str(fields["kind"])]
        told += [_amount(kind, receipt_amount(receipt), product), str(fields["category"]), str(fields["shop"]), f"{fields['points']:,}"]
        told += [f"{fields['points_balance']:,}", product.money(fields["purse_minor"]), str(fields["rank"]), str(fields["score"])]
        rows.append([*told, "verified" if fields["verified"] else "FORGED"])
    return table(LOG_COLUMNS, rows, frozenset(LOG_COLUMNS) - TEXT_COLUMNS)


def receipt_amount(receipt: Receipt) -> int:
    """The amount of a receipt's order."""
    return Order.decode(Transaction.decode(receipt.record).order).amount


def row_fields(row: Row) -> dict[str, Any]:
    """A journal row as JSON."""
    order = row.order
    return {
        "reference": row.reference,
        "fate": row.fate.value,
        "kind": kind_name(row.kind),
        "amount": order.amount,
        "card_id": _hex(row.card_id),
        "counter": row.counter,
        "sequence": order.sequence,
    }


def granted_fields(granted: Granted, language: str) -> dict[str, Any]:
    """What a sale gave, as JSON."""
    return {
        "reference": granted.reference,
        "kind": kind_name(granted.kind),
        "card_id": _hex(granted.card_id),
        "rank": granted.rank,
        "score": granted.score,
        "points": granted.points,
        "points_balance": granted.points_balance,
        "purse_minor": granted.purse_minor,
        "receipt": _hex(granted.receipt.encode()),
        "recovered": granted.recovered,
        "voided": granted.voided,
        "settled": [row_fields(row) for row in granted.settled],
        "offers": [{"id": offer.id, "text": offer.text.get(language, next(iter(offer.text.values())))} for offer in granted.offers],
    }


def granted_picture(granted: Granted, product: Product, language: str) -> RenderableType:
    """What a sale gave, for a terminal."""
    lines = [f"settled first: {escape(row.reference or 'a sale without a reference')} is {row.fate.value}" for row in granted.settled]
    again = " (its result, found again)" if granted.recovered else ""
    lines.append(f"[bold]{kind_name(granted.kind)}[/] {escape(granted.reference)} on card {_hex(granted.card_id)}{again}")
    lines.append(f"  rank   {granted.rank} of {RANK_MAX}   score {granted.score:,}")
    lines.append(f"  points {granted.points:,}; balance {granted.points_balance:,}; purse {escape(product.money(granted.purse_minor))}")
    lines += [f"  offer  {escape(offer.text.get(language, next(iter(offer.text.values()))))}" for offer in granted.offers]
    lines += ["  this sale was voided since"] * granted.voided
    return Group(*(Text.from_markup(line) for line in lines))


def shop_fields(view: ShopView) -> dict[str, Any]:
    """A shop card as JSON."""
    totals = {} if view.totals is None else {name: getattr(view.totals, name) for name in view.totals.__slots__}
    return {
        **shop_identity(view.info),
        "totals": totals,
        "pending": [{"slot": slot, **_entry(entry)} for slot, entry in view.pending],
        "closed": [{"ending": ending.name, **_entry(entry)} for entry, ending in view.closed],
    }


def shop_identity(info: ShopInfo) -> dict[str, Any]:
    """What SELECT tells of a shop card."""
    return {
        "shop": info.shop,
        "terminal": info.terminal,
        "state": LifeCycle(info.life_cycle).name,
        "programme": info.programme,
        "points_left": info.points_left,
        "money_left_minor": info.money_left_minor,
        "refills": info.refills,
        "sequence": info.sequence,
        "pending_count": info.pending,
    }


def _entry(entry: PendingEntry) -> dict[str, Any]:
    return {
        "kind": kind_name(entry.kind),
        "card_id": _hex(entry.card_id),
        "counter": entry.counter,
        "amount": entry.amount,
        "points": entry.points,
        "sequence": entry.sequence,
    }


def _indented(columns: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> RenderableType:
    return Padding(table(columns, rows, right), (0, 0, 0, 2))


def shop_picture(name: str, view: ShopView, product: Product) -> RenderableType:
    """A shop card for a terminal."""
    info = view.info
    state = LifeCycle(info.life_cycle).name
    head = f"[bold]{escape(name)}[/]  shop {info.shop}, terminal {info.terminal}, {state}; {info.pending} entries pending"
    lines: list[RenderableType] = [Text.from_markup(head)]
    lines.append(f"  may still grant {info.points_left:,} points and load {escape(product.money(info.money_left_minor))}")
    if view.totals is not None and view.totals.transactions:
        rows = []
        for total in view.totals.__slots__:
            value = getattr(view.totals, total)
            if value:
                rows.append(
                    [f"{total.removesuffix('_minor').replace('_', ' ')}", product.money(value) if "money" in total else f"{value:,}"]
                )
        lines.append(_indented(("total", "since issue"), rows, frozenset({"since issue"})))
    closed = [
        [
            f"{entry.sequence & 0xFFFFFF}",
            kind_name(entry.kind),
            _hex(entry.card_id),
            _amount(entry.kind, entry.amount, product),
            f"{entry.points:,}",
            ending.name.replace("_", " ").lower(),
        ]
        for entry, ending in view.closed[:8]
    ]
    if closed:
        lines.append(_indented(("count", "kind", "card", "amount", "points", "ended"), closed, frozenset({"count", "amount", "points"})))
    return Group(*lines)
