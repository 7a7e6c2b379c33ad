"""The visit to the kiosk without a terminal: every screen fits, every way on and every way out, and no PIN is left verified."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardkit import LIMITS, PIN, PUK, Customer
from joren.apdu import SW, Command, Ins, Kind, LinkLost, Response, Transmit
from joren.commands.kiosk_pages import LOG_ROWS, Page, expiries, fit
from joren.commands.kiosk_visit import CardGone, Kiosk, TimeUp, Visit, visit
from joren.commands.kiosk_words import LANGUAGES, Words
from joren.host import DEFAULT_PRODUCT, Detail, Slot
from terminalkit import COLUMNS, ROWS, width

HOUR = 10_000
DIGITS = PIN.decode()
ENTERED = ("0", "1", "2", "9", "", "x", "\x1b[A", "1234", "2580", "9999", "12345678", "00000000", "\uff19")


class Desk:
    """A station with a card, which goes away for good at the APDU with a number, from 1, before it or after; `seen` are those sent."""

    def __init__(self, customer: Customer) -> None:
        self.customer = customer
        self.lost: tuple[int, bool] | None = None
        self.seen: list[Command] = []
        self.there = True
        self.instead: Transmit | None = None
        customer.chip.power_on()

    @contextmanager
    def links(self) -> Iterator[Mapping[Slot, Transmit]]:
        if not self.there:
            raise LinkLost("no card")
        yield {Slot.CUSTOMER: self.instead or self.transmit}

    def present(self) -> bool:
        return self.there

    def transmit(self, command: Command) -> Response:
        self.seen.append(command)
        number, after = self.lost or (0, False)
        gone = self.lost is not None and len(self.seen) >= number
        response = None if gone and (not after or len(self.seen) > number) else self.customer.chip.process(command)
        if response is None or gone:
            self.customer.chip.power_on()
            raise LinkLost("on order")
        return response

    def verified(self) -> bool:
        """Whether the PIN is verified on the card right now."""
        return self.customer.send(0x00, Ins.VERIFY, 0, 0x81).ok


class Person:
    """Somebody at the kiosk."""

    def __init__(self, desk: Desk, language: str = "en") -> None:
        self.desk = desk
        self.kiosk = Kiosk(DEFAULT_PRODUCT, desk, lambda: HOUR, language)
        self.conversation: Visit = visit(self.kiosk)
        self.page = next(self.conversation)
        self._look()

    def enter(self, *texts: str) -> Page:
        for text in texts:
            self.page = self.conversation.send(text)
            self._look()
        return self.page

    def happens(self, what: Exception) -> Page:
        self.page = self.conversation.throw(what)
        self._look()
        return self.page

    def ended(self) -> bool:
        try:
            self.conversation.send("")
        except StopIteration:
            return True
        return False

    def _look(self) -> None:
        """What must hold of every screen."""
        assert len(self.page.lines) + 2 == ROWS
        assert max(map(width, self.page.lines)) <= COLUMNS
        assert width(self.page.prompt) + 20 <= COLUMNS
        if self.desk.customer.pin is not None:
            assert not self.desk.verified()

    @property
    def text(self) -> str:
        return "\n".join(self.page.lines)


def issued(pin: bytes | None = PIN) -> Customer:
    customer = Customer(pin=pin)
    customer.load(5_000)
    for _ in range(LOG_ROWS + 2):
        customer.buy(100_000)
    return customer


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_a_visit_reads_all_at_once_and_leaves_no_pin_verified(language: str) -> None:
    """REQ-SEL-2: VERIFY is followed by SELECT before the first screen with the holder's data."""
    person = Person(Desk(issued()), language)
    assert (person.page.name, person.page.secret) == ("pin", True)
    assert person.enter(DIGITS).name == "standing"
    names = [Ins(command.ins).name for command in person.desk.seen]
    assert names[-1] == "SELECT"
    assert names.index("VERIFY") < len(names) - 1 - names[::-1].index("READ_RECORD") < len(names) - 1
    asked = len(names)
    assert person.enter("1").name == "log"
    first = person.text
    assert person.enter("2").name == "log"
    assert person.text != first
    assert person.enter("2").name == "log"
    assert person.text == first
    assert person.enter("1").name == "standing"
    assert len(person.desk.seen) == asked
    assert person.enter("0").passing
    assert person.ended()
    assert person.kiosk.card_id is None


def test_a_card_without_a_pin_shows_all_and_offers_no_change() -> None:
    person = Person(Desk(issued(None)))
    assert person.page.name == "standing"
    assert LANGUAGES["en"].menu_pin not in person.text
    assert LANGUAGES["en"].unknown_choice in (person.enter("2"), person.text)[1]


def test_the_pin_is_changed_with_the_one_of_now() -> None:
    person = Person(Desk(issued()))
    words = LANGUAGES["en"]
    assert person.enter(DIGITS, "2").name == "old-pin"
    assert words.pin_form in (person.enter("12"), person.text)[1]
    assert person.enter("9999").name == "new-pin"
    assert words.pin_form in (person.enter("25"), person.text)[1]
    assert person.enter("2580").name == "again"
    assert words.pin_wrong.format(tries=2) in (person.enter("2580"), person.text)[1]
    assert words.unlike in (person.enter(DIGITS, "2580", "2581"), person.text)[1]
    assert words.changed in (person.enter("2", DIGITS, "2580", "2580"), person.text)[1]
    assert person.page.name == "standing"
    assert person.desk.customer.verify(b"2580").ok


def test_a_pin_that_is_blocked_in_the_middle_of_a_change_is_set_anew_with_the_puk() -> None:
    person = Person(Desk(issued()))
    person.enter(DIGITS, "2")
    for _ in range(3):
        person.enter("9999", "2580", "2580")
    assert person.page.name == "blocked"
    assert person.enter("9").lines[0].startswith("暗証番号の停止")
    assert LANGUAGES["ja"].unknown_choice in (person.enter("5"), person.text)[1]
    assert person.enter("9", "1").name == "puk"
    assert person.enter("123").name == "puk"
    assert LANGUAGES["en"].unlike in (person.enter(PUK.decode(), "2580", "2581"), person.text)[1]
    assert person.enter(PUK.decode(), "2580", "2580").name == "told"
    assert person.enter("").name == "standing"
    assert person.desk.customer.verify(b"2580").ok


def test_a_puk_that_is_blocked_ends_the_visit() -> None:
    """REQ-PIN-3."""
    customer = issued()
    for _ in range(3):
        customer.verify(b"9999")
    person = Person(Desk(customer))
    assert person.page.name == "blocked"
    person.enter("1")
    for left in range(9, 0, -1):
        assert LANGUAGES["en"].puk_wrong.format(tries=left) in (person.enter("00000000", "2580", "2580"), person.text)[1]
    assert person.enter("00000000", "2580", "2580").name == "puk-blocked"
    assert person.enter("").passing
    again = Person(Desk(customer))
    assert again.enter("1", PUK.decode(), "2580", "2580").name == "puk-blocked"


def state(customer: Customer, value: int) -> Customer:
    memory = customer.chip.memory
    memory.write(memory.regions[f"{customer.aid.hex().upper()}/life_cycle"].address, bytes((value,)))
    return customer


@pytest.mark.parametrize(
    ("customer", "told"),
    [
        (lambda: state(issued(), 0x83), "card_blocked"),
        (lambda: state(issued(), 0xFF), "ended"),
        (lambda: Customer(issue=False), "not_issued"),
    ],
)
def test_a_card_that_can_not_be_used_is_told(customer: Callable[[], Customer], told: str) -> None:
    person = Person(Desk(customer()))
    assert getattr(LANGUAGES["en"], told) in person.text
    assert person.page.passing


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Response(b"", SW.FILE_NOT_FOUND), "foreign"),
        (Response(b"", SW.CLA_NOT_SUPPORTED), "foreign"),
        (Response(bytes(26), SW.OK), "foreign"),
        (Response(bytes(3), SW.OK), "foreign"),
    ],
)
def test_a_foreign_card_is_told(answer: Response, told: str) -> None:
    desk = Desk(issued())
    desk.instead = lambda _command: answer
    assert getattr(LANGUAGES["en"], told) in Person(desk).text


def test_a_card_that_answers_nonsense_or_refuses_is_told() -> None:
    for answer, told in ((Response(b"\x07", SW.OK), "faulty"), (Response(b"", SW.NO_PRECISE_DIAGNOSIS), "refused")):
        desk = Desk(issued())
        desk.instead = _instead(desk.transmit, Ins.GET_RESULT, answer)
        assert getattr(LANGUAGES["en"], told).partition("{")[0] in Person(desk).text


def _instead(transmit: Transmit, ins: Ins, answer: Response) -> Transmit:
    return lambda command: answer if command.ins == ins else transmit(command)


@pytest.mark.parametrize("after", [False, True])
def test_a_card_that_is_pulled_at_any_apdu_ends_the_visit(after: bool) -> None:
    """REQ-PIN-4: in a change of the PIN it is told that either counts; and one of the two does."""
    ways = (DIGITS, "2", DIGITS, "2580", "2580")
    whole = Person(Desk(issued()))
    whole.enter(*ways)
    words = LANGUAGES["en"]
    for number in range(1, len(whole.desk.seen) + 1):
        desk = Desk(issued())
        desk.lost = (number, after)
        person = Person(desk)
        for text in ways:
            if not person.page.passing:
                person.enter(text)
        if person.page.name == "standing":
            assert number == len(whole.desk.seen)
            continue
        assert person.ended()
        told = [text for text in (words.gone, words.gone_changing) if text in person.text]
        assert len(told) == 1
        assert told == [words.gone_changing] or Ins.CHANGE_REFERENCE_DATA not in [one.ins for one in desk.seen]
        desk.customer.chip.power_on()
        desk.customer.select()
        assert desk.customer.verify(PIN).ok or desk.customer.verify(b"2580").ok


@pytest.mark.parametrize(("what", "told"), [(TimeUp(), "time_up"), (CardGone(), "gone")])
@pytest.mark.parametrize("ways", [(), (DIGITS,), (DIGITS, "1"), (DIGITS, "2"), (DIGITS, "2", "1234", "25")])
def test_time_up_and_a_pulled_card_log_out_on_every_screen(ways: tuple[str, ...], what: Exception, told: str) -> None:
    person = Person(Desk(issued()))
    person.enter(*ways)
    assert getattr(LANGUAGES["en"], told) in (person.happens(what), person.text)[1]
    assert person.page.lines[0] == ""
    assert person.ended()


def test_another_card_in_its_place_is_no_longer_this_visit() -> None:
    person = Person(Desk(issued()))
    person.enter(DIGITS, "2", DIGITS, "2580")
    person.desk.customer = Customer(card_id=bytes(range(8)), pin=PIN)
    person.desk.customer.chip.power_on()
    assert LANGUAGES["en"].gone in (person.enter("2580"), person.text)[1] or LANGUAGES["en"].gone_changing in person.text
    assert person.desk.customer.verify(PIN).ok


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(ENTERED), max_size=12))
def test_whatever_is_entered_there_is_a_screen(texts: list[str]) -> None:
    person = Person(Desk(issued()))
    for text in texts:
        if person.page.passing:
            break
        person.enter(text)


def test_points_are_lost_at_the_end_of_the_period_after_theirs() -> None:
    """REQ-PTS-1: what the kiosk tells is what the card does at that hour, and not one before."""
    customer = Customer()
    period = LIMITS.period_hours
    customer.buy(100_000, hour=period - 10)
    customer.buy(50_000, hour=period + 10)
    detail = _detail(customer, period + 20)
    told = expiries(detail, LIMITS, period + 20)
    assert told == [(detail.points_before, 2 * period), (detail.points_now, 3 * period)]
    assert 0 not in (detail.points_before, detail.points_now)
    everything = detail.points_before + detail.points_now
    for hour, left in ((2 * period - 1, everything), (2 * period, detail.points_now), (3 * period - 1, detail.points_now), (3 * period, 0)):
        then = _detail(customer, hour)
        assert then.points_before + then.points_now == left


def _detail(customer: Customer, hour: int) -> Detail:
    data = customer.send(0x80, Ins.GET_RESULT, 1, 0, hour.to_bytes(2), 31).data
    return Detail((0, 0, 0, 0), int.from_bytes(data[19:23]), int.from_bytes(data[23:27]), int.from_bytes(data[27:31]))


@pytest.mark.parametrize("words", LANGUAGES.values(), ids=list(LANGUAGES))
def test_no_text_is_cut(words: Words) -> None:
    """Every text fits its line, with room for the longest figures; kinds and heads fit the columns of the log."""
    texts = [getattr(words, field.name) for field in fields(words)]
    single = [text for text in texts if isinstance(text, str)] + [*words.blocked_text, *words.puk_blocked_text]
    assert [text for text in single if width(re.sub(r"\{[^}]*\}", "1,234,567", text)) > COLUMNS - 2] == []
    assert [kind for kind in words.kinds.values() if width(words.void.format(kind=kind)) > 20] == []
    assert set(words.kinds) == {kind for kind in Kind if kind < 0x80}
    menus = (f"1 {words.menu_log}", f"2 {words.menu_pin}", "9 English", f"0 {words.menu_end}")
    assert width("   ".join(menus)) <= COLUMNS


@given(st.text(st.sampled_from("aあ漢ｱé1 "), max_size=60), st.integers(1, 40), st.booleans())
def test_a_fitted_text_is_as_wide_as_asked(text: str, columns: int, right: bool) -> None:
    assert width(fit(text, columns, right=right)) == columns
