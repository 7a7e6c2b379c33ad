"""README.md says what is: its commands are run, and print what stands there."""

import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from joren.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CONTRIBUTING.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def transcript() -> list[tuple[str, list[str]]]:
    """Each command of the console blocks, and the lines that follow it."""
    told: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                told.append((line[2:], []))
            else:
                told[-1][1].append(line)
    return told


def test_the_tour_prints_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOREN_HOME", raising=False)
    told = transcript()
    assert len(told) >= 9
    for command, expected in told:
        words = shlex.split(command)
        assert words[:2] == ["./run", "joren"]
        output = CliRunner().invoke(main, words[2:]).output
        lines = [line.rstrip() for line in output.splitlines() if not line.startswith("made development keys")]
        assert lines == expected, command


def test_the_example_of_a_till_runs_and_is_quoted_rightly() -> None:
    example = ROOT / "examples" / "embed_a_till.py"
    (quoted,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert quoted in example.read_text(encoding="utf-8")
    told = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == ["12 points, rank 0, score 81", "lost: pending", "9 points, found again: True, balance 21"]


def test_the_example_of_a_relay_runs_and_is_quoted_rightly() -> None:
    example = ROOT / "examples" / "relay_a_change.py"
    (quoted,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "admin.md").read_text(encoding="utf-8"), re.DOTALL)
    assert quoted in example.read_text(encoding="utf-8")
    told = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=True).stdout
    assert told == "card 0102030405060708 is BLOCKED\n"


def test_the_benchmarks_run() -> None:
    told = json.loads(
        subprocess.run([sys.executable, str(ROOT / "benchmarks" / "run.py"), "--json"], capture_output=True, text=True, check=True).stdout
    )
    assert told["per_second"]["two-card purchase"] > 0
    assert all(abs(sum(shares.values()) - 1) < 1e-9 for shares in told["layers"].values())


def test_the_benchmark_of_secured_channels_runs() -> None:
    script = ROOT / "benchmarks" / "scp03.py"
    told = json.loads(subprocess.run([sys.executable, str(script), "--json"], capture_output=True, text=True, check=True).stdout)
    assert (told["format"], told["version"]) == ("joren-bench-scp03", 2)
    assert list(told["rows"]) == ["command", "command, the card's side", "opening", "TLV, flat", "TLV, nested"]
    with_yubikit = find_spec("yubikit") is not None
    for row in told["rows"].values():
        assert row["of_floor"] > 0
        assert (row["of_yubikit"] is not None) is (with_yubikit and row["goal"] is not None)


def test_the_benchmark_of_batches_runs() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "batch.py"), "--json", "20"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (told["format"], told["cards"], told["rows"]) == ("joren-bench-batch", 20, 2_000)
    assert all(rate > 0 for rate in [*told["per_second"].values(), *told["processor_ms"].values(), *told["look_up_ms"].values()])


def test_the_benchmark_of_the_till_service_runs() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "service.py"), "--json", "20"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (told["format"], told["purchases"], told["many"]["sales"]) == ("joren-bench-service", 20, 8)
    assert list(told["rows"]) == ["in process", "WebSocket", "HTTP"]
    assert all(0 < times["p50_ms"] <= times["p99_ms"] for times in told["rows"].values())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    missing = [target for target in LINK.findall(text) if not (ROOT / page).parent.joinpath(target).exists()]
    assert missing == []


def test_every_dependency_is_named_with_its_reason() -> None:
    """In docs/dependencies.md."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    names = [re.split(r"[<>=~\[]", requirement)[0] for requirement in (*project["dependencies"], *extras)]
    assert [name for name in names if name not in page] == []


def test_every_json_format_has_its_place_in_the_docs() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    replies = {name for path in (ROOT / "commands").glob("*.py") for name in re.findall(r'reply\(\s*"([a-z-]+)"', path.read_text())}
    assert [name for name in replies if f"`joren-{name}`" not in page] == []
