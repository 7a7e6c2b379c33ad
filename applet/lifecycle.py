"""The life cycle of both cards: one table of transitions, one of what each state allows (REQ-LIFE-1, REQ-LIFE-2).

Everything that affects the life cycle lives here; the diagram and the table in docs/spec/common.md are made from it (`python -m
joren.applet.lifecycle`)."""

from enum import Enum

from joren.apdu import SW, Ins, LifeCycle

from .applet import Refused

__all__ = ["ALLOWED_CUSTOMER", "ALLOWED_SHOP", "SELECT_STATUS", "TRANSITIONS", "Cause", "next_state", "to_markdown"]


class Cause(Enum):
    """What moves a card to another state."""

    PERSONALIZED = "last STORE DATA, all there"
    BLOCK = "SET STATUS 83"
    UNBLOCK = "SET STATUS 0F"
    TERMINATE = "SET STATUS FF"


TRANSITIONS: dict[tuple[LifeCycle, Cause], LifeCycle] = {
    (LifeCycle.SELECTABLE, Cause.PERSONALIZED): LifeCycle.ISSUED,
    (LifeCycle.ISSUED, Cause.BLOCK): LifeCycle.BLOCKED,
    (LifeCycle.BLOCKED, Cause.UNBLOCK): LifeCycle.ISSUED,
    (LifeCycle.ISSUED, Cause.TERMINATE): LifeCycle.TERMINATED,
    (LifeCycle.BLOCKED, Cause.TERMINATE): LifeCycle.TERMINATED,
}

ALLOWED_CUSTOMER: dict[int, frozenset[Ins]] = {
    LifeCycle.SELECTABLE: frozenset({Ins.STORE_DATA}),
    LifeCycle.ISSUED: frozenset(
        {
            Ins.TRANSACT, Ins.GET_STATE, Ins.COMMIT, Ins.PROVE, Ins.GET_RESULT, Ins.READ_RECORD, Ins.GET_DATA,
            Ins.VERIFY, Ins.CHANGE_REFERENCE_DATA, Ins.RESET_RETRY_COUNTER, Ins.SET_STATUS, Ins.STORE_DATA,
        }
    ),
    LifeCycle.BLOCKED: frozenset({Ins.PROVE, Ins.GET_DATA, Ins.SET_STATUS, Ins.STORE_DATA}),
    LifeCycle.TERMINATED: frozenset({Ins.GET_DATA}),
}  # fmt: skip

ALLOWED_SHOP: dict[int, frozenset[Ins]] = {
    LifeCycle.SELECTABLE: frozenset({Ins.STORE_DATA}),
    LifeCycle.ISSUED: frozenset(
        {
            Ins.COMPUTE,
            Ins.AUTHORIZE,
            Ins.RATIFY,
            Ins.GET_CHALLENGE,
            Ins.READ_RECORD,
            Ins.GET_DATA,
            Ins.SET_STATUS,
            Ins.STORE_DATA,
        }
    ),
    LifeCycle.BLOCKED: frozenset({Ins.RATIFY, Ins.GET_CHALLENGE, Ins.READ_RECORD, Ins.GET_DATA, Ins.SET_STATUS, Ins.STORE_DATA}),
    LifeCycle.TERMINATED: frozenset({Ins.READ_RECORD, Ins.GET_DATA}),
}

SELECT_STATUS: dict[int, SW] = {
    LifeCycle.SELECTABLE: SW.OK,
    LifeCycle.ISSUED: SW.OK,
    LifeCycle.BLOCKED: SW.FILE_DEACTIVATED,
    LifeCycle.TERMINATED: SW.FILE_TERMINATED,
}
"""What SELECT answers in each state, always with its data (REQ-LIFE-3)."""

CAUSE_OF_P2 = {LifeCycle.ISSUED: Cause.UNBLOCK, LifeCycle.BLOCKED: Cause.BLOCK, LifeCycle.TERMINATED: Cause.TERMINATE}


def next_state(state: int, wanted: int) -> LifeCycle:
    """The state that SET STATUS leads to; Refused(6985) if there is no such transition (REQ-ADM-1)."""
    target = TRANSITIONS.get((LifeCycle(state), CAUSE_OF_P2[LifeCycle(wanted)]))
    if target is None:
        raise Refused(SW.CONDITIONS_NOT_SATISFIED)
    return target


def to_markdown() -> str:
    """The diagram (Mermaid) and the table of allowed commands, as they stand in docs/spec/common.md."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> SELECTABLE"]
    lines += [f"    {state.name} --> {target.name}: {cause.value}" for (state, cause), target in TRANSITIONS.items()]
    lines += ["    TERMINATED --> [*]", "```", "", "| state | customer card | shop card |", "|---|---|---|"]
    for state in LifeCycle:
        cells = [
            ", ".join(ins.name.replace("_", " ") for ins in sorted(allowed[state])) or "-" for allowed in (ALLOWED_CUSTOMER, ALLOWED_SHOP)
        ]
        lines.append(f"| {state.name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)
