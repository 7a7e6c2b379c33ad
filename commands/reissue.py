"""joren card reissue: a new card takes over what an old one had, at hand or lost."""

from collections.abc import Iterator
from pathlib import Path
from secrets import token_bytes

import click

from joren.host import HostError, Journal, Receipt, Slot, run
from joren.host.product import Product
from joren.host.proven import newest_proven, sheet_of
from joren.host.reissue import ReissueBook, close_lost, close_old, make_new
from joren.host.selecting import select_customer
from joren.simulator.image import load_image, save_image
from joren.simulator.profile import load_profile

from .admin import FILE, read_text
from .options import pin_options, profile_option, read_pins
from .output import json_option, reply
from .workspace import CARDS, Workspace, pass_workspace

__all__ = ["reissue"]

ID_SIZE = 8


@click.command("reissue")
@click.argument("old")
@click.argument("new")
@click.option("--lost", is_flag=True, help="OLD, a name or a card id, is not at hand: go by its newest receipt.")
@click.option("--receipt", "receipt_file", metavar="FILE", type=FILE, help="Receipts beside those of the tills here, in hexadecimal.")
@click.option("--id", "card_id", metavar="HEX", help="The id of the new card, 8 bytes; at random if left out.")
@click.option("--force", is_flag=True, help="Try keys that failed on the old card before.")
@profile_option
@pin_options
@json_option
@pass_workspace
def reissue(
    workspace: Workspace,
    old: str,
    new: str,
    lost: bool,
    receipt_file: Path | None,
    card_id: str | None,
    force: bool,
    profile: str,
    pin_file: Path | None,
    ask_pin: bool,
) -> None:
    """Make card NEW in place of OLD: it takes over score, points and purse, and OLD is refused from then on.

    A run that was cut short is finished by the same command. With a PIN as in `joren card new`.

    \b
    Examples:
      joren card reissue alice alice-2
      joren card reissue 00000000000A11CE alice-2 --lost
    """
    pin, puk = read_pins(pin_file, ask_pin, "PIN", "PUK")
    wanted = None if card_id is None else _card_id(card_id)
    with workspace.alone(), workspace.reissues() as book:
        old_id = _identity(workspace, old, lost)
        new_id = _new_identity(workspace, book, old_id, new, wanted)
        if lost:
            _close_lost(workspace, book, old_id, new_id, receipt_file)
        else:
            guard = workspace.guard(force=force)
            with workspace.inserted(CARDS, old) as reader:
                run(close_old(book, workspace.product, workspace.masters, old_id, new_id, guard=guard), {Slot.CUSTOMER: reader.transmit})
        path = workspace.home / CARDS.folder / f"{new}.json"
        if not path.exists():
            row = book.of_old(old_id)
            if row is not None and row.chip is not None:
                raise HostError(f"card {_hex(new_id)}: begun on chip {_hex(row.chip)} under another name; give that name")
            save_image(workspace.blank(CARDS, load_profile(profile)), workspace.new_path(CARDS, new), workspace.storage)
        dialog = make_new(book, workspace.product, workspace.masters, old_id, pin=pin, puk=puk, guard=workspace.guard())
        with workspace.followed(CARDS, load_image(path, workspace.storage), path) as reader:
            run(dialog, {Slot.CUSTOMER: reader.transmit})
    fields = {"name": new, "image": str(path), "card_id": _hex(new_id), "replaces": _hex(old_id), "lost": lost}
    reply("card-reissue", fields, lambda: click.echo(f"{new}: card {_hex(new_id)} in place of {_hex(old_id)}, in {path}"))


def _new_identity(workspace: Workspace, book: ReissueBook, old_id: bytes, new: str, wanted: bytes | None) -> bytes:
    """The id of the new card: what the book says of a re-issue that was begun, else as it was given, else at random."""
    row = book.of_old(old_id)
    if row is not None:
        return wanted or row.new
    workspace.new_path(CARDS, new)
    new_id = wanted or token_bytes(ID_SIZE)
    workspace.check_new(new_id)
    return new_id


def _close_lost(workspace: Workspace, book: ReissueBook, old_id: bytes, new_id: bytes, receipt_file: Path | None) -> None:
    product, stop_list = workspace.product, workspace.stop_list

    def last_sheet() -> bytes:
        """By its newest receipt; of a card without any that took over another's sheet, that one."""
        receipts = [*_tills_receipts(workspace, product), *_filed_receipts(receipt_file)]
        proven = newest_proven(workspace.masters, receipts, product.programme, old_id)
        if proven is not None:
            return sheet_of(product, proven)
        taken_over = book.of_new(old_id)
        if taken_over is None:
            raise HostError(f"card {_hex(old_id)}: no receipt of it verifies, so nothing is proven; stop it and make a new card")
        return taken_over.sheet

    close_lost(book, old_id, new_id, last_sheet, lambda lost_id: stop_list.add(lost_id, "lost"))


def _identity(workspace: Workspace, old: str, lost: bool) -> bytes:
    """The id of the old card: of a lost one as it was given, or else as the card says."""
    if lost and old not in workspace.names(CARDS):
        return _card_id(old)
    with workspace.inserted(CARDS, old) as reader:
        return run(select_customer(workspace.product.programme), {Slot.CUSTOMER: reader.transmit}).card_id


def _tills_receipts(workspace: Workspace, product: Product) -> Iterator[Receipt]:
    """Every receipt in the journals of the tills here."""
    for path in sorted((workspace.home / "tills").glob(f"{product.programme}-*.sqlite")):
        with Journal(path) as journal:
            for row in journal.rows():
                if row.outcome is not None and row.receipt is not None:
                    yield Receipt(product.programme, row.card_id, row.head + row.outcome.encode(), row.receipt)


def _filed_receipts(path: Path | None) -> Iterator[Receipt]:
    for number, line in enumerate([] if path is None else read_text("receipts", path).split(), 1):
        try:
            yield Receipt.decode(bytes.fromhex(line))
        except ValueError as error:
            raise HostError(f"receipts {path}, line {number}: {error}") from error


def _card_id(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != ID_SIZE or not any(raw):
        raise HostError(f"card id: 8 bytes in hexadecimal, not all zero, expected, {text!r} came")
    return raw


def _hex(raw: bytes) -> str:
    return raw.hex().upper()
