"""Card images: readable, the same card again, secrets sealed, damage found."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cardkit import PIN, Customer, Shop
from joren.apdu import Key
from joren.simulator.chip import Chip
from joren.simulator.image import BadImage, image_of, load_image, save_image
from test_chip import AID_A, Toy

STORAGE = Key(b"S" * 16, "storage")


@pytest.mark.parametrize("with_secrets", [False, True])
def test_an_image_is_the_same_card_again(tmp_path: Path, with_secrets: bool) -> None:
    customer = Customer(pin=PIN)
    customer.buy(5000)
    path = tmp_path / "card.json"
    save_image(customer.chip, path, STORAGE, with_secrets=with_secrets)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    again = load_image(path, None if with_secrets else STORAGE)
    assert again.snapshot() == customer.chip.snapshot()
    customer.chip.power_off()
    before, customer.chip = customer.chip.random(8), again
    customer.select()
    assert customer.info.nonce == before
    assert customer.buy(100).outcome.points_balance == 51


def test_a_shop_card_comes_back_too(tmp_path: Path) -> None:
    customer, shop = Customer(), Shop()
    shop.purchase(customer)
    save_image(shop.chip, tmp_path / "shop.json", STORAGE)
    shop.chip = load_image(tmp_path / "shop.json", STORAGE)
    shop.select()
    shop.purchase(customer)
    assert shop.totals().transactions == 2


@pytest.mark.parametrize("storage", [None, STORAGE])
def test_no_secret_stands_in_an_image(storage: Key | None) -> None:
    customer, shop = Customer(pin=PIN), Shop()
    text = json.dumps([image_of(customer.chip, storage), image_of(shop.chip, storage)]).upper()
    secrets = [key.reveal() for key in (*customer.keys.values(), *customer.masters.values(), shop.admin)]
    for secret in (*secrets, PIN.ljust(8, b"\xff")):
        assert secret.hex().upper() not in text
    everything = json.dumps(image_of(customer.chip, with_secrets=True)).upper()
    assert all(key.reveal().hex().upper() in everything for key in customer.keys.values())


def test_an_image_without_secrets_is_for_reading(tmp_path: Path) -> None:
    customer = Customer()
    customer.buy(5000)
    path = tmp_path / "card.json"
    save_image(customer.chip, path)
    with pytest.raises(BadImage, match="left out: it is for reading only"):
        load_image(path)
    customer.chip = load_image(path, allow_redacted=True)
    assert customer.select().counter == 1
    save_image(Customer().chip, path, STORAGE)
    with pytest.raises(BadImage, match="sealed: give the storage key"):
        load_image(path)
    with pytest.raises(BadImage, match="another storage key"):
        load_image(path, Key(b"T" * 16))


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    from joren.simulator.image import _checksum  # a right checksum over wrong content

    image = image_of(Customer().chip, STORAGE)
    del image["checksum"]
    change(image)
    return json.dumps({**image, "checksum": _checksum(image)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "in JSON expected"),
        ("[]", "another kind of file"),
        ('{"format": "other"}', "another kind of file"),
        (changed(lambda image: image.update(version=3)), "version 2 expected, 3 came; use the release"),
        (changed(lambda image: image.update(profile="nosuch")), "made for a chip that is not known here: .*nosuch"),
        (changed(lambda image: image["instances"][0]["wear"].update(counter=[[1, 2, 3]])), "wear of counter: ranges within 2 bytes"),
        (changed(lambda image: image["instances"][0]["wear"].update(counter=[[-1, 2, 3]])), "wear of counter: ranges within 2 bytes"),
        (changed(lambda image: image["instances"][0]["wear"].update(nosuch=[])), "damaged, KeyError"),
        (json.dumps({**image_of(Customer().chip, STORAGE), "atr": "3B00"}), "checksum"),
        (json.dumps({k: v for k, v in image_of(Customer().chip, STORAGE).items() if k != "checksum"}), "checksum"),
        (changed(lambda image: image["instances"][0].update(aid="A000000003")), "AID of joren expected, A000000003"),
        (changed(lambda image: image["instances"][0]["regions"].update(counter="00")), "counter: 2 bytes expected, 1 came"),
        (changed(lambda image: image["instances"][0]["regions"].pop("counter")), "counter: 2 bytes expected, none came"),
        (changed(lambda image: image["instances"][0]["sealed"].pop("key_till")), "key_till: 16 bytes expected, none came"),
        (changed(lambda image: image["instances"][0]["regions"].update(counter="zz")), "damaged, ValueError"),
        (changed(lambda image: image.pop("random")), "damaged, KeyError"),
        (changed(lambda image: image["random"].update(draws=None)), "damaged, ValueError"),
    ],
)
def test_damaged_newer_and_foreign_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadImage, match=message) as refused:
        load_image(path, STORAGE)
    assert str(path) in str(refused.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadImage, match="in JSON expected"):
        load_image(path, STORAGE)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    save_image(Customer().chip, path, STORAGE)
    old = path.read_bytes()
    stranger = Chip()
    stranger.install(Toy, AID_A)
    with pytest.raises(KeyError):
        save_image(stranger, path, STORAGE)
    path.chmod(0o600)
    assert path.read_bytes() == old
    folder = tmp_path / "folder.json"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        save_image(Customer().chip, folder, STORAGE)
    assert sorted(tmp_path.iterdir()) == [path, folder]


def test_a_readable_image_does_not_tell_the_nonces_to_come(tmp_path: Path) -> None:
    """REQ-SEL-2: the generator's seed is kept as the keys are."""
    customer = Customer(seed=b"0123456789abcdef")
    assert customer.chip.seed.hex().upper() not in json.dumps(image_of(customer.chip, STORAGE)).upper()
    path = tmp_path / "card.json"
    save_image(customer.chip, path)
    assert load_image(path, allow_redacted=True).seed == b""
    save_image(customer.chip, path, with_secrets=True)
    assert load_image(path).seed == customer.chip.seed


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "9" * 5_000, '{"format": "joren-card-image", "version": 1e999}'], ids=["deep", "long", "infinite"]
)
def test_json_that_no_one_writes(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(BadImage):
        load_image(tmp_path / "card.json", STORAGE)


@pytest.mark.parametrize("change", [{"regions": []}, {"sealed": "x"}, {"secrets": []}, {"regions": {"redacted": ""}, "secrets": {}}])
def test_an_image_of_another_shape_with_a_right_checksum(tmp_path: Path, change: dict[str, object]) -> None:
    image = image_of(Customer().chip, STORAGE)
    image.pop("checksum")
    if "secrets" in change:
        del image["instances"][0]["sealed"]
    if "redacted" in change.get("regions", {}):  # type: ignore[operator]
        change = {**change, "regions": {**image["instances"][0]["regions"], "redacted": ""}}
    image["instances"][0] |= change
    checksum = sha256(json.dumps(image, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    (tmp_path / "card.json").write_text(json.dumps({**image, "checksum": checksum}))
    with pytest.raises(BadImage):
        load_image(tmp_path / "card.json", STORAGE)


def test_wear_and_profile_come_back(tmp_path: Path) -> None:
    customer = Customer()
    customer.buy(1_000)
    save_image(customer.chip, tmp_path / "card.json", STORAGE)
    again = load_image(tmp_path / "card.json", STORAGE)
    assert again.memory.wear == customer.chip.memory.wear
    assert again.profile == customer.chip.profile
    customer.chip.memory.wear = None
    save_image(customer.chip, tmp_path / "card.json", STORAGE)
    assert load_image(tmp_path / "card.json", STORAGE).memory.wear == {}
