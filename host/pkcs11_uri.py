"""Which token the masters are in: a PKCS#11 URI (RFC 7512), as `--vault` takes it.

pkcs11:token=LABEL?module-path=FILE&pin-source=file:FILE. joren takes these attributes in either part of the URI, and one of its own,
x-softhsm-conf=FILE, which is for SoftHSM what $SOFTHSM2_CONF is. A PIN itself (pin-value) is refused: a command line is seen by others.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote_to_bytes

from .errors import HostError

__all__ = ["Pkcs11Uri"]

TOKEN, MODULE, PIN_SOURCE, CONF = "token", "module-path", "pin-source", "x-softhsm-conf"
EXAMPLE = "pkcs11:token=LABEL?module-path=FILE"
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
LABEL_MAX_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """A token by its label in the slots of a module, and where its PIN is, if a file says so."""

    module: Path
    token: str
    pin_file: Path | None = None
    softhsm_conf: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises HostError, which says what was expected; it never repeats a value, for somebody may have put a PIN there."""
        scheme, colon, rest = text.partition(":")
        if not colon or scheme.lower() != "pkcs11":
            raise HostError(f"vault: a PKCS#11 URI expected ({EXAMPLE}), something else came")
        found: dict[str, str] = {}
        path, _, query = rest.partition("?")
        for pair in [*path.split(";"), *query.split("&")]:
            if pair:
                name, value = _pair(pair)
                if name in found:
                    raise HostError(f"vault: {name} is given twice")
                found[name] = value
        for name in (TOKEN, MODULE):
            if not found.get(name):
                raise HostError(f"vault: {name} is missing; {EXAMPLE} expected")
        if len(found[TOKEN].encode()) > LABEL_MAX_BYTES:
            raise HostError(f"vault: a token label of up to {LABEL_MAX_BYTES} bytes expected, {len(found[TOKEN].encode())} came")
        pin_file = None if PIN_SOURCE not in found else _file(found[PIN_SOURCE])
        conf = None if CONF not in found else Path(found[CONF])
        return cls(Path(found[MODULE]), found[TOKEN], pin_file, conf)

    def __str__(self) -> str:
        """The URI, which parses to the same again."""
        conf = "" if self.softhsm_conf is None else f";{CONF}={quote(str(self.softhsm_conf))}"
        pin = "" if self.pin_file is None else f"&{PIN_SOURCE}=file:{quote(str(self.pin_file))}"
        return f"pkcs11:{TOKEN}={quote(self.token, safe='')}{conf}?{MODULE}={quote(str(self.module))}{pin}"


def _pair(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if name in ("pin-value", "pinvalue"):
        raise HostError("vault: pin-value is refused, for others can see it; put the PIN in a file (pin-source=file:FILE)")
    if not equals or name not in (TOKEN, MODULE, PIN_SOURCE, CONF):
        told = repr(name) if equals and re.fullmatch(r"[a-z0-9-]{1,32}", name) else "something else"
        raise HostError(f"vault: {TOKEN}, {MODULE}, {PIN_SOURCE} or {CONF} expected, {told} came")
    try:
        if BAD_ESCAPE.search(value):
            raise ValueError
        decoded = unquote_to_bytes(value).decode()
    except ValueError:
        raise HostError(f"vault: {name} is no percent-encoded UTF-8") from None
    if "\0" in decoded:
        raise HostError(f"vault: {name} has a zero byte")
    return name, decoded


def _file(source: str) -> Path:
    """file:FILE, file:///FILE, or the path alone (RFC 7512, 2.4)."""
    path = source.removeprefix("file:")
    if source.startswith("file://"):
        host, slash, path = source.removeprefix("file://").partition("/")
        path = slash + path
        if host not in ("", "localhost"):
            raise HostError(f"vault: {PIN_SOURCE}: a file of this machine expected")
    if not path or source.startswith("|"):
        raise HostError(f"vault: {PIN_SOURCE}=file:FILE expected, something else came")
    return Path(path)
