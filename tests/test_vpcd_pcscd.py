"""The simulated cards in readers of PC/SC, as other programs see them. Nothing of joren is on the other side of pcscd."""

import subprocess

from cardkit import Customer
from pcsckit import PcscdKit

CARD = bytes.fromhex("C000000000000001")


def told(kit: PcscdKit, *command: str) -> str:
    return subprocess.run(command, env=kit.environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_opensc_lists_the_card_and_reads_its_atr(pcscd: PcscdKit) -> None:
    slot = pcscd.slot(Customer(card_id=CARD).chip)
    slot.insert()
    listed = [line.split(maxsplit=2) for line in told(pcscd, "opensc-tool", "-l").splitlines()[2:]]
    assert listed == [["0", "Yes", pcscd.names[0]], ["1", "No", pcscd.names[1]]]
    assert told(pcscd, "opensc-tool", "-r", "0", "-a").strip() == "3b:90:97:80:01:86"
