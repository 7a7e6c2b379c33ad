"""How many bytecodes an applet takes for a command: an estimate, as no applet has been measured.

How it works. An APDU costs its base; if the card does what it was asked, also the pieces that its command is made of. A piece counts
bytecodes, and copies by the platform (Util.arrayCopy). The likely counts are reckoned so, for Java Card without `int`: a byte or short
moved or compared 8 bytecodes, a call of the platform 6, a u32 sum or comparison 40 (two shorts and a carry), a loop over bytes 14 a turn.
- base: process() finds the session and the life cycle, the switch over INS, P1 P2, Lc, the call of the handler: about 12 of 8.
- message: the use byte, counter, kind, key_ref of docs/spec/keys.md are 5 of 8; head and the bulk are 3 copies at 6; the MAC itself a call.
- mac check: 8 bytes in constant time, 14 a turn.
- checks: of a transaction about 8, two of them on u32, with the reading of limits and cells before them.
- balances: the period is a division (30) and a comparison, then four u32 of the sheet are moved and summed.
- stored: a sheet (5 fields, one of them 32 bytes) and a transaction record (10 fields, one of them 16 bytes) put together.
- transaction: begin, three writes, commit, and `counter mod 24`.
- answer: outcome, receipt and proof put into place.
- rank: what docs/spec/rank.md computes: 1,200 with `int`, 2,500 by reciprocal products, 4,400 written plainly; half of it, where the
  values are aged and settled but nothing is earned.
Low is for a compact program on a card with `int`, high for one written plainly: roughly half and double, as with the rank.
"""

from dataclasses import dataclass

from joren.apdu import AID_SHOP, SW, Command, Ins, Kind, Response

__all__ = ["COMMANDS", "RANK", "Count", "bytecodes_of", "bytecodes_table"]


@dataclass(frozen=True, slots=True)
class Count:
    """Bytecodes, the least, the likely and the most, and copies by the platform."""

    low: int
    likely: int
    high: int
    copies: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.low + other.low, self.likely + other.likely, self.high + other.high, self.copies + other.copies)


NOTHING = Count(0, 0, 0)
BASE = Count(60, 100, 180)
MESSAGE = Count(40, 60, 100, 3)
MAC_CHECK = Count(80, 112, 160)
CHECKS = Count(120, 200, 400)
BALANCES = Count(100, 200, 400)
STORED = Count(120, 200, 400, 4)
TRANSACTION = Count(40, 60, 100)
ANSWER = Count(40, 60, 100, 3)
RANK = Count(1200, 2500, 4400)
HALF_RANK = Count(600, 1250, 2200)

SALE = MESSAGE + MAC_CHECK + CHECKS + BALANCES + STORED + TRANSACTION + MESSAGE + MESSAGE + ANSWER
"""Order in, checked, booked, stored; receipt and proof out."""
STATE_CHECKS = Count(100, 200, 400)
"""Of COMMIT: whether a state is valid, field by field."""
PENDING = Count(100, 180, 350, 4)
"""Of a shop card: the next free of 16 slots, and an entry of 13 fields, three of them long."""
CLOSING = Count(150, 300, 600, 4)
"""Of a shop card: an entry looked up, compared with the outcome, logged; totals and ceilings summed; a sale searched for, if voided."""
RING = Count(500, 1000, 2000)
"""Of a shop card that is selected: two u32 and a u16 of each of 16 sheets summed, and compared with its place (REQ-REC-7)."""
DIGITS = Count(100, 160, 250)
"""A PIN that is well-formed: 8 bytes, compared twice each."""
DERIVED = MESSAGE + Count(15, 25, 50)
"""The master of a version, of two places, and the message of a key derivation (REQ-KEY-2); its MAC and the key set are the chip's work."""

COMMANDS: dict[int, Count] = {
    Ins.SELECT: Count(85, 128, 265, 4),  # 10 fields, a nonce drawn, RAM cleared, a template around it
    Ins.TRANSACT: SALE,
    Ins.GET_STATE: MESSAGE + Count(10, 20, 40, 1),
    Ins.COMMIT: SALE + STATE_CHECKS,
    Ins.PROVE: Count(100, 200, 350, 2) + MESSAGE + MESSAGE,  # a record found and compared; absence, or receipt and proof
    Ins.GET_RESULT: HALF_RANK + BALANCES,
    Ins.READ_RECORD: Count(30, 50, 100, 1) + MESSAGE,
    Ins.GET_DATA: Count(30, 60, 120, 2),
    Ins.VERIFY: MAC_CHECK + Count(40, 60, 120),
    Ins.CHANGE_REFERENCE_DATA: MAC_CHECK + DIGITS + TRANSACTION,
    Ins.RESET_RETRY_COUNTER: MAC_CHECK + DIGITS + TRANSACTION,
    Ins.STORE_DATA: Count(300, 700, 1500, 8),  # DGIs taken apart, rules checked field by field, each stored by a call
    Ins.SET_STATUS: MESSAGE + MAC_CHECK + Count(20, 40, 80),
    Ins.COMPUTE: DERIVED + MESSAGE + MAC_CHECK + STATE_CHECKS + CHECKS + RANK + PENDING + TRANSACTION + MESSAGE,
    Ins.AUTHORIZE: DERIVED + CHECKS + PENDING + TRANSACTION + MESSAGE,
    Ins.RATIFY: DERIVED + MESSAGE + MAC_CHECK + CLOSING + TRANSACTION,
    Ins.GET_CHALLENGE: Count(10, 20, 40, 1),
    Ins.MANAGE_CHANNEL: NOTHING,
    Ins.GET_RESPONSE: NOTHING,
}
"""What a command takes beside the base, where it is done."""

BY_THE_PLATFORM = frozenset({Ins.MANAGE_CHANNEL, Ins.GET_RESPONSE})
"""Commands that no applet sees."""
DONE = (SW.RESPONSE_AVAILABLE >> 8, SW.FILE_DEACTIVATED >> 8)
"""SW1 of a command that was done beside 9000: its answer waits, or has a warning."""
RANKED = frozenset({Kind.PURCHASE, Kind.PAY_AND_EARN})


def bytecodes_of(command: Command, response: Response) -> Count:
    """What the applet takes for a command and its answer. With T=0 an answer that waits (61XX) is one that was made."""
    if command.ins in BY_THE_PLATFORM:
        return NOTHING
    if not response.ok and response.sw >> 8 not in DONE:
        return BASE
    count = BASE + COMMANDS.get(command.ins, NOTHING)
    if command.ins == Ins.SELECT and command.data.startswith(AID_SHOP):
        count += RING
    return count + RANK if command.ins == Ins.TRANSACT and command.p1 in RANKED else count


def bytecodes_table() -> str:
    """The estimate as a table in Markdown."""
    rows = ["| what | low | likely | high | copies |", "|---|---|---|---|---|"]
    named = {"every APDU to an applet": BASE, "the rank, beside TRANSACT 01 and 02": RANK, "the ring of a shop card, beside SELECT": RING}
    named |= {Ins(ins).name.replace("_", " "): count for ins, count in COMMANDS.items() if count != NOTHING}
    rows += [f"| {name} | {count.low:,} | {count.likely:,} | {count.high:,} | {count.copies} |" for name, count in named.items()]
    return "\n".join(rows)
