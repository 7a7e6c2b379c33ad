"""AES-CMAC of the Java Card applet, by the chip's own and made from its CBC-MAC, against published vectors and the library's."""

from random import Random

from javakit import run_stream
from joren.apdu import Key
from vectorfile import hexa, rows

LONGEST = 128
"""More than the longest message of a card, and whole blocks."""


def both(cases: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The two MACs of each (key, message)."""
    answers = run_stream("MacStream", b"".join(key + bytes((len(message),)) + message for key, message in cases))
    return [(answers[at : at + 16], answers[at + 16 : at + 32]) for at in range(0, len(answers), 32)]


def test_published_vectors() -> None:
    """REQ-FIT-1: those with AES-128 and one byte of message or more, as every message of a card has."""
    cases = [(hexa(key), hexa(message), hexa(mac)) for key, message, mac in rows("cmac.txt")]
    cases = [case for case in cases if len(case[0]) == 16 and 0 < len(case[1]) <= LONGEST]
    assert len(cases) >= 3
    assert both([case[:2] for case in cases]) == [(mac, mac) for _, _, mac in cases]


def test_any_key_and_every_length() -> None:
    random = Random(1)
    cases = [(random.randbytes(16), random.randbytes(length)) for length in range(1, LONGEST + 1) for _ in range(8)]
    assert both(cases) == [(Key(key).cmac(message),) * 2 for key, message in cases]
