"""Both sides of SCP03 against whole exchanges that were made without them."""

from itertools import groupby

import pytest

from joren.apdu import Command, Key, Response
from joren.apdu.scp03 import CardSession, CardSettings, Opening, Parameter, ScpKeys
from scp03kit import DIVERSIFICATION, vector_rows
from vectorfile import hexa, rows

EXCHANGES = [(name, list(steps)) for name, steps in groupby(rows("scp03.txt"), lambda row: row[0])]
by_name = pytest.mark.parametrize("steps", [steps for _, steps in EXCHANGES], ids=[name for name, _ in EXCHANGES])


def key_set(opened: tuple[str, ...]) -> ScpKeys:
    enc, mac, dek = (Key(hexa(text)) for text in opened[2:5])
    return ScpKeys(enc, mac, dek, 0x30)


def pair(text: str) -> tuple[Command, Response]:
    command, response = text.split(" > ")
    return Command.decode(hexa(command)), Response.decode(hexa(response))


def test_the_file_is_what_the_standard_gives() -> None:
    assert rows("scp03.txt") == list(vector_rows())


def test_the_file_has_every_key_length_mode_and_level() -> None:
    assert len(EXCHANGES) == 3 * 2 * 6


@by_name
def test_the_host_says_what_the_standard_says(steps: list[tuple[str, ...]]) -> None:
    opened = steps[0]
    initialize, initialized = pair(opened[6])
    authenticate, authenticated = pair(opened[7])
    opening = Opening(initialize.data, authenticate.p1, aid=hexa(opened[5]))
    assert opening.initialize_update() == initialize
    authenticating = opening.authenticate(initialized, key_set(opened))
    assert authenticating.command == authenticate
    session = authenticating.open(authenticated)
    for _, _, command, wrapped, protected, response in steps[1:]:
        assert session.wrap(Command.decode(hexa(command))).encode() == hexa(wrapped)
        assert session.unwrap(Response.decode(hexa(protected))).encode() == hexa(response)


@by_name
def test_the_card_says_what_the_standard_says(steps: list[tuple[str, ...]]) -> None:
    opened = steps[0]
    (initialize, initialized), (authenticate, authenticated) = pair(opened[6]), pair(opened[7])
    parameter = Parameter.decode(initialized.data[12])
    counters = {0x30: authenticate.p1}
    settings = CardSettings((key_set(opened),), parameter, DIVERSIFICATION, hexa(opened[5]))
    card = CardSession(settings, bytes, counters)
    assert card.process(initialize) == initialized
    assert counters == {0x30: authenticate.p1 + 1}
    assert card.process(authenticate) == authenticated
    assert card.level == authenticate.p1
    for _, _, command, wrapped, protected, response in steps[1:]:
        assert card.process(Command.decode(hexa(wrapped))) == Command.decode(hexa(command))
        assert card.wrap_response(Response.decode(hexa(response))) == Response.decode(hexa(protected))
