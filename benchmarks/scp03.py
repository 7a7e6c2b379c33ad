"""SCP03, host side, side by side in one run, so that only the ratios count: `./run bench scp03`.

A command of 32 bytes and its answer of 32 bytes at level 33, S8, AES-128: wrapped, encoded, decoded, unwrapped; and the opening of a
channel. Beside them yubikit, where it is installed, and bare `cryptography`: with cipher objects made anew for each message, as its
documentation has it, and the least there is, the same blocks through objects that are kept, with no APDU around them. The card's answers
are recorded once and replayed. A figure is the best of several rounds, of which each runs every rival once; the machine's noise only ever
adds.
"""

import importlib
import json
import sys
from collections.abc import Callable
from hmac import compare_digest
from time import process_time
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from rich.console import Console
from rich.table import Table

from joren.apdu import Command, Key, Response
from joren.apdu.scp03 import CardSession, CardSettings, HostSession, Opening, Parameter, ScpKeys

__all__ = ["main"]

ROUNDS, COMMANDS, OPENINGS = 9, 3_000, 300
STATIC = tuple(bytes(range(start, start + 16)) for start in (0x40, 0x60, 0x80))
HOST_CHALLENGE, CARD_CHALLENGE = bytes(range(8)), bytes(range(8, 16))
PLAIN = Command(0x80, 0xE2, 0x00, 0x00, bytes(range(32)), 256)
ANSWER = Response(bytes(range(32, 64)), 0x9000)

Prepare = Callable[[], Callable[[int], None]]


def key_set() -> ScpKeys:
    """The static keys."""
    enc, mac, dek = (Key(key) for key in STATIC)
    return ScpKeys(enc, mac, dek, 0x30)


def new_card() -> CardSession:
    """A card that always draws the same challenge, so that its answers may be replayed."""
    return CardSession(CardSettings((key_set(),), Parameter()), lambda _size: CARD_CHALLENGE)


class Record:
    """A session with a card, as it went over the wire."""

    def __init__(self) -> None:
        card = new_card()
        opening = Opening(HOST_CHALLENGE)
        initialized = card.process(opening.initialize_update())
        assert isinstance(initialized, Response)
        authenticating = opening.authenticate(initialized, key_set())
        authenticated = card.process(authenticating.command)
        assert isinstance(authenticated, Response)
        session = authenticating.open(authenticated)
        self.initialized, self.authenticated = initialized, authenticated
        self.commands: list[bytes] = []
        self.answers: list[bytes] = []
        for _ in range(COMMANDS):
            wrapped = session.wrap(PLAIN)
            assert card.process(wrapped) == PLAIN
            answer = card.wrap_response(ANSWER)
            assert session.unwrap(answer) == ANSWER
            self.commands.append(wrapped.encode())
            self.answers.append(answer.encode())

    def open(self, keys: ScpKeys) -> HostSession:
        """The host's opening: two commands made, two answers checked."""
        opening = Opening(HOST_CHALLENGE)
        opening.initialize_update().encode()
        authenticating = opening.authenticate(self.initialized, keys)
        authenticating.command.encode()
        return authenticating.open(self.authenticated)


def ours(record: Record) -> Prepare:
    """HostSession, from Command to Response."""

    def prepare() -> Callable[[int], None]:
        session = record.open(key_set())

        def work(number: int) -> None:
            for answer in record.answers[:number]:
                session.wrap(PLAIN).encode()
                session.unwrap(Response.decode(answer))

        return work

    return prepare


def our_card(record: Record) -> Prepare:
    """CardSession, from Command to Response."""

    def prepare() -> Callable[[int], None]:
        card = new_card()
        opening = Opening(HOST_CHALLENGE)
        card.process(opening.initialize_update())
        card.process(opening.authenticate(record.initialized, key_set()).command)

        def work(number: int) -> None:
            for command in record.commands[:number]:
                card.process(Command.decode(command))
                card.wrap_response(ANSWER).encode()

        return work

    return prepare


def our_opening(record: Record) -> Prepare:
    """Opening to HostSession; the static keys at hand, as in a batch."""

    def prepare() -> Callable[[int], None]:
        keys = key_set()

        def work(number: int) -> None:
            for _ in range(number):
                record.open(keys)

        return work

    return prepare


def made_anew(record: Record) -> Prepare:
    """The cryptography of one command and one answer, a new object for each message."""
    session = key_set().session(HOST_CHALLENGE + CARD_CHALLENGE)
    enc, mac, rmac = (algorithms.AES(key.reveal()) for key in (session.enc, session.mac, session.rmac))
    padded, sw = PLAIN.data + b"\x80" + bytes(15), b"\x90\x00"

    def block(value: bytes) -> bytes:
        return Cipher(enc, modes.ECB()).encryptor().update(value)  # noqa: S305 - the counter becomes an initial vector

    def work(number: int) -> None:
        chain = bytes(16)
        for count, answer in enumerate(record.answers[:number], 1):
            counter = count.to_bytes(16)
            data = Cipher(enc, modes.CBC(block(counter))).encryptor().update(padded)
            command_mac = CMAC(mac)
            command_mac.update(chain + b"\x84\xe2\x00\x00\x38" + data)
            chain = command_mac.finalize()
            response_mac = CMAC(rmac)
            response_mac.update(chain + answer[:-10] + sw)
            compare_digest(response_mac.finalize()[:8], answer[-10:-2])
            Cipher(enc, modes.CBC(block(b"\x80" + counter[1:]))).decryptor().update(answer[:-10]).rstrip(b"\x00")[:-1]

    return lambda: work


def kept(record: Record) -> Prepare:
    """As many blocks through kept objects as the cryptography needs at least, in as few calls."""
    encrypt = Cipher(algorithms.AES(STATIC[0]), modes.CBC(bytes(16))).encryptor().update
    decrypt = Cipher(algorithms.AES(STATIC[0]), modes.ECB()).decryptor().update  # noqa: S305 - measured alone
    padded, command, block = PLAIN.data + bytes(16), bytes(80), bytes(16)

    def work(number: int) -> None:
        for answer in record.answers[:number]:
            encrypt(block)
            encrypt(padded)
            encrypt(command)
            encrypt(command)
            encrypt(block)
            decrypt(answer[:48])

    return lambda: work


def yubikit(record: Record) -> dict[str, tuple[Prepare, int]]:
    """yubikit's own processor over the same record, and its opening; nothing where it is not installed."""
    try:
        card: Any = importlib.import_module("yubikit.core.smartcard")
        scp: Any = importlib.import_module("yubikit.core.smartcard.scp")
    except ImportError:
        return {}
    formatter, parameters = card.ShortApduFormatter(), scp.Scp03KeyParams(scp.KeyRef(1, 0x30), scp.StaticKeys(*STATIC))

    class Replay:
        """Takes the APDU that yubikit makes, gives the card's recorded answer."""

        def __init__(self) -> None:
            self.answers = iter(record.answers)
            self.first = b""

        def send_apdu(self, *fields: Any) -> tuple[bytes, int]:
            apdu = formatter.format_apdu(*fields)
            self.first = self.first or apdu
            answer = next(self.answers)
            return answer[:-2], int.from_bytes(answer[-2:])

    class Reader:
        """What yubikit takes for a connection: answers INITIALIZE UPDATE with the record, EXTERNAL AUTHENTICATE with 9000."""

        transport = "usb"

        def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
            return (record.initialized.data if apdu[1] == 0x50 else b""), 0x9000

    def opened() -> Any:
        """As its init_scp does it, but with the challenge of the record."""
        plain = card.ApduFormatProcessor(Reader(), formatter)

        def send(*fields: Any) -> bytes:
            return bytes(plain.send_apdu(*fields, 0)[0])

        state, cryptogram = scp.ScpState.scp03_init(send, parameters, host_challenge=HOST_CHALLENGE)
        card.ScpProcessor(plain, formatter, state).send_apdu(0x84, 0x82, 0x33, 0, cryptogram, 0, encrypt=False)
        return state

    def prepare() -> Callable[[int], None]:
        replay = Replay()
        processor = card.ScpProcessor(replay, formatter, opened())

        def work(number: int) -> None:
            for _ in range(number):
                processor.send_apdu(PLAIN.cla, PLAIN.ins, PLAIN.p1, PLAIN.p2, PLAIN.data, 0)
            assert replay.first == record.commands[0][:-1]

        return work

    def opening() -> Callable[[int], None]:
        def work(number: int) -> None:
            for _ in range(number):
                opened()

        return work

    return {"command, yubikit": (prepare, COMMANDS), "opening, yubikit": (opening, OPENINGS)}


def measure() -> dict[str, float]:
    """Microseconds of each rival, the best of ROUNDS rounds."""
    record = Record()
    rivals: dict[str, tuple[Prepare, int]] = {
        "command": (ours(record), COMMANDS),
        "command, the card's side": (our_card(record), COMMANDS),
        "command, cryptography made anew": (made_anew(record), COMMANDS),
        "command, cryptography kept": (kept(record), COMMANDS),
        "opening": (our_opening(record), OPENINGS),
        **yubikit(record),
    }
    found = dict.fromkeys(rivals, float("inf"))
    for _ in range(ROUNDS):
        for name, (prepare, number) in rivals.items():
            work = prepare()
            start = process_time()
            work(number)
            found[name] = min(found[name], (process_time() - start) / number * 1e6)
    return found


def main(arguments: list[str]) -> None:
    """Prints a table; with `--json` one object."""
    found = measure()
    if "--json" in arguments:
        told = {name: round(microseconds, 2) for name, microseconds in found.items()}
        print(json.dumps({"format": "joren-bench-scp03", "version": 1, "microseconds": told}))
        return
    table = Table("what", "microseconds", "times ours", box=None)
    for name, microseconds in found.items():
        table.add_row(name, f"{microseconds:.1f}", f"{microseconds / found[name.partition(',')[0]]:.2f}")
    console = Console(width=140)
    console.print(table)
    if "opening, yubikit" not in found:
        console.print("yubikit is not installed")


if __name__ == "__main__":
    main(sys.argv[1:])
