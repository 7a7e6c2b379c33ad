"""Reads the vector files: text, `|` between the columns, `#` for comments, `-` for nothing, blanks in hexadecimal ignored."""

from pathlib import Path

__all__ = ["hexa", "rows"]

FOLDER = Path(__file__).resolve().parent / "vectors"


def rows(name: str) -> list[tuple[str, ...]]:
    """The rows of a vector file, stripped; at least one."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    found = [tuple(column.strip() for column in line.split("|")) for line in lines if line.strip() and not line.startswith("#")]
    assert found, name
    return found


def hexa(text: str) -> bytes:
    """Bytes in hexadecimal; `-` is none."""
    return b"" if text == "-" else bytes.fromhex(text.replace(" ", ""))
