"""What an agent is told when it is started. It opens nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["BUSY", "AgentSettings"]

_ANY = ("", "0.0.0.0", "::")

BUSY = 30.0
"""How long a command waits for a short one on the same terminal, in seconds: ``Timeouts.busy`` of the connectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """How the agent listens, whom it lets in, and how it ends.

    Raises:
        ConfigurationError: the settings cannot work together.
    """

    host: str | None = None
    """The address to listen on; ``None``: both loopback addresses, 127.0.0.1 and [::1]."""
    port: int = 8787
    """0 takes a free one."""
    bridge: bool = False
    """Whether Getnet's websocket dialect is spoken, too."""
    bridge_port: int = 8000
    allow_origins: tuple[str, ...] = ()
    """The origins of the web pages that may use the agent, such as ``https://shop.example``."""
    token_file: Path | None = None
    """Where the pairing token is kept; ``None``: in the user's state directory."""
    certificate: Path | None = None
    """The certificate of the agent with those that it needs beside it (PEM); with it TLS is spoken."""
    key: Path | None = None
    """The private key of the certificate (PEM)."""
    poll_every: float = 30.0
    """Seconds between two looks at a terminal that nobody uses."""
    stop_within: float = 60.0
    """How long a payment in progress is waited for when the agent is stopped, in seconds."""

    def __post_init__(self) -> None:
        if (self.certificate is None) is not (self.key is None):
            raise ConfigurationError("TLS needs both, a certificate and its key: give --certificate and --key")
        if self.host is not None and self.host.strip("[]") in _ANY:
            raise ConfigurationError(
                f"nobody can call this machine {self.host}: give the address, or the name, that the others use"
            )
        for port in (self.port, self.bridge_port):
            if not 0 <= port <= 65_535:
                raise ConfigurationError(f"a port is a number from 0 to 65535, not {port}")
