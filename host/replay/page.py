"""The page of a play: one HTML file with all it needs inside, in every language of texts.py, for light and dark."""

from datetime import date
from html import escape

from joren.apdu.state import RANK_MAX
from joren.host.product import Product

from .carddata import CardData
from .charts import Series, bars, gain, timeline
from .summary import Summary
from .texts import LANGUAGES, Words

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #667085; --grid: #e4e7ec; --ground: #f6f7f9; --sheet: #fff;
  --one: #2f6fde; --two: #e08a3c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf0; --soft: #98a2b3; --grid: #2d3542; --ground: #12161d; --sheet: #1a202a; --one: #7aa9ff; --two: #ffb26b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, "Hiragino Sans", "Noto Sans CJK JP", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 20px 56px; }
nav { float: right; } nav button { font: inherit; color: var(--soft); background: none; border: 0; cursor: pointer; padding: 2px 8px; }
nav button[aria-pressed=true] { color: var(--ink); font-weight: 600; border-bottom: 2px solid var(--one); }
h1 { margin: 0 0 6px; font-size: 30px; } h2 { margin: 0; font-size: 18px; } p { margin: 4px 0 10px; color: var(--soft); max-width: 78ch; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin: 22px 0; }
.tiles div, section { background: var(--sheet); border: 1px solid var(--grid); border-radius: 12px; padding: 16px 18px; }
.tiles b { display: block; font-size: 26px; font-variant-numeric: tabular-nums; } .tiles span { color: var(--soft); font-size: 14px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); gap: 18px; }
section { min-width: 0; } .wide { grid-column: 1 / -1; } section p { font-size: 14px; }
svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--grid); } .tick { stroke: var(--soft); } .level { stroke: var(--two); stroke-dasharray: 5 4; opacity: .7; }
.axis { font-size: 12px; fill: var(--soft); } .value { font-size: 12px; fill: var(--ink); }
.s0 { fill: var(--one); background: var(--one); } .s1 { fill: var(--two); background: var(--two); }
.line { fill: none; stroke: var(--one); stroke-width: 2.2; } .dot { fill: var(--one); stroke: var(--sheet); stroke-width: 1.5; }
.area { fill: var(--one); opacity: .12; } .chance { fill: none; stroke: var(--soft); stroke-dasharray: 5 4; }
.legend { display: flex; gap: 18px; justify-content: center; }
.legend i { width: 11px; height: 11px; border-radius: 3px; display: inline-block; margin-right: 6px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 10px; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; }
.good { color: #14804a; font-weight: 600; } .bad { color: #c0362c; font-weight: 600; }
@media (prefers-color-scheme: dark) { .good { color: #5fd39a; } .bad { color: #ff8a80; } }
""".replace("\n", "\n  ").strip()
SCRIPT = """
const show = code => { document.documentElement.lang = code;
  document.querySelectorAll("[data-language]").forEach(part => part.hidden = part.dataset.language !== code);
  document.querySelectorAll("[data-show]").forEach(button => button.setAttribute("aria-pressed", button.dataset.show === code)); };
document.querySelectorAll("[data-show]").forEach(button => button.onclick = () => show(button.dataset.show));
const wanted = location.hash.slice(1) || navigator.language.slice(0, 2);
show(document.querySelector(`[data-show="${CSS.escape(wanted)}"]`) ? wanted : "en");
""".strip()
NAMES = {"en": "English", "ja": "日本語"}


def page(summary: Summary, product: Product, source: str, cut: date, cards: CardData | None = None) -> str:
    """The page as text. `source` is the name of the log, `cut` the last day before the cards were read, `cards` what they are."""
    buttons = "".join(f'<button data-show="{code}">{NAMES[code]}</button>' for code in LANGUAGES)
    bodies = "".join(
        f'<div lang="{code}" data-language="{code}"{" hidden" if number else ""}>{_body(summary, product, source, cut, cards, words)}</div>'
        for number, (code, words) in enumerate(LANGUAGES.items())
    )
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    title = f"<title>joren: {escape(LANGUAGES['en'].title)}</title>"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}{title}\n<style>\n  {STYLE}\n</style></head>\n'
        f"<body><main><nav>{buttons}</nav>{bodies}</main>\n<script>\n{SCRIPT}\n</script></body>\n</html>\n"
    )


def _body(summary: Summary, product: Product, source: str, cut: date, cards: CardData | None, words: Words) -> str:
    lead = words.lead.format(source=source, cut=cut)
    sections = [
        _ranks(summary, words),
        _spending(summary, product, cut, words),
        _points(summary, words),
        _gain(summary, words),
        *([] if cards is None else [_times(cards, words), _memory(cards, words)]),
        _history(summary, product, words),
        _table(summary, product, words),
        _books(summary, words),
    ]
    return f"<h1>{escape(words.title)}</h1><p>{escape(lead)}</p>{_tiles(summary, words)}<div class=charts>{''.join(sections)}</div>"


def _tiles(summary: Summary, words: Words) -> str:
    tiles = [
        (f"{summary.purchases:,}", words.purchases),
        (f"{summary.cards:,}", words.cards),
        (f"{summary.cards_one_card:,}", words.one_card),
        (f"{summary.cards_two_card:,}", words.two_card),
    ]
    measures = ((summary.gini, words.gini), (summary.auc, words.auc))
    tiles += [(f"{value:.4f}", name) for value, name in measures if value is not None]
    return "<div class=tiles>" + "".join(f"<div><b>{figure}</b><span>{escape(name)}</span></div>" for figure, name in tiles) + "</div>"


def _section(title: str, text: str, content: str, *, wide: bool = False) -> str:
    return f"<section{' class=wide' if wide else ''}><h2>{escape(title)}</h2><p>{escape(text)}</p>{content}</section>"


def _labels(words: Words) -> list[str]:
    return [words.rank.format(rank=rank) for rank in range(RANK_MAX + 1)]


def _ranks(summary: Summary, words: Words) -> str:
    series = [Series(words.at_cut, [row.cards for row in summary.ranks]), Series(words.at_end, [row.cards_at_end for row in summary.ranks])]
    chart = bars(words.cards_per_rank, _labels(words), series, _short)
    return _section(words.cards_per_rank, words.cards_per_rank_text, chart)


def _spending(summary: Summary, product: Product, cut: date, words: Words) -> str:
    unit = 10**product.minor_digits
    means = [row.spent_after_minor / row.cards / unit if row.cards else 0 for row in summary.ranks]
    chart = bars(words.spending, _labels(words), [Series("", means)], _short)
    return _section(words.spending, words.spending_text.format(cut=cut), chart)


def _points(summary: Summary, words: Words) -> str:
    series = [
        Series(words.granted, [row.points_granted for row in summary.ranks]),
        Series(words.owed, [row.points_owed for row in summary.ranks]),
    ]
    return _section(words.points, words.points_text, bars(words.points, _labels(words), series, _short))


def _gain(summary: Summary, words: Words) -> str:
    if summary.gain is None or summary.gini is None:
        return _section(words.gain, words.no_gain, "")
    chart = gain(words.gain, summary.gain, words.gain_across, words.gain_up, words.chance)
    return _section(words.gain, words.gain_text.format(gini=f"{summary.gini:.4f}"), chart)


def _times(cards: CardData, words: Words) -> str:
    kinds = [(words.one_card, cards.one_card), (words.two_card, cards.two_card)]
    told = [(name, times) for name, times in kinds if times is not None]
    labels = [f"{edge:g}" for edge in cards.edges_ms[:-1]]
    chart = bars(words.times, labels, [Series(name, [100 * share for share in times.shares]) for name, times in told], _percent)
    lines = [
        words.times_of.format(kind=name, taps=f"{times.taps:,}", median=f"{times.median_ms:.0f}", p95=f"{times.p95_ms:.0f}")
        for name, times in told
    ]
    text = words.times_text.format(profile=cards.profile, wire=words.wires.get(cards.wire, f"{cards.wire} kbit/s"))
    return _section(words.times, text, chart + "".join(f"<p>{escape(line)}</p>" for line in lines))


def _memory(cards: CardData, words: Words) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in words.memory_head)
    rows = []
    for one in cards.memory:
        years = words.no_end if one.years is None else f"{one.years:,.1f}"
        told = [words.memory_of[one.what], f"{one.taps:,}", f"{one.writes_per_tap:.2f}", f"{one.taps_a_day:g}", years]
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in told) + "</tr>")
    table = f"<div class=scroll><table><tr>{head}</tr>{''.join(rows)}</table></div>"
    return _section(words.memory, words.memory_text.format(profile=cards.profile), table)


def _percent(value: float) -> str:
    """A share in a chart: none is not written."""
    return f"{value:.0f}" if value >= 0.5 else ""


def _history(summary: Summary, product: Product, words: Words) -> str:
    samples = summary.samples
    first, last = samples[0].hour, max(samples[-1].hour, samples[0].hour + 1)

    def x(hour: int) -> float:
        return (hour - first) / (last - first)

    def said(hour: int, score: int, rank: int) -> str:
        return words.bought.format(day=f"{product.time_of(hour):%Y-%m-%d}", score=score, rank=rank)

    points = [(x(one.hour), float(one.score), "") for one in samples]
    dots = [(x(one.hour), float(one.score), said(one.hour, one.score, one.rank)) for one in samples if one.bought]
    lines = [(float(line), words.rank_from.format(rank=rank)) for rank, line in enumerate(product.rules.climb) if rank]
    marks = [(share, f"{product.time_of(round(first + share * (last - first))):%Y-%m}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    chart = timeline(words.history, points, dots, lines, marks)
    return _section(words.history, words.history_text.format(card=summary.watched), chart, wide=True)


def _table(summary: Summary, product: Product, words: Words) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in words.table_head)
    rows = []
    for row in summary.ranks:
        each = product.money(row.spent_after_minor // row.cards) if row.cards else "-"
        share = f"{row.bought_again / row.cards:.0%}" if row.cards else "-"
        told = [str(row.rank), f"{row.cards:,}", product.money(row.spent_after_minor), each, share]
        told += [f"{row.cards_at_end:,}", f"{row.points_granted:,}", f"{row.points_owed:,}"]
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in told) + "</tr>")
    return (
        f"<section class=wide><h2>{escape(words.table)}</h2><div class=scroll><table><tr>{head}</tr>{''.join(rows)}</table></div></section>"
    )


def _books(summary: Summary, words: Words) -> str:
    text = words.books_text.format(
        cards=f"{summary.points_granted_cards:,}",
        tills=f"{summary.points_granted_tills:,}",
        receipts=f"{summary.points_granted_receipts:,}",
        verified=f"{summary.receipts_verified:,}",
        purchases=f"{summary.purchases:,}",
        flipped=words.flipped_refused if summary.flipped_bit_refused else words.flipped_accepted,
    )
    verdict = f"<p class=good>{escape(words.agree)}</p>" if summary.agrees else f"<p class=bad>{escape(words.disagree)}</p>"
    return _section(words.books, text, verdict, wide=True)


def _short(value: float) -> str:
    """A figure for a chart, in few characters."""
    if value >= 999_500:
        return f"{value / 1_000_000:.3g}M"
    if value >= 10_000:
        return f"{value / 1_000:.3g}k"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
