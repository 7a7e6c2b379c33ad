"""The shop card's ring of sheets and its slots in turn (docs/spec/records.md): what a command writes, and how the cells wear."""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardkit import Customer, Shop
from joren.apdu import CLA_JOREN, SW, Ending, Ins, KeyRef, Kind
from joren.applet.applet import Refused
from joren.applet.shop_sheet import COUNT_MAX, ShopSheet, place_in_force
from joren.simulator.memory import PowerCut

BLANK = ShopSheet.decode(bytes(62))
PURCHASES = 320


def write_off(shop: Shop, slot: int) -> None:
    assert shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, slot).ok


def opened(shop: Shop, customer: Customer, kind: Kind = Kind.PAY) -> int:
    """The slot of a new entry."""
    response = shop.authorize(customer, kind, customer.plain(10))
    assert response.ok, response.status
    return response.data[0]


def ring(sheets: dict[int, ShopSheet]) -> bytes:
    return b"".join(sheets.get(place, BLANK).encode() for place in range(16))


class TestRing:
    def test_every_change_writes_the_next_place(self) -> None:
        """REQ-REC-7, REQ-CMP-3, REQ-AUT-2, REQ-RAT-5: and leaves the other fifteen whole; a reset finds the same sheet."""
        shop, customer = Shop(points_left=5_000, money_left=6_000), Customer()
        assert shop.ring() == [replace(BLANK, points_left=5_000, money_left_minor=6_000), *[BLANK] * 15]
        waiting: list[int] = []
        for step in range(1, 49):
            before = shop.ring()
            if step % 2:
                waiting.append(shop.compute(customer, customer.order()).slot if step % 3 else opened(shop, customer, Kind.LOAD))
            else:
                write_off(shop, waiting.pop())
            after, place = shop.ring(), step % 16
            assert [at for at in range(16) if after[at] != before[at]] == [place]
            sheet = after[place]
            assert (sheet, sheet.count + sheet.closed, sheet.count - sheet.closed) == (shop.sheet(), step, len(waiting))
            if step % 5 == 0:
                shop.chip.power_on()
            if step % 5 < 2:
                info = shop.select()
                assert (info.sequence & COUNT_MAX, info.pending) == (sheet.count, len(waiting))
                assert (info.points_left, info.money_left_minor) == (sheet.points_left, sheet.money_left_minor)

    def test_a_new_card_may_be_given_its_ceilings_again(self) -> None:
        """REQ-REC-7, REQ-SPE-1: sheet 0 in place, with the generation 0."""
        shop = Shop(issue=False)
        for number in range(3):
            value = bytes((0x02, 0x02, 8)) + (100 + number).to_bytes(4) + (200 + number).to_bytes(4)
            assert shop.send(CLA_JOREN, Ins.STORE_DATA, 0x08, number, value).ok
            assert shop.ring() == [replace(BLANK, points_left=100 + number, money_left_minor=200 + number), *[BLANK] * 15]

    def test_the_last_generation(self) -> None:
        """REQ-REC-7: all sequences used, all entries closed."""
        shop, customer = Shop(), Customer()
        shop.force(count=COUNT_MAX - 1, closed=COUNT_MAX - 1)
        slot = opened(shop, customer)
        assert slot == (COUNT_MAX - 1) % 16
        assert shop.authorize(customer, Kind.PAY, customer.plain(10)).sw == SW.COUNTER_EXHAUSTED
        write_off(shop, slot)
        shop.chip.power_on()
        assert shop.select().sequence & COUNT_MAX == COUNT_MAX
        assert shop.sheet() == shop.ring()[0x1FFFFFE % 16]
        assert (shop.sheet().count, shop.sheet().closed) == (COUNT_MAX, COUNT_MAX)

    @pytest.mark.model
    def test_a_command_that_fails_is_not_remembered(self) -> None:
        """REQ-REC-7, REQ-APDU-8: RAM names the sheet in force, whatever the transaction wrote before it was rolled back."""
        shop, customer = Shop(), Customer()
        memory = shop.chip.memory
        for step in range(20):
            before = shop.chip.snapshot()
            command = shop.compute_command(customer, customer.order())
            for room in (0, 32, 93):
                memory.commit_capacity_bytes = room or 1
                assert shop.chip.process(command).sw == SW.NO_PRECISE_DIAGNOSIS
                assert shop.chip.snapshot() == before
            memory.commit_capacity_bytes = 94
            made = shop.computed(shop.chip.process(command), customer.order())
            assert made.order.sequence & COUNT_MAX == step
            memory.commit_capacity_bytes = 95
            assert shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, made.slot).sw == SW.NO_PRECISE_DIAGNOSIS
            memory.commit_capacity_bytes = None
            write_off(shop, made.slot)

    def test_no_sheet_that_can_be(self) -> None:
        """REQ-REC-7: nothing is guessed, and nothing granted."""
        shop, customer = Shop(), Customer()
        shop.force(closed=1)
        shop.chip.power_on()
        assert shop.send(0x00, Ins.SELECT, 4, 0x0C, shop.aid, 25).sw == SW.NO_PRECISE_DIAGNOSIS
        assert shop.authorize(customer, Kind.LOAD, customer.plain(10)).sw == SW.NO_PRECISE_DIAGNOSIS


def told(shop: Shop) -> tuple[int, int, int]:
    """What SELECT tells of refills and ceilings."""
    info = shop.select()
    return info.refills, info.points_left, info.money_left_minor


def refused(shop: Shop, number: int, points: int, money_minor: int, sw: int) -> None:
    """The status word, and no byte changed."""
    before = shop.chip.snapshot()
    with pytest.raises(Refused) as refusal:
        shop.card.memory.refill(number, points, money_minor)
    assert (refusal.value.sw, shop.chip.snapshot()) == (sw, before)


@pytest.mark.model
class TestRefill:
    """REQ-REF-1, by the method alone."""

    def test_it_counts_once(self) -> None:
        """REQ-REF-1, REQ-REC-7: between entries and with some open; the same number again is refused; each writes the next place."""
        shop, customer = Shop(points_left=100, money_left=200), Customer()
        slots = [opened(shop, customer, kind) for kind in (Kind.PAY, Kind.LOAD)]
        for number in range(1, 40):
            before = shop.ring()
            shop.card.memory.refill(number, 7, 11)
            changed = [place for place, (old, new) in enumerate(zip(before, shop.ring(), strict=True)) if old != new]
            assert changed == [shop.sheet().place] == [(2 + number) % 16]
            assert told(shop) == (number, 100 + 7 * number, 190 + 11 * number)
            for wrong in {0, number - 1, number, number + 2, 0xFFFF}:
                refused(shop, wrong, 7, 11, SW.CONDITIONS_NOT_SATISFIED)
            if number % 3 == 0:
                shop.chip.power_on()
                shop.select()
        for slot in slots:
            write_off(shop, slot)
        assert told(shop) == (39, 373, 619)
        assert (shop.sheet().count, shop.sheet().closed) == (2, 2)

    def test_the_ceilings_at_their_most(self) -> None:
        """REQ-REF-1: FFFFFFFF itself may be reached; nothing is raised where one of the two would be above it."""
        shop = Shop(points_left=0xFFFFFFF0, money_left=5)
        refused(shop, 1, 16, 0, SW.WRONG_DATA)
        refused(shop, 1, 0, 0xFFFFFFFB, SW.WRONG_DATA)
        refused(shop, 1, 0xFFFFFFFF, 0xFFFFFFFF, SW.WRONG_DATA)
        shop.card.memory.refill(1, 15, 0xFFFFFFFA)
        assert told(shop) == (1, 0xFFFFFFFF, 0xFFFFFFFF)
        shop.card.memory.refill(2, 0, 0)
        refused(shop, 3, 1, 0, SW.WRONG_DATA)

    @pytest.mark.parametrize("ending", [Ending.NOT_COMMITTED, Ending.COMMITTED], ids=["NOT COMMITTED", "void"])
    def test_what_comes_back_stops_at_the_most(self, ending: Ending) -> None:
        """REQ-RAT-2, REQ-RAT-3: a refill took the room that an entry had left; the entry can be closed nevertheless."""
        shop, customer = Shop(money_left=1_000), Customer()
        if ending is Ending.COMMITTED:
            shop.transact(customer, Kind.LOAD, customer.plain(600))
            shop.card.memory.refill(1, 0, 0xFFFFFFFF - 500)
            shop.transact(customer, Kind.VOID_LOAD, customer.plain(600))
        else:
            slot = opened(shop, customer, Kind.LOAD)
            shop.card.memory.refill(1, 0, 0xFFFFFFFF - 995)
            absence = customer.prove(0, shop.shop, 0x01000000, shop.challenge(), KeyRef.LOAD).data
            assert shop.deny(slot, absence[1:]).ok
        assert (told(shop)[2], shop.select().pending) == (0xFFFFFFFF, 0)

    def test_the_last_refill(self) -> None:
        """REQ-REF-1: FFFF of them, whatever number comes then; with all sequences used too, the generation fits."""
        shop, customer = Shop(), Customer()
        shop.force(refills=0xFFFE, count=COUNT_MAX, closed=COUNT_MAX)
        shop.chip.power_on()
        shop.select()
        shop.card.memory.refill(0xFFFF, 1, 1)
        assert shop.sheet() == shop.ring()[0x200FFFD % 16]
        for number in (0, 1, 0xFFFF, 0x10000):
            refused(shop, number, 1, 1, SW.COUNTER_EXHAUSTED)
        assert told(shop) == (0xFFFF, 1_000_001, 1_000_001)
        assert shop.authorize(customer, Kind.PAY, customer.plain(10)).sw == SW.COUNTER_EXHAUSTED

    @pytest.mark.parametrize("inside", [False, True], ids=["by itself", "in a transaction"])
    def test_torn(self, inside: bool) -> None:
        """REQ-REF-1, REQ-APDU-8: at every write, at every place of the ring, all of it is old; sent again it counts once."""
        shop = Shop()

        def refill(number: int) -> None:
            with shop.card.platform.transaction() if inside else nullcontext():
                shop.card.memory.refill(number, 3, 5)

        for number in range(1, 20):
            for write in range(1, 2 + inside):
                before = shop.chip.snapshot()
                shop.chip.memory.cut_after(write)
                with pytest.raises(PowerCut):
                    refill(number)
                shop.chip.power_on()
                assert told(shop)[0] == number - 1
                assert shop.chip.snapshot() == before
            shop.chip.memory.cut_after(2 + inside)
            refill(number)
            shop.chip.memory.cut_after(0)
            assert told(shop) == (number, 1_000_000 + 3 * number, 1_000_000 + 5 * number)

    def test_a_transaction_that_fails(self) -> None:
        """REQ-REC-7: RAM never names the sheet of a refill that was rolled back, also where two came in one transaction."""
        shop, customer = Shop(), Customer()
        for step in range(1, 20):
            before = shop.chip.snapshot()

            def refills_and_fails(step: int = step) -> None:
                with shop.card.platform.transaction():
                    shop.card.memory.refill(step, 1, 1)
                    shop.card.memory.refill(step + 1, 1, 1)
                    raise Refused(SW.WRONG_DATA)

            with pytest.raises(Refused):
                refills_and_fails()
            assert shop.chip.snapshot() == before
            write_off(shop, opened(shop, customer))
            assert shop.sheet().count == shop.sheet().closed == step
            shop.card.memory.refill(step, 1, 1)
            assert told(shop) == (step, 1_000_000 + step, 1_000_000 + step)


class TestInForce:
    @given(st.integers(0, COUNT_MAX), st.integers(0, 16), st.integers(0, 0xFFFF), st.integers(1, 16))
    def test_the_highest_generation(self, count: int, pending: int, refills: int, kept: int) -> None:
        """REQ-REC-7: of the last so many sheets of a card's life, the newest, whatever of the three had changed before."""
        newest, sheets = replace(BLANK, count=count, closed=max(count - pending, 0), refills=refills), {}
        generation = newest.count + newest.closed + newest.refills
        for back in range(min(kept, generation + 1)):
            older = min(max(refills - back // 2, 0), generation - back)
            closed = (generation - back - older) // 2
            before = replace(BLANK, count=generation - back - older - closed, closed=closed, refills=older)
            sheets[(generation - back) % 16] = before if back else newest
        assert place_in_force(ring(sheets)) == generation % 16 == newest.place

    @pytest.mark.parametrize(
        ("count", "closed"),
        [(0xFFFFFFFF, 0xFFFFFFFF), (COUNT_MAX + 1, 5), (COUNT_MAX + 1, 0), (7, 8), (0, 0x0A), (0, 0xFFFFFFFF)],
        ids=["erased to ones", "count too high", "count just too high", "more closed than opened", "none opened", "closed at its most"],
    )
    @pytest.mark.parametrize("place", range(16))
    def test_what_can_not_be_is_passed_over(self, count: int, closed: int, place: int) -> None:
        """REQ-REC-7: wherever it stands; so is what can be, at another place."""
        newest = replace(BLANK, count=10, closed=9)
        wrong = replace(BLANK, count=count, closed=closed, points_left=0xFFFFFFFF)
        assert place_in_force(ring({3: newest} | ({} if place == 3 else {place: wrong}))) == 3
        strayed = replace(BLANK, count=100, closed=100)
        if place not in (3, strayed.place):
            assert place_in_force(ring({3: newest, place: strayed})) == 3

    def test_a_blank_ring(self) -> None:
        """REQ-REC-7."""
        assert place_in_force(bytes(992)) == 0
        with pytest.raises(RuntimeError, match="no sheet of the ring"):
            place_in_force(b"\xff" * 992)


class TestSlots:
    def test_in_turn(self) -> None:
        """REQ-REC-8: from count mod 16 on, past those in use, round the end."""
        shop, customer = Shop(), Customer()
        kept = [opened(shop, customer) for _ in range(3)]
        assert kept == [0, 1, 2]
        for count in range(3, 16):
            assert opened(shop, customer) == count
            write_off(shop, count)
        for count, slot in ((16, 3), (17, 3), (18, 3), (19, 3), (20, 4)):
            assert (count, opened(shop, customer)) == (count, slot)
            write_off(shop, slot)
        write_off(shop, kept[1])
        shop.force(count=31, closed=29)
        assert [opened(shop, customer) for _ in range(14)] == [15, 1, *range(3, 15)]
        assert shop.authorize(customer, Kind.PAY, customer.plain(10)).sw == SW.PENDING_FULL


def wear(shop: Shop, work: Callable[[], None]) -> dict[str, int]:
    """Every region that was written, with the writes of its most written cell."""
    memory = shop.chip.memory
    assert memory.wear is not None
    before, cells = dict(memory.wear), Counter[int]()
    work()
    for (address, size), times in memory.wear.items():
        for cell in range(address, address + size):
            cells[cell] += times - before.get((address, size), 0)
    hottest: dict[str, int] = {}
    for cell, times in (+cells).items():
        name = memory.region_at(cell).name.partition("/")[2]
        hottest[name] = max(hottest.get(name, 0), times)
    return hottest


class TestWear:
    def test_no_cell_wears_faster_than_its_share(self) -> None:
        """REQ-REC-7, REQ-REC-8: a purchase writes two sheets of 16, one slot of 16 twice, one log record of 32; and nothing else."""
        shop, customer = Shop(), Customer()

        def work() -> None:
            for _ in range(PURCHASES):
                shop.purchase(customer)

        assert wear(shop, work) == {"pending": 2 * PURCHASES // 16, "shop_sheets": 2 * PURCHASES // 16, "log": PURCHASES // 32}

    def test_what_can_not_be_spread(self) -> None:
        """REQ-REC-8: entries that stay leave the others to wear; with fifteen, the first byte of one slot is written twice a purchase."""
        shop, customer, gone = Shop(), Customer(), Customer(card_id=b"\x02" * 8)
        for _ in range(15):
            opened(shop, gone)

        def work() -> None:
            for _ in range(32):
                shop.purchase(customer)

        assert wear(shop, work) == {"pending": 2 * 32, "shop_sheets": 2 * 32 // 16, "log": 1}

    def test_voids(self) -> None:
        """REQ-REC-7: a sale and its void are two entries, and mark the log record of the sale once more."""
        shop, customer = Shop(), Customer()

        def work() -> None:
            for _ in range(64):
                shop.purchase(customer)
                shop.transact(customer, Kind.VOID_PURCHASE, customer.order())

        assert wear(shop, work) == {"pending": 16, "shop_sheets": 16, "log": 8}
