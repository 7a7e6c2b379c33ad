"""Command and response APDUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.apdu import Case, Command, MalformedCommand, MalformedResponse, Response
from vectorfile import hexa, rows

BYTE = st.integers(0, 255)
INS = BYTE.filter(lambda ins: ins & 0xF0 not in (0x60, 0x90))
COMMANDS = st.builds(
    Command,
    st.integers(0, 0xFE),
    INS,
    BYTE,
    BYTE,
    st.binary(max_size=300),
    st.none() | st.integers(1, 300) | st.sampled_from((255, 256, 257, 65535, 65536)),
)


@pytest.mark.parametrize(("case", "raw", "header", "data", "ne"), rows("apdu.txt"))
def test_vectors(case: str, raw: str, header: str, data: str, ne: str) -> None:
    cla, ins, p1, p2 = hexa(header)
    command = Command(cla, ins, p1, p2, hexa(data), None if ne == "-" else int(ne))
    assert Command.decode(hexa(raw)) == command
    assert command.encode(extended=case.endswith("E")) == hexa(raw)
    if not case.endswith("E") or len(command.data) > 255 or (command.ne or 0) > 256:
        assert command.case == Case(case)


@pytest.mark.parametrize(("raw", "why"), rows("apdu_malformed.txt"))
def test_what_is_no_command_is_refused(raw: str, why: str) -> None:
    with pytest.raises(MalformedCommand):
        Command.decode(hexa(raw))


@given(COMMANDS, st.booleans())
def test_encode_then_decode_gives_the_command(command: Command, extended: bool) -> None:
    assert Command.decode(command.encode(extended=extended)) == command


@given(st.binary(min_size=4, max_size=40))
def test_decode_then_encode_gives_the_bytes(raw: bytes) -> None:
    try:
        command = Command.decode(raw)
    except MalformedCommand:
        return
    assert raw in (command.encode(), command.encode(extended=True))


@pytest.mark.parametrize(
    ("data", "ne", "case"),
    [
        (b"", 256, Case.CASE_2S),
        (b"", 257, Case.CASE_2E),
        (bytes(255), None, Case.CASE_3S),
        (bytes(256), None, Case.CASE_3E),
        (bytes(255), 256, Case.CASE_4S),
        (bytes(1), 257, Case.CASE_4E),
        (bytes(256), 1, Case.CASE_4E),
        (b"", None, Case.CASE_1),
    ],
)
def test_extended_only_where_short_does_not_do(data: bytes, ne: int | None, case: Case) -> None:
    assert Command(0, 0xA4, 0, 0, data, ne).case == case


@pytest.mark.parametrize(
    "fields",
    [
        (256, 164, 0, 0),
        (-1, 164, 0, 0),
        (0, 256, 0, 0),
        (0, 164, 256, 0),
        (0, 164, 0, -1),
        (0, 164, 0, 0, b"", 0),
        (0, 164, 0, 0, b"", 65537),
        (0, 164, 0, 0, bytes(65536)),
        (0, 97, 0, 0),
        (0, 159, 0, 0),
        (255, 164, 0, 0),
    ],
)
def test_values_no_command_can_carry(fields: tuple[int, ...]) -> None:
    with pytest.raises(MalformedCommand):
        Command(*fields)  # type: ignore[arg-type]


def test_response_round_trip_and_limits() -> None:
    assert Response.decode(bytes.fromhex("01029000")) == Response(b"\x01\x02", 0x9000)
    assert Response(b"\x01", 0x6A82).encode() == bytes.fromhex("016A82")
    assert Response(b"", 0x9000).ok
    assert not Response(b"", 0x6283).ok
    assert Response(b"", 0x63C1).status.meaning == "PIN or PUK wrong, 1 tries left"
    for raw in (b"", b"\x90", bytes(65539)):
        with pytest.raises(MalformedResponse):
            Response.decode(raw)
