"""Changes as scripts: made without the card, relayed without a key, checked by R-MACs; lost, repeated, altered, and on other cards."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adminkit import CHANGED, CHANGES, IDS, Field, Line, view
from canary import leaks
from deskkit import CUSTOMER, PRODUCT, SHOP, blank
from joren.apdu import SW, Command, Key, Kind, LifeCycle, LinkLost, Response
from joren.apdu.gp import GpIns
from joren.host import CardRefused, HostError, Journal, SoftwareKeys, Till, run
from joren.host.changes import CardKeys, Change, ManagerKeys, NewPin, Refill, Retire, Rules, Status
from joren.host.personalization import Order
from joren.host.script import Checked, check_script, make_script, probe, relay
from joren.host.scriptfile import Answers, Probe, Script
from joren.simulator.profile import load_profile, profile_names
from joren.simulator.protocol import T0Card

EACH = pytest.mark.parametrize(("order", "change"), CHANGES, ids=IDS)
PROGRAMME = PRODUCT.programme
WHEN = "2026-03-02 08:00"


def probed(field: Field, version: int = 0) -> Probe:
    """As the file brings it to the server."""
    found = run(probe(field.slot, PROGRAMME, version=version), {field.slot: field.chip.process})
    assert Probe.decode(found.encode()) == found
    return Probe.decode(found.encode())


def scripted(field: Field, change: Change, version: int = 0) -> Script:
    """As the file brings it to the terminal."""
    script = make_script(probed(field, version), CHANGED, field.masters, change, WHEN)
    assert Script.decode(script.encode()) == script
    return Script.decode(script.encode())


def relayed(field: Field, script: Script, link: Line | None = None) -> Answers:
    """As the file brings it back to the server."""
    answers = run(relay(script), {script.slot: link or field.chip.process})
    assert Answers.decode(answers.encode()) == answers
    return Answers.decode(answers.encode())


def by_script(field: Field, change: Change, version: int = 0) -> Checked:
    script = scripted(field, change, version)
    return check_script(script, relayed(field, script), field.masters)


def version_of(field: Field, change: Change) -> int:
    """The key set to be probed: one beside the card's first, once it is there."""
    there = field.chip.manager is not None and 2 in field.chip.manager.memory.versions
    return 2 if change == ManagerKeys(beside=True) and there else 0


@EACH
def test_a_script_does_what_the_desk_does(order: Order, change: Change) -> None:
    """The card is the same, byte for byte; and the answers prove it."""
    field = Field.of(order)
    desk = field.fork()
    desk.change(change)
    checked = by_script(field, change)
    assert view(field) == view(desk)
    assert checked.done
    assert checked.word == "done by the card"


@pytest.mark.parametrize("name", profile_names())
def test_every_chip_runs_it(name: str) -> None:
    """Over every contact protocol that it has."""
    profile = load_profile(name)
    field = Field.of(CUSTOMER, profile=profile)
    link = T0Card(field.chip).transmit if profile.protocols[0] == "T=0" else field.chip.process
    links = {field.slot: link}
    script = make_script(run(probe(field.slot, PROGRAMME), links), CHANGED, field.masters, CardKeys(), WHEN)
    assert check_script(script, run(relay(script), links), field.masters).done


@EACH
def test_a_script_runs_once(order: Order, change: Change) -> None:
    """REQ-ATK-46: the counter has moved on, or the card's state: the terminal stops before it authenticates, and nothing changes."""
    field = Field.of(order)
    script = scripted(field, change)
    relayed(field, script)
    before = view(field)
    line = Line(field.chip)
    again = relayed(field, script, line)
    assert "nothing was changed; make a new script" in again.ended
    assert GpIns.EXTERNAL_AUTHENTICATE not in {command.ins for command in line.sent}
    assert view(field) == before
    checked = check_script(script, again, field.masters)
    assert checked.proven == 0
    assert not checked.done


@EACH
def test_another_card_gets_no_further_command(order: Order, change: Change) -> None:
    """REQ-ATK-46: another one of this issuer, the same card id on another chip, and a card of another issuer."""
    field = Field.of(order)
    script = scripted(field, change)
    other = replace(order, card_id=b"\xcc" * 8) if order == CUSTOMER else replace(order, terminal=9)  # type: ignore[arg-type]
    for another in (Field.of(other, 2), Field.of(order, 2), Field.of(order, first=0x91)):
        before, line = view(another), Line(another.chip)
        answers = relayed(another, script, line)
        assert "another card" in answers.ended
        assert GpIns.EXTERNAL_AUTHENTICATE not in {command.ins for command in line.sent}
        assert view(another) == before


def test_the_second_of_two_scripts_for_one_probe_is_refused() -> None:
    field = Field.of(CUSTOMER)
    found = probed(field)
    first, second = (make_script(found, CHANGED, field.masters, change, WHEN) for change in (NewPin("1111", "22223333"), Rules()))
    assert check_script(first, relayed(field, first), field.masters).done
    before = view(field)
    assert "sequence counter has moved on" in relayed(field, second).ended
    assert view(field) == before
    with pytest.raises(HostError, match="those of another one came"):
        check_script(second, relayed(field, first), field.masters)


def test_a_script_waits_while_its_card_is_used() -> None:
    """What sales change is not looked at; what the issuer changed is."""
    field = Field.of(CUSTOMER)
    script = scripted(field, CardKeys())
    keys = SoftwareKeys(PROGRAMME, 1, 0, field.masters.ring("till", PROGRAMME))
    with Journal(":memory:") as journal:
        granted = run(Till(keys, journal).purchase("S-1", 100, 1000, 0, 10), {field.slot: field.chip.process})
    assert granted.kind is Kind.PURCHASE
    assert check_script(script, relayed(field, script), field.masters).done
    script = scripted(field, CardKeys(1))
    field.chip.process(Command(0x80, GpIns.INITIALIZE_UPDATE, 0, 0, bytes(8), 256))
    assert "step 2, INITIALIZE UPDATE" in relayed(field, script).ended
    script = scripted(field, CardKeys(1))
    field.change(Status(LifeCycle.BLOCKED))
    assert "step 1, SELECT" in relayed(field, script).ended


@EACH
def test_one_bit_of_any_apdu_changed(order: Order, change: Change) -> None:
    """REQ-ATK-46: the card is as before or as it shall be, and the server takes no answer for more than the card did."""
    field = Field.of(order)
    desk = field.fork()
    desk.change(change)
    script = scripted(field, change)
    states = (view(field), view(desk))
    for number, line in enumerate(script.lines):
        raw = line.command.encode()
        for bit in {*range(0, 8 * len(raw), 7), *range(32), *range(8 * len(raw) - 8, 8 * len(raw))}:
            twisted = bytearray(raw)
            twisted[bit >> 3] ^= 1 << (bit & 7)
            try:
                command = Command.decode(bytes(twisted))
            except ValueError:
                continue
            lines = (*script.lines[:number], replace(line, command=command), *script.lines[number + 1 :])
            torn = field.fork()
            told = run(relay(replace(script, lines=lines)), {script.slot: torn.chip.process})
            assert view(torn) in states
            try:
                checked = check_script(script, replace(told, script=script.digest), field.masters)
            except HostError:
                continue
            assert not checked.done or view(torn) == states[1]


@EACH
@pytest.mark.parametrize("acted", [False, True], ids=["before", "after"])
def test_a_link_lost_at_any_apdu_and_a_new_script(order: Order, change: Change, acted: bool) -> None:
    """Nothing half done, nothing done twice: the new script finishes it, or the card says that it is so already."""
    field = Field.of(order)
    desk = field.fork()
    desk.change(change)
    old, new = view(field), view(desk)
    script = scripted(field, change)
    for number in range(1, len(script.lines) + 1):
        torn = field.fork()
        answers = relayed(torn, script, Line(torn.chip, number, acted=acted))
        assert answers.ended.startswith(f"step {number}, ")
        assert "lost" in answers.ended
        assert len(answers.told) == number - 1
        checked = check_script(script, answers, field.masters)
        torn.chip.power_on()
        assert view(torn) in (old, new)
        assert not checked.done or view(torn) == new
        if view(torn) == new and isinstance(change, Status | Refill):
            with pytest.raises(HostError, match="it is so already, as the card says"):
                by_script(torn, change)
        else:
            assert by_script(torn, change, version_of(torn, change)).done
        assert view(torn) == new


def test_answers_that_the_terminal_made_up_are_found() -> None:
    """REQ-ATK-47: it knows the script, every answer but the R-MACs."""
    field = Field.of(SHOP)
    script = scripted(field, Refill(1, 500, 70))
    made_up = tuple(Response.decode(bytes.fromhex(line.expected.replace("..", "5A"))) for line in script.lines)
    with pytest.raises(HostError, match="its R-MAC is not the card's; who brought these did not reach the card"):
        check_script(script, Answers(script.digest, made_up, ""), field.masters)
    answers = relayed(field, script)
    assert check_script(script, answers, field.masters).done
    for number, told in enumerate(answers.told):
        for bit in range(8 * len(told.data)):
            data = bytearray(told.data)
            data[bit >> 3] ^= 1 << (bit & 7)
            changed = (*answers.told[:number], Response(bytes(data), told.sw), *answers.told[number + 1 :])
            forged = replace(answers, told=changed)
            if script.lines[number].answer is not None:
                with pytest.raises(HostError, match="R-MAC"):
                    check_script(script, forged, field.masters)
            elif script.lines[number].name != "SELECT":
                assert not check_script(script, forged, field.masters).done


def test_answers_cut_short_or_too_many_or_with_an_error_prove_no_more_than_they_do() -> None:
    field = Field.of(CUSTOMER)
    script = scripted(field, Rules())
    answers = relayed(field, script)
    proven = [check_script(script, replace(answers, told=answers.told[:count], ended=""), field.masters).proven for count in range(6)]
    assert proven == [0, 0, 0, 0, 1, 2]
    assert (
        check_script(script, replace(answers, told=answers.told[:4], ended=""), field.masters).word == "not all of it: answers are missing"
    )
    refused = replace(answers, told=(*answers.told[:3], Response(b"", 0x6985)), ended="step 4")
    assert check_script(script, refused, field.masters) == Checked(0, 2, "not all of it: step 4")
    with pytest.raises(HostError, match="at most 5 expected, 6 came"):
        check_script(script, replace(answers, told=(*answers.told, answers.told[0])), field.masters)


def test_a_command_that_the_card_refuses_is_told() -> None:
    """The card has had this refill, though the probe, which is the terminal's word, says otherwise."""
    field = Field.of(SHOP)
    lie = probed(field)
    field.change(Refill(1, 500, 70))
    now = probed(field)
    lie = replace(now, facts=replace(now.facts, info=lie.facts.info))
    script = make_script(lie, CHANGED, field.masters, Refill(1, 500, 70), WHEN)
    first, *rest = script.lines
    blind = replace(script, lines=(replace(first, expected=".." * (len(first.expected) // 2)), *rest))
    before = view(field)
    answers = run(relay(blind), {field.slot: field.chip.process})
    assert "the card refused: 6985 CONDITIONS_NOT_SATISFIED" in answers.ended
    assert view(field) == before
    assert not check_script(script, replace(answers, script=script.digest), field.masters).done


@EACH
def test_a_terminal_never_sees_a_key_or_a_pin(order: Order, change: Change) -> None:
    """All that it has is the script and what the card answers."""
    field = Field.of(order)
    script = scripted(field, change)
    seen = (script.encode() + relayed(field, script).encode() + probed(field).encode()).encode()
    keys: set[bytes] = set()
    masters = field.masters
    for version in (1, 2):
        for name in ("till", "shop", "load", "admin", "shop_admin", "manager"):
            keys.add(masters.vault.key(name, version).reveal())  # type: ignore[attr-defined]
        keys |= {masters.group_master(name, PROGRAMME, version).reveal() for name in ("till", "shop", "load")}
        found = masters.manager_keys(script.card, version)
        keys |= {key.reveal() for key in (found.enc, found.mac, found.dek)}
    assert leaks(seen, keys) == set()
    for digits in ("987654", "11112222", masters.puk(PROGRAMME, CUSTOMER.card_id)):
        assert digits.encode().hex().upper().encode() not in seen
        assert f'"{digits}"'.encode() not in seen


def test_nothing_to_do_is_told() -> None:
    """A state or a refill that the card has already; what has to be sent anyway is proven again."""
    field = Field.of(SHOP)
    field.change(Refill(1, 5, 5))
    for change in (Refill(1, 5, 5), Status(LifeCycle.ISSUED)):
        with pytest.raises(HostError, match="it is so already, as the card says"):
            scripted(field, change)
    field.change(CardKeys())
    assert by_script(field, Retire(1)).done
    assert by_script(field, Retire(1)).done
    assert by_script(field, CardKeys()).done
    assert by_script(field, ManagerKeys(beside=True)).done
    script = scripted(field, ManagerKeys(), version=2)
    assert check_script(script, relayed(field, script), field.masters).done


def test_what_can_not_be_scripted_is_told() -> None:
    field = Field.of(CUSTOMER)
    found = probed(field)
    with pytest.raises(HostError, match="programme 1 expected, 2 came"):
        make_script(replace(found, facts=replace(found.facts, programme=2)), CHANGED, field.masters, Rules(), WHEN)
    with pytest.raises(CardRefused, match="INITIALIZE_UPDATE"):
        probed(field, version=9)
    with pytest.raises(CardRefused):
        run(probe(CUSTOMER.slot, PROGRAMME), {CUSTOMER.slot: blank(5).process})
    with pytest.raises(HostError, match="version 7 is not in the vault"):
        make_script(replace(found, key_version=7), CHANGED, field.masters, Rules(), WHEN)
    field.change(ManagerKeys(beside=True))
    with pytest.raises(HostError, match="one with the card manager's keys of version 2 expected, 1 came"):
        scripted(field, ManagerKeys())

    def random_challenge(command: Command) -> Response:
        response = field.chip.process(command)
        if command.ins != GpIns.INITIALIZE_UPDATE:
            return response
        return Response(response.data[:12] + b"\x60" + response.data[13:29], SW.OK)

    with pytest.raises(HostError, match="i = 70 expected, 60 came"):
        run(probe(CUSTOMER.slot, PROGRAMME), {CUSTOMER.slot: random_challenge})

    def pulled(_command: Command) -> Response:
        raise LinkLost("pulled")

    with pytest.raises(LinkLost):
        run(probe(CUSTOMER.slot, PROGRAMME), {CUSTOMER.slot: pulled})


FILES: dict[str, tuple[type[Probe | Script | Answers], str]] = {}


def files() -> dict[str, tuple[Any, str]]:
    if not FILES:
        field = Field.of(CUSTOMER)
        found = probed(field)
        script = make_script(found, CHANGED, field.masters, Rules(), WHEN)
        FILES.update(probe=(Probe, found.encode()), script=(Script, script.encode()), answers=(Answers, relayed(field, script).encode()))
    return FILES


WRONG: list[object] = [None, 7, -1, True, "", "XY", "0", "00", [], {}, [1], "A" * 65, 1 << 70, 1.5]


@pytest.mark.parametrize("name", ["probe", "script", "answers"])
def test_a_file_that_is_wrong_is_refused_by_the_name_of_what_is(name: str) -> None:
    """Whatever stands in place of whichever value: HostError, or a file that is one."""
    kind, text = files()[name]
    for wrong in (
        "",
        "[]",
        "{",
        "{}",
        text[:-9],
        text.replace("joren-", "x-"),
        text.replace('"version": 1', '"version": 2'),
        "[" * 100_000,
    ):
        with pytest.raises(HostError):
            kind.decode(wrong)
    table = json.loads(text)
    for key in table:
        with pytest.raises(HostError, match=key):
            kind.decode(json.dumps({other: value for other, value in table.items() if other != key}))
        for value in WRONG:
            try:
                kind.decode(json.dumps({**table, key: value}))
            except HostError:
                continue
            assert isinstance(value, type(table[key]) if key != "selected" else str)
    with pytest.raises(HostError, match="one of"):
        kind.decode(json.dumps({**table, "more": 1}))


def test_a_step_that_is_wrong_is_refused() -> None:
    kind, text = files()["script"]
    table = json.loads(text)
    wrong: dict[str, list[object]] = {
        "name": [1],
        "command": ["", "00", 5],
        "expected": ["", "9", "90", "9x00", "90 0", 5],
        "answer": ["0", 5],
    }
    for key, values in wrong.items():
        for value in values:
            steps = [{**table["steps"][0], key: value}]
            with pytest.raises(HostError, match=rf"steps\[0\].{key}"):
                kind.decode(json.dumps({**table, "steps": steps}))


def test_a_script_that_was_altered_is_told_or_counted_no_further_than_its_steps() -> None:
    """The server's own file, damaged: HostError, or as many steps as are right; never another exception."""
    field = Field.of(CUSTOMER)
    script = scripted(field, Rules())
    answers = relayed(field, script)
    lines = script.lines
    changed = [(*lines[:number], *lines[number + 1 :]) for number in range(5)] + [tuple(reversed(lines)), lines * 2]
    for number, line in enumerate(lines):
        swaps = [replace(line, answer=None if line.answer is not None else b"\x00"), replace(line, name="SELECT"), replace(line, name="x")]
        swaps += [replace(line, command=Command(0, 0xA4, 4, 12, data)) for data in (b"", b"\x01", bytes(17))]
        changed += [(*lines[:number], swap, *lines[number + 1 :]) for swap in swaps]
    for version in (0, 1, 2, 255):
        altered = [replace(script, lines=found, key_version=version) for found in (*changed, lines)]
        for one in altered:
            try:
                checked = check_script(one, replace(answers, script=one.digest), field.masters)
            except HostError:
                continue
            assert checked.proven <= checked.steps <= len(one.lines)
            assert not checked.done or version in (0, 1)


def test_a_probe_without_tries_does_not_keep_a_puk() -> None:
    field = Field.of(CUSTOMER)
    found = probed(field)
    with pytest.raises(HostError, match="does not tell the tries of its PUK"):
        make_script(replace(found, facts=replace(found.facts, tries=b"")), CHANGED, field.masters, NewPin("1234", keep_puk=True), WHEN)


@settings(max_examples=60, deadline=None)
@given(text=st.text() | st.integers().map(str) | st.dictionaries(st.text(), st.integers()).map(json.dumps))
def test_no_text_breaks_the_readers(text: str) -> None:
    kinds: tuple[type[Probe | Script | Answers], ...] = (Probe, Script, Answers)
    for kind in kinds:
        with pytest.raises(HostError):
            kind.decode(text)


def test_a_key_is_in_no_repr() -> None:
    field = Field.of(CUSTOMER)
    found = probed(field)
    key = field.masters.manager_keys(found.card, 1).enc
    assert isinstance(key, Key)
    assert key.reveal().hex().upper() not in repr((found, scripted(field, CardKeys())))
