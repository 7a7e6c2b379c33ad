"""The issuer's desk in tests: masters, blank chips as their maker delivers them, and channels to what is on them."""

from joren.apdu import CLA_ISO, CLA_JOREN, Command, Ins, LinkLost, Response
from joren.apdu.scp03 import Level
from joren.apdu.tlv import Dgi
from joren.host import DEFAULT_PRODUCT, Masters, run
from joren.host.channel import Channel, open_channel
from joren.host.desk import Made, make_card, own_keys
from joren.host.personalization import CustomerOrder, Order, ShopOrder, blocks
from joren.simulator.card_manager_chip import ManagedChip, make_managed_chip
from joren.simulator.card_manager_memory import Production
from joren.simulator.chip import IDEAL
from joren.simulator.profile import Profile

__all__ = ["CUSTOMER", "MASTERS", "PIN", "PRODUCT", "PUK", "SHOP", "InChannel", "Line", "blank", "issued", "made"]

PRODUCT = DEFAULT_PRODUCT
MASTERS = Masters.create(lambda size: bytes(range(0x21, 0x21 + size)))
PIN, PUK = "1234", "87654321"
CUSTOMER = CustomerOrder(bytes.fromhex("C0C1C2C3C4C5C6C7"), PIN, PUK)
SHOP = ShopOrder(2, 1, 1_000, 2_000)


def blank(number: int = 1, profile: Profile = IDEAL, masters: Masters = MASTERS) -> ManagedChip:
    """A chip with a card manager and transport keys, powered."""
    production = Production(b"\xd1\xd2\xd3\xd4\xd5\xd6" + number.to_bytes(4))
    chip = make_managed_chip(b"blank" + number.to_bytes(4), profile, masters.transport_keys(production.diversification_data), production)
    chip.power_on()
    return chip


def made(chip: ManagedChip, order: Order, masters: Masters = MASTERS) -> Made:
    return run(make_card(PRODUCT, masters, order), {order.slot: chip.process})


def issued(order: Order, number: int = 1, profile: Profile = IDEAL) -> ManagedChip:
    """A card of this order, powered."""
    chip = blank(number, profile)
    made(chip, order)
    return chip


class Line:
    """A link that breaks at the n-th APDU, before the card has it or after it acted; 0: never."""

    def __init__(self, chip: ManagedChip, breaks: int = 0, *, acted: bool = False) -> None:
        self.chip, self.breaks, self.acted, self.sent = chip, breaks, acted, list[Command]()

    def __call__(self, command: Command) -> Response:
        self.sent.append(command)
        if len(self.sent) == self.breaks:
            if self.acted:
                self.chip.process(command)
            self.chip.power_off()
            raise LinkLost("pulled")
        return self.chip.process(command)


class InChannel:
    """A channel to the instance of an order, for single commands."""

    def __init__(self, chip: ManagedChip, order: Order, level: Level = Level.FULL) -> None:
        self.chip, self.order = chip, order
        self.aid = order.aid(PRODUCT.programme)
        assert chip.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, self.aid, 256)).sw >> 8 in (0x90, 0x62)
        self.channel: Channel = run(
            open_channel(order.slot, lambda answer: own_keys(MASTERS, answer), aid=self.aid, level=level), {order.slot: chip.process}
        )

    def send(self, command: Command) -> Response:
        return run(self.channel.ask(command), {self.order.slot: self.chip.process})

    def store(self, *dgis: Dgi) -> int:
        """The status word of the last block, or of the first that is refused."""
        for block in blocks(dgis, self.channel.keys.dek, self.channel.room()):
            response = self.send(block)
            if not response.ok:
                return response.sw
        return response.sw

    def status(self, state: int) -> int:
        return self.send(Command(CLA_JOREN, Ins.SET_STATUS, 0x40, state)).sw
