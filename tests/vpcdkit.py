"""A driver that a test plays: the other side of a slot of vpcd."""

import socket

from joren.simulator.vpcd import LOOKS, TcpPort

__all__ = ["SOON", "TELL_ATR", "Driver"]

TELL_ATR = b"\x04"
SOON = 20
"""Seconds after which what must come is missed."""


class Driver:
    """The driver's side of one slot."""

    def __init__(self, port: int = 0) -> None:
        self.listening = socket.create_server(("127.0.0.1", port))
        self.listening.settimeout(SOON)
        self.port = TcpPort(port=self.listening.getsockname()[1])
        self.card = socket.socket()

    def accept(self) -> None:
        self.card.close()
        self.card, _ = self.listening.accept()
        self.card.settimeout(SOON)

    def send(self, message: bytes) -> None:
        self.card.sendall(len(message).to_bytes(2) + message)

    def answer(self) -> bytes:
        return self.exactly(int.from_bytes(self.exactly(2)))

    def exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            part = self.card.recv(size - len(read))
            assert part, "the card went away"
            read += part
        return read

    def ask(self, message: bytes) -> bytes:
        self.send(message)
        return self.answer()

    def look(self, times: int = LOOKS) -> list[bytes]:
        return [self.ask(TELL_ATR) for _ in range(times)]

    def card_went(self) -> bool:
        try:
            return self.card.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.card.close()
        self.listening.close()
