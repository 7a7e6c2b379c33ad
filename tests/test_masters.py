"""How cards' keys come from the masters in a vault; beside a second implementation of the derivation."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode

from joren.apdu import Key, KeyRef, MacMismatch, messages
from joren.apdu.diversify import KDF3
from joren.host import HostError, Masters, Receipt
from joren.host.masters import GROUPS
from joren.host.vault import CARD_MASTERS, MASTER_NAMES, NamedVault
from joren.host.vault_file import MemoryVault

CARD_ID = bytes(range(1, 9))
DATA = bytes(range(10))
RECORD = bytes(36)


def derived(root: bytes, label: str, context: bytes) -> bytes:
    """SP 800-108 by the `cryptography` package: 16 bytes from a root of any length."""
    return KBKDFCMAC(algorithms.AES, Mode.CounterMode, 16, 1, 2, CounterLocation.BeforeFixed, label.encode(), context, None).derive(root)


def roots(size: int = 16, version: int = 1) -> dict[str, Key]:
    return {name: Key(bytes((16 * i + version + j) % 256 for j in range(size)), name, version) for i, name in enumerate(MASTER_NAMES, 1)}


@pytest.mark.parametrize("size", [16, 32])
def test_card_keys_come_from_their_roots(size: int) -> None:
    """REQ-KEY-2, REQ-KEY-4, REQ-KEY-6: three by way of a group master of the programme; all AES-128, also from AES-256 roots."""
    keys = roots(size)
    masters, programme, head = Masters(MemoryVault(keys.values())), 0x0102, b"\x01\x02" + CARD_ID
    for ref in KeyRef:
        name = ref.name.lower()
        root = keys[name].reveal()
        of = derived(root, f"{name}-group", b"\x01\x02") if name in GROUPS else root
        assert masters.card_key(ref, programme, CARD_ID).reveal() == derived(of, name, head)
        if name in GROUPS:
            assert masters.group_master(name, programme).reveal() == of
            assert [key.reveal() for key in masters.ring(name, programme)] == [of]
    shop = derived(keys["shop_admin"].reveal(), "shop-admin", bytes.fromhex("0102 000000 07 00000009"))
    assert masters.shop_admin_key(programme, 9, 7).reveal() == shop


def test_a_group_master_is_one_programmes_alone() -> None:
    """REQ-KEY-6."""
    masters = Masters.create()
    assert len({masters.group_master(name, programme).reveal() for name in GROUPS for programme in (1, 2, 0xFFFF)}) == 9
    with pytest.raises(HostError, match="group master: one of till, shop, load expected, 'receipt' came"):
        masters.group_master("receipt", 1)


def test_card_managers_get_their_keys_by_kdf3() -> None:
    keys = roots()
    masters = Masters(MemoryVault(keys.values()))
    for made, name, version in ((masters.manager_keys(DATA), "manager", 1), (masters.transport_keys(DATA), "transport", 0xFF)):
        expected = KDF3.derive(keys[name], DATA)
        assert (made.enc, made.mac, made.dek, made.version) == (expected.enc, expected.mac, expected.dek, version)
    with pytest.raises(HostError, match="manager keys: 10 bytes of diversification data expected, 9 came"):
        masters.manager_keys(DATA[:9])


def test_pins_are_numbers_of_the_card() -> None:
    keys = roots()
    masters = Masters(MemoryVault(keys.values()))
    for i in range(300):
        card_id = i.to_bytes(8)
        drawn = [int.from_bytes(derived(keys["pin"].reveal(), label, b"\x00\x01" + card_id)[:8]) for label in ("pin", "puk")]
        assert (masters.pin(1, card_id), masters.puk(1, card_id)) == (f"{drawn[0] % 10_000:04}", f"{drawn[1] % 100_000_000:08}")


def test_versions_stand_side_by_side() -> None:
    """The newest is taken unless another is asked for; a receipt is verified whichever it was made with."""
    old, new = roots(version=1), roots(version=2)
    masters = Masters(MemoryVault([*old.values(), *new.values()]))
    assert masters.version == 2
    for ref in KeyRef:
        keys = [masters.card_key(ref, 1, CARD_ID, version) for version in (None, 1, 2)]
        assert [key.version for key in keys] == [2, 1, 2]
        assert keys[0] == keys[2] != keys[1] == Masters(MemoryVault(old.values())).card_key(ref, 1, CARD_ID)
    assert [key.version for key in masters.ring("till", 1)] == [1, 2]
    assert [masters.shop_admin_key(1, 9, 7, version).version for version in (None, 1)] == [2, 1]
    assert [masters.manager_keys(DATA, version).version for version in (None, 1)] == [2, 1]
    for version in (1, 2):
        mac = masters.card_key(KeyRef.RECEIPT, 1, CARD_ID, version).mac8(messages.receipt(messages.head(1, CARD_ID), RECORD))
        receipt = Receipt(1, CARD_ID, RECORD, mac)
        masters.verify_receipt(receipt)
        with pytest.raises(MacMismatch):
            masters.verify_receipt(replace(receipt, mac=bytes(8)))


def test_the_five_masters_of_a_card_have_one_newest_version() -> None:
    vault = MemoryVault([*roots().values(), *(roots(version=2)[name] for name in CARD_MASTERS[:-1])])
    masters = Masters(vault)
    with pytest.raises(HostError, match="till 2, shop 2, receipt 2, load 2, admin 1 came; joren keys rotate"):
        masters.card_key(KeyRef.TILL, 1, CARD_ID)
    assert masters.card_key(KeyRef.TILL, 1, CARD_ID, 1).version == 1
    with pytest.raises(HostError, match="master admin: version 2 is not in the vault; there are 1"):
        masters.card_key(KeyRef.ADMIN, 1, CARD_ID, 2)
    vault.generate("admin", 2)
    assert masters.version == 2


def test_masters_go_by_the_names_of_the_product() -> None:
    """A product's [keys]: another programme's masters lie in the same vault."""
    vault = MemoryVault.create(lambda size: bytes(range(size)))
    vault.put("bakery-till", 3, Key(b"another masters.", "bakery-till"))
    names = {name: name for name in MASTER_NAMES} | {"till": "bakery-till"}
    named = Masters(NamedVault(vault, names))
    assert named.vault.versions("till") == (3,)
    assert named.group_master("till", 1, 3) != Masters(vault).group_master("till", 1)
    assert named.group_master("shop", 1, 1) == Masters(vault).group_master("shop", 1)
    assert named.vault.check_value("till", 3) == vault.check_value("bakery-till", 3)
    assert named.vault.public_key == vault.public_key
    named.vault.sign(b"")
    named.vault.close()
