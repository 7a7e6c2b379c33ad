"""Tries a card against vectors: what it must have for them, tears, and what is left of a card when a vector failed.

How it works. Every vector begins with a card of its own: a fresh one where the target makes them, else the instance is deleted and
installed anew, so what one vector left half-way is gone before the next. Where even that fails the run names the vector after which it
did, and the others are skipped. A tear at each write begins with such a card for every write: what can be read afterwards must be what
could be read of a card that never had the command, or of one that had it whole.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from time import perf_counter

from joren.apdu import LinkLost
from joren.host.cardline import PowerLost
from joren.host.errors import CardFault, HostError

from .checking import Failed
from .results import Line, Result, Verdict
from .session import Session, Way
from .suite import Fixture, Kind, Send, Suite, Vector, steps_in
from .target import Target

__all__ = ["Runner", "Way"]

WRITES_MAX = 2_000


class Runner:
    """A suite and a target. `clock` measures seconds."""

    def __init__(self, suite: Suite, target: Target, way: Way | None = None, clock: Callable[[], float] = perf_counter) -> None:
        self.suite = suite
        self.target = target
        self.way = way or (Way.PLAIN if "plain" in target.can else Way.MANAGER)
        self._clock = clock
        self._lost = ""

    @property
    def features(self) -> frozenset[str]:
        """What vectors may require here."""
        found = self.target.can - {"plain", "manager"}
        if self.way is Way.PLAIN:
            found |= {"plain"}
        return found | (self.target.can & {"manager"})

    def run(self, vectors: Iterable[Vector]) -> Iterator[Result]:
        """The result of each vector, as it comes. Raises nothing for what a card does."""
        for vector in vectors:
            yield self.try_one(vector)

    def try_one(self, vector: Vector) -> Result:
        """One vector."""
        missing = self.needs(vector) - self.features
        if missing:
            return Result(vector, Verdict.SKIPPED, f"needs {', '.join(sorted(missing))}", 0, 0.0)
        if self._lost:
            return Result(vector, Verdict.SKIPPED, self._lost, 0, 0.0)
        begun, run = self._clock(), _Run(self.suite, self.target, vector, self.way)
        reason, lost = "", ""
        try:
            run.to_the_end()
        except Failed as failed:
            reason = str(failed)
        except PowerLost as error:
            reason = f"the card lost its power where nothing was to be torn: {error}"
        except (LinkLost, CardFault, HostError) as error:
            reason, lost = str(error), self._look(vector)
        seconds = self._clock() - begun
        self._lost = self._lost or lost or self._clean(vector, run)
        verdict = Verdict.FAILED if reason else Verdict.PASSED
        return Result(vector, verdict, reason, run.apdus, seconds, tuple(run.trace) if reason else ())

    def needs(self, vector: Vector) -> frozenset[str]:
        """What it requires, and what follows from its steps and its class."""
        found = set(vector.requires)
        fixture = self.suite.fixtures[vector.fixture]
        if fixture.card == "managed":
            found |= {"manager", "fresh"}
        if vector.kind is Kind.BYTES:
            found |= {"fresh", "seeded", "plain"}
        for step in steps_in(vector.steps):
            if isinstance(step, Send):
                found |= {word for word, there in (("raw", step.raw), ("extended", step.extended)) if there}
                found |= {"tear", "fresh"} if step.tear is not None else set()
        return frozenset(found - {"reset"})

    def _look(self, vector: Vector) -> str:
        """Whether the target is still there after a fault; why not, for the vectors that follow."""
        try:
            self.target.reset()
        except (LinkLost, CardFault, HostError) as error:
            return f"the target went away in {vector.id}: {error}"
        return ""

    def _clean(self, vector: Vector, run: "_Run") -> str:
        """The steps of `cleanup`, on a card that is not thrown away; what is left half-way is told."""
        if not vector.cleanup or "fresh" in self.target.can:
            return ""
        try:
            run.session.run(vector.cleanup)
        except (Failed, LinkLost, CardFault, HostError) as error:
            return f"the card is left half-way by {vector.id}: {error}"
        return ""


class _Run:
    """One vector on one card after another."""

    def __init__(self, suite: Suite, target: Target, vector: Vector, way: Way) -> None:
        self._suite = suite
        self._target = target
        self._vector = vector
        self._way = way
        self._before = 0
        self.session = self._made(suite.fixtures[vector.fixture])

    @property
    def trace(self) -> list[Line]:
        """What went over the line to the card at hand."""
        return self.session.trace

    @property
    def apdus(self) -> int:
        """How many, to all of them."""
        return self._before + self.session.apdus

    def _made(self, fixture: Fixture) -> Session:
        return Session(self._suite, self._target, fixture, self._vector.values, self._way)

    def to_the_end(self) -> None:
        """Every step."""
        self.session.begin()
        for number, step in enumerate(self._vector.steps):
            if isinstance(step, Send) and step.tear is not None:
                self._torn(number, step)
            else:
                self.session.run((step,))

    def _anew(self, steps: int) -> Session:
        """A card of its own, after the first steps; of those that are torn, whole."""
        self._before += self.session.apdus
        self.session = session = self._made(self._suite.fixtures[self._vector.fixture])
        session.begin()
        session.run(self._vector.steps[:steps])
        return session

    def _torn(self, number: int, step: Send) -> None:
        tear = step.tear
        assert tear is not None
        session = self._anew(number)
        session.reset()
        remains = {"old": session.observe(tear.reads)}
        session = self._anew(number + 1)
        session.reset()
        remains["new"] = session.observe(tear.reads)
        for at in [tear.at] if tear.at else count(1):
            if at > WRITES_MAX:
                raise Failed(f"{step.name}: torn at each of {WRITES_MAX} writes, and there is no end of them")
            if not all(self._cut(number, step, at, keep, remains) for keep in (False, True)):
                break
        self._anew(number + 1)

    def _cut(self, number: int, step: Send, at: int, keep: bool, remains: dict[str, list[bytes]]) -> bool:
        """Whether there was such a write; what is left of it is checked."""
        tear = step.tear
        assert tear is not None
        session = self._anew(number)
        self._target.tear(at, keep_non_atomic=keep)
        try:
            session.send(step)
        except PowerLost:
            session.reset()
            left = session.observe(tear.reads)
            found = {name for name, answers in remains.items() if answers == left} or {"between"}
            if not found & tear.allowed:
                what = " or ".join(sorted(found))
                raise Failed(f"{step.name}: torn at write {at}: {' or '.join(sorted(tear.allowed))} expected, {what} is left") from None
            return True
        self._target.tear(0, keep_non_atomic=False)
        if tear.at:
            raise Failed(f"{step.name}: at least {tear.at} writes expected, there are fewer")
        return False
