"""Orders to a `joren card serve` that runs, from another command line: one line of JSON each way, over a socket in the workspace.

How it works. A card that is served has a socket under its name; only the owner of the workspace can reach it, as folder and socket are
theirs alone. One who asks has PATIENCE_S to say what in ORDER_MAX bytes, or is hung up on.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from joren.host import HostError

__all__ = ["OrderSocket", "send_order", "served_names"]

Order = dict[str, Any]
ORDER_MAX = 4_096
PATIENCE_S = 2.0
ANSWER_S = 30.0
SUFFIX = ".sock"


@contextmanager
def _address(folder: Path, name: str) -> Iterator[str]:
    """A name of the socket that is short enough for a socket's address, however long the folder's is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{name}{SUFFIX}" if Path("/proc/self/fd").is_dir() else str(folder / f"{name}{SUFFIX}")
    finally:
        os.close(handle)


def served_names(folder: Path) -> list[str]:
    """The names under which there are sockets; behind some there may be nobody any more."""
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))


def send_order(folder: Path, name: str, order: Order) -> Order:
    """What the program that serves the card answers. Raises HostError where none does, and for what it refuses."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_S)
            with _address(folder, name) as address:
                line.connect(address)
            line.sendall(json.dumps(order).encode() + b"\n")
            answer = json.loads(_read_line(line))
    except (FileNotFoundError, ConnectionRefusedError):
        raise HostError(f"{name}: no joren card serve has this card; start one: joren card serve {name}") from None
    except (OSError, ValueError) as error:
        raise HostError(f"{name}: joren card serve did not answer: {error}") from None
    if "refused" in answer:
        raise HostError(answer["refused"])
    return dict(answer)


class OrderSocket:
    """Where orders for a card come in. Raises HostError where another program serves a card of this name."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._path = folder / f"{name}{SUFFIX}"
        self._listening = socket.socket(socket.AF_UNIX)
        with _address(folder, name) as address:
            with socket.socket(socket.AF_UNIX) as other, suppress(OSError):
                other.connect(address)
                self._listening.close()
                raise HostError(f"{name}: another joren card serve has a card of this name")
            self._path.unlink(missing_ok=True)
            self._listening.bind(address)
            self._path.chmod(0o600)
        self._listening.listen()

    def fileno(self) -> int:
        """For selectors: it can be read when an order is there."""
        return self._listening.fileno()

    def serve_one(self, act: Callable[[Order], Order]) -> None:
        """Takes an order, and answers what became of it; hangs up on what is none."""
        line, _ = self._listening.accept()
        with line, suppress(OSError, ValueError):
            line.settimeout(PATIENCE_S)
            order = json.loads(_read_line(line))
            answer = act(order) if isinstance(order, dict) else {"refused": "an order is a JSON object"}
            line.sendall(json.dumps(answer).encode() + b"\n")

    def close(self) -> None:
        """Takes no more."""
        self._path.unlink(missing_ok=True)
        self._listening.close()


def _read_line(line: socket.socket) -> bytes:
    """Up to the end of the line. Raises OSError where the other side is slow or gone, ValueError for too long a line."""
    read = b""
    while not read.endswith(b"\n"):
        part = line.recv(ORDER_MAX)
        if not part or len(read) > ORDER_MAX:
            raise ValueError(f"a line of at most {ORDER_MAX} bytes expected, {len(read)} came")
        read += part
    return read
