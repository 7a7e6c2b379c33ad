"""What a batch leaves: the report with its signature, rejects, and letters."""

import csv
import json
import stat
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from batchkit import LETTERS, MASTERS, PRODUCT, SHOPS, MemoryReader, Workshop, blank
from joren.host import HostError, Masters
from joren.host.production_report import BadReport, fingerprint, load_public_key, verify_report, write_letters, write_rejects, write_report

OTHERS = Masters.create(lambda size: bytes(range(0x20, 0x20 + size)))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Of three cards; a fourth was rejected."""
    workshop = Workshop(tmp_path)
    workshop.run(MemoryReader("r", [blank(9, OTHERS), blank(1), blank(2), blank(3)]))
    path = tmp_path / "batch.report.json"
    write_report(path, workshop.journal, workshop.batch, PRODUCT, MASTERS.vault)
    assert write_rejects(tmp_path / "rejects.csv", workshop.journal, workshop.batch) == 1
    workshop.journal.close()
    return path


def test_the_report_tells_what_was_made_and_no_secret(report: Path) -> None:
    told = json.loads(report.read_text())
    assert [told[name] for name in ("format", "version", "batch", "programme")] == ["joren-production-report", 1, "batch", 1]
    assert told["counts"] == {
        "rows": 3, "bad_rows": 0, "waiting": 0, "assigned": 0, "issued": 3, "rejected": 1, "resumed": 0, "open": 0
    }  # fmt: skip
    assert told["csv_sha256"] == sha256((report.parent / "batch.csv").read_bytes()).hexdigest().upper()
    assert [(card["row"], card["member"], card["id"]) for card in told["cards"]] == [
        (2, "alice", "4A4F000100000002"),
        (3, "bob", "4A4F000100000003"),
        (4, "carol", "4A4F000100000004"),
    ]
    assert all(len(card["chip"]) == 24 and card["key_version"] == 1 for card in told["cards"])
    assert all(sorted(card["check_values"]) == ["admin", "load", "receipt", "shop", "till"] for card in told["cards"])
    assert all(len(value) == 6 for card in told["cards"] for value in card["check_values"].values())


def test_the_signature_is_that_of_the_canonical_form(report: Path) -> None:
    """Made anew here from the words of docs/personalize.md."""
    told = json.loads(report.read_text())
    signature = b64decode(told.pop("signature"))
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    message = f"joren-production-report 1 sha256 {sha256(canonical.encode()).hexdigest().upper()}".encode()
    key = load_der_public_key(MASTERS.vault.public_key)
    key.verify(signature, message, ECDSA(SHA256()))  # type: ignore[union-attr,call-arg,arg-type]


def test_a_report_is_good_however_it_is_set(report: Path) -> None:
    told = json.loads(report.read_text())
    report.write_text(json.dumps(told, indent=3))
    assert verify_report(report, MASTERS.vault.public_key)["counts"]["issued"] == 3
    assert verify_report(report)["batch"] == "batch"


def spoil(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


SPOILS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "an id": (lambda told: told["cards"][1].update(id="4A4F000100000009"), "the signature fits not"),
    "a card more": (lambda told: told["cards"].append(told["cards"][0]), "the signature fits not"),
    "a card less": (lambda told: told["cards"].pop(), "the signature fits not"),
    "a count": (lambda told: told["counts"].update(rejected=0), "the signature fits not"),
    "a field more": (lambda told: told.update(note=1), "the signature fits not"),
    "not a number": (lambda told: told.update(note=float("nan")), "a public key and a signature expected"),
    "no signature": (lambda told: told.pop("signature"), "a public key and a signature expected"),
    "no key": (lambda told: told.pop("public_key"), "a public key and a signature expected"),
    "another key": (lambda told: told.update(public_key="AAAA"), "a public key and a signature expected"),
    "a newer version": (lambda told: told.update(version=2), "joren-production-report of version 1 expected"),
}


@pytest.mark.parametrize("name", SPOILS)
def test_a_report_that_was_changed_is_refused(report: Path, name: str) -> None:
    change, message = SPOILS[name]
    spoil(report, change)
    with pytest.raises(BadReport, match=message):
        verify_report(report)


def test_a_report_signed_by_somebody_else(report: Path) -> None:
    mine, other = MASTERS.vault.public_key, OTHERS.vault.public_key
    with pytest.raises(BadReport, match=f"signed by key {fingerprint(mine)}, one by {fingerprint(other)} expected"):
        verify_report(report, other)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"format": "joren-sale"}', b"[" * 100_000])
def test_what_is_no_report(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(BadReport):
        verify_report(tmp_path / "r.json")
    with pytest.raises(HostError, match="No such file"):
        verify_report(tmp_path / "none.json")


def test_public_keys_from_files(tmp_path: Path) -> None:
    path = tmp_path / "issuer.pem"
    path.write_bytes(load_der_public_key(MASTERS.vault.public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert load_public_key(path) == MASTERS.vault.public_key
    path.write_text("x")
    with pytest.raises(HostError, match="PEM with a public key expected"):
        load_public_key(path)
    with pytest.raises(HostError, match="No such file"):
        load_public_key(tmp_path / "none")


def test_rejects_name_row_column_or_chip_and_reason(report: Path) -> None:
    (rejected,) = csv.DictReader((report.parent / "rejects.csv").read_text(encoding="utf-8").splitlines())
    assert (rejected["row"], rejected["column"], rejected["chip"][-8:], rejected["id"]) == ("2", "", "00090000", "4A4F000100000001")
    assert "cryptogram" in rejected["reason"]


def test_a_report_of_shop_cards(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, SHOPS)
    workshop.run(MemoryReader("r", [blank(1)]))
    write_report(tmp_path / "r.json", workshop.journal, workshop.batch, PRODUCT, MASTERS.vault)
    told = verify_report(tmp_path / "r.json", MASTERS.vault.public_key)
    assert [(card["shop"], card["terminal"], card["id"]) for card in told["cards"]] == [(7, 1, "0000000100000007")]
    assert (told["counts"]["open"], told["kind"]) == (1, "shop")
    with pytest.raises(HostError, match="these have no PIN to tell"):
        write_letters(tmp_path / "letters", workshop.journal, workshop.batch, LETTERS, MASTERS)
    workshop.journal.close()


def test_letters_hold_the_pins_for_their_owner_alone(tmp_path: Path) -> None:
    workshop, path = Workshop(tmp_path, product=LETTERS), tmp_path / "letters.csv"
    workshop.run(MemoryReader("r", [blank(1), blank(2)]))
    with pytest.raises(HostError, match="these have no PIN to tell"):
        write_letters(path, workshop.journal, workshop.batch, PRODUCT, MASTERS)
    assert write_letters(path, workshop.journal, workshop.batch, LETTERS, MASTERS) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    warning, *lines = path.read_text(encoding="utf-8").splitlines()
    assert warning.startswith("# PINs and PUKs")
    ids = [entry.identity for entry in workshop.journal.issued(workshop.batch)]
    assert list(csv.reader(lines)) == [
        ["member", "name", "card_id", "pin", "puk"],
        *([who, name, one.hex().upper(), MASTERS.pin(1, one), MASTERS.puk(1, one)] for who, name, one in zip(
            ["alice", "bob"], ["Alice Ä.", "Bob"], ids, strict=True
        )),
    ]  # fmt: skip
    before = path.read_bytes()
    with pytest.raises(HostError, match="File exists; nothing was written"):
        write_letters(path, workshop.journal, workshop.batch, LETTERS, MASTERS)
    assert path.read_bytes() == before
    for file in tmp_path.glob("batch.sqlite*"):
        assert MASTERS.puk(1, ids[0]).encode() not in file.read_bytes()
    workshop.journal.close()


def test_a_file_that_can_not_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    with pytest.raises(HostError, match="nothing was written"):
        write_report(tmp_path / "none" / "r.json", workshop.journal, workshop.batch, PRODUCT, MASTERS.vault)

    class NoSigner:
        public_key = MASTERS.vault.public_key

        def sign(self, _message: bytes) -> bytes:
            raise HostError("gone")

    (tmp_path / "r.json").write_text("old")
    with pytest.raises(HostError, match="gone"):
        write_report(tmp_path / "r.json", workshop.journal, workshop.batch, PRODUCT, NoSigner())
    assert (tmp_path / "r.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.glob("r.json*")) == ["r.json"]
    workshop.journal.close()
