"""The card manager on every chip there is, its wear, and noise in its channel."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardkit import Customer
from joren.apdu import SW, Command, Kind, LifeCycle
from joren.apdu.cards import CustomerInfo
from joren.apdu.gp import MANAGER_AID, GpIns
from joren.apdu.scp03 import Level, put_keys
from joren.simulator.card_manager_chip import ManagedChip, make_managed_chip
from joren.simulator.chip import IDEAL
from joren.simulator.profile import load_profile, profile_names
from scp03kit import StandardHost
from test_card_manager import CUSTOMER, KEYS, OTHER, SHOP, Desk

BLOCKS = Customer(issue=False).blocks()


@pytest.mark.parametrize("name", profile_names())
def test_a_card_is_managed_and_issued_on_every_chip(name: str) -> None:
    """REQ-MAN-6, REQ-MAN-7, REQ-MAN-15: manager and both cards have room, and no transaction is too large for the chip's journal."""
    desk = Desk(chip=make_managed_chip(b"each", load_profile(name), KEYS)).start()
    for version in (0, 0x31):
        assert desk.send(put_keys(KEYS.dek, OTHER, replaces=version)).ok
    assert desk.install(CUSTOMER).ok
    assert desk.install(SHOP).ok
    desk.personalize(CUSTOMER, BLOCKS)
    customer = Customer(issue=False)
    customer.chip = desk.chip
    assert customer.select().life_cycle == LifeCycle.ISSUED
    assert customer.transact(Kind.PURCHASE, customer.order()).ok


def test_an_opening_wears_its_counter_alone() -> None:
    """REQ-MAN-16."""
    desk = Desk().start()
    memory = desk.chip.memory
    memory.wear = {}
    for _ in range(5):
        desk.open()
    region = memory.regions[f"{MANAGER_AID.hex().upper()}/counters"]
    assert memory.wear == {(region.address, 3): 5}


def test_select_goes_through_the_registry_in_its_order() -> None:
    """REQ-MAN-1: the manager first, then place by place; an instance that is installed anew takes the first free place."""
    desk = Desk().start()
    first, second = CUSTOMER, CUSTOMER[:-1] + b"\x02"
    for name in (first, SHOP, second):
        assert desk.install(name).ok
    assert desk.delete(first).ok
    third = CUSTOMER[:-1] + b"\x03"
    assert desk.install(third).ok
    found = []
    for number in range(4):
        response = desk.chip.process(Command(0, 0xA4, 4, 0x02 if number else 0x00, CUSTOMER[:6], 256))
        found.append(response.data[4:13] if response.ok else response.sw.to_bytes(2))
    assert found == [third, SHOP, second, SW.FILE_NOT_FOUND.to_bytes(2)]


def test_a_host_that_writes_every_length_extended() -> None:
    """REQ-MAN-4: the MAC covers Lc as it came; in the other form it fits not, and the session ends."""
    chip = make_managed_chip(b"extended", IDEAL, KEYS)
    chip.power_on()
    host = StandardHost(tuple(key.reveal() for key in (KEYS.enc, KEYS.mac, KEYS.dek)), chip.process_bytes)
    assert host.open(Level.FULL, bytes(8)) == b"\x90\x00"
    search = Command(0x80, GpIns.GET_STATUS, 0x80, 2, b"\x4f\0", 256)
    assert host.exchange(search.encode(extended=True))[-2:] == b"\x90\x00"
    assert host.exchange(search.encode())[-2:] == b"\x90\x00"
    wrapped = Command.decode(host.wrap(search.encode(extended=True)))
    assert chip.process_bytes(wrapped.encode()) == b"\x69\x82"


def test_a_chip_without_its_manager_is_a_plain_one() -> None:
    chip = ManagedChip(b"none", IDEAL)
    chip.power_on()
    assert chip.process(Command(0, 0xA4, 4, 0, b"", 256)).sw == SW.WRONG_LENGTH
    assert chip.process(Command(0x80, 0xCA, 0, 0x66, b"", 256)).sw == SW.CONDITIONS_NOT_SATISFIED


START = Desk().start()
assert START.install().ok
ANY = st.integers(0, 255)
INSTRUCTIONS = st.sampled_from([int(ins) for ins in GpIns if ins is not GpIns.INITIALIZE_UPDATE])
FIELDS = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from([b"\x4f", b"\x09", b"\0", CUSTOMER, b"\xc9"])).map(b"".join))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0x00, 0x80]), INSTRUCTIONS, ANY, ANY, FIELDS, st.sampled_from([None, 1, 256]))
def test_noise_in_the_channel_never_fails_the_card(cla: int, ins: int, p1: int, p2: int, data: bytes, ne: int | None) -> None:
    """REQ-MAN-16: every command gets a word of the table; one that is refused writes nothing."""
    desk = Desk(chip=START.chip.fork()).start()
    before = desk.chip.snapshot()
    response = desk.send(Command(cla, ins, p1, p2, data, ne))
    assert desk.chip.last_error is None
    assert response.ok or desk.chip.snapshot() == before


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 0xFE), INSTRUCTIONS, ANY, ANY, FIELDS)
def test_noise_without_a_channel_changes_nothing(cla: int, ins: int, p1: int, p2: int, data: bytes) -> None:
    """REQ-MAN-4: whatever CLA it has."""
    chip = START.chip.fork()
    chip.power_on()
    before = chip.snapshot()
    chip.process(Command(cla, ins, p1, p2, data, 256))
    assert chip.last_error is None
    assert chip.snapshot() == before
    assert CustomerInfo.decode(chip.process(Command(0, 0xA4, 4, 0x0C, CUSTOMER, 256)).data).life_cycle == LifeCycle.SELECTABLE
