"""Two-key and three-key 3DES, for the cards of others whose keys are made with it. joren's own cards know AES alone."""

from cryptography.hazmat.primitives.ciphers import Cipher, modes

from .key import Key

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
except ImportError:  # before cryptography 43
    from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES

__all__ = ["DesKey", "TripleDES"]

BLOCK = 8


class DesKey:
    """A 3DES key: 16 or 24 bytes, a name for people, a version; parity bits are kept as they come. It hides its bytes as Key does."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes, name: str = "", version: int = 1) -> None:
        if len(key) not in (16, 24):
            raise ValueError(f"3DES key {name}: 16 or 24 bytes expected, {len(key)} came")
        self._key = Key(key, name, version)

    def __repr__(self) -> str:
        return f"<DesKey {self.name or 'unnamed'} {len(self) // BLOCK}TDEA version {self.version}>"

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, DesKey) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._key)

    @property
    def name(self) -> str:
        """For people."""
        return self._key.name

    @property
    def version(self) -> int:
        """As the issuer numbers it."""
        return self._key.version

    def ecb(self, data: bytes) -> bytes:
        """3DES-ECB of whole blocks of 8 bytes."""
        key = self._key.reveal()
        return Cipher(TripleDES(key + key[: 24 - len(key)]), modes.ECB()).encryptor().update(data)  # noqa: S305 - the raw block cipher

    def kcv(self) -> bytes:
        """The key check value, 3 bytes: 3DES of eight 00 (GlobalPlatform 2.3.1, B.6)."""
        return self.ecb(bytes(BLOCK))[:3]

    def reveal(self) -> bytes:
        """The bytes, for personalization and key wrapping alone."""
        return self._key.reveal()
