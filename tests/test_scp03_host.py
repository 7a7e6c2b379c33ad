"""The host's side of SCP03 against a card written from the standard alone (scp03kit.py), and against cards that lie."""

from traceback import format_exception

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joren.apdu import Command, Key, MalformedCommand, Response
from joren.apdu.scp03 import (
    AnswerMalformed,
    CardNotAuthentic,
    ChannelEnded,
    ChannelRefused,
    HostSession,
    Level,
    LevelNotSupported,
    Opening,
    ResponseNotAuthentic,
    ScpKeys,
)
from joren.apdu.scp03_class import class_byte
from scp03kit import AID, DIVERSIFICATION, KEYS, LEVELS, PARAMETERS, Plain, StandardCard, cbc

CHALLENGE = bytes.fromhex("0123456789ABCDEF0F1E2D3C4B5A6978")
allowed = [(i, level) for i in PARAMETERS for level in LEVELS if i & 0x20 or not level & 0x10 if i & 0x40 or not level & 0x20]


def keys(size: int = 16, version: int = 0x30) -> ScpKeys:
    enc, mac, dek = (Key(key) for key in KEYS[size])
    return ScpKeys(enc, mac, dek, version)


def ask(card: StandardCard, command: Command, *, extended: bool = False) -> Response:
    return Response.decode(card.transmit(command.encode(extended=extended)))


def opened(card: StandardCard, level: int = 0x33, channel: int = 0) -> HostSession:
    opening = Opening(CHALLENGE[: card.size], level, channel=channel, aid=AID)
    authenticating = opening.authenticate(ask(card, opening.initialize_update()), keys(len(card.keys[0])))
    return authenticating.open(ask(card, authenticating.command))


def sizes(level: int, mac: int) -> st.SearchStrategy[int]:
    """Lengths of data, the borders of blocks and of short lengths above all, up to the most that a command can carry."""
    most = (65535 - mac * (level & 1)) // 16 * 16 - 1 if level & 2 else 65535 - mac * (level & 1)
    borders = [0, 1, 15, 16, 17, 239, 240, 247, 248, 255, 256, most - 1, most]
    return st.one_of(st.sampled_from(borders), st.integers(0, 600))


@st.composite
def dialogs(draw: st.DrawFn) -> tuple[int, int, int, int, list[tuple[Command, bool, bytes]]]:
    size, (i, level), channel = draw(st.sampled_from((16, 24, 32))), draw(st.sampled_from(allowed)), draw(st.integers(0, 19))
    steps = []
    for _ in range(draw(st.integers(1, 4))):
        cla = class_byte(channel, proprietary=draw(st.booleans()))
        ins = draw(st.sampled_from((0xA4, 0xCA, 0xE2, 0xF2, 0x50, 0x82)))
        if cla & 0x80 and ins == 0x50:
            ins = 0x52
        data = bytes([draw(st.integers(0, 255))]) * draw(sizes(level, 16 if i & 1 else 8))
        ne = draw(st.sampled_from((None, 1, 16, 200, 255, 256, 257, 65536)))
        answer = draw(st.sampled_from((b"", b"\x80", bytes(16), b"\x80" + bytes(31), b"a" * 300)))
        sw = draw(st.sampled_from(("9000", "6283", "6310", "6A88", "6982")))
        steps.append((Command(cla, ins, 1, 2, data, ne), draw(st.booleans()), answer + bytes.fromhex(sw)))
    return size, i, level, channel, steps


@settings(deadline=None)
@given(dialogs())
def test_every_dialog_arrives_whole(dialog: tuple[int, int, int, int, list[tuple[Command, bool, bytes]]]) -> None:
    size, i, level, channel, steps = dialog
    answers = iter([answer for _, _, answer in steps])
    card = StandardCard(KEYS[size], i, lambda _command: next(answers))
    session = opened(card, level, channel)
    assert session.level == level
    for command, extended, answer in steps:
        wrapped = session.wrap(command, extended=extended)
        response = session.unwrap(ask(card, wrapped, extended=extended))
        heard = Command.decode(card.heard[-1])
        assert (heard.cla, heard.ins, heard.p1, heard.p2, heard.data) == (command.cla, command.ins, 1, 2, command.data)
        error = answer[-2] not in (0x90, 0x62, 0x63)
        assert response.encode() == (answer[-2:] if error and level & 0x10 else answer)


LE = [
    (0x01, 0x70, 10, 10), (0x03, 0x70, 300, 300), (0x11, 0x70, 10, 18), (0x11, 0x71, 10, 26), (0x11, 0x70, 248, 256),
    (0x11, 0x70, 249, 256), (0x33, 0x70, 1, 24), (0x33, 0x70, 15, 24), (0x33, 0x70, 16, 40), (0x33, 0x71, 16, 48), (0x33, 0x70, 255, 256),
    (0x33, 0x70, 256, 256), (0x33, 0x70, 257, 280), (0x33, 0x70, 65535, 65536), (0x33, 0x70, 65536, 65536), (0x33, 0x70, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("level", "i", "plain", "wrapped"), LE)
def test_le_makes_room_for_what_protection_adds(level: int, i: int, plain: int | None, wrapped: int | None) -> None:
    card = StandardCard(KEYS[16], i)
    session = opened(card, level)
    command = session.wrap(Command(0x80, 0xCA, 0, 0x66, b"", plain))
    assert command.ne == wrapped
    assert session.unwrap(ask(card, command)).ok


class TestOpening:
    def test_the_commands_are_those_of_the_standard(self) -> None:
        opening = Opening(CHALLENGE[:8], version=0x30)
        assert opening.initialize_update().encode().hex().upper() == "8050300008" + CHALLENGE[:8].hex().upper() + "00"
        card = StandardCard(KEYS[16])
        command = opening.authenticate(ask(card, opening.initialize_update()), keys()).command
        assert command.encode()[:5].hex() == "8482330010"
        assert command.ne is None

    @pytest.mark.parametrize(("channel", "initialize", "authenticate"), [(3, 0x83, 0x87), (4, 0xC0, 0xE0), (19, 0xCF, 0xEF)])
    def test_on_each_logical_channel(self, channel: int, initialize: int, authenticate: int) -> None:
        card = StandardCard(KEYS[16])
        opening = Opening(CHALLENGE[:8], channel=channel)
        first = opening.initialize_update()
        second = opening.authenticate(ask(card, first), keys()).command
        assert (first.cla, second.cla) == (initialize, authenticate)

    def test_other_levels_are_refused(self) -> None:
        for level in set(range(256)) - set(LEVELS):
            with pytest.raises(LevelNotSupported, match="00, 01, 03, 11, 13 or 33 expected"):
                Opening(bytes(8), level)

    @pytest.mark.parametrize("i", PARAMETERS)
    @pytest.mark.parametrize("level", LEVELS)
    def test_a_level_that_the_card_has_not_is_refused_before_authentication(self, i: int, level: int) -> None:
        card = StandardCard(KEYS[16], i)
        if (i, level) in allowed:
            assert opened(card, level).level is Level(level)
            return
        with pytest.raises(LevelNotSupported, match="parameter i"):
            opened(card, level)
        assert card.external_authenticates == 0

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"host_challenge": bytes(9)}, "8 or 16 bytes"), ({"channel": 20}, "0..19"), ({"aid": bytes(4)}, "5..16 bytes")],
    )
    def test_values_that_can_not_be(self, options: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Opening(**{"host_challenge": bytes(8), **options})  # type: ignore[arg-type]

    def test_keys_are_found_by_what_the_card_says(self) -> None:
        card, asked = StandardCard(KEYS[24]), []
        opening = Opening(CHALLENGE[:8])

        def find(answer: object) -> ScpKeys:
            asked.append(answer)
            return keys(24)

        authenticating = opening.authenticate(ask(card, opening.initialize_update()), find)
        assert asked == [authenticating.answer]
        assert authenticating.answer.diversification_data == DIVERSIFICATION
        assert authenticating.answer.sequence_counter == 1


class TestLockOutGuard:
    @pytest.mark.parametrize("index", [1, 2])
    def test_wrong_keys_make_no_external_authenticate(self, index: int) -> None:
        wrong = [Key(key) for key in KEYS[16]]
        wrong[index - 1] = Key(bytes(range(16)))
        card = StandardCard(KEYS[16])
        opening = Opening(CHALLENGE[:8], aid=AID)
        with pytest.raises(CardNotAuthentic) as error:
            opening.authenticate(ask(card, opening.initialize_update()), ScpKeys(wrong[0], wrong[1], wrong[2]))
        assert card.external_authenticates == 0
        assert "do not send EXTERNAL AUTHENTICATE" in error.value.advice
        shown = "".join(format_exception(error.value))
        assert KEYS[16][0].hex() not in shown.lower()

    def test_every_bit_of_the_cards_answer_counts(self) -> None:
        opening = Opening(CHALLENGE[:8], 0x33, 0x30, aid=AID)
        answer = ask(StandardCard(KEYS[16]), opening.initialize_update()).data
        for bit in range(8 * len(answer)):
            if bit // 8 < 10:
                continue  # diversification data: whoever finds keys by them finds others
            bent = bytearray(answer)
            bent[bit // 8] ^= 1 << bit % 8
            with pytest.raises((CardNotAuthentic, AnswerMalformed, LevelNotSupported)):
                opening.authenticate(Response(bytes(bent), 0x9000), keys())

    @pytest.mark.parametrize("i", [0x10, 0x70, 0x71])
    def test_a_pseudo_random_challenge_is_worked_out_anew(self, i: int) -> None:
        card = StandardCard(KEYS[16], i)
        opening = Opening(CHALLENGE[: card.size], 0x01, aid=AID[:-1] + b"\x00")
        with pytest.raises(CardNotAuthentic, match="sequence counter and the AID"):
            opening.authenticate(ask(card, opening.initialize_update()), keys())
        unchecked = Opening(CHALLENGE[: card.size], 0x01)
        assert unchecked.authenticate(ask(card, unchecked.initialize_update()), keys()).answer.sequence_counter == 2

    def test_keys_of_another_version_are_not_tried(self) -> None:
        opening = Opening(CHALLENGE[:8])
        with pytest.raises(CardNotAuthentic, match="of version 31 are at hand"):
            opening.authenticate(ask(StandardCard(KEYS[16]), opening.initialize_update()), keys(version=0x31))

    def test_the_cards_proof_is_not_the_hosts(self) -> None:
        """A card that knows no key sends the host's own values back."""
        opening = Opening(CHALLENGE[:8])
        mirror = DIVERSIFICATION + bytes.fromhex("300360") + CHALLENGE[:8] + CHALLENGE[:8]
        with pytest.raises(CardNotAuthentic):
            opening.authenticate(Response(mirror, 0x9000), keys())


REFUSALS = [
    (0x6A88, "REFERENCED_DATA_NOT_FOUND", "version 0"),
    (0x6700, "WRONG_LENGTH", "S16"),
    (0x6985, "CONDITIONS_NOT_SATISFIED", "sequence counter"),
    (0x6D00, "INS_NOT_SUPPORTED", "another application"),
]
MALFORMED = [
    ("", "at least 13 bytes"),
    ("D1" * 10 + "3002" + "70" + "00" * 16, "protocol 03 expected, 02"),
    ("D1" * 10 + "300340" + "00" * 16, "no R-ENCRYPTION without R-MAC"),
    ("D1" * 10 + "300380" + "00" * 16, "reserved bits"),
    ("D1" * 10 + "300302" + "00" * 16, "reserved bits"),
    ("D1" * 10 + "300360" + "00" * 15, "29 bytes expected"),
    ("D1" * 10 + "300360" + "00" * 19, "29 bytes expected"),
    ("D1" * 10 + "300370" + "00" * 16, "32 bytes expected"),
    ("D1" * 10 + "300361" + "00" * 32, "mode S8 expected, S16 came"),
    ("D1" * 10 + "310360" + "00" * 16, "key version 30 expected, 31 came"),
]


class TestTheCardRefusesOrBabbles:
    @pytest.mark.parametrize(("sw", "name", "advice"), REFUSALS)
    def test_initialize_update_refused(self, sw: int, name: str, advice: str) -> None:
        with pytest.raises(ChannelRefused, match=f"INITIALIZE UPDATE: the card answered {sw:04X} {name}") as error:
            Opening(bytes(8)).authenticate(Response(b"", sw), keys())
        assert error.value.sw == sw
        assert advice in error.value.next_step

    @pytest.mark.parametrize(("data", "message"), MALFORMED)
    def test_initialize_update_answered_with_nonsense(self, data: str, message: str) -> None:
        with pytest.raises(AnswerMalformed, match=message):
            Opening(bytes(8), version=0x30).authenticate(Response(bytes.fromhex(data), 0x9000), keys())

    def test_external_authenticate_refused(self) -> None:
        card, opening = StandardCard(KEYS[16]), Opening(CHALLENGE[:8])
        authenticating = opening.authenticate(ask(card, opening.initialize_update()), keys())
        with pytest.raises(ChannelRefused, match=r"6300 AUTHENTICATION_FAILED; .*do not try again"):
            authenticating.open(Response(b"", 0x6300))
        with pytest.raises(ChannelEnded, match="was taken before"):
            authenticating.open(Response(b"", 0x9000))

    def test_external_authenticate_answered_with_data(self) -> None:
        card, opening = StandardCard(KEYS[16]), Opening(CHALLENGE[:8])
        authenticating = opening.authenticate(ask(card, opening.initialize_update()), keys())
        with pytest.raises(AnswerMalformed, match="no data expected"):
            authenticating.open(Response(bytes(8), 0x9000))

    def test_one_opening_gives_one_session(self) -> None:
        card, opening = StandardCard(KEYS[16]), Opening(CHALLENGE[:8])
        authenticating = opening.authenticate(ask(card, opening.initialize_update()), keys())
        authenticating.open(Response(b"", 0x9000))
        with pytest.raises(ChannelEnded):
            authenticating.open(Response(b"", 0x9000))

    def test_nothing_wraps_before_the_end_of_the_opening(self) -> None:
        card, opening = StandardCard(KEYS[16]), Opening(CHALLENGE[:8])
        authenticating = opening.authenticate(ask(card, opening.initialize_update()), keys())
        assert not any(hasattr(thing, name) for thing in (opening, authenticating) for name in ("wrap", "unwrap", "begin_r_mac"))


class TestWhatOthersGotWrong:
    """Each was found in a host library in use."""

    def test_a_bare_9000_is_no_answer_in_an_r_mac_session(self) -> None:
        for sw in (0x9000, 0x6200, 0x6283, 0x6310, 0x63C2):
            for data in (b"", bytes(7)):
                session = opened(StandardCard(KEYS[16]))
                session.wrap(Command(0x80, 0xF2, 0, 0))
                with pytest.raises(ResponseNotAuthentic, match="R-MAC of 8 bytes expected"):
                    session.unwrap(Response(data, sw))
                assert session.ended

    @pytest.mark.parametrize("level", [0x11, 0x13, 0x33])
    def test_an_answer_without_data_with_r_encryption(self, level: int) -> None:
        card = StandardCard(KEYS[16], application=lambda _command: b"\x90\x00")
        session = opened(card, level)
        response = ask(card, session.wrap(Command(0x80, 0xF2, 0, 0, b"data")))
        assert len(response.data) == 8
        assert session.unwrap(response) == Response(b"", 0x9000)

    def test_a_command_without_data_is_not_encrypted_but_counted(self) -> None:
        card = StandardCard(KEYS[16])
        session = opened(card)
        for command in (Command(0x80, 0xF2, 0, 0), Command(0x80, 0xF2, 0, 0, b"", 256), Command(0x80, 0xE2, 0, 0, b"data")):
            wrapped = session.wrap(command)
            assert len(wrapped.data) == (24 if command.data else 8)
            assert session.unwrap(ask(card, wrapped)).data == command.data
        assert card.session is not None
        assert card.session.count == 3

    def test_the_longest_le(self) -> None:
        card = StandardCard(KEYS[16])
        session = opened(card)
        for ne, tail in ((256, "00"), (65536, "0000")):
            wrapped = session.wrap(Command(0x80, 0xCA, 0, 0x66, b"", ne))
            assert wrapped.ne == ne
            assert wrapped.encode().hex().endswith(tail)
            assert session.unwrap(ask(card, wrapped)).ok

    def test_case_1_stays_four_bytes_where_nothing_is_added(self) -> None:
        session = opened(StandardCard(KEYS[16]), 0x00)
        assert session.wrap(Command(0x00, 0x44, 0, 0)).encode() == b"\x00\x44\x00\x00"
        session = opened(StandardCard(KEYS[16]), 0x01)
        assert session.wrap(Command(0x00, 0x44, 0, 0)).encode()[:5] == b"\x04\x44\x00\x00\x08"

    @pytest.mark.parametrize("size", [24, 32])
    def test_session_keys_are_as_long_as_the_static_ones(self, size: int) -> None:
        session = keys(size).session(bytes(16))
        assert [len(key) for key in (session.enc, session.mac, session.rmac)] == [size] * 3

    def test_iso_commands_are_protected_too(self) -> None:
        session = opened(StandardCard(KEYS[16]))
        wrapped = session.wrap(Command(0x00, 0xA4, 4, 0, AID, 256))
        assert wrapped.cla == 0x04
        assert AID not in wrapped.data

    def test_extended_lengths(self) -> None:
        card = StandardCard(KEYS[16])
        session = opened(card)
        assert (session.room(extended=False), session.room()) == (239, 65519)
        for size in (239, 240, 65519):
            wrapped = session.wrap(Command(0x80, 0xE2, 0, 0, bytes(size)))
            assert (wrapped.encode()[4] == 0) is (size > 239)
            assert session.unwrap(ask(card, wrapped)).data == bytes(size)

    def test_there_is_no_challenge_by_default(self) -> None:
        with pytest.raises(TypeError):
            Opening()  # type: ignore[call-arg]

    def test_nothing_is_printed_and_nothing_shows_a_key(self, capfd: pytest.CaptureFixture[str]) -> None:
        session = opened(StandardCard(KEYS[16]))
        shown = repr(keys()) + repr(keys().session(bytes(16))) + repr(session) + str(keys())
        out, err = capfd.readouterr()
        assert out + err == ""
        assert "Key-" in shown or "<Key" in shown
        assert not any(key.hex() in shown.lower() or repr(key)[2:-1] in shown for key in KEYS[16])


class TestResponses:
    def answered(self, level: int = 0x33, i: int = 0x70) -> tuple[HostSession, StandardCard, Response]:
        card = StandardCard(KEYS[16], i, application=lambda _command: b"secret answer!\x90\x00")
        session = opened(card, level)
        return session, card, ask(card, session.wrap(Command(0x80, 0xCA, 0, 0x66, b"", 256)))

    @pytest.mark.parametrize("level", [0x11, 0x13, 0x33])
    @pytest.mark.parametrize("i", [0x70, 0x71])
    def test_every_bit_counts(self, level: int, i: int) -> None:
        _, _, response = self.answered(level, i)
        raw = response.encode()
        for bit in range(8 * len(raw)):
            session, _, _ = self.answered(level, i)
            bent = bytearray(raw)
            bent[bit // 8] ^= 1 << bit % 8
            with pytest.raises(ResponseNotAuthentic):
                session.unwrap(Response.decode(bytes(bent)))
            assert session.ended

    def test_an_error_carries_no_data(self) -> None:
        session, _, response = self.answered()
        with pytest.raises(ResponseNotAuthentic, match="no data expected beside an error"):
            session.unwrap(Response(response.data, 0x6A88))
        session, _, _ = self.answered()
        assert session.unwrap(Response(b"", 0x6A88)).sw == 0x6A88
        assert not session.ended

    def test_an_old_response_is_not_taken_again(self) -> None:
        session, card, old = self.answered()
        session.unwrap(old)
        ask(card, session.wrap(Command(0x80, 0xCA, 0, 0x66, b"", 256)))
        with pytest.raises(ResponseNotAuthentic, match="fits not"):
            session.unwrap(old)

    def test_authentic_bytes_that_are_not_padded(self) -> None:
        for whole in (bytes(32), b"\xff" * 16, b"\x80" + bytes(14) + b"\x01"):
            session, card, _ = self.answered()
            inner = card.session
            assert inner is not None
            data = cbc(inner.enc, inner.iv(response=True), whole)
            with pytest.raises(ResponseNotAuthentic, match="padded"):
                session.unwrap(Response(data + inner.r_mac(data, b"\x90\x00"), 0x9000))
        session, card, _ = self.answered()
        assert card.session is not None
        with pytest.raises(ResponseNotAuthentic, match="whole blocks"):
            session.unwrap(Response(b"odd" + card.session.r_mac(b"odd", b"\x90\x00"), 0x9000))

    def test_a_block_of_zeros_too_many_is_taken(self) -> None:
        """Seen in published exchanges: 80 00.. over more than the last block."""
        session, card, _ = self.answered()
        inner = card.session
        assert inner is not None
        data = cbc(inner.enc, inner.iv(response=True), b"answer\x80" + bytes(25))
        assert session.unwrap(Response(data + inner.r_mac(data, b"\x90\x00"), 0x9000)).data == b"answer"


class TestTurns:
    def test_one_command_then_its_response(self) -> None:
        card = StandardCard(KEYS[16])
        session = opened(card)
        with pytest.raises(ChannelEnded, match="no command was wrapped"):
            session.unwrap(Response(b"", 0x9000))
        wrapped = session.wrap(Command(0x80, 0xF2, 0, 0))
        with pytest.raises(ChannelEnded, match="outstanding"):
            session.wrap(Command(0x80, 0xF2, 0, 0))
        assert session.unwrap(ask(card, wrapped)).ok

    def test_an_ended_session_does_nothing_more(self) -> None:
        session = opened(StandardCard(KEYS[16]))
        session.close()
        with pytest.raises(ChannelEnded, match="wrap: the session has ended"):
            session.wrap(Command(0x80, 0xF2, 0, 0))
        with pytest.raises(ChannelEnded, match="unwrap: the session has ended"):
            session.unwrap(Response(b"", 0x9000))

    @pytest.mark.parametrize("cla", [0x84, 0x8C, 0x90, 0x81, 0xC0, 0xE0, 0x20, 0xA0])
    def test_classes_that_are_not_wrapped(self, cla: int) -> None:
        card = StandardCard(KEYS[16])
        session = opened(card)
        with pytest.raises(MalformedCommand, match="CLA"):
            session.wrap(Command(cla, 0xF2, 0, 0))
        assert session.unwrap(ask(card, session.wrap(Command(0x80, 0xF2, 0, 0)))).ok

    @pytest.mark.parametrize(("level", "i", "most"), [(0x01, 0x70, 65527), (0x33, 0x70, 65519), (0x01, 0x71, 65519), (0x33, 0x71, 65503)])
    def test_data_that_do_not_fit_change_nothing(self, level: int, i: int, most: int) -> None:
        card = StandardCard(KEYS[16], i)
        session = opened(card, level)
        assert session.room() == most
        with pytest.raises(MalformedCommand, match=f"at most {most} bytes"):
            session.wrap(Command(0x80, 0xE2, 0, 0, bytes(most + 1)))
        assert session.unwrap(ask(card, session.wrap(Command(0x80, 0xE2, 0, 0, bytes(most))))).ok


class TestRMacSession:
    @pytest.mark.parametrize(
        ("level", "encrypt", "during"), [(0x01, False, 0x11), (0x03, False, 0x13), (0x03, True, 0x33), (0x13, True, 0x33)]
    )
    @pytest.mark.parametrize("i", [0x60, 0x61])
    def test_begin_and_end(self, level: int, encrypt: bool, during: int, i: int) -> None:
        card = StandardCard(KEYS[16], i)
        session = opened(card, level)
        for _ in range(2):
            assert session.unwrap(ask(card, session.begin_r_mac(b"challenge", encrypt=encrypt))).encode() == b"\x90\x00"
            assert session.level == during
            response = ask(card, session.wrap(Command(0x80, 0xE2, 0, 0, b"data")))
            assert response.data != b"data"
            assert session.unwrap(response).data == b"data"
            last = ask(card, session.end_r_mac())
            assert len(last.data) == (16 if i & 1 else 8)
            assert session.unwrap(last) == Response(b"", 0x9000)
            assert session.level == level

    @pytest.mark.parametrize(
        ("level", "encrypt"), [(0x00, False), (0x00, True), (0x01, True), (0x11, False), (0x11, True), (0x13, False), (0x33, True)]
    )
    def test_what_adds_nothing_or_too_much(self, level: int, encrypt: bool) -> None:
        session = opened(StandardCard(KEYS[16]), level)
        with pytest.raises(LevelNotSupported, match="can not be added"):
            session.begin_r_mac(encrypt=encrypt)

    def test_what_the_card_does_not_have(self) -> None:
        for i, encrypt in ((0x10, False), (0x20, True)):
            with pytest.raises(LevelNotSupported, match="can not be added"):
                opened(StandardCard(KEYS[16], i), 0x03).begin_r_mac(encrypt=encrypt)

    def test_one_at_a_time(self) -> None:
        card = StandardCard(KEYS[16])
        session = opened(card, 0x03)
        with pytest.raises(LevelNotSupported, match="none was begun"):
            session.end_r_mac()
        session.unwrap(ask(card, session.begin_r_mac()))
        with pytest.raises(LevelNotSupported, match="can not be added"):
            session.begin_r_mac(encrypt=True)

    def test_a_refused_begin_changes_nothing(self) -> None:
        card = StandardCard(KEYS[16])
        session = opened(card, 0x03)
        session.begin_r_mac()
        assert session.unwrap(Response(b"", 0x6985)).sw == 0x6985
        session.wrap(Command(0x80, 0xF2, 0, 0))
        assert session.unwrap(Response(b"", 0x9000)).ok
        assert session.level == 0x03

    def test_the_challenge_has_at_most_255_bytes(self) -> None:
        session = opened(StandardCard(KEYS[16]), 0x03)
        with pytest.raises(MalformedCommand, match="at most 255"):
            session.begin_r_mac(bytes(256))
        assert Plain.parse(session.begin_r_mac(bytes(200)).encode()).ins == 0x7A
