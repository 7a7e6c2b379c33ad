"""Attacks on the cards (docs/spec/attacks.md): a terminal that lies, replays and mixes, keys in wrong hands. Every attack is tried on the
card models in bare APDUs; what is refused changes no byte."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from cardkit import LIMITS, MASTERS, PIN, PROGRAMME, PUK, Answer, Computed, Customer, Shop
from joren.apdu import AID_CUSTOMER, CLA_ISO, CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, LifeCycle, MacMismatch, Response, aid
from joren.apdu import messages as m
from joren.apdu.tlv import build_dgi
from joren.apdu.transaction import Order, Transaction
from joren.applet.customer import CustomerCard
from joren.simulator.chip import Chip

OTHER = bytes.fromhex("B1B2B3B4B5B6B7B8")
CHALLENGE = bytes(range(8))
ASKED = Order(200, 50_000, 3, 10, 7, 1)
PLAIN = Order(200, 20, 0, 0, 7, 1)


TRANSACT_KEYS = (
    dict.fromkeys(Kind, (1, 2)) | dict.fromkeys((Kind.PURCHASE, Kind.PAY_AND_EARN), (1,)) | dict.fromkeys((Kind.LOAD, Kind.VOID_LOAD), (4,))
)
"""The keys of each kind, as the table of docs/spec/customer.md has them."""


def refused(chip: Chip, command: Command, sw: int) -> None:
    """The status word, no data, no byte changed."""
    before = chip.snapshot()
    assert chip.process(command) == Response(b"", sw), command
    assert chip.snapshot() == before


def served() -> Customer:
    """A customer card with a purse of 50,000 and 100 points, last used at hour 100, freshly selected."""
    customer = Customer()
    customer.load(50_000)
    customer.buy(10_000, sequence=2)
    customer.select()
    return customer


def commit(customer: Customer, made: Computed, kind: int = Kind.PURCHASE) -> Command:
    return customer.commit_command(kind, made.order, made.points, made.state, made.mac)


def authorized(shop: Shop, customer: Customer, kind: int, order: Order) -> tuple[int, Command]:
    """The slot, and TRANSACT as a shop card authorized it."""
    response = shop.authorize(customer, kind, order)
    assert response.ok, response.status
    full = replace(order, shop=shop.shop, sequence=int.from_bytes(response.data[1:5]))
    key_ref = KeyRef.LOAD if kind in (Kind.LOAD, Kind.VOID_LOAD) else KeyRef.SHOP
    return response.data[0], Command(CLA_JOREN, Ins.TRANSACT, kind, key_ref, full.encode() + response.data[5:], 32)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


class TestALyingTerminal:
    @pytest.mark.parametrize("computed", [True, False], ids=["COMMIT", "TRANSACT"])
    def test_it_alters_what_was_authorized(self, computed: bool) -> None:
        """REQ-ATK-01: every byte of order (hour, amount, category, factor, shop, sequence), points, state and MAC."""
        customer, shop = served(), Shop()
        right = commit(customer, shop.compute(customer, ASKED)) if computed else authorized(shop, customer, Kind.REDEEM, PLAIN)[1]
        for at in range(len(right.data)):
            refused(customer.chip, replace(right, data=flipped(right.data, at)), SW.MAC_INCORRECT)
        assert customer.chip.process(right).ok

    @pytest.mark.parametrize(
        ("field", "value", "sw"),
        [
            ("factor_tenths", LIMITS.factor_max_tenths + 1, SW.FACTOR_ABOVE_LIMIT),
            ("factor_tenths", 255, SW.FACTOR_ABOVE_LIMIT),
            ("factor_tenths", 0, SW.FACTOR_ABOVE_LIMIT),
            ("category", 8, SW.CATEGORY_UNKNOWN),
            ("category", 16, SW.CATEGORY_UNKNOWN),
        ],
    )
    def test_it_invents_campaigns_and_categories(self, field: str, value: int, sw: SW) -> None:
        """REQ-ATK-02: with a shop card, with the till key, and with a shop card whose own limits are wider."""
        customer, shop, lax = served(), Shop(), Shop(limits=replace(LIMITS, factor_max_tenths=255, categories=0xFFFF))
        asked = replace(ASKED, **{field: value})
        refused(shop.chip, shop.compute_command(customer, asked), sw)
        refused(customer.chip, customer.transact_command(Kind.PURCHASE, asked), sw)
        if value not in (0, 16):
            refused(customer.chip, commit(customer, lax.compute(customer, asked)), sw)

    def test_it_names_an_enormous_amount(self) -> None:
        """REQ-ATK-03: one order grants at most the customer card's points_cap; through a shop card at most what its ceiling still has."""
        customer, poor, rich = served(), Shop(points_left=65_534), Shop(points_left=65_535, terminal=2)
        asked = replace(ASKED, amount=0xFFFFFFFF, factor_tenths=30)
        refused(poor.chip, poor.compute_command(customer, asked), SW.CEILING_REACHED)
        made = rich.compute(customer, asked)
        assert (made.points, rich.select().points_left) == (65_535, 0)
        assert Answer.of(customer.transact(Kind.PURCHASE, asked)).outcome.points == customer.rules.points_cap == 65_535
        capped = Customer(rules=replace(customer.rules, points_cap=100))
        refused(capped.chip, commit(capped, Shop().compute(capped, ASKED)), SW.WRONG_DATA)

    @pytest.mark.parametrize("kind", [Kind.PURCHASE, Kind.PAY_AND_EARN, Kind.REDEEM, Kind.PAY, Kind.LOAD], ids=lambda kind: kind.name)
    def test_it_lies_about_the_hour(self, kind: Kind) -> None:
        """REQ-ATK-04: jump_max_hours in one step and no more, whoever authorized it; back takes nothing from card or points."""
        customer, shop = served(), Shop()
        earns = kind in (Kind.PURCHASE, Kind.PAY_AND_EARN)
        far = replace(ASKED if earns else PLAIN, hour=100 + customer.rules.jump_max_hours + 1)
        if earns:
            refused(shop.chip, shop.compute_command(customer, far, kind), SW.TIME_JUMP)
            refused(customer.chip, customer.transact_command(kind, far), SW.TIME_JUMP)
        else:
            refused(customer.chip, authorized(shop, customer, kind, far)[1], SW.TIME_JUMP)
        before = customer.send(CLA_JOREN, Ins.GET_RESULT, 1, 0, (0).to_bytes(2), 31).data
        key_ref = KeyRef.LOAD if kind == Kind.LOAD else KeyRef.TILL
        assert customer.transact(kind, replace(far, hour=0, amount=1), key_ref).ok
        after = customer.send(CLA_JOREN, Ins.GET_RESULT, 1, 0, (0).to_bytes(2), 31).data
        aged = [int.from_bytes(after[at : at + 4]) >= int.from_bytes(before[at : at + 4]) for at in range(3, 19, 4)]
        assert aged == [True] * 4
        assert int.from_bytes(after[19:27]) >= int.from_bytes(before[19:27]) - (kind == Kind.REDEEM)

    def test_it_sends_the_order_as_another_kind_or_under_another_key(self) -> None:
        """REQ-ATK-05: an order of each kind and key, sent as every other kind and key."""
        customer = served()
        pairs = [(kind, key_ref) for kind in Kind for key_ref in KeyRef]
        for kind, key_ref in pairs:
            order = customer.transact_command(kind, PLAIN, key_ref)
            for other, other_ref in pairs:
                if (other, other_ref) != (kind, key_ref):
                    sw = SW.MAC_INCORRECT if other_ref in TRANSACT_KEYS[other] else SW.INCORRECT_P1_P2
                    refused(customer.chip, replace(order, p1=other, p2=other_ref), sw)
        made = Shop().compute(customer, ASKED)
        refused(customer.chip, commit(customer, made, Kind.PAY_AND_EARN), SW.MAC_INCORRECT)

    def test_it_uses_a_mode_the_rules_do_not_allow(self) -> None:
        """REQ-ATK-06: even with the right key and MAC."""
        shop = Shop()
        two, one = (Customer(limits=replace(LIMITS, modes=modes)) for modes in (2, 1))
        for kind in (Kind.PURCHASE, Kind.PAY_AND_EARN, Kind.REDEEM, Kind.PAY, Kind.VOID_PURCHASE):
            refused(two.chip, two.transact_command(kind, ASKED), SW.MODE_NOT_ALLOWED)
        both = Customer()
        made = shop.compute(both, ASKED)
        message = m.commit(one.head, 0, one.info.nonce, 1, 2, made.order.encode(), 1, made.points, made.state)
        forged = one.commit_command(Kind.PURCHASE, made.order, made.points, made.state, one.keys[KeyRef.SHOP].mac8(message))
        refused(one.chip, forged, SW.MODE_NOT_ALLOWED)
        refused(one.chip, Command(CLA_JOREN, Ins.GET_STATE, 0, 0, ne=40), SW.MODE_NOT_ALLOWED)
        for kind in (Kind.REDEEM, Kind.PAY, Kind.VOID_REDEEM):
            refused(one.chip, authorized(shop, one, kind, PLAIN)[1], SW.MODE_NOT_ALLOWED)

    @pytest.mark.parametrize("pin", [PIN, None], ids=["with a PIN", "without"])
    def test_it_leaves_the_pin_out(self, pin: bytes | None) -> None:
        """REQ-ATK-07: from the threshold on, in both modes; one verification pays for one transaction."""
        customer, shop = Customer(limits=replace(LIMITS, redeem_pin_from=50, pay_pin_from_minor=0), pin=pin), Shop()
        customer.load(1_000)
        customer.buy(100_000, sequence=2)
        asked = {Kind.REDEEM: replace(PLAIN, amount=50), Kind.PAY: PLAIN, Kind.PAY_AND_EARN: ASKED}
        for kind, order in asked.items():
            refused(customer.chip, customer.transact_command(kind, order), SW.SECURITY_STATUS_NOT_SATISFIED)
        for kind in (Kind.REDEEM, Kind.PAY):
            refused(customer.chip, authorized(shop, customer, kind, asked[kind])[1], SW.SECURITY_STATUS_NOT_SATISFIED)
        made = shop.compute(customer, replace(ASKED, amount=20), Kind.PAY_AND_EARN)
        refused(customer.chip, commit(customer, made, Kind.PAY_AND_EARN), SW.SECURITY_STATUS_NOT_SATISFIED)
        if pin is not None:
            assert customer.verify(pin).ok
            assert customer.transact(Kind.REDEEM, asked[Kind.REDEEM]).ok
            refused(customer.chip, customer.transact_command(Kind.REDEEM, asked[Kind.REDEEM]), SW.SECURITY_STATUS_NOT_SATISFIED)

    def test_it_voids_what_is_not_its_own_or_not_the_last(self) -> None:
        """REQ-ATK-08: through shop cards: another shop's, another amount, category or kind, a void, one before the last, a till's."""
        customer, shop, neighbour = served(), Shop(), Shop(shop=8)
        shop.purchase(customer, 5_000, hour=200)
        right = customer.order(5_000)
        wrong = [(neighbour, Kind.VOID_PURCHASE, right)] + [
            (shop, Kind.VOID_PURCHASE, replace(right, **{field: getattr(right, field) + 1}))
            for field in ("amount", "category", "factor_tenths")
        ]
        wrong += [(shop, kind, right) for kind in (Kind.VOID_PAY_AND_EARN, Kind.VOID_REDEEM, Kind.VOID_LOAD, Kind.VOID_PAY)]
        for voider, kind, order in wrong:
            refused(customer.chip, authorized(voider, customer, kind, order)[1], SW.NOTHING_TO_VOID)
        refused(customer.chip, customer.transact_command(Kind.VOID_PURCHASE, right, KeyRef.TILL), SW.NOTHING_TO_VOID)
        shop = Shop(terminal=2)
        shop.transact(customer, Kind.VOID_PURCHASE, right)
        refused(customer.chip, authorized(shop, customer, Kind.VOID_PURCHASE, right)[1], SW.NOTHING_TO_VOID)
        before_last = replace(right, amount=10_000)
        refused(customer.chip, customer.transact_command(Kind.VOID_PURCHASE, before_last), SW.NOTHING_TO_VOID)


class TestReplay:
    @pytest.mark.parametrize("by_card", [False, True], ids=["TRANSACT", "COMMIT"])
    def test_an_order_is_sent_again(self, by_card: bool) -> None:
        """REQ-ATK-09: at once, after another SELECT, after power was lost, and on another card."""
        customer, shop, other = served(), Shop(), Customer(card_id=OTHER)
        order = commit(customer, shop.compute(customer, ASKED)) if by_card else customer.transact_command(Kind.PURCHASE, ASKED)
        refused(other.chip, order, SW.MAC_INCORRECT)
        assert customer.chip.process(order).ok
        refused(customer.chip, order, SW.MAC_INCORRECT)
        customer.select()
        refused(customer.chip, order, SW.MAC_INCORRECT)
        customer.chip.power_off()
        customer.chip.power_on()
        refused(customer.chip, order, SW.CONDITIONS_NOT_SATISFIED)
        customer.select()
        refused(customer.chip, order, SW.MAC_INCORRECT)

    def test_a_commit_of_another_purchase_card_counter_or_nonce(self) -> None:
        """REQ-ATK-10."""
        customer, shop, other = served(), Shop(), Customer(card_id=OTHER)
        small, large = shop.compute(customer, ASKED), shop.compute(customer, replace(ASKED, amount=500_000))
        for one, two in ((small, large), (large, small)):
            for mixed in (replace(one, mac=two.mac), replace(one, order=two.order), replace(one, points=two.points, state=two.state)):
                refused(customer.chip, commit(customer, mixed), SW.MAC_INCORRECT)
        refused(other.chip, commit(customer, small), SW.MAC_INCORRECT)
        assert customer.transact(Kind.REDEEM, PLAIN).ok
        refused(customer.chip, commit(customer, small), SW.MAC_INCORRECT)
        fresh = shop.compute(customer, ASKED)
        customer.select()
        refused(customer.chip, commit(customer, fresh), SW.MAC_INCORRECT)

    def test_a_state_of_another_card_or_of_before(self) -> None:
        """REQ-ATK-11: COMPUTE takes no state with another card's id, another counter or nonce; where a whole old session is shown to it,
        the COMMIT fits no session of the card, and the points come back with the card's word."""
        customer, shop, other = served(), Shop(points_left=1_000), Customer(card_id=OTHER)
        then, state = customer.info, customer.get_state().data
        assert customer.transact(Kind.VOID_PURCHASE, customer.order(10_000)).ok
        customer.select()
        refused(shop.chip, shop.compute_command(other, ASKED, state=state), SW.MAC_INCORRECT)
        now = customer.info
        for field in ("card_id", "counter", "nonce"):
            customer.info = replace(then, **{field: getattr(other.info if field == "card_id" else now, field)})
            refused(shop.chip, shop.compute_command(customer, ASKED, state=state), SW.MAC_INCORRECT)
        customer.info = then
        made = shop.computed(shop.chip.process(shop.compute_command(customer, ASKED, state=state)), ASKED)
        customer.info = now
        refused(customer.chip, commit(customer, made), SW.MAC_INCORRECT)
        assert shop.select().points_left < 1_000
        absence = customer.prove(then.counter, 7, made.order.sequence, shop.challenge(), KeyRef.SHOP).data
        assert shop.deny(made.slot, absence[1:]).ok
        assert shop.select().points_left == 1_000


class TestKeysInWrongHands:
    def test_the_keys_of_one_card_do_not_open_another(self) -> None:
        """REQ-ATK-32: SHOP, TILL, LOAD and ADMIN key of card A, all values being those of card B."""
        thief, victim = Customer(), Customer(card_id=OTHER)
        keys, victim.keys = victim.keys, thief.keys
        info = victim.info
        for kind, key_ref in ((Kind.PURCHASE, KeyRef.TILL), (Kind.PAY, KeyRef.SHOP), (Kind.LOAD, KeyRef.LOAD)):
            refused(victim.chip, victim.transact_command(kind, PLAIN, key_ref), SW.MAC_INCORRECT)
        message = m.admin(victim.head, info.counter, info.nonce, LifeCycle.TERMINATED)
        refused(victim.chip, Command(CLA_JOREN, Ins.SET_STATUS, 0x40, 0xFF, thief.keys[KeyRef.ADMIN].mac8(message)), SW.MAC_INCORRECT)
        state = bytes(32)
        forged = thief.keys[KeyRef.SHOP].mac8(m.state(victim.head, 0, info.nonce, 1, state))
        refused((shop := Shop()).chip, shop.compute_command(victim, ASKED, state=state + forged), SW.MAC_INCORRECT)
        victim.keys = keys
        assert victim.transact(Kind.LOAD, PLAIN, KeyRef.LOAD).ok

    def test_no_receipt_without_the_receipt_key(self) -> None:
        """REQ-ATK-33: with TILL, SHOP, LOAD and ADMIN key of the card, and with its proof, no receipt passes; nor one of another record."""
        customer = served()
        answer, issuer = customer.buy(2_000, hour=150, sequence=3), customer.keys[KeyRef.RECEIPT]
        customer.select()
        record = customer.send(CLA_ISO, Ins.READ_RECORD, 1, 0x0C, ne=44).data[:36]
        message = m.receipt(customer.head, record)
        issuer.verify8(message, answer.receipt)
        forged = [key.mac8(message) for ref, key in customer.keys.items() if ref is not KeyRef.RECEIPT] + [answer.proof]
        for mac in forged:
            with pytest.raises(MacMismatch):
                issuer.verify8(message, mac)
        for at in range(len(record)):
            with pytest.raises(MacMismatch):
                issuer.verify8(m.receipt(customer.head, flipped(record, at)), answer.receipt)

    def test_a_till_master_is_worth_nothing_on_two_card_cards(self) -> None:
        """REQ-ATK-34: neither as it is nor in the place of the SHOP master."""
        customer, till = Customer(limits=replace(LIMITS, modes=2)), MASTERS["till"]
        info = customer.info
        for label, key_ref, sw in ((b"till", 1, SW.MODE_NOT_ALLOWED), (b"till", 2, SW.MAC_INCORRECT), (b"shop", 2, SW.MAC_INCORRECT)):
            key = till.derive(label, customer.head)
            for kind in (Kind.REDEEM, Kind.PAY, Kind.VOID_PURCHASE):
                mac = key.mac8(m.order(customer.head, info.counter, info.nonce, kind, key_ref, PLAIN.encode()))
                refused(customer.chip, Command(CLA_JOREN, Ins.TRANSACT, kind, key_ref, PLAIN.encode() + mac, 32), sw)
            state = customer.get_state().data[:32]
            mac = key.mac8(m.commit(customer.head, 0, info.nonce, 1, 2, ASKED.encode(), 1, 9, state))
            refused(customer.chip, customer.commit_command(Kind.PURCHASE, ASKED, 9, state, mac), SW.MAC_INCORRECT)


@dataclass
class OneKey:
    """A customer card all of whose keys are the same, and a shop card with an entry for it in slot 0; the seven MACs for this purchase."""

    committed: bool

    def __post_init__(self) -> None:
        self.customer, self.shop = served(), Shop()
        self.key = self.customer.keys[KeyRef.SHOP]
        memory = self.customer.chip.memory
        for ref in KeyRef:
            memory.write(memory.regions[f"{self.customer.aid.hex().upper()}/key_{ref.name.lower()}"].address, self.key.reveal())
        self.customer.keys = dict.fromkeys(KeyRef, self.key)
        self.state = self.customer.get_state().data[:32]
        self.made = self.shop.compute(self.customer, ASKED)
        self.outcome = bytes(16)
        self.challenge = CHALLENGE
        if self.committed:
            self.outcome = Answer.of(self.customer.chip.process(commit(self.customer, self.made))).raw_outcome
        else:
            self.challenge = self.shop.challenge()

    def mac(self, use: str) -> bytes:
        head, made, (counter, nonce) = self.customer.head, self.made, (self.customer.info.counter, self.customer.info.nonce)
        order = made.order.encode()
        record = Transaction(Kind.PURCHASE, KeyRef.SHOP, counter, order, self.outcome).encode()
        sequence = made.order.sequence
        message = {
            "STATE": m.state(head, counter, nonce, 1, self.state),
            "ORDER": m.order(head, counter, nonce, Kind.VOID_PURCHASE, KeyRef.SHOP, order),
            "COMMIT": m.commit(head, counter, nonce, Kind.PURCHASE, KeyRef.SHOP, order, 1, made.points, made.state),
            "PROOF": m.proof(head, record),
            "ABSENCE": m.absence(head, KeyRef.SHOP, counter, 7, sequence, self.challenge, Ending.NOT_COMMITTED, counter, nonce),
            "RECEIPT": m.receipt(head, record),
            "ADMIN": m.admin(head, counter, nonce, LifeCycle.BLOCKED),
        }[use]
        return self.key.mac8(message)


def take_receipt(at: OneKey, mac: bytes) -> Response:
    """The issuer's look at a receipt, with the answer a card would give."""
    record = Transaction(Kind.PURCHASE, KeyRef.SHOP, at.customer.info.counter, at.made.order.encode(), at.outcome).encode()
    try:
        at.key.verify8(m.receipt(at.customer.head, record), mac)
    except MacMismatch:
        return Response(b"", SW.MAC_INCORRECT)
    return Response(b"", SW.OK)


def absence(at: OneKey, mac: bytes) -> bytes:
    return at.customer.info.counter.to_bytes(2) + at.customer.info.nonce + mac


TAKEN: dict[str, Callable[[OneKey, bytes], Response]] = {
    "STATE": lambda at, mac: at.shop.chip.process(at.shop.compute_command(at.customer, ASKED, state=at.state + mac)),
    "ORDER": lambda at, mac: at.customer.chip.process(
        Command(CLA_JOREN, Ins.TRANSACT, Kind.VOID_PURCHASE, KeyRef.SHOP, at.made.order.encode() + mac, 32)
    ),
    "COMMIT": lambda at, mac: at.customer.chip.process(commit(at.customer, replace(at.made, mac=mac))),
    "PROOF": lambda at, mac: at.shop.send(CLA_JOREN, Ins.RATIFY, Ending.COMMITTED, 0, at.outcome + mac),
    "ABSENCE": lambda at, mac: at.shop.deny(0, absence(at, mac)),
    "RECEIPT": take_receipt,
    "ADMIN": lambda at, mac: at.customer.send(CLA_JOREN, Ins.SET_STATUS, 0x40, LifeCycle.BLOCKED, mac),
}
RIGHT = dict.fromkeys(TAKEN, SW.OK) | {"ORDER": SW.NOTHING_TO_VOID}
"""What the right MAC is answered: the order, a void of nothing, has passed the MAC then."""


class TestCrossUse:
    @pytest.mark.parametrize("taken", TAKEN)
    @pytest.mark.parametrize("made", TAKEN)
    def test_a_mac_of_one_use_for_another(self, made: str, taken: str) -> None:
        """REQ-ATK-35: with one key for all uses, over the same card, counter, nonce, order and record."""
        at = OneKey(committed=taken in ("PROOF", "RECEIPT"))
        chips = (at.customer.chip, at.shop.chip)
        before = [chip.snapshot() for chip in chips]
        answer = TAKEN[taken](at, at.mac(made))
        if made == taken:
            assert answer.sw == RIGHT[taken]
        else:
            assert answer == Response(b"", SW.MAC_INCORRECT)
            assert [chip.snapshot() for chip in chips] == before

    def test_first_bytes_and_lengths(self) -> None:
        """REQ-ATK-35: no message is another's, nor its beginning: the first byte is that of one use, and a use has one length."""
        head, nonce = m.head(PROGRAMME, OTHER), bytes(8)
        uses = {
            54: m.state(head, 1, nonce, 1, bytes(32)), 39: m.order(head, 1, nonce, 1, 1, bytes(16)),
            74: m.commit(head, 1, nonce, 1, 2, bytes(16), 1, 1, bytes(32)), 41: m.absence(head, 2, 1, 7, 1, nonce, 0, 1, nonce),
            22: m.admin(head, 1, nonce, 0x83),
        }  # fmt: skip
        records = [m.proof(head, bytes(36)), m.receipt(head, bytes(36))]
        assert all(len(message) == length for length, message in uses.items())
        assert {len(message) for message in records} == {47}
        assert sorted(message[0] for message in (*uses.values(), *records)) == list(range(0x51, 0x58))


class TestProgrammes:
    def test_another_programme_on_the_same_chip(self) -> None:
        """REQ-ATK-24: same card id, same master keys: an order for one is none for the other, and nothing of the other changes."""
        customer = served()
        second = aid(AID_CUSTOMER, 2)
        customer.chip.install(CustomerCard, second)
        assert customer.send(CLA_ISO, Ins.SELECT, 4, 0x0C, second, 26).ok
        head = m.head(2, customer.card_id)
        keys = {ref: MASTERS[ref.name.lower()].derive(ref.name.lower().encode(), head) for ref in KeyRef}
        dgis = {0x0101: customer.card_id + b"\0\2", 0x0102: customer.rules.encode(), 0x0103: customer.limits.encode()}
        dgis |= {0x8000 + ref: b"\1" + key.reveal() for ref, key in keys.items()}
        block = b"".join(build_dgi(tag, value) for tag, value in dgis.items())
        assert customer.send(CLA_JOREN, Ins.STORE_DATA, 0x88, 0, block).ok
        customer.select()
        first = customer.transact_command(Kind.LOAD, PLAIN, KeyRef.LOAD)
        told = customer.send(CLA_ISO, Ins.SELECT, 4, 0x0C, second, 26).data
        refused(customer.chip, first, SW.MAC_INCORRECT)
        wrong = m.order(customer.head, 0, told[16:24], Kind.LOAD, KeyRef.LOAD, PLAIN.encode())
        command = replace(first, data=PLAIN.encode() + keys[KeyRef.LOAD].mac8(wrong))
        refused(customer.chip, command, SW.MAC_INCORRECT)
        right = keys[KeyRef.LOAD].mac8(m.order(head, 0, told[16:24], Kind.LOAD, KeyRef.LOAD, PLAIN.encode()))
        assert customer.chip.process(replace(first, data=PLAIN.encode() + right)).ok
        assert (customer.select().counter, customer.get_state().ok) == (2, True)


class TestIssuance:
    def test_personalization_after_issue(self) -> None:
        """REQ-ATK-36: every DGI, as first and as last block, in every state from ISSUED on, on both cards."""
        for card in (Customer(pin=PIN), Shop()):
            blocks = card.blocks()
            for state in (None, LifeCycle.BLOCKED, LifeCycle.ISSUED, LifeCycle.TERMINATED):
                if state is not None:
                    assert card.chip.process(status(card, state)).ok
                    card.select()
                for p1 in (0x08, 0x88):
                    for block in (*blocks, build_dgi(0x0103, LIMITS.encode()), build_dgi(0x8112, PUK), build_dgi(0x0202, b"\xff" * 8)):
                        refused(card.chip, Command(CLA_JOREN, Ins.STORE_DATA, p1, 0, block), SW.CONDITIONS_NOT_SATISFIED)

    @pytest.mark.parametrize("make", [Customer, Shop], ids=["customer card", "shop card"])
    def test_set_status_is_sent_again(self, make: Callable[[], Customer | Shop]) -> None:
        """REQ-ATK-37: one for another state, for another card, and the unblocking of before when the card is blocked again."""
        card = make()
        assert card.chip.process(status(card, LifeCycle.BLOCKED)).ok
        other = Customer(card_id=OTHER) if isinstance(card, Customer) else Shop(terminal=9)
        unblock = status(card, LifeCycle.ISSUED)
        refused(card.chip, replace(unblock, p2=0xFF), SW.MAC_INCORRECT)
        unblock = status(card, LifeCycle.ISSUED)
        assert card.chip.process(unblock).ok
        assert card.chip.process(status(card, LifeCycle.BLOCKED)).ok
        spent = SW.MAC_INCORRECT if isinstance(card, Customer) else SW.CONDITIONS_NOT_SATISFIED
        refused(card.chip, unblock, spent)
        card.select()
        refused(card.chip, unblock, spent)
        if isinstance(card, Shop):
            card.challenge()
        refused(card.chip, unblock, SW.MAC_INCORRECT)
        if isinstance(card, Shop):
            card.challenge()
        refused(card.chip, status(other, LifeCycle.ISSUED), SW.MAC_INCORRECT)
        refused(card.chip, status(card, LifeCycle.BLOCKED), SW.CONDITIONS_NOT_SATISFIED)


def status(card: Customer | Shop, state: LifeCycle) -> Command:
    """SET STATUS with the issuer's MAC for this moment."""
    if isinstance(card, Shop):
        mac = card.admin.mac8(m.admin(card.head, 0, card.challenge(), state))
    else:
        info = card.select()
        mac = card.keys[KeyRef.ADMIN].mac8(m.admin(card.head, info.counter, info.nonce, state))
    return Command(CLA_JOREN, Ins.SET_STATUS, 0x40, state, mac)
