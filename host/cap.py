"""CAP files: a Java Card package as a converter writes it, and what of it goes to a card (Java Card VM 3.0.4, chapters 4 and 6).

How it works. A CAP file is a ZIP archive with a file for each component. Two builds of the same package differ in the archive's time
stamps and in what tools add, never in the components; so a package is known by the SHA-256 of the components that are loaded, one after
the other in the order of loading, which is what GlobalPlatform hashes as the load file data block. `normalized` writes the same archive
without what differs.
"""

from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from .errors import HostError

__all__ = ["Cap", "normalized", "read_cap"]

LOADED = ("Header", "Directory", "Import", "Applet", "Class", "Method", "StaticField", "Export", "ConstantPool", "RefLocation")
"""The components that go to a card, in the order of loading. Descriptor and Debug are for tools."""
MAGIC = bytes.fromhex("DECAFFED")
HEADER_MIN = 13
FLAG_INT = 0x01
EPOCH = (1980, 1, 1, 0, 0, 0)
SIZE_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Cap:
    """A package: its AID (5..16 bytes) and version, the AIDs of its applets, of what it imports AID and version, all components by name.

    `format` is the version of the file's format, as (2, 1).
    """

    aid: bytes
    version: tuple[int, int]
    format: tuple[int, int]
    needs_int: bool
    applets: tuple[bytes, ...]
    imports: tuple[tuple[bytes, tuple[int, int]], ...]
    components: dict[str, bytes]

    @property
    def loaded(self) -> bytes:
        """What is loaded, one component after the other."""
        return b"".join(self.components[name] for name in LOADED if name in self.components)

    @property
    def identity(self) -> str:
        """SHA-256 of that, in hexadecimal: the same for every build of the same sources for the same target."""
        return sha256(self.loaded).hexdigest().upper()


def read_cap(path: Path) -> Cap:
    """The package in a CAP file. Raises HostError for a file that is none, and OSError."""
    raw = path.read_bytes()
    try:
        with ZipFile(BytesIO(raw)) as archive:
            found = {Path(item.filename).stem: archive.read(item) for item in archive.infolist() if _is_component(item)}
        return _cap(found)
    except (BadZipFile, KeyError, IndexError, ValueError, NotImplementedError, RuntimeError) as error:
        raise HostError(f"{path}: a CAP file expected, {type(error).__name__} at {error}; joren applet build makes one") from None


def _is_component(item: ZipInfo) -> bool:
    if item.file_size > SIZE_MAX:
        raise ValueError(f"{item.filename}: {item.file_size:,} bytes")
    return item.filename.endswith(".cap")


def _cap(components: dict[str, bytes]) -> Cap:
    header = components["Header"]
    size = int.from_bytes(header[1:3])
    if header[0] != 1 or header[3:7] != MAGIC or len(header) != size + 3 or size < HEADER_MIN - 3:
        raise ValueError("the header component")
    aid = _aid(header, 12)
    return Cap(
        aid=aid,
        version=(header[11], header[10]),
        format=(header[8], header[7]),
        needs_int=bool(header[9] & FLAG_INT),
        applets=tuple(_applets(components.get("Applet", b"\x03\x00\x01\x00"))),
        imports=tuple(_imports(components["Import"])),
        components=components,
    )


def _aid(raw: bytes, at: int) -> bytes:
    aid = raw[at + 1 : at + 1 + raw[at]]
    if not 5 <= len(aid) <= 16 or len(aid) != raw[at]:
        raise ValueError(f"an AID of {raw[at]} bytes")
    return aid


def _applets(component: bytes) -> list[bytes]:
    found, at = [], 4
    for _ in range(component[3]):
        found.append(_aid(component, at))
        at += 1 + component[at] + 2
    return found


def _imports(component: bytes) -> list[tuple[bytes, tuple[int, int]]]:
    found, at = [], 4
    for _ in range(component[3]):
        found.append((_aid(component, at + 2), (component[at + 1], component[at])))
        at += 3 + component[at + 2]
    return found


def normalized(raw: bytes) -> bytes:
    """The bytes of a CAP file with the same components and manifest, in order of name, without time stamps; nothing else is kept.

    Raises HostError for what is no archive.
    """
    try:
        with ZipFile(BytesIO(raw)) as archive:
            kept = {item.filename: archive.read(item) for item in archive.infolist() if item.filename.endswith(".cap")}
    except BadZipFile as error:
        raise HostError(f"a CAP file expected, {error}") from None
    out = BytesIO()
    with ZipFile(out, "w") as archive:
        for name in sorted(kept):
            item = ZipInfo(name, EPOCH)
            item.external_attr = 0o644 << 16
            archive.writestr(item, kept[name])
    return out.getvalue()
