"""What the void of a sale gives back to a shop card: what this very card granted, once."""

from cardkit import Customer, Shop
from joren.apdu import VOID, Ending, Kind
from test_shop_card import left, logged, sell, served


def test_another_terminal_has_nothing_to_give_back() -> None:
    """REQ-RAT-2: it ratifies the void of the shop's sale, and counts it; what it never granted it does not give back."""
    first, other, customer = Shop(), Shop(terminal=2), served()
    for kind, amount in ((Kind.PURCHASE, 10_000), (Kind.LOAD, 4_000)):
        sell(first, customer, kind, amount)
        sell(other, customer, kind | VOID, amount)
    assert left(other) == (1_000_000, 1_000_000)
    assert (other.totals().points_granted_voided, other.totals().money_loaded_voided_minor) == (150, 4_000)


def test_a_sale_that_was_voided_is_marked_and_one_that_is_forgotten_is_not_given_back() -> None:
    """REQ-RAT-2: VOIDED in the log; after 32 others nothing is known of it any more."""
    shop, customer, another = Shop(), served(), Customer(card_id=b"another!")
    sell(shop, customer, Kind.PURCHASE, 10_000)
    sell(shop, customer, Kind.VOID_PURCHASE, 10_000)
    assert [logged(shop, number)[1] for number in (1, 2)] == [Ending.COMMITTED, Ending.VOIDED]
    assert left(shop)[0] == 1_000_000
    sell(shop, customer, Kind.PURCHASE, 10_000)
    for _ in range(32):
        sell(shop, another, Kind.PURCHASE, 0)
    sell(shop, customer, Kind.VOID_PURCHASE, 10_000)
    assert left(shop)[0] == 1_000_000 - 150
