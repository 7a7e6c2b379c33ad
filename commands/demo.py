"""joren demo: a purchase log through simulated cards, and what the ranks on the cards foretold."""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from time import monotonic

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from joren.apdu import AID_CUSTOMER, AID_SHOP, Transmit, aid
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host import (
    DEFAULT_PRODUCT,
    HostError,
    Journal,
    Masters,
    Product,
    ShopCardHolder,
    Slot,
    SoftwareKeys,
    Till,
    issue_customer,
    issue_shop,
    run,
)
from joren.host.replay.carddata import CardData
from joren.host.replay.log import Log, read_log
from joren.host.replay.page import page
from joren.host.replay.play import Counter, Customer, Play
from joren.host.replay.summary import Summary, summarize
from joren.simulator.chip import IDEAL, MODEL, Chip, Program
from joren.simulator.java_roles import PROGRAMS
from joren.simulator.profile import Profile, load_profile
from joren.simulator.protocol import Protocol, slot_protocol, tap_protocol
from joren.simulator.reader import Reader

from .demo_cards import CardMeter
from .output import console, json_option, reply, table

__all__ = ["demo"]

CDNOW = Path(__file__).resolve().parent.parent / "examples" / "cdnow" / "purchases.csv"
CDNOW_CUT = date(1997, 9, 30)
ONE_CARD, TWO_CARD = 1, 2
SHOP_CARDS = 2
HALF_YEAR_HOURS = 26 * 7 * 24
WATCHED_MAX = 24
ALL = 0xFFFFFFFF
"""The ceilings of the shop cards: this play is not about them."""


class Street:
    """A till with software keys, tills with shop cards, and a card for every customer of the log, all on chips in this process."""

    def __init__(
        self, product: Product, masters: Masters, profile: Profile = IDEAL, meter: CardMeter | None = None, program: Program = MODEL
    ) -> None:
        self.profile = profile.for_development()
        self.program = program
        self.meter = meter
        self.product = product
        self.masters = masters
        keys = SoftwareKeys(product.programme, 1, 0, masters.group_master("till", product.programme))
        self.software = Counter("software keys", Till(keys, Journal(":memory:")), by_card=False)
        self.with_cards = [
            Counter(f"shop card {number}", Till(ShopCardHolder(product.programme), Journal(":memory:")), by_card=True)
            for number in range(2, SHOP_CARDS + 2)
        ]
        self.readers = {
            counter.name: {Slot.CUSTOMER: self._reader("customer card", tap_protocol(profile))}
            for counter in (self.software, *self.with_cards)
        }
        for number, counter in enumerate(self.with_cards, 2):
            self.readers[counter.name][Slot.SHOP] = self._shop_card(number)
        self.chips: dict[str, Chip] = {}

    @property
    def counters(self) -> list[tuple[Counter, Mapping[Slot, Transmit]]]:
        """Every till with the links to its readers."""
        return [(counter, self._links(counter)) for counter in (self.software, *self.with_cards)]

    def counter_of(self, number: int) -> Counter:
        """Half of the customers are of the till with software keys, half of those with shop cards."""
        return self.with_cards[number // 2 % SHOP_CARDS] if number % 2 else self.software

    def issue(self, number: int, customer: Customer) -> None:
        """A card for the customer, who is the number-th; it takes orders of the customer's kind of till alone."""
        product = self.product
        modes = TWO_CARD if customer.counter.by_card else ONE_CARD
        product = replace(product, limits=replace(product.limits, modes=modes))
        chip = Chip(b"customer card" + number.to_bytes(4), self.profile, program=self.program)
        chip.install(CustomerCard, aid(AID_CUSTOMER, product.programme))
        self.chips[customer.name] = chip
        run(issue_customer(product, self.masters, (number + 1).to_bytes(8)), self.tap(customer))
        if self.meter is not None:
            self.meter.issued(chip)

    def tap(self, customer: Customer) -> Mapping[Slot, Transmit]:
        """Puts the card of a customer into the reader of its counter."""
        reader = self.readers[customer.counter.name][Slot.CUSTOMER]
        if reader.card_present:
            reader.remove()
        reader.insert(self.chips[customer.name])
        return self._links(customer.counter)

    def _links(self, counter: Counter) -> Mapping[Slot, Transmit]:
        return {slot: reader.transmit for slot, reader in self.readers[counter.name].items()}

    def _shop_card(self, number: int) -> Reader:
        reader, chip = (
            self._reader("shop card", slot_protocol(self.profile)),
            Chip(b"shop card" + number.to_bytes(4), self.profile, program=self.program),
        )
        chip.install(ShopCard, aid(AID_SHOP, self.product.programme))
        reader.insert(chip)
        run(issue_shop(self.product, self.masters, number, 1, ALL, 0, may_load=False), {Slot.SHOP: reader.transmit})
        if self.meter is not None:
            self.meter.issued(chip)
        return reader

    def _reader(self, name: str, protocol: Protocol) -> Reader:
        reader = Reader(name, protocol)
        if self.meter is not None:
            self.meter.follow(reader)
        return reader

    def card_data(self, customers: Iterable[Customer]) -> CardData | None:
        """What is to be told of the cards, if they were metered."""
        if self.meter is None:
            return None
        used = list(customers)
        taps = {id(self.chips[customer.name]): customer.taps for customer in used}
        shops = {}
        for counter in self.with_cards:
            chip = self.readers[counter.name][Slot.SHOP].chip
            shops[id(chip)] = sum(customer.taps for customer in used if customer.counter is counter)
        return self.meter.told(taps, shops)


@click.command("demo")
@click.option("--purchases", type=click.Path(path_type=Path, dir_okay=False), help="A CSV file; else CDNOW.")
@click.option("--cut", metavar="DAY", help="The cards are read after this day. Default: 1997-09-30, or half of your log.")
@click.option("--skip-bad", is_flag=True, help="Leave out lines that are wrong; else nothing is played.")
@click.option("--limit", type=click.IntRange(1), help="Only the first customers of the log, this many.")
@click.option(
    "--card",
    "cards",
    metavar="NAME",
    multiple=True,
    help="On cards of this profile (joren profiles): the page tells tap times and the life of the memory. Or javacard: on cards that run "
    "the Java Card applet (joren applet build). Repeatable: both.",
)
@click.option("--customer", help="Whose score over time is drawn; else one that joren picks.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("joren-demo.html"), show_default=True, help="The page."
)
@json_option
def demo(
    purchases: Path | None, cut: str | None, skip_bad: bool, limit: int | None, cards: tuple[str, ...], customer: str | None, out: Path
) -> None:
    """Play a purchase log through cards, and show how the ranks of one day foretold the rest.

    Half of the customers have cards for tills with software keys (one-card), half for tills with a shop card (two-card). Every purchase
    is a dialog of APDUs with full cryptography. At the cut the cards are read; at the end their ranks are compared with what came.

    \b
    Examples:
      joren demo
      joren demo --limit 500 --out small.html
      joren demo --card jcop4
      joren demo --card javacard --limit 500
      joren demo --purchases my.csv --cut 2025-12-31 --skip-bad
    """
    begun = monotonic()
    profile, program = _cards(cards)
    log = _read(purchases or CDNOW, skip_bad, limit)
    day = _cut(log, cut, CDNOW_CUT if purchases is None else None)
    if not out.parent.is_dir():
        raise HostError(f"--out: a folder {out.parent} expected, there is none")
    summary, product, card_data = _play(log, day, customer, profile, program)
    seconds = monotonic() - begun
    source = "CDNOW" if purchases is None else purchases.name
    out.write_text(page(summary, product, source, day, card_data), encoding="utf-8")
    fields = {**asdict(summary), "agrees": summary.agrees, "cut": day.isoformat(), "page": str(out), "seconds": round(seconds, 1)}
    fields["program"] = program.name
    if card_data is not None:
        fields["card_data"] = asdict(card_data)
    reply("demo", fields, lambda: _show(summary, product, source, day, out, seconds, card_data))
    if not summary.agrees:
        raise SystemExit(1)


def _cards(names: tuple[str, ...]) -> tuple[Profile | None, Program]:
    """The profile and the program that --card asks for, at most one of each."""
    programs = [PROGRAMS[name] for name in names if name in PROGRAMS]
    profiles = [load_profile(name) for name in names if name not in PROGRAMS]
    if len(programs) > 1 or len(profiles) > 1:
        raise HostError(f"--card: one card profile, and one of {' and '.join(PROGRAMS)}, expected, {', '.join(names)} came")
    return next(iter(profiles), None), next(iter(programs), MODEL)


def _read(path: Path, skip_bad: bool, limit: int | None) -> Log:
    log = read_log(path, skip_bad)
    if not log.rows:
        raise HostError(f"{path}: no line of it can be played; the first is {log.bad[0]}")
    if limit is not None:
        first = set(list(dict.fromkeys(row.card for row in log.rows))[:limit])
        log = Log(tuple(row for row in log.rows if row.card in first), log.bad)
    return log


def _cut(log: Log, text: str | None, default: date | None) -> date:
    first, last = log.rows[0].time.date(), log.rows[-1].time.date()
    try:
        day = date.fromisoformat(text) if text else default or first + (last - first) // 2
    except ValueError:
        raise HostError(f"--cut: a day such as {last} expected, {text!r} came") from None
    if not first <= day <= last or day == date.max:
        raise HostError(f"--cut: a day from {first} to {last} expected, as the log has it, {day} came")
    return day


def _play(log: Log, day: date, watched: str | None, profile: Profile | None, program: Program) -> tuple[Summary, Product, CardData | None]:
    product, masters = _product(log), Masters.create()
    street = Street(product, masters, profile or IDEAL, None if profile is None else CardMeter(profile), program)
    names = sorted({row.card for row in log.rows})
    customers = {name: Customer(name, street.counter_of(number)) for number, name in enumerate(names)}
    cut = datetime.combine(day + timedelta(days=1), datetime.min.time())
    _check_span(log, product)
    before = [row for row in log.rows if row.time < cut]
    after = log.rows[len(before) :]
    play = Play(product, street, customers, _watched(log, watched))
    with _progress() as progress:
        for number, customer in enumerate(progress.track(customers.values(), description="cards issued")):
            street.issue(number, customer)
        for row in progress.track(before, description="purchases to the cut"):
            play.tap(row, after_cut=False)
        for customer in progress.track(list(play.used()), description="cards read at the cut"):
            play.read_at_cut(customer, product.hour_of(cut))
        for row in progress.track(after, description="purchases after it"):
            play.tap(row, after_cut=True)
        for customer in progress.track(list(play.used()), description="cards read at the end"):
            play.read_at_end(customer, product.hour_of(log.rows[-1].time))
    return summarize(play, street.counters, masters, len(log.bad)), product, street.card_data(play.used())


def _check_span(log: Log, product: Product) -> None:
    """Raises HostError naming the first line after the last hour that a card can count."""
    for row in log.rows:
        try:
            product.hour_of(row.time)
        except HostError as error:
            raise HostError(f"line {row.line_no}, {error}; play a shorter log") from error


def _progress() -> Progress:
    """A bar on the error stream; on what is no terminal, nothing."""
    columns = (TextColumn("{task.description:>22}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    out = console(stderr=True)
    return Progress(*columns, console=out, disable=not out.is_terminal)


def _product(log: Log) -> Product:
    """The product that joren has, with the log's first year as epoch, periods of half a year, and no word against long absences."""
    rules = replace(DEFAULT_PRODUCT.rules, jump_max_hours=0xFFFF)
    limits = replace(DEFAULT_PRODUCT.limits, period_hours=HALF_YEAR_HOURS)
    return replace(DEFAULT_PRODUCT, currency="", epoch=date(log.rows[0].time.year, 1, 1), rules=rules, limits=limits)


def _watched(log: Log, wanted: str | None) -> str:
    """The customer that was asked for; else, of those with few purchases, who bought in the most weeks. Raises HostError."""
    taps = Tally(row.card for row in log.rows)
    if wanted is not None:
        if wanted not in taps:
            raise HostError(f"--customer: a card of the log expected, {wanted!r} came")
        return wanted
    weeks = {(row.card, row.time.isocalendar()[:2]) for row in log.rows if taps[row.card] <= WATCHED_MAX}
    return Tally(card for card, _ in sorted(weeks)).most_common(1)[0][0] if weeks else log.rows[0].card


def _show(summary: Summary, product: Product, source: str, day: date, out: Path, seconds: float, cards: CardData | None) -> None:
    screen = console()
    screen.print(
        f"{escape(source)}: {summary.purchases:,} purchases of {summary.cards:,} cards, {summary.cards_one_card:,} one-card and "
        f"{summary.cards_two_card:,} two-card, in {seconds:.0f} s"
    )
    if summary.lines_skipped:
        screen.print(f"{summary.lines_skipped:,} lines of the log were wrong and left out")
    columns = ("rank", "cards", f"spent after {day}", "per card", "bought again", "cards at the end", "points granted", "points owed")
    rows = []
    for row in summary.ranks:
        share = f"{row.bought_again / row.cards:.0%}" if row.cards else "-"
        each = product.money(row.spent_after_minor // row.cards) if row.cards else "-"
        told = [str(row.rank), f"{row.cards:,}", product.money(row.spent_after_minor), each, share]
        rows.append([*told, f"{row.cards_at_end:,}", f"{row.points_granted:,}", f"{row.points_owed:,}"])
    screen.print(table(columns, rows, frozenset(columns)))
    if summary.gini is not None and summary.auc is not None:
        screen.print(
            f"The scores of {day} foretold the rest with a Gini of [bold]{summary.gini:.4f}[/] and an AUC of [bold]{summary.auc:.4f}[/]."
        )
    else:
        screen.print("Nothing was bought after the cut, or all cards alike: nothing to foretell.")
    screen.print(
        f"Points granted: {summary.points_granted_cards:,} in the cards' logs, {summary.points_granted_tills:,} by shop cards and tills, "
        f"{summary.points_granted_receipts:,} in receipts"
    )
    screen.print(
        f"Receipts verified with the issuer's key: {summary.receipts_verified:,} of {summary.purchases:,}; with any one bit flipped: "
        f"{'refused' if summary.flipped_bit_refused else '[red]ACCEPTED[/]'}"
    )
    if cards is not None:
        _show_cards(cards)
    screen.print(f"The page with pictures: {escape(str(out))}")


def _show_cards(cards: CardData) -> None:
    screen = console()
    for kind, times in (("one-card", cards.one_card), ("two-card", cards.two_card)):
        if times is not None:
            told = f"half of {times.taps:,} taps within {times.median_ms:.0f} ms, 95 % within {times.p95_ms:.0f} ms"
            screen.print(f"{escape(cards.profile)}, {kind}: {told}, each cost drawn from its band")
    for one in cards.memory:
        years = "no end" if one.years is None else f"{one.years:,.1f} years"
        screen.print(
            f"{one.what} card: {one.writes_per_tap:.2f} writes of its hottest page a tap; at {one.taps_a_day:g} taps a day {years}"
        )
