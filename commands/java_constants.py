"""The constants of the Java Card applets, joren/Codes.java, made from the tables and records of joren.apdu and from the life cycle.

`python -m joren.commands.java_constants` prints the file; a test compares it with the one in applet/javacard."""

from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum

from joren.apdu import (
    AID_CUSTOMER,
    AID_SHOP,
    LOG_SIZE,
    PENDING_SIZE,
    SHOP_LOG_SIZE,
    SW,
    Ending,
    Ins,
    KeyRef,
    Kind,
    LifeCycle,
    layouts,
    messages,
)
from joren.apdu.layouts import Layout
from joren.apdu.state import Slot
from joren.applet.lifecycle import ALLOWED_CUSTOMER, ALLOWED_SHOP
from joren.applet.pin import PIN_TRIES, PUK_TRIES
from joren.applet.shop_sheet import RING_PLACES, ShopSheet

__all__ = ["java_constants"]

HEAD = """package joren;

/** The numbers of the specification: made by `python -m joren.commands.java_constants`, not to be edited. */
final class Codes {"""
TAIL = """
    private Codes() {
    }
}
"""
ENUMS: tuple[tuple[str, type[IntEnum]], ...] = (
    ("INS", Ins), ("KIND", Kind), ("KEY", KeyRef), ("LIFE", LifeCycle), ("ENDING", Ending),
)  # fmt: skip
MESSAGES = ("STATE", "ORDER", "COMMIT", "PROOF", "ABSENCE", "RECEIPT", "ADMIN")
SIZES = {
    "LOG_RECORDS": LOG_SIZE,
    "PENDING_ENTRIES": PENDING_SIZE,
    "SHOP_LOG_RECORDS": SHOP_LOG_SIZE,
    "SHOP_SHEETS": RING_PLACES,
    "PIN_TRIES": PIN_TRIES,
    "PUK_TRIES": PUK_TRIES,
}
RECORDS: tuple[tuple[str, Layout], ...] = (
    ("STATE", layouts.STATE),
    ("RULES", layouts.RANK_RULES),
    ("LIMITS", layouts.LIMITS),
    ("ORDER", layouts.ORDER),
    ("OUTCOME", layouts.OUTCOME),
    ("SHEET", layouts.SHEET),
    ("CUSTOMER_INFO", layouts.CUSTOMER_INFO),
    ("SHOP_INFO", layouts.SHOP_INFO),
    ("ENTRY", layouts.PENDING_ENTRY),
    ("TOTALS", layouts.TOTALS),
    ("SHOP_SHEET", layouts.parts(ShopSheet.FORMAT.format, " ".join(field.name for field in fields(ShopSheet)))),
    ("SLOT", layouts.parts(Slot.FORMAT.format, " ".join(field.name for field in fields(Slot)))),
)
INNER = {"SHEET": len({part.name.partition("[")[0] for part in layouts.STATE})}
"""So many items of a record are of another one, which it begins with."""
STATES = tuple(LifeCycle)


def java_constants() -> str:
    """The text of Codes.java."""
    lines = [line for group in (_codes(), _sizes(), _records(), _allowed()) for line in group]
    return "\n".join([HEAD, *lines]) + "\n" + TAIL


def _byte(name: str, value: int) -> str:
    return f"    static final byte {name} = (byte) 0x{value:02X};"


def _short(name: str, value: int) -> str:
    return f"    static final short {name} = {value};"


def _codes() -> Iterator[str]:
    for name, role in (("CUSTOMER", AID_CUSTOMER), ("SHOP", AID_SHOP)):
        yield f"    static final byte[] AID_{name} = {{{', '.join(f'(byte) 0x{byte:02X}' for byte in role)}}};"
    yield ""
    for prefix, codes in ENUMS:
        yield from (_byte(f"{prefix}_{code.name}", code) for code in codes)
        yield ""
    yield from (f"    static final short SW_{sw.name} = (short) 0x{sw:04X};" for sw in SW)
    yield ""
    yield from (_byte(f"USE_{name}", getattr(messages, name)) for name in MESSAGES)
    yield ""


def _sizes() -> Iterator[str]:
    yield from (_short(name, value) for name, value in SIZES.items())
    yield ""


def _records() -> Iterator[str]:
    """Offsets within each record, of arrays their first, and its size; those of order and outcome in a transaction record."""
    for prefix, layout in RECORDS:
        seen: dict[str, int] = {}
        offset = 0
        for part in layout:
            seen.setdefault(part.name.partition("[")[0].upper(), offset)
            offset += part.size
        names = list(seen)[INNER.get(prefix, 0) :]
        yield from (_short(f"{prefix}_{name}", seen[name]) for name in names)
        yield _short(f"{prefix}_SIZE", offset)
        yield ""
    head, order, outcome = layouts.TRANSACTION[:3], layouts.size(layouts.ORDER), layouts.size(layouts.OUTCOME)
    for index, part in enumerate(head):
        yield _short(f"RECORD_{part.name.upper()}", layouts.size(head[:index]))
    yield _short("RECORD_ORDER", layouts.size(head))
    yield _short("RECORD_OUTCOME", layouts.size(head) + order)
    yield _short("RECORD_SIZE", layouts.size(head) + order + outcome)
    yield ""


def _allowed() -> Iterator[str]:
    """Which states allow an instruction (REQ-LIFE-2): one bit a state."""
    yield from (_byte(f"IN_{state.name}", 1 << place) for place, state in enumerate(STATES))
    yield ""
    for index, (card, allowed) in enumerate((("CUSTOMER", ALLOWED_CUSTOMER), ("SHOP", ALLOWED_SHOP))):
        if index:
            yield ""
        for ins in Ins:
            mask = sum(1 << place for place, state in enumerate(STATES) if ins in allowed[state])
            if mask:
                yield _byte(f"{card}_{ins.name}_IN", mask)


if __name__ == "__main__":
    print(java_constants(), end="")
