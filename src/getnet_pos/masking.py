"""Masks card numbers wherever text leaves the library."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

__all__ = ["mask", "masked"]

_RUN = re.compile(r"\d(?:[\W_]{0,3}\d){12,}")
"""Thirteen or more digits, with up to three characters between them that are neither letters nor digits."""
_DIGITS = re.compile(r"\d+")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d{1,2})"
_NO_DIGIT_BEFORE = "".join("(?<!" + r"\d" + r"[\W_]" * many + ")" for many in range(4))
_NO_CARD = re.compile(
    r"((?<!\d)(?:(?:19|20)\d\d[-/.]\d\d[-/.]\d\d|\d\d[-/.]\d\d[-/.](?:19|20)\d\d)"
    r"[ T]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?!\d)"
    rf"|{_NO_DIGIT_BEFORE}{_OCTET}(?:\.{_OCTET}){{3}}(?::\d{{1,5}})?(?![\W_]{{0,3}}\d)"
    r"|(?<![0-9A-Za-z])[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?:[0-9a-f]{32})?(?![0-9A-Za-z]))"
)
"""A date with a time, an IPv4 address with a port and no number next to it, an id or a digest in hex: none of these is
a card number."""
_SHORTEST, _LONGEST = 13, 19
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def mask(text: str) -> str:
    """Return ``text`` with each card number replaced by its last four digits, such as ``****1486``.

    A card number is 13 to 19 digits, not counting leading zeros, that pass the Luhn check and have no other digit right
    before or after them. Anything but letters may separate them. The time is linear in the length of the text.
    """
    if len(text) < _SHORTEST or not _RUN.search(text):
        return text
    pieces = _NO_CARD.split(text)
    return "".join(piece if place % 2 else _RUN.sub(_without_cards, piece) for place, piece in enumerate(pieces))


def masked(value: Any) -> Any:
    """Return a JSON document with every text, number and key in it masked."""
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
    copied = number = 0
    while number < len(groups):
        last = _end_of_card(number, digits, starts, ends, sums)
        if last is not None:
            parts += [text[copied : groups[number].start()], "****", digits[ends[last] - 4 : ends[last]]]
            copied, number = groups[last].end(), last
        number += 1
    return "".join([*parts, text[copied:]])


def _end_of_card(first: int, digits: str, starts: list[int], ends: list[int], sums: _Sums) -> int | None:
    """The last group of the longest card number that begins in group ``first``; ``None`` if there is none."""
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
    """Running sums of the digits, with every other one doubled."""

    def __init__(self, digits: str) -> None:
        self._of: tuple[list[int], list[int]] = ([0], [0])
        for place, digit in enumerate(map(int, digits)):
            for parity, sums in enumerate(self._of):
                sums.append(sums[-1] + (_DOUBLED[digit] if place % 2 == parity else digit))

    def luhn(self, start: int, end: int) -> bool:
        """Whether the digits from ``start`` up to, not including, ``end`` pass the Luhn check."""
        sums = self._of[end % 2]
        return (sums[end] - sums[start]) % 10 == 0
