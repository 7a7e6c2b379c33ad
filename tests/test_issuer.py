"""The issuer's desk: keys in a file, cards issued and read back, life cycle, receipts."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cardkit import Customer, Shop, pin_block
from joren.apdu import AID_CUSTOMER, AID_SHOP, SW, Command, Ins, Key, KeyRef, LifeCycle, MacMismatch, Response, Transmit, aid
from joren.apdu.transaction import Transaction
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host import (
    DEFAULT_PRODUCT,
    CardFault,
    CardRefused,
    Dialog,
    HostError,
    Journal,
    Masters,
    Receipt,
    Slot,
    SoftwareKeys,
    Till,
    issue_customer,
    issue_shop,
    run,
    set_customer_status,
    set_shop_status,
)
from joren.host.kiosk import read_receipts, view_customer, view_shop
from joren.host.pin import change_pin
from joren.host.selecting import select_customer, select_shop
from joren.host.vault import CARD_MASTERS
from joren.host.vault_file import MemoryVault
from joren.simulator.chip import Chip
from support import scripted

CARD_ID = bytes(range(1, 9))
PROGRAMME = DEFAULT_PRODUCT.programme
MASTERS = Masters.create(lambda size: bytes(range(0x60, 0x60 + size)))


def blank(slot: Slot = Slot.CUSTOMER) -> Chip:
    """A chip with the applet on it, and no more."""
    chip = Chip(b"blank")
    if slot is Slot.CUSTOMER:
        chip.install(CustomerCard, aid(AID_CUSTOMER, PROGRAMME))
    else:
        chip.install(ShopCard, aid(AID_SHOP, PROGRAMME))
    chip.power_on()
    return chip


def issued(*, pin: str | None = None, puk: str | None = None) -> Chip:
    chip = blank()
    run(issue_customer(DEFAULT_PRODUCT, MASTERS, CARD_ID, pin=pin, puk=puk), {Slot.CUSTOMER: chip.process})
    return chip


def issued_shop(*, may_load: bool = True) -> Chip:
    chip = blank(Slot.SHOP)
    run(issue_shop(DEFAULT_PRODUCT, MASTERS, 7, 3, 1000, 2000, may_load=may_load), {Slot.SHOP: chip.process})
    return chip


def test_a_customer_card_is_issued_as_its_product_says() -> None:
    """REQ-PER-3, REQ-KEY-2: and its keys are those of its id, so that a till with the master key can serve it."""
    chip = issued(pin="4711", puk="12345678")
    view = run(view_customer(PROGRAMME, 0, pin="4711"), {Slot.CUSTOMER: chip.process})
    assert (view.info.life_cycle, view.info.card_id, view.info.has_pin) == (LifeCycle.ISSUED, CARD_ID, True)
    assert (view.rules, view.limits, view.pin_tries) == (DEFAULT_PRODUCT.rules, DEFAULT_PRODUCT.limits, 3)
    assert view.detail is not None
    versions = chip.process(Command(0, Ins.GET_DATA, 1, 4, ne=10)).data
    assert versions == bytes([1, 1, 2, 1, 3, 1, 4, 1, 5, 1])
    till = Till(SoftwareKeys(PROGRAMME, 1, 0, *(MASTERS.group_master(name, PROGRAMME) for name in ("till", "load"))), Journal(":memory:"))
    assert run(till.load("L", 0, 500), {Slot.CUSTOMER: chip.process}).purse_minor == 500
    assert run(till.purchase("P", 0, 1000), {Slot.CUSTOMER: chip.process}).points == 10


def test_a_shop_card_is_issued_as_asked() -> None:
    """REQ-SPE-1, REQ-KEY-4."""
    chip = issued_shop()
    info = run(select_shop(PROGRAMME), {Slot.SHOP: chip.process})
    assert (info.shop, info.terminal, info.points_left, info.money_left_minor) == (7, 3, 1000, 2000)
    view = run(view_shop(PROGRAMME), {Slot.SHOP: chip.process})
    assert view.totals is not None
    assert (view.pending, view.closed) == ((), ())


BAD_CUSTOMERS: list[tuple[str, Callable[[], Dialog[object]], str]] = [
    ("short id", lambda: issue_customer(DEFAULT_PRODUCT, MASTERS, bytes(7)), "card id: 8 bytes"),
    ("zero id", lambda: issue_customer(DEFAULT_PRODUCT, MASTERS, bytes(8)), "card id: 8 bytes"),
    ("PIN alone", lambda: issue_customer(DEFAULT_PRODUCT, MASTERS, CARD_ID, pin="1234"), "PIN and PUK"),
    ("PUK alone", lambda: issue_customer(DEFAULT_PRODUCT, MASTERS, CARD_ID, puk="12345678"), "PIN and PUK"),
    ("short PUK", lambda: issue_customer(DEFAULT_PRODUCT, MASTERS, CARD_ID, pin="1234", puk="1234567"), "PIN and PUK"),
    ("letters", lambda: issue_customer(DEFAULT_PRODUCT, MASTERS, CARD_ID, pin="12a4", puk="12345678"), "PIN: 4 to 8 digits"),
    ("shop 0", lambda: issue_shop(DEFAULT_PRODUCT, MASTERS, 0, 1, 1, 1), "shop: 1..4294967295 expected, 0 came"),
    ("terminal", lambda: issue_shop(DEFAULT_PRODUCT, MASTERS, 1, 256, 1, 1), "terminal: 0..255 expected, 256 came"),
    ("points", lambda: issue_shop(DEFAULT_PRODUCT, MASTERS, 1, 1, -1, 1), "points: 0..4294967295 expected, -1 came"),
    ("money", lambda: issue_shop(DEFAULT_PRODUCT, MASTERS, 1, 1, 1, 2**32), "money in minor units: 0..4294967295"),
]


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in BAD_CUSTOMERS], ids=[case[0] for case in BAD_CUSTOMERS])
def test_arguments_that_can_not_be_are_refused_before_anything_is_sent(make: Callable[[], Dialog[object]], message: str) -> None:
    with pytest.raises(HostError, match=message) as caught:
        make()
    assert "12a4" not in str(caught.value)


def test_a_card_is_issued_once() -> None:
    """REQ-PER-4."""
    for slot, chip, make in (
        (Slot.CUSTOMER, issued(), lambda: issue_customer(DEFAULT_PRODUCT, MASTERS, CARD_ID)),
        (Slot.SHOP, issued_shop(), lambda: issue_shop(DEFAULT_PRODUCT, MASTERS, 7, 3, 1, 1)),
    ):
        before = chip.snapshot()
        with pytest.raises(HostError, match="a blank one expected, it is ISSUED already; nothing was changed"):
            run(make(), {slot: chip.process})
        assert chip.snapshot() == before


def test_a_card_that_tells_something_else_than_was_stored_is_a_fault() -> None:
    chip = blank()
    other = replace(DEFAULT_PRODUCT.limits, period_hours=1)
    lies: dict[int, Transmit] = {Ins.GET_DATA: lambda _command: Response(DEFAULT_PRODUCT.rules.encode() + other.encode(), SW.OK)}
    with pytest.raises(CardFault, match="GET DATA wrongly: what was stored"):
        run(issue_customer(DEFAULT_PRODUCT, MASTERS, CARD_ID), {Slot.CUSTOMER: scripted(lies, chip.process)})


@pytest.mark.parametrize("state", [LifeCycle.BLOCKED, LifeCycle.TERMINATED])
def test_both_cards_change_their_state_for_the_issuer(state: LifeCycle) -> None:
    """REQ-ADM-1, REQ-SAD-1: blocked and let in again, or ended for good; views show what is still shown."""
    customer, shop = issued(), issued_shop()
    assert run(set_customer_status(PROGRAMME, MASTERS, state), {Slot.CUSTOMER: customer.process}).life_cycle == state
    assert run(set_shop_status(PROGRAMME, MASTERS, state), {Slot.SHOP: shop.process}).life_cycle == state
    view = run(view_customer(PROGRAMME, 0), {Slot.CUSTOMER: customer.process})
    assert (view.rank, view.detail, view.limits is None) == (None, None, state is LifeCycle.TERMINATED)
    assert run(view_shop(PROGRAMME), {Slot.SHOP: shop.process}).totals is not None
    if state is LifeCycle.BLOCKED:
        assert run(set_customer_status(PROGRAMME, MASTERS, LifeCycle.ISSUED), {Slot.CUSTOMER: customer.process}).rank == 0
        assert run(set_shop_status(PROGRAMME, MASTERS, LifeCycle.ISSUED), {Slot.SHOP: shop.process}).life_cycle == LifeCycle.ISSUED
    else:
        with pytest.raises(CardRefused, match="CONDITIONS_NOT_SATISFIED"):
            run(set_customer_status(PROGRAMME, MASTERS, LifeCycle.ISSUED), {Slot.CUSTOMER: customer.process})


def test_the_keys_of_another_issuer_change_nothing() -> None:
    other, chip = Masters.create(), issued()
    before = chip.snapshot()
    with pytest.raises(CardRefused, match="6988 MAC_INCORRECT"):
        run(set_customer_status(PROGRAMME, other, LifeCycle.BLOCKED), {Slot.CUSTOMER: chip.process})
    assert chip.snapshot() == before


def test_views_of_blank_cards_and_of_cards_with_a_pin() -> None:
    assert run(view_customer(PROGRAMME, 0), {Slot.CUSTOMER: blank().process}).rules is None
    assert run(view_shop(PROGRAMME), {Slot.SHOP: blank(Slot.SHOP).process}).totals is None
    chip = issued(pin="4711", puk="12345678")
    view = run(view_customer(PROGRAMME, 0), {Slot.CUSTOMER: chip.process})
    assert (view.rank, view.detail) == (0, None)
    reading = _bought_then_read(chip, None)
    with pytest.raises(CardRefused, match="SECURITY_STATUS_NOT_SATISFIED"):
        run(reading, {Slot.CUSTOMER: chip.process})
    assert len(run(_bought_then_read(chip, "4711"), {Slot.CUSTOMER: chip.process})) == 2


def _bought_then_read(chip: Chip, pin: str | None) -> Dialog[list[Receipt]]:
    info = run(select_customer(PROGRAMME), {Slot.CUSTOMER: chip.process})
    till = Till(SoftwareKeys(PROGRAMME, 1, info.counter, MASTERS.group_master("till", PROGRAMME)), Journal(":memory:"))
    run(till.purchase("P", 0, 1000), {Slot.CUSTOMER: chip.process})
    return read_receipts(PROGRAMME, pin=pin)


def test_a_shop_card_shows_pending_and_closed_entries() -> None:
    shop, customer = Shop(), Customer()
    shop.purchase(customer)
    customer.select()
    shop.compute(customer, customer.order(500))
    view = run(view_shop(1), {Slot.SHOP: shop.chip.process})
    assert [(slot, entry.amount) for slot, entry in view.pending] == [(1, 500)]
    assert [entry.amount for entry, _ in view.closed] == [1000]


def test_any_other_refusal_ends_a_view() -> None:
    shop = Shop()
    shop.purchase(Customer())
    refuse: dict[int, Transmit] = {Ins.READ_RECORD: lambda _command: Response(b"", SW.CONDITIONS_NOT_SATISFIED)}
    with pytest.raises(CardRefused, match="READ_RECORD: 6985"):
        run(view_shop(1), {Slot.SHOP: scripted(refuse, shop.chip.process)})


def test_a_receipt_is_verified_and_no_bit_of_it_can_be_another() -> None:
    """REQ-MAC-4."""
    chip = issued()
    (receipt,) = run(_bought_then_read(chip, None), {Slot.CUSTOMER: chip.process})
    assert MASTERS.verify_receipt(receipt) == Transaction.decode(receipt.record)
    raw = receipt.encode()
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MacMismatch):
            MASTERS.verify_receipt(Receipt.decode(bytes(changed)))


def test_each_key_has_a_use_of_its_own() -> None:
    """REQ-KEY-3, REQ-KEY-4."""
    keys = {MASTERS.card_key(ref, PROGRAMME, CARD_ID).reveal() for ref in KeyRef}
    keys |= {MASTERS.shop_admin_key(PROGRAMME, 7, terminal).reveal() for terminal in (1, 2)}
    assert len(keys) == 7
    assert pin_block(b"1234") not in keys


def test_a_pin_that_is_none_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(HostError, match="PIN: 4 to 8 digits expected, none came"):
        change_pin(PROGRAMME, "1234", None)  # type: ignore[arg-type]


def answers(change: Callable[[bytes], bytes]) -> Callable[[Chip], Transmit]:
    """A card whose answers are changed on the way."""

    def of(chip: Chip) -> Transmit:
        def transmit(command: Command) -> Response:
            told = chip.process(command)
            return Response(change(told.data) if told.data else b"", told.sw)

        return transmit

    return of


ODD: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("version", lambda data: b"\x09" + data[1:] if len(data) in (25, 26) else data, "version 1, programme 1 expected"),
    ("programme", lambda data: data[:5] + b"\x07" + data[6:] if len(data) in (25, 26) else data, "version 1, programme 1 expected"),
    ("life cycle", lambda data: data[:1] + b"\x37" + data[2:] if len(data) in (25, 26) else data, "a life cycle state expected, 37 came"),
]
ODD_CUSTOMER = [
    ("rules", lambda data: b"\xff" * 98 if len(data) == 98 else data, "values the specification has"),
    ("rank", lambda data: b"\xc8" + data[1:] if len(data) == 31 else data, "a rank up to 4 expected, 200 came"),
]


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in (*ODD, *ODD_CUSTOMER)], ids=[row[0] for row in (*ODD, *ODD_CUSTOMER)])
def test_a_customer_card_that_tells_what_can_not_be(change: Callable[[bytes], bytes], words: str) -> None:
    link = answers(change)(issued())
    with pytest.raises(CardFault, match=words):
        run(view_customer(PROGRAMME, 0), {Slot.CUSTOMER: link})


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_a_shop_card_that_tells_what_can_not_be(change: Callable[[bytes], bytes], words: str) -> None:
    with pytest.raises(CardFault, match=words):
        run(view_shop(PROGRAMME), {Slot.SHOP: answers(change)(issued_shop())})


def test_a_shop_card_whose_log_can_not_be() -> None:
    shop = Shop()
    shop.purchase(Customer())
    link = answers(lambda data: data[:-1] + b"\xd4" if len(data) == 33 else data)(shop.chip)
    with pytest.raises(CardFault, match="values the specification has"):
        run(view_shop(1), {Slot.SHOP: link})


def test_a_card_of_an_older_key_version_is_still_the_issuers() -> None:
    """REQ-ADM-1, REQ-KEY-6: after the masters were renewed, cards are blocked under the version that they tell."""
    masters = Masters.create(lambda size: bytes(range(0x31, 0x31 + size)))
    vault = masters.vault
    assert isinstance(vault, MemoryVault)
    customer, shop = blank(), blank(Slot.SHOP)
    run(issue_customer(DEFAULT_PRODUCT, masters, CARD_ID), {Slot.CUSTOMER: customer.process})
    run(issue_shop(DEFAULT_PRODUCT, masters, 2, 1, 10, 10), {Slot.SHOP: shop.process})
    for number, name in enumerate((*CARD_MASTERS, "shop_admin")):
        vault.put(name, 2, Key(bytes(range(0x70 + number, 0x80 + number)), name))
    info = run(set_customer_status(PROGRAMME, masters, LifeCycle.BLOCKED), {Slot.CUSTOMER: customer.process})
    assert info.life_cycle == LifeCycle.BLOCKED
    told = run(set_shop_status(PROGRAMME, masters, LifeCycle.BLOCKED), {Slot.SHOP: shop.process})
    assert told.life_cycle == LifeCycle.BLOCKED
