"""SCP03 once more, from the text of Amendment D and with bare `cryptography` calls: nothing of joren.apdu is in it.

StandardCard takes and gives raw APDUs; its application answers by a function. As a program, this file writes tests/vectors/scp03.txt.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from vectorfile import FOLDER

__all__ = [
    "AID", "DIVERSIFICATION", "KEYS", "LEVELS", "PARAMETERS", "Plain", "StandardCard", "StandardDomain", "StandardHost", "aes", "cbc",
    "cmac", "derive", "echo", "vector_rows",
]  # fmt: skip

KEYS = {
    size: tuple(bytes((start + 7 * i + i // 16) % 256 for i in range(size)) for start in (0x21, 0x5A, 0xB3)) for size in (16, 24, 32)
}  # Key-ENC, Key-MAC, Key-DEK
AID = bytes.fromhex("F06A6F72656E03")
DIVERSIFICATION = bytes.fromhex("D1D2D3D4D5D6D7D8D9DA")
LEVELS = (0x00, 0x01, 0x03, 0x11, 0x13, 0x33)
PARAMETERS = (0x00, 0x10, 0x20, 0x30, 0x60, 0x70, 0x01, 0x11, 0x21, 0x31, 0x61, 0x71)


def aes(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def cbc(key: bytes, iv: bytes, data: bytes, *, back: bool = False) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    return (cipher.decryptor() if back else cipher.encryptor()).update(data)


def cmac(key: bytes, message: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def derive(key: bytes, constant: int, context: bytes, bits: int) -> bytes:
    """4.1.5."""
    output = b""
    for i in (1, 2):
        output += cmac(key, b"\x00" * 11 + bytes([constant]) + b"\x00" + bits.to_bytes(2, "big") + bytes([i]) + context)
    return output[: bits // 8]


def pad(data: bytes) -> bytes:
    """4.1.4."""
    data += b"\x80"
    while len(data) % 16:
        data += b"\x00"
    return data


def unpad(data: bytes) -> bytes:
    cut = data.rindex(b"\x80")
    assert not any(data[cut + 1 :])
    return data[:cut]


@dataclass
class Plain:
    """A command APDU taken apart; `extended` where its lengths are."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: bytes = b""
    extended: bool = False

    @classmethod
    def parse(cls, apdu: bytes) -> "Plain":
        head, body = (apdu[0], apdu[1], apdu[2], apdu[3]), apdu[4:]
        if len(body) <= 1:
            return cls(*head, le=body)
        if body[0]:
            return cls(*head, body[1 : 1 + body[0]], body[1 + body[0] :])
        if len(body) == 3:
            return cls(*head, le=body[1:], extended=True)
        size = int.from_bytes(body[1:3], "big")
        return cls(*head, body[3 : 3 + size], body[3 + size :], extended=True)

    def apdu(self, data: bytes) -> bytes:
        """With other data, and extended lengths where they must be or were."""
        head = bytes([self.cla, self.ins, self.p1, self.p2])
        if self.extended or len(data) > 255:
            le = self.le if len(self.le) != 1 else (int.from_bytes(self.le, "big") or 256).to_bytes(2, "big")
            return head + (b"\x00" + len(data).to_bytes(2, "big") + data if data else b"\x00" * bool(le)) + le
        return head + (bytes([len(data)]) + data if data else b"") + self.le


def secure(cla: int) -> int:
    """11.1.4 of GPCS: the CLA that says secure messaging."""
    return cla | 0x20 if cla & 0x40 else cla | 0x04


def insecure(cla: int) -> int:
    return cla & ~0x20 if cla & 0x40 else cla & ~0x04


@dataclass
class Session:
    """Session keys and state, as 6.2 has them."""

    enc: bytes
    mac: bytes
    rmac: bytes
    size: int
    chain: bytes = bytes(16)
    count: int = 0
    level: int = 0

    @classmethod
    def of(cls, keys: tuple[bytes, ...], context: bytes) -> "Session":
        bits = 8 * len(keys[0])
        parts = (derive(keys[0], 4, context, bits), derive(keys[1], 6, context, bits), derive(keys[1], 7, context, bits))
        return cls(*parts, size=len(context) // 2)

    def cryptogram(self, constant: int, context: bytes) -> bytes:
        return derive(self.mac, constant, context, 8 * self.size)

    def c_mac(self, command: Plain, data: bytes) -> bytes:
        """6.2.4."""
        size = len(data) + self.size
        lc = b"\x00" + size.to_bytes(2, "big") if command.extended or size > 255 else bytes([size])
        cla = 0x84 if command.cla & 0x80 else 0x04
        return cmac(self.mac, self.chain + bytes([cla, command.ins, command.p1, command.p2]) + lc + data)

    def iv(self, response: bool) -> bytes:
        """6.2.6, 6.2.7."""
        block = self.count.to_bytes(16, "big")
        return aes(self.enc, b"\x80" + block[1:] if response else block)

    def r_mac(self, data: bytes, sw: bytes) -> bytes:
        """6.2.5."""
        return cmac(self.rmac, self.chain + data + sw)[: self.size]


def echo(command: bytes) -> bytes:
    """An application that sends the data back."""
    return Plain.parse(command).data + b"\x90\x00"


@dataclass
class StandardCard:
    """A card that speaks SCP03 with one key set of version 30; `heard` is what its application got, in the clear."""

    keys: tuple[bytes, ...]
    i: int = 0x70
    application: Callable[[bytes], bytes] = echo
    version: int = 0x30
    sequence: int = 0
    heard: list[bytes] = field(default_factory=list)
    external_authenticates: int = 0
    session: Session | None = None
    expected: bytes = b""
    base_level: int = 0

    @property
    def size(self) -> int:
        return 16 if self.i & 1 else 8

    def transmit(self, apdu: bytes) -> bytes:
        command = Plain.parse(apdu)
        if command.cla in (*range(0x80, 0x84), *range(0xC0, 0xD0)) and command.ins == 0x50:
            return self.initialize_update(command)
        if command.ins == 0x82 and self.expected:
            return self.external_authenticate(command)
        if self.session is None or not self.session.level & 1:
            self.heard.append(apdu)
            return self.application(apdu)
        return self.within(command, self.session)

    def initialize_update(self, command: Plain) -> bytes:
        self.session = None
        if command.p1 not in (0, self.version):
            return b"\x6a\x88"
        if len(command.data) != self.size:
            return b"\x67\x00"
        tail = b""
        challenge = derive(b"a source of chance for this test.."[:16], 0xEE, command.data, 8 * self.size)
        if self.i & 0x10:
            self.sequence += 1
            tail = self.sequence.to_bytes(3, "big")
            challenge = derive(self.keys[0], 2, tail + AID, 8 * self.size)
        context = command.data + challenge
        self.session = Session.of(self.keys, context)
        self.expected = self.session.cryptogram(1, context)
        return (
            DIVERSIFICATION + bytes([self.version, 3, self.i]) + challenge + self.session.cryptogram(0, context) + tail + b"\x90\x00"
        )  # fmt: skip

    def external_authenticate(self, command: Plain) -> bytes:
        self.external_authenticates += 1
        assert self.session is not None
        assert command.cla in (*range(0x84, 0x88), *range(0xE0, 0xF0))
        data, mac = command.data[: self.size], command.data[self.size :]
        expected, self.expected = self.expected, b""
        whole = self.session.c_mac(command, data)
        if data != expected:
            return b"\x63\x00"
        if mac != whole[: self.size]:
            return b"\x69\x82"
        self.session.chain, self.session.level, self.base_level = whole, command.p1, command.p1
        return b"\x90\x00"

    def within(self, command: Plain, session: Session) -> bytes:
        body, mac = command.data[: -self.size], command.data[-self.size :]
        whole = session.c_mac(command, body)
        if insecure(command.cla) == command.cla or mac != whole[: self.size]:
            self.session = None
            return b"\x69\x82"
        session.chain = whole
        session.count += 1
        if session.level & 0x02 and body:
            body = unpad(cbc(session.enc, session.iv(response=False), body, back=True))
        command.cla = insecure(command.cla)
        clear = command.apdu(body)
        level = session.level
        if (command.ins, command.p2) == (0x7A, 1):
            session.level |= command.p1
            return self.protected(b"\x90\x00", session, level)
        if (command.ins, command.p2) == (0x78, 3):
            session.level = self.base_level
            return self.protected(b"\x90\x00", session, level)
        self.heard.append(clear)
        return self.protected(self.application(clear), session, level)

    def protected(self, response: bytes, session: Session, level: int) -> bytes:
        data, sw = response[:-2], response[-2:]
        if not level & 0x10:
            return response
        if sw != b"\x90\x00" and sw[0] not in (0x62, 0x63):
            return sw
        if data and level & 0x20:
            data = cbc(session.enc, session.iv(response=True), pad(data))
        return data + session.r_mac(data, sw) + sw


class StandardDomain(StandardCard):
    """A card whose application keeps the key sets, by version: PUT KEY of three AES keys, and DELETE of a version."""

    def __init__(self, keys: tuple[bytes, ...], version: int = 0x30) -> None:
        super().__init__(keys, application=self.manage, version=version)
        self.sets = {version: keys}

    def initialize_update(self, command: Plain) -> bytes:
        version = command.p1 or next(iter(self.sets))
        if version not in self.sets:
            self.session = None
            return b"\x6a\x88"
        self.version, self.keys = version, self.sets[version]
        return super().initialize_update(command)

    def manage(self, apdu: bytes) -> bytes:
        command = Plain.parse(apdu)
        if (command.cla, command.ins, command.p2) == (0x80, 0xD8, 0x81):
            return self.put_key(command.p1, command.data)
        if (command.cla, command.ins, command.p1, command.p2) == (0x80, 0xE4, 0, 0):
            return self.delete_key(command.data)
        return b"\x6d\x00"

    def put_key(self, replaced: int, data: bytes) -> bytes:
        """GPCS 11.8.2.3, Table 11-68; Amendment D, 7.2, Table 7-10: type 88, length, key length, key under DEK, length and check value."""
        if replaced and replaced not in self.sets:
            return b"\x6a\x88"
        new: list[bytes] = []
        answer, rest = data[:1], data[1:]
        while rest:
            size, length = rest[1], rest[2]
            key = cbc(self.keys[2], bytes(16), rest[3 : 2 + size], back=True)[:length]
            kcv = rest[3 + size : 3 + size + rest[2 + size]]
            if rest[0] != 0x88 or kcv != aes(key, b"\x01" * 16)[:3]:
                return b"\x94\x85"
            new.append(key)
            answer += kcv
            rest = rest[3 + size + rest[2 + size] :]
        if len(new) != 3:
            return b"\x6a\x80"
        self.sets.pop(replaced, None)
        self.sets[data[0]] = tuple(new)
        return answer + b"\x90\x00"

    def delete_key(self, data: bytes) -> bytes:
        """GPCS 11.2.2.3.2: all keys of a version number, D2."""
        if data[:2] != b"\xd2\x01" or len(data) != 3:
            return b"\x6a\x80"
        if self.sets.pop(data[2], None) is None:
            return b"\x6a\x88"
        return b"\x00\x90\x00"


@dataclass
class StandardHost:
    """The other side, likewise: opens with `transmit`, then exchanges plain APDUs. It believes what it is told, but for MACs."""

    keys: tuple[bytes, ...]
    transmit: Callable[[bytes], bytes]
    session: Session | None = None

    def open(self, level: int, challenge: bytes) -> bytes:
        answer = self.transmit(b"\x80\x50\x00\x00" + bytes([len(challenge)]) + challenge + b"\x00")
        size = len(challenge)
        context = challenge + answer[13 : 13 + size]
        self.session = session = Session.of(self.keys, context)
        assert answer[13 + size : 13 + 2 * size] == session.cryptogram(0, context)
        data = session.cryptogram(1, context)
        command = Plain(0x84, 0x82, level, 0)
        session.chain = session.c_mac(command, data)
        session.level = level
        return self.transmit(command.apdu(data + session.chain[:size]))

    def wrap(self, apdu: bytes) -> bytes:
        session, command = self.session, Plain.parse(apdu)
        assert session is not None
        if not session.level & 1:
            return apdu
        session.count += 1
        data = command.data
        if data and session.level & 2:
            data = cbc(session.enc, session.iv(response=False), pad(data))
        command.extended = command.extended or len(data) + session.size > 255
        session.chain = session.c_mac(command, data)
        command.cla = secure(command.cla)
        return command.apdu(data + session.chain[: session.size])

    def unwrap(self, response: bytes) -> bytes:
        session = self.session
        assert session is not None
        data, sw = response[:-2], response[-2:]
        if not session.level & 0x10 or (sw != b"\x90\x00" and sw[0] not in (0x62, 0x63)):
            return response
        body, mac = data[: -session.size], data[-session.size :]
        assert mac == session.r_mac(body, sw)
        if body and session.level & 0x20:
            body = unpad(cbc(session.enc, session.iv(response=True), body, back=True))
        return body + sw

    def exchange(self, apdu: bytes) -> bytes:
        return self.unwrap(self.transmit(self.wrap(apdu)))


SCRIPT = (
    "80F22002",
    "80CA006600",
    "00A4040005F00102030400",
    "80E28001" + "20" + "C1" * 32,
    "80E28002" + "10" + "C2" * 16 + "00",
    "00CB3FFF00",
)
ANSWERS = ("9000", "4F0212349000", "6283", "9000", "C3" * 40 + "9000", "6A88")


def vector_rows() -> Iterator[tuple[str, ...]]:
    """Whole exchanges: every key length, S8 and S16, every level; INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, then commands of each case."""
    for size, s16, level in ((size, s16, level) for size in KEYS for s16 in (0, 1) for level in LEVELS):
        answers = iter(ANSWERS)

        def answered(_command: bytes, answers: Iterator[str] = answers) -> bytes:
            return bytes.fromhex(next(answers))

        card = StandardCard(KEYS[size], 0x70 | s16, answered, sequence=level)
        log: list[tuple[bytes, bytes]] = []

        def transmit(apdu: bytes, card: StandardCard = card, log: list[tuple[bytes, bytes]] = log) -> bytes:
            response = card.transmit(apdu)
            log.append((apdu, response))
            return response

        host = StandardHost(KEYS[size], transmit)
        challenge = derive(KEYS[16][2], 0xEF, bytes([size, s16, level]), 128)[: 16 if s16 else 8]
        name = f"AES-{size * 8} {'S16' if s16 else 'S8'} {level:02X}"
        host.open(level, challenge)
        opening = [f"{command.hex().upper()} > {response.hex().upper()}" for command, response in log]
        yield (name, "open", *(key.hex().upper() for key in KEYS[size]), AID.hex().upper(), *opening)
        for command, answer in zip(SCRIPT, ANSWERS, strict=True):
            log.clear()
            assert host.exchange(bytes.fromhex(command)).hex().upper() == answer
            yield (name, "exchange", command, log[0][0].hex().upper(), log[0][1].hex().upper(), answer)


HEADER = """\
# SCP03 exchanges, made by tests/scp03kit.py from the text of GlobalPlatform Amendment D 1.1.1, and S16 of 1.2; the tests make them anew.
# name | open     | Key-ENC | Key-MAC | Key-DEK | AID | INITIALIZE UPDATE > its response | EXTERNAL AUTHENTICATE > its response
# name | exchange | command | command protected | response protected | response
"""

if __name__ == "__main__":
    text = HEADER + "".join(" | ".join(row) + "\n" for row in vector_rows())
    (FOLDER / "scp03.txt").write_text(text, encoding="utf-8")
