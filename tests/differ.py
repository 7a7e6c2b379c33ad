"""One card, two programs: random commands, good and bad, with resets and tears, to the model and to a twin that must answer the same bytes.

How it works. A `World` is a few customer cards and a shop card, each a `TwinChip`: every command goes to the model and to its twin, and
answers and memories are compared at once. A step is a name and a seed, so a sequence can be run again with some steps left out, and
`shrink` finds a short one that still differs. Most commands are rightly authorized, as the kit's cards (cardkit.py) know their keys and
what the card last said; the rest is wrong in one place, or noise. After a tear both cards must be as before the command: a cut is put
where neither has committed.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

from cardkit import LIMITS, PIN, PUK, Customer, Shop, pin_block
from joren.apdu import (
    CLA_ISO,
    CLA_JOREN,
    VOID,
    Command,
    Ending,
    Ins,
    KeyRef,
    Kind,
    LifeCycle,
    MalformedCommand,
    Response,
    is_void,
    messages,
)
from joren.apdu.cards import CustomerInfo
from joren.apdu.state import DEFAULT_RULES, State
from joren.apdu.tlv import build_dgi, parse_dgis
from joren.apdu.transaction import Order
from joren.applet.rank import Purchase, TimeJump, purchase
from joren.simulator.chip import Chip
from joren.simulator.memory import PowerCut

__all__ = ["Different", "Step", "Tally", "TwinChip", "World", "random_steps", "run_steps", "shrink"]

HARD_RULES = replace(DEFAULT_RULES, amount_shift=0, visit_gap_hours=0, hold_hours=1, rate_bp=(65535, 1, 9999, 10000, 10001), points_cap=300)
AMOUNTS = (0, 1, 9, 63, 64, 99, 100, 1_000, 9_999, 20_000, 100_000, 0xFFFF, 0x10000, 0xFFFFFFFF)
IN_TRANSACTIONS = frozenset({Ins.TRANSACT, Ins.COMMIT, Ins.COMPUTE, Ins.AUTHORIZE, Ins.RATIFY, Ins.STORE_DATA})
"""Commands with two writes and a commit at least."""
LE = (None, 1, 8, 25, 26, 31, 32, 39, 40, 44, 63, 256)


class Different(AssertionError):
    """The twin is not as the model; says where."""


@dataclass(slots=True)
class Tally:
    """What was done: APDUs on each program, how many of them were answered 9000, and tears."""

    apdus: int = 0
    ok: int = 0
    tears: int = 0


class TwinChip:
    """A chip and its twin; `process` is what the kit's cards send their commands to."""

    def __init__(self, model: Chip, twin: Chip, tally: Tally, trace: list[str]) -> None:
        self.model, self.twin, self.tally, self.trace = model, twin, tally, trace
        self.torn: Random | None = None
        names = {name: (region.address, region.size) for name, region in twin.memory.regions.items()}
        expected = {name: (region.address, region.size) for name, region in model.memory.regions.items()}
        if names != expected:
            raise Different(f"regions: {expected} expected, {names} came")

    def process(self, command: Command) -> Response:
        return Response.decode(self.exchange(command.encode()))

    def exchange(self, raw: bytes) -> bytes:
        """Both answers, which are one. After a tear, of which the twin has its own, that is 6F00 here: a card without power."""
        if self.torn is not None:
            return self._tear(raw, self.torn)
        answer, other = self.model.process_bytes(raw), self.twin.process_bytes(raw)
        self.tally.apdus += 1
        self.tally.ok += answer[-2:] == b"\x90\x00"
        self.trace.append(f"{raw.hex()} -> {answer.hex()}")
        if answer != other:
            raise Different(f"{raw.hex()}: {answer.hex()} expected, {other.hex()} came")
        self._compare(raw)
        return answer

    def _tear(self, raw: bytes, rng: Random) -> bytes:
        """Power goes in both before the commit of what changes the card. A command that is refused may write less before one refuses it."""
        self.torn = None
        writes = (1, 2) if raw[1:2] and raw[1] in IN_TRANSACTIONS else (1,)
        for chip in (self.model, self.twin):
            chip.memory.cut_after(rng.choice(writes))
        answers = [_torn(chip, raw) for chip in (self.model, self.twin)]
        self.trace.append(f"{raw.hex()} torn")
        for chip in (self.model, self.twin):
            chip.power_off()
            chip.power_on()
        self.tally.tears += 1
        for answer, other in (answers, reversed(answers)):
            if answer is None and other is not None and other[-2:] == b"\x90\x00":
                raise Different(f"{raw.hex()} torn: done by one program, with a cut where the other had it before its commit")
        self._compare(raw)
        return answers[0] or b"\x6f\x00"

    def reset(self) -> None:
        """Power off and on."""
        for chip in (self.model, self.twin):
            chip.power_off()
            chip.power_on()
        self.trace.append("reset")

    def _compare(self, raw: bytes) -> None:
        ours, theirs = self.model.snapshot(), self.twin.snapshot()
        if ours != theirs:
            at = next(number for number, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
            name = self.model.memory.region_at(at).name
            raise Different(f"{raw.hex()}: after it {name} differs: {_region(self.model, name)} expected, {_region(self.twin, name)} came")


def _torn(chip: Chip, raw: bytes) -> bytes | None:
    try:
        return chip.process_bytes(raw)
    except PowerCut:
        return None


def _region(chip: Chip, name: str) -> str:
    region = chip.memory.regions[name]
    return chip.memory.read(region.address, region.size).hex()


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do: its name in STEPS, and the seed of its choices."""

    name: str
    seed: int


@dataclass(slots=True)
class Holder:
    """A customer card with what its till remembers."""

    card: Customer
    chip: TwinChip
    last: tuple[int, int, Order] | None = None
    """Kind, key and order of its last transaction."""
    computed: tuple[int, int, Order, int, bytes, bytes] | None = None
    """What the shop card computed for it: slot, kind, order, points, state, MAC."""
    answer: tuple[int, bytes, bytes] | None = None
    """Slot of the shop card, outcome and proof to ratify with."""
    block: int = 0


class World:
    """Two customer cards, with a PIN and without, and a shop card, all twins. `blank`: not issued yet."""

    def __init__(self, seed: int, twin: Callable[[Chip], Chip], *, blank: bool = False) -> None:
        self.tally, self.trace, self.hour, self.sequence = Tally(), list[str](), 100, 0
        rng = Random(seed)
        name = seed.to_bytes(8)
        some = replace(LIMITS, redeem_pin_from=50, pay_pin_from_minor=1_000, period_hours=rng.choice((1, 24, 8760)))
        rules = rng.choice((DEFAULT_RULES, HARD_RULES))
        cards = [
            Customer(card_id=b"\xc1" + name[1:], limits=some, pin=PIN, rules=rules, seed=name, issue=not blank),
            Customer(card_id=b"\xc2" + name[1:], limits=LIMITS, rules=rules, seed=name, issue=not blank),
        ]
        self.shop = Shop(rules=rules, seed=name, issue=not blank, money_left=rng.choice((1_000_000, 0xFFFFFFFF)))
        self.holders = [Holder(card, self._twin(card, twin)) for card in cards]
        self.shop_chip = self._twin(self.shop, twin)
        self.shop_block = 0

    def _twin(self, card: Customer | Shop, twin: Callable[[Chip], Chip]) -> TwinChip:
        pair = TwinChip(card.chip, twin(card.chip), self.tally, self.trace)
        card.chip = pair  # type: ignore[assignment]
        pair.reset()
        card.select()
        return pair

    def later(self, rng: Random) -> int:
        """The hour of the next sale: mostly a little later, at times the same, earlier, or too far ahead."""
        hour = self.hour + rng.choice((0, 0, 1, 3, 5, 24, 200, 2200))
        if rng.random() < 0.03:
            return rng.choice((0, max(0, self.hour - 50), 0xFFFF, min(0xFFFF, self.hour + 17_521)))
        self.hour = hour = hour % 0x10000 if hour < 0x10000 else 100
        return hour

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence


def spoiled(rng: Random, data: bytes, chance: float = 0.06) -> bytes:
    """The data with a bit turned over, at times."""
    if not data or rng.random() >= chance:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def le(rng: Random, answer: int) -> int | None:
    """Ne: right, the most, or anything."""
    return rng.choice((*[answer] * 8, 256, rng.choice(LE))) if answer else rng.choice((None, None, None, 256))


def send(rng: Random, card: Customer | Shop, cla: int, ins: int, p1: int, p2: int, data: bytes = b"", answer: int = 0) -> Response:
    """The command; in one place wrong at times."""
    if rng.random() < 0.01:
        data = data[:-1] if data else b"\x00"
    command = Command(cla, ins, p1, p2, spoiled(rng, data), le(rng, answer))
    if rng.random() < 0.02:
        raw = command.encode()
        at = rng.randrange(4)
        with suppress(MalformedCommand):
            command = Command.decode(raw[:at] + rng.randbytes(1) + raw[at + 1 :])
    return card.chip.process(command)


def of_any(world: World, rng: Random) -> Holder:
    return rng.choice(world.holders)


def select_customer(world: World, rng: Random) -> None:
    holder = of_any(world, rng)
    card = holder.card
    if rng.random() < 0.2:
        name = rng.choice((card.aid, card.aid[:5], card.aid[:8], world.shop.aid, card.aid + b"\x00", b"\xf0\x6a", bytes(16)))
        card.send(CLA_ISO, Ins.SELECT, rng.choice((4, 4, 4, 0)), rng.choice((0, 2, 0x0C, 0x0E, 1)), name, rng.choice(LE))
    tell(card, card.send(CLA_ISO, Ins.SELECT, 0x04, 0x0C, card.aid, 26))


def tell(card: Customer, response: Response) -> None:
    if len(response.data) == CustomerInfo.FORMAT.size:
        card.info = CustomerInfo.decode(response.data)


KINDS = (*[Kind.PURCHASE] * 8, Kind.PAY_AND_EARN, Kind.PAY_AND_EARN, *[Kind.REDEEM] * 2, *[Kind.LOAD] * 3, *[Kind.PAY] * 2, Kind.VOID_PAY)


def an_order(world: World, rng: Random, kind: int) -> Order:
    amount = rng.choice((rng.choice(AMOUNTS), rng.randrange(200), rng.randrange(50_000), rng.randrange(50_000)))
    earns = kind in (Kind.PURCHASE, Kind.PAY_AND_EARN)
    category = rng.choice((0, 1, 5, 7)) if earns else 0
    factor = rng.choice((10, 10, 10, 20, 30, 1)) if earns else 0
    if rng.random() < 0.06:
        category, factor = rng.choice((0, 8, 15, 16, 255)), rng.choice((10, 31, 0, 255))
    return Order(world.later(rng), amount, category, factor, world.shop.shop, world.next_sequence())


def transact(world: World, rng: Random) -> None:
    holder = of_any(world, rng)
    card, kind = holder.card, int(rng.choice(KINDS))
    order = an_order(world, rng, kind)
    if holder.last is not None and rng.random() < 0.25:
        kind, key_ref, done = holder.last[0] | VOID, holder.last[1], holder.last[2]
        order = replace(done, hour=order.hour, sequence=order.sequence, amount=done.amount ^ (rng.random() < 0.05))
    else:
        key_ref = KeyRef.LOAD if kind == Kind.LOAD else KeyRef.TILL
        if kind in (Kind.REDEEM, Kind.PAY) or rng.random() < 0.03:
            key_ref = rng.choice((KeyRef.TILL, KeyRef.SHOP))
    raw = order.encode()
    response = send(rng, card, CLA_JOREN, Ins.TRANSACT, kind, key_ref, raw + card.order_mac(kind, key_ref, raw), 32)
    done_with(holder, response, kind, key_ref, order)


def done_with(holder: Holder, response: Response, kind: int, key_ref: int, order: Order) -> None:
    if response.ok and len(response.data) == 32:
        holder.card.select_quietly(response)
        holder.last = None if is_void(kind) else (kind, key_ref, order)


def commit(world: World, rng: Random) -> None:
    """A state of the test's own, right or not, under a right MAC."""
    holder = of_any(world, rng)
    card, kind = holder.card, rng.choice((Kind.PURCHASE, Kind.PAY_AND_EARN))
    response = card.get_state()
    if not response.ok:
        return
    before, order = State.decode(response.data[:32]), an_order(world, rng, kind)
    try:
        after, points = purchase(before, card.rules, Purchase(order.hour, order.amount, order.category & 15, order.factor_tenths))
    except TimeJump:
        after, points = before, 0
    state = spoiled(rng, after.encode(), 0.3)
    raw, info = order.encode(), card.info
    message = messages.commit(card.head, info.counter, info.nonce, kind, KeyRef.SHOP, raw, info.rules_version, points, state)
    data = raw + points.to_bytes(2) + state + card.keys[KeyRef.SHOP].mac8(message)
    done_with(holder, send(rng, card, CLA_JOREN, Ins.COMMIT, kind, KeyRef.SHOP, data, 32), kind, KeyRef.SHOP, order)


def two_cards(world: World, rng: Random) -> None:
    """COMPUTE, COMMIT, RATIFY, or as far as it goes; a right answer may be left unratified."""
    holder = of_any(world, rng)
    card, shop, kind = holder.card, world.shop, rng.choice((Kind.PURCHASE, Kind.PURCHASE, Kind.PAY_AND_EARN))
    state = card.get_state()
    if not state.ok:
        return
    order, info = an_order(world, rng, kind), card.info
    data = info.card_id + info.counter.to_bytes(2) + info.nonce + bytes((info.rules_version,)) + state.data + order.encode()[:8]
    answer = send(rng, shop, CLA_JOREN, Ins.COMPUTE, kind, rng.choice((*[info.key_version] * 6, 0, 2)), data, 47)
    if not answer.ok or len(answer.data) != 47:
        return
    made = shop.computed(answer, order)
    data = made.order.encode() + made.points.to_bytes(2) + made.state + made.mac
    if rng.random() < 0.1:
        return
    response = send(rng, card, CLA_JOREN, Ins.COMMIT, kind, KeyRef.SHOP, data, 32)
    done_with(holder, response, kind, KeyRef.SHOP, made.order)
    if response.ok and len(response.data) == 32 and rng.random() < 0.9:
        send(rng, shop, CLA_JOREN, Ins.RATIFY, Ending.COMMITTED, made.slot, response.data[:16] + response.data[24:])


def authorize(world: World, rng: Random) -> None:
    """AUTHORIZE, TRANSACT, RATIFY."""
    holder = of_any(world, rng)
    card, shop, info = holder.card, world.shop, holder.card.info
    kind = int(rng.choice((Kind.REDEEM, Kind.LOAD, Kind.LOAD, Kind.PAY)))
    order = an_order(world, rng, kind)
    if holder.last is not None and holder.last[1] != KeyRef.TILL and rng.random() < 0.5:
        kind, order = holder.last[0] | VOID, replace(holder.last[2], hour=order.hour)
    data = info.card_id + info.counter.to_bytes(2) + info.nonce + order.encode()[:8]
    answer = send(rng, shop, CLA_JOREN, Ins.AUTHORIZE, kind, info.key_version, data, 13)
    if not answer.ok or len(answer.data) != 13:
        return
    key_ref = KeyRef.LOAD if kind & 0x7F == Kind.LOAD else KeyRef.SHOP
    full = replace(order, shop=shop.shop, sequence=int.from_bytes(answer.data[1:5]))
    response = send(rng, card, CLA_JOREN, Ins.TRANSACT, kind, key_ref, full.encode() + answer.data[5:], 32)
    done_with(holder, response, kind, key_ref, full)
    if response.ok and len(response.data) == 32 and rng.random() < 0.9:
        send(rng, shop, CLA_JOREN, Ins.RATIFY, Ending.COMMITTED, answer.data[0], response.data[:16] + response.data[24:])


def settle(world: World, rng: Random) -> None:
    """What a customer card says of an open entry, to the shop card; or it is written off."""
    shop, slot = world.shop, rng.randrange(16)
    entry = shop.send(CLA_ISO, Ins.READ_RECORD, slot + 1, 0x14, ne=32).data
    if rng.random() < 0.2 or not entry:
        send(rng, shop, CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, slot)
        return
    card = next((one.card for one in world.holders if one.card.card_id == entry[16:24]), world.holders[0].card)
    challenge = shop.send(CLA_ISO, Ins.GET_CHALLENGE, 0, 0, ne=8).data
    data = entry[2:4] + shop.shop.to_bytes(4) + entry[12:16] + challenge
    told = send(rng, card, CLA_JOREN, Ins.PROVE, 0, entry[1], data, 63)
    if not told.ok or not told.data:
        return
    card.select()
    if told.data[0] == Ending.COMMITTED:
        send(rng, shop, CLA_JOREN, Ins.RATIFY, Ending.COMMITTED, slot, told.data[31:47] + told.data[55:63])
    else:
        send(rng, shop, CLA_JOREN, Ins.RATIFY, told.data[0], slot, told.data[1:])


def prove(world: World, rng: Random) -> None:
    holder = of_any(world, rng)
    card = holder.card
    asked = max(0, card.info.counter - rng.choice((0, 1, 1, 1, 2, 24, 25, 26)))
    order = holder.last[2] if holder.last else Order(0, 0, 0, 0, 7, 1)
    data = asked.to_bytes(2) + order.shop.to_bytes(4) + order.sequence.to_bytes(4) + rng.randbytes(8)
    send(rng, card, CLA_JOREN, Ins.PROVE, 0, rng.choice((KeyRef.TILL, KeyRef.TILL, KeyRef.SHOP, KeyRef.LOAD, 3)), data, 63)
    tell(card, card.send(CLA_ISO, Ins.SELECT, 0x04, 0x0C, card.aid, 26))


def read(world: World, rng: Random) -> None:
    card, shop = of_any(world, rng).card, world.shop
    hour = rng.choice((world.hour, 0, min(0xFFFF, world.hour + 3_000), 0xFFFF)).to_bytes(2)
    level = rng.randrange(2)
    reads: tuple[tuple[Customer | Shop, int, int, int, int, bytes, int], ...] = (
        (card, CLA_JOREN, Ins.GET_RESULT, level, 0, hour, 31 if level else 3),
        (card, CLA_JOREN, Ins.GET_STATE, 0, 0, b"", 40),
        (card, CLA_ISO, Ins.READ_RECORD, rng.choice((0, 1, 2, 24, 25, 255)), 0x0C, b"", 44),
        (card, CLA_ISO, Ins.GET_DATA, 1, rng.choice((1, 3, 4, 5, 2)), b"", 98),
        (shop, CLA_ISO, Ins.READ_RECORD, rng.choice((0, 1, 2, 16, 17, 32, 33)), rng.choice((0x0C, 0x14)), b"", 33),
        (shop, CLA_ISO, Ins.GET_DATA, 1, rng.choice((1, 2, 4, 3)), b"", 98),
        (shop, CLA_ISO, Ins.GET_CHALLENGE, 0, 0, b"", 8),
    )
    one, cla, ins, p1, p2, data, answer = rng.choice(reads)
    send(rng, one, cla, ins, p1, p2, data, answer)


def pin(world: World, rng: Random) -> None:
    card = of_any(world, rng).card
    right, wrong = pin_block(PIN), pin_block(b"99999")
    action = rng.randrange(8)
    if action < 5:
        send(rng, card, CLA_ISO, Ins.VERIFY, 0, 0x81, rng.choice((right, right, right, wrong, b"", bytes(8))))
    elif action == 5:
        send(rng, card, CLA_ISO, Ins.CHANGE_REFERENCE_DATA, 0, 0x81, rng.choice((right, wrong)) + right)
    else:
        send(rng, card, CLA_ISO, Ins.RESET_RETRY_COUNTER, 0, 0x81, rng.choice((PUK, PUK, PUK, bytes(8))) + right)


def status(world: World, rng: Random) -> None:
    """BLOCKED and back; TERMINATED is rare, as nothing comes after it."""
    state = rng.choice((LifeCycle.BLOCKED, *[LifeCycle.ISSUED] * 4)) if rng.random() < 0.98 else LifeCycle.TERMINATED
    if rng.random() < 0.7:
        card = of_any(world, rng).card
        mac = card.keys[KeyRef.ADMIN].mac8(messages.admin(card.head, card.info.counter, card.info.nonce, state))
        send(rng, card, CLA_JOREN, Ins.SET_STATUS, 0x40, state, mac)
        tell(card, card.send(CLA_ISO, Ins.SELECT, 0x04, 0x0C, card.aid, 26))
        return
    shop = world.shop
    challenge = shop.send(CLA_ISO, Ins.GET_CHALLENGE, 0, 0, ne=8).data
    mac = shop.admin.mac8(messages.admin(shop.head, 0, challenge.ljust(8, b"\x00"), state))
    send(rng, shop, CLA_JOREN, Ins.SET_STATUS, 0x40, state, mac)


def store(world: World, rng: Random) -> None:
    """A block of STORE DATA: those that issue the card, or some of their DGIs, in the clear."""
    holder = of_any(world, rng)
    card: Customer | Shop = rng.choice((holder.card, world.shop))
    block = holder.block if card is holder.card else world.shop_block
    dgis = [build_dgi(one.tag, spoiled(rng, one.value, 0.05)) for part in card.blocks() for one in parse_dgis(part)]
    dgis = [one for one in dgis if len(one) < 250]
    last = rng.random() < 0.3
    if not last:
        dgis = rng.sample(dgis, rng.randrange(1, len(dgis)))
    data = b""
    for one in dgis:
        data = data + one if len(data + one) < 256 else data
    response = send(rng, card, CLA_JOREN, Ins.STORE_DATA, 0x88 if last else 0x08, block, data)
    after = (block + 1) & 0xFF if response.ok and not last else 0
    if card is holder.card:
        holder.block = after
    else:
        world.shop_block = after


def noise(world: World, rng: Random) -> None:
    pair = rng.choice((*[one.chip for one in world.holders], world.shop_chip))
    raw = rng.randbytes(rng.choice((0, 3, 4, 5, 6, 7, 13, 29, 72, 261)))
    if rng.random() < 0.7:
        raw = bytes((rng.choice((0, 0x80)), rng.choice(list(Ins)))) + raw[2:]
    if raw[1:2] != bytes((Ins.MANAGE_CHANNEL,)):
        pair.exchange(raw)


def reset(world: World, rng: Random) -> None:
    holder = of_any(world, rng)
    if rng.random() < 0.3:
        world.shop_chip.reset()
        world.shop.select()
        world.shop_block = 0
        return
    holder.chip.reset()
    holder.block = 0
    if rng.random() < 0.9:
        tell(holder.card, holder.card.send(CLA_ISO, Ins.SELECT, 0x04, 0x0C, holder.card.aid, 26))


def tear(world: World, rng: Random) -> None:
    """The next command is torn, whatever it is."""
    holder = of_any(world, rng)
    rng.choice((holder.chip, holder.chip, world.shop_chip)).torn = Random(rng.random())


def wake(world: World, rng: Random) -> None:
    """All cards are selected: after a reset or tear they answer nothing else."""
    for holder in world.holders:
        tell(holder.card, holder.card.send(CLA_ISO, Ins.SELECT, 0x04, 0x0C, holder.card.aid, 26))
    world.shop.send(CLA_ISO, Ins.SELECT, 0x04, 0x0C, world.shop.aid, 25)


STEPS: dict[str, tuple[int, Callable[[World, Random], None]]] = {
    "select": (6, select_customer),
    "transact": (30, transact),
    "commit": (6, commit),
    "two cards": (14, two_cards),
    "authorize": (8, authorize),
    "settle": (6, settle),
    "prove": (5, prove),
    "read": (10, read),
    "pin": (5, pin),
    "status": (2, status),
    "store": (2, store),
    "noise": (4, noise),
    "reset": (2, reset),
    "tear": (2, tear),
    "wake": (4, wake),
}
"""Weight and function of each step."""


def random_steps(seed: int, count: int, *, blank: bool = False) -> list[Step]:
    """So many steps; of cards that are not issued mostly STORE DATA."""
    rng = Random(seed)
    weights = [weight * (30 if blank and name == "store" else 1) for name, (weight, _) in STEPS.items()]
    return [Step(name, rng.getrandbits(48)) for name in rng.choices(list(STEPS), weights, k=count)]


def run_steps(world: World, steps: Iterable[Step]) -> Tally:
    """Does the steps. Raises Different, with the last commands, at the first difference."""
    try:
        for step in steps:
            STEPS[step.name][1](world, Random(step.seed))
    except Different as different:
        raise Different(f"{different}\nafter\n  " + "\n  ".join(world.trace[-12:])) from None
    return world.tally


def shrink(make: Callable[[], World], steps: Sequence[Step]) -> list[Step]:
    """As few of the steps as still differ: halves, quarters, ... are left out while that goes (delta debugging)."""

    def differs(some: Sequence[Step]) -> bool:
        try:
            run_steps(make(), some)
        except Different:
            return True
        return False

    kept, size = list(steps), max(1, len(steps) // 2)
    while size:
        at = 0
        while at < len(kept):
            fewer = kept[:at] + kept[at + size :]
            if differs(fewer):
                kept = fewer
            else:
                at += size
        size //= 2
    return kept
