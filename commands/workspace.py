"""The folder in which the commands keep simulated cards, development keys and the tills' journals: `.joren`, $JOREN_HOME or `--home`.

How it works. A card is an image file whose secrets are wrapped under the storage key of keys.json. While a command has a card in a reader,
the image is written anew after every command that changed the card and before its answer goes on, as a real card would have kept it: so
whatever kills this process, card and journal are as after a power cut. One command at a time works in a folder.
"""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes

import click

from joren.apdu import AID_CUSTOMER, AID_SHOP, Key, aid
from joren.host import DEFAULT_PRODUCT, CardRefused, HostError, Masters, Offers, Product, Slot, run
from joren.host.guard import FileGuard
from joren.host.pkcs11_uri import Pkcs11Uri
from joren.host.reissue import ReissueBook
from joren.host.selecting import select_customer
from joren.host.stoplist import StopList
from joren.host.vault import NamedVault, VaultStore
from joren.host.vault_file import FileVault
from joren.simulator.card_manager_chip import make_managed_chip
from joren.simulator.card_manager_memory import Production
from joren.simulator.chip import IDEAL, MODEL, Chip
from joren.simulator.image import BadImage, KeptImage, load_image
from joren.simulator.java_roles import PROGRAMS
from joren.simulator.profile import Profile
from joren.simulator.protocol import slot_protocol, tap_protocol
from joren.simulator.reader import Reader
from joren.simulator.roles import ROLES

from .seats import Seat, expect_card, pattern_of, taken_seat
from .vault_option import open_vault

__all__ = ["CARDS", "CARD_WAIT_S", "SHOPS", "Place", "Workspace", "pass_workspace"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
SEED_SIZE, DIVERSIFICATION_SIZE = 16, 10
CARD_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of card images."""

    folder: str
    what: str
    make: str
    role: bytes


CARDS = Place("cards", "customer card", "joren card new", AID_CUSTOMER)
SHOPS = Place("shops", "shop card", "joren shop new", AID_SHOP)


class Workspace:
    """The folder `home`. `product_file` None: product.toml in it, or else the product that joren has.

    `vault` is the URI of the token with the masters; None: they are in keys.json. `card_wait_s`: how long to wait for a card in a reader.
    """

    def __init__(
        self,
        home: Path,
        product_file: Path | None = None,
        vault: str | None = None,
        vault_pin_file: Path | None = None,
        card_wait_s: float = CARD_WAIT_S,
    ) -> None:
        self.home = home
        self.card_wait_s = card_wait_s
        self._vault_uri = None if vault is None else Pkcs11Uri.parse(vault)
        self._vault_pin_file = vault_pin_file
        self._vault: VaultStore | None = None
        self._product_file = product_file
        self._file: FileVault | None = None
        self._masters: Masters | None = None

    def use_product(self, product_file: Path) -> None:
        """Another product, before any use of the masters."""
        self._product_file = product_file

    @property
    def product_path(self) -> Path:
        """Where the card product's file is, or would be."""
        return self._product_file or self.home / "product.toml"

    @property
    def product(self) -> Product:
        """The card product."""
        path = self.product_path
        return Product.load(path) if self._product_file or path.exists() else DEFAULT_PRODUCT

    @property
    def masters(self) -> Masters:
        """What the issuer makes from the masters of the vault."""
        if self._masters is None:
            self._masters = Masters(self.vault)
        return self._masters

    @property
    def vault(self) -> VaultStore:
        """Where the masters are, by the names that the product has for them; opened at the first use."""
        if self._vault_uri is None:
            return self._named(self._keys_file)
        return self._named(self._token)

    @property
    def _token(self) -> VaultStore:
        if self._vault is None:
            assert self._vault_uri is not None
            self._vault = open_vault(self._vault_uri, self._vault_pin_file)
        return self._vault

    def _named(self, vault: VaultStore) -> VaultStore:
        names = self.product.keys
        return vault if all(role == name for role, name in names.items()) else NamedVault(vault, names)

    @property
    def vault_text(self) -> str:
        """Where that is, for people."""
        return str(self.home / "keys.json") if self._vault_uri is None else f"token {self._vault_uri.token}"

    def close(self) -> None:
        """Logs out of the vault."""
        if self._vault is not None:
            self._vault.close()
            self._vault = self._masters = None

    @property
    def storage(self) -> Key:
        """The key under which images of simulated cards wrap their secrets; in keys.json always."""
        return self._keys_file.storage

    @property
    def _keys_file(self) -> FileVault:
        """Made, with a word about it, where there is none."""
        if self._file is None:
            path = self.home / "keys.json"
            if not path.exists():
                if self.names(CARDS) or self.names(SHOPS):
                    raise HostError(f"keys {path}: gone, and there are cards made with them; take a copy of it from before")
                FileVault.create_file(path, masters=self._vault_uri is None)
                what = "development keys" if self._vault_uri is None else "the key of simulated cards' images"
                click.echo(f"made {what} in {path}; never use {'them' if self._vault_uri is None else 'it'} for real cards", err=True)
            self._file = FileVault.load_file(path)
        return self._file

    def guard(self, *, force: bool = False) -> FileGuard:
        """The lock-out guard of this folder."""
        return FileGuard(self.home / "failed-keys.txt", force=force)

    @property
    def stop_list(self) -> StopList:
        """The stop list of this folder."""
        return StopList(self.home / "stop.txt")

    def reissues(self) -> ReissueBook:
        """The book of re-issues of this folder."""
        return ReissueBook(self.home / "reissues.sqlite")

    @property
    def offers(self) -> Offers:
        """The offers that the product names, in the file beside it, or else of offers.toml in the folder; none without it."""
        product, named = self.product, self.product_path.parent
        path = named / product.cards.offers if product.cards.offers else self.home / "offers.toml"
        return Offers.load(path) if path.exists() else Offers()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Makes the folder where it is missing, and waits until no other joren works in it."""
        for folder in (self.home, self.home / CARDS.folder, self.home / SHOPS.folder, self.home / "tills"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                click.echo(f"waiting for another joren that works in {self.home}", err=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def names(self, place: Place) -> list[str]:
        """The names of the cards there."""
        return sorted(path.stem for path in (self.home / place.folder).glob("*.json"))

    def new_path(self, place: Place, name: str) -> Path:
        """Where a new card of this name goes. Raises HostError for a name that is taken or can not be."""
        if pattern_of(name) is not None:
            what = "joren personalize batch FILE.csv --readers"
            raise HostError(f"{place.what} {name}: the name of a simulated card expected; cards in readers are made by {what} {name}")
        if not NAME.fullmatch(name):
            raise HostError(f"name: up to 32 letters, digits, '-', '_' and '.' expected, {name!r} came")
        path = self.home / place.folder / f"{name}.json"
        if path.exists():
            raise HostError(f"{place.what} {name}: there is one of this name already")
        return path

    def path(self, place: Place, name: str) -> Path:
        """The image of a card, by its name here or by the path of an image file. Raises HostError."""
        path = self.home / place.folder / f"{name}.json"
        if path.exists():
            return path
        if Path(name).is_file():
            return Path(name)
        if pattern_of(name) is not None:
            raise HostError(f"{place.what} {name}: the image of a simulated card expected; a card in a reader has none")
        known = ", ".join(self.names(place)) or f"none yet; {place.make} makes one"
        raise HostError(f"{place.what} {name}: none of this name; there are: {known}")

    def blank(self, place: Place, profile: Profile = IDEAL, program: str = MODEL.name) -> Chip:
        """A chip as its maker delivers it: a card manager with transport keys, and room for a card of that place.

        Raises DoesNotFit, and NoJava where the `program`, one of PROGRAMS, needs a Java runtime.
        """
        production = Production(token_bytes(DIVERSIFICATION_SIZE))
        keys = self.masters.transport_keys(production.diversification_data)
        chip = make_managed_chip(token_bytes(SEED_SIZE), profile, keys, production, PROGRAMS[program])
        chip.check_fit(ROLES[place.role][1], aid(place.role, self.product.programme))
        return chip

    def expect(self, place: Place, name: str) -> None:
        """Where a card is named by its reader, waits until one is in: before `alone`, so that others may work here meanwhile."""
        pattern = pattern_of(name)
        if pattern is not None:
            expect_card(place.what, pattern, self.card_wait_s)

    @contextmanager
    def inserted(self, place: Place, name: str) -> Iterator[Seat]:
        """A simulated card by its name, put in a reader; its image follows what the card does. Or the card in a reader, pcsc:PATTERN.

        Raises HostError for one that joren card serve has in a reader, ReaderError.
        """
        pattern = pattern_of(name)
        if pattern is not None:
            with taken_seat(place.what, pattern, self.card_wait_s) as seat:
                yield seat
            return
        path = self.path(place, name)
        with self.taken(path), self.followed(place, load_image(path, self.storage), path) as reader:
            yield reader

    @property
    def serving(self) -> Path:
        """Where `joren card serve` keeps which cards are in its readers, and takes orders."""
        return self.home / "serve"

    @contextmanager
    def taken(self, path: Path) -> Iterator[None]:
        """Keeps a card from everyone who would put it into another reader. Raises HostError where somebody has it."""
        if not self.serving.exists():
            yield
            return
        with (self.serving / f"{sha256(bytes(path.resolve())).hexdigest()[:16]}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HostError(
                    f"{path.stem}: this card is in a reader of joren card serve; take it out: joren card remove {path.stem}"
                ) from None
            yield

    def _is_taken(self, path: Path) -> bool:
        try:
            with self.taken(path):
                return False
        except HostError:
            return True

    def each(self, place: Place) -> Iterator[tuple[str, Reader]]:
        """Every card here, by name, in a reader, or a copy of it if somebody has it; one whose image can not be used is passed over."""
        for name in self.names(place):
            path = self.path(place, name)
            try:
                chip = load_image(path, self.storage)
            except BadImage as error:
                click.echo(f"joren: passed over, {error}", err=True)
                continue
            with self.followed(place, chip, None if self._is_taken(path) else path) as reader:
                yield name, reader

    def check_new(self, card_id: bytes) -> None:
        """Raises HostError if a customer card here has this id already: to the tills they would be one card and its copy."""
        for name, reader in self.each(CARDS):
            with suppress(CardRefused):
                info = run(select_customer(self.product.programme), {Slot.CUSTOMER: reader.transmit})
                if info.card_id == card_id:
                    raise HostError(f"card id {card_id.hex().upper()}: {name} has it already")

    @contextmanager
    def followed(self, place: Place, chip: Chip, path: Path | None) -> Iterator[Reader]:
        """A chip in a reader; `path`, if there is one, gets its image whenever it has changed."""
        reader = Reader(place.what, (tap_protocol if place is CARDS else slot_protocol)(chip.profile))
        if path is not None:
            image = KeptImage(chip, path, self.storage)
            reader.observers.append(lambda *_: image.keep())
        reader.insert(chip)
        try:
            yield reader
        finally:
            reader.remove()


pass_workspace = click.make_pass_decorator(Workspace)
