"""Commands with cards in readers of PC/SC, without pcscd: tests/fakescard.py is PC/SC, the cards are the simulated ones of a folder."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batchkit import CUSTOMERS
from fakescard import FakeScard, Scripted
from joren.cli import main
from joren.commands import readers as readers_command
from joren.host.pcsc_api import Pc
from joren.host.vault_file import FileVault
from joren.simulator.chip import Chip
from joren.simulator.image import load_image

DESK, SHOP = "Desk 00 00", "Shop Reader [CCID] 01 00"
BANK_ATR = "3B6500002063CB6800"
SELECT_CUSTOMER = "00A4040C0B"


class Desk:
    """joren in a folder of its own, and two readers."""

    def __init__(self, folder: Path, scard: FakeScard) -> None:
        self.folder, self.home, self.scard = folder, folder / "home", scard

    def run(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(self.home), "--card-wait", "0.01", *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        told = json.loads(self.run(*words, "--json", code=code).stdout.splitlines()[-1])
        assert isinstance(told, dict)
        return told

    def chip(self, image: str) -> Chip:
        """The card of an image, which stays as it is; joren's own storage key unwraps it."""
        return load_image(self.home / image, FileVault.load_file(self.home / "keys.json").storage)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    scard = FakeScard(DESK, SHOP)
    monkeypatch.setattr("joren.host.pcsc_api.load_scard", lambda: scard)
    monkeypatch.delenv("JOREN_CARD_WAIT", raising=False)
    made = Desk(tmp_path, scard)
    made.run("card", "new", "alice", "--id", "0102030405060708")
    made.run("shop", "new", "bakery")
    scard[DESK].insert(made.chip("cards/alice.json"))
    scard[SHOP].insert(made.chip("shops/bakery.json"))
    return made


def test_a_sale_with_both_cards_in_readers(desk: Desk) -> None:
    sale = desk.json("tap", "pcsc:desk*", "48", "--shop-card", "pcsc:1", "--factor", "2", "--time", "2026-03-09 08:05", "--reference", "S")
    assert (sale["points"], sale["recovered"]) == (96, False)
    again = desk.json("tap", "pcsc:0", "48", "--shop-card", "pcsc:1", "--factor", "2", "--time", "2026-03-09", "--reference", "S")
    assert again["recovered"]
    shown = desk.json("card", "show", f"pcsc:{DESK}", "--time", "2026-03-10")
    assert (shown["card_id"], shown["points_now"]) == ("0102030405060708", 96)
    assert len(desk.json("card", "log", "pcsc:0")["transactions"]) == 1
    assert desk.json("shop", "show", "pcsc:1")["totals"]["points_granted"] == 96
    assert desk.json("card", "show", "alice", "--time", "2026-03-10")["points_now"] == 0
    desk.run("void", "pcsc:0", "S", "--shop-card", "pcsc:1", "--time", "2026-03-09 09:00")
    assert desk.json("card", "show", "pcsc:0", "--time", "2026-03-10")["points_now"] == 0
    assert all(slot.handles == {} for slot in desk.scard.slots.values())


def test_a_sale_that_was_lost_is_settled(desk: Desk) -> None:
    sale = ("tap", "pcsc:0", "30", "--reference", "L", "--time", "2026-03-12 17:30")
    told = desk.json(*sale, "--lose", "2:after", code=5)
    assert (told["error"], told["fate"]) == ("CardLost", "pending")
    again = desk.json(*sale)
    assert (again["recovered"], again["points"]) == (True, 30)
    assert desk.json("tap", "pcsc:0", "1", "--reference", "M", "--lose", "2:before", code=5)["fate"] == "pending"
    assert [one["fate"] for one in desk.json("settle", "pcsc:0")["settled"]] == ["not_committed"]


def test_what_pcsc_says_of_a_lost_link_is_told(desk: Desk) -> None:
    desk.scard.after_transmit = lambda: desk.scard[DESK].pull() if desk.scard.calls.count("Transmit") % 2 == 0 else None
    told = desk.run("tap", "pcsc:0", "30", "--reference", "L", code=5).stderr.splitlines()
    assert told[0].startswith(
        "joren: Desk 00 00: the reader has no answer from the card (SCARD_E_NOT_TRANSACTED, 80100016); put the card on"
    )
    assert told[1].startswith("joren: link to the customer card lost; sale L: whether the card committed is not known")
    desk.scard.after_transmit = lambda: None
    desk.scard[DESK].insert(desk.chip("cards/alice.json"))
    desk.scard.ordered["Transmit"] = [0, Pc.RESET_CARD]
    told_json = desk.json("tap", "pcsc:0", "1", "--reference", "M", code=5)
    assert "SCARD_W_RESET_CARD" in told_json["cause"]


def test_a_trace_of_a_reader_is_as_one_of_the_simulator(desk: Desk) -> None:
    trace = desk.folder / "trace.jsonl"
    before = desk.folder / "before.json"
    desk.run("card", "image", "alice", "--out", str(before))
    desk.run("tap", "pcsc:0", "12.50", "--trace", str(trace))
    assert desk.json("trace", "replay", str(trace), "--card", str(before))["differences"] == []
    desk.run("trace", "show", str(trace))


def test_changes_and_scripts_reach_a_card_in_a_reader(desk: Desk) -> None:
    assert desk.json("admin", "status", "blocked", "pcsc:0")["state"] == "BLOCKED"
    assert desk.json("card", "status", "pcsc:0", "issued")["state"] == "ISSUED"
    assert desk.json("admin", "refill", "1", "pcsc:1", "--points", "5")["changed"]
    probe, script, answers = (str(desk.folder / name) for name in ("probe", "script", "answers"))
    desk.run("script", "probe", "pcsc:0", "--out", probe)
    desk.run("admin", "status", "blocked", "--script", script, "--probe", probe)
    desk.run("script", "run", script, "pcsc:0", "--answers", answers)
    assert desk.json("script", "check", script, answers)["done"]
    assert desk.json("card", "show", "pcsc:0")["state"] == "BLOCKED"


REFUSED: list[tuple[list[str], int, str]] = [
    (["tap", "pcsc:nothing", "1"], 6, 'reader nothing: no such reader; there are: "Desk 00 00", "Shop Reader [CCID] 01 00"'),
    (["tap", "pcsc:*00", "1"], 2, "reader *00: one expected, 2 came"),
    (["tap", "pcsc:0", "1", "--timed"], 2, "--timed: a simulated customer card expected, whose profile tells the times"),
    (["card", "image", "pcsc:0"], 2, "customer card pcsc:0: the image of a simulated card expected; a card in a reader has none"),
    (
        ["tap", "pcsc:0", "1", "--shop-card", "pcsc:desk*"],
        2,
        "Desk 00 00: a customer card and a shop card in readers of their own expected",
    ),
    (["tap", "pcsc:", "1"], 2, "reader: its name, its number or a pattern expected, nothing came"),
    (["card", "new", "pcsc:0"], 2, "cards in readers are made by joren personalize batch FILE.csv --readers pcsc:0"),
    (["personalize", "batch", "CSV", "--readers", "pcsc:0,pcsc:x"], 6, "reader x: no such reader"),
    (["personalize", "batch", "CSV", "--readers", "pcsc:x"], 6, "reader x: no such reader"),
    (["personalize", "batch", "CSV", "--readers", "pcsc:"], 2, "sim:N, N in 1..64, or pcsc:PATTERN,... expected"),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSED)
def test_what_can_not_be_is_said(desk: Desk, words: list[str], code: int, said: str) -> None:
    (desk.folder / "members.csv").write_text(CUSTOMERS)
    result = desk.run(*(str(desk.folder / "members.csv") if word == "CSV" else word for word in words), code=code)
    assert said in result.stderr


def test_without_a_card_the_command_waits_and_says_so(desk: Desk) -> None:
    chip = desk.chip("cards/alice.json")
    slot = desk.scard[DESK]
    slot.pull()
    said = desk.run("card", "show", "pcsc:0", code=6).stderr
    assert "joren: put the customer card on Desk 00 00\n" in said
    assert "joren: Desk 00 00: a customer card expected, none came within 0.01 s" in said
    desk.scard.meanwhile = lambda: None if slot.seen else slot.insert(chip)
    desk.run("--card-wait", "60", "card", "show", "pcsc:0")


def test_while_a_sale_waits_for_its_card_others_may_work_in_the_folder(desk: Desk) -> None:
    chip, slot, free = desk.chip("cards/alice.json"), desk.scard[DESK], []
    slot.pull()

    def come() -> None:
        with (desk.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free.append(True)
        slot.insert(chip)

    desk.scard.meanwhile = come
    desk.run("--card-wait", "60", "tap", "pcsc:0", "1")
    assert free == [True]


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ("6A82", 3, "customer card refused SELECT: 6A82 FILE_NOT_FOUND"),
        ("6F1A840E315041592E5359532E4444463031A5088801025F2D02656E6283", 4, "26 bytes expected, 28 came"),
        ("6F1A840E315041592E5359532E4444463031A5088801025F2D02656E9000", 4, "26 bytes expected, 28 came"),
        ("6D00", 3, "customer card refused SELECT: 6D00"),
        ("6700", 3, "customer card refused SELECT: 6700"),
        ("", 5, "the card gave no answer"),
    ],
)
@pytest.mark.parametrize("words", [["tap", "pcsc:0", "1", "--reference", "F"], ["settle", "pcsc:0"]])
def test_a_bank_card_is_refused_and_nothing_is_left_of_it(desk: Desk, words: list[str], answer: str, code: int, said: str) -> None:
    """It speaks T=0, and answers SELECT in several ways; an FCI as EMV has it among them."""

    class Bank(Scripted):
        def exchange(self, apdu: bytes) -> bytes:
            super().exchange(apdu)
            return bytes.fromhex(answer)

    bank = Bank(BANK_ATR)
    desk.scard[DESK].pull()
    desk.scard[DESK].insert(bank)
    assert said in desk.run(*words, code=code).stderr
    assert [apdu[:4].hex().upper() for apdu in bank.sent] == [SELECT_CUSTOMER[:8]]
    desk.scard[DESK].pull()
    desk.scard[DESK].insert(desk.chip("cards/alice.json"))
    assert desk.json("settle", "pcsc:0")["settled"] == []


def test_readers_are_listed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.scard[SHOP].pull()
    listed = desk.json("readers")["readers"]
    assert listed == [
        {
            "number": 0,
            "name": DESK,
            "state": "card",
            "present": True,
            "atr": "3B9097800186",
            "protocols": ["T=0", "T=1"],
            "extended_length": False,
        },
        {"number": 1, "name": SHOP, "state": "empty", "present": False, "atr": None, "protocols": [], "extended_length": False},
    ]
    lines = [line.split() for line in desk.run("readers").stdout.splitlines()]
    assert lines[1:] == [["0", "Desk", "00", "00", "card", "3B9097800186"], ["1", "Shop", "Reader", "[CCID]", "01", "00", "empty"]]
    desk.scard.slots.clear()
    assert desk.run("readers").stdout == "no reader\n"
    desk.scard.die()
    assert "PC/SC: the PC/SC system does not run" in desk.run("readers", code=6).stderr
    assert desk.json("readers", code=6)["error"] == "ReaderError"


def test_readers_are_watched_until_it_is_time_or_somebody_interrupts(desk: Desk) -> None:
    slot = desk.scard[DESK]
    assert desk.run("readers", "--watch", "--seconds", "0").stdout == ""

    def interrupt() -> None:
        raise KeyboardInterrupt

    def pull() -> None:
        slot.pull()
        desk.scard.meanwhile = interrupt

    desk.scard.meanwhile = pull
    told = [json.loads(line) for line in desk.run("readers", "--watch", "--json").stdout.splitlines()]
    assert [(one["format"], one["name"], one["state"]) for one in told] == [
        ("joren-reader", DESK, "card"),
        ("joren-reader", SHOP, "card"),
        ("joren-reader", DESK, "empty"),
    ]
    desk.scard.meanwhile = interrupt
    assert desk.run("readers", "--watch").stdout == f"{DESK}: empty\n{SHOP}: card 3B9097800186\n"
    assert readers_command.__all__ == ["readers"]


def test_a_batch_is_made_in_readers_that_an_operator_feeds(desk: Desk) -> None:
    """The operator takes a card out when its connection ends, and puts the next one in; one is mute, and one is put in again."""
    desk.run("personalize", "blanks", "3")
    csv_file = desk.folder / "members.csv"
    csv_file.write_text(CUSTOMERS)
    blanks = [desk.chip(f"blanks/{path.name}") for path in sorted((desk.home / "blanks").glob("*.json"))]
    pile: list[Chip] = [blanks[0], blanks[0], *blanks[1:]]
    for slot in desk.scard.slots.values():
        slot.pull()

    def operate() -> None:
        slot = desk.scard[DESK]
        if slot.handles:
            return
        if slot.seen:
            slot.pull()
        elif pile:
            slot.mute = len(pile) == 4 and not slot.mute
            slot.insert(blanks[2] if slot.mute else pile.pop(0))

    desk.scard.meanwhile = operate
    result = desk.run("personalize", "batch", str(csv_file), "--readers", "pcsc:desk*,0", "--json")
    *cards, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert [card["verdict"] for card in cards] == ["lost", "issued", "issued before", "issued", "issued"]
    assert "the card does not answer to power" in cards[0]["reason"]
    assert last["counts"]["issued"] == 3
    assert "Desk 00 00: issued; take the card out\n" in result.stderr
    assert all(slot.handles == {} for slot in desk.scard.slots.values())


def test_a_batch_ends_where_its_reader_is_gone(desk: Desk) -> None:
    csv_file = desk.folder / "members.csv"
    csv_file.write_text(CUSTOMERS)
    desk.scard[DESK].pull()

    def unplug() -> None:
        desk.scard.slots.pop(DESK, None)

    desk.scard.meanwhile = unplug
    told = desk.run("personalize", "batch", str(csv_file), "--readers", "pcsc:0", code=1).stdout
    assert "reader gone: Desk 00 00: Desk 00 00: there is no reader of this name any more" in told
