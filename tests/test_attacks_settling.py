"""Attacks on settling, ceilings, PIN and till (docs/spec/attacks.md): evidence forged, withheld and mixed, customers with a reader of their
own, shop cards in wrong hands, copied cards."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from random import Random

import pytest

from cardkit import LIMITS, PIN, PUK, Answer, Computed, Customer, Shop, pin_block
from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, LifeCycle, Response, messages
from joren.apdu.transaction import Order
from joren.applet.customer import CustomerCard
from joren.host import CardFault, CardLost, Dialog, Fate, Granted, HostError, Till
from joren.host.holder import shop_card_id
from joren.simulator.chip import Chip
from joren.simulator.memory import PowerCut
from support import Counter, Fault, free_of_pin

OTHER = bytes.fromhex("B1B2B3B4B5B6B7B8")
ASKED = Order(200, 50_000, 3, 10, 7, 1)
PLAIN = Order(200, 20, 0, 0, 7, 1)
MODES = pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])


def refused(chip: Chip, command: Command, sw: int) -> None:
    """The status word, no data, no byte changed."""
    before = chip.snapshot()
    assert chip.process(command) == Response(b"", sw), command
    assert chip.snapshot() == before


def commit(customer: Customer, made: Computed) -> Command:
    return customer.commit_command(Kind.PURCHASE, made.order, made.points, made.state, made.mac)


def ratify(ending: Ending, slot: int, data: bytes = b"") -> Command:
    return Command(CLA_JOREN, Ins.RATIFY, ending, slot, data)


def proof(answer: Answer) -> bytes:
    return answer.raw_outcome + answer.proof


@dataclass
class Torn:
    """A shop card with a computed, uncommitted purchase of a customer in slot 0."""

    def __post_init__(self) -> None:
        self.customer, self.shop = Customer(), Shop(points_left=1_000)
        self.customer.load(50_000)
        self.customer.buy(10_000, sequence=2)
        self.customer.select()
        self.made = self.shop.compute(self.customer, ASKED)
        self.counter = self.customer.info.counter

    def absence(self, challenge: bytes) -> bytes:
        """What RATIFY NOT COMMITTED takes, as the customer card gives it for the entry."""
        answer = self.customer.prove(self.counter, 7, self.made.order.sequence, challenge, KeyRef.SHOP)
        assert answer.data[0] == Ending.NOT_COMMITTED
        return answer.data[1:]


class TestEvidence:
    def test_a_proof_of_another_customer_slot_or_shop_card(self) -> None:
        """REQ-ATK-12, REQ-ATK-43: nor is one taken twice, nor for the next entry of the same slot."""
        at, other, second = Torn(), Customer(card_id=OTHER), Shop(terminal=2)
        theirs = at.shop.compute(other, replace(ASKED, amount=1_000))
        answer, foreign = (Answer.of(card.chip.process(commit(card, made))) for card, made in ((at.customer, at.made), (other, theirs)))
        twin = Customer()
        elsewhere = second.compute(twin, ASKED)
        assert (at.made.slot, theirs.slot, elsewhere.slot) == (0, 1, 0)
        for chip, slot, wrong in ((at.shop.chip, 0, foreign), (at.shop.chip, 1, answer), (second.chip, 0, answer)):
            refused(chip, ratify(Ending.COMMITTED, slot, proof(wrong)), SW.MAC_INCORRECT)
        refused(at.shop.chip, ratify(Ending.COMMITTED, 2, proof(answer)), SW.RECORD_NOT_FOUND)
        assert at.shop.ratify(0, answer).ok
        refused(at.shop.chip, ratify(Ending.COMMITTED, 0, proof(answer)), SW.RECORD_NOT_FOUND)
        at.customer.select()
        for _ in range(14):
            assert at.shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, at.shop.authorize(at.customer, Kind.PAY, PLAIN).data[0]).ok
        assert at.shop.compute(at.customer, replace(ASKED, amount=1_000)).slot == 0
        refused(at.shop.chip, ratify(Ending.COMMITTED, 0, proof(answer)), SW.MAC_INCORRECT)
        assert at.shop.totals().transactions == 1

    @pytest.mark.parametrize("kind", [Kind.PURCHASE, Kind.LOAD, Kind.REDEEM], ids=lambda kind: kind.name)
    def test_what_was_withheld_comes_after_not_committed(self, kind: Kind) -> None:
        """REQ-ATK-13: the order is dead on the card before the shop card has its points or money back."""
        at = Torn()
        order = commit(at.customer, at.made)
        if kind != Kind.PURCHASE:
            key_ref = KeyRef.LOAD if kind == Kind.LOAD else KeyRef.SHOP
            data = at.shop.authorize(at.customer, kind, PLAIN).data
            order = at.customer.transact_command(kind, replace(PLAIN, sequence=int.from_bytes(data[1:5])), key_ref)
        absence = at.absence(at.shop.challenge())
        refused(at.customer.chip, order, SW.MAC_INCORRECT)
        assert at.shop.deny(0, absence).ok
        refused(at.customer.chip, order, SW.MAC_INCORRECT)
        at.customer.select()
        refused(at.customer.chip, order, SW.MAC_INCORRECT)
        assert at.shop.select().points_left == 1_000

    def test_not_committed_is_forged_or_shown_again(self) -> None:
        """REQ-ATK-14: every byte changed; without a challenge; for a challenge of before, of another SELECT, or used up."""
        at = Torn()
        for byte in range(18):
            absence = at.absence(at.shop.challenge())
            forged = absence[:byte] + bytes((absence[byte] ^ 1,)) + absence[byte + 1 :]
            refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, forged), SW.MAC_INCORRECT)
        old = at.absence(at.shop.challenge())
        at.shop.challenge()
        refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, old), SW.MAC_INCORRECT)
        refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, old), SW.CONDITIONS_NOT_SATISFIED)
        late = at.absence(at.shop.challenge())
        at.shop.select()
        refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, late), SW.CONDITIONS_NOT_SATISFIED)
        at.shop.challenge()
        refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, late), SW.MAC_INCORRECT)
        right = at.absence(at.shop.challenge())
        assert at.shop.deny(0, right).ok
        at.customer.select()
        again = at.shop.compute(at.customer, ASKED)
        at.shop.challenge()
        refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, again.slot, right), SW.MAC_INCORRECT)

    def test_not_committed_of_something_else(self) -> None:
        """REQ-ATK-15: of another shop card, entry, key, counter or customer card; and UNKNOWN is not NOT COMMITTED."""
        at, other, second = Torn(), Customer(card_id=OTHER), Shop(terminal=2)
        sequence = at.made.order.sequence
        neighbour = second.compute(at.customer, ASKED).order.sequence
        cases: list[tuple[Customer, int, int, int, KeyRef]] = [
            (at.customer, at.counter, 7, neighbour, KeyRef.SHOP),
            (at.customer, at.counter, 7, sequence + 1, KeyRef.SHOP),
            (at.customer, at.counter, 8, sequence, KeyRef.SHOP),
            (at.customer, at.counter, 7, sequence, KeyRef.TILL),
            (at.customer, at.counter, 7, sequence, KeyRef.LOAD),
            (at.customer, at.counter - 1, 7, sequence, KeyRef.SHOP),
            (other, 0, 7, sequence, KeyRef.SHOP),
        ]
        for card, asked, shop, named, key_ref in cases:
            told = card.prove(asked, shop, named, at.shop.challenge(), key_ref).data
            assert told[0] == Ending.NOT_COMMITTED
            refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, told[1:]), SW.MAC_INCORRECT)
        told = at.customer.prove(at.counter, 7, sequence, second.challenge(), KeyRef.SHOP).data
        at.shop.challenge()
        refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, told[1:]), SW.MAC_INCORRECT)
        at.customer.select()
        for number in range(25):
            at.customer.buy(0, sequence=10 + number)
        told = at.customer.prove(at.counter, 7, sequence, at.shop.challenge(), KeyRef.SHOP).data
        assert told[0] == Ending.UNKNOWN
        refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, told[1:]), SW.MAC_INCORRECT)
        assert at.shop.select().points_left < 1_000

    def test_what_was_committed_is_denied(self) -> None:
        """REQ-ATK-16: after 0 to 24 more transactions, a void among them, no question gets an absence that fits the entry."""
        at = Torn()
        sequence = at.made.order.sequence
        assert at.customer.chip.process(commit(at.customer, at.made)).ok
        at.customer.select()
        refused(at.customer.chip, prove(at.customer.info.counter + 1, sequence), SW.WRONG_DATA)
        cuts: tuple[Callable[[bytes], bytes], ...] = (lambda told: told[1:19], lambda told: told[1:11] + told[-8:], lambda told: told[-18:])
        for number in range(25):
            for asked, cut in product(range(at.customer.info.counter + 1), cuts):
                before = at.customer.chip.snapshot()
                told = at.customer.prove(asked, 7, sequence, at.shop.challenge(), KeyRef.SHOP).data
                assert at.customer.chip.snapshot() == before
                assert told[0] != Ending.NOT_COMMITTED or asked != at.counter
                refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, cut(told)), SW.MAC_INCORRECT)
            spent = at.customer.plain(1, hour=200, sequence=100 + number)
            assert at.customer.transact(Kind.PAY if number else Kind.REDEEM, spent).ok


def prove(asked: int, sequence: int, key_ref: KeyRef = KeyRef.SHOP) -> Command:
    data = asked.to_bytes(2) + (7).to_bytes(4) + sequence.to_bytes(4) + bytes(8)
    return Command(CLA_JOREN, Ins.PROVE, 0, key_ref, data, 63)


class TestACustomerWithAReader:
    def test_every_command_without_keys(self) -> None:
        """REQ-ATK-18: with guessed MACs, PINs left alone: what answers changes no byte either."""
        customer = Customer(pin=PIN)
        customer.load(1_000)
        customer.buy(100_000, sequence=2)
        chance = Random(18)
        guarded: list[tuple[int, int, int, int, int, int]] = [
            (CLA_JOREN, Ins.TRANSACT, kind, key_ref, 24, SW.MAC_INCORRECT)
            for kind in Kind
            for key_ref in ((4,) if kind & 0x7F == Kind.LOAD else (1,) if kind in (1, 2) else (1, 2))
        ]
        guarded += [(CLA_JOREN, Ins.COMMIT, kind, 2, 58, SW.MAC_INCORRECT) for kind in (1, 2)]
        guarded += [(CLA_JOREN, Ins.SET_STATUS, 0x40, state, 8, SW.MAC_INCORRECT) for state in (0x83, 0xFF)]
        guarded += [(CLA_JOREN, Ins.STORE_DATA, p1, 0, 30, SW.CONDITIONS_NOT_SATISFIED) for p1 in (0x08, 0x88)]
        guarded += [(CLA_ISO, Ins.READ_RECORD, 1, 0x0C, 0, SW.SECURITY_STATUS_NOT_SATISFIED)]
        guarded += [(CLA_JOREN, Ins.GET_RESULT, 1, 0, 2, SW.SECURITY_STATUS_NOT_SATISFIED)]
        for _ in range(8):
            for cla, ins, p1, p2, length, sw in guarded:
                refused(customer.chip, Command(cla, ins, p1, p2, chance.randbytes(length), 256), sw)
        before = customer.chip.snapshot()
        for ref in (1, 2, 4):
            for asked in range(3):
                assert customer.chip.process(prove(asked, chance.randrange(1 << 32), KeyRef(ref))).ok
        for cla, ins, p1, p2, length in (
            (CLA_JOREN, Ins.GET_STATE, 0, 0, 0), (CLA_JOREN, Ins.GET_RESULT, 0, 0, 2),
            *((CLA_ISO, Ins.GET_DATA, 1, tag, 0) for tag in (1, 3, 4)),
        ):  # fmt: skip
            assert customer.send(cla, ins, p1, p2, chance.randbytes(length), 256).ok
        assert customer.chip.snapshot() == before

    @pytest.mark.parametrize(("p2", "ne"), [(0x0C, None), (0x0C, 1), (0x0C, 25), (0, 26), (0, None)])
    def test_a_nonce_that_is_known_beforehand(self, p2: int, ne: int | None) -> None:
        """REQ-ATK-38: after a refused SELECT neither the nonce of before counts, nor zeros, and no two are the same."""
        customer = Customer()
        for nonce in (customer.info.nonce, bytes(8)):
            customer.info = replace(customer.info, nonce=nonce)
            order = customer.transact_command(Kind.LOAD, PLAIN, KeyRef.LOAD)
            assert customer.send(CLA_ISO, Ins.SELECT, 4, p2, customer.aid, ne).sw == SW.WRONG_LE | (26 if p2 else 41)
            refused(customer.chip, order, SW.MAC_INCORRECT)
        states = set()
        for _ in range(3):
            assert not customer.send(CLA_ISO, Ins.SELECT, 4, p2, customer.aid, ne).ok
            states.add(customer.get_state().data)
        assert len(states) == 3

    @pytest.mark.parametrize(("name", "tries"), [("VERIFY", 3), ("CHANGE", 3), ("RESET", 10)])
    def test_guesses_of_pin_and_puk_with_the_power_cut(self, name: str, tries: int) -> None:
        """REQ-ATK-19: pulled before the try is counted, the card has said nothing; when all are used not even the right guess helps."""
        wrong, right = (guess(name, pin, puk) for pin, puk in ((b"9999", b"99999999"), (PIN, PUK)))
        customer = Customer(pin=PIN)

        def left() -> int:
            return customer.send(CLA_ISO, Ins.GET_DATA, 1, 3, ne=2).data[name == "RESET"]

        for command, cut, cost in ((wrong, 1, 0), (right, 1, 0), (right, 2, 1)):
            before = left()
            customer.chip.memory.cut_after(cut)
            with pytest.raises(PowerCut):
                customer.chip.process(command)
            customer.chip.power_on()
            customer.select()
            assert left() == before - cost
        answers = [customer.chip.process(wrong).sw for _ in range(tries)]
        assert answers == [SW.VERIFY_FAILED | x for x in range(tries - 2, -1, -1)] + [SW.AUTHENTICATION_METHOD_BLOCKED]
        refused(customer.chip, right, SW.AUTHENTICATION_METHOD_BLOCKED)

    @pytest.mark.parametrize("name", ["COMMIT", "REDEEM", "VOID"])
    def test_the_card_is_torn_at_any_moment(self, name: str) -> None:
        """REQ-ATK-20: the memory is that of before or that of after, the card's word fits it, and the order is dead."""
        at, order = torn_order(name)
        before = at.customer.chip.snapshot()
        assert at.customer.chip.process(order).ok
        after = at.customer.chip.snapshot()
        found = []
        for cut in range(1, 7):
            at, order = torn_order(name)
            at.customer.chip.memory.cut_after(cut)
            with suppress(PowerCut):
                assert at.customer.chip.process(order).ok
            at.customer.chip.power_on()
            assert at.customer.select().counter == at.counter + (at.customer.chip.snapshot() == after)
            told = at.customer.prove(at.counter, 7, int.from_bytes(order.data[12:16]), bytes(8), KeyRef(order.p2))
            found.append(at.customer.chip.snapshot())
            assert told.data[0] == (Ending.COMMITTED if found[-1] == after else Ending.NOT_COMMITTED)
            refused(at.customer.chip, order, SW.MAC_INCORRECT)
        assert found == [before] * 4 + [after] * 2

    def test_a_verified_pin_is_carried_over(self) -> None:
        """REQ-ATK-23: to the next session, past power, past its one transaction; a PIN of before does not count after a wrong one."""
        customer = Customer(limits=replace(LIMITS, redeem_pin_from=0), pin=PIN)
        customer.buy(100_000)
        customer.select()

        def check() -> None:
            refused(customer.chip, customer.transact_command(Kind.REDEEM, PLAIN), SW.SECURITY_STATUS_NOT_SATISFIED)
            refused(customer.chip, Command(CLA_ISO, Ins.READ_RECORD, 1, 0x0C, ne=44), SW.SECURITY_STATUS_NOT_SATISFIED)

        assert customer.verify(PIN).ok
        assert customer.transact(Kind.REDEEM, PLAIN).ok
        check()
        assert customer.verify(PIN).ok
        customer.select()
        check()
        assert customer.verify(PIN).ok
        customer.chip.power_off()
        customer.chip.power_on()
        customer.select()
        check()
        assert customer.verify(PIN).ok
        assert customer.verify(b"0000").sw == SW.VERIFY_FAILED | 2
        check()
        assert customer.verify(PIN).ok
        other = Customer(card_id=OTHER, issue=False).aid
        customer.chip.install(CustomerCard, other[:-1] + b"\x02")
        assert customer.send(CLA_ISO, Ins.SELECT, 4, 0x0C, other[:-1] + b"\x02", 26).ok
        customer.select()
        check()


def guess(name: str, pin: bytes, puk: bytes) -> Command:
    """A guess at the PIN, by VERIFY or CHANGE REFERENCE DATA, or at the PUK."""
    if name == "VERIFY":
        return Command(CLA_ISO, Ins.VERIFY, 0, 0x81, pin_block(pin))
    if name == "CHANGE":
        return Command(CLA_ISO, Ins.CHANGE_REFERENCE_DATA, 0, 0x81, pin_block(pin) + pin_block(b"0000"))
    return Command(CLA_ISO, Ins.RESET_RETRY_COUNTER, 0, 0x81, puk + pin_block(b"0000"))


def torn_order(name: str) -> tuple[Torn, Command]:
    """An order that a customer card would carry out."""
    at = Torn()
    if name == "COMMIT":
        return at, commit(at.customer, at.made)
    if name == "REDEEM":
        return at, at.customer.transact_command(Kind.REDEEM, PLAIN)
    return at, at.customer.transact_command(Kind.VOID_PURCHASE, at.customer.order(10_000))


def points_of(customer: Customer) -> int:
    """The points on a card without a PIN, both buckets."""
    data = customer.send(CLA_JOREN, Ins.GET_RESULT, 1, 0, bytes(2), 31).data
    return int.from_bytes(data[19:23]) + int.from_bytes(data[23:27])


class TestAShopCardInWrongHands:
    @pytest.mark.parametrize("seed", range(4))
    def test_it_never_grants_more_than_its_ceiling(self, seed: int) -> None:
        """REQ-ATK-25: whatever the terminal computes, withholds, ratifies, writes off, voids or has proven absent, with intact cards: their
        points and what is left are together never more than the ceiling."""
        ceiling, chance = 5_000, Random(seed)
        shop = Shop(points_left=ceiling)
        cards = [Customer(card_id=bytes((number,)) * 8) for number in range(1, 4)]
        held: list[tuple[Customer, Computed]] = []
        proven: list[tuple[int, Answer]] = []
        refusals = set()
        for _ in range(300):
            card, act = chance.choice(cards), chance.choice(("compute", "compute", "commit", "ratify", "deny", "write off", "void"))
            if act == "compute":
                asked = card.order(chance.choice((0, 40_000, 200_000)), factor=chance.choice((10, 30)))
                answer = shop.chip.process(shop.compute_command(card, asked))
                refusals.add(answer.sw)
                if answer.ok:
                    held.append((card, shop.computed(answer, asked)))
            elif act == "void":
                with suppress(AssertionError):
                    shop.transact(card, Kind.VOID_PURCHASE, card.order(chance.choice((0, 40_000, 200_000)), factor=chance.choice((10, 30))))
            elif act == "write off":
                shop.chip.process(ratify(Ending.UNKNOWN, chance.randrange(16)))
            elif act == "ratify" and proven:
                slot, answered = chance.choice(proven)
                shop.ratify(slot, answered)
            elif held:
                card, made = chance.choice(held)
                if act == "commit":
                    answer = card.chip.process(commit(card, made))
                    if answer.ok:
                        proven.append((made.slot, Answer.of(answer)))
                else:
                    counter = int.from_bytes(shop.send(CLA_ISO, Ins.READ_RECORD, made.slot + 1, 0x14, ne=32).data[2:4])
                    told = card.prove(counter, 7, made.order.sequence, shop.challenge(), KeyRef.SHOP).data
                    shop.deny(made.slot, told[1:19])
                card.select()
            assert sum(map(points_of, cards)) + shop.select().points_left <= ceiling
        assert refusals >= {SW.OK, SW.CEILING_REACHED}

    def test_writing_off_burns_the_ceiling(self) -> None:
        """REQ-ATK-26: a terminal that writes off every entry, committed or not, runs dry; what it wrote off is in the totals for good."""
        shop, cards = Shop(points_left=2_500, money_left=250), [Customer(card_id=bytes((number,)) * 8) for number in range(1, 6)]
        for number, card in enumerate(cards):
            made = shop.compute(card, card.order(50_000))
            assert number % 2 == 0 or card.chip.process(commit(card, made)).ok
            assert shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, made.slot).ok
        while (answer := shop.authorize(cards[0], Kind.LOAD, replace(PLAIN, amount=100))).ok:
            assert shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, answer.data[0]).ok
        assert answer.sw == SW.CEILING_REACHED
        refused(shop.chip, shop.compute_command(cards[0], cards[0].order(100)), SW.CEILING_REACHED)
        info, totals = shop.select(), shop.totals()
        assert (info.points_left, info.money_left_minor, info.pending) == (0, 50, 0)
        assert (totals.points_written_off, totals.money_written_off_minor, totals.transactions) == (2_500, 200, 0)
        assert list(map(points_of, cards)) == [0, 500, 0, 500, 0]

    def test_it_is_blocked(self) -> None:
        """REQ-ATK-27: it computes and authorizes no more; what was open can still be closed, and the same unblocking is for the issuer."""
        at = Torn()
        mac = at.shop.admin.mac8(messages.admin(at.shop.head, 0, at.shop.challenge(), LifeCycle.BLOCKED))
        assert at.shop.send(CLA_JOREN, Ins.SET_STATUS, 0x40, LifeCycle.BLOCKED, mac).ok
        refused(at.shop.chip, at.shop.compute_command(at.customer, ASKED), SW.CONDITIONS_NOT_SATISFIED)
        info = at.customer.info
        asked = info.card_id + info.counter.to_bytes(2) + info.nonce + PLAIN.encode()[:8]
        for kind in (Kind.REDEEM, Kind.LOAD, Kind.PAY, Kind.VOID_PURCHASE, Kind.VOID_LOAD):
            refused(at.shop.chip, Command(CLA_JOREN, Ins.AUTHORIZE, kind, 0, asked, 13), SW.CONDITIONS_NOT_SATISFIED)
        at.shop.challenge()
        refused(at.shop.chip, Command(CLA_JOREN, Ins.SET_STATUS, 0x40, LifeCycle.ISSUED, mac), SW.MAC_INCORRECT)
        assert at.shop.ratify(0, Answer.of(at.customer.chip.process(commit(at.customer, at.made)))).ok

    def test_it_is_on_the_stop_list(self) -> None:
        """REQ-ATK-28: an honest till sells nothing with it, nor serves a customer card on the list."""
        customer = free_of_pin()
        memory = customer.chip.snapshot()
        for stopped in (shop_card_id(7, 1), customer.card_id):
            counter = Counter(by_card=True, stop_list=frozenset({stopped}))
            shop = counter.shop.chip.snapshot()
            with pytest.raises(HostError, match="stop list"):
                counter.tap(customer, buys("S"))
            assert set(counter.names()) <= {"SHOP SELECT", "CUSTOMER SELECT"}
            assert (customer.chip.snapshot(), counter.shop.chip.snapshot(), counter.journal.unsettled()) == (memory, shop, [])


class TestACopiedCard:
    @pytest.mark.parametrize("name", ["COMMIT", "TRANSACT"])
    def test_an_order_of_the_other_history(self, name: str) -> None:
        """REQ-ATK-29: the card put back asks again for what it had: no order, state or commit of before fits."""
        at = Torn()
        order = commit(at.customer, at.made) if name == "COMMIT" else at.customer.transact_command(Kind.LOAD, PLAIN, KeyRef.LOAD)
        copy = at.customer.chip.snapshot()
        assert at.customer.chip.process(order).ok
        for _ in range(3):
            at.customer.chip.restore(copy)
            assert at.customer.select().counter == at.counter
            refused(at.customer.chip, order, SW.MAC_INCORRECT)

    def test_two_receipts_of_one_counter(self) -> None:
        """REQ-ATK-30: money spent twice from one purse leaves two right receipts with the same card and counter: the issuer's proof."""
        customer = Customer()
        customer.load(1_000)
        copy = customer.chip.snapshot()
        records = []
        for shop, sequence in ((7, 8), (9, 3)):
            customer.chip.restore(copy)
            customer.select()
            assert customer.transact(Kind.PAY, customer.plain(1_000, shop=shop, sequence=sequence)).ok
            told = customer.send(CLA_ISO, Ins.READ_RECORD, 1, 0x0C, ne=44).data
            customer.keys[KeyRef.RECEIPT].verify8(messages.receipt(customer.head, told[:36]), told[36:])
            records.append(told[:36])
        assert records[0][2:4] == records[1][2:4]
        assert records[0] != records[1]

    @MODES
    def test_a_copy_without_a_torn_sale(self, by_card: bool) -> None:
        """REQ-ATK-31: what the till has seen proven is enough."""
        counter, customer = Counter(by_card), free_of_pin()
        blank = customer.chip.snapshot()
        counter.tap(customer, buys("first"))
        customer.chip.restore(blank)
        before = counter.shop.chip.snapshot()
        for dialog in (buys("second"), lambda till: till.settle()):
            with pytest.raises(CardFault, match="a counter of at least 1 expected, 0: a copy"):
                counter.tap(customer, dialog)
        assert (customer.chip.snapshot(), counter.shop.chip.snapshot()) == (blank, before)

    @MODES
    def test_a_counter_lower_than_journalled(self, by_card: bool) -> None:
        """REQ-ATK-31: the till that has a sale open with the card sees that it was put back, and takes no word of it."""
        counter, customer = Counter(by_card), free_of_pin()
        blank = customer.chip.snapshot()
        counter.tap(customer, buys("first"))
        with pytest.raises(CardLost):
            counter.tap(customer, lambda till: till.load("second", 200, 500), {3 if by_card else 2: Fault.LOST_AFTER})
        customer.chip.restore(blank)
        for sale in (buys("third"), lambda till: till.load("second", 200, 500)):
            with pytest.raises(CardFault, match="set back"):
                counter.tap(customer, sale)
            assert customer.chip.snapshot() == blank
        assert [row.fate for row in counter.journal.unsettled()] == [Fate.PENDING]


Sale = Callable[[Till], Dialog[Granted]]


def buys(reference: str) -> Sale:
    return lambda till: till.purchase(reference, 200, 20_000)
