"""The desk makes a card of whatever lies in the reader: blank, pulled at any APDU, issued before; keys that fail are noted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deskkit import CUSTOMER, MASTERS, PRODUCT, SHOP, Line, blank, issued, made
from joren.apdu import AID_CUSTOMER, CLA_ISO, CLA_JOREN, Command, Ins, Key, LifeCycle, LinkLost, Response, aid
from joren.apdu.gp import MANAGER_AID, GpIns, chip_id, cplc, parse_key_information, parse_registry
from joren.apdu.tlv import MalformedTlv, build_tlv
from joren.applet.customer import CustomerCard
from joren.host import CardFault, CardRefused, HostError, Masters, Slot, run
from joren.host.channel import WrongKeys, open_channel
from joren.host.desk import Found, identify, make_card, own_keys
from joren.host.guard import FileGuard
from joren.host.personalization import Order
from joren.simulator.card_manager_chip import ManagedChip
from joren.simulator.card_manager_memory import CardState
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.image import load_image, save_image
from joren.simulator.profile import load_profile, profile_names
from joren.simulator.protocol import T0Card

ORDERS = pytest.mark.parametrize("order", [CUSTOMER, SHOP], ids=["customer", "shop"])
STRANGER = Masters.create(lambda size: bytes(range(0x99, 0x99 + size)))


def state_of(chip: ManagedChip, order: Order) -> tuple[int, CardState]:
    assert chip.manager is not None
    return chip.life_cycle(order.aid(PRODUCT.programme)), chip.manager.memory.state


@ORDERS
@pytest.mark.parametrize("name", profile_names())
def test_a_blank_card_becomes_the_one_that_was_ordered(order: Order, name: str) -> None:
    """On every chip, over every contact protocol it has; key set, instance, life cycle of card and manager, audit."""
    profile = load_profile(name)
    chip = blank(1, profile)
    link = T0Card(chip).transmit if profile.protocols[0] == "T=0" else chip.process
    card = run(make_card(PRODUCT, MASTERS, order), {order.slot: link})
    assert (card.identity, card.key_version, card.found) == (order.identity, 1, Found.BLANK)
    assert card.chip_id == run(identify(order.slot), {order.slot: link})
    assert state_of(chip, order) == (LifeCycle.ISSUED, CardState.SECURED)
    again = run(make_card(PRODUCT, MASTERS, order), {order.slot: link})
    assert (again.found, again.check_values) == (Found.ISSUED, card.check_values)


@ORDERS
@pytest.mark.parametrize("acted", [False, True], ids=["before", "after"])
def test_a_card_that_was_pulled_at_any_apdu_is_finished(order: Order, acted: bool) -> None:
    """At the next attempt it is what was ordered, whatever the first one left; the second reads no more than it must."""
    whole = Line(blank())
    card = run(make_card(PRODUCT, MASTERS, order), {order.slot: whole})
    for number in range(1, len(whole.sent) + 1):
        chip = blank()
        with pytest.raises(LinkLost):
            run(make_card(PRODUCT, MASTERS, order), {order.slot: Line(chip, number, acted=acted)})
        chip.power_on()
        again = run(make_card(PRODUCT, MASTERS, order), {order.slot: chip.process})
        assert replace(again, found=Found.BLANK) == card
        assert state_of(chip, order) == (LifeCycle.ISSUED, CardState.SECURED)


def test_a_card_issued_as_another_is_told_and_left_alone() -> None:
    chip = issued(CUSTOMER)
    shop = issued(SHOP, 2)
    before = chip.life_cycle(CUSTOMER.aid(PRODUCT.programme))
    with pytest.raises(HostError, match="issued already, as C0C1C2C3C4C5C6C7; nothing was changed"):
        made(chip, replace(CUSTOMER, card_id=b"\xcc" * 8))
    with pytest.raises(HostError, match="issued already, as shop 2, terminal 1"):
        made(shop, replace(SHOP, terminal=2))
    assert chip.life_cycle(CUSTOMER.aid(PRODUCT.programme)) == before


def test_a_card_of_another_issuer_is_refused_before_it_could_count() -> None:
    """No EXTERNAL AUTHENTICATE goes out: the card's cryptogram is wrong."""
    for chip in (blank(1, IDEAL, STRANGER), issued(CUSTOMER)):
        masters = MASTERS if chip.manager and chip.manager.memory.versions == [0xFF] else STRANGER
        line = Line(chip)
        with pytest.raises(WrongKeys, match="its cryptogram is not made with these keys"):
            run(make_card(PRODUCT, masters, CUSTOMER), {Slot.CUSTOMER: line})
        assert [command.ins for command in line.sent] == [Ins.SELECT, GpIns.GET_DATA, GpIns.INITIALIZE_UPDATE]


def test_a_key_version_that_is_not_kept_is_told() -> None:
    chip = issued(CUSTOMER)
    assert chip.manager is not None
    kept = MASTERS.manager_keys(chip.manager.memory.production.diversification_data)
    chip.manager.memory.put_keys(0, replace(kept, version=7))
    with pytest.raises(HostError, match=r"of another issuer, or of a key version that is no longer kept.*7"):
        made(chip, CUSTOMER)


def test_a_blank_card_is_not_administered() -> None:
    with pytest.raises(HostError, match="a card that was issued expected, a blank one came"):
        run(open_channel(Slot.CUSTOMER, lambda answer: own_keys(MASTERS, answer)), {Slot.CUSTOMER: blank().process})


def test_keys_that_failed_are_not_tried_again_without_force(tmp_path: Path) -> None:
    """Over runs, by card, version and check values; other keys, and other cards, are free."""
    chip, path = blank(1, IDEAL, STRANGER), tmp_path / "failed"

    def attempt(masters: Masters, guard: FileGuard, chip: ManagedChip = chip) -> None:
        run(make_card(PRODUCT, masters, CUSTOMER, guard=guard), {Slot.CUSTOMER: chip.process})

    with pytest.raises(WrongKeys, match="its cryptogram"):
        attempt(MASTERS, FileGuard(path))
    with pytest.raises(WrongKeys, match=r"failed on it before, and a card locks itself.*--force"):
        attempt(MASTERS, FileGuard(path))
    with pytest.raises(WrongKeys, match="its cryptogram"):
        attempt(MASTERS, FileGuard(path, force=True))
    attempt(STRANGER, FileGuard(path))
    attempt(MASTERS, FileGuard(path), blank(2))
    assert len(path.read_text().splitlines()) == 2


def test_a_guard_that_can_not_be_read_or_written_stops_everything(tmp_path: Path) -> None:
    chip = blank(1, IDEAL, STRANGER)
    (tmp_path / "folder").mkdir()
    with pytest.raises(HostError, match="without it no card is opened"):
        run(make_card(PRODUCT, MASTERS, CUSTOMER, guard=FileGuard(tmp_path / "folder")), {Slot.CUSTOMER: chip.process})
    with pytest.raises(HostError, match="these keys failed, do not try them again"):
        run(make_card(PRODUCT, MASTERS, CUSTOMER, guard=FileGuard(tmp_path / "no" / "file")), {Slot.CUSTOMER: chip.process})


def test_a_card_that_refuses_the_host_is_noted_too(tmp_path: Path) -> None:
    """6300 to EXTERNAL AUTHENTICATE: the card counts that one."""
    chip, path = blank(), tmp_path / "failed"

    def refusing(command: Command) -> Response:
        return Response(b"", 0x6300) if command.ins == GpIns.EXTERNAL_AUTHENTICATE else chip.process(command)

    with pytest.raises(CardRefused, match="6300"):
        run(make_card(PRODUCT, MASTERS, CUSTOMER, guard=FileGuard(path)), {Slot.CUSTOMER: refusing})
    assert len(path.read_text().splitlines()) == 1


def forged(chip: ManagedChip, ins: int, forge: Callable[[Response], Response]) -> Callable[[Command], Response]:
    return lambda command: forge(chip.process(command)) if command.ins == ins else chip.process(command)


@pytest.mark.parametrize("ins", [GpIns.PUT_KEY, GpIns.GET_STATUS, GpIns.INSTALL, GpIns.STORE_DATA, GpIns.SET_STATUS])
def test_an_answer_that_is_not_authentic_is_the_cards_fault(ins: int) -> None:
    """A reader that answers in the card's place."""
    with pytest.raises(CardFault, match="as Amendment D has it, and authentic"):
        run(make_card(PRODUCT, MASTERS, CUSTOMER), {Slot.CUSTOMER: forged(blank(), ins, lambda _: Response(b"", 0x9000))})


@pytest.mark.parametrize("cut", [1, 13, 31])
def test_an_answer_to_initialize_update_that_is_cut_is_the_cards_fault(cut: int) -> None:
    link = forged(blank(), GpIns.INITIALIZE_UPDATE, lambda response: Response(response.data[:cut], response.sw))
    with pytest.raises(CardFault, match="INITIALIZE_UPDATE"):
        run(make_card(PRODUCT, MASTERS, CUSTOMER), {Slot.CUSTOMER: link})


@pytest.mark.parametrize("byte", [0, 100, 130])
def test_rules_that_came_back_otherwise_are_found(byte: int) -> None:
    """The audit reads what was stored: here a card that tells other rules or limits, or another version of a key."""

    def forge(response: Response) -> Response:
        if len(response.data) == 98 and byte < 98:
            return Response(bytes((response.data[0] ^ 1,)) + response.data[1:], response.sw)
        return Response(response.data[:-1] + b"\x09", response.sw) if len(response.data) == 10 and byte else response

    chip = blank()
    with pytest.raises((CardFault, HostError), match=r"GET DATA|version 9"):
        run(make_card(PRODUCT, MASTERS, CUSTOMER), {Slot.CUSTOMER: forged(chip, Ins.GET_DATA, forge)})


def test_a_key_that_the_card_does_not_have_is_found() -> None:
    """The audit asks for a MAC under each key."""
    chip = issued(CUSTOMER)
    region = chip.memory.regions[f"{CUSTOMER.aid(PRODUCT.programme).hex().upper()}/key_shop"]
    chip.memory.write(region.address, bytes(16))
    with pytest.raises(CardFault, match="a MAC under the SHOP key"):
        made(chip, CUSTOMER)


def test_a_locked_instance_is_told() -> None:
    chip = blank()
    chip.install(CustomerCard, aid(AID_CUSTOMER, PRODUCT.programme))
    assert chip.manager is not None
    ((place, entry),) = chip.manager.memory.entries()
    chip.manager.memory.put_entry(place, replace(entry, locked=True))
    chip.power_on()
    with pytest.raises(HostError, match="locked by the card manager"):
        made(chip, CUSTOMER)


def test_a_chip_without_a_manager_is_told() -> None:
    chip = Chip(b"plain")
    chip.power_on()
    with pytest.raises(CardRefused, match="SELECT of the card manager: 6A82"):
        run(identify(Slot.CUSTOMER), {Slot.CUSTOMER: chip.process})


def test_a_managed_card_comes_back_from_its_image(tmp_path: Path) -> None:
    """With its registry, keys and counters; without the storage key it is for reading."""
    storage, path = Key(b"S" * 16, "storage"), tmp_path / "card.json"
    chip = issued(CUSTOMER)
    save_image(chip, path, storage)
    again = load_image(path, storage)
    assert isinstance(again, ManagedChip)
    assert again.snapshot() == chip.snapshot()
    again.power_on()
    assert made(again, CUSTOMER).found is Found.ISSUED
    assert load_image(path, allow_redacted=True).applets.keys() == {MANAGER_AID, CUSTOMER.aid(PRODUCT.programme)}


def test_a_deleted_instance_stays_deleted_in_an_image(tmp_path: Path) -> None:
    storage, path = Key(b"S" * 16, "storage"), tmp_path / "card.json"
    chip = issued(CUSTOMER)
    assert chip.manager is not None
    chip.manager.memory.put_entry(1, None)
    chip.sync()
    save_image(chip, path, storage)
    again = load_image(path, storage)
    again.power_on()
    assert again.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, CUSTOMER.aid(PRODUCT.programme), 26)).sw == 0x6A82
    assert isinstance(again, ManagedChip)
    assert made(again, CUSTOMER).found is Found.HALF_MADE


def test_what_the_manager_tells_is_read() -> None:
    """GlobalPlatform 2.3.1, 11.3.3.1, 11.4.3.1."""
    chip = issued(CUSTOMER)
    chip.power_on()
    keys = parse_key_information(chip.process(Command(CLA_JOREN, GpIns.GET_DATA, 0x00, 0xE0, ne=256)).data)
    assert keys == {1: {1: (0x88, 16), 2: (0x88, 16), 3: (0x88, 16)}}
    assert chip_id(cplc(bytes(range(10)))) == bytes.fromhex("000000000000 06070809 0405")
    for raw in (build_tlv(0x9F7F, bytes(41)), build_tlv(0x9F7E, bytes(42)), b""):
        with pytest.raises(MalformedTlv):
            chip_id(raw)
    for raw in (build_tlv(0xE0, build_tlv(0xC0, bytes(3))), build_tlv(0xE0, build_tlv(0xC1, bytes(4)))):
        with pytest.raises(MalformedTlv):
            parse_key_information(raw)
    entry = build_tlv(0x4F, MANAGER_AID) + build_tlv(0x9F70, b"\x0f")
    (found,) = parse_registry(build_tlv(0xE3, entry + build_tlv(0xC5, b"\x9c\x5e\x00") + build_tlv(0x84, b"module")))
    assert (found.aid, found.state, found.privileges, found.modules) == (MANAGER_AID, 0x0F, b"\x9c\x5e\x00", (b"module",))
    for raw in (build_tlv(0xE4, entry), build_tlv(0xE3, entry[:10]), build_tlv(0xE3, entry + build_tlv(0x9F70, b""))):
        with pytest.raises(MalformedTlv):
            parse_registry(raw)
