"""Random days at a counter: sales, voids, tears at any write, lost APDUs, tills that die, cards that are reset or come back to be settled;
and in the end customer cards, shop card, receipts and the till's file agree on every point and every cent.

How it works. A day has two customers and one till, with software keys or a shop card, over T=1 or T=0. Whatever goes wrong in a tap is let
go; at the end of the day each customer taps once more, and then everything is audited (support.Counter.audit). JOREN_DAYS sets the number
of days, which are the same each time."""

import os
import tempfile
from collections import Counter as Tally
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from cardkit import Customer
from joren.host import CardLost, CardRefused, Fate, HostError
from support import Counter, Crash, Fault, Tear, free_of_pin

DAYS, STEPS = int(os.environ.get("JOREN_DAYS", "80")), 20
MAX_SALES = 20
"""A card's log keeps 24: the audit follows the balances from the first on."""
HAPPENED: Tally[str] = Tally()
Faults = dict[int, Fault | Tear]
FAULTS = st.dictionaries(
    st.integers(1, 14), st.one_of(st.sampled_from(list(Fault)), st.builds(Tear, st.integers(1, 7))), max_size=2
)  # fmt: skip


class CounterDay(RuleBasedStateMachine):
    """One day."""

    @initialize(by_card=st.booleans(), t0=st.booleans())
    def open(self, by_card: bool, t0: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.counter = Counter(by_card, Path(self.folder.name) / "till.sqlite", t0=t0)
        self.customers = [free_of_pin(1), free_of_pin(2)]
        self.sales: list[str] = []
        self.hour = 100
        for number, customer in enumerate(self.customers):
            self.counter.tap(customer, lambda till, name=f"loaded {number}": till.load(name, 100, 5_000))  # type: ignore[misc]

    def tap(self, which: int, faults: Faults, name: str, kind: str, amount: int) -> None:
        """One tap; what goes wrong is let go, as a cashier would who serves the next."""
        customer, hour = self.customers[which], self.hour
        makers = {
            "purchase": lambda till: till.purchase(name, hour, amount),
            "pay and earn": lambda till: till.purchase(name, hour, amount, pay=True),
            "redeem": lambda till: till.redeem(name, hour, amount),
            "load": lambda till: till.load(name, hour, amount),
            "pay": lambda till: till.pay(name, hour, amount),
            "void": lambda till: till.void(name, hour, self.sales[amount % len(self.sales)]),
            "settle": lambda till: till.settle(),
        }
        happened = "done"
        try:
            self.counter.tap(customer, makers[kind], faults)
        except (CardLost, Crash, CardRefused, HostError) as error:
            happened = type(error).__name__
        HAPPENED[happened] += 1

    @precondition(lambda self: len(self.sales) < MAX_SALES)
    @rule(
        which=st.integers(0, 1),
        kind=st.sampled_from(["purchase", "purchase", "pay and earn", "redeem", "load", "pay"]),
        amount=st.integers(1, 3_000),
        faults=FAULTS,
    )
    def sell(self, which: int, kind: str, amount: int, faults: Faults) -> None:
        name = f"sale {len(self.sales)}"
        self.sales.append(name)
        self.tap(which, faults, name, kind, amount)

    @precondition(lambda self: self.sales)
    @rule(which=st.integers(0, 1), amount=st.integers(1, 3_000), faults=FAULTS)
    def ask_again(self, which: int, amount: int, faults: Faults) -> None:
        """The same reference once more, maybe with the other card: never granted twice."""
        self.tap(which, faults, self.sales[-1], "purchase", amount)

    @precondition(lambda self: 0 < len(self.sales) < MAX_SALES)
    @rule(which=st.integers(0, 1), back=st.integers(0, 2), faults=FAULTS)
    def void(self, which: int, back: int, faults: Faults) -> None:
        name = f"void {len(self.sales)}"
        self.tap(which, faults, name, "void", max(0, len(self.sales) - 1 - back))
        self.sales.append(name)

    @rule(which=st.integers(0, 1), faults=FAULTS)
    def settle(self, which: int, faults: Faults) -> None:
        self.tap(which, faults, "", "settle", 0)

    @rule()
    def reset_shop_card(self) -> None:
        """The shop card loses its power between two taps, and the till is not told."""
        self.counter.shop.chip.power_off()
        self.counter.shop.chip.power_on()

    @rule()
    def kill_the_till(self) -> None:
        self.counter.restart()

    @rule(hours=st.integers(1, 30))
    def wait(self, hours: int) -> None:
        self.hour += hours

    def teardown(self) -> None:
        if not hasattr(self, "counter"):
            return
        try:
            for _ in range(2):
                for customer in self.customers:
                    with suppress(CardRefused):
                        self.counter.tap(customer, lambda till: till.settle())
            self.check_end(*self.customers)
        finally:
            self.counter.journal.close()
            self.folder.cleanup()

    def check_end(self, *customers: Customer) -> None:
        self.counter.audit(*customers)
        for row in self.counter.journal.rows():
            HAPPENED[f"ended {row.fate.value}"] += 1
            assert row.fate in (Fate.COMMITTED, Fate.NOT_COMMITTED)


def test_days_at_a_counter(record_property: Callable[[str, object], None]) -> None:
    """REQ-STL-1 to REQ-STL-6, REQ-FIT-2."""
    how = settings(max_examples=DAYS, stateful_step_count=STEPS, derandomize=True, deadline=None)
    run_state_machine_as_test(CounterDay, settings=how)
    assert all(HAPPENED[name] for name in ("done", "CardLost", "Crash", "CardRefused", "ended committed", "ended not_committed"))
    for name, number in sorted(HAPPENED.items()):
        record_property(f"days at a counter: {name}", number)
