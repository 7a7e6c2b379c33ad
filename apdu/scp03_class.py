"""Class bytes with and without secure messaging, on logical channels 0 to 19 (GlobalPlatform 2.3.1, 11.1.4; Amendment D, 6.2.4).

Channels 0 to 3 stand in b2b1, and b4b3 = 01 says secure messaging; channels 4 to 19 stand in b4..b1 less 4 beside b7, and b6 says it.
The MAC counts neither channel nor form: it sees 04 for an ISO command, 84 for a GlobalPlatform one.
"""

from functools import cache

__all__ = [
    "CHANNEL_MAX",
    "class_byte",
    "class_for_mac",
    "is_plain",
    "is_protected",
    "logical_channel",
    "plain_class",
    "plain_classes",
    "protected_class",
]

CHANNEL_MAX = 19


def class_byte(channel: int, *, protected: bool = False, proprietary: bool = True) -> int:
    """CLA of a channel, 0..19, GlobalPlatform's or ISO's. Raises ValueError for another channel."""
    if not 0 <= channel <= CHANNEL_MAX:
        raise ValueError(f"logical channel: 0..{CHANNEL_MAX} expected, {channel} came")
    family = 0x80 if proprietary else 0x00
    if channel < 4:
        return family | (0x04 if protected else 0x00) | channel
    return family | (0x60 if protected else 0x40) | channel - 4


@cache
def plain_classes(channel: int) -> frozenset[int]:
    """Both plain CLA of a channel. Raises ValueError for another channel."""
    return frozenset(class_byte(channel, proprietary=proprietary) for proprietary in (False, True))


def is_plain(cla: int) -> bool:
    """Whether CLA says: no secure messaging, no chaining (00..03, 40..4F, 80..83, C0..CF)."""
    return cla & 0x7C == 0 or cla & 0x70 == 0x40


def is_protected(cla: int) -> bool:
    """Whether CLA says: secure messaging in GlobalPlatform's format, no chaining (04..07, 60..6F, 84..87, E0..EF)."""
    return cla & 0x7C == 0x04 or cla & 0x70 == 0x60


def logical_channel(cla: int) -> int:
    """The logical channel, 0..19, of a CLA that is plain or protected."""
    return 4 + (cla & 0x0F) if cla & 0x40 else cla & 0x03


def protected_class(cla: int) -> int:
    """A plain CLA with secure messaging said."""
    return cla | (0x20 if cla & 0x40 else 0x04)


def plain_class(cla: int) -> int:
    """A protected CLA without."""
    return cla & ~(0x20 if cla & 0x40 else 0x04)


def class_for_mac(cla: int) -> int:
    """CLA as the C-MAC sees it: 04 or 84."""
    return cla & 0x80 | 0x04
