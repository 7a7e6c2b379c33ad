"""joren keys: which master keys there are, how a card's keys come from them, and a key combined from its components. No key is shown."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.text import Text

from joren.apdu import Key, KeyRef, messages
from joren.apdu.diversify import AN10922, EMV, JOREN, KDF3, SCHEMES, VISA2, DesKey, SetScheme, Step, scheme
from joren.host import HostError, Masters
from joren.host.ceremony import Component, combine, parse_component

from .output import Commands, console, json_option, reply, table
from .workspace import CARDS, SHOPS, Workspace, pass_workspace

__all__ = ["keys"]

KEY_FILE = "keys.json"
NAMES = tuple(field.name for field in fields(Masters))
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
        masters = workspace.masters
    path = workspace.home / KEY_FILE
    found = [(name, _master(masters, name)) for name in NAMES]
    told = [{"name": name, **_key_fields(key)} for name, key in found]
    rows = [(name, _cipher(key), str(key.version), _kcv(key)) for name, key in found]
    picture = table(("master", "cipher", "version", "check value"), rows, frozenset({"version"}))
    reply("keys", {"file": str(path), "masters": told}, lambda: console().print(picture))


@dataclass(frozen=True, slots=True)
class Made:
    """One key of a card: the master it came from, how, and the key itself."""

    master: str
    of: Key | DesKey
    step: Step
    key: Key | DesKey
    label: str | None = None


@keys.command("explain")
@click.option("--scheme", "name", metavar="NAME", default="joren", show_default=True, help=f"One of {', '.join(SCHEMES)}.")
@click.option("--id", "card_id", metavar="HEX", help="A card id, 8 bytes; the data are the programme and it.")
@click.option("--data", metavar="HEX", help="The diversification data themselves, as the card told them.")
@click.option("--master", metavar="NAME", help="For a scheme that is not joren: which master; admin if left out.")
@click.option("--shop-card", is_flag=True, help="The id is a shop card's: 00 00 00, terminal, shop.")
@json_option
@pass_workspace
def explain(workspace: Workspace, name: str, card_id: str | None, data: str | None, master: str | None, shop_card: bool) -> None:
    """Show how a card's keys come about: master, data, what goes through which function, check values.

    The masters are the workspace's. A scheme with 3DES takes the bytes of a master as a 3DES key.

    \b
    Examples:
      joren keys explain --id 0102030405060708
      joren keys explain --id 0000000100000002 --shop-card
      joren keys explain --scheme visa2 --data 00004181116665F5B830
    """
    if name != "joren" and shop_card:
        raise HostError(f"--shop-card: with the scheme joren alone, {name} came")
    if name == "joren" and master is not None:
        raise HostError("--master: every key of the scheme joren has its own master; leave it out")
    context = _data(workspace, card_id, data, shop_card)
    with workspace.alone():
        masters = workspace.masters
    try:
        found = scheme(name)
        made = _of_joren(masters, context, shop_card) if name == JOREN.name else _of_one(name, masters, master or "admin", context)
    except ValueError as error:
        raise HostError(str(error)) from None
    chain = [
        {"name": m.step.name, "label": m.label, "master": m.master, "master_check_value": _kcv(m.of),
         "blocks": [_hex(block) for block in m.step.blocks], **_key_fields(m.key)}
        for m in made
    ]  # fmt: skip
    told = {"scheme": found.name, "source": found.source, "function": found.function, "data": _hex(context), "keys": chain}
    reply("keys-explain", told, lambda: _show(found.name, found.source, found.function, context, made))


@keys.command("combine")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE FILE...")
@click.option("--cipher", type=click.Choice(list(CIPHERS)), default="aes", show_default=True, help="What the key is for.")
@click.option("--expect", metavar="HEX", help="The check value the key shall have, 3 bytes.")
@click.option("--into", metavar="NAME", help="Make the key this master of the workspace; where there are no cards yet.")
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
    if into is not None and into not in NAMES:
        raise HostError(f"--into: one of {', '.join(NAMES)} expected, {into!r} came")
    parts: Sequence[Component[Key | DesKey]] = [_component(kind, number, path) for number, path in enumerate(files, 1)]
    key = combine(parts, into or "combined", check_value=wanted)
    if into is not None:
        _write(workspace, into, key)
    components = [{"file": str(path), "check_value": _kcv(part.key)} for path, part in zip(files, parts, strict=True)]
    told = {"components": components, **_key_fields(key), "written_to": into}

    def show() -> None:
        rows = [(row["file"], row["check_value"]) for row in components] + [(f"combined, {_cipher(key)}", _kcv(key))]
        console().print(table(("component", "check value"), rows))
        if into is not None:
            click.echo(f"now the {into} master in {workspace.home / KEY_FILE}")

    reply("keys-combine", told, show)


def _of_joren(masters: Masters, context: bytes, shop_card: bool) -> list[Made]:
    """REQ-KEY-2, REQ-KEY-4: each label has its own master."""
    made = []
    for label in (SHOP_LABEL,) if shop_card else CARD_LABELS:
        name = label.replace("-", "_")
        master = _master(masters, name)
        (step,) = JOREN.steps(master, context, label.encode())
        made.append(Made(name, master, step, JOREN.derive(master, context, label.encode()), label))
    return made


def _of_one(name: str, masters: Masters, master_name: str, data: bytes) -> list[Made]:
    """The keys of a scheme in which all come from one master."""
    if master_name not in NAMES:
        raise HostError(f"--master: one of {', '.join(NAMES)} expected, {master_name!r} came")
    master = _master(masters, master_name)
    if name == AN10922.name:
        (step,) = AN10922.steps(master, data)
        return [Made(master_name, master, step, AN10922.derive(master, data))]
    if name == KDF3.name:
        return _of_set(KDF3, master_name, master, data)
    return _of_set(DES_SETS[name], master_name, DesKey(master.reveal(), master.name, master.version), data)


def _of_set(found: SetScheme[K], master_name: str, master: K, data: bytes) -> list[Made]:
    derived = found.derive(master, data)
    steps = found.steps(master, data)
    return [Made(master_name, master, step, key) for step, key in zip(steps, (derived.enc, derived.mac, derived.dek), strict=True)]


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


def _write(workspace: Workspace, name: str, key: Key | DesKey) -> None:
    """The masters anew with this one, whole or not at all. Raises HostError where cards were made with the old one."""
    with workspace.alone():
        masters = workspace.masters
        if not isinstance(key, Key) or len(key) != len(_master(masters, name)):
            raise HostError(f"--into {name}: an AES key of {len(_master(masters, name))} bytes expected, {key!r} came; nothing was written")
        if workspace.names(CARDS) or workspace.names(SHOPS):
            raise HostError(f"--into {name}: there are cards made with the master that is there; nothing was written")
        new = workspace.home / f"{KEY_FILE}.new"
        new.unlink(missing_ok=True)
        replace(masters, **{name: key}).save_file(new)
        new.replace(workspace.home / KEY_FILE)


def _show(name: str, source: str, function: str, data: bytes, made: list[Made]) -> None:
    out = console()
    out.print(Text(f"scheme {name}: {function}; {source}"))
    out.print(
        Text(f"data {_hex(data)}" if name != JOREN.name else f"context {_hex(data)}: programme {_hex(data[:2])}, card {_hex(data[2:])}")
    )
    for one in made:
        out.print(Text(f"{one.step.name}: {_cipher(one.key)}, check value {_kcv(one.key)}"))
        out.print(Text(f"  master {one.master}, {_cipher(one.of)}, version {one.of.version}, check value {_kcv(one.of)}"))
        for block in one.step.blocks:
            out.print(Text(f"  {function} of {_block(block, data, one.label)}"))


def _block(block: bytes, data: bytes, label: str | None) -> str:
    """What goes through the function: in parts where there is a label, number | label | 00 | context | length in bits (REQ-KEY-2)."""
    if label is None:
        return _hex(block)
    return f"{_hex(block[:1])} | {_hex(label.encode())} '{label}' | 00 | {_hex(data)} | {_hex(block[-2:])}"


def _master(masters: Masters, name: str) -> Key:
    key: Key = getattr(masters, name)
    return key


def _key_fields(key: Key | DesKey) -> dict[str, Any]:
    return {"cipher": _cipher(key), "version": key.version, "check_value": _kcv(key)}


def _cipher(key: Key | DesKey) -> str:
    return f"AES-{len(key) * 8}" if isinstance(key, Key) else f"{len(key) // 8}TDEA"


def _kcv(key: Key | DesKey) -> str:
    return _hex(key.kcv())


def _hex(data: bytes) -> str:
    return data.hex().upper()
