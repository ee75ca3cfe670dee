"""Finds the end of a frame: two state machines that can be fed in pieces. They do not know the messages.

Both have ``read(data, at, end)``, which continues at ``data[at]`` and returns a verdict and a position: ``True`` and
the position after the frame, ``False`` and the position of a byte that cannot follow, or ``None`` and the position to
continue from if ``end`` was reached first.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ETX", "MAX_DEPTH", "STX", "JsonGrammar", "SimplifiedGrammar"]

STX: Final = 0x02
ETX: Final = 0x03

MAX_DEPTH: Final = 32
"""The deepest nesting of objects and lists that is accepted."""

_Verdict = tuple[bool | None, int]

_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_SIMPLIFIED_END = re.compile(rb"[\x02\x03]")
_SPACES = b" \t\r\n"
_WORDS = {ord("t"): b"rue", ord("f"): b"alse", ord("n"): b"ull"}

# What may come next. From _MINUS on: inside a number or a literal.
(
    _OBJECT, _KEY, _COLON, _VALUE, _LIST, _NEXT, _IN_KEY, _IN_TEXT, _ESCAPE, _HEX1, _HEX2, _HEX3, _HEX4,
    _MINUS, _ZERO, _DIGIT, _POINT, _FRACTION, _EXPONENT, _EXPONENT_SIGN, _EXPONENT_DIGIT, _WORD,
) = range(22)  # fmt: skip
_NUMBER_MAY_END = (_ZERO, _DIGIT, _FRACTION, _EXPONENT_DIGIT)


class JsonGrammar:
    """One JSON object, whose ``{`` is before ``at``."""

    __slots__ = ("_nesting", "_state", "_string", "_word")

    def __init__(self) -> None:
        self._state = _OBJECT
        self._string = _IN_KEY
        self._nesting = [True]
        """An entry for each open container: whether it is an object."""
        self._word = b""

    def read(self, data: bytes | bytearray, at: int, end: int) -> _Verdict:
        while at < end:
            if self._state in (_IN_KEY, _IN_TEXT):
                plain = _PLAIN.match(data, at, end)
                at = plain.end() if plain else at
                if at == end:
                    break
            verdict = self._step(data[at])
            if verdict is False:
                return False, at
            at += 1
            if verdict:
                return True, at
        return None, at

    def _step(self, byte: int) -> bool | None:
        state = self._state
        if state in (_IN_KEY, _IN_TEXT):
            return self._in_string(byte)
        if state == _ESCAPE:
            self._state = _HEX1 if byte == 0x75 else self._string
            return None if byte in b'"\\/bfnrtu' else False
        if _HEX1 <= state <= _HEX4:
            self._state = state + 1 if state < _HEX4 else self._string
            return None if byte in b"0123456789abcdefABCDEF" else False
        if state == _WORD:
            return self._in_word(byte)
        if state >= _MINUS:
            return self._in_number(byte)
        if byte in _SPACES:
            return None
        return self._structure(byte)

    def _in_string(self, byte: int) -> bool | None:
        if byte == 0x22:
            self._state = _COLON if self._state == _IN_KEY else _NEXT
        elif byte == 0x5C:
            self._string, self._state = self._state, _ESCAPE
        else:
            return False
        return None

    def _structure(self, byte: int) -> bool | None:
        state = self._state
        if state == _NEXT:
            if byte == 0x2C:
                self._state = _KEY if self._nesting[-1] else _VALUE
                return None
            return self._close() if byte == (0x7D if self._nesting[-1] else 0x5D) else False
        if state == _COLON:
            self._state = _VALUE
            return None if byte == 0x3A else False
        if state in (_OBJECT, _KEY):
            if byte == 0x7D and state == _OBJECT:
                return self._close()
            self._state = _IN_KEY
            return None if byte == 0x22 else False
        if byte == 0x5D and state == _LIST:
            return self._close()
        return self._value(byte)

    def _close(self) -> bool | None:
        self._nesting.pop()
        self._state = _NEXT
        return None if self._nesting else True

    def _value(self, byte: int) -> bool | None:
        if byte == 0x22:
            self._state = _IN_TEXT
        elif byte in b"{[":
            if len(self._nesting) == MAX_DEPTH:
                return False
            self._nesting.append(byte == 0x7B)
            self._state = _OBJECT if byte == 0x7B else _LIST
        elif byte in b"-0":
            self._state = _MINUS if byte == 0x2D else _ZERO
        elif 0x31 <= byte <= 0x39:
            self._state = _DIGIT
        elif byte in _WORDS:
            self._state, self._word = _WORD, _WORDS[byte]
        else:
            return False
        return None

    def _in_word(self, byte: int) -> bool | None:
        if byte != self._word[0]:
            return False
        self._word = self._word[1:]
        if not self._word:
            self._state = _NEXT
        return None

    def _in_number(self, byte: int) -> bool | None:
        state = self._state
        if 0x30 <= byte <= 0x39 and state != _ZERO:
            if state == _MINUS:
                self._state = _ZERO if byte == 0x30 else _DIGIT
            elif state == _POINT:
                self._state = _FRACTION
            elif state in (_EXPONENT, _EXPONENT_SIGN):
                self._state = _EXPONENT_DIGIT
        elif byte == 0x2E and state in (_ZERO, _DIGIT):
            self._state = _POINT
        elif byte in b"eE" and state in (_ZERO, _DIGIT, _FRACTION):
            self._state = _EXPONENT
        elif byte in b"+-" and state == _EXPONENT:
            self._state = _EXPONENT_SIGN
        elif state in _NUMBER_MAY_END:
            self._state = _NEXT
            return None if byte in _SPACES else self._structure(byte)
        else:
            return False
        return None


class SimplifiedGrammar:
    """One simplified frame, whose STX is before ``at``: one to three digits, ``|``, text, ETX, LRC."""

    __slots__ = ("_digits", "_in_text")

    def __init__(self) -> None:
        self._digits = 0
        self._in_text = False

    def read(self, data: bytes | bytearray, at: int, end: int) -> _Verdict:
        while not self._in_text:
            if at >= end:
                return None, at
            if data[at] == 0x7C and self._digits:
                self._in_text = True
            elif 0x30 <= data[at] <= 0x39 and self._digits < 3:
                self._digits += 1
            else:
                return False, at
            at += 1
        found = _SIMPLIFIED_END.search(data, at, end)
        if found is None:
            return None, end
        at = found.start()
        if data[at] == STX:
            return False, at
        return (True, at + 2) if at + 1 < end else (None, at)
