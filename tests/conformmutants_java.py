"""Mutants of the Java Card applet: applets that are wrong in one place, to see whether the vectors notice.

How it works. A class file has many places that can be made wrong (applet/javacard, class Behaviour): a branch that goes the other way, a
constant that is one more, a call for its effect that is not made, a status word that is another. Of each method and kind one place is
drawn, by a seed, but for what no card of this build shows (ABSENT). Each mutant is held against the vectors until one fails; the vectors
that saw the last mutants come first. A command that does not end is ended by the harness, and an applet that fails has failed the vector.

`python tests/conformmutants_java.py` tries them all, which takes minutes, and writes RESULTS, from which docs/conformance.md is made;
with a number behind it another sample, which is told and no more. What survives is in SAME or in UNSEEN, by its name, with the reason.
"""

import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from javakit import class_path
from joren.commands.conform_targets import served
from joren.host import CardFault
from joren.host.conform import Runner, Suite, Vector, Verdict, Way, load_suite
from joren.simulator.java_roles import java_customer, java_shop, program_with
from joren.simulator.jvm import classes_folder, find_java

__all__ = ["ABSENT", "KINDS", "SAME", "UNSEEN", "Hunt", "JavaSite", "Tried", "results", "sample", "sites"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "vectors" / "conform_java_mutants.txt"
"""Line by line: the mutant, the vector that noticed it first or -, and what stands in the source."""
SOURCES = ("main", "channel/globalplatform")
SEED = 20260302
NO_CARD = "no-card"
"""Where the applet can not even be installed."""
KINDS = {
    "negate": "a branch goes the other way",
    "constant": "a constant is one more, or 0 where it is 1",
    "drop": "a call for its effect is not made",
    "status": "a status word is another",
}
ABSENT: dict[str, tuple[str, ...]] = {
    "CMAC from CBC-MAC, on a chip that has no CMAC": ("Mac.make", "Mac.doubled"),
    "asked with T=0 alone": ("CardApplet.hasData",),
    "a SELECT that chooses no instance is answered by the chip": ("CardApplet.refuseSelect",),
    "the protection of the secure channel, its beginning and its end are the card manager's in front": (
        "CardApplet.deselect",
        "PlatformChannel.<init>",
        "PlatformChannel.process",
        "PlatformChannel.unwrap",
        "PlatformChannel.wrap",
        "PlatformChannel.reset",
    ),
    "the parameters of install, which the card manager makes": ("CardApplet.<init>",),
    "sizes of memory, which the harness looks at before a vector is run; of RAM, of which more is not to be seen": (
        "Persistent.<init>",
        "Transients.<init>",
    ),
}
"""Methods that no vector shows on this target, by the reason."""
SAME: dict[str, tuple[str, ...]] = {
    "a key object that is not loaded when its key comes is loaded at its first use": (
        "drop:CustomerData.loadKeys#1",
        "negate:CustomerMemory.loadKeys#1",
        "constant:CustomerMemory.loadKeys#1",
        "drop:CustomerMemory.loadKeys#1",
        "drop:ShopData.loadKeys#1",
        "negate:ShopMasters.loadKeys#1",
        "constant:ShopMasters.loadKeys#1",
        "drop:ShopMasters.loadKeys#1",
    ),
    "a key with a Mac of its own sets it up once, one without each time": ("constant:ShopMasters.<init>#3",),
    "what is left in RAM when a command is over can not be read; the next command writes over it": (
        "drop:DerivedKey.forget#1",
        "drop:ShopApplet.answer#1",
        "drop:ShopMasters.forget#1",
    ),
    "what is written over a key that goes can not be read": ("constant:ShopMasters.remove#2", "drop:ShopMasters.remove#1"),
    "the MAC that follows writes the first byte of the message anew": ("constant:CustomerMemory.fetchRecord#1",),
    "the byte behind is written afterwards, or is nobody's": ("constant:DoubleWords.copy#1",),
    "the new PIN brings all its tries at once": ("constant:Pin.change#2",),
    "a channel that is open is always authenticated": ("constant:PlatformChannel.isOpen#1",),
    "the first purchase writes the hour of its rank at its end, whatever the rank": ("constant:Rank.purchase#5",),
}
"""Mutants that answer as the applet does, by the reason."""
UNSEEN: dict[str, tuple[str, ...]] = {
    "65,535 transactions or refills, 65,536 or 16,777,215 entries would have to come first": (
        "status:Transact.begin#1",
        "status:ShopMemory.refill#1",
        "constant:ShopMemory.placeInForce#12",
        "negate:ShopMemory.checkCount#1",
        "constant:ShopMemory.checkCount#1",
        "drop:ShopMemory.checkCount#1",
        "status:ShopMemory.checkCount#1",
    ),
    "no command leaves a ring of sheets of which none can be": ("drop:ShopMemory.placeInForce#1", "status:ShopMemory.placeInForce#1"),
    "only a chip without CMAC, or a build with a channel of its own, goes there": (
        "constant:Mac.isNative#2",
        "drop:Mac.isNative#1",
        "constant:Mac.sign#1",
        "negate:Mac.sign#2",
        "drop:Mac.sign#2",
    ),
    "only a build with a channel of its own answers without having asked for Ne": ("drop:CardApplet.send#1",),
    "only with T=0": ("negate:CardApplet.receive#4",),
    "the card manager in front protects a warning too": ("negate:CardApplet.protectedAnswer#1",),
    "the harness knows the instance's AID without being told": ("constant:CustomerApplet.install#1", "constant:ShopApplet.install#1"),
    "jCardSim, and the harness around it, take another algorithm of random bytes, mode or kind of access for the same": (
        "constant:Mac.<init>#2",
        "constant:Mac.init#1",
        "constant:ShopMemory.<init>#1",
    ),
}
"""Mutants that other cards, or a longer life, would give away, by the reason why no vector does here."""


@dataclass(frozen=True, slots=True)
class JavaSite:
    """A place that can be made wrong, by the name that the harness has for the mutant; the line of the source, and what stands there."""

    name: str
    line: int
    text: str

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return self.name.partition(":")[0]

    @property
    def method(self) -> str:
        """Class and method."""
        return self.name.partition(":")[2].partition("#")[0]


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a mutant: its name, the vector that noticed it, which is empty where none did, and what stands in the source."""

    name: str
    vector: str
    text: str


@cache
def _source(name: str) -> list[str]:
    folder = ROOT / "applet" / "javacard" / "src"
    (path,) = (path for where in SOURCES if (path := folder / where / "java" / "joren" / f"{name}.java").is_file())
    return path.read_text(encoding="utf-8").splitlines()


def sites() -> list[JavaSite]:
    """All places of the applets, without those of ABSENT."""
    command = [find_java(), "-cp", class_path(), "joren.harness.Sites", str(classes_folder())]
    lines = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    absent = {method for methods in ABSENT.values() for method in methods}
    found = []
    for name, line in (line.split() for line in lines):
        method = name.partition(":")[2].partition("#")[0]
        if method not in absent:
            text = _source(method.partition(".")[0])[int(line) - 1].strip()
            found.append(JavaSite(name, int(line), text))
    return found


def sample(places: Sequence[JavaSite], seed: int = SEED) -> list[JavaSite]:
    """One of each kind in every method."""
    groups: dict[tuple[str, str], list[JavaSite]] = {}
    for site in places:
        groups.setdefault((site.method, site.kind), []).append(site)
    return [Random(f"{seed} {method} {kind}").choice(group) for (method, kind), group in groups.items()]


class Hunt:
    """Holds mutants against the vectors, of which one may come first."""

    def __init__(self, suite: Suite, first: str = "") -> None:
        self._vectors: list[Vector] = sorted(suite.vectors, key=lambda vector: vector.id != first)
        self._suite = suite

    def caught_by(self, mutant: str) -> tuple[str, str]:
        """The first vector that a mutant fails, and how; nothing where it passes them all, in the clear and through the manager."""
        program = program_with(java_customer().mutated(mutant), java_shop().mutated(mutant))
        try:
            target = served("mutant", program, "ideal")
        except CardFault as error:
            return NO_CARD, str(error)
        try:
            for way in Way:
                for result in Runner(self._suite, target, way).run(self._vectors):
                    if result.verdict is Verdict.FAILED:
                        assert "VerifyError" not in result.reason, f"{mutant}: no class file any more"
                        self._vectors.remove(result.vector)
                        self._vectors.insert(0, result.vector)
                        return result.vector.id, result.reason
        finally:
            target.close()
        return "", ""


def results() -> list[Tried]:
    """What main() found."""
    rows = (line.split(" ", 2) for line in RESULTS.read_text(encoding="utf-8").splitlines())
    return [Tried(name, "" if vector == "-" else vector, text) for name, vector, text in rows]


def main() -> None:
    """Tries the sample and writes what was found."""
    logging.disable()
    hunt = Hunt(load_suite())
    chosen = sample(sites(), *map(int, sys.argv[1:]))
    lines = []
    for number, site in enumerate(chosen, 1):
        vector, reason = hunt.caught_by(site.name)
        lines.append(f"{site.name} {vector or '-'} {site.text}\n")
        print(f"{number}/{len(chosen)} {site.name} {site.line}: {site.text} -> {vector or 'SURVIVES'} {reason}"[:400], flush=True)
    if len(sys.argv) == 1:
        RESULTS.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
