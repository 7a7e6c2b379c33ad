"""Traces: readable lines, secrets masked, replayed byte for byte."""

import io
import json
from collections.abc import Iterable, Mapping

import pytest

from cardkit import PIN, Customer, Shop
from joren.apdu import Command, Kind, LinkLost
from joren.apdu.trace import BadTrace, Line, TraceWriter, read_trace
from joren.host.replaying import CardLink, Step, Verdict, play_back
from joren.simulator.reader import Loss, Losses, Reader, When


def differing(lines: Iterable[Line], readers: Mapping[str, CardLink]) -> list[Step]:
    return [step for step in play_back(lines, readers) if step.verdict is not Verdict.SAME]


HEADER = '{"format": "joren-trace", "version": 1, "secrets": false}'


def test_a_trace_is_written_read_and_replayed() -> None:
    customer, out = Customer(), io.StringIO()
    fork = customer.chip.fork()
    reader = Reader("desk")
    ticks = iter((10.0, 10.5, 11.0, 11.25, 12.0, 13.0))
    writer = TraceWriter(out, lambda: next(ticks), lambda command, response: {"ins": command.ins})
    writer.attach(reader)
    reader.insert(customer.chip)
    customer.info = customer.info.decode(reader.transmit(Command(0, 0xA4, 4, 0x0C, customer.aid, 26)).data)
    assert reader.transmit(customer.transact_command(Kind.PURCHASE, customer.order())).ok
    reader.remove()
    lines = list(read_trace(out.getvalue().splitlines()))
    assert [(line.event, line.time_s) for line in lines] == [("insert", 0.5), ("apdu", 1.0), ("apdu", 1.25), ("remove", 2.0)]
    assert lines[1].decoded == {"ins": 0xA4}
    again = Reader("desk")
    again.insert(fork)
    assert differing(lines, {"desk": again}) == []
    differences = differing(lines, {"desk": again})
    assert [difference.line.number for difference in differences] == [3, 4]
    assert differences[1].came == "6988"
    with pytest.raises(BadTrace, match="line 2: a reader named desk"):
        differing(lines, {})


@pytest.mark.parametrize("ne", [None, 2, 300])
@pytest.mark.parametrize("ins", [0x20, 0x24, 0x2C, 0xE2])
def test_secrets_are_masked(ins: int, ne: int | None) -> None:
    command = Command(0x00, ins, 0, 0x81, b"\x00\x00123456", ne)
    text = command.masked()
    assert "31" not in text
    assert len(text) == 2 * len(command.encode())
    assert command.encode() == bytes.fromhex(text.replace("**" * 8, "0000313233343536"))
    assert "*" not in Command(0x80, 0x30, 1, 1, b"12345678").masked()
    assert "*" not in Command(0x00, 0x20, 0, 0x81).masked()


def test_masked_commands_are_told_not_sent_and_secrets_can_be_asked_for() -> None:
    for with_secrets in (False, True):
        customer, out, reader = Customer(pin=PIN), io.StringIO(), Reader("desk")
        fork = customer.chip.fork()
        TraceWriter(out, with_secrets=with_secrets).attach(reader)
        reader.insert(customer.chip)
        reader.transmit(Command(0, 0xA4, 4, 0x0C, customer.aid, 26))
        reader.transmit(Command(0x00, 0x20, 0, 0x81, PIN.ljust(8, b"\xff")))
        assert (PIN.hex() in out.getvalue()) == with_secrets
        again = Reader("desk")
        again.insert(fork)
        differences = differing(read_trace(out.getvalue().splitlines()), {"desk": again})
        assert [difference.verdict for difference in differences] == ([] if with_secrets else [Verdict.NOT_SENT])


def test_a_lost_answer_is_an_empty_one_and_replays() -> None:
    customer, shop, out = Customer(), Shop(), io.StringIO()
    reader = Reader("desk")
    TraceWriter(out).attach(reader)
    reader.insert(customer.chip)
    reader.losses = Losses([Loss(1, When.AFTER)])
    with pytest.raises(LinkLost):
        reader.transmit(Command(0, 0xA4, 4, 0x0C, customer.aid, 26))
    reader.reset()
    lines = list(read_trace(out.getvalue().splitlines()))
    assert [(line.event, line.response) for line in lines] == [("insert", ""), ("apdu", ""), ("reset", "")]
    other = Reader("desk")
    other.insert(shop.chip)
    assert differing(lines, {"desk": other}) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the header"),
        ("{", "line 1: JSON expected"),
        ("[]", "line 1: an object expected"),
        ('{"format": "x"}', "another kind of file"),
        ('{"format": "joren-trace", "version": 2}', "version 1 expected, 2 came"),
        (HEADER + "\n\n{", "line 3: JSON"),
        (HEADER + '\n{"t": 0, "reader": "r", "event": "explode"}', "line 2: t, reader and event"),
        (HEADER + '\n{"t": 0, "reader": 1, "event": "apdu"}', "line 2: t, reader and event"),
        (HEADER + '\n{"t": "0", "reader": "r", "event": "apdu"}', "line 2: t, reader and event"),
        (HEADER + '\n{"t": 0, "reader": "r", "event": "apdu", "command": "00"}', "line 2: command and response"),
        (HEADER + '\n{"t": 0, "reader": "r", "event": "apdu", "command": "zz"}', "line 2: command and response"),
        (HEADER + '\n{"t": 0, "reader": "r", "event": "apdu", "command": 7}', "line 2: command and response"),
        (HEADER + '\n{"t": 0, "reader": "r", "event": "apdu", "command": "00A40000", "response": "90"}', "line 2: command and response"),
    ],
)
def test_what_is_no_trace_is_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(BadTrace, match=message):
        list(read_trace(text.splitlines()))


def test_traces_are_json_lines() -> None:
    out = io.StringIO()
    TraceWriter(out)
    assert [json.loads(line)["format"] for line in out.getvalue().splitlines()] == ["joren-trace"]


@pytest.mark.parametrize(
    "line", ['"response": 0', '"response": []', '"decoded": 5', '"command": null', '"command": ' + "[" * 50_000, '"t": ' + "9" * 5_000]
)
def test_lines_that_no_one_writes(line: str) -> None:
    header = json.dumps({"format": "joren-trace", "version": 1, "secrets": False})
    text = '{"t": null, "reader": "r", "event": "apdu", "command": "00A40400", "response": "9000", ' + line + "}"
    with pytest.raises(BadTrace, match="line 2"):
        list(read_trace([header, text]))


def test_hexadecimal_is_read_in_any_form() -> None:
    header = json.dumps({"format": "joren-trace", "version": 1, "secrets": False})
    text = '{"t": null, "reader": "r", "event": "apdu", "command": "00 a4 04 00", "response": "6a 82"}'
    (line,) = read_trace([header, text])
    assert (line.command, line.response) == ("00A40400", "6A82")
