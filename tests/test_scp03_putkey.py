"""Our host manages the keys of a card written from the standard alone (scp03kit.py): PUT KEY and DELETE through the channel."""

import pytest

from joren.apdu import SW, Command, Key, MacMismatch, Response
from joren.apdu.scp03 import CardNotAuthentic, ChannelRefused, HostSession, Opening, ScpKeys, check_put_keys, delete_keys, put_keys
from scp03kit import AID, KEYS, StandardDomain

SIZES = (16, 24, 32)
CHALLENGE = bytes.fromhex("0123456789ABCDEF")


def key_set(version: int, size: int, turn: int = 0) -> ScpKeys:
    """The keys of scp03kit, or others made of them."""
    enc, mac, dek = (Key(bytes(byte ^ turn for byte in key)) for key in KEYS[size])
    return ScpKeys(enc, mac, dek, version)


def ask(card: StandardDomain, command: Command) -> Response:
    return Response.decode(card.transmit(command.encode()))


def opened(card: StandardDomain, keys: ScpKeys) -> HostSession:
    opening = Opening(CHALLENGE, version=keys.version, aid=AID)
    authenticating = opening.authenticate(ask(card, opening.initialize_update()), keys)
    return authenticating.open(ask(card, authenticating.command))


def send(card: StandardDomain, session: HostSession, command: Command) -> Response:
    return session.unwrap(ask(card, session.wrap(command)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("new_size", SIZES)
def test_a_new_key_set_comes_and_the_old_one_goes(size: int, new_size: int) -> None:
    old, new, card = key_set(0x30, size), key_set(0x31, new_size, turn=0x5A), StandardDomain(KEYS[size])
    session = opened(card, old)
    check_put_keys(send(card, session, put_keys(old.dek, new, padding=bytes(range(1, 16)))), new)
    assert card.sets == {0x30: KEYS[size], 0x31: tuple(key.reveal() for key in (new.enc, new.mac, new.dek))}
    opened(card, old)
    session = opened(card, new)
    assert send(card, session, delete_keys(0x30)) == Response(b"\x00", SW.OK)
    assert send(card, session, delete_keys(0x30)).sw == SW.REFERENCED_DATA_NOT_FOUND
    with pytest.raises(ChannelRefused, match="6A88"):
        opened(card, old)
    opened(card, new)


def test_a_key_set_is_replaced() -> None:
    old, same, newest = key_set(0x30, 16), key_set(0x30, 16, turn=1), key_set(0x32, 16, turn=2)
    card = StandardDomain(KEYS[16])
    check_put_keys(send(card, opened(card, old), put_keys(old.dek, same, replaces=0x30)), same)
    with pytest.raises(CardNotAuthentic):
        opened(card, old)
    session = opened(card, same)
    with pytest.raises(ChannelRefused, match="6A88"):
        check_put_keys(send(card, session, put_keys(same.dek, newest, replaces=0x31)), newest)
    check_put_keys(send(card, session, put_keys(same.dek, newest, replaces=0x30)), newest)
    assert list(card.sets) == [0x32]
    opened(card, newest)


def test_keys_under_another_dek_are_refused() -> None:
    old, new, card = key_set(0x30, 16), key_set(0x31, 16, turn=3), StandardDomain(KEYS[16])
    told = send(card, opened(card, old), put_keys(new.dek, new))
    with pytest.raises(ChannelRefused, match="9485"):
        check_put_keys(told, new)
    assert list(card.sets) == [0x30]


def test_a_card_that_confirms_other_keys_is_found_out() -> None:
    old, new, card = key_set(0x30, 16), key_set(0x31, 16, turn=3), StandardDomain(KEYS[16])
    told = send(card, opened(card, old), put_keys(old.dek, key_set(0x31, 16, turn=4)))
    with pytest.raises(MacMismatch, match="version 31"):
        check_put_keys(told, new)
