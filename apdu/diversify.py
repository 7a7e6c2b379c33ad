"""Key diversification: how the keys of one card come from a master key and what the card tells of itself; schemes by their names.

How it works. A scheme says for each key which blocks go through a function of the master key (`steps`), and makes the key of what comes
out (`derive`). Both are one code: an explanation shows the very blocks that were used. Docs and sources: docs/keys.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from . import kdf
from .diversify_des import DesKey
from .key import Key

__all__ = [
    "AN10922", "EMV", "JOREN", "KDF3", "SCHEMES", "VISA2", "An10922Scheme", "DesKey", "JorenScheme", "KeySet", "Scheme", "SetScheme",
    "Step", "scheme",
]  # fmt: skip

K = TypeVar("K", bound=Key | DesKey)
DATA_SIZE = 10
PURPOSES = {"ENC": 1, "MAC": 2, "DEK": 3}
AES_RB, DES_RB = 0x87, 0x1B
AN10922_CONSTANTS = {
    (Key, 16): (0x01,),
    (Key, 24): (0x11, 0x12),
    (Key, 32): (0x41, 0x42),
    (DesKey, 16): (0x21, 0x22),
    (DesKey, 24): (0x31, 0x32, 0x33),
}


@dataclass(frozen=True, slots=True)
class Step:
    """How one key is made: its name, and the blocks that go through the master's function, in order."""

    name: str
    blocks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KeySet(Generic[K]):
    """The static keys of a secure channel: for encryption, for MACs, for keys that are loaded."""

    enc: K
    mac: K
    dek: K


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme by its name: the function of the master, the bytes a master may have with each cipher, least and most bytes of data."""

    name: str
    function: str
    masters: tuple[tuple[type[Key] | type[DesKey], tuple[int, ...]], ...]
    least: int
    most: int
    source: str

    def check(self, master: Key | DesKey, data: bytes) -> None:
        """Raises ValueError for a master of another cipher or size, and for data of another length."""
        if len(master) not in dict(self.masters).get(type(master), ()):
            expected = " or ".join(f"{_cipher(kind)} of {_either(sizes)} bytes" for kind, sizes in self.masters)
            raise ValueError(f"{self.name}: a master key for {expected} expected, {master!r} came")
        if not self.least <= len(data) <= self.most:
            expected = str(self.least) if self.least == self.most else f"{self.least}..{self.most}"
            raise ValueError(f"{self.name}: {expected} bytes of diversification data expected, {len(data)} came")


@dataclass(frozen=True, slots=True)
class JorenScheme(Scheme):
    """NIST SP 800-108r1, counter mode, AES-CMAC (REQ-KEY-2): one key for each label, as long as its master."""

    def steps(self, master: Key, data: bytes, label: bytes) -> tuple[Step, ...]:
        """The key for label (ASCII) and data, which is the context. Raises ValueError."""
        self.check(master, data)
        blocks: list[bytes] = []

        def note(message: bytes) -> bytes:
            blocks.append(message)
            return bytes(16)

        kdf.derive(note, label, data, len(master))
        return (Step(label.decode(), tuple(blocks)),)

    def derive(self, master: Key, data: bytes, label: bytes) -> Key:
        """The key for label (ASCII) and data, which is the context. Raises ValueError."""
        self.check(master, data)
        return master.derive(label, data)


@dataclass(frozen=True, slots=True)
class SetScheme(Scheme, Generic[K]):
    """Three keys of the 10 bytes of key diversification data in the answer to INITIALIZE UPDATE; each as long as the master.

    `block` gives a key's block for its constant (ENC 01, MAC 02, DEK 03), the data, and the block's number from 1; `apply` is the
    function of the master.
    """

    block: Callable[[int, bytes, int], bytes]
    apply: Callable[[K, bytes], bytes]

    def steps(self, master: K, data: bytes) -> tuple[Step, ...]:
        """ENC, MAC, DEK. Raises ValueError."""
        self.check(master, data)
        count = -(-len(master) // 16)
        return tuple(Step(name, tuple(self.block(constant, data, i + 1) for i in range(count))) for name, constant in PURPOSES.items())

    def derive(self, master: K, data: bytes) -> KeySet[K]:
        """The keys, with the master's version. Raises ValueError."""
        make = type(master)
        enc, mac, dek = (
            make(b"".join(self.apply(master, block) for block in step.blocks)[: len(master)], step.name, master.version)
            for step in self.steps(master, data)
        )
        return KeySet(enc, mac, dek)


@dataclass(frozen=True, slots=True)
class An10922Scheme(Scheme):
    """NXP AN10922: one key, as long as its master, of at most two cipher blocks less one byte of data: CMAC over always two blocks."""

    def steps(self, master: Key | DesKey, data: bytes) -> tuple[Step, ...]:
        """The one key; blocks are constant | data, padded. Raises ValueError."""
        self.check(master, data)
        size, most = (16, self.most) if isinstance(master, Key) else (8, 15)
        if len(data) > most:
            raise ValueError(f"{self.name}: 1..{most} bytes of diversification data expected with 3DES, {len(data)} came")
        messages = (bytes((constant,)) + data for constant in AN10922_CONSTANTS[type(master), len(master)])
        return (Step("key", tuple(m if len(m) == 2 * size else (m + b"\x80").ljust(2 * size, b"\x00") for m in messages)),)

    def derive(self, master: K, data: bytes) -> K:
        """The key, with the master's version. A 3DES key has its low bits 1..8, where DESFire keeps a version, from the master."""
        (step,) = self.steps(master, data)
        encrypt, block_size, rb = _raw(master)
        padded = 1 + len(data) < 2 * block_size
        parts = [_two_block_mac(encrypt, rb, block, padded) for block in step.blocks]
        if (type(master), len(master)) == (Key, 24):
            made = parts[0][:8] + _xor(parts[0][8:], parts[1][:8]) + parts[1][8:]
        else:
            made = b"".join(parts)
        if isinstance(master, DesKey):
            made = bytes(new & 0xFE | old & 0x01 for new, old in zip(made[:8], master.reveal()[:8], strict=True)) + made[8:]
        return type(master)(made, master.name, master.version)


def _cipher(kind: type[Key] | type[DesKey]) -> str:
    return "AES" if kind is Key else "3DES"


def _either(sizes: tuple[int, ...]) -> str:
    return " or ".join(map(str, sizes))


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _raw(master: Key | DesKey) -> tuple[Callable[[bytes], bytes], int, int]:
    """The block cipher, its block in bytes, and the constant of CMAC's subkeys."""
    if isinstance(master, DesKey):
        return master.ecb, 8, DES_RB
    return Cipher(algorithms.AES(master.reveal()), modes.ECB()).encryptor().update, 16, AES_RB  # noqa: S305 - the raw block cipher


def _two_block_mac(encrypt: Callable[[bytes], bytes], rb: int, message: bytes, padded: bool) -> bytes:
    """CMAC of exactly two blocks (SP 800-38B, 6.2) whose padding, if any, was done by the caller."""
    size = len(message) // 2
    subkey = int.from_bytes(encrypt(bytes(size)))
    for _ in range(2 if padded else 1):
        subkey = (subkey << 1) & ((1 << 8 * size) - 1) ^ (rb if subkey >> (8 * size - 1) else 0)
    first, last = encrypt(message[:size]), _xor(message[size:], subkey.to_bytes(size))
    return encrypt(_xor(first, last))


def _two_halves(serial: bytes, constant: int) -> bytes:
    """serial (6 bytes) | F0 | constant | serial | 0F | constant."""
    return serial + bytes((0xF0, constant)) + serial + bytes((0x0F, constant))


DES_MASTER, AES_MASTER = (DesKey, (16,)), (Key, (16, 24, 32))
JOREN = JorenScheme("joren", "AES-CMAC", (AES_MASTER,), DATA_SIZE, DATA_SIZE, "joren, docs/spec/keys.md, REQ-KEY-2; NIST SP 800-108r1, 4.1")
VISA2: SetScheme[DesKey] = SetScheme(
    "visa2",
    "3DES-ECB",
    (DES_MASTER,),
    DATA_SIZE,
    DATA_SIZE,
    "VISA2, as GlobalPlatformPro names it",
    lambda constant, data, _: _two_halves(data[:2] + data[4:8], constant),
    DesKey.ecb,
)
EMV: SetScheme[DesKey] = SetScheme(
    "emv",
    "3DES-ECB",
    (DES_MASTER,),
    DATA_SIZE,
    DATA_SIZE,
    "EMV Card Personalization Specification 1.1",
    lambda constant, data, _: _two_halves(data[4:], constant),
    DesKey.ecb,
)
KDF3: SetScheme[Key] = SetScheme(
    "kdf3",
    "AES-CMAC",
    (AES_MASTER,),
    DATA_SIZE,
    DATA_SIZE,
    "KDF3, as GlobalPlatformPro names it; NIST SP 800-108r1, 4.1, without the length",
    lambda constant, data, i: bytes((i, 0, 0, 0, constant, 0)) + data,
    Key.cmac,
)
AN10922 = An10922Scheme(
    "an10922", "CMAC of two blocks", (AES_MASTER, (DesKey, (16, 24))), 1, 31, "NXP AN10922, Symmetric key diversifications"
)
SCHEMES: dict[str, JorenScheme | SetScheme[Key] | SetScheme[DesKey] | An10922Scheme] = {
    "joren": JOREN,
    "visa2": VISA2,
    "emv": EMV,
    "kdf3": KDF3,
    "an10922": AN10922,
}


def scheme(name: str) -> JorenScheme | SetScheme[Key] | SetScheme[DesKey] | An10922Scheme:
    """The scheme of this name. Raises ValueError, which lists the names."""
    if name not in SCHEMES:
        raise ValueError(f"scheme: one of {', '.join(SCHEMES)} expected, {name!r} came")
    return SCHEMES[name]
