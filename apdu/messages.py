"""What each MAC covers (docs/spec/keys.md, REQ-MAC-1): one function per use, each with a first byte and a length of its own.

Both sides build the messages here, each from its own values; so a field that one side was lied to about makes the MACs differ.
"""

from struct import Struct

__all__ = ["Head", "absence", "admin", "commit", "order", "proof", "receipt", "state"]

STATE, ORDER, COMMIT, PROOF, ABSENCE, RECEIPT, ADMIN = range(0x51, 0x58)

HEAD = Struct(">H8s")
STATE_TAIL = Struct(">H8sB32s")
ORDER_TAIL = Struct(">H8sBB16s")
COMMIT_TAIL = Struct(">H8sBB16sBH32s")
ABSENCE_TAIL = Struct(">BHII8sBH8s")
ADMIN_TAIL = Struct(">H8sB")

Head = bytes
"""programme u16 | card_id 8: the card a message is about."""


def head(programme: int, card_id: bytes) -> Head:
    """The ten bytes after the use byte: programme u16 and card id (8 bytes)."""
    return HEAD.pack(programme, card_id)


def state(head: Head, counter: int, nonce: bytes, rules_version: int, state: bytes) -> bytes:
    """STATE, 54 bytes, key SHOP: the state (32 bytes) a customer card has now."""
    return b"\x51" + head + STATE_TAIL.pack(counter, nonce, rules_version, state)


def order(head: Head, counter: int, nonce: bytes, kind: int, key_ref: int, order: bytes) -> bytes:
    """ORDER, 39 bytes, the authorizing key: the order (16 bytes) a card shall carry out."""
    return b"\x52" + head + ORDER_TAIL.pack(counter, nonce, kind, key_ref, order)


def commit(
    head: Head, counter: int, nonce: bytes, kind: int, key_ref: int, order: bytes, rules_version: int, points: int, state: bytes
) -> bytes:
    """COMMIT, 74 bytes, key SHOP: order (16 bytes), points u16 and state (32 bytes) a card shall store."""
    return b"\x53" + head + COMMIT_TAIL.pack(counter, nonce, kind, key_ref, order, rules_version, points, state)


def proof(head: Head, record: bytes) -> bytes:
    """PROOF, 47 bytes, the authorizing key: a transaction record (36 bytes) that the card committed."""
    return b"\x54" + head + record


def absence(
    head: Head, key_ref: int, asked: int, shop: int, sequence: int, challenge: bytes, ending: int, counter: int, nonce: bytes
) -> bytes:
    """ABSENCE, 41 bytes, the authorizing key: what the card says of a transaction that it can not prove."""
    return b"\x55" + head + ABSENCE_TAIL.pack(key_ref, asked, shop, sequence, challenge, ending, counter, nonce)


def receipt(head: Head, record: bytes) -> bytes:
    """RECEIPT, 47 bytes, key RECEIPT: a transaction record (36 bytes), for the issuer."""
    return b"\x56" + head + record


def admin(head: Head, counter: int, nonce: bytes, life_cycle: int) -> bytes:
    """ADMIN, 22 bytes, key ADMIN: the life cycle state a card shall take."""
    return b"\x57" + head + ADMIN_TAIL.pack(counter, nonce, life_cycle)
