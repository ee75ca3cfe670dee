"""Looks up the addresses of a host in a thread, so that a silent name server blocks nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

__all__ = ["look_up", "shares"]

_asked: dict[str, Future[list[str]]] = {}
"""The names that are being looked up. All callers that look up the same name wait for the same answer."""
_guard = threading.Lock()

_TRIED_LAST_FOR = 600.0
_failed_at: dict[str, float] = {}
"""When a connection to each address last failed, on the monotonic clock; only of hosts with several addresses."""


def look_up(host: str) -> Future[list[str]]:
    """The addresses of a host. An address is returned at once; each name is looked up in one thread."""
    try:
        known: Future[list[str]] = Future()
        known.set_result(_addresses(host, socket.AI_NUMERICHOST))
        return known
    except (OSError, ValueError):
        pass
    with _guard:
        found = _asked.get(host)
        if found is None:
            found = _asked[host] = Future()
            found.set_running_or_notify_cancel()
            threading.Thread(target=_answer, args=(host, found), name="getnet-pos-names", daemon=True).start()
    return found


def _answer(host: str, found: Future[list[str]]) -> None:
    try:
        addresses = _addresses(host)
    except Exception as error:
        outcome: list[str] | Exception = error
    else:
        outcome = addresses
    with _guard:
        del _asked[host]
    if isinstance(outcome, Exception):
        found.set_exception(outcome)
    else:
        found.set_result(outcome)


def _addresses(host: str, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    # The last of four parts is the scope of a link-local address.
    return [f"{to[0]}%{to[3]}" if len(to) == 4 and to[3] else str(to[0]) for *_, to in found]


def shares(hosts: list[str], deadline: float) -> Iterator[tuple[str, float]]:
    """Each address, with its share of the seconds left until ``deadline`` on the monotonic clock.

    Addresses that failed recently come last: a host may have an IPv6 address, for example, that the network lacks.
    """
    lately = time.monotonic() - _TRIED_LAST_FOR
    hosts = sorted(hosts, key=lambda host: _failed_at.get(host, 0.0) > lately)
    for tried, host in enumerate(hosts):
        yield host, max(0.001, (deadline - time.monotonic()) / (len(hosts) - tried))
        if len(hosts) > 1:
            # The caller asks for the next address only if this one failed.
            _failed_at[host] = time.monotonic()
