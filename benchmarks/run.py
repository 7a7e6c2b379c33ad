"""Measures, side by side in one run, so that only the ratios count: `./run bench`.

Purchases: both cards, till and all cryptography in one process, beside the limit that the same AES-CMACs alone set; and the share of the time of each
layer. TLV and records: ours beside construct doing the same.
"""

import cProfile
import json
import sys
from collections.abc import Callable
from pathlib import Path
from pstats import Stats
from statistics import median
from time import process_time

import construct as cs
from rich.console import Console
from rich.table import Table

from joren.apdu import AID_CUSTOMER, AID_SHOP, Key, aid
from joren.apdu.cards import CustomerInfo
from joren.apdu.state import State
from joren.apdu.tlv import build_tlv, parse_tlv
from joren.apdu.transaction import Transaction
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host.dialog import Slot, run
from joren.host.issuer import issue_customer, issue_shop
from joren.host.journal import Journal
from joren.host.masters import Masters
from joren.host.product import DEFAULT_PRODUCT
from joren.host.shop_holder import ShopCardHolder
from joren.host.software_keys import SoftwareKeys
from joren.host.till import Till
from joren.simulator.chip import Chip
from joren.simulator.reader import Reader

__all__ = ["main"]
