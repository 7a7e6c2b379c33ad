"""Sees to it that SoftHSM2, the security module of the tests, is installed: called by `./run test`, before anything else is made.

As root where there is apt-get it installs the package and says so. Anyone else is told what is missing and the command that installs it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["MODULES", "main"]

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
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "softhsm2")
UPDATE = ("apt-get", "update")
LISTS = Path("/var/lib/apt/lists")
ADVICE = f"""SoftHSM2 is needed, the security module that the tests work with; nothing was made. It installs with
  Debian, Ubuntu:  sudo {" ".join(INSTALL)}    (where that finds no package: sudo {" ".join(UPDATE)} first)
  Fedora:          sudo dnf install softhsm
  macOS:           brew install softhsm"""


def is_there() -> bool:
    return any(Path(name).is_file() for name in MODULES)


def install() -> None:
    """By apt-get, whose package lists are fetched where there are none, or where the package is not in them."""
    fresh = not any(LISTS.glob("*Packages*"))
    if fresh:
        apt(UPDATE)
    if not apt(INSTALL) and not fresh:
        apt(UPDATE)
        apt(INSTALL)


def apt(command: tuple[str, ...]) -> bool:
    say(f"installing SoftHSM2 for the tests: {' '.join(command)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    outcome = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if outcome.returncode != 0:
        say(outcome.stdout.strip())
    return outcome.returncode == 0


def say(text: str) -> None:
    print(f"run: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Exit status 0 when SoftHSM2 is there, 1 when it is not."""
    if not is_there() and os.geteuid() == 0 and shutil.which("apt-get"):
        install()
    if is_there():
        return 0
    say(ADVICE)
    return 1


if __name__ == "__main__":
    sys.exit(main())
