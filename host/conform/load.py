"""From vector files to a suite, checked: what a vector names is there, and what the files have is used as it must be.

How it works. The kit's own folder gives keys, values, procedures and fixtures; a folder of one's own may add to them or give others by the
same names, and its vectors are the ones that are run.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from joren.apdu import Key
from joren.apdu.scp03 import ScpKeys

from .fields import BadField, Field, Keys, Literal, Scope, names_in, read_field
from .reading import BadVectors, Object, read_file
from .steps import read_steps, read_values
from .suite import Call, Check, Fixture, Is, Kind, Open, Procedure, Send, Step, Suite, Vector, steps_below, steps_in

__all__ = ["FEATURES", "OWN", "BadVectors", "load_suite"]

OWN = Path(__file__).parent / "vectors"
"""The kit's own vectors."""
FEATURES = frozenset(
    {"raw", "fresh", "seeded", "tear", "channels", "one-channel", "extended", "no-extended", "plain", "manager", "reset", "room", "whole"}
)
"""What a vector may require."""
CARDS = ("customer", "shop", "managed")


@dataclass
class _Found:
    """What files have given so far. A copy has dictionaries of its own."""

    keys: dict[str, Key] = field(default_factory=dict)
    sets: dict[str, ScpKeys] = field(default_factory=dict)
    values: dict[str, Field] = field(default_factory=dict)
    procedures: dict[str, Procedure] = field(default_factory=dict)
    fixtures: dict[str, Fixture] = field(default_factory=dict)
    vectors: list[Vector] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys, self.sets, self.values = dict(self.keys), dict(self.sets), dict(self.values)
        self.procedures, self.fixtures, self.vectors = dict(self.procedures), dict(self.fixtures), list(self.vectors)


def load_suite(folder: Path | None = None) -> Suite:
    """The kit's own vectors, or those of another folder. Raises BadVectors."""
    found = replace(_own())
    if folder is not None:
        found = replace(found, vectors=[])
        _read_folder(folder, found)
    if not found.vectors:
        raise BadVectors(f"{folder or OWN}: no vectors are there: *.json of format joren-vectors expected")
    suite = Suite(Keys(found.keys, found.sets), found.values, found.procedures, found.fixtures, tuple(found.vectors))
    _check(suite)
    return suite


@cache
def _own() -> _Found:
    """What the kit's own folder has."""
    found = _Found()
    _read_folder(OWN, found)
    return found


def _read_folder(folder: Path, found: _Found) -> None:
    paths = sorted(folder.glob("*.json"))
    files = [(path, read_file(path)) for path in paths]
    for wanted, reader in READERS.items():
        for path, file in files:
            if file.text("format") == wanted:
                file.text("title", "-")
                reader(file, path.name, found)
                file.end()


def _read_keys(file: Object, name: str, found: _Found) -> None:
    for key, what in file.entries("keys", optional=True):
        one = Object(what, f"{name}: {key}")
        found.keys[key] = _derived(one, key, found) if "from" in one else _given(one, key)
        one.end()
    for key, what in file.entries("sets", optional=True):
        one = Object(what, f"{name}: {key}")
        enc, mac, dek = (_key(one, part, found) for part in ("enc", "mac", "dek"))
        found.sets[key] = ScpKeys(enc, mac, dek, one.number("version", 1, 255))
        one.end()


def _given(one: Object, name: str) -> Key:
    value = one.read("key", _bytes)
    if len(value) not in (16, 32):
        raise BadVectors(f"{one.where}: key: 16 or 32 bytes expected, {len(value)} came")
    return Key(value, name)


def _derived(one: Object, name: str, found: _Found) -> Key:
    root, context = _key(one, "from", found), one.read("context", _bytes)
    return root.derive(one.text("label").encode(), context, name)


def _key(one: Object, part: str, found: _Found) -> Key:
    name = one.text(part)
    if name not in found.keys:
        raise BadVectors(f"{one.where}: {part}: there is no key {name} before it")
    return found.keys[name]


def _bytes(value: object) -> bytes:
    return Scope(Keys({}, {})).value(read_field(value))


def _read_fixtures(file: Object, name: str, found: _Found) -> None:
    found.values |= read_values(file, "values")
    for key, what in file.entries("procedures", optional=True):
        one = Object({"steps": what}, f"{name}: procedures: {key}")
        found.procedures[key] = read_steps(one, "steps")
    for one in file.objects("fixtures", optional=True):
        fixture = _fixture(one, found)
        found.fixtures[fixture.id] = fixture
        one.end()


def _fixture(one: Object, found: _Found) -> Fixture:
    base = found.fixtures.get(one.text("base")) if "base" in one else None
    if "base" in one and base is None:
        raise BadVectors(f"{one.where}: base: there is no fixture {one.text('base')} before it")
    groupings = tuple(_grouping(raw, one) for raw in one.items("groupings", optional=True))
    values, steps = read_values(one, "values"), read_steps(one, "steps", optional=True)
    if base is not None:
        kept = tuple(pair for pair in base.groupings if pair[0] not in dict(groupings))
        groupings, values, steps = kept + groupings, {**base.values, **values}, base.steps + steps
    return Fixture(
        one.text("id"),
        one.text("title"),
        one.one_of("card", CARDS, base.card if base else None),
        one.read("seed", _bytes, "00" if base is None else base.seed.hex()),
        values,
        groupings,
        one.flag("issued", base.issued if base else True),
        steps,
    )


def _grouping(raw: object, one: Object) -> tuple[int, Field]:
    """A tag of two bytes and its value, in the clear."""
    if not isinstance(raw, list) or len(raw) != 2:
        raise BadVectors(f"{one.where}: groupings: lists of tag and value expected")
    try:
        tag, value = _bytes(raw[0]), read_field(raw[1])
    except BadField as error:
        raise BadVectors(f"{one.where}: groupings: {error}") from None
    if len(tag) != 2:
        raise BadVectors(f"{one.where}: groupings: a tag of 2 bytes expected, {len(tag)} came")
    return int.from_bytes(tag), value


def _read_vectors(file: Object, name: str, found: _Found) -> None:
    shared = read_values(file, "values")
    for one in file.objects("vectors"):
        vector = Vector(
            one.text("id"),
            one.text("title"),
            one.text("why"),
            one.texts("covers"),
            Kind(one.one_of("class", tuple(Kind))),
            one.text("fixture"),
            frozenset(one.texts("requires", optional=True)),
            {**shared, **read_values(one, "values")},
            read_steps(one, "steps"),
            read_steps(one, "cleanup", optional=True),
            name,
        )
        one.end()
        if any(vector.id == other.id for other in found.vectors):
            raise BadVectors(f"{one.where}: id: {vector.id} stands twice")
        if not vector.covers or not vector.steps:
            raise BadVectors(f"{one.where}: covers and steps: at least one of each expected")
        found.vectors.append(vector)


READERS = {"joren-vector-keys": _read_keys, "joren-vector-fixtures": _read_fixtures, "joren-vectors": _read_vectors}
"""In the order in which they build on one another."""


def _check(suite: Suite) -> None:
    """Raises BadVectors for a name that leads nowhere, and for a class that the steps do not keep."""
    known = _known(suite)
    for name, procedure in suite.procedures.items():
        _check_tears(procedure, f"procedure {name}")
        _check_steps(suite, procedure, f"procedure {name}", known)
    for fixture in suite.fixtures.values():
        where = f"fixture {fixture.id}"
        _check_tears(fixture.steps, where)
        _check_steps(suite, fixture.steps, where, known)
        for _, value in fixture.groupings:
            _check_field(suite, value, where, known)
    for vector in suite.vectors:
        where = f"{vector.file}: {vector.id}"
        if vector.fixture not in suite.fixtures:
            raise BadVectors(f"{where}: fixture: there is no {vector.fixture}")
        if vector.requires - FEATURES:
            raise BadVectors(f"{where}: requires: unknown: {', '.join(sorted(vector.requires - FEATURES))}")
        _check_steps(suite, vector.steps + vector.cleanup, where, known)
        _check_tears(vector.cleanup, where)
        for step in vector.steps:
            _check_tears(steps_below(step), where)
        _check_kind(vector, where)


def _known(suite: Suite) -> frozenset[str]:
    """Every name that has a value somewhere."""
    found = set(suite.values)
    for fixture in suite.fixtures.values():
        found |= fixture.values.keys()
    everything = [*suite.procedures.values(), *(one.steps for one in suite.fixtures.values())]
    for vector in suite.vectors:
        found |= vector.values.keys()
        everything.append(vector.steps)
    for step in (step for steps in everything for step in steps_in(steps)):
        if isinstance(step, Send | Call):
            found |= step.values.keys()
        if isinstance(step, Send):
            found |= {part.name for part in step.answer or () if not isinstance(part, Is) and hasattr(part, "name")}
    return frozenset(found)


def _fields_of(step: Step) -> Iterable[Field]:
    if isinstance(step, Send | Call):
        yield from step.values.values()
    if isinstance(step, Open):
        yield step.aid
    if isinstance(step, Check):
        yield step.content
        yield step.expected
    if isinstance(step, Send):
        yield step.header
        yield step.data
        yield from (part.content for part in step.answer or () if isinstance(part, Is))
        yield from (read_field(status) for status in step.status if status.startswith("$"))


def _check_steps(suite: Suite, steps: tuple[Step, ...], where: str, known: frozenset[str]) -> None:
    for step in steps_in(steps):
        for one in _fields_of(step):
            _check_field(suite, one, where, known)
        if isinstance(step, Call) and step.procedure not in suite.procedures:
            raise BadVectors(f"{where}: do: there is no procedure {step.procedure}")
        if isinstance(step, Open) and step.keys not in suite.keys.sets:
            raise BadVectors(f"{where}: open: there is no key set {step.keys}")


def _check_tears(steps: tuple[Step, ...], where: str) -> None:
    """A tear goes through all steps before it again, so it can not stand within others."""
    if any(isinstance(step, Send) and step.tear is not None for step in steps_in(steps)):
        raise BadVectors(f"{where}: tear: a step of the vector itself expected, one within others came")


def _check_field(suite: Suite, found: Field, where: str, known: frozenset[str]) -> None:
    for kind, name in names_in(found):
        there = {"name": known, "key": suite.keys.keys, "keys": suite.keys.sets}[kind]
        if name not in there:
            raise BadVectors(f"{where}: there is no {'value' if kind == 'name' else 'key'} {name}")


def _check_kind(vector: Vector, where: str) -> None:
    """A static vector and one of bytes have bytes alone, in commands and answers."""
    if vector.kind is Kind.SYMBOLIC:
        return
    for step in steps_in(vector.steps):
        if isinstance(step, Call | Open):
            raise BadVectors(f"{where}: class {vector.kind}: commands that stand in the file expected, a procedure or channel came")
        for one in _fields_of(step):
            if not all(isinstance(item, Literal) for item in one):
                raise BadVectors(f"{where}: class {vector.kind}: bytes alone expected, a name or a MAC came")
        if vector.kind is Kind.BYTES and isinstance(step, Send):
            whole = step.answer is not None and all(isinstance(part, Is) for part in step.answer)
            if not whole or any(
                set(item.mask) - {0xFF}
                for part in step.answer or ()
                if isinstance(part, Is)
                for item in part.content
                if isinstance(item, Literal)
            ):
                raise BadVectors(f"{where}: class bytes: every byte of every answer expected")
