"""yubikit, a host library in use, opens channels with our card and talks to it.

Skipped where yubikit is not there: its package asks for pyscard, which a bare system can not build. `pip install --no-deps yubikey-manager
cryptography` is enough for this file.
"""

from typing import Any

import pytest

from joren.apdu import Command, Key, Response
from joren.apdu.scp03 import CardSession, CardSettings, Level, Parameter, ScpKeys
from scp03kit import AID, KEYS

smartcard = pytest.importorskip("yubikit.core.smartcard", reason="yubikit is not installed; it needs the system's PC/SC headers")
scp = pytest.importorskip("yubikit.core.smartcard.scp")


class Link:
    """What yubikit takes for a reader: our card, which sends data back in reverse."""

    transport = "usb"

    def __init__(self, i: int) -> None:
        enc, mac, dek = (Key(key) for key in KEYS[16])
        settings = CardSettings((ScpKeys(enc, mac, dek, 0x30),), Parameter.decode(i), aid=AID)
        self.card = CardSession(settings, lambda size: bytes(range(size)))
        self.heard: list[Command] = []

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        command = Command.decode(apdu)
        outcome = self.card.process(command, extended=command.encode() != apdu)
        if isinstance(outcome, Command):
            self.heard.append(outcome)
            outcome = self.card.wrap_response(Response(outcome.data[::-1], 0x9000))
        return outcome.data, outcome.sw


def opened(link: Link, keys: tuple[bytes, ...] = KEYS[16], version: int = 0x30) -> Any:
    protocol = smartcard.SmartCardProtocol(link)
    protocol.init_scp(scp.Scp03KeyParams(scp.KeyRef(0x01, version), scp.StaticKeys(*keys)))
    return protocol


@pytest.mark.parametrize("i", [0x60, 0x70])
@pytest.mark.parametrize("long", [False, True])
def test_it_opens_and_exchanges(i: int, long: bool) -> None:
    link = Link(i)
    protocol = opened(link)
    assert link.card.level is Level.FULL
    if long:
        protocol.configure(smartcard.Version(5, 7, 2))
    sizes = (1, 15, 16, 31, 200, *((248, 300, 2000) if long else ()))
    for size in sizes:
        data = bytes(range(256)) * 8
        assert protocol.send_apdu(0x80, 0xE2, 1, 2, data[:size]) == data[:size][::-1]
        assert link.heard[-1] == Command(0x80, 0xE2, 1, 2, data[:size])
    assert protocol.send_apdu(0x00, 0xCA, 0, 0x66) == b""
    assert link.heard[-1] == Command(0x00, 0xCA, 0, 0x66)


def test_wrong_keys_open_nothing() -> None:
    link = Link(0x70)
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        opened(link, (KEYS[16][0], KEYS[16][2], KEYS[16][2]))
    assert link.card.level is None


def test_a_key_version_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        opened(Link(0x70), version=0x31)
