"""The script ./run and the environment it makes, without the network: what they refuse, and that nothing half-made is taken for good."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import bootstrap
import fetch_pip
import system_parts

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what ./run needs, in a folder with a space in its name."""
    copy = tmp_path / "a check out"
    copy.mkdir()
    for name in ("run", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "scripts", copy / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for pip, and tells what it was asked to install."""
    requirements: list[str] = []
    monkeypatch.setattr(fetch_pip, "install", lambda folder, say: None)
    monkeypatch.setattr(bootstrap, "pip_install", lambda root, requirement: requirements.append(requirement))
    monkeypatch.setattr(bootstrap, "run_in", lambda root, *command: subprocess.CompletedProcess(command, 0, ""))
    monkeypatch.setattr(system_parts, "can_build", lambda: False)
    return requirements


def run(checkout: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "run", *arguments],
        cwd="/",
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",), ("help",)])
def test_help_names_every_command_and_sets_nothing_up(checkout: Path, arguments: tuple[str, ...]) -> None:
    outcome = run(checkout, *arguments)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    named = {line.split()[0] for line in outcome.stdout.splitlines() if line.startswith("  ")}
    assert named == {"demo", "joren", "bench", "differ", "test", "lint", "setup"}
    assert not (checkout / ".venv").exists()


def test_an_unknown_command_is_refused(checkout: Path) -> None:
    outcome = run(checkout, "tset")
    assert outcome.returncode == 2
    assert outcome.stderr.startswith('run: no command "tset"\n')


@pytest.mark.parametrize(("answer", "shown"), [("echo Python 3.9.2; exit 1", "Python 3.9.2"), ("exit 1", "missing")])
def test_a_system_without_a_new_enough_python_is_told_how_to_get_one(checkout: Path, tmp_path: Path, answer: str, shown: str) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    (tools / "python3").write_text(f'#!/bin/sh\n[ "$1" = --version ] || exit 1\n{answer}\n')
    (tools / "python3").chmod(0o755)
    outcome = run(checkout, "joren", PATH=str(tools))
    assert outcome.returncode == 1
    assert "Python 3.11 or newer is needed" in outcome.stderr
    assert shown in outcome.stderr
    assert "apt install python3" in outcome.stderr


def test_without_an_index_nothing_half_made_is_left(checkout: Path) -> None:
    outcome = run(checkout, "setup", PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0", no_proxy="*")
    assert outcome.returncode == 1
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr.startswith("run: setting up .venv")
    assert not (checkout / ".venv").exists()
    assert not (checkout / "build" / "discarded").exists()


def test_an_environment_is_made_once_and_grows(checkout: Path, installed: list[str]) -> None:
    for wanted in ("run", "run", "dev", "dev", "run"):
        bootstrap.ensure(checkout, wanted)
    assert installed == [".", ".[dev]"]
    answer = subprocess.run(
        [checkout / ".venv" / "bin" / "python", "-c", "import sys; print(sys.prefix, sys.base_prefix, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines() == [str(checkout / ".venv"), sys.base_prefix]


def test_another_pyproject_or_another_place_makes_it_anew(checkout: Path, installed: list[str]) -> None:
    bootstrap.ensure(checkout, "dev")
    (checkout / ".venv" / "old").touch()
    with (checkout / "pyproject.toml").open("a") as pyproject:
        pyproject.write("# changed\n")
    bootstrap.ensure(checkout, "dev")
    assert not (checkout / ".venv" / "old").exists()
    moved = checkout.rename(checkout.with_name("moved"))
    bootstrap.ensure(moved, "dev")
    assert installed == [".[dev]"] * 3


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Path, installed: list[str]) -> None:
    bootstrap.ensure(checkout, "run")
    (checkout / ".venv" / "bin" / "python").unlink()
    bootstrap.ensure(checkout, "run")
    assert installed == ["."] * 2


@pytest.mark.parametrize("blow", [KeyboardInterrupt(), bootstrap.SetupFailed("no network"), OSError("disk full")])
@pytest.mark.parametrize("before", [[], ["run"]])
def test_a_failure_leaves_nothing(
    checkout: Path, installed: list[str], monkeypatch: pytest.MonkeyPatch, blow: BaseException, before: list[str]
) -> None:
    for wanted in before:
        bootstrap.ensure(checkout, wanted)

    def fail(root: Path, requirement: str) -> None:
        raise blow

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "pip_install", fail)
        with pytest.raises(type(blow)):
            bootstrap.ensure(checkout, "dev")
    assert not (checkout / ".venv").exists()
    bootstrap.ensure(checkout, "dev")
    assert installed[-1] == ".[dev]"


@pytest.mark.parametrize(("status", "said"), [(0, ""), (1, "the tests with yubikit will be skipped: ERROR: no such package")])
def test_yubikit_comes_with_the_tools_or_is_done_without(
    checkout: Path, installed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, said: str
) -> None:
    asked: list[tuple[str, ...]] = []

    def answer(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, status, "looking\nERROR: no such package\n")

    monkeypatch.setattr(bootstrap, "run_in", answer)
    bootstrap.ensure(checkout, "run")
    assert asked == []
    bootstrap.ensure(checkout, "dev")
    assert [(command[:2], command[-2:]) for command in asked] == [(("pip", "install"), ("--no-deps", bootstrap.YUBIKIT))]
    assert said in capsys.readouterr().err
    assert installed == [".", ".[dev]"]
    assert bootstrap.fits(checkout, "dev")


@pytest.mark.parametrize(("status", "said"), [(0, ""), (1, "the tests with readers will fail: ERROR: no winscard.h")])
def test_pyscard_is_built_once_where_it_can_be(
    checkout: Path, installed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, said: str
) -> None:
    """Also for an environment that was made before there was a compiler."""
    asked: list[str] = []

    def answer(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
        asked.append(command[-1])
        if command[-1] == bootstrap.PYSCARD and status == 0:
            package = root / ".venv" / "lib" / "python3.11" / "site-packages" / "smartcard"
            package.mkdir(parents=True)
            (package / "__init__.py").touch()
        return subprocess.CompletedProcess(command, status, "building\nERROR: no winscard.h\n")

    bootstrap.ensure(checkout, "dev")
    monkeypatch.setattr(bootstrap, "run_in", answer)
    bootstrap.ensure(checkout, "dev")
    assert asked == []
    monkeypatch.setattr(system_parts, "can_build", lambda: True)
    bootstrap.ensure(checkout, "run")
    assert asked == []
    for _ in range(2):
        bootstrap.ensure(checkout, "dev")
    assert asked == [bootstrap.PYSCARD] * (1 + status)
    assert said in capsys.readouterr().err
    assert bootstrap.fits(checkout, "dev")


def test_what_a_killed_run_left_is_never_taken_for_good(checkout: Path, installed: list[str]) -> None:
    bootstrap.lay_out(checkout)
    bootstrap.ensure(checkout, "run")
    assert installed == ["."]
    (checkout / ".venv").rename(checkout / "build" / "discarded")
    (checkout / ".venv").mkdir()
    bootstrap.ensure(checkout, "run")
    assert installed == [".", "."]
    assert not (checkout / "build" / "discarded").exists()


def test_an_environment_of_someone_else_is_left_alone(checkout: Path, installed: list[str]) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    with pytest.raises(bootstrap.SetupFailed, match="was not made by"):
        bootstrap.ensure(checkout, "run")
    assert (checkout / ".venv" / "pyvenv.cfg").read_text() == "home = /usr/bin\n"
    assert installed == []


def test_two_at_once_make_it_once(checkout: Path, installed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(root: Path, requirement: str) -> None:
        time.sleep(0.2)
        installed.append(requirement)

    monkeypatch.setattr(bootstrap, "pip_install", slow)
    threads = [threading.Thread(target=bootstrap.ensure, args=(checkout, "run")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert installed == ["."]


def test_checkers_see_the_rooms_as_one_package(checkout: Path, installed: list[str]) -> None:
    (checkout / "apdu").mkdir()
    (checkout / "apdu" / "__init__.py").touch()
    (checkout / "py.typed").touch()
    view = checkout / "build" / "typed" / "joren"
    bootstrap.ensure(checkout, "run")
    assert not view.exists()
    for _ in range(2):
        bootstrap.ensure(checkout, "dev")
    assert {link.name for link in view.iterdir()} == {"apdu", "cli.py", "py.typed"}
    assert (view / "apdu").resolve() == checkout / "apdu"
