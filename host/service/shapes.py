"""What clients get: results of the till as JSON fields, and the same as JSON Schema (2020-12)."""

from collections.abc import Iterable
from typing import Any

from joren.apdu import Kind
from joren.apdu.state import RANK_MAX
from joren.host.fate import Fate
from joren.host.journal import Row
from joren.host.offers import Offer
from joren.host.results import Granted, Settled, Standing

__all__ = ["SCHEMAS", "card_of_sale", "card_of_standing", "row_fields", "sale_fields", "settled_fields"]

Fields = dict[str, Any]


def sale_fields(granted: Granted, reader: str) -> Fields:
    """A sale that the card committed."""
    return {
        "reference": granted.reference,
        "reader": reader,
        "kind": granted.kind.name.lower(),
        "card_id": granted.card_id.hex().upper(),
        "rank": granted.rank,
        "score": granted.score,
        "points": granted.points,
        "points_balance": granted.points_balance,
        "purse_minor": granted.purse_minor,
        "receipt": granted.receipt.encode().hex().upper(),
        "recovered": granted.recovered,
        "voided": granted.voided,
        "settled": [row_fields(row) for row in granted.settled],
        "offers": _offers(granted.offers),
    }


def row_fields(row: Row) -> Fields:
    """A transaction of the journal."""
    return {
        "reference": row.reference,
        "fate": row.fate.value,
        "kind": row.kind.name.lower(),
        "amount": row.order.amount,
        "card_id": row.card_id.hex().upper(),
    }


def settled_fields(settled: Settled, reader: str) -> Fields:
    """What a tap for settling alone found."""
    return {"reader": reader, "card_id": settled.card_id.hex().upper(), "settled": [row_fields(row) for row in settled.rows]}


def card_of_sale(granted: Granted) -> Fields:
    """Who came, by the sale that was waiting for the card."""
    return _card(granted, granted.points_balance, granted.purse_minor)


def card_of_standing(standing: Standing) -> Fields:
    """Who came, by what the card told; without points and purse where the card wants a PIN for them."""
    detail = standing.detail
    if detail is None:
        return _card(standing, None, None)
    return _card(standing, detail.points_before + detail.points_now, detail.purse_minor)


def _card(told: Granted | Standing, points: int | None, purse_minor: int | None) -> Fields:
    return {
        "card_id": told.card_id.hex().upper(),
        "rank": told.rank,
        "score": told.score,
        "points_balance": points,
        "purse_minor": purse_minor,
        "offers": _offers(told.offers),
        "settled": [row_fields(row) for row in told.settled],
    }


def _offers(offers: Iterable[Offer]) -> list[Fields]:
    return [{"id": offer.id, "text": dict(offer.text)} for offer in offers]


def _object(text: str, properties: Fields, optional: Iterable[str] = ()) -> Fields:
    required = [name for name in properties if name not in set(optional)]
    return {"type": "object", "description": text, "properties": properties, "required": required}


def _ref(name: str) -> Fields:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str) -> Fields:
    return {"type": "array", "items": _ref(name)}


def _or_null(schema: Fields) -> Fields:
    return {"oneOf": [schema, {"type": "null"}]}


TEXT, FLAG, COUNT = {"type": "string"}, {"type": "boolean"}, {"type": "integer", "minimum": 0}
CARD_ID = {"type": "string", "pattern": "^[0-9A-F]{16}$"}
TIME = {"type": "string", "format": "date-time"}
RANK = {"type": "integer", "minimum": 0, "maximum": RANK_MAX}
KIND = {"type": "string", "enum": [kind.name.lower() for kind in Kind]}
FATE = {"type": "string", "enum": [fate.value for fate in Fate]}
MINOR = {"type": "integer", "minimum": 0, "description": "money in minor units"}
HOLDER = {"client": TEXT, "since": TIME, "until": TIME}
CARD = {
    "card_id": CARD_ID,
    "rank": RANK,
    "score": COUNT,
    "points_balance": {"type": ["integer", "null"], "description": "null where the card wants a PIN for it"},
    "purse_minor": {"type": ["integer", "null"]},
    "offers": _list("Offer"),
    "settled": _list("Transaction"),
}
EVENTS = ["card_in", "card_out", "card_error", "reader_gone", "reader_back"]
STATES = ["waiting_for_card", "in_progress", "failed", *(fate.value for fate in Fate if fate is not Fate.NOT_COMMITTED)]

SCHEMAS: Fields = {
    "Health": _object(
        "That the service is there",
        {"status": {"type": "string", "enum": ["ok", "stopping"]}, "api_version": COUNT, "program": TEXT, "readers": COUNT},
    ),
    "Holder": _object("Who has claimed a reader", HOLDER),
    "Readers": _object("All readers", {"readers": _list("Reader")}),
    "Reader": _object(
        "A reader, and who has claimed it",
        {"name": TEXT, "usable": FLAG, "card_in": FLAG, "simulated": FLAG, "claimed": _or_null(_ref("Holder"))},
    ),
    "Lease": _object("A claimed reader; who knows `lease` has it", {"reader": TEXT, "lease": TEXT, **HOLDER}),
    "Freed": _object("A lease that was ended", {"reader": TEXT}),
    "Offer": _object(
        "A service for the card's rank; `text` by language", {"id": TEXT, "text": {"type": "object", "additionalProperties": TEXT}}
    ),
    "Transaction": _object(
        "A transaction as the journal has it; `amount` is minor units, or points of a redeem",
        {"reference": {"type": ["string", "null"]}, "fate": FATE, "kind": KIND, "amount": COUNT, "card_id": CARD_ID},
    ),
    "Sale": _object(
        "A sale that the card committed. `points`: granted, redeemed or taken back; `recovered`: its result was found again; "
        "`settled`: earlier sales of the card that this tap settled",
        {
            "reference": TEXT,
            "reader": TEXT,
            "kind": KIND,
            "card_id": CARD_ID,
            "rank": RANK,
            "score": COUNT,
            "points": COUNT,
            "points_balance": COUNT,
            "purse_minor": MINOR,
            "receipt": {"type": "string", "pattern": "^[0-9A-F]{108}$"},
            "recovered": FLAG,
            "voided": FLAG,
            "settled": _list("Transaction"),
            "offers": _list("Offer"),
        },
    ),
    "Settled": _object("What became of lost sales", {"reader": TEXT, "card_id": CARD_ID, "settled": _list("Transaction")}),
    "Outcome": _object(
        "What became of a sale: `sale` once it is committed, `transaction` while that is not known, `problem` where it failed",
        {
            "reference": TEXT,
            "reader": TEXT,
            "state": {"type": "string", "enum": STATES},
            "sale": _ref("Sale"),
            "transaction": _ref("Transaction"),
            "problem": _ref("Problem"),
        },
        ["sale", "transaction", "problem"],
    ),
    "Cancelled": _object("Whether the sale was given up", {"reference": TEXT, "cancelled": FLAG}),
    "Done": _object("It was done", {"reader": TEXT}),
    "Event": _object(
        "What happened at a reader. card_in has the card's fields, card_error a problem",
        {"id": TEXT, "event": {"type": "string", "enum": EVENTS}, "reader": TEXT, "time": TIME, **CARD, "problem": _ref("Problem")},
        [*CARD, "problem"],
    ),
    "Problem": _object(
        "A call that failed. Other fields say more, by `error`",
        {
            "error": TEXT,
            "message": TEXT,
            "what_to_do": TEXT,
            "field": TEXT,
            "reader": TEXT,
            "holder": _ref("Holder"),
            "card": TEXT,
            "sw": {"type": "string", "pattern": "^[0-9A-F]{4}$"},
            "status": TEXT,
            "reference": {"type": ["string", "null"]},
            "fate": _or_null(FATE),
        },
        ["field", "reader", "holder", "card", "sw", "status", "reference", "fate"],
    ),
}
