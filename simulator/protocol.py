"""How APDUs reach a card: T=1 and contactless (T=CL) carry them whole, T=0 carries them as TPDUs (ISO/IEC 7816-3:2006, 12).

How it works. With T=0 a command goes as header, P3 and data: P3 is Lc where there is data, else Le, and a command cannot carry both. So the
answer to a command with data waits in the card, which says 61XX, until GET RESPONSE fetches it; a wrong P3 of a command without data is
6CXX, and the answer waits for the same command with P3 = XX. Whoever drives the card does that (chained in joren.host.dialog); bytes
alone pass here.
"""

from enum import Enum

from joren.apdu import CLA_ISO, SW, Command, Ins, MalformedCommand, Response

from .chip import Chip
from .profile import Profile

__all__ = ["Protocol", "T0Card", "slot_protocol", "tap_protocol"]

TPDU_HEADER = 5


class Protocol(Enum):
    """The transmission protocols, by the names that profiles have for them."""

    T0 = "T=0"
    T1 = "T=1"
    TCL = "T=CL"


def tap_protocol(profile: Profile) -> Protocol:
    """What a card that is tapped speaks: without contacts, where it can."""
    return Protocol.TCL if Protocol.TCL.value in profile.protocols else slot_protocol(profile)


def slot_protocol(profile: Profile) -> Protocol:
    """What a card that sits in a slot speaks: its first protocol over contacts, where it has any."""
    return Protocol(next((name for name in profile.protocols if name != Protocol.TCL.value), Protocol.TCL.value))


class T0Card:
    """A chip behind T=0. What waits for GET RESPONSE is lost at any other command and at a reset."""

    __slots__ = ("_chip", "_header", "_waiting")

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._header = b""
        self._waiting: Response | None = None

    def reset(self) -> None:
        """What waits is gone."""
        self._waiting = None

    def transmit(self, command: Command) -> Response:
        """A command as its TPDU, and the card's answer to that: to be followed by GET RESPONSE on 61XX, by the right P3 on 6CXX."""
        if len(command.data) > 255:
            return Response(b"", SW.WRONG_LENGTH)
        header = bytes((command.cla, command.ins, command.p1, command.p2))
        p3 = len(command.data) or min(command.ne or 0, 256) & 0xFF
        return Response.decode(self.exchange(header + bytes((p3,)) + command.data))

    def exchange(self, tpdu: bytes) -> bytes:
        """One TPDU, header, P3 and data, and its answer: data and SW1 SW2. Raises PowerCut. Any bytes may come."""
        return self._exchange(tpdu).encode()

    def _exchange(self, tpdu: bytes) -> Response:
        waiting, self._waiting = self._waiting, None
        if len(tpdu) < TPDU_HEADER or (len(tpdu) > TPDU_HEADER and len(tpdu) != TPDU_HEADER + tpdu[4]):
            return Response(b"", SW.WRONG_LENGTH)
        header, p3, data = tpdu[:4], tpdu[4], tpdu[TPDU_HEADER:]
        if data:
            return self._kept(self._process(header, data), header[0] & 0x03)
        wanted = p3 or 256
        if header[0] & 0xFC == CLA_ISO and header[1] == Ins.GET_RESPONSE:
            return self._get_response(header, waiting, wanted)
        if waiting is None or header != self._header:
            waiting = self._process(header, b"")
        if not waiting.data or len(waiting.data) == wanted:
            return waiting
        self._waiting, self._header = waiting, header
        return Response(b"", SW.WRONG_LE | len(waiting.data) & 0xFF)

    def _process(self, header: bytes, data: bytes) -> Response:
        """The chip's answer: with T=0 it does not know Le beforehand, so it may answer all it has (256 bytes at most)."""
        try:
            command = Command(header[0], header[1], header[2], header[3], data, 256)
        except MalformedCommand:
            return Response.decode(self._chip.process_bytes(header))
        return self._chip.process(command)

    def _kept(self, response: Response, channel: int) -> Response:
        if not response.data:
            return response
        self._waiting, self._header = response, bytes((channel, Ins.GET_RESPONSE, 0, 0))
        return Response(b"", SW.RESPONSE_AVAILABLE | len(response.data) & 0xFF)

    def _get_response(self, header: bytes, waiting: Response | None, wanted: int) -> Response:
        """What waits for it on its channel (REQ-FIT-2)."""
        if not self._chip.is_open(header[0] & 0x03):
            return Response(b"", SW.LOGICAL_CHANNEL_NOT_SUPPORTED)
        if header[2:] != b"\x00\x00":
            return Response(b"", SW.INCORRECT_P1_P2)
        if waiting is None or self._header != header:
            return Response(b"", SW.CONDITIONS_NOT_SATISFIED)
        if wanted < len(waiting.data):
            self._waiting = Response(waiting.data[wanted:], waiting.sw)
            return Response(waiting.data[:wanted], SW.RESPONSE_AVAILABLE | len(self._waiting.data) & 0xFF)
        if wanted > len(waiting.data):
            self._waiting = waiting
            return Response(b"", SW.WRONG_LE | len(waiting.data) & 0xFF)
        return waiting
