"""Card numbers are masked wherever they stand, however they are written; what is none stays."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from getnet_pos.masking import mask, masked
from tests.evidence import Count

CARD = "4539578763621486"

_SEPARATORS = [
    "",
    " ",
    "-",
    ".",
    "/",
    ",",
    ":",
    "_",
    "*",
    "\t",
    "\r\n",
    "\u00a0",
    "\u2009",
    "\u200b",
    "\u2011",
    " - ",
    "\x00",
]
_BEFORE = ["", " ", "Tarjeta ", "card:", "PAN", '"', "\u00d1", "%B", "12 ", "25.000 / "]
_AFTER = ["", " ", ".", "^", "=2812", "D2812", " 12/28", " 3.000"]


def passes_luhn(digits: str) -> bool:
    """The check as ISO/IEC 7812-1 words it."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


@st.composite
def cards(draw: st.DrawFn) -> str:
    body = draw(st.from_regex(r"[1-9][0-9]{11,17}", fullmatch=True))
    return next(f"{body}{last}" for last in range(10) if passes_luhn(f"{body}{last}"))


def unbroken(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


@given(cards(), st.data())
def test_a_card_number_is_masked_wherever_it_stands_and_however_it_is_parted(card: str, data: st.DataObject) -> None:
    between = data.draw(st.lists(st.sampled_from(_SEPARATORS), min_size=len(card) - 1, max_size=len(card) - 1))
    written = "".join(digit + part for digit, part in zip(card, [*between, ""], strict=True))
    before, after = data.draw(st.sampled_from(_BEFORE)), data.draw(st.sampled_from(_AFTER))
    shown = mask(before + written + after)
    assert "****" in shown
    assert card not in unbroken(shown)
    assert len(unbroken(shown)) < len(unbroken(before + after)) + 13


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (CARD, "****1486"),
        ("4539 5787 6362 1486", "****1486"),
        ("Tarjeta 4539.5787.6362.1486 vencida 12/28", "Tarjeta ****1486 vencida 12/28"),
        ("4539\u00a05787-6362/1486.", "****1486."),
        (" ".join(CARD), "****1486"),
        (f"{CARD}=2812101", "****1486=2812101"),
        (f"%B{CARD}^A/B^", "%B****1486^A/B^"),
        (f"000{CARD}", "****1486"),
        ("\uff14\uff15\uff13\uff19" + CARD[4:], "****1486"),
        (f"{CARD}\n378282246310005", "****1486\n****0005"),
        (f"{CARD} {CARD}", "****1486 ****1486"),
        # The ends of these are written as an address of a network is.
        ("100000000 0.0.0.9", "****0009"),
        ("4.5.3.9-578763621486", "****1486"),
    ],
)  # fmt: skip
def test_what_is_shown(text: str, shown: str) -> None:
    assert mask(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Aprobado",
        "25000",
        "1234567890123",  # a ticket of 13 digits
        "630112345678",  # a retrieval reference number has 12
        "4539578763621487",
        "0000000000000000",
        "2024-01-01 10:00:00",
        "02-01-2024 10:00:08.120",
        "192.168.100.204:3000",
        "7d3c2f5a45395787636214860a1b2c3d",  # an id of this library
        "4539578a5787636b2148c6",
    ],
)
def test_what_is_no_card_number_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize("day", range(1, 29))
def test_a_date_with_its_time_stays(day: int) -> None:
    for text in (
        f"2026-11-{day:02} 13:{day:02}:59",
        f"{day:02}/11/2026 13:{day:02}",
        f"of 2026-11-{day:02} 13:{day:02}:59, 5",
    ):
        assert mask(text) == text


@given(st.from_regex(r"[1-9][0-9]{12,18}", fullmatch=True))
def test_a_number_that_fails_the_check_stays(digits: str) -> None:
    assume(not passes_luhn(digits))
    assert mask(f"ticket {digits}.") == f"ticket {digits}."


@given(st.text(alphabet=st.characters(exclude_categories=["Nd"])))
def test_text_without_digits_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    "part", ["1", "1 ", "0 ", "12-", "1...", "f", "2024-01-01 ", f"{CARD} ", "1 0000000000 ", "192.168."]
)
def test_the_time_grows_with_the_text_alone(part: str, count: Count) -> None:
    def seconds(length: int) -> float:
        text = part * (length // len(part))
        began = time.process_time()
        mask(text)
        return time.process_time() - began

    short = count(short=5_000, evidence=10_000, long=10_000)
    # Eight times the text; in proportion to its square it would take 64 times as long.
    # The least of several: the process may have other work, such as collecting garbage.
    assert min(seconds(8 * short) for _ in range(2)) < 32 * max(min(seconds(short) for _ in range(3)), 0.0025)


def test_a_document() -> None:
    document = {"said": [f"card {CARD}", 5, None, True, 2.5], CARD: {"number": int(CARD), "amount": 10**13}}
    assert masked(document) == {
        "said": ["card ****1486", 5, None, True, 2.5],
        "****1486": {"number": "****1486", "amount": 10**13},
    }
