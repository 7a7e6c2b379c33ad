"""yubikit, a host library in use, opens channels with our card, talks to it, and manages the keys of our card manager.

Skipped where yubikit is not there: its package asks for pyscard, which a bare system can not build. `./run` installs it without that where
the package index has it.
"""

from typing import Any

import pytest

from joren.apdu import Command, Key, Response
from joren.apdu.scp03 import CardSession, CardSettings, Level, Parameter, ScpKeys
from joren.simulator.card_manager_chip import ManagedChip
from scp03kit import AID, KEYS
from test_card_manager import KEYS as FIRST
from test_card_manager import OTHER, Desk, key_set

core = pytest.importorskip("yubikit.core", reason="yubikit is not installed: .venv/bin/python -m pip install --no-deps yubikey-manager")
smartcard = pytest.importorskip("yubikit.core.smartcard")
scp = pytest.importorskip("yubikit.core.smartcard.scp")
securitydomain = pytest.importorskip("yubikit.securitydomain")


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


class ChipLink:
    """What yubikit takes for a reader: a chip of ours."""

    transport = "usb"

    def __init__(self, chip: ManagedChip) -> None:
        self.chip = chip

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        answer = self.chip.process_bytes(apdu)
        return answer[:-2], int.from_bytes(answer[-2:])


def domain(chip: ManagedChip, keys: ScpKeys | None = None) -> Any:
    """yubikit's session with a security domain, authenticated where keys are given.

    Its readers of data objects expect the value alone, as a YubiKey answers; the card answers the whole data object, as GlobalPlatform has
    it (2.3.1, 11.3.3.1). So it is told to unpack that.
    """
    session = securitydomain.SecurityDomainSession(ChipLink(chip))
    whole = session.get_data
    session.get_data = lambda tag, data=b"": core.Tlv.unpack(tag, whole(tag, data))
    if keys is not None:
        session.authenticate(scp.Scp03KeyParams(scp.KeyRef(0x01, keys.version), static(keys)))
    return session


def static(keys: ScpKeys) -> Any:
    return scp.StaticKeys(keys.enc.reveal(), keys.mac.reveal(), keys.dek.reveal())


def key_information(*versions: int) -> dict[bytes, dict[int, int]]:
    """As yubikit tells it: key identifier and version, then key type 88 and length 10."""
    return {bytes((key_id, version)): {0x88: 0x10} for version in versions for key_id in (1, 2, 3)}


def refused(sw: int) -> Any:
    return pytest.raises(smartcard.ApduError, match=f"SW=0x{sw:04x}")


@pytest.fixture
def chip() -> ManagedChip:
    chip = Desk().chip
    chip.power_on()
    return chip


@pytest.mark.parametrize("keys", [None, FIRST], ids=["in the clear", "in a channel"])
def test_it_reads_what_the_card_manager_tells(chip: ManagedChip, keys: ScpKeys | None) -> None:
    """REQ-MAN-5."""
    session = domain(chip, keys)
    assert session.get_key_information() == key_information(0x30)
    assert session.get_card_recognition_data().startswith(bytes.fromhex("06072A864886FC6B01"))


def test_it_adds_a_key_set_and_takes_the_old_one_away(chip: ManagedChip) -> None:
    """REQ-MAN-7, REQ-MAN-8, REQ-MAN-18."""
    session = domain(chip, FIRST)
    session.put_key(scp.KeyRef(0x01, OTHER.version), static(OTHER))
    assert session.get_key_information() == key_information(0x30, 0x31)
    domain(chip, FIRST)
    session = domain(chip, OTHER)
    session.delete_key(kvn=FIRST.version)
    assert session.get_key_information() == key_information(0x31)
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        domain(chip, FIRST)
    Desk(OTHER, chip=chip).open(OTHER.version)


def test_it_replaces_a_key_set(chip: ManagedChip) -> None:
    """REQ-MAN-8: under the same version, and under another."""
    same, newest = key_set(0x30, 0x90), key_set(0x32, 0xB0)
    domain(chip, FIRST).put_key(scp.KeyRef(0x01, 0x30), static(same), replace_kvn=0x30)
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        domain(chip, FIRST)
    session = domain(chip, same)
    session.put_key(scp.KeyRef(0x01, 0x32), static(newest), replace_kvn=0x30)
    assert session.get_key_information() == key_information(0x32)
    assert domain(chip, newest).get_key_information() == key_information(0x32)
    Desk(newest, chip=chip).open(newest.version)


def test_what_the_card_manager_refuses_it(chip: ManagedChip) -> None:
    """REQ-MAN-4, REQ-MAN-8, REQ-MAN-18."""
    before = chip.snapshot()
    with refused(0x6982):
        domain(chip).delete_key(kvn=0x30)
    assert chip.snapshot() == before
    session = domain(chip, FIRST)
    before = chip.snapshot()
    with refused(0x6A88):
        session.delete_key(kvn=0x31)
    with refused(0x6985):
        session.delete_key(kvn=0x30)
    with refused(0x6A86):
        session.delete_key(kvn=0x30, delete_last=True)
    with refused(0x6A80):
        session.delete_key(kid=0x11)
    with refused(0x6A88):
        session.put_key(scp.KeyRef(0x01, 0x31), static(OTHER), replace_kvn=0x33)
    with refused(0x6A80):
        session.put_key(scp.KeyRef(0x01, 0x30), static(OTHER))
    assert chip.snapshot() == before
    session.put_key(scp.KeyRef(0x01, 0x31), static(OTHER))
