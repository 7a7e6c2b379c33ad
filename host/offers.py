"""The services to offer for a rank, a score and a category: a table in a TOML file.

version = 1
languages = ["en", "ja"]        # every offer has a text in each

[[offer]]
id = "coffee"                   # unique
priority = 20                   # higher comes first
ranks = [2, 4]                  # from 2 to 4; 0 to 4 where it is left out
scores = [250, 65535]           # likewise
categories = [0, 3]             # these alone; any where it is left out
group = "drink"                 # at most one offer of a group is chosen: the one of highest priority
text = { en = "A free coffee", ja = "コーヒー1杯無料" }
"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, Self

from joren.apdu.state import RANK_MAX

from .errors import HostError
from .tomlfile import check_table, expect, load_toml, parse_toml

__all__ = ["Offer", "Offers"]

VERSION = 1
SCORE_MAX = 0xFFFF
CATEGORY_MAX = 15
FILE_KEYS = frozenset({"version", "languages", "offer"})
OFFER_KEYS = frozenset({"id", "priority", "ranks", "scores", "categories", "group", "text"})
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Offer:
    """One service. `ranks` and `scores` are from and to, both included; `categories` None: any; `text` by language."""

    id: str
    priority: int
    ranks: Range
    scores: Range
    categories: frozenset[int] | None
    group: str | None
    text: Mapping[str, str]

    def fits(self, rank: int, score: int, category: int | None) -> bool:
        """Whether it is for this rank, score and category (None: no category, so only offers for any)."""
        fits_category = self.categories is None or category in self.categories
        return fits_category and self.ranks[0] <= rank <= self.ranks[1] and self.scores[0] <= score <= self.scores[1]

    def overlaps(self, other: "Offer") -> bool:
        """Whether some rank, score and category fit both."""
        categories = self.categories is None or other.categories is None or self.categories & other.categories
        return bool(categories) and _meet(self.ranks, other.ranks) and _meet(self.scores, other.scores)


@dataclass(frozen=True, slots=True)
class Offers:
    """The table, highest priority first, then in the order of the file."""

    offers: tuple[Offer, ...] = ()

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """From a file. Raises HostError, naming file, offer and key, for a table that is not right in every detail."""
        return load_toml("offers", path, cls.parse)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the text of a file. Raises HostError."""
        table = check_table("file", parse_toml(text), FILE_KEYS, {"version", "languages"})
        expect(type(table["version"]) is int and table["version"] == VERSION, "version", str(VERSION), table["version"])
        languages = table["languages"]
        listed = isinstance(languages, list) and languages and all(isinstance(language, str) and language for language in languages)
        expect(listed and len(set(languages)) == len(languages), "languages", "a list of different language codes", languages)
        items = table.get("offer", [])
        expect(isinstance(items, list), "offer", "tables [[offer]]", items)
        offers = [_offer(number, item, languages) for number, item in enumerate(items, 1)]
        _check_together(offers)
        return cls(tuple(sorted(offers, key=lambda offer: -offer.priority)))

    def choose(self, rank: int, score: int, category: int | None, limit: int) -> tuple[Offer, ...]:
        """At most `limit` offers that fit, highest priority first, one of each group."""
        chosen: list[Offer] = []
        groups: set[str] = set()
        for offer in self.offers:
            if len(chosen) >= limit:
                break
            if offer.fits(rank, score, category) and offer.group not in groups:
                chosen.append(offer)
                if offer.group is not None:
                    groups.add(offer.group)
        return tuple(chosen)


def _meet(one: Range, other: Range) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _offer(number: int, item: Any, languages: list[str]) -> Offer:
    where = f"offer {number}"
    check_table(where, item, OFFER_KEYS, {"id", "priority", "text"})
    name = item["id"]
    expect(isinstance(name, str) and name, f"{where}: id", "a name", name)
    where = f"offer {name}"
    priority, group, categories, text = item["priority"], item.get("group"), item.get("categories"), item["text"]
    expect(type(priority) is int, f"{where}: priority", "a whole number", priority)
    expect(group is None or (isinstance(group, str) and group), f"{where}: group", "a name", group)
    if categories is not None:
        right = isinstance(categories, list) and categories and all(type(c) is int and 0 <= c <= CATEGORY_MAX for c in categories)
        expect(
            right and len(set(categories)) == len(categories), f"{where}: categories", f"different numbers in 0..{CATEGORY_MAX}", categories
        )
    check_table(f"{where}: text", text, frozenset(languages), set(languages))
    for language, words in text.items():
        expect(isinstance(words, str) and words.strip(), f"{where}: text.{language}", "a text", words)
    ranks = _range(f"{where}: ranks", item.get("ranks"), RANK_MAX)
    scores = _range(f"{where}: scores", item.get("scores"), SCORE_MAX)
    return Offer(name, priority, ranks, scores, None if categories is None else frozenset(categories), group, dict(text))


def _range(where: str, value: object, most: int) -> Range:
    if value is None:
        return 0, most
    if isinstance(value, list) and len(value) == 2:
        low, high = value
        if type(low) is int and type(high) is int and 0 <= low <= high <= most:
            return low, high
    raise HostError(f"{where}: [from, to] within 0..{most} expected, {value!r} came")


def _check_together(offers: list[Offer]) -> None:
    for index, offer in enumerate(offers):
        for other in offers[:index]:
            expect(offer.id != other.id, "id", "one offer of each", offer.id)
            rivals = offer.group is not None and (offer.group, offer.priority) == (other.group, other.priority)
            if rivals and offer.overlaps(other):
                both = f"offers {other.id} and {offer.id}"
                raise HostError(f"{both}: of one group, one priority, and for the same customers; give them different priorities")
