"""Vaults for development and tests: one in memory, and one in a file that says what it is. No key of them is for real cards.

How it works. The file is read once; every change writes it anew beside the old one and puts it in its place in one step, so whoever kills
this process leaves the file as it was or as it shall be.
"""

import json
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from secrets import token_bytes
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_der_private_key

from joren.apdu import Key

from .errors import HostError
from .vault import KEY_SIZES, MASTER_NAME, MASTER_NAMES, VERSION_MAX, check_new_master, no_such_version

__all__ = ["FileVault", "MemoryVault"]

FORMAT = "joren-development-keys"
VERSION = 2
WARNING = "Development keys. Whoever reads this file can issue cards and grant points. Never use it for real cards."
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NO_SIGNING_KEY = "signing key: there is none in the vault; joren keys generate all makes it"


class MemoryVault:
    """A vault that lives as long as this object (VaultStore)."""

    def __init__(
        self, keys: Iterable[Key] = (), signing: ec.EllipticCurvePrivateKey | None = None, *, random: Callable[[int], bytes] = token_bytes
    ) -> None:
        self._keys: dict[str, dict[int, Key]] = {}
        self._signing = signing
        self._random = random
        for key in keys:
            self._add(key)

    @classmethod
    def create(cls, random: Callable[[int], bytes] = token_bytes) -> Self:
        """Version 1 of every master, AES-128, and a signing key."""
        vault = cls(random=random)
        for name in MASTER_NAMES:
            vault._add(Key(random(16), name))
        vault._signing = _new_signing_key(random)
        return vault

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._keys) or 'empty'}>"

    def versions(self, name: str) -> tuple[int, ...]:
        if name not in self._keys:
            raise HostError(f"master {name}: not in the vault; joren keys generate {name} makes it")
        return tuple(sorted(self._keys[name]))

    def key(self, name: str, version: int) -> Key:
        """The master itself, which a vault in hardware does not give. Raises HostError."""
        there = self.versions(name)
        if version not in there:
            raise no_such_version(name, version, there)
        return self._keys[name][version]

    def cmac(self, name: str, version: int, message: bytes) -> bytes:
        return self.key(name, version).cmac(message)

    def check_value(self, name: str, version: int) -> bytes:
        return self.key(name, version).kcv()

    def size(self, name: str, version: int) -> int:
        return len(self.key(name, version))

    def sign(self, message: bytes) -> bytes:
        return self._private().sign(message, ec.ECDSA(SHA256()))

    @property
    def public_key(self) -> bytes:
        return self._private().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def close(self) -> None:
        """Forgets the keys."""
        self._keys, self._signing = {}, None

    def generate(self, name: str, version: int, size: int = 16) -> None:
        check_new_master(name, version, size, self._keys.get(name, ()))
        self.put(name, version, Key(self._random(size), name, version))

    def put(self, name: str, version: int, key: Key) -> None:
        check_new_master(name, version, len(key), self._keys.get(name, ()))
        if any(key == known for known in self._keys.get(name, {}).values()):
            raise HostError(f"master {name}: that key is there already, as another version; nothing was changed")
        self._add(Key(key.reveal(), name, version))
        self._save()

    def remove(self, name: str, version: int) -> None:
        self.key(name, version)
        del self._keys[name][version]
        if not self._keys[name]:
            del self._keys[name]
        self._save()

    def make_signing_key(self) -> bool:
        if self._signing is not None:
            return False
        self._signing = _new_signing_key(self._random)
        self._save()
        return True

    def _add(self, key: Key) -> None:
        self._keys.setdefault(key.name, {})[key.version] = key

    def _private(self) -> ec.EllipticCurvePrivateKey:
        if self._signing is None:
            raise HostError(NO_SIGNING_KEY)
        return self._signing

    def _save(self) -> None:
        """After every change."""


class FileVault(MemoryVault):
    """A vault in a file (VaultStore). `storage` is the workspace's own key, under which images of simulated cards wrap their secrets."""

    def __init__(self, path: Path, keys: Iterable[Key], signing: ec.EllipticCurvePrivateKey | None, storage: Key) -> None:
        super().__init__(keys, signing)
        self.path = path
        self.storage = storage

    @classmethod
    def create_file(cls, path: Path, *, masters: bool = True) -> Self:
        """A new file: `storage`, and version 1 of every master unless these are elsewhere. Raises HostError where there is one already."""
        storage = Key(token_bytes(16), "storage")
        if masters:
            keys, signing = [Key(token_bytes(16), name) for name in MASTER_NAMES], _new_signing_key(token_bytes)
            vault = cls(path, keys, signing, storage)
        else:
            vault = cls(path, (), None, storage)
        try:
            _write_new(path, vault._text())
        except OSError as error:
            raise HostError(f"keys {path}: {error.strerror}; nothing was written") from error
        return vault

    @classmethod
    def load_file(cls, path: Path) -> Self:
        """Raises HostError for a file of another kind or of an earlier version, a damaged one, and one that others may read."""
        try:
            mode = path.stat().st_mode
            table = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise HostError(f"keys {path}: {error.strerror}") from error
        except ValueError:
            raise HostError(f"keys {path}: no JSON; take a copy of it from before") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise HostError(f"keys {path}: others may read it (mode {stat.S_IMODE(mode):o}); chmod 600 it")
        form, version = (table.get("format"), table.get("version")) if isinstance(table, dict) else (None, None)
        if (form, version) == (FORMAT, 1):
            raise HostError(
                f"keys {path}: version {VERSION} expected, version 1 came, of an earlier joren; its cards can not be used any more. "
                "These were for development: take another folder (--home), or delete this one, and make cards anew"
            )
        if (form, version) != (FORMAT, VERSION):
            raise HostError(f"keys {path}: {FORMAT} of version {VERSION} expected, another kind of file came")
        try:
            return cls(path, *_decoded(table))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise HostError(f"keys {path}: a key is missing or damaged; take a copy of it from before") from None

    def versions(self, name: str) -> tuple[int, ...]:
        if not self._keys:
            raise HostError(
                f"master {name}: {self.path} has no master at all; name the token that has them (--vault), "
                f"or joren keys generate {name} makes it"
            )
        return super().versions(name)

    def close(self) -> None:
        """Nothing to let go of: the file is not held open."""

    def _save(self) -> None:
        """Whole or not at all. Raises HostError, and then what is in memory is what the file has again."""
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            new.unlink(missing_ok=True)
            _write_new(new, self._text())
            new.replace(self.path)
        except OSError as error:
            before = type(self).load_file(self.path)
            self._keys, self._signing = before._keys, before._signing
            raise HostError(f"keys {self.path}: {error.strerror}; nothing was changed") from error

    def _text(self) -> str:
        masters = {
            name: {str(version): versions[version].reveal().hex().upper() for version in sorted(versions)}
            for name, versions in self._keys.items()
        }
        signing = None
        if self._signing is not None:
            signing = self._signing.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).hex().upper()
        table = {"format": FORMAT, "version": VERSION, "warning": WARNING, "storage": self.storage.reveal().hex().upper()}
        return json.dumps({**table, "signing": signing, "masters": masters}, indent=1) + "\n"


def _decoded(table: dict[str, Any]) -> tuple[list[Key], ec.EllipticCurvePrivateKey | None, Key]:
    keys = []
    for name, versions in table["masters"].items():
        for version, digits in versions.items():
            key = Key(bytes.fromhex(digits), name, int(version))
            if not MASTER_NAME.fullmatch(name) or not 1 <= key.version <= VERSION_MAX or len(key) not in KEY_SIZES:
                raise ValueError
            keys.append(key)
    signing = None if table["signing"] is None else load_der_private_key(bytes.fromhex(table["signing"]), None)
    if signing is not None and not isinstance(signing, ec.EllipticCurvePrivateKey):
        raise ValueError
    return keys, signing, Key(bytes.fromhex(table["storage"]), "storage")


def _new_signing_key(random: Callable[[int], bytes]) -> ec.EllipticCurvePrivateKey:
    """FIPS 186-5, A.2.1: from 64 bits more than the order has."""
    return ec.derive_private_key(1 + int.from_bytes(random(40)) % (P256_ORDER - 1), ec.SECP256R1())


def _write_new(path: Path, text: str) -> None:
    """A file that was not there, for its owner alone, on the disk when this returns; none is left where it fails."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
