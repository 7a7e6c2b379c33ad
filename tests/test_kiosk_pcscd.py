"""The kiosk with a reader of PC/SC: cards come and go, are swapped and torn away, and none sees what another one's holder saw."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cardkit import PIN, Customer, Shop
from joren.cli import main
from pcsckit import PcscdKit
from terminalkit import session

HOUR = 10_000
NOW = ("--time", "2026-03-12")
DIGITS = PIN.decode()


def holder(number: int) -> Customer:
    customer = Customer(card_id=bytes((0xC0, *bytes(6), number)), pin=PIN)
    customer.buy(100_000 * number, hour=HOUR)
    return customer


def test_one_card_after_the_other(pcscd: PcscdKit, tmp_path: Path) -> None:
    first, second, foreign = holder(1), holder(2), Shop()
    reader = f"pcsc:{pcscd.names[0]}"
    with session(tmp_path, "kiosk", reader, *NOW, environment=pcscd.pcscd.environment) as visit:
        visit.wait("Please put your card on the reader.")
        slot = pcscd.slot(first.chip)
        slot.insert()
        visit.wait("card C000000000000001", "Your PIN:")
        visit.enter(DIGITS)
        visit.wait("Last used", ">")
        slot.remove()
        visit.wait("The card was taken out. You are logged out.")
        visit.enter("")
        visit.wait("Please put your card on the reader.")
        slot = pcscd.slot(second.chip)
        slot.insert()
        assert "C000000000000001" not in visit.wait("card C000000000000002", "Your PIN:")
        visit.enter(DIGITS)
        visit.wait("Last used", ">")
        visit.enter("0")
        visit.wait("Please take your card.")
        visit.enter("")
        assert "Last used" not in visit.wait("Please put your card on the reader.")
        slot.remove()
        slot = pcscd.slot(foreign.chip)
        slot.insert()
        visit.wait("This is no card of this programme.")
        visit.enter("")
        visit.wait("Please put your card on the reader.")
        visit.enter("\x04")
        assert visit.ended() == 0
        assert visit.screen.text == ""


def test_a_pcscd_that_ends_logs_out_and_the_kiosk_goes_on_when_it_is_back(pcscd: PcscdKit, tmp_path: Path) -> None:
    pcscd.slot(holder(1).chip).insert()
    with session(tmp_path, "kiosk", f"pcsc:{pcscd.names[0]}", *NOW, environment=pcscd.pcscd.environment) as visit:
        visit.wait("card C000000000000001", "Your PIN:")
        visit.enter(DIGITS)
        visit.wait("Last used", ">")
        pcscd.pcscd.stop()
        assert "Last used" not in visit.wait("The card was taken out. You are logged out.")
        visit.enter("")
        visit.wait("Please put your card on the reader.")
        pcscd.pcscd.start()
        visit.wait("card C000000000000001", "Your PIN:")
        visit.enter("\x04")
        assert visit.ended() == 0


def test_one_screen_and_a_trace_from_a_reader(pcscd: PcscdKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOREN_HOME", raising=False)
    (tmp_path / "pin").write_text(f"{DIGITS}\n", encoding="ascii")
    reader = f"pcsc:{pcscd.names[0]}"
    pcscd.slot(holder(3).chip).insert()
    told = CliRunner().invoke(main, ["kiosk", reader, "--once", "standing", "--pin-file", "pin", *NOW])
    assert (told.exit_code, "card C000000000000003" in told.stdout) == (0, True)
    traced = CliRunner().invoke(main, ["settle", reader, "--trace", "t.jsonl"])
    assert traced.exit_code == 0, traced.output
    again = CliRunner().invoke(main, ["trace", "replay", "t.jsonl", "--on", reader])
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, "1 APDUs, 0 different, 1 differs as it may"), again.output
