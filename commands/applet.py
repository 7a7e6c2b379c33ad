"""joren applet: the Java Card applets: build them, look at the package, put it on a card."""

from pathlib import Path
from typing import Any

import click

from joren.apdu import aid
from joren.apdu.gp import PACKAGE_AID
from joren.host import Dialog, HostError, Slot, run
from joren.host.cap import Cap, read_cap
from joren.host.channel import open_channel
from joren.host.desk import identify, own_keys
from joren.host.loading import has_instance, has_package, install_instance, load_package
from joren.simulator.jvm import CHANNELS

from .applet_build import build_classes
from .applet_cap import TARGET, cap_path, find_exports, find_kit, make_cap, verify_cap
from .output import Commands, json_option, reply
from .workspace import CARDS, SHOPS, Workspace, pass_workspace

__all__ = ["applet"]

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
channel_option = click.option(
    "--channel",
    type=click.Choice(CHANNELS),
    default=CHANNELS[0],
    show_default=True,
    help="The secure channel: that of the card's GlobalPlatform, or the applet's own SCP03 for cards without.",
)


@click.group("applet", cls=Commands)
def applet() -> None:
    """The Java Card applets: build them, look at the package, put it on a card."""


@applet.command("build")
@channel_option
@click.option("--cap", is_flag=True, help="Make the CAP file too, by the Java Card kit in $JC_HOME.")
@json_option
def build(channel: str, cap: bool) -> None:
    """Compile the applets for the simulator, with Maven; with --cap convert them for real cards, and verify that.

    The CAP file needs a Java Card kit of Oracle's in $JC_HOME; with the channel of GlobalPlatform its export file too, in $GP_EXPORTS.
    It is for Java Card 3.0.4, without time stamps: the same sources give the same file.

    \b
    Examples:
      joren applet build
      joren applet build --cap --channel own
    """
    built = build_classes(channel)
    made = make_cap(find_kit(), channel) if cap else None
    fields: dict[str, Any] = {"channel": channel, "built": built}
    if made is not None:
        fields |= {"cap": str(cap_path(channel)), **_fields(made)}

    def show() -> None:
        click.echo(f"the applets are {'built' if built else 'built already'}, with the channel {channel}")
        if made is not None:
            click.echo(f"{cap_path(channel)}: verified for Java Card {TARGET}\n" + _told(made))

    reply("applet-build", fields, show)


@applet.command("verify")
@click.argument("cap", type=FILE, required=False)
@channel_option
@json_option
def verify(cap: Path | None, channel: str) -> None:
    """Let the kit's verifier look at a CAP file, the one that was built if none is named.

    \b
    Examples:
      joren applet verify
      joren applet verify joren.cap
    """
    path = _found(cap, channel)
    package = read_cap(path)
    verify_cap(find_kit(), find_exports(channel), path)
    fields = {"cap": str(path), "target": TARGET, **_fields(package)}
    reply("applet-verify", fields, lambda: click.echo(f"{path}: verified for Java Card {TARGET}, identity {package.identity}"))


@applet.command("info")
@click.argument("cap", type=FILE, required=False)
@channel_option
@json_option
def info(cap: Path | None, channel: str) -> None:
    """Tell what is in a CAP file: applets, imports, sizes, and its identity.

    The identity is the SHA-256 of what is loaded; GlobalPlatform calls it the hash of the load file data block.

    \b
    Example:
      joren applet info joren.cap
    """
    path = _found(cap, channel)
    package = read_cap(path)
    reply("applet-info", {"cap": str(path), **_fields(package)}, lambda: click.echo(f"{path}\n" + _told(package)))


@applet.command("install")
@click.argument("card")
@click.option("--cap", type=FILE, help="The package to load where the card does not have it.")
@click.option("--shop", is_flag=True, help="Make a shop card's instance.")
@json_option
@pass_workspace
def install(workspace: Workspace, card: str, cap: Path | None, shop: bool) -> None:
    """Put an instance of the applet on CARD, through its card manager's secure channel; load the package first where it is not there.

    The card has the keys of its maker, or those that the issuer gave it. It is then ready to be personalized (joren personalize).

    \b
    Examples:
      joren personalize blanks 1 --cards box
      joren applet install box/000000000000000000000000.json
    """
    place, slot = (SHOPS, Slot.SHOP) if shop else (CARDS, Slot.CUSTOMER)
    package = None if cap is None else read_cap(cap)
    instance = aid(place.role, workspace.product.programme)
    with workspace.alone(), workspace.inserted(place, card) as reader:
        blocks, made = run(_installed(workspace, slot, package, instance), {slot: reader.transmit})
    fields = {"card": card, "aid": instance.hex().upper(), "package": PACKAGE_AID.hex().upper(), "blocks": blocks, "installed": made}

    def show() -> None:
        if blocks:
            click.echo(f"{card}: package {fields['package']} loaded, in {blocks} blocks")
        click.echo(f"{card}: instance {fields['aid']} {'installed' if made else 'was there already'}")

    reply("applet-install", fields, show)


def _installed(workspace: Workspace, slot: Slot, package: Cap | None, instance: bytes) -> Dialog[tuple[int, bool]]:
    """How many blocks were loaded, and whether the instance was made."""
    yield from identify(slot)
    channel = yield from open_channel(slot, lambda answer: own_keys(workspace.masters, answer, blank=True), guard=workspace.guard())
    blocks = 0
    if not (yield from has_package(channel, PACKAGE_AID)):
        if package is None:
            raise HostError(f"{slot.value}: the package {PACKAGE_AID.hex().upper()} is not on it: --cap FILE expected as well")
        blocks = yield from load_package(channel, package.aid, package.loaded)
    made = not (yield from has_instance(channel, instance))
    if made:
        yield from install_instance(channel, PACKAGE_AID, instance[:-2], instance)
    return blocks, made


def _found(cap: Path | None, channel: str) -> Path:
    path = cap or cap_path(channel)
    if not path.is_file():
        raise HostError(f"applet: no CAP file is built with the channel {channel}; joren applet build --cap makes it")
    return path


def _fields(cap: Cap) -> dict[str, Any]:
    return {
        "package": cap.aid.hex().upper(),
        "version": f"{cap.version[0]}.{cap.version[1]}",
        "needs_int": cap.needs_int,
        "applets": [one.hex().upper() for one in cap.applets],
        "imports": [{"package": one.hex().upper(), "version": f"{major}.{minor}"} for one, (major, minor) in cap.imports],
        "components": {name: len(raw) for name, raw in sorted(cap.components.items())},
        "loaded_bytes": len(cap.loaded),
        "identity": cap.identity,
    }


def _told(cap: Cap) -> str:
    fields = _fields(cap)
    lines = [f"package    {fields['package']}, version {fields['version']}" + (", needs int" if cap.needs_int else "")]
    lines += [f"applet     {one}" for one in fields["applets"]]
    lines += [f"imports    {one['package']}, version {one['version']}" for one in fields["imports"]]
    lines += [f"component  {name}, {size:,} bytes" for name, size in fields["components"].items()]
    lines += [f"loaded     {fields['loaded_bytes']:,} bytes", f"identity   {cap.identity}"]
    return "\n".join(lines)
