"""joren keys generate, rotate, retire, combine, softhsm: what changes the masters in a vault. No key is shown."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import click

from joren.apdu import Key
from joren.apdu.diversify import DesKey
from joren.host import HostError
from joren.host.ceremony import Component, combine, parse_component
from joren.host.softhsm import make_token
from joren.host.vault import CARD_MASTERS, MASTER_NAMES, VaultStore
from joren.host.vault_keeping import generate, retire, rotate, versions_of

from .keys_views import bytes_of, cipher_text, done_one_by_one, kcv, master_fields
from .output import console, json_option, reply, table
from .workspace import Workspace, pass_workspace

__all__ = ["CHANGES"]

CIPHERS: dict[str, type[Key] | type[DesKey]] = {"aes": Key, "3des": DesKey}
FILE = click.Path(path_type=Path, dir_okay=False)
ALL = "all"
OTHERS = tuple(name for name in MASTER_NAMES if name not in CARD_MASTERS)


@click.command("generate")
@click.argument("name", metavar="NAME|all")
@click.option("--bits", type=click.Choice(["128", "256"]), default="128", show_default=True, help="AES-128 or AES-256; cards get AES-128.")
@json_option
@pass_workspace
def generate_command(workspace: Workspace, name: str, bits: str) -> None:
    """Make a master key that is missing, or all that are, and the signing key, inside the vault.

    Made keys are of version 1. What is there already stays as it is.

    \b
    Example:
      joren --vault "$URI" keys generate all
    """
    with workspace.alone():
        vault = workspace.vault
        names = MASTER_NAMES if name == ALL else (name,)
        if name != ALL and versions_of(vault, name):
            raise HostError(f"master {name}: it is there already; joren keys rotate makes new versions. Nothing was made")
        total = sum(not versions_of(vault, each) for each in names)
        made = done_one_by_one(generate(vault, *names, size=int(bits) // 8), total, "keys made")
        signing = vault.make_signing_key()
        _tell(workspace, vault, "keys-generate", made, {"signing_key_made": signing})


@click.command("rotate")
@click.option("--manager", is_flag=True, help="The master of the cards' managers as well.")
@json_option
@pass_workspace
def rotate_command(workspace: Workspace, manager: bool) -> None:
    """Make a new version of the masters of customer cards, beside the old: till, shop, receipt, load and admin together.

    New cards get the new version; cards of old versions are served as long as these are in the vault.

    \b
    Example:
      joren keys rotate
    """
    with workspace.alone():
        vault = workspace.vault
        made = done_one_by_one(rotate(vault, manager=manager), len(CARD_MASTERS) + manager, "keys made")
        _tell(workspace, vault, "keys-rotate", made, {})


@click.command("retire")
@click.argument("version", type=click.IntRange(1, 0xFF))
@click.option("--master", type=click.Choice(OTHERS), help="A version of this master, and not of the five of customer cards.")
@click.option("--yes", is_flag=True, help="I know that it can not be undone.")
@json_option
@pass_workspace
def retire_command(workspace: Workspace, version: int, master: str | None, yes: bool) -> None:
    """Destroy an old version of the masters of customer cards, when no card has it any more.

    \b
    Example:
      joren keys retire 1 --yes
    """
    names = CARD_MASTERS if master is None else (master,)
    if not yes:
        raise HostError(f"--yes expected: what was made with version {version} of {', '.join(names)} can not be served any more, ever")
    with workspace.alone():
        gone = list(retire(workspace.vault, version, *names))

    def show() -> None:
        for name, _ in gone:
            click.echo(f"version {version} of the {name} master is destroyed")

    told = {"vault": workspace.vault_text, "retired": [{"name": name, "version": version} for name, version in gone]}
    reply("keys-retire", told, show)


@click.command("combine")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE FILE...")
@click.option("--cipher", type=click.Choice(list(CIPHERS)), default="aes", show_default=True, help="What the key is for.")
@click.option("--expect", metavar="HEX", help="The check value the key shall have, 3 bytes.")
@click.option("--into", metavar="NAME", help="Take the key into the vault, as a new version of this master.")
@click.option("--version", type=click.IntRange(1, 0xFF), help="With --into: which version it is; the next if left out.")
@json_option
@pass_workspace
def combine_command(
    workspace: Workspace, files: tuple[Path, ...], cipher: str, expect: str | None, into: str | None, version: int | None
) -> None:
    """Combine the components of a key and show its check value.

    Each FILE has two lines, the component and its check value, in hexadecimal; others must not be able to read it. Components are never
    taken from the command line, where others could see them.

    \b
    Examples:
      joren keys combine alice.txt bob.txt carol.txt
      joren keys combine alice.txt bob.txt --expect 504A77 --into load
    """
    kind = CIPHERS[cipher]
    wanted = None if expect is None else bytes_of("--expect", expect, 3)
    if into is not None and into not in MASTER_NAMES:
        raise HostError(f"--into: one of {', '.join(MASTER_NAMES)} expected, {into!r} came")
    parts: Sequence[Component[Key | DesKey]] = [_component(kind, number, path) for number, path in enumerate(files, 1)]
    key = combine(parts, into or "combined", check_value=wanted)
    if into is None and version is not None:
        raise HostError("--version: with --into alone; leave it out")
    version = None if into is None else _write(workspace, into, key, version)
    components = [{"file": str(path), "check_value": kcv(part.key)} for path, part in zip(files, parts, strict=True)]
    told = {"components": components, "cipher": cipher_text(key), "check_value": kcv(key), "written_to": into, "master_version": version}

    def show() -> None:
        rows = [(row["file"], row["check_value"]) for row in components] + [(f"combined, {cipher_text(key)}", kcv(key))]
        console().print(table(("component", "check value"), rows))
        if into is not None:
            click.echo(f"now version {version} of the {into} master in {workspace.vault_text}")

    reply("keys-combine", told, show)


@click.command("softhsm")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--label", default="joren", show_default=True, help="The token's label.")
@json_option
def softhsm_command(folder: Path, label: str) -> None:
    """Make a token of SoftHSM2 in a new FOLDER, for development, and print the URI that --vault takes.

    Its PIN is made at random, in a file that its owner alone may read.

    \b
    Example:
      export JOREN_VAULT=$(joren keys softhsm hsm)
    """
    uri = make_token(folder, label)
    reply("keys-softhsm", {"uri": str(uri), "token": label, "pin_file": str(uri.pin_file)}, lambda: click.echo(str(uri)))


CHANGES = (generate_command, rotate_command, retire_command, combine_command, softhsm_command)


def _tell(workspace: Workspace, vault: VaultStore, name: str, made: list[tuple[str, int]], more: dict[str, bool]) -> None:
    rows = [master_fields(vault, master, version) for master, version in made]

    def show() -> None:
        if rows:
            cells = [(row["name"], row["cipher"], str(row["version"]), row["check_value"]) for row in rows]
            console().print(table(("made", "cipher", "version", "check value"), cells, frozenset({"version"})))
        if more.get("signing_key_made"):
            click.echo("made the signing key, P-256")
        if not rows and not any(more.values()):
            click.echo("all is there; nothing was made")

    reply(name, {"vault": workspace.vault_text, "made": rows, **more}, show)


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


def _write(workspace: Workspace, name: str, key: Key | DesKey, version: int | None) -> int:
    """Into the vault as a new version, which is told. Raises HostError."""
    if not isinstance(key, Key):
        raise HostError(f"--into {name}: an AES key expected, {key!r} came; nothing was written")
    with workspace.alone():
        vault = workspace.vault
        version = max(versions_of(vault, name), default=0) + 1 if version is None else version
        vault.put(name, version, key)
        return version
