"""The rivals of `./run bench scp03`: each is prepared, and then does a piece of work so many times.

Ours; yubikit where it is installed; bare `cryptography` with an object made anew for each message, as its documentation has it; and floors:
for SCP03 as few calls of kept `cryptography` objects as the blocks need, for TLV a loop that checks nothing. The card's answers are
recorded once and replayed.
"""

import importlib
from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from joren.apdu import Command, Key, Response
from joren.apdu.scp03 import CardSession, CardSettings, HostSession, Opening, Parameter, ScpKeys
from joren.apdu.tlv import parse_tlv

__all__ = [
    "COMMANDS",
    "FCI",
    "FLAT",
    "Prepare",
    "Record",
    "kept",
    "made_anew",
    "nested",
    "opening_kept",
    "opening_made_anew",
    "our_card",
    "our_opening",
    "ours",
    "parsing",
    "unchecked",
    "yubikit",
]

COMMANDS = 400
STATIC = tuple(bytes(range(start, start + 16)) for start in (0x40, 0x60, 0x80))
HOST_CHALLENGE, CARD_CHALLENGE = bytes(range(8)), bytes(range(8, 16))
PLAIN = Command(0x80, 0xE2, 0x00, 0x00, bytes(range(32)), 256)
ANSWER = Response(bytes(range(32, 64)), 0x9000)
FLAT = bytes.fromhex("8408A000000151000000 50054A4F52454E 870101 9F38039F1A02 5F2D02656E 9F6E0401020304 9F6501FF")
FCI = bytes.fromhex(
    "6F48 8408A000000151000000 A53C 732F 06072A864886FC6B01 600C060A2A864886FC6B02020301 630906072A864886FC6B03"
    "640B06092A864886FC6B040370 9F6E0401020304 9F6501FF"
)
"""The answer to SELECT of an issuer security domain (GlobalPlatform 2.3.1, 11.9.3): 6F [84 A5 [73 [06 60 63 64] 9F6E 9F65]]."""

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


def opening_made_anew(record: Record) -> Prepare:
    """The six CMACs of an opening, a new object for each."""
    enc, mac = STATIC[0], STATIC[1]
    message = bytes(16) + HOST_CHALLENGE + CARD_CHALLENGE

    def cmac(key: bytes) -> bytes:
        made = CMAC(algorithms.AES(key))
        made.update(message)
        return made.finalize()

    def work(number: int) -> None:
        for _ in range(number):
            cmac(enc)
            cmac(mac)
            session = cmac(mac)
            compare_digest(cmac(session)[:8], record.initialized.data[21:29])
            cmac(session)
            cmac(session)

    return lambda: work


def opening_kept(record: Record) -> Prepare:
    """The same, the static keys' objects kept: one is new, that of S-MAC."""
    enc, mac = (CMAC(algorithms.AES(key)) for key in STATIC[:2])
    message = bytes(16) + HOST_CHALLENGE + CARD_CHALLENGE

    def cmac(keyed: CMAC) -> bytes:
        made = keyed.copy()
        made.update(message)
        return made.finalize()

    def work(number: int) -> None:
        for _ in range(number):
            cmac(enc)
            cmac(mac)
            session = CMAC(algorithms.AES(cmac(mac)))
            compare_digest(cmac(session)[:8], record.initialized.data[21:29])
            cmac(session)
            cmac(session)

    return lambda: work


Objects = Sequence[tuple[int, bytes]]
Parse = Callable[[bytes], Objects]


def unchecked(data: bytes) -> Objects:
    """TLV with tags of one or two bytes and lengths of one byte, and not a single check: the floor."""
    found: list[tuple[int, bytes]] = []
    offset, size = 0, len(data)
    while offset < size:
        tag, start = data[offset], offset + 2
        if tag & 0x1F == 0x1F:
            tag, start = tag << 8 | data[offset + 1], offset + 3
        end = start + data[start - 1]
        found.append((tag, data[start:end]))
        offset = end
    return found


def nested(parse: Parse) -> Parse:
    """The card's recognition data, three levels down in an FCI."""

    def parsed(data: bytes) -> Objects:
        ((_, fci),) = parse(data)
        _, (_, proprietary) = parse(fci)
        (_, recognition), *_ = parse(proprietary)
        return parse(recognition)

    return parsed


def parsing(parse: Parse, data: bytes) -> Prepare:
    """Parses the same bytes again and again."""

    def work(number: int) -> None:
        for _ in range(number):
            parse(data)

    return lambda: work


class Replay:
    """What is below yubikit's processor: takes the fields of the APDU that yubikit makes, gives the card's recorded answer."""

    def __init__(self, record: Record, formatter: Any) -> None:
        self.answers = iter(record.answers)
        self.formatter = formatter
        self.first = b""

    def send_apdu(self, *fields: Any) -> tuple[bytes, int]:
        """Data and status word."""
        apdu = self.formatter.format_apdu(*fields)
        self.first = self.first or apdu
        answer = next(self.answers)
        return answer[:-2], int.from_bytes(answer[-2:])


class Reader:
    """What yubikit takes for a connection: answers INITIALIZE UPDATE with the record, EXTERNAL AUTHENTICATE with 9000."""

    transport = "usb"

    def __init__(self, record: Record) -> None:
        self.initialized = record.initialized.data

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        """Data and status word."""
        return (self.initialized if apdu[1] == 0x50 else b""), 0x9000


def yubikit(record: Record) -> dict[str, Prepare]:
    """By row: yubikit's own processor over the same record, its opening, its TLV; nothing where it is not installed."""
    try:
        core: Any = importlib.import_module("yubikit.core")
        card: Any = importlib.import_module("yubikit.core.smartcard")
        scp: Any = importlib.import_module("yubikit.core.smartcard.scp")
    except ImportError:
        return {}
    formatter, parameters = card.ShortApduFormatter(), scp.Scp03KeyParams(scp.KeyRef(1, 0x30), scp.StaticKeys(*STATIC))
    reader = Reader(record)

    def opened() -> Any:
        """As its init_scp does it, but with the challenge of the record."""
        plain = card.ApduFormatProcessor(reader, formatter)

        def send(*fields: Any) -> bytes:
            return bytes(plain.send_apdu(*fields, 0)[0])

        state, cryptogram = scp.ScpState.scp03_init(send, parameters, host_challenge=HOST_CHALLENGE)
        card.ScpProcessor(plain, formatter, state).send_apdu(0x84, 0x82, 0x33, 0, cryptogram, 0, encrypt=False)
        return state

    def prepare() -> Callable[[int], None]:
        replay = Replay(record, formatter)
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

    def parse(data: bytes) -> Objects:
        return [(found.tag, found.value) for found in core.Tlv.parse_list(data)]

    assert nested(parse)(FCI) == nested(parse_tlv)(FCI)
    assert parse(FLAT) == parse_tlv(FLAT)
    return {"command": prepare, "opening": opening, "TLV, flat": parsing(parse, FLAT), "TLV, nested": parsing(nested(parse), FCI)}
