"""scripts/system_parts.py, by which ./run test gets its system packages: installed as root on Debian, asked for elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import system_parts
from joren.host.softhsm import MODULES
from system_parts import INSTALL, UPDATE, Part, files, programs

ROOT = Path(__file__).resolve().parent.parent


class Machine:
    """One without two parts, until apt-get has done what makes them come."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, root: bool = True, apt: bool = True) -> None:
        self.first, self.second, self.lists = folder / "first.so", folder / "second", folder / "lists"
        self.lists.mkdir()
        self.ran: list[tuple[str, ...]] = []
        self.in_lists = True
        parts = (
            Part("First", "the one thing", files("/nowhere/first.so", str(self.first)), ("first", "first-dev"), "first-devel"),
            Part("Second", "the other", files(str(self.second)), ("second",), "second"),
        )
        monkeypatch.setattr(system_parts, "PARTS", parts)
        monkeypatch.setattr(system_parts, "LISTS", self.lists)
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if apt else None)
        monkeypatch.setattr(subprocess, "run", self.run)

    def run(self, command: tuple[str, ...], **_how: object) -> subprocess.CompletedProcess[str]:
        self.ran.append(command)
        if command == UPDATE:
            (self.lists / "main_Packages").touch()
            self.in_lists = True
        elif not self.in_lists:
            return subprocess.CompletedProcess(command, 100, "E: Unable to locate package first\n")
        if "first" in command:
            self.first.touch()
        if "second" in command:
            self.second.touch()
        return subprocess.CompletedProcess(command, 0, "")


BOTH = (*INSTALL, "first", "first-dev", "second")


def test_both_know_the_same_places() -> None:
    assert system_parts.MODULES == MODULES


def test_every_part_is_looked_for_and_has_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tests run all parts are there; in an empty world none of the programs is."""
    assert system_parts.missing() == []
    assert all(part.debian and part.fedora and part.purpose for part in system_parts.PARTS)
    monkeypatch.setattr(shutil, "which", lambda _name, path=None: None)
    assert not programs("sh")()
    assert not system_parts.can_build()
    assert not files(str(tmp_path))()


def test_what_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    machine.first.touch()
    machine.second.touch()
    assert (system_parts.main(), machine.ran) == (0, [])


def test_only_what_is_missing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    machine.first.touch()
    (machine.lists / "main_Packages").touch()
    assert (system_parts.main(), machine.ran) == (0, [(*INSTALL, "second")])


@pytest.mark.parametrize(
    ("lists", "found", "expected"),
    [
        (True, True, [BOTH]),
        (False, False, [UPDATE, BOTH]),
        (True, False, [BOTH, UPDATE, BOTH]),
    ],
)
def test_root_on_debian_gets_it_and_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lists: bool,
    found: bool,
    expected: list[tuple[str]],
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    machine.in_lists = found
    if lists:
        (machine.lists / "main_Packages").touch()
    assert (system_parts.main(), machine.ran) == (0, expected)
    said = capsys.readouterr().err
    assert "run: installing for the tests: apt-get install -y --no-install-recommends first first-dev second" in said


@pytest.mark.parametrize("machine", [{"root": False}, {"apt": False}])
def test_others_are_told_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], machine: dict[str, bool]
) -> None:
    made = Machine(tmp_path, monkeypatch, **machine)
    assert (system_parts.main(), made.ran) == (1, [])
    said = capsys.readouterr().err
    assert said.startswith(
        "run: the tests need parts of the system that are not here; nothing was made:\n  First, the one thing\n  Second, the other\n"
    )
    assert "sudo apt-get install -y --no-install-recommends first first-dev second\n" in said
    assert "sudo dnf install first-devel second\n" in said


def test_an_installation_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Machine(tmp_path, monkeypatch)
    monkeypatch.setattr(subprocess, "run", lambda command, **_how: subprocess.CompletedProcess(command, 100, "E: no network\n"))
    assert system_parts.main() == 1
    said = capsys.readouterr().err
    assert "run: E: no network" in said
    assert "  First, the one thing" in said


@pytest.mark.parametrize("words", [["test"], ["test", "-q", "tests/test_tlv.py"]])
def test_run_test_ends_before_anything_is_made(tmp_path: Path, words: list[str]) -> None:
    """./run itself, on a machine that has no parts and no apt-get to install them with."""
    copy, tools = tmp_path / "check out", tmp_path / "tools"
    copy.mkdir()
    tools.mkdir()
    for name in ("run", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "scripts", copy / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    script = copy / "scripts" / "system_parts.py"
    script.write_text(script.read_text().replace('"/usr/', '"/nowhere/').replace('"/opt/', '"/nowhere/'))
    for name in ("sh", "dirname"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    (tools / "python3").write_text(f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" "$@"\n')
    (tools / "python3").chmod(0o755)
    outcome = subprocess.run([copy / "run", *words], env={"PATH": str(tools)}, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(
        "run: the tests need parts of the system that are not here; nothing was made:\n  SoftHSM2, the security module\n"
    )
    assert sorted(path.name for path in copy.iterdir()) == ["pyproject.toml", "run", "scripts"]
