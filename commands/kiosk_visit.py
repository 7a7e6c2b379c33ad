"""A visit to the kiosk, from the card put in until the holder is logged out: a conversation of screens and what is entered.

How it works. As a dialog asks cards, a Visit asks a person: it is a generator that yields Pages and is sent what was entered. Whoever
drives it throws TimeUp where nothing came for too long, and CardGone where the card is taken out. All that the card tells its holder is
read at once, and the card is selected anew at once, so its PIN is verified only for as long as that takes; the PIN itself is not kept.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar
from unicodedata import normalize

from joren.apdu import SW, Ins, LifeCycle, Transmit
from joren.host import (
    CardFault,
    CardRefused,
    Dialog,
    DialogError,
    HolderView,
    LinkLost,
    Product,
    Slot,
    change_pin,
    run,
    unblock_pin,
    view_holder,
)
from joren.host.selecting import select_customer

from .kiosk_pages import INDENT, LOG_ROWS, Page, log_body, rank_body, screen, standing_body
from .kiosk_words import LANGUAGES, Words

__all__ = ["CardCame", "CardGone", "Happening", "Kiosk", "Station", "TimeUp", "Visit", "visit"]

T = TypeVar("T")
Visit: TypeAlias = Generator[Page, str, None]
END, LANGUAGE = "0", "9"
PUK_DIGITS = 8
SELECT = Ins.SELECT.name


class Happening(Exception):
    """What ends a screen, other than something entered."""


class CardCame(Happening):
    """A card was put in."""


class CardGone(Happening):
    """The card was taken out, or another one came in its place. `changing`: while its PIN was changed."""

    def __init__(self, *, changing: bool = False) -> None:
        self.changing = changing
        super().__init__()


class TimeUp(Happening):
    """Nothing was entered for too long."""


class Leave(Exception):
    """The holder ends the visit."""


class Station(Protocol):
    """Where the card is."""

    def links(self) -> AbstractContextManager[Mapping[Slot, Transmit]]:
        """The link to the card, for the time of one dialog. Raises LinkLost where there is none."""

    def present(self) -> bool:
        """Whether it is still there. Raises ReaderError for a reader that is gone."""


@dataclass
class Kiosk:
    """A kiosk. `clock` gives the hour of the programme; `language` is one of `languages`, and changes when the holder wants another."""

    product: Product
    station: Station
    clock: Callable[[], int]
    language: str = "en"
    languages: tuple[str, ...] = tuple(LANGUAGES)
    card_id: bytes | None = field(default=None, init=False)

    @property
    def words(self) -> Words:
        """Those of the language."""
        return LANGUAGES[self.language]

    @property
    def other(self) -> str | None:
        """The language that can be had instead, if there is one."""
        return next((code for code in self.languages if code != self.language), None)

    def ask(self, dialog: Dialog[T], *, changing: bool = False) -> T:
        """Drives a dialog with the card of this visit; no PIN is verified afterwards. Raises CardGone, and what the dialog raises else."""
        programme = self.product.programme
        try:
            with self.station.links() as links:
                info = run(select_customer(programme), links)
                if self.card_id not in (None, info.card_id):
                    raise CardGone
                self.card_id = info.card_id
                try:
                    return run(dialog, links)
                finally:
                    with suppress(DialogError, LinkLost):
                        run(select_customer(programme), links)
        except LinkLost:
            raise CardGone(changing=changing) from None

    def page(self, name: str, title: str, body: list[str], menu: tuple[str, ...] = (), **more: str | bool) -> Page:
        """A screen of this visit."""
        card = "" if self.card_id is None else self.words.card.format(card=self.card_id.hex().upper())
        return screen(name, title, body, menu, at_right=card, **more)  # type: ignore[arg-type]

    @property
    def leaving(self) -> tuple[str, ...]:
        """What every menu ends with: the other language, and the end."""
        return (*([] if self.other is None else [f"{LANGUAGE} {LANGUAGES[self.other].own_name}"]), self.ending)

    @property
    def ending(self) -> str:
        """The end."""
        return f"{END} {self.words.menu_end}"


def visit(kiosk: Kiosk) -> Visit:
    """One card's visit. Raises nothing that a card does: what it does is told on a screen."""
    kiosk.card_id = None
    try:
        yield from _visit(kiosk)
        last = kiosk.words.goodbye
    except Leave:
        last = kiosk.words.goodbye
    except CardGone as gone:
        last = kiosk.words.gone_changing if gone.changing else kiosk.words.gone
    except TimeUp:
        last = kiosk.words.time_up
    except CardRefused as refused:
        last = kiosk.words.foreign if refused.command == SELECT else kiosk.words.refused.format(status=refused.status)
    except CardFault as fault:
        last = kiosk.words.foreign if fault.command == SELECT else kiosk.words.faulty
    kiosk.card_id = None
    yield kiosk.page("last", "", ["", INDENT + last], prompt="", passing=True)


def _visit(kiosk: Kiosk) -> Visit:
    holder = kiosk.ask(view_holder(kiosk.product.programme, kiosk.clock()))
    told = {
        LifeCycle.SELECTABLE: kiosk.words.not_issued,
        LifeCycle.BLOCKED: kiosk.words.card_blocked,
        LifeCycle.TERMINATED: kiosk.words.ended,
    }.get(LifeCycle(holder.view.info.life_cycle))
    if told is not None:
        yield kiosk.page("state", kiosk.words.standing, ["", INDENT + told], prompt="", passing=True)
        return
    if holder.view.detail is None:
        holder = yield from _log_in(kiosk, holder)
    yield from _logged_in(kiosk, holder)


def _entered(kiosk: Kiosk, page: Page) -> Generator[Page, str, str]:
    """What was entered, without what stands around it; digits of any width are digits. Raises Leave for the end."""
    text = normalize("NFKC", (yield page)).strip()
    if text == END:
        raise Leave
    return text


def _turn(kiosk: Kiosk, text: str) -> bool:
    """Whether it was the wish for the other language, which is granted."""
    if text != LANGUAGE or kiosk.other is None:
        return False
    kiosk.language = kiosk.other
    return True


def _log_in(kiosk: Kiosk, public: HolderView) -> Generator[Page, str, HolderView]:
    """The PIN, until it is right; a blocked one by way of the PUK."""
    notice, tries = "", public.view.pin_tries
    while True:
        if tries == 0:
            yield from _blocked(kiosk)
            notice, tries = "", None
            continue
        words = kiosk.words
        body = ["", *rank_body(public.view, words), "", INDENT + words.pin_text, INDENT + words.hidden]
        page = kiosk.page("pin", words.pin, body, kiosk.leaving, notice=notice, prompt=f"{words.pin}: ", secret=True)
        pin = yield from _entered(kiosk, page)
        if _turn(kiosk, pin):
            notice = ""
            continue
        if not _is_digits(pin, 4, 8):
            notice = words.pin_form
            continue
        try:
            return kiosk.ask(view_holder(kiosk.product.programme, kiosk.clock(), pin=pin))
        except CardRefused as refused:
            tries = _tries_left(refused)
            notice = words.pin_wrong.format(tries=tries)


def _tries_left(refused: CardRefused) -> int:
    """Of a wrong PIN or PUK; raises the refusal again where it is another one."""
    if refused.sw == SW.AUTHENTICATION_METHOD_BLOCKED:
        return 0
    if refused.sw & 0xFFF0 == SW.VERIFY_FAILED:
        return refused.sw & 0x000F
    raise refused


def _blocked(kiosk: Kiosk) -> Visit:
    """The way out of a blocked PIN: its end is a PIN that is set anew."""
    notice = ""
    while True:
        words = kiosk.words
        body = ["", *(INDENT + line for line in words.blocked_text)]
        page = kiosk.page("blocked", words.blocked, body, (f"1 {words.menu_puk}", *kiosk.leaving), notice=notice)
        text = yield from _entered(kiosk, page)
        notice = ""
        if text == "1":
            if (yield from _unblocked(kiosk)):
                return
        elif not _turn(kiosk, text):
            notice = words.unknown_choice


def _unblocked(kiosk: Kiosk) -> Generator[Page, str, bool]:
    """Whether the PUK has set a new PIN."""
    words, notice = kiosk.words, ""
    body = ["", INDENT + words.puk_text, INDENT + words.hidden]
    while True:
        page = kiosk.page("puk", words.puk, body, (kiosk.ending,), notice=notice, prompt=words.puk_ask, secret=True)
        puk = yield from _entered(kiosk, page)
        if not _is_digits(puk, PUK_DIGITS, PUK_DIGITS):
            notice = words.puk_form
            continue
        new = yield from _new_pin(kiosk, words.puk)
        if new is None:
            notice = words.unlike
            continue
        try:
            kiosk.ask(unblock_pin(kiosk.product.programme, puk, new), changing=True)
        except CardRefused as refused:
            tries = _tries_left(refused)
            notice = words.puk_wrong.format(tries=tries)
            if not tries:
                lines = ["", *(INDENT + line for line in words.puk_blocked_text)]
                yield kiosk.page("puk-blocked", words.puk_blocked, lines, (words.menu_on,), prompt="")
                raise Leave from None
        else:
            yield from _told(kiosk, words.puk, words.changed)
            return True


def _is_digits(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and least <= len(text) <= most


def _told(kiosk: Kiosk, title: str, text: str) -> Visit:
    yield kiosk.page("told", title, ["", INDENT + text], (kiosk.words.menu_on,), prompt="")


def _new_pin(kiosk: Kiosk, title: str) -> Generator[Page, str, str | None]:
    """A new PIN, entered twice; None where the two differ."""
    words, notice = kiosk.words, ""
    body = ["", INDENT + words.new_pin_text, INDENT + words.hidden]
    while True:
        asked = kiosk.page("new-pin", title, body, (kiosk.ending,), notice=notice, prompt=words.new_pin_ask, secret=True)
        new = yield from _entered(kiosk, asked)
        if not _is_digits(new, 4, 8):
            notice = words.pin_form
            continue
        again = kiosk.page("again", title, body, (kiosk.ending,), prompt=words.again_ask, secret=True)
        return new if (yield from _entered(kiosk, again)) == new else None


def _logged_in(kiosk: Kiosk, holder: HolderView) -> Visit:
    """Rank and points, the log, the PIN, as often as the holder likes."""
    shown, first, notice = "standing", 0, ""
    while True:
        page = _standing(kiosk, holder, notice) if shown == "standing" else _log(kiosk, holder, first, notice)
        text = yield from _entered(kiosk, page)
        notice = ""
        match text:
            case "1":
                shown, first = ("log", 0) if shown == "standing" else ("standing", 0)
            case "2" if shown == "standing" and holder.view.info.has_pin:
                notice = yield from _change_pin(kiosk)
            case "2" if shown == "log" and len(holder.receipts) > LOG_ROWS:
                first = (first + LOG_ROWS) if first + LOG_ROWS < len(holder.receipts) else 0
            case _ if _turn(kiosk, text):
                pass
            case _:
                notice = kiosk.words.unknown_choice


def _standing(kiosk: Kiosk, holder: HolderView, notice: str) -> Page:
    words = kiosk.words
    menu = (f"1 {words.menu_log}", *([f"2 {words.menu_pin}"] if holder.view.info.has_pin else []), *kiosk.leaving)
    return kiosk.page("standing", words.standing, standing_body(holder, kiosk.product, kiosk.clock(), words), menu, notice=notice)


def _log(kiosk: Kiosk, holder: HolderView, first: int, notice: str) -> Page:
    words = kiosk.words
    menu = (f"1 {words.menu_standing}", *([f"2 {words.menu_more}"] if len(holder.receipts) > LOG_ROWS else []), *kiosk.leaving)
    return kiosk.page("log", words.log, log_body(holder.receipts, kiosk.product, first, words), menu, notice=notice)


def _change_pin(kiosk: Kiosk) -> Generator[Page, str, str]:
    """The PIN of now, and a new one twice; what is to be told of it. A PIN that is wrong too often is set anew by the PUK."""
    words, notice = kiosk.words, ""
    while True:
        body = ["", INDENT + words.hidden]
        page = kiosk.page("old-pin", words.new_pin, body, (kiosk.ending,), notice=notice, prompt=words.old_pin_ask, secret=True)
        old = yield from _entered(kiosk, page)
        if not _is_digits(old, 4, 8):
            notice = words.pin_form
            continue
        new = yield from _new_pin(kiosk, words.new_pin)
        if new is None:
            return words.unlike
        try:
            kiosk.ask(change_pin(kiosk.product.programme, old, new), changing=True)
        except CardRefused as refused:
            tries = _tries_left(refused)
            notice = words.pin_wrong.format(tries=tries)
            if not tries:
                yield from _blocked(kiosk)
                return ""
        else:
            return words.changed
