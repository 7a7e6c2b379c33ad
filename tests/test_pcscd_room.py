"""The room of a private pcscd, with a program in pcscd's place: it hands out sockets to slots, and begins and ends with pcscd."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from joren.simulator import pcscd_room
from joren.simulator.pcscd_room import READY, Door, main, reader_name
from vpcdkit import SOON

PROGRAM = """#!{python}
import pathlib, signal, socket, sys
folder = pathlib.Path(sys.argv[3]).parent
slots = [socket.create_server(("127.0.0.1", {port} + number)) for number in range({slots})]
(folder / "run").mkdir(exist_ok=True)
(folder / "run" / "pcscd.comm").touch()
card, _ = slots[0].accept()
card.sendall(b"slot 0")
signal.pause()
"""


class Room:
    """`main` in a thread, with pipes for its standard streams."""

    def __init__(self, folder: Path, program: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        ends, self.stdin = os.pipe()
        self.stdout, out = os.pipe()
        for name, handle, mode in (("stdin", ends, "r"), ("stdout", out, "w")):
            monkeypatch.setattr(sys, name, stack.enter_context(os.fdopen(handle, mode)))
        stack.callback(os.close, self.stdout)
        self.code: list[int] = []
        self.thread = Thread(target=lambda: self.code.append(main([str(folder), str(program), "2"])))
        self.thread.start()

    def leave(self) -> int:
        os.close(self.stdin)
        return self.ended()

    def ended(self) -> int:
        self.thread.join(SOON)
        return self.code[0]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """The first of two that are free."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
        monkeypatch.setattr(pcscd_room, "FIRST_PORT", port)
        return port


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def program(folder: Path, port: int, slots: int = 2, text: str = PROGRAM) -> Path:
    path = folder / "program"
    path.write_text(text.format(python=sys.executable, port=port, slots=slots), encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_door_leads_to_its_slot(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    room = Room(tmp_path, program(tmp_path, port), monkeypatch, stack)
    assert os.read(room.stdout, 100) == READY
    with Door(tmp_path, 0)() as slot:
        slot.settimeout(SOON)
        assert slot.getpeername()[1] == port
        assert slot.recv(6, socket.MSG_WAITALL) == b"slot 0"
    with pytest.raises(ConnectionRefusedError, match="no such slot"):
        Door(tmp_path, 2)()
    with socket.socket(socket.AF_UNIX) as visitor:  # who says nothing
        visitor.connect(str(tmp_path / "door"))
    with Door(tmp_path, 1)() as slot:
        assert slot.getpeername()[1] == port + 1
    assert room.leave() == 0
    with pytest.raises(OSError, match="refused"):
        Door(tmp_path, 0)()


def test_the_room_ends_with_pcscd(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    text = PROGRAM.replace("signal.pause()", "")
    room = Room(tmp_path, program(tmp_path, port, text=text), monkeypatch, stack)
    assert os.read(room.stdout, 100) == READY
    Door(tmp_path, 0)().close()
    assert room.ended() == 0
    os.close(room.stdin)


@pytest.mark.parametrize("slots", [1, 2])
def test_it_is_not_ready_before_all_slots_listen(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, stack: ExitStack, slots: int
) -> None:
    """Nor when pcscd ends at once, or takes too long."""
    text = PROGRAM if slots == 1 else "#!/bin/sh\nexit 0\n"
    monkeypatch.setattr(pcscd_room, "START_S", 1.0 if slots == 1 else SOON)
    room = Room(tmp_path, program(tmp_path, port, slots, text), monkeypatch, stack)
    assert room.ended() == 1
    os.close(room.stdin)
    assert not (tmp_path / "door").exists()


def test_readers_are_called_by_driver_and_slot() -> None:
    assert [reader_name(slot) for slot in range(4)] == [
        "Virtual PCD 00 00",
        "Virtual PCD 00 01",
        "Virtual PCD 2 00 00",
        "Virtual PCD 2 00 01",
    ]
