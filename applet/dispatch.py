"""From a command to its handler: the checks that every command has in common, in their order of precedence (REQ-APDU-1 to REQ-APDU-7)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ins, Response

from .applet import Refused

__all__ = ["Form", "Forms", "any_of", "check_form", "check_le", "fixed", "guarded"]


@dataclass(frozen=True, slots=True)
class Form:
    """What a command looks like for one P1 P2: the lengths its data may have and the length of its answer."""

    lengths: frozenset[int]
    answer: int


Forms = Mapping[tuple[int, int], Callable[[int, int], Form | None]]
"""(CLA, INS) to a function from (P1, P2) to the form, or None where P1 P2 are not listed."""


def fixed(p1: int, p2: int, length: int, answer: int) -> Callable[[int, int], Form | None]:
    """The form of a command with one P1 P2, one length of data and one length of answer."""
    return any_of({(p1, p2): Form(frozenset({length}), answer)})


def any_of(forms: Mapping[tuple[int, int], Form]) -> Callable[[int, int], Form | None]:
    """The form of a command from a table of its P1 P2."""
    return lambda p1, p2: forms.get((p1, p2))


def check_form(command: Command, forms: Forms, allowed: frozenset[Ins]) -> None:
    """Raises Refused with the first status word that applies: 6E00, 6D00, 6A86, 6700, 6CXX, 6985."""
    form_of = forms.get((command.cla, command.ins))
    if form_of is None:
        raise Refused(SW.INS_NOT_SUPPORTED if command.cla in (CLA_ISO, CLA_JOREN) else SW.CLA_NOT_SUPPORTED)
    form = form_of(command.p1, command.p2)
    if form is None:
        raise Refused(SW.INCORRECT_P1_P2)
    if len(command.data) not in form.lengths:
        raise Refused(SW.WRONG_LENGTH)
    check_le(command, form.answer)
    if command.ins not in allowed:
        raise Refused(SW.CONDITIONS_NOT_SATISFIED)


def check_le(command: Command, answer: int) -> None:
    """Raises Refused(6CXX) if the command asks for fewer bytes than its answer has (REQ-APDU-4)."""
    if answer and (command.ne is None or command.ne < answer):
        raise Refused(SW.WRONG_LE | answer)


def guarded(handler: Callable[[Command], Response], command: Command) -> Response:
    """The handler's answer, or the status word it refused with and no data (REQ-APDU-7)."""
    try:
        return handler(command)
    except Refused as refused:
        return Response(b"", refused.sw)
