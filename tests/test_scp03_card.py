"""The card's side of SCP03 against a host written from the standard alone (scp03kit.py), and its states one by one."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count

import pytest

from joren.apdu import SW, Command, Key, MalformedCommand, Response
from joren.apdu.record import MalformedRecord
from joren.apdu.scp03 import (
    CardSession,
    CardSettings,
    ChannelEnded,
    InitializeUpdateAnswer,
    Level,
    Parameter,
    ScpKeys,
)
from joren.apdu.scp03_card import TRANSITIONS, Event, State
from scp03kit import AID, DIVERSIFICATION, KEYS, LEVELS, PARAMETERS, Plain, StandardHost, cbc

CHALLENGE = bytes.fromhex("0123456789ABCDEF0F1E2D3C4B5A6978")
INITIALIZE = Command(0x80, 0x50, 0, 0, CHALLENGE[:8], 256)


def key_set(size: int, version: int) -> ScpKeys:
    enc, mac, dek = (Key(key) for key in KEYS[size])
    return ScpKeys(enc, mac, dek, version)


class Rig:
    """A card session with an application that sends data back, and a host from the kit."""

    def __init__(self, i: int = 0x60, size: int = 16, channel: int = 0) -> None:
        numbers: Iterator[int] = count(1)
        self.counters: dict[int, int] = {}
        self.i = i
        settings = CardSettings((key_set(size, 0x30), key_set(16, 0x31)), Parameter.decode(i), DIVERSIFICATION, AID)
        self.card = CardSession(settings, lambda wanted: next(numbers).to_bytes(wanted), self.counters, channel)
        self.heard: list[Command] = []
        self.sw = SW.OK
        self.host = StandardHost(KEYS[size], self.transmit)

    def transmit(self, apdu: bytes) -> bytes:
        command = Command.decode(apdu)
        return self.process(command, extended=command.encode() != apdu).encode()

    def process(self, command: Command, *, extended: bool = False) -> Response:
        outcome = self.card.process(command, extended=extended)
        if isinstance(outcome, Response):
            return outcome
        self.heard.append(outcome)
        return self.card.wrap_response(Response(outcome.data, self.sw))

    def state(self) -> State:
        return self.card.state

    def open(self, level: int = 0x33) -> "Rig":
        assert self.host.open(level, CHALLENGE[: 16 if self.i & 1 else 8]) == b"\x90\x00"
        return self


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("i", PARAMETERS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_standard_host_opens_and_exchanges(size: int, i: int, level: int) -> None:
    rig = Rig(i, size)
    if not Parameter.decode(i).allows(level):
        assert rig.host.open(level, CHALLENGE[: 16 if i & 1 else 8]) == SW.INCORRECT_P1_P2.to_bytes(2)
        assert rig.state() is State.CLOSED
        return
    rig.open(level)
    assert rig.card.level is Level(level)
    for data in (b"", b"\x01", bytes(15), bytes(16), bytes(230), bytes(248), bytes(300), bytes(65503)):
        apdu = Command(0x80, 0xE2, 1, 2, data).encode()
        assert rig.host.exchange(apdu) == data + b"\x90\x00"
        assert rig.heard[-1].encode() == apdu
    for sw in (0x6283, 0x6310, 0x6A88):
        rig.sw = sw  # type: ignore[assignment]
        response = rig.host.exchange(bytes.fromhex("00A4040002A1A2"))
        assert response == (b"" if sw == 0x6A88 and level & 0x10 else b"\xa1\xa2") + sw.to_bytes(2)


def test_lengths_that_come_extended_though_short_ones_would_do() -> None:
    rig = Rig().open()
    apdu = Command(0x80, 0xE2, 1, 2, b"data", 256).encode(extended=True)
    assert rig.host.exchange(apdu) == b"data\x90\x00"
    wrapped = Command.decode(rig.host.wrap(apdu))
    assert rig.process(wrapped) == Response(b"", SW.SECURITY_STATUS_NOT_SATISFIED)


class TestInitializeUpdate:
    def test_the_answer(self) -> None:
        for i in PARAMETERS:
            rig = Rig(i)
            size = 16 if i & 1 else 8
            response = rig.process(Command(0x80, 0x50, 0, 0, CHALLENGE[:size], 256))
            assert len(response.data) == 13 + 2 * size + (3 if i & 0x10 else 0)
            assert response.data[:13] == DIVERSIFICATION + bytes((0x30, 0x03, i))
            assert InitializeUpdateAnswer.decode(response.data).encode() == response.data
            assert rig.state() is State.INITIALIZED
            assert rig.card.level is None

    def test_the_key_version(self) -> None:
        for asked, told in ((0x00, 0x30), (0x30, 0x30), (0x31, 0x31)):
            assert Rig().process(Command(0x80, 0x50, asked, 0, CHALLENGE[:8])).data[10] == told

    @pytest.mark.parametrize(
        ("p1", "p2", "data", "sw"),
        [
            (0x32, 0, CHALLENGE[:8], SW.REFERENCED_DATA_NOT_FOUND),
            (0x30, 1, CHALLENGE[:8], SW.REFERENCED_DATA_NOT_FOUND),
            (0x30, 0, CHALLENGE, SW.WRONG_LENGTH),
            (0x30, 0, CHALLENGE[:7], SW.WRONG_LENGTH),
            (0x32, 0, b"", SW.WRONG_LENGTH),
        ],
    )
    def test_refusals_end_the_session_before(self, p1: int, p2: int, data: bytes, sw: int) -> None:
        rig = Rig().open()
        assert rig.process(Command(0x80, 0x50, p1, p2, data)) == Response(b"", sw)
        assert rig.state() is State.CLOSED
        assert rig.card.level is None

    def test_the_sequence_counter_counts_by_key_set_and_has_an_end(self) -> None:
        rig = Rig(0x70)
        command = Command(0x80, 0x50, 0x31, 0, CHALLENGE[:8])
        assert [rig.process(command).data[-3:].hex() for _ in range(3)] == ["000001", "000002", "000003"]
        assert rig.process(INITIALIZE).data[-3:].hex() == "000001"
        rig.counters[0x31] = 0xFFFFFE
        assert rig.process(command).data[-3:].hex() == "ffffff"
        assert rig.process(command) == Response(b"", SW.CONDITIONS_NOT_SATISFIED)
        assert rig.counters == {0x30: 1, 0x31: 0xFFFFFF}

    def test_a_random_challenge_is_new_each_time(self) -> None:
        rig = Rig()
        assert rig.process(INITIALIZE).data[13:21] != rig.process(INITIALIZE).data[13:21]
        assert rig.counters == {}

    def test_within_a_session_it_is_a_new_one_or_the_applications(self) -> None:
        """In the clear it opens anew; protected, 80 50 is a command as any other."""
        rig = Rig().open()
        assert rig.host.exchange(bytes.fromhex("8050000008") + CHALLENGE[:8]) == CHALLENGE[:8] + b"\x90\x00"
        assert rig.state() is State.OPEN
        assert rig.process(INITIALIZE).ok
        assert rig.state() is State.INITIALIZED


class TestExternalAuthenticate:
    def sent(self, rig: Rig, change: Callable[[bytes], bytes]) -> bytes:
        """EXTERNAL AUTHENTICATE with a change, after a good INITIALIZE UPDATE."""
        rig.host.transmit = lambda apdu: rig.transmit(change(apdu) if apdu[1] == 0x82 else apdu)
        return rig.host.open(0x33, CHALLENGE[:8])

    @pytest.mark.parametrize(
        ("change", "sw"),
        [
            (lambda apdu: apdu[:5] + bytes((apdu[5] ^ 1,)) + apdu[6:], SW.AUTHENTICATION_FAILED),
            (lambda apdu: apdu[:13] + bytes((apdu[13] ^ 1,)) + apdu[14:], SW.SECURITY_STATUS_NOT_SATISFIED),
            (lambda apdu: apdu[:2] + b"\x11" + apdu[3:], SW.SECURITY_STATUS_NOT_SATISFIED),
            (lambda apdu: apdu[:2] + b"\x02" + apdu[3:], SW.INCORRECT_P1_P2),
            (lambda apdu: apdu[:3] + b"\x01" + apdu[4:], SW.INCORRECT_P1_P2),
            (lambda apdu: apdu[:4] + b"\x0f" + apdu[5:-1], SW.WRONG_LENGTH),
        ],
    )
    def test_refusals_end_the_attempt(self, change: Callable[[bytes], bytes], sw: int) -> None:
        rig = Rig()
        assert self.sent(rig, change) == sw.to_bytes(2)
        assert rig.state() is State.CLOSED
        again = Command(0x84, 0x82, 0x33, 0, bytes(16))
        assert rig.process(again) == Response(b"", SW.CONDITIONS_NOT_SATISFIED)

    def test_every_bit_counts(self) -> None:
        for bit in range(8 * 21):
            rig = Rig()

            def bent(apdu: bytes, bit: int = bit) -> bytes:
                changed = bytearray(apdu)
                changed[bit // 8] ^= 1 << bit % 8
                return bytes(changed)

            with suppress(MalformedCommand):
                self.sent(rig, bent)
            assert rig.state() is not State.OPEN

    def test_a_proof_serves_once(self) -> None:
        rig, sent = Rig(), []
        self.sent(rig, lambda apdu: sent.append(apdu) or apdu)  # type: ignore[func-returns-value]
        assert rig.state() is State.OPEN
        rig.card.terminate()
        rig.process(INITIALIZE)
        assert rig.transmit(sent[0]) == SW.AUTHENTICATION_FAILED.to_bytes(2)

    def test_all_other_levels_are_refused(self) -> None:
        for level in set(range(256)) - set(LEVELS):
            rig = Rig()
            assert rig.host.open(level, CHALLENGE[:8]) == SW.INCORRECT_P1_P2.to_bytes(2)


class TestStates:
    def test_the_table_has_every_state_and_event(self) -> None:
        assert {state for state, _ in TRANSITIONS} == set(State)
        assert {event for _, event in TRANSITIONS} == set(Event)
        reached, border = {State.CLOSED}, [State.CLOSED]
        while border:
            found = {after for (before, _), after in TRANSITIONS.items() if before is border[-1]} - reached
            border.pop()
            border += found
            reached |= found
        assert reached == set(State)

    def test_commands_before_a_session_pass_in_the_clear(self) -> None:
        rig = Rig()
        for command in (Command(0x80, 0xF2, 0, 0, b"data"), Command(0x00, 0xA4, 4, 0, AID, 256)):
            assert rig.process(command) == Response(command.data, SW.OK)
        rig.process(INITIALIZE)
        assert rig.process(Command(0x80, 0xF2, 0, 0, b"data")).data == b"data"
        assert rig.state() is State.INITIALIZED

    @pytest.mark.parametrize("header", ["84F20000", "84820000", "807A1001", "80780003", "847A1001"])
    def test_what_needs_a_session_is_refused_without(self, header: str) -> None:
        rig = Rig()
        assert rig.transmit(bytes.fromhex(header)) == SW.CONDITIONS_NOT_SATISFIED.to_bytes(2)
        assert rig.heard == []

    @pytest.mark.parametrize("apdu", ["80F20000", "84F20000", "84F2000008" + "00" * 8, "8CF2000008" + "00" * 8, "94F2000008" + "00" * 8])
    def test_one_command_that_is_not_authentic_aborts(self, apdu: str) -> None:
        rig = Rig().open()
        good = rig.host.wrap(bytes.fromhex("80F20000"))
        refused = SW.SECURITY_STATUS_NOT_SATISFIED.to_bytes(2)
        assert rig.transmit(bytes.fromhex(apdu)) == refused
        assert rig.state() is State.ABORTED
        assert rig.card.level is None
        assert rig.transmit(good) == refused
        assert rig.transmit(bytes.fromhex("00A40400")) == refused
        assert rig.heard == []
        assert rig.process(INITIALIZE).ok

    def test_termination_ends_everything(self) -> None:
        rig = Rig().open()
        rig.transmit(bytes.fromhex("80F20000"))
        rig.card.terminate()
        assert rig.process(Command(0x80, 0xF2, 0, 0)).ok
        rig.open()
        rig.card.terminate()
        assert rig.state() is State.CLOSED
        assert rig.process(Command(0x80, 0xF2, 0, 0)).ok

    def test_the_other_channels_are_not_its_own(self) -> None:
        rig = Rig(channel=2)
        assert rig.process(INITIALIZE) == Response(b"", SW.LOGICAL_CHANNEL_NOT_SUPPORTED)
        assert rig.process(Command(0x82, 0x50, 0, 0, CHALLENGE[:8])).ok
        assert rig.process(Command(0x81, 0x50, 0, 0, CHALLENGE[:8])).sw == SW.LOGICAL_CHANNEL_NOT_SUPPORTED
        assert rig.process(Command(0xC0, 0xF2, 0, 0)).sw == SW.LOGICAL_CHANNEL_NOT_SUPPORTED
        assert rig.state() is State.INITIALIZED

    def test_a_response_needs_a_command(self) -> None:
        rig = Rig()
        with pytest.raises(ChannelEnded, match="no command was handed on"):
            rig.card.wrap_response(Response(b"", SW.OK))
        rig.open()
        rig.card.process(Command.decode(rig.host.wrap(bytes.fromhex("80F20000"))))
        rig.card.process(Command(0x84, 0xF2, 0, 0))
        with pytest.raises(ChannelEnded):
            rig.card.wrap_response(Response(b"", SW.OK))

    def test_a_response_too_long_may_be_given_shorter(self) -> None:
        rig = Rig().open()
        rig.card.process(Command.decode(rig.host.wrap(bytes.fromhex("80F20000"))))
        for size in (65536, 65520):
            with pytest.raises(ValueError, match="at most 65536"):
                rig.card.wrap_response(Response(bytes(size), SW.OK))
        response = rig.card.wrap_response(Response(bytes(65519), SW.OK))
        assert rig.host.unwrap(response.encode()) == bytes(65519) + b"\x90\x00"

    def test_an_error_answer_is_bare(self) -> None:
        rig = Rig().open()
        rig.card.process(Command.decode(rig.host.wrap(bytes.fromhex("80F20000"))))
        assert rig.card.wrap_response(Response(b"data", SW.WRONG_DATA)) == Response(b"", SW.WRONG_DATA)


class TestAuthenticCommandsThatCanNotBe:
    @pytest.mark.parametrize("whole", [bytes(16), b"\xff" * 32, b"\x80" + bytes(14) + b"\x01", b"odd"])
    def test_encrypted_data_of_the_wrong_form(self, whole: bytes) -> None:
        rig = Rig().open()
        session = rig.host.session
        assert session is not None
        plain = Plain(0x80, 0xE2, 0, 0)
        session.level = 0x31
        wrapped = rig.host.wrap(plain.apdu(whole))
        assert rig.transmit(wrapped) == SW.SECURITY_STATUS_NOT_SATISFIED.to_bytes(2)
        assert rig.state() is State.ABORTED

    def test_a_host_that_encrypts_nothing_is_understood(self) -> None:
        """The standard has empty data go unencrypted; one host in use encrypts their padding."""
        rig = Rig().open()
        session = rig.host.session
        assert session is not None
        session.count, session.level = 1, 0x31
        whole = cbc(session.enc, session.iv(response=False), b"\x80" + bytes(15))
        session.count = 0
        rig.transmit(rig.host.wrap(Plain(0x80, 0xE2, 0, 0).apdu(whole)))
        assert rig.heard == [Command(0x80, 0xE2, 0, 0)]


class TestRMacSession:
    @pytest.mark.parametrize(("level", "p1"), [(0x01, 0x10), (0x03, 0x10), (0x03, 0x30), (0x13, 0x30)])
    @pytest.mark.parametrize("i", [0x60, 0x61])
    def test_begin_and_end(self, level: int, p1: int, i: int) -> None:
        rig = Rig(i).open(level)
        host = rig.host
        assert host.session is not None
        for _ in range(2):
            assert host.exchange(bytes((0x80, 0x7A, p1, 0x01, 0x05, 0x04, 1, 2, 3, 4))) == b"\x90\x00"
            assert rig.state() is State.R_MAC_SESSION
            assert rig.card.level == level | p1
            host.session.level |= p1
            assert host.exchange(bytes.fromhex("80E2000002A1A2")) == b"\xa1\xa2\x90\x00"
            answer = rig.transmit(host.wrap(bytes.fromhex("8078000300")))
            assert len(answer) == host.session.size + 2
            assert host.unwrap(answer) == b"\x90\x00"
            assert rig.state() is State.OPEN
            assert rig.card.level == level
            host.session.level = level

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("p1", [0x10, 0x30])
    def test_what_is_refused_does_not_abort(self, level: int, p1: int) -> None:
        rig = Rig().open(level)
        fits = (level, p1) in {(0x01, 0x10), (0x03, 0x10), (0x03, 0x30), (0x13, 0x30)}
        answer = rig.host.exchange(bytes((0x80, 0x7A, p1, 0x01)))
        assert answer == (b"\x90\x00" if fits else SW.CONDITIONS_NOT_SATISFIED.to_bytes(2))
        if not fits:
            assert rig.state() is State.OPEN
            assert rig.host.exchange(bytes.fromhex("80E2000002A1A2")) == b"\xa1\xa2\x90\x00"

    @pytest.mark.parametrize(
        ("apdu", "sw"),
        [
            ("807A2001", SW.INCORRECT_P1_P2),
            ("807A1000", SW.INCORRECT_P1_P2),
            ("807A100102FF00", SW.WRONG_DATA),
            ("80780103", SW.INCORRECT_P1_P2),
            ("80780001", SW.INCORRECT_P1_P2),
            ("8078000300", SW.CONDITIONS_NOT_SATISFIED),
        ],
    )
    def test_refusals(self, apdu: str, sw: int) -> None:
        rig = Rig().open(0x03)
        assert rig.host.exchange(bytes.fromhex(apdu)) == sw.to_bytes(2)
        assert rig.state() is State.OPEN

    def test_within_one(self) -> None:
        rig = Rig().open(0x03)
        assert rig.host.session is not None
        assert rig.host.exchange(bytes.fromhex("807A1001")) == b"\x90\x00"
        rig.host.session.level |= 0x10
        assert rig.host.exchange(bytes.fromhex("807A3001")) == SW.CONDITIONS_NOT_SATISFIED.to_bytes(2)
        assert rig.host.exchange(bytes.fromhex("8078000301FF")) == SW.WRONG_LENGTH.to_bytes(2)
        assert rig.state() is State.R_MAC_SESSION
        assert rig.transmit(bytes.fromhex("8478000308") + bytes(8)) == SW.SECURITY_STATUS_NOT_SATISFIED.to_bytes(2)
        assert rig.state() is State.ABORTED

    def test_a_card_without_it(self) -> None:
        for i, p1 in ((0x00, 0x10), (0x20, 0x30)):
            assert Rig(i).open(0x03).host.exchange(bytes((0x80, 0x7A, p1, 0x01))) == SW.INCORRECT_P1_P2.to_bytes(2)

    def test_the_same_instructions_of_an_iso_class_are_the_applications(self) -> None:
        rig = Rig().open(0x03)
        for header in ("007A1001", "00780003", "00501001"):
            assert rig.host.exchange(bytes.fromhex(header)) == b"\x90\x00"
        assert [command.ins for command in rig.heard] == [0x7A, 0x78, 0x50]
        rig = Rig()
        assert rig.process(Command(0x00, 0x50, 0, 0, CHALLENGE[:8])).data == CHALLENGE[:8]


class TestSettings:
    @pytest.mark.parametrize(
        ("sets", "parameter", "diversification", "aid", "message"),
        [
            ((), 0x60, bytes(10), AID, "at least one"),
            ((0,), 0x60, bytes(10), AID, "1..255"),
            ((1, 1), 0x60, bytes(10), AID, "another version"),
            ((1,), 0x60, bytes(9), AID, "10 bytes"),
            ((1,), 0x70, bytes(10), b"", "5..16"),
        ],
    )
    def test_what_can_not_be(self, sets: tuple[int, ...], parameter: int, diversification: bytes, aid: bytes, message: str) -> None:
        key_sets = tuple(key_set(16, version) for version in sets)
        with pytest.raises(ValueError, match=message):
            CardSettings(key_sets, Parameter.decode(parameter), diversification, aid)

    def test_parameters(self) -> None:
        for value in range(256):
            if value in PARAMETERS:
                assert Parameter.decode(value).encode() == value
            else:
                with pytest.raises(MalformedRecord):
                    Parameter.decode(value)

    def test_a_channel_that_is_not(self) -> None:
        with pytest.raises(ValueError, match=r"0\.\.19"):
            Rig(channel=20)
