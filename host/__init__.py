"""What the counter and the issuer do: dialogs, keys, journal, settlement. A link raises LinkLost when the card or the reader went away."""

from joren.apdu import LinkLost, MacMismatch

from .aio import InThread, in_thread
from .dialog import Ask, AsyncTransmit, Dialog, Done, Slot, chained, feed, resume, run, run_async, start
from .errors import CardFault, CardLost, CardRefused, DialogError, HostError, JournalError, VaultError
from .fate import Fate
from .holder import Acceptor, KeyHolder, shop_card_id
from .issuer import issue_customer, issue_shop, set_customer_status, set_shop_status
from .journal import Journal, Row
from .kiosk import CustomerView, HolderView, read_receipts, view_customer, view_holder
from .masters import Masters
from .offers import Offer, Offers
from .pcsc import PcscCard, PcscReader, find_reader
from .pcsc_api import Disposition, Share, WireProtocol
from .pcsc_errors import ReaderError, ReaderLost
from .pcsc_readers import ReaderState, list_readers
from .pin import change_pin, unblock_pin
from .product import DEFAULT_PRODUCT, Product
from .record import Recorder
from .replaying import Diverged, Replay, replaying
from .results import Detail, Granted, Receipt, Settled, Standing
from .shop_holder import ShopCardHolder
from .software_keys import SoftwareKeys
from .till import Till
from .vault import Vault

__all__ = [
    "DEFAULT_PRODUCT",
    "Acceptor",
    "Ask",
    "AsyncTransmit",
    "CardFault",
    "CardLost",
    "CardRefused",
    "CustomerView",
    "Detail",
    "Dialog",
    "DialogError",
    "Disposition",
    "Diverged",
    "Done",
    "Fate",
    "Granted",
    "HolderView",
    "HostError",
    "InThread",
    "Journal",
    "JournalError",
    "KeyHolder",
    "LinkLost",
    "MacMismatch",
    "Masters",
    "Offer",
    "Offers",
    "PcscCard",
    "PcscReader",
    "Product",
    "ReaderError",
    "ReaderLost",
    "ReaderState",
    "Receipt",
    "Recorder",
    "Replay",
    "Row",
    "Settled",
    "Share",
    "ShopCardHolder",
    "Slot",
    "SoftwareKeys",
    "Standing",
    "Till",
    "Vault",
    "VaultError",
    "WireProtocol",
    "chained",
    "change_pin",
    "feed",
    "find_reader",
    "in_thread",
    "issue_customer",
    "issue_shop",
    "list_readers",
    "read_receipts",
    "replaying",
    "resume",
    "run",
    "run_async",
    "set_customer_status",
    "set_shop_status",
    "shop_card_id",
    "start",
    "unblock_pin",
    "view_customer",
    "view_holder",
]
