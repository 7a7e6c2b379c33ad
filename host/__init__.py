"""What the counter and the issuer do: dialogs, keys, readers, batches."""

from .dialog import Ask, Dialog, Done, Slot, feed, replay, run, run_async, start
from .errors import CardFault, CardLost, CardRefused, DialogError, HostError, JournalError
from .fate import Fate
from .holder import Acceptor, KeyHolder, shop_card_id
from .journal import Journal, Row
from .offers import Offer, Offers
from .results import Detail, Granted, Receipt, Settled, Standing
from .shop_holder import ShopCardHolder
from .software_keys import SoftwareKeys
from .till import Till

__all__ = [
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
    "Offer",
    "Offers",
    "Receipt",
    "Row",
    "Settled",
    "ShopCardHolder",
    "Slot",
    "SoftwareKeys",
    "Standing",
    "Till",
    "feed",
    "replay",
    "run",
    "run_async",
    "shop_card_id",
    "start",
]
