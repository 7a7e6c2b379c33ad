"""Results as one HTML page that needs nothing else: what failed with every APDU explained, what was skipped and why, what passed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from .results import Line, Result, Verdict

__all__ = ["html_page"]

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; --mild: #b26a00; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: 0; }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: .25rem .5rem; text-align: left; vertical-align: top; }
code, pre { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; margin: 0; }
.bar { display: flex; height: 1rem; border-radius: .25rem; overflow: hidden; } .bar span { display: block; }
.passed { background: var(--good); } .failed { background: var(--bad); } .skipped { background: var(--mild); }
small { opacity: .75; } .reason { color: var(--bad); font-weight: 600; }
.last td { background: color-mix(in srgb, var(--bad) 12%, transparent); }
"""


def html_page(target: str, facts: Mapping[str, str], results: Sequence[Result]) -> str:
    """The whole page."""
    counts = Counter(result.verdict for result in results)
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    bar = "".join(f'<span class="{verdict}" style="flex: {counts[verdict]}"></span>' for verdict in Verdict if counts[verdict])
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(target)}: {summary}</title>",
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(target)}</h1><p>{summary} of {len(results)} vectors</p>",
        f'<div class="bar" role="img" aria-label="{summary}">{bar}</div><table>',
        *(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()),
        "</table>",
    ]
    failed = [result for result in results if result.verdict is Verdict.FAILED]
    if failed:
        parts.append("<h2>Failed</h2>")
    for result in failed:
        parts += _failed(result)
    parts += _listed("Skipped", [result for result in results if result.verdict is Verdict.SKIPPED], "Why")
    parts += _listed("Passed", [result for result in results if result.verdict is Verdict.PASSED], "Requirements")
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _failed(result: Result) -> Iterator[str]:
    vector = result.vector
    yield f'<section id="{escape(vector.id)}"><h3>{escape(vector.id)}: {escape(vector.title)}</h3>'
    yield f"<p>{escape(vector.why)}<br><small>{escape(', '.join(vector.covers))}; {escape(vector.file)}</small></p>"
    yield f'<p class="reason">{escape(result.reason)}</p>'
    yield "<table><tr><th>Step</th><th>APDU and answer</th><th>What they say</th></tr>"
    for number, line in enumerate(result.trace, 1):
        yield _row(line, last=number == len(result.trace))
    yield "</table></section>"


def _row(line: Line, *, last: bool) -> str:
    said = escape("\n".join(line.says))
    style = ' class="last"' if last else ""
    sent, answer = escape(line.command), escape(line.response or "no answer")
    exchange = f"<code>&gt; {sent}</code><br><code>&lt; {answer}</code>"
    return f"<tr{style}><td>{escape(line.step)}</td><td>{exchange}</td><td><pre>{said}</pre></td></tr>"


def _listed(title: str, results: Sequence[Result], heading: str) -> Iterator[str]:
    if not results:
        return
    yield f"<details><summary>{title}: {len(results)}</summary><table><tr><th>Vector</th><th>What it shows</th><th>{heading}</th></tr>"
    for result in results:
        vector, last = result.vector, result.reason or ", ".join(result.vector.covers)
        yield f"<tr><td>{escape(vector.id)}</td><td>{escape(vector.title)}</td><td>{escape(last)}</td></tr>"
    yield "</table></details>"
