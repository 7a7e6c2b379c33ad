"""Card profiles: every figure has a source, what was measured is what the sources say, and a bad file is refused with the field's name."""

from dataclasses import fields
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from joren.apdu.atr import BadAtr, read_atr
from joren.simulator.profile import OPERATIONS, BadProfile, Band, Cost, Profile, load_profile, profile_names, profiles_table

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "simulator" / "profiles"
JCOP4 = (FOLDER / "jcop4.toml").read_text(encoding="utf-8")
NAMES = ["ideal", "feitian-a40", "feitian-h19cr", "jcop241", "jcop3", "jcop4", "sle78"]
REAL = NAMES[1:]
UNSOURCED = {"name", "title", "development", "times", "bytecode", "sources"}


def test_bands_add_up_and_scale() -> None:
    assert Band(1, 2, 3) + Band(0.5, 0.5, 0.5) == Band(1.5, 2.5, 3.5)
    assert Band(1, 2, 3).scaled(2) == Band(2, 4, 6)
    assert Cost(Band(1, 2, 3), 0.25, "assumed: here").of(8) == Band(3, 4, 5)


def test_the_ideal_chip_comes_first_then_the_cards_by_name() -> None:
    assert profile_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_source(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.sources) == {one.name for one in fields(Profile)} - UNSOURCED
    assert set(profile.times) == set(OPERATIONS)
    for source in [*profile.sources.values(), *(cost.source for cost in profile.times.values()), profile.bytecode.source]:
        assert source.startswith("by definition") == (name == "ideal")
        assert len(source.partition(":")[2]) > 5 or name == "ideal"


def test_profiles_are_read_once_and_can_be_looked_up() -> None:
    assert load_profile("jcop4") is load_profile("jcop4")
    assert {load_profile("jcop4"): 1}[load_profile("jcop4")] == 1


def test_the_ideal_chip_takes_no_time_and_speaks_everything() -> None:
    ideal = load_profile("ideal")
    assert [cost.of(1000) for cost in (*ideal.times.values(), ideal.bytecode)] == [Band(0, 0, 0)] * 7
    assert all(ideal.supports(protocol) for protocol in ("T=0", "T=1", "T=CL"))
    assert (ideal.cmac, ideal.extended_length, ideal.channels, ideal.endurance_writes) == (True, True, 4, 0)


PROTOCOLS = [
    ("feitian-a40", "T=1 T=CL"),
    ("feitian-h19cr", "T=0"),
    ("jcop241", "T=1 T=CL"),
    ("jcop3", "T=1 T=CL"),
    ("jcop4", "T=1 T=CL"),
    ("sle78", "T=1 T=0 T=CL"),
]


@pytest.mark.parametrize(("name", "protocols"), PROTOCOLS)
def test_a_card_speaks(name: str, protocols: str) -> None:
    assert load_profile(name).protocols == tuple(protocols.split())


@pytest.mark.parametrize("name", NAMES)
def test_atr_and_ats_say_what_the_profile_says(name: str) -> None:
    profile = load_profile(name)
    atr = read_atr(profile.atr)
    assert atr.protocols == (0,) or reduce(xor, profile.atr[1:]) == 0
    if profile.supports("T=CL"):
        assert profile.ats[0] == len(profile.ats)
        assert profile.ats[1] == 0x78
        assert profile.frame_bytes == 256
        assert profile.ats[5:] == atr.historical
    else:
        assert profile.ats == b""


@pytest.mark.parametrize(("name", "at"), [("jcop4", 6), ("jcop3", 6), ("jcop241", 7), ("sle78", 7), ("feitian-a40", 7)])
def test_the_block_size_is_ta3_of_the_atr(name: str, at: int) -> None:
    profile = load_profile(name)
    assert profile.atr[at] == profile.ifsc_bytes


# The fits over JCAlgTest results: ms at 0 bytes and ms a byte, of AES_MAC_128_NOPAD sign, and of setKey+init+sign at 0 bytes;
# the loop of 16 xors; arrayCopy RAM to NVM atomic.
FITS = [
    ("jcop4", 1.632, -0.00037, 10.24, 1.445, 3.037, -0.00107),
    ("jcop3", 9.388, 0.00397, 31.499, 3.696, 0.924, 0.00156),
    ("jcop241", 6.573, 0.02117, 27.599, 3.448, 5.265, 0.05859),
    ("sle78", 3.564, 0.068, 12.933, 19.78, 1.193, 0.00481),
    ("feitian-a40", 0.019, 0.01157, 2.601, 2.924, 0.012, 0.00389),
]


@pytest.mark.parametrize(("name", "sign", "sign_slope", "whole", "xors", "write", "write_slope"), FITS)
def test_what_was_measured_is_in_the_profile(
    name: str, sign: float, sign_slope: float, whole: float, xors: float, write: float, write_slope: float
) -> None:
    profile = load_profile(name)
    assert profile.times["set_key"].band.likely == pytest.approx(whole - sign, abs=0.006)
    assert profile.times["write"].band.low == pytest.approx(write, abs=0.006)
    assert profile.times["write"].per_byte_ms == pytest.approx(max(0.0, write_slope), abs=0.00006)
    assert profile.times["mac"].per_byte_ms == pytest.approx(max(0.0, sign_slope), abs=0.00006)
    assert profile.bytecode.band.likely == pytest.approx(xors / 192, abs=0.00006)
    assert profile.bytecode.band.low == pytest.approx(xors / 192 / 2, abs=0.00006)


@pytest.mark.parametrize(
    ("name", "likely"),
    [
        ("jcop4", 2.135),  # sign of 256 bytes, native CMAC
        ("jcop3", 9.388 + 3.696),  # sign, and the xor of the last block
        ("jcop241", 6.573 + 3.448),
        ("sle78", 3.564 + 19.78),
        ("feitian-a40", 0.54 + 2.924),
        ("feitian-h19cr", 7.5 - 256 * 0.0116),  # sign of 256 bytes, the slope of the A40
    ],
)
def test_a_mac_is_a_sign_and_on_cards_without_cmac_an_xor(name: str, likely: float) -> None:
    assert load_profile(name).times["mac"].band.likely == pytest.approx(likely, abs=0.006)


@pytest.mark.parametrize("name", ["jcop4", "jcop241"])
def test_a_write_is_likely_dearer_than_that_of_equal_bytes(name: str) -> None:
    band = load_profile(name).times["write"].band
    assert (band.likely / band.low, band.high / band.low) == pytest.approx((1.5, 3.0), abs=0.01)


@pytest.mark.parametrize("name", ["jcop3", "sle78", "feitian-a40", "feitian-h19cr"])
def test_a_write_that_was_skipped_takes_one_of_jcop4_more(name: str) -> None:
    band = load_profile(name).times["write"].band
    assert band.likely - band.low == pytest.approx(3.04)


@pytest.mark.parametrize("name", REAL)
def test_a_commit_is_none_one_or_two_writes(name: str) -> None:
    times = load_profile(name).times
    write, commit = times["write"].band.likely, times["commit"].band
    assert (commit.low, commit.likely, commit.high) == pytest.approx((0.0, write, 2 * write), abs=0.02)
    assert times["commit"].source.startswith("assumed: not measured")


def test_a_profile_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(JCOP4.replace('title = "NXP J3R180 (JCOP 4, P71)"', 'title = "mine"'), encoding="utf-8")
    mine = load_profile(str(path))
    assert (mine.title, mine.name) == ("mine", str(path))
    assert mine.times == load_profile("jcop4").times


HEAD, TAIL = 'title = "NXP J3R180 (JCOP 4, P71)"\n', "\n[time.copy]"
BAD = [
    (HEAD, "", "title: a text on one line expected, it is missing"),
    (HEAD, 'title = ""\n', "title: a text on one line expected, '' came"),
    (HEAD, "title = 4\n", "title: a text on one line expected, 4 came"),
    (HEAD, HEAD + "colour = 1\n", "colour: no such field is known"),
    (HEAD, HEAD + "[" + "x]\n", "expected, it is missing"),
    ("channels = 4", "channels = 5", "channels: a whole number, 1..4 expected, 5 came"),
    ("channels = 4", "channels = true", "channels: a whole number, 1..4 expected, True came"),
    ("page_bytes = 128", "page_bytes = 0", "page_bytes: a whole number, 1..1000000000000 expected, 0 came"),
    ("ram_bytes = 2048", "ram_bytes = -1", "ram_bytes: a whole number, 0..1000000000000 expected, -1 came"),
    ("ram_bytes = 2048", "ram_bytes = 2.5", "ram_bytes: a whole number, 0..1000000000000 expected, 2.5 came"),
    ("cmac = true", "cmac = 1", "cmac: true or false expected, 1 came"),
    ('["T=1", "T=CL"]', '["T=1", "T=2"]', "protocols: a list out of T=0, T=1, T=CL, each once, expected, ['T=1', 'T=2'] came"),
    ('["T=1", "T=CL"]', '["T=1", "T=1"]', "protocols: a list out of"),
    ('["T=1", "T=CL"]', "[]", "protocols: a list out of"),
    ('["T=1", "T=CL"]', '"T=1"', "protocols: a list out of"),
    ('["T=1", "T=CL"]', '["T=0", "T=CL"]', "atr: one that offers T=0, as protocols says, expected, '3BD518FF"),
    ('["T=1", "T=CL"]', '["T=1"]', "ats: none without T=CL expected"),
    ('atr = "3B', 'atr = "3C', "atr: 3B or 3F, and 2..33 bytes in all, expected, 3CD5"),
    ('C821100A"\nats', 'C82110"\nats', "atr: 15 bytes, as T0 and TD say, expected, 14 came: 3BD5"),
    ('atr = "3B', 'atr = "XX', "atr: bytes in hexadecimal expected, 'XXD5"),
    ('ats = "0A', 'ats = "0B', "ats: TL, as many bytes in all as TL says, with the TA, TB, TC that T0 says, expected, '0B78"),
    ("ats = ", "ats = 4 #", "ats: bytes in hexadecimal expected, 4 came"),
    ("likely_ms = 2.14", "", "time.mac.likely_ms: a number, 0..1000000 expected, it is missing"),
    ("likely_ms = 2.14", "likely_ms = 1.0", "time.mac: low, likely, high in ascending order expected, [1.55, 1.0, 3.69] came"),
    ("likely_ms = 2.14", "likely_ms = -1", "time.mac.likely_ms: a number, 0..1000000 expected, -1 came"),
    ("likely_ms = 2.14", "likely_ms = nan", "time.mac.likely_ms: a number, 0..1000000 expected, nan came"),
    ("likely_ms = 2.14", "likely_ms = true", "time.mac.likely_ms: a number, 0..1000000 expected, True came"),
    ("likely_ms = 2.14", 'likely_ms = "2"', "time.mac.likely_ms: a number, 0..1000000 expected, '2' came"),
    ("likely_us = 7.5", "", "time.bytecode.likely_us: a number, 0..1000000 expected, it is missing"),
    ("likely_us = 7.5", "likely_us = 70", "time.bytecode: low, likely, high in ascending order expected"),
    (TAIL, "colour = 1\n" + TAIL, "time.commit.colour: no such field is known"),
    (TAIL, "[time.sort]\nlow_ms = 1\n" + TAIL, "time.sort: no such field is known"),
    ("[time.copy]", "[time.clone]", "time.copy.low_ms: a number, 0..1000000 expected, it is missing"),
    ('source = "assumed: not', 'source = "guessed: not', "time.commit.source: a text that begins with measured: or"),
    ('cmac = "measured:', 'cmac = "perhaps:', "sources.cmac: a text that begins with measured: or"),
    ("[sources]", '[sources]\ncolour = "assumed: x"', "sources.colour: no such field is known"),
    ("[sources]", "[origins]", "sources: a table expected, it is missing"),
    ("[sources]", "[sources", "TOML expected"),
]


@pytest.mark.parametrize(("old", "new", "fragment"), BAD)
def test_a_bad_profile_is_refused(tmp_path: Path, old: str, new: str, fragment: str) -> None:
    assert old in JCOP4
    path = tmp_path / "bad.toml"
    path.write_text(JCOP4.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BadProfile) as caught:
        load_profile(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert fragment in str(caught.value)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadProfile, match=r"ideal, feitian-a40, .*, sle78, or a file that ends in \.toml expected, 'jcop5' came"):
        load_profile("jcop5")


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadProfile, match="a file that can be read expected, No such file"):
        load_profile(str(tmp_path / "none.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadProfile, match="TOML expected"):
        load_profile(str(tmp_path / "bytes.toml"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("3B", "3B or 3F"),
        ("3B" + "00" * 33, "3B or 3F"),
        ("3BF011", "interface bytes as T0 and TD say"),
        ("3B02AA", "4 bytes, as T0 and TD say, expected, 3 came"),
        ("3B800100FF", "4 bytes, as T0 and TD say, expected, 5 came"),
    ],
)
def test_bytes_that_are_no_atr_are_refused(raw: str, message: str) -> None:
    with pytest.raises(BadAtr, match=message):
        read_atr(bytes.fromhex(raw))


def test_an_atr_is_read() -> None:
    assert read_atr(bytes.fromhex("3B00")).protocols == (0,)
    assert read_atr(bytes.fromhex("3B800181")).protocols == (1,)
    h19cr, sle78 = read_atr(load_profile("feitian-h19cr").atr), read_atr(load_profile("sle78").atr)
    assert (h19cr.ta1, h19cr.extra_guard, h19cr.protocols, h19cr.historical.hex()) == (0x95, 0, (0,), "80")
    assert (sle78.ta1, sle78.extra_guard, sle78.protocols) == (0x18, 0, (0, 1))


def test_the_page_shows_the_profiles_as_they_are() -> None:
    page = (ROOT / "docs" / "timing.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- generated: profiles -->\n")[2].partition("\n<!-- end -->")[0]
    assert shown == profiles_table()
