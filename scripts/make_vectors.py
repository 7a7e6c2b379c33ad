"""Makes the vectors that repeat themselves, from the tables of the specification: `python scripts/make_vectors.py`.

What it writes, host/conform/vectors/generated-*.json, is the source of truth for every other card; a test tells when this script would
write something else. Forms and states of life come from the tables of commands, MACs from the table of messages, and the vectors of bytes
from runs of the symbolic ones on the model; ranks are made by vector_ranks.py.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from joren.host.cardline import in_process
from joren.host.conform import LineTarget, load_suite
from joren.host.conform.load import OWN
from joren.host.conform.session import Session, Way
from joren.host.conform.suite import Suite, Vector
from joren.simulator.cardserver import CardServer
from vector_ranks import ranks
from vector_text import Json, send, text_of, vector

__all__ = ["build", "main", "recorded"]

CUSTOMER, SHOP = "F06A6F72656E010001", "F06A6F72656E020001"


# Of each command: CLA INS as in the specification's table, a P1 P2 that is listed, lengths that are, the answer's, P1 P2 that are not.
CUSTOMER_FORMS: list[tuple[str, str, str, list[int], int, list[str]]] = [
    ("TRANSACT", "80 30", "01 01", [24], 32, ["00 01", "01 00", "01 03", "01 05", "FF 01"]),
    ("GET STATE", "80 32", "00 00", [0], 40, ["01 00", "00 01"]),
    ("COMMIT", "80 34", "01 02", [58], 32, ["03 02", "01 01", "81 02", "00 02"]),
    ("PROVE", "80 36", "00 01", [18], 63, ["01 01", "00 00", "00 03", "00 05"]),
    ("GET RESULT", "80 38", "00 00", [2], 3, ["02 00", "00 01"]),
    ("GET RESULT for the holder", "80 38", "01 00", [2], 31, ["01 01"]),
    ("READ RECORD", "00 B2", "01 0C", [0], 44, ["00 0C", "01 04", "01 14", "01 0D"]),
    ("GET DATA, rules and limits", "00 CA", "01 01", [0], 98, ["00 01", "01 00", "01 02", "01 06"]),
    ("GET DATA, tries", "00 CA", "01 03", [0], 2, ["02 03"]),
    ("GET DATA, key versions", "00 CA", "01 04", [0], 10, []),
    ("GET DATA, balance sheet", "00 CA", "01 05", [0], 46, []),
    ("VERIFY", "00 20", "00 81", [0, 8], 0, ["00 80", "01 81", "00 82"]),
    ("CHANGE REFERENCE DATA", "00 24", "00 81", [16], 0, ["01 81", "00 80"]),
    ("RESET RETRY COUNTER", "00 2C", "00 81", [16], 0, ["01 81", "00 80"]),
    ("STORE DATA", "80 E2", "08 00", [], 0, ["00 00", "48 00", "80 00", "18 00", "09 00"]),
    ("SET STATUS", "80 F0", "40 83", [8], 0, ["80 83", "40 07", "40 00", "40 7F"]),
]
SHOP_FORMS: list[tuple[str, str, str, list[int], int, list[str]]] = [
    ("COMPUTE", "80 40", "01 01", [67], 47, ["00 01", "03 01", "81 01"]),
    ("AUTHORIZE", "80 42", "03 01", [26], 13, ["00 01", "01 01", "06 01", "86 01"]),
    ("RATIFY NOT COMMITTED", "80 44", "00 00", [18], 0, ["03 00", "00 10"]),
    ("RATIFY COMMITTED", "80 44", "01 00", [24], 0, ["01 10", "01 FF"]),
    ("RATIFY WRITE OFF", "80 44", "02 00", [0], 0, ["02 10"]),
    ("GET CHALLENGE", "00 84", "00 00", [0], 8, ["01 00", "00 01"]),
    ("READ RECORD of the log", "00 B2", "01 0C", [0], 33, ["00 0C", "01 0D", "01 04"]),
    ("READ RECORD of pending entries", "00 B2", "01 14", [0], 32, ["00 14"]),
    ("GET DATA, rules and limits", "00 CA", "01 01", [0], 98, ["01 03", "01 05", "00 01"]),
    ("GET DATA, totals", "00 CA", "01 02", [0], 44, []),
    ("GET DATA, key versions", "00 CA", "01 04", [0], 10, []),
    ("STORE DATA", "80 E2", "08 00", [], 0, ["00 00", "80 00", "18 00"]),
    ("SET STATUS", "80 F0", "40 83", [8], 0, ["80 83", "40 07", "40 00"]),
]


def selected(name: str) -> Json:
    """SELECT, its answer not looked at."""
    return send("SELECT", "00 A4 04 0C", name, 26 if name == CUSTOMER else 25, answer="*")


def form_steps(name: str, header: str, good: str, lengths: list[int], answer: int, bad: list[str]) -> Iterator[Json]:
    """Everything that is wrong with a command before it is looked into, the graver first."""
    cla, ins = header.split()
    other = "00" if cla == "80" else "80"
    yield send(f"{name}, class 90", f"90 {ins} {good}", "00", sw="6E00")
    yield send(f"{name}, the other class", f"{other} {ins} FF FF", sw="6D00")
    for parameters in bad:
        yield send(f"{name}, P1 P2 {parameters}", f"{header} {parameters}", "00*3", 1, sw="6A86")
    wrong = sorted({length + by for length in lengths for by in (-1, 1)} | {0, 255}) if lengths else [0]
    for length in wrong:
        if length >= 0 and length not in lengths:
            yield send(f"{name}, {length} bytes", f"{header} {good}", f"00*{length}" if length else "", 1 if answer else None, sw="6700")


def le_steps(name: str, header: str, good: str, lengths: list[int], answer: int) -> Iterator[Json]:
    """Ne that is too small, which comes before the state of life and before what is in the data."""
    for ne in (None, 1, answer - 1):
        data = f"00*{lengths[0]}" if lengths[0] else ""
        yield send(f"{name}, Ne {'absent' if ne is None else ne}", f"{header} {good}", data, ne, sw=f"6C{answer:02X}")


def forms(card: str, aid: str, table: list[tuple[str, str, str, list[int], int, list[str]]]) -> Iterator[Json]:
    """A vector of forms for each command."""
    for number, (name, header, good, lengths, answer, bad) in enumerate(table, 1):
        slug = f"{card}-{number:02}-" + re.sub(r"\W+", "-", name.lower())
        steps = [selected(aid), *form_steps(name, header, good, lengths, answer, bad)]
        yield vector(
            f"form-{slug}", f"{name}: class, instruction, P1 P2, length",
            "The first that is wrong gives the status word, whatever comes behind it.",
            ["REQ-APDU-1", "REQ-APDU-2", "REQ-APDU-3"], "static", card, steps,
        )  # fmt: skip
        if answer:
            yield vector(
                f"form-le-{slug}", f"{name}: the answer needs its room", "6C with the length; nothing has been done.",
                ["REQ-APDU-4"], "static", card, [selected(aid), *le_steps(name, header, good, lengths, answer)], requires=["whole"],
            )  # fmt: skip


def unknown(card: str, aid: str, table: list[tuple[str, str, str, list[int], int, list[str]]]) -> Json:
    """Every instruction that the card does not have."""
    known = {row[1] for row in table} | {"00 A4", "00 70"}
    steps = [selected(aid)] + [
        send(f"INS {ins:02X}", f"{cla} {ins:02X} 00 00", sw="6D00")
        for cla in ("00", "80")
        for ins in range(256)
        if f"{cla} {ins:02X}" not in known and ins >> 4 not in (6, 9) and (cla, ins) != ("80", 0x50)
    ]
    return vector(
        f"form-{card}-unknown", "instructions that the card does not have", "No byte is left that does something nobody wrote down.",
        ["REQ-APDU-1"], "static", card, steps,
    )  # fmt: skip


def secured_class(card: str, aid: str, table: list[tuple[str, str, str, list[int], int, list[str]]]) -> Json:
    """The class of secure messaging, where nobody has it."""
    steps = [selected(aid)] + [
        send(f"{name}, class {cla}", f"{cla} {header[3:]} {good}", sw="6E00") for name, header, good, *_ in table for cla in ("04", "84")
    ]
    return vector(
        f"form-{card}-secured", "secure messaging on a chip without a card manager", "There is no channel, and so no class for it.",
        ["REQ-APDU-1"], "static", card, steps, requires=["plain"],
    )  # fmt: skip


ALLOWED = {
    "blank-customer": ("the card is SELECTABLE", {"STORE DATA"}),
    "customer-blocked": ("the card is BLOCKED", {"PROVE", "GET DATA", "STORE DATA", "SET STATUS"}),
    "customer-terminated": ("the card is TERMINATED", {"GET DATA"}),
    "blank-shop": ("the card is SELECTABLE", {"STORE DATA"}),
    "shop-blocked": ("the card is BLOCKED", {"RATIFY", "GET CHALLENGE", "READ RECORD", "GET DATA", "STORE DATA", "SET STATUS"}),
    "shop-terminated": ("the card is TERMINATED", {"READ RECORD", "GET DATA"}),
}


def states() -> Iterator[Json]:
    """In each state, the commands that it does not allow, all of the right form."""
    for fixture, (title, allowed) in ALLOWED.items():
        shop = "shop" in fixture
        steps = [selected(SHOP if shop else CUSTOMER) | {"sw": "XXXX"}]
        for name, header, good, lengths, answer, _ in SHOP_FORMS if shop else CUSTOMER_FORMS:
            if not any(name.startswith(one) for one in allowed):
                length = lengths[-1] if lengths else 1
                steps.append(send(name, f"{header} {good}", f"00*{length}" if length else "", answer or None, sw="6985"))
        yield vector(
            f"life-{fixture}", f"what is not allowed while {title}", "A command that the state does not have is 6985, whatever is in it.",
            ["REQ-LIFE-2", "REQ-APDU-5"], "static", fixture, steps,
        )  # fmt: skip


def mac_flips(name: str, message: str, size: int, key: str, step: Callable[[Json], list[Json]], covers: list[str], fixture: str,
              before: list[Json], title: str, **more: Any) -> Json:  # fmt: skip
    """A message's every byte, and every byte of its MAC, one bit wrong each."""
    steps = list(before)
    for at in range(size):
        steps += step({"mac": {"flip": f"${message}", "at": at}, "key": key})
    for at in range(8):
        steps += step({"flip": {"mac": f"${message}", "key": key}, "at": at})
    return vector(
        name,
        title,
        "Each byte of the message counts, and each of the MAC.",
        ["REQ-MAC-1", "REQ-MAC-2", *covers],
        "symbolic",
        fixture,
        steps,
        **more,
    )


def macs() -> Iterator[Json]:
    """The messages that a card checks (docs/spec/keys.md)."""
    good: Json = {"do": "till-transact"}
    found = mac_flips(
        "mac-order", "order_message", 39, "till", lambda mac: [{"do": "till-transact", "values": {"order_mac_till": mac, "sw": "6988"}}],
        ["REQ-ATK-01"], "customer", [{"do": "select"}], "the ORDER MAC covers its whole message",
    )  # fmt: skip
    found["steps"].append(good)
    yield found
    found = mac_flips(
        "mac-commit", "commit_message", 74, "shop", lambda mac: [{"do": "commit", "values": {"commit_mac": mac, "sw": "6988"}}],
        ["REQ-ATK-01", "REQ-COM-1"], "customer", [{"do": "select"}], "the COMMIT MAC covers its whole message", values={"key": "02"},
    )  # fmt: skip
    found["steps"].append({"do": "commit"})
    yield found
    found = mac_flips(
        "mac-admin", "admin_message", 22, "admin", lambda mac: [{"name": "SET STATUS", "send": "80 F0 40 83", "data": mac, "sw": "6988"}],
        ["REQ-ADM-1"], "customer", [{"do": "select"}], "the ADMIN MAC covers its whole message",
    )  # fmt: skip
    found["steps"].append({"name": "SET STATUS", "send": "80 F0 40 83", "data": "$admin_mac"})
    yield found
    message: Json = {"state_of_card": "51 $card_head $card_counter $card_nonce $rules_version $card_state"}
    found = mac_flips(
        "mac-state", "state_of_card", 54, "shop", lambda mac: [{"do": "compute", "values": {"card_state_mac": mac, "sw": "6988"}}],
        ["REQ-CMP-1"], "shop", [{"do": "shop-begin"}], "the STATE MAC covers its whole message", values=message,
    )  # fmt: skip
    found["steps"].append({"do": "compute"})
    yield found
    message = {"proof_message": "54 $card_head $card_record", "key": "02"}
    found = mac_flips(
        "mac-proof", "proof_message", 47, "shop", lambda mac: [{"do": "committed", "values": {"card_proof": mac, "sw": "6988"}}],
        ["REQ-RAT-1"], "shop", [{"do": "shop-begin"}, {"do": "compute"}], "the PROOF MAC covers its whole message", values=message,
    )  # fmt: skip
    found["steps"].append({"do": "committed"})
    yield found
    found = mac_flips(
        "mac-absence", "absent_message", 41, "shop",
        lambda mac: [{"do": "shop-challenge"}, {"do": "absence", "values": {"absent": mac, "sw": "6988"}}],
        ["REQ-RAT-1"], "shop", [{"do": "shop-begin"}, {"do": "compute"}], "the ABSENCE MAC covers its whole message", values={"key": "02"},
    )  # fmt: skip
    found["steps"] += [{"do": "shop-challenge"}, {"do": "absence"}]
    yield found
    found = mac_flips(
        "mac-shop-admin", "shop_admin_message", 22, "shop-admin",
        lambda mac: [{"do": "shop-challenge"}, {"name": "SET STATUS", "send": "80 F0 40 83", "data": mac, "sw": "6988"}],
        ["REQ-SAD-1"], "shop", [{"do": "shop-begin"}], "a shop card's ADMIN MAC covers its whole message",
    )  # fmt: skip
    found["steps"] += [{"do": "shop-challenge"}, {"name": "SET STATUS", "send": "80 F0 40 83", "data": "$shop_admin_mac"}]
    yield found


RECORDED = (
    "trx-purchase", "trx-kinds", "trx-replay", "void-kinds", "prove-committed", "prove-absent", "result-holder", "pin-change",
    "com-stores", "adm-life", "cmp-purchase", "cmp-order-of-checks", "aut-kinds", "rat-committed", "rat-totals",
    "rat-void-gives-back", "rat-absent", "shop-life", "shop-log",
)  # fmt: skip


class Recording(LineTarget):
    """A target that notes what goes over the line."""

    def __init__(self) -> None:
        server = CardServer()
        server.begin()
        super().__init__(in_process(server.answer, "model"))
        self.noted: list[tuple[bytes, bytes] | None] = []

    def exchange(self, apdu: bytes) -> bytes:
        answer = super().exchange(apdu)
        self.noted.append((apdu, answer))
        return answer

    def reset(self) -> None:
        super().reset()
        self.noted.append(None)


def recorded(suite: Suite, suite_vector: Vector) -> Json:
    """A vector of bytes: what the symbolic one said and heard on the model, whose random bytes follow from the seed."""
    target = Recording()
    target.open()
    session = Session(suite, target, suite.fixtures[suite_vector.fixture], suite_vector.values, Way.PLAIN)
    session.begin()
    target.noted.clear()
    session.run(suite_vector.steps)
    steps: list[Json] = []
    for noted in target.noted:
        if noted is None:
            steps.append({"reset": True})
        else:
            apdu, answer = noted
            step: Json = {"raw": apdu.hex().upper(), "sw": answer[-2:].hex().upper()}
            if len(answer) > 2:
                step["answer"] = answer[:-2].hex().upper()
            steps.append(step)
    return vector(
        f"bytes-{suite_vector.id}", f"{suite_vector.title}, byte by byte",
        "The same cards with the same random bytes give the same answers, MACs and nonces too.",
        suite_vector.covers, "bytes", suite_vector.fixture, steps,
    )  # fmt: skip


def others() -> Iterator[Json]:
    """What is long and says little."""
    store = [{"do": "store-plain", "values": {"block": f"{number & 0xFF:02X}", "dgis": "8001 11 01 @till"}} for number in range(258)]
    yield vector(
        "per-wrap", "after block FF comes block 00", "There are not always 256 blocks in a personalization, but there may be more.",
        ["REQ-PER-1"], "symbolic", "blank-customer", [{"do": "select", "values": {"life_cycle": "07"}}, *store], requires=["plain"],
    )  # fmt: skip


def build() -> Mapping[str, str]:
    """The files' names and texts. Those of bytes need the others in their place."""
    suite = load_suite()
    by_id = {one.id: one for one in suite.vectors}
    tables: list[Json] = []
    for card, aid, table in (("customer", CUSTOMER, CUSTOMER_FORMS), ("shop", SHOP, SHOP_FORMS)):
        tables += [*forms(card, aid, table), unknown(card, aid, table), secured_class(card, aid, table)]
    return {
        "generated-forms.json": text_of("Classes, instructions, P1 P2, lengths and Le of every command.", tables),
        "generated-states.json": text_of("What each state of life does not allow.", list(states())),
        "generated-macs.json": text_of("Every byte of every message that a card checks the MAC of.", list(macs())),
        "generated-ranks.json": text_of("The rank arithmetic.", list(ranks())),
        "generated-others.json": text_of("Long ones.", list(others())),
        "generated-bytes.json": text_of("Whole sessions, byte by byte.", [recorded(suite, by_id[name]) for name in RECORDED]),
    }


def main() -> None:
    """Writes the files."""
    for name, text in build().items():
        (OWN / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
