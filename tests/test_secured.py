"""The secure channel in front of a card: personalization through it, and what the issuer changes on a card in the field."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from cardkit import pin_block
from deskkit import CUSTOMER, MASTERS, PIN, PRODUCT, PUK, SHOP, InChannel, blank, issued, made
from joren.apdu import AID_CUSTOMER, CLA_ISO, CLA_JOREN, SW, Command, Ins, KeyRef, LifeCycle, Response, aid
from joren.apdu.cards import CustomerInfo, ShopInfo
from joren.apdu.scp03 import Level, encrypt_sensitive
from joren.apdu.sheet import BalanceSheet
from joren.apdu.state import State
from joren.apdu.tlv import Dgi, build_dgi
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host import HostError, Journal, Slot, SoftwareKeys, Till, run, wire
from joren.host.channel import WrongKeys, open_channel
from joren.host.desk import own_keys
from joren.host.personalization import CustomerOrder, Order, blocks, groupings, pin_groupings
from joren.host.selecting import select_customer, select_shop
from joren.simulator.card_manager_chip import ManagedChip
from joren.simulator.chip import Chip
from joren.simulator.memory import PowerCut
from joren.simulator.profile import load_profile, profile_names

ORDERS = pytest.mark.parametrize("order", [CUSTOMER, SHOP], ids=["customer", "shop"])
PROGRAMME = PRODUCT.programme
RULES = replace(PRODUCT.rules, rules_version=2)
POOR = replace(PRODUCT.limits, purse_max_minor=0)


def selectable(order: Order) -> ManagedChip:
    """A managed chip with the instance that is to be personalized, and the issuer's keys."""
    chip = blank()
    keys = MASTERS.manager_keys(chip.manager.memory.production.diversification_data) if chip.manager else None
    assert chip.manager is not None
    assert keys is not None
    chip.manager.memory.put_keys(0, keys)
    chip.install(CustomerCard if order is CUSTOMER else ShopCard, order.aid(PROGRAMME))
    return chip


def life_cycle(chip: ManagedChip, order: Order) -> int:
    return chip.life_cycle(order.aid(PROGRAMME))


@ORDERS
@pytest.mark.parametrize("level", [Level.C_DECRYPTION, Level.C_DECRYPTION_R_MAC, Level.FULL])
def test_a_card_is_issued_straight_through_its_own_channel(order: Order, level: Level) -> None:
    """REQ-PER-5, REQ-MAN-17: without INSTALL [for personalization], the instance selected; the card then is what was ordered."""
    chip = selectable(order)
    assert InChannel(chip, order, level).store(*groupings(order, PRODUCT, MASTERS)) == SW.OK
    assert life_cycle(chip, order) == LifeCycle.ISSUED
    assert made(chip, order).identity == order.identity


@ORDERS
@pytest.mark.parametrize("level", [Level.AUTHENTICATED, Level.C_MAC, Level.C_MAC_R_MAC])
def test_without_encryption_of_commands_nothing_is_stored(order: Order, level: Level) -> None:
    """REQ-PER-5."""
    chip = selectable(order)
    before = chip.snapshot()
    there = InChannel(chip, order, level)
    counted = chip.snapshot()
    assert there.store(*groupings(order, PRODUCT, MASTERS)) == SW.SECURITY_STATUS_NOT_SATISFIED
    assert chip.snapshot() == counted != before


@ORDERS
def test_in_the_clear_a_managed_card_takes_nothing(order: Order) -> None:
    """REQ-PER-5: neither form, on any logical channel."""
    chip = selectable(order)
    for channel in (0, 1):
        assert chip.process(Command(CLA_ISO | channel, Ins.SELECT, 4, 0x0C, order.aid(PROGRAMME), 256)).ok
        for p1 in (0x08, 0x88, 0x28, 0xA8):
            block = build_dgi(0x0102, PRODUCT.rules.encode())
            response = chip.process(Command(CLA_JOREN | channel, Ins.STORE_DATA, p1, 0, block))
            assert response == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)
        chip.power_on()


@pytest.mark.parametrize("name", profile_names())
def test_the_plain_form_is_for_chips_that_say_development(name: str) -> None:
    """REQ-PER-5."""
    profile = load_profile(name)
    assert profile.development is (name == "ideal")
    for chosen, sw in ((profile, SW.OK if profile.development else SW.SECURITY_STATUS_NOT_SATISFIED), (profile.for_development(), SW.OK)):
        chip = Chip(b"plain", chosen)
        chip.install(CustomerCard, aid(AID_CUSTOMER, PROGRAMME))
        chip.power_on()
        assert chip.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, aid(AID_CUSTOMER, PROGRAMME), 26)).ok
        assert chip.process(Command(CLA_JOREN, Ins.STORE_DATA, 0x08, 0, build_dgi(0x0102, PRODUCT.rules.encode()))).sw == sw


def key(order: Order, ref: int, version: int = 1) -> Dgi:
    if isinstance(order, CustomerOrder):
        return Dgi(0x8000 | ref, bytes((version,)) + MASTERS.card_key(KeyRef(ref), PROGRAMME, order.card_id, 1).reveal())
    return Dgi(0x8010 | ref, bytes((version,)) + MASTERS.group_master(KeyRef(ref).name.lower(), PROGRAMME, 1).reveal())


def refill(number: int, points: int = 5, money_minor: int = 7) -> Dgi:
    return Dgi(0x0203, number.to_bytes(2) + points.to_bytes(4) + money_minor.to_bytes(4))


SECOND_SET = tuple(key(CUSTOMER, ref, 2) for ref in range(1, 6))
CHANGES: list[tuple[str, Order, tuple[Dgi, ...], int]] = [
    ("identity", CUSTOMER, (Dgi(0x0101, CUSTOMER.card_id + b"\0\1"),), 0x6985),
    ("balance sheet", CUSTOMER, (Dgi(0x0105, bytes(46)),), 0x6985),
    ("an unknown DGI", CUSTOMER, (Dgi(0x0106, b"1"),), 0x6A88),
    ("rules", CUSTOMER, (Dgi(0x0102, RULES.encode()),), 0x9000),
    ("rules that can not be", CUSTOMER, (Dgi(0x0102, bytes(80)),), 0x6A80),
    ("limits", CUSTOMER, (Dgi(0x0103, POOR.encode()),), 0x9000),
    ("limits, and one too many", CUSTOMER, (Dgi(0x0103, POOR.encode()), Dgi(0x0101, bytes(10))), 0x6985),
    ("a key", CUSTOMER, (key(CUSTOMER, 1),), 0x9000),
    ("a key of another version", CUSTOMER, (key(CUSTOMER, 1, 2),), 0x6A80),
    ("all keys of another version", CUSTOMER, SECOND_SET, 0x9000),
    ("PIN", CUSTOMER, (Dgi(0x8110, b"9999\xff\xff\xff\xff"),), 0x9000),
    ("no PIN", CUSTOMER, (Dgi(0x8110, b"999\xff\xff\xff\xff\xff"),), 0x6A80),
    ("PIN and PUK", CUSTOMER, tuple(pin_groupings("0000", "11112222")), 0x9000),
    ("a refill of no shop card", CUSTOMER, (refill(1),), 0x6A88),
    ("identity", SHOP, (Dgi(0x0201, b"\0\1\0\0\0\2\1"),), 0x6985),
    ("ceilings", SHOP, (Dgi(0x0202, bytes(8)),), 0x6985),
    ("rules", SHOP, (Dgi(0x0102, RULES.encode()),), 0x9000),
    ("limits", SHOP, (Dgi(0x0103, POOR.encode()),), 0x9000),
    ("a second master", SHOP, (key(SHOP, 2, 2),), 0x9000),
    ("the only master goes", SHOP, (Dgi(0x8012, b"\1"),), 0x6A80),
    ("one master comes, another goes", SHOP, (key(SHOP, 2, 2), Dgi(0x8012, b"\1")), 0x9000),
    ("the LOAD master goes", SHOP, (Dgi(0x8014, b"\1"),), 0x9000),
    ("refill", SHOP, (refill(1),), 0x9000),
    ("refills in one block", SHOP, (refill(1), refill(2)), 0x9000),
    ("a refill out of turn", SHOP, (refill(2),), 0x6985),
    ("a refill twice", SHOP, (refill(1), refill(1)), 0x6985),
    ("a refill above all", SHOP, (refill(1, 0xFFFFFFFF),), 0x6A80),
    ("a short refill", SHOP, (Dgi(0x0203, bytes(9)),), 0x6A80),
]
EVERY_CHANGE = pytest.mark.parametrize(
    ("order", "dgis", "sw"), [row[1:] for row in CHANGES], ids=[f"{row[1].slot.value}: {row[0]}" for row in CHANGES]
)


@EVERY_CHANGE
@pytest.mark.parametrize("state", [LifeCycle.ISSUED, LifeCycle.BLOCKED])
def test_what_the_issuer_changes_and_what_not(order: Order, dgis: tuple[Dgi, ...], sw: int, state: LifeCycle) -> None:
    """REQ-PER-6, REQ-KEY-5, REQ-SPE-2, REQ-REF-1: in ISSUED and BLOCKED alike; what is refused changes nothing."""
    chip = issued(order)
    there = InChannel(chip, order)
    if state is LifeCycle.BLOCKED:
        assert there.status(state) == SW.OK
    before = chip.snapshot()
    assert there.store(*dgis) == sw
    assert life_cycle(chip, order) == state
    assert (chip.snapshot() == before) is (sw != SW.OK or dgis == (key(CUSTOMER, 1),))


@pytest.mark.parametrize("state", [LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED])
@ORDERS
def test_in_the_clear_an_issued_card_takes_nothing(order: Order, state: LifeCycle) -> None:
    """REQ-PER-4, REQ-PER-5, REQ-LIFE-2."""
    chip = issued(order)
    if state is not LifeCycle.ISSUED:
        assert InChannel(chip, order).status(state) == SW.OK
    assert chip.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, order.aid(PROGRAMME), 256)).sw >> 8 in (0x90, 0x62)
    before, block = chip.snapshot(), build_dgi(0x0102, RULES.encode())
    for p1, sw in ((0x08, SW.CONDITIONS_NOT_SATISFIED), (0xA8, SW.SECURITY_STATUS_NOT_SATISFIED)):
        expected = SW.CONDITIONS_NOT_SATISFIED if state is LifeCycle.TERMINATED else sw
        assert chip.process(Command(CLA_JOREN, Ins.STORE_DATA, p1, 0, block)).sw == expected
    if state is LifeCycle.TERMINATED:
        assert InChannel(chip, order).store(Dgi(0x0102, RULES.encode())) == SW.CONDITIONS_NOT_SATISFIED
    assert chip.snapshot()[:8] == before[:8]


def test_a_card_stays_complete() -> None:
    """REQ-PER-6, REQ-PER-3: a purse needs its key; both in one block are right."""
    chip = selectable(CUSTOMER)
    poor = replace(PRODUCT, limits=POOR)
    found = [dgi for dgi in groupings(CUSTOMER, poor, MASTERS) if dgi.tag != 0x8004]
    assert InChannel(chip, CUSTOMER).store(*found) == SW.OK
    there, rich = InChannel(chip, CUSTOMER), Dgi(0x0103, PRODUCT.limits.encode())
    assert there.store(rich) == SW.REFERENCED_DATA_NOT_FOUND
    block = build_dgi(rich.tag, rich.value)
    loaded = key(CUSTOMER, 4)
    block += build_dgi(loaded.tag, loaded.value[:1] + encrypt_sensitive(there.channel.keys.dek, loaded.value[1:]))
    assert there.send(Command(CLA_JOREN, Ins.STORE_DATA, 0xA8, 0, block)).ok


def test_a_new_pin_has_all_its_tries_and_is_not_verified() -> None:
    """REQ-PER-6: also where neither PIN nor PUK had any left."""
    chip = issued(CUSTOMER)
    there = InChannel(chip, CUSTOMER)
    assert there.send(wire.verify(pin_block(PIN.encode()))).ok
    assert there.store(*pin_groupings("5555", "11112222")) == SW.OK
    assert there.send(Command(CLA_ISO, Ins.VERIFY, 0, 0x81)).sw == 0x63C3
    for _ in range(3):
        there.send(wire.verify(b"00000000"))
    for _ in range(10):
        there.send(Command(CLA_ISO, Ins.RESET_RETRY_COUNTER, 0, 0x81, b"00000000" + pin_block(b"1111")))
    assert there.send(Command(CLA_ISO, Ins.GET_DATA, 1, 3, ne=2)).data == b"\0\0"
    assert there.store(*pin_groupings("6666", "11112222")) == SW.OK
    assert there.send(Command(CLA_ISO, Ins.GET_DATA, 1, 3, ne=2)).data == b"\3\x0a"
    assert there.send(wire.verify(pin_block(b"6666"))).ok


@ORDERS
def test_the_issuer_sets_the_state_without_a_mac_of_its_own(order: Order) -> None:
    """REQ-ADM-2: with C-MAC; in the clear 6700, without C-MAC 6982; no transition that there is not."""
    chip = issued(order)
    assert InChannel(chip, order, Level.AUTHENTICATED).status(LifeCycle.BLOCKED) == SW.SECURITY_STATUS_NOT_SATISFIED
    there = InChannel(chip, order, Level.C_MAC)
    assert [there.status(state) for state in (0x83, 0x83, 0x0F, 0xFF, 0x0F)] == [0x9000, 0x6985, 0x9000, 0x9000, 0x6985]
    assert life_cycle(chip, order) == LifeCycle.TERMINATED
    other = issued(order, 2)
    assert other.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, order.aid(PROGRAMME), 256)).ok
    assert other.process(Command(CLA_JOREN, Ins.SET_STATUS, 0x40, 0x83)) == Response(b"", SW.WRONG_LENGTH)


BALANCE = Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x05, ne=46)


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("state", [LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED])
def test_the_balance_sheet_is_for_the_issuer_alone(level: Level, state: LifeCycle) -> None:
    """REQ-DAT-2."""
    chip = issued(CUSTOMER)
    if state is not LifeCycle.ISSUED:
        assert InChannel(chip, CUSTOMER).status(state) == SW.OK
    response = InChannel(chip, CUSTOMER, level).send(BALANCE)
    if level.r_mac:
        assert BalanceSheet.decode(response.data) == BalanceSheet(State.blank().encode(), 0, 0, 0, 0)
    else:
        assert response == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)
    run(select_customer(PROGRAMME), {Slot.CUSTOMER: chip.process})
    assert chip.process(BALANCE) == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)
    if state is LifeCycle.TERMINATED:
        for tag in (1, 3, 4):
            assert InChannel(chip, CUSTOMER).send(Command(CLA_ISO, Ins.GET_DATA, 1, tag, ne=98)).sw == SW.CONDITIONS_NOT_SATISFIED


def bought(chip: ManagedChip) -> None:
    """A purchase, in the clear, on a card that has a manager."""
    keys = SoftwareKeys(PROGRAMME, 1, 0, MASTERS.ring("till", PROGRAMME))
    run(Till(keys, Journal(":memory:")).purchase("first", 100, 50_000), {Slot.CUSTOMER: chip.process})


def test_a_card_takes_over_what_another_had() -> None:
    """REQ-PER-7: state, points and purse; the counter begins at 0, the log is empty; a state that can not be is refused."""
    old = issued(CUSTOMER)
    bought(old)
    sheet = InChannel(old, CUSTOMER).send(BALANCE).data
    assert BalanceSheet.decode(sheet).points_now > 0
    order = replace(CUSTOMER, card_id=b"\xcc" * 8, sheet=sheet)
    chip = issued(order, 2)
    there = InChannel(chip, order)
    assert there.send(BALANCE).data == sheet
    assert run(select_customer(PROGRAMME), {Slot.CUSTOMER: chip.process}).counter == 0
    wrong = selectable(CUSTOMER)
    assert InChannel(wrong, CUSTOMER).store(Dgi(0x0105, b"\x02" + sheet[1:])) == SW.WRONG_DATA
    assert InChannel(wrong, CUSTOMER).store(Dgi(0x0105, sheet[:45])) == SW.WRONG_DATA


def test_points_never_wrap_round() -> None:
    """REQ-REC-5: what was taken over may be as much as the field holds."""
    sheet = BalanceSheet(State.blank().encode(), 0xFFFFFFFF, 0xFFFFFFFF, 0, 0).encode()
    order = replace(CUSTOMER, sheet=sheet)
    chip = issued(order)
    bought(chip)
    after = BalanceSheet.decode(InChannel(chip, order).send(BALANCE).data)
    assert (after.points_now, after.points_before) == (0xFFFFFFFF, 0xFFFFFFFF)


def test_a_select_ends_the_channel_and_another_logical_channel_has_none() -> None:
    """REQ-MAN-4, REQ-MAN-17."""
    chip = issued(CUSTOMER)
    there = InChannel(chip, CUSTOMER)
    wrapped = next(there.channel.ask(BALANCE)).command
    assert chip.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, there.aid, 26)).ok
    assert chip.process(wrapped) == Response(b"", SW.CONDITIONS_NOT_SATISFIED)
    chip.power_on()
    assert chip.process(Command(CLA_ISO | 1, Ins.SELECT, 4, 0x0C, there.aid, 26)).ok
    assert chip.process(Command(CLA_JOREN | 1, 0x50, 0, 0, bytes(8), 256)).sw == SW.INS_NOT_SUPPORTED
    assert chip.process(replace(BALANCE, cla=1)) == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)


def test_a_plain_command_within_a_channel_is_refused_and_ends_it() -> None:
    """REQ-MAN-17, REQ-MAN-4."""
    chip = issued(CUSTOMER)
    InChannel(chip, CUSTOMER)
    for _ in range(2):
        assert chip.process(Command(CLA_ISO, Ins.GET_DATA, 1, 1, ne=98)) == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)
    bought(chip)


def test_purchases_go_on_while_the_channel_is_open_elsewhere() -> None:
    """REQ-MAN-17: a session of the basic channel does not concern what is selected on another one."""
    chip = issued(CUSTOMER)
    chip.power_on()
    run(open_channel(Slot.CUSTOMER, lambda answer: own_keys(MASTERS, answer)), {Slot.CUSTOMER: chip.process})
    selected = chip.process(Command(CLA_ISO | 1, Ins.SELECT, 4, 0x0C, CUSTOMER.aid(PROGRAMME), 26))
    assert CustomerInfo.decode(selected.data).life_cycle == LifeCycle.ISSUED
    assert chip.process(Command(CLA_JOREN | 1, Ins.GET_STATE, 0, 0, ne=40)).ok


def test_the_channel_knows_the_instance_it_is_in_front_of() -> None:
    """REQ-MAN-17: the challenge is made with the instance's AID, and is checked by the host."""
    chip = issued(CUSTOMER)
    run(select_customer(PROGRAMME), {Slot.CUSTOMER: chip.process})
    with pytest.raises(WrongKeys, match="challenge is not that of its sequence counter"):
        run(open_channel(Slot.CUSTOMER, lambda answer: own_keys(MASTERS, answer)), {Slot.CUSTOMER: chip.process})


def torn(chip: ManagedChip, order: Order, dgis: tuple[Dgi, ...], write: int) -> bool:
    """Sends the blocks in a channel with the power cut at a write; whether it was cut."""
    there = InChannel(chip, order)
    commands = blocks(dgis, there.channel.keys.dek, there.channel.room())
    chip.memory.cut_after(write)
    try:
        for command in commands:
            there.send(command)
    except PowerCut:
        chip.power_off()
        chip.power_on()
        return True
    chip.memory.cut_after(0)
    return False


def cells(chip: ManagedChip, order: Order) -> dict[str, bytes]:
    prefix = order.aid(PROGRAMME).hex().upper()
    return {name: chip.memory.read(region.address, region.size) for name, region in chip.memory.regions.items() if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("order", "dgis"), [row[1:3] for row in CHANGES if row[3] == 0x9000], ids=[f"{row[0]}" for row in CHANGES if row[3] == 0x9000]
)
def test_every_tear_of_a_change_leaves_the_old_or_the_new(order: Order, dgis: tuple[Dgi, ...]) -> None:
    """REQ-PER-2, REQ-PER-6, REQ-REF-1, REQ-APDU-8: and sent again, the change is there once."""
    whole = issued(order)
    old = cells(whole, order)
    right = whole.fork()
    right.power_on()
    assert InChannel(right, order).store(*dgis) == SW.OK
    new = cells(right, order)
    for write in count(1):
        chip = whole.fork()
        chip.power_on()
        if not torn(chip, order, dgis, write):
            break
        assert cells(chip, order) in (old, new)
        again = InChannel(chip, order).store(*dgis)
        assert again == SW.OK or any(dgi.tag == 0x0203 for dgi in dgis) or again == SW.WRONG_DATA
        assert cells(chip, order) == new
    assert write > 1


def test_a_refill_raises_the_ceilings_once() -> None:
    """REQ-REF-1."""
    chip = issued(SHOP)
    there = InChannel(chip, SHOP)
    assert [there.store(refill(number)) for number in (1, 1, 2)] == [0x9000, 0x6985, 0x9000]
    info: ShopInfo = run(select_shop(PROGRAMME), {Slot.SHOP: chip.process})
    assert (info.points_left, info.money_left_minor, info.refills) == (1_010, 2_014, 2)


NOT_OURS: list[tuple[str, Callable[[], object]]] = [
    ("card id", lambda: CustomerOrder(bytes(8))),
    ("card id", lambda: CustomerOrder(bytes(7) + b"1" * 2)),
    ("balance sheet", lambda: replace(CUSTOMER, sheet=bytes(45))),
    ("PIN and PUK", lambda: replace(CUSTOMER, puk=None)),
    ("PIN and PUK", lambda: replace(CUSTOMER, puk="1234")),
    ("shop", lambda: replace(SHOP, shop=0)),
    ("terminal", lambda: replace(SHOP, terminal=256)),
    ("points", lambda: replace(SHOP, points=-1)),
    ("money in minor units", lambda: replace(SHOP, money_minor=1 << 32)),
]


@pytest.mark.parametrize(("what", "make"), NOT_OURS)
def test_an_order_that_can_not_be_is_refused(what: str, make: Callable[[], object]) -> None:
    with pytest.raises(HostError, match=f"^{what}: "):
        make()


def test_an_order_keeps_its_secrets() -> None:
    assert PIN not in repr(CUSTOMER)
    assert PUK not in repr(CUSTOMER)
