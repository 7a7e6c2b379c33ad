"""SCP03 inside an instance: the model, and the applet in Java built with a channel of its own. Each is as the host wants it, and both
answer the same bytes."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from deskkit import CUSTOMER, MASTERS, PRODUCT, SHOP
from javakit import built
from joren.apdu import AID_CUSTOMER, AID_SHOP, CLA_ISO, CLA_JOREN, SW, Command, Ins, Key, LifeCycle, Response, aid
from joren.apdu.gp import GpIns
from joren.apdu.scp03 import ChannelEnded, HostSession, Level, Opening, ResponseNotAuthentic, ScpKeys, encrypt_sensitive
from joren.apdu.tlv import build_dgi
from joren.applet.customer import CustomerCard
from joren.applet.own_channel import OwnChannel, channel_parameters
from joren.applet.shop import ShopCard
from joren.host import CardRefused, run
from joren.host.channel import Channel, WrongKeys, open_channel
from joren.host.personalization import CustomerOrder, Order, ShopOrder, blocks, groupings
from joren.simulator.chip import IDEAL, AppletClass, Chip
from joren.simulator.java_roles import OWN, java_customer, java_shop
from joren.simulator.javacard import JavaFault
from joren.simulator.memory import PowerCut
from joren.simulator.profile import Profile

PLAIN = replace(IDEAL, development=False)
ENC, MAC, DEK = (Key(bytes(range(start, start + 16)), "own", 7) for start in (0x21, 0x5A, 0xB3))
KEYS = ScpKeys(ENC, MAC, DEK, 7)
DIVERSIFICATION = bytes.fromhex("D1D2D3D4D5D6D7D8D9DA")
PARAMETERS = channel_parameters(KEYS, DIVERSIFICATION)
LEVELS = (Level.AUTHENTICATED, Level.C_MAC, Level.C_DECRYPTION, Level.C_MAC_R_MAC, Level.C_DECRYPTION_R_MAC, Level.FULL)
Maker = Callable[[Order, bytes], AppletClass]
ORDERS = pytest.mark.parametrize("order", [CUSTOMER, SHOP], ids=["customer card", "shop card"])


def of_model(order: Order, parameters: bytes) -> AppletClass:
    return OwnChannel(CustomerCard if isinstance(order, CustomerOrder) else ShopCard, parameters)


def of_java(order: Order, parameters: bytes) -> AppletClass:
    built(OWN)
    return (java_customer if isinstance(order, CustomerOrder) else java_shop)(OWN, parameters)


PROGRAMS = pytest.mark.parametrize("program", [of_model, of_java], ids=["model", "javacard"])


def aid_of(order: Order) -> bytes:
    return aid(AID_SHOP if isinstance(order, ShopOrder) else AID_CUSTOMER, PRODUCT.programme)


def chip_with(program: Maker, order: Order, parameters: bytes = PARAMETERS, profile: Profile = PLAIN) -> Chip:
    """A blank instance, selected."""
    chip = Chip(b"own", profile)
    chip.install(program(order, parameters), aid_of(order))
    chip.power_on()
    select(chip, order)
    return chip


def select(chip: Chip, order: Order) -> Response:
    return chip.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, aid_of(order), 256))


def opened(chip: Chip, order: Order, level: Level = Level.FULL, keys: ScpKeys = KEYS) -> Channel:
    return run(open_channel(order.slot, lambda _answer: keys, aid=aid_of(order), level=level), {order.slot: chip.process})


def send(chip: Chip, order: Order, channel: Channel, command: Command) -> Response:
    return run(channel.ask(command), {order.slot: chip.process})


def issue(chip: Chip, order: Order, level: Level = Level.FULL) -> Channel:
    """Personalizes it straight through its channel."""
    channel = opened(chip, order, level)
    for block in blocks(groupings(order, PRODUCT, MASTERS), KEYS.dek, channel.room()):
        assert send(chip, order, channel, block).ok
    return channel


def cells(chip: Chip, order: Order, name: str) -> bytes:
    region = chip.memory.regions[f"{aid_of(order).hex().upper()}/{name}"]
    return chip.memory.read(region.address, region.size)


def initialize(p1: int = 0, p2: int = 0, data: bytes = bytes(8)) -> Command:
    return Command(CLA_JOREN, GpIns.INITIALIZE_UPDATE, p1, p2, data, 256)


@PROGRAMS
@ORDERS
class TestOneCard:
    @pytest.mark.parametrize("level", [Level.C_DECRYPTION, Level.C_DECRYPTION_R_MAC, Level.FULL])
    def test_it_is_issued_through_its_channel(self, program: Maker, order: Order, level: Level) -> None:
        """REQ-OWN-1, REQ-OWN-2, REQ-OWN-4, REQ-PER-5: the host opens it as it opens a card manager's."""
        chip = chip_with(program, order)
        channel = issue(chip, order, level)
        assert cells(chip, order, "life_cycle")[0] == LifeCycle.ISSUED
        assert (channel.answer.diversification_data, channel.answer.key_version) == (DIVERSIFICATION, 7)
        assert channel.answer.sequence_counter == 1
        assert send(chip, order, channel, Command(CLA_JOREN, Ins.SET_STATUS, 0x40, LifeCycle.BLOCKED)).ok
        assert select(chip, order).sw == SW.FILE_DEACTIVATED

    @pytest.mark.parametrize("level", [Level.AUTHENTICATED, Level.C_MAC, Level.C_MAC_R_MAC])
    def test_without_encryption_of_commands_nothing_is_stored(self, program: Maker, order: Order, level: Level) -> None:
        """REQ-OWN-4, REQ-PER-5."""
        chip = chip_with(program, order)
        channel = opened(chip, order, level)
        before = chip.snapshot()
        block = build_dgi(0x8005, b"\x01" + encrypt_sensitive(KEYS.dek, bytes(16)))
        answer = send(chip, order, channel, Command(CLA_JOREN, Ins.STORE_DATA, 0x28, 0, block))
        assert (answer.sw, chip.snapshot()) == (SW.SECURITY_STATUS_NOT_SATISFIED, before)

    def test_wrong_keys_are_found_by_the_host(self, program: Maker, order: Order) -> None:
        """REQ-OWN-2: before the card has counted anything but the opening."""
        chip = chip_with(program, order)
        with pytest.raises(WrongKeys):
            opened(chip, order, keys=replace(KEYS, mac=Key(bytes(16), "own", 7)))
        assert cells(chip, order, "channel_counter") == bytes((0, 0, 1))

    def test_the_sequence_counter_has_an_end(self, program: Maker, order: Order) -> None:
        """REQ-OWN-2."""
        chip = chip_with(program, order)
        region = chip.memory.regions[f"{aid_of(order).hex().upper()}/channel_counter"]
        for before, after in ((b"\x00\xff\xff", b"\x01\x00\x00"), (b"\xff\xff\xfe", b"\xff\xff\xff")):
            chip.memory.write(region.address, before)
            assert opened(chip, order).answer.sequence_counter == int.from_bytes(after)
            assert cells(chip, order, "channel_counter") == after
        with pytest.raises(CardRefused, match="6985"):
            opened(chip, order)
        assert cells(chip, order, "channel_counter") == b"\xff\xff\xff"

    def test_an_opening_is_one_write(self, program: Maker, order: Order) -> None:
        """REQ-OWN-2."""
        chip = chip_with(program, order)
        before = chip.snapshot()
        chip.memory.cut_after(1)
        with pytest.raises(PowerCut):
            chip.process(initialize())
        chip.power_on()
        assert chip.snapshot() == before
        select(chip, order)
        chip.memory.cut_after(2)
        assert chip.process(initialize()).ok

    @pytest.mark.parametrize("parameters", [b"", b"\x01"], ids=["none", "development"])
    def test_without_keys_there_is_no_channel(self, program: Maker, order: Order, parameters: bytes) -> None:
        """REQ-OWN-1."""
        chip = Chip(b"own", replace(IDEAL, development=bool(parameters)))
        chip.install(program(order, b""), aid_of(order))
        chip.power_on()
        select(chip, order)
        assert chip.process(initialize()).sw == SW.REFERENCED_DATA_NOT_FOUND
        assert chip.process(initialize(data=bytes(7))).sw == SW.WRONG_LENGTH
        assert chip.process(Command(CLA_JOREN | 4, GpIns.EXTERNAL_AUTHENTICATE, 1, 0, bytes(16))).sw == SW.CONDITIONS_NOT_SATISFIED
        block = Command(CLA_JOREN, Ins.STORE_DATA, 0x08, 0, build_dgi(0x0103, PRODUCT.limits.encode()))
        assert chip.process(block).sw == (SW.OK if parameters else SW.SECURITY_STATUS_NOT_SATISFIED)

    @pytest.mark.parametrize("size", [2, 48, 50, 58, 60])
    def test_other_install_parameters_are_refused(self, program: Maker, order: Order, size: int) -> None:
        """REQ-OWN-1."""
        for parameters in (bytes((7,)) * size, bytes(49)):
            with pytest.raises((ValueError, JavaFault)):
                chip_with(program, order, parameters)

    def test_the_balance_sheet_is_for_a_channel_with_r_mac(self, program: Maker, order: Order) -> None:
        """REQ-OWN-4, REQ-DAT-2."""
        if not isinstance(order, CustomerOrder):
            return
        chip = chip_with(program, order)
        issue(chip, order)
        for level in LEVELS:
            select(chip, order)
            answer = send(chip, order, opened(chip, order, level), Command(CLA_ISO, Ins.GET_DATA, 1, 5, ne=46))
            assert answer.sw == (SW.OK if level.r_mac else SW.SECURITY_STATUS_NOT_SATISFIED)
            assert len(answer.data) == (46 if level.r_mac else 0)

    def test_a_session_ends_with_select_and_reset_and_a_plain_command_aborts_it(self, program: Maker, order: Order) -> None:
        """REQ-OWN-3, REQ-OWN-5."""
        chip = chip_with(program, order)
        plain = Command(CLA_JOREN, 0x7A, 0x10, 0x01)
        opened(chip, order, Level.C_MAC)
        assert chip.process(Command(CLA_JOREN | 5, 0x7A, 0x10, 0x01)).sw == SW.CLA_NOT_SUPPORTED
        for command in (plain, plain, Command(CLA_ISO, Ins.GET_DATA, 1, 1, ne=98), Command(CLA_JOREN | 4, 0x7A, 0x10, 0x01)):
            assert chip.process(command).sw == SW.SECURITY_STATUS_NOT_SATISFIED
        assert select(chip, order).ok
        assert chip.process(plain).sw == SW.CONDITIONS_NOT_SATISFIED
        opened(chip, order, Level.C_MAC)
        chip.power_on()
        select(chip, order)
        assert chip.process(plain).sw == SW.CONDITIONS_NOT_SATISFIED


class Both:
    """Model and Java side by side; `process` is for a host, which sees one card."""

    def __init__(self, order: Order, profile: Profile = PLAIN) -> None:
        self.order = order
        self.chips = [chip_with(program, order, profile=profile) for program in (of_model, of_java)]
        for chip in self.chips:
            issue(chip, order)
        self.answered = 0

    def process(self, command: Command) -> Response:
        model, java = (chip.process(command) for chip in self.chips)
        assert (command, model) == (command, java)
        assert self.chips[0].snapshot() == self.chips[1].snapshot()
        self.answered += 1
        return model

    def reset(self) -> None:
        for chip in self.chips:
            chip.power_on()


INSIDE = [
    Command(CLA_ISO, Ins.GET_DATA, 1, 1, ne=256),
    Command(CLA_ISO, Ins.GET_DATA, 1, 1, ne=97),
    Command(CLA_ISO, Ins.GET_DATA, 1, 5, ne=256),
    Command(CLA_ISO, Ins.GET_CHALLENGE, 0, 0, ne=256),
    Command(CLA_ISO, Ins.READ_RECORD, 1, 0x0C, ne=256),
    Command(CLA_ISO, Ins.VERIFY, 0, 0x81, b"0000\xff\xff\xff\xff"),
    Command(CLA_ISO, Ins.VERIFY, 0, 0x81, b"1234\xff\xff\xff\xff"),
    Command(CLA_ISO, Ins.VERIFY, 0, 0x81),
    Command(CLA_JOREN, Ins.GET_STATE, 0, 0, ne=256),
    Command(CLA_JOREN, Ins.GET_RESULT, 1, 0, b"\x01\x00", 256),
    Command(CLA_JOREN, Ins.SET_STATUS, 0x40, LifeCycle.BLOCKED),
    Command(CLA_JOREN, Ins.SET_STATUS, 0x40, LifeCycle.ISSUED),
    Command(CLA_JOREN, Ins.STORE_DATA, 0xA8, 0, build_dgi(0x0103, PRODUCT.limits.encode())),
    Command(CLA_JOREN, Ins.STORE_DATA, 0xA8, 0, build_dgi(0x8005, b"\x01" + bytes(16))),
    Command(CLA_JOREN, Ins.STORE_DATA, 0xA8, 0, bytes(231)),
    Command(CLA_JOREN, 0x7A, 0x10, 0x01),
    Command(CLA_JOREN, 0x7A, 0x30, 0x01, b"\x02ab"),
    Command(CLA_JOREN, 0x7A, 0x30, 0x01, b"\x03ab"),
    Command(CLA_JOREN, 0x7A, 0x20, 0x01),
    Command(CLA_JOREN, 0x78, 0x00, 0x03),
    Command(CLA_JOREN, 0x78, 0x00, 0x03, b"x"),
    Command(CLA_JOREN, 0x78, 0x00, 0x02),
    Command(CLA_JOREN, 0xA9, 0x00, 0x00),
]
"""What is sent within a session, and in the clear."""


class Host:
    """Opens sessions and spoils them, by chance."""

    def __init__(self, both: Both, rng: Random) -> None:
        self.both, self.rng = both, rng
        self.session: HostSession | None = None

    def step(self) -> None:
        """One of all that may come."""
        chance = self.rng.random()
        if self.session is None or chance < 0.04:
            self.open()
        elif chance < 0.07:
            self.session = None
            self.both.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, aid_of(self.both.order), 256))
        elif chance < 0.08:
            self.both.reset()
            self.session = None
        elif chance < 0.12:
            self.both.process(self.rng.choice(INSIDE))
        else:
            self.send(self.rng.choice(INSIDE))

    def open(self) -> None:
        """A session, right or wrong in one place."""
        rng, both = self.rng, self.both
        level = rng.choice(LEVELS)
        opening = Opening(rng.randbytes(8), level, rng.choice((0, 0, 7)), aid=aid_of(both.order))
        if rng.random() < 0.15:
            both.process(initialize(rng.choice((0, 1, 7)), rng.choice((0, 1)), rng.randbytes(rng.choice((0, 7, 8, 9)))))
        told = both.process(opening.initialize_update())
        if not told.ok:
            both.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, aid_of(both.order), 256))
            return
        authenticating = opening.authenticate(told, KEYS)
        command = authenticating.command
        if rng.random() < 0.2:
            both.process(self.spoiled(command))
        answer = both.process(command)
        self.session = authenticating.open(answer) if answer.ok else None

    def spoiled(self, command: Command) -> Command:
        """With another byte, or cut, or in the clear."""
        data, rng = command.data, self.rng
        where = rng.randrange(6)
        if where == 0:
            return replace(command, cla=rng.choice((command.cla & ~4, command.cla | 1, 0x0C, 0xC4)))
        if where == 1:
            return replace(command, p1=command.p1 ^ 1 << rng.randrange(8))
        if where == 2 or not data:
            return replace(command, p2=command.p2 ^ 1 << rng.randrange(8))
        if where == 3:
            return replace(command, data=data[: rng.randrange(len(data))])
        at = rng.randrange(len(data))
        return replace(command, data=data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :])

    def send(self, command: Command) -> None:
        """Within the session. After a command of sessions that the host did not make itself it knows the level no longer."""
        session, by_itself = self.session, self.rng.random() < 0.1
        assert session is not None
        try:
            wrapped = self._of_sessions(session) if by_itself else session.wrap(command)
        except (ChannelEnded, ValueError):
            self.session = None
            return
        if self.rng.random() < 0.06:
            self.both.process(self.spoiled(wrapped))
            self.session = None
            return
        answer = self.both.process(wrapped)
        try:
            session.unwrap(answer)
        except (ChannelEnded, ResponseNotAuthentic):
            self.session = None
        if command.ins in (0x7A, 0x78) and not by_itself and answer.ok:
            self.session = None

    def _of_sessions(self, session: HostSession) -> Command:
        return session.begin_r_mac(b"data", encrypt=self.rng.random() < 0.5) if self.rng.random() < 0.6 else session.end_r_mac()


@ORDERS
@pytest.mark.parametrize("cmac", [True, False], ids=["CMAC", "CBC-MAC alone"])
def test_model_and_applet_answer_the_same_bytes(order: Order, cmac: bool) -> None:
    """REQ-OWN-1 to REQ-OWN-5, REQ-FIT-1: sessions at every level, right and wrong, and what is sent within and beside them."""
    both = Both(order, replace(PLAIN, cmac=cmac))
    host = Host(both, Random(cmac))
    for _ in range(400):
        host.step()
    assert both.answered > 400
