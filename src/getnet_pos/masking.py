"""Card numbers made unreadable, at every door through which text leaves the library. No input or output here."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

__all__ = ["mask", "masked"]

_RUN = re.compile(r"\d(?:[\W_]{0,3}\d){12,}")
"""Thirteen digits or more, with up to three characters between two of them that are neither letters nor digits."""
_DIGITS = re.compile(r"\d+")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d{1,2})"
_NO_DIGIT_BEFORE = "".join("(?<!" + r"\d" + r"[\W_]" * many + ")" for many in range(4))
_NO_CARD = re.compile(
    r"((?<!\d)(?:(?:19|20)\d\d[-/.]\d\d[-/.]\d\d|\d\d[-/.]\d\d[-/.](?:19|20)\d\d)"
    r"[ T]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?!\d)"
    rf"|{_NO_DIGIT_BEFORE}{_OCTET}(?:\.{_OCTET}){{3}}(?::\d{{1,5}})?(?![\W_]{{0,3}}\d)"
    r"|(?<![0-9A-Za-z])[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?:[0-9a-f]{32})?(?![0-9A-Za-z]))"
)
"""A date with its time, an IPv4 address with its port and no number beside it, an id or a digest in hex: their digits
are of no card."""
_SHORTEST, _LONGEST = 13, 19
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def mask(text: str) -> str:
    """``text`` with the last four digits in the place of each card number: ``****1486``.

    A card number is 13 to 19 digits, zeros in front apart, that pass the Luhn check and begin and end where no other
    digit touches them. They may be parted by anything but letters. Takes time in proportion to the text.
    """
    if len(text) < _SHORTEST or not _RUN.search(text):
        return text
    pieces = _NO_CARD.split(text)
    return "".join(piece if place % 2 else _RUN.sub(_without_cards, piece) for place, piece in enumerate(pieces))


def masked(value: Any) -> Any:
    """A document of JSON with every text and every number in it masked; the names in it too."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {masked(name): masked(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    if isinstance(value, int) and value >= 10 ** (_SHORTEST - 1):
        hidden = mask(str(int(value)))
        return value if hidden.isdigit() else hidden
    return value


def _without_cards(run: re.Match[str]) -> str:
    text = run[0]
    groups = list(_DIGITS.finditer(text))
    digits = "".join(group[0] for group in groups)
    ends = list(accumulate(len(group[0]) for group in groups))
    starts = [0, *ends[:-1]]
    sums = _Sums(digits)
    parts: list[str] = []
    told = number = 0
    while number < len(groups):
        last = _end_of_card(number, digits, starts, ends, sums)
        if last is not None:
            parts += [text[told : groups[number].start()], "****", digits[ends[last] - 4 : ends[last]]]
            told, number = groups[last].end(), last
        number += 1
    return "".join([*parts, text[told:]])


def _end_of_card(first: int, digits: str, starts: list[int], ends: list[int], sums: _Sums) -> int | None:
    """The group that ends the longest card number which begins with group ``first``; ``None`` where none begins."""
    start = next((place for place in range(starts[first], ends[first]) if int(digits[place])), None)
    found = None
    if start is not None:
        for number in range(first, len(ends)):
            length = ends[number] - start
            if length > _LONGEST:
                break
            if length >= _SHORTEST and sums.luhn(start, ends[number]):
                found = number
    return found


class _Sums:
    """What the digits add up to from the first on, with every other one doubled."""

    def __init__(self, digits: str) -> None:
        self._of: tuple[list[int], list[int]] = ([0], [0])
        for place, digit in enumerate(map(int, digits)):
            for parity, sums in enumerate(self._of):
                sums.append(sums[-1] + (_DOUBLED[digit] if place % 2 == parity else digit))

    def luhn(self, start: int, end: int) -> bool:
        """Whether the digits from ``start`` to before ``end`` pass the check: the last one is not doubled."""
        sums = self._of[end % 2]
        return (sums[end] - sums[start]) % 10 == 0
