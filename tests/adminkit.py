"""Cards in the field: issued under the masters' first version, with a second one made since; and every change that an issuer has."""

from dataclasses import dataclass, replace

from deskkit import CUSTOMER, PRODUCT, SHOP, Line, blank, made
from joren.apdu import Key, LifeCycle
from joren.apdu.cards import CustomerInfo, ShopInfo
from joren.host import Masters, Slot, run
from joren.host.admin import Administered, administer
from joren.host.changes import CardKeys, Change, ManagerKeys, NewPin, Refill, Rules, Status
from joren.host.personalization import Order
from joren.host.product import Product
from joren.host.selecting import select_customer, select_shop
from joren.host.vault_file import MemoryVault
from joren.simulator.card_manager_chip import ManagedChip
from joren.simulator.chip import IDEAL
from joren.simulator.profile import Profile

__all__ = ["CHANGED", "CHANGES", "IDS", "Field", "Line", "view"]

NAMES = ("till", "shop", "receipt", "load", "admin", "shop_admin", "manager")
CHANGED: Product = replace(
    PRODUCT, rules=replace(PRODUCT.rules, rules_version=9), limits=replace(PRODUCT.limits, factor_max_tenths=20, purse_max_minor=99)
)
CHANGES: list[tuple[Order, Change]] = [
    (CUSTOMER, Status(LifeCycle.BLOCKED)),
    (CUSTOMER, Status(LifeCycle.TERMINATED)),
    (CUSTOMER, Rules()),
    (CUSTOMER, NewPin("987654", "11112222")),
    (CUSTOMER, NewPin()),
    (CUSTOMER, NewPin("0000", keep_puk=True)),
    (CUSTOMER, CardKeys()),
    (CUSTOMER, CardKeys(1)),
    (CUSTOMER, ManagerKeys()),
    (CUSTOMER, ManagerKeys(beside=True)),
    (SHOP, Status(LifeCycle.BLOCKED)),
    (SHOP, Status(LifeCycle.TERMINATED)),
    (SHOP, Rules()),
    (SHOP, CardKeys()),
    (SHOP, Refill(1, 500, 70)),
    (SHOP, ManagerKeys()),
]
IDS = [
    f"{order.slot.name.lower()} {change.purpose}{' beside' if change == ManagerKeys(beside=True) else ''} {i}"
    for i, (order, change) in enumerate(CHANGES)
]


@dataclass
class Field:
    """A card of an order in the field."""

    order: Order
    masters: Masters
    chip: ManagedChip

    @classmethod
    def of(cls, order: Order, number: int = 1, profile: Profile = IDEAL, first: int = 0x21) -> "Field":
        vault = MemoryVault.create(lambda size: bytes(range(first, first + size)))
        masters = Masters(vault)
        chip = blank(number, profile, masters)
        made(chip, order, masters)
        for name in NAMES:
            vault.put(name, 2, Key(bytes(range(first + 0x20, first + 0x30))))
        return cls(order, masters, chip)

    @property
    def slot(self) -> Slot:
        return self.order.slot

    def fork(self) -> "Field":
        """The same card once more, powered."""
        chip = self.chip.fork()
        chip.power_on()
        return Field(self.order, self.masters, chip)

    def change(self, change: Change, product: Product = CHANGED, link: Line | None = None) -> Administered:
        return run(administer(self.slot, product, self.masters, change), {self.slot: link or self.chip.process})

    def info(self) -> CustomerInfo | ShopInfo:
        links = {self.slot: self.chip.process}
        if self.slot is Slot.CUSTOMER:
            return run(select_customer(PRODUCT.programme), links)
        return run(select_shop(PRODUCT.programme), links)


def view(field: Field) -> dict[str, bytes]:
    """All persistent cells of the instance, and the card manager's keys; not its sequence counters."""
    prefix = field.order.aid(PRODUCT.programme).hex().upper()
    memory = field.chip.memory
    found = {
        name: memory.read(region.address, region.size)
        for name, region in memory.regions.items()
        if name.startswith(prefix) and "nonce" not in name and "challenge" not in name
    }
    manager = field.chip.manager
    assert manager is not None
    for version in manager.memory.versions:
        found[f"manager {version}"] = manager.memory.key_set(version).enc.kcv()
    return found
