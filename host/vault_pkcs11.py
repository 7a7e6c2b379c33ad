"""The vault in a security module: a token of PKCS#11, which computes with the masters and gives none of them away. Needs python-pkcs11.

How it works. A master is a secret key object labelled joren-NAME whose id is its version in one byte: a token object, sensitive, not
extractable. It is looked up once and kept, so one that another program makes later is seen when the vault is opened anew. The token's login
belongs to the process, so a process opens a module once. Whatever the token answers, an error names the function that failed and the return
code, and nothing of a key or a PIN.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any, TypeVar

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error, TokenFlag
from pkcs11 import exceptions as failed

from joren.apdu import Key

from .errors import HostError, VaultError
from .pkcs11_uri import Pkcs11Uri
from .vault import CHECK_INPUT, check_new_master, no_such_version

__all__ = ["Pkcs11Vault"]

SIGNING_LABEL = "joren-signing"
P256_PARAMETERS = bytes.fromhex("06082A8648CE3D030107")
POINT_SIZE = 65
GONE = (
    failed.DeviceError, failed.DeviceRemoved, failed.GeneralError, failed.KeyHandleInvalid, failed.ObjectHandleInvalid,
    failed.SessionClosed, failed.SessionHandleInvalid, failed.SlotIDInvalid, failed.TokenNotPresent, failed.TokenNotRecognised,
    failed.UserNotLoggedIn,
)  # fmt: skip
"""What a token answers when it was taken away: some say so, others no longer know the key or the session."""
MASTER_TEMPLATE = {
    Attribute.TOKEN: True, Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.MODIFIABLE: False,
    Attribute.SIGN: True, Attribute.ENCRYPT: True, Attribute.VERIFY: False, Attribute.DECRYPT: False, Attribute.WRAP: False,
    Attribute.UNWRAP: False,
}  # fmt: skip
T = TypeVar("T")
KeyObject = Any  # python-pkcs11 gives a key its methods when it is found
_opened: set[str] = set()


class Pkcs11Vault:
    """The masters in a token (VaultStore). Close it: the login lasts as long."""

    def __init__(self, uri: Pkcs11Uri, pin: str) -> None:
        """Opens the token and logs in, once: a wrong PIN is never tried again. Raises VaultError."""
        self.uri = uri
        self._keys: dict[str, dict[int, KeyObject]] = {}
        self._signing: KeyObject | None = None
        self._writing: pkcs11.Session | None = None
        self._module = _load(uri)
        try:
            self._token = self._find_token()
            self._session = self._log_in(pin)
        except BaseException:
            self._let_go()
            raise

    def __repr__(self) -> str:
        return f"<Pkcs11Vault token {self.uri.token}>"

    def versions(self, name: str) -> tuple[int, ...]:
        if name not in self._keys:
            self._keys[name] = self._look_up(name)
        if not self._keys[name]:
            del self._keys[name]
            raise HostError(f"master {name}: no key joren-{name} in the token {self.uri.token}; joren keys generate {name} makes it")
        return tuple(self._keys[name])

    def cmac(self, name: str, version: int, message: bytes) -> bytes:
        key = self._key(name, version)
        return self._ask("AES-CMAC", lambda: bytes(key.sign(message, mechanism=Mechanism.AES_CMAC)))

    def check_value(self, name: str, version: int) -> bytes:
        key = self._key(name, version)
        return self._ask("a check value (AES-ECB)", lambda: bytes(key.encrypt(CHECK_INPUT, mechanism=Mechanism.AES_ECB))[:3])

    def size(self, name: str, version: int) -> int:
        key = self._key(name, version)
        return self._ask("a key's length", lambda: int(key.key_length) // 8)

    def sign(self, message: bytes) -> bytes:
        key, digest = self._signing_key(), sha256(message).digest()
        raw = self._ask("ECDSA", lambda: bytes(key.sign(digest, mechanism=Mechanism.ECDSA)))
        return encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))

    @property
    def public_key(self) -> bytes:
        found = self._objects(ObjectClass.PUBLIC_KEY, SIGNING_LABEL)
        if not found:
            raise HostError(f"signing key: no public key {SIGNING_LABEL} in the token {self.uri.token}; joren keys generate all makes it")
        point: bytes = self._ask("a public key", lambda: found[0][Attribute.EC_POINT])
        try:
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point[-POINT_SIZE:])
        except ValueError:
            raise VaultError(f"vault: {SIGNING_LABEL}: a key on P-256 expected, another came") from None
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def close(self) -> None:
        """Logs out. Never fails: a token that is gone has forgotten the login."""
        self._keys, self._signing = {}, None
        if str(self.uri.module) in _opened:
            with suppress(PKCS11Error):
                self._session.close()
            self._let_go()

    def generate(self, name: str, version: int, size: int = 16) -> None:
        check_new_master(name, version, size, self._look_up(name))
        label, key_id, able = f"joren-{name}", bytes((version,)), MechanismFlag.SIGN | MechanismFlag.ENCRYPT
        self._ask(
            "key generation",
            lambda: self._write.generate_key(KeyType.AES, size * 8, key_id, label, True, able, template=MASTER_TEMPLATE),
        )
        self._keys.pop(name, None)

    def put(self, name: str, version: int, key: Key) -> None:
        there = self._look_up(name)
        check_new_master(name, version, len(key), there)
        check_value = key.kcv()
        if any(self.check_value(name, known) == check_value for known in there):
            raise HostError(f"master {name}: a key of this check value is there already, as another version; nothing was changed")
        template = {
            **MASTER_TEMPLATE, Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.LABEL: f"joren-{name}",
            Attribute.ID: bytes((version,)), Attribute.VALUE: key.reveal(),
        }  # fmt: skip
        self._ask("taking in a key", lambda: self._write.create_object(template))
        self._keys.pop(name, None)

    def remove(self, name: str, version: int) -> None:
        self._keys.pop(name, None)
        self._key(name, version)
        label, key_id = f"joren-{name}", bytes((version,))
        self._ask("destroying a key", lambda: self._write.get_key(ObjectClass.SECRET_KEY, label=label, id=key_id).destroy())
        self._keys.pop(name, None)

    def make_signing_key(self) -> bool:
        if self._objects(ObjectClass.PRIVATE_KEY, SIGNING_LABEL):
            return False

        def make() -> None:
            curve = self._write.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: P256_PARAMETERS}, local=True)
            curve.generate_keypair(
                id=b"\x01",
                label=SIGNING_LABEL,
                store=True,
                capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
                private_template={Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )

        self._ask("key pair generation", make)
        return True

    def _key(self, name: str, version: int) -> KeyObject:
        there = self.versions(name)
        if version not in there:
            raise no_such_version(name, version, there)
        return self._keys[name][version]

    def _signing_key(self) -> KeyObject:
        if self._signing is None:
            found = self._objects(ObjectClass.PRIVATE_KEY, SIGNING_LABEL)
            if not found:
                raise HostError(f"signing key: no {SIGNING_LABEL} in the token {self.uri.token}; joren keys generate all makes it")
            self._signing = found[0]
        return self._signing

    def _look_up(self, name: str) -> dict[int, KeyObject]:
        """The versions there are, rising. Raises VaultError for objects that are no versions of a master."""
        found: dict[int, KeyObject] = {}
        for key in self._objects(ObjectClass.SECRET_KEY, f"joren-{name}"):
            key_id = self._id(key)
            version = int.from_bytes(key_id)
            if len(key_id) != 1 or not version:
                came = "00" if len(key_id) == 1 else str(len(key_id))
                raise VaultError(f"vault: joren-{name}: an id of one byte, the version 01..FF, expected, {came} came")
            if version in found:
                raise VaultError(f"vault: joren-{name}: two keys of version {version}; remove one with the tools of the module")
            found[version] = key
        return dict(sorted(found.items()))

    def _id(self, key: KeyObject) -> bytes:
        return self._ask("a key's id", lambda: bytes(key[Attribute.ID]))

    def _objects(self, kind: ObjectClass, label: str) -> list[KeyObject]:
        """Raises VaultError, also where nothing is found because the token is gone: then it does not know the keys it had either."""
        attributes = {Attribute.CLASS: kind, Attribute.LABEL: label}
        found: list[KeyObject] = self._ask("search", lambda: list(self._session.get_objects(attributes)))
        if not found:
            for versions in self._keys.values():
                for key in versions.values():
                    self._id(key)
        return found

    @property
    def _write(self) -> pkcs11.Session:
        """A session that may change the token; opened when it is asked for."""
        if self._writing is None:
            self._writing = self._token.open(rw=True)
        return self._writing

    def _ask(self, what: str, do: Callable[[], T]) -> T:
        """What the token answers. Raises VaultError."""
        if str(self.uri.module) not in _opened:
            raise VaultError(f"vault: token {self.uri.token}: it was closed")
        try:
            return do()
        except GONE as error:
            raise VaultError(
                f"vault: the token {self.uri.token} is gone or out of order ({_code(error)} at {what}); bring it back and start anew: "
                "what was finished stays, and a batch goes on where it stopped"
            ) from None
        except PKCS11Error as error:
            raise VaultError(f"vault: the token {self.uri.token} refuses {what} ({_code(error)})") from None
        except AttributeError:
            raise VaultError(f"vault: the token {self.uri.token} refuses {what}: its key was made without that use") from None

    def _find_token(self) -> pkcs11.Token:
        with _told(f"vault: the slots of {self.uri.module} can not be read"):
            tokens = list(self._module.get_tokens())
        found = [token for token in tokens if token.label == self.uri.token]
        if len(found) != 1:
            there = ", ".join(sorted(token.label for token in tokens if token.label)) or "none"
            came = "no such token" if not found else f"{len(found)} tokens of this name"
            raise VaultError(f"vault: token {self.uri.token}: {came} in the slots of {self.uri.module}; there are: {there}")
        token: pkcs11.Token = found[0]
        return token

    def _log_in(self, pin: str) -> pkcs11.Session:
        label = self.uri.token
        try:
            return self._token.open(user_pin=pin)
        except (failed.PinIncorrect, failed.PinInvalid, failed.PinLenRange) as error:
            raise VaultError(f"vault: token {label}: wrong PIN ({_code(error)}); it was tried once. {self._tries_left()}") from None
        except failed.PinLocked:
            raise VaultError(
                f"vault: token {label}: the PIN is locked after too many wrong ones; its security officer sets it anew (C_InitPIN)"
            ) from None
        except failed.UserPinNotInitialized:
            raise VaultError(f"vault: token {label}: it has no PIN yet; its security officer sets one (C_InitPIN)") from None
        except PKCS11Error as error:
            raise VaultError(f"vault: token {label}: it can not be opened ({_code(error)})") from None

    def _tries_left(self) -> str:
        """PKCS#11 tells no number of tries but three flags of the token."""
        with suppress(PKCS11Error, VaultError):
            flags = self._find_token().flags
            if flags & TokenFlag.USER_PIN_LOCKED:
                return "The token says that the PIN is locked now (CKF_USER_PIN_LOCKED)"
            if flags & TokenFlag.USER_PIN_FINAL_TRY:
                return "The token says that one try is left before it locks the PIN (CKF_USER_PIN_FINAL_TRY)"
        return "Every wrong PIN since the last right one counts, and some tokens lock after three: find the right one first"

    def _let_go(self) -> None:
        _opened.discard(str(self.uri.module))
        with suppress(PKCS11Error):
            self._module.finalize()


def _load(uri: Pkcs11Uri) -> Any:
    """The module, initialized for this process. Raises VaultError."""
    path = str(uri.module)
    if path in _opened:
        raise VaultError(f"vault: {path} is in use in this process already; close that vault first")
    if uri.softhsm_conf is not None:
        if not uri.softhsm_conf.is_file():
            raise VaultError(f"vault: x-softhsm-conf {uri.softhsm_conf}: no such file; joren keys softhsm makes one")
        os.environ["SOFTHSM2_CONF"] = str(uri.softhsm_conf)
    if not uri.module.is_file():
        raise VaultError(f"vault: module-path {path}: no such file; give the PKCS#11 library of your security module")
    with _told(f"vault: {path} can not be loaded as a PKCS#11 module"):
        module = pkcs11.lib(path)
    _opened.add(path)
    return module


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except PKCS11Error as error:
        raise VaultError(f"{what}: {_code(error)}") from None


def _code(error: PKCS11Error) -> str:
    """The return code's name. Only errors without a name of their own have a text, in which the library tells a number or a path."""
    return type(error).__name__ if type(error) is not PKCS11Error else str(error)
