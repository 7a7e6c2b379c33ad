"""Keys of two versions side by side: cards of the old masters and of the new ones at the same tills and shop cards, and cards whose keys
are renewed while an entry is open (REQ-KEY-5, REQ-SPE-2, REQ-RAT-6)."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardkit import PROGRAMME, Customer, Shop, master_dgis, masters_of
from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, Response, messages
from joren.apdu.gp import GpIns
from joren.apdu.tlv import build_dgi
from joren.host import CardFault, CardLost, CardRefused, Dialog, Fate, Granted, HostError, SoftwareKeys, Till
from joren.host.ceremony import KeyRing
from joren.simulator.memory import PowerCut
from joren.simulator.tear import CACHE, place_of
from support import Counter, Fault, card_number
from vectorfile import rows

TAGS = {KeyRef.SHOP: 0x8012, KeyRef.LOAD: 0x8014}
MODES = pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])
FAULTS = pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER], ids=lambda fault: fault.value)


def card_of(version: int, number: int = 1) -> Customer:
    return Customer(card_id=card_number(number), masters=masters_of(version), version=version)


def shop_of(shop: Iterable[int] = (1, 2), load: Iterable[int] = (1, 2)) -> Shop:
    return Shop(leave_out=frozenset(TAGS.values()), more=master_dgis(shop, load))


def ring(name: str, *versions: int) -> KeyRing:
    return KeyRing(f"{name.upper()} master", *(masters_of(version)[name] for version in versions))


def counter_of(by_card: bool, *versions: int) -> Counter:
    """A counter whose till, or whose shop card, has the masters of some versions."""
    counter = Counter(by_card, shop=shop_of(versions, versions))
    if not by_card:
        give_rings(counter, *versions)
    return counter


def give_rings(counter: Counter, *versions: int) -> None:
    counter.till = Till(SoftwareKeys(PROGRAMME, 7, 1, ring("till", *versions), ring("load", *versions)), counter.journal)


def versions_told(shop: Shop) -> str:
    return shop.send(CLA_ISO, Ins.GET_DATA, 1, 4, ne=10).data.hex(" ", 2).upper()


class TestTheTable:
    @pytest.mark.parametrize("row", rows("key_versions.txt"), ids=" ".join)
    def test_row(self, row: tuple[str, ...]) -> None:
        """REQ-KEY-5, REQ-CMP-1, REQ-CMP-2, REQ-AUT-1: what each acceptor and the customer card answer."""
        who, there, version, named, sw, of_card = row
        versions, customer = [int(one) for one in there.split() if one != "-"], card_of(int(version))
        if named == "-":
            self.by_till(who, versions, customer, sw == "9000")
            return
        kind = Kind.PURCHASE if who == "COMPUTE" else Kind(int(who.split()[1]))
        if kind is Kind.PAY:
            customer.load(10_000)
        shop = shop_of(load=versions) if kind is Kind.LOAD else shop_of(versions)
        command, answer = self.by_card(shop, customer, kind, int(named, 16))
        assert f"{answer.sw:04X}" == sw
        assert shop.select().pending == answer.ok
        assert (f"{customer.chip.process(command).sw:04X}" if command else "-") == of_card

    def by_till(self, who: str, versions: list[int], customer: Customer, served: bool) -> None:
        """TILL and LOAD: the other ring has every version."""
        till, load = (versions, (1, 2, 3)) if who == "TILL" else ((1, 2, 3), versions)
        counter = Counter(False)
        counter.till = Till(SoftwareKeys(PROGRAMME, 7, 1, ring("till", *till), ring("load", *load)), counter.journal)

        def sale(till: Till) -> Dialog[Granted]:
            return till.purchase("S", 100, 1_000) if who == "TILL" else till.load("S", 100, 1_000)

        if served:
            counter.tap(customer, sale)
            counter.audit(customer)
            return
        before = customer.chip.snapshot()
        with pytest.raises(HostError) as refusal:
            counter.tap(customer, sale)
        here = f"this till the {who} master of version {', '.join(map(str, versions))}"
        told = f"customer card C000000000000001 has keys of version {customer.version}, {here}: serve it at a till that has that version"
        assert (str(refusal.value), counter.names()) == (told, ["CUSTOMER SELECT"])
        assert (customer.chip.snapshot(), list(counter.journal.rows())) == (before, [])

    def by_card(self, shop: Shop, customer: Customer, kind: Kind, named: int) -> tuple[Command | None, Response]:
        """What the shop card answers where P2 names a version, and then the command for the customer card."""
        if kind is Kind.PURCHASE:
            order = customer.order()
            answer = shop.chip.process(replace(shop.compute_command(customer, order), p2=named))
            if not answer.ok:
                return None, answer
            made = shop.computed(answer, order)
            return customer.commit_command(kind, made.order, made.points, made.state, made.mac), answer
        info = customer.info
        data = info.card_id + info.counter.to_bytes(2) + info.nonce + customer.plain().encode()[:8]
        answer = shop.send(CLA_JOREN, Ins.AUTHORIZE, kind, named, data, 13)
        if not answer.ok:
            return None, answer
        full = replace(customer.plain(), sequence=int.from_bytes(answer.data[1:5])).encode()
        key_ref = KeyRef.LOAD if kind is Kind.LOAD else KeyRef.SHOP
        return Command(CLA_JOREN, Ins.TRANSACT, kind, key_ref, full + answer.data[5:], 32), answer


Sale = Callable[[Till], Dialog[Granted]]


def sales_of(customer: Customer) -> list[Sale]:
    """One of each kind, with references of this card."""
    name = f"card {customer.version}"
    return [
        lambda till: till.load(f"{name}: load", 100, 50_000),
        lambda till: till.purchase(f"{name}: purchase", 101, 100_000),
        lambda till: till.purchase(f"{name}: pay and earn", 102, 2_500, pay=True),
        lambda till: till.redeem(f"{name}: redeem", 103, 150),
        lambda till: till.pay(f"{name}: pay", 104, 700),
        lambda till: till.purchase(f"{name}: bought", 105, 7_777),
        lambda till: till.void(f"{name}: void of purchase", 106, f"{name}: bought"),
        lambda till: till.load(f"{name}: loaded", 107, 300),
        lambda till: till.void(f"{name}: void of load", 108, f"{name}: loaded"),
    ]


class TestAtATill:
    @MODES
    def test_both_are_served(self, by_card: bool) -> None:
        """REQ-KEY-5: every kind of sale, on cards of both versions in turn."""
        counter, customers = counter_of(by_card, 1, 2), [card_of(1, 1), card_of(2, 2)]
        for pair in zip(*map(sales_of, customers), strict=True):
            for customer, sale in zip(customers, pair, strict=True):
                counter.tap(customer, sale)
        counter.audit(*customers)

    def test_a_shop_card_without_the_version(self) -> None:
        """REQ-CMP-1, REQ-AUT-1: neither card is changed."""
        counter, customer = counter_of(True, 1, 2), card_of(3)
        for sale in (sales_of(customer)[0], sales_of(customer)[1]):
            before = customer.chip.snapshot(), counter.shop.chip.snapshot()
            with pytest.raises(CardRefused) as refusal:
                counter.tap(customer, sale)
            assert refusal.value.sw == SW.REFERENCED_DATA_NOT_FOUND
            assert (customer.chip.snapshot(), counter.shop.chip.snapshot()) == before

    def test_a_key_is_the_ring_of_its_own_version(self) -> None:
        """REQ-KEY-5: of version 2 here, which serves no card of version 1."""
        old, new = card_of(1, 1), card_of(2, 2)
        counter, masters = Counter(False), masters_of(2)
        counter.till = Till(SoftwareKeys(PROGRAMME, 7, 1, masters["till"], masters["load"]), counter.journal)
        for sale in sales_of(new):
            counter.tap(new, sale)
        counter.audit(new)
        for sale in sales_of(old)[:2]:
            with pytest.raises(HostError, match=r"has keys of version 1, this till the (TILL|LOAD) master of version 2"):
                counter.tap(old, sale)


def torn(counter: Counter, customer: Customer, number: int, fault: Fault) -> Sale:
    """The number-th sale, torn at the APDU that may commit; all before it are made."""
    *before, sale = sales_of(customer)[: number + 1]
    counter.tap(customer, lambda till: till.open())
    for one in before:
        counter.tap(customer, one)
    computed = counter.by_card and number in (1, 2, 5)
    at = 4 if computed else 2 + counter.by_card
    with pytest.raises(CardLost):
        counter.tap(customer, sale, {at: fault})
    assert [row.fate for row in counter.journal.unsettled()] == [Fate.PENDING]
    return sale


class TestRenewedInBetween:
    @MODES
    @FAULTS
    @pytest.mark.parametrize("number", range(9), ids=lambda number: f"sale {number}")
    def test_it_is_settled(self, by_card: bool, fault: Fault, number: int) -> None:
        """REQ-RAT-6, REQ-STL-2: the card speaks under its new keys of a sale that was authorized under the old ones."""
        counter, customer = counter_of(by_card, 1, 2), card_of(1)
        sale = torn(counter, customer, number, fault)
        customer.renew(2)
        assert counter.tap(customer, sale).recovered == (fault is Fault.LOST_AFTER)
        counter.audit(customer)

    @MODES
    @FAULTS
    def test_by_masters_that_came_later(self, by_card: bool, fault: Fault) -> None:
        """REQ-SPE-2, REQ-RAT-6: the acceptor too has got the new masters meanwhile, and lost the old ones."""
        counter, customer = counter_of(by_card, 1), card_of(1)
        sale = torn(counter, customer, 0, fault)
        customer.renew(2)
        counter.shop.select()
        counter.shop.give(master_dgis([2], []))
        counter.shop.give(master_dgis([], [2]))
        for tag in TAGS.values():
            counter.shop.give(build_dgi(tag, b"\x01"))
        if not by_card:
            give_rings(counter, 2)
        counter.tap(customer, sale)
        counter.audit(customer)

    @FAULTS
    def test_without_a_master_that_the_card_knows(self, fault: Fault) -> None:
        """REQ-RAT-6: what it says is not believed, and the sale stays open, until the master comes."""
        counter, customer = counter_of(True, 1), card_of(1)
        sale = torn(counter, customer, 0, fault)
        customer.renew(2)
        for _ in range(2):
            with pytest.raises(CardFault):
                counter.tap(customer, sale)
        counter.shop.give(master_dgis([], [2]))
        counter.tap(customer, sale)
        counter.audit(customer)

    @FAULTS
    def test_when_no_load_master_is_left(self, fault: Fault) -> None:
        """REQ-RAT-1: the shop card can check nothing (6A88); the sale is the issuer's to settle, and the till goes on."""
        counter, customer = counter_of(True, 1), card_of(1)
        sale = torn(counter, customer, 0, fault)
        counter.shop.give(build_dgi(0x8014, b"\x01"))
        counter.tap(customer, lambda till: till.purchase("another", 101, 100))
        (row,) = counter.journal.unsettled()
        assert (row.fate, row.slot) == (Fate.UNKNOWN, 0)
        with pytest.raises(HostError, match="can not be settled here"):
            counter.tap(customer, sale)
        counter.restart()
        counter.tap(customer, lambda till: till.purchase("and another", 102, 100))
        assert counter.shop.select().pending == 1
        assert counter.shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, 0).ok

    def test_a_proof_that_waits(self) -> None:
        """REQ-RAT-1, REQ-STL-5: a proof was received and not ratified; then the master was removed. The till opens nevertheless."""
        counter, customer = counter_of(True, 1), card_of(1)
        counter.tap(customer, lambda till: till.open())
        with pytest.raises(CardLost):
            counter.tap(customer, sales_of(customer)[0], {4: Fault.LOST_BEFORE})
        assert [row.fate for row in counter.journal.unsettled()] == [Fate.PROVEN]
        counter.shop.chip.power_on()
        counter.shop.select()
        counter.shop.give(build_dgi(0x8014, b"\x01"))
        counter.tap(customer, lambda till: till.purchase("another", 101, 100))
        assert [row.fate for row in counter.journal.unsettled()] == [Fate.UNKNOWN]


class TestRatify:
    @pytest.mark.parametrize("spoken", [1, 2])
    @pytest.mark.parametrize("there", [(1,), (2,), (1, 2), (2, 1), (2, 3), (3,)], ids=str)
    def test_under_any_master_that_is_there(self, there: tuple[int, ...], spoken: int) -> None:
        """REQ-RAT-6: a proof and an absence of the version that the card has now."""
        for committed in (False, True):
            shop, customer = shop_of((1,), (1,)), card_of(1)
            made = shop.compute(customer, customer.order())
            command = customer.commit_command(Kind.PURCHASE, made.order, made.points, made.state, made.mac)
            if committed:
                assert customer.chip.process(command).ok
            customer.renew(spoken)
            customer.select()
            for version in there:
                shop.give(master_dgis([version], []))
            if there in ((2,), (3,)):
                shop.give(build_dgi(0x8012, b"\x01"))
            data = customer.prove(0, shop.shop, made.order.sequence, shop.challenge(), KeyRef.SHOP).data
            before = shop.chip.snapshot()
            word = data[31:47] + data[55:] if committed else data[1:]
            answer = shop.send(CLA_JOREN, Ins.RATIFY, Ending.COMMITTED if committed else Ending.NOT_COMMITTED, made.slot, word)
            assert answer.sw == (SW.OK if spoken in there else SW.MAC_INCORRECT)
            assert (shop.chip.snapshot() == before) == (not answer.ok)

    def test_the_other_master_does_not_do(self) -> None:
        """REQ-RAT-6: of the entry's key_ref alone; a load is not closed under a SHOP key, in whatever version."""
        shop, customer = shop_of((1, 2), (1, 2)), card_of(2)
        slot = shop.authorize(customer, Kind.LOAD, customer.plain()).data[0]
        challenge = shop.challenge()
        customer.keys[KeyRef.LOAD], customer.keys[KeyRef.SHOP] = customer.keys[KeyRef.SHOP], customer.keys[KeyRef.LOAD]
        message = messages.absence(customer.head, KeyRef.LOAD, 0, shop.shop, 0x01000000, challenge, 0, 0, bytes(8))
        for key in (customer.keys[KeyRef.LOAD], card_of(1).keys[KeyRef.SHOP]):
            assert shop.deny(slot, bytes(10) + key.mac8(message)).sw == SW.MAC_INCORRECT
            challenge = shop.challenge()
            message = messages.absence(customer.head, KeyRef.LOAD, 0, shop.shop, 0x01000000, challenge, 0, 0, bytes(8))
        assert shop.deny(slot, bytes(10) + customer.keys[KeyRef.SHOP].mac8(message)).ok


PLACES: list[tuple[str, str]] = [
    ("8012 1", "0201 0200 0400 0400"),
    ("8012 1, 8012 2", "0201 0202 0400 0400"),
    ("8012 2, 8012 1", "0202 0201 0400 0400"),
    ("8012 1, 8012 2, 8012 3", "0203 0202 0400 0400"),
    ("8012 2, 8012 1, 8012 3", "0202 0203 0400 0400"),
    ("8012 5, 8012 6, 8012 4", "0204 0206 0400 0400"),
    ("8012 5, 8012 6, 8012 6", "0205 0206 0400 0400"),
    ("8012 5, 8012 6, -8012 5", "0200 0206 0400 0400"),
    ("8012 5, 8012 6, -8012 5, 8012 7", "0207 0206 0400 0400"),
    ("8012 5, 8012 6, -8012 6", "0205 0200 0400 0400"),
    ("8012 5, 8014 9, 8014 3", "0205 0200 0409 0403"),
    ("8012 5, 8014 9, -8014 9", "0205 0200 0400 0400"),
    ("8012 255, 8014 255, 8014 1, 8014 254", "02FF 0200 04FF 04FE"),
]
"""DGIs (a minus: the version alone), and the places that GET DATA 0104 tells then."""


def dgi_of(text: str) -> bytes:
    tag, version = text.split()
    if tag.startswith("-"):
        return build_dgi(int(tag[1:], 16), bytes((int(version),)))
    return master_dgis([int(version)], []) if tag == "8012" else master_dgis([], [int(version)])


class TestPlaces:
    @pytest.mark.parametrize(("stored", "places"), PLACES, ids=[stored for stored, _ in PLACES])
    def test_where_a_version_goes(self, stored: str, places: str) -> None:
        """REQ-SPE-2, REQ-SRD-1."""
        shop = Shop(leave_out=frozenset(TAGS.values()), more=b"".join(map(dgi_of, stored.split(", "))))
        assert versions_told(shop) == f"{places} 0501"

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(sorted(TAGS)), st.integers(1, 4), st.booleans()), max_size=12))
    def test_any_order(self, steps: list[tuple[KeyRef, int, bool]]) -> None:
        """REQ-SPE-2: as a second reckoning has it; what is refused changes nothing, and a key that is gone is wiped."""
        shop = Shop(issue=False)
        there: dict[KeyRef, list[int]] = {KeyRef.SHOP: [0, 0], KeyRef.LOAD: [0, 0]}
        for number, (key_ref, version, goes) in enumerate(steps):
            places, name = there[key_ref], key_ref.name.lower()
            value = bytes((version,)) + (b"" if goes else masters_of(version)[name].reveal())
            shop.select()
            before = shop.chip.snapshot()
            answer = shop.send(CLA_JOREN, Ins.STORE_DATA, 0x08, 0, build_dgi(TAGS[key_ref], value))
            last = key_ref is KeyRef.SHOP and places.count(0) == 1
            if goes and (version not in places or last):
                assert (answer.sw, shop.chip.snapshot()) == (SW.WRONG_DATA, before), number
                continue
            assert answer.ok, number
            if goes:
                places[places.index(version)] = 0
            elif version not in places:
                places[places.index(min(places))] = version
            assert shop.cells("key_versions") == bytes((*there[KeyRef.SHOP], *there[KeyRef.LOAD], 0))
            for one in range(1, 5):
                assert (masters_of(one)[name].reveal() in shop.chip.snapshot()) == (one in places)
                if one in places:
                    assert shop.cells(f"key_{name}_master_{places.index(one)}") == masters_of(one)[name].reveal()

    @pytest.mark.parametrize("dgi", ["8012 3", "8014 1", "-8012 1", "-8014 2"])
    def test_torn(self, dgi: str) -> None:
        """REQ-SPE-2, REQ-APDU-8: version and key change together; whoever keeps key objects loads them after the commit."""
        shop = shop_of()
        before, write = shop.chip.snapshot(), 0
        while True:
            write += 1
            shop.chip.memory.cut_after(write)
            try:
                shop.give(dgi_of(dgi))
                break
            except PowerCut:
                shop.chip.power_on()
                if shop.chip.snapshot() != before:
                    assert place_of(shop.chip) == CACHE
                    shop.chip.restore(before)
                    shop.chip.power_on()
                shop.select()
                assert shop.chip.snapshot() == before
        shop.chip.memory.cut_after(0)
        assert write >= 4
        assert (shop.chip.snapshot() == before) == (dgi == "8014 1")

    def test_the_last_shop_master_stays(self) -> None:
        """REQ-SPE-2: the last LOAD master may go."""
        shop = shop_of((4,), (4,))
        before = shop.chip.snapshot()
        assert shop.offer(build_dgi(0x8012, b"\x04")).sw == SW.WRONG_DATA
        assert shop.chip.snapshot() == before
        shop.give(build_dgi(0x8014, b"\x04"))
        assert versions_told(shop) == "0204 0200 0400 0400 0501"


def test_no_instruction_byte_has_two_meanings() -> None:
    """Where cards and card manager have the same byte, it is the same command."""
    ours = {int(ins): ins.name for ins in Ins}
    shared = {ins.name: ours[ins] for ins in GpIns if ins in ours}
    assert len(shared) >= 3
    assert all(theirs == ours_too for theirs, ours_too in shared.items())
