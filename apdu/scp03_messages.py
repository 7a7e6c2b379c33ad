"""Protected commands and responses of SCP03, as both sides make and check them (Amendment D, 6.2.4 to 6.2.7).

How it works. The C-MAC of a command covers the whole C-MAC of the command before (the chaining value), the header with the new Lc, and
the data after encryption; Le and the logical channel are not covered. The R-MAC of a response covers the same chaining value and does not
change it. A counter of commands, 1 for the first after EXTERNAL AUTHENTICATE, makes the initial vectors: AES of the counter for a
command, of the counter with its highest bit set for the response. Data that are empty are not encrypted; the counter goes on all the
same.
"""

from hmac import compare_digest

from .command import NE_MAX, Command
from .response import NR_MAX, Response
from .scp03_cipher import SessionCipher
from .scp03_class import class_for_mac, is_protected, plain_class, protected_class
from .scp03_errors import CommandNotAuthentic, ResponseNotAuthentic
from .scp03_keys import SessionKeys, kdf
from .scp03_records import Level

__all__ = ["SecureMessages", "is_error", "padded_size"]

BLOCK = 16
CARD_CRYPTOGRAM, HOST_CRYPTOGRAM = 0x00, 0x01
EXTERNAL_AUTHENTICATE = 0x82
RESPONSE_BIT = 1 << 127
PAD = b"\x80" + bytes(15)


def is_error(sw: int) -> bool:
    """Whether a status word is an error, so that its response is a bare status word: all but 9000, 62XX and 63XX (6.2.5)."""
    return sw != 0x9000 and sw >> 8 not in (0x62, 0x63)


def padded_size(size: int) -> int:
    """Bytes after padding with 80 00.. to whole blocks of 16 (4.1.4)."""
    return size // BLOCK * BLOCK + BLOCK


class SecureMessages:
    """The state of one session: keys, chaining value, counter; `level`, the security level in force; `mac_size`, 8 or 16."""

    __slots__ = ("_chain", "_counter", "_enc", "_keys", "level", "mac_size")

    def __init__(self, keys: SessionKeys, level: Level, mac_size: int) -> None:
        self._keys, self._enc = keys, SessionCipher(keys.enc)
        self._chain, self._counter = bytes(BLOCK), 0
        self.level, self.mac_size = level, mac_size

    def card_cryptogram(self, context: bytes) -> bytes:
        """The card's proof, 8 or 16 bytes; `context` is host challenge | card challenge (6.2.2.2)."""
        return kdf(self._keys.mac.cmac, CARD_CRYPTOGRAM, context, self.mac_size)

    def host_cryptogram(self, context: bytes) -> bytes:
        """The host's proof, likewise (6.2.2.3)."""
        return kdf(self._keys.mac.cmac, HOST_CRYPTOGRAM, context, self.mac_size)

    def room(self, lc_max: int) -> int:
        """The most bytes of plain data that fit into a command whose data field has at most lc_max bytes."""
        most = lc_max - self.mac_size if self.level.c_mac else lc_max
        return most // BLOCK * BLOCK - 1 if self.level.c_decryption else most

    def command_mac(self, cla: int, ins: int, p1: int, p2: int, data: bytes, extended: bool) -> bytes:
        """The whole C-MAC, 16 bytes, of a command with its data encrypted where they are; changes nothing."""
        size = len(data) + self.mac_size
        lc = (0x00, size >> 8, size & 0xFF) if extended or size > 0xFF else (size,)
        return self._keys.mac.cmac(self._chain + bytes((class_for_mac(cla), ins, p1, p2, *lc)) + data)

    def authenticate(self, cla: int, proof: bytes) -> Command:
        """EXTERNAL AUTHENTICATE, of a plain CLA, protected: always by a C-MAC alone, from a chaining value of zeros (6.2.3)."""
        self._chain = self.command_mac(cla, EXTERNAL_AUTHENTICATE, self.level, 0x00, proof, extended=False)
        return Command(protected_class(cla), EXTERNAL_AUTHENTICATE, self.level, 0x00, proof + self._chain[: self.mac_size])

    def check_authenticate(self, command: Command, extended: bool = False) -> None:
        """Raises CommandNotAuthentic unless a received EXTERNAL AUTHENTICATE carries its C-MAC."""
        self._check(command, command.data[: -self.mac_size], extended)

    def protect(self, command: Command, extended: bool = False) -> Command:
        """A command with plain CLA, protected at this level. Le grows by what protection adds to a response.

        `extended` says that its lengths will be extended ones though short ones would do. The caller has seen to it that the data fit
        room().
        """
        if not self.level.c_mac:
            return command
        self._counter += 1
        data, ne = command.data, command.ne
        if data and self.level.c_decryption:
            whole = data + PAD[: BLOCK - len(data) % BLOCK]
            data = self._enc.encrypt(self._counter, whole)
        if ne is not None:
            if self.level.r_mac and ne not in (0x100, NE_MAX):
                ne = self._grown(ne)
            extended = extended or ne > 0x100
        self._chain = mac = self.command_mac(command.cla, command.ins, command.p1, command.p2, data, extended)
        return Command(protected_class(command.cla), command.ins, command.p1, command.p2, data + mac[: self.mac_size], ne)

    def _grown(self, ne: int) -> int:
        """Ne with room for padding and MAC: at most 256 where it was less, at most 65536 otherwise."""
        size = padded_size(ne) if self.level.r_encryption else ne
        return min(size + self.mac_size, 0x100 if ne < 0x100 else NE_MAX)

    def unprotect(self, command: Command, extended: bool = False) -> Command:
        """The command that the host meant, with plain CLA. Raises CommandNotAuthentic; then the session is at its end."""
        if not self.level.c_mac:
            return command
        if not is_protected(command.cla):
            raise CommandNotAuthentic(f"command: a CLA with secure messaging expected, {command.cla:02X} came")
        data = command.data[: -self.mac_size]
        self._check(command, data, extended or (command.ne or 0) > 0x100)
        self._counter += 1
        if data and self.level.c_decryption:
            plain = self._decrypted(data, 0)
            if plain is None:
                raise CommandNotAuthentic("command: encrypted data in whole blocks, padded with 80 00, expected")
            data = plain
        return Command(plain_class(command.cla), command.ins, command.p1, command.p2, data, command.ne)

    def _check(self, command: Command, data: bytes, extended: bool) -> None:
        mac = self.command_mac(command.cla, command.ins, command.p1, command.p2, data, extended)
        if not compare_digest(mac[: self.mac_size], command.data[len(data) :]):
            raise CommandNotAuthentic("command: the C-MAC fits not")
        self._chain = mac

    def protect_response(self, response: Response) -> Response:
        """A response, protected at this level; of an error the status word alone. Raises ValueError where it would be too long."""
        data = response.data
        if not self.level.r_mac:
            return response
        if is_error(response.sw):
            return Response(b"", response.sw)
        size = padded_size(len(data)) if data and self.level.r_encryption else len(data)
        if size + self.mac_size > NR_MAX:
            raise ValueError(f"response: at most {NR_MAX} bytes with protection expected, {size + self.mac_size} came")
        if data and self.level.r_encryption:
            whole = data + PAD[: BLOCK - len(data) % BLOCK]
            data = self._enc.encrypt(self._counter | RESPONSE_BIT, whole)
        return Response(data + self._response_mac(data, response.sw), response.sw)

    def unprotect_response(self, response: Response) -> Response:
        """The response that the card meant. Raises ResponseNotAuthentic; then the session is at its end.

        The status word of an error comes without R-MAC, as the standard has it: it proves nothing.
        """
        size = self.mac_size
        if not self.level.r_mac:
            return response
        if is_error(response.sw):
            if response.data:
                raise ResponseNotAuthentic(f"response {response.sw:04X}: no data expected beside an error, {len(response.data)} bytes came")
            return response
        if len(response.data) < size:
            raise ResponseNotAuthentic(f"response {response.sw:04X}: an R-MAC of {size} bytes expected, {len(response.data)} bytes came")
        data = response.data[:-size]
        if not compare_digest(self._response_mac(data, response.sw), response.data[-size:]):
            raise ResponseNotAuthentic(f"response {response.sw:04X}: the R-MAC fits not")
        if not data or not self.level.r_encryption:
            return Response(data, response.sw)
        plain = self._decrypted(data, RESPONSE_BIT)
        if plain is None:
            raise ResponseNotAuthentic("response: encrypted data in whole blocks, padded with 80 00, expected")
        return Response(plain, response.sw)

    def _response_mac(self, data: bytes, sw: int) -> bytes:
        return self._keys.rmac.cmac(self._chain + data + sw.to_bytes(2))[: self.mac_size]

    def _decrypted(self, data: bytes, direction: int) -> bytes | None:
        """The data without padding; None where there are no whole blocks, or no 80 before zeros.

        Cards are about that pad by a block of zeros too many. The MAC has been checked by then, and 80 00.. is one thing only, so it is
        taken.
        """
        if len(data) % BLOCK:
            return None
        whole = self._enc.decrypt(self._counter | direction, data)
        plain = whole.rstrip(b"\x00")
        if not plain.endswith(b"\x80"):
            return None
        return plain[:-1]
