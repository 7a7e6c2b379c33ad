"""What has become of a transaction, as far as the till can know (REQ-STL-1, REQ-STL-2)."""

from enum import Enum

__all__ = ["Fate"]


class Fate(Enum):
    """The state of a journal row. A row begins as PENDING; COMMITTED and NOT_COMMITTED are final."""

    PENDING = "pending"
    """Authorized; the card has not said what became of it."""
    PROVEN = "proven"
    """The customer card gave its proof; the shop card has not ratified it."""
    COMMITTED = "committed"
    """It happened, and the proof was checked."""
    NOT_COMMITTED = "not_committed"
    """It never happened and never can."""
    UNKNOWN = "unknown"
    """The card can not tell any more, or nobody here can check what it told: for the issuer to settle from receipts."""
