"""joren keys: which master keys there are, and how a card's keys come from them (changes: keys_change.py). No key is shown."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import click
from rich.text import Text

from joren.apdu import Key, KeyRef, messages
from joren.apdu.diversify import AN10922, EMV, JOREN, KDF3, SCHEMES, VISA2, DesKey, SetScheme, scheme
from joren.host import HostError, Masters, VaultError
from joren.host.masters import GROUPS
from joren.host.vault import MASTER_NAMES, Vault, VaultStore
from joren.host.vault_file import MemoryVault
from joren.host.vault_keeping import versions_of

from .keys_change import CHANGES
from .keys_views import bytes_of, cipher_text, hexadecimal, kcv, key_fields, master_fields
from .output import Commands, console, json_option, reply, table
from .workspace import Workspace, pass_workspace

__all__ = ["keys"]

CARD_LABELS = tuple(ref.name.lower() for ref in KeyRef)
SHOP_LABEL = "shop-admin"
ID_SIZE = 8
DES_SETS = {found.name: found for found in (VISA2, EMV)}
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
    told = [master_fields(vault, name, version) for name in MASTER_NAMES for version in versions_of(vault, name)]
    told.append({"name": "storage", **key_fields(storage)})
    rows = [(row["name"], row["cipher"], str(row["version"]), row["check_value"]) for row in told]
    missing = [name for name in MASTER_NAMES if not versions_of(vault, name)]
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
         "master_check_value": m.master["check_value"], "blocks": [hexadecimal(block) for block in m.blocks], **key_fields(m.key)}
        for m in made
    ]  # fmt: skip
    told = {"scheme": found.name, "source": found.source, "function": found.function, "data": hexadecimal(context), "keys": chain}
    reply("keys-explain", told, lambda: _show(found.name, found.source, found.function, context, made))


def _of_joren(vault: VaultStore, context: bytes, version: int | None, shop_card: bool) -> list[Made]:
    """REQ-KEY-2, REQ-KEY-4, REQ-KEY-6: each label has its own master, some by way of the group master of a programme."""
    noting = Noting(vault)
    masters, programme, card_id = Masters(noting), int.from_bytes(context[:2]), context[2:]
    if shop_card:
        key = masters.shop_admin_key(programme, int.from_bytes(card_id[4:]), card_id[3], version)
        return [Made(SHOP_LABEL, master_fields(vault, "shop_admin", key.version), tuple(noting.blocks), key, SHOP_LABEL)]
    made = []
    for ref, label in zip(KeyRef, CARD_LABELS, strict=True):
        noting.blocks.clear()
        key = masters.card_key(ref, programme, card_id, version)
        root = master_fields(vault, label, key.version)
        if label not in GROUPS:
            made.append(Made(label, root, tuple(noting.blocks), key, label))
            continue
        group = masters.group_master(label, programme, version)
        made.append(Made(group.name, root, tuple(noting.blocks), group, group.name))
        (step,) = JOREN.steps(group, context, label.encode())
        made.append(Made(label, {"name": group.name, **key_fields(group)}, step.blocks, key, label))
    return made


def _of_one(name: str, vault: VaultStore, master_name: str, version: int | None, data: bytes) -> list[Made]:
    """The keys of a scheme in which all come from one master."""
    if master_name not in MASTER_NAMES:
        raise HostError(f"--master: one of {', '.join(MASTER_NAMES)} expected, {master_name!r} came")
    version = vault.versions(master_name)[-1] if version is None else version
    told = master_fields(vault, master_name, version)
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
    derived, told = found.derive(master, data), {"name": master_name, **key_fields(master)}
    steps = found.steps(master, data)
    return [Made(step.name, told, step.blocks, key) for step, key in zip(steps, (derived.enc, derived.mac, derived.dek), strict=True)]


def _data(workspace: Workspace, card_id: str | None, data: str | None, shop_card: bool) -> bytes:
    if (card_id is None) == (data is None):
        raise HostError("--id or --data: one of them expected")
    if data is not None:
        return bytes_of("--data", data)
    identity = bytes_of("--id", card_id or "", ID_SIZE)
    if shop_card and any(identity[:3]):
        raise HostError(f"--id: a shop card's expected, 00 00 00 | terminal | shop, {hexadecimal(identity)} came")
    return messages.head(workspace.product.programme, identity)


def _show(name: str, source: str, function: str, data: bytes, made: list[Made]) -> None:
    out = console()
    out.print(Text(f"scheme {name}: {function}; {source}"))
    out.print(
        Text(
            f"data {hexadecimal(data)}"
            if name != JOREN.name
            else f"context {hexadecimal(data)}: programme {hexadecimal(data[:2])}, card {hexadecimal(data[2:])}"
        )
    )
    for one in made:
        of = one.master
        out.print(Text(f"{one.name}: {cipher_text(one.key)}, check value {kcv(one.key)}"))
        out.print(Text(f"  master {of['name']}, {of['cipher']}, version {of['version']}, check value {of['check_value']}"))
        for block in one.blocks:
            out.print(Text(f"  {function} of {_block(block, one.label)}"))


def _block(block: bytes, label: str | None) -> str:
    """What goes through the function: in parts where there is a label, number | label | 00 | context | length in bits (REQ-KEY-2)."""
    if label is None:
        return hexadecimal(block)
    context = block[1 + len(label) + 1 : -2]
    return f"{hexadecimal(block[:1])} | {hexadecimal(label.encode())} '{label}' | 00 | {hexadecimal(context)} | {hexadecimal(block[-2:])}"


def _signing(vault: Vault) -> str | None:
    """The SHA-256 of the public key, in hexadecimal; None where there is no signing key."""
    try:
        return hexadecimal(sha256(vault.public_key).digest())
    except VaultError:
        raise
    except HostError:
        return None


for command in CHANGES:
    keys.add_command(command)
