"""Replays of traces: the host's side and the card's, what is told of a difference, what may differ, and traces as tests."""

import asyncio
import io
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardkit import MASTERS, PIN, PROGRAMME, Customer, Shop
from joren.apdu import SW, Command, Ins, Key, Kind, LinkLost, Response
from joren.apdu.compare import Why, compare_commands, compare_responses
from joren.apdu.trace import BadTrace, Line, TraceWriter, read_trace
from joren.host import (
    CardFault,
    CardLost,
    CardRefused,
    Diverged,
    Journal,
    Recorder,
    Replay,
    ShopCardHolder,
    Slot,
    SoftwareKeys,
    Till,
    change_pin,
    replaying,
    run,
    run_async,
    view_customer,
    view_holder,
)
from joren.host.dialog import Dialog
from joren.host.replaying import Step, Verdict, load_trace, play_back
from joren.host.wire import transact
from joren.simulator.reader import Reader
from support import SHOP, TERMINAL, Counter, Fault

HOUR = 100
PAGE = (Path(__file__).parent.parent / "docs" / "traces.md").read_text(encoding="utf-8")


class Recorded:
    """Taps at a counter, and the trace of them."""

    def __init__(self, folder: Path, *, by_card: bool, pin: bytes | None = None, t0: bool = False) -> None:
        self.path = folder / "t.jsonl"
        self.counter = Counter(by_card, t0=t0)
        self.customer = Customer(pin=pin)
        self.recorder = Recorder(self.path, clock=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.recorder.close()

    def tap(self, make: Callable[[Till], Dialog[object]], fault: tuple[int, Fault] | None = None) -> None:
        counter = self.counter
        counter.customer, counter.asked = self.customer, 0
        counter.faults = {} if fault is None else {fault[0]: fault[1]}
        self.customer.chip.power_on()
        counter.shop.chip.power_on()
        counter.shop_powered = True
        counter.till.holder.close()
        try:
            run(make(counter.till), self.recorder.links(counter.links))
        except CardLost:
            assert fault is not None

    def lines(self) -> list[Line]:
        return load_trace(self.path)


def fresh_till(by_card: bool, *challenges: bytes) -> Till:
    """A till that begins anew, with the keys of tests."""
    drawn = iter(challenges)
    holder = (
        ShopCardHolder(PROGRAMME)
        if by_card
        else SoftwareKeys(PROGRAMME, SHOP, TERMINAL, MASTERS["till"], MASTERS["load"], random=lambda _size: next(drawn))
    )
    return Till(holder, Journal(":memory:"))


def challenges(lines: list[Line]) -> list[bytes]:
    return [line.asked().data[-8:] for line in lines if line.asked().ins == Ins.PROVE]


SALES: list[Callable[[Till], Dialog[object]]] = [
    lambda till: till.purchase("1", HOUR, 4_800, 3, 20),
    lambda till: till.load("2", HOUR, 5_000),
    lambda till: till.purchase("3", HOUR + 1, 1_250, pay=True),
    lambda till: till.redeem("4", HOUR + 2, 10),
    lambda till: till.pay("5", HOUR + 3, 300),
    lambda till: till.void("6", HOUR + 3, "5"),
    lambda till: till.result(HOUR + 4, detailed=True),
]


@pytest.mark.parametrize("t0", [False, True])
@pytest.mark.parametrize("by_card", [False, True])
def test_the_same_sales_are_the_same_bytes(tmp_path: Path, by_card: bool, t0: bool) -> None:
    with Recorded(tmp_path, by_card=by_card, t0=t0) as recorded:
        for sale in SALES:
            recorded.tap(sale)
    lines = recorded.lines()
    till = fresh_till(by_card)
    with till.journal, replaying(recorded.path) as replay:
        for sale in SALES:
            till.holder.close()
            run(sale(till), replay.links)
        rows = list(till.journal.rows())
    assert rows == list(recorded.counter.journal.rows())
    assert [step.verdict for step in replay.steps] == [Verdict.SAME] * len(lines)
    assert replay.left == []


@pytest.mark.parametrize("by_card", [False, True])
@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
def test_every_loss_is_replayed_and_settled_as_it_was(tmp_path: Path, by_card: bool, fault: Fault) -> None:
    """REQ-STL-2: a tap that broke at each APDU in turn, and the next one."""
    sale = SALES[0]
    for number in range(1, 7 if by_card else 3):
        with Recorded(tmp_path, by_card=by_card) as recorded:
            recorded.tap(sale, (number, fault))
            recorded.tap(sale)
        lines = recorded.lines()
        till = fresh_till(by_card, *challenges(lines))
        with till.journal, replaying(recorded.path) as replay:
            with pytest.raises(CardLost):
                run(sale(till), replay.links)
            till.holder.close()
            run(sale(till), replay.links)
            assert list(till.journal.rows()) == list(recorded.counter.journal.rows())


def test_a_replay_is_awaited_too(tmp_path: Path) -> None:
    with Recorded(tmp_path, by_card=True) as recorded:
        recorded.tap(SALES[0])
    till = fresh_till(True)
    with till.journal, replaying(recorded.path) as replay:
        asyncio.run(run_async(SALES[0](till), replay.async_links))


@pytest.fixture
def purchase(tmp_path: Path) -> Path:
    """The trace of a purchase with a shop card."""
    with Recorded(tmp_path, by_card=True) as recorded:
        recorded.tap(SALES[0])
    return recorded.path


COMPUTE, GET_STATE = "line 5: shop card, COMPUTE PURCHASE, key version 1: different", "line 4: customer card, GET STATE: different"
AUTHORIZE = "reader: customer card expected, shop card, AUTHORIZE LOAD, key version 1 came"
OTHERS: list[tuple[Callable[[Till], Dialog[object]], str]] = [
    (lambda till: till.purchase("1", HOUR, 4_801, 3, 20), f"{COMPUTE}\n    amount: 4800 minor units expected, 4801 minor units came"),
    (lambda till: till.purchase("1", HOUR + 1, 4_800, 3, 20), f"{COMPUTE}\n    hour: 100 h expected, 101 h came"),
    (lambda till: till.load("1", HOUR, 4_800), f"{GET_STATE}\n    {AUTHORIZE}"),
    (lambda till: till.settle(), "the dialog ended, the trace goes on: line 4: customer card, GET STATE: not asked, and 3 after it"),
    (lambda till: till.result(HOUR), f"{GET_STATE}\n    command: GET STATE expected, GET RESULT came"),
]


@pytest.mark.parametrize(("make", "told"), OTHERS)
def test_a_till_that_does_something_else_is_told_where(purchase: Path, make: Callable[[Till], Dialog[object]], told: str) -> None:
    till = fresh_till(True)
    with till.journal, pytest.raises(Diverged) as diverged, replaying(purchase) as replay:
        run(make(till), replay.links)
    assert told in str(diverged.value)
    assert diverged.value.step is not None


def test_more_than_was_recorded_is_told() -> None:
    till, replay = fresh_till(True), Replay([])
    with (
        till.journal,
        pytest.raises(Diverged, match="the trace ends after 0 APDUs; shop card, SELECT, record alone came: 00A4040C09") as diverged,
    ):
        run(till.settle(), replay.links)
    assert diverged.value.step is None


def test_a_program_that_swallows_the_error_fails_all_the_same(purchase: Path) -> None:
    till = fresh_till(True)

    def program() -> None:
        with replaying(purchase) as replay:
            for _ in range(2):
                with suppress(Diverged):
                    run(till.purchase("1", HOUR, 1, 3, 20), replay.links)

    with till.journal, pytest.raises(Diverged, match="amount"):
        program()


def test_an_error_of_the_program_goes_before_what_is_left(purchase: Path) -> None:
    with pytest.raises(ZeroDivisionError), replaying(purchase):
        raise ZeroDivisionError


def test_drawn_values_may_differ_if_asked(tmp_path: Path) -> None:
    """A challenge of PROVE: exact unless `strict` is off; then the card's answer does not fit it, which the till sees."""
    with Recorded(tmp_path, by_card=False) as recorded:
        recorded.tap(SALES[0], (2, Fault.LOST_BEFORE))
        recorded.tap(lambda till: till.settle())
    lines = recorded.lines()
    for strict, error in ((True, Diverged), (False, CardFault)):
        till = fresh_till(False, bytes(8))
        with till.journal:
            replay = Replay(lines, strict=strict)
            with pytest.raises(CardLost):
                run(SALES[0](till), replay.links)
            with pytest.raises(error):
                run(till.settle(), replay.links)
            assert replay.steps[-1].verdict is Verdict.MAY_DIFFER
            assert "challenge:" in str(replay.steps[-1])
            assert "(drawn anew)" in str(replay.steps[-1])


@pytest.mark.parametrize("with_secrets", [False, True])
def test_masked_secrets_are_equal_to_any_of_their_length(with_secrets: bool) -> None:
    customer, out, reader = Customer(pin=PIN), io.StringIO(), Reader(Slot.CUSTOMER.value)
    TraceWriter(out, with_secrets=with_secrets).attach(reader)
    reader.insert(customer.chip)
    run(change_pin(PROGRAMME, PIN, "2580"), {Slot.CUSTOMER: reader.transmit})
    lines = list(read_trace(out.getvalue().splitlines()))
    run(change_pin(PROGRAMME, PIN, "2580"), Replay(lines).links)
    replay = Replay(lines)
    if with_secrets:
        with pytest.raises(Diverged) as diverged:
            run(change_pin(PROGRAMME, PIN, "2581"), replay.links)
        assert "data: (secret) expected, (another secret) came" in str(diverged.value)
        assert "32353831" not in str(diverged.value)
        assert "32353830" not in str(diverged.value)
    else:
        run(change_pin(PROGRAMME, PIN, "2581"), replay.links)
        assert replay.steps[-1].verdict is Verdict.SAME


class Desk:
    """A trace of dialogs with a card, and the card as it was before."""

    def __init__(self, *dialogs: Dialog[object], pin: bytes | None = None, before: Callable[[Customer], object] | None = None) -> None:
        customer, out, reader = Customer(pin=pin), io.StringIO(), Reader("desk")
        if before is not None:
            before(customer)
        self.before = customer.chip.fork()
        TraceWriter(out).attach(reader)
        reader.insert(customer.chip)
        for dialog in dialogs:
            run(dialog, {Slot.CUSTOMER: reader.transmit})
        self.after = customer.chip
        self.lines = list(read_trace(out.getvalue().splitlines()))

    def played(self, *, pin: bytes | None = None, seed: bytes | None = None) -> list[Step]:
        """On the card of before; with a `seed` on one that draws other nonces."""
        reader = Reader("desk")
        reader.insert(self.before.fork() if seed is None else Customer(seed=seed).chip)
        return list(play_back(self.lines, {"desk": reader}, None if pin is None else lambda _command: pin.ljust(8, b"\xff")))


def test_a_card_in_the_state_of_before_answers_the_same() -> None:
    desk = Desk(view_holder(PROGRAMME, HOUR), before=lambda customer: customer.buy(100_000))
    assert {step.verdict for step in desk.played()} == {Verdict.SAME}


def test_a_masked_pin_is_not_sent_or_given() -> None:
    desk = Desk(view_holder(PROGRAMME, HOUR, pin=PIN), pin=PIN)
    verdicts = [step.verdict for step in desk.played()]
    assert (verdicts[3], verdicts[4]) == (Verdict.NOT_SENT, Verdict.DIFFERENT)
    assert "status: 9000 OK: done expected, 6982 SECURITY_STATUS_NOT_SATISFIED" in str(desk.played()[4])
    assert {step.verdict for step in desk.played(pin=PIN)} == {Verdict.SAME}
    wrong = desk.played(pin=b"9999")[3]
    assert (wrong.verdict, wrong.came) == (Verdict.DIFFERENT, "63C2")


def test_on_a_card_that_draws_others_nonces_may_differ_and_the_rest_not() -> None:
    """The MAC that GET STATE answers covers the nonce; it may differ once that did."""
    customer = Customer()
    state = Command(0x80, Ins.GET_STATE, 0, 0, ne=40)
    reader, out = Reader("desk"), io.StringIO()
    TraceWriter(out).attach(reader)
    reader.insert(customer.chip)
    for command in (Command(0x00, Ins.SELECT, 0x04, 0x0C, customer.aid, 26), state):
        assert reader.transmit(command).ok
    info = customer.info.decode(reader.transmit(Command(0x00, Ins.SELECT, 0x04, 0x0C, customer.aid, 26)).data)
    customer.info = info
    assert reader.transmit(customer.transact_command(Kind.PURCHASE, customer.order())).ok
    lines = list(read_trace(out.getvalue().splitlines()))
    other = Reader("desk")
    other.insert(Customer(seed=b"another").chip)
    steps = list(play_back(lines, {"desk": other}))
    assert [step.verdict for step in steps] == [Verdict.MAY_DIFFER, Verdict.MAY_DIFFER, Verdict.MAY_DIFFER, Verdict.DIFFERENT]
    assert [(change.field, change.why) for change in steps[1].changes] == [("mac", Why.MAC)]
    assert "a nonce that this card did not draw" in str(steps[3])


def test_a_mac_that_differs_alone_is_a_fault() -> None:
    command, answer = Command(0x80, Ins.GET_STATE, 0, 0, ne=40), Response(bytes(40), SW.OK)
    (change,) = compare_responses(command, answer, Response(bytes(39) + b"\1", SW.OK))
    assert (change.field, change.why) == ("mac", Why.DIFFERENT)
    (change,) = compare_responses(command, answer, Response(bytes(39) + b"\1", SW.OK), drawn=True)
    assert (change.field, change.why, change.may_differ) == ("mac", Why.MAC, True)


def test_proof_and_receipt_never_may() -> None:
    command = transact(Kind.PURCHASE, 1, bytes(16), bytes(8))
    for place, name in ((16, "receipt"), (24, "proof")):
        came = bytearray(32)
        came[place] = 1
        (change,) = compare_responses(command, Response(bytes(32), SW.OK), Response(bytes(came), SW.OK), drawn=True)
        assert (change.field, change.may_differ) == (name, False)


SECURED = Command(0x84, Ins.STORE_DATA, 0x88, 0, bytes(24))
OPENING = Command(0x80, 0x50, 0x30, 0x00, bytes(8), 256)


@pytest.mark.parametrize(
    ("expected", "came", "masked", "told"),
    [
        (SECURED, replace(SECURED, data=b"\1" * 24), False, [("secured data", "(secret)", "(another secret)", Why.DRAWN)]),
        (SECURED, replace(SECURED, data=b"\1" * 24), True, []),
        (SECURED, replace(SECURED, data=b"\1" * 16), True, [("secured data", "(secret)", "(another secret)", Why.DIFFERENT)]),
        (OPENING, replace(OPENING, data=b"\1" * 8), False, [("secured data", "00" * 8, "01" * 8, Why.DRAWN)]),
        (Command(0x84, 0x82, 0, 0, bytes(16)), Command(0x84, 0x82, 1, 0, bytes(16)), False, None),
        (Command(0x80, 0x38, 0, 0, bytes(2), 3), Command(0x80, 0x38, 0, 0, bytes(2), 31), False, [("Ne", "3", "31", Why.DIFFERENT)]),
        (Command(0x80, 0x38, 0, 0, bytes(2), 3), Command(0x80, 0x38, 0, 0, bytes(3), 3), False, None),
        (Command(0x00, 0xB0, 0, 0, ne=1), Command(0x00, 0xB0, 0, 0, ne=1), False, []),
    ],
)  # fmt: skip
def test_commands_are_compared_by_field(
    expected: Command, came: Command, masked: bool, told: list[tuple[str, str, str, Why]] | None
) -> None:
    changes = compare_commands(expected, came, masked=masked)
    if told is None:
        assert [change.why for change in changes] == [Why.DIFFERENT]
    else:
        assert [(one.field, one.expected, one.came, one.why) for one in changes] == told


@settings(max_examples=200)
@given(
    st.binary(max_size=40),
    st.binary(max_size=40),
    st.sampled_from([Ins.GET_STATE, Ins.TRANSACT, Ins.VERIFY, Ins.PROVE, 0x50]),
    st.booleans(),
)
def test_what_is_equal_has_no_change_and_what_is_not_has_one(one: bytes, other: bytes, ins: int, drawn: bool) -> None:
    first, second = Command(0x80, ins, 0, 1, one), Command(0x80, ins, 0, 1, other)
    assert (compare_commands(first, second, drawn=drawn) == ()) == (one == other)
    answers = Response(one, SW.OK), Response(other, SW.OK)
    assert (compare_responses(first, *answers, drawn=drawn) == ()) == (one == other)


def test_a_card_that_goes_away_in_a_replay_differs_from_there_on() -> None:
    desk = Desk(view_customer(PROGRAMME, HOUR))
    reader = Reader("desk")
    reader.insert(desk.before.fork())
    reader.observers.append(lambda _name, event, _command, _response: setattr(reader, "powered", event != "apdu"))
    steps = list(play_back(desk.lines, {"desk": reader}))
    assert [step.verdict for step in steps] == [Verdict.SAME, *[Verdict.DIFFERENT] * 3]
    assert "answer: " in str(steps[1])
    assert "no answer came" in str(steps[1])


def test_a_line_without_an_answer_has_none_to_compare_with(tmp_path: Path) -> None:
    with Recorded(tmp_path, by_card=False) as recorded:
        recorded.tap(SALES[0], (2, Fault.LOST_AFTER))
    lines = recorded.lines()
    reader = Reader(Slot.CUSTOMER.value)
    reader.insert(Customer().chip)
    assert [step.verdict for step in play_back(lines, {reader.name: reader})][1] is Verdict.SAME
    reader.remove()
    reader.insert(Shop().chip)
    gone = Reader(Slot.CUSTOMER.value)
    with pytest.raises(LinkLost):
        gone.reset()
    assert [step.verdict for step in play_back(lines[1:], {gone.name: gone})] == [Verdict.SAME]


def test_t0_answers_are_compared_as_what_they_belong_to(tmp_path: Path) -> None:
    """GET RESPONSE brings the answer of the command before it, with a nonce that may differ."""
    select = Command(0x00, Ins.SELECT, 0x04, 0x0C, Customer().aid, 26)
    nonce = slice(16, 24)
    info = bytearray(26)
    other = bytearray(26)
    other[nonce] = b"another "
    lines = [
        Line(2, None, "desk", "apdu", select.encode().hex().upper(), "611A", {}),
        Line(3, None, "desk", "apdu", "00C000001A", bytes(info).hex().upper() + "9000", {}),
    ]
    answers = iter((Response(b"", 0x611A), Response(bytes(other), SW.OK)))

    class Given:
        def transmit(self, _command: Command) -> Response:
            return next(answers)

        def reset(self) -> None:
            raise AssertionError("no reset in the trace")

    steps = list(play_back(lines, {"desk": Given()}))
    assert [step.verdict for step in steps] == [Verdict.SAME, Verdict.MAY_DIFFER]
    assert [change.field for change in steps[1].changes] == ["nonce"]


def test_a_file_that_is_no_trace_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"\xff")
    with pytest.raises(BadTrace, match=r"t\.jsonl"):
        load_trace(tmp_path / "t.jsonl")
    with pytest.raises(FileNotFoundError), replaying(tmp_path / "none.jsonl"):
        pass


def test_the_example_of_a_test_passes_and_is_quoted_rightly() -> None:
    example = Path(__file__).parent.parent / "examples" / "test_from_a_trace.py"
    source = example.read_text(encoding="utf-8")
    quoted = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert quoted[-1] in source
    within: dict[str, object] = {"__file__": str(example), "__name__": "example"}
    exec(compile(source, example, "exec"), within)
    test = within["test_a_purchase_as_it_was_recorded"]
    assert callable(test)
    test()


def test_the_error_that_the_page_shows() -> None:
    """A till that asks its shop card for a challenge in place of the customer card for its record."""
    shown = next(block for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) if "Diverged" in block)
    example = Path(__file__).parent.parent / "examples" / "purchase.jsonl"
    replay = Replay(load_trace(example))
    links = replay.links
    links[Slot.SHOP](replay.left[0].asked())
    with pytest.raises(Diverged) as diverged:
        links[Slot.SHOP](Command(0x00, Ins.GET_CHALLENGE, 0, 0, ne=8))
    assert f"Diverged: {diverged.value}\n" == shown


def test_refusals_are_replayed_as_refusals(tmp_path: Path) -> None:
    with Recorded(tmp_path, by_card=True) as recorded, pytest.raises(CardRefused):
        recorded.tap(lambda till: till.redeem("1", HOUR, 10))
    lines = recorded.lines()
    till = fresh_till(True)
    with till.journal, pytest.raises(CardRefused):
        run(till.redeem("1", HOUR, 10), Replay(lines).links)


def test_keys_of_another_till_are_seen(tmp_path: Path) -> None:
    with Recorded(tmp_path, by_card=False) as recorded:
        recorded.tap(SALES[0])
    lines = recorded.lines()
    with Journal(":memory:") as journal:
        till = Till(SoftwareKeys(PROGRAMME, SHOP, TERMINAL, Key(sha256(b"another till").digest()[:16], "other")), journal)
        with pytest.raises(Diverged, match="mac: "):
            run(SALES[0](till), Replay(lines).links)
