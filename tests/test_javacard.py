"""Applets in Java on a chip: what the memory is after each way to write, whenever the power goes, and what the machine's end leaves."""

import os
import signal
from dataclasses import replace
from itertools import count

import pytest

import javakit
from javakit import AID, PLAIN, TINY, Tiny
from joren.apdu import SW, Command, Key, Response
from joren.simulator import jvm
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.javacard import JavaApplet, JavaClass, JavaFault, JvmLost, RegionSize
from joren.simulator.jvm import JvmDied, NoJava
from joren.simulator.memory import JournalFull, PowerCut
from joren.simulator.reader import Reader
from joren.simulator.tear import Outcome, Script, explore
from joren.simulator.work import Op

SET_FIRST, COPY, COPY_NON_ATOMIC, SET_SHORT, FILL = 0x10, 0x11, 0x12, 0x13, 0x14
ADD, LEFT_OPEN, THROWS, ABORTS, NON_ATOMIC_INSIDE, FINALLY, TRIES = 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26
OUT_OF_BOUNDS, OTHER_EXCEPTION, FIELDS = 0x30, 0x31, 0x40
STORE_KEY, MAC, SET_RAM_KEY, ENCRYPT, MAC_INTO_CELLS = 0x50, 0x51, 0x52, 0x53, 0x54
LEVEL, DECRYPT, PUT_RAM, GET_RAM, NE = 0xA0, 0xA1, 0xB0, 0xB1, 0xB2
OLD = bytes((7, 0, 0, 0)) + bytes(16)
WRITES = [
    (SET_FIRST, b"\x05", b"\x05\0\0\0" + bytes(16)),
    (COPY, b"abcd", OLD[:4] + b"abcd" + bytes(12)),
    (COPY_NON_ATOMIC, b"xyz", OLD[:4] + b"xyz" + bytes(13)),
    (SET_SHORT, b"\x01\x02", b"\x07\0\x01\x02" + bytes(16)),
    (FILL, b"\x09\x09", OLD[:4] + b"\x09\x09" + bytes(14)),
    (ADD, b"hello", b"\x08\0\0\0hello" + bytes(11)),
    (NON_ATOMIC_INSIDE, b"\x06\x07", b"\x06\0\0\0\x06\x07" + bytes(14)),
    (FINALLY, b"\x04", b"\x04\x04\0\0" + bytes(16)),
    (TRIES, b"abc", OLD[:4] + b"abc" + bytes(13)),
    (STORE_KEY, b"k" * 16, OLD[:4] + b"k" * 16),
]


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()


@pytest.mark.parametrize(("ins", "data", "new"), WRITES)
def test_what_is_written_stands_in_the_chips_memory(tiny: Tiny, ins: int, data: bytes, new: bytes) -> None:
    assert tiny.cells == OLD
    assert tiny.send(ins, data).ok
    assert tiny.cells == new


def test_the_install_parameters_tell_of_a_chip_for_development() -> None:
    assert Tiny(IDEAL).cells == b"\x07\x01" + bytes(18)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("ins", "data", "new"), WRITES)
def test_the_power_may_go_at_any_write(ins: int, data: bytes, new: bytes, keep: bool) -> None:
    """Atomic ones leave the old or the new; a loop of bytes, or a copy that no journal has, leaves so many bytes of it."""
    seen = []
    for number in count(1):
        tiny = Tiny()
        tiny.chip.memory.keep_non_atomic = keep
        tiny.chip.memory.cut_after(number)
        try:
            tiny.send(ins, data)
        except PowerCut:
            pass
        else:
            assert tiny.cells == new
            break
        assert not tiny.chip.memory.powered
        loads = tiny.java.loads
        tiny.on()
        assert tiny.java.loads == loads, "the machine rolled back as the chip did"
        seen.append(tiny.cells)
    mixed = [cells for cells in seen if cells not in (OLD, new)]
    torn_by_byte = {COPY_NON_ATOMIC: 2, SET_SHORT: 1, FILL: 1, NON_ATOMIC_INSIDE: 2 if keep else 0}
    assert len(mixed) == torn_by_byte.get(ins, 0)
    assert seen[0] == OLD


def test_a_finally_block_gains_nothing_after_the_power_has_gone(tiny: Tiny) -> None:
    tiny.chip.memory.cut_after(1)
    with pytest.raises(PowerCut):
        tiny.send(FINALLY, b"\x04")
    tiny.on()
    assert tiny.cells == OLD


@pytest.mark.parametrize(("ins", "sw"), [(LEFT_OPEN, SW.NO_PRECISE_DIAGNOSIS), (THROWS, SW.CONDITIONS_NOT_SATISFIED), (ABORTS, SW.OK)])
def test_a_transaction_that_does_not_end_well_is_rolled_back(tiny: Tiny, ins: int, sw: int) -> None:
    assert tiny.send(ins, b"\x03").sw == sw
    assert tiny.cells == OLD
    assert tiny.send(ADD, b"x").ok, "the next transaction begins"


@pytest.mark.parametrize(("ins", "told"), [(OUT_OF_BOUNDS, "ArrayIndexOutOfBounds"), (OTHER_EXCEPTION, "TransactionException")])
def test_a_fault_of_the_program_is_6f00_and_says_where(tiny: Tiny, ins: int, told: str) -> None:
    assert tiny.send(ins, b"\x01") == Response(b"", SW.NO_PRECISE_DIAGNOSIS)
    assert isinstance(tiny.chip.last_error, JavaFault)
    assert told in str(tiny.chip.last_error)
    assert "joren.tiny.Tiny.process:" in str(tiny.chip.last_error)


def test_fields_numbers_and_references_are_taken_back_too(tiny: Tiny) -> None:
    assert tiny.send(FIELDS, b"\x05").ok
    assert tiny.chip.memory.statistics.writes > 5


def test_a_transaction_above_the_commit_capacity_is_6f00() -> None:
    tiny = Tiny(replace(PLAIN, commit_capacity_bytes=8, commit_overhead_bytes=2))
    assert tiny.send(ADD, b"abc").ok, "1 + 2 and 3 + 2 bytes"
    assert tiny.send(ADD, b"abcd").sw == SW.NO_PRECISE_DIAGNOSIS
    assert isinstance(tiny.chip.last_error, JournalFull)
    assert tiny.cells == b"\x08\0\0\0abc" + bytes(13)


def test_an_applet_may_take_a_full_journal_in_hand() -> None:
    tiny = Tiny(replace(PLAIN, commit_capacity_bytes=8, commit_overhead_bytes=2))
    assert tiny.send(TRIES, b"abcdefg").ok
    assert tiny.cells == b"\x07\0\0\x03" + bytes(16), "BUFFER_FULL is reason 3"


def test_random_bytes_are_the_chips(tiny: Tiny) -> None:
    model = Chip(b"tiny")
    assert tiny.on().data == (model.random(8), model.random(8))[1]
    assert tiny.chip.draws == model.draws


def test_a_mac_of_a_key_that_was_stored(tiny: Tiny) -> None:
    key = bytes(range(16))
    tiny.send(STORE_KEY, key)
    expected = Key(key, "test").mac8(b"message")
    work = tiny.chip.record_work()
    assert tiny.send(MAC, b"message").data[:8] == expected
    assert (Op.MAC, 7) in work
    assert (Op.SET_KEY, 16) in work
    assert [size for op, size in work if op is Op.WRITE] == [16, 1], "the key object, and its mark"
    work.clear()
    assert tiny.send(MAC, b"message").data[:8] == expected
    assert work == [(Op.MAC, 7)], "nothing is loaded twice"


@pytest.mark.parametrize("number", [1, 2])
def test_a_key_object_that_was_being_loaded_is_loaded_again(tiny: Tiny, number: int) -> None:
    key = bytes(range(16))
    tiny.send(STORE_KEY, key)
    tiny.chip.memory.cut_after(number)
    with pytest.raises(PowerCut):
        tiny.send(MAC, b"message")
    loads = tiny.java.loads
    tiny.on()
    assert tiny.send(MAC, b"message").data[:8] == Key(key, "test").mac8(b"message")
    assert tiny.java.loads == loads


def test_what_the_api_writes_into_cells_is_a_write(tiny: Tiny) -> None:
    tiny.send(STORE_KEY, bytes(range(16)))
    tiny.send(MAC, b"message")
    before = tiny.cells
    tiny.chip.memory.cut_after(1)
    with pytest.raises(PowerCut):
        tiny.send(MAC_INTO_CELLS, b"m")
    tiny.on()
    assert tiny.cells == before
    assert tiny.send(MAC_INTO_CELLS, b"m").ok
    assert tiny.cells[4:12] == Key(bytes(range(16)), "test").mac8(b"m")


def test_ram_lasts_as_long_as_it_should(tiny: Tiny) -> None:
    tiny.send(PUT_RAM, b"\x05")
    assert tiny.send(GET_RAM).data == b"\x05\x05"
    tiny.chip.process(javakit.SELECT)
    assert tiny.send(GET_RAM).data == b"\x00\x05", "deselected"
    tiny.on()
    assert tiny.send(GET_RAM).data == b"\x00\x00"


def test_a_key_in_ram_is_gone_with_it(tiny: Tiny) -> None:
    tiny.send(SET_RAM_KEY, b"q" * 16)
    assert tiny.send(ENCRYPT).ok
    tiny.chip.process(javakit.SELECT)
    assert tiny.send(ENCRYPT).sw == SW.NO_PRECISE_DIAGNOSIS
    assert "CryptoException" in str(tiny.chip.last_error)


def test_ram_and_memory_are_counted(tiny: Tiny) -> None:
    seat = tiny.chip.seats[AID]
    assert seat.ram_bytes == 33
    assert seat.nvm_bytes == 20 + 1, "regions, and a mark"


@pytest.mark.parametrize(
    ("data", "ne", "seen"), [(b"", 256, 256), (b"", 7, 7), (b"d", 9, 9), (b"d", None, 0), (b"", None, 0), (bytes(255), 3, 3)]
)
def test_an_applet_sees_how_many_bytes_are_wanted_and_may_answer_with_a_warning(tiny: Tiny, data: bytes, ne: int | None, seen: int) -> None:
    assert tiny.send(NE, data, ne) == Response(seen.to_bytes(2), SW.FILE_DEACTIVATED)


def test_extended_length_is_not_for_applets(tiny: Tiny) -> None:
    """REQ-FIT-3: no command needs it; an answer that more than 256 bytes are wanted of is no longer for that."""
    assert tiny.send(COPY, bytes(300)).sw == SW.WRONG_LENGTH
    assert tiny.send(NE, b"", 65_536).data == (256).to_bytes(2)


class Channel:
    """A session as an instance sees it."""

    c_mac = r_mac = True
    c_decryption = False

    def decrypt(self, data: bytes) -> bytes:
        if len(data) % 16:
            raise ValueError("blocks")
        return data[::-1]


def test_an_applet_sees_the_channel_that_a_command_came_through(tiny: Tiny) -> None:
    assert tiny.send(LEVEL).data == b"\x00\x80"
    tiny.chip.seats[AID].channel = Channel()
    assert tiny.send(LEVEL).data == b"\x91\x80", "unwrapped"
    data = bytes(range(16))
    assert tiny.send(DECRYPT, data).data == data[::-1]
    assert tiny.send(DECRYPT, b"short").sw == SW.WRONG_DATA
    tiny.chip.seats[AID].channel = None
    assert tiny.send(DECRYPT, data).sw == SW.CONDITIONS_NOT_SATISFIED


def test_a_fork_and_a_restored_chip_have_their_own_memory_in_the_machine(tiny: Tiny) -> None:
    tiny.send(STORE_KEY, b"k" * 16)
    snapshot = tiny.chip.snapshot()
    fork = tiny.chip.fork()
    tiny.send(COPY, b"other")
    fork.power_on()
    fork.process(javakit.SELECT)
    mac = fork.process(Command(0x80, MAC, 0, 0, b"message", 256))
    assert mac.data[:8] == Key(b"k" * 16, "test").mac8(b"message")
    java = fork.applets[AID]
    assert isinstance(java, JavaApplet)
    assert java.cells_in_jvm() == java.cells != tiny.cells
    tiny.chip.restore(snapshot)
    tiny.on()
    assert tiny.cells == java.cells


def test_a_fork_counts_no_key_that_a_card_would_not_load(tiny: Tiny) -> None:
    tiny.send(STORE_KEY, b"k" * 16)
    tiny.send(MAC, b"message")
    fork = tiny.chip.fork()
    fork.power_on()
    fork.process(javakit.SELECT)
    work = fork.record_work()
    assert fork.process(Command(0x80, MAC, 0, 0, b"message", 256)).ok
    assert Op.WRITE not in [op for op, _ in work]


def test_the_tear_explorer_sees_a_java_applet(tiny: Tiny) -> None:
    tiny.chip.power_off()
    right = Script("add", tiny.chip, (javakit.SELECT, Command(0x80, ADD, 0, 0, b"hello")))
    assert [tear.outcome for tear in explore(right) if tear.command.ins == ADD] == [Outcome.OLD] * 3 + [Outcome.NEW]
    wrong = replace(right, commands=(javakit.SELECT, Command(0x80, NON_ATOMIC_INSIDE, 0, 0, b"hello")))
    assert Outcome.MIXED in [tear.outcome for tear in explore(wrong)]


MUTANTS = ["no-transaction:Tiny.add", "non-atomic:Tiny.add#2", "early-commit:Tiny.add#1", "late-begin:Tiny.add#1", "late:Tiny.add#1"]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_writes_the_same_and_tears_otherwise(mutant: str) -> None:
    tiny = Tiny(java_class=TINY.mutated(mutant))
    fork = tiny.chip.fork()
    assert tiny.send(ADD, b"hello").ok
    assert tiny.cells == b"\x08\0\0\0hello" + bytes(11)
    fork.power_off()
    script = Script("add", fork, (javakit.SELECT, Command(0x80, ADD, 0, 0, b"hello")))
    assert Outcome.MIXED in [tear.outcome for tear in explore(script)]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (TINY.mutated("no-transaction:Tiny.none"), "no such method"),
        (TINY.mutated("nonsense:Tiny.add"), "not known"),
        (TINY.mutated("non-atomic:Tiny.add#9"), "writes, no 9"),
        (TINY.mutated("late-begin:Tiny.fields#9"), "writes, no 9"),
        (TINY.mutated("no-transaction:Tiny.process"), ""),
        (replace(TINY, name="joren.tiny.None"), "joren.tiny.None"),
        (replace(TINY, regions=(RegionSize("first", 5), RegionSize("second", 16))), "first: 5 bytes expected, 4 came"),
        (replace(TINY, regions=(RegionSize("third", 5),)), "third: 5 bytes expected, none came"),
        (replace(TINY, regions=(RegionSize("first", 4),)), "that the model does not have: [second]"),
    ],
)
def test_what_can_not_be_installed_says_why(wrong: JavaClass, told: str) -> None:
    javakit.built()
    if not told:
        Chip(b"").install(wrong, AID)
        return
    with pytest.raises(JavaFault, match="install: ") as caught:
        Chip(b"").install(wrong, AID)
    assert told in str(caught.value)


def test_executed_bytecodes_are_counted_on_demand(tiny: Tiny) -> None:
    tiny.send(ADD, b"hello")
    assert tiny.java.bytecodes == 0
    counted = Tiny(java_class=replace(TINY, counting=True))
    counted.send(SET_FIRST, b"\x05")
    short = counted.java.bytecodes
    counted.send(ADD, b"hello")
    assert 10 < short < counted.java.bytecodes < 100


def test_the_machines_end_costs_a_session_and_no_more(tiny: Tiny) -> None:
    tiny.send(ADD, b"hello")
    before = tiny.java.cells
    pid = tiny.java.jvm.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(JvmLost, match="ended"):
        tiny.send(ADD, b"lost")
    tiny.on()
    assert tiny.cells == before
    assert tiny.send(ADD, b"again").ok
    assert tiny.cells[:9] == b"\x09\0\0\0again"


def test_a_machine_that_dies_in_a_command_says_how(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = tiny.java.jvm
    monkeypatch.setattr(machine, "_receive", machine._died)
    monkeypatch.setattr(machine, "ensure", lambda: machine.number)
    assert machine.pid is not None
    os.kill(machine.pid, signal.SIGTERM)
    with pytest.raises(JvmLost, match="the card is as before the command") as caught:
        tiny.send(ADD, b"lost")
    assert isinstance(caught.value.__cause__, JvmDied)


def test_a_reader_tells_of_the_machines_end_as_of_a_card_that_went_away(tiny: Tiny) -> None:
    tiny.chip.power_off()
    reader = Reader()
    reader.insert(tiny.chip)
    reader.transmit(javakit.SELECT)
    tiny.java.jvm.stop()
    with pytest.raises(Exception, match="the card went away"):
        reader.transmit(javakit.SELECT)
    reader.reset()
    assert reader.transmit(javakit.SELECT).ok


def test_many_cards_share_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joren.simulator.javacard.LIVE_MAX", 4)
    cards = [Tiny() for _ in range(3)]
    for number, card in enumerate(cards):
        card.send(SET_FIRST, bytes((number,)))
        card.chip.power_off()
    more = [Tiny() for _ in range(6)]
    for number, card in enumerate(cards):
        card.on()
        assert card.cells[0] == number
    assert [card.send(SET_FIRST, b"\x05").ok for card in more] == [True] * 6


def test_no_java_and_no_build_say_what_helps(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(jvm, "BUILD", tmp_path)
    with pytest.raises(NoJava, match="joren applet build"):
        jvm.classes_folder()
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(NoJava, match="apt install"):
        jvm.find_java()
