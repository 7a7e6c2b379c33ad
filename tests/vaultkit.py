"""Vaults for tests: tokens of SoftHSM2 in a folder of their own, and the masters that they are filled with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from joren.apdu import Key
from joren.host.pkcs11_uri import Pkcs11Uri
from joren.host.softhsm import make_token
from joren.host.vault import MASTER_NAMES, VaultStore
from joren.host.vault_file import FileVault, MemoryVault
from joren.host.vault_pkcs11 import Pkcs11Vault

__all__ = ["KINDS", "fill", "opened", "pin_of", "root", "softhsm", "vault_of"]

KINDS = ("memory", "file", "token")


def root(name: str, version: int = 1, size: int = 16) -> Key:
    """A master that is the same in every vault, for every run."""
    return Key(sha256(f"{name} {version}".encode()).digest()[:size], name, version)


def fill(vault: VaultStore, *versions: int) -> None:
    """Each master in these versions."""
    for name in MASTER_NAMES:
        for version in versions:
            vault.put(name, version, root(name, version))


@contextmanager
def softhsm(folder: Path) -> Iterator[Pkcs11Uri]:
    """A new token; $SOFTHSM2_CONF, by which SoftHSM finds it, is afterwards what it was."""
    before = os.environ.get("SOFTHSM2_CONF")
    try:
        yield make_token(folder)
    finally:
        if before is None:
            os.environ.pop("SOFTHSM2_CONF", None)
        else:
            os.environ["SOFTHSM2_CONF"] = before


def pin_of(uri: Pkcs11Uri) -> str:
    """From the token's file."""
    assert uri.pin_file is not None
    return uri.pin_file.read_text().strip()


@contextmanager
def opened(uri: Pkcs11Uri) -> Iterator[Pkcs11Vault]:
    """The token, logged in."""
    vault = Pkcs11Vault(uri, pin_of(uri))
    try:
        yield vault
    finally:
        vault.close()


@contextmanager
def vault_of(kind: str, folder: Path) -> Iterator[VaultStore]:
    """An empty vault of one of KINDS."""
    if kind == "memory":
        yield MemoryVault()
    elif kind == "file":
        yield FileVault.create_file(folder / "keys.json", masters=False)
    else:
        with softhsm(folder / "hsm") as uri, opened(uri) as vault:
            yield vault
