"""The report on the coverage of the Java Card applets."""

from pathlib import Path

import pytest

import javacard_coverage
import javakit

TOLD = [
    "class joren/One 20 1 30 0",
    "missed joren/One 12 1",
    "missed joren/One 14 0",
    "class joren/Two 30 0 10 0",
    "class joren/None 0 0 0 0",
]


def test_classes_lines_and_the_share_of_all_branches() -> None:
    told, share = javacard_coverage.report(TOLD)
    assert share == 98.0
    assert told[0].split() == ["joren/One", "20", "branches", "95.0", "%", "lines", "12"]
    assert told[1:] == [f"{'package joren':28} {50:>5} branches {98.0:6.1f} %"]


def test_what_was_not_measured_is_not_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    javakit.built()
    monkeypatch.setattr(javacard_coverage, "FOLDER", tmp_path / "coverage")
    assert javacard_coverage.main(["clear"]) == 0
    (tmp_path / "coverage" / "1-0.exec").touch()
    assert javacard_coverage.main(["report"]) == 1
    assert "95 % of the branches expected, 0.0 % were taken" in capsys.readouterr().err
    assert javacard_coverage.main(["clear"]) == 0
    assert list((tmp_path / "coverage").iterdir()) == []
