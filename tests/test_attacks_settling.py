"""Attacks on settling, ceilings, PIN and till (docs/spec/attacks.md): evidence forged, withheld and mixed, customers with a reader of their
own, shop cards in wrong hands, copied cards."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

import pytest

from cardkit import LIMITS, PIN, PUK, Answer, Computed, Customer, Shop, pin_block
from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, LifeCycle, Response, messages
from joren.apdu.transaction import Order
from joren.host import CardFault, CardLost, CardRefused, Dialog, Fate, Granted, HostError, Till
from joren.host.holder import shop_card_id
from joren.simulator.chip import Chip
from joren.simulator.memory import PowerCut
from support import Counter, Fault, finish, free_of_pin

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
        """REQ-ATK-12: nor is one taken twice, nor for the next entry of the same slot."""
        at, other, second = Torn(), Customer(card_id=OTHER), Shop(terminal=2)
        theirs = at.shop.compute(other, ASKED)
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
        assert at.shop.compute(at.customer, ASKED).slot == 0
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
        for number in range(25):
            for asked in range(at.customer.info.counter + 1):
                before = at.customer.chip.snapshot()
                told = at.customer.prove(asked, 7, sequence, at.shop.challenge(), KeyRef.SHOP).data
                assert at.customer.chip.snapshot() == before
                assert told[0] != Ending.NOT_COMMITTED or asked != at.counter
                for evidence in (told[1:19], told[1:11] + told[-8:], told[-18:]):
                    at.shop.challenge() if evidence != told[1:19] else None
                    refused(at.shop.chip, ratify(Ending.NOT_COMMITTED, 0, evidence), SW.MAC_INCORRECT)
            asked_next = at.customer.plain(1, hour=200, sequence=100 + number)
            assert at.customer.transact(Kind.PAY if number else Kind.REDEEM, asked_next).ok


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

    @pytest.mark.parametrize(("name", "tries"), [("VERIFY", 3), ("CHANGE", 3), ("RESET", 10)])
    def test_guesses_of_pin_and_puk_with_the_power_cut(self, name: str, tries: int) -> None:
        """REQ-ATK-19: whenever he pulls the card, no guess is for nothing; when all are used not even the right one helps."""
        guesses: dict[str, Callable[[bytes, bytes], Command]] = {
            "VERIFY": lambda pin, _puk: Command(CLA_ISO, Ins.VERIFY, 0, 0x81, pin_block(pin)),
            "CHANGE": lambda pin, _puk: Command(CLA_ISO, Ins.CHANGE_REFERENCE_DATA, 0, 0x81, pin_block(pin) + pin_block(b"0000")),
            "RESET": lambda _pin, puk: Command(CLA_ISO, Ins.RESET_RETRY_COUNTER, 0, 0x81, puk + pin_block(b"0000")),
        }
        wrong, right = guesses[name](b"9999", b"99999999"), guesses[name](PIN, PUK)
        for cut in (1, 2, 3):
            customer = Customer(pin=PIN)
            learned = 0
            while customer.chip.process(wrong.__class__(CLA_ISO, Ins.GET_DATA, 1, 3, ne=2)).data[name == "RESET"]:
                customer.chip.memory.cut_after(cut)
                with suppress(PowerCut):
                    learned += customer.chip.process(wrong).sw & 0xFFF0 == SW.VERIFY_FAILED
                    customer.chip.memory.cut_after(0)
                customer.chip.power_on()
                customer.select()
                if cut == 1:
                    break
            assert learned == (0 if cut == 1 else tries)
            if cut > 1:
                refused(customer.chip, right, SW.AUTHENTICATION_METHOD_BLOCKED)

    @pytest.mark.parametrize("name", ["COMMIT", "REDEEM", "VOID"])
    def test_the_card_is_torn_at_any_moment(self, name: str) -> None:
        """REQ-ATK-20: the memory is that of before or that of after, and the card's word fits it."""
        for cut in range(1, 8):
            at = Torn()
            orders = {
                "COMMIT": commit(at.customer, at.made),
                "REDEEM": at.customer.transact_command(Kind.REDEEM, PLAIN),
                "VOID": at.customer.transact_command(Kind.VOID_PURCHASE, at.customer.order(10_000)),
            }
            chip, order = at.customer.chip, orders[name]
            before, whole = chip.snapshot(), chip.fork()
            chip.memory.cut_after(cut)
            with suppress(PowerCut):
                assert chip.process(order).ok
            happened = chip.snapshot() != before and cut > 4
            whole.power_on()
            chip.power_on()
            at.customer.select()
            assert (chip.snapshot() == before) == (not happened)
            assert at.customer.info.counter == at.counter + happened
            sequence, key_ref = int.from_bytes(order.data[12:16]), KeyRef(order.p2)
            told = at.customer.prove(at.counter, 7, sequence, bytes(8), key_ref)
            assert told.data[0] == (Ending.COMMITTED if happened else Ending.NOT_COMMITTED)
            refused(chip, order, SW.MAC_INCORRECT)
