"""The constants of the Java Card applets are those of the model."""

from pathlib import Path

from joren.commands.java_constants import java_constants

CODES = Path(__file__).resolve().parent.parent / "applet" / "javacard" / "src" / "main" / "java" / "joren" / "Codes.java"


def test_the_constants_of_the_applet_are_those_of_the_model() -> None:
    assert CODES.read_text(encoding="utf-8") == java_constants(), "run python -m joren.commands.java_constants and put it there"


def test_codes_offsets_and_allowed_commands_are_in_it() -> None:
    """REQ-REC-1, REQ-LIFE-2, REQ-APDU-1: a few of each kind, by eye from docs/spec."""
    text = java_constants()
    for line in (
        "static final byte INS_TRANSACT = (byte) 0x30;",
        "static final short SW_NOTHING_TO_VOID = (short) 0x940A;",
        "static final short ORDER_SHOP = 8;",
        "static final short RULES_SLOTS = 40;",
        "static final short SHEET_POINTS_NOW = 32;",
        "static final short RECORD_OUTCOME = 20;",
        "static final byte CUSTOMER_PROVE_IN = (byte) 0x06;",
        "static final byte USE_ADMIN = (byte) 0x57;",
    ):
        assert f"    {line}\n" in text
