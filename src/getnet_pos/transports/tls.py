"""TLS: which certificates are trusted, why one was refused, session resumption, and a connection without I/O.

A resumed session saves the expensive part of the handshake. It proves that the other end is the one whose certificate
was checked. The certificate is checked again at least once an hour.
"""

from __future__ import annotations

import hashlib
import math
import os
import ssl
import time
from functools import cache
from typing import Any

import certifi

from ..errors import ConfigurationError, InvalidType, InvalidValue

__all__ = ["Tunnel", "Verify", "public_context", "tls_context", "tls_refusal"]

Verify = bool | str | os.PathLike[str] | ssl.SSLContext
"""Which certificates to trust: ``True`` for the system's authorities, a file of other authorities, or a context."""

_RESUMED_FOR = 3600.0
"""Seconds after which a certificate is checked again."""
_KEPT_EVERY = 300.0
"""Seconds after which a new session of the same host is kept if the last one was not resumed, and in which the process
may keep one more session than at first."""
_KEPT_AT_FIRST = 200


@cache
def public_context() -> ssl.SSLContext:
    """A context that trusts the public authorities on any system. Made once, because that is slow."""
    return _resuming(ssl.create_default_context(cafile=certifi.where()), None)


def tls_context(verify: Verify, pin_sha256: str | None) -> ssl.SSLContext:
    """A context that checks the certificate by the system's CAs, by those in a file, or by its own SHA-256.

    With a pin, only that certificate is accepted, whoever issued it. ``verify=False`` without a pin is refused, because
    anyone could impersonate the other end. The caller's own context is used as it is.

    Raises:
        ConfigurationError: the settings are not valid, or the file cannot be read.
    """
    if pin_sha256 is not None:
        pin = _digest(pin_sha256)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return _resuming(context, pin)
    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is False:
        raise ConfigurationError(
            "verify=False needs pin_sha256: without either, anyone on the network could impersonate the other end"
        )
    try:
        return _resuming(ssl.create_default_context(cafile=None if verify is True else os.fspath(verify)), None)
    except (OSError, TypeError) as error:
        raise ConfigurationError(f"verify must be True, a file of CA certificates or an SSLContext: {error}") from error


def _digest(pin_sha256: str) -> bytes:
    if not isinstance(pin_sha256, str):
        raise InvalidType(f"pin_sha256 must be text, not {type(pin_sha256).__name__}")
    pin = pin_sha256.replace(":", "").lower()
    if len(pin) != 64 or not set(pin) <= set("0123456789abcdef"):
        raise InvalidValue("pin_sha256 must be the SHA-256 of the certificate (DER): 64 hex digits")
    return bytes.fromhex(pin)


class _Budget:
    """Limits how many sessions are read in this process: CPython leaks 6 KB each time."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._read = 0

    def takes(self, now: float) -> bool:
        if self._read >= _KEPT_AT_FIRST + (now - self._begun) / _KEPT_EVERY:
            return False
        self._read += 1
        return True


_budget = _Budget()


class _OtherThanPinned(ssl.SSLCertVerificationError):
    pass


class _Connections:
    """The state that all connections of a context share: the pinned certificate, and the last session of each host."""

    def __init__(self, pin: bytes | None) -> None:
        self._pin = pin
        self._sessions: dict[str | None, tuple[ssl.SSLSession, float]] = {}

    def begin(self, tls: ssl.SSLSocket | ssl.SSLObject) -> None:
        session, checked_at = self._sessions.get(tls.server_hostname, (None, 0.0))
        if session is not None and time.monotonic() - checked_at < _RESUMED_FOR:
            tls.session = session

    def check(self, tls: ssl.SSLSocket | ssl.SSLObject) -> None:
        """Check the pin, as the last step of the handshake, before anything can be written."""
        certificate = tls.getpeercert(binary_form=True)
        if self._pin is not None and hashlib.sha256(certificate or b"").digest() != self._pin:
            raise _OtherThanPinned("the certificate is not the pinned one")

    def keep(self, tls: ssl.SSLSocket | ssl.SSLObject) -> None:
        """Keep the session, at the first read: in TLS 1.3 it arrives after the handshake."""
        name, now = tls.server_hostname, time.monotonic()
        _, checked_at = self._sessions.get(name, (None, -math.inf))
        if not tls.session_reused and now - checked_at > _KEPT_EVERY and _budget.takes(now):
            session = tls.session
            if session is not None:
                self._sessions[name] = session, now


def _resuming(context: ssl.SSLContext, pin: bytes | None) -> ssl.SSLContext:
    connections = _Connections(pin)

    class Socket(ssl.SSLSocket):
        _begun = _kept = False

        def do_handshake(self, block: bool = False) -> None:
            if not self._begun:
                self._begun = True
                connections.begin(self)
            super().do_handshake(block)
            connections.check(self)

        def read(self, len: int = 1024, buffer: Any = None) -> bytes:
            data = super().read(len, buffer)
            if data and not self._kept:
                self._kept = True
                connections.keep(self)
            return data

    class Object(ssl.SSLObject):
        _begun = _kept = False

        def do_handshake(self) -> None:
            if not self._begun:
                self._begun = True
                connections.begin(self)
            super().do_handshake()
            connections.check(self)

        def read(self, len: int = 1024, buffer: Any = None) -> bytes:
            data = super().read(len, buffer)
            if data and not self._kept:
                self._kept = True
                connections.keep(self)
            return data

    context.sslsocket_class = Socket
    context.sslobject_class = Object
    return context


_TOO_OLD = {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION", "UNSUPPORTED_SSL_VERSION"}
_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
_UNTRUSTED = {
    9: "its certificate is not valid yet: check the clock of this machine",
    10: "its certificate has expired: renew it, and check the clock of this machine",
    18: "its certificate is self-signed: pin it with pin_sha256=, or pass its file as verify=",
    62: "its certificate is for another host: check the address",
    64: "its certificate is for another address: check the address",
}
"""By OpenSSL's error code."""


def tls_refusal(error: ssl.SSLError) -> str:
    """Why a handshake failed, and what to do."""
    if isinstance(error, _OtherThanPinned):
        return (
            "its certificate is not the pinned one: if it was replaced on purpose, pin the new one; otherwise somebody "
            "may be impersonating it"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _UNTRUSTED.get(
            error.verify_code,
            f"its certificate is not from a trusted authority ({error.verify_message}): for a private authority pass "
            "its file as verify=, or pin the certificate with pin_sha256=",
        )
    if error.reason in _TOO_OLD:
        return "it does not support TLS 1.2 or later, and older versions are not safe: update it"
    if error.reason in _NOT_TLS:
        return "it does not speak TLS: check the port, and whether the address should begin with http://"
    return f"{error.reason or error}: check verify= or pin_sha256="


class Tunnel:
    """TLS for one connection, without I/O: the caller passes in what arrived, and sends what is returned."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.is_up = False
        """Whether the handshake is done, so that data can be sent."""

    def shake(self, data: bytes = b"") -> bytes:
        """Continue the handshake with ``data`` from the other end. Returns the bytes to send.

        Raises:
            ssl.SSLError: the other end is not trusted, or does not speak a safe version of TLS.
        """
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
            self.is_up = True
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def seal(self, data: bytes) -> bytes:
        """``data``, encrypted."""
        self._tls.write(data)
        return self._outgoing.read()

    def open(self, data: bytes) -> tuple[bytes, bool]:
        """Decrypt ``data``. Returns the plain bytes, and whether the other end has announced the end.

        ``b""`` means the end of the connection.

        Raises:
            ssl.SSLError: the data is damaged, the connection ended without notice, or the other end aborted it.
        """
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        parts = []
        try:
            while part := self._tls.read(65536):
                parts.append(part)
        except ssl.SSLWantReadError:
            return b"".join(parts), False
        except ssl.SSLZeroReturnError:
            pass
        return b"".join(parts), True
