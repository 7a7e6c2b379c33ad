"""Cards for tests, spoken to in bare APDUs: nothing of the host library is used, so a fault there can not hide one here.

`Customer` and `Shop` are personalized chips with the keys beside them; their methods build commands from the specification's tables.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from joren.apdu import (
    AID_CUSTOMER,
    AID_SHOP,
    CLA_ISO,
    CLA_JOREN,
    Command,
    Ending,
    Ins,
    Key,
    KeyRef,
    Kind,
    Response,
    aid,
    messages,
)
from joren.apdu.cards import CustomerInfo, Limits, ShopInfo, Totals
from joren.apdu.state import DEFAULT_RULES, RankRules
from joren.apdu.tlv import build_dgi
from joren.apdu.transaction import Order, Outcome
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.applet.shop_sheet import ShopSheet
from joren.simulator.chip import Chip

__all__ = [
    "LIMITS", "MASTERS", "NEVER", "PIN", "PROGRAMME", "PUK", "Answer", "Customer", "Shop", "master_dgis", "masters_of", "pin_block",
]  # fmt: skip

PROGRAMME = 1
NEVER = 0xFFFFFFFF
LIMITS = Limits(
    modes=3,
    factor_max_tenths=30,
    categories=0x00FF,
    period_hours=8760,
    purse_max_minor=100_000,
    redeem_pin_from=NEVER,
    pay_pin_from_minor=NEVER,
)
LABELS = {KeyRef.TILL: "till", KeyRef.SHOP: "shop", KeyRef.RECEIPT: "receipt", KeyRef.LOAD: "load", KeyRef.ADMIN: "admin"}
MASTERS = {name: Key(sha256(name.encode()).digest()[:16], name) for name in (*LABELS.values(), "shop-admin")}
PIN, PUK = b"1234", b"87654321"


def masters_of(version: int) -> dict[str, Key]:
    """The masters of a version; those of version 1 are MASTERS."""
    if version == 1:
        return dict(MASTERS)
    return {name: Key(sha256(f"{name} {version}".encode()).digest()[:16], name, version) for name in MASTERS}


def master_dgis(shop: Iterable[int], load: Iterable[int]) -> bytes:
    """The DGIs of SHOP masters and LOAD masters of some versions."""
    named = [(0x8012, "shop", version) for version in shop] + [(0x8014, "load", version) for version in load]
    return b"".join(build_dgi(tag, bytes((version,)) + masters_of(version)[name].reveal()) for tag, name, version in named)


def pin_block(digits: bytes) -> bytes:
    """A PIN padded to 8 bytes."""
    return digits.ljust(8, b"\xff")


@dataclass(frozen=True)
class Answer:
    """What a customer card answers to TRANSACT and COMMIT."""

    outcome: Outcome
    raw_outcome: bytes
    receipt: bytes
    proof: bytes

    @classmethod
    def of(cls, response: Response) -> "Answer":
        assert response.ok, response.status
        data = response.data
        assert len(data) == 32
        return cls(Outcome.decode(data[:16]), data[:16], data[16:24], data[24:])


@dataclass
class Customer:
    """A customer card, its keys, and what it last said of itself; `receipt_keys` are those it had, and the one it has."""

    card_id: bytes = bytes.fromhex("A1A2A3A4A5A6A7A8")
    limits: Limits = LIMITS
    rules: RankRules = DEFAULT_RULES
    pin: bytes | None = None
    leave_out: frozenset[int] = frozenset()
    masters: dict[str, Key] = field(default_factory=lambda: dict(MASTERS))
    seed: bytes = b"customer"
    issue: bool = True
    version: int = 1

    def __post_init__(self) -> None:
        self.aid = aid(AID_CUSTOMER, PROGRAMME)
        self.head = messages.head(PROGRAMME, self.card_id)
        self.keys = self._derived()
        self.receipt_keys = [self.keys[KeyRef.RECEIPT]]
        self.chip = Chip(self.seed + self.card_id)
        self.chip.install(CustomerCard, self.aid)
        self.chip.power_on()
        self.select()
        if self.issue:
            for number, block in enumerate(blocks := self.blocks()):
                last = 0x88 if number == len(blocks) - 1 else 0x08
                response = self.send(CLA_JOREN, Ins.STORE_DATA, last, number, block)
                assert response.ok, response.status
            self.select()

    def blocks(self) -> list[bytes]:
        """The blocks of STORE DATA that issue this card."""
        dgis = {
            0x0101: self.card_id + PROGRAMME.to_bytes(2),
            0x0102: self.rules.encode(),
            0x0103: self.limits.encode(),
            **{0x8000 + ref: bytes((self.version,)) + key.reveal() for ref, key in self.keys.items()},
        }
        if self.pin is not None:
            dgis |= {0x8110: pin_block(self.pin), 0x8112: PUK}
        kept = [build_dgi(tag, value) for tag, value in dgis.items() if tag not in self.leave_out]
        return [b"".join(kept[:3]), b"".join(kept[3:])]

    def _derived(self) -> dict[KeyRef, Key]:
        return {ref: self.masters[label].derive(label.encode(), self.head) for ref, label in LABELS.items()}

    def renew(self, version: int) -> None:
        """Gives the card the keys of another version, past its program."""
        self.masters, self.version = masters_of(version), version
        self.keys = self._derived()
        self.receipt_keys.append(self.keys[KeyRef.RECEIPT])
        memory, aid = self.chip.memory, self.aid.hex().upper()
        for ref, key in self.keys.items():
            memory.write(memory.regions[f"{aid}/key_{ref.name.lower()}"].address, key.reveal())
        memory.write(memory.regions[f"{aid}/key_versions"].address, bytes((version,)) * len(self.keys))

    def send(self, cla: int, ins: int, p1: int, p2: int, data: bytes = b"", ne: int | None = None) -> Response:
        return self.chip.process(Command(cla, ins, p1, p2, data, ne))

    def select(self) -> CustomerInfo:
        response = self.send(CLA_ISO, Ins.SELECT, 0x04, 0x0C, self.aid, 26)
        self.info = CustomerInfo.decode(response.data)
        return self.info

    def order(self, amount: int = 1000, hour: int = 100, category: int = 0, factor: int = 10, shop: int = 7, sequence: int = 1) -> Order:
        return Order(hour, amount, category, factor, shop, sequence)

    def plain(self, amount: int = 100, hour: int = 100, shop: int = 7, sequence: int = 1) -> Order:
        """An order for REDEEM, LOAD or PAY."""
        return Order(hour, amount, 0, 0, shop, sequence)

    def order_mac(self, kind: int, key_ref: int, order: bytes) -> bytes:
        info = self.info
        return self.keys[KeyRef(key_ref)].mac8(messages.order(self.head, info.counter, info.nonce, kind, key_ref, order))

    def transact_command(self, kind: int, order: Order, key_ref: int = KeyRef.TILL) -> Command:
        raw = order.encode()
        return Command(CLA_JOREN, Ins.TRANSACT, kind, key_ref, raw + self.order_mac(kind, key_ref, raw), 32)

    def transact(self, kind: int, order: Order, key_ref: int = KeyRef.TILL) -> Response:
        """TRANSACT, rightly authorized for the card as last selected."""
        response = self.chip.process(self.transact_command(kind, order, key_ref))
        self.select_quietly(response)
        return response

    def select_quietly(self, response: Response) -> None:
        """After a success the counter is one higher; the nonce stays."""
        if response.ok:
            self.info = CustomerInfo.decode(self.info.encode()[:14] + (self.info.counter + 1).to_bytes(2) + self.info.encode()[16:])

    def buy(self, amount: int = 1000, **order: int) -> Answer:
        return Answer.of(self.transact(Kind.PURCHASE, self.order(amount, **order)))

    def load(self, amount: int, **order: int) -> Answer:
        return Answer.of(self.transact(Kind.LOAD, self.plain(amount, **order), KeyRef.LOAD))

    def get_state(self) -> Response:
        return self.send(CLA_JOREN, Ins.GET_STATE, 0, 0, ne=40)

    def prove(self, asked: int, shop: int, sequence: int, challenge: bytes, key_ref: int = KeyRef.TILL) -> Response:
        data = asked.to_bytes(2) + shop.to_bytes(4) + sequence.to_bytes(4) + challenge
        response = self.send(CLA_JOREN, Ins.PROVE, 0, key_ref, data, 63)
        if response.ok:
            self.info = CustomerInfo.decode(self.info.encode()[:16] + response.data[3:11] + self.info.encode()[24:])
        return response

    def verify(self, digits: bytes) -> Response:
        return self.send(CLA_ISO, Ins.VERIFY, 0, 0x81, pin_block(digits))

    def commit_command(self, kind: int, order: Order, points: int, state: bytes, mac: bytes) -> Command:
        return Command(CLA_JOREN, Ins.COMMIT, kind, KeyRef.SHOP, order.encode() + points.to_bytes(2) + state + mac, 32)


@dataclass(frozen=True)
class Computed:
    """What COMPUTE answers."""

    slot: int
    order: Order
    points: int
    state: bytes
    mac: bytes


class Lent:
    """A secure channel in front of a card, whose Key-DEK changes nothing."""

    c_mac = r_mac = c_decryption = True

    def decrypt(self, data: bytes) -> bytes:
        return data


@dataclass
class Shop:
    """A shop card and its keys; `more` are DGIs that come last."""

    shop: int = 7
    terminal: int = 1
    points_left: int = 1_000_000
    money_left: int = 1_000_000
    limits: Limits = LIMITS
    rules: RankRules = DEFAULT_RULES
    leave_out: frozenset[int] = frozenset()
    masters: dict[str, Key] = field(default_factory=lambda: dict(MASTERS))
    seed: bytes = b"shop"
    issue: bool = True
    more: bytes = b""

    def __post_init__(self) -> None:
        self.aid = aid(AID_SHOP, PROGRAMME)
        self.identity = bytes(3) + bytes((self.terminal,)) + self.shop.to_bytes(4)
        self.head = messages.head(PROGRAMME, self.identity)
        self.admin = self.masters["shop-admin"].derive(b"shop-admin", self.head)
        self.chip = Chip(self.seed + self.identity)
        self.chip.install(ShopCard, self.aid)
        self.chip.power_on()
        self.select()
        if self.issue:
            for number, block in enumerate(blocks := self.blocks()):
                last = 0x88 if number == len(blocks) - 1 else 0x08
                response = self.send(CLA_JOREN, Ins.STORE_DATA, last, number, block)
                assert response.ok, response.status

    def blocks(self) -> list[bytes]:
        """The blocks of STORE DATA that issue this card."""
        dgis = {
            0x0201: PROGRAMME.to_bytes(2) + self.shop.to_bytes(4) + bytes((self.terminal,)),
            0x0102: self.rules.encode(),
            0x0103: self.limits.encode(),
            0x0202: self.points_left.to_bytes(4) + self.money_left.to_bytes(4),
            0x8012: b"\x01" + self.masters["shop"].reveal(),
            0x8014: b"\x01" + self.masters["load"].reveal(),
            0x8005: b"\x01" + self.admin.reveal(),
        }
        kept = [build_dgi(tag, value) for tag, value in dgis.items() if tag not in self.leave_out]
        return [b"".join(kept[:4]), b"".join(kept[4:]) + self.more]

    def send(self, cla: int, ins: int, p1: int, p2: int, data: bytes = b"", ne: int | None = None) -> Response:
        return self.chip.process(Command(cla, ins, p1, p2, data, ne))

    def select(self) -> ShopInfo:
        return ShopInfo.decode(self.send(CLA_ISO, Ins.SELECT, 0x04, 0x0C, self.aid, 25).data)

    @property
    def card(self) -> ShopCard:
        """The card's program."""
        card = self.chip.applets[self.aid]
        assert isinstance(card, ShopCard)
        return card

    def offer(self, dgi: bytes) -> Response:
        """Sends a DGI as the issuer does, as if it had come through a secure channel; what is under a Key-DEK is in the clear here."""
        seat = self.chip.seats[self.aid]
        seat.channel = Lent()
        try:
            return self.send(CLA_JOREN, Ins.STORE_DATA, 0xA8, 0, dgi)
        finally:
            seat.channel = None

    def give(self, dgi: bytes) -> None:
        """The same, and the card takes it."""
        assert self.offer(dgi).ok

    def cells(self, name: str) -> bytes:
        """A region of its memory, read past its program."""
        region = self.chip.memory.regions[f"{self.aid.hex().upper()}/{name}"]
        return self.chip.memory.read(region.address, region.size)

    def ring(self) -> list[ShopSheet]:
        """The sixteen sheets."""
        cells = self.cells("shop_sheets")
        return [ShopSheet.decode(cells[at : at + 62]) for at in range(0, len(cells), 62)]

    def sheet(self) -> ShopSheet:
        """The sheet in force (REQ-REC-7)."""
        there = (sheet for place, sheet in enumerate(self.ring()) if sheet.place == place)
        return max(there, key=lambda sheet: sheet.count + sheet.closed + sheet.refills)

    def force(self, **changes: int | bytes) -> None:
        """Changes the sheet in force past the card's program. It is written to every place, so that RAM may know an older one."""
        sheet = replace(self.sheet(), **changes)  # type: ignore[arg-type]
        memory = self.chip.memory
        memory.write(memory.regions[f"{self.aid.hex().upper()}/shop_sheets"].address, sheet.encode() * 16)

    def totals(self) -> Totals:
        return Totals.decode(self.send(CLA_ISO, Ins.GET_DATA, 1, 2, ne=44).data)

    def compute_command(self, customer: Customer, order: Order, kind: int = Kind.PURCHASE, state: bytes | None = None) -> Command:
        """COMPUTE for the customer card as it stands; `state` is state 32 | MAC 8."""
        info = customer.info
        state = customer.get_state().data if state is None else state
        data = info.card_id + info.counter.to_bytes(2) + info.nonce + bytes((info.rules_version,)) + state + order.encode()[:8]
        return Command(CLA_JOREN, Ins.COMPUTE, kind, info.key_version, data, 47)

    def compute(self, customer: Customer, order: Order, kind: int = Kind.PURCHASE) -> Computed:
        return self.computed(self.chip.process(self.compute_command(customer, order, kind)), order)

    def computed(self, response: Response, order: Order) -> Computed:
        assert response.ok, response.status
        data = response.data
        full = Order(order.hour, order.amount, order.category, order.factor_tenths, self.shop, int.from_bytes(data[1:5]))
        return Computed(data[0], full, int.from_bytes(data[5:7]), data[7:39], data[39:])

    def authorize(self, customer: Customer, kind: int, order: Order) -> Response:
        info = customer.info
        data = info.card_id + info.counter.to_bytes(2) + info.nonce + order.encode()[:8]
        return self.send(CLA_JOREN, Ins.AUTHORIZE, kind, info.key_version, data, 13)

    def ratify(self, slot: int, answer: Answer) -> Response:
        return self.send(CLA_JOREN, Ins.RATIFY, Ending.COMMITTED, slot, answer.raw_outcome + answer.proof)

    def challenge(self) -> bytes:
        response = self.send(CLA_ISO, Ins.GET_CHALLENGE, 0, 0, ne=8)
        assert response.ok
        return response.data

    def deny(self, slot: int, absence: bytes) -> Response:
        """RATIFY NOT COMMITTED with what PROVE answered after its first byte."""
        return self.send(CLA_JOREN, Ins.RATIFY, Ending.NOT_COMMITTED, slot, absence)

    def purchase(self, customer: Customer, amount: int = 1000, kind: int = Kind.PURCHASE, **order: int) -> Answer:
        """A whole two-card purchase."""
        computed = self.compute(customer, customer.order(amount, **order), kind)
        response = customer.chip.process(customer.commit_command(kind, computed.order, computed.points, computed.state, computed.mac))
        answer = Answer.of(response)
        customer.select_quietly(response)
        assert self.ratify(computed.slot, answer).ok
        return answer

    def transact(self, customer: Customer, kind: int, order: Order) -> Answer:
        """A whole dialog by AUTHORIZE, TRANSACT and RATIFY."""
        response = self.authorize(customer, kind, order)
        assert response.ok, response.status
        key_ref = KeyRef.LOAD if kind in (Kind.LOAD, Kind.VOID_LOAD) else KeyRef.SHOP
        full = Order(order.hour, order.amount, order.category, order.factor_tenths, self.shop, int.from_bytes(response.data[1:5]))
        command = Command(CLA_JOREN, Ins.TRANSACT, kind, key_ref, full.encode() + response.data[5:], 32)
        transacted = customer.chip.process(command)
        answer = Answer.of(transacted)
        customer.select_quietly(transacted)
        assert self.ratify(response.data[0], answer).ok
        return answer
