"""joren wear: how often a purchase writes which cells, and how many years the memory of a card lasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.text import Text

from joren.host import HostError, Slot
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.memory import Wear
from joren.simulator.profile import Profile, load_profile, profile_names
from joren.simulator.wear import DAYS_A_YEAR, Life, RegionWear, life, region_wear, worn_since

from .options import TapsADay
from .output import bar, console, json_option, reply, table
from .profiles import carries
from .tryout import SALES, Tryout

__all__ = ["COUNTER_MAX", "Worn", "wear", "worn"]

TAPS_TRIED = 192
"""As many as let every ring go round at least once, and each as often as the others."""
COUNTER_MAX = 65_535
"""Transactions of a customer card (REQ-TRX-2)."""


@dataclass(frozen=True, slots=True)
class Worn:
    """A card after so many purchases: its chip, and its wear when it was issued."""

    chip: Chip
    made: Wear
    taps: int

    def regions(self) -> list[RegionWear]:
        """The regions that purchases wrote, the most written cell first."""
        return sorted((row for row in region_wear(worn_since(self.chip.memory, self.made)) if row.writes), key=lambda row: -row.hottest)

    def life_on(self, profile: Profile) -> Life:
        """How long the memory lasts on a chip of this profile."""
        return life(self.chip.memory, self.made, self.taps, profile.page_bytes, profile.endurance_writes)


def worn() -> dict[Slot, Worn]:
    """Customer card and shop card after two-card purchases, which write what one-card purchases do, and the shop card as well."""
    tryout = Tryout(IDEAL, by_card=True)
    made = {slot: dict(chip.memory.wear or {}) for slot, chip in tryout.chips.items()}
    for number in range(TAPS_TRIED):
        tryout.sell(f"worn {number}", SALES["purchase"])
    return {slot: Worn(chip, made[slot], TAPS_TRIED) for slot, chip in tryout.chips.items()}


@click.command("wear")
@click.option(
    "--card", "names", multiple=True, metavar="NAME", help="A card profile, or a TOML file of your own; may be given again. Default: all."
)
@click.option("--taps", type=TapsADay(), default=2.0, show_default=True, help="Of a customer card, a day.")
@click.option("--shop-taps", type=TapsADay(), default=500.0, show_default=True, help="Of a shop card, a day.")
@json_option
def wear(names: tuple[str, ...], taps: float, shop_taps: float) -> None:
    """Tell how many years the memory of customer card and shop card lasts, by the writes of 192 purchases on the model.

    A page that has been written as often as its maker promises is at its end; the customer card's counter ends after 65,535 transactions.

    \b
    Examples:
      joren wear
      joren wear --card jcop4 --taps 10 --shop-taps 2000
    """
    profiles = [load_profile(name) for name in names or profile_names()]
    for profile in profiles:
        if problem := carries(profile):
            raise HostError(problem)
    cards, rates = worn(), {Slot.CUSTOMER: taps, Slot.SHOP: shop_taps}
    fields = {
        "taps_a_day": taps,
        "shop_taps_a_day": shop_taps,
        "counter_years": round(COUNTER_MAX / taps / DAYS_A_YEAR, 1),
        "regions": {slot.value: [_region_fields(row, cards[slot].taps) for row in cards[slot].regions()] for slot in Slot},
        "cards": [_profile_fields(profile, cards, rates) for profile in profiles],
    }
    reply("wear", fields, lambda: _show(profiles, cards, rates))


def _region_fields(row: RegionWear, taps: int) -> dict[str, Any]:
    return {"region": row.name, "bytes": row.size, "writes_per_tap": row.writes / taps, "hottest_cell_per_tap": row.hottest / taps}


def _profile_fields(profile: Profile, cards: Mapping[Slot, Worn], rates: Mapping[Slot, float]) -> dict[str, Any]:
    told: dict[str, Any] = {"card": profile.name, "page_bytes": profile.page_bytes, "endurance_writes": profile.endurance_writes}
    for slot, card in cards.items():
        found = card.life_on(profile)
        years = found.years(rates[slot])
        told[slot.value] = {
            "hottest_page_per_tap": found.writes_per_tap,
            "regions": list(found.regions),
            "taps": None if found.taps_left_in_all == float("inf") else int(found.taps_left_in_all),
            "years": None if years == float("inf") else round(years, 1),
        }
    return told


def _show(profiles: Sequence[Profile], cards: Mapping[Slot, Worn], rates: Mapping[Slot, float]) -> None:
    screen = console()
    for slot, card in cards.items():
        screen.print(Text(f"{slot.value}: writes of its most written cell, for each purchase", style="bold"))
        rows = card.regions()
        top = rows[0].hottest if rows else 1
        for row in rows:
            screen.print(f"  {row.name:<16}{row.hottest / card.taps:6.3f}  {bar(row.hottest / top)}")
    columns = ("card", "page", "writes", "customer card", "years", "shop card", "years ")
    told = []
    for profile in profiles:
        line = [profile.name, f"{profile.page_bytes} B", f"{profile.endurance_writes:,}" if profile.endurance_writes else "no end"]
        for slot, card in cards.items():
            found = card.life_on(profile)
            line += [f"{found.writes_per_tap:.2f} a tap", _years(found.years(rates[slot]))]
        told.append(line)
    screen.print(table(columns, told, frozenset(columns[1:])))
    counter = COUNTER_MAX / rates[Slot.CUSTOMER] / DAYS_A_YEAR
    screen.print(f"At {rates[Slot.CUSTOMER]:g} taps a day of a customer card, and {rates[Slot.SHOP]:g} of a shop card.")
    screen.print(f"The customer card's counter ends after {COUNTER_MAX:,} transactions: {_years(counter)} years.")


def _years(years: float) -> str:
    return "no end" if years == float("inf") else f"{years:,.1f}" if years < 1_000 else "over 1,000"
