"""The till: one counter, one acceptor, one journal. Its methods check their arguments at once and give dialogs, to be driven by `run` or `run_async`.

How it works. A transaction is authorized (by software keys, or by the shop card), noted in the journal, and only then carried to the customer card. From there on
nothing but a checked proof makes it committed, and nothing but a checked absence makes it not committed: a refusal, a wrong answer and no answer are all
settled by PROVE, at once where the card is still there, else at its next tap, before anything new is authorized (settle.py). One reference is transacted at
most once; asking for it again gives its result (REQ-STL-3).
"""

from collections.abc import Container
from contextlib import contextmanager
from collections.abc import Iterator
from dataclasses import replace

from joren.apdu import SW, VOID, Kind, LifeCycle, LinkLost, is_void
from joren.apdu.cards import CustomerInfo
from joren.apdu.transaction import Transaction

from . import wire
from .dialog import Ask, Dialog, Slot, ask, data_of
from .errors import CardFault, CardLost, CardRefused, HostError, JournalError
from .fate import Fate
from .holder import Acceptor, Authorization, KeyHolder, shop_card_id
from .journal import Journal, Row
from .offers import Offers
from .results import Detail, Granted, Receipt, Settled, Standing
from .sale import EARNING, Sale, check_hour, pin_block
from .settle import settle, take

__all__ = ["Till"]

NEEDS_PURSE = (Kind.PAY_AND_EARN, Kind.LOAD, Kind.PAY)
SELECTED = (SW.OK, SW.FILE_DEACTIVATED)


class Till:
    """Dialogs of a counter. One at a time: the next may begin when the last has ended or was closed.

    `stop_list` has the ids (8 bytes) of cards that are refused: customer cards, and shop cards by `shop_card_id`. `offers` are the services shown with a
    result, at most `offers_max`. All dialogs raise HostError, CardRefused, CardFault, CardLost, JournalError.
    """

    def __init__(
        self,
        holder: KeyHolder,
        journal: Journal,
        *,
        stop_list: Container[bytes] = frozenset(),
        offers: Offers | None = None,
        offers_max: int = 3,
    ) -> None:
        self.holder = holder
        self.journal = journal
        self.stop_list = stop_list
        self.offers = offers or Offers()
        self.offers_max = offers_max

    def open(self) -> Dialog[Acceptor]:
        """Opens the key holder: with a shop card, SELECT, and whatever was left open with it is ratified or adopted (REQ-STL-4, REQ-STL-5).

        Any other dialog does this first where it is needed; so does the next one after an answer of the shop card was lost.
        """
        return self._guarded(self._open(), None)

    def purchase(
        self, reference: str, hour: int, amount_minor: int, category: int = 0, factor_tenths: int = 10, *, pay: bool = False, pin: str | bytes | None = None
    ) -> Dialog[Granted]:
        """A purchase (amount 0: a visit); with `pay` the amount is taken from the purse in the same transaction."""
        kind = Kind.PAY_AND_EARN if pay else Kind.PURCHASE
        return self._sell(Sale(reference, kind, hour, amount_minor, category, factor_tenths), pin)

    def redeem(self, reference: str, hour: int, points: int, *, pin: str | bytes | None = None) -> Dialog[Granted]:
        """Takes points."""
        return self._sell(Sale(reference, Kind.REDEEM, hour, points), pin)

    def load(self, reference: str, hour: int, amount_minor: int) -> Dialog[Granted]:
        """Adds money to the purse."""
        return self._sell(Sale(reference, Kind.LOAD, hour, amount_minor), None)

    def pay(self, reference: str, hour: int, amount_minor: int, *, pin: str | bytes | None = None) -> Dialog[Granted]:
        """Takes money from the purse."""
        return self._sell(Sale(reference, Kind.PAY, hour, amount_minor), pin)

    def void(self, reference: str, hour: int, sale: str) -> Dialog[Granted]:
        """Takes a sale back, by its reference: the last transaction of its card, made by this till."""
        sold = self.journal.find(sale)
        if sold is None:
            raise HostError(f"sale {sale}: this till's journal has no such sale that happened; void it where it was made")
        if is_void(sold.kind):
            raise HostError(f"sale {sale} is a void itself; make the sale again")
        order = sold.order
        kind = Kind(sold.kind | VOID)
        return self._sell(Sale(reference, kind, hour, order.amount, order.category, order.factor_tenths, sale), None)

    def result(self, hour: int, *, detailed: bool = False, pin: str | bytes | None = None) -> Dialog[Standing]:
        """Rank and score at an hour (GET RESULT); `detailed` also the running values, points and purse, which need the PIN if the card has one."""
        check_hour(hour)
        return self._guarded(self._result(hour, detailed, pin_block(pin)), None)

    def settle(self) -> Dialog[Settled]:
        """Settles what is pending on the card that is tapped, and no more."""
        return self._guarded(self._settle(), None)

    def _sell(self, sale: Sale, pin: str | bytes | None) -> Dialog[Granted]:
        sale.check()
        return self._guarded(self._sold(sale, pin_block(pin)), sale.reference)

    def _guarded[T](self, dialog: Dialog[T], reference: str | None) -> Dialog[T]:
        try:
            return (yield from dialog)
        except LinkLost as lost:
            slot = Slot.CUSTOMER if self.holder.ready else Slot.SHOP
            row = None if reference is None else self.journal.find(reference)
            raise CardLost(slot.value, reference, row and row.fate) from lost
