"""The branch coverage of the Java Card applets, from the files that JaCoCo's probes left while the tests ran: called by `./run test`.

`clear` takes away what earlier runs left; `report` prints each class with its lines that have a branch that was not taken, and ends with
exit status 1 where less than 95 % of all branches were taken, or nothing was measured.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main", "report"]

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "coverage" / "javacard"
BUILT = ROOT / "build" / "javacard" / "globalplatform"
BRANCHES_MIN = 95.0


def report(lines: Sequence[str]) -> tuple[list[str], float]:
    """From what joren.harness.Coverage prints to a table, and the branches taken in percent."""
    classes = [line.split()[1:] for line in lines if line.startswith("class ")]
    missed: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("missed ") and not line.endswith(" 0"):
            _, name, number, _ = line.split()
            missed.setdefault(name, []).append(number)
    told, all_branches, not_taken = [], 0, 0
    for name, branches, left, _, _ in classes:
        all_branches, not_taken = all_branches + int(branches), not_taken + int(left)
        if int(left):
            share = 100 * (1 - int(left) / int(branches))
            told.append(f"{name:28} {branches:>5} branches {share:6.1f} %  lines {', '.join(missed.get(name, []))}")
    share = 100 * (1 - not_taken / all_branches) if all_branches else 0.0
    return [*told, f"{'package joren':28} {all_branches:>5} branches {share:6.1f} %"], share


def main(words: Sequence[str]) -> int:
    """Exit status 0 where enough was covered."""
    found = sorted(FOLDER.glob("*.exec"))
    if list(words) == ["clear"]:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path in found:
            path.unlink()
        return 0
    arguments = ["java", "-cp", f"{BUILT / 'classes'}{os.pathsep}{BUILT / 'lib'}/*", "joren.harness.Coverage", str(BUILT / "classes")]
    outcome = subprocess.run([*arguments, *map(str, found)], stdout=subprocess.PIPE, text=True, check=True)
    told, share = report(outcome.stdout.splitlines())
    print("\n".join(told))
    if share < BRANCHES_MIN:
        print(f"javacard: {BRANCHES_MIN:.0f} % of the branches expected, {share:.1f} % were taken", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
