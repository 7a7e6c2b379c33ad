"""The till service at readers of PC/SC: cards come, go, are swapped, do not answer; readers are unplugged. tests/fakescard.py is PC/SC."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import Queue
from threading import Event
from typing import Any

import pytest

from cardkit import MASTERS, PROGRAMME, Shop
from fakescard import FakeScard, FakeSlot
from joren.apdu import Command, LinkLost, Response
from joren.host import Granted, HostError, Journal, ShopCardHolder, SoftwareKeys, Till
from joren.host.service.pcsc import PcscTapReader, tap_readers
from joren.host.service.problems import Problem
from joren.host.service.station import Station
from servicekit import HOUR
from support import card_number, free_of_pin

NAME = "Desk 00 00"


class Bench:
    """A station at a reader of PC/SC, and what it tells."""

    def __init__(self, folder: Path) -> None:
        self.scard = FakeScard(NAME, "Other 01 00")
        self.slot = self.scard[NAME]
        (reader,) = tap_readers(["desk*"], self.scard)
        self.journal = Journal(folder / "journal.sqlite", shared=True)
        till = Till(SoftwareKeys(PROGRAMME, 7, 1, MASTERS["till"]), self.journal)
        self.station = Station(reader, till, lambda: HOUR)
        self.told: Queue[tuple[str, dict[str, Any]]] = Queue()
        self.station.start(lambda _reader, event, fields: self.told.put((event, fields)))

    def tells(self) -> tuple[str, Any]:
        event, fields = self.told.get(timeout=10)
        return event, fields.get("card_id")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.station.stop()
    assert made.station.join(10)
    made.journal.close()


def identity(number: int) -> str:
    return card_number(number).hex().upper()


def test_cards_come_go_and_are_swapped(bench: Bench) -> None:
    assert bench.station.name == NAME
    bench.slot.insert(free_of_pin(1).chip)
    assert bench.tells() == ("card_in", identity(1))
    assert bench.station.submit(lambda till: till.purchase("S-1", HOUR, 100)).result(10).points == 1
    bench.slot.pull()
    bench.slot.insert(free_of_pin(2).chip)
    assert [bench.tells(), bench.tells()] == [("card_out", None), ("card_in", identity(2))], "another card, between two looks"
    bench.slot.pull()
    assert bench.tells() == ("card_out", None)
    waiting = bench.station.submit(lambda till: till.purchase("S-2", HOUR, 100))
    bench.slot.insert(free_of_pin(3).chip)
    assert waiting.result(10).card_id == card_number(3)


def test_a_swap_that_pcsc_does_not_see_is_told_by_the_sale(bench: Bench) -> None:
    bench.slot.insert(free_of_pin(1).chip)
    assert bench.tells() == ("card_in", identity(1))
    bench.slot.swap(free_of_pin(2).chip)
    assert bench.station.submit(lambda till: till.purchase("S-1", HOUR, 100)).result(10).card_id == card_number(2)
    assert [bench.tells(), bench.tells()] == [("card_out", None), ("card_in", identity(2))]


def test_a_card_that_another_program_reset_is_a_new_tap(bench: Bench) -> None:
    bench.slot.insert(free_of_pin(1).chip)
    assert bench.tells() == ("card_in", identity(1))
    bench.slot.reset_by_another()
    lost = bench.station.submit(lambda till: till.purchase("S-1", HOUR, 100))
    assert isinstance(lost.exception(10), Exception)
    assert [bench.tells(), bench.tells()] == [("card_out", None), ("card_in", identity(1))]
    assert bench.station.submit(lambda till: till.purchase("S-1", HOUR, 100)).result(10).points == 1


def test_a_card_that_does_not_answer_is_told_once(bench: Bench) -> None:
    bench.slot.mute = True
    bench.slot.insert(free_of_pin(1).chip)
    assert [bench.tells(), bench.tells()] == [("card_error", None), ("card_out", None)]
    bench.slot.pull()
    bench.slot.mute = False
    bench.slot.insert(free_of_pin(1).chip)
    assert bench.tells() == ("card_in", identity(1))


def test_a_reader_that_is_unplugged_comes_back(bench: Bench) -> None:
    bench.slot.insert(free_of_pin(1).chip)
    assert bench.tells() == ("card_in", identity(1))
    del bench.scard.slots[NAME]
    assert [bench.tells(), bench.tells()] == [("card_out", None), ("reader_gone", None)]
    slot = FakeSlot()
    slot.insert(free_of_pin(1).chip)
    bench.scard.slots[NAME] = slot
    assert [bench.tells(), bench.tells()] == [("reader_back", None), ("card_in", identity(1))]


def test_one_reader_has_to_be_meant() -> None:
    with pytest.raises(HostError, match="00"):
        tap_readers(["*"], FakeScard(NAME, "Other 01 00"))
    with pytest.raises(HostError, match="none"):
        tap_readers(["none"], FakeScard(NAME))
    with pytest.raises(HostError, match=f"{NAME}: named twice"):
        tap_readers(["0", "desk*"], FakeScard(NAME))


def test_a_reader_without_a_card_is_left_by_nobody() -> None:
    reader = PcscTapReader(NAME, FakeScard(NAME))
    assert reader.card_left()
    reader.release()
    assert reader.wait_card(lambda: True) is None


class LostOnce:
    """A shop card whose link breaks at its next command, and is whole after a reset."""

    def __init__(self) -> None:
        self.shop = Shop(7, 1, 1_000, 1_000)
        self.shop.chip.power_on()
        self.breaks, self.lost, self.resets = False, False, 0
        self.pulled = Event()

    def transmit(self, command: Command) -> Response:
        self.lost = self.lost or self.breaks
        self.breaks = False
        if self.lost:
            raise LinkLost("the shop card")
        return self.shop.chip.process(command)

    def reset(self) -> None:
        if self.pulled.is_set():
            raise LinkLost("no card is in the shop card's reader")
        self.shop.chip.power_off()
        self.shop.chip.power_on()
        self.lost, self.resets = False, self.resets + 1


class ShopBench:
    """A station with a shop card, at a reader of PC/SC in which a customer's card is."""

    def __init__(self, folder: Path) -> None:
        self.scard, self.shop = FakeScard(NAME), LostOnce()
        self.journal = Journal(folder / "journal.sqlite", shared=True)
        till = Till(ShopCardHolder(PROGRAMME), self.journal)
        self.station = Station(PcscTapReader(NAME, self.scard), till, lambda: HOUR, self.shop)
        self.told: Queue[str] = Queue()
        self.station.start(lambda _reader, event, _fields: self.told.put(event))
        self.scard[NAME].insert(free_of_pin(1).chip)
        assert self.tells(1) == ["card_in"]

    def tells(self, number: int) -> list[str]:
        return [self.told.get(timeout=10) for _ in range(number)]

    def sells(self) -> Future[Granted]:
        return self.station.submit(lambda till: till.purchase("S-1", HOUR, 100))

    def loses(self) -> None:
        """The shop card, in a sale."""
        self.shop.breaks = True
        assert "shop card" in str(self.sells().exception(10))


@pytest.fixture
def with_shop(tmp_path: Path) -> Iterator[ShopBench]:
    made = ShopBench(tmp_path)
    yield made
    made.station.stop()
    assert made.station.join(10)
    made.journal.close()


def test_a_shop_card_that_was_lost_is_reset_before_the_next_tap(with_shop: ShopBench) -> None:
    with_shop.loses()
    assert with_shop.tells(2) == ["card_out", "card_in"]
    assert with_shop.shop.resets == 1
    assert with_shop.sells().result(10).points == 1


def test_a_shop_card_that_was_pulled_is_waited_for(with_shop: ShopBench, caplog: pytest.LogCaptureFixture) -> None:
    """Meanwhile the reader is gone, with the reason; the customer's card is let go of, and is served as soon as the shop card is back."""
    with_shop.shop.pulled.set()
    with_shop.loses()
    assert with_shop.tells(2) == ["card_out", "reader_gone"]
    with pytest.raises(Problem, match="nothing is sold: its shop card is gone: no card is in the shop card's reader"):
        with_shop.sells()
    assert with_shop.scard[NAME].handles == {}
    with_shop.shop.pulled.clear()
    assert with_shop.tells(2) == ["reader_back", "card_in"]
    assert with_shop.sells().result(10).points == 1
    assert caplog.text.count("its shop card is gone") == 1
