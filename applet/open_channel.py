"""An open SCP03 session as an instance sees it, whoever has it: a card manager in front of the instance, or the instance itself."""

from dataclasses import dataclass

from joren.apdu import Key
from joren.apdu.scp03 import Level, Parameter, decrypt_sensitive

__all__ = ["SCP03_PARAMETER", "OpenChannel"]

SCP03_PARAMETER = Parameter(pseudo_random=True)
"""i = 70: pseudo-random challenge, R-MAC, R-ENCRYPTION, S8."""


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """The session's level and Key-DEK (joren.applet.platform.SecureChannel)."""

    level: Level
    dek: Key

    @property
    def c_mac(self) -> bool:
        return self.level.c_mac

    @property
    def r_mac(self) -> bool:
        return self.level.r_mac

    @property
    def c_decryption(self) -> bool:
        return self.level.c_decryption

    def decrypt(self, data: bytes) -> bytes:
        return decrypt_sensitive(self.dek, data)
