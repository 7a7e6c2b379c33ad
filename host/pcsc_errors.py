"""What PC/SC says when something fails, by number and name, whose fault that is, and what to do; and our errors for it.

Before a command has gone to a card, a failure is a ReaderError: nothing was sent. From then on it is a ReaderLost, a LinkLost, whatever
PC/SC calls it: whether the card acted is not known. A card that does not answer to power is a CardFault.
"""

from dataclasses import dataclass
from enum import Enum

from joren.apdu import LinkLost

from .errors import CardFault, HostError

__all__ = ["CODES", "Blame", "PcscCode", "ReaderError", "ReaderLost", "code_of", "codes_table", "not_opened"]


class Blame(Enum):
    """Whose fault it is."""

    PROGRAM = "the calling program"
    HOLDER = "whoever holds the card"
    CARD = "the card"
    READER = "the reader or its driver"
    SYSTEM = "the PC/SC system"
    OTHER = "another program"


ADVICE = {
    Blame.PROGRAM: "this should not happen: report it with what was done",
    Blame.HOLDER: "put the card on the reader again; a sale is asked for again under its reference",
    Blame.CARD: "turn the card round or clean it; then another card",
    Blame.READER: "unplug the reader and plug it in again; then another reader",
    Blame.SYSTEM: "see that pcscd is installed and runs (systemctl status pcscd), then try again",
    Blame.OTHER: "end the program that uses the card (a till service, gpg's scdaemon, a browser, a PKCS#11 module), then try again",
}


@dataclass(frozen=True, slots=True)
class PcscCode:
    """A code of PC/SC, u32."""

    number: int
    name: str
    blame: Blame
    meaning: str

    @property
    def advice(self) -> str:
        """What to do."""
        return SPECIAL.get(self.name, ADVICE[self.blame])

    @property
    def before(self) -> type[Exception]:
        """The error where nothing was sent yet."""
        return CardFault if self.blame is Blame.CARD else ReaderError

    def __str__(self) -> str:
        return f"{self.meaning} ({self.name}, {self.number:08X})"


SPECIAL = {
    "SCARD_W_RESET_CARD": "no other program should use the card meanwhile: connect exclusively; then as for a card that was pulled",
    "SCARD_E_PROTO_MISMATCH": "ask for any protocol, or for the one that the card's ATR offers",
    "SCARD_E_UNKNOWN_READER": "see which readers there are (joren readers), and plug it in",
    "SCARD_E_READER_UNAVAILABLE": "see which readers there are (joren readers), and plug it in",
    "SCARD_E_NO_READERS_AVAILABLE": "plug a reader in, and see that there is a driver for it",
    "SCARD_E_NO_SMARTCARD": "put a card on the reader",
    "SCARD_W_SECURITY_VIOLATION": "the user may not use readers: ask the administrator (polkit's rules for pcscd)",
    "SCARD_E_NO_ACCESS": "the user may not use readers: ask the administrator (polkit's rules for pcscd)",
}
_P, _H, _C, _R, _S, _O = Blame.PROGRAM, Blame.HOLDER, Blame.CARD, Blame.READER, Blame.SYSTEM, Blame.OTHER
CODES = {
    0x80100000 | number: PcscCode(0x80100000 | number, f"SCARD_{name}", blame, meaning)
    for number, name, blame, meaning in (
        (0x01, "F_INTERNAL_ERROR", _S, "the PC/SC system failed in itself"),
        (0x02, "E_CANCELLED", _P, "the wait was called off"),
        (0x03, "E_INVALID_HANDLE", _S, "the PC/SC system does not know the connection any more"),
        (0x04, "E_INVALID_PARAMETER", _P, "a call had an argument that can not be"),
        (0x05, "E_INVALID_TARGET", _S, "the PC/SC system is not set up"),
        (0x06, "E_NO_MEMORY", _S, "the PC/SC system has no memory left"),
        (0x07, "F_WAITED_TOO_LONG", _S, "the PC/SC system waited in vain"),
        (0x08, "E_INSUFFICIENT_BUFFER", _P, "the answer is longer than its place"),
        (0x09, "E_UNKNOWN_READER", _R, "there is no reader of this name any more"),
        (0x0A, "E_TIMEOUT", _P, "the time is over"),
        (0x0B, "E_SHARING_VIOLATION", _O, "another program holds the card"),
        (0x0C, "E_NO_SMARTCARD", _H, "no card is in the reader"),
        (0x0D, "E_UNKNOWN_CARD", _P, "there is no card type of this name"),
        (0x0E, "E_CANT_DISPOSE", _R, "the reader can not part from the card that way"),
        (0x0F, "E_PROTO_MISMATCH", _P, "the card does not speak the protocol that was asked for"),
        (0x10, "E_NOT_READY", _R, "the reader is not ready"),
        (0x11, "E_INVALID_VALUE", _P, "a call had a value that can not be"),
        (0x12, "E_SYSTEM_CANCELLED", _S, "the system ended the call"),
        (0x13, "F_COMM_ERROR", _S, "the link to the PC/SC system broke"),
        (0x14, "F_UNKNOWN_ERROR", _S, "an error that PC/SC has no name for"),
        (0x15, "E_INVALID_ATR", _C, "the card's answer to reset is none"),
        (0x16, "E_NOT_TRANSACTED", _H, "the reader has no answer from the card"),
        (0x17, "E_READER_UNAVAILABLE", _R, "the reader is gone"),
        (0x18, "P_SHUTDOWN", _S, "the PC/SC system is ending"),
        (0x19, "E_PCI_TOO_SMALL", _P, "the place for the protocol is too small"),
        (0x1A, "E_READER_UNSUPPORTED", _R, "the reader can do less than PC/SC wants"),
        (0x1B, "E_DUPLICATE_READER", _R, "two readers have one name"),
        (0x1C, "E_CARD_UNSUPPORTED", _C, "the card can do less than PC/SC wants"),
        (0x1D, "E_NO_SERVICE", _S, "the PC/SC system does not run"),
        (0x1E, "E_SERVICE_STOPPED", _S, "the PC/SC system has stopped"),
        (0x1F, "E_UNEXPECTED", _R, "the reader did what PC/SC does not expect, or can not do that"),
        (0x20, "E_ICC_INSTALLATION", _P, "there is no provider for this card type"),
        (0x21, "E_ICC_CREATEORDER", _P, "the order of objects is not one that can be made"),
        (0x22, "E_UNSUPPORTED_FEATURE", _R, "the reader can not do that"),
        (0x23, "E_DIR_NOT_FOUND", _C, "there is no such directory on the card"),
        (0x24, "E_FILE_NOT_FOUND", _C, "there is no such file on the card"),
        (0x25, "E_NO_DIR", _C, "the path leads to no directory of the card"),
        (0x26, "E_NO_FILE", _C, "the path leads to no file of the card"),
        (0x27, "E_NO_ACCESS", _S, "access is denied"),
        (0x28, "E_WRITE_TOO_MANY", _C, "the card's memory is full"),
        (0x29, "E_BAD_SEEK", _C, "there is no such place in the card's file"),
        (0x2A, "E_INVALID_CHV", _P, "the PIN is wrong"),
        (0x2B, "E_UNKNOWN_RES_MNG", _R, "the driver gave a code that is none"),
        (0x2C, "E_NO_SUCH_CERTIFICATE", _C, "there is no such certificate on the card"),
        (0x2D, "E_CERTIFICATE_UNAVAILABLE", _C, "the certificate can not be had"),
        (0x2E, "E_NO_READERS_AVAILABLE", _R, "there is no reader"),
        (0x2F, "E_COMM_DATA_LOST", _R, "bytes between reader and card were lost"),
        (0x30, "E_NO_KEY_CONTAINER", _C, "there is no such key container on the card"),
        (0x31, "E_SERVER_TOO_BUSY", _S, "the PC/SC system has too much to do"),
        (0x65, "W_UNSUPPORTED_CARD", _C, "reader and card find no way to talk"),
        (0x66, "W_UNRESPONSIVE_CARD", _C, "the card does not answer to power"),
        (0x67, "W_UNPOWERED_CARD", _O, "the card has lost its power"),
        (0x68, "W_RESET_CARD", _O, "another program, or the system, has reset the card"),
        (0x69, "W_REMOVED_CARD", _H, "the card was taken away"),
        (0x6A, "W_SECURITY_VIOLATION", _S, "access is denied"),
        (0x6B, "W_WRONG_CHV", _P, "the PIN is wrong"),
        (0x6C, "W_CHV_BLOCKED", _P, "the PIN is blocked"),
        (0x6D, "W_EOF", _C, "the card's file ends"),
        (0x6E, "W_CANCELLED_BY_USER", _H, "the user called it off"),
        (0x6F, "W_CARD_NOT_AUTHENTICATED", _P, "no PIN was given"),
    )
}
"""Every code of pcsclite.h 1.9.9 and of winscard.h. In pcsclite 1F is UNEXPECTED and UNSUPPORTED_FEATURE in one."""


def code_of(number: int) -> PcscCode:
    """What a code means; also of one that is not in the table. `number` may come signed or wider than 32 bits."""
    number &= 0xFFFFFFFF
    return CODES.get(number) or PcscCode(number, "no code of PC/SC", Blame.SYSTEM, "an error that joren does not know")


class ReaderError(HostError):
    """A reader can not be used, and nothing was sent to a card. `code` is PC/SC's number, None where it was not asked."""

    def __init__(self, message: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)


class ReaderLost(LinkLost):
    """The link to the card in a reader of PC/SC is lost. `code` is PC/SC's number, None where the link was lost before."""

    def __init__(self, message: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)


def not_opened(where: str, number: int) -> ReaderError | CardFault:
    """The error for a call that failed before anything was sent to the card."""
    code = code_of(number)
    if code.before is CardFault:
        return CardFault(f"card in {where}", "reset", "an answer to reset", str(code))
    return ReaderError(f"{where}: {code}; {code.advice}", code.number)


def codes_table() -> str:
    """The codes as a table of Markdown, for docs/readers.md."""
    rows = ["| code | PC/SC's name | what it is | whose fault | before a command is sent | what to do |", "|---|---|---|---|---|---|"]
    rows += [
        f"| `{code.number:08X}` | `{code.name}` | {code.meaning} | {code.blame.value} | `{code.before.__name__}` | {code.advice} |"
        for code in CODES.values()
    ]
    return "\n".join(rows) + "\n"
