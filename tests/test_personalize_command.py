"""joren personalize: batches as an operator runs them, and docs/personalize.md, whose console blocks are run."""

import csv
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batchkit import CUSTOMERS, SHOPS
from joren.apdu import Command, Response, Transmit
from joren.cli import main
from joren.commands.batch_progress import Pace, Progress, time_text
from joren.commands.card_folder import FolderReader
from joren.commands.output import EXIT_CODES
from joren.host import Masters
from joren.host.production_report import BadReport
from joren.host.vault_file import FileVault
from vaultkit import softhsm

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "personalize.md").read_text(encoding="utf-8")


class Shell:
    """joren in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def run(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(self.home), *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def lines(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in self.run(*words, "--json", code=code).stdout.splitlines()]
        assert all(line["version"] == 1 for line in told)
        return told

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        return self.lines(*words, code=code)[-1]

    def file(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content, encoding="utf-8")
        return str(self.folder / name)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def blocks() -> Iterator[tuple[str, list[str]]]:
    """Each command of the page's console blocks, and the lines that follow it."""
    told: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                told.append((line[2:], []))
            else:
                told[-1][1].append(line)
    yield from told


def fits(line: str, expected: str) -> bool:
    """Whether the line is as expected, where * stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, expected.split("*"))), line.rstrip()) is not None


def test_the_operators_page_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOREN_HOME", raising=False)
    told = list(blocks())
    assert len(told) >= 9
    for command, expected in told:
        words = shlex.split(command)
        if words[0] == "cat":
            Path(words[1]).write_text("\n".join(expected) + "\n", encoding="utf-8")
            continue
        output = CliRunner().invoke(main, words[1:]).output
        lines = [line for line in output.splitlines() if not line.startswith("made development keys")]
        cut = len(expected) - 1 if expected[-1] == "..." else None
        assert len(lines[:cut]) == len(expected[:cut]), (command, output)
        assert all(map(fits, lines[:cut], expected[:cut])), (command, output)


def test_a_batch_for_machines(shell: Shell) -> None:
    csv_file = shell.file("members.csv", CUSTOMERS)
    assert shell.json("personalize", "blanks", "4")["made"] == 4
    *cards, last = shell.lines("personalize", "batch", csv_file, "--readers", "sim:2")
    made = [card for card in cards if card["verdict"] == "issued"]
    assert {card["card"]["member"] for card in made} == {"alice", "bob", "carol"}
    assert all((card["format"], card["found"], card["card"]["state"]) == ("joren-personalize-card", "blank", "issued") for card in made)
    assert last["counts"] == {"rows": 3, "bad_rows": 0, "waiting": 0, "assigned": 0, "issued": 3, "rejected": 0, "resumed": 0}
    (found,) = shell.json("personalize", "find", "--id", made[0]["card"]["id"])["cards"]
    assert found == made[0]["card"]
    assert shell.json("personalize", "find", "--chip", made[0]["chip"])["cards"] == [found]
    assert shell.json("personalize", "find", "--member", "nobody")["cards"] == []
    assert "none" in shell.run("personalize", "find", "--member", "nobody").stdout
    (status,) = shell.json("personalize", "status")["batches"]
    assert (status["batch"], status["issued"], status["waiting"]) == ("members", 3, 0)
    assert shell.lines("personalize", "batch", csv_file)[-1]["counts"] == last["counts"]
    report = shell.json("personalize", "verify", last["report"])
    assert (report["batch"], report["counts"]["issued"], report["key_given"]) == ("members", 3, False)
    assert shell.json("card", "show", "alice")["card_id"] in {card["card"]["id"] for card in made}


def test_shop_cards_sell(shell: Shell) -> None:
    shell.run("personalize", "blanks", "2", "--shop")
    shell.run("personalize", "batch", shell.file("shops.csv", SHOPS), "--readers", "sim:1")
    shop = shell.json("shop", "show", "shop-7-1")
    assert (shop["shop"], shop["terminal"], shop["points_left"], shop["money_left_minor"]) == (7, 1, 500, 2050)
    shell.run("card", "new", "alice")
    assert shell.json("tap", "alice", "10", "--shop-card", "shop-7-2")["kind"] == "purchase"


def test_more_rows_than_cards_and_then_more_cards(shell: Shell) -> None:
    csv_file = shell.file("members.csv", CUSTOMERS)
    shell.run("personalize", "blanks", "1")
    told = shell.run("personalize", "batch", csv_file, code=1).stdout
    assert "batch members: 1 of 3 issued" in told
    assert "2 rows wait for cards: the same command again goes on" in told
    shell.run("personalize", "blanks", "2")
    assert "3 of 3 issued" in shell.run("personalize", "batch", csv_file, "--readers", "sim:3").stdout


def test_bad_rows_are_left_out_on_demand_and_go_to_the_rejects(shell: Shell) -> None:
    csv_file = shell.file("members.csv", CUSTOMERS + "alice,Twice\n")
    shell.run("personalize", "blanks", "3")
    assert shell.json("personalize", "batch", csv_file, code=2)["message"].splitlines()[1].startswith("row 5, column member: 'alice'")
    assert list((shell.home / "cards").glob("*")) == []
    told = shell.run("personalize", "batch", csv_file, "--skip-bad-rows").stdout
    assert "bad rows left out: 1, in" in told
    (bad,) = csv.DictReader((shell.home / "members.rejects.csv").read_text().splitlines())
    assert (bad["row"], bad["column"], bad["reason"]) == ("5", "member", "'alice' stands in row 2 already")


def test_cards_of_another_issuer_stop_the_line(shell: Shell) -> None:
    csv_file, blanks = shell.file("members.csv", CUSTOMERS), str(shell.folder / "box")
    shell.run("personalize", "blanks", "6", "--cards", blanks)
    before = json.loads((shell.home / "keys.json").read_text())
    FileVault.create_file(shell.folder / "other.json")
    other = json.loads((shell.folder / "other.json").read_text())
    (shell.home / "keys.json").write_text(json.dumps(other | {"storage": before["storage"]}))
    told = shell.run("personalize", "batch", csv_file, "--cards", blanks, "--stop-after", "2", code=1).stdout
    assert "stopped: 2 failures in a row, the last one: " in told
    assert "0 of 3 issued, 2 cards rejected" in told
    assert len((shell.home / "members.rejects.csv").read_text().splitlines()) == 3
    (shell.home / "keys.json").write_text(json.dumps(before))
    cards = shell.lines("personalize", "batch", csv_file, "--cards", blanks)
    assert [card["verdict"] for card in cards[:-1]] == ["scrap", "scrap", "issued", "issued", "issued"]
    assert {card["card"]["id"][-1] for card in cards[2:-1]} == {"3", "4", "5"}


KILL = """
import os, signal, sys
from joren.apdu import Command, Response, Transmit
from joren.cli import main
from joren.commands.card_folder import FolderReader
wait, seen = FolderReader.wait_card, [0]
def waiting(self, stopped):
    link = wait(self, stopped)
    def transmit(command):
        seen[0] += 1
        if seen[0] == 33:
            os.kill(os.getpid(), signal.SIGKILL)
        return link(command)
    return None if link is None else transmit
FolderReader.wait_card = waiting
main(sys.argv[1:])
"""


def killed(shell: Shell, csv_file: str) -> None:
    """A batch that dies at the 33rd APDU, with its first card made and its second half-made."""
    command = [sys.executable, "-c", KILL, "--home", str(shell.home), "personalize", "batch", csv_file]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -9


def test_a_batch_that_was_killed_goes_on(shell: Shell) -> None:
    csv_file = shell.file("members.csv", CUSTOMERS)
    shell.run("personalize", "blanks", "3")
    killed(shell, csv_file)
    status = shell.run("personalize", "status").stdout
    assert re.search(r"half-made: bob, row 3 of batch members: assigned, id 4A4F000100000002, chip [0-9A-F]{24}", status)
    told = shell.run("personalize", "batch", csv_file, "--readers", "sim:2").stdout
    assert re.search(r"sim-.: bob, chip [0-9A-F]{24}: finished, it was half-made", told)
    assert "3 of 3 issued, 0 cards rejected" in told


def test_a_half_made_card_that_is_lost_is_scrapped(shell: Shell) -> None:
    csv_file = shell.file("members.csv", CUSTOMERS)
    shell.run("personalize", "blanks", "3")
    killed(shell, csv_file)
    (card,) = shell.json("personalize", "status")["half_made"]
    image = shell.home / "blanks" / f"{card['chip']}.json"
    image.rename(shell.folder / "lost.json")
    told = shell.run("personalize", "batch", csv_file, code=5).stdout
    assert f"put this card in again, or scrap it: joren personalize scrap {card['chip']}" in told
    assert "scrap: bob" in shell.run("personalize", "scrap", card["chip"]).stdout
    assert "one that is half-made expected" in shell.run("personalize", "scrap", card["chip"], code=2).stderr
    (shell.folder / "lost.json").rename(image)
    shell.run("personalize", "blanks", "1")
    told = shell.run("personalize", "batch", csv_file).stdout
    assert "scrap: scrapped by the operator" in told or "3 of 3 issued, 1 cards rejected" in told
    assert [entry["id"][-1] for entry in shell.json("personalize", "find", "--member", "bob")["cards"]] == ["4", "2"]


def test_a_product_with_pins(shell: Shell) -> None:
    text = (ROOT / "examples" / "product.toml").read_text(encoding="utf-8").replace('pin = "none"', 'pin = "letter"')
    product, csv_file = shell.file("gold.toml", text), shell.file("members.csv", CUSTOMERS)
    shell.run("personalize", "blanks", "3")
    shell.run("personalize", "batch", csv_file, "--product", product)
    letters = shell.folder / "letters.csv"
    told = shell.json("--product", product, "personalize", "letters", "members", "--out", str(letters))
    assert told["letters"] == 3
    rows = list(csv.DictReader(letters.read_text(encoding="utf-8").splitlines()[1:]))
    pins = shell.file("pin", rows[0]["pin"] + "\n")
    assert shell.json("card", "show", rows[0]["member"], "--pin-file", pins)["card_id"] == rows[0]["card_id"]
    assert "these have no PIN" in shell.run("personalize", "letters", "members", "--out", str(letters), code=2).stderr


def test_two_batches_at_once(shell: Shell) -> None:
    """One journal has one writer, a folder of cards one user; each is told who has it."""
    import fcntl

    csv_file = shell.file("members.csv", CUSTOMERS)
    shell.run("personalize", "blanks", "3")
    (shell.home / "personalize.sqlite.lock").write_text("process 7, since then\n")
    for name, words, code in (
        ("personalize.sqlite.lock", "in use by process 7, since then; wait for its end, or stop it", 6),
        ("blanks/lock", "another joren takes cards from it", 2),
    ):
        with (shell.home / name).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert words in shell.run("personalize", "batch", csv_file, code=code).stderr
    shell.run("personalize", "batch", csv_file)


WRONG = [
    (["personalize", "batch", "none.csv"], 2, "CSV none.csv: No such file"),
    (["personalize", "batch", "CSV", "--readers", "sim:0"], 2, "sim:N, N in 1..64, or pcsc:PATTERN,... expected, 'sim:0' came"),
    (["personalize", "batch", "CSV", "--cards", "none"], 2, "cards none: no such folder; joren personalize blanks makes blank cards"),
    (["personalize", "status"], 6, "no such file; joren personalize batch makes it"),
    (["personalize", "find"], 2, "--member, --id or --chip: one of them expected"),
    (["personalize", "find", "--id", "zz"], 6, "no such file"),
    (["personalize", "scrap", "00"], 2, "CHIP: 12 bytes in hexadecimal expected, 1 bytes came"),
    (["personalize", "verify", "CSV"], 6, "JSON expected, something else came"),
    (["personalize", "verify", "none"], 2, "report none: No such file"),
]


@pytest.mark.parametrize(("words", "code", "message"), WRONG)
def test_a_wrong_argument(shell: Shell, words: list[str], code: int, message: str) -> None:
    csv_file = shell.file("members.csv", CUSTOMERS)
    shell.home.mkdir()
    assert message in shell.run(*(csv_file if word == "CSV" else word for word in words), code=code).stderr
    assert EXIT_CODES[BadReport] == 6


def test_keys_that_are_missing_are_missed_before_anything_is_taken_in(shell: Shell) -> None:
    csv_file = shell.file("members.csv", CUSTOMERS)
    text = (ROOT / "examples" / "product.toml").read_text(encoding="utf-8").replace('manager = "manager"', 'manager = "gp-master"')
    shell.run("personalize", "blanks", "1")
    assert "gp-master" in shell.run("personalize", "batch", csv_file, "--product", shell.file("p.toml", text), code=2).stderr
    assert not (shell.home / "personalize.sqlite").exists()


def test_a_batch_with_keys_in_a_security_module(shell: Shell) -> None:
    """Two readers; the report is signed inside. With a wrong PIN nothing is taken in."""
    csv_file = shell.file("members.csv", CUSTOMERS)
    with softhsm(shell.folder / "hsm") as uri:
        vault = ["--vault", str(uri)]
        shell.run(*vault, "keys", "generate", "all")
        shell.run(*vault, "personalize", "blanks", "3")
        wrong = shell.file("wrong-pin", "000000\n")
        Path(wrong).chmod(0o600)
        told = shell.run(*vault, "--vault-pin-file", wrong, "personalize", "batch", csv_file, code=6).stderr
        assert "PIN" in told
        assert not (shell.home / "personalize.sqlite").exists()
        told = shell.run(*vault, "personalize", "batch", csv_file, "--readers", "sim:2").stdout
        assert "3 of 3 issued, 0 cards rejected" in told
        assert shell.json("personalize", "verify", str(shell.home / "members.report.json"))["counts"]["issued"] == 3


def test_a_token_that_is_taken_away_in_the_middle_of_a_batch(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line stops, no card is rejected for it, rejects are written; once the token is back the same command ends the batch."""
    csv_file = shell.file("members.csv", CUSTOMERS)
    with softhsm(shell.folder / "hsm") as uri:
        vault = ["--vault", str(uri)]
        shell.run(*vault, "keys", "generate", "all")
        shell.run(*vault, "personalize", "blanks", "3")
        (token,) = (shell.folder / "hsm").rglob("token.object")
        seen, wait = [0], FolderReader.wait_card

        def waiting(self: FolderReader, stopped: Callable[[], bool]) -> Transmit | None:
            link = wait(self, stopped)

            def transmit(command: Command) -> Response:
                seen[0] += 1
                if seen[0] == 30:
                    token.parent.rename(shell.folder / "away")
                assert link is not None
                return link(command)

            return None if link is None else transmit

        monkeypatch.setattr(FolderReader, "wait_card", waiting)
        told = shell.run(*vault, "personalize", "batch", csv_file, code=6).stderr
        assert "no card was rejected for it, the same command again goes on with the batch" in told
        assert len((shell.home / "members.rejects.csv").read_text().splitlines()) == 1
        (shell.folder / "away").rename(token.parent)
        last = shell.lines(*vault, "personalize", "batch", csv_file, "--readers", "sim:2")[-1]
        assert last["counts"] == {"rows": 3, "bad_rows": 0, "waiting": 0, "assigned": 0, "issued": 3, "rejected": 0, "resumed": 1}


def test_the_key_file_is_read_by_no_batch_output(shell: Shell) -> None:
    """No key in journal, report, rejects or JSON; the canary of every test looks for all others too."""
    csv_file = shell.file("members.csv", CUSTOMERS)
    shell.run("personalize", "blanks", "3")
    said = shell.run("personalize", "batch", csv_file, "--json").output
    vault = FileVault.load_file(shell.home / "keys.json")
    masters = Masters(vault)
    secrets = [masters.manager_keys(bytes(10)).enc.reveal(), vault.key("till", 1).reveal(), masters.group_master("till", 1).reveal()]
    for path in shell.home.glob("*.*"):
        if path.name != "keys.json":
            raw = path.read_bytes()
            assert [secret for secret in secrets if secret in raw or secret.hex().encode() in raw.lower()] == []
    assert [secret for secret in secrets if secret.hex() in said.lower()] == []


def test_the_pace_is_that_of_the_last_ten_seconds() -> None:
    time = [0.0]
    pace = Pace(lambda: time[0])
    assert (pace.per_second, pace.remaining_s(5)) == (0.0, None)
    for second in range(1, 31):
        time[0] = float(second)
        pace.note(second * 2 if second <= 15 else 30 + (second - 15) * 4)
    assert pace.per_second == pytest.approx(4.0, rel=0.1)
    assert pace.remaining_s(8) == pytest.approx(2.0, rel=0.1)
    assert len(pace._samples) < 15
    assert [time_text(seconds) for seconds in (None, 0, 61, 3_725.4)] == ["-", "0:00:00", "0:01:01", "1:02:05"]


def test_progress_without_a_terminal_is_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    time = [0.0]
    monkeypatch.setattr("joren.commands.batch_progress.monotonic", lambda: time[0])
    with Progress("members", 100) as progress:
        for second in range(25):
            time[0] = float(second)
            progress.step()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "members 11 of 100, failed 0, " in lines[0]
