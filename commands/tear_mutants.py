"""Memories that write wrongly, and the tears that give them away."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from joren.apdu import Ins
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.mutants import EVERYWHERE, IN_A_REGION, RIGHT, Mutant, mutants
from joren.simulator.tear import AFTER, Outcome, Script, Tear, explore, placed

__all__ = ["Hunt", "Verdict", "card_of", "to_markdown"]

ISSUE, COMMIT = "issue", "commit"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A mutant, and the first tear that left something mixed; None: it was missed."""

    mutant: Mutant
    tear: Tear | None


class Hunt:
    """Mutants of the cards in some scripts, and what catches them. A mutant is torn in those scripts alone that write its region."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self._scripts = sorted(scripts, key=lambda script: script.name.startswith(ISSUE))
        self._written = {script.name: {tear.place for tear in explore(script)} - {AFTER} for script in scripts}
        cards: dict[str, Chip] = {}
        for script in scripts:
            cards.setdefault(card_of(script), script.chip)
        self.mutants = mutants(cards)

    def catch(self, mutant: Mutant) -> Verdict:
        """Tears until something mixed is left: cards in use first, the issuing of one last."""
        for script in self._scripts:
            if card_of(script) == mutant.card and (mutant.region or COMMIT) in self._written[script.name]:
                there = placed(script, script.chip.on(IDEAL, mutant.make))
                mixed = next((tear for tear in explore(there) if tear.outcome is Outcome.MIXED), None)
                if mixed is not None:
                    return Verdict(mutant, mixed)
        return Verdict(mutant, None)


def to_markdown(verdicts: Sequence[Verdict]) -> str:
    """The table of docs/tearing.md: the kinds of mutants, how many of each were caught, and the commands that gave them away first."""
    lines = ["| mutant | what is wrong | how many | caught first by the tears of |", "|---|---|---|---|"]
    for kind in (*IN_A_REGION, *EVERYWHERE):
        of_kind = [verdict for verdict in verdicts if verdict.mutant.kind is kind]
        by = Counter(Ins(verdict.tear.command.ins).name.replace("_", " ") for verdict in of_kind if verdict.tear is not None)
        caught = ", ".join(f"{name} {number}" for name, number in by.most_common())
        regions = f"{len(of_kind)}, a region each" if kind in IN_A_REGION else f"{len(of_kind)}, a card each"
        lines.append(f"| {kind.NAME} | {kind.WRONG} | {regions} | {caught} |")
    lines += ["", f"{len(verdicts)} mutants, {sum(verdict.tear is not None for verdict in verdicts)} caught. Not wrong, so not among them:"]
    lines += [f"* {kind.NAME} of `{region}`: {why}" for (kind, region), why in RIGHT.items()]
    return "\n".join(lines)


def card_of(script: Script) -> str:
    """Whose card a script is of."""
    return script.name.rpartition(": ")[2]
