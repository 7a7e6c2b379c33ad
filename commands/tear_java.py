"""Java Card applets that write wrongly: the applet's own classes, changed in one place when they are loaded.

How it works. A mutant names a kind of change (applet/javacard, class Mutate), a method, and where it matters which of its writes is meant.
METHODS and WHOLE have every transaction of both applets, so that each kind is tried at each place where it can be told from the applet as
it is. As long as the power stays a mutant is right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from joren.host import Slot
from joren.simulator.chip import IDEAL, Program
from joren.simulator.java_roles import java_customer, java_shop, program_with
from joren.simulator.tear import Outcome, Script, Tear, explore, placed

from .tear_mutants import card_of

__all__ = ["JAVA_KINDS", "JavaMutant", "JavaVerdict", "catch_java", "java_mutants", "java_mutants_table"]

JAVA_KINDS = {
    "no-transaction": "beginTransaction and commitTransaction are not there",
    "non-atomic": "arrayCopyNonAtomic where arrayCopy belongs",
    "early-commit": "the transaction is committed after the write, and another takes the rest",
    "late-begin": "the transaction begins after its first write",
    "late": "the transaction is committed after the write, and what follows comes without one",
}
CUSTOMER, SHOP = Slot.CUSTOMER.value, Slot.SHOP.value


@dataclass(frozen=True, slots=True)
class Method:
    """A method that writes: whose it is, and by the number of a write which are copies, behind which a commit could come, and which the
    transaction that it begins could miss; none where its caller has the transaction."""

    card: str
    name: str
    copies: tuple[int, ...] = ()
    commits: tuple[int, ...] = ()
    begins: int | None = None


METHODS = (
    Method(CUSTOMER, "CustomerMemory.add", copies=(1, 2), commits=(1, 2), begins=1),
    Method(CUSTOMER, "Pin.storePin", copies=(1,)),
    Method(CUSTOMER, "Pin.storePuk", copies=(1,)),
    Method(CUSTOMER, "CustomerData.store", copies=(1,)),
    Method(CUSTOMER, "Personalization.storeRules", copies=(1,)),
    Method(CUSTOMER, "Personalization.storeLimits", copies=(1,)),
    Method(CUSTOMER, "CardKey.store", copies=(1,)),
    Method(SHOP, "ShopMemory.open", copies=(1,), commits=(1,), begins=1),
    Method(SHOP, "ShopMemory.close", copies=(4,), commits=(2, 4), begins=2),  # 1 is to RAM, 3 is a void's
    Method(SHOP, "ShopMemory.putSheet", copies=(1,)),
    Method(SHOP, "ShopMemory.giveCeilings", copies=(1,)),
    Method(SHOP, "ShopData.store", copies=(1,)),
    Method(SHOP, "CardKey.store", copies=(1,)),
)
WHOLE = ((CUSTOMER, "Pin.renew"), (CUSTOMER, "Personalization.storeData"), (SHOP, "Personalization.storeData"))
"""Methods whose transaction has no write of their own, or only the last."""


@dataclass(frozen=True, slots=True)
class JavaMutant:
    """One applet that writes wrongly: which card's, and what is changed where."""

    card: str
    change: str

    @property
    def kind(self) -> str:
        """One of JAVA_KINDS."""
        return self.change.partition(":")[0]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.card}, {self.change}"

    @property
    def program(self) -> Program:
        """Cards that run it."""
        customer, shop = java_customer(), java_shop()
        if self.card == CUSTOMER:
            return program_with(customer.mutated(self.change), shop)
        return program_with(customer, shop.mutated(self.change))


@dataclass(frozen=True, slots=True)
class JavaVerdict:
    """A mutant, and the first tear that left something mixed; None: it was missed."""

    mutant: JavaMutant
    tear: Tear | None


def java_mutants() -> list[JavaMutant]:
    """Every kind at every place."""
    found = [JavaMutant(card, f"no-transaction:{name}") for card, name in WHOLE]
    for method in METHODS:
        found += [JavaMutant(method.card, f"{kind}:{method.name}{place}") for kind, place in _places(method)]
    return found


def _places(method: Method) -> Iterator[tuple[str, str]]:
    for number in method.copies:
        yield "non-atomic", f"#{number}"
    for number in method.commits:
        yield "early-commit", f"#{number}"
        yield "late", f"#{number}"
    if method.begins is not None:
        yield "no-transaction", ""
        yield "late-begin", f"#{method.begins}"


def catch_java(mutant: JavaMutant, scripts: Sequence[Script]) -> JavaVerdict:
    """Tears the scripts of the mutant's card until something mixed is left: cards in use first, the issuing of one last."""
    program = mutant.program
    for script in sorted(scripts, key=lambda one: one.name.startswith("issue")):
        if card_of(script) == mutant.card:
            there = placed(script, script.chip.on(IDEAL, program=program))
            mixed = next((tear for tear in explore(there) if tear.outcome is Outcome.MIXED), None)
            if mixed is not None:
                return JavaVerdict(mutant, mixed)
    return JavaVerdict(mutant, None)


def java_mutants_table(verdicts: Sequence[JavaVerdict]) -> str:
    """The table of docs/tearing.md: the kinds, how many of each, how many were caught."""
    lines = ["| mutant | what is wrong | how many | caught |", "|---|---|---|---|"]
    for kind, wrong in JAVA_KINDS.items():
        of_kind = [verdict for verdict in verdicts if verdict.mutant.kind == kind]
        lines.append(f"| {kind} | {wrong} | {len(of_kind)} | {sum(verdict.tear is not None for verdict in of_kind)} |")
    return "\n".join(lines)
