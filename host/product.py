"""A card product: what a programme's cards are issued with, and how its people count time and money.

A TOML file, as examples/product.toml, which has every key; each is needed, and no other is taken. Hours on the cards count from the epoch.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import Any, Self

from joren.apdu.cards import Limits
from joren.apdu.state import DEFAULT_RULES, RankRules, Slot

from .errors import HostError
from .offers import Offers
from .tomlfile import check_table, expect, load_toml, parse_toml, whole_number

__all__ = ["DEFAULT_PRODUCT", "CardTable", "Product"]

VERSION = 1
HOUR_MAX = 0xFFFF
HEAD_KEYS = ("version", "name", "programme", "currency", "minor_digits", "epoch", "rules", "limits", "cards", "keys")
KEY_ROLES = ("till", "shop", "receipt", "load", "admin", "shop_admin", "pin", "manager", "transport")
KEY_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
PIN_CHOICES = ("none", "letter")
PREFIX = re.compile(r"[0-9A-Fa-f]{8}")
SHOP_PREFIX = "000000"


@dataclass(frozen=True, slots=True)
class CardTable:
    """How cards are made by the batch: an id is `id_prefix` (4 bytes), then a serial number u32.

    `pin` "letter": PIN and PUK of the issuer's making, told in a letter; "none": the card has none. `offers`: the name of the offers file
    beside the product's, or "".
    """

    id_prefix: bytes
    pin: str
    offers: str


@dataclass(frozen=True, slots=True)
class Product:
    """One product. `programme` is u16, `epoch` the day whose 00:00 is hour 0, `minor_digits` the decimals of the currency.

    `keys`: by role, the name that a master has in the vault.
    """

    name: str
    programme: int
    currency: str
    minor_digits: int
    epoch: date
    rules: RankRules
    limits: Limits
    cards: CardTable
    keys: Mapping[str, str] = field(hash=False)

    def hour_of(self, time: datetime) -> int:
        """The hour (u16) a time falls in. Raises HostError for one before the epoch, or more than 65,535 hours after it."""
        start = datetime.combine(self.epoch, datetime.min.time(), time.tzinfo)
        hour = (time - start) // timedelta(hours=1)
        if not 0 <= hour <= HOUR_MAX:
            last = start + timedelta(hours=HOUR_MAX)
            raise HostError(f"time: {start:%Y-%m-%d} to {last:%Y-%m-%d} expected, as the programme's epoch has it, {time:%Y-%m-%d} came")
        return hour

    def time_of(self, hour: int) -> datetime:
        """When an hour began."""
        return datetime.combine(self.epoch, datetime.min.time()) + timedelta(hours=hour)

    def money(self, amount_minor: int) -> str:
        """An amount for people: 1250 minor units of USD with 2 digits are "12.50 USD"."""
        unit = 10**self.minor_digits
        decimals = f".{amount_minor % unit:0{self.minor_digits}}" if self.minor_digits else ""
        return f"{amount_minor // unit:,}{decimals} {self.currency}".rstrip()

    def minor(self, text: str) -> int:
        """What a person wrote, "12.50", in minor units, 1250. Raises HostError."""
        whole, point, decimals = text.partition(".")
        right = whole.isascii() and whole.isdigit() and len(whole) <= 10 and (not point or (decimals.isascii() and decimals.isdigit()))
        if not right or len(decimals) > self.minor_digits:
            raise HostError(f"amount: a number with at most {self.minor_digits} decimals expected, {text!r} came")
        return int(whole + decimals.ljust(self.minor_digits, "0"))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """From a file; the offers file that it names must be good too. Raises HostError naming the file and the key that is wrong."""
        product = load_toml("product", path, cls.parse)
        if product.cards.offers:
            Offers.load(Path(path).parent / product.cards.offers)
        return product

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the text of a file. Raises HostError."""
        head = check_table("file", parse_toml(text), HEAD_KEYS)
        expect(type(head["version"]) is int and head["version"] == VERSION, "version", str(VERSION), head["version"])
        epoch = head["epoch"]
        expect(type(epoch) is date and epoch.year < date.max.year - 8, "epoch", "a day such as 2025-01-01", epoch)
        try:
            rules, limits = _rules(head["rules"]), _limits(head["limits"])
            rules.check()
            limits.check()
        except ValueError as error:
            raise HostError(str(error)) from error
        return cls(
            _text("name", head["name"]),
            whole_number("programme", head["programme"], 0xFFFF),
            _text("currency", head["currency"]),
            whole_number("minor_digits", head["minor_digits"], 4),
            epoch,
            rules,
            limits,
            _cards(head["cards"]),
            _keys(head["keys"]),
        )


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise HostError(f"{where}: a text expected, {value!r} came")
    return value


def _rules(value: object) -> RankRules:
    table = dict(check_table("rules", value, tuple(field.name for field in fields(RankRules))))
    for name in ("climb", "keep", "rate_bp"):
        lines = table[name]
        expect(isinstance(lines, list) and len(lines) == 5, f"rules.{name}", "five whole numbers", lines)
        table[name] = tuple(whole_number(f"rules.{name}", line, 0xFFFF) for line in lines)
    slots = table["slots"]
    expect(isinstance(slots, list) and len(slots) == 4, "rules.slots", "four tables", slots)
    table["slots"] = tuple(_slot(f"rules.slots[{number}]", slot) for number, slot in enumerate(slots))
    numbers: dict[str, Any] = {
        name: value if isinstance(value, tuple) else whole_number(f"rules.{name}", value, 0xFFFF) for name, value in table.items()
    }
    return RankRules(**numbers)


def _slot(where: str, value: object) -> Slot:
    table = dict(check_table(where, value, tuple(field.name for field in fields(Slot))))
    table["categories"] = _categories(f"{where}.categories", table["categories"])
    return Slot(**{name: whole_number(f"{where}.{name}", number, 0xFFFF) for name, number in table.items()})


def _limits(value: object) -> Limits:
    table = dict(check_table("limits", value, tuple(field.name for field in fields(Limits))))
    table["categories"] = _categories("limits.categories", table["categories"])
    widths = (1, 1, 2, 2, 4, 4, 4)
    most = {field.name: (1 << 8 * width) - 1 for field, width in zip(fields(Limits), widths, strict=True)}
    return Limits(**{name: whole_number(f"limits.{name}", number, most[name]) for name, number in table.items()})


def _cards(value: object) -> CardTable:
    table = check_table("cards", value, tuple(field.name for field in fields(CardTable)))
    prefix, pin, offers = table["id_prefix"], table["pin"], table["offers"]
    right = isinstance(prefix, str) and PREFIX.fullmatch(prefix) and not prefix.startswith(SHOP_PREFIX)
    expect(right, "cards.id_prefix", "4 bytes in hexadecimal that do not begin with 000000, as shop cards' ids do,", prefix)
    expect(pin in PIN_CHOICES, "cards.pin", " or ".join(PIN_CHOICES), pin)
    expect(
        isinstance(offers, str) and offers == Path(offers).name, "cards.offers", "the name of a file beside this one, or nothing,", offers
    )
    return CardTable(bytes.fromhex(prefix), pin, offers)


def _keys(value: object) -> Mapping[str, str]:
    table = check_table("keys", value, KEY_ROLES)
    for role, name in table.items():
        expect(isinstance(name, str) and KEY_NAME.fullmatch(name), f"keys.{role}", "up to 32 letters, digits, '_', '.' and '-'", name)
    return {role: table[role] for role in KEY_ROLES}


def _categories(where: str, value: object) -> int:
    """A list of categories as a mask, bit c for category c."""
    if not isinstance(value, list):
        raise HostError(f"{where}: a list of categories expected, {value!r} came")
    return sum(1 << category for category in {whole_number(where, category, 15) for category in value})


DEFAULT_PRODUCT = Product(
    name="joren",
    programme=1,
    currency="EUR",
    minor_digits=2,
    epoch=date(2025, 1, 1),
    rules=DEFAULT_RULES,
    limits=Limits(
        modes=3,
        factor_max_tenths=30,
        categories=0xFFFF,
        period_hours=8760,
        purse_max_minor=50_000,
        redeem_pin_from=1_000,
        pay_pin_from_minor=5_000,
    ),
    cards=CardTable(id_prefix=bytes.fromhex("4A4F0001"), pin="none", offers=""),
    keys={role: role for role in KEY_ROLES},
)
"""The product of examples/product.toml."""
