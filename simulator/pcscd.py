"""A pcscd of one's own, with slots of vpcd for simulated cards: nobody else's programs see it, and often it needs no root.

How it works. pcscd keeps its socket in /run/pcscd, wherever it runs; but what /run/pcscd is, a mount namespace says. In one of its own,
which a user may make (user namespaces) and root anyway, it is a folder of ours. Programs find the socket there by PCSCLITE_CSOCK_NAME.
Where no namespace can be made, root runs pcscd as it is, one at a time. Each copy of the driver has two slots; two entries of pcscd's
configuration must not share a copy, or their slots are the same. The shell that starts pcscd stops it when this process is gone.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Self

__all__ = ["SOCKET", "NoPcscd", "PrivatePcscd", "missing_parts"]

SOCKET = "PCSCLITE_CSOCK_NAME"
"""The environment variable by which a program finds a pcscd. libpcsclite reads it once in the life of a process."""
DRIVER_HOME = Path("/usr/lib/pcsc/drivers/serial")
DRIVER = "libifdvpcd.so"
SLOTS_A_DRIVER, SLOTS_MAX = 2, 16
PORTS = range(20_000, 32_000, SLOTS_MAX)
START_S, STOP_S = 10.0, 5.0
PLAIN = Path("/run/pcscd")
LISTENS = "0A"
PACKAGES = {"pcscd": "pcscd", DRIVER: "vsmartcard-vpcd"}
NAMESPACE = """
mount -t tmpfs tmpfs /run && mkdir /run/pcscd && mount --bind "$1" /run/pcscd || exit
"""
RUN = """
"$2" --foreground --config "$3" </dev/null >"$1/log" 2>&1 &
cat >/dev/null
kill $! 2>/dev/null
wait $!
"""


class NoPcscd(Exception):
    """pcscd or its driver is missing, or can not be run here; says what is needed."""


def missing_parts() -> list[str]:
    """The system packages, by Debian's names, without which there is no virtual reader here."""
    there = {"pcscd": _pcscd() is not None, DRIVER: (DRIVER_HOME / DRIVER).exists()}
    return [PACKAGES[part] for part, found in there.items() if not found]


class PrivatePcscd:
    """pcscd with so many slots, each a TCP port (`ports`); it runs from `start` to `stop`, and can be started anew in the same place."""

    def __init__(self, folder: Path | None = None, slots: int = SLOTS_A_DRIVER) -> None:
        """`folder`: for its socket and log, made where it is missing; a new temporary one by default. Raises ValueError, NoPcscd."""
        if not 1 <= slots <= SLOTS_MAX:
            raise ValueError(f"slots: 1..{SLOTS_MAX} expected, {slots} came")
        if missing := missing_parts():
            raise NoPcscd(f"the virtual reader needs the system packages {', '.join(missing)}: apt install {' '.join(missing)}")
        self._kept = ExitStack()
        if folder is None:
            folder = Path(self._kept.enter_context(tempfile.TemporaryDirectory(prefix="joren-pcscd-")))
        self.folder = folder
        self.ports: list[int] = []
        self._slots = slots
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it runs, as far as this process knows."""
        return self._process is not None and self._process.poll() is None

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to find this pcscd and no other."""
        return {SOCKET: str(self.folder / "pcscd.comm")}

    @property
    def reader_names(self) -> list[str]:
        """By slot, as PC/SC lists them."""
        return [f"{_title(slot // SLOTS_A_DRIVER)} 00 {slot % SLOTS_A_DRIVER:02}" for slot in range(self._slots)]

    def start(self) -> None:
        """Returns when programs can connect and all slots listen. Raises NoPcscd."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.running:
            raise ValueError("pcscd runs already")
        (self.folder / "pcscd.comm").unlink(missing_ok=True)
        prefix, script = self._namespace()
        self._configure()
        command = [*prefix, "/bin/sh", "-c", script, "pcscd", str(self.folder), str(_pcscd()), str(self.folder / "readers")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
        deadline = monotonic() + START_S
        while not self._ready():
            if monotonic() > deadline or self._process.poll() is not None:
                self.stop()
                raise NoPcscd(f"pcscd: {len(self.ports)} slots expected within {START_S:g} s; it says: {self._log()}")
            sleep(0.005)

    def stop(self) -> None:
        """Ends it, as a service is ended; its folder stays."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._lock.close()

    def kill(self) -> None:
        """Ends it as a crash does: at once, its socket left behind."""
        with suppress(OSError, ValueError):
            os.kill(int((self.folder / "pcscd.pid").read_text()), signal.SIGKILL)
        self.stop()

    def close(self) -> None:
        """Ends it; a temporary folder goes."""
        self.stop()
        self._kept.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _namespace(self) -> tuple[list[str], str]:
        """How to run the shell, and its script: in a namespace if possible."""
        self._lock = ExitStack()
        for flags in ("-Urm", "-m"):
            if shutil.which("unshare") and _works(["unshare", flags, "/bin/sh", "-c", "mount -t tmpfs tmpfs /run"]):
                return ["unshare", flags], NAMESPACE + RUN
        if os.geteuid():
            raise NoPcscd(
                "pcscd: neither user namespaces nor root here, so no pcscd of one's own; let an administrator run pcscd with "
                "vsmartcard-vpcd, or allow user namespaces (sysctl kernel.unprivileged_userns_clone, AppArmor)"
            )
        PLAIN.mkdir(exist_ok=True)
        lock = self._lock.enter_context((PLAIN / "joren.lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        (self.folder / "pcscd.comm").symlink_to(PLAIN / "pcscd.comm")
        return [], RUN

    def _configure(self) -> None:
        """A configuration with a copy of the driver for every two slots, at ports that are free. The same ones when it starts again."""
        readers = self.folder / "readers"
        readers.mkdir(exist_ok=True)
        if not self.ports:
            first = _free_ports(self._slots)
            self.ports = list(range(first, first + self._slots))
        entries = []
        for number, port in enumerate(self.ports[::SLOTS_A_DRIVER]):
            driver = self.folder / f"driver-{number}.so"
            shutil.copy(DRIVER_HOME / DRIVER, driver)
            entries.append(f'FRIENDLYNAME "{_title(number)}"\nDEVICENAME /dev/null:{port}\nLIBPATH {driver}\nCHANNELID {port}\n')
        (readers / "vpcd").write_text("\n".join(entries), encoding="ascii")

    def _ready(self) -> bool:
        return (self.folder / "pcscd.comm").exists() and set(self.ports) <= _listening()

    def _log(self) -> str:
        with suppress(OSError):
            return (self.folder / "log").read_text(encoding="utf-8", errors="replace").strip()[-500:] or "nothing"
        return "nothing"


def _title(pair: int) -> str:
    """What a copy of the driver is called."""
    return f"Virtual PCD {pair + 1}" if pair else "Virtual PCD"


def _pcscd() -> str | None:
    return shutil.which("pcscd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _works(command: list[str]) -> bool:
    return not subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode  # noqa: S603


def _listening() -> set[int]:
    """The TCP ports at which somebody listens."""
    rows = [
        line.split() for name in ("tcp", "tcp6") if (path := Path("/proc/net") / name).exists() for line in path.read_text().splitlines()
    ]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTENS}


def _free_ports(number: int) -> int:
    """The first of so many neighbouring ports at which nobody listens. Who looks at the same time begins elsewhere."""
    start = os.getpid() % len(PORTS)
    for first in (PORTS[(start + step) % len(PORTS)] for step in range(len(PORTS))):
        with ExitStack() as bound, suppress(OSError):
            for port in range(first, first + number):
                bound.enter_context(socket.socket()).bind(("0.0.0.0", port))  # noqa: S104 - where the driver will listen
            return first
    raise NoPcscd(f"{number} free TCP ports in {PORTS[0]}..{PORTS[-1]} expected")
