"""A blocking transport whose calls are awaited, so that one test text drives both kinds."""

from __future__ import annotations

import asyncio
from typing import Any


class Awaited:
    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.name = transport.name
        self.wake = transport.wake

    def __getattr__(self, name: str) -> Any:
        work = getattr(self.transport, name)

        async def run(*values: Any, **options: Any) -> Any:
            return await asyncio.to_thread(work, *values, **options)

        return run


def line_of(transport: Any) -> Any:
    """The socket of an open TCP transport."""
    inner = getattr(transport, "transport", transport)
    return inner._line if hasattr(inner, "_line") else inner._stream.transport.get_extra_info("socket")
