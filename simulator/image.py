"""Card image files: a chip as JSON that a person can read and compare, and that becomes the same chip again.

How it works. Each region of the memory stands under its name, in hexadecimal. Keys and PINs do not: they are wrapped (RFC 5649, AES key
wrap with padding) under a storage key that the owner of the images keeps elsewhere, or, on demand only, written in the clear. An image
without either is for reading. The chip's profile stands by its name, and so does the program it runs (the model, or the Java Card applet);
beside a region stands how often its cells were written: offset, size, times. A checksum over everything finds damage; nothing is made
from a file before all of it has been checked.
"""

import json
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding, aes_key_wrap_with_padding

from joren.apdu import Key
from joren.apdu.gp import MANAGER_AID

from .card_manager_chip import ManagedChip
from .chip import MODEL, AppletClass, Chip, DoesNotFit
from .java_roles import PROGRAMS
from .memory import Region, Secrecy, Snapshot, Wear
from .profile import BadProfile, Profile, load_profile
from .roles import role_of

__all__ = ["FORMAT", "VERSION", "BadImage", "KeptImage", "image_of", "load_image", "save_image"]

FORMAT = "joren-card-image"
VERSION = 2
Json = dict[str, Any]


class BadImage(Exception):
    """A file that is no image this program can use; says what was expected, what came and what to do."""


def image_of(chip: Chip, storage: Key | None = None, *, with_secrets: bool = False) -> Json:
    """The image of a chip. Secrets: wrapped under `storage`, or in the clear `with_secrets`, or left out."""
    image: Json = {
        "format": FORMAT,
        "version": VERSION,
        "profile": chip.profile.name,
        "program": chip.program.name,
        "atr": chip.profile.atr.hex().upper(),
        "random": {"draws": chip.draws, **_seed(chip, storage, with_secrets)},
        "instances": [_instance(chip, aid, storage, with_secrets) for aid in chip.classes],
    }
    return {**image, "checksum": _checksum(image)}


def save_image(chip: Chip, path: Path, storage: Key | None = None, *, with_secrets: bool = False) -> None:
    """Writes the image so that the file is the old one or the new one, never half; only its owner may read it. Raises OSError."""
    text = json.dumps(image_of(chip, storage, with_secrets=with_secrets), indent=1) + "\n"
    handle, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        _keep_name(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _keep_name(folder: Path) -> None:
    """Makes the new name of the file as durable as its content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class KeptImage:
    """The image of a chip, to be kept as the chip is."""

    def __init__(self, chip: Chip, path: Path, storage: Key) -> None:
        self._chip = chip
        self._path = path
        self._storage = storage
        self._kept = self._now()

    def keep(self) -> None:
        """Writes it, if the chip has changed since. Raises OSError. Of a chip that lost its power: what it will be when it has it again."""
        now = self._now()
        if now != self._kept:
            save_image(self._chip, self._path, self._storage)
            self._kept = now

    def _now(self) -> tuple[Snapshot, int, int]:
        chip = self._chip
        if chip.memory.in_transaction:
            chip.memory.power_up()
        return chip.snapshot(), chip.draws, chip.memory.statistics.writes


def load_image(path: Path, storage: Key | None = None, *, allow_redacted: bool = False) -> Chip:
    """The chip of an image, powered off. Raises BadImage, OSError.

    An image without secrets is refused unless `allow_redacted`: the chip can then be read, and its keys are zero.
    """
    image = _read(path)
    try:
        chip = _chip(path, image, _unsealed_seed(path, image["random"], storage))
        cells = bytearray(chip.snapshot())
        for instance in image["instances"]:
            values, redacted = _values(path, instance, storage, allow_redacted)
            for name, region in _regions(chip, bytes.fromhex(instance["aid"])).items():
                cells[region.address : region.address + region.size] = _sized(path, name, region, values, redacted)
        chip.restore(bytes(cells))
        chip.memory.wear = _read_wear(chip, image["instances"])
        chip.draws = _draws(image["random"]["draws"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise BadImage(f"{path}: damaged, {type(error).__name__} at {error}; take a copy of it from before") from None
    return chip


def _chip(path: Path, image: Json, seed: bytes) -> Chip:
    """The chip with all instances that ever were on it; which of them are selectable a card manager's registry says."""
    aids = [bytes.fromhex(instance["aid"]) for instance in image["instances"]]
    program = PROGRAMS.get(image.get("program", MODEL.name))
    if program is None:
        raise BadImage(f"{path}: a card that runs {' or '.join(PROGRAMS)} expected, {image['program']!r} came")
    chip = (ManagedChip if MANAGER_AID in aids else Chip)(seed, _profile(path, image["profile"]), program=program)
    for aid in aids:
        try:
            _, applet_class = role_of(aid)
        except KeyError:
            raise BadImage(f"{path}: an AID of joren expected, {aid.hex().upper()} came") from None
        _make(path, chip, applet_class, aid)
    return chip


def _make(path: Path, chip: Chip, applet_class: AppletClass, aid: bytes) -> None:
    try:
        chip.remake(applet_class, aid)
    except DoesNotFit as error:
        raise BadImage(
            f"{path}: its profile {chip.profile.name} has changed: {error}; put the old one back, the card itself is sound"
        ) from None


def _read(path: Path) -> Json:
    try:
        image = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadImage(f"{path}: a card image in JSON expected, {error} came; take a copy of it from before") from None
    if not isinstance(image, dict) or image.get("format") != FORMAT:
        raise BadImage(f'{path}: "format": "{FORMAT}" expected; this is another kind of file')
    if image.get("version") != VERSION:
        raise BadImage(f"{path}: version {VERSION} expected, {image.get('version')} came; use the release of joren that wrote it")
    checksum = image.pop("checksum", None)
    if checksum != _checksum(image):
        raise BadImage(f"{path}: the checksum fits not, the file was changed or damaged; take a copy of it from before")
    return image


def _checksum(image: Json) -> str:
    return sha256(json.dumps(image, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _regions(chip: Chip, aid: bytes) -> dict[str, Region]:
    prefix = aid.hex().upper() + "/"
    return {name.removeprefix(prefix): region for name, region in chip.memory.regions.items() if name.startswith(prefix)}


def _instance(chip: Chip, aid: bytes, storage: Key | None, with_secrets: bool) -> Json:
    plain, secret = {}, {}
    for name, region in _regions(chip, aid).items():
        value = chip.memory.read(region.address, region.size)
        if region.secrecy is Secrecy.PLAIN:
            plain[name] = value.hex().upper()
        elif with_secrets:
            secret[name] = value.hex().upper()
        elif storage is not None:
            secret[name] = aes_key_wrap_with_padding(storage.reveal(), value).hex().upper()
    instance: Json = {"aid": aid.hex().upper(), "role": role_of(aid)[0], "regions": plain, "wear": _wear(chip, aid)}
    if secret:
        instance["secrets" if with_secrets else "sealed"] = secret
    return instance


def _wear(chip: Chip, aid: bytes) -> dict[str, list[list[int]]]:
    """For each region that was written the ranges in it: offset, size, times."""
    found: dict[str, list[list[int]]] = {}
    for name, region in _regions(chip, aid).items():
        end = region.address + region.size
        ranges = [(at, size, times) for (at, size), times in (chip.memory.wear or {}).items() if region.address <= at < end]
        if ranges:
            found[name] = [[at - region.address, size, times] for at, size, times in sorted(ranges)]
    return found


def _read_wear(chip: Chip, instances: list[Json]) -> Wear:
    wear: Wear = {}
    for instance in instances:
        regions = _regions(chip, bytes.fromhex(instance["aid"]))
        for name, ranges in instance["wear"].items():
            region = regions[name]
            for offset, size, times in ranges:
                if not all(type(number) is int and number >= 0 for number in (offset, size, times)) or offset + size > region.size:
                    raise ValueError(f"wear of {name}: ranges within {region.size} bytes expected, {offset}, {size}, {times} came")
                wear[region.address + offset, size] = times
    return wear


def _profile(path: Path, name: str) -> Profile:
    try:
        return load_profile(name)
    except BadProfile as error:
        raise BadImage(f"{path}: made for a chip that is not known here: {error}; put the profile back, the card itself is sound") from None


def _values(path: Path, instance: Json, storage: Key | None, allow_redacted: bool) -> tuple[dict[str, bytes], bool]:
    """The regions' values by name, and whether the secrets were left out."""
    values: dict[str, bytes] = {name: bytes.fromhex(value) for name, value in instance["regions"].items()}
    values |= {name: bytes.fromhex(value) for name, value in instance.get("secrets", {}).items()}
    sealed = {name: bytes.fromhex(value) for name, value in instance.get("sealed", {}).items()}
    if sealed and storage is not None:
        values |= {name: _unwrapped(path, storage, value) for name, value in sealed.items()}
    elif "secrets" not in instance:
        if not allow_redacted:
            raise BadImage(f"{path}: its secrets are {'sealed: give the storage key' if sealed else 'left out: it is for reading only'}")
        return values, True
    return values, False


def _seed(chip: Chip, storage: Key | None, with_secrets: bool) -> Json:
    """The generator's seed, which tells every nonce to come, as secret as a key."""
    if with_secrets:
        return {"seed": chip.seed.hex().upper()}
    if storage is None or not chip.seed:
        return {}
    return {"sealed_seed": aes_key_wrap_with_padding(storage.reveal(), chip.seed).hex().upper()}


def _unsealed_seed(path: Path, random: Json, storage: Key | None) -> bytes:
    """The seed; of an image without it, none: such a chip draws what nobody drew before."""
    if "sealed_seed" not in random or storage is None:
        return bytes.fromhex(random.get("seed", ""))
    return _unwrapped(path, storage, bytes.fromhex(random["sealed_seed"]))


def _unwrapped(path: Path, storage: Key, sealed: bytes) -> bytes:
    try:
        return aes_key_unwrap_with_padding(storage.reveal(), sealed)
    except InvalidUnwrap:
        raise BadImage(f"{path}: its secrets are under another storage key; give the one it was made with") from None


def _draws(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"draws: a count expected, {value!r} came")
    return value


def _sized(path: Path, name: str, region: Region, values: dict[str, bytes], redacted: bool) -> bytes:
    value = values.get(name)
    if value is None and region.secrecy is Secrecy.SECRET and redacted:
        return bytes(region.size)
    if value is None or len(value) != region.size:
        came = "none" if value is None else str(len(value))
        raise BadImage(f"{path}: {name}: {region.size} bytes expected, {came} came; it is of another release of joren")
    return value
