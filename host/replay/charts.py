"""Pictures as SVG text: bars, a gain curve, a line over time. Colours and fonts come from the page's style sheet, for light and dark."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Series", "bars", "gain", "timeline"]

WIDTH, WIDE, HEIGHT = 560, 1160, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 18, 36
LABEL_GAP = 15
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """Bars of one colour; `name` is "" where there is one series alone."""

    name: str
    values: Sequence[float]


def bars(title: str, labels: Sequence[str], series: Sequence[Series], show: Callable[[float], str]) -> str:
    """Groups of bars, one group a label; each bar is titled with its value."""
    top = _nice(max((value for one in series for value in one.values), default=0))
    plot = _frame(top, show)
    group = (WIDTH - LEFT - RIGHT) / len(labels)
    width = group * 0.68 / len(series)
    for at, label in enumerate(labels):
        start = LEFT + group * at + group * 0.16
        for number, one in enumerate(series):
            value = one.values[at]
            height = (HEIGHT - TOP - BOTTOM) * value / top
            x, y = start + width * number, HEIGHT - BOTTOM - height
            name = f"{label}{', ' + one.name if one.name else ''}: {show(value)}"
            plot.append(
                f'<rect class="s{number}" x="{x:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{height:.1f}" rx="2">'
                f"<title>{escape(name)}</title></rect>"
            )
            plot.append(_text(x + width / 2 - 1, y - 5, show(value), "middle", "value"))
        plot.append(_text(start + group * 0.34, HEIGHT - BOTTOM + 20, label, "middle"))
    return _svg(title, plot) + _legend([one.name for one in series if one.name])


def gain(title: str, curve: Sequence[float], across: str, up: str, chance: str) -> str:
    """A gain curve: shares 0..1 of the worth, at equal steps of the share of the cards, over the diagonal of chance."""
    plot = _frame(1, lambda value: f"{value:.0%}")
    points = [(index / (len(curve) - 1), share) for index, share in enumerate(curve)]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        plot.append(_text(_x(share), HEIGHT - BOTTOM + 16, f"{share:.0%}", "middle"))
    area = [*points, (1.0, 0.0), (0.0, 0.0)]
    plot.append(f'<polygon class="area" points="{_path(area)}"/>')
    plot.append(f'<polyline class="chance" points="{_path([(0, 0), (1, 1)])}"><title>{escape(chance)}</title></polyline>')
    plot.append(f'<polyline class="line" points="{_path(points)}"/>')
    at = max(1, len(curve) // 5)
    x, y = points[at]
    told = f"{x:.0%} → {y:.0%}"
    plot.append(f'<circle class="dot" cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="5"><title>{told}</title></circle>')
    plot.append(_text(_x(x) + 10, _y(y) + 16, told, "start", "value"))
    plot.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, across, "middle"))
    plot.append(_text(LEFT, TOP - 6, up, "start"))
    return _svg(title, plot)


def timeline(
    title: str, points: Sequence[tuple[float, float, str]], dots: Sequence[tuple[float, float, str]], lines: Sequence[tuple[float, str]],
    marks: Sequence[tuple[float, str]],
) -> str:  # fmt: skip
    """A line over time (x in 0..1, value, what it says), dots on it, level lines, and marks under the axis."""
    highest = max((value for _, value, _ in points), default=0)
    shown = [line for line in lines if line[0] <= highest] or list(lines[:1])
    top = _nice(max(highest, shown[-1][0]))
    plot = _frame(top, lambda value: f"{value:,.0f}", WIDE)
    above = HEIGHT
    for value, name in shown:
        y = _y(value / top)
        plot.append(f'<line class="level" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if above - y >= LABEL_GAP:
            plot.append(_text(WIDE - RIGHT, y - 4, name, "end", "value"))
            above = round(y)
    plot.append(f'<polyline class="line" points="{_path([(x, value / top) for x, value, _ in points], WIDE)}"/>')
    plot += [
        f'<circle class="dot" cx="{_x(x, WIDE):.1f}" cy="{_y(value / top):.1f}" r="4.5"><title>{escape(said)}</title></circle>'
        for x, value, said in dots
    ]
    for x, name in marks:
        at = _x(x, WIDE)
        plot.append(f'<line class="tick" x1="{at:.1f}" x2="{at:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 5}"/>')
        plot.append(_text(at, HEIGHT - BOTTOM + 20, name, "end" if x == 1 else "middle"))
    return _svg(title, plot, WIDE)


def _svg(title: str, plot: Sequence[str], width: int = WIDTH) -> str:
    head = f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">'
    return head + "".join(plot) + "</svg>"


def _frame(top: float, show: Callable[[float], str], width: int = WIDTH) -> list[str]:
    """Level lines at quarters of `top`, with their values."""
    plot = []
    for quarter in range(5):
        y = _y(quarter / 4)
        plot.append(f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        plot.append(_text(LEFT - 8, y + 4, show(top * quarter / 4), "end"))
    return plot


def _legend(names: Sequence[str]) -> str:
    items = "".join(f'<span><i class="s{number}"></i>{escape(name)}</span>' for number, name in enumerate(names))
    return f'<p class="legend">{items}</p>' if names else ""


def _text(x: float, y: float, words: str, anchor: str, kind: str = "axis") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _x(share: float, width: int = WIDTH) -> float:
    return LEFT + (width - LEFT - RIGHT) * share


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def _path(points: Sequence[Point], width: int = WIDTH) -> str:
    return " ".join(f"{_x(x, width):.1f},{_y(y):.1f}" for x, y in points)


def _nice(value: float) -> float:
    """The next number of the form 1, 1.2, 1.6, 2, 3, 4, 6 or 8 times a power of ten, not below value."""
    step = 1.0
    while step * 8 < value:
        step *= 10
    return next(step * factor for factor in (1, 1.2, 1.6, 2, 3, 4, 6, 8) if step * factor >= value)
