"""The room of a private pcscd: a program that runs pcscd in the namespaces in which it was started, and hands out sockets to its slots.

How it works. In a network namespace nobody outside reaches the slots' TCP ports, not even the simulated cards. But a socket belongs to the
namespace in which it was made, wherever it is used: so the room makes it, and passes it out through a socket in the file system, the door.
The room ends with pcscd, and ends pcscd when its standard input ends.
"""

import fcntl
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

__all__ = ["FIRST_PORT", "READY", "RUN", "SLOTS_A_DRIVER", "Door", "driver_title", "main", "reader_name"]

FIRST_PORT, SLOTS_A_DRIVER = 35963, 2
READY = b"ready\n"
RUN = "run"
"""In the folder of a private pcscd, what it has for /run/pcscd, and opens to everyone: so the folder itself is for its owner alone."""
START_S, PATIENCE_S = 10.0, 5.0
LISTENS = "0A"
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41


@dataclass(frozen=True, slots=True)
class Door:
    """The way to a slot (from 0) of the private pcscd whose folder it is."""

    folder: Path
    slot: int

    def __call__(self) -> socket.socket:
        """A connection to the slot. Raises OSError where no pcscd is, ConnectionError where it has no such slot."""
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(PATIENCE_S)
            door.connect(str(self.folder / "door"))
            door.sendall(bytes((self.slot,)))
            _, handles, _, _ = socket.recv_fds(door, 1, 1)
        if not handles:
            raise ConnectionRefusedError(f"{self}: no such slot")
        return socket.socket(fileno=handles[0])

    def __str__(self) -> str:
        return f"slot {self.slot} of the pcscd in {self.folder}"


def reader_name(slot: int) -> str:
    """What PC/SC calls a slot, from 0; each copy of the driver has two, and a title."""
    return f"{driver_title(slot // SLOTS_A_DRIVER)} 00 {slot % SLOTS_A_DRIVER:02}"


def driver_title(number: int) -> str:
    """What a copy of the driver, from 0, is called."""
    return f"Virtual PCD {number + 1}" if number else "Virtual PCD"


def main(arguments: Sequence[str]) -> int:
    """Runs pcscd. Arguments: its folder, its program, how many slots it has. READY goes out when it can be used."""
    folder, program, slots = Path(arguments[0]), arguments[1], int(arguments[2])
    _loopback_up()
    with (folder / "log").open("wb") as log:
        command = [program, "--foreground", "--config", str(folder / "readers")]
        pcscd = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603
    try:
        if not _wait_ready(pcscd, folder, slots):
            return 1
        with socket.socket(socket.AF_UNIX) as door:
            (folder / "door").unlink(missing_ok=True)
            door.bind(str(folder / "door"))
            door.listen()
            os.write(sys.stdout.fileno(), READY)
            _hand_out(pcscd, door, slots)
    finally:
        pcscd.terminate()
        pcscd.wait()
    return 0


def _hand_out(pcscd: "subprocess.Popen[bytes]", door: socket.socket, slots: int) -> None:
    """Until the standard input ends, or pcscd."""
    ended = os.pidfd_open(pcscd.pid)
    with selectors.DefaultSelector() as events:
        for source in (sys.stdin, ended, door):
            events.register(source, selectors.EVENT_READ)
        while all(key.fileobj is door for key, _ in events.select()):
            client, _ = door.accept()
            with client, suppress(OSError):
                client.settimeout(PATIENCE_S)
                wanted = client.recv(1)
                if wanted and wanted[0] < slots:
                    with socket.create_connection(("127.0.0.1", FIRST_PORT + wanted[0]), PATIENCE_S) as slot:
                        socket.send_fds(client, [READY[:1]], [slot.fileno()])
    os.close(ended)


def _wait_ready(pcscd: "subprocess.Popen[bytes]", folder: Path, slots: int) -> bool:
    """Whether programs can connect and all slots listen, in time."""
    deadline, ports = monotonic() + START_S, set(range(FIRST_PORT, FIRST_PORT + slots))
    while pcscd.poll() is None and monotonic() < deadline:
        if (folder / RUN / "pcscd.comm").exists() and ports <= _listening():
            return True
        sleep(0.005)
    return False


def _listening() -> set[int]:
    """The TCP ports of this namespace at which somebody listens."""
    rows = [
        line.split() for name in ("tcp", "tcp6") if (path := Path("/proc/net") / name).exists() for line in path.read_text().splitlines()
    ]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTENS}


def _loopback_up() -> None:
    """The loopback interface of a new namespace is down; of an old one it is up, and need not be ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket, suppress(PermissionError):
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_RUNNING))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that pcscd ends too
    sys.exit(main(sys.argv[1:]))
