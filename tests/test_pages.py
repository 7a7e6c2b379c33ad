"""Pages of docs/ whose commands are run, in order, in an empty folder: they print what stands there.

A block ```console has commands after "$ " and what they print. In it "..." stands for any lines where it is alone, and for any text within
a line. A block with a file name behind its language is that file. What a command tells on the side (stderr) is not shown in the pages.
`joren ... &` goes on in a process of its own, until `kill %1`; of what it prints the first line stands in the page.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from joren.cli import main

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ["admin.md", "conformance.md", "guide-issuer.md", "kiosk.md", "till-service.md", "traces.md"]
BLOCK = re.compile(r"^```(\w+)(?: ([\w.-]+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each command, and the lines that follow it."""
    for part in block.split("\n$ "):
        first, *expected = part.removeprefix("$ ").rstrip("\n").split("\n")
        yield first, [line for line in expected if line]


def pattern(expected: list[str]) -> re.Pattern[str]:
    """What the lines stand for."""
    lines = [
        r"(?:[^\n]*\n)*" if line.strip() == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", "[^\n]*") + r"[ ]*\n"
        for line in expected
    ]
    return re.compile("".join(lines))


def ran(command: str, monkeypatch: pytest.MonkeyPatch, jobs: list[subprocess.Popen[str]] | None = None) -> str:
    """What a command prints on its standard output. `export NAME=$(joren ...)` sets NAME; other programs are the shell's."""
    exported = re.fullmatch(r"export (\w+)=\$\((.*)\)", command)
    if exported:
        monkeypatch.setenv(exported[1], ran(exported[2], monkeypatch, jobs).strip())
        return ""
    words = shlex.split(command)
    if jobs is not None and words[0] == "joren" and words[-1] == "&":
        job = subprocess.Popen([sys.executable, "-m", "joren.cli", *words[1:-1]], stdout=subprocess.PIPE, text=True)
        jobs.append(job)
        assert job.stdout is not None
        return job.stdout.readline()
    if jobs and command == "kill %1":
        jobs[0].terminate()
        assert jobs[0].wait(30) == 0
        return ""
    if words[0] == "joren":
        result = CliRunner().invoke(main, words[1:])
        assert result.exit_code == 0, (command, result.output)
        return result.stdout
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def jobs() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that a page started; none outlives its test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for job in started:
        job.kill()
        job.communicate()


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_print_what_stands_there(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: list[subprocess.Popen[str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("JOREN_HOME", "JOREN_PRODUCT", "JOREN_VAULT", "JOREN_VAULT_PIN_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "examples").symlink_to(DOCS.parent / "examples")
    count = 0
    for language, file, content in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if file:
            (tmp_path / file).write_text(content, encoding="utf-8")
        elif language == "console":
            for command, expected in commands(content):
                output = ran(command, monkeypatch, jobs)
                lines = "".join(f"{line.rstrip()}\n" for line in output.splitlines() if line.strip())
                assert pattern(expected).fullmatch(lines), f"{page}: {command}\n{output}"
                count += 1
    assert count >= 5
