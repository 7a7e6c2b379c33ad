"""joren personalize: cards made by the batch, and what the issuer's operator asks about them."""

from pathlib import Path

import click

from joren.host import HostError, Product
from joren.host.batch_journal import BatchJournal, Entry
from joren.host.production_report import fingerprint, load_public_key, verify_report, write_letters
from joren.simulator.profile import load_profile

from .batch_progress import Progress
from .card_folder import make_blanks
from .keys_views import bytes_of
from .options import profile_option
from .output import Commands, console, json_option, reply, table, wants_json
from .personalize_batch import batch_command, entry_fields, journal_option, journal_path, whose_card
from .workspace import CARDS, SHOPS, Workspace, pass_workspace

__all__ = ["personalize"]

CHIP_SIZE, ID_SIZE = 12, 8
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("personalize", cls=Commands)
def personalize() -> None:
    """Make cards by the batch, and look at what was made."""


personalize.add_command(batch_command)


def _reading(workspace: Workspace, journal: Path | None, *, writer: bool = False) -> BatchJournal:
    product = workspace.product
    return BatchJournal(journal_path(workspace, journal), product.programme, product.cards.id_prefix, writer=writer)


@personalize.command("blanks")
@click.argument("number", type=click.IntRange(1))
@click.option("--cards", type=click.Path(path_type=Path), help="The folder they go to; blanks in the folder if left out.")
@click.option("--shop", is_flag=True, help="Chips with room for a shop card.")
@profile_option
@json_option
@pass_workspace
def blanks(workspace: Workspace, number: int, cards: Path | None, shop: bool, profile: str) -> None:
    """Make blank simulated cards, as their maker delivers them: a card manager with transport keys, nothing else.

    \b
    Examples:
      joren personalize blanks 20
      joren personalize blanks 5 --profile jcop4
    """
    folder = cards or workspace.home / "blanks"
    with workspace.alone(), Progress("blank cards", number, quiet=wants_json()) as progress:
        make_blanks(workspace, folder, SHOPS if shop else CARDS, number, load_profile(profile), progress.step)
    fields = {"folder": str(folder), "made": number, "profile": profile}
    reply("personalize-blanks", fields, lambda: click.echo(f"{number:,} blank cards in {folder}"))


@personalize.command("status")
@journal_option
@json_option
@pass_workspace
def status(workspace: Workspace, journal: Path | None) -> None:
    """Show the batches of a journal, and which cards are half-made; also while a batch runs.

    \b
    Example:
      joren personalize status
    """
    rows, told, open_rows = [], [], []
    with _reading(workspace, journal) as opened:
        for batch in opened.batches():
            counts = opened.counts(batch)
            numbers = (batch.rows, counts.issued, counts.assigned, counts.waiting, counts.rejected)
            rows.append((batch.name, batch.kind, *(f"{number:,}" for number in numbers), batch.taken_in))
            open_rows += list(opened.open_rows(batch))
            named = dict(zip(("rows", "issued", "assigned", "waiting", "rejected"), numbers, strict=True))
            told.append({"batch": batch.name, "kind": batch.kind, "csv_sha256": batch.csv_sha256.hex().upper(), **named})
    columns = ("batch", "cards", "rows", "issued", "half-made", "waiting", "rejected", "taken in")

    def show() -> None:
        console().print(table(columns, rows, frozenset(columns[2:7])))
        for entry in open_rows:
            click.echo(f"half-made: {_line(entry)}")

    reply("personalize-status", {"batches": told, "half_made": [entry_fields(entry) for entry in open_rows]}, show)


@personalize.command("find")
@click.option("--member", help="By the member.")
@click.option("--id", "identity", metavar="HEX", help="By the card id, 8 bytes.")
@click.option("--chip", metavar="HEX", help="By the chip, 12 bytes.")
@journal_option
@json_option
@pass_workspace
def find(workspace: Workspace, member: str | None, identity: str | None, chip: str | None, journal: Path | None) -> None:
    """Show which card a member has, or whose card it is.

    \b
    Examples:
      joren personalize find --member alice
      joren personalize find --id 4A4F000100000001
    """
    if [member, identity, chip].count(None) != 2:
        raise HostError("--member, --id or --chip: one of them expected")
    with _reading(workspace, journal) as opened:
        if member is not None:
            found = opened.by_member(member)
        elif identity is not None:
            found = opened.by_identity(bytes_of("--id", identity, ID_SIZE))
        else:
            entry = opened.by_chip(bytes_of("--chip", chip or "", CHIP_SIZE))
            found = [entry] if entry else []

    def show() -> None:
        for entry in found:
            click.echo(_line(entry))
        if not found:
            click.echo("none")

    reply("personalize-find", {"cards": [entry_fields(entry) for entry in found]}, show)


@personalize.command("scrap")
@click.argument("chip")
@journal_option
@json_option
@pass_workspace
def scrap(workspace: Workspace, chip: str, journal: Path | None) -> None:
    """Give a half-made card up: its row gets another card, with another id. Destroy this one.

    \b
    Example:
      joren personalize scrap 00000000000000D3A1F20001
    """
    raw = bytes_of("CHIP", chip, CHIP_SIZE)
    with _reading(workspace, journal, writer=True) as opened:
        opened.reject(raw, "scrapped by the operator")
        entry = opened.by_chip(raw)
    assert entry is not None
    reply("personalize-scrap", entry_fields(entry), lambda: click.echo(f"scrap: {_line(entry)}"))


@personalize.command("letters")
@click.argument("batch")
@click.option("--out", type=FILE, required=True, help="A new file, for its owner alone.")
@journal_option
@json_option
@pass_workspace
def letters(workspace: Workspace, batch: str, out: Path, journal: Path | None) -> None:
    """Write member, name, card id, PIN and PUK of a batch's cards, for a printer of letters. The file holds secrets.

    For a product whose [cards] have pin = "letter".

    \b
    Example:
      joren personalize letters members --out letters.csv
    """
    product: Product = workspace.product
    with _reading(workspace, journal) as opened:
        count = write_letters(out, opened, opened.named_batch(batch), product, workspace.masters)
    fields = {"batch": batch, "file": str(out), "letters": count}
    reply("personalize-letters", fields, lambda: click.echo(f"{count:,} letters in {out}: it holds PINs; destroy it when they are printed"))


@personalize.command("verify")
@click.argument("report", type=FILE)
@click.option("--key", "signer", type=FILE, metavar="PEM", help="The issuer's public key; without it the report names its own.")
@json_option
def verify(report: Path, signer: Path | None) -> None:
    """Check the signature of a production report. Without --key compare the key's fingerprint with the one the issuer told you.

    \b
    Examples:
      joren personalize verify members.report.json --key issuer.pem
      joren personalize verify members.report.json
    """
    from base64 import b64decode

    found = verify_report(report, load_public_key(signer) if signer else None)
    told = fingerprint(b64decode(found["public_key"]))
    counts = found["counts"]
    fields = {"report": str(report), "batch": found["batch"], "counts": counts, "signed_by": told, "key_given": signer is not None}
    text = f"{report}: signature good, by key {told}; batch {found['batch']}, {counts['issued']:,} of {counts['rows']:,} issued"
    reply("personalize-verify", fields, lambda: click.echo(text))


def _line(entry: Entry) -> str:
    card = f", id {entry.identity.hex().upper()}, chip {entry.chip.hex().upper()}" if entry.chip else ""
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{whose_card(entry)}, row {entry.order.number} of batch {entry.batch}: {entry.state}{card}{reason}"
