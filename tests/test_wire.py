"""What goes over the wire, against numbers reckoned by hand."""

from dataclasses import replace

import pytest

from joren.apdu import Command, Response
from joren.apdu.atr import BadAtr, read_atr
from joren.simulator.profile import Band, load_profile, profile_names
from joren.simulator.wire import ASSUMPTIONS, WIRES, NoWire, Run, Wire, wire_of

OK = 0x9000
SELECT = Command(0x00, 0xA4, 0x04, 0x0C, bytes(9), 25)  # 15 bytes
SELECTED = Response(bytes(25), OK)  # 27 bytes
TRANSACT = Command(0x80, 0x30, 0x01, 0x01, bytes(24), 32)  # 30 bytes
TRANSACTED = Response(bytes(32), OK)  # 34 bytes
BARE, DONE = Command(0x80, 0x30, 0x00, 0x00), Response(b"", OK)
READ = Command(0x00, 0xB2, 0x01, 0x0C, b"", 44)
BIT_106_MS = 128 / 13_560


def wire(card: str, name: str | None = None) -> Wire:
    return wire_of(load_profile(card), name)


def turned(wired: Wire, command: Command, response: Response) -> list[tuple[int, str]]:
    return [(run.size, "card" if run.from_card else "reader") for run in wired.runs(command, response)]


@pytest.mark.parametrize(
    ("card", "usual"),
    [("ideal", "106"), ("jcop4", "106"), ("sle78", "106"), ("feitian-h19cr", "t0")],
)
def test_a_card_has_a_usual_wire(card: str, usual: str) -> None:
    assert wire(card).name == usual
    assert wire(card) == wire(card, usual)


@pytest.mark.parametrize(
    ("card", "name", "message"),
    [
        ("feitian-h19cr", "106", "wire of feitian-h19cr: t0 expected, 106 came"),
        ("feitian-h19cr", "t1", "wire of feitian-h19cr: t0 expected, t1 came"),
        ("jcop4", "t0", "wire of jcop4: 106, 212, 424, 848, t1 expected, t0 came"),
        ("ideal", "9600", "wire of ideal: 106, 212, 424, 848, t0, t1 expected, 9600 came"),
    ],
)
def test_a_wire_that_the_card_does_not_have_is_refused(card: str, name: str, message: str) -> None:
    with pytest.raises(NoWire) as caught:
        wire(card, name)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


# Without contacts: PCB and CRC are 3 bytes a block; a byte is 9 bits of 128/fc, a frame 2 bits more.
@pytest.mark.parametrize(
    ("command", "response", "size"),
    [
        (BARE, DONE, 4 + 3 + 2 + 3),
        (SELECT, SELECTED, 15 + 3 + 27 + 3),
        (TRANSACT, TRANSACTED, 30 + 3 + 34 + 3),
    ],
)
def test_bytes_without_contacts(command: Command, response: Response, size: int) -> None:
    assert wire("jcop4").bytes_on_wire(command, response) == size


def test_26_bytes_at_106_kbit() -> None:
    """9 bytes of header, Lc, data and 3 of block; 12 of answer, status word and block: 26 x 9 + 2 x 2 bits of 9.44 us."""
    command, response = Command(0x80, 0x30, 0x00, 0x00, bytes(4)), Response(bytes(9), OK)
    wired = wire("jcop4", "106")
    assert wired.bytes_on_wire(command, response) == 26
    bare_ms = (26 * 9 + 4) * 128 / 13_560
    assert bare_ms == pytest.approx(2.2466, abs=0.0001)
    assert wired.exchange(command, response, 0.0).low == pytest.approx(bare_ms + 0.0864, abs=0.0001)
    assert wired.exchange(command, response, 0.0).likely == pytest.approx(bare_ms + 0.3, abs=0.0001)
    assert wired.exchange(command, response, 0.0).high == pytest.approx(bare_ms + 1.0, abs=0.0001)


@pytest.mark.parametrize("name", ["212", "424", "848"])
def test_bits_are_shorter_at_higher_rates_and_turns_are_not(name: str) -> None:
    slow, quick = wire("jcop4").exchange(SELECT, SELECTED, 0.0), wire("jcop4", name).exchange(SELECT, SELECTED, 0.0)
    factor = int(name) // 106
    assert quick.likely == pytest.approx((slow.likely - 0.3) / factor + 0.3)
    assert quick.likely < slow.likely


def test_848_is_quicker_than_424_than_212_than_106() -> None:
    times = [wire("jcop4", name).exchange(SELECT, SELECTED, 0.0).likely for name in ("848", "424", "212", "106")]
    assert times == sorted(times)


def test_a_long_command_is_chained_in_blocks_of_the_card() -> None:
    """FSC 256: 253 bytes a block. 5 + 255 + 1 = 261 bytes go as 253 and 8, with an R-block between."""
    command = Command(0x80, 0xE2, 0x08, 0x00, bytes(255), 256)
    assert turned(wire("jcop4"), command, DONE) == [(256, "reader"), (3, "card"), (11, "reader"), (5, "card")]


def test_a_long_answer_is_chained_in_blocks_of_the_reader() -> None:
    read = Command(0x80, 0xCA, 0x01, 0x01, b"", 256)
    assert turned(wire("jcop4"), read, Response(bytes(256), OK)) == [(8, "reader"), (256, "card"), (3, "reader"), (8, "card")]
    assert turned(wire("jcop4"), read, Response(bytes(251), OK)) == [(8, "reader"), (256, "card")]


def test_a_card_that_computes_longer_than_the_reader_waits_asks_for_time() -> None:
    """FWI 8: 4096 x 2^8 / fc = 77.3 ms; S(WTX) is 4 bytes each way."""
    wired = wire("jcop4")
    assert wired.patience_ms == pytest.approx(77.33, abs=0.01)
    asked = 2 * (4 * 9 + 2) * BIT_106_MS + 0.3 + 0.2
    base = wired.exchange(SELECT, SELECTED, 77.0).likely
    assert base == wired.exchange(SELECT, SELECTED, 0.0).likely
    assert wired.exchange(SELECT, SELECTED, 78.0).likely == pytest.approx(base + asked)
    assert wired.exchange(SELECT, SELECTED, 160.0).likely == pytest.approx(base + 2 * asked)


def test_the_frame_waiting_time_is_that_of_the_ats() -> None:
    card = load_profile("jcop4")
    none, ta_alone, short = (replace(card, ats=bytes.fromhex(raw)) for raw in ("0208", "03187E", "0228"))
    for profile in (none, ta_alone, short):
        assert wire_of(profile).patience_ms == pytest.approx(4096 * 16 / 13_560)
    assert wire_of(replace(card, ats=bytes.fromhex("0328A0"))).patience_ms == pytest.approx(4096 * 1024 / 13_560)


# T=1: NAD PCB LEN and LRC are 4 bytes a block.
def test_t1_blocks() -> None:
    assert turned(wire("jcop4", "t1"), SELECT, SELECTED) == [(19, "reader"), (31, "card")]
    assert wire("jcop4", "t1").bytes_on_wire(SELECT, SELECTED) == 50


def test_t1_chains_by_the_block_size_of_the_card() -> None:
    """The A40 takes 128 bytes: 205 bytes go as 128 and 77."""
    command = Command(0x80, 0xE2, 0x08, 0x00, bytes(200))
    assert turned(wire("feitian-a40", "t1"), command, DONE) == [(132, "reader"), (4, "card"), (81, "reader"), (6, "card")]
    assert turned(wire("jcop4", "t1"), command, DONE) == [(209, "reader"), (6, "card")]


@pytest.mark.parametrize(
    ("card", "name", "byte_us"),
    [
        ("jcop4", "t1", 11 * 372 / 12 / 4),  # TA1 = 18, TC1 = FF
        ("sle78", "t1", 12 * 372 / 12 / 4),  # TA1 = 18, TC1 = 00
        ("sle78", "t0", 12 * 372 / 12 / 4),
        ("feitian-h19cr", "t0", 12 * 512 / 16 / 4),  # TA1 = 95
        ("ideal", "t0", 12 * 512 / 64 / 4),  # TA1 = 97, the quickest there is
    ],
)
def test_a_character_over_contacts(card: str, name: str, byte_us: float) -> None:
    assert wire(card, name).byte_ms * 1000 == pytest.approx(byte_us)


def test_t1_time_by_hand() -> None:
    """50 characters of 11 etu of 7.75 us, and one turn of 22 etu; likely 0.2 ms more."""
    band = wire("jcop4", "t1").exchange(SELECT, SELECTED, 0.0)
    assert band.low == pytest.approx((50 * 11 + 22) * 0.00775)
    assert band.likely == pytest.approx(band.low + 0.2)
    assert band.high == pytest.approx(band.low + 1.0)


@pytest.mark.parametrize(
    ("command", "response", "runs", "exchanges"),
    [
        (BARE, DONE, [(5, "reader"), (2, "card")], 1),
        (Command(0x80, 0x34, 0, 0, bytes(5)), DONE, [(5, "reader"), (1, "card"), (5, "reader"), (2, "card")], 1),
        (READ, Response(bytes(44), OK), [(5, "reader"), (47, "card")], 1),
        (READ, Response(b"", 0x6A83), [(5, "reader"), (2, "card")], 1),
        (READ, Response(b"", 0x6C2C), [(5, "reader"), (2, "card")], 1),
        (READ, Response(bytes(20), OK), [(5, "reader"), (2, "card"), (5, "reader"), (23, "card")], 2),
        (TRANSACT, Response(b"", 0x6120), [(5, "reader"), (1, "card"), (24, "reader"), (2, "card")], 1),
        (TRANSACT, TRANSACTED, [(5, "reader"), (1, "card"), (24, "reader"), (2, "card"), (5, "reader"), (35, "card")], 2),
    ],
)
def test_t0_tpdus(command: Command, response: Response, runs: list[tuple[int, str]], exchanges: int) -> None:
    wired = wire("feitian-h19cr")
    assert turned(wired, command, response) == runs
    assert wired.bytes_on_wire(command, response) == sum(size for size, _ in runs)
    assert wired.exchanges(command, response) == exchanges


def test_get_response_apart_is_as_long_as_in_one() -> None:
    wired = wire("feitian-h19cr")
    fetch = Command(0x00, 0xC0, 0x00, 0x00, b"", 32)
    apart = wired.bytes_on_wire(TRANSACT, Response(b"", 0x6120)) + wired.bytes_on_wire(fetch, TRANSACTED)
    assert apart == wired.bytes_on_wire(TRANSACT, TRANSACTED)


def test_t0_takes_long_data_in_parts() -> None:
    wired = wire("feitian-h19cr")
    assert wired.exchanges(Command(0x80, 0xE2, 0, 0, bytes(300)), DONE) == 2
    assert wired.exchanges(TRANSACT, Response(bytes(300), OK)) == 3


@pytest.mark.parametrize(
    ("card", "name", "patience_ms", "asking"),
    [
        ("feitian-h19cr", "t0", 960 * 10 * 512 / 4000, [Run(1, from_card=True)]),
        ("jcop4", "t1", 960 * 16 * 372 / 4000, [Run(5, from_card=True), Run(5, from_card=False)]),
    ],
)
def test_over_contacts_a_card_asks_for_time_late(card: str, name: str, patience_ms: float, asking: list[Run]) -> None:
    wired = wire(card, name)
    assert wired.patience_ms == pytest.approx(patience_ms)
    assert list(wired.asking) == asking
    longer = wired.exchange(READ, Response(bytes(44), OK), patience_ms + 1).low - wired.exchange(READ, Response(bytes(44), OK), 0.0).low
    assert longer == pytest.approx(sum(run.size for run in asking) * wired.byte_ms + len(asking) * wired.card_turn.low)


def test_only_t0_asks_the_host_twice() -> None:
    for name in ("106", "t1"):
        assert wire("sle78", name).exchanges(TRANSACT, TRANSACTED) == 1
    assert wire("sle78", "t0").exchanges(TRANSACT, TRANSACTED) == 2


def test_activation_without_contacts_by_hand() -> None:
    """REQA 1 and 2 bytes, a level 2 and 5, 9 and 3, RATS 4, ATS 10 and 2; 2 bits a frame; low has one level, likely two."""
    band = wire("jcop4").activation
    level = ((2 + 5 + 9 + 3) * 9 + 4 * 2) * BIT_106_MS
    rest = ((1 + 2 + 4 + 12) * 9 + 4 * 2) * BIT_106_MS
    assert band.low == pytest.approx(5.1 + rest + level + 4 * 2 * 1172 / 13_560)
    assert band.likely == pytest.approx(10.0 + rest + 2 * level + 6 * 0.5)
    assert band.high == pytest.approx(50.0 + rest + 2 * level + 6 * 1.5)


def test_a_higher_rate_is_agreed_upon_first() -> None:
    extra = wire("jcop4", "848").activation.likely - wire("jcop4", "106").activation.likely
    assert extra == pytest.approx((8 * 9 + 2 * 2) * BIT_106_MS + 0.5)
    assert wire("jcop4", "212").activation == wire("jcop4", "848").activation


def test_activation_over_contacts_by_hand() -> None:
    """ATR 4 and PPS 8 characters of 12 etu of 93 us; T=1 then S(IFS), 10 characters."""
    t0 = wire("feitian-h19cr").activation
    assert t0.low == pytest.approx(1.0 + 12 * 12 * 0.093 + 2 * 16 * 0.008)
    t1 = wire("jcop4", "t1").activation
    assert t1.low == pytest.approx(1.0 + (15 + 8) * 12 * 0.093 + 10 * 11 * 0.00775 + 4 * 22 * 0.00775)


@pytest.mark.parametrize("card", profile_names())
@pytest.mark.parametrize("name", WIRES)
def test_bands_are_in_order(card: str, name: str) -> None:
    try:
        wired = wire(card, name)
    except NoWire:
        return
    bands = [wired.activation, wired.reader, wired.card_turn, wired.reader_turn, wired.exchange(TRANSACT, TRANSACTED, 100.0)]
    for band in bands:
        assert 0 <= band.low <= band.likely <= band.high
    assert wired.protocol in load_profile(card).protocols


def test_every_assumption_has_a_band_in_order_and_a_source() -> None:
    for one in ASSUMPTIONS:
        assert one.band.low <= one.band.likely <= one.band.high
        assert "assumed:" in one.source
    assert ASSUMPTIONS[0].band == Band(0.0, 1.0, 5.0)


def test_an_atr_with_a_wrong_check_byte_is_none() -> None:
    """ISO/IEC 7816-3:2006, 8.2.5."""
    with pytest.raises(BadAtr, match="TCK, the exclusive or of all bytes after the first, expected, 0B came"):
        read_atr(bytes.fromhex("3BD518FF8191FE1FC38073C821100B"))
