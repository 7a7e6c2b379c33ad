"""What every command costs is reviewed in docs/budgets.md; whatever costs another figure now fails here, with the difference."""

from pathlib import Path

from joren.applet.applet import NEEDS
from joren.applet.customer import FORMS as CUSTOMER_FORMS
from joren.applet.shop import FORMS as SHOP_FORMS
from joren.commands.budgets import Budget, budgets, profiles_told, to_markdown

PAGE = Path(__file__).parent.parent / "docs" / "budgets.md"
BEGIN, END = "<!-- generated: budgets -->\n", "\n<!-- end -->"
NOW = budgets()


def table(text: str) -> dict[str, list[str]]:
    """Rows by command: the cells after it."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if row[0] and not row[0].startswith("-")}


def differences(reviewed: str, now: str) -> list[str]:
    """Each figure that is not the reviewed one: what it was, what it is, the difference."""
    before, after = table(reviewed), table(now)
    columns = after.pop("command")
    told = [] if before.pop("command", None) == columns else ["the columns differ"]
    told += [f"{name}: not reviewed yet" for name in after.keys() - before.keys()]
    told += [f"{name}: reviewed, and there is no such command any more" for name in before.keys() - after.keys()]
    for name in after.keys() & before.keys():
        for column, old, new in zip(columns, before[name], after[name], strict=True):
            if old != new:
                told.append(f"{name}: {column}: {old} reviewed, {new} now ({float(new) - float(old):+g})")
    return sorted(told)


def test_every_figure_is_the_reviewed_one() -> None:
    """Where this fails on purpose: `python -m joren.commands.budgets` prints the table, and the reason belongs into the commit."""
    reviewed = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert differences(reviewed, to_markdown(NOW)) == []


def test_a_change_is_told_with_its_difference() -> None:
    worse = [Budget(one.command, one.apdu_bytes, one.written_bytes + 7, one.writes, one.ram_bytes, one.times_ms) for one in NOW[:1]]
    told = differences(to_markdown(NOW[1:]), to_markdown(NOW))
    assert told == [f"{NOW[0].command}: not reviewed yet"]
    told = differences(to_markdown(NOW), to_markdown([*worse, *NOW[1:]]))
    was = NOW[0].written_bytes
    assert told == [f"{NOW[0].command}: bytes written: {was} reviewed, {was + 7} now (+7)"]
    assert differences(to_markdown(NOW), to_markdown(NOW[1:])) == [f"{NOW[0].command}: reviewed, and there is no such command any more"]
    assert differences("| a |\n|---|", to_markdown(NOW))[0:1] != []


def test_every_instruction_has_a_budget() -> None:
    names = " ".join(one.command for one in NOW)
    for _, ins in {*CUSTOMER_FORMS, *SHOP_FORMS}:
        assert ins.name.replace("_", " ") in names  # type: ignore[attr-defined]
    assert "SELECT" in names


def test_the_limits_of_the_design() -> None:
    """REQ-FLW-2, REQ-FIT-1: bytes in a transaction, RAM; and time, where the card computes."""
    names = [profile.name for profile in profiles_told()]
    for one in NOW:
        assert one.written_bytes <= NEEDS.commit_bytes <= 256, one
        assert one.writes <= NEEDS.commit_writes, one
        assert one.ram_bytes <= 1024, one
    for card, most in (("jcop4", 100), ("jcop3", 200)):
        at = names.index(card)
        one_card = [one for one in NOW if one.command in ("SELECT, record alone, customer card", "TRANSACT PURCHASE, key TILL")]
        assert len(one_card) == 2
        assert sum(one.times_ms[at] for one in one_card) <= most
