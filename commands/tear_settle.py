"""Torn sales, and whether they are settled: the power of either card is cut at every write of every APDU of every kind of sale.

How it works. A sale is torn, the cards get power again, and the till is asked for the same sale until it has a result (REQ-STL-2); then
all books must agree, and the sale must have been granted once (REQ-STL-3). A pair is torn a second time, anywhere in the tap that is to
settle it. Three tears at random go beyond: the till may lose its own power between them, and the sale may be given up at the end: the till
only settles what is pending, and the sale was granted once or not at all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from joren.apdu import MacMismatch
from joren.host import CardFault, CardLost, CardRefused, Dialog, Granted, HostError, JournalError, Till
from joren.simulator.chip import IDEAL, MODEL, Program
from joren.simulator.tear import AFTER

from .tear_audit import Disagreement, audit
from .tear_counter import Counter, Cut, Stage, set_stage

__all__ = ["SALES", "Case", "Figures", "Unsettled", "cases", "random_tears", "settle_pairs", "settle_singles"]

HOUR = 200
TAPS_MAX = 3
REFERENCE = "S"
TEARS, APDUS_MAX, WRITES_MAX = 3, 12, 6
RESTARTS, GIVEN_UP = 0.3, 0.5
WRONG = (CardFault, CardLost, CardRefused, Disagreement, HostError, JournalError, MacMismatch)
Sale = Callable[[Till], Dialog[Granted]]
BEFORE: tuple[Sale, ...] = (
    lambda till: till.load("loaded first", 100, 20_000),
    lambda till: till.purchase("bought first", 101, 100_000),
)
BOUGHT: tuple[Sale, ...] = (*BEFORE, lambda till: till.purchase("bought", 102, 7_777))
LOADED: tuple[Sale, ...] = (*BEFORE, lambda till: till.load("loaded", 102, 300))
SALES: dict[str, tuple[tuple[Sale, ...], Sale]] = {
    "purchase": (BEFORE, lambda till: till.purchase(REFERENCE, HOUR, 12_345, 3)),
    "pay and earn": (BEFORE, lambda till: till.purchase(REFERENCE, HOUR, 2_500, pay=True)),
    "redeem": (BEFORE, lambda till: till.redeem(REFERENCE, HOUR, 150)),
    "load": (BEFORE, lambda till: till.load(REFERENCE, HOUR, 4_000)),
    "pay": (BEFORE, lambda till: till.pay(REFERENCE, HOUR, 700)),
    "void of purchase": (BOUGHT, lambda till: till.void(REFERENCE, HOUR, "bought")),
    "void of load": (LOADED, lambda till: till.void(REFERENCE, HOUR, "loaded")),
}
"""The sales that come before, and the one that is torn."""


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of sale at a till of either kind, with cards of one profile."""

    name: str
    profile: str
    stage: Stage
    sale: Sale


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A sale that was torn and did not end as it must, with the tears, each "APDU.write"."""

    case: str
    profile: str
    tears: tuple[str, ...]
    problem: str


@dataclass(slots=True)
class Figures:
    """How many sales were settled after one tear, after two, after three at random; and those that were not."""

    settled: int = 0
    pairs: int = 0
    random: int = 0
    unsettled: list[Unsettled] = field(default_factory=list)


def cases(program: Program = MODEL) -> list[Case]:
    """Every sale at a till of either kind, on ideal chips that run that program."""
    return [
        Case(f"{name}, {'shop card' if by_card else 'software keys'}", IDEAL.title, set_stage(by_card, before, program), sale)
        for by_card in (False, True)
        for name, (before, sale) in SALES.items()
    ]


def settle_singles(case: Case, figures: Figures) -> None:
    """One tear, at every write of every APDU of the sale."""
    for cut, counter in _torn(case, ()):
        figures.settled += _end(case, counter, (cut,), figures)


def settle_pairs(case: Case, figures: Figures) -> None:
    """Two tears, the second at every write of every APDU of the tap after the first."""
    for first, torn in _torn(case, ()):
        torn.close()
        for second, counter in _torn(case, (first,)):
            figures.pairs += _end(case, counter, (first, second), figures)


def random_tears(choice: Sequence[Case], seed: int, number: int, figures: Figures) -> Iterator[int]:
    """Three tears, `number` times; gives the number of each when it is done."""
    chance = Random(seed)
    for done in range(1, number + 1):
        case, cuts = chance.choice(choice), list[Cut]()
        restarts = [chance.random() < RESTARTS for _ in range(TEARS)]
        while len(cuts) < TEARS:
            cut = Cut(chance.randint(1, APDUS_MAX), chance.randint(1, WRITES_MAX))
            counter = _play(case, (*cuts, cut), restarts)
            if counter.torn is not None:
                cuts.append(cut)
            if counter.problem is not None:
                break
            if len(cuts) < TEARS:
                counter.close()
        figures.random += _end(case, counter, tuple(cuts), figures, given_up=chance.random() < GIVEN_UP)
        yield done


def _play(case: Case, cuts: Sequence[Cut], restarts: Sequence[bool] = ()) -> Counter:
    """A counter after a tap with each of the cuts; before some of them the till loses its power."""
    counter = Counter(case.stage)
    for number, cut in enumerate(cuts):
        if number < len(restarts) and restarts[number]:
            counter.restart()
        _tap(counter, case.sale, cut)
    return counter


def _torn(case: Case, before: tuple[Cut, ...]) -> Iterator[tuple[Cut, Counter]]:
    """Every cut there is in the tap after those of `before`, and the counter as it is then."""
    for apdu in count(1):
        for write in count(1):
            cut = Cut(apdu, write)
            counter = _play(case, (*before, cut))
            torn = counter.torn
            if torn is None and counter.problem is None:
                counter.close()
                return
            yield cut, counter
            if torn is None:
                return
            if torn == AFTER:
                break


def _tap(counter: Counter, sale: Sale, cut: Cut | None = None) -> Granted | None:
    """The result of a tap; None if a card was lost, or something worse came, which the counter keeps."""
    try:
        return counter.tap(sale, cut)
    except CardLost:
        return None
    except WRONG as problem:
        counter.problem = counter.problem or problem
        return None


def _end(case: Case, counter: Counter, cuts: tuple[Cut, ...], figures: Figures, *, given_up: bool = False) -> bool:
    """Brings a torn sale to its end, and audits it: whether all is as it must be."""
    try:
        if given_up:
            counter.tap(lambda till: till.settle())
        else:
            _repeat(counter, case.sale)
        if counter.problem is not None:
            raise counter.problem
        committed = [row for row in audit(counter, HOUR) if row.reference == REFERENCE]
        if not given_up and not committed:
            raise Disagreement(f"sale {REFERENCE}: committed once expected, it is not")
    except WRONG as error:
        figures.unsettled.append(Unsettled(case.name, case.profile, tuple(f"{cut.apdu}.{cut.write}" for cut in cuts), str(error)))
        return False
    finally:
        counter.close()
    return True


def _repeat(counter: Counter, sale: Sale) -> None:
    """The same sale until it has its result, and once more: then it is given again, and no card is asked."""
    for _ in range(TAPS_MAX):
        granted = _tap(counter, sale)
        if granted is not None:
            break
    else:
        raise Disagreement(f"the sale has no result after {TAPS_MAX} taps")
    again = counter.tap(sale)
    if counter.asked or again.receipt != granted.receipt:
        raise Disagreement("the sale was made again")
