"""What the Java Card applets meet on cards alone: T=0, SELECT handed on, install parameters, a platform's channel."""

from dataclasses import replace
from functools import cache

import pytest

import javakit
from joren.apdu import AID_CUSTOMER, AID_SHOP, CLA_ISO, SW, Command, Ins, Response, aid
from joren.commands.tear_scripts import scripts
from joren.simulator.chip import Chip
from joren.simulator.java_roles import java_customer, java_shop, program_with
from joren.simulator.javacard import JavaApplet, JavaClass, JavaFault
from joren.simulator.tear import Script

CUSTOMER, SHOP = aid(AID_CUSTOMER, 1), aid(AID_SHOP, 1)
READING = [
    Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x01, ne=256),
    Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x01, ne=98),
    Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x01, ne=97),
    Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x09, ne=256),
    Command(CLA_ISO, Ins.READ_RECORD, 0x01, 0x0C, ne=256),
    Command(0x80, Ins.GET_STATE, 0x00, 0x00, ne=256),
    Command(0x80, Ins.GET_CHALLENGE, 0x00, 0x00, ne=8),
    Command(0x80, 0xFE, 0x00, 0x00),
    Command(CLA_ISO, Ins.VERIFY, 0x00, 0x81),
]


@pytest.fixture(autouse=True)
def _built() -> None:
    javakit.built()


@cache
def all_scripts() -> list[Script]:
    return list(scripts())


def instance(java_class: JavaClass, name: bytes) -> JavaApplet:
    """On a chip, selected."""
    chip = Chip(b"runtime")
    chip.install(java_class, name)
    chip.power_on()
    assert chip.process(Command(CLA_ISO, Ins.SELECT, 0x04, 0x0C, name, 256)).ok
    found = chip.applets[name]
    assert isinstance(found, JavaApplet)
    return found


def test_with_t0_an_instance_does_what_it_does_with_t1() -> None:
    """REQ-FIT-2: P3 is the length of data for the commands that have data, else that of the answer; Le of others is not seen."""
    program = program_with(replace(java_customer(), t0=True), replace(java_shop(), t0=True))
    commands = 0
    for script in all_scripts():
        model, other = script.chip.fork(), script.chip.on(script.chip.profile, program=program)
        for chip in (model, other):
            chip.power_on()
        for command in [*script.commands, *READING]:
            if command.data or command.ne is not None or command.ins in (0xFE, Ins.VERIFY):
                assert model.process(command) == other.process(command), (script.name, command)
                commands += 1
        assert model.snapshot() == other.snapshot()
    assert commands > 500


@pytest.mark.parametrize(
    ("p1", "p2", "data", "sw"),
    [
        (0x04, 0x00, bytes(7), SW.FILE_NOT_FOUND),
        (0x04, 0x0E, bytes(16), SW.FILE_NOT_FOUND),
        (0x04, 0x0C, bytes(5), SW.FILE_NOT_FOUND),
        (0x04, 0x02, bytes(4), SW.WRONG_LENGTH),
        (0x04, 0x00, bytes(17), SW.WRONG_LENGTH),
        (0x00, 0x00, bytes(7), SW.INCORRECT_P1_P2),
        (0x04, 0x04, bytes(7), SW.INCORRECT_P1_P2),
    ],
)
def test_a_select_that_chose_nobody_is_refused_by_whoever_gets_it(p1: int, p2: int, data: bytes, sw: SW) -> None:
    """REQ-AID-2: a runtime hands it to the instance that is selected."""
    card = instance(java_customer(), CUSTOMER)
    assert card.process(Command(CLA_ISO, Ins.SELECT, p1, p2, data, 256)) == Response(b"", sw)


NAMED = bytes((len(CUSTOMER),)) + CUSTOMER


@pytest.mark.parametrize(
    "install",
    [
        NAMED[:-1] + b"\x00",
        b"\x08" + CUSTOMER[:-1] + b"\x00\x00",
        bytes((len(SHOP),)) + SHOP + b"\x00\x00",
        b"\x09" + CUSTOMER,
        NAMED + b"\x00\x05\x01",
        NAMED + b"\x00\x01\x02",
        NAMED + b"\x00\x02\x01\x01",
        NAMED + b"\x40\x00",
    ],
    ids=lambda raw: raw.hex().upper(),
)
def test_install_parameters_that_can_not_be_are_refused(install: bytes) -> None:
    with pytest.raises(JavaFault, match="install: "):
        instance(replace(java_customer(), install=install), CUSTOMER)


@pytest.mark.parametrize("install", [NAMED + b"\x00", NAMED + b"\x00\x00", NAMED + b"\x02\xaa\xbb\x00"])
def test_no_parameters_of_its_own_is_no_development(install: bytes) -> None:
    """REQ-PER-5."""
    card = instance(replace(java_customer(), install=install), CUSTOMER)
    assert card.process(Command(0x80, Ins.STORE_DATA, 0x88, 0x00, b"\x91\x01\x00")).sw == SW.SECURITY_STATUS_NOT_SATISFIED


class Open:
    """A session of the platform's."""

    c_mac = c_decryption = True
    r_mac = False

    def decrypt(self, data: bytes) -> bytes:
        return data


def test_what_opens_a_channel_is_the_platforms() -> None:
    card = instance(java_customer(), CUSTOMER)
    seat = card.seat
    assert card.process(Command(0x80, 0x50, 0, 0, bytes(8), 256)).sw == SW.INS_NOT_SUPPORTED
    seat.channel = Open()
    assert card.process(Command(0x80, 0x82, 0, 0, bytes(16), 256)).sw == SW.INS_NOT_SUPPORTED
    assert card.process(Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x04, ne=256)).sw == SW.CONDITIONS_NOT_SATISFIED, "not issued yet"
    seat.channel = None
