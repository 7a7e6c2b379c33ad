"""A card that is swapped so quickly that PC/SC does not notice: never is what one card did taken for the other's. PC/SC is fakescard.py."""

import pytest

from cardkit import Customer
from fakescard import FakeScard
from joren.host import CardFault, CardLost, CardRefused, Slot, run
from joren.host.kiosk import read_receipts, view_customer
from joren.host.pcsc import PcscCard, PcscReader
from readerkit import Box, ReaderCounter
from support import Counter, card_number, free_of_pin

DESK, SHOP = "Desk 00 00", "Desk 01 00"
ENDED = (CardFault, CardLost, CardRefused)


class Readers:
    """Two readers, and a counter with or without a shop card."""

    def __init__(self, by_card: bool) -> None:
        self.scard = FakeScard(DESK, SHOP)
        self.counter = Counter(by_card)
        self.mine, self.other = free_of_pin(1), free_of_pin(2)
        self.scard[DESK].insert(self.mine.chip)
        self.scard[SHOP].insert(self.counter.shop.chip)
        names = {Slot.CUSTOMER: DESK, **({Slot.SHOP: SHOP} if by_card else {})}
        self.cards = {slot: PcscReader(name, self.scard).connect() for slot, name in names.items()}

    def swap_at(self, number: int) -> None:
        """The other card comes before the number-th APDU from now, and PC/SC sees nothing."""
        seen = [0]

        def before() -> None:
            seen[0] += 1
            if seen[0] == number:
                self.scard[DESK].swap(self.other.chip)

        self.scard.before_transmit = before

    def bring_back(self) -> None:
        self.scard.before_transmit = lambda: None
        self.scard[DESK].swap(self.mine.chip)
        for card in self.cards.values():
            card.ready()

    @property
    def links(self) -> dict[Slot, object]:
        return {slot: card.transmit for slot, card in self.cards.items()}


@pytest.mark.parametrize("by_card", [False, True])
@pytest.mark.parametrize("at", range(1, 7))
def test_a_purchase(by_card: bool, at: int) -> None:
    readers = Readers(by_card)
    counter, mine, other = readers.counter, readers.mine, readers.other
    events = readers.scard[DESK].events
    links = {slot: card.transmit for slot, card in readers.cards.items()}
    before = other.chip.snapshot()
    readers.swap_at(at)
    apdus_on_customer_card = {False: (1, 2), True: (2, 3, 5)}[by_card]
    swapped_in_between = apdus_on_customer_card[0] < at <= apdus_on_customer_card[-1]
    whose = other if at <= apdus_on_customer_card[0] else mine
    if swapped_in_between:
        with pytest.raises(ENDED):
            run(counter.till.purchase("S", 100, 1000), links)
        assert other.chip.snapshot() == before
    else:
        assert run(counter.till.purchase("S", 100, 1000), links).card_id == whose.card_id
    assert readers.scard[DESK].events == events
    if whose is mine:
        readers.bring_back()
        assert run(counter.till.purchase("S", 100, 1000), links).card_id == mine.card_id
    counter.audit(mine, other)


@pytest.mark.parametrize("at", range(2, 6))
def test_what_is_shown_to_the_holder(at: int) -> None:
    """Reading needs no MAC; the other card has nothing selected, and refuses."""
    readers = Readers(by_card=False)
    link = {Slot.CUSTOMER: readers.cards[Slot.CUSTOMER].transmit}
    for number in range(3):
        run(readers.counter.till.purchase(f"S-{number}", 100, 1000), link)
    sent = readers.scard.calls.count("Transmit")
    dialog = view_customer(1, 100) if at < 3 else read_receipts(1)
    readers.swap_at(min(at, 2 if at < 3 else at - 1))
    with pytest.raises(ENDED):
        run(dialog, link)
    assert readers.scard.calls.count("Transmit") > sent


def test_a_swap_between_two_dialogs_is_another_card() -> None:
    readers = Readers(by_card=True)
    links = {slot: card.transmit for slot, card in readers.cards.items()}
    assert run(readers.counter.till.purchase("S", 100, 1000), links).card_id == card_number(1)
    readers.scard[DESK].swap(readers.other.chip)
    assert run(readers.counter.till.purchase("T", 100, 1000), links).card_id == card_number(2)
    readers.counter.audit(readers.mine, readers.other)


class FakeBox(Box):
    """A slot of the fake as a reader into which cards are put."""

    def __init__(self, scard: FakeScard, name: str) -> None:
        self.slot = scard[name]

    def put(self, card: object) -> None:
        self.slot.notice()
        if self.slot.card is card and self.slot.seen:
            return
        self.slot.pull()
        self.slot.insert(card)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_card", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_cards_that_are_pulled_at_random_are_settled(by_card: bool, seed: int) -> None:
    """300 purchases each; test_pcsc_pcscd.py does the same in a reader of pcscd."""
    scard = FakeScard(DESK, SHOP)
    counter = Counter(by_card)
    scard[DESK].insert(free_of_pin(99).chip)
    scard[SHOP].insert(counter.shop.chip)
    names = {Slot.CUSTOMER: DESK, **({Slot.SHOP: SHOP} if by_card else {})}
    cards: dict[Slot, PcscCard] = {slot: PcscReader(name, scard).connect() for slot, name in names.items()}
    customers: list[Customer] = [free_of_pin(number) for number in range(15)]
    over = ReaderCounter(counter, {slot: FakeBox(scard, name) for slot, name in names.items()}, cards)
    pulled, left = over.many(customers, 300, 0.5, seed)
    assert pulled > 100
    assert left > 10
    counter.audit(*customers)
