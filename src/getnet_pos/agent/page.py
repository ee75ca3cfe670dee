"""The page for cashiers and integrators: three static files of the package."""

from __future__ import annotations

from functools import partial
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["PAGE"]

_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


async def _file(name: str, kind: str, request: Request) -> Response:
    return Response((files("getnet_pos.agent") / name).read_bytes(), media_type=kind)


PAGE = [Route(path, partial(_file, *file)) for path, file in _FILES.items()]
"""The routes of the page."""
