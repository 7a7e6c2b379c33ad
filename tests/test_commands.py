"""The command line, as a user types it: each command, its JSON, its exit codes, and what it says when something is wrong."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from joren.cli import main
from joren.host import CardLost, Fate
from joren.host.errors import NEXT
from joren.host.vault_file import FileVault

PIN_FILE = "4711\n12345678\n"


class Shell:
    """joren in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def run(self, *words: str, code: int = 0, text: str | None = None) -> Result:
        result = CliRunner().invoke(main, ["--home", str(self.home), *words], input=text)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        told = json.loads(self.run(*words, "--json", code=code).stdout)
        assert told["format"].startswith("joren-")
        assert told["version"] == 1
        assert isinstance(told, dict)
        return told

    def file(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content, encoding="utf-8")
        return str(self.folder / name)

    def images(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(self.home.glob("*s/*.json"))}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def counter(shell: Shell) -> Shell:
    """alice has a card, bakery a shop card."""
    shell.run("card", "new", "alice", "--id", "0102030405060708")
    shell.run("shop", "new", "bakery", "--points", "500", "--money", "20.50")
    return shell


def test_a_purchase_of_either_kind(counter: Shell) -> None:
    one = counter.json("tap", "alice", "12.50", "--reference", "S-1")
    assert (one["kind"], one["points"], one["rank"], one["recovered"]) == ("purchase", 12, 0, False)
    two = counter.json("tap", "alice", "48", "--shop-card", "bakery", "--category", "3", "--factor", "2")
    assert two["points_balance"] == 12 + two["points"]
    assert two["rank"] == 1
    shop = counter.json("shop", "show", "bakery")
    assert (shop["shop"], shop["terminal"], shop["points_left"]) == (2, 1, 500 - two["points"])
    assert shop["totals"]["points_granted"] == two["points"]
    assert "bakery  shop 2, terminal 1, ISSUED; 0 entries pending" in counter.run("shop", "show", "bakery").stdout


def test_the_same_reference_is_the_same_sale(counter: Shell) -> None:
    """REQ-STL-3."""
    first = counter.json("tap", "alice", "10", "--reference", "R", "--time", "2026-05-01 10:00")
    again = counter.json("tap", "alice", "10", "--reference", "R", "--time", "2026-05-01 10:30")
    assert again == {**first, "recovered": True}
    assert counter.json("tap", "alice", "11", "--reference", "R", code=2)["error"] == "HostError"


def test_a_reference_belongs_to_one_card(counter: Shell) -> None:
    """REQ-STL-3: the result of alice's sale is not bob's."""
    counter.run("card", "new", "bob")
    assert "alice has it already" in counter.run("card", "new", "y", "--id", "0102030405060708", code=2).stderr
    counter.run("tap", "alice", "5", "--reference", "X")
    assert "was made with card 0102030405060708" in counter.run("tap", "bob", "5", "--reference", "X", code=2).stderr
    assert counter.json("card", "show", "bob")["counter"] == 0


@pytest.mark.parametrize("text", ["[/b]", "[red]S-9", "a[bold]b"])
def test_what_users_write_is_text_and_no_markup(counter: Shell, text: str) -> None:
    (counter.home / "offers.toml").write_text(
        f'version = 1\nlanguages = ["en"]\n[[offer]]\nid = "o"\npriority = 1\ntext = {{ en = "50 % off {text}" }}\n', encoding="utf-8"
    )
    told = counter.run("tap", "alice", "5", "--reference", text).stdout
    assert f"purchase {text} on card" in told
    assert f"50 % off {text}" in told


def test_a_full_disk_ends_a_trace_and_not_a_sale(counter: Shell) -> None:
    result = counter.run("tap", "alice", "5", "--trace", "/dev/full")
    assert "the trace ends here: No space left on device" in result.stderr
    assert "points 5" in result.stdout


def test_lost_keys_are_not_replaced(counter: Shell) -> None:
    (counter.home / "keys.json").unlink()
    assert "gone, and there are cards made with them" in counter.run("tap", "alice", "5", code=2).stderr


def test_a_lost_sale_tells_the_reference_it_was_given(counter: Shell) -> None:
    told = counter.run("tap", "alice", "5", "--lose", "2:after", code=5).stderr
    reference = told.split("--reference ")[1].split()[0]
    assert counter.json("tap", "alice", "5", "--reference", reference)["recovered"] is True


def test_two_programmes_share_a_folder(counter: Shell) -> None:
    example = (Path(__file__).parent.parent / "examples" / "product.toml").read_text(encoding="utf-8")
    other = counter.file("two.toml", example.replace("programme = 1 ", "programme = 2 "))
    counter.run("--product", other, "card", "new", "carol")
    counter.run("--product", other, "shop", "new", "kiosk")
    counter.run("--product", other, "tap", "carol", "5")
    counter.run("tap", "alice", "5")
    assert "6A82 FILE_NOT_FOUND" in counter.run("tap", "carol", "5", code=3).stderr


def test_purse_points_and_void(counter: Shell) -> None:
    assert counter.json("load", "alice", "20.50", "--shop-card", "bakery")["purse_minor"] == 2050
    assert counter.json("tap", "alice", "10", "--pay")["purse_minor"] == 1050
    assert counter.json("pay", "alice", "0.50", "--reference", "P")["purse_minor"] == 1000
    assert counter.json("void", "alice", "P")["purse_minor"] == 1050
    assert counter.json("redeem", "alice", "4")["points_balance"] == 6
    assert counter.json("pay", "alice", "10.51", code=3)["status"] == "BALANCE_TOO_SMALL"
    kinds = [entry["kind"] for entry in counter.json("card", "log", "alice")["transactions"]]
    assert kinds == ["redeem", "void pay", "pay", "pay and earn", "load"]
    log = counter.run("card", "log", "alice").stdout
    assert log.count("verified") == 5
    assert "4 points" in log


def test_a_lost_tap_is_told_and_settled_at_the_next(counter: Shell) -> None:
    """REQ-STL-1, REQ-STL-2."""
    lost = counter.json("tap", "alice", "10", "--reference", "X", "--lose", "2:after", code=5)
    assert (lost["error"], lost["reference"], lost["fate"]) == ("CardLost", "X", "pending")
    assert NEXT[Fate.PENDING] in lost["message"]
    again = counter.json("tap", "alice", "10", "--reference", "X")
    assert (again["recovered"], [row["fate"] for row in again["settled"]]) == (True, ["committed"])
    assert "link to the customer card lost" in counter.run("tap", "alice", "10", "--reference", "Y", "--lose", "2:before", code=5).stderr
    settled = counter.json("settle", "alice")["settled"]
    assert [(row["reference"], row["fate"]) for row in settled] == [("Y", "not_committed")]
    assert "nothing to settle" in counter.run("settle", "alice").stdout
    assert counter.json("card", "show", "alice")["counter"] == 1


def test_a_card_with_a_pin(shell: Shell) -> None:
    pins = shell.file("pins", PIN_FILE)
    shell.run("card", "new", "bob", "--pin-file", pins)
    shell.run("load", "bob", "100")
    assert shell.json("pay", "bob", "60", code=3)["status"] == "SECURITY_STATUS_NOT_SATISFIED"
    assert shell.json("pay", "bob", "60", "--pin-file", pins)["purse_minor"] == 4000
    assert "points_now" not in shell.json("card", "show", "bob")
    assert "with the PIN" in shell.run("card", "show", "bob").stdout
    shown = json.loads(shell.run("card", "show", "bob", "--ask-pin", "--json", text="4711\n").stdout.removeprefix("PIN: ").strip())
    assert (shown["purse_minor"], shown["pin_tries"]) == (4000, 3)
    wrong = shell.json("card", "show", "bob", "--pin-file", shell.file("wrong", "0000\n"), code=3)
    assert (wrong["sw"], wrong["status"]) == ("63C2", "VERIFY_FAILED")
    assert "PIN    2 tries left" in shell.run("card", "show", "bob").stdout
    assert "2 lines expected (PIN, PUK), 1 came" in shell.run("card", "new", "c", "--pin-file", shell.file("one", "1\n"), code=2).stderr
    assert "can not be read" in shell.run("card", "log", "bob", "--pin-file", "none", code=2).stderr


def test_a_pin_is_changed_and_set_anew_with_the_puk(shell: Shell) -> None:
    """REQ-PIN-2, REQ-PIN-3."""
    shell.run("card", "new", "bob", "--pin-file", shell.file("pins", PIN_FILE))
    assert shell.run("card", "pin", "bob", text="4711\n5555\n").stdout.endswith("bob: the PIN is changed\n")
    for tries in (2, 1, 0):
        told = shell.json("card", "pin", "bob", "--pin-file", shell.file("old", "4711\n1111\n"), code=3)
        assert told["sw"] == f"63C{tries}"
    assert (
        shell.json("card", "log", "bob", "--pin-file", shell.file("right", "5555\n"), code=3)["status"] == "AUTHENTICATION_METHOD_BLOCKED"
    )
    assert shell.json("card", "pin", "bob", "--with-puk", "--pin-file", shell.file("puk", "12345678\n2468\n"))["changed"] is True
    assert shell.json("card", "log", "bob", "--pin-file", shell.file("new", "2468\n"))["transactions"] == []
    wrong = shell.file("short", "1234567\n2468\n")
    assert "PUK: 8 digits expected" in shell.run("card", "pin", "bob", "--with-puk", "--pin-file", wrong, code=2).stderr


def test_the_life_of_a_card(counter: Shell) -> None:
    """REQ-LIFE-1."""
    assert counter.json("card", "status", "alice", "blocked")["state"] == "BLOCKED"
    refused = counter.json("tap", "alice", "1", code=3)
    assert (refused["card"], refused["sw"], refused["status"]) == ("customer card", "6283", "FILE_DEACTIVATED")
    assert "alice: ISSUED" in counter.run("card", "status", "alice", "issued").stdout
    assert counter.json("shop", "status", "bakery", "terminated")["state"] == "TERMINATED"
    assert counter.json("tap", "alice", "1", "--shop-card", "bakery", code=3)["error"] == "CardRefused"
    assert "CONDITIONS_NOT_SATISFIED" in counter.run("shop", "status", "bakery", "issued", code=3).stderr


def test_a_stolen_card_is_refused(counter: Shell) -> None:
    before = counter.images()
    told = counter.run("tap", "alice", "1", "--stop", "0102030405060708", code=2).stderr
    assert "is on the stop list" in told
    stolen = "00000001" + "00000002"
    assert "stop list" in counter.run("tap", "alice", "1", "--shop-card", "bakery", "--stop", stolen, code=2).stderr
    assert "8 bytes in hexadecimal, expected" in counter.run("tap", "alice", "1", "--stop", "xyz", code=2).stderr
    assert [path for path, image in counter.images().items() if _cells(image) != _cells(before[path])] == []


def _cells(image: bytes) -> object:
    """What a card keeps; its random generator goes on with every SELECT."""
    return json.loads(image)["instances"]


WRONG = [
    ("amount", ["tap", "alice", "abc"], "at most 2 decimals expected, 'abc' came"),
    ("negative amount", ["tap", "alice", "--", "-1"], "'-1' came"),
    ("amount too large", ["tap", "alice", "42949672.96"], "amount: a whole number in 0..4294967295"),
    ("factor", ["tap", "alice", "1", "--factor", "x"], "--factor: 0.1 to 25.5"),
    ("factor 1.55", ["tap", "alice", "1", "--factor", "1.55"], "--factor: 0.1 to 25.5"),
    ("time before the epoch", ["tap", "alice", "1", "--time", "2020-01-01"], "time: 2025-01-01 to"),
    ("no card", ["tap", "nobody", "1"], "customer card nobody: none of this name; there are: alice"),
    ("no shop card", ["tap", "alice", "1", "--shop-card", "x"], "shop card x: none of this name; there are: bakery"),
    ("lose", ["tap", "alice", "1", "--lose", "2"], "--lose: the number of an APDU and when"),
    ("void of nothing", ["void", "alice", "none"], "sale none: this till's journal has no such sale"),
    ("name", ["card", "new", "a/b"], "name: up to 32 letters"),
    ("taken name", ["card", "new", "alice"], "there is one of this name already"),
    ("id", ["card", "new", "x", "--id", "zz"], "card id: 8 bytes in hexadecimal"),
    ("secrets on the screen", ["card", "image", "alice", "--with-secrets"], "--out FILE expected as well"),
    ("number taken", ["shop", "new", "two", "--shop", "2"], "there is a shop card of this number already"),
    ("decode", ["decode", "00A4"], "at least 4 bytes expected, 2 came"),
    ("decode no hex", ["decode", "hello"], "bytes in hexadecimal expected"),
    ("decode response", ["decode", "00A40400", "90"], "response: bytes in hexadecimal"),
]


@pytest.mark.parametrize(("words", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_argument_changes_nothing(counter: Shell, words: list[str], message: str) -> None:
    before = counter.images()
    assert message in counter.run(*words, code=2).stderr
    assert counter.images() == before


def test_a_campaign_above_the_limit_and_a_ceiling_reached(counter: Shell) -> None:
    before = counter.images()
    assert counter.json("tap", "alice", "1", "--factor", "3.1", code=3)["status"] == "FACTOR_ABOVE_LIMIT"
    ceiling = counter.json("tap", "alice", "1000", "--shop-card", "bakery", code=3)
    assert (ceiling["card"], ceiling["status"]) == ("shop card", "CEILING_REACHED")
    after = counter.images()
    assert [_cells(image) for image in after.values()] == [_cells(image) for image in before.values()]


def test_images_are_read_copied_and_checked(counter: Shell) -> None:
    shown = counter.json("card", "image", "alice")["content"]
    assert shown["format"] == "joren-card-image"
    assert '"joren-card-image"' in counter.run("card", "image", "alice").stdout
    copy = counter.folder / "copy.json"
    assert "written to" in counter.run("card", "image", "alice", "--out", str(copy)).stdout
    counter.run("tap", "alice", "5")
    assert counter.json("card", "show", str(copy))["counter"] == 0
    clear = counter.folder / "clear.json"
    assert counter.json("card", "image", "alice", "--out", str(clear), "--with-secrets")["with_secrets"] is True
    till = FileVault.load_file(counter.home / "keys.json").key("till", 1)
    assert till.reveal().hex().upper() not in clear.read_text()
    copy.write_text(copy.read_text().replace("ISSUED", "ISSUED ").replace('"draws": ', '"draws": 1'))
    assert "checksum" in counter.run("card", "show", str(copy), code=6).stderr
    copy.write_text(clear.read_text().replace('"version": 2', '"version": 9'))
    assert counter.json("card", "show", str(copy), code=6)["error"] == "BadImage"


def test_a_journal_that_is_damaged_stops_the_till(counter: Shell) -> None:
    counter.run("tap", "alice", "5")
    journal = next((counter.home / "tills").glob("*.sqlite"))
    journal.write_bytes(b"not a database, but long enough to be looked at as one" * 4)
    assert counter.json("tap", "alice", "5", code=6)["error"] == "JournalError"


def test_offers_for_the_rank_in_two_languages(counter: Shell) -> None:
    example = Path(__file__).parent.parent / "examples" / "offers.toml"
    (counter.home / "offers.toml").write_bytes(example.read_bytes())
    told = counter.json("tap", "alice", "80", "--category", "0")
    assert told["offers"]
    texts = {offer["id"]: offer["text"] for offer in told["offers"]}
    again = counter.json("tap", "alice", "80", "--category", "0", "--language", "ja")
    assert any(offer["text"] != texts.get(offer["id"], "") for offer in again["offers"])
    assert "offer  " in counter.run("tap", "alice", "1").stdout


def test_a_product_of_ones_own(shell: Shell) -> None:
    example = (Path(__file__).parent.parent / "examples" / "product.toml").read_text(encoding="utf-8")
    yen = shell.file("yen.toml", example.replace('"EUR"', '"JPY"').replace("minor_digits = 2", "minor_digits = 0"))
    shell.home.mkdir()
    (shell.home / "product.toml").write_text(Path(yen).read_text())
    shell.run("card", "new", "yuki")
    shell.run("load", "yuki", "3000")
    assert "3,000 JPY" in shell.run("card", "show", "yuki").stdout
    assert "at most 2 decimals" not in shell.run("--product", yen, "load", "yuki", "1.5", code=2).stderr
    assert "none.toml" in shell.run("--product", "none.toml", "card", "new", "x", code=2).stderr


def test_traces_are_shown_and_done_again(counter: Shell) -> None:
    before, trace = str(counter.folder / "before.json"), str(counter.folder / "t.jsonl")
    counter.run("card", "image", "alice", "--out", before)
    counter.run("tap", "alice", "48", "--shop-card", "bakery", "--trace", trace)
    shown = counter.run("trace", "show", trace).stdout
    assert "customer card  COMMIT PURCHASE, key SHOP" in shown
    assert "6 APDUs, 383 bytes" in shown
    names = [line["decoded"]["command"]["name"] for line in counter.json("trace", "show", trace)["lines"] if line["event"] == "apdu"]
    assert len(names) == 6
    again = counter.json("trace", "replay", trace, "--card", before)
    assert (again["apdus"], again["skipped"], again["differences"]) == (3, 3, [])
    assert "3 APDUs, 0 different; 3 for another card left out" in counter.run("trace", "replay", trace, "--card", before).stdout
    assert "different" in counter.run("trace", "replay", trace, "--card", "alice", code=1).stdout
    assert "line 3: 8032" not in counter.run("trace", "replay", trace, "--shop-card", "bakery", code=1).stdout
    assert "6 APDUs of 1 tap, 0 different\n" in counter.run("trace", "replay", trace).stdout
    assert "line 1: JSON expected" in counter.run("trace", "show", counter.file("bad.jsonl", "{"), code=6).stderr
    counter.run("tap", "alice", "1", "--trace", trace, "--lose", "1:after", code=5)
    assert "no answer" in counter.run("trace", "show", trace).stdout


def test_apdus_are_explained(shell: Shell) -> None:
    told = shell.json("decode", "80 38 00 00 02 01 2C 03", "02 01 9C 90 00")
    assert told["command"]["fields"][0]["value"] == "300 h"
    assert [field["name"] for field in told["response"]["fields"]] == ["rank", "score"]
    assert "SELECT" in shell.run("decode", "-", text="00A4040C09F06A6F72656E01000119\n").stdout
    assert "expected" in shell.run("decode", "8038000001000003"[:12]).stdout
    assert "31323334" not in shell.run("decode", "002000810831323334FFFFFFFF").stdout


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_cards(counter: Shell, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "_JOREN_COMPLETE" in counter.run("completion", name).stdout
    monkeypatch.setenv("JOREN_HOME", str(counter.home))
    monkeypatch.setenv("COMP_WORDS", "joren tap al")
    monkeypatch.setenv("COMP_CWORD", "al" if name == "fish" else "2")
    result = CliRunner().invoke(main, [], prog_name="joren", env={"_JOREN_COMPLETE": f"{name}_complete"})
    assert "alice" in result.stdout


def commands(group: click.Group, *path: str) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name, command in group.commands.items():
        found += commands(command, *path, name) if isinstance(command, click.Group) else [((*path, name), command)]
    return found


WITHOUT_JSON = {("completion",), ("till", "openapi")}
"""What a shell reads, and what is JSON itself."""


@pytest.mark.parametrize(("path", "command"), commands(main), ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_every_command_has_help_an_example_and_json(shell: Shell, path: tuple[str, ...], command: click.Command) -> None:
    text = shell.run(*path, "--help").stdout
    assert "Example" in text
    assert "joren " + " ".join(path) in text
    assert ("--json" in text) == (path not in WITHOUT_JSON)
    secrets = [option for option in command.params if option.name and ("pin" in option.name or "key" in option.name)]
    assert all(option.name in ("pin_file", "ask_pin") for option in secrets)


def test_every_command_has_its_place_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [path for path, _ in commands(main) if f"`joren {' '.join(path)}`" not in page] == []


def test_every_error_of_the_library_has_an_exit_code() -> None:
    """A user's script never sees a traceback for what is not joren's fault."""
    from joren.commands.output import EXIT_CODES
    from joren.host import errors

    kinds = [getattr(errors, name) for name in errors.__all__ if name != "DialogError"]
    assert all(any(issubclass(kind, known) for known in EXIT_CODES) for kind in kinds)
    assert EXIT_CODES[CardLost] == 5


def test_cards_in_one_folder_are_used_by_one_command_at_a_time(counter: Shell) -> None:
    """The next one waits."""
    import fcntl
    import threading

    with (counter.home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        timer = threading.Timer(0.3, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        timer.start()
        assert "waiting for another joren" in counter.run("card", "show", "alice").stderr
        timer.join()


def test_files_of_the_till_have_no_key_and_are_for_their_owner_alone(counter: Shell) -> None:
    counter.run("tap", "alice", "5")
    assert counter.home.stat().st_mode & 0o077 == 0
    till = FileVault.load_file(counter.home / "keys.json").key("till", 1)
    journal = next((counter.home / "tills").glob("*.sqlite"))
    with closing(sqlite3.connect(journal)) as opened:
        assert len(opened.execute("SELECT * FROM sale").fetchall()) == 1
    assert till.reveal() not in journal.read_bytes()
