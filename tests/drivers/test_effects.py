"""Both drivers perform every effect, and say so where they lack what one needs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from datetime import datetime, timezone
from typing import Any, get_args

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from getnet_pos.drivers.aio import AsyncDriver
from getnet_pos.drivers.blocking import BlockingDriver
from getnet_pos.drivers.engine import AsyncEngine, Engine
from getnet_pos.drivers.http import AsyncHttpClient, HttpClient
from getnet_pos.errors import ConfigurationError, ConnectError, DeadlineExceeded, TerminalBusy
from getnet_pos.flows.effects import (
    AwaitNotice,
    Begin,
    Call,
    Claim,
    Close,
    Compute,
    Departure,
    Effect,
    Flow,
    Intents,
    NewId,
    Now,
    Open,
    Random,
    Recall,
    Receive,
    Record,
    Report,
    Request,
    Resolve,
    Send,
    Since,
    Sleep,
    Take,
    Unsettled,
    Use,
    WallClock,
)
from getnet_pos.journal import MemoryJournal
from getnet_pos.messages import IntentState, Progress, Search
from getnet_pos.observer import Operation
from getnet_pos.simulator import SerialServer, VirtualTerminal
from getnet_pos.simulator.equipment import EquipmentServer, EquipmentSimulator
from getnet_pos.transports.serial import AsyncSerialTransport, SerialTransport
from getnet_pos.turns import QueueTurn
from tests.journal.samples import intent


def asked(effect: Effect) -> Flow[Any]:
    return (yield effect)


class Rig:
    """A driver of one colour, with all that it can have or with nothing."""

    def __init__(self, kind: str) -> None:
        self.aio = kind == "asyncio"

    def run(self, flow: Flow[Any], *, port: str | None = None, whole: bool = True, **listener: Any) -> Any:
        if not self.aio:
            serial = SerialTransport(port) if port else None
            parts: dict[str, Any] = {"transport": serial, "http": Engine(), "journal": MemoryJournal}
            driver = BlockingDriver(**parts if whole else {})
            try:
                return driver.run(flow, **listener)
            finally:
                parts["http"].close()

        async def run() -> Any:
            serial = AsyncSerialTransport(port) if port else None
            parts: dict[str, Any] = {"transport": serial, "http": AsyncEngine(), "journal": MemoryJournal}
            driver = AsyncDriver(**parts if whole else {})
            try:
                return await driver.run(flow, **listener)
            finally:
                await parts["http"].close()

        return asyncio.run(run())


@pytest.fixture(params=["blocking", "asyncio"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


def test_the_clock_and_sleep(rig: Rig) -> None:
    def flow() -> Flow[float]:
        before = yield Now()
        yield Sleep(0.02)
        return (yield Now()) - before

    assert rig.run(flow()) >= 0.02
    assert abs(rig.run(asked(Now())) - time.monotonic()) < 5


def test_what_no_flow_makes_up_itself(rig: Rig) -> None:
    now = rig.run(asked(WallClock()))
    assert now.tzinfo is not None, "some terminals want it in local time"
    assert abs((datetime.now(timezone.utc) - now).total_seconds()) < 5
    assert 0 <= rig.run(asked(Random())) < 1
    one, two = rig.run(asked(NewId())), rig.run(asked(NewId()))
    assert one != two
    assert len(one) == 32
    assert set(one) <= set("0123456789abcdef")


def test_functions(rig: Rig) -> None:
    assert rig.run(asked(Call(lambda: "7", int))) == 7
    assert rig.run(asked(Compute(lambda: "computed"))) == "computed"


def test_an_async_function_needs_the_driver_that_can_await() -> None:
    async def seven() -> str:
        return "7"

    assert Rig("asyncio").run(asked(Call(seven, int))) == 7
    with pytest.raises(ConfigurationError, match="cannot be used with a blocking client"):
        Rig("blocking").run(asked(Call(seven, int)))


def test_the_journal(rig: Rig) -> None:
    step = intent()

    def flow() -> Flow[Any]:
        yield Record(step)
        lease = yield Claim(step.intent_id)
        assert (yield Claim(step.intent_id)) is None, "somebody living holds it"
        lease.release()
        here, there = Search(terminal=step.terminal), Search(terminal="usb:/dev/another")
        assert (yield Unsettled(here, 16)) == []
        assert [one.intent for one in (yield Unsettled(there, 16))] == [step]
        assert (yield Intents(settled=False)) == [step]
        assert [one.intent for one in (yield Since("2000"))] == [step]
        assert (yield Since("3000")) == []
        known = [one.intent for one in (yield Recall(here))]
        resolved = yield Resolve(step.intent_id, True, "a cashier", "saw the slip")
        return known, resolved.state

    assert rig.run(flow()) == ([step], IntentState.RESOLVED_PAID)


def test_a_notice_of_another_host(rig: Rig) -> None:
    """A journal of one machine has none: then it is a pause."""
    assert rig.run(asked(AwaitNotice("4711", 0.001))) is False


def test_an_operation_begins_whether_or_not_anybody_watches(rig: Rig) -> None:
    rig.run(asked(Begin(Operation("poll", "usb:x"))))


def test_progress(rig: Rig) -> None:
    heard: list[Progress] = []
    progress = Progress(78, "Lectura de tarjetas")
    rig.run(asked(Report(progress)), on_progress=heard.append)
    rig.run(asked(Report(progress)))
    assert heard == [progress]


def test_http(rig: Rig) -> None:
    with EquipmentServer(EquipmentSimulator()) as server:
        response = rig.run(asked(Request("GET", f"{server.base_url}/nothing")))
    assert response.status in (401, 404)


def _send_by_httpx(request: Request, *, aio: bool) -> None:
    async def send() -> None:
        client = AsyncHttpClient()
        try:
            await client.send(request)
        finally:
            await client.close()

    if aio:
        asyncio.run(send())
    else:
        with contextlib.closing(HttpClient()) as client:
            client.send(request)


@pytest.mark.parametrize("whose", ["our own", "httpx"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_request_leaves_in_time_or_not_at_all(rig: Rig, fresh: bool, whose: str) -> None:
    """Whoever connects too slowly has not sent it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        late = Request("POST", url, content=b"a payment", departure=Departure(by=time.monotonic()), fresh=fresh)
        with pytest.raises(DeadlineExceeded, match="was not sent: connecting took too long") as caught:
            rig.run(asked(late)) if whose == "our own" else _send_by_httpx(late, aio=rig.aio)
        assert caught.value.bytes_written == 0
        line, _ = server.accept()
        with line:
            assert line.recv(100) == b"", "it connected, and nothing left"


def test_a_byte_stream(rig: Rig) -> None:
    def flow(port: str | None) -> Flow[bytes]:
        if port is not None:
            yield Use(port, 115200)
        yield Open()
        try:
            now = yield Now()
            yield Send(b"\x06", now + 1)
            yield Send(b"\x06", now + 1, beside=True)
            return (yield Receive(now + 0.01))
        except ConnectError:
            return b"refused"

    with SerialServer(VirtualTerminal(), gap=0) as server:
        assert rig.run(flow(None), port=server.device) == b""
        assert rig.run(flow(server.device)) == b""


def test_opening_answers_which_device_it_is(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with SerialServer(VirtualTerminal(), gap=0) as server:
        assert rig.run(asked(Open()), port=server.device) is None, "no device can be told"
        listed = ListPortInfo(os.path.realpath(server.device), skip_link_detection=True)
        listed.vid, listed.pid, listed.serial_number = 0x2FB8, 0x225E, "0820"
        monkeypatch.setattr(list_ports, "comports", lambda: [listed])
        assert rig.run(asked(Open()), port=server.device) == "usb:2FB8:225E:0820"


def test_an_error_of_an_effect_is_the_flows_to_handle(rig: Rig) -> None:
    def flow() -> Flow[str]:
        yield Use("/dev/none", 115200)
        try:
            yield Open()
        except ConnectError as error:
            return str(error)
        return "opened"

    assert "/dev/none does not exist" in rig.run(flow())


# --------------------------------------------------------------------------------------------------- places in a queue


def test_a_place_is_waited_for_until_its_deadline(rig: Rig) -> None:
    turn = QueueTurn()
    held = turn.place()
    held.wait(None)
    now = time.monotonic()
    with pytest.raises(TerminalBusy, match="the terminal is busy with another operation"):
        rig.run(asked(Take(turn.place(), now + 0.02)))
    held.leave()
    rig.run(asked(Take(turn.place(), now)))


def test_who_holds_a_place_does_not_wait_for_itself(rig: Rig) -> None:
    turn = QueueTurn()

    def flow() -> Flow[None]:
        yield Take(turn.place())
        yield Take(turn.place())

    with pytest.raises(TerminalBusy, match="that made this call"):
        rig.run(flow())


def test_a_flow_that_ends_holds_no_place(rig: Rig) -> None:
    """Even one that forgets to leave, as it may where it is interrupted while it leaves."""
    turn = QueueTurn()
    rig.run(asked(Take(turn.place())))
    rig.run(asked(Take(turn.place(), 0.0)))


# ------------------------------------------------------------------------------------------------ what is not performed


class Unheard:
    """Not an effect."""


NEEDED = {
    "transport": [Open(), Send(b"", 0.0), Receive(0.0)],
    "HTTP client": [Request("GET", "https://api.test")],
    "journal": [Record(intent()), Recall(Search(terminal="usb:x"))],
}


@pytest.mark.parametrize(("lacking", "effect"), [(name, one) for name, many in NEEDED.items() for one in many])
def test_what_a_driver_lacks_is_named(rig: Rig, lacking: str, effect: Effect) -> None:
    with pytest.raises(NotImplementedError, match=f"this driver has no {lacking}"):
        rig.run(asked(effect), whole=False)


def test_closing_never_fails(rig: Rig) -> None:
    rig.run(asked(Close()), whole=False)


def test_an_effect_that_no_driver_knows(rig: Rig) -> None:
    with pytest.raises(NotImplementedError, match="no driver performs"):
        rig.run(asked(Unheard()))  # type: ignore[arg-type]  # wrong on purpose


def test_every_effect_is_tried_here() -> None:
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    assert not [effect.__name__ for effect in get_args(Effect) if f"{effect.__name__}(" not in text]
