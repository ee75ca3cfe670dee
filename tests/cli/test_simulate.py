"""The virtual terminal of the command line: what it is by itself, and what can be made of it."""

from __future__ import annotations

import inspect
import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from getnet_pos import messages as m
from getnet_pos.cli.simulate import FirmwareName, LocalManners
from getnet_pos.codec import Decoder, seal
from getnet_pos.simulator import A920, Firmware, Identity, SerialServer, TcpServer
from getnet_pos.simulator.http import HttpServer

Run = Callable[..., Any]

needs_pty = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")


def test_by_itself_it_keeps_the_gap_of_the_servers_and_the_time_of_this_machine() -> None:
    plain = LocalManners()
    for kind in (SerialServer, TcpServer, HttpServer):
        assert plain.gap == inspect.signature(kind).parameters["gap"].default
    terminal = plain.terminal()
    assert abs(terminal.epoch - datetime.now()) < timedelta(seconds=5)
    assert (terminal.identity, terminal.firmware) == (Identity(), Firmware())


def test_which_terminal_it_is_can_be_said() -> None:
    told = LocalManners(terminal_id="80005999", commerce_code=77, serial_number="S1", firmware=FirmwareName.A920)
    terminal = told.terminal()
    assert terminal.identity == Identity(terminal_id="80005999", commerce_code=77, serial_number="S1")
    assert terminal.firmware == A920
    assert LocalManners(omit=["Ticket"], refuse_iso_dates=True).terminal().firmware == Firmware(
        omit=("Ticket",), refuses_iso_dates=True
    )


@needs_pty
def test_lines_on_standard_input_do_things_to_it(begin: Run, called: Run) -> None:
    server = begin("simulate", "serial", "--terminal-id", "80005999")
    device = server.stdout.readline().removeprefix("listening on ").strip()
    assert server.stderr.readline().startswith("try: ")

    def do(line: str) -> str:
        server.stdin.write(f"{line}\n")
        server.stdin.flush()
        told: str = server.stderr.readline()
        return told.strip()

    assert do("key-in 500") == "a sale of 500 was keyed in"
    assert do("unplug") == "unplugged"
    assert not os.path.exists(device)
    assert do("plug") == "plugged in"
    renamed = device.replace("/terminal", "/ttyACM1")
    assert do("rename ttyACM1") == f"renamed: it is now at {renamed}"
    last = called("last", "--port", renamed, "--json").document
    assert (last["amount"], last["terminal_id"]) == (500, "80005999")
    assert do("restart") == "restarted"
    for wrong in ("explode", "key-in much", "rename a/b"):
        assert do(wrong).startswith("error: ")
    server.terminate()
    assert server.wait(30) == 0


def test_a_terminal_that_closes_each_connection(begin: Run) -> None:
    server = begin("simulate", "tcp", "--close-after-reply")
    host, _, port = server.stdout.readline().removeprefix("listening on ").strip().rpartition(":")
    decoder, messages = Decoder(), []
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(seal(m.Poll()))
        while data := line.recv(4096):
            messages += decoder.feed(data)
    assert [type(message) for message in messages] == [m.Ack, m.PollReply]
    server.terminate()
    assert server.wait(30) == 0
