"""Makes the pictures of the pages: ``python -m tools.screenshot docs/terminal.png docs/agent.png``.

Needs Chromium and its driver (on Debian: ``apt-get install chromium chromium-driver``), and selenium.
"""

from __future__ import annotations

import math
import struct
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from getnet_pos import Connector, Profile
from getnet_pos.simulator import Behaviour, Outcome, ScreenServer, TcpServer, VirtualTerminal
from tests.agent.agents import AgentProcess, options_of
from tests.agent.browser.windows import PageWindow
from tests.browsers import chromium
from tests.screen.browser import Seat

_SALES = ((18_990, "A1041", "tap"), (4_500, "A1042", "decline"), (25_000, "A1043", "tap"))
_MANNERS = (
    Behaviour(),
    Behaviour(outcome=Outcome.DECLINE),
    Behaviour(change={"FunctionCode": 0}, record_after=math.inf),
    Behaviour(progress=(78, 81), decide_after=math.inf),
)
"""Approved, declined, of unknown outcome, and in progress."""


def main(terminal: str, agent: str) -> None:
    for path, shot in ((terminal, _terminal), (agent, _agent)):
        picture = _repacked(shot())
        Path(path).write_bytes(picture)
        print(f"{path}: {len(picture):,} bytes")


def _terminal() -> bytes:
    driver = chromium(width=1240, height=980)
    terminal = VirtualTerminal(epoch=datetime.now())
    with (
        tempfile.TemporaryDirectory() as folder,
        TcpServer(terminal) as server,
        ScreenServer(server) as screen,
        Connector.create_tcp(*server.address, journal=Path(folder) / "journal", profile=Profile.CHILE) as pos,
        ThreadPoolExecutor() as pool,
    ):
        pos.polling()
        page = Seat(driver, screen.url)
        page.find('#language option[value="en"]').click()
        for amount, ticket, tapped in _SALES:
            sale = pool.submit(pos.sale, amount, ticket=ticket)
            page.wait("card")
            page.tap(tapped)
            sale.result(30)
        page.wait("approved")
        page.wait_for(page.is_still)
        picture: bytes = page.driver.get_screenshot_as_png()
    driver.quit()
    return picture


def _agent() -> bytes:
    driver = chromium("force-prefers-reduced-motion", width=1100, height=1140)
    with (
        tempfile.TemporaryDirectory() as folder,
        TcpServer(VirtualTerminal(script=_MANNERS)) as server,
        AgentProcess(Path(folder), *options_of(server), "--timeout", "8", "--recovery", "2") as agent,
        agent.client() as client,
        ThreadPoolExecutor() as pool,
    ):
        agent.wait_for("up")

        def sell(number: int) -> Any:
            body = {"amount": 25_000 + 1_500 * number, "ticket": f"A104{number}"}
            return client.post("/v1/terminals/terminal/sales", json=body).json()

        for number in range(3):
            sell(number)
        last = pool.submit(sell, 3)
        page = PageWindow(driver, agent.url)
        page.type("#token", agent.token)
        page.click("#pair button")
        page.wait_for(lambda: page.shows("#unknowns .card") and page.text('[data-is="progress"]'))
        page.driver.execute_script("document.activeElement.blur()")
        time.sleep(0.3)  # the button has been let go of
        picture: bytes = page.driver.get_screenshot_as_png()
        client.post("/v1/terminals/terminal/cancel", json={})
        last.result(30)
    driver.quit()
    return picture


def _repacked(png: bytes) -> bytes:
    """The same picture without the filters of its rows: a page, which has few colours, packs better without."""
    chunks: list[tuple[bytes, bytes]] = []
    place = 8
    while place < len(png):
        size = int.from_bytes(png[place : place + 4], "big")
        chunks.append((png[place + 4 : place + 8], png[place + 8 : place + 8 + size]))
        place += size + 12
    header = chunks[0][1]
    width, height = struct.unpack(">II", header[:8])
    pixel = {2: 3, 6: 4}[header[9]]
    packed = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    length = width * pixel
    rows, above = bytearray(), bytearray(length)
    for start in range(0, height * (length + 1), length + 1):
        row, kind = bytearray(packed[start + 1 : start + 1 + length]), packed[start]
        for at in range(length):
            left, corner = (row[at - pixel], above[at - pixel]) if at >= pixel else (0, 0)
            row[at] = (row[at] + _predicted(kind, left, above[at], corner)) & 0xFF
        rows += b"\0" + row
        above = row
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b"")]
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    """What a filter of PNG takes a byte for, from its neighbours (PNG, section 9.2)."""
    if kind == 4:
        guess = left + above - corner
        return min((left, above, corner), key=lambda one: abs(guess - one))
    return (0, left, above, (left + above) // 2)[kind]


if __name__ == "__main__":
    main(*sys.argv[1:])
