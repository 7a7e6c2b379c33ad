"""Your till in 30 lines. Run it with `.venv/bin/python examples/till_30_lines.py`; docs/embedding.md goes through it."""

from pathlib import Path
from tempfile import mkdtemp

from joren.apdu import AID_CUSTOMER, Transmit, aid
from joren.applet.customer import CustomerCard
from joren.host import DEFAULT_PRODUCT, CardLost, DialogError, Journal, Masters, Slot, SoftwareKeys, Till, issue_customer, run
from joren.simulator.chip import Chip
from joren.simulator.reader import Reader

__all__: list[str] = []
MASTERS = Masters.create()


def reader() -> Transmit:
    """The one thing to change for a reader on the desk: any function from Command to Response that raises LinkLost."""
    simulated = Reader()
    simulated.insert(chip := Chip(b"the customer's"))
    chip.install(CustomerCard, aid(AID_CUSTOMER, DEFAULT_PRODUCT.programme))
    run(issue_customer(DEFAULT_PRODUCT, MASTERS, bytes.fromhex("0102030405060708")), {Slot.CUSTOMER: simulated.transmit})
    return simulated.transmit


links = {Slot.CUSTOMER: reader()}
keys = SoftwareKeys(programme=1, shop=1, terminal=0, till_master=MASTERS.group_master("till", programme=1))
with Journal(Path(mkdtemp()) / "till.sqlite") as journal:
    till = Till(keys, journal)
    for number, amount_minor in enumerate((1250, 4800, 3000), 1):
        try:
            granted = run(till.purchase(f"receipt {number}", hour=100 + number, amount_minor=amount_minor), links)
            print(f"receipt {number}: {granted.points} points, balance {granted.points_balance}, rank {granted.rank}")
        except CardLost as lost:
            print(f"tap the same card again: {lost}")
        except DialogError as error:
            print(f"not sold: {error}")
