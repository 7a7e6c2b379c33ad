"""Sees to it that the system packages of the tests are installed: called by `./run test`, before anything else is made.

As root where there is apt-get it installs what is missing and says so. Anyone else is told what is missing, and the command that
installs it.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MODULES", "PARTS", "Part", "main"]

# As host/softhsm.py has them; this script runs before joren is there to be asked.
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
UPDATE = ("apt-get", "update")
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")
LISTS = Path("/var/lib/apt/lists")


def files(*names: str) -> Callable[[], bool]:
    """Whether one of these files is there."""
    return lambda: any(Path(name).is_file() for name in names)


def programs(*names: str) -> Callable[[], bool]:
    """Whether all of these programs are there."""
    return lambda: all(shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") for name in names)


def can_build() -> bool:
    """Whether pyscard can be built for this Python: a compiler, and the headers of Python and PC/SC."""
    headers = (Path(sysconfig.get_path("include")) / "Python.h", Path("/usr/include/PCSC/winscard.h"), Path("/usr/include/stdio.h"))
    return programs("gcc")() and all(header.is_file() for header in headers)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the system that the tests work with."""

    name: str
    purpose: str
    is_there: Callable[[], bool]
    debian: tuple[str, ...]
    fedora: str


PARTS = (
    Part("SoftHSM2", "the security module", files(*MODULES), ("softhsm2",), "softhsm"),
    Part("pcscd", "the PC/SC daemon", programs("pcscd"), ("pcscd",), "pcsc-lite"),
    Part(
        "vpcd",
        "its driver for a virtual reader",
        files("/usr/lib/pcsc/drivers/serial/libifdvpcd.so", "/usr/lib64/pcsc/drivers/serial/libifdvpcd.so"),
        ("vsmartcard-vpcd",),
        "(from https://frankmorgner.github.io/vsmartcard/)",
    ),
    Part(
        "OpenSC and pcsc-tools",
        "other people's card tools",
        programs("opensc-tool", "pcsc_scan"),
        ("opensc", "pcsc-tools"),
        "opensc pcsc-tools",
    ),
    Part(
        "a compiler and headers",
        "to build pyscard",
        can_build,
        ("gcc", "libc6-dev", "libpcsclite-dev", "python3-dev"),
        "gcc pcsc-lite-devel python3-devel",
    ),
    Part(
        "unshare and ip",
        "to keep the tests' PC/SC daemon to themselves",
        programs("unshare", "ip"),
        ("util-linux", "iproute2"),
        "util-linux iproute",
    ),
    Part("a JDK", "compiles and runs the Java Card applet", programs("javac", "java"), ("default-jdk-headless",), "java-17-openjdk-devel"),
    Part("Maven", "builds it", programs("mvn"), ("maven",), "maven"),
    Part("Node.js", "runs an example of a till", programs("node"), ("nodejs",), "nodejs"),
)
"""All that the tests need and pip can not bring."""


def missing() -> list[Part]:
    """What is not there."""
    return [part for part in PARTS if not part.is_there()]


def packages(parts: Sequence[Part]) -> tuple[str, ...]:
    """Debian's packages of these parts."""
    return tuple(name for part in parts for name in part.debian)


def install(parts: Sequence[Part]) -> None:
    """By apt-get, whose package lists are fetched where there are none, or where a package is not in them."""
    command = (*INSTALL, *packages(parts))
    fresh = not any(LISTS.glob("*Packages*"))
    if fresh:
        apt(UPDATE)
    if not apt(command) and not fresh:
        apt(UPDATE)
        apt(command)


def apt(command: tuple[str, ...]) -> bool:
    say(f"installing for the tests: {' '.join(command)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    outcome = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if outcome.returncode != 0:
        say(outcome.stdout.strip())
    return outcome.returncode == 0


def advice(parts: Sequence[Part]) -> str:
    """What is missing, and how to get it."""
    lines = ["the tests need parts of the system that are not here; nothing was made:"]
    lines += [f"  {part.name}, {part.purpose}" for part in parts]
    lines += [
        "They install with",
        f"  Debian, Ubuntu:  sudo {' '.join((*INSTALL, *packages(parts)))}",
        f"                   (where that finds no package: sudo {' '.join(UPDATE)} first)",
        f"  Fedora:          sudo dnf install {' '.join(part.fedora for part in parts)}",
    ]
    return "\n".join(lines)


def say(text: str) -> None:
    print(f"run: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Exit status 0 when all parts are there, 1 when not."""
    wanted = missing()
    if wanted and os.geteuid() == 0 and shutil.which("apt-get"):
        install(wanted)
        wanted = missing()
    if not wanted:
        return 0
    say(advice(wanted))
    return 1


if __name__ == "__main__":
    sys.exit(main())
