"""Makes what is generated in docs/conformance.md: `python scripts/conformance_pages.py`. A test tells when the page is not up to date."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from joren.commands.tear_java import java_mutants
from joren.host.conform import Suite, load_suite
from joren.host.conform.suite import Kind

__all__ = ["BEYOND", "defined", "main", "matrix", "sections", "uncovered"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
BEYOND: dict[str, str] = {
    "REQ-ATK": "what attackers try is tried in dialogs, on several cards; what a card does about it is in the requirements that they name",
    "REQ-STL": "the till's: how it settles what was torn; what the card says to it is PROVE and RATIFY",
    "REQ-OWN": "of applets that are built with a channel of their own: no target offers one; the channel is that of REQ-MAN-3, 4 and 17",
    "REQ-FIT-1": "sizes of memory and transactions; the Java Card build and the profiles are measured (docs/budgets.md)",
    "REQ-FIT-2": "T=0 is below the APDU: readers put its parts together before the kit sees them",
    "REQ-FLW-1": "how many APDUs a dialog takes, which is the host's",
    "REQ-FLW-2": "bytes written are not to be seen from outside; docs/budgets.md counts them",
    "REQ-FLW-3": "the till's journal",
    "REQ-KEY-6": "the issuer's: where the masters come from that a card is given",
    "REQ-RANK-19": "a property of the arithmetic; the vectors of REQ-RANK-06 to REQ-RANK-18 are steps of it",
    "REQ-RANK-20": "a property of the arithmetic",
    "REQ-RANK-21": "a property of the arithmetic",
    "REQ-RANK-22": "a property of the arithmetic; its widest cases are among the vectors",
    "REQ-RANK-23": "a bound on errors against real numbers",
    "REQ-RANK-24": "a bound on errors between reading and writing",
}
"""Requirements, or families of them, that no vector shows, and why."""
SHOWN_MAX = 6


def defined() -> dict[str, str]:
    """Each requirement, and its page."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "docs" / "spec").glob("*.md")):
        found |= dict.fromkeys(re.findall(r"\*\*(REQ-[A-Z]+-\d+)\*\*", path.read_text(encoding="utf-8")), path.name)
    return found


def beyond(requirement: str) -> str | None:
    """Why no vector shows it; None where one must."""
    return BEYOND.get(requirement) or BEYOND.get(requirement.rpartition("-")[0])


def uncovered(suite: Suite) -> list[str]:
    """Requirements of the card without a vector."""
    covered = {name for vector in suite.vectors for name in vector.covers}
    return [name for name in defined() if name not in covered and beyond(name) is None]


def matrix(suite: Suite) -> str:
    """Requirements and the vectors that show them."""
    lines = ["| requirement | page | vectors | |", "|---|---|---|---|"]
    for name, page in defined().items():
        ids = [vector.id for vector in suite.vectors if name in vector.covers]
        if ids:
            more = f", and {len(ids) - SHOWN_MAX} more" if len(ids) > SHOWN_MAX else ""
            lines.append(f"| {name} | [{page.removesuffix('.md')}](spec/{page}) | {len(ids)} | {', '.join(ids[:SHOWN_MAX])}{more} |")
    return "\n".join(lines)


def reasons() -> str:
    """Requirements that no APDU can show."""
    lines = ["| requirement | why no vector shows it |", "|---|---|"]
    known = defined()
    lines += [f"| {name if name in known else name + '-...'} | {why} |" for name, why in BEYOND.items()]
    return "\n".join(lines)


def counts(suite: Suite) -> str:
    """How many vectors of each class."""
    told = [(kind, sum(vector.kind is kind for vector in suite.vectors)) for kind in Kind]
    return f"{len(suite.vectors)} vectors: " + ", ".join(f"{number} {kind.value}" for kind, number in told) + "."


def survivors(names: Sequence[str], found: Mapping[str, str]) -> str:
    """The mutants, and why some survive."""
    caught = len(names) - len(found)
    lines = [f"{len(names)} mutants, {caught} caught, {100 * caught / len(names):.1f} %. Those that survive:", ""]
    lines += ["| mutant | why no vector shows it |", "|---|---|", *(f"| {name} | {why} |" for name, why in found.items())]
    lines += ["", "Those that are caught:", "", *(f"* {name}" for name in names if name not in found)]
    return "\n".join(lines)


def java_behaviour() -> str:
    """Mutants of the Java Card applet by kind, and why some survive."""
    from conformmutants_java import KINDS, SAME, UNSEEN, results

    tried = results()
    caught = {one.name for one in tried if one.vector}
    same = {name for names in SAME.values() for name in names}
    wrong = len(tried) - len(same)
    told = f"{len(tried)} mutants. {len(same)} of them answer as the applet does, so nothing can be noticed; of the other {wrong}"
    lines = [f"{told} the vectors see {len(caught)}, {100 * len(caught) / wrong:.1f} %.", ""]
    lines += ["| kind | what is wrong | mutants | noticed | answer alike | not noticed |", "|---|---|---|---|---|---|"]
    for kind, what in KINDS.items():
        of_kind = {one.name for one in tried if one.name.startswith(f"{kind}:")}
        numbers = (len(of_kind), len(of_kind & caught), len(of_kind & same), len(of_kind - caught - same))
        lines.append(f"| {kind} | {what} | " + " | ".join(map(str, numbers)) + " |")
    for title, why in (("not noticed", UNSEEN), ("answers alike", SAME)):
        lines += ["", f"| {title} | why |", "|---|---|"]
        lines += [f"| {coded(names)} | {reason} |" for reason, names in why.items()]
    return "\n".join(lines)


def coded(names: Sequence[str]) -> str:
    """Names of a program."""
    return ", ".join(f"`{name}`" for name in names)


def absent() -> str:
    """Methods of the applet that are left out, and why."""
    from conformmutants_java import ABSENT

    return "\n".join(["| left out | why |", "|---|---|", *(f"| {coded(methods)} | {why} |" for why, methods in ABSENT.items())])


def share(mutants: int, survivors: int) -> str:
    """How many are caught, of all."""
    caught = mutants - survivors
    return f"In all {mutants} mutants that do not answer alike, {caught} caught: {100 * caught / mutants:.1f} %."


def sections() -> dict[str, str]:
    """By name, what stands between the marks of the page."""
    sys.path.insert(0, str(ROOT / "tests"))
    from conformmutants import JAVA_SURVIVORS, MUTANTS, SURVIVORS
    from conformmutants_java import SAME, results

    suite = load_suite()
    names = [mutant.name for mutant in MUTANTS]
    java = [mutant.name for mutant in java_mutants()]
    tried = [one for one in results() if one.name not in {name for same in SAME.values() for name in same}]
    lost = len(SURVIVORS) + len(JAVA_SURVIVORS) + sum(not one.vector for one in tried)
    return {
        "counts": counts(suite),
        "matrix": matrix(suite),
        "beyond": reasons(),
        "mutants": survivors(names, SURVIVORS),
        "java mutants": survivors(java, JAVA_SURVIVORS),
        "java behaviour": java_behaviour(),
        "left out": absent(),
        "all mutants": share(len(names) + len(java) + len(tried), lost),
    }


def main() -> None:
    """Writes the page's generated parts anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, section in sections().items():
        begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{section}\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
