"""DELETE of a card manager's key sets."""

from joren.apdu import SW, Command, Response
from joren.apdu.scp03 import delete_keys, put_keys
from test_card_manager import KEYS, OTHER, Desk, hexed, key_set


def test_delete_takes_a_key_set_away() -> None:
    """REQ-MAN-18, REQ-MAN-8: not the session's own; its place is free then, and its counter begins anew."""
    desk = Desk().start()
    assert desk.send(put_keys(KEYS.dek, OTHER)).ok
    assert desk.send(delete_keys(0x30)).sw == SW.CONDITIONS_NOT_SATISFIED
    desk.keys = OTHER
    assert desk.open(0x31).send(delete_keys(0x30)) == Response(b"\0", SW.OK)
    assert hexed(desk.apdu("80CA00E000").data) == "E012C00401318810C00402318810C00403318810"
    assert desk.chip.manager
    assert not any(desk.chip.manager.memory.key_cells.get()[:48])
    assert desk.send(delete_keys(0x30)).sw == SW.REFERENCED_DATA_NOT_FOUND
    assert desk.send(Command(0x80, 0xCA, 0, 0xC1, b"", 256)).data[-1] == 1
    desk.open()
    assert desk.send(put_keys(OTHER.dek, KEYS)).ok
    desk.keys = KEYS
    assert desk.open().apdu("80CA00C100").data[-1] == 1
    desk.chip.power_on()
    desk.open(0x30)


def test_the_last_key_set_stays() -> None:
    """REQ-MAN-18: also when the session was opened with one that it has replaced since."""
    desk = Desk().start()
    newest = key_set(0x32, 0xB0)
    assert desk.send(put_keys(KEYS.dek, OTHER, replaces=0x30)).ok
    assert desk.send(delete_keys(0x31)).sw == SW.CONDITIONS_NOT_SATISFIED
    assert desk.send(put_keys(KEYS.dek, newest)).ok
    assert desk.send(delete_keys(0x31)).ok
    desk.keys = newest
    desk.open()
