"""The holder's PIN at a kiosk: changed with the old one, or set anew with the PUK (REQ-PIN-2, REQ-PIN-3)."""

from joren.apdu import CLA_ISO, Command, Ins

from .dialog import Dialog, Slot, ask
from .errors import HostError
from .sale import pin_block
from .selecting import select_customer

__all__ = ["change_pin", "unblock_pin"]

REFERENCE = 0x81
Pin = str | bytes


def change_pin(programme: int, old: Pin, new: Pin) -> Dialog[None]:
    """CHANGE REFERENCE DATA. PINs have 4 to 8 digits. Raises HostError before anything is sent, CardRefused, CardFault."""
    return _exchange(programme, Ins.CHANGE_REFERENCE_DATA, _block(old) + _block(new))


def unblock_pin(programme: int, puk: Pin, new: Pin) -> Dialog[None]:
    """RESET RETRY COUNTER: the PUK, 8 digits, sets a new PIN and gives it all its tries. Raises as change_pin."""
    if len(puk) != 8:
        raise HostError("PUK: 8 digits expected, something else came")
    return _exchange(programme, Ins.RESET_RETRY_COUNTER, _block(puk) + _block(new))


def _block(pin: Pin) -> bytes:
    block = pin_block(pin)
    if block is None:
        raise HostError("PIN: 4 to 8 digits expected, none came")
    return block


def _exchange(programme: int, ins: Ins, data: bytes) -> Dialog[None]:
    yield from select_customer(programme)
    yield from ask(Slot.CUSTOMER, Command(CLA_ISO, ins, 0x00, REFERENCE, data), 0)
