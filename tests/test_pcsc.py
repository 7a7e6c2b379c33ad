"""Cards in readers of PC/SC, without pcscd: tests/fakescard.py is PC/SC. What pcscd itself does is in test_pcsc_pcscd.py."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fakescard import FakeScard, FakeSlot, Scripted
from joren.apdu import AID_CUSTOMER, Command, LinkLost, aid
from joren.apdu.atr import read_atr, takes_extended_length
from joren.applet.customer import CustomerCard
from joren.host import DEFAULT_PRODUCT, CardFault, HostError, Masters, Slot, issue_customer, run
from joren.host.kiosk import view_customer
from joren.host.pcsc import Disposition, PcscReader, Share, WireProtocol, find_reader
from joren.host.pcsc_api import Pc
from joren.host.pcsc_errors import CODES, Blame, ReaderError, ReaderLost, code_of, codes_table, not_opened
from joren.host.pcsc_readers import ReaderState, choose, chosen, list_readers, watch
from joren.simulator.chip import Chip
from joren.simulator.profile import load_profile

NAME = "Desk 00 00"
T1_EXTENDED, T1_PLAIN, T0_ONLY = "3B85018073C82140DE", "3B9097800186", "3B00"
DOCS = Path(__file__).parent.parent / "docs" / "readers.md"
SELECT = Command(0, 0xA4, 4, 0, bytes.fromhex("A000000001"), 256)


@pytest.fixture
def scard() -> FakeScard:
    return FakeScard(NAME, "Shop Reader [CCID] 01 00")


@pytest.fixture
def slot(scard: FakeScard) -> FakeSlot:
    return scard[NAME]


def put(scard: FakeScard, atr: str = T1_PLAIN, answers: dict[str, str] | None = None) -> Scripted:
    card = Scripted(atr, answers)
    scard[NAME].insert(card)
    return card


def test_readers_are_listed_with_what_is_in_them(scard: FakeScard) -> None:
    put(scard)
    first, second = list_readers(scard)
    assert (first.name, first.word, first.atr.hex().upper()) == (NAME, "card", T1_PLAIN)
    assert (second.name, second.word, second.atr) == ("Shop Reader [CCID] 01 00", "empty", b"")
    assert scard.calls[-1] == "ReleaseContext"
    with find_reader("0", scard) as reader, reader.connect():
        assert list_readers(scard)[0].word == "card, held"
    with find_reader("0", scard) as reader, reader.connect(Share.SHARED):
        assert list_readers(scard)[0].word == "card, in use"
    scard[NAME].mute = True
    assert list_readers(scard)[0].word == "mute card"
    scard.slots.clear()
    assert list_readers(scard) == []


NAMES = ("ACS ACR1252 [CCID] 00 00", "ACS ACR1252 [CCID] 01 00", "Virtual PCD 00 00", "7")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("ACS ACR1252 [CCID] 00 00", (0,)),
        ("0", (0,)),
        ("2", (2,)),
        ("7", (3,)),
        ("virtual*", (2,)),
        ("*00 00", (0, 2)),
        ("ACS*0? 00", (0, 1)),
        ("*[CCID]*", (0, 1)),
        ("*", (0, 1, 2, 3)),
        ("ACS", ()),
        ("4", ()),
        ("9999", ()),
        ("²", ()),
        ("", ()),
    ],
)
def test_a_reader_is_chosen_by_name_number_or_pattern(pattern: str, expected: tuple[int, ...]) -> None:
    assert chosen(NAMES, pattern) == [NAMES[number] for number in expected]


def test_one_reader_has_to_be_meant(scard: FakeScard) -> None:
    with pytest.raises(HostError, match=r'reader \*00: one expected, 2 came: "Desk 00 00", "Shop') as several:
        choose(list(scard.slots), "*00")
    assert not isinstance(several.value, ReaderError)
    with pytest.raises(ReaderError, match='reader x: no such reader; there are: "Desk 00 00", '):
        find_reader("x", scard)
    with pytest.raises(ReaderError, match="reader x: no such reader; there is none; plug one in"):
        choose([], "x")


def test_without_pcscd_it_is_said_and_when_it_comes_all_goes_on(scard: FakeScard, slot: FakeSlot) -> None:
    put(scard, answers={"00A4": "9000"})
    reader = PcscReader(NAME, scard)
    assert reader.state().present
    card = reader.connect()
    scard.die()
    for failing in (reader.state, reader.connect, lambda: list_readers(scard)):
        with pytest.raises(ReaderError, match=r"the PC/SC system does not run \(SCARD_E_NO_SERVICE, 8010001D\); see that pcscd is"):
            failing()
    with pytest.raises(ReaderLost):
        card.transmit(SELECT)
    with pytest.raises(ReaderLost, match="SCARD_E_NO_SERVICE"):
        card.reset()
    scard.running = True
    with pytest.raises(ReaderLost, match="is lost already"):
        card.transmit(SELECT)
    card.ready()
    assert card.transmit(SELECT).sw == 0x6D00
    scard.die()
    scard.running = True
    assert reader.state().present
    assert list_readers(scard)[0].present


def test_a_context_that_is_stale_is_made_anew(scard: FakeScard) -> None:
    put(scard)
    reader = PcscReader(NAME, scard)
    for name, call in (("GetStatusChange", reader.state), ("Connect", reader.connect), ("ListReaders", lambda: list_readers(scard))):
        for code in (Pc.INVALID_HANDLE, Pc.SERVICE_STOPPED, Pc.COMM_ERROR):
            scard.ordered[name] = [code]
            found = call()
            if not isinstance(found, ReaderState | list):
                found.close()
        scard.ordered[name] = [Pc.COMM_ERROR, Pc.COMM_ERROR]
        with pytest.raises(ReaderError, match="SCARD_F_COMM_ERROR"):
            call()


def test_waiting_ends_when_a_card_comes_or_goes_when_it_is_time_or_on_request(scard: FakeScard, slot: FakeSlot) -> None:
    reader = PcscReader(NAME, scard)
    assert reader.wait_card(0) is None
    assert reader.wait_card(0.01) is None
    assert reader.wait_card(stopped=lambda: scard.calls.count("GetStatusChange") > 20) is None
    scard.meanwhile = lambda: slot.insert(Scripted(T1_PLAIN))
    state = reader.wait_card(60)
    assert state is not None
    assert state.atr.hex().upper() == T1_PLAIN
    scard.meanwhile = lambda: None
    assert reader.wait_gone(0.01) is None
    scard.meanwhile = slot.pull
    gone = reader.wait_gone()
    assert gone is not None
    assert not gone.present


def test_a_swap_between_two_looks_is_seen_by_the_count_of_events(scard: FakeScard, slot: FakeSlot) -> None:
    reader = PcscReader(NAME, scard)
    put(scard)
    before = reader.wait_card()
    scard.meanwhile = lambda: None
    assert reader.wait_card(0.01, after=before) is None
    slot.pull()
    slot.insert(Scripted(T1_PLAIN))
    assert reader.wait_gone(0, after=before) is not None
    after = reader.wait_card(0, after=before)
    assert after is not None
    assert before is not None
    assert after.events == before.events + 2


def test_a_reader_that_is_unplugged_is_missed(scard: FakeScard) -> None:
    put(scard)
    reader = PcscReader(NAME, scard)
    card = reader.connect()
    scard.meanwhile = scard.slots.clear
    with pytest.raises(ReaderError, match=r"Desk 00 00: there is no reader of this name any more \(SCARD_E_UNKNOWN_READER, 80100009\)"):
        reader.wait_gone(60)
    with pytest.raises(ReaderLost):
        card.transmit(SELECT)
    with pytest.raises(ReaderLost, match="UNKNOWN_READER"):
        card.reset()
    card.close()


def test_connecting_says_why_it_can_not(scard: FakeScard, slot: FakeSlot) -> None:
    reader = PcscReader(NAME, scard)
    with pytest.raises(ReaderError, match=r"Desk 00 00: no card is in the reader \(SCARD_E_NO_SMARTCARD, 8010000C\); put a card on"):
        reader.connect()
    put(scard, T1_EXTENDED)
    with pytest.raises(ReaderError, match="the card does not speak the protocol"):
        reader.connect(protocols=WireProtocol.T0)
    with reader.connect(Share.SHARED), PcscReader(NAME, scard) as other:
        with pytest.raises(ReaderError, match=r"another program holds the card .*; end the program that uses the card"):
            other.connect()
        other.connect(Share.SHARED).close()
    slot.mute = True
    with pytest.raises(CardFault, match=r"card in Desk 00 00 answered reset wrongly: .* the card does not answer to power"):
        reader.connect()
    slot.mute = False
    scard.ordered["Status"] = [Pc.REMOVED_CARD]
    with pytest.raises(ReaderError, match="the card was taken away"):
        reader.connect()
    assert slot.handles == {}


@pytest.mark.parametrize(
    ("atr", "command", "sent"),
    [
        (T1_PLAIN, Command(0, 0x84, 0, 0), "00840000"),
        (T1_PLAIN, Command(0, 0x84, 0, 0, ne=8), "0084000008"),
        (T1_PLAIN, Command(0, 0xA4, 4, 0, b"ab", 256), "00A40400026162" + "00"),
        (T0_ONLY, Command(0, 0x84, 0, 0), "0084000000"),
        (T0_ONLY, Command(0, 0x84, 0, 0, ne=8), "0084000008"),
        (T0_ONLY, Command(0, 0x84, 0, 0, ne=256), "0084000000"),
        (T0_ONLY, Command(0, 0xA4, 4, 0, b"ab"), "00A40400026162"),
        (T0_ONLY, Command(0, 0xA4, 4, 0, b"ab", 256), "00A40400026162"),
        (T1_EXTENDED, Command(0, 0xCB, 0, 0, ne=65536), "00CB0000000000"),
        (T1_EXTENDED, Command(0, 0xCB, 0, 0, b"x" * 256), "00CB0000000100" + "78" * 256),
    ],
)
def test_a_command_goes_as_its_protocol_wants(scard: FakeScard, atr: str, command: Command, sent: str) -> None:
    card = put(scard, atr, {sent: "AA9000"})
    with PcscReader(NAME, scard).connect() as connection:
        assert connection.transmit(command).encode().hex().upper() == "AA9000"
    assert [one.hex().upper() for one in card.sent] == [sent]


BIG = Command(0, 0xCB, 0x3F, 0xFF, bytes(65_535), 65_536)


@pytest.mark.parametrize(
    ("atr", "extended", "command", "reason"),
    [
        (T1_PLAIN, None, Command(0, 0xCB, 0, 0, ne=257), "the card's ATR 3B9097800186 tells of no other; chain it"),
        (T1_PLAIN, None, Command(0, 0xCB, 0, 0, bytes(256)), "a command of short length expected"),
        (T1_EXTENDED, False, Command(0, 0xCB, 0, 0, bytes(256)), "a command of short length expected"),
        (
            T0_ONLY,
            True,
            Command(0, 0xCB, 0, 0, bytes(256)),
            "with T=0 up to 255 bytes of data and 256 of answer expected, 256 and None",
        ),
        (T1_EXTENDED, None, BIG, "a command of up to 65535 bytes expected, 65544 came; send it in parts"),
    ],
)
def test_what_can_not_be_carried_is_refused_before_its_first_byte(
    scard: FakeScard, atr: str, extended: bool | None, command: Command, reason: str
) -> None:
    card = put(scard, atr)
    with PcscReader(NAME, scard).connect(extended=extended) as connection:
        with pytest.raises(HostError, match=reason):
            connection.transmit(command)
        assert not connection.lost
        assert connection.transmit(SELECT).sw == 0x6D00
    assert len(card.sent) == 1
    with PcscReader(NAME, scard).connect(extended=True) as connection:
        assert connection.extended


@pytest.mark.parametrize(
    ("historical", "expected"),
    [
        ("", False),
        ("80", False),
        ("8073C82140", True),
        ("8073C82113", False),
        ("8031E073C82140", True),
        ("8072C821", False),
        ("8073C821", False),
        ("0073C82140079000", True),
        ("007300000000", False),
        ("1073C82140", False),
        ("454A434F50", False),
    ],
)
def test_historical_bytes_tell_of_extended_length(historical: str, expected: bool) -> None:
    assert takes_extended_length(bytes.fromhex(historical)) is expected


def test_cards_that_can_be_bought_tell_of_extended_length_as_far_as_they_do() -> None:
    assert not takes_extended_length(read_atr(load_profile("jcop3").atr).historical)


def test_answers_in_parts_are_put_together_over_t0(scard: FakeScard, slot: FakeSlot) -> None:
    chip = Chip(b"T=0", replace(load_profile("ideal"), protocols=("T=0",), atr=bytes.fromhex(T0_ONLY)))
    chip.install(CustomerCard, aid(AID_CUSTOMER, DEFAULT_PRODUCT.programme))
    slot.insert(chip)
    with PcscReader(NAME, scard).connect() as card:
        assert card.protocol == WireProtocol.T0
        links = {Slot.CUSTOMER: card.transmit}
        run(issue_customer(DEFAULT_PRODUCT, Masters.create(), bytes(range(8))), links)
        assert card.transmit(Command(0, 0xA4, 4, 0x0C, aid(AID_CUSTOMER, DEFAULT_PRODUCT.programme), 26)).sw >> 8 == 0x61
        assert run(view_customer(DEFAULT_PRODUCT.programme, 100), links).info.card_id == bytes(range(8))


LOST: list[tuple[str, Callable[[FakeScard, FakeSlot], None], int]] = [
    ("pulled, not yet noticed", lambda _, slot: slot.pull(noticed=False), Pc.NOT_TRANSACTED),
    ("pulled", lambda _, slot: slot.pull(), Pc.REMOVED_CARD),
    ("reset by another program", lambda _, slot: slot.reset_by_another(), Pc.RESET_CARD),
    ("pcscd ended", lambda scard, _: scard.die(), Pc.NO_SERVICE),
]


@pytest.mark.parametrize(("_what", "happens", "code"), LOST)
def test_a_lost_link_stays_lost_until_a_reset(
    scard: FakeScard, slot: FakeSlot, _what: str, happens: Callable[[FakeScard, FakeSlot], None], code: int
) -> None:
    card = put(scard)
    with PcscReader(NAME, scard).connect(Share.SHARED) as connection:
        assert connection.transmit(SELECT).sw == 0x6D00
        happens(scard, slot)
        with pytest.raises(ReaderLost, match=code_of(code).name) as lost:
            connection.transmit(SELECT)
        assert lost.value.code == code
        scard.running = True
        if slot.card is None:
            slot.notice()
            with pytest.raises(ReaderLost, match="SCARD_E_NO_SMARTCARD"):
                connection.reset()
            slot.insert(card)
        for _ in range(2):
            with pytest.raises(ReaderLost, match="is lost already"):
                connection.transmit(SELECT)
        resets, sent = card.resets, len(card.sent)
        connection.ready()
        connection.ready()
        assert (card.resets, len(card.sent)) == (resets + 1, sent)
        assert connection.transmit(SELECT).sw == 0x6D00


@pytest.mark.parametrize(("answer", "said"), [("", "the card gave no answer"), ("90", "response: 2..65538 bytes expected, 1 came")])
def test_an_answer_that_is_none_is_a_lost_link(scard: FakeScard, answer: str, said: str) -> None:
    put(scard, answers={SELECT.encode().hex(): answer})
    with PcscReader(NAME, scard).connect() as card:
        with pytest.raises(ReaderLost, match=said):
            card.transmit(SELECT)
        assert card.lost
        card.reset()
        assert not card.lost


@pytest.mark.parametrize("number", sorted(CODES))
def test_every_code_is_one_of_our_errors(scard: FakeScard, number: int) -> None:
    code = code_of(number)
    for signed in (number, number - (1 << 32)):
        error = not_opened(NAME, signed)
        assert type(error) is code.before
        assert f"{code.name}, {number:08X}" in str(error)
    assert code.advice
    put(scard)
    scard.ordered["Transmit"] = [number - (1 << 32)]
    with PcscReader(NAME, scard).connect() as card:
        with pytest.raises(ReaderLost, match=code.name) as lost:
            card.transmit(SELECT)
        assert (lost.value.code, card.lost) == (number, True)
        assert code.advice in str(lost.value)


def test_the_table_of_codes_is_that_of_pyscard_and_stands_in_the_docs() -> None:
    """pyscard is built for the tests by ./run setup: pip install pyscard, with gcc, python3-dev and libpcsclite-dev."""
    import smartcard.scard

    names = {name: getattr(smartcard.scard, name) for name in dir(smartcard.scard) if name.startswith(("SCARD_E_", "SCARD_F_", "SCARD_W_"))}
    ours = {code.name: code.number for code in CODES.values()}
    assert {name: ours.get(name) for name in names if name != "SCARD_E_UNSUPPORTED_FEATURE"} == {
        name: number for name, number in names.items() if name != "SCARD_E_UNSUPPORTED_FEATURE"
    }
    assert code_of(0x12345678).blame is Blame.SYSTEM
    assert codes_table() in DOCS.read_text(encoding="utf-8")


def test_a_transaction_keeps_others_out_and_ends(scard: FakeScard, slot: FakeSlot) -> None:
    put(scard)
    with PcscReader(NAME, scard).connect(Share.SHARED) as card:
        with card.alone():
            card.transmit(SELECT)
        assert [name for name in scard.calls if "Transaction" in name] == ["BeginTransaction", "EndTransaction"]
        slot.reset_by_another()
        with pytest.raises(ReaderLost, match="has reset the card"), card.alone():
            pytest.fail("no transaction begins")
        card.close(Disposition.RESET)
        with pytest.raises(ReaderLost, match="is lost already"), card.alone():
            pytest.fail("no transaction begins")
    assert "Disconnect 1" in scard.calls


@pytest.mark.parametrize(
    ("share", "lost", "disposition"),
    [
        (Share.EXCLUSIVE, False, Disposition.RESET),
        (Share.EXCLUSIVE, True, Disposition.LEAVE),
        (Share.SHARED, False, Disposition.LEAVE),
        (Share.SHARED, True, Disposition.LEAVE),
    ],
)
def test_the_end_of_a_connection_ends_the_session_of_a_card_that_was_held(
    scard: FakeScard, slot: FakeSlot, share: Share, lost: bool, disposition: Disposition
) -> None:
    """And leaves a card alone that others share, or that is gone."""
    put(scard)
    with PcscReader(NAME, scard) as reader:
        card = reader.connect(share)
        card.transmit(SELECT)
        if lost:
            slot.pull(noticed=False)
            with pytest.raises(ReaderLost):
                card.transmit(SELECT)
        card.close()
        card.close()
    assert [call for call in scard.calls if call.startswith("Disconnect")] == [f"Disconnect {disposition:d}"]
    assert slot.handles == {}


def test_a_watch_tells_what_comes_and_goes_over_the_end_of_pcscd(scard: FakeScard, slot: FakeSlot) -> None:
    ended: list[bool] = []
    told = ((state.name, state.word) for state in watch(lambda: bool(ended), scard))
    shop = "Shop Reader [CCID] 01 00"
    assert [next(told), next(told)] == [(NAME, "empty"), (shop, "empty")]
    scard.meanwhile = lambda: slot.insert(Scripted(T1_PLAIN)) if slot.card is None else None
    assert next(told) == (NAME, "card")
    scard.meanwhile = slot.pull
    assert next(told) == (NAME, "empty")
    scard.die()
    assert {next(told), next(told)} == {(NAME, "unavailable"), (shop, "unavailable")}
    scard.running = True
    assert [next(told), next(told)] == [(NAME, "empty"), (shop, "empty")]
    del scard.slots[shop]
    assert next(told) == (shop, "unavailable")
    ended.append(True)
    assert list(told) == []


def test_standard_output_stays_clean_where_the_library_of_pcsc_is_missing(tmp_path: Path) -> None:
    """The library's complaint goes to the error stream, whatever buffers C has."""
    (tmp_path / "libpcsclite.so.1").touch()
    program = "import joren.host.pcsc_readers as r\ntry: r.list_readers()\nexcept r.ReaderError as e: print('told:', hex(e.code))"
    outcome = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert outcome.stdout == "told: 0x8010001d\n"
    assert "Failed to dlopen libpcsclite.so.1" in outcome.stderr


def test_without_pyscard_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smartcard", None)
    monkeypatch.delitem(sys.modules, "smartcard.scard", raising=False)
    with pytest.raises(ReaderError, match=r"need pyscard.*: apt install gcc python3-dev libpcsclite-dev pcscd, then pip install 'joren"):
        list_readers()


def test_lost_links_are_links_lost() -> None:
    assert issubclass(ReaderLost, LinkLost)
    assert issubclass(ReaderError, HostError)
