"""joren tear --all: every command on every card profile, every mutant, every torn sale."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from rich.progress import track

from joren.simulator.chip import MODEL, Program
from joren.simulator.java_roles import JAVACARD
from joren.simulator.profile import Profile
from joren.simulator.protocol import slot_protocol
from joren.simulator.tear import Outcome, Script, Tear, explore, placed

from .output import console, table
from .tear_java import JavaVerdict, catch_java, java_mutants
from .tear_mutants import Hunt, Verdict
from .tear_scripts import scripts
from .tear_settle import Figures, cases, random_tears, settle_pairs, settle_singles
from .tear_show import counts, show_mixed, show_tears, where

__all__ = ["Everything", "Torn", "fields_of", "show_all", "tear_all"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Torn:
    """The tears of one profile, and how many sales were settled on it after one tear."""

    profile: Profile
    tears: tuple[Tear, ...]
    settled: int


@dataclass(slots=True)
class Everything:
    """All that was found."""

    scripts: list[Script]
    seed: int
    torn: list[Torn] = field(default_factory=list)
    verdicts: list[Verdict | JavaVerdict] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)

    @property
    def tears(self) -> list[Tear]:
        """Of all profiles."""
        return [tear for torn in self.torn for tear in torn.tears]

    @property
    def missed(self) -> list[str]:
        """The mutants that no tear gave away."""
        return [verdict.mutant.name for verdict in self.verdicts if verdict.tear is None]

    @property
    def good(self) -> bool:
        """Nothing mixed, no mutant missed, every sale settled."""
        return not (counts(self.tears)[Outcome.MIXED.value] or self.missed or self.figures.unsettled)


def tear_all(profiles: Sequence[Profile], seed: int, number: int, program: Program = MODEL) -> Everything:
    """Tears every script and every sale on each profile; mutants and pairs on ideal chips; `number` sales three times at random.

    The mutants of the model are memories that write wrongly, those of the Java Card applets are applets that do.
    Raises DoesNotFit for a profile that can not hold the cards, or not do a command; NoJava.
    """
    found, sales = Everything(list(scripts(program)), seed), cases(program)
    everywhere = []
    for profile in profiles:
        there = [placed(script, script.chip.on(profile.for_development())) for script in found.scripts]
        tears = tuple(tear for script in _track(there, f"{profile.name}: scripts torn") for tear in explore(script))
        there_sales = [replace(case, profile=profile.name, stage=case.stage.on(profile)) for case in sales]
        before = found.figures.settled
        for case in _track(there_sales, f"{profile.name}: sales torn"):
            settle_singles(case, found.figures)
        found.torn.append(Torn(profile, tears, found.figures.settled - before))
        everywhere += there_sales
    if program.name == JAVACARD.name:
        found.verdicts += [catch_java(mutant, found.scripts) for mutant in _track(java_mutants(), "mutants of the Java applets")]
    else:
        hunt = Hunt(found.scripts)
        found.verdicts += [hunt.catch(mutant) for mutant in _track(hunt.mutants, "mutants")]
    for case in _track(sales, "sales torn twice"):
        settle_pairs(case, found.figures)
    for _ in _track(random_tears(everywhere, seed, number, found.figures), "sales torn three times", number):
        pass
    return found


def _track(what: Iterable[T], name: str, total: int | None = None) -> Iterable[T]:
    out = console(stderr=True)
    return track(what, name, total, console=out, disable=not out.is_terminal, transient=True)


def fields_of(found: Everything) -> dict[str, Any]:
    """The fields of --json."""
    figures = found.figures
    return {
        "scripts": len(found.scripts),
        "commands": sum(len(script.commands) for script in found.scripts),
        **counts(found.tears),
        "where": [{"profile": torn.profile.name, **one} for torn in found.torn for one in where(torn.tears)],
        "profiles": [{"profile": torn.profile.name, **counts(torn.tears), "settled": torn.settled} for torn in found.torn],
        "mutants": len(found.verdicts),
        "mutants_caught": len(found.verdicts) - len(found.missed),
        "missed": found.missed,
        "settled": figures.settled,
        "pairs": figures.pairs,
        "random": figures.random,
        "seed": found.seed,
        "unsettled": len(figures.unsettled),
        "unsettled_where": [asdict(one) for one in figures.unsettled],
    }


def show_all(found: Everything) -> None:
    """The letters of the first profile, a line for each, and what is wrong."""
    screen = console()
    show_tears(found.torn[0].tears)
    columns = ("profile", "protocol", "tears", *(outcome.value for outcome in Outcome), "sales settled")
    rows = []
    for torn in found.torn:
        numbers = [f"{number:,}" for number in (*counts(torn.tears).values(), torn.settled)]
        rows.append([torn.profile.name, slot_protocol(torn.profile).value, *numbers])
    screen.print(table(columns, rows, right=frozenset(columns[2:])))
    totals = counts(found.tears)
    screen.print(f"{totals.pop('tears'):,} tears: " + ", ".join(f"{number:,} {name}" for name, number in totals.items()))
    screen.print(f"{len(found.verdicts):,} mutants: {len(found.verdicts) - len(found.missed):,} caught")
    figures = found.figures
    screen.print(
        f"sales settled: {figures.settled:,} torn once, {figures.pairs:,} twice, {figures.random:,} three times (seed {found.seed})"
    )
    for torn in found.torn:
        show_mixed(torn.tears, torn.profile.name)
    if found.missed:
        screen.print(table(("mutant missed",), [[name] for name in found.missed]))
    if figures.unsettled:
        rows = [[one.profile, one.case, " ".join(one.tears), one.problem] for one in figures.unsettled]
        screen.print(table(("profile", "sale not settled", "torn at", "what is wrong"), rows))
