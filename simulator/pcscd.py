"""A pcscd of one's own, with slots of vpcd for simulated cards: nobody else's programs see it, and often it needs no root.

How it works. pcscd keeps its socket in /run/pcscd, wherever it runs; but what /run/pcscd is, a mount namespace says. In one of its own,
which a user may make (user namespaces) and root anyway, it is a folder in ours. Programs find the socket there by PCSCLITE_CSOCK_NAME. Its
slots listen in a network namespace; pcscd_room.py, which runs pcscd there, hands out the way to them. Where no namespace can be made, root
runs pcscd as it is, one at a time. Each copy of the driver has two slots; two entries of pcscd's configuration must not share a copy, or
their slots are the same.
"""

import fcntl
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from .pcscd_room import FIRST_PORT, READY, RUN, SLOTS_A_DRIVER, Door, driver_title, reader_name

__all__ = ["SLOTS_MAX", "SOCKET", "NoPcscd", "PrivatePcscd", "missing_packages"]

SOCKET = "PCSCLITE_CSOCK_NAME"
"""The environment variable by which a program finds a pcscd. libpcsclite reads it once in the life of a process."""
DRIVERS = [Path(lib) / "pcsc/drivers/serial/libifdvpcd.so" for lib in ("/usr/lib", "/usr/lib64", "/usr/local/lib")]
SLOTS_MAX = 16
START_S, STOP_S = 15.0, 10.0
PLAIN = Path("/run/pcscd")
NAMESPACE = """
folder=$1; shift
mount -t tmpfs tmpfs /run && mkdir /run/pcscd && mount --bind "$folder/run" /run/pcscd && exec "$@"
"""

IN_CHROOT = ("unshare", "-mn", "--propagation", "unchanged")
"""The root of a chroot is no mount, and its propagation can not be changed; most often it is private as it is."""


class NoPcscd(Exception):
    """pcscd or its driver is missing, or can not be run here; says what is needed."""


def missing_packages() -> list[str]:
    """The system packages, by Debian's names, without which there is no virtual reader here."""
    there = {"pcscd": _program() is not None, "vsmartcard-vpcd": _driver() is not None}
    return [package for package, found in there.items() if not found]


class PrivatePcscd:
    """pcscd with so many slots; it runs from `start` to `stop`, and can be started again in the same place."""

    def __init__(self, folder: Path | None = None, slots: int = SLOTS_A_DRIVER) -> None:
        """`folder`: for its socket and log, made where it is missing; a new temporary one by default. Raises ValueError, NoPcscd."""
        if not 1 <= slots <= SLOTS_MAX:
            raise ValueError(f"slots: 1..{SLOTS_MAX} expected, {slots} came")
        if missing := missing_packages():
            raise NoPcscd(f"the virtual reader needs system packages: apt install {' '.join(missing)}")
        self._kept, self._lock = ExitStack(), ExitStack()
        self.folder = folder or Path(self._kept.enter_context(tempfile.TemporaryDirectory(prefix="joren-pcscd-")))
        self.reader_names = [reader_name(slot) for slot in range(slots + slots % SLOTS_A_DRIVER)]
        """By slot, as PC/SC lists them; drivers come in pairs of slots."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to find this pcscd and no other."""
        return {SOCKET: str(self.folder / RUN / "pcscd.comm")}

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def slot(self, number: int) -> Door:
        """The way to a slot, from 0."""
        return Door(self.folder, number)

    def start(self) -> None:
        """Returns when programs can connect and all slots listen. Raises NoPcscd, or ValueError if it runs."""
        if self.running:
            raise ValueError("pcscd runs already")
        self.stop()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        run = self.folder / RUN
        if run.is_symlink():
            run.unlink()
        run.mkdir(exist_ok=True)
        (run / "pcscd.comm").unlink(missing_ok=True)
        self._configure()
        room = [sys.executable, "-P", "-m", "joren.simulator.pcscd_room", str(self.folder), str(_program()), str(len(self.reader_names))]
        command = [*self._namespace(), *room]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)  # noqa: S603
        if not self._is_ready(self._process):
            self.stop()
            raise NoPcscd(f"pcscd: it did not come up within {START_S:g} s; it says: {self._log()}")

    def stop(self) -> None:
        """Ends it, as a service is ended; its folder stays."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            process.stdout.close()
        self._lock.close()

    def kill(self) -> None:
        """Ends it as a crash does: at once, its socket left behind."""
        with suppress(OSError):  # it may have ended by itself
            os.kill(self.pid, signal.SIGKILL)
        self.stop()

    @property
    def pid(self) -> int:
        """The number of pcscd's process, as long as it runs."""
        return int((self.folder / RUN / "pcscd.pid").read_bytes().partition(b"\n")[0])

    def close(self) -> None:
        """Ends it; a temporary folder goes."""
        self.stop()
        self._kept.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _namespace(self) -> list[str]:
        """How to run a program where /run/pcscd is our folder: in a namespace if possible."""
        for flags in (["-Urmn"], ["-mn"]):
            if _works("unshare", *flags, "/bin/sh", "-c", "mount -t tmpfs tmpfs /run"):
                return ["unshare", *flags, "/bin/sh", "-c", NAMESPACE, "sh", str(self.folder)]
        if os.geteuid() == 0 and _keeps_to_itself():
            return [*IN_CHROOT, "/bin/sh", "-c", NAMESPACE, "sh", str(self.folder)]
        if os.geteuid():
            raise NoPcscd(
                "pcscd: no user namespaces here, and not root: no pcscd of one's own. Allow user namespaces (sysctl "
                "kernel.unprivileged_userns_clone=1; on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), or use the system's pcscd"
            )
        PLAIN.mkdir(exist_ok=True)
        fcntl.flock(self._lock.enter_context((PLAIN / "joren.lock").open("w")), fcntl.LOCK_EX)
        shutil.rmtree(self.folder / RUN, ignore_errors=True)
        (self.folder / RUN).symlink_to(PLAIN)
        return []

    def _configure(self) -> None:
        """A configuration of pcscd with a copy of the driver for every two slots."""
        readers = self.folder / "readers"
        readers.mkdir(exist_ok=True)
        entries = []
        for pair in range(len(self.reader_names) // SLOTS_A_DRIVER):
            driver, port = self.folder / f"driver-{pair}.so", FIRST_PORT + pair * SLOTS_A_DRIVER
            shutil.copy(_driver() or "", driver)
            entries.append(f'FRIENDLYNAME "{driver_title(pair)}"\nDEVICENAME /dev/null:{port}\nLIBPATH {driver}\nCHANNELID {port}\n')
        (readers / "vpcd").write_text("\n".join(entries), encoding="ascii")

    def _log(self) -> str:
        with suppress(OSError):
            return (self.folder / "log").read_text(encoding="utf-8", errors="replace").strip()[-500:] or "nothing"
        return "nothing"

    @staticmethod
    def _is_ready(process: "subprocess.Popen[bytes]") -> bool:
        assert process.stdout is not None
        with selectors.DefaultSelector() as events:
            events.register(process.stdout, selectors.EVENT_READ)
            return bool(events.select(START_S)) and os.read(process.stdout.fileno(), len(READY)) == READY


def _program() -> str | None:
    return shutil.which("pcscd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _driver() -> Path | None:
    return next((path for path in DRIVERS if path.exists()), None)


def _works(*command: str) -> bool:
    with suppress(FileNotFoundError):
        return not subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode  # noqa: S603
    return False


def _keeps_to_itself() -> bool:
    """Whether what is mounted under /run in such a namespace stays there: tried with a folder of our own."""
    with tempfile.TemporaryDirectory(prefix="joren-", dir="/run") as probe:
        command = [*IN_CHROOT, "/bin/sh", "-c", 'mount -t tmpfs tmpfs "$1" && echo && read end', "sh", probe]
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
        except FileNotFoundError:
            return False
        with process:
            assert process.stdout is not None
            mounted = bool(process.stdout.readline())
            got_out = Path(probe).stat().st_dev != Path(probe).parent.stat().st_dev
        if got_out:
            subprocess.run(["umount", probe], check=False)  # noqa: S603, S607
        return mounted and not got_out
