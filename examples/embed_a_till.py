"""A till in a program of your own: a purchase, a lost answer, its settlement. Run it with `.venv/bin/python examples/embed_a_till.py`."""

from joren.apdu import AID_CUSTOMER, aid
from joren.applet.customer import CustomerCard
from joren.host import DEFAULT_PRODUCT, CardLost, Journal, Masters, Slot, SoftwareKeys, Till, issue_customer, run
from joren.simulator.chip import Chip
from joren.simulator.reader import Loss, Losses, Reader, When

__all__: list[str] = []

# A card, issued on a simulated chip. At a counter this is the customer's own, in a real reader.
masters = Masters.create()
chip, reader = Chip(b"the customer's"), Reader()
chip.install(CustomerCard, aid(AID_CUSTOMER, DEFAULT_PRODUCT.programme))
reader.insert(chip)
links = {Slot.CUSTOMER: reader.transmit}
run(issue_customer(DEFAULT_PRODUCT, masters, bytes.fromhex("0102030405060708")), links)

# The till: who it is, its key, its journal. One method a sale; what it gives is a dialog, which `run` drives over the readers.
keys = SoftwareKeys(programme=1, shop=1, terminal=0, till_master=masters.group_master("till", programme=1))
till = Till(keys, Journal(":memory:"))
granted = run(till.purchase("receipt 4711", hour=100, amount_minor=1250), links)
print(f"{granted.points} points, rank {granted.rank}, score {granted.score}")

# The customer pulls the card before its answer arrives. Was it granted? The till asks the card itself at the next tap.
reader.losses = Losses([Loss(2, When.AFTER)])
try:
    run(till.purchase("receipt 4712", hour=101, amount_minor=900), links)
except CardLost as lost:
    print(f"lost: {lost.fate.value if lost.fate else 'nothing sent'}")
reader.reset()
granted = run(till.purchase("receipt 4712", hour=101, amount_minor=900), links)
print(f"{granted.points} points, found again: {granted.recovered}, balance {granted.points_balance}")
masters.verify_receipt(granted.receipt)
