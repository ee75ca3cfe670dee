"""Where a virtual terminal can be reached, and the two connectors, which one test text drives alike."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import trustme

from getnet_pos import PreAuthorizationCodes, Profile, Timeouts
from getnet_pos.simulator import HttpServer, SerialServer, TcpServer, VirtualTerminal

QUICK = Timeouts(
    connect=2.0,
    acknowledgement=0.4,
    short=1.0,
    report=1.0,
    sale=2.0,
    sale_total=4.0,
    cancel=1.0,
    recovery=4.0,
    recovery_interval=0.05,
    busy=10.0,
)

PROFILE = replace(Profile.INTEGRATED_POS, pre_authorization=PreAuthorizationCodes(130, 131, 132))


@dataclass(frozen=True)
class Certificates:
    """A private CA in a file, and a certificate of its for the terminal."""

    ca_file: str
    server: ssl.SSLContext
    pin: str


def make_certificates(folder: Any, host: str = "127.0.0.1") -> Certificates:
    authority = trustme.CA()
    leaf = authority.issue_cert(host)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(server)
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return Certificates(str(folder / "ca.pem"), server, hashlib.sha256(der).hexdigest())


@dataclass(frozen=True)
class Link:
    """One way to reach a terminal: how it is served, and what a register calls to connect."""

    name: str
    serve: Callable[[VirtualTerminal, Certificates], Any]
    create: str
    where: Callable[[Any, Certificates], tuple[tuple[Any, ...], dict[str, Any]]]


LINKS = [
    Link("usb", lambda terminal, _: SerialServer(terminal, gap=0), "create_usb", lambda s, _: ((s.device,), {})),
    Link("tcp", lambda terminal, _: TcpServer(terminal, gap=0), "create_tcp", lambda s, _: (s.address, {})),
    Link("http", lambda terminal, _: HttpServer(terminal, gap=0), "create_http", lambda s, _: ((s.url,), {})),
    Link(
        "https-ca",
        lambda terminal, certificates: HttpServer(terminal, path="/pos", tls=certificates.server, gap=0),
        "create_http",
        lambda s, certificates: ((s.url,), {"verify": certificates.ca_file}),
    ),
    Link(
        "https-pinned",
        lambda terminal, certificates: HttpServer(terminal, tls=certificates.server, gap=0),
        "create_http",
        lambda s, certificates: ((s.url,), {"pin_sha256": certificates.pin}),
    ),
]


@dataclass
class Place:
    """A virtual terminal that is served, and the way to it."""

    terminal: VirtualTerminal
    server: Any
    link: Link
    certificates: Certificates
    connect_by: Callable[..., AbstractAsyncContextManager[Any]]

    def connect(self, **settings: Any) -> AbstractAsyncContextManager[Any]:
        where, options = self.link.where(self.server, self.certificates)
        options = {"timeouts": QUICK, "profile": PROFILE, **options, **settings}
        return self.connect_by(self.link.create, *where, **options)
