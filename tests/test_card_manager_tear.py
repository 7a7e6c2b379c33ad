"""The power goes at every write of every command of the card manager: afterwards the card is as before or as after, and works."""

from collections.abc import Callable
from itertools import count

import pytest

from cardkit import Customer
from joren.apdu import CLA_JOREN, Command, LifeCycle
from joren.apdu.cards import CustomerInfo
from joren.apdu.gp import MANAGER_AID, PACKAGE_AID, GpIns, InstallData, personalization_data
from joren.apdu.scp03 import delete_keys, put_keys
from joren.simulator.memory import PowerCut
from test_card_manager import CUSTOMER, KEYS, OTHER, SHOP, Desk, key_set, sealed

LAST = Customer(issue=False).blocks()
SELECTED = Command(0, 0xA4, 4, 0x0C, CUSTOMER, 256)


def blank() -> Desk:
    return Desk().start()


def two_sets() -> Desk:
    desk = blank()
    assert desk.send(put_keys(KEYS.dek, OTHER)).ok
    return desk


def installed() -> Desk:
    desk = blank()
    assert desk.install().ok
    return desk


def deleted() -> Desk:
    desk = issued()
    assert desk.delete().ok
    return desk


def issued() -> Desk:
    desk = installed()
    desk.personalize(CUSTOMER, LAST)
    return desk


def half_issued() -> Desk:
    desk = installed()
    assert desk.send(Command(CLA_JOREN, GpIns.INSTALL, 0x20, 0, personalization_data(CUSTOMER), 256)).ok
    assert desk.send(sealed(KEYS, LAST)[0]).ok
    return desk


def secured() -> Desk:
    desk = installed()
    for state in (0x07, 0x0F):
        assert desk.card_state(state).ok
    return desk


INSTALL = Command(CLA_JOREN, GpIns.INSTALL, 0x0C, 0, InstallData(PACKAGE_AID, CUSTOMER[:-2], CUSTOMER).encode(), 256)
INSTALL_SHOP = Command(CLA_JOREN, GpIns.INSTALL, 0x0C, 0, InstallData(PACKAGE_AID, SHOP[:-2], SHOP).encode(), 256)
DELETE = Command(CLA_JOREN, GpIns.DELETE, 0, 0, b"\x4f\x09" + CUSTOMER, 256)
ROWS: list[tuple[str, Callable[[], Desk], Command]] = [
    ("PUT KEY, another set", blank, put_keys(KEYS.dek, OTHER)),
    ("PUT KEY, the same version", blank, put_keys(KEYS.dek, key_set(0x30, 0x90), replaces=0x30)),
    ("PUT KEY, another version", blank, put_keys(KEYS.dek, OTHER, replaces=0x30)),
    ("DELETE of keys", two_sets, delete_keys(0x31)),
    ("INSTALL", blank, INSTALL),
    ("INSTALL beside another", installed, INSTALL_SHOP),
    ("INSTALL anew", deleted, INSTALL),
    ("STORE DATA, last", half_issued, sealed(KEYS, LAST)[1]),
    ("SET STATUS of the card", blank, Command(CLA_JOREN, GpIns.SET_STATUS, 0x80, 0x07)),
    ("SET STATUS, lock the card", secured, Command(CLA_JOREN, GpIns.SET_STATUS, 0x80, 0x7F)),
    ("SET STATUS of an application", installed, Command(CLA_JOREN, GpIns.SET_STATUS, 0x40, 0x80, CUSTOMER)),
    ("DELETE", installed, DELETE),
    ("DELETE of an issued card", issued, DELETE),
]


def what_is_there(desk: Desk) -> tuple[bytes, list[bytes]]:
    """All cells, without those that nobody has written yet at the end; and who can be selected."""
    desk.chip.power_on()
    return desk.chip.snapshot().rstrip(b"\0"), list(desk.chip.applets)


@pytest.mark.parametrize(("make", "command"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_old_or_new_at_every_write(make: Callable[[], Desk], command: Command) -> None:
    """REQ-MAN-6, REQ-MAN-7, REQ-MAN-14, REQ-MAN-18: also the power-on after the tear finishes what is to be wiped."""
    whole = make()
    old = what_is_there(whole)
    whole = make()
    assert whole.send(command).ok
    new = what_is_there(whole)
    assert old != new
    seen: list[bool] = []
    for number in count(1):
        torn = make()
        torn.chip.memory.cut_after(number)
        try:
            assert torn.send(command).ok
            done = True
        except PowerCut:
            done = False
        now = what_is_there(torn)
        assert now in (old, new), number
        seen.append(now == new)
        assert MANAGER_AID in torn.chip.applets
        assert torn.chip.process(Command(0, 0xA4, 4, 0, MANAGER_AID, 256)).sw in (0x9000, 0x6283)
        if done:
            break
    assert not seen[0]
    assert seen[-1]
    assert seen == sorted(seen)


@pytest.mark.parametrize("replaces", [0, 0x30])
def test_after_a_torn_put_key_one_of_both_sets_opens(replaces: int) -> None:
    """REQ-MAN-7."""
    opened = []
    for number in count(1):
        desk = blank()
        desk.chip.memory.cut_after(number)
        try:
            assert desk.send(put_keys(KEYS.dek, OTHER, replaces=replaces)).ok
            done = True
        except PowerCut:
            done = False
        desk.chip.power_on()
        versions = desk.chip.manager.memory.versions if desk.chip.manager else []
        desk.keys = OTHER if OTHER.version in versions else KEYS
        desk.open(desk.keys.version)
        opened.append(desk.keys.version)
        if done:
            break
    assert opened == [0x30] * (len(opened) - 1) + [0x31]


def test_a_torn_install_is_done_again() -> None:
    """REQ-MAN-6: whatever was left of it, the instance is blank and whole in the end."""
    for number in count(1):
        desk = blank()
        desk.chip.memory.cut_after(number)
        try:
            assert desk.send(INSTALL).ok
            done = True
        except PowerCut:
            done = False
        desk.chip.power_on()
        there = CUSTOMER in desk.chip.applets
        assert done is there
        copy = Desk(chip=desk.chip.fork()).start()
        desk.open()
        for each in (desk, copy):
            assert there or each.install().ok
            each.personalize(CUSTOMER, LAST)
            assert CustomerInfo.decode(each.chip.process(SELECTED).data).life_cycle == LifeCycle.ISSUED
        if done:
            break


def test_an_opening_that_is_torn_uses_up_no_more_than_its_counter() -> None:
    """REQ-MAN-16."""
    desk = blank()
    desk.chip.memory.cut_after(1)
    before = desk.chip.snapshot()
    with pytest.raises(PowerCut):
        desk.open()
    desk.chip.power_on()
    assert desk.chip.snapshot() == before
    desk.open()
