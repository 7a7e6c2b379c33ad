"""The reader: cards come and go, and APDUs get lost on order."""

import pytest

from cardkit import Customer
from joren.apdu import Command, Kind, LinkLost, Response
from joren.simulator.reader import Loss, Losses, Reader, When


def test_a_card_is_put_in_and_pulled_out() -> None:
    reader, customer = Reader("desk"), Customer()
    select = Command(0, 0xA4, 4, 0x0C, customer.aid, 26)
    for failing in (lambda: reader.transmit(select), reader.reset):
        with pytest.raises(LinkLost, match="desk: no card"):
            failing()
    with pytest.raises(ValueError, match="no card is in"):
        reader.remove()
    events: list[tuple[str, str]] = []
    reader.observers.append(lambda name, event, command, response: events.append((name, event)))
    assert reader.insert(customer.chip)[0] == 0x3B
    with pytest.raises(ValueError, match="a card is in already"):
        reader.insert(customer.chip)
    assert reader.card_present
    assert reader.transmit(select).ok
    reader.reset()
    assert reader.remove() is customer.chip
    assert reader.chip is None
    assert events == [("desk", event) for event in ("insert", "apdu", "reset", "remove")]


@pytest.mark.parametrize(("when", "counter"), [(When.BEFORE, 0), (When.AFTER, 1)])
def test_an_apdu_is_lost_before_or_after_the_card_acted(when: When, counter: int) -> None:
    reader, customer = Reader(), Customer()
    seen: list[Response | None] = []
    reader.observers.append(lambda name, event, command, response: seen.append(response) if command else None)
    reader.insert(customer.chip)
    reader.losses = Losses([Loss(2, when)])
    customer.info = customer.info.decode(reader.transmit(Command(0, 0xA4, 4, 0x0C, customer.aid, 26)).data)
    purchase = customer.transact_command(Kind.PURCHASE, customer.order())
    with pytest.raises(LinkLost, match="went away"):
        reader.transmit(purchase)
    with pytest.raises(LinkLost, match="no card"):
        reader.transmit(purchase)
    assert seen[1] is None
    reader.reset()
    assert customer.select().counter == counter


def test_a_power_cut_inside_a_command_is_a_lost_link() -> None:
    reader, customer = Reader(), Customer()
    reader.insert(customer.chip)
    customer.select()
    customer.chip.memory.cut_after(2)
    with pytest.raises(LinkLost):
        reader.transmit(customer.transact_command(Kind.PURCHASE, customer.order()))
    reader.reset()
    assert customer.select().counter == 0
