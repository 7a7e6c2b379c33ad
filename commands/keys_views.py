"""How the commands of joren keys name and show keys: cipher, version, check value, and never the key."""

from collections.abc import Iterable
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from joren.apdu import Key
from joren.apdu.diversify import DesKey
from joren.host import HostError
from joren.host.vault import VaultStore

from .output import console

__all__ = ["bytes_of", "cipher_text", "done_one_by_one", "hexadecimal", "kcv", "key_fields", "master_fields"]


def master_fields(vault: VaultStore, name: str, version: int) -> dict[str, Any]:
    """A version of a master, as JSON has it."""
    check_value = vault.check_value(name, version)
    return {"name": name, "cipher": f"AES-{vault.size(name, version) * 8}", "version": version, "check_value": hexadecimal(check_value)}


def key_fields(key: Key | DesKey) -> dict[str, Any]:
    """A key, as JSON has it."""
    return {"cipher": cipher_text(key), "version": key.version, "check_value": kcv(key)}


def cipher_text(key: Key | DesKey) -> str:
    """AES-128, 2TDEA, and so on."""
    return f"AES-{len(key) * 8}" if isinstance(key, Key) else f"{len(key) // 8}TDEA"


def kcv(key: Key | DesKey) -> str:
    """The check value, in hexadecimal."""
    return hexadecimal(key.kcv())


def hexadecimal(data: bytes) -> str:
    """Digits in upper case."""
    return data.hex().upper()


def bytes_of(what: str, text: str, size: int | None = None) -> bytes:
    """Bytes that are no secret, from hexadecimal. Raises HostError."""
    expected = "bytes" if size is None else f"{size} bytes"
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise HostError(f"{what}: {expected} in hexadecimal expected, {text!r} came") from None
    if size is not None and len(data) != size:
        raise HostError(f"{what}: {expected} in hexadecimal expected, {len(data)} bytes came")
    return data


def done_one_by_one(steps: Iterable[tuple[str, int]], total: int, what: str) -> list[tuple[str, int]]:
    """Runs what may take a security module a while, with a bar on the error stream where that is a terminal."""
    out = console(stderr=True)
    columns = (TextColumn("{task.description:>22}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as progress:
        return list(progress.track(steps, total=total, description=what))
