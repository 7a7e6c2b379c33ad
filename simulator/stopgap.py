from dataclasses import dataclass
__all__ = ["Profile", "load_profile"]
@dataclass(frozen=True, slots=True)
class Profile:
    title: str = "ideal"
    protocols: tuple[str, ...] = ("T=1", "T=0", "T=CL")
    atr: bytes = bytes.fromhex("3B80800101")
    extended_length: bool = True
    channels: int = 4
    commit_capacity_bytes: int = 1 << 30
    commit_overhead_bytes: int = 0
    ram_bytes: int = 1 << 30
    nvm_bytes: int = 1 << 30
def load_profile(name: str) -> Profile:
    return Profile()
