"""Strict BER-TLV and DGIs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.apdu.tlv import Dgi, MalformedTlv, Tlv, build_dgi, build_tlv, find, parse_dgis, parse_one, parse_tlv
from vectorfile import hexa, rows

TAGS = st.sampled_from((0x50, 0x6F, 0x84, 0x85, 0x9F1F, 0x5F2D, 0x9F8101, 0xBF0C))
OBJECTS = st.builds(Tlv, TAGS, st.binary(max_size=300))


@pytest.mark.parametrize(("raw", "expected"), rows("tlv.txt"))
def test_vectors(raw: str, expected: str) -> None:
    if expected.startswith("refused"):
        with pytest.raises(MalformedTlv):
            parse_tlv(hexa(raw))
        return
    pairs = [pair.split("=") for pair in expected.split(",") if pair]
    objects = [Tlv(int(tag, 16), bytes.fromhex(value)) for tag, value in pairs]
    assert parse_tlv(hexa(raw)) == objects
    assert b"".join(build_tlv(found.tag, found.value) for found in objects) == hexa(raw)


@given(st.lists(OBJECTS, max_size=4))
def test_build_then_parse_gives_the_objects(objects: list[Tlv]) -> None:
    assert parse_tlv(b"".join(build_tlv(found.tag, found.value) for found in objects)) == objects


@given(st.binary(max_size=40))
def test_parse_then_build_gives_the_bytes(raw: bytes) -> None:
    try:
        objects = parse_tlv(raw)
    except MalformedTlv:
        return
    assert b"".join(build_tlv(found.tag, found.value) for found in objects) == raw


def read_by_the_rules(raw: bytes) -> list[tuple[int, bytes]] | None:
    """ISO/IEC 7816-4, 5.2.2, a byte at a time, with up to three bytes of tag and of length; None where a rule is broken."""
    rest, objects = list(raw), []
    try:
        while rest:
            tag = [rest.pop(0)]
            if tag[0] & 0x1F == 0x1F:
                tag.append(rest.pop(0))
                while tag[-1] & 0x80:
                    tag.append(rest.pop(0))
            length = rest.pop(0)
            size = length - 0x80
            if size >= 0:
                length = int.from_bytes(rest.pop(0) for _ in range(size))
            minimal = size < 0 or (1 <= size <= 3 and length >= max(0x80, 1 << 8 * (size - 1)))
            if tag[0] == 0 or tag[1:2] == [0x80] or len(tag) > 3 or not minimal or length > len(rest):
                return None
            objects.append((int.from_bytes(tag), bytes(rest[:length])))
            del rest[:length]
    except IndexError:
        return None
    return objects


@given(st.lists(st.sampled_from((0x00, 0x00, 0x01, 0x02, 0x03, 0x1F, 0x50, 0x7F, 0x80, 0x81, 0x82, 0x83, 0x84, 0x9F, 0xFF)), max_size=12))
def test_every_header_is_read_by_the_rules(values: list[int]) -> None:
    """Also those that the loop of parse_tlv reads by itself."""
    raw, expected = bytes(values), read_by_the_rules(bytes(values))
    if expected is None:
        with pytest.raises(MalformedTlv, match="offset"):
            parse_tlv(raw)
    else:
        assert parse_tlv(raw) == [Tlv(tag, value) for tag, value in expected]
        assert {type(found) for found in parse_tlv(raw)} <= {Tlv}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("50015A9F", "offset 3: a whole tag and length expected, 9F came"),
        ("50015A9F8041", "offset 3: tag not minimal"),
        ("50015A9F02", "offset 3: a whole tag and length expected, 9F02 came"),
        ("50015A9F81", "offset 3: tag cut short"),
        ("50015A9F8101", "offset 3: a whole tag and length expected, 9F8101 came"),
        ("50015A50", "offset 3: a whole tag and length expected, 50 came"),
        ("50015A9F0202AA", "offset 6: 2 bytes of value expected, 1 came"),
        ("50015A508101AA", "offset 4: length not minimal"),
        ("50015A5080", "offset 4: a definite length of up to 3 bytes expected, 80 came"),
        ("8480" + "00" * 200, "offset 1: a definite length of up to 3 bytes expected, 80 came"),
        ("50015A0000", "offset 3: a tag expected, 00 came"),
        ("50015A00", "offset 3: a whole tag and length expected, 00 came"),
    ],
)
def test_a_refusal_names_the_offset(raw: str, message: str) -> None:
    with pytest.raises(MalformedTlv, match=f"^{message}$"):
        parse_tlv(hexa(raw))


@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 65535, 65536])
def test_lengths_at_their_borders(size: int) -> None:
    raw = build_tlv(0x84, bytes(size))
    assert parse_one(raw) == Tlv(0x84, bytes(size))
    with pytest.raises(MalformedTlv):
        parse_one(raw + b"\x00")
    with pytest.raises(MalformedTlv):
        parse_tlv(raw[:-1] if size else raw[:1])


@pytest.mark.parametrize("tag", [0, 0x1F, 0x9F80, 0x5081, 0x9F818283])
def test_tags_no_object_has(tag: int) -> None:
    with pytest.raises(MalformedTlv):
        build_tlv(tag, b"")


def test_find_follows_a_path_and_names_it() -> None:
    fci = build_tlv(0x6F, build_tlv(0x84, b"aid") + build_tlv(0x85, b"info"))
    assert find(fci, 0x6F, 0x85) == b"info"
    with pytest.raises(MalformedTlv, match="6F/A5: one data object expected, 0 came"):
        find(fci, 0x6F, 0xA5)
    with pytest.raises(MalformedTlv, match="2 came"):
        find(fci + fci, 0x6F)
    with pytest.raises(MalformedTlv):
        parse_one(b"")


@given(st.lists(st.builds(Dgi, st.integers(1, 0xFFFF), st.binary(max_size=300)), max_size=4))
def test_dgis_round_trip(dgis: list[Dgi]) -> None:
    assert parse_dgis(b"".join(build_dgi(dgi.tag, dgi.value) for dgi in dgis)) == dgis


@pytest.mark.parametrize("raw", ["01", "0101", "010102FF", "0101FF00", "0101FF00FE" + "00" * 254, "0101FF0100" + "00" * 255])
def test_dgis_cut_short_or_not_minimal(raw: str) -> None:
    with pytest.raises(MalformedTlv):
        parse_dgis(bytes.fromhex(raw))


@pytest.mark.parametrize(("tag", "size"), [(0, 1), (0x10000, 1), (1, 0x10000)])
def test_values_no_dgi_has(tag: int, size: int) -> None:
    with pytest.raises(MalformedTlv):
        build_dgi(tag, bytes(size))
