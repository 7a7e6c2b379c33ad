"""Both sides of SCP03 with one another: every setting, every bit of a command, replay, order, loss."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joren.apdu import SW, Command, Key, MalformedCommand, Response
from joren.apdu.scp03 import (
    CardNotAuthentic,
    CardSession,
    CardSettings,
    ChannelError,
    HostSession,
    Level,
    LevelNotSupported,
    Opening,
    Parameter,
    ResponseNotAuthentic,
    ScpKeys,
)
from joren.apdu.scp03_card import State
from joren.apdu.scp03_class import class_byte, is_plain, is_protected, logical_channel, plain_class, protected_class
from scp03kit import AID, KEYS, LEVELS, PARAMETERS

CHALLENGE = bytes.fromhex("0123456789ABCDEF0F1E2D3C4B5A6978")
COMMAND = Command(0x80, 0xE2, 0x12, 0x34, b"thirty-two bytes of data, secret", 256)


def key_set(size: int = 16) -> ScpKeys:
    enc, mac, dek = (Key(key) for key in KEYS[size])
    return ScpKeys(enc, mac, dek, 0x30)


class Pair:
    """A host and a card that have opened a channel."""

    def __init__(self, level: int = 0x33, i: int = 0x70, size: int = 16, channel: int = 0) -> None:
        parameter = Parameter.decode(i)
        settings = CardSettings((key_set(size),), parameter, aid=AID)
        self.card = CardSession(settings, lambda wanted: CHALLENGE[:wanted], channel=channel)
        opening = Opening(CHALLENGE[: parameter.size], level, channel=channel, aid=AID)
        authenticating = opening.authenticate(self.asked(opening.initialize_update()), key_set(size))
        self.host: HostSession = authenticating.open(self.asked(authenticating.command))

    def asked(self, command: Command) -> Response:
        outcome = self.card.process(command)
        assert isinstance(outcome, Response)
        return outcome

    def state(self) -> State:
        return self.card.state


@settings(deadline=None)
@given(st.data())
def test_what_one_says_the_other_understands(data: st.DataObject) -> None:
    i, level = data.draw(st.sampled_from([(i, level) for i in PARAMETERS for level in LEVELS if Parameter.decode(i).allows(level)]))
    channel = data.draw(st.integers(0, 19))
    pair = Pair(level, i, data.draw(st.sampled_from((16, 24, 32))), channel)
    lengths = st.one_of(st.integers(0, 520), st.sampled_from((pair.host.room(), pair.host.room() - 1, pair.host.room(extended=False))))
    for _ in range(data.draw(st.integers(1, 3))):
        extended = data.draw(st.booleans())
        cla = class_byte(channel, proprietary=data.draw(st.booleans()))
        body = data.draw(st.binary(min_size=1, max_size=4)) * data.draw(lengths)
        command = Command(
            cla,
            data.draw(st.sampled_from((0xA4, 0xCA, 0xE2))),
            1,
            2,
            body[: data.draw(lengths)],
            data.draw(st.sampled_from((None, 256, 65536))),
        )
        wrapped = Command.decode(pair.host.wrap(command, extended=extended).encode(extended=extended))
        assert pair.card.process(wrapped, extended=extended) == command
        answer = Response(data.draw(st.binary(max_size=300)), data.draw(st.sampled_from((0x9000, 0x6283, 0x63C1))))
        protected = pair.card.wrap_response(answer)
        assert pair.host.unwrap(Response.decode(protected.encode())) == answer


@pytest.mark.parametrize("level", [0x01, 0x03, 0x11, 0x13, 0x33])
@pytest.mark.parametrize("i", [0x70, 0x71])
@pytest.mark.parametrize("command", [COMMAND, Command(0x00, 0xA4, 4, 0)])
def test_every_bit_of_a_command_counts_but_le(level: int, i: int, command: Command) -> None:
    raw = Pair(level, i).host.wrap(command).encode()
    end = len(raw) - (command.ne is not None)
    for bit in range(8 * end):
        pair = Pair(level, i)
        bent = bytearray(raw)
        bent[bit // 8] ^= 1 << bit % 8
        try:
            outcome = pair.card.process(Command.decode(bytes(bent)))
        except MalformedCommand:
            continue
        channel_bit = bit in (0, 1, 6)
        assert outcome in (
            Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED),
            *([Response(b"", SW.LOGICAL_CHANNEL_NOT_SUPPORTED)] * channel_bit),
        )
        assert (pair.state() is State.ABORTED) is (outcome.sw == SW.SECURITY_STATUS_NOT_SATISFIED)
        pair.card.terminate()


def test_a_command_is_taken_once() -> None:
    pair = Pair()
    wrapped = pair.host.wrap(COMMAND)
    assert pair.card.process(wrapped) == COMMAND
    assert pair.card.process(wrapped) == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)


def test_a_command_of_one_session_is_none_of_the_next() -> None:
    wrapped = Pair(i=0x70).host.wrap(COMMAND)
    other = Pair(i=0x70)
    other.card.terminate()
    again = Opening(CHALLENGE[:8], aid=AID)
    again_opened = again.authenticate(other.asked(again.initialize_update()), key_set())
    again_opened.open(other.asked(again_opened.command))
    assert other.card.process(wrapped) == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)


@pytest.mark.parametrize("order", [(1, 0), (1, 2), (0, 2), (2,)])
def test_order_and_loss_are_noticed(order: tuple[int, ...]) -> None:
    maker, pair = Pair(0x03), Pair(0x03)
    wrapped = []
    for number in range(3):
        wrapped.append(maker.host.wrap(Command(0x80, 0xE2, number, 0, bytes(20))))
        maker.card.process(wrapped[-1])
        maker.host.unwrap(maker.card.wrap_response(Response(b"", 0x9000)))
    outcomes = [pair.card.process(wrapped[number]) for number in order]
    assert outcomes[-1] == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)
    assert pair.state() is State.ABORTED


def test_the_same_words_never_look_the_same() -> None:
    """The counter is in the initial vector, of commands and of responses."""
    pair = Pair()
    seen = set()
    for _ in range(20):
        wrapped = pair.host.wrap(COMMAND)
        pair.card.process(wrapped)
        response = pair.card.wrap_response(Response(COMMAND.data, 0x9000))
        pair.host.unwrap(response)
        seen |= {wrapped.data[:16], wrapped.data[:-8], response.data[:16], response.data[:-8]}
    assert len(seen) == 80


def test_keys_of_another_length_or_value_open_nothing() -> None:
    card = CardSession(CardSettings((key_set(32),), Parameter()), lambda wanted: CHALLENGE[:wanted])
    opening = Opening(CHALLENGE[:8])
    outcome = card.process(opening.initialize_update())
    assert isinstance(outcome, Response)
    with pytest.raises(CardNotAuthentic):
        opening.authenticate(outcome, key_set(16))


@pytest.mark.parametrize("i", [0x60, 0x61, 0x70, 0x71])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("encrypt", [False, True])
def test_r_mac_sessions_are_agreed_on(i: int, level: int, encrypt: bool) -> None:
    pair = Pair(level, i)
    try:
        begin = pair.host.begin_r_mac(b"challenge", encrypt=encrypt)
    except LevelNotSupported:
        assert (level, encrypt) not in {(0x01, False), (0x03, False), (0x03, True), (0x13, True)}
        return
    pair.host.unwrap(pair.asked(begin))
    assert pair.host.level is pair.card.level is Level(level | (0x30 if encrypt else 0x10))
    assert pair.card.process(pair.host.wrap(COMMAND)) == COMMAND
    assert pair.host.unwrap(pair.card.wrap_response(Response(b"answer", 0x6283))) == Response(b"answer", 0x6283)
    pair.host.unwrap(pair.asked(pair.host.end_r_mac()))
    assert pair.host.level is pair.card.level is Level(level)


class TestClassBytes:
    def test_every_channel(self) -> None:
        for channel in range(20):
            for proprietary in (False, True):
                plain = class_byte(channel, proprietary=proprietary)
                protected = class_byte(channel, protected=True, proprietary=proprietary)
                assert (is_plain(plain), is_protected(plain), is_plain(protected), is_protected(protected)) == (True, False, False, True)
                assert protected_class(plain) == protected
                assert plain_class(protected) == plain
                assert logical_channel(plain) == logical_channel(protected) == channel

    def test_there_are_forty_of_each(self) -> None:
        assert sum(map(is_plain, range(256))) == sum(map(is_protected, range(256))) == 40

    @pytest.mark.parametrize("channel", [-1, 20])
    def test_no_other_channel(self, channel: int) -> None:
        with pytest.raises(ValueError, match=r"0\.\.19"):
            class_byte(channel)


@st.composite
def noise(draw: st.DrawFn) -> Command:
    """Any command, those of the protocol above all."""
    ins = draw(st.sampled_from((0x50, 0x82, 0x7A, 0x78, 0xA4, 0xE2)))
    cla = draw(st.one_of(st.sampled_from((0x80, 0x84, 0x00, 0x04, 0xC0, 0xE0, 0x94)), st.integers(0, 0xFE)))
    p1, p2 = draw(st.sampled_from((0, 1, 0x10, 0x30, 0x33, 0xFF))), draw(st.sampled_from((0, 1, 3)))
    data = draw(st.one_of(st.binary(max_size=40), st.binary(min_size=8, max_size=8), st.binary(min_size=16, max_size=16)))
    return Command(cla, ins, p1, p2, data, draw(st.sampled_from((None, 1, 256, 65536))))


@given(st.lists(noise(), max_size=8), st.sampled_from(LEVELS[1:]), st.booleans())
def test_noise_gets_nothing_through_an_open_channel(commands: list[Command], level: int, extended: bool) -> None:
    """Whatever comes without the keys is answered with an error, and reaches the application only once the session has ended."""
    pair = Pair(level)
    for command in commands:
        before = pair.state()
        outcome = pair.card.process(command, extended=extended)
        if isinstance(outcome, Command):
            assert before in (State.CLOSED, State.INITIALIZED)
        elif outcome.ok:
            assert (command.cla & 0xBF, command.ins) == (0x80, 0x50)
        assert pair.state() in {State.ABORTED, State.CLOSED, State.INITIALIZED} | {before}


@given(st.binary(max_size=60), st.one_of(st.just(0x9000), st.integers(0, 0xFFFF)), st.sampled_from(LEVELS))
def test_noise_for_an_answer_opens_nothing(data: bytes, sw: int, level: int) -> None:
    with pytest.raises(ChannelError):
        Opening(CHALLENGE[:8], level, aid=AID).authenticate(Response(data, sw), key_set())
    pair = Pair(0x33)
    pair.host.wrap(COMMAND)
    try:
        plain = pair.host.unwrap(Response(data, sw))
    except ResponseNotAuthentic:
        assert pair.host.ended
    else:
        assert plain == Response(b"", sw)
        assert sw != 0x9000
        assert sw >> 8 not in (0x62, 0x63)
