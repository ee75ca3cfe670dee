"""A small proxy on the way to a database: it cuts every connection, or lets no answer through any more."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


def _close(one: socket.socket) -> None:
    """Also for the thread that reads from it."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


class Proxy:
    """Passes bytes on between a port of its own and ``port``."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self.cut_answer_to: bytes | None = None
        """The first answer to a message that holds this is not passed on: the connection is cut instead."""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                cut = threading.Event()
                for source, target, is_answer in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pass, args=(source, target, is_answer, cut), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_answer: bool, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if is_answer and cut.is_set():
                    break
                if not is_answer and self.cut_answer_to is not None and self.cut_answer_to in data:
                    self.cut_answer_to = None
                    cut.set()
                target.sendall(data)
        _close(source)
        _close(target)

    def cut(self) -> None:
        """Cut all connections there are."""
        while self._sockets:
            _close(self._sockets.pop())

    def close(self) -> None:
        _close(self._listener)
        self.cut()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
