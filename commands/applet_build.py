"""Building the Java Card package: the classes by Maven, for the simulator and the tests.

How it works. What was built carries the SHA-256 of all sources that it was built from; where that is still true nothing is done. One build
at a time: whoever comes second waits, and finds it done.
"""

import fcntl
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from joren.host import HostError
from joren.simulator.jvm import BUILD, CHANNELS

__all__ = ["SOURCES", "build_classes", "fresh", "source_files"]

SOURCES = Path(__file__).resolve().parent.parent / "applet" / "javacard"
STAMP = "built-from"
TOLD_MAX = 4_000
ADVICE = """it installs with
  Debian, Ubuntu:  apt install default-jdk-headless maven
  Fedora:          dnf install java-latest-openjdk-devel maven
  macOS:           brew install openjdk maven"""


def source_files() -> list[Path]:
    """What the classes are made from, in order. Raises HostError where joren was installed without its sources."""
    if not (SOURCES / "pom.xml").is_file():
        raise HostError(f"applet: the Java Card sources expected in {SOURCES}, they are not there; build in a checkout of joren")
    return [SOURCES / "pom.xml", *sorted((SOURCES / "src").rglob("*.java"))]


def _stamp(channel: str) -> str:
    found = sha256(channel.encode())
    for path in source_files():
        raw = path.read_bytes()
        found.update(f"{path.relative_to(SOURCES)} {len(raw)}\n".encode() + raw)
    return found.hexdigest()


def fresh(channel: str = CHANNELS[0]) -> bool:
    """Whether the classes are built, from the sources as they are."""
    try:
        return (BUILD / channel / STAMP).read_text() == _stamp(channel)
    except FileNotFoundError:
        return False


def build_classes(channel: str = CHANNELS[0]) -> bool:
    """Compiles the applet, with this channel, and the harness; whether there was anything to do. Raises HostError."""
    folder = BUILD / channel
    folder.mkdir(parents=True, exist_ok=True)
    with (BUILD / f"{channel}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if fresh(channel):
            return False
        (folder / STAMP).unlink(missing_ok=True)
        shutil.rmtree(folder / "classes", ignore_errors=True)
        stamp = _stamp(channel)
        _maven(channel)
        (folder / STAMP).write_text(stamp)
    return True


def _maven(channel: str) -> None:
    for tool in ("javac", "mvn"):
        if shutil.which(tool) is None:
            raise HostError(f"applet: {tool} is needed to build the Java Card applet; {ADVICE}")
    command = ["mvn", "--quiet", "--batch-mode", f"--file={SOURCES / 'pom.xml'}", f"-Dchannel={channel}", "compile"]
    outcome = subprocess.run(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if outcome.returncode != 0:
        raise HostError(f"applet: {' '.join(command)} failed:\n{outcome.stdout[-TOLD_MAX:].strip()}")
