"""Draws figures as an SVG: bars of what takes how long, lines of what a crowd costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from itertools import groupby

from benches.measure import Figure

__all__ = ["Point", "chart", "crowd_chart"]

_WIDTH, _LABEL, _BAR, _ROW = 860, 240, 440, 20
_OURS, _LIMIT, _OTHERS = "#0b6e4f", "#8a8d91", "#c8553d"


def chart(figures: list[Figure], title: str) -> str:
    """A group of bars for each work; within one the length of a bar is the time of a frame."""
    lines, y = [], 60
    for work, group in groupby(figures, key=lambda figure: figure.work):
        found = list(group)
        longest = max(figure.nanoseconds for figure in found)
        lines.append(f'<text x="16" y="{y}" font-weight="bold">{escape(work)}</text>')
        y += 8
        for figure in found:
            width = max(1.0, figure.nanoseconds / longest * _BAR)
            colour = _OURS if figure.way in ("native", "pure") else _LIMIT if "alone" in figure.way else _OTHERS
            shown = f"{figure.nanoseconds / 1000:,.2f} µs" + (f" (x{figure.ratio:.1f})" if figure.ratio != 1 else "")
            lines.append(f'<text x="{_LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(figure.way)}</text>')
            lines.append(f'<rect x="{_LABEL}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 6}" fill="{colour}"/>')
            lines.append(f'<text x="{_LABEL + width + 6:.1f}" y="{y + 14}">{shown}</text>')
            y += _ROW
        y += 26
    return _drawing(title, y, lines)


@dataclass(frozen=True)
class Point:
    """A crowd of ``count`` sales at once: processor time of one in milliseconds, most memory of all in megabytes."""

    count: int
    ms: float
    megabytes: float


def crowd_chart(points: list[Point], title: str) -> str:
    """Cost and memory against the size of the crowd, which grows tenfold with each step to the right."""
    left, top, width, height = 70, 70, 700, 240
    widest = max(1.0, math.log10(max(point.count for point in points)))
    lines = [f'<path d="M{left} {top}V{top + height}H{left + width}" fill="none" stroke="{_LIMIT}"/>']
    series = (
        ("processor time of a sale", "ms", _OURS, [point.ms for point in points], 2),
        ("most memory", "MB", _OTHERS, [point.megabytes for point in points], 0),
    )
    across = [left + width * math.log10(point.count) / widest for point in points]
    for x, point in zip(across, points, strict=True):
        lines.append(f'<text x="{x:.0f}" y="{top + height + 18}" text-anchor="middle">{point.count:,}</text>')
    lines.append(f'<text x="{left + width // 2}" y="{top + height + 38}" text-anchor="middle">sales at once</text>')
    for number, (name, unit, colour, values, digits) in enumerate(series):
        down = [top + height * (1 - value / max(values) * (0.95 - 0.25 * number)) for value in values]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, value in zip(across, down, values, strict=True):
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            shown = f"{value:,.{digits}f} {unit}"
            lines.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle" fill="{colour}">{shown}</text>')
        lines.append(f'<text x="{left + 8 + 240 * number}" y="52" fill="{colour}">{escape(name)}</text>')
    return _drawing(title, top + height + 50, lines)


def _drawing(title: str, height: int, lines: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
        f'<text x="16" y="28" font-size="15">{escape(title)}</text>'
    )
    return "\n".join([head, *lines, "</svg>", ""])
