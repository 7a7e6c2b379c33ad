"""The Java Card applet beside the model, under random commands: the same bytes, status words and memory.

Every run does some worlds; `./run differ` does as many as it is told to (docs/applet.md).
"""

from collections.abc import Callable

import pytest

from differ import Different, World, random_steps, run_steps
from differ_secured import SecuredWorld, random_secured_steps, run_secured_steps
from javakit import built, java_twin, java_twin_without_cmac
from joren.simulator.chip import Chip
from joren.simulator.java_roles import JAVACARD, java_customer, java_shop, program_with

WORLDS, STEPS, SECURED_STEPS = 20, 400, 150


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    built()


@pytest.mark.parametrize("part", range(4))
def test_plain_cards(part: int, record_property: Callable[[str, object], None]) -> None:
    """REQ-FIT-1: two parts on a chip with AES-CMAC, two on one without."""
    apdus = tears = 0
    twin = java_twin if part < 2 else java_twin_without_cmac
    for seed in range(1000 + part * WORLDS, 1000 + (part + 1) * WORLDS):
        blank = seed % 5 == 0
        tally = run_steps(World(seed, twin, blank=blank), random_steps(seed, STEPS, blank=blank))
        apdus, tears = apdus + tally.apdus, tears + tally.tears
    assert apdus > 9_000
    assert tears > 50
    record_property(f"differential test, part {part}: APDUs on model and Java Card applet, 0 differences", apdus)


def test_cards_with_a_manager(record_property: Callable[[str, object], None]) -> None:
    apdus = tears = 0
    for seed in range(2000, 2000 + WORLDS):
        tally = run_secured_steps(SecuredWorld(seed, java_twin), random_secured_steps(seed, SECURED_STEPS))
        apdus, tears = apdus + tally.apdus, tears + tally.tears
    assert apdus > 4_000
    assert tears > 50
    record_property("differential test, secured: APDUs on model and Java Card applet, 0 differences", apdus)


def test_a_twin_that_writes_wrongly_is_found() -> None:
    """The tears see what answers do not: an applet that writes outside its transactions."""
    wrong = program_with(java_customer().mutated("no-transaction:CustomerMemory.add"), java_shop())

    def twin(chip: Chip) -> Chip:
        return chip.on(chip.profile, program=wrong)

    def worlds() -> None:
        for seed in range(1000, 1010):
            run_steps(World(seed, twin), random_steps(seed, STEPS))

    with pytest.raises(Different, match=r"after it .* differs"):
        worlds()
    assert JAVACARD.name == wrong.name
