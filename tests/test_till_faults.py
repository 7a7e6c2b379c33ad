"""Broken, copied and meddled-with cards, and a journal that fails: the till believes nothing it has not checked, and goes on."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from cardkit import Customer
from joren.apdu import CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Response, Transmit
from joren.host import CardFault, CardLost, CardRefused, Dialog, DialogError, Fate, Granted, JournalError, Row, Slot, Till, run
from joren.simulator.chip import Chip
from support import SHOP as NUMBER
from support import Counter, Fault, free_of_pin, scripted

Sale = Callable[[Till], Dialog[Granted]]
AnyDialog = Callable[[Till], Dialog[object]]
Spoil = Callable[[Response], Response]
MODES = pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])
TRY_AGAIN = "try again, then another reader or another card"


def buys(reference: str, amount: int = 1_000) -> Sale:
    return lambda till: till.purchase(reference, 200, amount)


def redeems(reference: str) -> Sale:
    return lambda till: till.redeem(reference, 200, 5)


def opens(till: Till) -> Dialog[object]:
    return till.open()


def settles(till: Till) -> Dialog[object]:
    return till.settle()


def cut(response: Response) -> Response:
    """One byte short."""
    return Response(response.data[:-1], response.sw)


def longer(response: Response) -> Response:
    """One byte too long."""
    return Response(response.data + b"\x00", response.sw)


def put(offset: int, value: int) -> Spoil:
    """A byte of the answer replaced."""

    def spoil(response: Response) -> Response:
        data = bytearray(response.data)
        assert data[offset] != value
        data[offset] = value
        return Response(bytes(data), response.sw)

    return spoil


def flip(offset: int) -> Spoil:
    """A bit of the answer turned."""
    return lambda response: put(offset, response.data[offset] ^ 1)(response)


def says(sw: int) -> Spoil:
    """A status word in place of the answer."""
    return lambda _: Response(b"", sw)


def spoiled(chip: Chip, spoils: Mapping[int, Spoil], acts: bool) -> Transmit:
    """A card whose answers to some instructions are spoiled; where it does not act, it has nothing to answer."""

    def answer(spoil: Spoil) -> Callable[[Command], Response]:
        return lambda command: spoil(chip.process(command) if acts else Response(b"", SW.NO_PRECISE_DIAGNOSIS))

    return scripted({ins: answer(spoil) for ins, spoil in spoils.items()}, chip.process)


@dataclass(frozen=True)
class Case:
    """A spoiled answer, and what the error says: of which command, what was expected, what came."""

    by_card: bool
    dialog: AnyDialog
    slot: Slot
    ins: Ins
    spoil: Spoil
    expected: str
    came: str
    torn: Fault | None = None
    """A purchase "torn" was torn before, and is what is settled."""
    command: str = ""
    """What the error calls the command, where it is not the name of the instruction."""


CUSTOMER, SHOP = Slot.CUSTOMER, Slot.SHOP
BEFORE, AFTER = Fault.LOST_BEFORE, Fault.LOST_AFTER


def result(till: Till) -> Dialog[object]:
    return till.result(200)


def detail(till: Till) -> Dialog[object]:
    return till.result(200, detailed=True)


def verified(till: Till) -> Dialog[object]:
    return till.result(200, pin="1234")


FAULTS = {
    "SELECT short": Case(False, result, CUSTOMER, Ins.SELECT, cut, "26 bytes", "25"),
    "SELECT long": Case(True, buys("S"), CUSTOMER, Ins.SELECT, longer, "26 bytes", "27"),
    "SELECT of version 2": Case(False, settles, CUSTOMER, Ins.SELECT, put(0, 2), "version 1, programme 1", "version 2, programme 1"),
    "SELECT of programme 2": Case(True, buys("S"), CUSTOMER, Ins.SELECT, put(5, 2), "version 1, programme 1", "version 1, programme 2"),
    "RESULT long": Case(False, result, CUSTOMER, Ins.GET_RESULT, longer, "3 bytes", "4"),
    "RESULT short": Case(True, detail, CUSTOMER, Ins.GET_RESULT, cut, "31 bytes", "30"),
    "VERIFY with data": Case(False, verified, CUSTOMER, Ins.VERIFY, lambda _: Response(b"!", SW.OK), "0 bytes", "1"),
    "STATE short": Case(True, buys("S"), CUSTOMER, Ins.GET_STATE, cut, "40 bytes", "39"),
    "PROVE long": Case(False, settles, CUSTOMER, Ins.PROVE, longer, "19 or 63 bytes", "20", BEFORE),
    "PROVE short": Case(False, settles, CUSTOMER, Ins.PROVE, cut, "19 or 63 bytes", "62", AFTER),
    "absence called committed": Case(
        False, settles, CUSTOMER, Ins.PROVE, put(0, 1), "ending 00 or 02 without a record", "01", BEFORE
    ),
    "record called absent": Case(True, settles, CUSTOMER, Ins.PROVE, put(0, 0), "ending 01 with a record", "00", AFTER),
    "absence called unknown": Case(
        False, settles, CUSTOMER, Ins.PROVE, put(0, 2), "a counter above 25", "1", BEFORE
    ),
    "absence at another counter": Case(
        False, settles, CUSTOMER, Ins.PROVE, flip(2), "the ABSENCE MAC of NOT_COMMITTED", "another MAC", BEFORE, "PURCHASE"
    ),
    "absence with another nonce": Case(
        False, settles, CUSTOMER, Ins.PROVE, flip(3), "the ABSENCE MAC of NOT_COMMITTED", "another MAC", BEFORE, "PURCHASE"
    ),
    "absence with a wrong MAC": Case(
        False, settles, CUSTOMER, Ins.PROVE, flip(18), "the ABSENCE MAC of NOT_COMMITTED", "another MAC", BEFORE, "PURCHASE"
    ),
    "absence the shop card refuses": Case(
        True, settles, CUSTOMER, Ins.PROVE, flip(18), "an ABSENCE that the shop card accepts", "what it refused with 6988 MAC_INCORRECT",
        BEFORE, "PURCHASE",
    ),
    "record of another order": Case(False, settles, CUSTOMER, Ins.PROVE, flip(20), "the record of 0101", "0101", AFTER),
    "record with more points": Case(
        False, settles, CUSTOMER, Ins.PROVE, flip(38), "the PROOF MAC of its record", "another MAC", AFTER, "PURCHASE"
    ),
    "wrong proof": Case(False, settles, CUSTOMER, Ins.PROVE, flip(62), "the PROOF MAC of its record", "another MAC", AFTER, "PURCHASE"),
    "proof the shop card refuses": Case(
        True, settles, CUSTOMER, Ins.PROVE, flip(62), "a PROOF that the shop card accepts", "what it refused with 6988 MAC_INCORRECT",
        AFTER, "PURCHASE",
    ),
    "shop SELECT short": Case(True, buys("S"), SHOP, Ins.SELECT, cut, "25 bytes", "24"),
    "shop SELECT of version 0": Case(True, buys("S"), SHOP, Ins.SELECT, put(0, 0), "version 1, programme 1", "version 0, programme 1"),
    "shop SELECT of programme 3": Case(True, buys("S"), SHOP, Ins.SELECT, put(5, 3), "version 1, programme 1", "version 1, programme 3"),
    "COMPUTE short": Case(True, buys("S"), SHOP, Ins.COMPUTE, cut, "47 bytes", "46"),
    "AUTHORIZE long": Case(True, redeems("S"), SHOP, Ins.AUTHORIZE, longer, "13 bytes", "14"),
    "CHALLENGE short": Case(True, settles, SHOP, Ins.GET_CHALLENGE, cut, "8 bytes", "7", AFTER),
    "entry short": Case(True, settles, SHOP, Ins.READ_RECORD, cut, "32 bytes", "31", AFTER),
}  # fmt: skip


def prepared(by_card: bool, torn: Fault | None = None) -> tuple[Counter, Customer]:
    """A customer with 10 points, and perhaps a torn purchase of 2,000."""
    counter, customer = Counter(by_card), free_of_pin()
    counter.tap(customer, buys("bought"))
    if torn is not None:
        with pytest.raises(CardLost):
            counter.tap(customer, buys("torn", 2_000), {4 if by_card else 2: torn})
    return counter, customer


def tap_spoiled(
    counter: Counter, customer: Customer, dialog: AnyDialog, slot: Slot, spoils: Mapping[int, Spoil], *, acts: bool = True
) -> object:
    """A tap where one card's answers are spoiled; the till has just been switched on."""
    customer.chip.power_on()
    counter.shop.chip.power_on()
    counter.till.holder.close()
    chips = {Slot.CUSTOMER: customer.chip, Slot.SHOP: counter.shop.chip}
    return run(dialog(counter.till), {one: spoiled(chip, spoils if one is slot else {}, acts) for one, chip in chips.items()})


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_answer_is_a_fault_of_its_card(name: str) -> None:
    """REQ-STL-6: whose fault, what was expected, what came, what to do; the same cards, when well, end what was begun."""
    case = FAULTS[name]
    counter, customer = prepared(case.by_card, case.torn)
    before, rows = customer.chip.snapshot(), counter.journal.unsettled()
    with pytest.raises(CardFault) as caught:
        tap_spoiled(counter, customer, case.dialog, case.slot, {case.ins: case.spoil})
    error = caught.value
    assert (error.card, error.command) == (case.slot.value, case.command or case.ins.name)
    assert error.expected.startswith(case.expected)
    assert error.came.startswith(case.came)
    assert str(error) == f"{error.card} answered {error.command} wrongly: {error.expected} expected, {error.came} came; {TRY_AGAIN}"
    assert customer.chip.snapshot() == before
    assert counter.journal.unsettled() == rows
    counter.tap(customer, settles)
    counter.tap(customer, buys("S"))
    counter.audit(customer)


def test_a_torn_sale_is_not_settled_by_a_set_back_card() -> None:
    """A counter below the one the journal knows: a copy of the card, or its memory was put back."""
    for by_card in (False, True):
        counter, customer = prepared(by_card)
        copy = customer.chip.snapshot()
        counter.tap(customer, buys("between"))
        with pytest.raises(CardLost):
            counter.tap(customer, buys("torn"), {4 if by_card else 2: Fault.LOST_AFTER})
        now = customer.chip.snapshot()
        customer.chip.restore(copy)
        before, rows = counter.shop.chip.snapshot(), counter.journal.unsettled()
        words = (
            r"customer card answered SELECT wrongly: a counter of at least 2 expected, 1: a copy of the card, or one that was set back came"
        )
        for dialog in (settles, buys("torn"), buys("other")):
            with pytest.raises(CardFault, match=words):
                counter.tap(customer, dialog)
        assert (customer.chip.snapshot(), counter.shop.chip.snapshot(), counter.journal.unsettled()) == (copy, before, rows)
        customer.chip.restore(now)
        assert counter.tap(customer, buys("torn")).recovered
        counter.audit(customer)


ANSWER_SPOILS: dict[str, Spoil] = {
    "short": cut,
    "more points": flip(7),
    "another balance": flip(11),
    "wrong proof": flip(31),
    "a refusal of what it did": says(SW.CONDITIONS_NOT_SATISFIED),
}


@MODES
@pytest.mark.parametrize("name", ANSWER_SPOILS)
def test_a_spoiled_answer_to_the_sale_is_settled_at_once(by_card: bool, name: str) -> None:
    """REQ-STL-2: it has happened, and PROVE says so, with the right points."""
    counter, customer = prepared(by_card)
    ins = Ins.COMMIT if by_card else Ins.TRANSACT
    granted = tap_spoiled(counter, customer, buys("S"), CUSTOMER, {ins: ANSWER_SPOILS[name]})
    assert isinstance(granted, Granted)
    assert (granted.recovered, granted.points, granted.points_balance, granted.settled) == (True, 10, 20, ())
    counter.audit(customer)


@MODES
def test_a_card_that_lies_to_the_end_is_not_believed(by_card: bool) -> None:
    """REQ-STL-1: the sale stays pending, neither granted nor given up, until the card tells the truth."""
    counter, customer = prepared(by_card)
    ins = Ins.COMMIT if by_card else Ins.TRANSACT
    with pytest.raises(CardFault, match="PROOF"):
        tap_spoiled(counter, customer, buys("S"), CUSTOMER, {ins: flip(31), Ins.PROVE: flip(62)})
    (row,) = counter.journal.unsettled()
    assert (row.reference, row.fate, row.outcome, row.proof) == ("S", Fate.PENDING, None, None)
    assert counter.tap(customer, buys("S")).recovered
    counter.audit(customer)


@MODES
def test_a_refused_prove_leaves_the_sale_pending(by_card: bool) -> None:
    counter, customer = prepared(by_card, Fault.LOST_AFTER)
    with pytest.raises(CardRefused, match=r"customer card refused PROVE: 6F00 NO_PRECISE_DIAGNOSIS: the card failed; .*report it"):
        tap_spoiled(counter, customer, settles, CUSTOMER, {Ins.PROVE: says(SW.NO_PRECISE_DIAGNOSIS)})
    assert [row.fate for row in counter.journal.unsettled()] == [Fate.PENDING]
    assert counter.tap(customer, buys("torn", 2_000)).recovered


def test_a_commit_that_was_spoiled_on_the_way_is_refused() -> None:
    """REQ-MAC-2: the customer card refuses it, the entry is closed, and nothing was granted."""
    counter, customer = prepared(by_card=True)
    with pytest.raises(CardRefused, match=r"customer card refused COMMIT: 6988 MAC_INCORRECT: .*SELECT again and authorize anew"):
        tap_spoiled(counter, customer, buys("S"), SHOP, {Ins.COMPUTE: flip(6)})
    counter.audit(customer)
    with pytest.raises(CardRefused, match="shop card refused COMPUTE: 6988 MAC_INCORRECT"):
        tap_spoiled(counter, customer, buys("S"), CUSTOMER, {Ins.GET_STATE: flip(39)})
    counter.audit(customer)


# What a shop card answers where it may not: dialog, instruction, status word, whether a sale was torn before.
ODD_ANSWERS: dict[str, tuple[AnyDialog, Ins, int, Fault | None]] = {
    "RATIFY of a proof": (buys("S"), Ins.RATIFY, SW.CONDITIONS_NOT_SATISFIED, None),
    "RATIFY of an absence": (settles, Ins.RATIFY, SW.CONDITIONS_NOT_SATISFIED, Fault.LOST_BEFORE),
    "READ RECORD": (settles, Ins.READ_RECORD, SW.CONDITIONS_NOT_SATISFIED, Fault.LOST_BEFORE),
    "GET CHALLENGE": (settles, Ins.GET_CHALLENGE, SW.INS_NOT_SUPPORTED, Fault.LOST_BEFORE),
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_a_shop_card_that_refuses_what_it_should_not(name: str) -> None:
    """The error names it; when the card is well again the till opens it anew and ends what was begun (REQ-STL-5)."""
    dialog, ins, sw, torn = ODD_ANSWERS[name]
    counter, customer = prepared(True, torn)
    with pytest.raises(CardRefused, match=f"shop card refused {ins.name}: {sw:04X} ") as caught:
        tap_spoiled(counter, customer, dialog, SHOP, {ins: says(sw)})
    assert caught.value.card == "shop card"
    counter.tap(customer, settles)
    counter.tap(customer, buys("S"))
    counter.tap(customer, opens)
    counter.audit(customer)


def test_a_shop_card_that_is_full_of_nothing() -> None:
    """Asked again after a look at its entries, and again after there was nothing to write off; then the sale is refused."""
    counter, customer = prepared(True)
    with pytest.raises(CardRefused, match=r"shop card refused COMPUTE: 940B PENDING_FULL: .*; settle or write off some"):
        tap_spoiled(counter, customer, buys("S"), SHOP, {Ins.COMPUTE: says(SW.PENDING_FULL)}, acts=False)
    assert counter.tap(customer, buys("S")).recovered is False
    counter.audit(customer)


def test_an_entry_that_can_not_be_written_off() -> None:
    """The shop card says that it is full, and that the oldest entry is not there: the error names it, the row stays."""
    counter, customer = prepared(True)
    with pytest.raises(CardLost):
        counter.tap(free_of_pin(2), buys("torn"), {4: Fault.LOST_BEFORE})
    full: dict[int, Spoil] = {Ins.COMPUTE: says(SW.PENDING_FULL), Ins.RATIFY: says(SW.RECORD_NOT_FOUND)}
    with pytest.raises(CardRefused, match="shop card refused RATIFY: 6A83 RECORD_NOT_FOUND"):
        tap_spoiled(counter, customer, buys("S"), SHOP, full, acts=False)
    assert [(row.reference, row.slot) for row in counter.journal.unsettled()] == [("torn", 1)]
    assert counter.tap(customer, buys("S")).recovered is False


def evidence(customer: Customer, sequence: int, challenge: bytes) -> bytes:
    """What the customer card answers to PROVE for its second transaction, a purchase at the shop card."""
    customer.chip.power_on()
    customer.select()
    return customer.prove(1, NUMBER, sequence, challenge, KeyRef.SHOP).data


def close_elsewhere(counter: Counter, customer: Customer, ending: int) -> None:
    """The entry of the torn sale is closed by another host, while the till believes that it is there."""
    row = counter.journal.unsettled()[0]
    sequence, slot = row.order.sequence, row.slot
    assert slot is not None
    if ending == Ending.UNKNOWN:
        response = counter.shop.send(CLA_JOREN, Ins.RATIFY, ending, slot)
    elif ending == Ending.COMMITTED:
        data = evidence(customer, sequence, bytes(8))
        response = counter.shop.send(CLA_JOREN, Ins.RATIFY, ending, slot, data[31:47] + data[55:])
    else:
        response = counter.shop.deny(slot, evidence(customer, sequence, counter.shop.challenge())[1:])
    assert response.ok, response.status


# name: what was lost, how the entry was closed, whether the till was switched off then; how the row ends.
CLOSED = {
    "not committed": (Fault.LOST_BEFORE, Ending.NOT_COMMITTED, False, Fate.NOT_COMMITTED),
    "not committed, at the next start": (Fault.LOST_BEFORE, Ending.NOT_COMMITTED, True, Fate.NOT_COMMITTED),
    "committed": (Fault.LOST_AFTER, Ending.COMMITTED, False, Fate.COMMITTED),
    "written off, not committed": (Fault.LOST_BEFORE, Ending.UNKNOWN, False, Fate.UNKNOWN),
    "written off, not committed, at the next start": (Fault.LOST_BEFORE, Ending.UNKNOWN, True, Fate.UNKNOWN),
    "written off, committed": (Fault.LOST_AFTER, Ending.UNKNOWN, False, Fate.UNKNOWN),
    "written off, committed, at the next start": (Fault.LOST_AFTER, Ending.UNKNOWN, True, Fate.UNKNOWN),
}


@pytest.mark.parametrize("slot_used", [False, True], ids=["slot free", "slot used again"])
@pytest.mark.parametrize("name", CLOSED)
def test_an_entry_that_another_host_has_closed(name: str, slot_used: bool) -> None:
    """REQ-STL-5: the shop card's own log says how; what it wrote off is for the issuer, whatever the customer card says."""
    fault, ending, reopened, fate = CLOSED[name]
    counter, customer = prepared(True, fault)
    row = counter.journal.unsettled()[0]
    sequence, slot = row.order.sequence, row.slot
    close_elsewhere(counter, customer, ending)
    if slot_used:
        other = free_of_pin(2)
        other.select()
        for _ in range(15):
            counter.shop.purchase(other)
        assert counter.shop.compute(other, other.order()).slot == slot
    if reopened:
        counter.till.holder.close()
    counter.tap(customer, settles)
    after = counter.journal.at(sequence)
    assert after is not None
    assert (after.reference, after.fate, after.slot) == ("torn", fate, None)
    assert counter.tap(customer, buys("next")).settled == ()


@pytest.mark.parametrize(("others", "fate"), [(31, Fate.UNKNOWN), (32, Fate.COMMITTED)], ids=["in the log", "beyond the log"])
def test_a_proven_entry_that_is_gone(others: int, fate: Fate) -> None:
    """REQ-STL-5: what was proven and is not in the log of the last 32 was ratified; what the log calls written off was not."""
    counter, customer = prepared(True)
    with pytest.raises(CardLost):
        counter.tap(customer, buys("proven"), {5: Fault.LOST_BEFORE})
    counter.shop.chip.power_on()
    counter.shop.select()
    assert counter.shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, counter.journal.unsettled()[0].slot or 0).ok
    other = free_of_pin(2)
    other.select()
    for _ in range(others):
        counter.shop.purchase(other)
    counter.tap(customer, opens)
    row = counter.journal.find("proven")
    assert row is not None
    assert (row.fate, row.slot) == (fate, None)


@pytest.mark.parametrize("number", [0, 4, 5], ids=["sold", "pending", "proven"])
def test_a_shop_card_that_was_set_back_is_refused(number: int) -> None:
    """REQ-FLW-4: it would use sequences again that the journal has; nothing is sold with it, and the journal stays as it is."""
    counter, customer = prepared(True)
    before = counter.shop.chip.snapshot()
    with suppress(CardLost):
        counter.tap(customer, buys("S"), {number: Fault.LOST_BEFORE})
    counter.shop.chip.restore(before)
    counter.till.holder.close()
    sheet, rows = customer.chip.snapshot(), list(counter.journal.rows())
    for _ in range(2):
        with pytest.raises(CardFault, match="a sequence above 01000001 expected, 01000001: a copy of the card"):
            counter.tap(customer, buys("T"))
    assert (customer.chip.snapshot(), list(counter.journal.rows())) == (sheet, rows)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(says(SW.NO_PRECISE_DIAGNOSIS), "refused READ_RECORD: 6F00"), (cut, "answered READ_RECORD wrongly: 33 bytes expected, 32 came")],
    ids=["refused", "short"],
)
def test_a_log_that_can_not_be_read(spoil: Spoil, words: str) -> None:
    """The row stays as it was, and the till opens when the card is well."""
    counter, customer = prepared(True)
    with pytest.raises(CardLost):
        counter.tap(customer, buys("S"), {5: Fault.LOST_AFTER})
    with pytest.raises(DialogError, match=f"shop card {words}"):
        tap_spoiled(counter, customer, opens, SHOP, {Ins.READ_RECORD: spoil})
    assert [row.fate for row in counter.journal.unsettled()] == [Fate.PROVEN]
    assert counter.tap(customer, buys("S")).recovered
    counter.audit(customer)


def test_a_wrong_proof_in_the_journal_is_asked_for_again() -> None:
    """The shop card does not accept it when the till opens: the row is pending again, and its card is asked at the next tap."""
    counter, customer = prepared(True)
    with pytest.raises(CardLost):
        counter.tap(customer, buys("S"), {5: Fault.LOST_BEFORE})
    (row,) = counter.journal.unsettled()
    counter.journal.save(replace(row, proof=bytes(8)))
    counter.tap(customer, opens)
    assert [(row.fate, row.proof) for row in counter.journal.unsettled()] == [(Fate.PENDING, None)]
    assert counter.tap(customer, buys("S")).recovered
    counter.audit(customer)


@MODES
def test_a_journal_that_can_not_be_written(by_card: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """REQ-FLW-3: no command that may commit is sent. Once it can be written, the till opens anew and the sale is sold."""
    counter, customer = prepared(by_card)

    def full(_: Row) -> None:
        raise JournalError("journal: disk full")

    with monkeypatch.context() as patch:
        patch.setattr(counter.journal, "add", full)
        with pytest.raises(JournalError, match="disk full"):
            counter.tap(customer, buys("S"))
    assert counter.names() == (["CUSTOMER SELECT", "CUSTOMER GET_STATE", "SHOP COMPUTE"] if by_card else ["CUSTOMER SELECT"])
    assert not counter.till.holder.ready
    granted = counter.tap(customer, buys("S"))
    assert [(row.reference, row.fate) for row in granted.settled] == [(None, Fate.NOT_COMMITTED)] * by_card
    counter.audit(customer)


@MODES
def test_a_journal_that_was_closed(by_card: bool) -> None:
    counter, customer = prepared(by_card)
    counter.journal.close()
    with pytest.raises(JournalError, match=r"journal :memory:: .*; nothing can be transacted before it can be read and written"):
        counter.tap(customer, buys("S"))
    assert counter.sent == []


@pytest.mark.parametrize("fate", [None, Fate.PENDING, Fate.PROVEN, Fate.COMMITTED, Fate.UNKNOWN], ids=str)
def test_a_lost_card_tells_what_is_known_and_what_to_do(fate: Fate | None) -> None:
    words = {
        None: "nothing was transacted; try again",
        Fate.PENDING: "neither grant nor refuse it, ask for the same sale with the same card again",
        Fate.PROVEN: "the customer card has answered and may go; hand nothing out yet, ask for the same sale again",
        Fate.COMMITTED: "it is committed; ask for it again for its result",
        Fate.UNKNOWN: "the issuer settles it by receipts",
    }
    lost = CardLost("customer card", "S", fate)
    assert (lost.card, lost.reference, lost.fate) == ("customer card", "S", fate)
    assert str(lost).startswith("link to the customer card lost; sale S: ")
    assert str(lost).endswith(words[fate])
    assert "sale" not in str(CardLost("shop card", None, None))


@MODES
def test_a_card_that_is_gone_before_anything_was_sold(by_card: bool) -> None:
    """Whose link it was, and that nothing was transacted."""
    counter, customer = prepared(by_card)
    for dialog in (settles, buys("S")):
        with pytest.raises(CardLost, match=r"link to the customer card lost; .*nothing was transacted; try again") as lost:
            counter.tap(customer, dialog, {1: Fault.LOST_BEFORE})
        assert (lost.value.card, lost.value.fate) == ("customer card", None)
    if by_card:
        counter.till.holder.close()
        with pytest.raises(CardLost, match="link to the shop card lost; nothing was transacted; try again"):
            counter.tap(customer, settles, {1: Fault.LOST_BEFORE})
    assert counter.tap(customer, buys("S")).recovered is False
