"""What an APDU says, for people and traces: a name, every item of its data, and what is wrong with it.

How it works. COMMANDS has a row for each command of both cards: what P1 and P2 mean, and the layouts (layouts.py) its data and its answer
may have; the one of the right length is taken. PINs, PUKs and what STORE DATA carries are never shown."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from .codes import CLA_ISO, CLA_JOREN, SECRET_INS, Ending, Ins, KeyRef, Kind, LifeCycle
from .command import Command
from .layouts import (
    AIDS,
    CUSTOMER_INFO,
    KEY_VERSIONS,
    LIMITS,
    ORDER,
    OUTCOME,
    PENDING_ENTRY,
    RANK_RULES,
    SHEET,
    SHOP_INFO,
    SHOP_LOG_RECORD,
    STATE,
    TOTALS,
    TRANSACTION,
    TRIES,
    Field,
    Layout,
    constant,
    count,
    cut,
    label,
    parts,
    secret,
    size,
    template,
)
from .response import Response
from .status import SW, describe
from .tlv import MalformedTlv, parse_dgis

__all__ = ["Explained", "Field", "decoded", "explain_command", "explain_response", "to_json"]

Layouts = Callable[[Command], Collection[Layout]]
"""From a command to the layouts that its data, or its answer, may have."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A command or an answer: name, case of the command, items of the data, and a note: "" or what is wrong or unknown."""

    name: str
    case: str
    fields: tuple[Field, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Row:
    """One command: what P1 and P2 add to its name, and the layouts of data and answer."""

    p1: Mapping[int, str]
    p2: Mapping[int, str]
    data: Layouts
    answer: Layouts


def explain_command(command: Command) -> Explained:
    """What a command says. Never raises."""
    row, case, data = _row(command), command.case.value, command.data
    if row is None:
        return Explained(_stranger(command), case, _raw(command, data), "unknown command")
    name, notes = INS_NAMES[command.ins], []
    for which, value, meanings in (("P1", command.p1, row.p1), ("P2", command.p2, row.p2)):
        name += meanings.get(value, f" {which} {value:02X}")
        if value not in meanings:
            notes.append(f"{which}: {value:02X} is not listed")
    if command.channel:
        name += f", channel {command.channel}"
    fields, problem = _laid_out("data", row.data(command), command, data)
    return Explained(name, case, fields, "; ".join([*notes, *problem]))


def explain_response(command: Command, response: Response) -> Explained:
    """What the answer to a command says; its case is the command's. Never raises."""
    row, case, data = _row(command), command.case.value, response.data
    name = str(describe(response.sw))
    if row is None:
        return Explained(name, case, _raw(command, data), "answer to an unknown command")
    answer = row.answer if response.sw in ANSWERED else NOTHING
    fields, problem = _laid_out("answer", answer(command), command, data)
    return Explained(name, case, fields, "".join(problem))


def to_json(explained: Explained) -> dict[str, object]:
    """The same as an object of JSON, the fields by name."""
    return {"name": explained.name, "fields": {field.name: field.value for field in explained.fields}, "note": explained.note}


def decoded(command: Command, response: Response | None) -> dict[str, object]:
    """Command and answer as an object of JSON, for traces; the answer is null if none came."""
    answer = None if response is None else to_json(explain_response(command, response))
    return {"command": to_json(explain_command(command)), "response": answer}


def _row(command: Command) -> Row | None:
    return COMMANDS.get((command.cla & ~command.channel, command.ins))


def _stranger(command: Command) -> str:
    known = f" ({INS_NAMES[command.ins]})" if command.ins in INS_NAMES else ""
    return f"CLA {command.cla:02X} INS {command.ins:02X}{known}: not a joren command"


def _laid_out(what: str, layouts: Collection[Layout], command: Command, data: bytes) -> tuple[tuple[Field, ...], list[str]]:
    """The items by the layout of the right length; where there is none the raw data, and why."""
    for layout in layouts:
        if size(layout) == len(data):
            return cut(layout, data, command.p1), []
    sizes = sorted(map(size, layouts))
    problem = f"{_lengths(sizes)} expected, {len(data)} came" if sizes else "not as the specification lays it out"
    return _raw(command, data), [f"{what}: {problem}"]


def _lengths(sizes: list[int]) -> str:
    if len(sizes) > 2:
        return f"{sizes[0]} to {sizes[-1]} bytes"
    return " or ".join([*map(str, sizes[:-1]), count(sizes[-1])])


def _raw(command: Command, data: bytes) -> tuple[Field, ...]:
    if not data:
        return ()
    whole = (secret("data", len(data)),) if command.ins in SECRET_INS else parts(f"{len(data)}s", "data")
    return cut(whole, data, command.p1)


def _fixed(*layouts: Layout) -> Layouts:
    return lambda _command: layouts


def _by_p1(layouts: Mapping[int, Collection[Layout]]) -> Layouts:
    return lambda command: layouts.get(command.p1, ())


def _by_p2(layouts: Mapping[int, Collection[Layout]]) -> Layouts:
    return lambda command: layouts.get(command.p2, ())


def _data_groupings(command: Command) -> Collection[Layout]:
    """Tags and lengths of the DGIs in a block of at most 255 bytes, and nothing of a block that is not whole DGIs."""
    try:
        groupings = parse_dgis(command.data) if len(command.data) <= BLOCK_MAX else []
    except MalformedTlv:
        return ()
    layout: Layout = ()
    for number, dgi in enumerate(groupings):
        length = len(dgi.value)
        text = f"{dgi.tag:04X} {DGI_NAMES.get(dgi.tag, '(unknown)')}, {count(length)}"
        layout += (constant(f"dgi[{number}]", DGI_HEAD, text), secret(f"value[{number}]", length))
    return (layout,) if layout else ()


ANSWERED = frozenset({SW.OK, SW.FILE_DEACTIVATED, SW.FILE_TERMINATED})
"""Status words that come with the data of the answer (REQ-APDU-7, REQ-LIFE-3)."""
INS_NAMES = {**{int(ins): label(ins) for ins in Ins}, 0xC0: "GET RESPONSE"}
BLOCK_MAX, DGI_HEAD = 255, 3
DGI_NAMES = {
    0x0101: "card id and programme",
    0x0102: "rank rules",
    0x0103: "limits",
    0x0201: "programme, shop and terminal",
    0x0202: "ceilings",
    0x0203: "refill",
    **{0x8000 + key_ref: f"key {label(key_ref)}" for key_ref in KeyRef},
    0x8012: "master key SHOP",
    0x8014: "master key LOAD",
    0x8110: "PIN",
    0x8112: "PUK",
}

ZERO = {0: ""}
NUMBERS = {number: f" {number}" for number in range(256)}
RECORD_NUMBERS = {number: text for number, text in NUMBERS.items() if number}
SLOTS = {slot: f", slot {slot}" for slot in range(16)}
KINDS = {int(kind): f" {label(kind)}" for kind in Kind}
EARNING = {int(kind): KINDS[kind] for kind in (Kind.PURCHASE, Kind.PAY_AND_EARN)}
AUTHORIZED = {kind: text for kind, text in KINDS.items() if kind not in EARNING}
KEYS = {int(key_ref): f", key {label(key_ref)}" for key_ref in (KeyRef.TILL, KeyRef.SHOP, KeyRef.LOAD)}
STATES = {int(state): f" {label(state)}" for state in (LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED)}
CLOSINGS = {int(Ending.NOT_COMMITTED): " NOT COMMITTED", int(Ending.COMMITTED): " COMMITTED", int(Ending.UNKNOWN): " WRITE OFF"}
SELECTED = {0x00: ", template", 0x0C: ", record alone", 0x02: ", next, template", 0x0E: ", next, record alone"}
CHANNELS = {number: f" {number}" if number else "" for number in range(4)}
RECORDS = {0x0C: " of the log", 0x14: " of the pending entries"}
OBJECTS = {1: ", rank rules and limits", 2: ", totals", 3: ", tries left", 4: ", key versions", 5: ", balance sheet"}
PIN = {0x81: ", PIN"}
VERSIONS = {version: f", key version {version}" if version else ", highest key version" for version in range(256)}

MAC, PROOF, RECEIPT = parts("8s", "mac"), parts("8s", "proof"), parts("8s", "receipt")
SESSION = parts("8sH8s", "card_id counter nonce")
REQUEST, ORIGIN = ORDER[:4], ORDER[4:]
"""Of an order: hour, amount, category, factor; shop and sequence."""
PROVED = parts("BH8s", "ending counter_now nonce")
RANK = parts("BH", "rank score")
HOLDINGS = (*STATE[-4:], *parts("III", "points_before points_now purse_minor"))

INFOS = (CUSTOMER_INFO, SHOP_INFO)
CHANNEL = parts("B", "channel")
NOTHING = _fixed(())
DONE = _fixed(OUTCOME + RECEIPT + PROOF)
BLOCKS = {0x08: ", block", 0x88: ", last block", 0x28: ", secured block", 0xA8: ", last secured block"}

COMMANDS: dict[tuple[int, int], Row] = {
    (CLA_ISO, Ins.SELECT): Row(
        {0x04: ""},
        SELECTED,
        _fixed(*((aid,) for aid in AIDS.values())),
        _by_p2({p2: INFOS if p2 & 0x0C else tuple(map(template, INFOS)) for p2 in SELECTED}),
    ),
    (CLA_ISO, Ins.MANAGE_CHANNEL): Row(
        {0x00: ", open", 0x80: ", close"}, CHANNELS, NOTHING, lambda command: NOTHING(command) if command.ne is None else (CHANNEL,)
    ),
    (CLA_ISO, Ins.GET_RESPONSE): Row(ZERO, ZERO, NOTHING, lambda command: (parts(f"{command.ne or 0}s", "data"),)),
    (CLA_ISO, Ins.VERIFY): Row(ZERO, PIN, _fixed((), (secret("pin", 8),)), NOTHING),
    (CLA_ISO, Ins.CHANGE_REFERENCE_DATA): Row(ZERO, PIN, _fixed((secret("old_pin", 8), secret("new_pin", 8))), NOTHING),
    (CLA_ISO, Ins.RESET_RETRY_COUNTER): Row(ZERO, PIN, _fixed((secret("puk", 8), secret("new_pin", 8))), NOTHING),
    (CLA_ISO, Ins.GET_CHALLENGE): Row(ZERO, ZERO, NOTHING, _fixed(parts("8s", "challenge"))),
    (CLA_ISO, Ins.READ_RECORD): Row(
        RECORD_NUMBERS, RECORDS, NOTHING, _by_p2({0x0C: (SHOP_LOG_RECORD, TRANSACTION + RECEIPT), 0x14: (PENDING_ENTRY,)})
    ),
    (CLA_ISO, Ins.GET_DATA): Row(
        {1: ""}, OBJECTS, NOTHING, _by_p2({1: (RANK_RULES + LIMITS,), 2: (TOTALS,), 3: (TRIES,), 4: (KEY_VERSIONS,), 5: (SHEET,)})
    ),
    (CLA_JOREN, Ins.TRANSACT): Row(KINDS, KEYS, _fixed(ORDER + MAC), DONE),
    (CLA_JOREN, Ins.GET_STATE): Row(ZERO, ZERO, NOTHING, _fixed(STATE + MAC)),
    (CLA_JOREN, Ins.COMMIT): Row(EARNING, {2: KEYS[2]}, _fixed(ORDER + parts("H", "points") + STATE + MAC), DONE),
    (CLA_JOREN, Ins.PROVE): Row(
        ZERO,
        KEYS,
        _fixed(parts("H", "counter_asked") + ORIGIN + parts("8s", "challenge")),
        _fixed(PROVED + MAC, PROVED + TRANSACTION + RECEIPT + PROOF),
    ),
    (CLA_JOREN, Ins.GET_RESULT): Row(
        {0: "", 1: " for the holder"}, ZERO, _fixed(parts("H", "hour")), _by_p1({0: (RANK,), 1: (RANK + HOLDINGS,)})
    ),
    (CLA_JOREN, Ins.COMPUTE): Row(
        EARNING,
        VERSIONS,
        _fixed(SESSION + parts("B", "rules_version") + STATE + MAC + REQUEST),
        _fixed(parts("BIH", "slot sequence points") + STATE + MAC),
    ),
    (CLA_JOREN, Ins.AUTHORIZE): Row(AUTHORIZED, VERSIONS, _fixed(SESSION + REQUEST), _fixed(parts("BI", "slot sequence") + MAC)),
    (CLA_JOREN, Ins.RATIFY): Row(
        CLOSINGS, SLOTS, _by_p1({0: (parts("H8s", "counter_now nonce") + MAC,), 1: (OUTCOME + PROOF,), 2: ((),)}), NOTHING
    ),
    (CLA_JOREN, Ins.STORE_DATA): Row(BLOCKS, NUMBERS, _data_groupings, NOTHING),
    (CLA_JOREN, Ins.SET_STATUS): Row({0x40: ""}, STATES, _fixed(MAC), NOTHING),
}
"""(CLA, INS) to what they mean (docs/spec/customer.md, docs/spec/shop.md)."""
