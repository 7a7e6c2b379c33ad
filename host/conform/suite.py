"""Vectors as values: what load.py makes of the files (docs/conformance.md, "The files")."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .fields import Field, Keys

__all__ = [
    "Answer",
    "Any",
    "Bind",
    "Call",
    "Check",
    "Fixture",
    "Is",
    "Kind",
    "Open",
    "Part",
    "Procedure",
    "Repeat",
    "Reset",
    "Send",
    "Step",
    "Suite",
    "Tear",
    "Unchanged",
    "Values",
    "Vector",
    "steps_below",
    "steps_in",
]  # fmt: skip

Values = Mapping[str, Field]


class Kind(StrEnum):
    """What a vector needs of a card to be run."""

    STATIC = "static"
    """Nothing: its bytes stand in the file."""
    BYTES = "bytes"
    """A fresh card with a seed: every byte of it stands in the file, MACs and random ones too."""
    SYMBOLIC = "symbolic"
    """The keys: the runner computes MACs over what the card says."""


@dataclass(frozen=True, slots=True)
class Is:
    """These bytes; `name` is for people."""

    content: Field
    name: str = ""


@dataclass(frozen=True, slots=True)
class Bind:
    """So many bytes, kept under a name."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Any:
    """So many bytes. Where answers are compared, these are too, if `compared`."""

    size: int
    compared: bool


Part = Is | Bind | Any
Answer = tuple[Part, ...] | None
"""The parts of an answer, to its end; None: whatever comes."""


@dataclass(frozen=True, slots=True)
class Tear:
    """Power that goes at the `at`-th write, or at each in turn (0); the answers of `reads` are those of before or of after, as allowed."""

    at: int
    reads: tuple["Step", ...]
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Send:
    """A command and its answer. `header` is 4 bytes, or the APDU as it is where `raw`; `status` are masks as 9000 or 63CX, or $names."""

    name: str
    header: Field
    data: Field
    ne: int | None
    raw: bool
    extended: bool
    secured: bool
    spoiled: bool
    status: tuple[str, ...]
    answer: Answer
    values: Values
    tear: Tear | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """The steps of a procedure, with values of their own."""

    procedure: str
    values: Values


@dataclass(frozen=True, slots=True)
class Reset:
    """Power off and on."""


@dataclass(frozen=True, slots=True)
class Check:
    """A value that must be another."""

    name: str
    content: Field
    expected: Field


@dataclass(frozen=True, slots=True)
class Open:
    """A secure channel to the application `aid`, which is selected."""

    keys: str
    level: int
    version: int
    aid: Field


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same steps so many times."""

    times: int
    steps: tuple["Step", ...]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Steps after which the answers of `reads` are those of before."""

    reads: tuple["Step", ...]
    steps: tuple["Step", ...]


Step = Send | Call | Reset | Check | Open | Repeat | Unchanged
Procedure = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Fixture:
    """A card to begin with: what kind, its seed, its data groupings, and what it has been through. `issued` False leaves the last out."""

    id: str
    title: str
    card: str
    seed: bytes
    values: Values
    groupings: tuple[tuple[int, Field], ...]
    issued: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Vector:
    """One thing that a card must do."""

    id: str
    title: str
    why: str
    covers: tuple[str, ...]
    kind: Kind
    fixture: str
    requires: frozenset[str]
    values: Values
    steps: tuple[Step, ...]
    cleanup: tuple[Step, ...]
    file: str


@dataclass(frozen=True, slots=True)
class Suite:
    """All that the files have."""

    keys: Keys
    values: Values
    procedures: Mapping[str, Procedure]
    fixtures: Mapping[str, Fixture]
    vectors: tuple[Vector, ...] = field(default=())

    def only(self, wanted: frozenset[str]) -> tuple[Vector, ...]:
        """The vectors with one of these ids, or for one of these requirements; all where none is wanted."""
        return tuple(one for one in self.vectors if not wanted or one.id in wanted or not wanted.isdisjoint(one.covers))


def steps_below(step: Step) -> tuple[Step, ...]:
    """The steps within a step."""
    match step:
        case Repeat(_, within):
            return within
        case Unchanged(reads, within):
            return reads + within
        case Send(tear=Tear(reads=reads)):
            return reads
    return ()


def steps_in(steps: tuple[Step, ...]) -> Iterator[Step]:
    """All steps, those within steps too."""
    for step in steps:
        yield step
        yield from steps_in(steps_below(step))
