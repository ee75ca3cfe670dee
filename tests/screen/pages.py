"""A page without a browser: what it is told over its WebSocket, and what it asks for."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from tests.sockets import Socket

__all__ = ["Page"]


class Page(Socket):
    """``views`` and ``details`` are what a page would show now."""

    def __init__(self, url: str, **headers: str) -> None:
        super().__init__(f"http://{urlsplit(url).netloc}/live", headers=headers, timeout=5)
        self.views: dict[int, dict[str, Any]] = {}
        self.details: dict[str, Any] = {}
        self.head = self.json()
        self.hear()

    def hear(self) -> None:
        """Take the next message."""
        message = self.json()
        self.views.update({view["number"]: view for view in message["views"]})
        self.details = message.get("details", self.details)

    def wait(self, stage: str, number: int = 0) -> dict[str, Any]:
        """Listen until a terminal is at a stage; its view."""
        while self.views[number]["stage"] != stage:
            self.hear()
        return self.views[number]

    def do(self, what: str, number: int = 0, **more: Any) -> None:
        self.send(json.dumps({"do": what, "terminal": number, "turn": self.views[number]["turn"], **more}))
