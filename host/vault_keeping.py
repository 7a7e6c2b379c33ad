"""What those who keep a vault do with its masters: make them, rotate them, retire old versions.

How it works. All cards of an issuer are made with one newest version of the five masters of customer cards, so these get their new versions
together. Each key that is made or destroyed is told as it is done (the functions are iterators); what was interrupted is finished by
starting it again, for the keys that are there say how far it came.
"""

from collections.abc import Iterator

from .errors import HostError, VaultError
from .vault import CARD_MASTERS, MASTER_NAMES, VERSION_MAX, Vault, VaultStore, no_such_version, versions_text

__all__ = ["generate", "retire", "rotate", "versions_of"]


def versions_of(vault: Vault, name: str) -> tuple[int, ...]:
    """The versions of a master, rising; empty where there is none. Raises VaultError."""
    try:
        return vault.versions(name)
    except VaultError:
        raise
    except HostError:
        return ()


def generate(vault: VaultStore, *names: str, size: int = 16) -> Iterator[tuple[str, int]]:
    """Version 1 of each of these masters that is missing. Raises HostError, before anything is made, for a name that no master has, and
    where other masters of customer cards have later versions: then it was not missing from the start, and cards need what it was."""
    for name in names:
        if name not in MASTER_NAMES:
            raise HostError(f"master: one of {', '.join(MASTER_NAMES)} expected, {name!r} came")
    missing = [name for name in names if not versions_of(vault, name)]
    newest = max(version for name in CARD_MASTERS for version in (*versions_of(vault, name), 0))
    lost = [name for name in missing if name in CARD_MASTERS]
    if lost and newest > 1:
        raise HostError(
            f"master {lost[0]}: missing, while others have version {newest}; cards were made with one that is not here. Bring it back "
            "from the token's backup or its components (joren keys combine --into); nothing was made"
        )
    for name in missing:
        vault.generate(name, 1, size)
        yield name, 1


def rotate(vault: VaultStore, *, manager: bool = False) -> Iterator[tuple[str, int]]:
    """A new version of the five masters of customer cards, beside the old; with `manager` one of the card manager's master as well.

    Where the newest versions of the five differ, a rotation was interrupted or one was combined from components: then the others are
    brought to the same. A new key is as long as the newest before it.

    Raises HostError, before anything is made, for a master that is missing.
    """
    newest = {name: vault.versions(name)[-1] for name in (*CARD_MASTERS, *(("manager",) if manager else ()))}
    of_cards = [newest[name] for name in CARD_MASTERS]
    target = max(of_cards) + (len(set(of_cards)) == 1)
    wanted = {"manager": newest["manager"] + 1} if manager else {}
    wanted |= {name: target for name in CARD_MASTERS if newest[name] < target}
    if max(wanted.values()) > VERSION_MAX:
        raise HostError(f"versions: 1..{VERSION_MAX} are all there are, {max(wanted.values())} would come; nothing was made")
    made: list[str] = []
    for name, version in wanted.items():
        try:
            vault.generate(name, version, vault.size(name, newest[name]))
        except HostError as error:
            if not made:
                raise
            again = "joren keys rotate makes the rest" if not manager else "joren keys rotate, without --manager, makes the rest"
            raise type(error)(f"{error}. Made before: {', '.join(made)}; {again}") from None
        made.append(f"{name} {version}")
        yield name, version


def retire(vault: VaultStore, version: int, *names: str) -> Iterator[tuple[str, int]]:
    """Destroys a version of these masters where it is there. Raises HostError, before anything is destroyed, where it is nowhere there, and
    where it is the newest of one of them."""
    there = {name: versions_of(vault, name) for name in names}
    if not any(version in versions for versions in there.values()):
        raise no_such_version(names[0], version, there[names[0]])
    for name, versions in there.items():
        if versions and version >= versions[-1]:
            raise HostError(
                f"master {name}: version {version} is its newest (there are {versions_text(versions)}), for new cards; rotate first"
            )
    for name, versions in there.items():
        if version in versions:
            vault.remove(name, version)
            yield name, version
