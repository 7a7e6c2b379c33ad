"""The state of the rank calculation and its rules, as bytes (docs/spec/rank.md): what GET STATE, COMPUTE, COMMIT and STORE DATA carry."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

__all__ = ["CARRY_DIVISOR", "DEFAULT_RULES", "RANK_MAX", "Lines", "RankRules", "Slot", "Slots", "State", "Values"]

RANK_MAX = 4
CARRY_DIVISOR = 10_000
Values = tuple[int, int, int, int]
Lines = tuple[int, int, int, int, int]


def _check_size(record: str, expected: int, data: bytes) -> None:
    if len(data) != expected:
        raise ValueError(f"{record}: {expected} bytes expected, {len(data)} came")


def _check_range(field: str, value: int, top: int) -> None:
    if not 0 <= value <= top:
        raise ValueError(f"{field}: 0..{top} expected, {value} came")


@dataclass(frozen=True, slots=True)
class State:
    """What a card keeps of its purchases: 32 bytes, big-endian (REQ-RANK-01). Hours are u16 since the programme's epoch."""

    version: int
    rank: int
    first_hour: int
    last_hour: int
    visit_hour: int
    visits: int
    rank_hour: int
    gap8: int
    carry: int
    values: Values

    FORMAT: ClassVar[Struct] = Struct(">BB7H4I")

    @classmethod
    def blank(cls) -> Self:
        """The state of a card that has never been used (REQ-RANK-03)."""
        return cls(1, 0, 0, 0, 0, 0, 0, 0, 0, (0, 0, 0, 0))

    def encode(self) -> bytes:
        """32 bytes. Raises struct.error for a field outside its width."""
        return self.FORMAT.pack(
            self.version,
            self.rank,
            self.first_hour,
            self.last_hour,
            self.visit_hour,
            self.visits,
            self.rank_hour,
            self.gap8,
            self.carry,
            *self.values,
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From exactly 32 bytes. Raises ValueError for another length, and for a state that can not be (REQ-RANK-02)."""
        _check_size("state", cls.FORMAT.size, data)
        version, rank, first, last, visit, visits, rank_hour, gap8, carry, *values = cls.FORMAT.unpack(data)
        state = cls(version, rank, first, last, visit, visits, rank_hour, gap8, carry, (values[0], values[1], values[2], values[3]))
        state.check()
        return state

    def check(self) -> None:
        """Raises ValueError, naming the field, for a state that can not be (REQ-RANK-02)."""
        if self.version != 1:
            raise ValueError(f"version: 1 expected, {self.version} came")
        _check_range("rank", self.rank, RANK_MAX)
        _check_range("carry", self.carry, CARRY_DIVISOR - 1)
        _check_range("visit_hour", self.visit_hour, self.last_hour)
        _check_range("first_hour", self.first_hour, self.visit_hour)
        _check_range("rank_hour", self.rank_hour, self.last_hour)


assert State.FORMAT.size == 32


@dataclass(frozen=True, slots=True)
class Slot:
    """The rule of one running value: 10 bytes, big-endian (REQ-RANK-04)."""

    rate: int
    """64 * 65536 / half-life in hours, rounded; 0: never falls."""
    visit: int
    """Units for a counted visit."""
    cap: int
    """Most units for the amount of one purchase."""
    categories: int
    """Mask of the categories that deposit here, bit c for category c."""
    share: int
    """256ths of this value in the score, 0..256."""

    FORMAT: ClassVar[Struct] = Struct(">5H")

    def encode(self) -> bytes:
        """10 bytes. Raises struct.error for a field outside its width."""
        return self.FORMAT.pack(self.rate, self.visit, self.cap, self.categories, self.share)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From exactly 10 bytes. Raises ValueError for another length and for a share above 256."""
        _check_size("slot", cls.FORMAT.size, data)
        slot = cls(*cls.FORMAT.unpack(data))
        slot.check("slot")
        return slot

    def check(self, name: str) -> None:
        """Raises ValueError, naming the field, for one outside its range."""
        for field in ("rate", "visit", "cap", "categories"):
            _check_range(f"{name}.{field}", getattr(self, field), 0xFFFF)
        _check_range(f"{name}.share", self.share, 256)


assert Slot.FORMAT.size == 10

Slots = tuple[Slot, Slot, Slot, Slot]


@dataclass(frozen=True, slots=True)
class RankRules:
    """The parameters of the calculation: 80 bytes, big-endian (REQ-RANK-04)."""

    rules_version: int
    amount_shift: int
    visit_gap_hours: int
    jump_max_hours: int
    hold_hours: int
    climb: Lines
    keep: Lines
    rate_bp: Lines
    points_cap: int
    slots: Slots

    HEAD: ClassVar[Struct] = Struct(">BB19H")
    SIZE: ClassVar[int] = 80

    def encode(self) -> bytes:
        """80 bytes. Raises ValueError for rules that check() refuses."""
        self.check()
        head = self.HEAD.pack(
            self.rules_version,
            self.amount_shift,
            self.visit_gap_hours,
            self.jump_max_hours,
            self.hold_hours,
            *self.climb,
            *self.keep,
            *self.rate_bp,
            self.points_cap,
        )
        return head + b"".join(slot.encode() for slot in self.slots)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From exactly 80 bytes. Raises ValueError for another length and for rules that check() refuses."""
        _check_size("rank rules", cls.SIZE, data)
        version, shift, visit_gap, jump_max, hold, *lines, points_cap = cls.HEAD.unpack_from(data)
        first, second, third, fourth = (Slot.decode(data[at : at + 10]) for at in range(40, 80, 10))
        rules = cls(
            version,
            shift,
            visit_gap,
            jump_max,
            hold,
            _lines(lines[0:5]),
            _lines(lines[5:10]),
            _lines(lines[10:15]),
            points_cap,
            (first, second, third, fourth),
        )
        rules.check()
        return rules

    def check(self) -> None:
        """Raises ValueError, naming the field, for rules no card takes (REQ-RANK-05)."""
        _check_range("rules_version", self.rules_version, 0xFF)
        _check_range("amount_shift", self.amount_shift, 31)
        for field in ("visit_gap_hours", "jump_max_hours", "hold_hours", "points_cap"):
            _check_range(field, getattr(self, field), 0xFFFF)
        if self.hold_hours == 0:
            raise ValueError("hold_hours: 1..65535 expected, 0 came")
        for name, lines in (("climb", self.climb), ("keep", self.keep), ("rate_bp", self.rate_bp)):
            for rank, line in enumerate(lines):
                _check_range(f"{name}[{rank}]", line, 0xFFFF)
        for name, lines in (("climb", self.climb), ("keep", self.keep)):
            if lines[0] != 0:
                raise ValueError(f"{name}[0]: 0 expected, {lines[0]} came")
            for rank in range(1, RANK_MAX + 1):
                if lines[rank] <= lines[rank - 1]:
                    raise ValueError(f"{name}[{rank}]: above {lines[rank - 1]} expected, {lines[rank]} came")
        for rank, line in enumerate(self.keep):
            _check_range(f"keep[{rank}]", line, self.climb[rank])
        for number, slot in enumerate(self.slots):
            slot.check(f"slots[{number}]")


assert RankRules.HEAD.size + 4 * Slot.FORMAT.size == RankRules.SIZE


def _lines(words: list[int]) -> Lines:
    return (words[0], words[1], words[2], words[3], words[4])


DEFAULT_RULES = RankRules(
    rules_version=1,
    amount_shift=6,
    visit_gap_hours=4,
    jump_max_hours=17_520,
    hold_hours=2_160,
    climb=(0, 100, 250, 600, 1500),
    keep=(0, 75, 190, 450, 1100),
    rate_bp=(100, 125, 150, 200, 300),
    points_cap=65_535,
    slots=(
        Slot(rate=1942, visit=62, cap=312, categories=0xFFFF, share=256),
        Slot(rate=5825, visit=64, cap=0, categories=0xFFFF, share=0),
        Slot(rate=479, visit=0, cap=65_535, categories=0xFFFF, share=0),
        Slot(rate=0, visit=0, cap=65_535, categories=0xFFFF, share=0),
    ),
)
"""Habit (half-life 90 d), which makes the score. To be read: tempo (30 d, visits only), weight (365 d, money only), lifetime money."""
