"""What a transaction does to the balance sheet (docs/spec/records.md, REQ-PTS-1 to REQ-PTS-3)."""

from dataclasses import dataclass, replace

from joren.apdu import SW
from joren.apdu.sheet import BalanceSheet

from .applet import Refused

__all__ = ["Sheet"]

POINTS_MAX = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Sheet(BalanceSheet):
    """A balance sheet and its next ones. Points saturate (REQ-REC-5)."""

    @property
    def points_balance(self) -> int:
        """Points in both periods."""
        return min(self.points_now + self.points_before, POINTS_MAX)

    def earned(self, points: int) -> "Sheet":
        """The sheet with more points."""
        return replace(self, points_now=min(self.points_now + points, POINTS_MAX))

    def rolled(self, hour: int, period_hours: int) -> "Sheet":
        """The sheet at an hour: points of older periods are gone; time going back rolls nothing (REQ-PTS-1)."""
        period = hour // period_hours
        if period <= self.period:
            return self
        before = self.points_now if period == self.period + 1 else 0
        return replace(self, points_now=0, points_before=before, period=period)

    def redeemed(self, points: int) -> "Sheet":
        """The sheet less points, the oldest first; Refused(9401) if there are too few (REQ-PTS-2)."""
        if points > self.points_balance:
            raise Refused(SW.BALANCE_TOO_SMALL)
        from_before = min(points, self.points_before)
        return replace(self, points_before=self.points_before - from_before, points_now=self.points_now - (points - from_before))

    def paid(self, amount_minor: int) -> "Sheet":
        """The sheet less money; Refused(9401) if the purse has too little."""
        if amount_minor > self.purse_minor:
            raise Refused(SW.BALANCE_TOO_SMALL)
        return replace(self, purse_minor=self.purse_minor - amount_minor)

    def loaded(self, amount_minor: int, purse_max_minor: int) -> "Sheet":
        """The sheet with more money; Refused(9402) if that is above the purse's limit."""
        if amount_minor > purse_max_minor - self.purse_minor:
            raise Refused(SW.BALANCE_TOO_LARGE)
        return replace(self, purse_minor=self.purse_minor + amount_minor)
