"""Cards in readers of pcscd, by its virtual driver: the purchase log, cards that are pulled, other programs, and a pcscd that ends.

The suite plays a part; `JOREN_READERS_FULL=1 ./run test tests/test_pcsc_pcscd.py` plays it all: 1,000 purchases with pulled cards.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from fakescard import Scripted
from joren.apdu import AID_CUSTOMER, Command, Response, Transmit, aid
from joren.applet.customer import CustomerCard
from joren.cli import main
from joren.commands import demo
from joren.host import DEFAULT_PRODUCT, CardRefused, HostError, Journal, Masters, Slot, SoftwareKeys, Till, issue_customer, run
from joren.host.pcsc import PcscCard, PcscReader, Share, WireProtocol, find_reader
from joren.host.pcsc_api import Pc
from joren.host.pcsc_errors import ReaderError, ReaderLost
from joren.host.pcsc_readers import list_readers
from joren.host.replay.log import Log, read_log
from joren.host.replay.play import Customer as Shopper
from joren.host.replay.play import Play
from joren.host.vault_file import FileVault
from joren.simulator.chip import Chip
from joren.simulator.image import load_image
from joren.simulator.profile import load_profile
from joren.simulator.protocol import Protocol
from joren.simulator.reader import Reader
from joren.simulator.vpcd import ChipInSlot, SlotCard
from pcsckit import PcscdKit
from readerkit import ReaderCounter, VpcdBox
from support import Counter, free_of_pin

FULL = "JOREN_READERS_FULL" in os.environ
CUSTOMERS = 300 if FULL else 200
TRUE_INSERTIONS = 6 if FULL else 2
SELECT = Command(0, 0xA4, 4, 0, bytes.fromhex("A000000001"), 256)
BANK_ATR = "3B6500002063CB6800"


@pytest.fixture
def boxes(pcscd: PcscdKit) -> "Iterator[Boxes]":
    """Both readers, empty."""
    with ExitStack() as stack:
        yield Boxes(pcscd, stack)


class Boxes:
    """Both readers, and what was connected to them."""

    def __init__(self, kit: PcscdKit, stack: ExitStack) -> None:
        self.kit, self._stack = kit, stack
        self.box = [VpcdBox(kit.pcscd.slot(number)) for number in (0, 1)]
        for box in self.box:
            stack.callback(box.slot.remove)

    def connect(self, number: int, card: SlotCard | None = None) -> PcscCard:
        if card is not None:
            self.box[number].put(card)
        reader = self._stack.enter_context(PcscReader(self.kit.names[number]))
        assert reader.wait_card(10) is not None
        return self._stack.enter_context(reader.connect())


class ReaderOfPcscd(Reader):
    """A reader of the demo, that is one of pcscd. Cards are swapped at a reset; each `every`-th is truly taken out and put in."""

    def __init__(self, name: str, boxes: Boxes, number: int, every: int) -> None:
        super().__init__(name, Protocol.T1)
        self._boxes, self._number, self._every = boxes, number, every
        self._card: PcscCard | None = None
        self._put = 0

    def insert(self, chip: Chip) -> bytes:
        box, card = self._boxes.box[self._number], ChipInSlot(chip)
        self._put += 1
        if self._put % self._every == 0:
            box.slot.remove()
        box.put(card)
        if self._card is None:
            self._card = self._boxes.connect(self._number)
        elif self._put % self._every == 0:
            with pytest.raises(ReaderLost):
                self._card.transmit(SELECT)
        self._card.reset()
        self.chip = chip
        return chip.profile.atr

    def remove(self) -> Chip:
        chip, self.chip = self.chip, None
        assert chip is not None
        return chip

    @property
    def transmit(self) -> Transmit:
        assert self._card is not None
        return self._card.transmit


def played(log: Log, street: demo.Street) -> tuple[list[object], list[bytes]]:
    """Plays the log. All receipts and views, and the memory images of all cards."""
    names = sorted({row.card for row in log.rows})
    customers = {name: Shopper(name, street.counter_of(number)) for number, name in enumerate(names)}
    play = Play(street.product, street, customers, names[0])
    for number, customer in enumerate(customers.values()):
        street.issue(number, customer)
    for row in log.rows:
        play.tap(row, after_cut=False)
    hour = street.product.hour_of(log.rows[-1].time)
    for customer in play.used():
        play.read_at_end(customer, hour)
    told: list[object] = [(customer.kept, customer.at_end) for customer in customers.values()]
    told += [(counter.name, counter.receipts, list(counter.till.journal.rows())) for counter, _ in street.counters]
    shops = [street.readers[counter.name][Slot.SHOP].chip for counter in street.with_cards]
    return told, [chip.snapshot() for chip in (*street.chips.values(), *(shop for shop in shops if shop is not None))]


def test_the_purchase_log_over_pcscd_gives_the_same_bytes_as_in_process(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """Receipts, views, journals and the memory of every card; the tills' challenges are drawn from a seed."""
    first = read_log(demo.CDNOW, False)
    some = set(list(dict.fromkeys(row.card for row in first.rows))[:CUSTOMERS])
    log = Log(tuple(row for row in first.rows if row.card in some), ())
    product, masters = demo._product(log), Masters.create(Random(1).randbytes)
    monkeypatch.setattr(demo, "SHOP_CARDS", 1)
    every = {"customer card": len(log.rows) // TRUE_INSERTIONS, "shop card": 1_000_000}

    class OverPcscd(demo.Street):
        def _reader(self, name: str, protocol: Protocol) -> Reader:
            found = desk.get(name)
            if found is None:
                found = desk[name] = ReaderOfPcscd(name, boxes, len(desk), every[name])
            return found

    desk: dict[str, Reader] = {}
    results = []
    for street in (demo.Street, OverPcscd):
        monkeypatch.setattr(demo, "SoftwareKeys", partial(SoftwareKeys, random=Random(2).randbytes))
        results.append(played(log, street(product, masters)))
    assert len(log.rows) > 500
    assert results[0][0] == results[1][0]
    assert results[0][1] == results[1][1]
    record_property("purchases over pcscd, same bytes as in process", len(log.rows))


@pytest.mark.parametrize(("by_card", "sales"), [(True, 500 if FULL else 20), (False, 500 if FULL else 12)])
def test_cards_that_are_pulled_at_random_are_settled(
    boxes: Boxes, by_card: bool, sales: int, record_property: Callable[[str, object], None]
) -> None:
    """Every sale ends once, and journal, customer cards, shop card and receipts tell the same sums."""
    counter = Counter(by_card)
    customers = [free_of_pin(number) for number in range(max(4, sales // 20))]
    numbers = {Slot.CUSTOMER: 0, **({Slot.SHOP: 1} if by_card else {})}
    cards = {slot: boxes.connect(number, ChipInSlot(free_of_pin(99).chip)) for slot, number in numbers.items()}
    over = ReaderCounter(counter, {slot: boxes.box[number] for slot, number in numbers.items()}, cards)
    pulled, left = over.many(customers, sales, 0.4, 1)
    assert pulled >= 3
    for box in boxes.box:
        box.slot.remove()
    counter.audit(*customers)
    record_property(f"purchases over pcscd, {'two' if by_card else 'one'}-card, with pulled cards", f"{sales}, {pulled} pulls, {left} left")


def test_pcscd_does_not_see_a_swap_within_its_polling_gap_and_the_dialog_does(boxes: Boxes) -> None:
    counter, mine, other = Counter(by_card=False), free_of_pin(1), free_of_pin(2)
    card = boxes.connect(0, ChipInSlot(mine.chip))
    events = card.reader.state().events
    number = [0]

    def swapping(command: Command) -> Response:
        number[0] += 1
        if number[0] == 2:
            swapped = ChipInSlot(other.chip)
            swapped.reset()
            boxes.box[0].slot.card = swapped
        return card.transmit(command)

    before = other.chip.snapshot()
    with pytest.raises(CardRefused, match="customer card refused"):
        run(counter.till.purchase("S", 100, 1000), {Slot.CUSTOMER: swapping})
    assert card.reader.state().events == events
    assert other.chip.snapshot() == before
    boxes.box[0].put(ChipInSlot(mine.chip))
    card.reset()
    assert run(counter.till.purchase("S", 100, 1000), {Slot.CUSTOMER: card.transmit}).card_id == mine.card_id
    boxes.box[0].slot.remove()
    counter.audit(mine, other)


def test_two_readers_are_used_by_two_threads(boxes: Boxes) -> None:
    answers: dict[int, set[bytes]] = {0: set(), 1: set()}
    cards = [boxes.connect(number, Scripted("3B9097800186", {SELECT.encode().hex(): f"0{number}9000"})) for number in (0, 1)]

    def use(number: int) -> None:
        for _ in range(200):
            answers[number].add(cards[number].transmit(SELECT).data)

    threads = [Thread(target=use, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {0: {b"\x00"}, 1: {b"\x01"}}


def test_waiting_sees_a_card_come_and_go(boxes: Boxes, pcscd: PcscdKit) -> None:
    reader = find_reader("virtual*00 01")
    assert reader.name == pcscd.names[1]
    assert reader.wait_gone(10) is not None
    assert reader.wait_card(0) is None
    boxes.box[1].slot.insert(None, ChipInSlot(free_of_pin().chip))
    state = reader.wait_card(10)
    assert state is not None
    assert (state.word, state.atr) == ("card", bytes.fromhex("3B9097800186"))
    with reader.connect() as card:
        assert list_readers()[1].word == "card, held"
        boxes.box[1].slot.remove()
        assert reader.wait_gone(10, after=state) is not None
        with pytest.raises(ReaderLost, match="the card was taken away") as lost:
            card.transmit(SELECT)
        assert lost.value.code == Pc.REMOVED_CARD
        with pytest.raises(ReaderLost, match="no card is in the reader"):
            card.reset()
    reader.close()


HOLD = """
import sys
from joren.host.pcsc import Share, find_reader
with find_reader(sys.argv[1]) as reader, reader.connect(Share[sys.argv[2]]) as card:
    for line in sys.stdin:
        if line == "reset\\n":
            card.reset()
        print("done", flush=True)
"""


def another_program(kit: PcscdKit, share: Share) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, kit.names[0], share.name]
    return subprocess.Popen(command, env=kit.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(program: "subprocess.Popen[str]", word: str) -> None:
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(f"{word}\n")
    program.stdin.flush()
    assert program.stdout.readline() == "done\n"


def test_another_program_that_holds_the_card_is_named_and_one_that_resets_it_is_noticed(boxes: Boxes, pcscd: PcscdKit) -> None:
    boxes.box[0].put(Scripted("3B9097800186"))
    with PcscReader(pcscd.names[0]) as reader:
        assert reader.wait_card(10) is not None
        with another_program(pcscd, Share.EXCLUSIVE) as other:
            told(other, "hold")
            with pytest.raises(ReaderError, match="another program holds the card"):
                reader.connect(Share.SHARED)
            other.communicate()
        with another_program(pcscd, Share.SHARED) as other, reader.connect(Share.SHARED) as card:
            told(other, "hold")
            assert card.transmit(SELECT).sw == 0x6D00
            told(other, "reset")
            with pytest.raises(ReaderLost, match="has reset the card"):
                card.transmit(SELECT)
            card.ready()
            with card.alone():
                assert card.transmit(SELECT).sw == 0x6D00
            other.communicate()


class Shell:
    """joren in a folder of its own; its cards go into the readers."""

    def __init__(self, folder: Path, boxes: Boxes) -> None:
        self.home, self.boxes = folder / "home", boxes

    def run(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(self.home), "--card-wait", "0.5", *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def put(self, number: int, image: str) -> None:
        self.boxes.box[number].put(ChipInSlot(load_image(self.home / image, FileVault.load_file(self.home / "keys.json").storage)))


def test_commands_with_readers_of_pcscd_and_a_foreign_card(boxes: Boxes, tmp_path: Path) -> None:
    shell = Shell(tmp_path, boxes)
    shell.run("card", "new", "alice")
    shell.run("shop", "new", "bakery")
    assert "put the customer card on Virtual PCD 00 00" in shell.run("card", "show", "pcsc:0", code=6).stderr
    boxes.box[0].put(Scripted(BANK_ATR, {}))
    boxes.connect(0).close()
    assert "customer card refused SELECT: 6D00" in shell.run("tap", "pcsc:0", "1", code=3).stderr
    boxes.box[0].slot.remove()
    shell.put(0, "cards/alice.json")
    shell.put(1, "shops/bakery.json")
    sale = json.loads(shell.run("tap", "pcsc:*00 00", "48", "--shop-card", "pcsc:1", "--json").stdout)
    assert sale["points"] == 48
    listed = json.loads(shell.run("readers", "--json").stdout)["readers"]
    assert [(one["name"], one["state"], one["protocols"]) for one in listed] == [(name, "card", ["T=0", "T=1"]) for name in boxes.kit.names]


def test_pcscd_ends_and_comes_back(boxes: Boxes, pcscd: PcscdKit) -> None:
    card = boxes.connect(0, ChipInSlot(free_of_pin().chip))
    assert card.transmit(SELECT).sw == 0x6A82
    for end in (pcscd.pcscd.kill, pcscd.pcscd.stop):
        end()
        with pytest.raises(ReaderLost, match="the PC/SC system"):
            card.transmit(SELECT)
        with pytest.raises(ReaderError, match=r"the PC/SC system does not run .*systemctl status pcscd"):
            list_readers()
        with pytest.raises(ReaderLost):
            card.ready()
        pcscd.pcscd.start()
        assert card.reader.wait_card(10) is not None
        card.ready()
        assert card.transmit(SELECT).sw == 0x6A82


def test_a_card_with_t0_alone_gets_its_answers_in_parts(boxes: Boxes) -> None:
    chip = Chip(b"T=0", replace(load_profile("ideal"), protocols=("T=0",), atr=bytes.fromhex("3B00")))
    chip.install(CustomerCard, aid(AID_CUSTOMER, DEFAULT_PRODUCT.programme))
    card = boxes.connect(0, ChipInSlot(chip))
    links: dict[Slot, Transmit] = {Slot.CUSTOMER: card.transmit}
    masters = Masters.create()
    run(issue_customer(DEFAULT_PRODUCT, masters, bytes(range(8))), links)
    keys = SoftwareKeys(DEFAULT_PRODUCT.programme, 1, 0, masters.group_master("till", DEFAULT_PRODUCT.programme))
    with Journal(":memory:") as journal:
        assert run(Till(keys, journal).purchase("S", 100, 1000), links).points == 10
    select = Command(0, 0xA4, 4, 0x0C, aid(AID_CUSTOMER, DEFAULT_PRODUCT.programme), 26)
    assert (card.protocol, card.transmit(select).sw) == (WireProtocol.T0, 0x611A)


def test_extended_length_goes_whole_and_too_much_throws_no_card_out(boxes: Boxes) -> None:
    class Echo(Scripted):
        def exchange(self, apdu: bytes) -> bytes:
            return apdu[-60_000:] + b"\x90\x00"

    card = boxes.connect(0, Echo("3B85018073C82140DE"))
    data = Random(1).randbytes(65_000)
    assert card.extended
    assert card.transmit(Command(0, 0xCB, 0x3F, 0xFF, data)).data == data[-60_000:]
    with pytest.raises(HostError, match="up to 65535 bytes"):
        card.transmit(Command(0, 0xCB, 0x3F, 0xFF, bytes(65_535)))
    assert card.transmit(Command(0, 0xCB, 0x3F, 0xFF, data)).data == data[-60_000:]


def test_a_batch_is_made_in_two_readers_at_once(boxes: Boxes, tmp_path: Path) -> None:
    shell = Shell(tmp_path, boxes)
    shell.run("personalize", "blanks", "2")
    for number, path in enumerate(sorted((shell.home / "blanks").glob("*.json"))):
        shell.put(number, f"blanks/{path.name}")
    csv_file = tmp_path / "members.csv"
    csv_file.write_text("member\nann\nben\n")
    result = shell.run("personalize", "batch", str(csv_file), "--readers", "pcsc:virtual*", "--json")
    *cards, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted((card["reader"], card["verdict"]) for card in cards) == [(name, "issued") for name in boxes.kit.names]
    assert last["counts"]["issued"] == 2
    assert last["readers_gone"] == []
