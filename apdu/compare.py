"""Where an APDU differs from the one that was recorded: field by field, and which of the fields may differ.

How it works. Both are explained (explain.py) and their items compared by name. A nonce, a challenge or a whole secured message is drawn
anew each time, so it may differ. A MAC may differ once something drawn did at that card, for it covers that; before, it may not. PROOF and
RECEIPT cover nothing that is drawn: where they differ the keys do, or the card is wrong.
"""

from dataclasses import dataclass
from enum import Enum

from .codes import SECRET_INS
from .command import Command
from .explain import Explained, explain_command, explain_response
from .layouts import Field
from .response import Response
from .scp03_class import is_protected
from .status import SW

__all__ = ["Change", "Why", "compare_commands", "compare_responses"]

DRAWN, MACS = frozenset({"nonce", "challenge"}), frozenset({"mac"})
INITIALIZE_UPDATE = 0x50
NOTHING, SECRET, ANOTHER = "nothing", "(secret)", "(another secret)"
OF_ANOTHER_NONCE = " (the recorded MAC is over a nonce that this card did not draw)"


class Why(Enum):
    """Why a field differs."""

    DIFFERENT = "different"
    DRAWN = "drawn anew"
    MAC = "a MAC over what was drawn anew"


@dataclass(frozen=True, slots=True)
class Change:
    """A field that differs: its name, how it reads in the recording, how it reads now."""

    field: str
    expected: str
    came: str
    why: Why

    @property
    def may_differ(self) -> bool:
        """Whether it differs from one tap to the next."""
        return self.why is not Why.DIFFERENT


UNSEEN = Change("data", SECRET, ANOTHER, Why.DIFFERENT)
"""Bytes differ that are not shown."""


def compare_commands(expected: Command, came: Command, *, masked: bool = False, drawn: bool = False) -> tuple[Change, ...]:
    """The fields in which two commands differ.

    `masked`: the secrets of the first are not known. `drawn`: something that is drawn differed before.
    """
    if expected == came or (masked and expected.masked() == came.masked()):
        return ()
    before, after = explain_command(expected), explain_command(came)
    if _head(expected) != _head(came):
        return (Change("command", before.name, after.name, Why.DIFFERENT),)
    if _secured(expected):
        return _as_a_whole(expected, expected.data, came.data)
    changes = _changes(before, after, drawn)
    if expected.ne != came.ne:
        changes.append(Change("Ne", str(expected.ne), str(came.ne), Why.DIFFERENT))
    return tuple(changes) or (UNSEEN,)


def compare_responses(command: Command, expected: Response, came: Response, *, drawn: bool = False) -> tuple[Change, ...]:
    """The fields in which two answers to a command differ; the status word is the first of them."""
    if expected == came:
        return ()
    changes = []
    if expected.sw != came.sw:
        why = OF_ANOTHER_NONCE if drawn and came.sw == SW.MAC_INCORRECT else ""
        changes = [Change("status", str(expected.status), f"{came.status}{why}", Why.DIFFERENT)]
        if not came.data:
            return tuple(changes)
    if _secured(command):
        return (*changes, *_as_a_whole(command, expected.data, came.data))
    changes += _changes(explain_response(command, expected), explain_response(command, came), drawn)
    return tuple(changes) or (UNSEEN,)


def _as_a_whole(command: Command, expected: bytes, came: bytes) -> tuple[Change, ...]:
    """Two messages of a secure channel, or parts of its opening."""
    if expected == came:
        return ()
    why = Why.DRAWN if len(expected) == len(came) else Why.DIFFERENT
    hidden = command.ins in SECRET_INS
    return (Change("secured data", SECRET if hidden else _hex(expected), ANOTHER if hidden else _hex(came), why),)


def _changes(before: Explained, after: Explained, drawn: bool) -> list[Change]:
    """By the names of the items; where these are others, the data as a whole."""
    if [field.name for field in before.fields] != [field.name for field in after.fields]:
        return [Change("data", _whole(before.fields), _whole(after.fields), Why.DIFFERENT)]
    pairs = zip(before.fields, after.fields, strict=True)
    return [Change(old.name, old.value, new.value, _why(old.name, drawn)) for old, new in pairs if old.value != new.value]


def _why(name: str, drawn: bool) -> Why:
    if name in DRAWN:
        return Why.DRAWN
    return Why.MAC if drawn and name in MACS else Why.DIFFERENT


def _whole(fields: tuple[Field, ...]) -> str:
    return ", ".join(f"{field.name} {field.value}" for field in fields) or NOTHING


def _head(command: Command) -> tuple[int, int, int, int]:
    return command.cla, command.ins, command.p1, command.p2


def _secured(command: Command) -> bool:
    """A message of a secure channel, or the command that begins it: its bytes come from what both sides draw."""
    return is_protected(command.cla) or command.ins == INITIALIZE_UPDATE


def _hex(data: bytes) -> str:
    return data.hex().upper() or NOTHING
