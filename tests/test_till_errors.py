"""What the till refuses, what the cards refuse, and what broken cards answer: no byte changes, the message helps, the till goes on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from cardkit import LIMITS, MASTERS, PIN, PROGRAMME, Customer, Shop
from joren.apdu import AID_CUSTOMER, CLA_JOREN, SW, Ins, Key, KeyRef, LifeCycle, aid, describe, messages
from joren.apdu.cards import Limits
from joren.apdu.state import DEFAULT_RULES
from joren.applet.customer import CustomerCard
from joren.host import CardLost, CardRefused, Dialog, DialogError, Fate, Granted, HostError, Slot, SoftwareKeys, Till, run, shop_card_id
from joren.simulator.chip import Chip
from support import MONEY_LEFT, POINTS_LEFT, SHOP, TERMINAL, Counter, Fault, free_of_pin

Sale = Callable[[Till], Dialog[Granted]]
AnyDialog = Callable[[Till], Dialog[object]]
E = TypeVar("E", bound=DialogError)
MODES = pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])


def buys(reference: str, hour: int = 200, amount: int = 1_000, category: int = 0, factor: int = 10) -> Sale:
    """A purchase."""
    return lambda till: till.purchase(reference, hour, amount, category, factor)


def voids(sale: str, reference: str = "V") -> Sale:
    return lambda till: till.void(reference, 300, sale)


def loads(reference: str, amount: int = 100) -> Sale:
    return lambda till: till.load(reference, 200, amount)


def served(by_card: bool, customer: Customer) -> Counter:
    """A counter that has loaded 5,000 on a card, and sold for 1,000 ("bought": 10 points)."""
    counter = Counter(by_card)
    counter.tap(customer, loads("loaded", 5_000))
    counter.tap(customer, buys("bought"))
    return counter


def refused(counter: Counter, customer: Customer, dialog: AnyDialog, kind: type[E]) -> E:
    """The error a dialog ends with. No byte of either card has changed, and no row more is open."""
    before = customer.chip.snapshot(), counter.shop.chip.snapshot(), counter.journal.unsettled()
    with pytest.raises(kind) as caught:
        counter.tap(customer, dialog)
    assert (customer.chip.snapshot(), counter.shop.chip.snapshot(), counter.journal.unsettled()) == before
    return caught.value


def check_usable(counter: Counter) -> None:
    """The till serves the next customer."""
    assert counter.tap(free_of_pin(99), buys(f"next {len(list(counter.journal.rows()))}")).recovered is False


# Arguments that can not be: what is asked for, and what the message says.
ARGUMENTS: dict[str, tuple[Callable[[Till], object], str]] = {
    "hour below": (lambda till: till.purchase("S", -1, 100), "hour: a whole number in 0..65535 expected, -1 came"),
    "hour above": (lambda till: till.redeem("S", 65_536, 100), "hour: a whole number in 0..65535 expected, 65536 came"),
    "hour of load": (lambda till: till.load("S", -1, 100), "hour: .* -1 came"),
    "hour of pay": (lambda till: till.pay("S", 65_536, 100), "hour: .* 65536 came"),
    "hour of void": (lambda till: till.void("S", -1, "bought"), "hour: .* -1 came"),
    "hour of result": (lambda till: till.result(65_536), "hour: .* 65536 came"),
    "hour in text": (lambda till: till.purchase("S", "9", 100), "hour: .* '9' came"),  # type: ignore[arg-type]
    "hour and a half": (lambda till: till.result(1.5), r"hour: .* 1\.5 came"),  # type: ignore[arg-type]
    "hour a truth": (lambda till: till.result(True), "hour: .* True came"),
    "amount below": (lambda till: till.purchase("S", 1, -1), "amount: a whole number in 0..4294967295 expected, -1 came"),
    "amount above": (lambda till: till.purchase("S", 1, 1 << 32), "amount: .* 4294967296 came"),
    "pay and earn nothing": (lambda till: till.purchase("S", 1, 0, pay=True), "amount: a whole number in 1..4294967295 expected, 0 came"),
    "redeem nothing": (lambda till: till.redeem("S", 1, 0), "amount: .* 0 came"),
    "redeem too much": (lambda till: till.redeem("S", 1, 1 << 32), "amount: .* 4294967296 came"),
    "load nothing": (lambda till: till.load("S", 1, 0), "amount: .* 0 came"),
    "pay nothing": (lambda till: till.pay("S", 1, 0), "amount: .* 0 came"),
    "category below": (lambda till: till.purchase("S", 1, 1, -1), "category: a whole number in 0..15 expected, -1 came"),
    "category above": (lambda till: till.purchase("S", 1, 1, 16), "category: .* 16 came"),
    "factor zero": (lambda till: till.purchase("S", 1, 1, 0, 0), "factor_tenths: a whole number in 1..255 expected, 0 came"),
    "factor above": (lambda till: till.purchase("S", 1, 1, 0, 256), "factor_tenths: .* 256 came"),
    "factor when paying": (lambda till: till.purchase("S", 1, 1, 0, 256, pay=True), "factor_tenths: .* 256 came"),
    "reference empty": (lambda till: till.purchase("", 1, 1), "reference: 1 to 64 printable characters expected, '' came"),
    "reference long": (lambda till: till.load("R" * 65, 1, 1), "reference: 1 to 64 printable characters expected, 'RRR"),
    "reference a number": (lambda till: till.pay(7, 1, 1), "reference: .* 7 came"),  # type: ignore[arg-type]
    "reference of void": (lambda till: till.void("", 1, "bought"), "reference: .* '' came"),
    "void of nothing": (lambda till: till.void("V", 1, "none"), "sale none: this till's journal has no such sale .*; void it where"),
    "void of a void": (lambda till: till.void("W", 1, "voided"), "sale voided is a void itself; make the sale again"),
    "pin short": (lambda till: till.redeem("S", 1, 1, pin="739"), "PIN: 4 to 8 digits expected, something else came"),
    "pin long": (lambda till: till.pay("S", 1, 1, pin="739739739"), "PIN: "),
    "pin with a letter": (lambda till: till.purchase("S", 1, 1, pay=True, pin="739a"), "PIN: "),
    "pin empty": (lambda till: till.redeem("S", 1, 1, pin=b""), "PIN: "),
    "pin padded": (lambda till: till.pay("S", 1, 1, pin=b"7397\xff\xff\xff\xff"), "PIN: "),
    "pin of wide digits": (lambda till: till.result(1, detailed=True, pin="\uff17\uff13"), "PIN: "),
}


@pytest.fixture(scope="module")
def with_void() -> Counter:
    """A counter with a sale "bought" and a void "voided"."""
    counter, customer = Counter(by_card=False), free_of_pin()
    counter.tap(customer, buys("bought"))
    counter.tap(customer, buys("to void"))
    counter.tap(customer, voids("to void", "voided"))
    return counter


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_that_can_not_be_are_refused_at_once(name: str, with_void: Counter) -> None:
    """When the dialog is asked for, before it is driven: nothing can have been sent. No message shows the PIN."""
    make, words = ARGUMENTS[name]
    with pytest.raises(HostError, match=words) as caught:
        make(with_void.till)
    assert "739" not in str(caught.value)
    assert len(list(with_void.journal.rows())) == 3


@pytest.mark.parametrize(("name", "value"), [("programme", -1), ("programme", 1 << 16), ("shop", 1 << 32), ("terminal", 256)])
def test_an_acceptor_that_can_not_be(name: str, value: int) -> None:
    given: dict[str, Any] = {"programme": 1, "shop": 7, "terminal": 1, name: value}
    with pytest.raises(HostError, match=rf"{name}: 0\.\.\d+ expected, {value} came"):
        SoftwareKeys(**given, till_master=MASTERS["till"])


PIN_ALWAYS = replace(LIMITS, redeem_pin_from=0, pay_pin_from_minor=0)
NEED_PIN: dict[str, Callable[[str | None], Sale]] = {
    "redeem": lambda pin: lambda till: till.redeem("S", 200, 1, pin=pin),
    "pay": lambda pin: lambda till: till.pay("S", 200, 1, pin=pin),
    "pay and earn": lambda pin: lambda till: till.purchase("S", 200, 1, pay=True, pin=pin),
}


@dataclass(frozen=True)
class Case:
    """A sale that a card refuses: by which status word, with which advice."""

    sale: Sale
    sw: int
    advice: str
    limits: Limits = LIMITS
    pin: bytes | None = None


# Refused by the card that computes; a shop card leaves no entry then.
NOT_COMPUTED = {
    "category": Case(buys("S", category=8), SW.CATEGORY_UNKNOWN, "use a category of the programme"),
    "factor": Case(buys("S", factor=31), SW.FACTOR_ABOVE_LIMIT, "use a factor within the limit"),
    "time": Case(buys("S", hour=200 + 17_521), SW.TIME_JUMP, "set the till's clock"),
}
# Refused by the customer card alone, after a shop card has authorized.
NOT_TAKEN = {
    "points": Case(lambda till: till.redeem("S", 200, 11), SW.BALANCE_TOO_SMALL, "offer a smaller amount"),
    "purse": Case(lambda till: till.pay("S", 200, 5_001), SW.BALANCE_TOO_SMALL, "offer a smaller amount"),
    "purse, earning": Case(lambda till: till.purchase("S", 200, 5_001, pay=True), SW.BALANCE_TOO_SMALL, "offer a smaller amount"),
    "purse full": Case(loads("S", 95_001), SW.BALANCE_TOO_LARGE, "load less"),
    "time of redeem": Case(lambda till: till.redeem("S", 200 + 17_521, 1), SW.TIME_JUMP, "set the till's clock"),
    **{
        f"{name} with{'out' * (not pin)} a PIN on the card": Case(
            sale(None), SW.SECURITY_STATUS_NOT_SATISFIED, "VERIFY the PIN, then send the command again", PIN_ALWAYS, pin
        )
        for name, sale in NEED_PIN.items()
        for pin in (PIN, None)
    },
}


def check_message(error: CardRefused, card: str, command: str, sw: int, advice: str) -> None:
    """Which card refused, which command; the status word by number, name and meaning; what to do next."""
    status = describe(sw)
    assert (error.card, error.command, error.sw) == (card, command, sw)
    assert str(error).startswith(f"{card} refused {command}: {sw:04X} {status.name}: {status.meaning}; ")
    assert advice in str(error)


@pytest.mark.parametrize("name", [*NOT_COMPUTED, *NOT_TAKEN])
def test_what_a_customer_card_refuses_a_till_with_software_keys(name: str) -> None:
    """REQ-STL-2: PROVE says that it did not happen, so the row is closed and the reference free again."""
    case = (NOT_COMPUTED | NOT_TAKEN)[name]
    customer = Customer(limits=case.limits, pin=case.pin)
    counter = served(False, customer)
    error = refused(counter, customer, case.sale, CardRefused)
    check_message(error, "customer card", "TRANSACT", case.sw, case.advice)
    assert counter.names() == ["CUSTOMER SELECT", "CUSTOMER TRANSACT", "CUSTOMER PROVE"]
    assert counter.journal.find("S") is None
    assert counter.tap(customer, buys("S")).recovered is False


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_what_a_customer_card_refuses_a_till_with_a_shop_card(name: str) -> None:
    """REQ-RAT-3: the entry is closed at once, and what it reserved is given back."""
    case = NOT_TAKEN[name]
    customer = Customer(limits=case.limits, pin=case.pin)
    counter = served(True, customer)
    before, totals, shop = customer.chip.snapshot(), counter.shop.totals(), counter.shop.select()
    with pytest.raises(CardRefused) as caught:
        counter.tap(customer, case.sale)
    check_message(caught.value, "customer card", "COMMIT" if "earn" in name else "TRANSACT", case.sw, case.advice)
    assert counter.names()[-3:] == ["SHOP GET_CHALLENGE", "CUSTOMER PROVE", "SHOP RATIFY"]
    assert (customer.chip.snapshot(), counter.shop.totals(), counter.journal.unsettled()) == (before, totals, [])
    assert counter.shop.select() == replace(shop, sequence=shop.sequence + 1)
    assert counter.tap(customer, buys("S")).recovered is False


@dataclass(frozen=True)
class Shops(Case):
    """A sale that a shop card refuses, by which command, and a sale that it grants."""

    command: str = "COMPUTE"
    shop: Callable[[], Shop] = Shop
    granted: Sale = lambda till: till.purchase("granted", 200, 1_000)


# Refused by the shop card, which changes no byte.
NOT_AUTHORIZED: dict[str, Shops] = {
    **{name: Shops(case.sale, case.sw, case.advice) for name, case in NOT_COMPUTED.items()},
    "points ceiling": Shops(
        buys("S"),
        SW.CEILING_REACHED,
        "a card with a new ceiling",
        shop=lambda: Shop(points_left=9),
        granted=buys("S", amount=999),
    ),
    "money ceiling": Shops(
        loads("S"),
        SW.CEILING_REACHED,
        "a card with a new ceiling",
        command="AUTHORIZE",
        shop=lambda: Shop(money_left=99),
        granted=loads("S", 99),
    ),
    "no LOAD master": Shops(
        loads("S"),
        SW.REFERENCED_DATA_NOT_FOUND,
        "the card was personalized without it",
        command="AUTHORIZE",
        shop=lambda: Shop(leave_out=frozenset({0x8014})),
    ),
    "other rules": Shops(
        buys("S"),
        SW.RULES_MISMATCH,
        "have the issuer update the older one",
        shop=lambda: Shop(rules=replace(DEFAULT_RULES, rules_version=2)),
        granted=loads("granted"),
    ),
    "other group": Shops(
        buys("S"),
        SW.MAC_INCORRECT,
        "wrong key or group",
        shop=lambda: Shop(masters=MASTERS | {"shop": Key(bytes(16))}),
        granted=loads("granted"),
    ),
}


@pytest.mark.parametrize("name", NOT_AUTHORIZED)
def test_what_a_shop_card_refuses(name: str) -> None:
    """Before it has an entry: no row is written."""
    case, customer = NOT_AUTHORIZED[name], free_of_pin()
    customer.buy(0, hour=200, shop=9)
    counter = Counter(by_card=True, shop=case.shop())
    check_message(refused(counter, customer, case.sale, CardRefused), "shop card", case.command, case.sw, case.advice)
    assert list(counter.journal.rows()) == []
    assert counter.tap(customer, case.granted).recovered is False


@MODES
def test_a_wrong_pin_is_counted_by_the_card_and_sells_nothing(by_card: bool) -> None:
    """REQ-PIN-1: the tries go down (the one change), to none; then even the right PIN is refused."""
    customer = Customer(limits=PIN_ALWAYS, pin=PIN)
    counter = served(by_card, customer)
    shop, rows = counter.shop.chip.snapshot(), list(counter.journal.rows())
    for tries in (2, 1, 0):
        with pytest.raises(CardRefused) as caught:
            counter.tap(customer, NEED_PIN["pay"]("0739"))
        check_message(caught.value, "customer card", "VERIFY", 0x63C0 | tries, "ask the holder again")
        assert f"{tries} tries left" in str(caught.value)
        assert "0739" not in str(caught.value)
    error = refused(counter, customer, NEED_PIN["pay"](PIN.decode()), CardRefused)
    check_message(error, "customer card", "VERIFY", SW.AUTHENTICATION_METHOD_BLOCKED, "RESET RETRY COUNTER with the PUK")
    assert (counter.shop.chip.snapshot(), list(counter.journal.rows())) == (shop, rows)
    assert counter.tap(customer, buys("S")).recovered is False


@MODES
def test_a_pin_for_a_card_that_has_none(by_card: bool) -> None:
    customer = free_of_pin()
    counter = served(by_card, customer)
    error = refused(counter, customer, NEED_PIN["pay"]("1234"), CardRefused)
    check_message(error, "customer card", "VERIFY", SW.REFERENCED_DATA_NOT_FOUND, "the card was personalized without it")


def test_the_detail_without_the_pin() -> None:
    customer = Customer(pin=PIN)
    error = refused(served(False, customer), customer, lambda till: till.result(200, detailed=True), CardRefused)
    check_message(error, "customer card", "GET_RESULT", SW.SECURITY_STATUS_NOT_SATISFIED, "VERIFY the PIN")


def in_state(customer: Customer, state: LifeCycle) -> Customer:
    info = customer.select()
    mac = customer.keys[KeyRef.ADMIN].mac8(messages.admin(customer.head, info.counter, info.nonce, state))
    assert customer.send(CLA_JOREN, Ins.SET_STATUS, 0x40, state, mac).ok
    return customer


def shop_in_state(state: LifeCycle) -> Shop:
    shop = Shop(SHOP, TERMINAL, POINTS_LEFT, MONEY_LEFT)
    mac = shop.admin.mac8(messages.admin(shop.head, 0, shop.challenge(), state))
    assert shop.send(CLA_JOREN, Ins.SET_STATUS, 0x40, state, mac).ok
    return shop


def of_another_programme() -> Customer:
    customer = free_of_pin()
    customer.chip = Chip(b"another programme")
    customer.chip.install(CustomerCard, aid(AID_CUSTOMER, PROGRAMME + 1))
    return customer


# Cards that are not served at all: card, error, words.
UNSERVED: dict[str, tuple[Callable[[], Customer], type[DialogError], str]] = {
    "blocked": (
        lambda: in_state(free_of_pin(), LifeCycle.BLOCKED),
        CardRefused,
        "customer card refused SELECT: 6283 FILE_DEACTIVATED: the card is blocked; do not serve this card; its holder asks the issuer",
    ),
    "terminated": (
        lambda: in_state(free_of_pin(), LifeCycle.TERMINATED),
        CardRefused,
        "customer card refused SELECT: 6285 FILE_TERMINATED: the card is at its end; keep the card; its holder asks the issuer",
    ),
    "unpersonalized": (
        lambda: Customer(issue=False),
        HostError,
        "customer card: SELECTABLE, not personalized yet; serve an issued one",
    ),
    "of another programme": (
        of_another_programme,
        CardRefused,
        "customer card refused SELECT: 6A82 FILE_NOT_FOUND: no such application; another card, or another programme number",
    ),
    "stopped": (
        lambda: free_of_pin(7),
        HostError,
        "customer card C000000000000007 is on the stop list: do not serve it, keep it if you can",
    ),
}
DIALOGS: dict[str, AnyDialog] = {
    "purchase": buys("S"),
    "load": loads("S"),
    "result": lambda till: till.result(200),
    "settle": lambda till: till.settle(),
}


@MODES
@pytest.mark.parametrize("dialog", DIALOGS)
@pytest.mark.parametrize("name", UNSERVED)
def test_cards_that_are_not_served(by_card: bool, dialog: str, name: str) -> None:
    """REQ-LIFE-3: SELECT tells the life cycle state, and nothing more is sent."""
    make, kind, words = UNSERVED[name]
    counter = Counter(by_card, stop_list=frozenset({free_of_pin(7).card_id}))
    assert str(refused(counter, make(), DIALOGS[dialog], kind)).startswith(words)
    assert counter.names()[-1] == "CUSTOMER SELECT"
    check_usable(counter)


NO_PURSE = replace(LIMITS, purse_max_minor=0)
ILL_SUITED: dict[str, tuple[bool, Limits, Sale, str]] = {
    "shop cards only": (False, replace(LIMITS, modes=2), buys("S"), "takes shop cards only: serve it at a till with a shop card"),
    "till keys only": (True, replace(LIMITS, modes=1), buys("S"), "takes till keys only: serve it at a till with software keys"),
    **{
        f"{name}, {'shop card' if by_card else 'software keys'}": (by_card, NO_PURSE, sale, f"has no purse: {kind} needs one")
        for by_card in (False, True)
        for name, sale, kind in (
            ("load", loads("S"), "LOAD"),
            ("pay", NEED_PIN["pay"](None), "PAY"),
            ("pay and earn", NEED_PIN["pay and earn"](None), "PAY_AND_EARN"),
        )
    },
}


@pytest.mark.parametrize("name", ILL_SUITED)
def test_cards_that_the_sale_does_not_suit(name: str) -> None:
    by_card, limits, sale, words = ILL_SUITED[name]
    counter, customer = Counter(by_card), Customer(limits=limits)
    error = refused(counter, customer, sale, HostError)
    assert str(error).startswith(f"customer card {customer.card_id.hex().upper()} ")
    assert str(error).endswith(words)
    assert list(counter.journal.rows()) == []
    check_usable(counter)


def test_a_till_that_may_not_load() -> None:
    counter, customer = Counter(by_card=False), free_of_pin()
    counter.till = Till(SoftwareKeys(PROGRAMME, SHOP, TERMINAL, MASTERS["till"]), counter.journal)
    assert str(refused(counter, customer, loads("S"), HostError)) == "this till has no LOAD master key: load at a till that has one"
    check_usable(counter)


def test_a_load_to_settle_needs_the_key_it_was_made_with() -> None:
    """A till whose LOAD master was taken away can not tell what became of a torn load; given back, it can."""
    counter, customer = Counter(by_card=False), free_of_pin()
    with pytest.raises(CardLost):
        counter.tap(customer, loads("S"), {2: Fault.LOST_AFTER})
    with_load = counter.till
    counter.till = Till(SoftwareKeys(PROGRAMME, SHOP, TERMINAL, MASTERS["till"]), counter.journal)
    error = refused(counter, customer, lambda till: till.settle(), HostError)
    assert str(error) == "the journal has a load to settle, and this till no LOAD master key: give it the key it had"
    check_usable(counter)
    counter.till = with_load
    assert counter.tap(customer, loads("S")).recovered


@MODES
def test_a_void_of_what_is_not_the_last_transaction(by_card: bool) -> None:
    """REQ-VOID-1: of this till, or of another acceptor; then it is given back as a new transaction."""
    customer = free_of_pin()
    counter = served(by_card, customer)
    words = f"sale loaded is not the last transaction of card {customer.card_id.hex().upper()}: give it back as a new transaction"
    assert str(refused(counter, customer, voids("loaded"), HostError)) == words
    customer.select()
    customer.buy(shop=9)
    assert "sale bought is not the last transaction" in str(refused(counter, customer, voids("bought"), HostError))
    check_usable(counter)


@MODES
def test_a_void_with_another_card(by_card: bool) -> None:
    customer, other = free_of_pin(), free_of_pin(2)
    counter = served(by_card, customer)
    words = "sale bought was made with card C000000000000001, card C000000000000002 came: tap that card"
    assert str(refused(counter, other, voids("bought"), HostError)) == words
    assert counter.tap(customer, voids("bought")).points == 10


@MODES
def test_a_second_void_of_a_sale(by_card: bool) -> None:
    """Under the same reference it is the stored result; under another one it is refused."""
    customer = free_of_pin()
    counter = served(by_card, customer)
    counter.tap(customer, voids("bought"))
    words = "sale bought was voided before, or is being voided under another reference"
    assert str(refused(counter, customer, voids("bought", "W"), HostError)) == words
    assert counter.tap(customer, voids("bought")).recovered
    check_usable(counter)


@MODES
@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER], ids=["not voided", "voided"])
def test_a_void_of_a_sale_whose_void_was_torn(by_card: bool, fault: Fault) -> None:
    """While nobody knows, no other void of it is begun; its card says which of the two it is."""
    customer = free_of_pin()
    counter = served(by_card, customer)
    with pytest.raises(CardLost):
        counter.tap(customer, voids("bought"), {3 if by_card else 2: fault})
    assert "is being voided" in str(refused(counter, free_of_pin(2), voids("bought", "W"), HostError))
    if fault is Fault.LOST_BEFORE:
        assert counter.tap(customer, voids("bought", "W")).points == 10
    else:
        with pytest.raises(HostError, match="sale bought was voided before"):
            counter.tap(customer, voids("bought", "W"))
    assert [row.voids for row in counter.journal.rows() if row.fate is Fate.COMMITTED] == [None, None, "bought"]
    counter.audit(customer)


@MODES
def test_a_void_of_a_torn_sale_that_did_not_happen(by_card: bool) -> None:
    """Its card says so in the same tap; so there is nothing to take back."""
    customer = free_of_pin()
    counter = served(by_card, customer)
    with pytest.raises(CardLost):
        counter.tap(customer, buys("S"), {4 if by_card else 2: Fault.LOST_BEFORE})
    with pytest.raises(HostError, match="sale S did not happen, as far as this till knows: nothing to void"):
        counter.tap(customer, voids("S"))
    counter.audit(customer)


@MODES
def test_a_void_on_a_copy_of_the_card(by_card: bool) -> None:
    """The copy's last transaction is another one, with the same counter: the card itself refuses (REQ-VOID-1)."""
    customer = free_of_pin()
    counter = served(by_card, customer)
    copy = free_of_pin()
    copy.load(5_000)
    copy.buy(2_000, shop=9)
    with pytest.raises(CardRefused) as caught:
        counter.tap(copy, voids("bought"))
    check_message(caught.value, "customer card", "TRANSACT", SW.NOTHING_TO_VOID, "give it back as a new transaction")
    assert counter.journal.unsettled() == []
    assert counter.tap(customer, voids("bought")).points == 10


@MODES
@pytest.mark.parametrize("dialog", ["open", *DIALOGS])
def test_an_acceptor_on_the_stop_list(by_card: bool, dialog: str) -> None:
    counter = Counter(by_card, stop_list=frozenset({shop_card_id(SHOP, TERMINAL)}))
    make: AnyDialog = DIALOGS.get(dialog, lambda till: till.open())
    for _ in range(2):
        error = refused(counter, free_of_pin(), make, HostError)
        assert "shop 7, terminal 1 with" in str(error)
        assert str(error).endswith("is on the stop list: nothing may be sold with it")
        assert counter.names() == ["SHOP SELECT"] * by_card


# Shop cards that grant nothing: card, error, words.
UNFIT_SHOPS: dict[str, tuple[Callable[[], Shop], type[DialogError], str]] = {
    "blocked": (
        lambda: shop_in_state(LifeCycle.BLOCKED),
        CardRefused,
        "shop card refused SELECT: 6283 FILE_DEACTIVATED: the card is blocked; do not serve",
    ),
    "terminated": (
        lambda: shop_in_state(LifeCycle.TERMINATED),
        CardRefused,
        "shop card refused SELECT: 6285 FILE_TERMINATED: the card is at its end; keep the card",
    ),
    "unpersonalized": (lambda: Shop(issue=False), HostError, "shop card: not personalized; give the till an issued one"),
}


@pytest.mark.parametrize("name", UNFIT_SHOPS)
def test_shop_cards_that_grant_nothing(name: str) -> None:
    make, kind, words = UNFIT_SHOPS[name]
    counter, customer = Counter(by_card=True, shop=make()), free_of_pin()
    assert str(refused(counter, customer, buys("S"), kind)).startswith(words)
    assert list(counter.journal.rows()) == []


def test_no_shop_card_and_another_card_in_its_slot() -> None:
    counter, customer = Counter(by_card=True), free_of_pin()
    with pytest.raises(CardRefused, match="shop card refused SELECT: 6A82 FILE_NOT_FOUND"):
        run(counter.till.open(), {Slot.SHOP: customer.chip.process})
    with pytest.raises(HostError, match=r"no link to the shop card: give one for Slot\.SHOP"):
        run(counter.till.purchase("S", 1, 1), {Slot.CUSTOMER: customer.chip.process})
    assert counter.tap(customer, buys("S")).points == 10
