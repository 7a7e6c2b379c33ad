"""The time of an APDU: its parts, its total, and the estimate of bytecodes."""

from pathlib import Path

import pytest

from joren.apdu import Command, Ins, Response
from joren.applet import customer, shop
from joren.simulator.bytecodes import BASE, COMMANDS, NOTHING, RANK, Count, bytecodes_of, bytecodes_table
from joren.simulator.profile import Band, load_profile, profile_names
from joren.simulator.timing import PARTS, assumptions_table, estimate, total
from joren.simulator.wire import WIRES, NoWire, wire_of
from joren.simulator.work import Op, Work

ROOT = Path(__file__).resolve().parent.parent
OK, REFUSED = Response(b"", 0x9000), Response(b"", 0x6982)
SELECT = Command(0x00, Ins.SELECT, 0x04, 0x0C, bytes(9), 26)
TRANSACT = Command(0x80, Ins.TRANSACT, 0x01, 0x01, bytes(24), 32)
SELECTED, TRANSACTED = Response(bytes(26), 0x9000), Response(bytes(32), 0x9000)
STORED: Work = [(Op.WRITE, 46), (Op.WRITE, 36), (Op.WRITE, 2), (Op.COMMIT, 84)]
PURCHASE: Work = [(Op.MAC, 39), *STORED, (Op.MAC, 47), (Op.MAC, 47)]


def purchase(card: str, name: str | None = None) -> Band:
    """A one-card purchase."""
    profile = load_profile(card)
    wire = wire_of(profile, name)
    selected = estimate(profile, wire, SELECT, SELECTED, [(Op.RANDOM, 8)])
    return total(selected) + total(estimate(profile, wire, TRANSACT, TRANSACTED, PURCHASE))


def test_the_parts_stand_in_their_order_and_add_up() -> None:
    profile = load_profile("jcop4")
    parts = estimate(profile, wire_of(profile), TRANSACT, TRANSACTED, PURCHASE)
    assert tuple(parts) == PARTS == ("reader", "wire", "MAC", "keys", "random", "writes", "bytecode")
    assert total(parts).likely == pytest.approx(sum(band.likely for band in parts.values()))
    assert total(parts).high == pytest.approx(sum(band.high for band in parts.values()))
    assert total({}) == Band(0, 0, 0)


def test_operations_cost_what_the_profile_says() -> None:
    """JCOP 3: a MAC of 47 bytes 13.08 + 47 x 0.004 ms, a write of 46 bytes 3.96 + 46 x 0.0016 ms, a commit 3.96 ms."""
    profile = load_profile("jcop3")
    work: Work = [(Op.MAC, 47), (Op.SET_KEY, 16), (Op.RANDOM, 8), (Op.WRITE, 46), (Op.COMMIT, 84)]
    parts = estimate(profile, wire_of(profile), TRANSACT, TRANSACTED, work)
    assert parts["MAC"].likely == pytest.approx(13.08 + 47 * 0.004)
    assert parts["keys"].likely == pytest.approx(22.11)
    assert parts["random"].likely == pytest.approx(0.68 + 8 * 0.0032)
    assert parts["writes"].likely == pytest.approx(3.96 + 46 * 0.0016 + 3.96)
    assert parts["writes"].low == pytest.approx(0.92 + 46 * 0.0016)
    assert parts["reader"] == Band(0.0, 1.0, 5.0)


def test_bytecodes_cost_what_the_profile_says() -> None:
    """JCOP 4: 7.5 us a bytecode and 0.18 ms a copy, likely; a refused command runs the base alone."""
    profile = load_profile("jcop4")
    parts = estimate(profile, wire_of(profile), TRANSACT, REFUSED, [])
    assert parts["bytecode"].likely == pytest.approx(100 * 0.0075)
    parts = estimate(profile, wire_of(profile), SELECT, SELECTED, [])
    assert parts["bytecode"].likely == pytest.approx((100 + 128) * 0.0075 + 4 * 0.18)


def test_the_ideal_chip_leaves_reader_and_wire() -> None:
    profile = load_profile("ideal")
    parts = estimate(profile, wire_of(profile), TRANSACT, TRANSACTED, PURCHASE)
    assert {part for part, band in parts.items() if band.high} == {"reader", "wire"}


def test_with_t0_the_answer_costs_an_exchange_more() -> None:
    profile = load_profile("sle78")
    assert estimate(profile, wire_of(profile, "t0"), TRANSACT, TRANSACTED, [])["reader"] == Band(0.0, 2.0, 10.0)
    assert estimate(profile, wire_of(profile, "t1"), TRANSACT, TRANSACTED, [])["reader"] == Band(0.0, 1.0, 5.0)


def test_a_slow_card_asks_for_time() -> None:
    profile = load_profile("sle78")
    wire = wire_of(profile)
    asked = estimate(profile, wire, TRANSACT, TRANSACTED, PURCHASE)["wire"].likely
    assert asked > wire.exchange(TRANSACT, TRANSACTED, 0.0).likely


@pytest.mark.parametrize("card", profile_names())
def test_every_band_is_in_order(card: str) -> None:
    profile = load_profile(card)
    for name in WIRES:
        try:
            wire = wire_of(profile, name)
        except NoWire:
            continue
        for band in estimate(profile, wire, TRANSACT, TRANSACTED, PURCHASE).values():
            assert 0 <= band.low <= band.likely <= band.high


@pytest.mark.parametrize(("card", "budget_ms"), [("jcop4", 100), ("jcop3", 200)])
def test_a_purchase_keeps_its_budget(card: str, budget_ms: float) -> None:
    assert purchase(card).likely <= budget_ms
    assert purchase(card, "848").likely < purchase(card, "106").likely


def test_every_command_of_either_card_is_in_the_table() -> None:
    assert set(COMMANDS) == set(Ins)
    for forms in (customer.FORMS, shop.FORMS):
        assert forms.keys()
        assert {ins for _, ins in forms} <= set(COMMANDS)


def test_counts_are_in_order() -> None:
    for count in [*COMMANDS.values(), BASE, RANK]:
        assert 0 <= count.low <= count.likely <= count.high
        assert count.copies >= 0


def test_the_rank_is_computed_where_the_card_computes_it() -> None:
    """REQ-TRX-5, REQ-CMP-2: TRANSACT 01 and 02 and COMPUTE; not COMMIT, nor TRANSACT of another kind."""
    assert Count(1200, 2500, 4400) == RANK
    plain = BASE + COMMANDS[Ins.TRANSACT]
    for kind, expected in ((1, plain + RANK), (2, plain + RANK), (3, plain), (0x81, plain)):
        assert bytecodes_of(Command(0x80, Ins.TRANSACT, kind, 1, bytes(24), 32), TRANSACTED) == expected
    assert COMMANDS[Ins.COMPUTE].low > RANK.low
    assert COMMANDS[Ins.COMMIT].likely < RANK.likely


@pytest.mark.parametrize(
    ("ins", "response", "expected"),
    [
        (Ins.GET_STATE, OK, BASE + COMMANDS[Ins.GET_STATE]),
        (Ins.GET_STATE, Response(b"", 0x6128), BASE + COMMANDS[Ins.GET_STATE]),
        (Ins.GET_STATE, Response(b"", 0x6C28), BASE),
        (Ins.GET_STATE, REFUSED, BASE),
        (Ins.GET_RESPONSE, OK, NOTHING),
        (Ins.MANAGE_CHANNEL, OK, NOTHING),
        (0x22, OK, BASE),
    ],
)
def test_a_command_costs_its_share_when_it_is_done(ins: int, response: Response, expected: Count) -> None:
    assert bytecodes_of(Command(0x80, ins, 0, 0), response) == expected


@pytest.mark.parametrize(("name", "table"), [("assumptions", assumptions_table()), ("bytecodes", bytecodes_table())])
def test_the_page_shows_what_is_assumed(name: str, table: str) -> None:
    page = (ROOT / "docs" / "timing.md").read_text(encoding="utf-8")
    shown = page.partition(f"<!-- generated: {name} -->\n")[2].partition("\n<!-- end -->")[0]
    assert shown == table


@pytest.mark.parametrize(("name", "text"), [("106", "18 ms (9 to 64)"), ("t1", "48 ms (28 to 131)")])
def test_the_page_names_the_activation(name: str, text: str) -> None:
    band = wire_of(load_profile("jcop4"), name).activation
    assert f"{band.likely:.0f} ms ({band.low:.0f} to {band.high:.0f})" == text
    assert text in (ROOT / "docs" / "timing.md").read_text(encoding="utf-8")
