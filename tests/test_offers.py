"""Offers: the example table, every rule that a table must keep, and how offers are chosen."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.apdu.state import RANK_MAX
from joren.host import HostError, Offer, Offers

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "offers.toml"
SCORE_MAX = 0xFFFF
HEAD = 'version = 1\nlanguages = ["en", "ja"]\n'
LINES = {
    "id": '"coffee"',
    "priority": "20",
    "ranks": "[2, 4]",
    "scores": "[250, 65535]",
    "categories": "[0, 3]",
    "group": '"drink"',
    "text": '{ en = "A coffee", ja = "コーヒー" }',
}


def offer(**changes: str | None) -> str:
    """An offer in TOML, with some values replaced, or left out for None."""
    lines = LINES | changes
    return "[[offer]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None)


def test_the_example_is_a_table() -> None:
    """Eight offers, in English and Japanese, for each rank some, for categories 0 to 3; the highest priority first."""
    offers = Offers.load(EXAMPLE).offers
    assert [one.id for one in offers] == [
        "gold-desk", "platinum-lounge", "coffee-and-cake", "coffee", "delivery", "bread", "silver-soon", "welcome",
    ]  # fmt: skip
    assert all(set(one.text) == {"en", "ja"} for one in offers)
    assert {category for one in offers for category in one.categories or ()} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("rank", "score", "category", "expected"),
    [
        (0, 77, 0, ["welcome"]),
        (1, 150, 2, ["coffee"]),
        (1, 219, None, []),
        (1, 220, None, ["silver-soon"]),
        (1, 249, 1, ["bread", "silver-soon"]),
        (1, 250, 1, ["bread"]),
        (2, 388, 0, ["delivery", "bread"]),
        (3, 700, 2, ["gold-desk", "coffee-and-cake"]),
        (4, 1_800, 0, ["platinum-lounge", "delivery", "bread"]),
        (4, 1_800, 9, ["platinum-lounge"]),
    ],
)
def test_the_example_at_the_counter(rank: int, score: int, category: int | None, expected: list[str]) -> None:
    assert [one.id for one in Offers.load(str(EXAMPLE)).choose(rank, score, category, 3)] == expected


def test_an_offer_has_what_the_file_says() -> None:
    (one,) = Offers.parse(HEAD + offer()).offers
    text = {"en": "A coffee", "ja": "コーヒー"}
    assert one == Offer("coffee", 20, (2, 4), (250, SCORE_MAX), frozenset({0, 3}), "drink", text)


def test_what_is_left_out_is_any() -> None:
    (one,) = Offers.parse(HEAD + offer(ranks=None, scores=None, categories=None, group=None)).offers
    assert (one.ranks, one.scores, one.categories, one.group) == ((0, RANK_MAX), (0, SCORE_MAX), None, None)
    assert Offers.parse(HEAD).offers == Offers().offers == ()


def test_equal_priorities_keep_the_order_of_the_file() -> None:
    table = "".join(offer(id=f'"{name}"', priority=str(priority), group=None) for name, priority in zip("abcd", (-1, 5, 5, 9), strict=True))
    assert [one.id for one in Offers.parse(HEAD + table).offers] == ["d", "b", "c", "a"]


RANKS = r"offer coffee: ranks: \[from, to\] within 0\.\.4 expected, {} came"
CATEGORIES = r"offer coffee: categories: different numbers in 0\.\.15 expected, {} came"
# name: the table, and what the message says after the name of the file.
WRONG: dict[str, tuple[str, str]] = {
    "no TOML": ("version = = 1", "no TOML: "),
    "no version": ('languages = ["en"]', r"file: the key version expected, \['languages'\] came"),
    "another version": ('version = 2\nlanguages = ["en"]', "version: 1 expected, 2 came"),
    "a version in text": ('version = "1"\nlanguages = ["en"]', "version: 1 expected, '1' came"),
    "no languages": ("version = 1", r"file: the key languages expected, \['version'\] came"),
    "languages empty": ("version = 1\nlanguages = []", r"languages: a list of different language codes expected, \[\] came"),
    "languages in text": ('version = 1\nlanguages = "en"', "languages: a list of different language codes expected, 'en' came"),
    "a language no text": ("version = 1\nlanguages = [1]", r"languages: a list of different language codes expected, \[1\] came"),
    "an unknown key": (HEAD + "colour = 1\n", "file: key: one of languages, offer, version expected, 'colour' came"),
    "offer one table": (HEAD + offer().replace("[[offer]]", "[offer]"), r"offer: tables \[\[offer\]\] expected, \{'id': 'coffee'"),
    "offer a number": (HEAD + "offer = [7]", "offer 1: a table expected, 7 came"),
    "no id": (HEAD + offer(id='"first"') + offer(id=None), "offer 2: the key id expected, .* came"),
    "no priority": (HEAD + offer(priority=None), "offer 1: the key priority expected"),
    "no text": (HEAD + offer(text=None), "offer 1: the key text expected"),
    "an unknown key of an offer": (HEAD + offer(rank="1"), "offer 1: key: one of categories, group, id, .* expected, 'rank' came"),
    "id empty": (HEAD + offer(id='""'), "offer 1: id: a name expected, '' came"),
    "id a number": (HEAD + offer(id="3"), "offer 1: id: a name expected, 3 came"),
    "priority in text": (HEAD + offer(priority='"20"'), "offer coffee: priority: a whole number expected, '20' came"),
    "priority a truth": (HEAD + offer(priority="true"), "offer coffee: priority: a whole number expected, True came"),
    "group empty": (HEAD + offer(group='""'), "offer coffee: group: a name expected, '' came"),
    "group a number": (HEAD + offer(group="1"), "offer coffee: group: a name expected, 1 came"),
    "ranks a number": (HEAD + offer(ranks="2"), RANKS.format("2")),
    "ranks of one": (HEAD + offer(ranks="[2]"), RANKS.format(r"\[2\]")),
    "ranks of three": (HEAD + offer(ranks="[1, 2, 3]"), RANKS.format(r"\[1, 2, 3\]")),
    "ranks turned round": (HEAD + offer(ranks="[3, 2]"), RANKS.format(r"\[3, 2\]")),
    "ranks too high": (HEAD + offer(ranks="[0, 5]"), RANKS.format(r"\[0, 5\]")),
    "ranks too low": (HEAD + offer(ranks="[-1, 4]"), RANKS.format(r"\[-1, 4\]")),
    "ranks with a truth": (HEAD + offer(ranks="[true, 4]"), RANKS.format(r"\[True, 4\]")),
    "ranks with a half": (HEAD + offer(ranks="[0, 1.5]"), RANKS.format(r"\[0, 1\.5\]")),
    "scores too high": (HEAD + offer(scores="[0, 65536]"), r"offer coffee: scores: \[from, to\] within 0\.\.65535 expected, \[0, 65536\]"),
    "scores turned round": (HEAD + offer(scores="[5, 4]"), r"offer coffee: scores: \[from, to\] within 0\.\.65535 expected, \[5, 4\]"),
    "categories empty": (HEAD + offer(categories="[]"), CATEGORIES.format(r"\[\]")),
    "categories a number": (HEAD + offer(categories="3"), CATEGORIES.format("3")),
    "category too high": (HEAD + offer(categories="[0, 16]"), CATEGORIES.format(r"\[0, 16\]")),
    "category too low": (HEAD + offer(categories="[-1]"), CATEGORIES.format(r"\[-1\]")),
    "category in text": (HEAD + offer(categories='["0"]'), CATEGORIES.format(r"\['0'\]")),
    "category a truth": (HEAD + offer(categories="[true]"), CATEGORIES.format(r"\[True\]")),
    "category twice": (HEAD + offer(categories="[3, 3]"), CATEGORIES.format(r"\[3, 3\]")),
    "text no table": (HEAD + offer(text='"A coffee"'), "offer coffee: text: a table expected, 'A coffee' came"),
    "text without a language": (HEAD + offer(text='{ en = "A coffee" }'), r"offer coffee: text: the key ja expected, \['en'\] came"),
    "text in another language": (
        HEAD + offer(text='{ en = "A coffee", ja = "コーヒー", de = "Ein Kaffee" }'),
        "offer coffee: text: key: one of en, ja expected, 'de' came",
    ),
    "text blank": (HEAD + offer(text='{ en = "A coffee", ja = " " }'), r"offer coffee: text\.ja: a text expected, ' ' came"),
    "text a number": (HEAD + offer(text='{ en = 1, ja = "コーヒー" }'), r"offer coffee: text\.en: a text expected, 1 came"),
    "an id twice": (HEAD + offer(group=None) + offer(group=None), "id: one offer of each expected, 'coffee' came"),
    "two of a group at once": (
        HEAD + offer() + offer(id='"tea"'),
        "offers coffee and tea: of one group, one priority, and for the same customers; give them different priorities",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_table_is_refused(name: str, tmp_path: Path) -> None:
    """The message names the file, the offer and the key, what was expected and what came."""
    text, words = WRONG[name]
    path = tmp_path / "offers.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HostError, match=f"^offers {path}: ({words})"):
        Offers.load(path)
    with pytest.raises(HostError, match=f"^({words})"):
        Offers.parse(text)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda _: None, "No such file or directory", id="missing"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="a folder"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe"), "'utf-8' codec can't decode byte 0xff", id="no UTF-8"),
    ],
)
def test_a_file_that_can_not_be_read(make: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "offers.toml"
    make(path)
    with pytest.raises(HostError, match=f"^offers {path}: {words}"):
        Offers.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"priority": "21"},
        {"group": '"other"'},
        {"group": None},
        {"ranks": "[0, 1]"},
        {"scores": "[0, 249]"},
        {"categories": "[1, 2]"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_two_of_a_group_that_never_meet(changes: dict[str, str | None]) -> None:
    """Or of which one comes first, or of two groups: nothing is left to the order of the file."""
    assert len(Offers.parse(HEAD + offer() + offer(id='"tea"', **changes)).offers) == 2


@pytest.mark.parametrize(("one", "other"), [("[0, 3]", "[3]"), (None, "[7]"), ("[7]", None), (None, None)])
def test_two_of_a_group_that_meet_in_a_category(one: str | None, other: str | None) -> None:
    with pytest.raises(HostError, match="offers coffee and tea: of one group"):
        Offers.parse(HEAD + offer(categories=one) + offer(id='"tea"', categories=other))


def ranges(most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, most), st.integers(0, most)).map(lambda pair: (min(pair), max(pair)))


OFFER = st.builds(
    Offer,
    id=st.uuids().map(str),
    priority=st.integers(-3, 3),
    ranks=ranges(RANK_MAX),
    scores=ranges(4),
    categories=st.none() | st.frozensets(st.integers(0, 3), min_size=1),
    group=st.none() | st.sampled_from(["drink", "desk"]),
    text=st.just({"en": "x"}),
)
TABLE = st.lists(OFFER, max_size=8).map(lambda offers: Offers(tuple(sorted(offers, key=lambda one: -one.priority))))
CUSTOMER = (st.integers(0, RANK_MAX), st.integers(0, 4), st.none() | st.integers(0, 4))


@given(TABLE, *CUSTOMER, st.integers(0, 9))
def test_what_is_chosen(table: Offers, rank: int, score: int, category: int | None, limit: int) -> None:
    """All fit; at most `limit`, one of each group, the highest priority first; and none is left out that would have had a place."""
    chosen = table.choose(rank, score, category, limit)
    assert len(chosen) <= limit
    for one in chosen:
        assert one.ranks[0] <= rank <= one.ranks[1]
        assert one.scores[0] <= score <= one.scores[1]
        assert one.categories is None or category in one.categories
    groups = [one.group for one in chosen if one.group is not None]
    assert len(set(groups)) == len(groups)
    assert [one.priority for one in chosen] == sorted((one.priority for one in chosen), reverse=True)
    left = [one for one in table.offers if one.fits(rank, score, category) and one not in chosen]
    for one in left:
        better = [other for other in chosen if other.priority >= one.priority]
        assert len(better) == limit or one.group in {other.group for other in better if other.group is not None}


@given(TABLE, *CUSTOMER)
def test_a_smaller_limit_cuts_the_list(table: Offers, rank: int, score: int, category: int | None) -> None:
    everything = table.choose(rank, score, category, 99)
    for limit in range(10):
        assert table.choose(rank, score, category, limit) == everything[:limit]


@given(OFFER, OFFER, *CUSTOMER)
def test_offers_overlap_where_a_customer_fits_both(one: Offer, other: Offer, rank: int, score: int, category: int | None) -> None:
    """Against all customers: ranks 0..4, scores 0..4, categories 0..3 and none."""
    assert one.overlaps(other) == other.overlaps(one)
    if one.fits(rank, score, category) and other.fits(rank, score, category):
        assert one.overlaps(other)
    everyone = ((rank, score, category) for rank in range(5) for score in range(5) for category in range(4))
    assert one.overlaps(other) == any(one.fits(*customer) and other.fits(*customer) for customer in everyone)
