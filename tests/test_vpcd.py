"""The card's side of vpcd, against a driver that this file plays: orders, commands, and a driver that is slow, wrong or gone."""

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardkit import PROGRAMME, Customer
from joren.apdu import AID_CUSTOMER, aid
from joren.simulator import vpcd
from joren.simulator.memory import PowerCut
from joren.simulator.profile import load_profile
from joren.simulator.vpcd import LOOKS, ChipInSlot, News, NoDriver, VpcdSlot
from vpcdkit import SOON, Driver

INSTANCE = aid(AID_CUSTOMER, PROGRAMME)
SELECT = bytes((0, 0xA4, 4, 0, len(INSTANCE))) + INSTANCE + b"\x00"
GET_DATA = bytes.fromhex("00CA000000")
OFF, ON, RESET = (bytes((order,)) for order in (0, 1, 2))


@dataclass
class Echo:
    """A card that answers what it was told; each thing it does is noted."""

    atr: bytes = bytes.fromhex("3B80800101")
    done: list[str] = field(default_factory=list)
    error: BaseException | None = None
    times: int = 1

    def reset(self) -> None:
        self.done.append("reset")

    def exchange(self, apdu: bytes) -> bytes:
        self.done.append(apdu.hex())
        if self.error is not None:
            raise self.error
        return apdu * self.times


@pytest.fixture
def driver() -> Iterator[Driver]:
    with closing(Driver()) as driver:
        yield driver


@dataclass
class Placed:
    """A card that was put into a slot of the driver, and the news of it."""

    slot: VpcdSlot
    news: "SimpleQueue[News]"

    def next(self) -> News:
        return self.news.get(timeout=SOON)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def placed(driver: Driver, echo: Echo) -> Iterator[Placed]:
    news: SimpleQueue[News] = SimpleQueue()
    with VpcdSlot(echo, driver.port, news.put) as slot:
        slot.insert(None)
        driver.accept()
        driver.look()
        assert news.get(timeout=SOON) is News.INSERTED
        yield Placed(slot, news)


def patience(monkeypatch: pytest.MonkeyPatch, milliseconds: int) -> None:
    monkeypatch.setattr(vpcd, "TIMEVAL", struct.pack("ll", 0, 1_000 * milliseconds))


def test_orders_and_commands(driver: Driver, echo: Echo, placed: Placed) -> None:
    """Off, on and reset are not answered, and each ends the session; every other message is a command."""
    for order in (OFF, ON, RESET):
        driver.send(order)
    assert driver.ask(b"\x00\xa4") == b"\x00\xa4"
    assert driver.ask(b"\x05") == b"\x05"
    assert driver.look(1) == [echo.atr]
    assert echo.done == ["reset", "reset", "reset", "reset", "00a4", "05"]
    assert placed.slot.inserted
    assert placed.slot.wanted


def test_programs_have_the_card_when_pcscd_has_looked_again(driver: Driver, echo: Echo) -> None:
    """Not before: a program that connects at once would find no card."""
    with VpcdSlot(echo, driver.port) as slot:
        waiting = Thread(target=slot.insert)
        waiting.start()
        driver.accept()
        driver.look(LOOKS - 1)
        driver.ask(b"\x00\xa4")
        assert waiting.is_alive()
        assert not slot.inserted
        driver.look(1)
        waiting.join(SOON)
        assert slot.inserted


@pytest.mark.parametrize("size", [2, 255, 256, 4_096, 0xFFFE, 0xFFFF])
def test_commands_and_answers_of_any_size(driver: Driver, placed: Placed, size: int) -> None:
    assert driver.ask(b"\xa5" * size) == b"\xa5" * size


def test_an_answer_that_no_message_can_hold_is_6700(driver: Driver, echo: Echo, placed: Placed) -> None:
    echo.times = 2
    assert driver.ask(b"\xa5" * 0x8000) == b"\x67\x00"
    assert driver.ask(b"\xa5" * 2) == b"\xa5" * 4


def test_messages_that_come_in_pieces_and_in_a_row(driver: Driver, placed: Placed) -> None:
    for byte in b"\x00\x02\xaa\xbb":
        driver.card.sendall(bytes((byte,)))
    assert driver.answer() == b"\xaa\xbb"
    driver.card.sendall(b"\x00\x01\x02" + b"\x00\x02\xcc\xdd" + b"\x00\x01\x04")
    assert driver.answer() == b"\xcc\xdd"
    assert driver.answer() == placed.slot.card.atr


class Watched(socket.socket):
    """A socket that notes what the card's side does with it."""

    notes: list[str]

    def setsockopt(self, *option: Any) -> None:
        super().setsockopt(*option)
        if option[:2] == (socket.IPPROTO_TCP, getattr(socket, "TCP_QUICKACK", None)):
            self.notes.append("acknowledge")
        if option[:2] == (socket.IPPROTO_TCP, socket.TCP_NODELAY):
            self.notes.append("no delay")

    def recv_into(self, *into: Any) -> int:
        self.notes.append("receive")
        return super().recv_into(*into)

    def sendall(self, *data: Any) -> None:
        self.notes.append("send")
        super().sendall(*data)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux has it alone")
def test_every_part_is_acknowledged_at_once_and_every_answer_is_one_packet(driver: Driver, echo: Echo) -> None:
    """Else the driver of 2020 waits 40 ms for each command."""
    notes: list[str] = []

    def plug() -> socket.socket:
        plain = driver.port()
        watched = Watched(fileno=plain.detach())
        watched.notes = notes
        return watched

    with VpcdSlot(echo, plug) as slot:
        slot.insert(None)
        driver.accept()
        driver.ask(b"\x00\xa4")
        driver.ask(b"\x00\xa4")
        slot.remove()
    assert notes[0] == "no delay"
    one = ["acknowledge", "receive", "acknowledge", "receive", "send"]
    assert notes[1:11] == [*one, *one]


@pytest.mark.parametrize("half", [b"", b"\x00", b"\x00\x05", b"\x00\x05\xaa\xbb", b"\x00\x00"])
def test_a_driver_that_goes_away_or_sends_no_message(driver: Driver, echo: Echo, placed: Placed, half: bytes) -> None:
    """Then the card connects anew, and has no session; nothing of half a command reaches it."""
    driver.card.sendall(half)
    if half != b"\x00\x00":
        driver.card.shutdown(socket.SHUT_WR)
    assert driver.card_went()
    assert placed.next() is News.LOST
    driver.accept()
    assert driver.ask(b"\x00\xa4") == b"\x00\xa4"
    assert echo.done == ["reset", "reset", "00a4"]


@pytest.mark.parametrize("half", [b"\x00", b"\x00\x05", b"\x00\x05\xaa\xbb"])
def test_a_driver_that_never_sends_the_rest(driver: Driver, echo: Echo, monkeypatch: pytest.MonkeyPatch, half: bytes) -> None:
    patience(monkeypatch, 50)
    with VpcdSlot(echo, driver.port) as slot:
        slot.insert(None)
        driver.accept()
        driver.look()
        driver.card.sendall(half)
        assert driver.card_went()


def test_a_driver_that_is_silent_is_waited_for(driver: Driver, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, 1)
    waits: SimpleQueue[bool] = SimpleQueue()
    take = VpcdSlot._take

    def noted(slot: VpcdSlot, connection: socket.socket, size: int) -> memoryview:
        waits.put(True)
        return take(slot, connection, size)

    monkeypatch.setattr(VpcdSlot, "_take", noted)
    with VpcdSlot(echo, driver.port) as slot:
        slot.insert(None)
        driver.accept()
        for _ in range(5):
            assert waits.get(timeout=SOON)
        assert driver.look(1) == [echo.atr]


def test_a_driver_that_takes_no_answers(driver: Driver, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, 50)
    news: SimpleQueue[News] = SimpleQueue()
    echo.times = 0x7FFF
    with VpcdSlot(echo, driver.port, news.put) as slot:
        slot.insert(None)
        driver.accept()
        driver.look()
        driver.card.sendall(b"\x00\x02\x00\xa4" * 2_000)
        assert [news.get(timeout=SOON) for _ in range(2)] == [News.INSERTED, News.LOST]


def test_in_and_out(driver: Driver, echo: Echo, placed: Placed) -> None:
    with pytest.raises(ValueError, match="in already"):
        placed.slot.insert()
    placed.slot.remove()
    assert driver.card_went()
    assert placed.next() is News.REMOVED
    assert not placed.slot.wanted
    assert not placed.slot.inserted
    placed.slot.remove()
    other = Echo(b"\x3b\x00")
    placed.slot.insert(None, other)
    driver.accept()
    assert driver.look() == [other.atr] * LOOKS
    assert placed.next() is News.INSERTED


def test_a_card_that_left_stays_away_until_pcscd_has_looked(driver: Driver, placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    wait = placed.slot._leaving.wait

    def noted(pause: float) -> bool:
        pauses.append(pause)
        return wait(pause)

    monkeypatch.setattr(placed.slot._leaving, "wait", noted)
    placed.slot.remove()
    placed.slot.insert(None)
    driver.accept()
    assert 0.4 < pauses[0] <= vpcd.GAP_S


def test_no_driver_at_all(driver: Driver, echo: Echo) -> None:
    driver.close()
    with VpcdSlot(echo, driver.port) as slot:
        with pytest.raises(NoDriver, match=f"{driver.port}: a driver that takes the card expected"):
            slot.insert(0.01)
        assert not slot.wanted


def test_a_driver_that_does_not_look_at_its_slot(driver: Driver, echo: Echo) -> None:
    with VpcdSlot(echo, driver.port) as slot, pytest.raises(NoDriver):
        slot.insert(0.01)


def test_a_card_whose_power_goes_is_out(driver: Driver, echo: Echo, placed: Placed) -> None:
    echo.error = PowerCut()
    driver.send(b"\x00\xa4")
    assert driver.card_went()
    assert placed.next() is News.TORN
    assert echo.done == ["reset", "00a4", "reset"]
    echo.error = None
    placed.slot.insert(None)
    driver.accept()
    assert driver.ask(b"\x00\xa5") == b"\x00\xa5"


def test_a_card_that_can_not_be_kept_is_out_and_answers_nothing(driver: Driver, echo: Echo, placed: Placed) -> None:
    echo.error = OSError("disk full")
    driver.send(b"\x00\xa4")
    assert driver.card_went()
    assert placed.next() is News.FAILED
    assert placed.slot.error is echo.error


@pytest.fixture(scope="module")
def chip_card() -> ChipInSlot:
    return ChipInSlot(Customer(card_id=bytes(range(1, 9))).chip)


def test_on_off_and_reset_end_the_session(driver: Driver, chip_card: ChipInSlot) -> None:
    with VpcdSlot(chip_card, driver.port) as slot:
        slot.insert(None)
        driver.accept()
        for order in (OFF, ON, RESET):
            assert driver.ask(SELECT)[-2:] == b"\x90\x00"
            assert driver.ask(b"\x80\xa4\x00\x00") != b"\x69\x85"
            driver.send(order)
            assert driver.ask(GET_DATA) == b"\x69\x85"


@given(st.binary(max_size=40))
def test_a_chip_in_a_slot_answers_as_the_chip(chip_card: ChipInSlot, apdu: bytes) -> None:
    twin = ChipInSlot(chip_card.chip.fork())
    for card in (twin, chip_card):
        card.reset()
    assert chip_card.exchange(SELECT)[-2:] == b"\x90\x00"
    twin.exchange(SELECT)
    assert chip_card.exchange(apdu) == twin.chip.process_bytes(apdu)


def test_a_card_with_t0_alone_speaks_tpdus() -> None:
    """61XX and GET RESPONSE; a command without P3 has P3 0, and an Le after data is not sent, as drivers of readers do it."""
    chip = Customer(card_id=bytes(range(1, 9))).chip.on(load_profile("feitian-h19cr"))
    card = ChipInSlot(chip)
    card.reset()
    assert card.atr == chip.profile.atr
    answer = card.exchange(SELECT)
    assert answer[0] == 0x61
    assert card.exchange(SELECT[:-1]) == answer
    whole = card.exchange(bytes((0, 0xC0, 0, 0, answer[1])))
    assert (len(whole), whole[-2:]) == (answer[1] + 2, b"\x90\x00")
    assert card.exchange(SELECT) == answer
    card.reset()
    assert card.exchange(bytes((0, 0xC0, 0, 0, answer[1]))) == b"\x69\x85"
    assert card.exchange(b"\x00\xa4\x04\x00") == card.exchange(b"\x00\xa4\x04\x00\x00")


def test_a_tear_on_order_survives_a_reset(chip_card: ChipInSlot) -> None:
    card = ChipInSlot(Customer(card_id=bytes(range(1, 9))).chip)
    card.chip.memory.cut_after(3)
    card.reset()
    assert card.chip.memory.writes_to_cut == 3
