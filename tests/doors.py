"""Servers in front of another one: one that takes the TLS off, and a proxy that is told where to go."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import selectors
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme

SELF_SIGNED = Path(__file__).parent / "equipment/self_signed.pem"
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


class Authority:
    """A private CA, and what servers can have of it and of others."""

    def __init__(self, folder: Any) -> None:
        self._ca = trustme.CA()
        self._leaf = self._ca.issue_cert("127.0.0.1")
        self.file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def good(self, **versions: ssl.TLSVersion) -> ssl.SSLContext:
        return _server(self._leaf, **versions)

    def expired(self) -> ssl.SSLContext:
        return _server(self._ca.issue_cert("127.0.0.1", not_before=PAST, not_after=PAST))

    def of_another_host(self) -> ssl.SSLContext:
        return _server(self._ca.issue_cert("other.example"))

    def signed_by_nobody(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(SELF_SIGNED)
        return context

    def of_another_authority(self) -> ssl.SSLContext:
        return _server(trustme.CA().issue_cert("127.0.0.1"))

    def of_old(self) -> ssl.SSLContext:
        """A server that speaks no TLS that is safe."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It is deprecated, which is what it is here for.
            server = self.good(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        server.set_ciphers("ALL:@SECLEVEL=0")
        return server

    def for_clients(self) -> ssl.SSLContext:
        """A server that asks for a certificate of this authority."""
        server = self.good()
        server.load_verify_locations(self.file)
        server.verify_mode = ssl.CERT_REQUIRED
        return server

    def of_a_client(self) -> ssl.SSLContext:
        """A client that has one."""
        client = ssl.create_default_context(cafile=self.file)
        self._ca.issue_cert("register@shop.example").configure_cert(client)
        return client

    @property
    def pin(self) -> str:
        """Of the certificate in ``good``."""
        der = ssl.PEM_cert_to_DER_cert(self._leaf.cert_chain_pems[0].bytes().decode())
        return hashlib.sha256(der).hexdigest()


def _server(leaf: trustme.LeafCert, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    for name, version in versions.items():
        setattr(context, name, version)
    return context


class Door:
    """Hands everything on to the port ``to``, once it has taken off the TLS of ``tls``, which may change."""

    def __init__(self, to: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.to = to
        self.tls = tls
        self.connections = 0
        self.resumed = 0
        """How many took up an earlier session of TLS."""
        self.heard: list[bytes] = []
        """What came in after the handshakes, piece by piece."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lines: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Any, *values: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=values, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self._lines.append(line)
                self.connections += 1
                self._start(self._serve, line)

    def _serve(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), line:
            line.settimeout(10)
            if self.tls is not None:
                line = self.tls.wrap_socket(line, server_side=True)
                self._lines.append(line)
                self.resumed += line.session_reused is True
            with line, self._beyond(line) as other:
                self._lines.append(other)
                self._pass_on(line, other)

    def _beyond(self, line: socket.socket) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.to), timeout=10)

    def _pass_on(self, line: socket.socket, other: socket.socket) -> None:
        """Both ways in this one thread: two must not use one TLS socket at once."""
        with selectors.DefaultSelector() as ready:
            ready.register(line, selectors.EVENT_READ, (line, other))
            ready.register(other, selectors.EVENT_READ, (other, line))
            while True:
                for key, _ in ready.select():
                    source, target = key.data
                    for data in _pieces(source):
                        if not data:
                            return
                        if source is line:
                            self.heard.append(data)
                        target.sendall(data)

    def cut(self) -> None:
        """End every connection."""
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for line in [self._listener, *self._lines]:
            line.close()
        for thread in self._threads:
            thread.join(5)


def _pieces(source: socket.socket) -> Iterator[bytes]:
    """What has come in, and nothing at its end. TLS may hold more than the socket shows, or no whole piece yet."""
    data = b"more"
    while data:
        source.setblocking(False)
        try:
            data = source.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            source.settimeout(10)
        yield data


class Proxy(Door):
    """A forward proxy of HTTP: it opens tunnels, or answers what it is asked with ``refusal``."""

    def __init__(self, refusal: bytes = b"") -> None:
        super().__init__()
        self.refusal = refusal
        self.asked: list[str] = []

    def _beyond(self, line: socket.socket) -> socket.socket:
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(65536)
        first = head.partition(b"\r\n")[0].decode()
        self.asked.append(first)
        if self.refusal:
            line.sendall(self.refusal)
            raise ConnectionError("refused")
        method, target, _ = first.split()
        assert method == "CONNECT"
        host, _, port = target.rpartition(":")
        other = socket.create_connection((host, int(port)), timeout=10)
        line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return other
