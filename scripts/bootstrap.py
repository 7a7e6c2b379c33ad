"""Makes the project's environment, .venv, when it has to: bootstrap.py run|dev, called by ./run.

How it works. The environment fits when its stamp says what is asked: the same pyproject.toml in the same place. The stamp is
written last and taken away before the first change, so what was begun and not ended never fits, and is thrown away. One process
at a time makes it. The environment is laid out by hand (a link to Python and a pyvenv.cfg), because the venv module is missing
on some systems; pip comes from the package index, or else from Python itself (ensurepip).
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["SetupFailed", "ensure", "main"]

OWNER = "made-by = ./run of joren"
PIP_OPTIONS = ["--quiet", "--no-input", "--no-compile", "--prefer-binary", "--disable-pip-version-check"]
YUBIKIT = "yubikey-manager~=5.9"
"""For tests and benchmarks alone. It asks for pyscard, which a bare system can not build, so it comes without (docs/dependencies.md)."""
PYSCARD = "pyscard>=2.2"
"""For tests with readers. It is built from source, so where there is no compiler the environment is made without it, and gets it later."""
SETS = {"run": "joren", "dev": "joren and the tools to test it"}


class SetupFailed(Exception):
    """The environment could not be made; nothing half-made is left. The text says why and what to do."""


def ensure(root: Path, wanted: str) -> None:
    """Makes the environment of the checkout `root` fit for `wanted` ("run" or "dev"); does nothing when it fits.

    Raises SetupFailed, and OSError where a folder cannot be written.
    """
    if not fits(root, wanted):
        with alone(root):
            if not fits(root, wanted):
                make(root, wanted)
    if wanted == "dev":
        if lacks_pyscard(root):
            with alone(root):
                pip_install_pyscard(root)
        link_for_checkers(root)


def fits(root: Path, wanted: str) -> bool:
    """Whether the environment holds at least what is `wanted`, for this pyproject.toml in this place."""
    try:
        found = stamp_file(root).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    enough = SETS if wanted == "run" else ("dev",)
    return os.access(interpreter(root), os.X_OK) and found in {stamp(root, held) for held in enough}


def stamp(root: Path, held: str) -> str:
    digest = hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest()
    return f"{held}\n{digest}\n{root}\n"


def stamp_file(root: Path) -> Path:
    return root / ".venv" / "joren-stamp"


def interpreter(root: Path) -> Path:
    return root / ".venv" / "bin" / "python"


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Holds the lock of this checkout. The system lets go of it when this process and the pip it started have ended, killed or not."""
    (root / "build").mkdir(exist_ok=True)
    with (root / "build" / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another ./run to set up .venv")
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.set_inheritable(lock.fileno(), True)
        yield


def make(root: Path, wanted: str) -> None:
    started = time.monotonic()
    only_tools_missing = fits(root, "run")
    try:
        if only_tools_missing:
            stamp_file(root).unlink()
        else:
            say(f"setting up .venv with Python {'.'.join(map(str, sys.version_info[:3]))}")
            discard(root)
            lay_out(root)
            put_pip(root)
        say(f"installing {SETS[wanted]}")
        pip_install(root, "." if wanted == "run" else ".[dev]")
        if wanted == "dev":
            pip_install_yubikit(root)
    except BaseException:
        discard(root)
        raise
    stamp_file(root).write_text(stamp(root, wanted), encoding="utf-8")
    say(f"ready after {time.monotonic() - started:.0f} s")


def discard(root: Path) -> None:
    """Takes .venv away in one step, then deletes it. One that ./run did not make is left alone."""
    venv, trash = root / ".venv", root / "build" / "discarded"
    if trash.exists():
        shutil.rmtree(trash)
    if not venv.exists() and not venv.is_symlink():
        return
    settings = venv / "pyvenv.cfg"
    if venv.is_symlink() or not (OWNER in settings.read_text(encoding="utf-8") if settings.is_file() else is_empty(venv)):
        raise SetupFailed(f"{venv} was not made by ./run; move it away, or delete it")
    venv.rename(trash)
    shutil.rmtree(trash)


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def lay_out(root: Path) -> None:
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    version = ".".join(map(str, sys.version_info[:3]))
    venv = root / ".venv"
    venv.mkdir()
    settings = f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {version}\n{OWNER}\n"
    (venv / "pyvenv.cfg").write_text(settings, encoding="utf-8")
    (venv / "bin").mkdir()
    for name in ("python", "python3"):
        (venv / "bin" / name).symlink_to(base)


def put_pip(root: Path) -> None:
    """Puts pip into the environment: the newest of the package index, or where that cannot be had, the one that Python brings along."""
    import fetch_pip  # slow to import, and seldom needed

    folder = root / ".venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    try:
        fetch_pip.install(folder, say)
    except fetch_pip.FetchFailed as problem:
        if run_in(root, "ensurepip", "--default-pip").returncode != 0:
            raise SetupFailed(f"no pip for .venv: {problem}\n{fetch_pip.ADVICE}") from problem


def pip_install(root: Path, requirement: str) -> None:
    """Installs the checkout into its environment, in place."""
    outcome = run_in(root, "pip", "install", *PIP_OPTIONS, "--editable", requirement)
    if outcome.returncode != 0:
        raise SetupFailed(
            f"pip could not install what pyproject.toml names:\n{outcome.stdout.rstrip()}\nNothing of it is kept; mend it and run again."
        )


def pip_install_yubikit(root: Path) -> None:
    """Installs yubikit without its dependencies. Where it can not be had, all else works: its tests are skipped, and say so."""
    outcome = run_in(root, "pip", "install", *PIP_OPTIONS, "--no-deps", YUBIKIT)
    if outcome.returncode != 0:
        reason = (outcome.stdout.strip().splitlines() or ["pip says nothing"])[-1]
        say(f"no {YUBIKIT}, so the tests with yubikit will be skipped: {reason}")


def lacks_pyscard(root: Path) -> bool:
    """Whether pyscard is not there and could be built."""
    import system_parts

    return system_parts.can_build() and not any((root / ".venv").glob("lib/python3*/site-packages/smartcard/__init__.py"))


def pip_install_pyscard(root: Path) -> None:
    """Builds pyscard. Where that fails all else works: the tests with readers fail, and say what is needed."""
    if lacks_pyscard(root):
        outcome = run_in(root, "pip", "install", *PIP_OPTIONS, PYSCARD)
        if outcome.returncode != 0:
            reason = (outcome.stdout.strip().splitlines() or ["pip says nothing"])[-1]
            say(f"no {PYSCARD}, so the tests with readers will fail: {reason}")


def run_in(root: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a module with the environment's Python. pip's own settings hold, but for those that would install elsewhere."""
    elsewhere = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
    return subprocess.run(
        [str(interpreter(root)), "-I", "-m", module, *arguments],
        cwd=root,
        env={name: value for name, value in os.environ.items() if name not in elsewhere} | {"PIP_USER": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        close_fds=False,
    )


def link_for_checkers(root: Path) -> None:
    """Makes build/typed/joren, where type checkers see the root folders as one package."""
    view = root / "build" / "typed" / "joren"
    view.mkdir(parents=True, exist_ok=True)
    rooms = [initial.parent.name for initial in root.glob("*/__init__.py")]
    for name in [*rooms, "cli.py", "py.typed"]:
        with contextlib.suppress(FileExistsError):
            (view / name).symlink_to(Path("..", "..", "..", name))


def say(text: str) -> None:
    print(f"run: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Exit status 0 when the environment fits, 1 when it could not be made, 130 when the user stopped it."""
    try:
        ensure(Path(__file__).resolve().parent.parent, sys.argv[1])
    except SetupFailed as problem:
        say(str(problem))
    except OSError as problem:
        say(f"cannot set up .venv: {problem}")
    except KeyboardInterrupt:
        say("stopped; the next ./run sets .venv up afresh")
        return 130
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
