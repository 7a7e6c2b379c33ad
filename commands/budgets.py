"""What every command of both cards costs: bytes on the wire, bytes and writes in the memory, RAM, and the modelled time on every profile.

The table in docs/budgets.md is made from it (`python -m joren.commands.budgets`), is reviewed when it changes, and is a test's limit."""

from collections.abc import Iterator
from dataclasses import dataclass

from joren.apdu import AID_CUSTOMER, CLA_ISO, Command, Ins, Response
from joren.apdu.explain import explain_command
from joren.applet.applet import NEEDS
from joren.host import Slot, run
from joren.host.kiosk import read_receipts, view_customer, view_shop
from joren.simulator.chip import IDEAL, MODEL, Chip, Program
from joren.simulator.profile import Profile, load_profile, profile_names
from joren.simulator.protocol import Protocol, slot_protocol, tap_protocol
from joren.simulator.work import Op, Work

from .tear_scripts import scripts
from .times import timed, wire_for
from .tryout import PRODUCT, Exchange, Tryout

__all__ = ["Budget", "budgets", "everything", "name_of", "profiles_told", "to_markdown"]

COMMON = frozenset({Ins.SELECT, Ins.GET_DATA, Ins.READ_RECORD, Ins.STORE_DATA, Ins.SET_STATUS})
"""Commands that both cards have."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a command took: APDU bytes both ways, bytes and writes in memory, RAM, likely ms by profile in order."""

    command: str
    apdu_bytes: int
    written_bytes: int
    writes: int
    ram_bytes: int
    times_ms: tuple[float, ...]

    def more(self, other: "Budget") -> "Budget":
        """The larger of each figure."""
        return Budget(
            self.command,
            max(self.apdu_bytes, other.apdu_bytes),
            max(self.written_bytes, other.written_bytes),
            max(self.writes, other.writes),
            max(self.ram_bytes, other.ram_bytes),
            tuple(map(max, self.times_ms, other.times_ms)),
        )


def profiles_told() -> list[Profile]:
    """The cards that take time."""
    return [load_profile(name) for name in profile_names() if name != "ideal"]


def budgets() -> list[Budget]:
    """One for each command and each of its forms, by name."""
    found: dict[str, Budget] = {}
    profiles = profiles_told()
    for exchange, ram_bytes in everything():
        one = _budget(exchange, ram_bytes, profiles)
        found[one.command] = found[one.command].more(one) if one.command in found else one
    return [found[name] for name in sorted(found)]


def to_markdown(rows: list[Budget]) -> str:
    """The table of docs/budgets.md."""
    names = [profile.name for profile in profiles_told()]
    head = ["command", "APDU bytes", "bytes written", "writes", "RAM", *names]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        figures = [
            str(row.apdu_bytes),
            str(row.written_bytes),
            str(row.writes),
            str(row.ram_bytes),
            *(f"{time:.1f}" for time in row.times_ms),
        ]
        lines.append(f"| {row.command} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def _budget(exchange: Exchange, ram_bytes: int, profiles: list[Profile]) -> Budget:
    command, response, work = exchange.command, exchange.response, exchange.work
    writes = [size for op, size in work if op is Op.WRITE]
    times = []
    for profile in profiles:
        protocol = (tap_protocol if exchange.slot is Slot.CUSTOMER else slot_protocol)(profile)
        times.append(round(timed(profile, wire_for(profile, protocol, None), exchange).total.likely, 1))
    size = len(command.encode()) + len(response.encode())
    return Budget(name_of(exchange), size, sum(writes), len(writes), ram_bytes, tuple(times))


def name_of(exchange: Exchange) -> str:
    """The command as it is explained, without the number of a record, slot, block or key version, and whose card it is of."""
    command = exchange.command
    name = explain_command(command).name
    if command.ins == Ins.RATIFY:
        name = name.partition(", slot")[0]
    if command.ins in (Ins.COMPUTE, Ins.AUTHORIZE):
        name = name.partition(", key version")[0]
    if command.ins == Ins.STORE_DATA:
        name = "STORE DATA"
    if command.ins == Ins.READ_RECORD:
        name = "READ RECORD" + name.partition(f"{command.p1}")[2]
    return f"{name}, {exchange.slot.value}" if command.ins in COMMON else name


def everything(program: Program = MODEL) -> Iterator[tuple[Exchange, int]]:
    """Every state-changing command by the scripts of the tear explorer, and every reading one, each with the RAM of its instance."""
    for script in scripts(program):
        chip = script.chip.fork()
        chip.power_on()
        for command in script.commands:
            yield _exchange(chip, command)
    tryout = Tryout(IDEAL, by_card=True, program=program)
    for name in ("purchase", "redeem"):
        tryout.try_sale(name)
    for dialog in (view_customer(PRODUCT.programme, 300), read_receipts(PRODUCT.programme), view_shop(PRODUCT.programme)):
        tryout.exchanges = []
        run(dialog, tryout.links)
        for exchange in tryout.exchanges:
            yield exchange, _ram(tryout.chips[exchange.slot])
    chip = tryout.chips[Slot.CUSTOMER]
    for command in (Command(CLA_ISO, Ins.GET_DATA, 1, tag, ne=256) for tag in (1, 3, 4)):
        yield _exchange(chip, command)
    for command in (Command(CLA_ISO, Ins.GET_DATA, 1, tag, ne=256) for tag in (1, 4)):
        yield _exchange(tryout.chips[Slot.SHOP], command)


def _exchange(chip: Chip, command: Command) -> tuple[Exchange, int]:
    work: Work = chip.record_work()
    response: Response = chip.process(command)
    chip.memory.work = None
    slot = Slot.CUSTOMER if next(iter(chip.applets)).startswith(AID_CUSTOMER) else Slot.SHOP
    return Exchange(slot, Protocol.T1, command, response, work), _ram(chip)


def _ram(chip: Chip) -> int:
    """The session of the chip's only instance, and the RAM it computes in; a Java applet's session has both."""
    working = 0 if chip.program.classes else NEEDS.working_ram_bytes
    return sum(seat.ram_bytes for seat in chip.seats.values()) + working


if __name__ == "__main__":
    print(to_markdown(budgets()))
