"""joren profiles: the cards that the simulator knows, what each has, and where every figure comes from."""

from dataclasses import asdict
from typing import Any

import click
from rich.text import Text

from joren.apdu import AID_CUSTOMER, AID_SHOP, aid
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.simulator.chip import Chip, DoesNotFit
from joren.simulator.profile import Cost, Profile, load_profile, profile_names

from .output import console, json_option, reply, table

__all__ = ["carries", "profiles"]

FIGURES = (
    "name", "title", "java_card", "protocols", "frame_bytes", "ifsc_bytes", "extended_length", "cmac", "channels", "commit_capacity_bytes",
    "commit_overhead_bytes", "ram_bytes", "nvm_bytes", "page_bytes", "endurance_writes",
)  # fmt: skip
ROLES = ((CustomerCard, AID_CUSTOMER), (ShopCard, AID_SHOP))


@click.command("profiles")
@click.argument("name", required=False)
@json_option
def profiles(name: str | None) -> None:
    """List the card profiles; with NAME, or a TOML file of your own, every figure of one and its source.

    \b
    Examples:
      joren profiles
      joren profiles jcop4
    """
    if name is None:
        found = [load_profile(one) for one in profile_names()]
        reply("profiles", {"profiles": [_fields(profile) for profile in found]}, lambda: _list(found))
    else:
        profile = load_profile(name)
        reply("profile", _all_fields(profile), lambda: _one(profile))


def carries(profile: Profile) -> str:
    """Why the card can not carry the applets; "" if it can."""
    try:
        for applet, role in ROLES:
            Chip(b"", profile).install(applet, aid(role, 1))
    except DoesNotFit as error:
        return str(error)
    return ""


def _fields(profile: Profile) -> dict[str, Any]:
    told = {name: getattr(profile, name) for name in FIGURES}
    return {**told, "atr": profile.atr.hex().upper(), "ats": profile.ats.hex().upper(), "does_not_carry": carries(profile)}


def _all_fields(profile: Profile) -> dict[str, Any]:
    times = {name: {**asdict(cost.band), "per_byte_ms": cost.per_byte_ms, "source": cost.source} for name, cost in _costs(profile)}
    return {**_fields(profile), "times_ms": times, "sources": dict(profile.sources)}


def _costs(profile: Profile) -> list[tuple[str, Cost]]:
    return [*profile.times.items(), ("bytecode", profile.bytecode)]


def _list(found: list[Profile]) -> None:
    columns = ("card", "what it is", "speaks", "CMAC", "extended", "channels", "commits", "RAM", "memory", "carries joren")
    rows = []
    for profile in found:
        sizes = [_size(profile.commit_capacity_bytes), _size(profile.ram_bytes), _size(profile.nvm_bytes)]
        yes = ["yes" if has else "no" for has in (profile.cmac, profile.extended_length)]
        rows.append(
            [profile.name, profile.title, ", ".join(profile.protocols), *yes, str(profile.channels), *sizes, carries(profile) or "yes"]
        )
    console().print(table(columns, rows, frozenset(columns[5:9])))


def _one(profile: Profile) -> None:
    screen = console()
    screen.print(Text(f"{profile.name}: {profile.title}", style="bold"))
    told = [[name, _shown(getattr(profile, name)), profile.sources.get(name, "")] for name in (*FIGURES[2:], "atr", "ats")]
    screen.print(table(("what", "figure", "source"), told))
    rows = []
    for name, cost in _costs(profile):
        band = [f"{value:.4g}" for value in (cost.band.likely, cost.band.low, cost.band.high, cost.per_byte_ms)]
        rows.append([name, *band, cost.source])
    screen.print(table(("operation", "ms", "from", "to", "a byte more", "source"), rows, frozenset(("ms", "from", "to", "a byte more"))))
    problem = carries(profile)
    if problem:
        screen.print(Text(f"does not carry joren: {problem}", style="red"))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return value.hex().upper()
    if isinstance(value, tuple):
        return ", ".join(value)
    return _size(value) if isinstance(value, int) else str(value)


def _size(value: int) -> str:
    return "no limit" if value >= 1 << 30 else f"{value:,}"
