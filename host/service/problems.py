"""What a client is told when a call fails: a code, an HTTP status, a message, what to do; never a stack trace, never a secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joren.host.errors import NEXT, CardFault, CardLost, CardRefused, DialogError, HostError, JournalError

__all__ = ["CODES", "Code", "Problem", "problem_of"]


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of failure: its HTTP status, when it comes, and what a client does next."""

    status: int
    when: str
    what_to_do: str


CODES: Mapping[str, Code] = {
    "bad_json": Code(400, "the body or message is no JSON object", "send one JSON object in UTF-8"),
    "bad_request": Code(
        400, "a field is missing, unknown, of another type or out of its range", "correct the field that the message names"
    ),
    "no_token": Code(401, "there is no token", "send the content of the token file: Authorization: Bearer TOKEN"),
    "wrong_token": Code(401, "the token is another one", "read the token file of this service again"),
    "forbidden": Code(403, "Host or Origin is not this machine", "call 127.0.0.1 or localhost, from a program or a page of this machine"),
    "not_found": Code(404, "there is no such path or method", "look it up in /v1/openapi.json"),
    "wrong_version": Code(404, "another version of the protocol is asked for", "speak version 1: paths begin with /v1/"),
    "unknown_reader": Code(404, "there is no reader of this name", "ask for the readers"),
    "unknown_sale": Code(404, "no journal here has the reference: the sale did not happen", "sell, with the same reference, or let it be"),
    "wrong_method": Code(405, "the path has another method", "look it up in /v1/openapi.json"),
    "slow_request": Code(408, "the body did not arrive in time", "send the request at once"),
    "cancelled": Code(409, "the sale was cancelled before a card came", "nothing was sold; sell again if it is wanted"),
    "lease_over": Code(409, "the lease has ended, or never was", "claim the reader again"),
    "not_possible": Code(409, "what is asked can not be; the sale did not happen", "do what the message says"),
    "other_reader": Code(
        409, "the sale was made, or is under way, at another reader", "ask there, or give the sale a reference of its own"
    ),
    "reader_claimed": Code(
        409, "another client has the reader; `holder` says who, since when and until when", "wait until then, or claim it"
    ),
    "sale_in_hand": Code(409, "a sale of this reference is under way", "ask for its outcome"),
    "too_large": Code(413, "the body or message has more than 64 KiB", "send less"),
    "card_refused": Code(422, "a card said no; `sw` is its status word", "do what the status word says"),
    "too_many": Code(429, "too many calls of one client at once", "wait for answers before you ask more"),
    "internal": Code(500, "a fault of joren", "look into the log of the service; the outcome of a sale can be asked for"),
    "card_fault": Code(502, "a card broke the protocol", "try again, then another reader or another card"),
    "card_lost": Code(
        502, "the card went away in the middle; `fate` is what is known of the sale", "ask for the same sale with the same card"
    ),
    "journal": Code(503, "the journal can not be written or read", "make room, or mend the disk; nothing is sold before"),
    "reader_gone": Code(
        503, "the reader, or its shop card, can not be used", "plug it in, or put the shop card back; the service looks for it by itself"
    ),
    "stopping": Code(503, "the service is being stopped", "call again once it runs"),
    "no_card": Code(504, "no card came within `wait_seconds`", "nothing was sold; ask for a card and sell again"),
}


class Problem(Exception):
    """A call that failed. `extra` are fields beside `error`, `message` and `what_to_do`."""

    def __init__(self, code: str, message: str, what_to_do: str = "", extra: Mapping[str, Any] | None = None) -> None:
        self.code = code
        self.message = message
        self.what_to_do = what_to_do or CODES[code].what_to_do
        self.extra = dict(extra or {})
        super().__init__(f"{code}: {message}")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return CODES[self.code].status

    @property
    def body(self) -> dict[str, Any]:
        """What the client gets."""
        return {"error": self.code, "message": self.message, "what_to_do": self.what_to_do, **self.extra}


def problem_of(error: BaseException) -> Problem:
    """What the client is told of an error; of one that is no error of a dialog, that it is a fault of joren and no more."""
    match error:
        case Problem():
            return error
        case CardRefused():
            message = f"{error.card} refused {error.command}: {error.status}"
            told = {"card": error.card, "sw": f"{error.sw:04X}", "status": error.status.name}
            return Problem("card_refused", message, error.status.advice, told)
        case CardLost():
            extra = {"card": error.card, "reference": error.reference, "fate": error.fate.value if error.fate else None}
            return Problem("card_lost", f"the link to the {error.card} was lost", NEXT[error.fate], extra)
        case CardFault():
            message = f"{error.card} answered {error.command} wrongly: {error.expected} expected, {error.came} came"
            return Problem("card_fault", message, extra={"card": error.card})
        case JournalError():
            return Problem("journal", str(error))
        case HostError() | DialogError():
            return Problem("not_possible", str(error))
        case _:
            return Problem("internal", "the service failed in this call")
