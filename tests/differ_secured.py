"""The differential test's cards with a card manager: INSTALL, STORE DATA and SET STATUS through secure channels, well or badly made.

How it works. A `SecuredWorld` is a managed chip and its twin, with an instance that the issuer's keys may open. Steps are names and seeds,
as in differ.py, and so are the host's challenges: the same steps send the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from random import Random

from deskkit import CUSTOMER, MASTERS, PRODUCT, SHOP, blank
from differ import Different, Step, Tally, TwinChip, spoiled
from joren.apdu import CLA_ISO, CLA_JOREN, Command, Ins, Key, LifeCycle, Response
from joren.apdu.gp import MANAGER_AID, GpIns
from joren.apdu.scp03 import Level
from joren.apdu.state import State
from joren.apdu.tlv import Dgi
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host import CardFault, CardRefused, HostError, run
from joren.host.channel import Channel, open_channel
from joren.host.desk import own_keys
from joren.host.personalization import Order, blocks, groupings
from joren.simulator.card_manager_chip import ManagedChip
from joren.simulator.chip import Chip

__all__ = ["SecuredWorld", "random_secured_steps", "run_secured_steps"]

LEVELS = (Level.C_MAC, Level.C_DECRYPTION, Level.C_DECRYPTION, Level.C_DECRYPTION_R_MAC, Level.FULL, Level.FULL)
SECOND_MASTER = sha256(b"second SHOP master").digest()[:16]
SHEET = State.blank().encode() + bytes(14)


class SecuredWorld:
    """One card of an order on a managed chip, and its twin."""

    def __init__(self, seed: int, twin: Callable[[Chip], Chip]) -> None:
        self.tally, self.trace = Tally(), list[str]()
        self.order: Order = CUSTOMER if seed & 1 else SHOP
        chip = blank(seed)
        assert isinstance(chip, ManagedChip)
        assert chip.manager is not None
        chip.manager.memory.put_keys(0, MASTERS.manager_keys(chip.manager.memory.production.diversification_data))
        self.aid = self.order.aid(PRODUCT.programme)
        chip.install(CustomerCard if self.order is CUSTOMER else ShopCard, self.aid)
        self.chip = TwinChip(chip, twin(chip), self.tally, self.trace)
        self.chip.reset()
        self.channel: Channel | None = None

    def send(self, command: Command) -> Response | None:
        """Through the channel, if there is one and it still is; else in the clear."""
        channel = self.channel
        if channel is None:
            return self.chip.process(command)
        try:
            return run(channel.ask(command), {self.order.slot: self.chip.process})
        except (CardRefused, CardFault, HostError):
            self.channel = None
            return None


def select(world: SecuredWorld, rng: Random) -> None:
    world.channel = None
    name = rng.choice((world.aid, world.aid, world.aid, b""))
    world.chip.process(Command(CLA_ISO, Ins.SELECT, 4, rng.choice((0x0C, 0x0C, 0)), name, 256))


def open_one(world: SecuredWorld, rng: Random, aid: bytes | None = None) -> None:
    """A channel to the instance, or to the manager, which is selected first; with a wrong key or MAC at times."""
    world.channel = None
    aid = aid or rng.choice((world.aid, world.aid, world.aid, MANAGER_AID))
    world.chip.process(Command(CLA_ISO, Ins.SELECT, 4, 0x0C if aid == world.aid else 0, aid, 256))
    transmit = world.chip.process
    if rng.random() < 0.05:
        transmit = lambda command: world.chip.process(replace(command, data=spoiled(rng, command.data, 0.5)))  # noqa: E731
    opening = open_channel(
        world.order.slot, lambda answer: own_keys(MASTERS, answer), aid=aid, level=rng.choice(LEVELS), random=rng.randbytes
    )
    try:
        world.channel = run(opening, {world.order.slot: transmit})
    except (CardRefused, CardFault, HostError):
        world.channel = None


def some_dgis(world: SecuredWorld, rng: Random) -> list[Dgi]:
    """Those that issue the card, and others that come later, some of them spoiled or left out."""
    dgis = groupings(world.order, PRODUCT, MASTERS)
    later = [
        Dgi(0x0105, SHEET),
        Dgi(0x0203, rng.randrange(3).to_bytes(2) + bytes(8)),
        Dgi(0x8012, b"\x02" + SECOND_MASTER),
        Dgi(0x8012, b"\x01"),
    ]
    if rng.random() < 0.5:
        dgis = rng.sample([*dgis, *later], rng.randrange(1, 5))
    return [Dgi(dgi.tag, spoiled(rng, dgi.value, 0.04)) for dgi in dgis]


def store(world: SecuredWorld, rng: Random) -> None:
    """Blocks of STORE DATA in a channel; one of them wrong at times, or torn."""
    if world.channel is None or rng.random() < 0.3:
        open_one(world, rng, world.aid)
    channel = world.channel
    dek, room = (Key(bytes(16)), 200) if channel is None else (channel.keys.dek, channel.room())
    for block in blocks(some_dgis(world, rng), dek, room):
        if rng.random() < 0.05:
            block = replace(block, p1=rng.choice((0x08, 0x88, 0x28, 0xA8, 0)), p2=rng.choice((0, 1, 2)))  # noqa: PLW2901
        if rng.random() < 0.05:
            world.chip.torn = Random(rng.random())
        response = world.send(block)
        if response is None or (not response.ok and rng.random() < 0.8):
            return


def status(world: SecuredWorld, rng: Random) -> None:
    state = rng.choice((LifeCycle.BLOCKED, *[LifeCycle.ISSUED] * 3, *[LifeCycle.TERMINATED] * (rng.random() < 0.1)))
    world.send(Command(CLA_JOREN, Ins.SET_STATUS, 0x40, state, rng.choice((b"", b"", bytes(8)))))


def read(world: SecuredWorld, rng: Random) -> None:
    ne = rng.choice((256, 256, None, 46, 45))
    world.send(Command(CLA_ISO, rng.choice((Ins.GET_DATA, Ins.GET_DATA, Ins.READ_RECORD, Ins.GET_CHALLENGE)), 1, rng.randrange(6), ne=ne))


def manage(world: SecuredWorld, rng: Random) -> None:
    """The manager deletes the instance, makes it anew, locks it, or hands personalization on to it."""
    if rng.random() < 0.6:
        open_one(world, rng, MANAGER_AID)
    aid = bytes((len(world.aid),)) + world.aid
    module = world.aid[:7]
    made = b"\x06" + module[:6] + b"\x07" + module + aid + b"\x01\x00" + b"\x02\xc9\x00" + b"\x00"
    world.send(
        rng.choice(
            (
                Command(CLA_JOREN, GpIns.DELETE, 0, 0, b"\x4f" + aid, 256),
                Command(CLA_JOREN, GpIns.INSTALL, 0x0C, 0, made, 256),
                Command(CLA_JOREN, GpIns.INSTALL, 0x0C, 0, made, 256),
                Command(CLA_JOREN, GpIns.INSTALL, 0x20, 0, b"\x00\x00" + aid + bytes(3), 256),
                Command(CLA_JOREN, GpIns.GET_STATUS, 0x40, 2, b"\x4f\x00", 256),
                Command(CLA_JOREN, Ins.SET_STATUS, 0x40, rng.choice((0x80, 0x07)), world.aid),
            )
        )
    )


def in_the_clear(world: SecuredWorld, rng: Random) -> None:
    """A plain command while a session may be open."""
    raw = bytes((rng.choice((0, 0x80, 0x84, 4)), rng.choice((0x20, 0x24, 0x50, 0xCA, 0xE2, 0xF0, 0xB2, 0x84)))) + rng.randbytes(2)
    world.chip.exchange(raw + rng.choice((b"", b"\x00", b"\x08" + rng.randbytes(8))))


def reset(world: SecuredWorld, _rng: Random) -> None:
    world.channel = None
    world.chip.reset()


STEPS: dict[str, tuple[int, Callable[[SecuredWorld, Random], None]]] = {
    "select": (4, select),
    "open": (4, open_one),
    "store": (20, store),
    "status": (3, status),
    "read": (6, read),
    "manage": (3, manage),
    "in the clear": (4, in_the_clear),
    "reset": (2, reset),
}
"""Weight and function of each step."""


def random_secured_steps(seed: int, count: int) -> list[Step]:
    """So many steps."""
    rng = Random(seed)
    return [Step(name, rng.getrandbits(48)) for name in rng.choices(list(STEPS), [weight for weight, _ in STEPS.values()], k=count)]


def run_secured_steps(world: SecuredWorld, steps: Iterable[Step]) -> Tally:
    """Does the steps. Raises Different, with the last commands, at the first difference."""
    with _told(world.trace):
        for step in steps:
            STEPS[step.name][1](world, Random(step.seed))
    return world.tally


@contextmanager
def _told(trace: list[str]) -> Iterator[None]:
    try:
        yield
    except Different as different:
        raise Different(f"{different}\nafter\n  " + "\n  ".join(trace[-12:])) from None
