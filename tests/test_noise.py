"""Anything at all, to both cards in every state over every protocol: nothing changes, nothing fails, every answer is in the specification.

How many: JOREN_NOISE, by default 1,200,000; all from one seed.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from cardkit import Customer, Shop
from joren.apdu import CLA_ISO, CLA_JOREN, SW, Ins, LifeCycle, messages
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.protocol import T0Card

COMMON = (Path(__file__).parent.parent / "docs" / "spec" / "common.md").read_text(encoding="utf-8")
NUMBER = int(os.environ.get("JOREN_NOISE", "1200000"))
BATCH = 500
PROTOCOLS = {"T=0": IDEAL, "T=1": IDEAL, "T=CL": replace(IDEAL, extended_length=False, channels=1)}
"""T=1 and T=CL carry the same APDUs: the one to a chip with extended length and channels, the other to one without."""
NEEDS_NO_SECRET = {Ins.AUTHORIZE, Ins.RATIFY, Ins.STORE_DATA}
"""They change the card without a MAC over what they say: an entry opened or written off, a blank card filled."""


def allowed() -> set[int]:
    """The status words of the specification's table, families written out."""
    rows = re.findall(r"^\| ([0-9A-F]{2,4}X{0,2}) \| [A-Z_0-9]+ \|", COMMON, re.MULTILINE)
    words = {int(row, 16) for row in rows if "X" not in row}
    assert {row for row in rows if "X" in row} == {"61XX", "63CX", "6CXX"}
    return words | set(range(0x63C0, 0x63D0)) | set(range(0x6C01, 0x6D00)) | set(range(0x6101, 0x6200))


def customer_in(state: LifeCycle) -> Chip:
    customer = Customer(pin=b"1234", issue=state != LifeCycle.SELECTABLE)
    if state not in (LifeCycle.SELECTABLE, LifeCycle.ISSUED):
        info = customer.info
        mac = customer.keys[next(ref for ref in customer.keys if ref.name == "ADMIN")].mac8(
            messages.admin(customer.head, info.counter, info.nonce, state)
        )
        assert customer.send(CLA_JOREN, Ins.SET_STATUS, 0x40, state, mac).ok
    return customer.chip


def shop_in(state: LifeCycle) -> Chip:
    shop = Shop(issue=state != LifeCycle.SELECTABLE)
    if state not in (LifeCycle.SELECTABLE, LifeCycle.ISSUED):
        assert shop.send(CLA_JOREN, Ins.SET_STATUS, 0x40, state, shop.admin.mac8(messages.admin(shop.head, 0, shop.challenge(), state))).ok
    return shop.chip


def noise(chance: Random, number: int) -> Iterator[bytes]:
    """Bytes, headers, and whole APDUs of every ISO case with lengths that are right, nearly right, and wrong."""
    names = [int(ins) for ins in Ins]
    for _ in range(number):
        if chance.random() < 0.1:
            yield chance.randbytes(chance.randrange(0, 12))
            continue
        cla = chance.choice((CLA_ISO, CLA_JOREN, CLA_ISO, CLA_JOREN, chance.randrange(256)))
        ins = chance.choice((*names, chance.randrange(256)))
        header = bytes(
            (cla, ins, chance.choice((0, 1, 2, 4, 0x40, 0x81, chance.randrange(256))), chance.randrange(256) >> chance.randrange(8))
        )
        data = chance.randbytes(chance.choice((0, 0, 2, 8, 16, 18, 24, 26, 58, 67, chance.randrange(300))))
        extended = len(data) > 255 or chance.random() < 0.1
        lc = (b"\x00" + len(data).to_bytes(2) if extended else bytes((len(data),))) if data else b""
        le = chance.choice((b"", b"\x00", bytes((chance.randrange(256),)), b"\x00\x00", b"\x00\x00\x00"))
        raw = header + lc + data + le
        yield raw if chance.random() < 0.9 else raw[: chance.randrange(len(raw) + 1)]


def kept(chip: Chip) -> bytes:
    """The memory but for the try counters, which guesses use up."""
    memory = bytearray(chip.snapshot())
    for name, region in chip.memory.regions.items():
        if name.endswith("/tries"):
            memory[region.address : region.address + region.size] = bytes(region.size)
    return bytes(memory)


@pytest.mark.no_cover
@pytest.mark.parametrize("make", [customer_in, shop_in], ids=["customer card", "shop card"])
@pytest.mark.parametrize("state", list(LifeCycle), ids=lambda state: state.name)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_noise(make: Callable[[LifeCycle], Chip], state: LifeCycle, protocol: str, record_property: Callable[[str, object], None]) -> None:
    """REQ-APDU-1 to REQ-APDU-7, REQ-LIFE-2, REQ-CHN-3, REQ-FIT-2, REQ-FIT-3."""
    chip, words, seen = make(state).on(PROTOCOLS[protocol]), allowed(), set[int]()
    chip.power_on()
    exchange = T0Card(chip).exchange if protocol == "T=0" else chip.process_bytes
    chance, before = Random(f"{make.__name__} {state} {protocol}"), kept(chip)
    sent = 0
    for _ in range(NUMBER // 24 // BATCH):
        batch = [raw for raw in noise(chance, BATCH) if raw[1:2] == b"" or raw[1] not in NEEDS_NO_SECRET]
        for raw in batch:
            answer = exchange(raw)
            word = int.from_bytes(answer[-2:])
            assert word in words, raw.hex()
            assert len(answer) == 2 or word in (SW.OK, SW.FILE_DEACTIVATED, SW.FILE_TERMINATED) or word >> 8 == 0x61
            seen.add(word)
        assert kept(chip) == before
        assert chip.last_error is None
        sent += len(batch)
    assert {SW.WRONG_LENGTH, SW.CLA_NOT_SUPPORTED, SW.INS_NOT_SUPPORTED, SW.INCORRECT_P1_P2} <= seen
    record_property(f"noise over {protocol} to a {state.name} {make.__name__.removesuffix('_in')} card, nothing changed", sent)
