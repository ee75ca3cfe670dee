"""The body of an HTTP answer, decompressed within its limit as it arrives, and the texts of errors."""

from __future__ import annotations

import zlib

from ..errors import DeadlineExceeded, MalformedResponse
from ..flows.effects import Request

__all__ = ["LONGEST_CONNECT", "Body", "shown", "too_late"]

LONGEST_CONNECT = 10.0
"""The limit for opening a connection, in seconds, within the timeout of the request."""
_GZIP = 16 + zlib.MAX_WBITS
"""Makes zlib accept gzip, and nothing else."""


def shown(request: Request) -> str:
    return f"{request.method} {request.url}"


def too_late(request: Request, written: int) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"no complete answer to {shown(request)} within {request.timeout:g} s", bytes_written=written
    )


class Body:
    """A body that never grows beyond ``max_body``. ``packed`` is the answer's ``Content-Encoding``.

    Raises:
        MalformedResponse: the encoding is not one that the request accepts.
    """

    def __init__(self, request: Request, packed: str) -> None:
        self._request = request
        self._chunks: list[bytes] = []
        self._size = 0
        self._unpacker = None
        packed = packed.strip().lower()
        if packed in ("", "identity"):
            return
        if packed not in ("gzip", "x-gzip"):
            raise MalformedResponse(f"the answer to {shown(request)} has a Content-Encoding other than gzip")
        self._unpacker = zlib.decompressobj(_GZIP)

    def add(self, chunk: bytes) -> None:
        """Add bytes as they arrived.

        Raises:
            MalformedResponse: they are not valid gzip, or make the body too long.
        """
        room = self._request.max_body - self._size
        if self._unpacker is not None and chunk:
            if self._unpacker.eof:
                raise self._broken()
            try:
                chunk = self._unpacker.decompress(chunk, room + 1)
            except zlib.error:
                raise self._broken() from None
            if self._unpacker.unused_data:
                raise self._broken()
        if len(chunk) > room:
            raise MalformedResponse(
                f"the answer to {shown(self._request)} is longer than {self._request.max_body} bytes: if an answer "
                "may be that long, raise max_body"
            )
        self._size += len(chunk)
        self._chunks.append(chunk)

    def whole(self) -> bytes:
        if self._unpacker is not None and self._chunks and not self._unpacker.eof:
            raise self._broken()
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _broken(self) -> MalformedResponse:
        return MalformedResponse(f"the answer to {shown(self._request)} is not complete and valid gzip")
