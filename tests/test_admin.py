"""What the issuer changes on cards in the field, in person: done, read back, found done, finished after a lost link; and who is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from adminkit import CHANGED, CHANGES, IDS, Field, Line, view
from deskkit import CUSTOMER, PIN, PRODUCT, PUK, SHOP, blank
from joren.apdu import CLA_ISO, SW, Command, Ins, KeyRef, LifeCycle, LinkLost, Response
from joren.apdu.cards import CustomerInfo, ShopInfo
from joren.apdu.gp import GpIns
from joren.host import CardFault, CardRefused, HostError, Slot, run
from joren.host.admin import administer
from joren.host.audit import check_key
from joren.host.changes import AdminKeys, CardKeys, Change, ManagerKeys, NewPin, Refill, Retire, Rules, Session, Status, Step
from joren.host.channel import WrongKeys
from joren.host.facts import GET_TRIES, Facts
from joren.host.guard import FileGuard
from joren.host.personalization import Order
from joren.host.pin import change_pin, unblock_pin
from joren.host.product import Product
from joren.host.selecting import select_customer
from joren.simulator.profile import load_profile, profile_names

EACH = pytest.mark.parametrize(("order", "change"), CHANGES, ids=IDS)
PROGRAMME = PRODUCT.programme


@EACH
def test_a_change_is_made_once_and_found_made(order: Order, change: Change) -> None:
    """REQ-PER-6, REQ-ADM-2, REQ-MAN-7, REQ-REF-1: absolute or numbered, so a second run leaves the card as the first one did."""
    field = Field.of(order)
    before = view(field)
    assert field.change(change).changed
    after = view(field)
    assert after != before or change == CardKeys(1)
    again = field.change(change)
    assert view(field) == after
    assert again.changed is not isinstance(change, Status | Refill)


@EACH
@pytest.mark.parametrize("acted", [False, True], ids=["before", "after"])
def test_a_link_lost_at_any_apdu(order: Order, change: Change, acted: bool) -> None:
    """Nothing is half done, and the same dialog finishes it."""
    field = Field.of(order)
    whole = field.fork()
    line = Line(whole.chip)
    whole.change(change, link=line)
    old, new = view(field), view(whole)
    for number in range(1, len(line.sent) + 1):
        torn = field.fork()
        with pytest.raises(LinkLost):
            torn.change(change, link=Line(torn.chip, number, acted=acted))
        torn.chip.power_on()
        assert view(torn) in (old, new)
        torn.change(change)
        assert view(torn) == new


@pytest.mark.parametrize("name", profile_names())
def test_every_chip_takes_it(name: str) -> None:
    for order, change in ((CUSTOMER, CardKeys()), (SHOP, Refill(1, 1, 1)), (CUSTOMER, ManagerKeys())):
        field = Field.of(order, profile=load_profile(name))
        assert field.change(change).changed


def customer(field: Field) -> CustomerInfo:
    return run(select_customer(PROGRAMME), {Slot.CUSTOMER: field.chip.process})


def test_a_blocked_card_is_let_in_again_and_a_terminated_one_not() -> None:
    field = Field.of(CUSTOMER)
    assert field.change(Status(LifeCycle.BLOCKED)).facts.state is LifeCycle.BLOCKED
    field.change(Rules())
    assert field.change(Status(LifeCycle.ISSUED)).facts.state is LifeCycle.ISSUED
    assert field.change(Status(LifeCycle.TERMINATED)).facts.state is LifeCycle.TERMINATED
    for change in (Status(LifeCycle.ISSUED), Rules(), NewPin(), CardKeys()):
        with pytest.raises(HostError, match="ISSUED or BLOCKED expected, it is TERMINATED; nothing was changed"):
            field.change(change)


def test_rules_and_limits_are_those_of_the_product() -> None:
    field = Field.of(CUSTOMER)
    field.change(Rules())
    told = field.chip.process(Command(CLA_ISO, Ins.GET_DATA, 1, 1, ne=98))
    assert told.data == CHANGED.rules.encode() + CHANGED.limits.encode()
    assert customer(field).rules_version == 9


def verify(field: Field, pin: str) -> int:
    customer(field)
    return field.chip.process(Command(CLA_ISO, Ins.VERIFY, 0, 0x81, pin.encode().ljust(8, b"\xff"))).sw


def exhausted_puk(field: Field) -> None:
    links = {Slot.CUSTOMER: field.chip.process}
    for _ in range(10):
        with pytest.raises(CardRefused):
            run(unblock_pin(PROGRAMME, "00000000", "1111"), links)
    for _ in range(3):
        verify(field, "9999")


def test_the_puk_policy() -> None:
    """A holder with the PUK helps himself; without tries of the PUK only the issuer can, and sets both anew, or the first ones again."""
    field = Field.of(CUSTOMER)
    links = {Slot.CUSTOMER: field.chip.process}
    run(unblock_pin(PROGRAMME, PUK, "5555"), links)
    assert verify(field, "5555") == SW.OK
    exhausted_puk(field)
    assert verify(field, "5555") == SW.AUTHENTICATION_METHOD_BLOCKED
    with pytest.raises(CardRefused, match="AUTHENTICATION_METHOD_BLOCKED"):
        run(unblock_pin(PROGRAMME, PUK, "5555"), links)
    assert field.change(NewPin("777777", keep_puk=True)).facts.tries == b"\x03\x00"
    assert verify(field, "777777") == SW.OK
    assert field.change(NewPin("2468", "13572468")).facts.tries == b"\x03\x0a"
    run(unblock_pin(PROGRAMME, "13572468", "4321"), links)
    exhausted_puk(field)
    assert field.change(NewPin()).facts.tries == b"\x03\x0a"
    first = field.masters.pin(PROGRAMME, CUSTOMER.card_id)
    run(change_pin(PROGRAMME, first, PIN), links)
    run(unblock_pin(PROGRAMME, field.masters.puk(PROGRAMME, CUSTOMER.card_id), "4321"), links)


def test_a_card_without_a_pin_gets_one_with_its_puk() -> None:
    field = Field.of(replace(CUSTOMER, pin=None, puk=None))
    with pytest.raises(HostError, match="no PUK to keep"):
        field.change(NewPin("1234", keep_puk=True))
    field.change(NewPin("1234", "87654321"))
    assert customer(field).has_pin
    assert verify(field, "1234") == SW.OK


def test_a_pin_does_not_show() -> None:
    change = NewPin("918273", "91827364")
    assert "9182" not in repr(change)
    assert "9182" not in change.purpose
    for wrong in (("123", None), ("12345678a", None), (None, "123"), ("1234", "1234")):
        with pytest.raises(HostError, match=r"^PIN"):
            NewPin(*wrong)
    with pytest.raises(HostError, match="both came"):
        NewPin("1234", "87654321", keep_puk=True)


def test_a_customer_card_gets_all_its_keys_at_once() -> None:
    """REQ-PER-6: and proves that it has them; those of before are gone."""
    field = Field.of(CUSTOMER)
    links = {Slot.CUSTOMER: field.chip.process}
    field.change(CardKeys())
    info = customer(field)
    assert info.key_version == 2
    old = field.masters.card_key(KeyRef.TILL, PROGRAMME, CUSTOMER.card_id, 1)
    with pytest.raises(CardFault, match="another MAC"):
        run(check_key(PROGRAMME, info, KeyRef.TILL, old, bytes(8)), links)
    with pytest.raises(HostError, match="version"):
        field.change(CardKeys(3))


def test_a_key_that_the_card_does_not_have_is_found() -> None:
    """The card says yes to all; PROVE tells that it has kept the old keys."""
    field = Field.of(CUSTOMER)
    other = Field.of(CUSTOMER)

    def transmit(command: Command) -> Response:
        return (other if command.ins == Ins.PROVE else field).chip.process(command)

    customer(other)
    with pytest.raises(CardFault, match="PROVE"):
        run(administer(Slot.CUSTOMER, CHANGED, field.masters, CardKeys()), {Slot.CUSTOMER: transmit})


def test_a_shop_card_has_the_old_master_beside_the_new_until_it_is_retired() -> None:
    """REQ-SPE-2."""
    field = Field.of(SHOP)
    with pytest.raises(HostError, match="its only SHOP master"):
        field.change(Retire(1))
    assert field.change(CardKeys()).facts.card_keys.hex() == "02010202040104020502"
    assert field.change(Retire(1)).facts.card_keys.hex() == "02000202040004020502"
    before = view(field)
    assert field.change(Retire(1)).facts.card_keys.hex() == "02000202040004020502"
    assert view(field) == before
    assert field.change(CardKeys(1)).facts.card_keys.hex() == "02010202040104020502"


def test_a_shop_card_that_may_not_load_gets_no_load_master() -> None:
    field = Field.of(replace(SHOP, may_load=False))
    assert field.change(CardKeys()).facts.card_keys.hex() == "02010202040004000502"
    assert field.change(Retire(1)).facts.card_keys.hex() == "02000202040004000502"


def test_a_refill_counts_by_its_number() -> None:
    """REQ-REF-1: the same number is one refill, whatever it asks; a number is never left out."""
    field = Field.of(SHOP)

    def info() -> ShopInfo:
        found = field.info()
        assert isinstance(found, ShopInfo)
        return found

    for _ in range(2):
        field.change(Refill(1, 500, 70))
        assert (info().points_left, info().money_left_minor, info().refills) == (1_500, 2_070, 1)
    for number in (3, 65_535):
        with pytest.raises(HostError, match=f"2 expected, as the card has had 1, {number} came"):
            field.change(Refill(number, 1, 1))
    with pytest.raises(HostError, match="points: at most 4294965795 more fit on the card"):
        field.change(Refill(2, 4_294_965_796, 0))
    field.change(Refill(2, 4_294_965_795, 0))
    assert info().points_left == 0xFFFFFFFF
    for wrong in ((0, 1, 1), (65_536, 1, 1), (1, -1, 1), (1, 1, 1 << 32)):
        with pytest.raises(HostError, match="expected"):
            Refill(*wrong)


def test_the_card_manager_gets_new_keys_beside_the_old_or_in_their_place() -> None:
    """REQ-MAN-8."""
    field = Field.of(CUSTOMER)
    assert field.change(ManagerKeys(beside=True)).facts.manager_versions == [1, 2]
    assert field.change(ManagerKeys()).facts.manager_versions == [1, 2]
    field = Field.of(CUSTOMER)
    assert field.change(ManagerKeys()).facts.manager_versions == [2]
    field.change(NewPin())
    assert field.change(ManagerKeys(1)).facts.manager_versions == [1]


def test_what_a_card_has_not_is_not_changed() -> None:
    card, shop = Field.of(CUSTOMER), Field.of(SHOP)
    for field, change in ((shop, NewPin()), (card, Retire(1)), (card, Refill(1, 1, 1))):
        before = view(field)
        with pytest.raises(HostError, match="nothing was changed"):
            field.change(change)
        assert view(field) == before
    with pytest.raises(CardRefused):
        run(administer(Slot.CUSTOMER, CHANGED, card.masters, Rules()), {Slot.CUSTOMER: blank(7).process})


def test_a_card_of_another_issuer_is_told_before_it_could_count(tmp_path: Path) -> None:
    """No EXTERNAL AUTHENTICATE; the guard notes the keys, and stops the second attempt before the card is asked to open."""
    card, stranger = Field.of(CUSTOMER), Field.of(CUSTOMER, first=0x91)
    line, before = Line(card.chip), view(card)
    guard = FileGuard(tmp_path / "failed-keys.txt")
    dialog = administer(Slot.CUSTOMER, CHANGED, stranger.masters, Rules(), guard=guard)
    with pytest.raises(WrongKeys):
        run(dialog, {Slot.CUSTOMER: line})
    with pytest.raises(WrongKeys, match="failed on it before"):
        run(administer(Slot.CUSTOMER, CHANGED, stranger.masters, Rules(), guard=guard), {Slot.CUSTOMER: line})
    assert GpIns.EXTERNAL_AUTHENTICATE not in {command.ins for command in line.sent}
    assert view(card) == before


class Mistaken:
    """Expects of a card what it does not have."""

    purpose = "mistaken"

    def plan(self, facts: Facts, product: Product, keys: AdminKeys) -> list[Session]:
        return [Session(facts.aid, 0, lambda opened: [Step(GET_TRIES, b"\x02\x0a")])]


def test_what_was_read_back_otherwise_is_the_cards_fault() -> None:
    with pytest.raises(CardFault, match=r"what was stored \(020A\) expected, 030A came"):
        Field.of(CUSTOMER).change(Mistaken())
