"""How the keys of cards come from the issuer's master keys, which stay in a vault (REQ-KEY-2, REQ-KEY-4, REQ-KEY-6).

How it works. The vault gives AES-CMACs under its masters, and every key here is made of these. What tills and shop cards hold is no master
of the vault but a group master made from one, for one programme: so what leaks from them is worth nothing in another programme, and nothing
that is in a vault has ever been outside.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from secrets import token_bytes

from joren.apdu import Key, KeyRef, MacMismatch, kdf, messages
from joren.apdu.diversify import KDF3
from joren.apdu.scp03_keys import ScpKeys
from joren.apdu.transaction import Transaction

from .ceremony import KeyRing
from .errors import HostError
from .holder import shop_card_id
from .results import Receipt
from .vault import CARD_MASTERS, Vault
from .vault_file import MemoryVault

__all__ = ["GROUPS", "Masters"]

GROUPS = ("till", "shop", "load")
KEY_SIZE = 16
TRANSPORT_VERSION = 0xFF
PIN_DIGITS, PUK_DIGITS = 4, 8
DIVERSIFICATION_SIZE = 10


class Masters:
    """What an issuer makes from the masters of a vault. All keys are AES-128, whatever their masters are. `version` None: the newest."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self._groups: dict[tuple[str, int, int], Key] = {}

    @classmethod
    def create(cls, random: Callable[[int], bytes] = token_bytes) -> "Masters":
        """New masters in memory, for tests and demonstrations."""
        return cls(MemoryVault.create(random))

    @property
    def version(self) -> int:
        """The newest version of the masters of customer cards, which new cards get. Raises HostError where the five differ."""
        newest = {name: self.vault.versions(name)[-1] for name in CARD_MASTERS}
        if len(set(newest.values())) != 1:
            told = ", ".join(f"{name} {version}" for name, version in newest.items())
            raise HostError(f"masters: one newest version of all expected, {told} came; joren keys rotate brings them to the same")
        return newest["till"]

    def card_key(self, key_ref: KeyRef, programme: int, card_id: bytes, version: int | None = None) -> Key:
        """A customer card's key (REQ-KEY-2); `card_id` is 8 bytes. Raises HostError for a version that is not there."""
        label = key_ref.name.lower()
        head = messages.head(programme, card_id)
        if label in GROUPS:
            return self.group_master(label, programme, version).derive(label.encode(), head)
        return self._derived(label, self.version if version is None else version, label.encode(), head)

    def group_master(self, name: str, programme: int, version: int | None = None) -> Key:
        """The master of a programme that tills (`till`) or shop cards (`shop`, `load`) hold (REQ-KEY-6). Raises HostError."""
        if name not in GROUPS:
            raise HostError(f"group master: one of {', '.join(GROUPS)} expected, {name!r} came")
        made = (name, programme, self.version if version is None else version)
        if made not in self._groups:
            self._groups[made] = self._derived(name, made[2], f"{name}-group".encode(), programme.to_bytes(2))
        return self._groups[made]

    def ring(self, name: str, programme: int) -> KeyRing:
        """The group masters of all versions, for a till or a shop card that serves cards of each. Raises HostError."""
        return KeyRing(name, *(self.group_master(name, programme, version) for version in self.vault.versions(name)))

    def shop_admin_key(self, programme: int, shop: int, terminal: int, version: int | None = None) -> Key:
        """A shop card's ADMIN key (REQ-KEY-4). Raises HostError for a version that is not there."""
        version = self.vault.versions("shop_admin")[-1] if version is None else version
        return self._derived("shop_admin", version, b"shop-admin", messages.head(programme, shop_card_id(shop, terminal)))

    def manager_keys(self, diversification_data: bytes, version: int | None = None) -> ScpKeys:
        """A card manager's key set (KDF3) for its 10 bytes of diversification data, with the master's version. Raises HostError."""
        return self.key_set("manager", diversification_data, version)

    def transport_keys(self, diversification_data: bytes) -> ScpKeys:
        """The key set that blank cards come with (KDF3), of key version FF. Raises HostError."""
        return replace(self.key_set("transport", diversification_data), version=TRANSPORT_VERSION)

    def key_set(self, name: str, diversification_data: bytes, version: int | None = None) -> ScpKeys:
        """Key-ENC, Key-MAC and Key-DEK of 16 bytes, made with KDF3 from any master. Raises HostError."""
        version = self.vault.versions(name)[-1] if version is None else version
        if len(diversification_data) != DIVERSIFICATION_SIZE:
            raise HostError(f"{name} keys: {DIVERSIFICATION_SIZE} bytes of diversification data expected, {len(diversification_data)} came")
        enc, mac, dek = (
            Key(self.vault.cmac(name, version, KDF3.block(constant, diversification_data, 1)), f"{name} {purpose}", version)
            for constant, purpose in ((1, "ENC"), (2, "MAC"), (3, "DEK"))
        )
        return ScpKeys(enc, mac, dek, version)

    def pin(self, programme: int, card_id: bytes) -> str:
        """A card's first PIN, 4 digits."""
        return self._number(b"pin", programme, card_id, PIN_DIGITS)

    def puk(self, programme: int, card_id: bytes) -> str:
        """A card's PUK, 8 digits."""
        return self._number(b"puk", programme, card_id, PUK_DIGITS)

    def verify_receipt(self, receipt: Receipt) -> Transaction:
        """The transaction that a receipt proves (REQ-MAC-4), by any version. Raises MacMismatch for one that no card of these keys gave."""
        head = messages.head(receipt.programme, receipt.card_id)
        message = messages.receipt(head, receipt.record)
        oldest, *_ = versions = self.vault.versions("receipt")
        for version in reversed(versions):
            try:
                self.card_key(KeyRef.RECEIPT, receipt.programme, receipt.card_id, version).verify8(message, receipt.mac)
                break
            except MacMismatch:
                if version == oldest:
                    raise
        return Transaction.decode(receipt.record)

    def _derived(self, name: str, version: int, label: bytes, context: bytes) -> Key:
        return Key(kdf.derive(partial(self.vault.cmac, name, version), label, context, KEY_SIZE), label.decode(), version)

    def _number(self, label: bytes, programme: int, card_id: bytes, digits: int) -> str:
        """A number from the first 8 bytes of a derived key, modulo 10^digits."""
        version = self.vault.versions("pin")[-1]
        drawn = self._derived("pin", version, label, messages.head(programme, card_id)).reveal()[:8]
        return f"{int.from_bytes(drawn) % 10**digits:0{digits}}"
