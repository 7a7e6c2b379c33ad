"""docs/readers.md: the commands about the virtual reader, run with a pcscd of their own, print what stands there.

As on the other pages (test_pages.py). A command that ends in "&" runs on until "kill %1"; its lines may come in another order.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from joren.commands.serve import PRIVATE
from pcsckit import PcscdKit
from test_pages import BLOCK, DOCS, commands, pattern

SECTION = "## The simulated card as a reader for any program"


class Terminal:
    """A shell in a folder of its own, which can leave a program running."""

    def __init__(self, folder: Path, kit: PcscdKit) -> None:
        here = str(Path(sys.executable).parent)
        clean = {name: value for name, value in kit.environment.items() if not name.startswith("JOREN_")}
        self.environment = {**clean, "PATH": f"{here}:{os.environ['PATH']}", PRIVATE: str(kit.pcscd.folder)}
        self.folder = folder
        self.left: subprocess.Popen[str] | None = None

    def ran(self, command: str, lines: int) -> str:
        """What it prints: all of it, or so many lines where it runs on."""
        if command == "kill %1":
            self.close()
            return ""
        if command.endswith(" &"):
            words = ["/bin/sh", "-c", f"exec {command.removesuffix(' &')}"]
            self.left = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)
            assert self.left.stdout is not None
            return "".join(sorted(self.left.stdout.readline() for _ in range(lines)))
        shell = ["/bin/sh", "-c", command]
        done = subprocess.run(shell, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def close(self) -> None:
        left, self.left = self.left, None
        if left is not None:
            left.send_signal(signal.SIGTERM)
            left.communicate(timeout=30)


@pytest.fixture
def terminal(tmp_path: Path, pcscd: PcscdKit) -> Iterator[Terminal]:
    with ExitStack() as stack:
        terminal = Terminal(tmp_path, pcscd)
        stack.callback(terminal.close)
        yield terminal


def test_the_commands_print_what_stands_there(terminal: Terminal) -> None:
    section = (DOCS / "readers.md").read_text(encoding="utf-8").partition(SECTION)[2]
    section = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = [content for language, _, content in BLOCK.findall(section) if language == "console"]
    told = [pair for content in blocks for pair in commands(content)]
    for command, expected in told:
        output = terminal.ran(command, len(expected))
        lines = "".join(f"{line.rstrip()}\n" for line in output.splitlines() if line.strip())
        assert pattern(expected).fullmatch(lines), f"{command}\n{output}"
    assert len(told) >= 15
