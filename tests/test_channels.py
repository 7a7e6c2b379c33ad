"""Logical channels: opened, closed, each with a session of its own; SELECT of the next occurrence. One row an APDU, with what must come."""

from collections.abc import Callable

import pytest

from cardkit import PIN, Customer, pin_block
from joren.apdu import AID_CUSTOMER, AID_SHOP, SW, Command, Ins, Response, aid
from joren.apdu.cards import CustomerInfo
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.simulator.chip import Chip

FIRST, SECOND, SHOP = aid(AID_CUSTOMER, 1), aid(AID_CUSTOMER, 2), aid(AID_SHOP, 1)
NOT_OPEN, NONE_FREE, TAKEN = SW.LOGICAL_CHANNEL_NOT_SUPPORTED, SW.FUNCTION_NOT_SUPPORTED, SW.CONDITIONS_NOT_SATISFIED
PART = AID_CUSTOMER[:5]


def chip_with_three() -> Chip:
    chip = Chip(b"three")
    for applet, name in ((CustomerCard, FIRST), (CustomerCard, SECOND), (ShopCard, SHOP)):
        chip.install(applet, name)
    chip.power_on()
    return chip


def channel_command(operation: int, number: int, origin: int = 0, ne: int | None = 1, data: bytes = b"") -> Command:
    return Command(origin, Ins.MANAGE_CHANNEL, operation, number, data, ne)


def select(chip: Chip, name: bytes, channel: int = 0, p2: int = 0x00) -> Response:
    return chip.process(Command(channel, Ins.SELECT, 4, p2, name, 256))


def chosen(response: Response) -> bytes:
    """The AID in the FCI that SELECT answered."""
    assert response.ok, response.status
    return response.data[4 : 4 + response.data[3]]


OPEN, CLOSE = 0x00, 0x80
STEPS: list[tuple[str, Command, int, bytes]] = [
    ("a channel that is not open", Command(0x81, Ins.GET_STATE, 0, 0, b"", 40), NOT_OPEN, b""),
    ("SELECT's INS in the proprietary class", Command(0x81, Ins.SELECT, 4, 0, FIRST, 256), NOT_OPEN, b""),
    ("P1", channel_command(0x40, 0), SW.INCORRECT_P1_P2, b""),
    ("P2", channel_command(OPEN, 4), SW.INCORRECT_P1_P2, b""),
    ("data", channel_command(OPEN, 0, data=b"x"), SW.WRONG_LENGTH, b""),
    ("no Le", channel_command(OPEN, 0, ne=None), SW.WRONG_LE | 1, b""),
    ("close the basic one", channel_command(CLOSE, 0, ne=None), NONE_FREE, b""),
    ("close one that is not open", channel_command(CLOSE, 1, ne=None), SW.NO_INFORMATION_GIVEN, b""),
    ("open", channel_command(OPEN, 0), SW.OK, b"\x01"),
    ("open channel 3", channel_command(OPEN, 3, ne=None), SW.OK, b""),
    ("open channel 3 again", channel_command(OPEN, 3, ne=None), NONE_FREE, b""),
    ("open from channel 3", channel_command(OPEN, 0, origin=3), SW.OK, b"\x02"),
    ("no more", channel_command(OPEN, 0), NONE_FREE, b""),
    ("nothing selected there", Command(0x82, Ins.GET_STATE, 0, 0, b"", 40), TAKEN, b""),
    ("close from itself", channel_command(CLOSE, 2, origin=2, ne=None), SW.OK, b""),
    ("and it is closed", channel_command(CLOSE, 2, origin=2, ne=None), NOT_OPEN, b""),
    ("proprietary MANAGE CHANNEL", Command(0x80, Ins.MANAGE_CHANNEL, 0, 0, b"", 1), TAKEN, b""),
]


def test_channels_are_opened_and_closed() -> None:
    """REQ-CHN-1, REQ-CHN-2, REQ-CHN-3."""
    chip = chip_with_three()
    for name, command, sw, data in STEPS:
        assert chip.process(command) == Response(data, sw), name
    chip.power_on()
    assert chip.process(channel_command(CLOSE, 1, ne=None)).sw == SW.NO_INFORMATION_GIVEN


def test_a_channel_cannot_be_opened_from_one_with_an_instance() -> None:
    """REQ-CHN-2."""
    chip = chip_with_three()
    select(chip, FIRST, 1)
    assert chip.process(channel_command(OPEN, 0, origin=1)).sw == TAKEN
    assert chip.process(channel_command(OPEN, 0)).data == b"\x02"


@pytest.mark.parametrize("cla", [0x04, 0x0C, 0x10, 0x40, 0x84, 0xC0, 0xFE])
def test_no_other_class_names_a_channel(cla: int) -> None:
    """REQ-CHN-1, REQ-APDU-1."""
    chip = chip_with_three()
    assert Command(cla, Ins.GET_DATA, 1, 1).channel == 0
    select(chip, FIRST)
    assert chip.process(Command(cla, Ins.GET_DATA, 1, 1, b"", 256)).sw == SW.CLA_NOT_SUPPORTED


def test_a_select_opens_its_channel_and_one_that_fails_does_not() -> None:
    """REQ-CHN-3."""
    chip = chip_with_three()
    assert select(chip, b"\xf0none", 2).sw == SW.FILE_NOT_FOUND
    assert chip.process(Command(0x82, Ins.GET_STATE, 0, 0, b"", 40)).sw == NOT_OPEN
    assert chosen(select(chip, SHOP, 2)) == SHOP
    assert chip.process(Command(0x02, Ins.GET_CHALLENGE, 0, 0, b"", 8)).sw == SW.CONDITIONS_NOT_SATISFIED  # not issued: it came to the card


def test_an_instance_is_on_one_channel() -> None:
    """REQ-CHN-4."""
    chip = chip_with_three()
    select(chip, FIRST)
    select(chip, SECOND, 1)
    assert select(chip, FIRST, 1).sw == TAKEN
    assert select(chip, FIRST, 2).sw == TAKEN
    assert chip.process(Command(0x81, Ins.STORE_DATA, 0x08, 1, b"x")).sw == SW.INCORRECT_P1_P2  # SECOND is still selected there
    assert chip.process(channel_command(CLOSE, 1, ne=None)).ok
    assert chosen(select(chip, SECOND)) == SECOND
    assert chosen(select(chip, FIRST, 3)) == FIRST


def test_each_channel_has_its_own_session() -> None:
    """REQ-CHN-4, REQ-CHN-5: PIN verified and nonce on one channel are untouched by what happens on another."""
    customer = Customer(pin=PIN)
    chip = customer.chip
    chip.install(CustomerCard, SECOND)
    info = customer.select()
    assert customer.send(0x00, Ins.VERIFY, 0, 0x81, pin_block(PIN)).ok
    steps: list[Callable[[], object]] = [
        lambda: select(chip, SECOND, 1),
        lambda: select(chip, SECOND, 1),
        lambda: chip.process(Command(0x81, Ins.STORE_DATA, 0x08, 0, b"\x01\x01")),
        lambda: chip.process(channel_command(OPEN, 0)),
        lambda: chip.process(channel_command(CLOSE, 1, ne=None)),
    ]
    for step in steps:
        step()
        assert customer.send(0x00, Ins.VERIFY, 0, 0x81).ok
    customer.info = info
    assert customer.transact(0x01, customer.order()).ok
    chip.power_on()
    assert select(chip, FIRST, 1).ok
    assert chip.process(Command(0x01, Ins.VERIFY, 0, 0x81)).sw == SW.VERIFY_FAILED | 3
    assert chip.process(Command(0x01, Ins.VERIFY, 0, 0x81, pin_block(PIN))).ok
    chip.process(channel_command(CLOSE, 1, ne=None))
    assert CustomerInfo.decode(select(chip, FIRST, 0, 0x0C).data).counter == 1
    assert chip.process(Command(0x00, Ins.VERIFY, 0, 0x81)).sw == SW.VERIFY_FAILED | 3


def test_partial_names_and_the_next_occurrence() -> None:
    """REQ-AID-2, REQ-SEL-1."""
    chip = chip_with_three()
    order = [chosen(select(chip, PART, 0, 0x02)) for _ in range(3)]
    assert order == [FIRST, SECOND, SHOP]
    assert select(chip, PART, 0, 0x02).sw == SW.FILE_NOT_FOUND
    assert chip.process(Command(0, Ins.GET_CHALLENGE, 0, 0, b"", 8)).sw == SW.CONDITIONS_NOT_SATISFIED  # the shop card is still selected
    assert chosen(select(chip, AID_CUSTOMER)) == FIRST
    assert chosen(select(chip, AID_CUSTOMER, 0, 0x02)) == SECOND
    assert select(chip, AID_CUSTOMER, 0, 0x02).sw == SW.FILE_NOT_FOUND
    assert CustomerInfo.decode(select(chip, AID_CUSTOMER, 0, 0x0C).data).programme == 1
    assert CustomerInfo.decode(select(chip, AID_CUSTOMER, 0, 0x0E).data).programme == 2
    assert select(chip, FIRST, 0, 0x02).sw == SW.FILE_NOT_FOUND


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("01A404000500", "6700"),
        ("0130000005", "6881"),
        ("0160000000", "6881"),
        ("8391000000", "6881"),
        ("0060000000", "6D00"),
        ("0460000000", "6E00"),
    ],
)
def test_what_is_no_command_on_a_channel(raw: str, answer: str) -> None:
    """REQ-APDU-1, REQ-CHN-3: CLA first, then the channel, then INS and lengths."""
    assert chip_with_three().process_bytes(bytes.fromhex(raw)).hex().upper() == answer
