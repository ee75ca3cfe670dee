"""``terminals`` against the simulated API over real HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from getnet_pos.simulator.equipment import EquipmentServer, EquipmentSimulator

Run = Callable[..., Any]

CLIENT = {"GETNET_POS_CLIENT_ID": "register", "GETNET_POS_CLIENT_SECRET": "a-secret-to-keep"}


@pytest.fixture(scope="module")
def api() -> Iterator[EquipmentServer]:
    with EquipmentServer(EquipmentSimulator(tokens=())) as server:
        yield server


@pytest.fixture
def listed(called: Run, api: EquipmentServer) -> Run:
    """Runs ``terminals`` with credentials, and makes sure that no secret is shown."""

    def run(*args: str) -> Any:
        ended = called("terminals", *args, "--base-url", api.base_url, "--token-url", api.token_url, env=CLIENT)
        assert "a-secret" not in ended.out + ended.err
        return ended

    return run


def test_table_and_summary(listed: Run) -> None:
    ended = listed("10000")
    assert (ended.code, ended.err) == (0, "")
    assert "INGENICO" in ended.out
    assert "2010-03-29" in ended.out
    assert "1 terminal of merchant 10000, 0 under warranty" in ended.out
    assert "brand: INGENICO 1" in ended.out


def test_one_document_with_the_documented_example(listed: Run) -> None:
    document = listed("10000", "--json").document
    assert list(document) == ["merchants", "summary"]
    [merchant] = document["merchants"]
    assert (merchant["merchant_id"], merchant["listed"], merchant["deviations"]) == ("10000", 1, 0)
    [terminal] = merchant["terminals"]
    assert terminal["payment_terminal_serial_number"] == "903191104705571440"
    assert terminal["activation_datetime"] == "2010-03-29T13:57:42+00:00"
    assert (terminal["warranty_available"], terminal["warranty_applies"]) == (True, False)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--brand", "verifone"], lambda t: t["payment_terminal_brand"] == "VERIFONE"),
        (["--brand", "pax", "--brand", "gertec"], lambda t: t["payment_terminal_brand"] in ("PAX", "GERTEC")),
        (["--model", "move5000"], lambda t: t["payment_terminal_model"] == "MOVE 5000 ESSENTIAL"),
        (["--capture", "40"], lambda t: t["capture_method_code"] == "40"),
        (["--capture", "pin-pad"], lambda t: t["capture_method_code"] == "40"),
        (["--communication", "wifi"], lambda t: t["communication_method_des"] == "WI FI"),
        (["--communication", "5"], lambda t: t["communication_method_code"] == "000000005"),
        (["--commercial-mode", "VENDA"], lambda t: t["commercial_mode"] == "VENDA"),
        (["--activated-after", "2010-03-31"], lambda t: t["activation_datetime"] >= "2010-03-31"),
        (["--activated-before", "2010-03-31T00:00:00Z"], lambda t: t["activation_datetime"] < "2010-03-31"),
        (["--brand", "pax", "--commercial-mode", "VENDA"],
         lambda t: (t["payment_terminal_brand"], t["commercial_mode"]) == ("PAX", "VENDA")),
    ],
)  # fmt: skip
def test_filters(listed: Run, options: list[str], wanted: Callable[[dict[str, Any]], bool]) -> None:
    [whole] = listed("count-60", "--json").document["merchants"]
    document = listed("count-60", "--json", *options).document
    [merchant] = document["merchants"]
    assert merchant["terminals"] == [terminal for terminal in whole["terminals"] if wanted(terminal)]
    assert document["summary"]["listed"] == 60
    assert document["summary"]["shown"] == len(merchant["terminals"]) > 0


def test_csv(listed: Run) -> None:
    ended = listed("count-7", "10000", "--csv")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [row["merchant_id"] for row in rows] == ["count-7"] * 7 + ["10000"]
    assert rows[0]["payment_terminal_model"] == "MOVE 5000 ESSENTIAL"
    assert rows[0]["warranty_available"] == "true"


def test_several_merchants_and_one_of_them_fails(listed: Run) -> None:
    ended = listed("count-2", "error-403", "count-3", "count-2", "--json")
    assert ended.code == 7
    *good, bad = ended.document["merchants"]
    assert [(merchant["merchant_id"], merchant["listed"]) for merchant in good] == [("count-2", 2), ("count-3", 3)]
    assert (bad["merchant_id"], bad["error"]["status"]) == ("error-403", 403)
    assert "merchant error-403" in ended.err


def test_many_terminals_are_plain_lines(listed: Run) -> None:
    ended = listed("count-3000")
    lines = ended.out.splitlines()
    assert sum("\t" in line for line in lines) == 3000
    assert "3000 terminals of merchant count-3000" in ended.out
    assert "\t" not in listed("count-3000", "--summary").out


def test_an_error_of_the_api(listed: Run) -> None:
    ended = listed("error-403", "--json")
    assert (ended.code, ended.document["error"]["type"]) == (7, "Forbidden")
    assert ended.err.startswith("error: ")


def test_a_token_that_is_refused(called: Run, api: EquipmentServer) -> None:
    token = {"GETNET_POS_TOKEN": "not-good-anymore"}
    ended = called("terminals", "10000", "--base-url", api.base_url, env=token)
    assert (ended.code, ended.out) == (7, "")
    assert "not-good-anymore" not in ended.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["10000"], "--environment"),
        (["10000", "--environment", "hg", "--base-url", "https://localhost"], "--environment"),
        (["10000", "--environment", "hti"], "GETNET_POS_TOKEN"),
        (["10000", "--environment", "hti", "--token-url", "https://localhost/token"], "GETNET_POS_CLIENT_ID"),
        (["10000", "--base-url", "http://example.com"], "https"),
        (["a/b", "--environment", "hg"], "merchant_id"),
        (["10000", "--environment", "hg", "--csv", "--json"], "--csv"),
        (["10000", "--environment", "hg", "--activated-after", "soon"], "--activated-after"),
        (["10000", "--environment", "hg", "--activated-after", "2020-01-02", "--activated-before", "2020-01-02"],
         "must be before"),
        ([], "MERCHANT_ID"),
    ],
)  # fmt: skip
def test_wrong_use_sends_nothing(called: Run, args: list[str], said: str) -> None:
    empty = {"GETNET_POS_TOKEN": "", "GETNET_POS_CLIENT_ID": "", "GETNET_POS_CLIENT_SECRET": ""}
    ended = called("terminals", *args, env=empty)
    assert ended.code == 2
    assert said in ended.err
