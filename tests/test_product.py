"""Card products: what their file may say, and how they count time and money."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.host import DEFAULT_PRODUCT, HostError, Product

EXAMPLE = Path(__file__).parent.parent / "examples" / "product.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")


def test_the_example_is_the_product_that_joren_has() -> None:
    assert Product.load(EXAMPLE) == DEFAULT_PRODUCT


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "version = 2", "version: 1 expected, 2 came"),
        ("version = 1", "version = true", "version: 1 expected, True came"),
        ("version = 1", "version = ", "no TOML"),
        ('name = "joren"', "", "file: the key name expected"),
        ('name = "joren"', 'name = " "', "name: a text expected"),
        ('name = "joren"', 'name = "joren"\ncolour = "red"', "file: key: one of cards, currency, epoch, .* expected, 'colour' came"),
        ("programme = 1 ", "programme = 65536 ", "programme: a whole number in 0..65535 expected, 65536 came"),
        ("programme = 1 ", "programme = true ", "programme: a whole number"),
        ("epoch = 2025-01-01", "epoch = 2025-01-01T00:00:00", "epoch: a day such as 2025-01-01"),
        ("minor_digits = 2", "minor_digits = 5", "minor_digits: a whole number in 0..4"),
        ("modes = 3 ", "modes = 0 ", "modes"),
        ("modes = 3 ", "modes = 256 ", "limits.modes: a whole number in 0..255"),
        ("purse_max_minor = 50000", "purse_max_minor = -1", "limits.purse_max_minor"),
        ("period_hours = 8760", "", "limits: the key period_hours expected"),
        ("climb = [0, 100,", "climb = [0,", "rules.climb: five whole numbers"),
        ("climb = [0, 100,", "climb = [0, 700,", "climb"),
        ("points_cap = 65535", "points_cap = 65536", "rules.points_cap"),
        ("rate = 1942", 'rate = "fast"', r"rules.slots\[0\].rate"),
        ("share = 256", "share = 257", "share"),
        ("visit = 62", "visits = 62", r"rules.slots\[0\]: key: one of cap, categories, rate, share, visit expected"),
        ('id_prefix = "4A4F0001"', 'id_prefix = "4A4F00"', "cards.id_prefix: 4 bytes in hexadecimal .* expected, '4A4F00' came"),
        ('id_prefix = "4A4F0001"', 'id_prefix = "00000001"', "cards.id_prefix: 4 bytes in hexadecimal that do not begin with 000000"),
        ('id_prefix = "4A4F0001"', "id_prefix = 1", "cards.id_prefix: 4 bytes in hexadecimal"),
        ('pin = "none"', 'pin = "1234"', "cards.pin: none or letter expected, '1234' came"),
        ('pin = "none"', "", "cards: the key pin expected"),
        ('offers = ""', 'offers = "../offers.toml"', "cards.offers: the name of a file beside this one"),
        ('offers = ""', "offers = 1", "cards.offers: the name of a file beside this one"),
        ('till = "till"', "", "keys: the key till expected"),
        ('till = "till"', 'till = ""', "keys.till: up to 32 letters"),
        ('till = "till"', "till = 7", "keys.till: up to 32 letters"),
        ('till = "till"', 'till = "till"\nstorage = "x"', "keys: key: one of .* expected, 'storage' came"),
        ("categories = [0, 1,", "categories = [16, 1,", "limits.categories: a whole number in 0..15 expected, 16 came"),
    ],
)
def test_a_file_that_is_wrong_in_one_thing_is_refused_with_its_name(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(HostError, match=message):
        Product.parse(TEXT.replace(old, new, 1))


def test_tables_where_tables_belong() -> None:
    with pytest.raises(HostError, match="rules: a table expected"):
        Product.parse(TEXT[: TEXT.index("[cards]")] + "cards = {}\nkeys = {}\nrules = 1\nlimits = 2\n")
    with pytest.raises(HostError, match=r"limits\.categories: a list of categories"):
        Product.parse(TEXT.replace("categories = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]", "categories = 65535", 1))
    with pytest.raises(HostError, match=r"rules\.slots: four tables"):
        Product.parse(TEXT[: TEXT.rindex("[[rules.slots]]")])


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"none\.toml: No such file"):
        Product.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(HostError, match=r"latin\.toml: .*utf-8"):
        Product.load(tmp_path / "latin.toml")


def test_the_offers_beside_a_product_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "product.toml"
    path.write_text(TEXT.replace('offers = ""', 'offers = "ours.toml"'), encoding="utf-8")
    with pytest.raises(HostError, match=r"ours\.toml: No such file"):
        Product.load(path)
    (tmp_path / "ours.toml").write_bytes((EXAMPLE.parent / "offers.toml").read_bytes())
    assert Product.load(path).cards.offers == "ours.toml"
    (tmp_path / "ours.toml").write_text("version = 9")
    with pytest.raises(HostError, match=r"ours\.toml"):
        Product.load(path)


@given(st.integers(0, 0xFFFF), st.integers(0, 3599))
def test_an_hour_is_a_whole_hour_since_the_epoch(hour: int, second: int) -> None:
    time = DEFAULT_PRODUCT.time_of(hour)
    assert DEFAULT_PRODUCT.hour_of(time + timedelta(seconds=second)) == hour


@pytest.mark.parametrize("time", [datetime(2024, 12, 31, 23, 59), datetime(2032, 6, 24, 0, 0)])
def test_times_outside_the_hours_of_a_card(time: datetime) -> None:
    with pytest.raises(HostError, match="time: 2025-01-01 to 2032-06-23 expected"):
        DEFAULT_PRODUCT.hour_of(time)


def test_times_with_a_zone_count_in_that_zone() -> None:
    assert DEFAULT_PRODUCT.hour_of(datetime(2025, 1, 1, 5, tzinfo=UTC)) == 5


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 4))
def test_money_is_read_as_it_is_written(amount_minor: int, digits: int) -> None:
    product = replace(DEFAULT_PRODUCT, minor_digits=digits, currency="")
    assert product.minor(product.money(amount_minor).replace(",", "")) == amount_minor


def test_money_for_people() -> None:
    assert DEFAULT_PRODUCT.money(123_456) == "1,234.56 EUR"
    assert replace(DEFAULT_PRODUCT, minor_digits=0, currency="JPY").money(1250) == "1,250 JPY"
    assert DEFAULT_PRODUCT.minor("12.5") == 1250
    assert DEFAULT_PRODUCT.epoch == date(2025, 1, 1)


@pytest.mark.parametrize("text", ["", ".", ".5", "-1", "1.234", "1,5", "1e3", "٣", "1.٣", " 1", "12345678901"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(HostError, match="amount: a number with at most 2 decimals expected"):
        DEFAULT_PRODUCT.minor(text)
