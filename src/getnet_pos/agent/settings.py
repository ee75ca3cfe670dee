"""The settings of an agent. It opens nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["BUSY", "AgentSettings"]

_ANY = ("", "0.0.0.0", "::")

BUSY = 30.0
"""Seconds that a command waits for another short one on the same terminal: ``Timeouts.busy`` of the connectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Where the agent listens, whom it lets in, and how it stops.

    Raises:
        ConfigurationError: a setting is invalid, or two settings contradict each other.
    """

    host: str | None = None
    """The address to listen on; ``None``: both loopback addresses, 127.0.0.1 and [::1]."""
    port: int = 8787
    """0 chooses a free one."""
    bridge: bool = False
    """Whether to serve Getnet's websocket dialect, too."""
    bridge_port: int = 8000
    allow_origins: tuple[str, ...] = ()
    """The origins of the web pages that may use the agent, for example ``https://shop.example``."""
    token_file: Path | None = None
    """The file with the pairing token; ``None``: one in the user's state directory."""
    certificate: Path | None = None
    """The agent's certificate with its chain (PEM). With it, the agent uses TLS."""
    key: Path | None = None
    """The private key of the certificate (PEM)."""
    poll_every: float = 30.0
    """Seconds between two polls of an idle terminal."""
    stop_within: float = 60.0
    """How long a stopping agent waits for a payment in progress, in seconds."""

    def __post_init__(self) -> None:
        if (self.certificate is None) is not (self.key is None):
            raise ConfigurationError("TLS needs both a certificate and its key: pass --certificate and --key")
        if self.host is not None and self.host.strip("[]") in _ANY:
            raise ConfigurationError(
                f"{self.host!a} is not an address that others can use: pass with --host the address or name that other "
                "machines use for this one"
            )
        for port in (self.port, self.bridge_port):
            if not 0 <= port <= 65_535:
                raise ConfigurationError(f"a port must be a number from 0 to 65535, not {port}")
