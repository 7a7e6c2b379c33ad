"""The Java Card applets beside the model: random commands, resets and tears, the same bytes and the same cells after each.

JOREN_APDUS is the number of APDUs, 20,000 where it is not set.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from differ import World, random_steps, run_steps
from javakit import built
from joren.simulator.chip import Chip
from joren.simulator.java_roles import JAVACARD

NUMBER = int(os.environ.get("JOREN_APDUS", "20000"))
STEPS = 1_000


def java_twin(cmac: bool) -> Callable[[Chip], Chip]:
    """Makes the twin of a chip that runs the applets, on a chip with CMAC or without."""

    def make(chip: Chip) -> Chip:
        twin = Chip(chip.seed, replace(chip.profile, cmac=cmac), program=JAVACARD)
        for aid, applet_class in chip.classes.items():
            twin.install(applet_class, aid)
        twin.restore(chip.snapshot())
        twin.draws = chip.draws
        return twin

    return make


@pytest.mark.parametrize("cmac", [True, False], ids=["CMAC of the chip", "CMAC of the applet"])
def test_the_applets_are_as_the_model(cmac: bool, record_property: Callable[[str, object], None]) -> None:
    """REQ-FIT-1: on a chip with AES-CMAC and on one without; every third world begins with cards that are not issued."""
    built()
    apdus = tears = 0
    for seed in count(1 if cmac else 2, 2):
        blank = seed % 3 == 0
        tally = run_steps(World(seed, java_twin(cmac), blank=blank), random_steps(seed, STEPS, blank=blank))
        apdus, tears = apdus + tally.apdus, tears + tally.tears
        if apdus >= NUMBER // 2:
            break
    assert tears > apdus // 1_000
    record_property(f"APDUs to the applets as to the model, {'' if cmac else 'no '}CMAC on the chip", apdus)
