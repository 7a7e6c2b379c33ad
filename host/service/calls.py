"""What clients may ask: the one table behind HTTP routes, WebSocket methods and the OpenAPI document."""

from collections.abc import Mapping
from dataclasses import dataclass

from joren.host.sale import CATEGORY_MAX, FACTOR_MAX, REFERENCE_MAX, U32_MAX

from .fields import Field

__all__ = ["API_VERSION", "CALLS", "CLAIM_SECONDS_MAX", "WAIT_SECONDS", "Call"]

API_VERSION = 1
NAME_MAX = 128
WAIT_SECONDS, WAIT_SECONDS_MAX = 30, 300
CLAIM_SECONDS, CLAIM_SECONDS_MAX = 30, 3600

READER_HERE = Field("reader", "string", "the reader's name", 1, NAME_MAX, required=True)
READER = Field("reader", "string", "the reader's name; may be left out where there is one alone", 1, NAME_MAX)
LEASE = Field(
    "lease", "string", "the lease of the reader, as claim gave it; over WebSocket those of the connection count by themselves", 1, 64
)
REFERENCE = Field(
    "reference", "string", "the client's name for the sale; the same again gives the same sale", 1, REFERENCE_MAX, required=True
)
AMOUNT = Field("amount_minor", "integer", "money in minor units: 1250 is 12.50", 1, U32_MAX, required=True)
PIN = Field("pin", "string", "the PIN that the card's holder typed", 4, 8, form="pin")
TIME = Field("time", "string", "when it happens, local time as 2026-01-31T18:30; now if left out", 10, 32, form="time")
WAIT = Field("wait_seconds", "integer", "how long to wait for a card", 0, WAIT_SECONDS_MAX, default=WAIT_SECONDS)
AT = (REFERENCE, READER, LEASE, TIME, WAIT)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `answer` names its schema, `codes` what it may fail with, beside what any call may."""

    name: str
    method: str
    path: str
    text: str
    answer: str
    fields: tuple[Field, ...] = ()
    codes: tuple[str, ...] = ()
    simulation: bool = False

    @property
    def in_path(self) -> tuple[Field, ...]:
        """The fields that stand in the path."""
        return tuple(field for field in self.fields if f"{{{field.name}}}" in self.path)

    @property
    def in_body(self) -> tuple[Field, ...]:
        """The fields of the body, or of the query where the method is GET."""
        return tuple(field for field in self.fields if field not in self.in_path)


AT_READER = (
    "unknown_reader",
    "reader_claimed",
    "lease_over",
    "reader_gone",
    "journal",
    "no_card",
    "card_refused",
    "card_fault",
    "card_lost",
)
SELLING = (*AT_READER, "not_possible", "other_reader", "sale_in_hand", "cancelled")

TABLE = (
    Call("readers", "GET", "/v1/readers", "The readers, and who has claimed them", "Readers"),
    Call(
        "claim",
        "POST",
        "/v1/readers/{reader}/claim",
        "Claim a reader: until the lease ends, its taps are this client's. With `lease`: prolong it",
        "Lease",
        (
            READER_HERE,
            Field("client", "string", "who claims, as others are told", 1, 64, default="a client"),
            Field("seconds", "integer", "how long the lease lasts", 1, CLAIM_SECONDS_MAX, default=CLAIM_SECONDS),
            Field("wait_seconds", "integer", "how long to wait while another has the reader", 0, WAIT_SECONDS_MAX, default=0),
            LEASE,
        ),
        ("unknown_reader", "reader_claimed", "lease_over"),
    ),
    Call("free", "POST", "/v1/readers/{reader}/free", "End a lease", "Freed", (READER_HERE, LEASE), ("unknown_reader", "lease_over")),
    Call(
        "purchase",
        "POST",
        "/v1/purchase",
        "A purchase: the card grants points; with `pay` the purse pays for it in the same tap",
        "Sale",
        (
            Field("amount_minor", "integer", "money in minor units: 1250 is 12.50; 0 is a visit", 0, U32_MAX, required=True),
            Field("category", "integer", "of what was bought", 0, CATEGORY_MAX, default=0),
            Field("factor_tenths", "integer", "campaign factor: 20 for double points", 1, FACTOR_MAX, default=10),
            Field("pay", "boolean", "take the amount from the purse too", default=False),
            PIN,
            *AT,
        ),
        SELLING,
    ),
    Call(
        "redeem",
        "POST",
        "/v1/redeem",
        "Take points",
        "Sale",
        (Field("points", "integer", "how many points", 1, U32_MAX, required=True), PIN, *AT),
        SELLING,
    ),
    Call("load", "POST", "/v1/load", "Add money to the purse", "Sale", (AMOUNT, *AT), SELLING),
    Call("pay", "POST", "/v1/pay", "Take money from the purse", "Sale", (AMOUNT, PIN, *AT), SELLING),
    Call(
        "void",
        "POST",
        "/v1/void",
        "Take a sale back: the last one of its card, made at this reader",
        "Sale",
        (Field("sale", "string", "the reference of the sale that is taken back", 1, REFERENCE_MAX, required=True), *AT),
        SELLING,
    ),
    Call(
        "settle",
        "POST",
        "/v1/settle",
        "Find out what became of lost sales of the card that is tapped, and sell nothing",
        "Settled",
        (READER, LEASE, WAIT),
        (*AT_READER, "not_possible"),
    ),
    Call("outcome", "GET", "/v1/sales/{reference}", "What became of a sale", "Outcome", (REFERENCE,), ("unknown_sale", "journal")),
    Call(
        "cancel",
        "POST",
        "/v1/sales/{reference}/cancel",
        "Give up a sale that waits for a card; one that has its card goes on",
        "Cancelled",
        (REFERENCE,),
        ("unknown_sale",),
    ),
    Call(
        "tap",
        "POST",
        "/v1/simulation/{reader}/tap",
        "Simulated readers alone: put a card of the workspace in",
        "Done",
        (
            READER_HERE,
            Field("card", "string", "the card's name", 1, NAME_MAX, required=True),
            Field("lose", "string", "lose the N-th APDU before or after the card acted, as 2:after", 1, 16),
        ),
        ("unknown_reader", "not_possible"),
        simulation=True,
    ),
    Call(
        "remove",
        "POST",
        "/v1/simulation/{reader}/remove",
        "Simulated readers alone: take the card out",
        "Done",
        (READER_HERE,),
        ("unknown_reader", "not_possible"),
        simulation=True,
    ),
)
CALLS: Mapping[str, Call] = {call.name: call for call in TABLE}
