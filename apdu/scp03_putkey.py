"""PUT KEY of a whole key set under Key-DEK (GlobalPlatform 2.3.1, 11.8; Amendment D, 7.2): the command, its answer, and what a card reads;
and DELETE of a set.

The commands are plain: they go through the secure channel like any other. The card takes all three keys or none (11.8.2.3.3).
"""

from hmac import compare_digest

from .command import Command
from .key import Key, MacMismatch
from .record import MalformedRecord
from .response import Response
from .scp03_class import class_byte
from .scp03_errors import ChannelRefused
from .scp03_keys import ScpKeys, decrypt_key, encrypt_key

__all__ = ["check_put_keys", "decode_put_keys", "delete_keys", "put_keys", "put_keys_answer"]

NAMES = ("Key-ENC", "Key-MAC", "Key-DEK")
VERSION_MAX, VERSION_FIRST = 0x7F, 0xFF


def put_keys(dek: Key, keys: ScpKeys, replaces: int = 0, channel: int = 0, padding: bytes = bytes(15)) -> Command:
    """PUT KEY with Key-ENC, Key-MAC and Key-DEK as key identifiers 1 to 3. Data: the new key version, 1..127, and three key data fields.

    `replaces` is the version of the set that goes, 0 where this one is added. `padding` fills up keys of 24 bytes and may be any bytes.
    Raises ValueError for versions out of range.
    """
    if not 1 <= keys.version <= VERSION_MAX or not 0 <= replaces <= VERSION_MAX:
        raise ValueError(f"key version: 1..{VERSION_MAX}, replacing 0..{VERSION_MAX}, expected, {keys.version} and {replaces} came")
    fields = b"".join(encrypt_key(dek, key, padding) for key in (keys.enc, keys.mac, keys.dek))
    return Command(class_byte(channel), 0xD8, replaces, 0x81, bytes((keys.version,)) + fields, 0x100)


def delete_keys(version: int, channel: int = 0) -> Command:
    """DELETE of a key version's keys, 1..127, or 255, a card's first (GlobalPlatform 2.3.1, 11.2.2.3.2). Raises ValueError for others."""
    if not 1 <= version <= VERSION_MAX and version != VERSION_FIRST:
        raise ValueError(f"key version: 1..{VERSION_MAX} or {VERSION_FIRST} expected, {version} came")
    return Command(class_byte(channel), 0xE4, 0x00, 0x00, bytes((0xD2, 1, version)), 0x100)


def put_keys_answer(keys: ScpKeys) -> bytes:
    """What the card answers, 10 bytes: the key version and three key check values (11.8.3.1)."""
    return bytes((keys.version,)) + keys.enc.kcv() + keys.mac.kcv() + keys.dek.kcv()


def check_put_keys(response: Response, keys: ScpKeys) -> None:
    """Raises ChannelRefused where the card refused, MacMismatch where it confirms other keys than these."""
    if not response.ok:
        raise ChannelRefused("PUT KEY", response.sw)
    if not compare_digest(response.data, put_keys_answer(keys)):
        raise MacMismatch(f"PUT KEY: the card does not confirm the key set of version {keys.version:02X}")


def decode_put_keys(dek: Key, data: bytes) -> ScpKeys:
    """The key set of a data field, exactly three keys of one length. Raises MalformedRecord, and MacMismatch for a wrong check value."""
    size, rest = divmod(len(data) - 1, 3)
    if rest or size <= 0 or not 1 <= data[0] <= VERSION_MAX:
        raise MalformedRecord(f"PUT KEY: a key version 1..{VERSION_MAX} and three key data fields expected, {len(data)} bytes came")
    fields = [data[1 + size * index : 1 + size * (index + 1)] for index in range(3)]
    enc, mac, new_dek = (decrypt_key(dek, field, name, data[0]) for field, name in zip(fields, NAMES, strict=True))
    if not len(enc) == len(mac) == len(new_dek):
        raise MalformedRecord("PUT KEY: keys of one length expected")
    return ScpKeys(enc, mac, new_dek, data[0])
