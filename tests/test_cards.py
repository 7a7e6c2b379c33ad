"""The command line on cards that can be bought: estimate, wear, profiles, tap --timed, demo --card; and what is wrong with their input."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from joren.cli import main
from joren.simulator.profile import FOLDER, profile_names

CARDS = [name for name in profile_names() if name != "ideal"]


class Shell:
    """joren in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--home", str(self.folder / "home"), *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").splitlines()[-1])


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_wear_of_a_verified_pin_is_kept(shell: Shell, tmp_path: Path) -> None:
    """Its writes leave the same bytes as before, and wear the memory all the same."""
    (tmp_path / "pin").write_text("1234\n12345678\n")
    shell.run("card", "new", "pinny", "--pin-file", str(tmp_path / "pin"))
    counts = []
    for _ in range(2):
        shell.run("card", "show", "pinny", "--pin-file", str(tmp_path / "pin"))
        image = json.loads(shell.run("card", "image", "pinny"))
        counts.append(sum(times for _, _, times in image["instances"][1]["wear"]["tries"]))
    assert counts[1] == counts[0] + 2


def likely(told: Any) -> dict[str, float]:
    return {card["card"]: card["total_ms"]["likely"] for card in told["cards"]}


def test_a_purchase_keeps_the_budget_of_the_tap(shell: Shell) -> None:
    """One-card, at 106 kbit/s: JCOP4 within 100 ms, JCOP3 within 200 ms, and the parts are what the total is made of."""
    told = shell.json("estimate", "purchase", "--wire", "106", "--card", "jcop4", "--card", "jcop3")
    times = likely(told)
    assert times["jcop4"] <= 100
    assert times["jcop3"] <= 200
    for card in told["cards"]:
        for band in ("low", "likely", "high"):
            parts = sum(part[band] for part in card["parts_ms"].values())
            assert parts == pytest.approx(card["total_ms"][band], abs=0.01)
            assert sum(apdu["total_ms"][band] for apdu in card["apdus"]) == pytest.approx(parts, abs=0.01)
        assert [apdu["command"] for apdu in card["apdus"]] == ["SELECT, record alone", "TRANSACT PURCHASE, key TILL"]
        assert sum(apdu["bytes"] for apdu in card["apdus"]) == 107


def test_every_sale_on_every_card(shell: Shell) -> None:
    for sale in ("purchase", "pay-and-earn", "redeem", "load", "pay", "void"):
        one, two = likely(shell.json("estimate", sale)), likely(shell.json("estimate", sale, "--two-card"))
        assert one.keys() == two.keys() == set(profile_names())
        assert all(two[card] > one[card] for card in CARDS)
        assert all(one["ideal"] < one[card] for card in CARDS)


def test_a_quicker_wire_takes_less_time_and_a_card_without_it_is_left_out(shell: Shell) -> None:
    slow, quick = likely(shell.json("estimate", "purchase", "--wire", "106")), likely(shell.json("estimate", "purchase", "--wire", "848"))
    assert slow.keys() == quick.keys() == {"ideal", "feitian-a40", "jcop241", "jcop3", "jcop4", "sle78"}
    assert all(quick[card] < slow[card] for card in slow)
    for wire in ("t0", "t1"):
        times = likely(shell.json("estimate", "purchase", "--wire", wire))
        assert all(times["ideal"] <= time for time in times.values())
    assert likely(shell.json("estimate", "purchase", "--wire", "t0")).keys() == {"ideal", "feitian-h19cr", "sle78"}


def test_a_trace_and_a_file_of_apdus(shell: Shell, tmp_path: Path) -> None:
    before, trace = str(tmp_path / "before.json"), str(tmp_path / "tap.jsonl")
    shell.run("card", "new", "alice", "--profile", "jcop4")
    shell.run("shop", "new", "bakery", "--profile", "jcop3")
    shell.run("card", "image", "alice", "--out", before)
    sold = shell.json("tap", "alice", "10", "--timed", "--trace", trace)
    told = shell.json("estimate", trace, "--card", "jcop4", "--on", before)
    assert told["cards"][0]["total_ms"] == sold["times"]["total_ms"]
    assert "in all" in shell.run("estimate", trace, "--card", "jcop4", "--on", before)
    assert "in all" in shell.run("tap", "alice", "10", "--timed", "--shop-card", "bakery")
    text = tmp_path / "apdus.txt"
    text.write_text("# a look\n00A4040C09F06A6F72656E0100011A\n\n80320000 28  # state\n")
    assert [apdu["command"] for apdu in shell.json("estimate", str(text), "--card", "sle78")["cards"][0]["apdus"]] == [
        "SELECT, record alone",
        "GET STATE",
    ]
    text.write_text("00A4040C09F06A6F72656E01000119\n8032\n")
    assert "line 2: command: at least 4 bytes expected, 2 came; nothing was run" in shell.run("estimate", str(text), code=6)
    text.write_text("00A4040C09F06A6F72656E01000119\nhello\n")
    assert "line 2: a command APDU in hexadecimal expected, 'hello' came" in shell.run("estimate", str(text), code=6)
    (tmp_path / "one.txt").write_text("00A4040C09F06A6F72656E01000119\n")
    text.write_text("# nothing\n")
    assert "on a line expected, there is none" in shell.run("estimate", str(text), code=6)
    assert "--two-card goes with a sale" in shell.run("estimate", str(text), "--two-card", code=2)
    assert "--on-shop goes with a trace" in shell.run("estimate", str(tmp_path / "one.txt"), "--on-shop", "bakery", code=2)
    assert "--on and --on-shop go with a file" in shell.run("estimate", "purchase", "--on", "alice", code=2)
    assert "a shop card; give one with --on-shop" in _two_card_trace(shell, tmp_path)


@pytest.mark.parametrize(
    ("made_on", "told_on"), [("feitian-h19cr", "feitian-h19cr"), ("feitian-h19cr", "jcop4"), ("jcop4", "feitian-h19cr")]
)
def test_a_trace_of_one_protocol_on_a_card_of_another(shell: Shell, tmp_path: Path, made_on: str, told_on: str) -> None:
    """REQ-FIT-2: GET RESPONSE is the card's that answers, not the trace's."""
    for name, profile in (("alice", made_on), ("bob", told_on)):
        shell.run("card", "new", name, "--profile", profile)
        shell.run("card", "image", name, "--out", str(tmp_path / f"{name}.json"))
        trace = str(tmp_path / f"{name}.jsonl")
        shell.json("tap", name, "10", "--trace", trace, "--reference", name)
    told = shell.json("estimate", str(tmp_path / "alice.jsonl"), "--card", told_on, "--on", str(tmp_path / "alice.json"))
    own = shell.json("estimate", str(tmp_path / "bob.jsonl"), "--card", told_on, "--on", str(tmp_path / "bob.json"))
    assert told["cards"][0]["total_ms"] == own["cards"][0]["total_ms"]
    assert {apdu["sw"][:2] for apdu in told["cards"][0]["apdus"]} <= {"90", "61"}


def _two_card_trace(shell: Shell, tmp_path: Path) -> str:
    before, trace = str(tmp_path / "before.json"), str(tmp_path / "two.jsonl")
    shell.run("card", "image", "alice", "--out", before)
    shell.run("tap", "alice", "10", "--shop-card", "bakery", "--trace", trace)
    after = shell.run("estimate", trace, "--card", "jcop4", "--on", "alice", "--on-shop", "bakery", code=2)
    assert "as it was before the trace expected, it answered" in after
    return shell.run("estimate", trace, "--card", "jcop4", "--on", before, code=2)


def test_traces_that_cannot_be_estimated(shell: Shell, tmp_path: Path) -> None:
    trace = tmp_path / "t.jsonl"
    head = '{"format": "joren-trace", "version": 1, "secrets": false}\n'
    trace.write_text(
        head + '{"t": 0, "reader": "customer card", "event": "apdu", "command": "0020008108****************", "response": "9000"}\n'
    )
    assert "the secrets of line 2 were left out" in shell.run("estimate", str(trace), code=2)
    trace.write_text(head + '{"t": 0, "reader": "door", "event": "apdu", "command": "80320000", "response": "9000"}\n')
    assert "line 2: a reader named customer card or shop card expected, door came" in shell.run("estimate", str(trace), code=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("estimate", "nosuch"), "purchase, pay-and-earn, redeem, load, pay, void, or a file, expected, 'nosuch' came"),
        (("estimate", "purchase", "--card", "nosuch"), "card profile: ideal, "),
        (("estimate", "purchase", "--card", "feitian-h19cr", "--wire", "106"), "wire of feitian-h19cr: t0 expected, 106 came"),
        (("wear", "--card", "nosuch"), "card profile: ideal, "),
        (("card", "new", "x", "--profile", "nosuch"), "card profile: ideal, "),
        (("demo", "--card", "nosuch"), "card profile: ideal, "),
        (("profiles", "nosuch"), "card profile: ideal, "),
    ],
)
def test_what_is_not_known(shell: Shell, words: tuple[str, ...], said: str) -> None:
    assert said in shell.run(*words, code=2)


def small(folder: Path, **figures: str) -> str:
    """A file like jcop4's with other figures."""
    text = (FOLDER / "jcop4.toml").read_text(encoding="utf-8")
    for name, value in figures.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name} = ") and '"' not in line)
        text = text.replace(line, f"{name} = {value}" if value else "")
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("figure", "value", "said"),
    [
        ("ram_bytes", "200", "RAM: "),
        ("nvm_bytes", "24000", "memory: 2"),
        ("commit_capacity_bytes", "300", "commit capacity: 312 bytes needed, 300 are there; use a larger card"),
        ("commit_capacity_bytes", "", "commit_capacity_bytes: a whole number, 0..1000000000000 expected, it is missing"),
    ],
)
def test_a_card_that_cannot_carry_the_applet_says_why(shell: Shell, tmp_path: Path, figure: str, value: str, said: str) -> None:
    """REQ-FIT-1: neither of the two cards."""
    assert said in shell.run("card", "new", "x", "--profile", small(tmp_path, **{figure: value}), code=2)
    told = shell.run("shop", "new", "y", "--profile", str(tmp_path / "small.toml"), code=2)
    assert said.partition(":")[0] in told
    assert shell.run("wear", "--card", str(tmp_path / "small.toml"), code=2) != ""
    if value:
        assert said in shell.run("profiles", str(tmp_path / "small.toml"))
        assert said in shell.run("estimate", "purchase", "--card", str(tmp_path / "small.toml"), code=2)


def test_a_profile_of_ones_own_is_kept_with_the_card(shell: Shell, tmp_path: Path) -> None:
    path = small(tmp_path, ram_bytes="1000")
    shell.run("card", "new", "x", "--profile", path)
    assert shell.json("tap", "x", "10", "--timed")["times"]["total_ms"]["likely"] > 10
    small(tmp_path, ram_bytes="100")
    assert "small.toml has changed: " in shell.run("card", "show", "x", code=6)
    Path(path).unlink()
    assert "made for a chip that is not known here" in shell.run("card", "show", "x", code=6)
    assert "passed over, " in shell.run("card", "new", "y")


def test_profiles_are_listed_with_their_sources(shell: Shell) -> None:
    assert [profile["name"] for profile in shell.json("profiles")["profiles"]] == profile_names()
    assert all(profile["does_not_carry"] == "" for profile in shell.json("profiles")["profiles"])
    assert all(name in shell.run("profiles") for name in profile_names())
    told = shell.json("profiles", "jcop4")
    assert told["times_ms"]["mac"]["source"].startswith("measured:")
    assert "measured: getMaxCommitCapacity" in shell.run("profiles", "jcop4")
    assert "no limit" in shell.run("profiles", "ideal")


@pytest.mark.parametrize("rate", ["nan", "inf", "0", "-1", "1e300"])
def test_rates_that_cannot_be(shell: Shell, rate: str) -> None:
    assert "--taps" in shell.run("wear", "--taps", rate, code=2)


def test_wear_tells_the_years_of_both_cards(shell: Shell) -> None:
    told = shell.json("wear", "--taps", "10", "--shop-taps", "1000")
    regions = {card: {row["region"]: row["hottest_cell_per_tap"] for row in rows} for card, rows in told["regions"].items()}
    assert regions["customer card"] == {"counter": 1, "sheets": 0.5, "log": pytest.approx(1 / 24)}
    assert max(regions["shop card"].values()) <= 2 / 16
    assert told["counter_years"] == pytest.approx(65_535 / 10 / 365.25, abs=0.1)
    by_card = {card["card"]: card for card in told["cards"]}
    assert by_card["ideal"]["customer card"]["years"] is None
    jcop4 = by_card["jcop4"]["shop card"]
    assert jcop4["years"] == pytest.approx(500_000 / jcop4["hottest_page_per_tap"] / 1000 / 365.25, abs=0.1)
    text = shell.run("wear", "--card", "jcop4", "--card", "ideal")
    assert "no end" in text
    assert "65,535 transactions: 89.7 years" in text


LOG = "card,time,amount\n" + "".join(f"c{number % 7},2025-{1 + number // 5:02}-{1 + number % 5:02},{number}.50\n" for number in range(60))


@pytest.mark.parametrize("card", ["jcop4", "feitian-h19cr"])
def test_the_demo_tells_tap_times_and_the_life_of_the_memory(shell: Shell, tmp_path: Path, card: str) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    words = ("demo", "--purchases", str(tmp_path / "log.csv"), "--out", str(tmp_path / "page.html"), "--card", card)
    told = shell.json(*words)["card_data"]
    one, two = told["one_card"], told["two_card"]
    assert one["taps"] + two["taps"] == 60
    assert sum(one["shares"]) == pytest.approx(1)
    assert one["median_ms"] < two["median_ms"] <= two["p95_ms"] <= told["edges_ms"][-1]
    assert [row["what"] for row in told["memory"]] == ["customer"] * 3 + ["shop"] * 3
    assert told["wire"] == ("106" if card == "jcop4" else "t0")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "How long a tap takes" in page
    assert "メモリの寿命" in page
    assert "writes of its hottest page a tap" in shell.run(*words)
    shell.run(*words[:-2])
    assert "How long a tap takes" not in (tmp_path / "page.html").read_text(encoding="utf-8")
