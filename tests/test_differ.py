"""The differential test itself: the model beside itself never differs; beside a program with one fault it does, and few steps show it."""

from collections.abc import Callable

import pytest

from differ import Different, World, random_steps, run_steps, shrink
from joren.apdu import SW, Command, Ins, Kind, Response
from joren.applet.customer import CustomerCard
from joren.simulator.chip import AppletClass, Chip


@pytest.mark.parametrize("blank", [False, True])
def test_the_model_is_as_itself(blank: bool) -> None:
    world = World(7, Chip.fork, blank=blank)
    tally = run_steps(world, random_steps(7, 1500, blank=blank))
    assert tally.apdus > 1500
    assert tally.ok > (50 if blank else tally.apdus // 2)
    assert tally.tears > 5


class Lenient(CustomerCard):
    """Says 6A80 of an order whose MAC is wrong."""

    def process(self, command: Command) -> Response:
        response = super().process(command)
        return Response(b"", SW.WRONG_DATA) if response.sw == SW.MAC_INCORRECT else response


class Forgetful(CustomerCard):
    """Takes money from the purse, and keeps it: all of the answer is right, and the card is not."""

    def process(self, command: Command) -> Response:
        sheets = self.memory.sheets.get()
        response = super().process(command)
        if response.ok and command.ins == Ins.TRANSACT and command.p1 == Kind.PAY:
            self.memory.sheets.put(0, sheets)
        return response


def twin_with(changed: AppletClass) -> Callable[[Chip], Chip]:
    """Makes the twin of a chip, whose customer card has a program of its own."""

    def make(chip: Chip) -> Chip:
        twin = Chip(chip.seed, chip.profile)
        for aid, applet_class in chip.classes.items():
            twin.install(changed if applet_class is CustomerCard else applet_class, aid)
        twin.restore(chip.snapshot())
        twin.draws = chip.draws
        return twin

    return make


@pytest.mark.parametrize(("program", "steps_max", "says"), [(Lenient, 2, "6988 expected, 6a80 came"), (Forgetful, 3, "/sheets differs")])
def test_a_fault_is_found_and_shrunk(program: AppletClass, steps_max: int, says: str) -> None:
    def make() -> World:
        return World(11, twin_with(program))

    steps = random_steps(11, 1500)
    with pytest.raises(Different, match=says):
        run_steps(make(), steps)
    few = shrink(make, steps)
    assert len(few) <= steps_max
    with pytest.raises(Different, match=says):
        run_steps(make(), few)


def test_other_cells_are_told() -> None:
    def other(chip: Chip) -> Chip:
        return Chip(chip.seed)

    with pytest.raises(Different, match="regions: "):
        World(1, other)
