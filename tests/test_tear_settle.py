"""Torn sales are settled (REQ-STL-1 to REQ-STL-6): the power goes at any write of either card, once, twice, three times."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from joren.cli import main
from joren.commands import tear as tear_command
from joren.commands import tear_settle
from joren.commands.tear_all import Everything, Torn, tear_all
from joren.commands.tear_audit import Disagreement, audit
from joren.commands.tear_counter import Counter, Cut, set_stage
from joren.commands.tear_java import JavaVerdict
from joren.commands.tear_mutants import Verdict
from joren.commands.tear_scripts import scripts
from joren.commands.tear_settle import SALES, Case, Figures, Unsettled, cases, random_tears, settle_pairs, settle_singles
from joren.host import CardLost, Fate
from joren.simulator.chip import IDEAL, MODEL, Program
from joren.simulator.mutants import First, Late, Mutant, NoTransactions, Wrong
from joren.simulator.profile import Profile, load_profile, profile_names
from joren.simulator.tear import AFTER, Outcome, explore, placed

HOUR = 200
FIELDS = {
    "format", "version", "scripts", "commands", "tears", "old", "new", "counted", "mixed", "where", "profiles", "mutants", "mutants_caught",
    "missed", "settled", "pairs", "random", "seed", "unsettled", "unsettled_where",
}  # fmt: skip


def joren(folder: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["--home", str(folder / "home"), *words])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_every_sale_torn_once_is_settled_on_every_profile(record_property: Callable[[str, object], None]) -> None:
    """REQ-STL-2, REQ-STL-3."""
    figures = Figures()
    for name in profile_names():
        for case in cases():
            settle_singles(replace(case, profile=name, stage=case.stage.on(load_profile(name))), figures)
    assert figures.unsettled == []
    record_property("sales torn once and settled, over all profiles", figures.settled)


@pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])
@pytest.mark.parametrize("name", SALES)
def test_every_sale_torn_twice_is_settled(by_card: bool, name: str, record_property: Callable[[str, object], None]) -> None:
    """REQ-STL-6."""
    figures, wanted = Figures(), f"{name}, {'shop card' if by_card else 'software keys'}"
    (case,) = [one for one in cases() if one.name == wanted]
    settle_pairs(case, figures)
    assert figures.unsettled == []
    record_property(f"torn twice and settled: {wanted}", figures.pairs)


def test_sales_torn_three_times_are_settled_and_follow_from_the_seed(record_property: Callable[[str, object], None]) -> None:
    choice = [case for case in cases() if "shop card" in case.name]
    figures, again = Figures(), Figures()
    assert list(random_tears(choice, 3, 60, figures)) == list(range(1, 61))
    assert list(random_tears(choice[:1], 3, 0, again)) == []
    assert figures.unsettled == []
    record_property("sales torn three times and settled", figures.random)


def broken(kind: type[Wrong], region: str, card: str) -> list[Case]:
    """Some cases, with one of the cards on a memory that writes wrongly."""
    make = Mutant(kind, card, region).make
    return [
        replace(case, stage=replace(case.stage, **{card: getattr(case.stage, card).on(IDEAL, make)}))
        for case in cases()
        if "shop card" in case.name
    ][:3]


@pytest.mark.parametrize(("kind", "region", "card"), [(NoTransactions, "", "shop"), (First, "counter", "customer")])
def test_a_card_that_tears_badly_is_noticed_at_the_till_too(kind: type[Wrong], region: str, card: str) -> None:
    figures, more = Figures(), Figures()
    choice = broken(kind, region, card)
    for case in choice:
        settle_singles(case, figures)
    assert figures.settled
    assert figures.unsettled
    settle_pairs(choice[0], more)
    twice = len(more.unsettled)
    assert twice
    list(random_tears(choice, 1, 40, more))
    assert len(more.unsettled) > twice


def test_the_order_of_the_customer_card_s_writes_is_enough_for_the_till() -> None:
    """The counter comes last and makes the rest true (docs/spec/records.md): even a card without transactions is settled."""
    figures = Figures()
    for case in broken(NoTransactions, "", "customer"):
        settle_singles(case, figures)
    assert figures.unsettled == []


def test_where_a_cut_falls() -> None:
    before, sale = SALES["load"]
    stage = set_stage(True, before)
    counter = Counter(stage)
    places = []
    for write in range(1, 6):
        counter = Counter(stage)
        with pytest.raises(CardLost):
            counter.tap(sale, Cut(4, write))
        places.append(counter.torn)
    assert places == ["sheets", "log", "counter", "commit", AFTER]
    counter = Counter(stage)
    counter.tap(sale, Cut(9, 1))
    assert counter.torn is None


def audited(change: Callable[[Counter], object]) -> str:
    """What an audit says when something was changed behind its back."""
    before, sale = SALES["purchase"]
    counter = Counter(set_stage(True, before))
    counter.tap(sale)
    assert [row.reference for row in audit(counter, HOUR)] == ["loaded first", "bought first", "S"]
    change(counter)
    with pytest.raises(Disagreement) as caught:
        audit(counter, HOUR)
    return str(caught.value)


def test_an_audit_sees_what_does_not_agree() -> None:
    def pending(counter: Counter) -> None:
        row = next(counter.journal.rows())
        order = replace(row.order, sequence=row.order.sequence + 100)
        counter.journal.add(replace(row, reference="never", order=order, fate=Fate.PENDING))

    def twice(counter: Counter) -> None:
        row = next(counter.journal.rows())
        order = replace(row.order, sequence=row.order.sequence + 100)
        counter.journal.add(replace(row, reference="again", order=order))

    def unknown(counter: Counter) -> None:
        row = next(counter.journal.rows())
        order = replace(row.order, sequence=row.order.sequence + 100)
        counter.journal.add(replace(row, reference=None, order=order))

    def old_customer(counter: Counter) -> None:
        counter.customer.restore(counter.stage.customer.snapshot())

    def old_shop(counter: Counter) -> None:
        counter.shop.restore(counter.stage.shop.snapshot())

    def blank(counter: Counter) -> None:
        counter.customer.restore(bytes(len(counter.customer.snapshot())))

    assert "rows that are not settled: 0 expected, 1 came" in audited(pending)
    assert "transactions of the journal and of the card's log" in audited(twice)
    assert "without a sale" in audited(unknown)
    assert "transactions of the journal and of the card's log" in audited(old_customer)
    assert "totals" in audited(old_shop)
    assert "9000 expected" in audited(blank)


def test_the_command_line_tears_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --json, and as text: the same, done once for both."""
    found: list[Everything] = []

    def once(profiles: list[Profile], seed: int, number: int, program: Program) -> Everything:
        found.extend([] if found else [tear_all(profiles, seed, number, program)])
        return found[0]

    monkeypatch.setattr(tear_settle, "SALES", {"pay": SALES["pay"]})
    monkeypatch.setattr(tear_command, "tear_all", once)
    words = ["tear", "--all", "--random", "5", "--seed", "5", "--profile", "ideal", "--profile", "feitian-h19cr"]
    told = json.loads(joren(tmp_path, *words, "--json"))
    assert set(told) == FIELDS
    assert [one["profile"] for one in told["profiles"]] == ["ideal", "feitian-h19cr"]
    for name in ("tears", "old", "new", "counted", "mixed", "settled"):
        assert told[name] == sum(one[name] for one in told["profiles"])
    assert told["tears"] == told["old"] + told["new"] + told["counted"]
    assert (told["mixed"], told["missed"], told["unsettled"], told["where"], told["unsettled_where"]) == (0, [], 0, [], [])
    assert told["mutants"] == told["mutants_caught"] >= 70
    assert (told["random"], told["seed"]) == (5, 5)
    assert told["pairs"] > 100
    text = joren(tmp_path, *words)
    mutants = f"{told['mutants']} mutants: {told['mutants']} caught"
    for said in ("0 mixed", mutants, "5 three times (seed 5)", "feitian-h19cr  T=0", "COMMIT PURCHASE"):
        assert said in text
    assert "sle78" not in text


def test_without_a_choice_every_profile_is_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], int, int]] = []

    def given(profiles: list[Profile], seed: int, number: int, program: Program) -> Everything:
        assert program is MODEL
        asked.append(([profile.name for profile in profiles], seed, number))
        return Everything([], seed)

    monkeypatch.setattr(tear_command, "tear_all", given)
    joren(tmp_path, "tear", "--all", "--json")
    assert asked == [(profile_names(), 1, 300)]


def test_what_is_wrong_is_shown_and_ends_with_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Mutant(Late, "customer card", "counter")
    script = next(one for one in scripts() if one.name == "one-card load: customer card")
    tears = tuple(explore(placed(script, script.chip.on(IDEAL, late.make))))
    assert any(tear.outcome is Outcome.MIXED for tear in tears)
    torn, verdicts = [Torn(load_profile("jcop4"), tears, 7)], list[Verdict | JavaVerdict]([Verdict(late, None)])
    figures = Figures(7, 0, 0, [Unsettled("load, shop card", "jcop4", ("3.1", "2.2"), "granted twice")])

    def given(*_arguments: object) -> Everything:
        return Everything([script], 1, torn, verdicts, figures)

    monkeypatch.setattr(tear_command, "tear_all", given)
    text = joren(tmp_path, "tear", "--all", code=1)
    for said in ("X", "TRANSACT LOAD", "customer card, counter: late", "3.1 2.2", "granted twice", "1 mutants: 0 caught"):
        assert said in text
    told = json.loads(joren(tmp_path, "tear", "--all", "--json", code=1))
    assert told["where"][0]["profile"] == "jcop4"
    assert told["missed"] == ["customer card, counter: late"]
    assert told["unsettled_where"][0]["tears"] == ["3.1", "2.2"]


def test_a_profile_too_small_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(_name: str) -> object:
        return replace(load_profile("ideal"), name="small", title="a small chip", commit_capacity_bytes=384, commit_overhead_bytes=40)

    monkeypatch.setattr(tear_command, "load_profile", small)
    assert "a small chip: commit capacity: 960 bytes needed, 384 are there" in joren(tmp_path, "tear", "--all", "--profile", "x", code=2)
