"""joren keys: which master keys there are, how a card's keys come from them, and a key combined from its components. No key is shown."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.text import Text

from joren.apdu import Key, KeyRef, messages
from joren.apdu.diversify import AN10922, EMV, JOREN, KDF3, SCHEMES, VISA2, DesKey, SetScheme, scheme
from joren.host import HostError, Masters, VaultError
from joren.host.ceremony import Component, combine, parse_component
from joren.host.masters import GROUPS
from joren.host.vault import MASTER_NAMES, Vault, VaultStore
from joren.host.vault_file import MemoryVault

from .output import Commands, console, json_option, reply, table
from .workspace import Workspace, pass_workspace

__all__ = ["keys"]

CARD_LABELS = tuple(ref.name.lower() for ref in KeyRef)
SHOP_LABEL = "shop-admin"
ID_SIZE = 8
CIPHERS: dict[str, type[Key] | type[DesKey]] = {"aes": Key, "3des": DesKey}
DES_SETS = {found.name: found for found in (VISA2, EMV)}
FILE = click.Path(path_type=Path, dir_okay=False)
K = TypeVar("K", bound=Key | DesKey)


@click.group("keys", cls=Commands)
def keys() -> None:
    """Master keys, how card keys come from them, key components. Shows check values, never a key."""


@keys.command("check")
@json_option
@pass_workspace
def check(workspace: Workspace) -> None:
    """List the master keys with their versions and check values.

    A check value is the first 3 bytes of AES of sixteen 01: the same key has the same one wherever it is kept.

    \b
    Example:
      joren keys check
    """
    with workspace.alone():
        vault, storage = workspace.vault, workspace.storage
    told = [_master_fields(vault, name, version) for name in MASTER_NAMES for version in _versions(vault, name)]
    told.append({"name": "storage", **_key_fields(storage)})
    rows = [(row["name"], row["cipher"], str(row["version"]), row["check_value"]) for row in told]
    missing = [name for name in MASTER_NAMES if not _versions(vault, name)]
    signing = _signing(vault)

    def show() -> None:
        console().print(table(("master", "cipher", "version", "check value"), rows, frozenset({"version"})))
        click.echo(f"signing key: {f'P-256, SHA-256 of the public key begins {signing[:16]}' if signing else 'none'}")
        if missing:
            click.echo(f"not there: {', '.join(missing)}; joren keys generate makes them")

    reply("keys", {"vault": workspace.vault_text, "masters": told, "missing": missing, "signing_key_sha256": signing}, show)


class Noting:
    """A vault that notes what went through its masters, so that an explanation shows the very blocks that were used."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.blocks: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vault, name)

    def cmac(self, name: str, version: int, message: bytes) -> bytes:
        """As the vault does."""
        self.blocks.append(message)
        return self._vault.cmac(name, version, message)


@dataclass(frozen=True, slots=True)
class Made:
    """One key of a card: the master it came from, which blocks of data went through it, and the key itself."""

    name: str
    master: dict[str, Any]
    blocks: tuple[bytes, ...]
    key: Key | DesKey
    label: str | None = None


@keys.command("explain")
@click.option("--scheme", "name", metavar="NAME", default="joren", show_default=True, help=f"One of {', '.join(SCHEMES)}.")
@click.option("--id", "card_id", metavar="HEX", help="A card id, 8 bytes; the data are the programme and it.")
@click.option("--data", metavar="HEX", help="The diversification data themselves, as the card told them.")
@click.option("--master", metavar="NAME", help="For a scheme that is not joren: which master; manager if left out.")
@click.option("--version", type=click.IntRange(1, 0xFF), help="Which version of the masters; the newest if left out.")
@click.option("--shop-card", is_flag=True, help="The id is a shop card's: 00 00 00, terminal, shop.")
@json_option
@pass_workspace
def explain(
    workspace: Workspace, name: str, card_id: str | None, data: str | None, master: str | None, version: int | None, shop_card: bool
) -> None:
    """Show how a card's keys come about: master, data, what goes through which function, check values.

    The masters are the vault's. A scheme with 3DES takes the bytes of a master as a 3DES key; it and an10922 ask for a vault in a file.

    \b
    Examples:
      joren keys explain --id 0102030405060708
      joren keys explain --id 0000000100000002 --shop-card
      joren keys explain --scheme kdf3 --data 00004181116665F5B830
    """
    if name != "joren" and shop_card:
        raise HostError(f"--shop-card: with the scheme joren alone, {name} came")
    if name == "joren" and master is not None:
        raise HostError("--master: every key of the scheme joren has its own master; leave it out")
    context = _data(workspace, card_id, data, shop_card)
    with workspace.alone():
        vault = workspace.vault
    try:
        found = scheme(name)
        JOREN.check(Key(bytes(16)), context) if found is JOREN else None
        made = (
            _of_joren(vault, context, version, shop_card) if found is JOREN else _of_one(name, vault, master or "manager", version, context)
        )
    except ValueError as error:
        raise HostError(str(error)) from None
    chain = [
        {"name": m.name, "label": m.label, "master": m.master["name"], "master_version": m.master["version"],
         "master_check_value": m.master["check_value"], "blocks": [_hex(block) for block in m.blocks], **_key_fields(m.key)}
        for m in made
    ]  # fmt: skip
    told = {"scheme": found.name, "source": found.source, "function": found.function, "data": _hex(context), "keys": chain}
    reply("keys-explain", told, lambda: _show(found.name, found.source, found.function, context, made))


@keys.command("combine")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE FILE...")
@click.option("--cipher", type=click.Choice(list(CIPHERS)), default="aes", show_default=True, help="What the key is for.")
@click.option("--expect", metavar="HEX", help="The check value the key shall have, 3 bytes.")
@click.option("--into", metavar="NAME", help="Take the key into the vault, as a new version of this master.")
@json_option
@pass_workspace
def combine_command(workspace: Workspace, files: tuple[Path, ...], cipher: str, expect: str | None, into: str | None) -> None:
    """Combine the components of a key and show its check value.

    Each FILE has two lines, the component and its check value, in hexadecimal; others must not be able to read it. Components are never
    taken from the command line, where others could see them.

    \b
    Examples:
      joren keys combine alice.txt bob.txt carol.txt
      joren keys combine alice.txt bob.txt --expect 504A77 --into load
    """
    kind = CIPHERS[cipher]
    wanted = None if expect is None else _bytes("--expect", expect, 3)
    if into is not None and into not in MASTER_NAMES:
        raise HostError(f"--into: one of {', '.join(MASTER_NAMES)} expected, {into!r} came")
    parts: Sequence[Component[Key | DesKey]] = [_component(kind, number, path) for number, path in enumerate(files, 1)]
    key = combine(parts, into or "combined", check_value=wanted)
    version = None if into is None else _write(workspace, into, key)
    components = [{"file": str(path), "check_value": _kcv(part.key)} for path, part in zip(files, parts, strict=True)]
    told = {"components": components, "cipher": _cipher(key), "check_value": _kcv(key), "written_to": into, "master_version": version}

    def show() -> None:
        rows = [(row["file"], row["check_value"]) for row in components] + [(f"combined, {_cipher(key)}", _kcv(key))]
        console().print(table(("component", "check value"), rows))
        if into is not None:
            click.echo(f"now version {version} of the {into} master in {workspace.vault_text}")

    reply("keys-combine", told, show)


def _of_joren(vault: VaultStore, context: bytes, version: int | None, shop_card: bool) -> list[Made]:
    """REQ-KEY-2, REQ-KEY-4, REQ-KEY-6: each label has its own master, some by way of the group master of a programme."""
    noting = Noting(vault)
    masters, programme, card_id = Masters(noting), int.from_bytes(context[:2]), context[2:]
    if shop_card:
        key = masters.shop_admin_key(programme, int.from_bytes(card_id[4:]), card_id[3], version)
        return [Made(SHOP_LABEL, _master_fields(vault, "shop_admin", key.version), tuple(noting.blocks), key, SHOP_LABEL)]
    made = []
    for ref, label in zip(KeyRef, CARD_LABELS, strict=True):
        noting.blocks.clear()
        key = masters.card_key(ref, programme, card_id, version)
        root = _master_fields(vault, label, key.version)
        if label not in GROUPS:
            made.append(Made(label, root, tuple(noting.blocks), key, label))
            continue
        group = masters.group_master(label, programme, version)
        made.append(Made(group.name, root, tuple(noting.blocks), group, group.name))
        (step,) = JOREN.steps(group, context, label.encode())
        made.append(Made(label, {"name": group.name, **_key_fields(group)}, step.blocks, key, label))
    return made


def _of_one(name: str, vault: VaultStore, master_name: str, version: int | None, data: bytes) -> list[Made]:
    """The keys of a scheme in which all come from one master."""
    if master_name not in MASTER_NAMES:
        raise HostError(f"--master: one of {', '.join(MASTER_NAMES)} expected, {master_name!r} came")
    version = vault.versions(master_name)[-1] if version is None else version
    told = _master_fields(vault, master_name, version)
    if name == KDF3.name:
        KDF3.check(Key(bytes(16)), data)
        noting = Noting(vault)
        key_set = Masters(noting).key_set(master_name, data, version)
        each = zip(("ENC", "MAC", "DEK"), noting.blocks, (key_set.enc, key_set.mac, key_set.dek), strict=True)
        return [Made(purpose, told, (block,), key) for purpose, block, key in each]
    if not isinstance(vault, MemoryVault):
        raise HostError(f"--scheme {name}: it needs the bytes of the master, which never leave this vault; take joren or kdf3")
    master = vault.key(master_name, version)
    if name == AN10922.name:
        (step,) = AN10922.steps(master, data)
        return [Made(step.name, told, step.blocks, AN10922.derive(master, data))]
    return _of_set(DES_SETS[name], master_name, DesKey(master.reveal(), master.name, version), data)


def _of_set(found: SetScheme[K], master_name: str, master: K, data: bytes) -> list[Made]:
    derived, told = found.derive(master, data), {"name": master_name, **_key_fields(master)}
    steps = found.steps(master, data)
    return [Made(step.name, told, step.blocks, key) for step, key in zip(steps, (derived.enc, derived.mac, derived.dek), strict=True)]


def _data(workspace: Workspace, card_id: str | None, data: str | None, shop_card: bool) -> bytes:
    if (card_id is None) == (data is None):
        raise HostError("--id or --data: one of them expected")
    if data is not None:
        return _bytes("--data", data)
    identity = _bytes("--id", card_id or "", ID_SIZE)
    if shop_card and any(identity[:3]):
        raise HostError(f"--id: a shop card's expected, 00 00 00 | terminal | shop, {_hex(identity)} came")
    return messages.head(workspace.product.programme, identity)


def _bytes(what: str, text: str, size: int | None = None) -> bytes:
    """Bytes that are no secret, from hexadecimal. Raises HostError."""
    expected = "bytes" if size is None else f"{size} bytes"
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise HostError(f"{what}: {expected} in hexadecimal expected, {text!r} came") from None
    if size is not None and len(data) != size:
        raise HostError(f"{what}: {expected} in hexadecimal expected, {len(data)} bytes came")
    return data


def _component(kind: type[Key] | type[DesKey], number: int, path: Path) -> Component[Key | DesKey]:
    try:
        with path.open(encoding="ascii") as file:
            mode, text = os.fstat(file.fileno()).st_mode, file.read()
    except OSError as error:
        raise HostError(f"component {number} in {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise HostError(f"component {number} in {path}: no ASCII text") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise HostError(f"component {number} in {path}: others may read it (mode {stat.S_IMODE(mode):o}); chmod 600 it")
    try:
        return parse_component(kind, number, text)
    except HostError as error:
        raise HostError(f"{path}: {error}") from None


def _write(workspace: Workspace, name: str, key: Key | DesKey) -> int:
    """Into the vault as a new version, which is told. Raises HostError."""
    if not isinstance(key, Key):
        raise HostError(f"--into {name}: an AES key expected, {key!r} came; nothing was written")
    with workspace.alone():
        vault = workspace.vault
        version = max(_versions(vault, name), default=0) + 1
        vault.put(name, version, key)
        return version


def _show(name: str, source: str, function: str, data: bytes, made: list[Made]) -> None:
    out = console()
    out.print(Text(f"scheme {name}: {function}; {source}"))
    out.print(
        Text(f"data {_hex(data)}" if name != JOREN.name else f"context {_hex(data)}: programme {_hex(data[:2])}, card {_hex(data[2:])}")
    )
    for one in made:
        of = one.master
        out.print(Text(f"{one.name}: {_cipher(one.key)}, check value {_kcv(one.key)}"))
        out.print(Text(f"  master {of['name']}, {of['cipher']}, version {of['version']}, check value {of['check_value']}"))
        for block in one.blocks:
            out.print(Text(f"  {function} of {_block(block, one.label)}"))


def _block(block: bytes, label: str | None) -> str:
    """What goes through the function: in parts where there is a label, number | label | 00 | context | length in bits (REQ-KEY-2)."""
    if label is None:
        return _hex(block)
    context = block[1 + len(label) + 1 : -2]
    return f"{_hex(block[:1])} | {_hex(label.encode())} '{label}' | 00 | {_hex(context)} | {_hex(block[-2:])}"


def _versions(vault: Vault, name: str) -> tuple[int, ...]:
    """None where there is no such master."""
    try:
        return vault.versions(name)
    except VaultError:
        raise
    except HostError:
        return ()


def _signing(vault: Vault) -> str | None:
    """The SHA-256 of the public key, in hexadecimal; None where there is no signing key."""
    try:
        return _hex(sha256(vault.public_key).digest())
    except VaultError:
        raise
    except HostError:
        return None


def _master_fields(vault: VaultStore, name: str, version: int) -> dict[str, Any]:
    check_value = vault.check_value(name, version)
    return {"name": name, "cipher": f"AES-{vault.size(name, version) * 8}", "version": version, "check_value": _hex(check_value)}


def _key_fields(key: Key | DesKey) -> dict[str, Any]:
    return {"cipher": _cipher(key), "version": key.version, "check_value": _kcv(key)}


def _cipher(key: Key | DesKey) -> str:
    return f"AES-{len(key) * 8}" if isinstance(key, Key) else f"{len(key) // 8}TDEA"


def _kcv(key: Key | DesKey) -> str:
    return _hex(key.kcv())


def _hex(data: bytes) -> str:
    return data.hex().upper()
