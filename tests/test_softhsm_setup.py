"""scripts/softhsm.py, by which ./run test gets SoftHSM2: installed as root on Debian, asked for elsewhere, and before anything is made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import softhsm
from joren.host.softhsm import MODULES

ROOT = Path(__file__).resolve().parent.parent


class Machine:
    """One without SoftHSM2, until apt-get has done what makes it come."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, root: bool = True, apt: bool = True) -> None:
        self.module, self.lists = folder / "libsofthsm2.so", folder / "lists"
        self.lists.mkdir()
        self.ran: list[tuple[str, ...]] = []
        self.in_lists = True
        monkeypatch.setattr(softhsm, "MODULES", (str(self.module),))
        monkeypatch.setattr(softhsm, "LISTS", self.lists)
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if apt else None)
        monkeypatch.setattr(subprocess, "run", self.run)

    def run(self, command: tuple[str, ...], **_how: object) -> subprocess.CompletedProcess[str]:
        self.ran.append(command)
        if command == softhsm.UPDATE:
            (self.lists / "main_Packages").touch()
            self.in_lists = True
        elif self.in_lists:
            self.module.touch()
        else:
            return subprocess.CompletedProcess(command, 100, "E: Unable to locate package softhsm2\n")
        return subprocess.CompletedProcess(command, 0, "")


def test_both_know_the_same_places() -> None:
    assert softhsm.MODULES == MODULES


def test_what_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    machine.module.touch()
    assert (softhsm.main(), machine.ran) == (0, [])


@pytest.mark.parametrize(
    ("lists", "found", "expected"),
    [
        (True, True, [softhsm.INSTALL]),
        (False, False, [softhsm.UPDATE, softhsm.INSTALL]),
        (True, False, [softhsm.INSTALL, softhsm.UPDATE, softhsm.INSTALL]),
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
    assert (softhsm.main(), machine.ran) == (0, expected)
    said = capsys.readouterr().err
    assert "run: installing SoftHSM2 for the tests: apt-get install -y --no-install-recommends softhsm2" in said


@pytest.mark.parametrize("machine", [{"root": False}, {"apt": False}])
def test_others_are_told_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], machine: dict[str, bool]
) -> None:
    made = Machine(tmp_path, monkeypatch, **machine)
    assert (softhsm.main(), made.ran) == (1, [])
    said = capsys.readouterr().err
    assert said.startswith("run: SoftHSM2 is needed, the security module that the tests work with; nothing was made.")
    assert "sudo apt-get install -y --no-install-recommends softhsm2" in said


def test_an_installation_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Machine(tmp_path, monkeypatch)
    monkeypatch.setattr(subprocess, "run", lambda command, **_how: subprocess.CompletedProcess(command, 100, "E: no network\n"))
    assert softhsm.main() == 1
    said = capsys.readouterr().err
    assert "run: E: no network" in said
    assert "SoftHSM2 is needed" in said


@pytest.mark.parametrize("words", [["test"], ["test", "-q", "tests/test_tlv.py"]])
def test_run_test_ends_before_anything_is_made(tmp_path: Path, words: list[str]) -> None:
    """./run itself, on a machine that has no SoftHSM2 and no apt-get to install it with."""
    copy, tools = tmp_path / "check out", tmp_path / "tools"
    copy.mkdir()
    tools.mkdir()
    for name in ("run", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "scripts", copy / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    script = copy / "scripts" / "softhsm.py"
    script.write_text(script.read_text().replace('"/usr/', '"/nowhere/').replace('"/opt/', '"/nowhere/'))
    for name in ("sh", "dirname"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    (tools / "python3").write_text(f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" "$@"\n')
    (tools / "python3").chmod(0o755)
    outcome = subprocess.run([copy / "run", *words], env={"PATH": str(tools)}, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("run: SoftHSM2 is needed")
    assert sorted(path.name for path in copy.iterdir()) == ["pyproject.toml", "run", "scripts"]
