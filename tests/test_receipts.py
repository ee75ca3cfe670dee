"""Receipts: what they show of a reply, that every line fits the paper, and what a printer is sent."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from getnet_pos import (
    ConfigurationError,
    DuplicateReply,
    InvalidType,
    InvalidValue,
    PollReply,
    PreAuthorizationReply,
    Profile,
    SaleReply,
    VoidReply,
    Voucher,
)
from getnet_pos.receipts import COLUMNS, Copy, card_words, escpos_bytes, receipt

SALE = SaleReply(
    function_code=100,
    response_code=0,
    response_message="Aprobado",
    commerce_code=12983,
    terminal_id="80005000",
    ticket="A1234",
    authorization_code="007920",
    amount=25_000,
    shares_number=3,
    shares_amount=8_333,
    last4_digits="0042",
    operation_id=1,
    card_type="DB",
    card_brand="VI",
    real_date="2026-01-01 12:00:00",
    account_number="4000001234567899",
    bin="40000012",
    tip=1_500,
    commerce_rut="76000000-0",
    commerce_name="Comercio de Prueba SpA",
    branch_address="Calle de Prueba 123",
)

CHILE = """\
             GETNET
     Comercio de Prueba SpA
         RUT 76000000-0
      Calle de Prueba 123
--------------------------------
             VENTA
         Copia cliente
--------------------------------
Fecha        2026-01-01 12:00:00
Terminal                80005000
Comercio                   12983
Ticket                     A1234
Operación                      1
Tarjeta     Visa débito ****0042
Autorización              007920
Cuotas               3 de $8.333
Propina                   $1.500
Monto                    $25.000
--------------------------------
            APROBADA
     No válido como boleta
"""


def test_a_sale_in_chile() -> None:
    assert receipt(SALE, profile=Profile.CHILE) == CHILE


def test_countries_write_amounts_and_tax_numbers_their_way() -> None:
    shown = receipt(SALE, profile=Profile.ARGENTINA, copy=Copy.MERCHANT)
    assert "$250,00\n" in shown
    assert "CUIT 76000000-0" in shown
    assert "Copia comercio" in shown
    brazil = replace(Profile.INTEGRATED_POS, amount_exponent=2, currency="BRL", tax_id="CNPJ", language="pt")
    shown = receipt(SALE, profile=brazil, copy=Copy.MERCHANT, columns=48)
    for words in ("R$ 250,00\n", "CNPJ 76000000-0", "Via do estabelecimento", "VENDA", "Não é documento fiscal"):
        assert words in shown
    # Where neither the currency nor its decimals are known, the number is the terminal's.
    assert receipt(SALE, language="en").splitlines()[-4] == "Amount" + " " * 20 + "25,000"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (VoidReply(function_code=102, response_code=0, success=True, operation_id=7), ["ANULACIÓN", "APROBADA"]),
        (VoidReply(function_code=102, response_code=0, success=False), ["NO APROBADA"]),
        (replace(SALE, response_code=1006, response_message="Cancelado"), ["NO APROBADA", "Código 1006", "Cancelado"]),
        (replace(SALE, function_code=0), ["OPERACIÓN", "NO APROBADA"]),
        (PreAuthorizationReply(function_code=130, response_code=0), ["PREAUTORIZACIÓN", "APROBADA"]),
        (DuplicateReply(function_code=109, response_code=0, amount=5), ["OPERACIÓN", "DUPLICADO"]),
        (Voucher(function_code=108, amount=5), ["DEVOLUCIÓN", "APROBADA"]),
    ],
)
def test_what_is_shown_of_other_operations(reply: Voucher, said: list[str]) -> None:
    lines = [line.strip() for line in receipt(reply).splitlines()]
    assert [word for word in said if word not in lines] == []
    assert ("APROBADA" in lines) is ("NO APROBADA" not in lines)


def test_a_receipt_that_was_printed_before_says_so() -> None:
    assert "SEGUNDA VIA" in receipt(SALE, language="pt", duplicate=True)
    assert "SEGUNDA VIA" not in receipt(SALE, language="pt")


def test_of_a_card_only_its_last_four_digits_are_shown() -> None:
    number = "4000001234567899"
    loud = replace(SALE, ticket=number, commerce_name=f"Shop {number}", last4_digits=number, card_brand=number)
    for columns in COLUMNS:
        shown = "".join(receipt(loud, columns=columns).split())
        for secret in (number, "40000012", "4567899"):
            assert secret not in shown
    assert card_words(SALE) == "Visa debit ****0042"
    assert card_words(replace(SALE, card_brand="zz", card_type="Q")) == "zz Q ****0042"
    assert card_words(replace(SALE, last4_digits="42")) == "Visa debit ****0042", "the simplified wire lost its zeros"
    assert card_words(Voucher()) == ""


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (InvalidType, lambda: receipt(PollReply(function_code=106, response_code=0))),  # type: ignore[arg-type]  # what is refused
        (InvalidType, lambda: receipt(SALE, copy="customer")),  # type: ignore[arg-type]  # what is refused
        (InvalidValue, lambda: receipt(SALE, columns=40)),
        (InvalidValue, lambda: receipt(SALE, language="fr")),
    ],
)
def test_what_is_refused(error: type[Exception], call: Any) -> None:
    with pytest.raises(error):
        call()


def test_the_guide_shows_what_its_code_prints(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (Path(__file__).parents[1] / "docs/guides/receipts.md").read_text(encoding="utf-8")
    code, *_ = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    [shown] = re.findall(r"^```text\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.startswith(shown + "\n")


# ------------------------------------------------------------------------------------------------------- any reply

TEXT = st.none() | st.text(max_size=60) | st.text("ñÑ語🧾\u0301\u202e\x00 a\n4", max_size=60)
NUMBER = st.none() | st.integers(-(2**63), 2**63 - 1)
FIELDS = {
    "response_message": TEXT, "commerce_code": NUMBER, "terminal_id": TEXT, "ticket": TEXT, "authorization_code": TEXT,
    "amount": NUMBER, "shares_number": NUMBER, "shares_amount": NUMBER, "last4_digits": TEXT, "operation_id": NUMBER,
    "card_type": TEXT, "card_brand": TEXT, "real_date": TEXT, "tip": NUMBER, "cashback": NUMBER, "commerce_rut": TEXT,
    "commerce_name": TEXT, "branch_name": TEXT, "branch_address": TEXT, "branch_district": TEXT,
}  # fmt: skip
REPLIES = st.builds(SaleReply, function_code=st.integers(0, 200), response_code=st.integers(-1, 2000), **FIELDS)


@given(REPLIES, st.sampled_from(COLUMNS), st.sampled_from(["es", "pt", "en"]), st.sampled_from(list(Copy)))
def test_every_line_of_any_reply_fits_the_paper(reply: SaleReply, columns: int, language: str, copy: Copy) -> None:
    for profile in (Profile.CHILE, Profile.INTEGRATED_POS):
        text = receipt(reply, columns=columns, language=language, copy=copy, profile=profile)
        assert text.endswith("\n")
        for line in text.removesuffix("\n").split("\n"):
            wide = sum(unicodedata.east_asian_width(char) in "WF" for char in line)
            assert len(line) + wide <= columns
            assert line.isprintable()
            assert line == line.rstrip() != ""


# --------------------------------------------------------------------------------------------------------- printers


def test_a_printer_gets_the_text_in_its_code_page_and_cuts_the_paper() -> None:
    sent = escpos_bytes(receipt(SALE, profile=Profile.CHILE))
    assert sent.startswith(b"\x1b@")
    for words in (b"Comercio de Prueba SpA\n", b"$25.000\n"):
        assert words in sent
    assert "Operación".encode("cp858") in sent or "Operación".encode("cp437") in sent
    assert b"\x1dV" in sent
    assert b"\x1dV" not in escpos_bytes(CHILE, cut=False)
    with pytest.raises(ConfigurationError, match="no printer profile 'no such'"):
        escpos_bytes(CHILE, printer="no such")
