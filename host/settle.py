"""How a torn tap is settled (REQ-STL-1 to REQ-STL-6): by the customer card's own word, checked by the key holder, never by a guess."""

from dataclasses import replace

from joren.apdu import LOG_SIZE, Ending, Ins
from joren.apdu.cards import CustomerInfo

from . import wire
from .dialog import Dialog, Slot, ask
from .errors import CardFault
from .fate import Fate
from .holder import KeyHolder
from .journal import Journal, Row

__all__ = ["settle", "take"]


def take(holder: KeyHolder, journal: Journal, row: Row, data: bytes) -> Dialog[Row]:
    """Takes over the 32 bytes with which a card answers a transaction: the proof is noted, checked, and the row ends.

    Raises CardFault where the holder does not accept the proof; the row is pending then.
    """
    row = row.proven(wire.Answer.decode(data))
    if row.slot is not None:
        journal.save(row)
    try:
        row = yield from holder.confirm(row)
    except CardFault as fault:
        if row.slot is not None and fault.card == Slot.CUSTOMER.value:
            journal.save(row.doubted())
        raise
    journal.save(row)
    return row


def settle(holder: KeyHolder, journal: Journal, info: CustomerInfo, row: Row) -> Dialog[tuple[CustomerInfo, Row]]:
    """Asks the card what became of a pending row of its own (REQ-STL-2). Gives the card's info with its new nonce, and the row as it ended.

    A card that has not yet come to the row's counter can tell nothing of it: UNKNOWN. It was set back; or whoever answered SELECT when the
    row was authorized was another.

    Raises CardFault for an answer that the holder does not accept; the row is pending then, and the dialog can be repeated (REQ-STL-6).
    """
    if info.counter < row.counter:
        row = row.ended(Fate.UNKNOWN)
        journal.save(row)
    while row.fate is Fate.PENDING:
        challenge = yield from holder.challenge()
        command = wire.prove(row.key_ref, row.counter, row.order.shop, row.order.sequence, challenge)
        data = yield from ask(Slot.CUSTOMER, command, wire.ABSENCE_SIZE, wire.EVIDENCE_SIZE)
        if len(data) == wire.EVIDENCE_SIZE:
            evidence = wire.Evidence.decode(data)
            _expect(evidence.ending == Ending.COMMITTED, "ending 01 with a record", f"{evidence.ending:02X}")
            _expect(evidence.head == row.head, f"the record of {row.head.hex().upper()}", evidence.head.hex().upper())
            info = replace(info, counter=evidence.counter, nonce=evidence.nonce)
            row = yield from take(holder, journal, row, evidence.answer)
        else:
            absence = wire.Absence.decode(data)
            _expect(absence.ending in (Ending.NOT_COMMITTED, Ending.UNKNOWN), "ending 00 or 02 without a record", f"{absence.ending:02X}")
            if absence.ending == Ending.UNKNOWN:
                _expect(absence.counter > row.counter + LOG_SIZE, f"a counter above {row.counter + LOG_SIZE}", str(absence.counter))
            info = replace(info, counter=absence.counter, nonce=absence.nonce)
            row = yield from holder.dismiss(row, challenge, absence)
            journal.save(row)
    return info, row


def _expect(right: bool, expected: str, came: str) -> None:
    if not right:
        raise CardFault(Slot.CUSTOMER.value, Ins.PROVE.name, expected, came)
