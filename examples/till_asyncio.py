"""Two tills in one asyncio program, readers that block, and a tap that is given up.

Run it with `.venv/bin/python examples/till_asyncio.py`.
"""

import asyncio
from threading import Event

from joren.apdu import AID_CUSTOMER, Command, Ins, Response, aid
from joren.applet.customer import CustomerCard
from joren.host import DEFAULT_PRODUCT, Journal, Masters, Slot, SoftwareKeys, Till, in_thread, issue_customer, run, run_async
from joren.simulator.chip import Chip
from joren.simulator.reader import Reader

__all__: list[str] = []
masters = Masters.create()
master = masters.group_master("till", programme=1)


class SlowReader:
    """A reader that tells when TRANSACT is under way, and holds its answer back until it may go."""

    def __init__(self, card_id: bytes) -> None:
        self.under_way, self.may_go = Event(), Event()
        self._reader = Reader()
        chip = Chip(card_id)
        chip.install(CustomerCard, aid(AID_CUSTOMER, DEFAULT_PRODUCT.programme))
        self._reader.insert(chip)
        run(issue_customer(DEFAULT_PRODUCT, masters, card_id), {Slot.CUSTOMER: self._reader.transmit})

    def transmit(self, command: Command) -> Response:
        """Blocks, as drivers of readers do."""
        response = self._reader.transmit(command)
        if command.ins == Ins.TRANSACT:
            self.under_way.set()
            self.may_go.wait(10)
        return response


async def counter(number: int, card_id: str, *, give_up: bool) -> None:
    """One counter: a till, a journal and a reader of its own."""
    reader = SlowReader(bytes.fromhex(card_id))
    till = Till(SoftwareKeys(1, 1, number, master), Journal(":memory:"))
    with till.journal, in_thread(reader.transmit) as link:
        links = {Slot.CUSTOMER: link}
        sale = asyncio.create_task(run_async(till.purchase("receipt 1", hour=100, amount_minor=1250), links))
        await asyncio.to_thread(reader.under_way.wait, 10)
        if give_up:
            sale.cancel()
        reader.may_go.set()
        try:
            granted = await sale
        except asyncio.CancelledError:
            pending = till.journal.unsettled()
            print(f"counter {number}: given up, {len(pending)} sale is {pending[0].fate.value}")
            granted = await run_async(till.purchase("receipt 1", hour=100, amount_minor=1250), links)
        print(f"counter {number}: {granted.points} points, found again: {granted.recovered}")


async def main() -> None:
    """One after the other, so that the lines come in order; `asyncio.gather` serves them at once."""
    await counter(0, "0102030405060708", give_up=False)
    await counter(1, "0102030405060709", give_up=True)


asyncio.run(main())
