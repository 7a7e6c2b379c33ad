"""The card manager, command by command: one row an APDU with its status word, in a channel or without one."""

from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from cardkit import LIMITS, PROGRAMME, Customer, Shop
from joren.apdu import AID_CUSTOMER, AID_SHOP, SW, Command, Key, Kind, LifeCycle, Response, aid
from joren.apdu.cards import CustomerInfo, ShopInfo
from joren.apdu.gp import MANAGER_AID, PACKAGE_AID, GpIns, InstallData, personalization_data
from joren.apdu.record import MalformedRecord
from joren.apdu.scp03 import (
    CardNotAuthentic,
    HostSession,
    Level,
    Opening,
    ResponseNotAuthentic,
    ScpKeys,
    check_put_keys,
    put_keys,
)
from joren.apdu.tlv import find, parse_dgis, parse_tlv
from joren.applet.customer import CustomerCard
from joren.host.personalization import blocks
from joren.simulator.card_manager import ANSWER_MAX, ROWS, CardManager
from joren.simulator.card_manager_chip import ManagedChip, make_managed_chip
from joren.simulator.card_manager_memory import CARD_TRANSITIONS, ENTRIES, CardState, Entry, Production
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.profile import load_profile

PRODUCTION = Production(bytes.fromhex("00010203040506070809"), b"\x62\x29\x99", b"\xc1\xc2\xc3\xc4")
CUSTOMER, SHOP = aid(AID_CUSTOMER, PROGRAMME), aid(AID_SHOP, PROGRAMME)
SEARCH_ALL = "4F00"


def key_set(version: int, first: int = 0x40) -> ScpKeys:
    enc, mac, dek = (Key(bytes(range(first + 16 * index, first + 16 * index + 16)), name) for index, name in enumerate("EMD"))
    return ScpKeys(enc, mac, dek, version)


KEYS, OTHER = key_set(0x30), key_set(0x31, 0x80)
numbers = count(1)


@dataclass
class Desk:
    """A managed chip and who manages it: an open channel, or none."""

    keys: ScpKeys = field(default_factory=lambda: KEYS)
    level: int = Level.FULL
    chip: ManagedChip = field(default_factory=lambda: make_managed_chip(b"managed", IDEAL, KEYS, PRODUCTION))
    session: HostSession | None = None

    def start(self) -> "Desk":
        self.chip.power_on()
        return self.open()

    def open(self, version: int = 0) -> "Desk":
        """The whole opening, by the host's side of the library."""
        opening = Opening(next(numbers).to_bytes(8), self.level, version, aid=MANAGER_AID)
        authenticating = opening.authenticate(self.chip.process(opening.initialize_update()), self.keys)
        self.session = authenticating.open(self.chip.process(authenticating.command))
        return self

    def send(self, command: Command) -> Response:
        if self.session is None:
            return self.chip.process(command)
        return self.session.unwrap(self.chip.process(self.session.wrap(command)))

    def apdu(self, text: str) -> Response:
        return self.send(Command.decode(bytes.fromhex(text)))

    def install(self, name: bytes = CUSTOMER) -> Response:
        return self.send(Command(0x80, GpIns.INSTALL, 0x0C, 0, InstallData(PACKAGE_AID, name[:-2], name).encode(), 256))

    def delete(self, name: bytes = CUSTOMER) -> Response:
        return self.send(Command(0x80, GpIns.DELETE, 0, 0, b"\x4f" + bytes((len(name),)) + name, 256))

    def personalize(self, name: bytes, blocks: list[bytes]) -> None:
        assert self.send(Command(0x80, GpIns.INSTALL, 0x20, 0, personalization_data(name), 256)) == Response(b"\0", SW.OK)
        for block in sealed(self.keys, blocks):
            assert self.send(block).ok

    def card_state(self, state: int) -> Response:
        return self.send(Command(0x80, GpIns.SET_STATUS, 0x80, state))

    def select(self, name: bytes, channel: int = 0, p2: int = 0x0C) -> Response:
        return self.chip.process(Command(channel, 0xA4, 4, p2, name, 256))


def sealed(keys: ScpKeys, plain: list[bytes]) -> list[Command]:
    """STORE DATA in the secured form of blocks in the plain form."""
    return blocks([dgi for block in plain for dgi in parse_dgis(block)], keys.dek, 223)


def hexed(data: bytes) -> str:
    return data.hex().upper()


def command(ins: int, p1: int, p2: int, data: bytes = b"") -> str:
    return hexed(Command(0x80, ins, p1, p2, data).encode())


def install(data: InstallData, p1: int = 0x0C) -> str:
    return command(GpIns.INSTALL, p1, 0, data.encode())


GOOD = InstallData(PACKAGE_AID, AID_CUSTOMER, CUSTOMER)
NEXT = InstallData(PACKAGE_AID, AID_CUSTOMER, aid(AID_CUSTOMER, 2))
PLAIN_ROWS = [
    ("SELECT without data", "00A4040000", 0x9000),
    ("SELECT without Le", "00A4040008A000000151000000", 0x9000),
    ("unknown CLA", "90CA006600", 0x6E00),
    ("protected without a channel", "84CA006600", 0x6985),
    ("unknown INS", "8012000000", 0x6D00),
    ("INS of the other CLA", "00F24000024F0000", 0x6D00),
    ("GET DATA with data", "80CA006601AA00", 0x6700),
    ("GET DATA, no such object", "80CA123400", 0x6A88),
    ("GET DATA without Le", "80CA0045", 0x9000),
    ("GET DATA", "80CA006600", 0x9000),
    ("GET DATA, ISO class", "00CA00E000", 0x9000),
    ("INITIALIZE UPDATE, short", "805000000701020304050607", 0x6700),
    ("INITIALIZE UPDATE, no such version", "80503100080102030405060708", 0x6A88),
    ("EXTERNAL AUTHENTICATE first", "8482330010" + "00" * 16, 0x6985),
    ("P1 before length", "80F24100", 0x6A86),
    ("deprecated form", "80F24000024F0000", 0x6A86),
    ("ISD and next", "80F28003024F0000", 0x6A86),
    ("length before channel", "80F24002", 0x6700),
    ("GET STATUS", "80F24002024F0000", 0x6982),
    ("SET STATUS, no such state", "80F08002", 0x6A86),
    ("SET STATUS", "80F08007", 0x6982),
    ("PUT KEY, P2", command(GpIns.PUT_KEY, 0, 0x01, b"\x01"), 0x6A86),
    ("PUT KEY, P1", command(GpIns.PUT_KEY, 0x80, 0x81, b"\x01"), 0x6A86),
    ("PUT KEY", command(GpIns.PUT_KEY, 0, 0x81, b"\x01"), 0x6982),
    ("INSTALL, P1", install(GOOD, 0x04), 0x6A86),
    ("INSTALL, chained", install(GOOD, 0x8C), 0x6A86),
    ("INSTALL", install(GOOD), 0x6982),
    ("LOAD", "80E8000001AA", 0x6982),
    ("DELETE", "80E40000074F05A0A1A2A3A4", 0x6982),
    ("STORE DATA, P1", "80E2900001AA", 0x6A86),
    ("STORE DATA", "80E2880001AA", 0x6982),
]


@pytest.mark.parametrize(("apdu", "sw"), [row[1:] for row in PLAIN_ROWS], ids=[row[0] for row in PLAIN_ROWS])
def test_without_a_channel(apdu: str, sw: int) -> None:
    """REQ-MAN-3, REQ-MAN-4; nothing is written."""
    desk = Desk()
    desk.chip.power_on()
    before = desk.chip.snapshot()
    assert hex(desk.apdu(apdu).sw) == hex(sw)
    assert desk.chip.snapshot() == before


def put_key_data(keys: ScpKeys, dek: Key = KEYS.dek) -> bytes:
    return put_keys(dek, keys).data


def wrong_check_value(which: int) -> bytes:
    data = bytearray(put_key_data(OTHER))
    data[23 * which] ^= 1
    return bytes(data)


LONG = ScpKeys(Key(b"\1" * 32), Key(b"\2" * 32), Key(b"\3" * 32), 0x32)
MORE = [
    ("GET STATUS, no 4F", command(GpIns.GET_STATUS, 0x40, 2, b"\x5c\x00"), 0x6A80),
    ("GET STATUS, TLV cut short", command(GpIns.GET_STATUS, 0x40, 2, b"\x4f\x01"), 0x6A80),
    ("GET STATUS, 4F twice", command(GpIns.GET_STATUS, 0x40, 2, b"\x4f\0\x4f\0"), 0x6A80),
    ("GET STATUS, next first", command(GpIns.GET_STATUS, 0x40, 3, b"\x4f\0"), 0x6985),
    ("GET STATUS, none such", command(GpIns.GET_STATUS, 0x40, 2, b"\x4f\5\xa0\xa1\xa2\xa3\xa4"), 0x6A88),
    ("GET STATUS, no such package", command(GpIns.GET_STATUS, 0x20, 2, b"\x4f\1\xa0"), 0x6A88),
    ("SET STATUS, no transition", "80F0800F", 0x6985),
    ("SET STATUS, the state it has", "80F08001", 0x6985),
    ("SET STATUS, no such application", "80F0408005A0A1A2A3A4", 0x6A88),
    ("SET STATUS, not locked", command(GpIns.SET_STATUS, 0x40, 0, CUSTOMER), 0x6985),
    ("PUT KEY, no such version before its data", command(GpIns.PUT_KEY, 0x31, 0x81, b"\x31"), 0x6A88),
    ("PUT KEY, short", command(GpIns.PUT_KEY, 0, 0x81, put_key_data(OTHER)[:-1]), 0x6A80),
    ("PUT KEY, long", command(GpIns.PUT_KEY, 0, 0x81, put_key_data(OTHER) + b"\0"), 0x6A80),
    ("PUT KEY, check value 1", command(GpIns.PUT_KEY, 0, 0x81, wrong_check_value(1)), 0x6A80),
    ("PUT KEY, check value 2", command(GpIns.PUT_KEY, 0, 0x81, wrong_check_value(2)), 0x6A80),
    ("PUT KEY, check value 3", command(GpIns.PUT_KEY, 0x30, 0x81, wrong_check_value(3)), 0x6A80),
    ("PUT KEY, under another key", command(GpIns.PUT_KEY, 0, 0x81, put_key_data(OTHER, OTHER.dek)), 0x6A80),
    ("PUT KEY, AES-256", command(GpIns.PUT_KEY, 0, 0x81, put_key_data(LONG)), 0x6A80),
    ("PUT KEY, the version there is", command(GpIns.PUT_KEY, 0, 0x81, put_key_data(KEYS)), 0x6A80),
    ("INSTALL for load", "80E6020001AA", 0x6A81),
    ("INSTALL, cut short", command(GpIns.INSTALL, 0x0C, 0, NEXT.encode()[:-1]), 0x6A80),
    ("INSTALL, more behind", command(GpIns.INSTALL, 0x0C, 0, NEXT.encode() + b"\0"), 0x6A80),
    ("INSTALL, unknown package", install(InstallData(b"other", AID_CUSTOMER, NEXT.aid)), 0x6A88),
    ("INSTALL, unknown module", install(InstallData(PACKAGE_AID, AID_SHOP[:-1] + b"\3", NEXT.aid)), 0x6A88),
    ("INSTALL, AID of the other module", install(InstallData(PACKAGE_AID, AID_SHOP, NEXT.aid)), 0x6A80),
    ("INSTALL, AID that is taken", install(GOOD), 0x6A80),
    ("INSTALL, privileges", install(InstallData(PACKAGE_AID, AID_CUSTOMER, NEXT.aid, b"\x04")), 0x6A80),
    ("INSTALL, two privileges", install(InstallData(PACKAGE_AID, AID_CUSTOMER, NEXT.aid, b"\0\0")), 0x6A80),
    ("INSTALL, no C9", install(InstallData(PACKAGE_AID, AID_CUSTOMER, NEXT.aid, parameters=b"")), 0x6A80),
    ("INSTALL, C9 that is not empty", install(InstallData(PACKAGE_AID, AID_CUSTOMER, NEXT.aid, parameters=b"\xc9\1\0")), 0x6A80),
    ("INSTALL, another parameter", install(InstallData(PACKAGE_AID, AID_CUSTOMER, NEXT.aid, parameters=b"\xc9\0\xea\0")), 0x6A80),
    ("INSTALL, parameters cut short", install(InstallData(PACKAGE_AID, AID_CUSTOMER, NEXT.aid, parameters=b"\xc9")), 0x6A80),
    ("INSTALL, token", install(InstallData(PACKAGE_AID, AID_CUSTOMER, NEXT.aid, token=b"t")), 0x6A80),
    ("INSTALL for personalization, form", "80E6200001AA", 0x6A80),
    ("INSTALL for personalization, none such", command(GpIns.INSTALL, 0x20, 0, personalization_data(SHOP)), 0x6A88),
    ("LOAD", "80E8800001AA", 0x6A81),
    ("DELETE, no AID", "80E400000300D101", 0x6A80),
    ("DELETE, the session's keys", "80E4000003D20130", 0x6985),
    ("DELETE, no such keys", "80E4000003D20131", 0x6A88),
    ("DELETE, keys of version 00", "80E4000003D20100", 0x6A88),
    ("DELETE, keys by identifier", "80E4000006D00101D20130", 0x6A80),
    ("DELETE, two bytes of version", "80E4000004D2023030", 0x6A80),
    ("DELETE, keys, P2", "80E4000103D20130", 0x6A86),
    ("DELETE, two", "80E40000" + "0E" + "4F05A0A1A2A3A4" * 2, 0x6A80),
    ("DELETE, the manager", command(GpIns.DELETE, 0, 0, b"\x4f\x08" + MANAGER_AID), 0x6985),
    ("DELETE, the package", command(GpIns.DELETE, 0, 0x80, b"\x4f\x06" + PACKAGE_AID), 0x6985),
    ("DELETE, none such", "80E40000074F05A0A1A2A3A4", 0x6A82),
    ("STORE DATA, nothing begun", "80E2880001AA", 0x6985),
    ("BEGIN R-MAC twice over", "807A100100", 0x6985),
]


@pytest.mark.parametrize(("apdu", "sw"), [row[1:] for row in MORE], ids=[row[0] for row in MORE])
def test_refused_within_a_channel(apdu: str, sw: int) -> None:
    """The status words of each command, and nothing is written (REQ-MAN-3, REQ-MAN-13, REQ-MAN-16)."""
    desk = Desk().start()
    assert desk.install().ok
    before = desk.chip.snapshot()
    assert hex(desk.apdu(apdu).sw) == hex(sw)
    assert desk.chip.snapshot() == before
    assert desk.apdu("80F24002024F0000").ok


NEEDED = {
    "80F24002024F0000": (0, 1, 3, 0x11, 0x13, 0x33),
    "80F08007": (1, 3, 0x11, 0x13, 0x33),
    install(GOOD): (1, 3, 0x11, 0x13, 0x33),
    command(GpIns.PUT_KEY, 0, 0x81, put_key_data(OTHER)): (1, 3, 0x11, 0x13, 0x33),
    "80E2880001AA": (3, 0x13, 0x33),
}


@pytest.mark.parametrize("level", list(map(int, Level)))
def test_what_each_level_allows(level: int) -> None:
    """REQ-MAN-4: below the level 6982, at it another word."""
    for apdu, levels in NEEDED.items():
        desk = Desk(level=level).start()
        desk.chip.install(CustomerCard, SHOP[:-3] + b"\1\0\2")
        assert (desk.apdu(apdu).sw != SW.SECURITY_STATUS_NOT_SATISFIED) is (level in levels), apdu


def test_the_answer_to_select() -> None:
    """REQ-MAN-1, REQ-MAN-2: the manager answers after reset, without any SELECT; a plain chip has nothing there."""
    desk = Desk()
    desk.chip.power_on()
    assert desk.apdu("80CA006600").ok
    response = desk.apdu("00A4040000")
    assert find(response.data, 0x6F, 0x84) == MANAGER_AID
    assert find(response.data, 0x6F, 0xA5, 0x9F65) == b"\xff"
    assert find(response.data, 0x6F, 0xA5, 0x9F6E) == PRODUCTION.diversification_data[-4:]
    assert desk.select(MANAGER_AID) == Response(b"", SW.OK)
    plain = Chip(b"plain")
    plain.power_on()
    assert plain.process(Command(0x80, 0xCA, 0, 0x66, b"", 256)).sw == SW.CONDITIONS_NOT_SATISFIED


def test_the_data_objects() -> None:
    """REQ-MAN-5."""
    desk = Desk().start()
    recognition = "06072A864886FC6B01600C060A2A864886FC6B02020301630906072A864886FC6B03640B06092A864886FC6B040370"
    assert hexed(desk.apdu("80CA006600").data) == "6631732F" + recognition
    assert hexed(desk.apdu("80CA00E000").data) == "E012C00401308810C00402308810C00403308810"
    assert hexed(desk.apdu("80CA00C100").data) == "C103000001"
    assert hexed(desk.apdu("80CA004200").data) == "4203622999"
    assert hexed(desk.apdu("80CA004500").data) == "4504C1C2C3C4"
    cplc = desk.apdu("80CA9F7F00").data
    assert (hexed(cplc[:3]), len(cplc), hexed(cplc[15:19])) == ("9F7F2A", 45, "06070809")
    bare = Desk(chip=make_managed_chip(b"bare", IDEAL, KEYS)).start()
    assert {bare.apdu(f"80CA00{tag}00").sw for tag in ("42", "45")} == {SW.REFERENCED_DATA_NOT_FOUND}


def test_wrong_keys_are_refused_and_write_nothing() -> None:
    """REQ-MAN-16: the host sees it before it sends its own proof; one that sends it all the same gets 6300."""
    desk = Desk(keys=key_set(0x30, 0x90))
    desk.chip.power_on()
    with pytest.raises(CardNotAuthentic):
        desk.open()
    before = desk.chip.snapshot()
    for number in range(3):
        assert desk.chip.process(Command(0x84, 0x82, 0x33, 0, bytes((number,)) * 16)).sw == (
            SW.CONDITIONS_NOT_SATISFIED if number else 0x6300
        )
    assert desk.chip.snapshot() == before
    desk.keys = KEYS
    assert desk.open().apdu("80CA00C100").data[-1] == 2


def test_what_ends_a_session() -> None:
    """REQ-MAN-4."""
    for end in ("00A4040000", "80CA006600", "8050000008" + "00" * 8):
        desk = Desk().start()
        assert desk.session is not None
        later = desk.session.wrap(Command(0x80, 0xCA, 0, 0x66, b"", 256))
        desk.chip.process(Command.decode(bytes.fromhex(end)))
        assert not desk.chip.process(later).ok
    desk = Desk().start()
    desk.chip.power_on()
    assert desk.apdu("80F24002024F0000").sw == SW.CONDITIONS_NOT_SATISFIED
    desk = Desk().start()
    session, desk.session = desk.session, None
    assert session is not None
    forged = session.wrap(Command(0x80, GpIns.SET_STATUS, 0x80, CardState.INITIALIZED))
    assert desk.chip.process(Command(forged.cla, forged.ins, 0x80, CardState.TERMINATED, forged.data)).sw == 0x6982
    assert desk.chip.process(forged).sw == 0x6982
    with pytest.raises(ResponseNotAuthentic):
        session.unwrap(Response(b"", SW.OK))


def test_put_key_adds_a_set_and_replaces_one() -> None:
    """REQ-MAN-7, REQ-MAN-8: old and new side by side, then the old one goes; counters begin at 0."""
    desk = Desk().start()
    check_put_keys(desk.send(put_keys(KEYS.dek, OTHER)), OTHER)
    assert desk.apdu("80CA00E000").data.count(b"\x88\x10") == 6
    desk.open(0x30)
    desk.keys = OTHER
    desk.open(0x31)
    newest = key_set(0x32, 0xB0)
    check_put_keys(desk.send(put_keys(OTHER.dek, newest, replaces=0x30)), newest)
    assert desk.send(put_keys(OTHER.dek, key_set(0x33, 0x10), replaces=0x30)).sw == SW.REFERENCED_DATA_NOT_FOUND
    desk.keys = newest
    assert desk.open().apdu("80CA00C100").data[-1] == 1
    assert desk.send(put_keys(newest.dek, key_set(0x33, 0x10))).ok
    assert desk.send(put_keys(newest.dek, key_set(0x34, 0x10))).sw == SW.NOT_ENOUGH_MEMORY
    same = key_set(0x32, 0x20)
    check_put_keys(desk.send(put_keys(newest.dek, same, replaces=0x32)), same)
    desk.keys = same
    assert desk.open(0x32).apdu("80CA00C100").data[-1] == 1


def test_keys_may_come_without_their_length() -> None:
    """REQ-MAN-7."""
    data = put_key_data(OTHER)
    fields = [data[start : start + 23] for start in (1, 24, 47)]
    bare = data[:1] + b"".join(b"\x88\x10" + one[3:] for one in fields)
    desk = Desk().start()
    mixed = [bare[:-1], bare + b"\0", data[:1] + fields[0] + bare[23:], bare[:1] + b"\x80" + bare[2:], bare[:-1] + bytes((bare[-1] ^ 1,))]
    for wrong in mixed:
        assert desk.apdu(command(GpIns.PUT_KEY, 0, 0x81, wrong)).sw == SW.WRONG_DATA
    assert desk.apdu(command(GpIns.PUT_KEY, 0, 0x81, bare)).ok
    desk.keys = OTHER
    desk.open(0x31)


def test_the_first_key_set_of_a_card_goes() -> None:
    """REQ-MAN-8."""
    first = key_set(0xFF)
    desk = Desk(first, chip=make_managed_chip(b"first", IDEAL, first)).start()
    assert desk.send(put_keys(first.dek, OTHER)).ok
    assert hexed(desk.apdu("80CA00E000").data) == "E012C00401318810C00402318810C00403318810"
    desk.keys = OTHER
    desk.open(0x31)


def test_the_registry() -> None:
    """REQ-MAN-9, REQ-MAN-6: what does not fit comes next; the registry is full at last."""
    desk = Desk().start()
    names = [aid(AID_CUSTOMER, number) for number in range(ENTRIES)]
    for name in names:
        assert desk.install(name) == Response(b"\0", SW.OK)
    assert desk.install(SHOP).sw == SW.NOT_ENOUGH_MEMORY
    first, rest = desk.apdu("80F24002024F0000"), desk.apdu("80F24003024F0000")
    assert (first.sw, rest.sw) == (0x6310, 0x9000)
    assert len(first.data) <= ANSWER_MAX
    found = parse_tlv(first.data + rest.data)
    assert [find(one.value, 0x4F) for one in found] == names
    assert hexed(found[0].value) == f"4F09{hexed(names[0])}9F700107C503000000"
    assert desk.apdu("80F24003024F0000").sw == SW.CONDITIONS_NOT_SATISFIED
    assert len(parse_tlv(desk.apdu(f"80F240020B4F09{hexed(names[3])}00").data)) == 1
    assert hexed(desk.apdu("80F28002024F0000").data) == "E3134F08A0000001510000009F700101C5039C5E00"
    package = f"4F06{hexed(PACKAGE_AID)}9F700101"
    assert hexed(desk.apdu("80F22002024F0000").data) == f"E30C{package}"
    modules = f"8407{hexed(AID_CUSTOMER)}8407{hexed(AID_SHOP)}"
    assert hexed(desk.apdu("80F21002024F0000").data) == f"E31E{package}{modules}"


def test_a_chip_that_is_full() -> None:
    """REQ-MAN-6: 6A84, and the chip is as before."""
    desk = Desk(chip=make_managed_chip(b"small", replace(load_profile("jcop241"), nvm_bytes=28_200), KEYS)).start()
    taken = [desk.install(aid(AID_CUSTOMER, number)).sw for number in range(3)]
    assert taken[0] == SW.OK
    assert taken[-1] == SW.NOT_ENOUGH_MEMORY
    assert len(desk.chip.applets) == 1 + taken.count(SW.OK)


def test_an_issued_card_serves() -> None:
    """REQ-MAN-15: both cards are issued through the manager; then a two-card purchase."""
    customer, shop = Customer(limits=LIMITS, issue=False), Shop(issue=False)
    desk = Desk().start()
    assert desk.install(CUSTOMER).ok
    assert desk.install(SHOP).ok
    desk.personalize(CUSTOMER, customer.blocks())
    desk.personalize(SHOP, shop.blocks())
    states = [find(one.value, 0x9F70)[0] for one in parse_tlv(desk.apdu("80F24002024F0000").data)]
    assert states == [LifeCycle.ISSUED, LifeCycle.ISSUED]
    customer.chip, shop.chip = desk.chip, desk.chip.fork()
    for chip in (customer.chip, shop.chip):
        chip.power_on()
    assert customer.select().life_cycle == LifeCycle.ISSUED
    customer.buy(1000)
    assert shop.select().shop == shop.shop
    shop.purchase(customer, 2000, Kind.PURCHASE)
    assert customer.select().counter == 2


def test_personalization_begins_anew_and_ends() -> None:
    """REQ-MAN-15: at block 00 after INSTALL, nowhere after its last block, DELETE or another session."""
    customer = Customer(issue=False)
    desk = Desk().start()
    assert desk.install().ok
    begin = Command(0x80, GpIns.INSTALL, 0x20, 0, personalization_data(CUSTOMER), 256)
    first, last = sealed(KEYS, customer.blocks())
    assert [desk.send(one).sw for one in (begin, first, begin, last, last)] == [0x9000, 0x9000, 0x9000, 0x6A86, 0x6985]
    assert [desk.send(begin).sw, desk.open().send(first).sw] == [0x9000, 0x6985]
    assert [desk.send(begin).sw, desk.install(SHOP).sw, desk.send(first).sw] == [0x9000, 0x9000, 0x6985]
    assert [desk.send(begin).sw, desk.delete(SHOP).sw, desk.send(first).sw] == [0x9000, 0x9000, 0x6985]
    assert desk.send(begin).ok
    assert desk.select(CUSTOMER, channel=1).ok
    assert [desk.send(first).sw, desk.send(begin).sw, desk.delete().sw] == [0x6985, 0x6985, 0x6985]


def test_an_application_is_locked_and_unlocked() -> None:
    """REQ-MAN-10."""
    desk = Desk().start()
    assert desk.install().ok
    assert desk.select(CUSTOMER, channel=1).ok
    lock, unlock = (Command(0x80, GpIns.SET_STATUS, 0x40, p2, CUSTOMER) for p2 in (0x80, 0x00))
    assert [desk.send(lock).sw, desk.send(lock).sw] == [0x9000, 0x6985]
    assert desk.chip.process(Command(0x81, 0xCA, 1, 1, b"", 98)).sw == SW.CONDITIONS_NOT_SATISFIED
    assert desk.select(CUSTOMER, channel=1).sw == SW.FILE_NOT_FOUND
    assert find(desk.apdu("80F24002024F0000").data, 0xE3, 0x9F70) == b"\x87"
    assert desk.send(Command(0x80, GpIns.INSTALL, 0x20, 0, personalization_data(CUSTOMER))).sw == SW.CONDITIONS_NOT_SATISFIED
    assert [desk.send(unlock).sw, desk.send(unlock).sw] == [0x9000, 0x6985]
    assert CustomerInfo.decode(desk.select(CUSTOMER).data).life_cycle == LifeCycle.SELECTABLE


WAYS = {
    CardState.OP_READY: (),
    CardState.INITIALIZED: (0x07,),
    CardState.SECURED: (0x07, 0x0F),
    CardState.CARD_LOCKED: (0x07, 0x0F, 0x7F),
}


@pytest.mark.parametrize("state", list(WAYS))
@pytest.mark.parametrize("wanted", list(CardState))
def test_every_transition_of_the_card(state: CardState, wanted: CardState) -> None:
    """REQ-MAN-11."""
    desk = Desk().start()
    for step in WAYS[state]:
        assert desk.card_state(step).ok
    allowed = wanted in CARD_TRANSITIONS[state]
    assert desk.card_state(wanted).sw == (SW.OK if allowed else SW.CONDITIONS_NOT_SATISFIED)
    assert desk.chip.manager is not None
    assert desk.chip.manager.memory.state == (wanted if allowed else state)


def test_a_locked_card() -> None:
    """REQ-MAN-12: the manager alone is found, and it reads and unlocks."""
    desk = Desk().start()
    assert desk.install().ok
    assert desk.select(CUSTOMER, channel=1).ok
    for step in (0x07, 0x0F, 0x7F):
        assert desk.card_state(step).ok
    assert desk.chip.process(Command(0x81, 0xCA, 1, 1, b"", 98)).sw == SW.CONDITIONS_NOT_SATISFIED
    assert desk.select(CUSTOMER).sw == SW.FILE_NOT_FOUND
    for apdu in (install(NEXT), command(GpIns.PUT_KEY, 0, 0x81, put_key_data(OTHER)), "80E2880001AA", "80E8000001AA", "80E40000024F00"):
        assert desk.apdu(apdu).sw == SW.CONDITIONS_NOT_SATISFIED
    assert desk.apdu("80F24002024F0000").ok
    assert desk.select(MANAGER_AID, p2=0).sw == SW.FILE_DEACTIVATED
    desk.start()
    assert desk.card_state(0x0F).ok
    assert desk.select(CUSTOMER).ok


def test_a_terminated_card() -> None:
    """REQ-MAN-12: GET DATA is answered, nothing else, for good."""
    desk = Desk().start()
    assert desk.install().ok
    assert desk.card_state(CardState.TERMINATED).ok
    desk.session = None
    rows = [
        ("80CA00E000", 0x9000),
        ("8050000008" + "00" * 8, 0x6985),
        ("80F0800F", 0x6985),
        ("80F24002024F0000", 0x6985),
        ("00A4040000", 0x6985),
    ]
    for _ in range(2):
        for apdu, sw in rows:
            assert hex(desk.apdu(apdu).sw) == hex(sw)
        assert desk.select(CUSTOMER).sw == SW.FILE_NOT_FOUND
        desk.chip.power_on()


def test_an_instance_is_deleted_and_installed_anew() -> None:
    """REQ-MAN-14: nothing of it is left, its cells are kept for it, and it comes back blank."""
    customer = Customer(issue=False)
    desk = Desk().start()
    assert desk.install().ok
    desk.personalize(CUSTOMER, customer.blocks())
    size = len(desk.chip.memory)
    assert desk.delete() == Response(b"\0", SW.OK)
    assert desk.select(CUSTOMER).sw == SW.FILE_NOT_FOUND
    regions = [region for name, region in desk.chip.memory.regions.items() if name.startswith(hexed(CUSTOMER))]
    assert not any(any(desk.chip.memory.read(region.address, region.size)) for region in regions)
    desk.start()
    assert desk.delete().sw == SW.FILE_NOT_FOUND
    assert desk.install().ok
    assert len(desk.chip.memory) == size
    assert CustomerInfo.decode(desk.select(CUSTOMER).data).life_cycle == LifeCycle.SELECTABLE


def test_a_managed_chip_is_copied() -> None:
    """Forks, other chips and snapshots keep the registry, also one from before an INSTALL and one after a DELETE."""
    desk = Desk().start()
    before = desk.chip.snapshot()
    assert desk.install().ok
    assert desk.install(SHOP).ok
    assert desk.delete().ok
    for copy in (desk.chip.fork(), desk.chip.on(load_profile("jcop4"))):
        copy.power_on()
        assert list(copy.applets) == [MANAGER_AID, SHOP]
        assert ShopInfo.decode(copy.process(Command(0, 0xA4, 4, 0x0C, SHOP, 256)).data).life_cycle == LifeCycle.SELECTABLE
        Desk(chip=copy).start()
    desk.chip.restore(before)
    assert list(desk.chip.applets) == [MANAGER_AID]
    desk.chip.install(CustomerCard, CUSTOMER)
    with pytest.raises(ValueError, match="installed before"):
        desk.chip.install(CustomerCard, CUSTOMER)


def test_records_refuse_short_and_long() -> None:
    entry = Entry(CUSTOMER, b"\1\2\3", locked=True)
    assert Entry.decode(entry.encode()) == entry
    assert Production.decode(PRODUCTION.encode()) == PRODUCTION
    assert InstallData.decode(GOOD.encode()) == GOOD
    long = InstallData(PACKAGE_AID, AID_CUSTOMER, CUSTOMER, bytes(3), b"p" * 128, b"t" * 300)
    assert InstallData.decode(long.encode()) == long
    for record, raw in ((Entry, entry.encode()), (Production, PRODUCTION.encode()), (InstallData, GOOD.encode())):
        for wrong in (raw[:-1], raw + b"\0", b""):
            with pytest.raises(MalformedRecord):
                record.decode(wrong)
    with pytest.raises(MalformedRecord):
        Production(b"")


def test_what_the_maker_may_not_do() -> None:
    for keys in (LONG, key_set(0)):
        with pytest.raises(ValueError, match="key set"):
            make_managed_chip(b"wrong", IDEAL, keys)
    chip = Chip(b"plain")
    chip.install(CardManager, MANAGER_AID)
    with pytest.raises(RuntimeError):
        _ = chip.applets[MANAGER_AID].card  # type: ignore[attr-defined]
    assert set(ROWS) == set(GpIns) - {GpIns.INITIALIZE_UPDATE, GpIns.EXTERNAL_AUTHENTICATE}
