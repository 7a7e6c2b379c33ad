"""Where the issuer's master keys are: a vault, which computes with them and gives none of them away.

How it works. Masters (masters.py) makes every key of a card from what a vault computes: an AES-CMAC under a master that it names. So a
master never leaves a security module (vault_pkcs11.py); for development and tests a file stands in for one (vault_file.py). A master has
one version or more, old and new side by side while cards are renewed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from joren.apdu import Key

from .errors import HostError

__all__ = [
    "CARD_MASTERS", "CHECK_INPUT", "KEY_SIZES", "MASTER_NAME", "MASTER_NAMES", "VERSION_MAX", "NamedVault", "Vault", "VaultStore",
    "check_new_master", "no_such_version", "versions_text",
]  # fmt: skip

CARD_MASTERS = ("till", "shop", "receipt", "load", "admin")
"""The masters of a customer card's keys, which get their new versions together (REQ-KEY-6)."""
MASTER_NAMES = (*CARD_MASTERS, "shop_admin", "pin", "manager", "transport")
MASTER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
KEY_SIZES = (16, 32)
VERSION_MAX = 0xFF
CHECK_INPUT = b"\x01" * 16


class Vault(Protocol):
    """Master keys (AES-128 or AES-256) by name and version (1..255), and the issuer's signing key."""

    def versions(self, name: str) -> tuple[int, ...]:
        """The versions of a master, rising. Raises HostError where there is none of this name."""

    def cmac(self, name: str, version: int, message: bytes) -> bytes:
        """AES-CMAC of message, 16 bytes. Raises HostError for a version that is not there."""

    def check_value(self, name: str, version: int) -> bytes:
        """3 bytes: AES of sixteen 01 (GlobalPlatform 2.3.1, B.6). Raises HostError for a version that is not there."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA on P-256 with SHA-256 over message, DER. Raises HostError where there is no signing key."""

    @property
    def public_key(self) -> bytes:
        """That key's SubjectPublicKeyInfo, DER. Raises HostError where there is no signing key."""

    def close(self) -> None:
        """Lets go of the vault; whoever uses it afterwards gets an error."""


class VaultStore(Vault, Protocol):
    """A vault as those who keep its keys see it."""

    def size(self, name: str, version: int) -> int:
        """The master's length in bytes. Raises HostError for a version that is not there."""

    def generate(self, name: str, version: int, size: int = 16) -> None:
        """Makes a master of `size` bytes (16 or 32) inside. Raises HostError for a version that is there already."""

    def put(self, name: str, version: int, key: Key) -> None:
        """Takes a master in. Raises HostError for a version that is there already, and for a key of another length than 16 or 32 bytes."""

    def remove(self, name: str, version: int) -> None:
        """Destroys a version. Raises HostError for one that is not there."""

    def make_signing_key(self) -> bool:
        """Makes the signing key where it is missing; whether it was."""


class NamedVault:
    """A vault whose masters go by other names: `names` has for each role the name that its master has there (a product's [keys])."""

    def __init__(self, vault: VaultStore, names: Mapping[str, str]) -> None:
        self._vault = vault
        self._names = names

    def _named(self, role: str) -> str:
        if role not in self._names:
            raise HostError(f"master: one of {', '.join(self._names)} expected, {role!r} came")
        return self._names[role]

    def versions(self, name: str) -> tuple[int, ...]:
        """As the vault."""
        return self._vault.versions(self._named(name))

    def cmac(self, name: str, version: int, message: bytes) -> bytes:
        """As the vault."""
        return self._vault.cmac(self._named(name), version, message)

    def check_value(self, name: str, version: int) -> bytes:
        """As the vault."""
        return self._vault.check_value(self._named(name), version)

    def size(self, name: str, version: int) -> int:
        """As the vault."""
        return self._vault.size(self._named(name), version)

    def generate(self, name: str, version: int, size: int = 16) -> None:
        """As the vault."""
        self._vault.generate(self._named(name), version, size)

    def put(self, name: str, version: int, key: Key) -> None:
        """As the vault."""
        self._vault.put(self._named(name), version, key)

    def remove(self, name: str, version: int) -> None:
        """As the vault."""
        self._vault.remove(self._named(name), version)

    def sign(self, message: bytes) -> bytes:
        """As the vault."""
        return self._vault.sign(message)

    @property
    def public_key(self) -> bytes:
        """As the vault."""
        return self._vault.public_key

    def make_signing_key(self) -> bool:
        """As the vault."""
        return self._vault.make_signing_key()

    def close(self) -> None:
        """As the vault."""
        self._vault.close()


def check_new_master(name: str, version: int, size: int, there: Iterable[int]) -> None:
    """Raises HostError for a name that no master has, a version out of 1..255 or there already, another size than 16 or 32 bytes."""
    if not MASTER_NAME.fullmatch(name):
        raise HostError(f"master: a name of up to 32 letters, digits, '_', '.' and '-' expected, {name!r} came")
    if not 1 <= version <= VERSION_MAX:
        raise HostError(f"master {name}: a version 1..{VERSION_MAX} expected, {version} came")
    if size not in KEY_SIZES:
        raise HostError(f"master {name}: an AES key of 16 or 32 bytes expected, one of {size} came; nothing was changed")
    if version in there:
        raise HostError(f"master {name}: version {version} is in the vault already; nothing was changed")


def versions_text(versions: Sequence[int]) -> str:
    """Versions as an error tells them."""
    return ", ".join(map(str, versions))


def no_such_version(name: str, version: int, there: Sequence[int]) -> HostError:
    """A version that is not there."""
    return HostError(f"master {name}: version {version} is not in the vault; there are {versions_text(there) or 'none'}")
