"""joren conform: tries a card against the vectors; lists and explains them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from joren.host import HostError
from joren.host.conform import Result, Runner, Suite, Vector, Verdict, Way, load_suite
from joren.host.conform.junit import junit_xml
from joren.host.conform.page import html_page

from .conform_targets import DEFAULT_PROFILE, target_of
from .conform_views import told_steps, told_values
from .output import Commands, console, json_option, reply, table

__all__ = ["conform"]

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
only_option = click.option("--only", multiple=True, metavar="REQ", help="A requirement or a vector by its id; may be given again.")
vectors_option = click.option("--vectors", type=FOLDER, metavar="DIR", help="Vectors of your own, instead of the kit's.")


@click.group("conform", cls=Commands)
def conform() -> None:
    """Try a card against the specification's vectors."""


@conform.command("run")
@click.option("--target", default="model", show_default=True, help="The card: model, javacard, pcsc:READER, tcp:HOST:PORT or exec:PROGRAM.")
@click.option(
    "--profile", default=DEFAULT_PROFILE, show_default=True, metavar="NAME", help="The chip that fresh cards are made on (joren profiles)."
)
@click.option(
    "--way", type=click.Choice([way.value for way in Way]), help="How cards are personalized: in the clear, or through the manager."
)
@only_option
@vectors_option
@click.option("--junit", type=FILE, help="Write JUnit XML to FILE.")
@click.option("--html", type=FILE, help="Write a page with the trace of each failure to FILE.")
@click.option("--timeout", type=click.FloatRange(0.1, 3600), default=10.0, show_default=True, help="Seconds an answer may take.")
@json_option
def run_command(
    target: str,
    profile: str,
    way: str | None,
    only: tuple[str, ...],
    vectors: Path | None,
    junit: Path | None,
    html: Path | None,
    timeout: float,
) -> None:
    """Run vectors on a card, and say which it keeps.

    What a card can not be asked is skipped, and the reason told. Ends with exit code 1 where a vector failed, or none was run.

    \b
    Examples:
      joren conform run
      joren conform run --only REQ-VOID-1 --html report.html
      joren conform run --target tcp:127.0.0.1:9025 --junit results.xml
    """
    suite = load_suite(vectors)
    chosen = _chosen(suite, only)
    card = target_of(target, profile, timeout)
    try:
        runner = Runner(suite, card, Way(way) if way else None)
        results = _run(runner, chosen)
    finally:
        card.close()
    facts = {"target": target, "profile": profile, "way": runner.way.value, "features": ", ".join(sorted(runner.features))}
    if junit:
        junit.write_text(junit_xml(card.name, results), encoding="utf-8")
    if html:
        html.write_text(html_page(card.name, facts, results), encoding="utf-8")
    counts = Counter(result.verdict for result in results)
    reply("conform", _fields(card.name, facts, results), lambda: _show(card.name, results, counts))
    if counts[Verdict.FAILED] or not counts[Verdict.PASSED]:
        raise SystemExit(1)


def _run(runner: Runner, chosen: Sequence[Vector]) -> list[Result]:
    results = []
    err = console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("vectors", total=len(chosen))
        for result in runner.run(chosen):
            progress.update(task, advance=1, description=result.vector.id)
            results.append(result)
    return results


def _chosen(suite: Suite, only: Sequence[str]) -> tuple[Vector, ...]:
    known = {vector.id for vector in suite.vectors} | {name for vector in suite.vectors for name in vector.covers}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise HostError(f"no vector has {', '.join(unknown)}; joren conform list shows them all")
    return suite.only(frozenset(only))


def _fields(name: str, facts: Mapping[str, str], results: Sequence[Result]) -> dict[str, Any]:
    counts = Counter(result.verdict for result in results)
    return {
        "name": name,
        **facts,
        "total": len(results),
        **{verdict.value: counts[verdict] for verdict in Verdict},
        "apdus": sum(result.apdus for result in results),
        "seconds": round(sum(result.seconds for result in results), 3),
        "vectors": [_vector_fields(result) for result in results],
    }


def _vector_fields(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": result.vector.id,
        "verdict": result.verdict.value,
        "covers": list(result.vector.covers),
        "apdus": result.apdus,
    }
    if result.reason:
        found["reason"] = result.reason
    if result.trace:
        found["trace"] = [
            {"step": line.step, "command": line.command, "response": line.response, "says": list(line.says)} for line in result.trace
        ]
    return found


def _show(name: str, results: Sequence[Result], counts: Mapping[Verdict, int]) -> None:
    out = console()
    for result in results:
        if result.verdict is Verdict.FAILED:
            out.print(Text(f"failed  {result.vector.id}: {result.vector.title}"))
            out.print(Text(f"        {result.reason}", style="red"))
    for reason, ids in _reasons(results).items():
        more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
        out.print(Text(f"skipped {len(ids)}: {reason}: {', '.join(ids[:3])}{more}"))
    seconds = sum(result.seconds for result in results)
    told = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in Verdict)
    out.print(Text(f"{name}: {told}; {sum(result.apdus for result in results):,} APDUs in {seconds:.1f} s"))


def _reasons(results: Sequence[Result]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for result in results:
        if result.verdict is Verdict.SKIPPED:
            found.setdefault(result.reason, []).append(result.vector.id)
    return found


@conform.command("list")
@only_option
@vectors_option
@json_option
def list_command(only: tuple[str, ...], vectors: Path | None) -> None:
    """List the vectors.

    \b
    Example:
      joren conform list --only REQ-PIN-1
    """
    chosen = _chosen(load_suite(vectors), only)
    fields = [
        {"id": one.id, "title": one.title, "class": one.kind.value, "fixture": one.fixture, "covers": list(one.covers), "file": one.file}
        for one in chosen
    ]
    rows = [[one.id, one.kind.value, one.fixture, one.title] for one in chosen]
    reply("conform-list", {"vectors": fields}, lambda: console().print(table(["vector", "class", "card", "what it shows"], rows)))


@conform.command("explain")
@click.argument("req")
@vectors_option
@json_option
def explain_command(req: str, vectors: Path | None) -> None:
    """Explain how REQ, a requirement or a vector by its id, is tried: card, steps, and why.

    \b
    Examples:
      joren conform explain REQ-VOID-1
      joren conform explain trx-pin
    """
    suite = load_suite(vectors)
    chosen = _chosen(suite, (req,))
    told = [(one, suite.fixtures[one.fixture], told_steps(one.steps)) for one in chosen]
    fields = [
        {"id": one.id, "title": one.title, "why": one.why, "covers": list(one.covers), "card": fixture.title, "steps": steps}
        for one, fixture, steps in told
    ]

    def show() -> None:
        out = console()
        for one, fixture, steps in told:
            out.print(Text(f"{one.id}: {one.title}", style="bold"))
            out.print(Text(f"  {one.why}\n  for {', '.join(one.covers)}\n  on {fixture.title}{told_values(one.values)}"))
            for step in steps:
                out.print(Text(f"    {step}"))

    reply("conform-explain", {"vectors": fields}, show)
