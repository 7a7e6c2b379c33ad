"""Every status word has a name, a meaning and advice; the specification's table and the code have the same ones."""

import re
from pathlib import Path

import pytest

from joren.apdu import SW, describe

COMMON = Path(__file__).resolve().parent.parent / "docs" / "spec" / "common.md"
TRANSPORT = {"SECURE_MESSAGING_NOT_SUPPORTED", "NOT_ENOUGH_MEMORY"}


@pytest.mark.parametrize("sw", list(SW))
def test_every_status_word_is_explained(sw: SW) -> None:
    status = describe(sw)
    assert status.name == sw.name
    assert status.meaning
    assert status.advice
    assert "{" not in status.meaning + status.advice
    assert str(status).startswith(f"{sw:04X} {sw.name}: ")


@pytest.mark.parametrize(
    ("sw", "name", "text"),
    [
        (0x63C0, "VERIFY_FAILED", "0 tries"),
        (0x63C2, "VERIFY_FAILED", "2 tries"),
        (0x6C20, "WRONG_LE", "32 bytes"),
        (0x6C00, "WRONG_LE", "256 bytes"),
        (0x6119, "RESPONSE_AVAILABLE", "25 bytes"),
        (0x63D0, "UNKNOWN", "does not have"),
        (0x1234, "UNKNOWN", "does not have"),
    ],
)
def test_families_and_strangers(sw: int, name: str, text: str) -> None:
    assert describe(sw).name == name
    assert text in describe(sw).meaning


def test_specification_and_code_have_the_same_status_words() -> None:
    text = COMMON.read_text(encoding="utf-8").split("## Status words", 1)[1]
    written = {name: code for code, name in re.findall(r"^\| ([0-9A-FX]{4}) \| ([A-Z0-9_]+) \|", text, re.MULTILINE)}
    coded = {sw.name: f"{sw:04X}" for sw in SW if sw.name not in TRANSPORT}
    coded |= {"RESPONSE_AVAILABLE": "61XX", "VERIFY_FAILED": "63CX", "WRONG_LE": "6CXX"}
    assert written == coded
