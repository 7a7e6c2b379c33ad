"""What every command costs the Java Card applets: executed bytecodes, bytes and writes in memory, bytes of a transaction, RAM.

The tables in docs/budgets.md are made from it (`python -m joren.commands.budgets_java`), reviewed when they change, and a test's limit."""

from dataclasses import dataclass, replace

from joren.apdu import AID_CUSTOMER, AID_SHOP, aid
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.simulator.chip import IDEAL, Chip, Program
from joren.simulator.java_roles import JAVACARD, java_customer, java_shop, program_with
from joren.simulator.work import Op, Work

from .budgets import everything, name_of

__all__ = ["JavaBudget", "counting_program", "instances_table", "java_budgets", "java_budgets_table"]


@dataclass(frozen=True, slots=True)
class JavaBudget:
    """The most that a command took. `transaction_bytes` are those that its largest transaction changed."""

    command: str
    bytecodes: int
    written_bytes: int
    writes: int
    transaction_bytes: int

    def more(self, other: "JavaBudget") -> "JavaBudget":
        """The larger of each figure."""
        return JavaBudget(
            self.command,
            max(self.bytecodes, other.bytecodes),
            max(self.written_bytes, other.written_bytes),
            max(self.writes, other.writes),
            max(self.transaction_bytes, other.transaction_bytes),
        )


def counting_program() -> Program:
    """Both applets, their bytecodes counted."""
    return program_with(replace(java_customer(), counting=True), replace(java_shop(), counting=True))


def java_budgets() -> list[JavaBudget]:
    """One for each command and each of its forms, by name. Raises NoJava."""
    found: dict[str, JavaBudget] = {}
    for exchange, _ in everything(counting_program()):
        one = _budget(name_of(exchange), exchange.work)
        found[one.command] = found[one.command].more(one) if one.command in found else one
    return [found[name] for name in sorted(found)]


def _budget(name: str, work: Work) -> JavaBudget:
    def sizes(wanted: Op) -> list[int]:
        return [size for op, size in work if op is wanted]

    writes = sizes(Op.WRITE)
    return JavaBudget(name, sum(sizes(Op.BYTECODES)), sum(writes), len(writes), max(sizes(Op.COMMIT), default=0))


def java_budgets_table() -> str:
    """The table of commands, in Markdown."""
    rows = [f"| {row.command} | {row.bytecodes} | {row.written_bytes} | {row.writes} | {row.transaction_bytes} |" for row in java_budgets()]
    return "\n".join(["| command | bytecodes | bytes written | writes | largest transaction |", "|---|---|---|---|---|", *rows])


def instances_table() -> str:
    """RAM and persistent memory of an instance of each applet, in Markdown."""
    lines = ["| instance | RAM | persistent |", "|---|---|---|"]
    for name, applet, role in (("customer card", CustomerCard, AID_CUSTOMER), ("shop card", ShopCard, AID_SHOP)):
        chip = Chip(b"", IDEAL, program=JAVACARD)
        chip.install(applet, aid(role, 1))
        (seat,) = chip.seats.values()
        lines.append(f"| {name} | {seat.ram_bytes} | {seat.nvm_bytes} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(instances_table() + "\n\n" + java_budgets_table())
