"""docs/readers.md, its part about readers: commands and program are run with a card and a shop card in the readers of pcscd."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner

from joren.cli import main
from joren.host.vault_file import FileVault
from joren.simulator.image import load_image
from pcsckit import PcscdKit
from test_pages import BLOCK, commands, pattern, ran

REST = "\n## The simulated card as a reader"
PAGE = (Path(__file__).parent.parent / "docs" / "readers.md").read_text(encoding="utf-8").partition(REST)[0]


@pytest.fixture
def cards(pcscd: PcscdKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """alice's card in the first reader, bakery's in the second."""
    monkeypatch.chdir(tmp_path)
    for name in ("JOREN_HOME", "JOREN_PRODUCT", "JOREN_VAULT", "JOREN_VAULT_PIN_FILE", "JOREN_CARD_WAIT"):
        monkeypatch.delenv(name, raising=False)
    CliRunner().invoke(main, ["card", "new", "alice", "--id", "00000000000A11CE"])
    CliRunner().invoke(main, ["shop", "new", "bakery"])
    storage = FileVault.load_file(Path(".joren") / "keys.json").storage
    for number, image in enumerate(("cards/alice.json", "shops/bakery.json")):
        pcscd.slot(load_image(Path(".joren") / image, storage), number).insert()


def test_the_commands_of_the_page_print_what_stands_there(cards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    for language, _, content in BLOCK.findall(PAGE):
        if language == "console":
            for command, expected in commands(content):
                lines = "".join(f"{line.rstrip()}\n" for line in ran(command, monkeypatch, []).splitlines() if line.strip())
                assert pattern(expected).fullmatch(lines), f"{command}\n{lines}"
                count += 1
    assert count == 3


def test_the_program_of_the_page_runs(cards: None) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    said = StringIO()
    with redirect_stdout(said):
        exec(compile(program, "docs/readers.md", "exec"), {})
    assert said.getvalue() == "00000000000a11ce\n"
