"""What the counter and the issuer do: dialogs, keys, journal, settlement. A link raises LinkLost when the card or the reader went away."""

from joren.apdu import LinkLost, MacMismatch

from .dialog import Ask, Dialog, Done, Slot, feed, resume, run, run_async, start
from .errors import CardFault, CardLost, CardRefused, DialogError, HostError, JournalError, VaultError
from .fate import Fate
from .holder import Acceptor, KeyHolder, shop_card_id
from .issuer import issue_customer, issue_shop, set_customer_status, set_shop_status
from .journal import Journal, Row
from .masters import Masters
from .offers import Offer, Offers
from .product import DEFAULT_PRODUCT, Product
from .results import Detail, Granted, Receipt, Settled, Standing
from .shop_holder import ShopCardHolder
from .software_keys import SoftwareKeys
from .till import Till
from .vault import Vault

__all__ = [
    "DEFAULT_PRODUCT",
    "Acceptor",
    "Ask",
    "CardFault",
    "CardLost",
    "CardRefused",
    "Detail",
    "Dialog",
    "DialogError",
    "Done",
    "Fate",
    "Granted",
    "HostError",
    "Journal",
    "JournalError",
    "KeyHolder",
    "LinkLost",
    "MacMismatch",
    "Masters",
    "Offer",
    "Offers",
    "Product",
    "Receipt",
    "Row",
    "Settled",
    "ShopCardHolder",
    "Slot",
    "SoftwareKeys",
    "Standing",
    "Till",
    "Vault",
    "VaultError",
    "feed",
    "issue_customer",
    "issue_shop",
    "resume",
    "run",
    "run_async",
    "set_customer_status",
    "set_shop_status",
    "shop_card_id",
    "start",
]
