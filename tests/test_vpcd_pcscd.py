"""The simulated cards in readers of PC/SC, as other people's tools see them through pcscd and the vpcd driver."""

import json
import os
import re
import selectors
import signal
import stat
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue
from time import monotonic, sleep

import pytest

from cardkit import Customer, Shop
from joren.commands.serve import PRIVATE
from joren.simulator import pcscd as pcscd_module
from joren.simulator.card_manager_chip import make_managed_chip
from joren.simulator.cardserver import known_manager_keys
from joren.simulator.chip import IDEAL
from joren.simulator.pcscd import SOCKET, NoPcscd, PrivatePcscd, missing_packages
from joren.simulator.pcscd_room import Door
from joren.simulator.profile import load_profile
from joren.simulator.vpcd import ChipInSlot, News, VpcdSlot
from pcsckit import PcscdKit
from vpcdkit import SOON

CARD = bytes(range(1, 9))
SELECT_CUSTOMER, SELECT_SHOP = "00A4040007F06A6F72656E0100", "00A4040007F06A6F72656E0200"


def told(kit: PcscdKit, *command: str) -> str:
    done = subprocess.run(command, env=kit.environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def present(kit: PcscdKit) -> list[str]:
    """By reader: Yes or No."""
    return [line.split()[1] for line in told(kit, "opensc-tool", "-l").splitlines()[2:]]


def answers(kit: PcscdKit, reader: int, *apdus: str) -> list[str]:
    """The status words, as opensc-tool tells them."""
    lines = told(kit, "opensc-tool", "-r", str(reader), *(word for apdu in apdus for word in ("-s", apdu))).splitlines()
    return ["".join(re.findall("0x(..)", line)) for line in lines if line.startswith("Received")]


def soon(kit: PcscdKit, expected: list[str]) -> list[str]:
    """What is present, when it is as expected, or after some time."""
    deadline = monotonic() + SOON
    while (found := present(kit)) != expected and monotonic() < deadline:
        pass
    return found


def test_two_cards_in_two_readers(pcscd: PcscdKit) -> None:
    """Each has its own applet, and none of the other's. A reset ends the session."""
    customer, shop = pcscd.slot(Customer(card_id=CARD).chip, 0), pcscd.slot(Shop(7, 1, 1_000, 1_000).chip, 1)
    customer.insert()
    shop.insert()
    assert present(pcscd) == ["Yes", "Yes"]
    assert told(pcscd, "opensc-tool", "-r", "0", "-a").strip() == "3b:90:97:80:01:86"
    assert answers(pcscd, 0, SELECT_CUSTOMER, SELECT_SHOP) == ["9000", "6A82"]
    assert answers(pcscd, 1, SELECT_CUSTOMER, SELECT_SHOP) == ["6A82", "9000"]
    told(pcscd, "opensc-tool", "-r", "0", "--reset")
    assert answers(pcscd, 0, "00CA000000") == ["6985"]


def test_a_card_in_and_out(pcscd: PcscdKit) -> None:
    slot = pcscd.slot(Customer(card_id=CARD).chip)
    assert present(pcscd) == ["No", "No"]
    for _ in range(2):
        slot.insert()
        assert present(pcscd) == ["Yes", "No"]
        slot.remove()
        assert soon(pcscd, ["No", "No"]) == ["No", "No"]


def test_a_card_with_t0_alone(pcscd: PcscdKit) -> None:
    slot = pcscd.slot(Customer(card_id=CARD).chip.on(load_profile("feitian-h19cr")))
    slot.insert()
    assert "3b:11:95:80" in told(pcscd, "opensc-tool", "-r", "0", "-a")
    assert answers(pcscd, 0, SELECT_CUSTOMER, SELECT_SHOP) == ["9000", "6A82"]


def test_a_card_with_a_manager(pcscd: PcscdKit) -> None:
    """The manager answers first, and tells its data to whoever asks."""
    slot = pcscd.slot(make_managed_chip(b"seed", IDEAL, known_manager_keys()))
    slot.insert()
    shown = told(pcscd, "opensc-tool", "-r", "0", "-s", "00A4040000", "-s", "80CA00E000", "-s", "80CA006600")
    assert shown.count("SW1=0x90, SW2=0x00") == 3
    assert "A0 00 00 01 51 00 00 00" in shown


def test_pcscd_that_crashes_and_comes_back(pcscd: PcscdKit) -> None:
    """The card goes in again by itself."""
    news: SimpleQueue[News] = SimpleQueue()
    with VpcdSlot(ChipInSlot(Customer(card_id=CARD).chip), pcscd.pcscd.slot(0), news.put) as slot:
        slot.insert()
        pcscd.pcscd.kill()
        assert Path(pcscd.pcscd.environment[SOCKET]).exists()
        assert [news.get(timeout=SOON) for _ in range(2)] == [News.INSERTED, News.LOST]
        pcscd.pcscd.start()
        assert news.get(timeout=SOON) is News.INSERTED
        assert present(pcscd) == ["Yes", "No"]


def test_four_slots_are_four_readers(pcscd: PcscdKit, tmp_path: Path) -> None:
    """Of a second pcscd beside the first, which does not see them."""
    with PrivatePcscd(tmp_path / "other", slots=3) as other:
        kit = PcscdKit(other)
        for number, chip in ((0, Customer(card_id=CARD).chip), (2, Shop(7, 1, 1_000, 1_000).chip)):
            kit.slot(chip, number).insert()
        assert present(kit) == ["Yes", "No", "Yes", "No"]
        assert answers(kit, 2, SELECT_SHOP) == ["9000"]
        assert present(pcscd) == ["No", "No"]
        with pytest.raises(ConnectionRefusedError, match=r"slot 4 of the pcscd in .*: no such slot"):
            other.slot(4)()
        kit.empty()
        assert stat.S_IMODE(other.folder.stat().st_mode) == 0o700  # what pcscd itself makes is open to everyone
        with pytest.raises(ValueError, match="runs already"):
            other.start()


def test_pcscd_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, signal; from joren.simulator.pcscd import PrivatePcscd\n"
        "private = PrivatePcscd(pathlib.Path(sys.argv[1])); private.start(); print(private.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        program.kill()
    deadline = monotonic() + SOON
    while Path(f"/proc/{pid}").exists() and monotonic() < deadline:
        sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcscd_module, "DRIVERS", [])
    assert missing_packages() == ["vsmartcard-vpcd"]
    monkeypatch.setattr(pcscd_module, "_program", lambda: None)
    with pytest.raises(NoPcscd, match="apt install pcscd vsmartcard-vpcd"):
        PrivatePcscd()
    for slots in (0, 17):
        with pytest.raises(ValueError, match=f"expected, {slots} came"):
            PrivatePcscd(slots=slots)


def test_without_namespaces_and_root_it_says_what_would_help(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pcscd_module, "_works", lambda *_: False)
    monkeypatch.setattr("os.geteuid", lambda: 1)
    with pytest.raises(NoPcscd, match="user namespaces"), PrivatePcscd(tmp_path):
        pass


def test_without_namespaces_root_runs_one_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In its own place, which is found by way of the folder."""
    monkeypatch.setattr(pcscd_module, "_works", lambda *_: False)
    monkeypatch.setattr(pcscd_module, "_keeps_to_itself", lambda: False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(pcscd_module, "PLAIN", tmp_path / "run")
    private = PrivatePcscd(tmp_path / "folder")
    private.folder.mkdir()
    assert private._namespace() == []
    assert (private.folder / "run").readlink() == tmp_path / "run"
    held = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    command = [sys.executable, "-c", held, str(tmp_path / "run" / "joren.lock")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    private.close()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_pcscd_that_does_not_come_up_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "pcscd"
    program.write_text("#!/bin/sh\necho no reader for you\nexit 1\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setattr(pcscd_module, "_program", lambda: str(program))
    with pytest.raises(NoPcscd, match="it says: no reader for you"), PrivatePcscd(tmp_path / "folder"):
        pass
    monkeypatch.setattr(pcscd_module, "_program", lambda: str(tmp_path / "none"))
    with pytest.raises(NoPcscd, match="did not come up"), PrivatePcscd(tmp_path / "folder"):
        pass


def test_the_benchmark_runs() -> None:
    script = Path(__file__).parent.parent / "benchmarks" / "pcsc.py"
    done = subprocess.run([sys.executable, str(script), "--json", "1"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["format"], told["version"], told["rounds"]) == ("joren-bench-pcsc", 1, 1)
    assert all(row["per_second"] > 0 and row["ratio"] > 0 for row in told["rows"].values())


JOREN = [sys.executable, "-m", "joren.cli", "pcscd"]


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("opensc-tool -l | grep -c Virtual", 0)])
def test_joren_pcscd_ends_as_its_command_ends(command: str, code: int) -> None:
    done = subprocess.run([*JOREN, "--slots", "2", "--", "sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout == ("2\n" if code == 0 else "")


def test_joren_pcscd_of_no_such_program() -> None:
    done = subprocess.run([*JOREN, "no-such-program"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("joren: no-such-program: No such file or directory")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_joren_pcscd_without_a_command_runs_until_it_is_ended(by: signal.Signals) -> None:
    with subprocess.Popen([*JOREN, "--json"], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        told = json.loads(program.stdout.readline())
        assert told["readers"] == ["Virtual PCD 00 00", "Virtual PCD 00 01"]
        assert told["environment"][PRIVATE] == told["folder"]
        with Door(Path(told["folder"]), 1)():
            program.send_signal(by)
    assert program.returncode == 0
    assert not Path(told["folder"]).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has a namespace where users can not make one")
def test_in_a_chroot_root_has_a_pcscd_of_its_own_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There a namespace can not be kept apart by unshare: it is tried whether its mounts get out."""
    monkeypatch.setattr(pcscd_module, "_works", lambda *_command: False)
    before = Path("/proc/self/mounts").read_text(encoding="utf-8")
    with PrivatePcscd(tmp_path / "one") as one, PrivatePcscd(tmp_path / "two") as two:
        assert one.running
        assert two.running
        assert Path("/proc/self/mounts").read_text(encoding="utf-8") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="as root")
@pytest.mark.parametrize(("says", "expected"), [("echo", True), ("exit 1", False)])
def test_mounts_that_stay_in_are_told_from_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, expected: bool) -> None:
    program = tmp_path / "unshare"
    program.write_text(f"#!/bin/sh\n{says}\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setattr(pcscd_module, "IN_CHROOT", (str(program),))
    assert pcscd_module._keeps_to_itself() is expected
    monkeypatch.setattr(pcscd_module, "IN_CHROOT", (str(tmp_path / "none"),))
    assert not pcscd_module._keeps_to_itself()


def test_a_room_that_is_told_to_end_leaves_no_pcscd() -> None:
    with PrivatePcscd() as private:
        assert private._process is not None
        pcscd = os.pidfd_open(private.pid)
        private._process.terminate()
        with selectors.DefaultSelector() as events:
            events.register(pcscd, selectors.EVENT_READ)
            assert events.select(10), "pcscd ended"
        os.close(pcscd)
