"""Steps of vectors, procedures and fixtures, from their JSON (docs/conformance.md, "Steps")."""

import re

from .fields import BadField, read_field
from .reading import BadVectors, Object
from .suite import Answer, Any, Bind, Call, Check, Is, Open, Part, Repeat, Reset, Send, Step, Tear, Unchanged, Values

__all__ = ["ANYTHING", "read_steps", "read_values"]

STATUS = re.compile(r"(?:[0-9A-FX]{4}|\$\w+)$")
NAME = re.compile(r"\w+$")
ANYTHING = "*"
NE_MAX, TIMES_MAX, SIZE_MAX = 65536, 70_000, 65535
LEVELS = ("00", "01", "03", "11", "13", "33")
OUTCOMES = frozenset({"old", "new", "between"})


def read_values(one: Object, name: str) -> Values:
    """Values by name; none where there are none."""
    found = {}
    for key, value in one.entries(name, optional=True):
        if not NAME.match(key):
            raise BadVectors(f"{one.where}: {name}: a name of letters, digits and _ expected, {key} came")
        try:
            found[key] = read_field(value)
        except BadField as error:
            raise BadVectors(f"{one.where}: {name}: {key}: {error}") from None
    return found


def read_steps(one: Object, name: str, *, optional: bool = False) -> tuple[Step, ...]:
    """A list of steps."""
    return tuple(_step(step) for step in one.objects(name, optional=optional))


def _step(one: Object) -> Step:
    step = _read_step(one)
    one.end()
    return step


def _read_step(one: Object) -> Step:
    if "do" in one:
        return Call(one.text("do"), read_values(one, "values"))
    if "reset" in one:
        if not one.flag("reset"):
            raise one.wrong("reset", "true", False)
        return Reset()
    if "check" in one:
        return Check(one.text("name", "value"), one.field("check"), one.field("is", masks=True))
    if "open" in one:
        level = int(one.one_of("level", LEVELS, "33"), 16)
        return Open(one.text("open"), level, one.number("version", 0, 255, 0), one.field("aid"))
    if "repeat" in one:
        return Repeat(one.number("repeat", 1, TIMES_MAX), read_steps(one, "steps"))
    if "unchanged" in one:
        return Unchanged(read_steps(one, "unchanged"), read_steps(one, "steps"))
    return _send(one)


def _send(one: Object) -> Send:
    raw = "raw" in one
    send = Send(
        one.text("name", ""),
        one.field("raw" if raw else "send"),
        one.field("data", ""),
        one.number("ne", 1, NE_MAX) if "ne" in one else None,
        raw,
        one.flag("extended"),
        one.flag("secured"),
        one.flag("spoiled"),
        one.read("sw", _status, "9000"),
        one.read("answer", _answer, []),
        read_values(one, "values"),
        _tear(one),
    )
    if raw and (send.data or send.ne or send.extended or send.secured):
        raise BadVectors(f"{one.where}: raw: the whole APDU expected, with no data, ne, extended or secured beside it")
    if send.spoiled and not send.secured:
        raise BadVectors(f"{one.where}: spoiled: of a secured command alone")
    return send


def _status(found: object) -> tuple[str, ...]:
    masks = found if isinstance(found, list) else [found]
    if not masks or not all(isinstance(mask, str) and STATUS.match(mask) for mask in masks):
        raise BadField("a status word as 9000 or 63CX, or a list of them, expected")
    return tuple(map(str, masks))


def _answer(found: object) -> Answer:
    if found == ANYTHING:
        return None
    if not isinstance(found, list):
        found = [found]
    return tuple(_part(part) for part in found)


def _part(found: object) -> Part:
    if not isinstance(found, dict) or found.keys() & {"mac", "sealed", "flip"}:
        return Is(read_field(found, masks=True))
    keys = set(found)
    if keys == {"as", "is"}:
        return Is(read_field(found["is"], masks=True), str(found["as"]))
    sizes = [value for name, value in found.items() if name in ("bytes", "any")]
    if len(sizes) != 1 or isinstance(sizes[0], bool) or not isinstance(sizes[0], int) or not 0 < sizes[0] <= SIZE_MAX:
        raise BadField("bytes or any, with how many, expected")
    if keys == {"bind", "bytes"} and isinstance(found["bind"], str) and NAME.match(found["bind"]):
        return Bind(found["bind"], sizes[0])
    if keys in ({"bytes"}, {"any"}):
        return Any(sizes[0], "bytes" in keys)
    raise BadField(f"a field, bind and bytes, bytes, any, or as and is expected, {', '.join(sorted(keys))} came")


def _tear(one: Object) -> Tear | None:
    if "tear" not in one:
        return None
    tear = Object(one.get("tear"), f"{one.where}: tear")
    at = 0 if tear.get("at") == "each" else tear.number("at", 1, 10_000)
    found = Tear(at, read_steps(tear, "reads"), frozenset(tear.texts("allowed")))
    tear.end()
    if not found.allowed or found.allowed - OUTCOMES:
        raise tear.wrong("allowed", "old, new or between", sorted(found.allowed))
    return found
