"""The cloud and the terminals that payments are measured against, in processes of their own.

They are the simulator's, behind servers that cost little: what is measured is the other process. ``python -m
benches.payments.servers NAME ARGUMENT...`` prints where it listens, serves until its input
ends, and prints what it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from getnet_pos.profiles import Profile
from getnet_pos.simulator import Behaviour, VirtualTerminal
from getnet_pos.simulator.cloud import BASE_PATH, CloudAnswer, CloudCall, VirtualCloud
from getnet_pos.simulator.replies import Identity

__all__ = ["Peer", "peer", "use_all_descriptors"]

_BACKLOG = 4096
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"connection: *close", re.IGNORECASE)
FLOOD = b'{"Received":true}' * 4000


class Peer:
    """Another process: where it listens, and, once it has ended, what it did."""

    def __init__(self, where: Any) -> None:
        self.where = where
        self.done: dict[str, Any] = {}


@contextlib.contextmanager
def peer(*arguments: object) -> Iterator[Peer]:
    command = [sys.executable, "-m", "benches.payments.servers", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = Peer(json.loads(process.stdout.readline()))
        try:
            yield found
        finally:
            said, _ = process.communicate("")
        found.done = json.loads(said)


def use_all_descriptors() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# ---------------------------------------------------------------------------------------------------------------- cloud


class _Cloud:
    """A virtual cloud on the clock of the event loop."""

    def __init__(self, cloud: VirtualCloud) -> None:
        self.cloud = cloud
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, call: CloudCall) -> None:
        self.cloud.receive(call, self._loop.time() - self._started)
        self._wind()

    def _wind(self) -> None:
        event = self.cloud.next_event()
        if event is None or (self._timer is not None and self._timer.when() <= event + self._started):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(event + self._started, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.cloud.advance(self._loop.time() - self._started)
        self._wind()


class _Http(asyncio.Protocol):
    """One connection: one call after the other."""

    def __init__(self, cloud: _Cloud) -> None:
        self._cloud = cloud
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, found, rest = self._unread.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not found or len(rest) < size:
            return
        self._unread = rest[size:]
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        call = CloudCall(method, path, query, headers, rest[:size])
        call.answered = lambda: self._answer(call, closes=_CLOSE.search(head) is not None)
        self._cloud.take(call)

    def _answer(self, call: CloudCall, closes: bool) -> None:
        answer = call.answer
        assert isinstance(answer, CloudAnswer)
        head = f"HTTP/1.1 {answer.status} X\r\ncontent-type: application/json\r\ncontent-length: {len(answer.body)}\r\n"
        head += "connection: close\r\n\r\n" if closes else "\r\n"
        self._transport.write(head.encode() + answer.body)
        if closes:
            self._transport.close()


async def _serve_cloud(count: str, wait: str) -> dict[str, Any]:
    default = Behaviour(decide_after=float(wait))
    virtual = VirtualCloud(profile=Profile.CHILE, terminals=int(count), default=default)
    # They would all be kept, with what they hold.
    virtual.requests = virtual.requests.__class__(maxlen=16)
    cloud = _Cloud(virtual)
    server = await asyncio.get_running_loop().create_server(lambda: _Http(cloud), "127.0.0.1", 0, backlog=_BACKLOG)
    port = server.sockets[0].getsockname()[1]
    await _until_told(f"http://127.0.0.1:{port}{BASE_PATH}")
    entries = [entry for terminal in virtual.terminals.values() for entry in terminal.ledger.entries]
    return {"charges": len(entries), "amount": sum(entry.amount for entry in entries)}


# ------------------------------------------------------------------------------------------------------------ terminals


class _Terminal(asyncio.Protocol):
    """One virtual terminal and the register that connected last, on the clock of the event loop."""

    def __init__(self, terminal: VirtualTerminal) -> None:
        self.terminal = terminal
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def _now(self) -> float:
        return self._loop.time() - self._started

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        now = self._now()
        self.terminal.disconnect(now)
        self.terminal.connect(now)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self.terminal.receive(data, self._now())
        self._speak()

    def _speak(self) -> None:
        said = b"".join(self.terminal.take(self._now()))
        if said and self._transport is not None:
            self._transport.write(said)
            self.terminal.wrote(self._now())
        if self._timer is not None:
            self._timer.cancel()
        event = self.terminal.next_event()
        self._timer = None if event is None else self._loop.call_at(event + self._started, self._speak)


async def _serve_terminals(count: str) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    lines = [_Terminal(_terminal(number)) for number in range(int(count))]
    servers = [await loop.create_server(_always(line), "127.0.0.1", 0) for line in lines]
    await _until_told([server.sockets[0].getsockname()[1] for server in servers])
    return {"charges": sum(len(line.terminal.ledger.entries) for line in lines)}


def _terminal(number: int) -> VirtualTerminal:
    identity = Identity(terminal_id=f"{80_000_000 + number}", serial_number=f"SN{number:08d}")
    return VirtualTerminal(identity=identity, seed=number)


def _always(line: _Terminal) -> Callable[[], asyncio.Protocol]:
    return lambda: line


# --------------------------------------------------------------------------------------------------------------- floods


class _Flood(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.resume_writing()

    def resume_writing(self) -> None:
        # The buffer of the transport is what bounds it.
        self._transport.write(FLOOD)


async def _serve_flood() -> dict[str, Any]:
    """A terminal that sends without end, over TCP."""
    server = await asyncio.get_running_loop().create_server(_Flood, "127.0.0.1", 0)
    await _until_told(server.sockets[0].getsockname()[1])
    return {}


async def _serve_port_flood() -> dict[str, Any]:
    """The same on a pseudo-terminal."""
    import tty

    terminal, port = os.openpty()
    tty.setraw(port)
    os.set_blocking(terminal, False)

    left = b""

    def flood() -> None:
        nonlocal left
        left = left or FLOOD
        with contextlib.suppress(BlockingIOError):
            left = left[os.write(terminal, left) :]

    asyncio.get_running_loop().add_writer(terminal, flood)
    await _until_told(os.ttyname(port))
    return {}


async def _until_told(where: Any) -> None:
    print(json.dumps(where), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


_SERVERS: dict[str, Callable[..., Any]] = {
    "cloud": _serve_cloud,
    "terminals": _serve_terminals,
    "flood": _serve_flood,
    "port flood": _serve_port_flood,
}

if __name__ == "__main__":
    use_all_descriptors()
    done = asyncio.run(_SERVERS[sys.argv[1]](*sys.argv[2:]))
    print(json.dumps({**done, "processor": time.process_time()}), flush=True)
