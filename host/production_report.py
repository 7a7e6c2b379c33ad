"""What a batch leaves: a signed production report, a file of rejects, and, where cards have PINs, letters.

How it works. The report is JSON with one line for each card, written as the journal is read, so it may be of any length. What is signed is
its canonical form: no white space, keys in order, ASCII alone, without the signature. The issuer's signing key (ECDSA on P-256 with
SHA-256) signs a line of text that names the report's SHA-256. A report holds no secret; letters hold nothing else.
"""

import csv
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key, load_pem_public_key

from .batch_csv import MemberRow
from .batch_journal import Batch, BatchJournal, Entry, utc_now
from .errors import DialogError, HostError
from .product import Product

__all__ = [
    "BadReport", "Pins", "Signer", "fingerprint", "load_public_key", "verify_report", "write_letters", "write_rejects", "write_report",
]  # fmt: skip

FORMAT, VERSION = "joren-production-report", 1
CARDS = '"cards":['
WARNING = "# PINs and PUKs: whoever reads this file can use the cards. Destroy it when the letters are printed.\n"
Json = dict[str, Any]


class BadReport(DialogError):
    """A file that is no production report, or was changed since it was signed."""


class Signer(Protocol):
    """The issuer's signing key, where it is (joren.host.vault)."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA on P-256 with SHA-256 over message, DER."""

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""


class Pins(Protocol):
    """Where PINs come from (joren.host.masters.Masters)."""

    def pin(self, programme: int, card_id: bytes) -> str:
        """A card's first PIN."""

    def puk(self, programme: int, card_id: bytes) -> str:
        """A card's PUK."""


@contextmanager
def _whole_file(path: Path, mode: int = 0o644, *, fresh: bool = False) -> Iterator[IO[str]]:
    """A text file that is there whole or not at all; with `fresh` only where there was none. Raises HostError."""
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            path.hardlink_to(temporary)
            temporary.unlink()
        else:
            temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HostError(f"{path}: {error.strerror}; nothing was written") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _message(digest: bytes) -> bytes:
    """What is signed for a report whose canonical form has this SHA-256."""
    return f"{FORMAT} {VERSION} sha256 {digest.hex().upper()}".encode()


def fingerprint(public_key: bytes) -> str:
    """By which people know a signing key: the first 8 bytes of the SHA-256 of its SubjectPublicKeyInfo."""
    return sha256(public_key).hexdigest()[:16].upper()


def write_report(path: Path, journal: BatchJournal, batch: Batch, product: Product, signer: Signer) -> None:
    """Writes the report of a batch as it is now. Raises HostError, JournalError, VaultError; then nothing was written."""
    counts = journal.counts(batch)
    head = {
        "format": FORMAT,
        "version": VERSION,
        "batch": batch.name,
        "kind": batch.kind,
        "csv_sha256": batch.csv_sha256.hex().upper(),
        "programme": product.programme,
        "product": product.name,
        "taken_in": batch.taken_in,
        "written": utc_now(),
        "public_key": b64encode(signer.public_key).decode(),
        "counts": {"rows": batch.rows, "bad_rows": batch.bad_rows, **asdict(counts), "open": counts.waiting + counts.assigned},
        "cards": [],
    }
    before, after = _canonical(head).split(CARDS, 1)
    digest = sha256((before + CARDS).encode())
    with _whole_file(path) as file:
        file.write(before + CARDS)
        comma = ""
        for entry in journal.issued(batch):
            card = comma + _canonical(_card(entry))
            digest.update(card.encode())
            file.write("\n" * bool(comma) + card)
            comma = ","
        digest.update(after.encode())
        signature = b64encode(signer.sign(_message(digest.digest()))).decode()
        file.write(f"{after.removesuffix('}')},{_canonical('signature')}:{_canonical(signature)}}}\n")


def _card(entry: Entry) -> Json:
    order = entry.order
    whose = {"member": order.member} if isinstance(order, MemberRow) else {"shop": order.shop, "terminal": order.terminal}
    return {
        "row": order.number,
        **whose,
        "id": entry.identity.hex().upper(),
        "chip": entry.chip.hex().upper(),
        "key_version": entry.key_version,
        "check_values": dict(entry.check_values),
        "resumed": entry.resumed > 0,
        "issued": entry.ended_at,
    }


def load_public_key(path: Path) -> bytes:
    """The SubjectPublicKeyInfo, DER, of a PEM file with a public key on P-256. Raises HostError."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise HostError(f"public key {path}: {error.strerror}") from error
    except ValueError:
        raise HostError(f"public key {path}: PEM with a public key expected, something else came") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def verify_report(path: Path, public_key: bytes | None = None) -> Json:
    """The report, if its signature is good and by this public key (DER; None: by the key that it names). Raises BadReport, HostError."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HostError(f"report {path}: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise BadReport(f"report {path}: JSON expected, something else came; take a copy of it from before") from None
    if not isinstance(report, dict) or (report.get("format"), report.get("version")) != (FORMAT, VERSION):
        raise BadReport(f"report {path}: {FORMAT} of version {VERSION} expected, another kind of file came")
    signature = report.pop("signature", None)
    try:
        told = b64decode(report["public_key"], validate=True)
        raw = b64decode(signature, validate=True)
        key = load_der_public_key(told)
        digest = sha256(_canonical(report).encode()).digest()
    except (KeyError, TypeError, ValueError):
        raise BadReport(f"report {path}: a public key and a signature expected; it is damaged, or was never signed") from None
    if public_key is not None and told != public_key:
        raise BadReport(f"report {path}: signed by key {fingerprint(told)}, one by {fingerprint(public_key)} expected")
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise BadReport(f"report {path}: a public key on P-256 expected, another kind came")
    try:
        key.verify(raw, _message(digest), ECDSA(SHA256()))
    except InvalidSignature:
        raise BadReport(f"report {path}: the signature fits not: it was changed after it was signed; ask the issuer for it again") from None
    return report


def write_rejects(path: Path, journal: BatchJournal, batch: Batch) -> int:
    """Writes what was rejected, as CSV: row, column or chip, reason; how many lines. Raises HostError, JournalError."""
    return _write_csv(path, _rejects(journal, batch))


def _write_csv(path: Path, lines: Iterable[tuple[object, ...]]) -> int:
    count = -1
    with _whole_file(path) as file:
        writer = csv.writer(file)
        for line in lines:
            writer.writerow(line)
            count += 1
    return count


def _rejects(journal: BatchJournal, batch: Batch) -> Iterator[tuple[object, ...]]:
    yield "row", "column", "chip", "id", "reason"
    for problem in journal.bad_rows(batch):
        yield problem.row, problem.column, "", "", problem.reason
    for entry in journal.rejected(batch):
        yield entry.order.number, "", entry.chip.hex().upper(), entry.identity.hex().upper(), entry.reason


def write_letters(path: Path, journal: BatchJournal, batch: Batch, product: Product, pins: Pins) -> int:
    """Writes member, name, card id, PIN and PUK of every issued card into a new file for its owner alone; how many.

    Raises HostError: the product's cards have no PIN of the issuer's making, the batch is one of shop cards, or the file is there already.
    """
    if product.cards.pin != "letter" or batch.kind != "customer":
        raise HostError(f'batch {batch.name}: customer cards of a product with cards.pin = "letter" expected; these have no PIN to tell')
    count = 0
    with _whole_file(path, 0o600, fresh=True) as file:
        file.write(WARNING)
        writer = csv.writer(file)
        writer.writerow(("member", "name", "card_id", "pin", "puk"))
        for entry in journal.issued(batch):
            if isinstance(entry.order, MemberRow):
                secrets = (pins.pin(product.programme, entry.identity), pins.puk(product.programme, entry.identity))
                writer.writerow((entry.order.member, entry.order.name, entry.identity.hex().upper(), *secrets))
                count += 1
    return count
