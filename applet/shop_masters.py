"""The master keys of a shop card: of each key_ref two places, so that an old version and a new one stand side by side (REQ-SPE-2).

How it works. A place that is free has the version 0, which is lower than any; so a new version always goes to the place of the lowest."""

from collections.abc import Iterator

from joren.apdu import SW, Key, KeyRef

from .applet import Refused
from .platform import Cells, Platform

__all__ = ["PLACES", "ShopMasters"]

PLACES = 2
KEY_SIZE = 16


class ShopMasters:
    """Up to two versions of the master of one key_ref. Their versions lie in `cells`, from `at` on, u8 each."""

    def __init__(self, platform: Platform, key_ref: KeyRef, cells: Cells, at: int) -> None:
        self._label = key_ref.name.lower().encode()
        self._cells = cells
        self._at = at
        self._keys = tuple(platform.key(f"key_{key_ref.name.lower()}_master_{place}") for place in range(PLACES))

    @property
    def versions(self) -> list[int]:
        """The versions that are there, the highest first."""
        return sorted(filter(None, self._places()), reverse=True)

    def derive(self, version: int, context: bytes) -> Key:
        """A customer card's key of a version (00: the highest), for this command only (REQ-CMP-2); Refused(6A88) if it is not there."""
        places = self._places()
        version = version or max(places)
        if not version or version not in places:
            raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
        return self._keys[places.index(version)].derive(self._label, context)

    def derive_each(self, context: bytes) -> Iterator[Key]:
        """A customer card's key of each version, the highest first; Refused(6A88) if there is none."""
        yield self.derive(0, context)
        for version in self.versions[1:]:
            yield self.derive(version, context)

    def put(self, version: int, key: bytes) -> None:
        """Stores 16 bytes in the place of that version, else in a free one, else in the lower version's; in the caller's transaction."""
        places = self._places()
        self._write(places.index(version if version in places else min(places)), version, key)

    def remove(self, version: int) -> None:
        """Wipes a version that is there, in the caller's transaction."""
        self._write(self._places().index(version), 0, bytes(KEY_SIZE))

    def _places(self) -> bytes:
        return self._cells.get(self._at, PLACES)

    def _write(self, place: int, version: int, key: bytes) -> None:
        self._cells.put(self._at + place, bytes((version,)))
        self._keys[place].store(key)
