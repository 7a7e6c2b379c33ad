"""What can go wrong in a dialog, by whose fault it is; every message says what was expected, what came, and what to do next."""

from joren.apdu import describe

from .fate import Fate

__all__ = ["CardFault", "CardLost", "CardRefused", "DialogError", "HostError", "JournalError", "VaultError"]


class DialogError(Exception):
    """Base of all errors that end a dialog."""


class HostError(DialogError):
    """The caller asked for what can not be; the sale did not happen. What was pending on the card may have been settled before."""


class VaultError(HostError):
    """The vault with the master keys can not be used: no module, no such token, a wrong PIN, a token that was taken away."""


class CardRefused(DialogError):
    """A card said no, by a status word; what it refused did not happen."""

    def __init__(self, card: str, command: str, sw: int) -> None:
        self.card = card
        self.command = command
        self.sw = sw
        self.status = describe(sw)
        super().__init__(f"{card} refused {command}: {self.status}; {self.status.advice}")


class CardFault(DialogError):
    """A card broke the protocol: a wrong length, a wrong MAC, a value that can not be."""

    def __init__(self, card: str, command: str, expected: str, came: str) -> None:
        self.card = card
        self.command = command
        self.expected = expected
        self.came = came
        super().__init__(
            f"{card} answered {command} wrongly: {expected} expected, {came} came; try again, then another reader or another card"
        )


class CardLost(DialogError):
    """The link to a card broke. `fate` is what the journal knows of the sale, None where nothing was authorized."""

    def __init__(self, card: str, reference: str | None, fate: Fate | None) -> None:
        self.card = card
        self.reference = reference
        self.fate = fate
        sale = "" if reference is None else f"sale {reference}: "
        super().__init__(f"link to the {card} lost; {sale}{NEXT[fate]}")


NEXT = {
    None: "nothing was transacted; try again",
    Fate.PENDING: "whether the card committed is not known; neither grant nor refuse it, ask for the same sale with the same card again",
    Fate.PROVEN: "the customer card has answered and may go; hand nothing out yet, ask for the same sale again",
    Fate.COMMITTED: "it is committed; ask for it again for its result",
    Fate.UNKNOWN: "the issuer settles it by receipts",
}


class JournalError(DialogError):
    """The journal can not be read or written: a damaged or newer file, one in use, a full disk."""
