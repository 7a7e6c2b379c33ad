"""SoftHSM2, the security module for development: finds it, and makes a token in a folder of its own. Its keys are for no real cards.

How it works. SoftHSM keeps tokens in the folder that its configuration names, so a token of one's own is a folder and a configuration, and
the URI carries the latter. PKCS#11 makes a token by C_InitToken; python-pkcs11 lacks that one function, so it is called by ctypes.
"""

import ctypes
import os
import shutil
from contextlib import suppress
from pathlib import Path
from secrets import randbelow

from .errors import VaultError
from .pkcs11_uri import Pkcs11Uri

__all__ = ["MODULES", "find_module", "make_token"]

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
LABEL_SIZE = 32
PIN_DIGITS = 12


def find_module() -> Path:
    """SoftHSM's library. Raises VaultError, which says how to install it."""
    for name in MODULES:
        if Path(name).is_file():
            return Path(name)
    raise VaultError(
        "vault: SoftHSM2 is not installed (looked for libsofthsm2.so in "
        f"{', '.join(str(Path(name).parent) for name in MODULES)}); Debian, Ubuntu: apt-get install softhsm2; Fedora: dnf install softhsm; "
        "macOS: brew install softhsm"
    )


def make_token(folder: Path, label: str = "joren", module: Path | None = None) -> Pkcs11Uri:
    """A new token in a folder that is not there yet, with a PIN and a security officer's PIN at random, each in a file of mode 600.

    Raises VaultError, and then the folder is not there.
    """
    module = find_module() if module is None else module
    if not 1 <= len(label.encode()) <= LABEL_SIZE:
        raise VaultError(f"vault: a token label of 1..{LABEL_SIZE} bytes expected, {len(label.encode())} came")
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise VaultError(f"vault: {folder}: {error.strerror}; nothing was made") from None
    uri = Pkcs11Uri(module, label, folder / "pin", folder / "softhsm2.conf")
    try:
        _make(uri, folder)
    except BaseException as error:
        shutil.rmtree(folder)
        if isinstance(error, OSError):
            raise VaultError(f"vault: {folder}: {error.strerror}; nothing was made") from None
        raise
    return uri


def _make(uri: Pkcs11Uri, folder: Path) -> None:
    pins = [f"{randbelow(10**PIN_DIGITS):0{PIN_DIGITS}}" for _ in range(2)]
    for name, pin in zip(("pin", "so-pin"), pins, strict=True):
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{pin}\n")
    tokens = folder / "tokens"
    tokens.mkdir(mode=0o700)
    settings = f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
    (folder / "softhsm2.conf").write_text(settings, encoding="utf-8")
    _initialize(uri, pins[1])
    _set_pin(uri, *pins)


def _initialize(uri: Pkcs11Uri, so_pin: str) -> None:
    """C_InitToken in the first slot, which is the only one of a folder without tokens."""
    os.environ["SOFTHSM2_CONF"] = str(uri.softhsm_conf)
    try:
        library = ctypes.CDLL(str(uri.module))
    except OSError:
        raise VaultError(f"vault: {uri.module} can not be loaded as a PKCS#11 module") from None
    _check("C_Initialize", library.C_Initialize(None))
    try:
        slot, count = ctypes.c_ulong(), ctypes.c_ulong(1)
        _check("C_GetSlotList", library.C_GetSlotList(ctypes.c_ubyte(0), ctypes.byref(slot), ctypes.byref(count)))
        pin, label = so_pin.encode(), uri.token.encode().ljust(LABEL_SIZE)
        _check("C_InitToken", library.C_InitToken(slot, pin, ctypes.c_ulong(len(pin)), label))
    finally:
        library.C_Finalize(None)


def _check(function: str, code: int) -> None:
    if code:
        raise VaultError(f"vault: {function} of SoftHSM failed with {code & 0xFFFFFFFF:08X}; nothing was made")


def _set_pin(uri: Pkcs11Uri, pin: str, so_pin: str) -> None:
    try:
        import pkcs11
    except ImportError:
        raise VaultError("vault: PKCS#11 needs python-pkcs11; pip install 'joren[hsm]'; nothing was made") from None
    try:
        library = pkcs11.lib(str(uri.module))
        try:
            with library.get_token(token_label=uri.token).open(rw=True, so_pin=so_pin) as session:
                session.init_pin(pin)
        finally:
            with suppress(pkcs11.PKCS11Error):
                library.finalize()
    except pkcs11.PKCS11Error as error:
        raise VaultError(f"vault: the PIN of the new token can not be set ({type(error).__name__}); nothing was made") from None
