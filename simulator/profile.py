"""Card profiles: what a chip that can be bought has and can do, and how long its operations take, from TOML files.

How it works. A profile is one file; the bundled ones are in profiles/. Times are bands: the least, the likely and the most that the model
believes in. [time.*] has an operation each, with a source; [sources] says where the other figures come from. A source begins with
`measured:`, `data sheet:`, `research:`, `assumed:` or `by definition`. A file is read strictly: what is not known here is an error.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from joren.apdu.atr import BadAtr, read_atr

__all__ = ["OPERATIONS", "BadProfile", "Band", "Cost", "Profile", "load_profile", "profile_names", "profiles_table"]

FOLDER = Path(__file__).parent / "profiles"
SUFFIX = ".toml"
FIRST = "ideal"
PROTOCOLS = ("T=0", "T=1", "T=CL")
OPERATIONS = ("mac", "set_key", "random", "write", "commit", "copy")
"""The operations that [time.*] has beside bytecode."""
KINDS_OF_SOURCE = ("measured:", "data sheet:", "research:", "assumed:", "by definition")
UNSOURCED = ("name", "title", "development", "times", "bytecode", "sources")
ATS_HEAD_MIN = 2
COUNT_MAX, TIME_MAX = 10**12, 1_000_000


class BadProfile(Exception):
    """No profile by that name, or a file that is none: says the file, the field, what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Band:
    """A time in ms: the least, the likely, the most."""

    low: float
    likely: float
    high: float

    def __add__(self, other: "Band") -> "Band":
        return Band(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def scaled(self, factor: float) -> "Band":
        """So many times."""
        return Band(self.low * factor, self.likely * factor, self.high * factor)

    @classmethod
    def of(cls, time_ms: float) -> Self:
        """A time that is known."""
        return cls(time_ms, time_ms, time_ms)


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation takes: a band, the same for every byte more, and where both come from."""

    band: Band
    per_byte_ms: float
    source: str

    def of(self, size: int) -> Band:
        """For so many bytes."""
        return self.band + Band.of(self.per_byte_ms * size)


@dataclass(frozen=True, slots=True)
class Profile:
    """A chip. `name` is what load_profile found it by.

    `protocols` begins with the one it speaks over contacts when nothing else is asked for; `ats` is b"" without T=CL. `channels` are
    logical channels, 1..4. On a chip for `development` cards are personalized in the clear (REQ-PER-5). `commit_overhead_bytes` is what the
    journal takes for each write beside the old bytes. `endurance_writes` are those of a page of `page_bytes`; 0: no end. `times` has a cost
    for each of OPERATIONS, `bytecode` is that of one bytecode. `sources` are by field.
    """

    name: str
    title: str
    java_card: str
    protocols: tuple[str, ...]
    atr: bytes
    ats: bytes
    frame_bytes: int
    ifsc_bytes: int
    extended_length: bool
    development: bool
    cmac: bool
    channels: int
    commit_capacity_bytes: int
    commit_overhead_bytes: int
    ram_bytes: int
    nvm_bytes: int
    page_bytes: int
    endurance_writes: int
    times: Mapping[str, Cost] = field(hash=False)
    bytecode: Cost
    sources: Mapping[str, str] = field(hash=False)

    def for_development(self) -> "Profile":
        """The same chip, taking cards' data in the clear (REQ-PER-5): for demonstrations that are not about issuing."""
        return replace(self, development=True)

    def supports(self, protocol: str) -> bool:
        """Whether the card speaks T=0, T=1 or T=CL."""
        return protocol in self.protocols


def profile_names() -> list[str]:
    """The bundled profiles: the ideal chip, then the cards by name."""
    return [FIRST, *sorted(path.stem for path in FOLDER.glob("*" + SUFFIX) if path.stem != FIRST)]


def load_profile(name_or_path: str) -> Profile:
    """A bundled profile by its name, or one from a .toml file. Raises BadProfile."""
    if name_or_path in profile_names():
        return _bundled(name_or_path)
    path = Path(name_or_path)
    if path.suffix != SUFFIX:
        raise BadProfile(f"card profile: {', '.join(profile_names())}, or a file that ends in {SUFFIX} expected, {name_or_path!r} came")
    return _read(path, str(path.resolve()))


@cache
def _bundled(name: str) -> Profile:
    return _read(FOLDER / (name + SUFFIX), name)


def _read(path: Path, name: str) -> Profile:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadProfile(f"{path}: a file that can be read expected, {error.strerror} came") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadProfile(f"{path}: TOML expected, {error}") from None
    return _Reader(path, name, table).profile()


class _Reader:
    """Takes the fields out of a file's table; what is left over in the end was not known."""

    def __init__(self, path: Path, name: str, table: dict[str, Any]) -> None:
        self._path = path
        self._name = name
        self._table = table

    def profile(self) -> Profile:
        """Raises BadProfile."""
        protocols = self._protocols()
        profile = Profile(
            name=self._name,
            title=self._text("title"),
            java_card=self._text("java_card"),
            protocols=protocols,
            atr=self._atr(protocols),
            ats=self._ats("T=CL" in protocols),
            frame_bytes=self._count("frame_bytes", 16, 4096),
            ifsc_bytes=self._count("ifsc_bytes", 1, 254),
            extended_length=self._flag("extended_length"),
            development=self._flag("development") if "development" in self._table else False,
            cmac=self._flag("cmac"),
            channels=self._count("channels", 1, 4),
            commit_capacity_bytes=self._count("commit_capacity_bytes"),
            commit_overhead_bytes=self._count("commit_overhead_bytes"),
            ram_bytes=self._count("ram_bytes"),
            nvm_bytes=self._count("nvm_bytes"),
            page_bytes=self._count("page_bytes", 1),
            endurance_writes=self._count("endurance_writes"),
            times={operation: self._cost(f"time.{operation}", "_ms", 1.0) for operation in OPERATIONS},
            bytecode=self._cost("time.bytecode", "_us", 0.001),
            sources=self._sources(),
        )
        self._nothing_left(self._table, "")
        return profile

    def _wrong(self, key: str, expected: str, came: object) -> BadProfile:
        return BadProfile(f"{self._path}: {key}: {expected} expected, {came!r} came")

    def _take(self, key: str, expected: str, fits: Callable[[Any], bool]) -> Any:
        """The value at a dotted key, taken out."""
        *tables, last = key.split(".")
        table: Any = self._table
        for name in tables:
            table = table.get(name) if isinstance(table, dict) else None
        if not isinstance(table, dict) or last not in table:
            raise BadProfile(f"{self._path}: {key}: {expected} expected, it is missing")
        value = table.pop(last)
        if not fits(value):
            raise self._wrong(key, expected, value)
        return value

    def _text(self, key: str) -> str:
        return str(
            self._take(key, "a text on one line", lambda value: isinstance(value, str) and value.strip() != "" and value.isprintable())
        )

    def _flag(self, key: str) -> bool:
        return bool(self._take(key, "true or false", lambda value: isinstance(value, bool)))

    def _count(self, key: str, low: int = 0, high: int = COUNT_MAX) -> int:
        expected = f"a whole number, {low}..{high}"
        return int(self._take(key, expected, lambda value: type(value) is int and low <= value <= high))

    def _number(self, key: str) -> float:
        def fits(value: object) -> bool:
            return type(value) in (int, float) and 0 <= value <= TIME_MAX  # type: ignore[operator]

        return float(self._take(key, f"a number, 0..{TIME_MAX}", fits))

    def _hexadecimal(self, key: str) -> bytes:
        value = self._take(key, "bytes in hexadecimal", lambda value: isinstance(value, str))
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise self._wrong(key, "bytes in hexadecimal", value) from None

    def _protocols(self) -> tuple[str, ...]:
        expected = f"a list out of {', '.join(PROTOCOLS)}, each once,"

        def fits(value: object) -> bool:
            return isinstance(value, list) and value != [] and all(one in PROTOCOLS for one in value) and len(value) == len(set(value))

        return tuple(self._take("protocols", expected, fits))

    def _atr(self, protocols: tuple[str, ...]) -> bytes:
        raw = self._hexadecimal("atr")
        try:
            offered = read_atr(raw).protocols
        except BadAtr as error:
            raise BadProfile(f"{self._path}: atr: {error}") from None
        for number, name in enumerate(("T=0", "T=1")):
            if name in protocols and number not in offered:
                raise self._wrong("atr", f"one that offers {name}, as protocols says,", raw.hex().upper())
        return raw

    def _ats(self, contactless: bool) -> bytes:
        raw = self._hexadecimal("ats")
        if not contactless and raw:
            raise self._wrong("ats", "none without T=CL", raw.hex().upper())
        if contactless and (len(raw) < ATS_HEAD_MIN or raw[0] != len(raw) or len(raw) < ATS_HEAD_MIN + (raw[1] & 0x70).bit_count()):
            raise self._wrong("ats", "TL, as many bytes in all as TL says, with the TA, TB, TC that T0 says,", raw.hex().upper())
        return raw

    def _cost(self, table: str, unit: str, unit_ms: float) -> Cost:
        low, likely, high = (self._number(f"{table}.{name}{unit}") for name in ("low", "likely", "high"))
        if not low <= likely <= high:
            raise self._wrong(table, "low, likely, high in ascending order", [low, likely, high])
        per_byte = self._number(f"{table}.per_byte_ms") if unit == "_ms" else 0.0
        return Cost(Band(low, likely, high).scaled(unit_ms), per_byte, self._source(f"{table}.source"))

    def _source(self, key: str) -> str:
        expected = f"a text that begins with {' or '.join(KINDS_OF_SOURCE)}"
        return str(self._take(key, expected, lambda value: isinstance(value, str) and value.startswith(KINDS_OF_SOURCE)))

    def _sources(self) -> dict[str, str]:
        names = self._take("sources", "a table", lambda value: isinstance(value, dict))
        self._table["sources"] = names
        known = [name for name in Profile.__dataclass_fields__ if name not in UNSOURCED]
        if "title" in names:
            known.append("title")
        return {name: self._source(f"sources.{name}") for name in known}

    def _nothing_left(self, table: dict[str, Any], prefix: str) -> None:
        for key, value in table.items():
            if isinstance(value, dict) and prefix + key in ("sources", "time", *(f"time.{one}" for one in (*OPERATIONS, "bytecode"))):
                self._nothing_left(value, f"{prefix}{key}.")
            else:
                raise BadProfile(f"{self._path}: {prefix}{key}: no such field is known")


def profiles_table() -> str:
    """The bundled profiles as two tables in Markdown: what they have, what their operations take."""
    found = [load_profile(name) for name in profile_names()]
    has = [
        "| profile | card | speaks | CMAC | commit capacity | RAM | memory | page | writes a page |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    has += [f"| {_has(profile)} |" for profile in found]
    takes = [
        "| profile | MAC, 47 B | key set | random, 8 B | write, 46 B | commit | copy | bytecode, µs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    takes += [f"| {_takes(profile)} |" for profile in found]
    return "\n".join([*has, "", "Likely ms, and in brackets the least and the most:", "", *takes])


def _has(profile: Profile) -> str:
    bounds = [profile.commit_capacity_bytes, profile.ram_bytes, profile.nvm_bytes]
    sizes = ["no limit" if bound >= 1 << 30 else f"{bound:,} B" for bound in bounds]
    wear = [f"{profile.page_bytes} B", f"{profile.endurance_writes:,}"] if profile.endurance_writes else ["-", "no end"]
    return " | ".join([f"`{profile.name}`", profile.title, ", ".join(profile.protocols), "yes" if profile.cmac else "no", *sizes, *wear])


def _takes(profile: Profile) -> str:
    sizes = {"mac": 47, "set_key": 16, "random": 8, "write": 46, "commit": 0, "copy": 16}
    bands = [profile.times[operation].of(size) for operation, size in sizes.items()] + [profile.bytecode.band.scaled(1000)]
    return " | ".join([f"`{profile.name}`", *(f"{band.likely:.1f} ({band.low:.1f}-{band.high:.1f})" for band in bands)])
