"""The till: one counter, one acceptor, one journal. Its methods check their arguments at once and give dialogs, to be driven by `run` or
`run_async`.

How it works. A transaction is authorized (by software keys, or by the shop card), noted in the journal, and only then carried to the
customer card. From there on nothing but a checked proof makes it committed, and nothing but a checked absence makes it not committed: a
refusal, a wrong answer and no answer are all settled by PROVE, at once where the card is still there, else at its next tap, before
anything new is authorized (settle.py). One reference is transacted at most once; asking for it again gives its result (REQ-STL-3).
"""

from collections.abc import Container
from threading import Lock
from typing import TypeVar

from joren.apdu import SW, VOID, Kind, LifeCycle, LinkLost, is_void
from joren.apdu.cards import CustomerInfo

from . import wire
from .dialog import Dialog, Slot, ask
from .errors import CardFault, CardLost, CardRefused, HostError
from .fate import Fate
from .holder import Acceptor, Authorization, KeyHolder, shop_card_id
from .journal import Journal, Row
from .offers import Offers
from .results import Granted, Receipt, Settled, Standing, detail_of, public_of
from .sale import EARNING, Sale, check_hour, check_reference, pin_block
from .selecting import select_customer
from .settle import settle, take

__all__ = ["Till"]

T = TypeVar("T")
NEEDS_PURSE = (Kind.PAY_AND_EARN, Kind.LOAD, Kind.PAY)


class Till:
    """Dialogs of a counter. One at a time: the next may begin when the last has ended or was closed, else it raises HostError.

    `stop_list` has the ids (8 bytes) of cards that are refused: customer cards, and shop cards by `shop_card_id`. `offers` are the services
    that come with a result, at most `offers_max`. All dialogs raise HostError, CardRefused, CardFault, CardLost, JournalError.
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
        self._in_hand = Lock()

    def open(self) -> Dialog[Acceptor]:
        """Opens the key holder: with a shop card, SELECT, and whatever was left open with it is ratified or adopted (REQ-STL-4, REQ-STL-5).

        Any other dialog does this first where it is needed; so does the next one after an answer of the shop card was lost.
        """
        return self._guarded(self._open(), None)

    def purchase(
        self,
        reference: str,
        hour: int,
        amount_minor: int,
        category: int = 0,
        factor_tenths: int = 10,
        *,
        pay: bool = False,
        pin: str | bytes | None = None,
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
        check_reference(sale)
        sold = self.journal.find(sale)
        if sold is None:
            raise HostError(f"sale {sale}: this till's journal has no such sale that happened; void it where it was made")
        if is_void(sold.kind):
            raise HostError(f"sale {sale} is a void itself; make the sale again")
        order = sold.order
        kind = Kind(sold.kind | VOID)
        return self._sell(Sale(reference, kind, hour, order.amount, order.category, order.factor_tenths, sale), None)

    def result(self, hour: int, *, detailed: bool = False, pin: str | bytes | None = None) -> Dialog[Standing]:
        """Rank and score at an hour (GET RESULT); `detailed`: values, points and purse too, which need the PIN if the card has one."""
        check_hour(hour)
        return self._guarded(self._result(hour, detailed, pin_block(pin)), None)

    def outcome(self, reference: str) -> Granted | Row | None:
        """What the journal knows of a sale: its result once it is committed, else its row, None where it did not happen. Asks no card.

        May be called while a dialog is under way, from any thread.
        """
        check_reference(reference)
        row = self.journal.find(reference)
        return self._granted(row, (), recovered=True) if row is not None and row.fate is Fate.COMMITTED else row

    def settle(self) -> Dialog[Settled]:
        """Settles what is pending on the card that is tapped, and no more."""
        return self._guarded(self._settle(), None)

    def _sell(self, sale: Sale, pin: str | bytes | None) -> Dialog[Granted]:
        sale.check()
        return self._guarded(self._sold(sale, pin_block(pin)), sale.reference)

    def _guarded(self, dialog: Dialog[T], reference: str | None) -> Dialog[T]:
        if not self._in_hand.acquire(blocking=False):
            raise HostError("till: another dialog is in hand; let it end, or close it, or give this counter a till of its own")
        try:
            return (yield from dialog)
        except LinkLost as lost:
            slot = Slot.CUSTOMER if self.holder.ready else Slot.SHOP
            row = None if reference is None else self.journal.find(reference)
            raise CardLost(slot.value, reference, None if row is None else row.fate) from lost
        except (HostError, CardRefused, CardFault):
            raise
        except BaseException:
            self.holder.close()
            raise
        finally:
            self._in_hand.release()

    def _open(self) -> Dialog[Acceptor]:
        acceptor = yield from self.holder.open(self.journal)
        if shop_card_id(acceptor.shop, acceptor.terminal) in self.stop_list:
            self.holder.close()
            raise HostError(f"{acceptor} is on the stop list: nothing may be sold with it")
        return acceptor

    def _sold(self, sale: Sale, pin: bytes | None) -> Dialog[Granted]:
        known = self._known(sale)
        if known is not None and known.fate is Fate.COMMITTED:
            return self._granted(known, (), recovered=True)
        if not self.holder.ready:
            yield from self._open()
            known = self._known(sale)
            if known is not None and known.fate is Fate.COMMITTED:
                return self._granted(known, (), recovered=True)
        info, settled = yield from self._tap(known)
        known = self._known(sale) if settled else None
        if known is not None:
            return self._granted(known, settled, recovered=True)
        self._check_fit(sale, info)
        if pin is not None:
            yield from ask(Slot.CUSTOMER, wire.verify(pin), 0)
        row, authorization = yield from self._authorize(sale, info)
        row, recovered = yield from self._carry_out(info, row, authorization)
        return self._granted(row, settled, recovered=recovered)

    def _known(self, sale: Sale) -> Row | None:
        """The row of a sale with this reference. Raises HostError where it is another sale, or the issuer's to settle."""
        row = self.journal.find(sale.reference)
        if row is None:
            return None
        order = row.order
        known = (row.kind, order.amount, order.category, order.factor_tenths, row.voids)
        if known != (sale.kind, sale.amount, sale.category, sale.factor_tenths, sale.voids):
            other = f"{row.kind.name} of {order.amount}"
            raise HostError(f"reference {sale.reference} is that of another sale, {other}: give each sale a reference of its own")
        if row.fate is Fate.UNKNOWN:
            raise HostError(
                f"sale {sale.reference} on card {_name(row.card_id)} can not be settled here: the issuer settles it by receipts"
            )
        return row

    def _tap(self, pending: Row | None) -> Dialog[tuple[CustomerInfo, tuple[Row, ...]]]:
        """SELECT, and what is pending on the card is settled before anything else (REQ-STL-2)."""
        info = yield from self._select()
        if pending is not None and pending.card_id != info.card_id:
            cards = f"card {_name(pending.card_id)}, card {_name(info.card_id)} came"
            raise HostError(f"sale {pending.reference} is pending on {cards}: tap the first again")
        least = self.journal.counter_of(info.card_id)
        if info.counter < least:
            came = f"{info.counter}: a copy of the card, or one that was set back"
            raise CardFault(Slot.CUSTOMER.value, "SELECT", f"a counter of at least {least}", came)
        settled: list[Row] = []
        for row in self.journal.pending_of(info.card_id):
            info, row = yield from settle(self.holder, self.journal, info, row)  # noqa: PLW2901
            settled.append(row)
        if info.life_cycle == LifeCycle.BLOCKED:
            raise CardRefused(Slot.CUSTOMER.value, "SELECT", SW.FILE_DEACTIVATED)
        return info, tuple(settled)

    def _select(self) -> Dialog[CustomerInfo]:
        info = yield from select_customer(self.holder.programme)
        if info.life_cycle == LifeCycle.TERMINATED:
            raise CardRefused(Slot.CUSTOMER.value, "SELECT", SW.FILE_TERMINATED)
        if info.life_cycle == LifeCycle.SELECTABLE:
            raise HostError("customer card: SELECTABLE, not personalized yet; serve an issued one")
        if info.card_id in self.stop_list:
            raise HostError(f"customer card {_name(info.card_id)} is on the stop list: do not serve it, keep it if you can")
        return info

    def _check_fit(self, sale: Sale, info: CustomerInfo) -> None:
        self.holder.check(sale, info)
        card = _name(info.card_id)
        if sale.kind in NEEDS_PURSE and not info.has_purse:
            raise HostError(f"customer card {card} has no purse: {sale.kind.name} needs one")
        if sale.voids is None:
            return
        sold = self.journal.find(sale.voids)
        if sold is None or sold.fate is not Fate.COMMITTED:
            raise HostError(f"sale {sale.voids} did not happen, as far as this till knows: nothing to void")
        if self.journal.void_of(sale.voids) is not None:
            raise HostError(f"sale {sale.voids} was voided before, or is being voided under another reference")
        if sold.card_id != info.card_id:
            raise HostError(f"sale {sale.voids} was made with card {_name(sold.card_id)}, card {card} came: tap that card")
        if sold.counter + 1 != info.counter:
            raise HostError(f"sale {sale.voids} is not the last transaction of card {card}: give it back as a new transaction")

    def _authorize(self, sale: Sale, info: CustomerInfo) -> Dialog[tuple[Row, Authorization]]:
        """Authorized, and noted durably before the command that may commit it leaves (REQ-FLW-3)."""
        authorization = yield from self.holder.authorize(sale, info, self.journal)
        row = Row(
            sale.reference,
            Fate.PENDING,
            sale.kind,
            authorization.key_ref,
            info.card_id,
            info.counter,
            authorization.order,
            authorization.slot,
            sale.voids,
        )
        self.journal.add(row)
        return row, authorization

    def _carry_out(self, info: CustomerInfo, row: Row, authorization: Authorization) -> Dialog[tuple[Row, bool]]:
        """The command that may commit, and what became of it; and whether PROVE had to tell."""
        try:
            data = yield from ask(Slot.CUSTOMER, authorization.command, wire.Answer.FORMAT.size)
            return (yield from take(self.holder, self.journal, row, data)), False
        except (CardRefused, CardFault) as error:
            if error.card != Slot.CUSTOMER.value:
                raise
            _, row = yield from settle(self.holder, self.journal, info, row)
            if row.fate is not Fate.COMMITTED:
                raise
            return row, True

    def _granted(self, row: Row, settled: tuple[Row, ...], *, recovered: bool) -> Granted:
        answer, outcome = row.answer(), row.outcome
        assert row.reference is not None
        assert outcome is not None
        void = self.journal.void_of(row.reference) if recovered else None
        category = row.order.category if row.kind in EARNING else None
        return Granted(
            reference=row.reference,
            kind=row.kind,
            card_id=row.card_id,
            rank=outcome.rank,
            score=outcome.score,
            points=outcome.points,
            points_balance=outcome.points_balance,
            purse_minor=outcome.purse_minor,
            receipt=Receipt(self.holder.programme, row.card_id, row.head + answer.outcome, answer.receipt),
            recovered=recovered,
            voided=void is not None and void.fate is Fate.COMMITTED,
            settled=settled,
            offers=self.offers.choose(outcome.rank, outcome.score, category, self.offers_max),
        )

    def _result(self, hour: int, detailed: bool, pin: bytes | None) -> Dialog[Standing]:
        info, settled = yield from self._ready_tap()
        if pin is not None:
            yield from ask(Slot.CUSTOMER, wire.verify(pin), 0)
        length = wire.DETAIL_SIZE if detailed else wire.RANK_SIZE
        data = yield from ask(Slot.CUSTOMER, wire.get_result(hour, detailed=detailed), length)
        rank, score = public_of(data)
        offers = self.offers.choose(rank, score, None, self.offers_max)
        return Standing(info.card_id, rank, score, detail_of(data) if detailed else None, settled, offers)

    def _settle(self) -> Dialog[Settled]:
        info, rows = yield from self._ready_tap()
        return Settled(info.card_id, rows)

    def _ready_tap(self) -> Dialog[tuple[CustomerInfo, tuple[Row, ...]]]:
        if not self.holder.ready:
            yield from self._open()
        return (yield from self._tap(None))


def _name(card_id: bytes) -> str:
    return card_id.hex().upper()
