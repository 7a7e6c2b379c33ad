"""What the caller asks for, checked before the first byte is sent."""

from dataclasses import dataclass

from joren.apdu import Kind, is_void

from .errors import HostError

__all__ = ["REFERENCE_MAX", "Sale", "check_hour", "check_reference", "pin_block"]

U16_MAX, U32_MAX = 0xFFFF, 0xFFFFFFFF
CATEGORY_MAX = 15
FACTOR_MAX = 0xFF
REFERENCE_MAX = 64
EARNING = (Kind.PURCHASE, Kind.PAY_AND_EARN)


@dataclass(frozen=True, slots=True)
class Sale:
    """One sale. `reference` is the caller's name for it; `amount` is minor units, points for REDEEM; `voids` names the sale taken back."""

    reference: str
    kind: Kind
    hour: int
    amount: int
    category: int = 0
    factor_tenths: int = 0
    voids: str | None = None

    def check(self) -> None:
        """Raises HostError naming the field that can not be."""
        check_reference(self.reference)
        check_hour(self.hour)
        if is_void(self.kind):
            return
        _check_number("amount", self.amount, 0 if self.kind == Kind.PURCHASE else 1, U32_MAX)
        if self.kind in EARNING:
            _check_number("category", self.category, 0, CATEGORY_MAX)
            _check_number("factor_tenths", self.factor_tenths, 1, FACTOR_MAX)


def check_hour(hour: int) -> None:
    """Raises HostError unless hour is a u16."""
    _check_number("hour", hour, 0, U16_MAX)


def pin_block(pin: str | bytes | None) -> bytes | None:
    """The 8 bytes of VERIFY: 4 to 8 ASCII digits, padded with FF; None without a PIN. Raises HostError, which does not show the PIN."""
    if pin is None:
        return None
    if not (isinstance(pin, str | bytes) and pin.isascii() and pin.isdigit() and 4 <= len(pin) <= 8):
        raise HostError("PIN: 4 to 8 digits expected, something else came")
    return (pin.encode() if isinstance(pin, str) else pin).ljust(8, b"\xff")


def _check_number(name: str, value: int, least: int, most: int) -> None:
    if not (type(value) is int and least <= value <= most):
        raise HostError(f"{name}: a whole number in {least}..{most} expected, {value!r} came")


def check_reference(reference: str) -> None:
    """Raises HostError unless it is a text of 1 to 64 printable characters."""
    if not (isinstance(reference, str) and 0 < len(reference) <= REFERENCE_MAX and reference.isprintable()):
        raise HostError(f"reference: 1 to {REFERENCE_MAX} printable characters expected, {reference!r:.80} came")
