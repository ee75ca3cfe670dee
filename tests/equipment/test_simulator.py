"""The virtual API by itself, as other programs see it."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from getnet_pos.simulator.equipment import EquipmentServer, EquipmentSimulator, listing, terminal

FORM = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}


def test_terminals_are_the_same_each_time_and_differ_from_each_other() -> None:
    assert listing("1", 500) == listing("1", 500)
    assert len({terminal(number)["payment_terminal_serial_number"] for number in range(500)}) == 500
    assert {terminal(number)["commercial_mode"] for number in range(9)} == {"ALUGUEL", "VENDA", "TAXA_AD"}
    assert all(len(text) <= 18 for text in (terminal(999_999)["payment_terminal_serial_number"],))


@pytest.mark.parametrize("path", ["/auth/oauth2/token", "/token"])
def test_the_token_endpoint_answers_as_documented(server: EquipmentServer, path: str) -> None:
    answer = httpx.post(server.address + path, data=FORM, trust_env=False)
    assert answer.status_code == 200
    assert sorted(answer.json()) == ["access_token", "expires_in", "scope", "token_type"]
    for name in FORM:
        refused = httpx.post(server.address + path, data={**FORM, name: ""}, trust_env=False)
        assert refused.status_code == 400
        assert refused.json() == {"error": "invalid_request", "error_description": f"{name} is missing"}
    refused = httpx.post(server.address + path, data={**FORM, "grant_type": "password"}, trust_env=False)
    assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_grant_type")
    assert httpx.post(server.address + path, json=FORM, trust_env=False).status_code == 400


def test_the_listing_is_at_both_addresses(server: EquipmentServer) -> None:
    for base in (server.base_url, server.address):
        headers = {"Authorization": "Bearer any"}
        answer = httpx.get(f"{base}/payment-terminals/10000", headers=headers, trust_env=False)
        assert answer.json() == listing("10000", 1)


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi"])
def test_the_listing_is_behind_a_bearer_token(server: EquipmentServer, header: str) -> None:
    answer = httpx.get(f"{server.base_url}/payment-terminals/10000", headers={"Authorization": header}, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "401")


def test_issued_tokens_end(server: EquipmentServer) -> None:
    with EquipmentServer(EquipmentSimulator(token_life=0)) as short:
        token = httpx.post(short.token_url, data=FORM, trust_env=False).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{short.base_url}/payment-terminals/1", headers=headers, trust_env=False).status_code == 401


def test_an_address_of_the_other_family() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this system has no IPv6")
    with EquipmentServer(host="::1") as server:
        assert server.address.startswith("http://[::1]:")
        assert httpx.get(server.address, trust_env=False).status_code == 404


def test_a_port_in_use_is_an_error(server: EquipmentServer) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), EquipmentServer(port=port):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="this system interrupts programs otherwise")
def test_serve_tells_its_address_and_ends_at_an_interrupt() -> None:
    code = "from getnet_pos.simulator.equipment import serve\nserve(ready=lambda address: print(address, flush=True))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        assert httpx.get(address, trust_env=False).status_code == 404
        process.send_signal(signal.SIGINT)
        process.wait(15)


def test_who_connects_as_the_server_ends_is_cut_off() -> None:
    for _ in range(5):
        with EquipmentServer() as server:
            host, _, port = server.address.removeprefix("http://").rpartition(":")
            line = socket.create_connection((host, int(port)), timeout=5)
        with line, contextlib.suppress(ConnectionResetError):
            assert line.recv(1) == b""
