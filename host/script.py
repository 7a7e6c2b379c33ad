"""Changes as scripts: a server that has the keys and no card makes all APDUs beforehand, and any terminal, which has no key, relays them.

How it works. The card's challenge is pseudo-random (i = 70): whoever has its keys and knows its sequence counter knows every byte that it
will answer. So the server runs the very dialog of the desk against the card's side of SCP03, which stands here in the card's place, and
writes down each command, and of each answer what the terminal may know. It compares that, and stops at the first that differs: a wrong
card gets no EXTERNAL AUTHENTICATE. R-MACs are left out. The terminal brings back the answers, and the server makes the card's side once
more over the script: an R-MAC that is right was made by the card, as nobody else could have known it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from secrets import token_bytes

from joren.apdu import CLA_ISO, SW, Command, Ins, LifeCycle, LinkLost, Response, describe
from joren.apdu.cards import CustomerInfo, ShopInfo
from joren.apdu.gp import MANAGER_AID, GpIns
from joren.apdu.scp03 import CardSession, CardSettings, InitializeUpdateAnswer, Parameter, ScpKeys

from .admin import perform
from .changes import AdminKeys, Change, Step
from .channel import CHALLENGE_SIZE
from .desk import own_keys
from .dialog import Ask, Dialog, Slot, run, understood
from .errors import CardRefused, HostError
from .facts import Facts, read_facts
from .product import Product
from .scriptfile import Answers, Line, Probe, Script

__all__ = ["Checked", "check_script", "make_script", "probe", "relay"]

PARAMETER = Parameter(pseudo_random=True)
STATE_SW = {LifeCycle.BLOCKED: SW.FILE_DEACTIVATED, LifeCycle.TERMINATED: SW.FILE_TERMINATED}
NE = 0x100
UNKNOWN = ".."


def probe(slot: Slot, programme: int, *, version: int = 0, random: Callable[[int], bytes] = token_bytes) -> Dialog[Probe]:
    """What a server must know to make a script for the card in a slot. Needs no key; the card's sequence counter goes one step.

    `version` is that of the card manager's key set, 0 the card's choice. Raises HostError for a card that was not issued or whose
    challenges can not be foretold, CardRefused, CardFault, LinkLost.
    """
    facts = yield from read_facts(slot, programme)
    if facts.state is LifeCycle.SELECTABLE:
        raise HostError(f"{slot.value}: an issued one expected, it is blank; make it first")
    command = Command(0x80, GpIns.INITIALIZE_UPDATE, version, 0x00, random(CHALLENGE_SIZE), NE)
    response = yield Ask(slot, command)
    if not response.ok:
        raise CardRefused(slot.value, "INITIALIZE_UPDATE", response.sw)
    answer = understood(slot, "INITIALIZE_UPDATE", InitializeUpdateAnswer.decode, response.data)
    if answer.parameter != PARAMETER or answer.sequence_counter is None:
        raise HostError(f"{slot.value}: i = 70 expected, {answer.parameter.encode():02X} came: no script can be made for it")
    return Probe(facts, answer.diversification_data, answer.key_version, answer.sequence_counter)


class ForetoldCard:
    """A card as the server foretells it: the card's side of SCP03 with the card's own keys, and answers that are told beforehand."""

    def __init__(self, keys: AdminKeys, card: bytes, first: int, counter: int) -> None:
        self.answers: deque[bytes] = deque()
        self._keys, self._card, self._first = keys, card, first
        self._counters = {first: counter}
        self._aid = b""
        self._session: CardSession | None = None

    def select(self, aid: bytes) -> None:
        """An application is selected, and no channel open."""
        self._aid, self._session = aid, None

    def transmit(self, command: Command) -> Response:
        """The answer to any command but SELECT. Raises HostError for one outside a channel."""
        if command.ins == GpIns.INITIALIZE_UPDATE:
            keys = self._keys.manager_keys(self._card, command.p1 or self._first)
            try:
                settings = CardSettings((keys,), PARAMETER, self._card, self._aid)
            except ValueError as error:
                raise HostError(f"script: {error}") from None
            self._session = CardSession(settings, bytes, self._counters)
        if self._session is None:
            raise HostError("script: INITIALIZE UPDATE before other commands expected")
        outcome = self._session.process(command)
        if isinstance(outcome, Response):
            return outcome
        if not self.answers:
            raise HostError("script: a step within the channel without its answer")
        return self._session.wrap_response(Response(self.answers.popleft(), SW.OK))


def make_script(
    probed: Probe, product: Product, keys: AdminKeys, change: Change, created: str, *, random: Callable[[int], bytes] = token_bytes
) -> Script:
    """The script of a change for the card that was probed; `created` is a time for people.

    Raises HostError where the change can not be, and where the card says that it is so already: there is nothing to send.
    """
    facts = probed.facts
    if facts.programme != product.programme:
        raise HostError(f"probe: programme {product.programme} expected, {facts.programme} came")
    sessions = change.plan(facts, product, keys)
    if not sessions:
        raise HostError(f"{facts.slot.value} {facts.identity.hex().upper()}: {change.purpose}: it is so already, as the card says")
    card = ForetoldCard(keys, probed.card, probed.key_version, probed.counter)
    lines: list[Line] = []
    told: list[Step] = []

    def found_keys(answer: InitializeUpdateAnswer) -> ScpKeys:
        return own_keys(keys, answer)

    def foretell(step: Step) -> None:
        told.append(step)
        card.answers.append(step.answer)

    def transmit(command: Command) -> Response:
        if command.cla == CLA_ISO and command.ins == Ins.SELECT:
            card.select(command.data)
            response, expected = _selected(facts, command.data)
            lines.append(Line("SELECT", command, expected))
            return response
        response = card.transmit(command)
        step = told.pop() if told else None
        lines.append(Line(_name(command, step), command, _expected(response, step), None if step is None else step.answer))
        return response

    for session in sessions:
        version = session.version or probed.key_version
        if version != probed.key_version and version in facts.manager_versions:
            raise HostError(f"probe: one with the card manager's keys of version {version} expected, {probed.key_version} came")
        dialog = perform(facts.slot, facts.programme, replace(session, version=version), found_keys, random=random, foretell=foretell)
        run(dialog, {facts.slot: transmit})
    return Script(
        change.purpose, facts.slot, facts.programme, facts.identity, probed.card, probed.key_version, probed.counter, created, tuple(lines)
    )


def _selected(facts: Facts, aid: bytes) -> tuple[Response, str]:
    """What SELECT answers; of an instance without what sales change, which may differ when the script is run."""
    if aid == MANAGER_AID:
        return Response(b"", SW.OK), "9000"
    sw = STATE_SW.get(facts.state, SW.OK)
    info = facts.info
    other: CustomerInfo | ShopInfo
    if isinstance(info, CustomerInfo):
        other = replace(info, counter=info.counter ^ 0xFFFF, nonce=bytes(byte ^ 0xFF for byte in info.nonce), rank=info.rank ^ 0xFF)
    else:
        left = {"points_left": info.points_left ^ 0xFFFFFFFF, "money_left_minor": info.money_left_minor ^ 0xFFFFFFFF}
        other = replace(info, pending=info.pending ^ 0xFF, sequence=info.sequence ^ 0xFFFFFFFF, **left)
    raw = info.encode()
    pattern = "".join(f"{one:02X}" if one == two else UNKNOWN for one, two in zip(raw, other.encode(), strict=True))
    return Response(raw, sw), f"{pattern}{sw:04X}"


def _name(command: Command, step: Step | None) -> str:
    ins = command.ins if step is None else step.command.ins
    return (GpIns if ins in set(GpIns) else Ins)(ins).name.replace("_", " ")


def _expected(response: Response, step: Step | None) -> str:
    """What the terminal may know: within the channel the length and the status word alone."""
    raw = response.encode().hex().upper()
    return raw if step is None else UNKNOWN * len(response.data) + raw[-4:]


def relay(script: Script) -> Dialog[Answers]:
    """The terminal's part: sends the script's commands until an answer differs. Needs no key; what was answered is told in any case."""
    told: list[Response] = []
    for number, line in enumerate(script.lines, 1):
        try:
            response = yield Ask(script.slot, line.command)
        except LinkLost:
            return Answers(script.digest, tuple(told), f"step {number}, {line.name}: the link to the card was lost; make a new script")
        told.append(response)
        if not line.takes(response):
            return Answers(script.digest, tuple(told), f"step {number}, {line.name}: {_why(line, response)}; make a new script")
    return Answers(script.digest, tuple(told), "")


def _why(line: Line, response: Response) -> str:
    if line.name == "SELECT":
        return "another card, or its state has changed since it was probed; nothing was changed"
    if line.name == "INITIALIZE UPDATE":
        return "another card, or its sequence counter has moved on (the script was run before, say); nothing was changed"
    if response.ok:
        return "another answer than that of the card"
    return f"the card refused: {describe(response.sw)}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What answers prove: so many of the `steps` within the channel were done by the card. `word` says what comes next."""

    proven: int
    steps: int
    word: str

    @property
    def done(self) -> bool:
        """Whether the card did all of it."""
        return self.proven == self.steps


def check_script(script: Script, answers: Answers, keys: AdminKeys) -> Checked:
    """What the card did, by the answers that a terminal brought. Raises HostError for answers of another script, or that no card gave."""
    if answers.script != script.digest:
        raise HostError("answers: those of this script expected, those of another one came")
    if len(answers.told) > len(script.lines):
        raise HostError(f"answers: at most {len(script.lines)} expected, {len(answers.told)} came")
    card = ForetoldCard(keys, script.card, script.key_version, script.counter)
    steps = sum(line.answer is not None for line in script.lines)
    proven = 0
    for number, (line, told) in enumerate(zip(script.lines, answers.told, strict=False), 1):
        expected = _again(card, line)
        if expected is None or told == expected:
            if not line.takes(told):
                break
            proven += line.answer is not None
        elif line.answer is None and line.takes(told):
            raise HostError(f"script: step {number}, {line.name}: made with other keys than those at hand; check it where it was made")
        elif line.answer is not None and told.sw == expected.sw:
            raise HostError(f"answers: step {number}, {line.name}: its R-MAC is not the card's; who brought these did not reach the card")
        else:
            break
    word = "done by the card" if proven == steps else f"not all of it: {answers.ended or 'answers are missing'}"
    return Checked(proven, steps, word)


def _again(card: ForetoldCard, line: Line) -> Response | None:
    """What the card must have answered; None to SELECT, whose answer is not foretold."""
    if line.name == "SELECT":
        card.select(line.command.data)
        return None
    card.answers.clear()
    if line.answer is not None:
        card.answers.append(line.answer)
    return card.transmit(line.command)
