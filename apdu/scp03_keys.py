"""Keys of SCP03: static sets, session keys, cryptograms, challenges, and keys encrypted for PUT KEY (Amendment D, 4.1.5, 6.2, 7.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hmac import compare_digest

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .key import Key, MacMismatch
from .record import MalformedRecord

__all__ = ["ScpKeys", "SessionKeys", "decrypt_key", "decrypt_sensitive", "encrypt_key", "encrypt_sensitive", "kdf"]

CARD_CHALLENGE, S_ENC, S_MAC, S_RMAC = 0x02, 0x04, 0x06, 0x07
KEY_TYPE_AES = 0x88
KCV_SIZE = 3


def kdf(prf: Callable[[bytes], bytes], constant: int, context: bytes, size: int) -> bytes:
    """`size` bytes (8, 16, 24 or 32): SP 800-108 in counter mode (Amendment D, 4.1.5). `prf` is AES-CMAC under the deriving key.

    Its input: 11 bytes 00 | constant | 00 | length in bits u16 | counter u8 | context.
    """
    first = prf(_label(constant, size, 1) + context)
    return first[:size] if size <= 16 else (first + prf(_label(constant, size, 2) + context))[:size]


@cache
def _label(constant: int, size: int, counter: int) -> bytes:
    return bytes(11) + bytes((constant, 0)) + (size * 8).to_bytes(2) + bytes((counter,))


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """S-ENC, S-MAC and S-RMAC, each as long as the static key it comes from."""

    enc: Key
    mac: Key
    rmac: Key


@dataclass(frozen=True, slots=True)
class ScpKeys:
    """A static key set: Key-ENC, Key-MAC and Key-DEK, AES of one length (6.1), and its key version number, 1..255; 0 where not known."""

    enc: Key
    mac: Key
    dek: Key
    version: int = 0

    def __post_init__(self) -> None:
        if not len(self.enc) == len(self.mac) == len(self.dek):
            raise ValueError(f"key set: keys of one length expected, {len(self.enc)}, {len(self.mac)}, {len(self.dek)} bytes came")
        if not 0 <= self.version <= 0xFF:
            raise ValueError(f"key version: 0..255 expected, {self.version} came")

    def session(self, context: bytes) -> SessionKeys:
        """The session keys; `context` is host challenge | card challenge (6.2.1)."""
        size, mac = len(self.mac), self.mac.cmac
        return SessionKeys(
            Key(kdf(self.enc.cmac, S_ENC, context, size), "S-ENC", self.version),
            Key(kdf(mac, S_MAC, context, size), "S-MAC", self.version),
            Key(kdf(mac, S_RMAC, context, size), "S-RMAC", self.version),
        )

    def card_challenge(self, sequence_counter: int, aid: bytes, size: int) -> bytes:
        """The pseudo-random card challenge, 8 or 16 bytes, of a counter u24 and the AID, 5..16 bytes, of the application (6.2.2.1)."""
        return kdf(self.enc.cmac, CARD_CHALLENGE, sequence_counter.to_bytes(3) + aid, size)


def encrypt_sensitive(dek: Key, data: bytes, padding: bytes = bytes(15)) -> bytes:
    """Data under Key-DEK: AES-CBC with ICV 0 (6.2.8). What lacks to whole blocks is taken from `padding`, which may be any bytes."""
    missing = -len(data) % 16
    if len(padding) < missing:
        raise ValueError(f"padding: {missing} bytes expected, {len(padding)} came")
    return Cipher(algorithms.AES(dek.reveal()), modes.CBC(bytes(16))).encryptor().update(data + padding[:missing])


def decrypt_sensitive(dek: Key, data: bytes) -> bytes:
    """The data and their padding, if any. Raises MalformedRecord where these are no whole blocks."""
    if len(data) % 16:
        raise MalformedRecord(f"encrypted data: whole blocks of 16 bytes expected, {len(data)} bytes came")
    return Cipher(algorithms.AES(dek.reveal()), modes.CBC(bytes(16))).decryptor().update(data)


def encrypt_key(dek: Key, key: Key, padding: bytes = bytes(15)) -> bytes:
    """An AES key for PUT KEY (Table 7-10): 88 | 11 or 21 | its length | the key under Key-DEK | 03 | its check value; 23 or 39 bytes."""
    encrypted = encrypt_sensitive(dek, key.reveal(), padding)
    return bytes((KEY_TYPE_AES, 1 + len(encrypted), len(key))) + encrypted + bytes((KCV_SIZE,)) + key.kcv()


def decrypt_key(dek: Key, block: bytes, name: str = "", version: int = 1) -> Key:
    """The key of exactly one such block. Raises MalformedRecord for another form, MacMismatch where the check value is not the key's."""
    size = block[2] if len(block) > 2 else 0
    encrypted_size = -(-size // 16) * 16
    if size not in (16, 24, 32) or len(block) != 3 + encrypted_size + 1 + KCV_SIZE:
        raise MalformedRecord(f"key data field: 23 or 39 bytes expected, {len(block)} came")
    if (block[0], block[1], block[3 + encrypted_size]) != (KEY_TYPE_AES, 1 + encrypted_size, KCV_SIZE):
        raise MalformedRecord("key data field: type 88 and the lengths of Table 7-10 expected")
    key = Key(decrypt_sensitive(dek, block[3 : 3 + encrypted_size])[:size], name, version)
    if not compare_digest(key.kcv(), block[-KCV_SIZE:]):
        raise MacMismatch(f"{key!r}: the key check value fits not")
    return key
