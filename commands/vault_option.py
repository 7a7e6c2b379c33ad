"""Which vault a command works with: --vault, --vault-pin-file. A PIN comes from a file or the terminal, never from the command line."""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from joren.host import VaultError
from joren.host.pkcs11_uri import Pkcs11Uri
from joren.host.vault import VaultStore

__all__ = ["open_vault", "read_pin_file", "vault_options"]

F = TypeVar("F", bound=Callable[..., Any])


def vault_options(function: F) -> F:
    """--vault, --vault-pin-file."""
    where = click.option("--vault", metavar="URI", envvar="JOREN_VAULT", help="The token with the masters, pkcs11:... ($JOREN_VAULT).")
    pin = click.option(
        "--vault-pin-file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="JOREN_VAULT_PIN_FILE",
        help="A file with the token's PIN; asked for if left out ($JOREN_VAULT_PIN_FILE).",
    )
    return where(pin(function))


def open_vault(uri: Pkcs11Uri, pin_file: Path | None) -> VaultStore:
    """Logs in with the PIN of `pin_file`, or of the URI's file, or one that is asked for. Raises VaultError."""
    try:
        from joren.host.vault_pkcs11 import Pkcs11Vault
    except ImportError:
        raise VaultError("vault: PKCS#11 needs python-pkcs11; pip install 'joren[hsm]'") from None
    file = pin_file or uri.pin_file
    if file is not None:
        return Pkcs11Vault(uri, read_pin_file(file))
    if not sys.stdin.isatty():
        raise VaultError(f"vault: token {uri.token}: no PIN, and no terminal to ask at; --vault-pin-file takes it from a file")
    return Pkcs11Vault(uri, str(click.prompt(f"PIN of the token {uri.token}", hide_input=True, err=True)))


def read_pin_file(path: Path) -> str:
    """The first line of a file that others can not read. Raises VaultError, which shows none of it."""
    try:
        with path.open(encoding="utf-8") as file:
            mode, lines = os.fstat(file.fileno()).st_mode, file.read(4096).splitlines()
    except OSError as error:
        raise VaultError(f"vault PIN file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise VaultError(f"vault PIN file {path}: no UTF-8 text") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise VaultError(f"vault PIN file {path}: others may read it (mode {stat.S_IMODE(mode):o}); chmod 600 it")
    if not lines or not lines[0]:
        raise VaultError(f"vault PIN file {path}: the PIN in the first line expected, it is empty")
    return lines[0]
