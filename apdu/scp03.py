"""GlobalPlatform Secure Channel Protocol 03 (Card Specification Amendment D, 1.1.1, with the S16 mode of 1.2), both sides, sans I/O.

The host's side begins with Opening (scp03_host.py), the card's is CardSession (scp03_card.py). Both share what a protected message is
(scp03_messages.py), the class bytes (scp03_class.py), the keys (scp03_keys.py) and the records (scp03_records.py);
scp03_putkey.py loads new keys through the channel.
"""

from .scp03_card import CardSession, CardSettings
from .scp03_errors import (
    AnswerMalformed,
    CardNotAuthentic,
    ChannelEnded,
    ChannelError,
    ChannelRefused,
    CommandNotAuthentic,
    LevelNotSupported,
    ResponseNotAuthentic,
)
from .scp03_host import Authenticating, HostSession, KeySource, Opening
from .scp03_keys import ScpKeys, decrypt_key, decrypt_sensitive, encrypt_key, encrypt_sensitive
from .scp03_putkey import check_put_keys, decode_put_keys, delete_keys, put_keys, put_keys_answer
from .scp03_records import InitializeUpdateAnswer, Level, Parameter

__all__ = [
    "AnswerMalformed",
    "Authenticating",
    "CardNotAuthentic",
    "CardSession",
    "CardSettings",
    "ChannelEnded",
    "ChannelError",
    "ChannelRefused",
    "CommandNotAuthentic",
    "HostSession",
    "InitializeUpdateAnswer",
    "KeySource",
    "Level",
    "LevelNotSupported",
    "Opening",
    "Parameter",
    "ResponseNotAuthentic",
    "ScpKeys",
    "check_put_keys",
    "decode_put_keys",
    "decrypt_key",
    "decrypt_sensitive",
    "delete_keys",
    "encrypt_key",
    "encrypt_sensitive",
    "put_keys",
    "put_keys_answer",
]
