"""Draws figures as an SVG of bars."""

from __future__ import annotations

from html import escape
from itertools import groupby

from benches.measure import Figure

__all__ = ["chart"]

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
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>'
        f'<text x="16" y="28" font-size="15">{escape(title)}</text>'
    )
    return "\n".join([head, *lines, "</svg>", ""])
