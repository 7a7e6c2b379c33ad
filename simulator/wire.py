"""What goes over the wire for an APDU, and how long that takes: without contacts by ISO/IEC 14443 type A, over contacts by ISO/IEC 7816-3.

How it works. Each protocol turns a command and its response into runs: bytes in one direction, then bytes in the other, from the reader
first. A run takes its bytes, and what its frame has beside them; between two runs somebody has to turn round. Without contacts and with
T=1 a run is a block, and what does not fit is chained, each part acknowledged by an R-block; with T=0 a run is part of a TPDU. A card
that computes longer than the reader waits asks for time in between. Every figure that is no law of a standard is in ASSUMPTIONS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from joren.apdu import Command, Response
from joren.apdu.atr import read_atr

from .profile import Band, Profile

__all__ = ["ASSUMPTIONS", "WIRES", "Assumption", "NoWire", "Run", "Wire", "wire_of"]

CONTACTLESS = "T=CL"
RATES = {"106": 1, "212": 2, "424": 4, "848": 8}
CONTACTS = {"t0": "T=0", "t1": "T=1"}
WIRES = (*RATES, *CONTACTS)
"""kbit/s without contacts, then the protocols over contacts."""

CARRIER_KHZ = 13_560
CARRIER_CYCLES_A_BIT = 128  # at 106 kbit/s (ISO/IEC 14443-2:2020)
BITS_A_BYTE = 9  # 8 and parity (ISO/IEC 14443-3:2018)
FRAME_BITS = 2  # start and end of communication (the same)
FRAME_DELAY_MS = 1172 / CARRIER_KHZ  # the least, both ways (ISO/IEC 14443-3:2018)
BLOCK_BYTES_TCL = 3  # PCB, CRC 2 (ISO/IEC 14443-4:2018, 7.1)
BLOCK_BYTES_T1 = 4  # NAD, PCB, LEN, LRC (ISO/IEC 7816-3:2006, 11.3)
WTX_BYTES = 1  # INF of S(WTX), either way
FWT_UNIT_MS = 4096 / CARRIER_KHZ  # times 2^FWI (ISO/IEC 14443-4:2018, 7.2)
FWI_DEFAULT = 4
ATS_TA, ATS_TB = 0x10, 0x20

FI = (372, 372, 558, 744, 1116, 1488, 1860, 372, 372, 512, 768, 1024, 1536, 2048, 372, 372)
DI = (1, 1, 2, 4, 8, 16, 32, 64, 12, 20, 1, 1, 1, 1, 1, 1)  # both: ISO/IEC 7816-3:2006, tables 7 and 8; 1 and 372 where reserved
FI_RESET = 372
NO_EXTRA_GUARD = 255  # TC1 = FF: 12 etu a character with T=0, 11 with T=1 (ISO/IEC 7816-3:2006, 8.3)
TURN_T0_ETU, TURN_T1_ETU = 16, 22  # the least between characters in opposite directions (ISO/IEC 7816-3:2006, 10.2, 11.2)
T0_WAIT_ETU_1 = 10 * 960  # WI = 10, in Fi/f (ISO/IEC 7816-3:2006, 10.2)
T1_WAIT_ETU_372 = 16 * 960  # BWI = 4 (ISO/IEC 7816-3:2006, 11.4.3)
HEADER, STATUS, PROCEDURE = 5, 2, 1  # a T=0 command, SW1 SW2, the byte between (ISO/IEC 7816-3:2006, 10.3)
PART_MAX_COMMAND, PART_MAX_ANSWER = 255, 256


class NoWire(ValueError):
    """The card does not have the wire that was asked for; says which it has."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """A figure that was not measured on a card: ms, unless the name ends in another unit."""

    name: str
    band: Band
    source: str


READER = Assumption("reader and host, an exchange", Band(0.0, 1.0, 5.0), "assumed: one USB exchange with a CCID reader")
CARD_TURN = Assumption(
    "card, before a frame without contacts", Band(FRAME_DELAY_MS, 0.3, 1.0), "low: ISO/IEC 14443-3, 1172/fc; assumed: likely and high"
)
READER_TURN = Assumption(
    "reader, before a frame without contacts", Band(FRAME_DELAY_MS, 0.2, 0.5), "low: ISO/IEC 14443-3, 1172/fc; assumed: likely and high"
)
CONTACT_TURN = Assumption(
    "either side, before it sends over contacts, beyond the guard time", Band(0.0, 0.2, 1.0), "assumed: small, next to the guard time"
)
FIELD = Assumption(
    "field on, until REQA is answered",
    Band(5.1, 10.0, 50.0),
    "low: ISO/IEC 14443-3, a card is ready after 5 ms; assumed: polling in between",
)
POWER = Assumption("power on and reset, until the ATR begins", Band(1.0, 20.0, 100.0), "assumed: 400 cycles at least; readers wait longer")
CLOCK = Assumption("clock over contacts, MHz", Band(4.0, 4.0, 4.0), "assumed: what CCID readers give")
ANSWER_FRAME = Assumption(
    "largest frame or block the reader takes, bytes", Band(256.0, 256.0, 256.0), "assumed: FSDI 8; IFSD 254 over contacts"
)
LEVELS = Assumption("cascade levels of the UID", Band(1.0, 2.0, 2.0), "assumed: 4 bytes at random, or 7")
ASSUMPTIONS = (READER, CARD_TURN, READER_TURN, CONTACT_TURN, FIELD, LEVELS, POWER, CLOCK, ANSWER_FRAME)
CLOCK_KHZ = CLOCK.band.likely * 1000
READER_FRAME = int(ANSWER_FRAME.band.likely)
IFSD = 254


@dataclass(frozen=True, slots=True)
class Run:
    """So many bytes in one direction."""

    size: int
    from_card: bool


Runs = list[Run]


@dataclass(frozen=True, slots=True)
class Wire:
    """A wire to a card. `byte_ms` is the time of a byte, `frame_ms` that of what a run has beside them; `card_turn` and `reader_turn` go
    before a run of that side; `patience_ms` is how long the reader waits until the card must ask for time, with `asking` as runs.
    `activation` is what goes before the first APDU, `reader` what reader and host take for an exchange."""

    name: str
    protocol: str
    byte_ms: float
    frame_ms: float
    card_turn: Band
    reader_turn: Band
    patience_ms: float
    asking: tuple[Run, ...]
    runs_of: Callable[[Command, Response], Runs] = field(compare=False)
    activation: Band
    reader: Band = READER.band

    def runs(self, command: Command, response: Response) -> Runs:
        """What goes over the wire, in turn."""
        return self.runs_of(command, response)

    def bytes_on_wire(self, command: Command, response: Response) -> int:
        """Bytes both ways, blocks and chaining included, requests for time not."""
        return sum(run.size for run in self.runs(command, response))

    def exchanges(self, command: Command, response: Response) -> int:
        """How often the host is asked: once, and with T=0 for every further TPDU."""
        return len(_tpdus(command, response)) if self.protocol == CONTACTS["t0"] else 1

    def exchange(self, command: Command, response: Response, computing_ms: float) -> Band:
        """The time on the wire, where the card computes so long."""
        runs = self.runs(command, response) + list(self.asking) * int(computing_ms // self.patience_ms)
        return self.time(runs)

    def time(self, runs: Runs) -> Band:
        """The time of runs; nobody turns before the first."""
        band = Band.of(sum(run.size for run in runs) * self.byte_ms + len(runs) * self.frame_ms)
        for run in runs[1:]:
            band += self.card_turn if run.from_card else self.reader_turn
        return band


def wire_of(profile: Profile, name: str | None = None) -> Wire:
    """One of WIRES, or None for the card's usual one: 106 kbit/s, else its first protocol. Raises NoWire."""
    if name is None:
        name = "106" if profile.supports(CONTACTLESS) else {one: key for key, one in CONTACTS.items()}[profile.protocols[0]]
    protocol = CONTACTS.get(name, CONTACTLESS)
    if name not in WIRES or not profile.supports(protocol):
        has = [one for one in WIRES if profile.supports(CONTACTS.get(one, CONTACTLESS))]
        raise NoWire(f"wire of {profile.name}: {', '.join(has)} expected, {name} came")
    return _contact(profile, name, protocol) if name in CONTACTS else _contactless(profile, name)


def _contactless(profile: Profile, name: str) -> Wire:
    bit_ms = CARRIER_CYCLES_A_BIT / CARRIER_KHZ / RATES[name]
    to_card, to_reader = profile.frame_bytes - BLOCK_BYTES_TCL, READER_FRAME - BLOCK_BYTES_TCL
    request = BLOCK_BYTES_TCL + WTX_BYTES
    return Wire(
        name,
        CONTACTLESS,
        BITS_A_BYTE * bit_ms,
        FRAME_BITS * bit_ms,
        CARD_TURN.band,
        READER_TURN.band,
        FWT_UNIT_MS * 2 ** _fwi(profile.ats),
        (Run(request, from_card=True), Run(request, from_card=False)),
        lambda command, response: _blocks(command, response, to_card, to_reader, BLOCK_BYTES_TCL),
        _activation_contactless(profile, name),
    )


def _fwi(ats: bytes) -> int:
    """Of TB1 of an ATS; the default where it has none."""
    at = 2 + bool(ats[1] & ATS_TA)
    return ats[at] >> 4 if ats[1] & ATS_TB and at < len(ats) else FWI_DEFAULT


def _activation_contactless(profile: Profile, name: str) -> Band:
    """Field, REQA, anticollision and SELECT for each level, RATS, and PPS for a rate above 106; all at 106 kbit/s."""
    bit_ms = CARRIER_CYCLES_A_BIT / CARRIER_KHZ

    def frames(*pairs: tuple[int, int]) -> Band:
        time = Band.of(sum((sent + answered) * BITS_A_BYTE + 2 * FRAME_BITS for sent, answered in pairs) * bit_ms)
        return time + (CARD_TURN.band + READER_TURN.band).scaled(len(pairs))

    level = frames((2, 5), (9, 3))
    levels = LEVELS.band
    select = Band(level.low * levels.low, level.likely * levels.likely, level.high * levels.high)
    pps = frames((5, 3)) if RATES[name] > 1 else Band.of(0.0)
    return FIELD.band + frames((1, 2)) + select + frames((4, len(profile.ats) + 2)) + pps


def _contact(profile: Profile, name: str, protocol: str) -> Wire:
    atr = read_atr(profile.atr)
    divisor, factor = FI[atr.ta1 >> 4], DI[atr.ta1 & 0x0F]
    etu_ms = divisor / factor / CLOCK_KHZ
    t1 = protocol == "T=1"
    etu_a_byte = (11 if t1 else 12) if atr.extra_guard == NO_EXTRA_GUARD else 12 + atr.extra_guard
    turn = Band.of((TURN_T1_ETU if t1 else TURN_T0_ETU) * etu_ms) + CONTACT_TURN.band
    request = BLOCK_BYTES_T1 + WTX_BYTES
    return Wire(
        name,
        protocol,
        etu_a_byte * etu_ms,
        0.0,
        turn,
        turn,
        (T1_WAIT_ETU_372 * FI_RESET if t1 else T0_WAIT_ETU_1 * divisor) / CLOCK_KHZ,
        (Run(request, from_card=True), Run(request, from_card=False)) if t1 else (Run(PROCEDURE, from_card=True),),
        (lambda command, response: _blocks(command, response, profile.ifsc_bytes, IFSD, BLOCK_BYTES_T1)) if t1 else _runs_t0,
        _activation_contact(profile, turn, etu_a_byte * etu_ms, t1=t1),
    )


def _activation_contact(profile: Profile, turn: Band, byte_ms: float, *, t1: bool) -> Band:
    """Power and reset, ATR, PPS at the rate of the reset; with T=1 S(IFS) both ways."""
    slow_ms = 12 * FI_RESET / CLOCK_KHZ
    size_pps, size_ifs = 4, BLOCK_BYTES_T1 + 1
    band = POWER.band + Band.of((len(profile.atr) + 2 * size_pps) * slow_ms) + turn.scaled(2)
    return band + Band.of(2 * size_ifs * byte_ms) + turn.scaled(2) if t1 else band


def _blocks(command: Command, response: Response, to_card: int, to_reader: int, overhead: int) -> Runs:
    """I-blocks, and an R-block for each but the last of either side."""
    sent, came = _parts(len(command.encode()), to_card), _parts(len(response.encode()), to_reader)
    runs = []
    for part in sent[:-1]:
        runs += [Run(part + overhead, from_card=False), Run(overhead, from_card=True)]
    runs += [Run(sent[-1] + overhead, from_card=False)]
    for part in came[:-1]:
        runs += [Run(part + overhead, from_card=True), Run(overhead, from_card=False)]
    return [*runs, Run(came[-1] + overhead, from_card=True)]


def _parts(size: int, most: int) -> list[int]:
    return [min(most, size - begin) for begin in range(0, size, most)]


def _tpdus(command: Command, response: Response) -> list[Runs]:
    """TPDUs: data in parts of 255 bytes, each after its header and a procedure byte; then an answer in parts of 256.

    An answer to a command with data is fetched by GET RESPONSE, one whose length the command did not name is asked for again (6CXX)."""
    header, status = Run(HEADER, from_card=False), Run(STATUS, from_card=True)
    tpdus = [
        [header, Run(PROCEDURE, from_card=True), Run(part, from_card=False), status] for part in _parts(len(command.data), PART_MAX_COMMAND)
    ]
    if not command.data and (not response.data or command.ne != len(response.data)):
        tpdus.append([header, status])
    return tpdus + [[header, Run(PROCEDURE + part + STATUS, from_card=True)] for part in _parts(len(response.data), PART_MAX_ANSWER)]


def _runs_t0(command: Command, response: Response) -> Runs:
    return [run for tpdu in _tpdus(command, response) for run in tpdu]
