"""The Java Card applet behind a platform's secure channel: what it does by itself, were the card manager to let it through."""

from dataclasses import dataclass

import pytest

from cardkit import Customer
from javakit import built
from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ins, Response
from joren.simulator import javacard
from joren.simulator.chip import Chip
from joren.simulator.java_roles import JAVACARD

SECURED = 0x04


@dataclass
class Channel:
    """A session at some level (joren.applet.platform.SecureChannel)."""

    c_mac: bool = True
    r_mac: bool = True
    c_decryption: bool = True

    def decrypt(self, data: bytes) -> bytes:
        return data


@pytest.fixture
def customer(monkeypatch: pytest.MonkeyPatch) -> Customer:
    """An issued Java card, selected."""
    built()
    monkeypatch.setattr(Chip, "default_program", JAVACARD)
    return Customer()


def ask(customer: Customer, channel: Channel | None, cla: int = CLA_ISO, data_object: int = 5, ne: int = 46) -> Response:
    """GET DATA through a session."""
    customer.chip.seats[customer.aid].channel = channel
    return customer.chip.process(Command(cla, Ins.GET_DATA, 1, data_object, b"", ne))


def test_through_the_channel_it_answers(customer: Customer) -> None:
    """REQ-DAT-2."""
    assert len(ask(customer, Channel()).data) == 46
    assert ask(customer, Channel(r_mac=False)).sw == SW.SECURITY_STATUS_NOT_SATISFIED
    assert ask(customer, Channel(c_mac=False)).sw == SW.SECURITY_STATUS_NOT_SATISFIED
    assert ask(customer, None).sw == SW.SECURITY_STATUS_NOT_SATISFIED


def test_in_the_clear_within_a_session_nothing_is_taken(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """REQ-MAN-4: a session with C-MAC ends; one without takes what comes."""
    monkeypatch.setattr(javacard, "SECURE_MESSAGING", 0)
    before = customer.chip.snapshot()
    for data_object, ne in ((1, 98), (5, 46)):
        assert ask(customer, Channel(), data_object=data_object, ne=ne) == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)
    assert ask(customer, Channel(c_mac=False), data_object=1, ne=98).ok
    assert customer.chip.snapshot() == before


def test_a_marked_command_without_a_session(customer: Customer) -> None:
    """REQ-APDU-1: no channel, so no class that means one."""
    assert ask(customer, None, CLA_ISO | SECURED, 1, 98).sw == SW.CLA_NOT_SUPPORTED
    assert ask(customer, None, CLA_JOREN | SECURED, 1, 98).sw == SW.CLA_NOT_SUPPORTED
