"""The chip: selection, RAM, keys, randomness, faults, snapshots."""

import logging
from hashlib import sha256

import pytest

from joren.apdu import SW, Command, Key, Response
from joren.applet.platform import Platform
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.memory import PowerCut
from joren.simulator.seat import READY, READY_MAX

AID_A, AID_B = bytes.fromhex("F000000001"), bytes.fromhex("F00000000201")
ECHO, KEEP, RAM, BREAK, MAC, SET_KEY, RANDOM, HALF = range(0x10, 0x18)


class Toy:
    """A small applet: keeps a byte string, breaks on demand, even in the middle of a transaction."""

    def __init__(self, platform: Platform, aid: bytes) -> None:
        self.aid = aid
        self.platform = platform
        self.kept = platform.persistent("kept", 4)
        self.secret = platform.persistent("secret", 4, secret=True)
        self.ram = platform.transient("ram", 2)
        self.key = platform.key("key")

    def select(self, command: Command) -> Response:
        return Response(self.aid, SW.OK)

    def process(self, command: Command) -> Response:
        data = command.data
        if command.ins == KEEP:
            with self.platform.transaction():
                self.kept.put(0, data)
                self.secret.put(0, data)
        elif command.ins == RAM:
            self.ram.put(0, data)
        elif command.ins == BREAK:
            with self.platform.transaction():
                self.kept.put(0, b"half")
                raise ArithmeticError("toy")
        elif command.ins == SET_KEY:
            self.key.store(data)
        elif command.ins == MAC:
            return Response(self.key.mac8(data) + self.key.derive(b"l", b"c").mac8(data), SW.OK)
        elif command.ins == RANDOM:
            return Response(self.platform.random(40), SW.OK)
        elif command.ins == HALF:
            self.platform.transaction().__enter__()
            self.kept.put(0, b"half")
        return Response(self.kept.get() + self.ram.get(), SW.OK)


def chip_with_toys() -> Chip:
    chip = Chip(b"seed")
    chip.install(Toy, AID_A)
    chip.install(Toy, AID_B)
    assert chip.power_on() == IDEAL.atr
    return chip


def send(chip: Chip, ins: int, data: bytes = b"") -> Response:
    return chip.process(Command(0x80, ins, 0, 0, data, 256))


def select(chip: Chip, aid: bytes, p2: int = 0, p1: int = 4) -> Response:
    return chip.process(Command(0, 0xA4, p1, p2, aid, 256))


def test_nothing_selected() -> None:
    """REQ-APDU-9."""
    assert send(chip_with_toys(), ECHO).sw == SW.CONDITIONS_NOT_SATISFIED


@pytest.mark.parametrize(
    ("aid", "p1", "p2", "sw", "found"),
    [
        (AID_A, 4, 0x00, SW.OK, AID_A),
        (AID_B, 4, 0x0C, SW.OK, AID_B),
        (AID_B[:5], 4, 0x00, SW.OK, AID_B),
        (AID_A[:4], 4, 0x00, SW.WRONG_LENGTH, b""),
        (bytes(17), 4, 0x00, SW.WRONG_LENGTH, b""),
        (AID_A + b"\x00", 4, 0x00, SW.FILE_NOT_FOUND, b""),
        (AID_A, 0, 0x00, SW.INCORRECT_P1_P2, b""),
        (AID_A, 4, 0x02, SW.OK, AID_A),
        (AID_A, 4, 0x04, SW.INCORRECT_P1_P2, b""),
    ],
)
def test_select_by_name(aid: bytes, p1: int, p2: int, sw: int, found: bytes) -> None:
    """REQ-AID-2."""
    assert select(chip_with_toys(), aid, p2, p1) == Response(found, sw)


def test_a_failed_select_leaves_the_selection() -> None:
    """REQ-AID-2."""
    chip = chip_with_toys()
    select(chip, AID_A)
    send(chip, RAM, b"ab")
    assert select(chip, bytes.fromhex("F0AABBCCDD")).sw == SW.FILE_NOT_FOUND
    assert send(chip, ECHO).data[4:] == b"ab"


def test_ram_is_cleared_on_deselection_and_reset_and_memory_is_not() -> None:
    chip = chip_with_toys()
    for leave in (lambda: select(chip, AID_B), lambda: select(chip, AID_A), chip.power_off, chip.power_on):
        select(chip, AID_A)
        send(chip, KEEP, b"keep")
        assert send(chip, RAM, b"ab").data == b"keepab"
        leave()
        select(chip, AID_A)
        assert send(chip, ECHO).data == b"keep\x00\x00"


def test_instances_share_nothing() -> None:
    """REQ-AID-3."""
    chip = chip_with_toys()
    select(chip, AID_A)
    send(chip, KEEP, b"keep")
    select(chip, AID_B)
    assert send(chip, ECHO).data == bytes(6)
    with pytest.raises(ValueError, match="installed before"):
        chip.install(Toy, AID_A)


def test_keys_are_never_stale() -> None:
    chip = chip_with_toys()
    select(chip, AID_A)
    old, new = bytes(range(16)), bytes(range(16, 32))
    send(chip, SET_KEY, old)
    before = chip.snapshot()
    answer = send(chip, MAC, b"m").data
    assert answer == Key(old).mac8(b"m") + Key(old).derive(b"l", b"c").mac8(b"m")
    send(chip, SET_KEY, new)
    assert send(chip, MAC, b"m").data[:8] == Key(new).mac8(b"m")
    chip.restore(before)
    select(chip, AID_A)
    assert send(chip, MAC, b"m").data == answer


@pytest.mark.parametrize("ins", [BREAK, HALF])
def test_a_fault_of_an_applet_is_6f00_and_rolls_back(ins: int, caplog: pytest.LogCaptureFixture) -> None:
    chip = chip_with_toys()
    select(chip, AID_A)
    send(chip, KEEP, b"keep")
    with caplog.at_level(logging.ERROR):
        assert send(chip, ins) == Response(b"", SW.NO_PRECISE_DIAGNOSIS)
    assert isinstance(chip.last_error, ArithmeticError if ins == BREAK else RuntimeError)
    assert "INS" in caplog.text
    assert send(chip, ECHO).data == b"keep\x00\x00"


def test_cells_have_borders() -> None:
    chip = chip_with_toys()
    for aid, toy in chip.applets.items():
        assert isinstance(toy, Toy)
        assert (len(toy.kept), len(toy.ram), aid) == (4, 2, toy.aid)
        for cells, offset in ((toy.kept, 2), (toy.kept, -1), (toy.ram, 0)):
            with pytest.raises(IndexError):
                cells.put(offset, b"abc")
        for offset, length in ((3, 2), (5, None)):
            with pytest.raises(IndexError):
                toy.kept.get(offset, length)
        with pytest.raises(ValueError, match="16 bytes expected, 15 came"):
            toy.key.store(bytes(15))


def test_random_bytes_come_from_the_seed_and_do_not_come_back() -> None:
    chip, twin, other = chip_with_toys(), chip_with_toys(), Chip(b"other")
    first = chip.random(40)
    assert first == twin.random(40)
    assert first[:8] != other.random(8)
    snapshot = chip.snapshot()
    second = chip.random(8)
    chip.restore(snapshot)
    assert chip.random(8) not in (first[:8], second)


def test_a_fork_goes_on_alike_and_apart() -> None:
    chip = chip_with_toys()
    select(chip, AID_A)
    send(chip, KEEP, b"keep")
    fork = chip.fork()
    assert fork.process(Command(0x80, ECHO, 0, 0, b"", 256)).sw == SW.CONDITIONS_NOT_SATISFIED
    assert fork.random(8) == chip.random(8)
    select(fork, AID_A)
    assert send(fork, KEEP, b"fork").data[:4] == b"fork"
    assert send(chip, ECHO).data[:4] == b"keep"


def test_a_power_cut_leaves_old_or_new_as_a_whole() -> None:
    for count in (1, 2, 3):
        chip = chip_with_toys()
        select(chip, AID_A)
        send(chip, KEEP, b"old!")
        old = chip.snapshot()
        chip.memory.cut_after(count)
        with pytest.raises(PowerCut):
            send(chip, KEEP, b"new!")
        chip.power_on()
        assert chip.snapshot() == old


def test_bytes_in_bytes_out() -> None:
    chip = chip_with_toys()
    assert chip.process_bytes(bytes.fromhex("00A4040005F00000000100")) == AID_A + b"\x90\x00"
    assert chip.process_bytes(bytes.fromhex("00A4")) == b"\x67\x00"
    assert chip.process_bytes(bytes.fromhex("00A40400FF00")) == b"\x67\x00"
    assert chip.process_bytes(bytes.fromhex("FF300101")) == b"\x6e\x00"
    assert chip.process_bytes(bytes.fromhex("80600000")) == b"\x6d\x00"


def test_only_the_newest_ciphers_are_kept_ready() -> None:
    """And whichever are, the MACs are right."""
    chips = [chip_with_toys() for _ in range(READY_MAX + 20)]
    keys = [sha256(b"ready" + number.to_bytes(2)).digest()[:16] for number in range(len(chips))]
    for chip, key in zip(chips, keys, strict=True):
        select(chip, AID_A)
        send(chip, SET_KEY, key)
        send(chip, MAC, b"m")
    assert len(READY) == READY_MAX
    for chip, key in zip(chips, keys, strict=True):
        assert send(chip, MAC, b"m").data[:8] == Key(key).mac8(b"m")
