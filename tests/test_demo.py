"""joren demo: the CDNOW log through cards, and anybody's log."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from joren.cli import main
from joren.host.replay.charts import Series, bars, gain, timeline
from joren.host.replay.texts import EN, JA

LOG = """card,time,amount,category
ann,2025-01-02,10.00,1
bob,2025-01-03 09:30,5.50,2
ann,2025-02-01,20,1
cyd,2025-02-02,0,0
ann,2025-03-01,7.25,3
bob,2025-03-05,1,1
"""


def demo(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["demo", "--json", "--out", str(folder / "page.html"), *words])
    assert result.exit_code == code, (result.output, result.exception)
    told = json.loads(result.stdout)
    assert isinstance(told, dict)
    return told


def own(folder: Path, text: str | bytes) -> list[str]:
    path = folder / "log.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ["--purchases", str(path)]


def test_the_cdnow_log_through_cards(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The ranks on the cards foretell later spending; and cards, tills and receipts tell of the same points."""
    out = tmp_path / "page.html"
    words = [sys.executable, "-m", "joren.cli", "demo", "--json", "--out", str(out)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout)
    assert told["gini"] >= 0.719
    assert told["auc"] >= 0.769
    assert (told["purchases"], told["cards"], told["cards_one_card"], told["cards_two_card"]) == (69_659, 23_570, 11_785, 11_785)
    assert told["points_granted_cards"] == told["points_granted_tills"] == told["points_granted_receipts"] > 0
    assert told["receipts_verified"] == 69_659
    assert (told["flipped_bit_refused"], told["agrees"]) == (True, True)
    assert sum(row["cards"] for row in told["ranks"]) == 23_570
    means = [row["spent_after_minor"] / row["cards"] for row in told["ranks"]]
    assert means == sorted(means)
    assert "69,659" in out.read_text(encoding="utf-8")
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert [row["rank"] for row in told["ranks"] if f"{row['cards']:,} " not in readme or f"{row['points_owed']:,}\n" not in readme] == []
    record_property("CDNOW through cards: Gini", round(told["gini"], 4))
    record_property("CDNOW through cards: AUC", round(told["auc"], 4))
    record_property("CDNOW through cards: seconds", told["seconds"])


class Links(HTMLParser):
    """Everything a page would fetch, and its texts by language."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.languages: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.fetched += [str(values[name]) for name in ("src", "href", "data", "srcset") if name in values]
        if tag == "div" and "data-language" in values:
            self.languages.append(values["data-language"])


def test_the_page_has_all_it_needs_in_both_languages(tmp_path: Path) -> None:
    demo(tmp_path, "--limit", "60")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Links(text)
    assert page.fetched == []
    assert "url(" not in text
    assert "@import" not in text
    assert page.languages == ["en", "ja"]
    assert text.count("<svg") == 10
    for words in (EN, JA):
        for title in (words.cards_per_rank, words.points, words.spending, words.gain, words.history, words.agree):
            assert escape(title) in text
    assert "prefers-color-scheme: dark" in text


def test_the_table_on_the_terminal(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["demo", "--limit", "60", "--out", str(tmp_path / "p.html")])
    assert result.exit_code == 0
    assert "60 cards, 30 one-card and 30 two-card" in result.stdout
    assert re.search(r"Gini of 0\.\d{4} and an AUC of 0\.\d{4}", result.stdout)
    assert "with any one bit flipped: refused" in result.stdout


def test_a_log_of_ones_own(tmp_path: Path) -> None:
    told = demo(tmp_path, *own(tmp_path, LOG), "--customer", "bob")
    assert (told["purchases"], told["cards"], told["cut"], told["watched"]) == (6, 3, "2025-02-02", "bob")
    assert told["points_granted_cards"] == 10 + 5 + 20 + 0 + 9 + 1  # one of a hundred, and five of four hundred once ann has rank 1
    assert told["auc"] == 0.5  # cyd came the day before and stayed away: above bob, below ann
    assert [sample["bought"] for sample in told["samples"]].count(True) == 2


def test_who_buys_more_often_than_a_card_remembers(tmp_path: Path) -> None:
    """REQ-REC-3: the log of a card is read before it forgets."""
    rows = "".join(f"{name},2025-01-{day:02} {hour:02}:00,{day}\n" for day in range(1, 29) for hour in (9, 18) for name in "ab")
    told = demo(tmp_path, *own(tmp_path, "card,time,amount\n" + rows))
    assert told["purchases"] == 112
    assert told["agrees"] is True


def test_a_log_without_anything_to_foretell(tmp_path: Path) -> None:
    words = own(tmp_path, "card,time,amount\nann,2025-01-02,1\nbob,2025-01-05,2\n")
    told = demo(tmp_path, *words, "--cut", "2025-01-05")
    assert (told["gini"], told["auc"], told["gain"], told["agrees"]) == (None, None, None, True)
    assert EN.no_gain in (tmp_path / "page.html").read_text(encoding="utf-8")
    result = CliRunner().invoke(main, ["demo", *words, "--cut", "2025-01-05", "--out", str(tmp_path / "p.html")])
    assert "nothing to foretell" in result.stdout


BROKEN = LOG + "dan,2025-01-01,1,1\neve,2025-04-01,-3,1\nfay,2025-04-02,1,99\ngil,2025-04-03,1\n"


def test_lines_that_are_wrong_are_named_and_nothing_is_played(tmp_path: Path) -> None:
    told = demo(tmp_path, *own(tmp_path, BROKEN), code=6)
    assert told["error"] == "BadLog"
    for words in (
        "4 bad lines",
        "line 8, time: 2025-03-05",
        "line 9, amount",
        "'-3' came",
        "line 10, category: 0..15",
        "line 11: 4 fields",
    ):
        assert words in told["message"]
    assert not (tmp_path / "page.html").exists()


def test_the_rest_is_played_on_demand(tmp_path: Path) -> None:
    told = demo(tmp_path, *own(tmp_path, BROKEN), "--skip-bad")
    assert (told["purchases"], told["lines_skipped"]) == (6, 4)
    result = CliRunner().invoke(main, ["demo", *own(tmp_path, BROKEN), "--skip-bad", "--out", str(tmp_path / "p.html")])
    assert "4 lines of the log were wrong and left out" in result.stdout


WRONG = [
    ("encoding", LOG.encode("utf-16"), [], 6, "UTF-16"),
    ("latin", LOG.replace("ann", "zoë").encode("latin-1"), [], 6, "line 2, card: printable UTF-8 text expected"),
    ("no rows left", "card,time,amount\nx,y,z\n", ["--skip-bad"], 2, "no line of it can be played"),
    ("no time", "card,amount\nx,1\n", [], 6, "time"),
    ("cut is no day", LOG, ["--cut", "soon"], 2, "--cut: a day such as 2025-03-05 expected, 'soon' came"),
    ("cut outside", LOG, ["--cut", "2026-01-01"], 2, "--cut: a day from 2025-01-02 to 2025-03-05 expected"),
    ("customer", LOG, ["--customer", "zed"], 2, "--customer: a card of the log expected, 'zed' came"),
    ("too long a log", LOG + "ann,2035-01-01,1,1\n", [], 2, "line 8, time: 2025-01-01 to 2032-06-23 expected"),
    ("the end of time", LOG, ["--cut", "9999-12-31"], 2, "--cut: a day from"),
]


@pytest.mark.parametrize(("text", "words", "code", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_can_not_be_played_is_told(tmp_path: Path, text: str | bytes, words: list[str], code: int, message: str) -> None:
    assert message in demo(tmp_path, *own(tmp_path, text), *words, code=code)["message"]
    assert not (tmp_path / "page.html").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "none.csv" in demo(tmp_path, "--purchases", str(tmp_path / "none.csv"), code=6)["message"]


def test_charts_of_little() -> None:
    """Nothing, one card, one sample: still pictures."""
    assert "<svg" in bars("t", ["a"], [Series("", [0])], str)
    assert "<rect" in bars("t", ["a", "b"], [Series("x", [1, 2]), Series("y", [3, 4])], str)
    assert "legend" in bars("t", ["a"], [Series("x", [1]), Series("y", [3])], str)
    assert "<polygon" in gain("t", [0.0, 1.0], "across", "up", "chance")
    assert "<polyline" in timeline("t", [(0.0, 0.0, "")], [], [(100.0, "rank 1")], [(0.0, "2025"), (1.0, "2026")])
    assert "&lt;b&gt;" in bars("<b>", ["<b>"], [Series("", [1])], str)
