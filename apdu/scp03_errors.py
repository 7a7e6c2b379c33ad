"""What goes wrong with a secure channel; the type says whose fault it is, `advice` what to do next."""

from typing import ClassVar

from .status import SW, describe

__all__ = [
    "AnswerMalformed",
    "CardNotAuthentic",
    "ChannelEnded",
    "ChannelError",
    "ChannelRefused",
    "CommandNotAuthentic",
    "LevelNotSupported",
    "ResponseNotAuthentic",
]

ADVICE: dict[int, str] = {
    SW.AUTHENTICATION_FAILED: "the card does not take the host's keys: do not try again, each failure may count towards blocking the card",
    SW.REFERENCED_DATA_NOT_FOUND: "the card has no such key version: ask for version 0, or for one that it has",
    SW.WRONG_LENGTH: "the card may want challenges of the other length: 8 bytes in mode S8, 16 in S16",
    SW.CONDITIONS_NOT_SATISFIED: "the key set's sequence counter may be used up: replace the key set",
    SW.SECURITY_STATUS_NOT_SATISFIED: "the card found a wrong MAC: begin again with INITIALIZE UPDATE",
    SW.INCORRECT_P1_P2: "the card does not know this security level: ask for one that its parameter i allows",
}


class ChannelError(Exception):
    """Base of all errors of the secure channel."""

    advice: ClassVar[str] = "begin again with INITIALIZE UPDATE"


class ChannelRefused(ChannelError):
    """The card refused to open the channel. `sw` is its status word, `next_step` what to do."""

    def __init__(self, step: str, sw: int) -> None:
        self.sw = sw
        self.next_step = ADVICE.get(sw, describe(sw).advice)
        super().__init__(f"{step}: the card answered {sw:04X} {describe(sw).name}; {self.next_step}")


class AnswerMalformed(ChannelError):
    """The card's answer is none that Amendment D knows: the card breaks the protocol, or speaks another."""

    advice = "look whether the card speaks SCP03, and with which parameter i"


class CardNotAuthentic(ChannelError):
    """The card does not know the static keys, or is not the one it says. No EXTERNAL AUTHENTICATE was made: the card counted no failure."""

    advice = "do not send EXTERNAL AUTHENTICATE; look for the card's right keys by its key version and diversification data"


class LevelNotSupported(ChannelError, ValueError):
    """The caller asks for a security level that there is not, or that the card's parameter i does not allow."""

    advice = "ask for a level that the card's parameter i allows"


class ResponseNotAuthentic(ChannelError):
    """A response without its R-MAC, with a wrong one, or wrongly encrypted. The session has ended; what the card did is not known."""

    advice = "trust nothing of this answer; open a new session and read what the card did"


class CommandNotAuthentic(ChannelError):
    """A command without its C-MAC, with a wrong one, or wrongly encrypted: the card aborts the session."""


class ChannelEnded(ChannelError):
    """The caller uses a session that has ended, or out of turn: one command, then its response."""
