"""Readers of PC/SC for a batch, one by one: tests/fakescard.py is PC/SC. Whole batches are in test_pcsc_commands.py."""

import pytest

from fakescard import FakeScard, Scripted
from joren.apdu import Command, LinkLost
from joren.host.batch import CardResult, Verdict
from joren.host.pcsc import PcscReader, Share
from joren.host.pcsc_api import Pc
from joren.host.pcsc_batch import PcscBatchReader, batch_readers
from joren.host.pcsc_errors import ReaderError, ReaderLost

FIRST, SECOND = "Desk 00 00", "Desk 01 00"
ATR = "3B9097800186"
COMMAND = Command(0, 0x84, 0, 0, ne=8)


@pytest.fixture
def scard() -> FakeScard:
    return FakeScard(FIRST, SECOND)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def reader(scard: FakeScard, said: list[str]) -> PcscBatchReader:
    return PcscBatchReader(FIRST, said.append, scard)


def never() -> bool:
    return False


def test_every_reader_that_a_pattern_fits_is_taken_once(scard: FakeScard, said: list[str]) -> None:
    assert [one.name for one in batch_readers(["*01*", "desk*", "0"], said.append, scard)] == [SECOND, FIRST]
    with pytest.raises(ReaderError, match="reader x: no such reader"):
        batch_readers(["*", "x"], said.append, scard)


def test_a_card_that_is_done_with_is_not_taken_again_while_it_stays(scard: FakeScard, reader: PcscBatchReader, said: list[str]) -> None:
    slot, card = scard[FIRST], Scripted(ATR)
    slot.insert(card)
    link = reader.wait_card(never)
    assert link is not None
    assert link(COMMAND).sw == 0x6D00
    resets = card.resets
    reader.reset()
    assert card.resets == resets + 1
    reader.release(CardResult(Verdict.ISSUED, FIRST))
    assert said == [f"{FIRST}: issued; take the card out"]
    asked = iter([False, False, True, True])
    assert reader.wait_card(lambda: next(asked)) is None
    with pytest.raises(LinkLost, match="no card"):
        reader.reset()
    slot.pull()
    slot.insert(Scripted(ATR))
    assert reader.wait_card(never) is not None


def test_a_card_that_can_not_be_had_is_given_to_the_line_as_lost(scard: FakeScard, reader: PcscBatchReader) -> None:
    scard[FIRST].insert(Scripted(ATR))
    with PcscReader(FIRST, scard).connect(Share.SHARED):
        link = reader.wait_card(never)
    assert link is not None
    with pytest.raises(LinkLost, match="another program holds the card"):
        link(COMMAND)
    reader.release(CardResult(Verdict.LOST, FIRST))


def test_a_card_that_is_out_again_before_it_was_connected_is_none(scard: FakeScard, reader: PcscBatchReader) -> None:
    slot = scard[FIRST]
    slot.insert(Scripted(ATR))
    scard.ordered["Connect"] = [Pc.NO_SMARTCARD]
    scard.before_connect = slot.pull
    scard.meanwhile = lambda: slot.insert(Scripted(ATR))
    link = reader.wait_card(never)
    assert link is not None
    assert link(COMMAND).sw == 0x6D00
    assert scard.calls.count("Connect") == 2


def test_a_reader_that_is_gone_is_a_lost_link(scard: FakeScard, reader: PcscBatchReader) -> None:
    scard[FIRST].insert(Scripted(ATR))
    scard.before_connect = scard.slots.clear
    with pytest.raises(ReaderLost, match="there is no reader of this name"):
        reader.wait_card(never)
    scard.die()
    with pytest.raises(ReaderLost, match="does not run"):
        reader.wait_card(never)
