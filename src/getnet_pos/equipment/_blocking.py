# Made from _aio.py by tools/generate_blocking.py: change that one, and run this.
"""The equipment client that blocks."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from ..drivers.blocking import BlockingDriver
from ..drivers.http import HttpClient
from ..flows.http_calls import RetryPolicy
from ..flows.listing import list_terminals
from ..messages.terminals import TerminalList
from ..oauth import Token, bearer
from ._common import MAX_BODY, Environment, listing_settings

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self

__all__ = ["EquipmentClient"]


class EquipmentClient:
    """Lists the active terminals of merchants, blocking. Threads may share it.

    Args:
        base_url: an ``Environment``, or the address without its last part, ``/payment-terminals``.
        token: the bearer token as text, a function that returns it, or a ``TokenProvider`` such
            as ``ClientCredentials``, which requests and renews it.
        http_client: your own ``httpx.Client``, for a proxy, a private certificate authority or a test. You close
            it. Without it, TLS is verified and the environment is ignored.
        timeout: seconds for one request and its response. Exact on an event loop; without one, a server that sends
            its response very slowly may take up to twice as long.
        retry: how often a request is repeated after a broken link or status 429, 502, 503 or 504.
        strict: refuse a response that deviates from the documentation, instead of listing the deviations in
            ``TerminalList.deviations``.
        max_body: the longest response accepted, in bytes.

    Examples:
        >>> from getnet_pos.simulator.equipment import EquipmentServer
        >>> def main():
        ...     with EquipmentServer() as server:
        ...         token = ClientCredentials(server.token_url, "my-client", "my-secret")
        ...         with EquipmentClient(server.base_url, token=token) as client:
        ...             return len(client.list_active_terminals("count-12"))
        >>> main()
        12
    """

    def __init__(
        self,
        base_url: Environment | str,
        *,
        token: Token,
        http_client: httpx.Client | None = None,
        timeout: float = 60.0,
        retry: RetryPolicy | None = None,
        strict: bool = False,
        max_body: int = MAX_BODY,
    ) -> None:
        # A caller with a client of its own is responsible for its security, and may use plain http within a cluster.
        plain = http_client is not None
        self._settings = listing_settings(
            base_url, plain=plain, timeout=timeout, retry=retry, strict=strict, max_body=max_body
        )
        self._bearer = bearer(token)
        self._http = HttpClient(http_client)
        self._driver = BlockingDriver(http=self._http)

    def __repr__(self) -> str:
        return f"<EquipmentClient of {self._settings.base_url}>"

    def list_active_terminals(self, merchant_id: str) -> TerminalList:
        """The active terminals of a merchant.

        Raises:
            InvalidValue: ``merchant_id`` is not 1 to 64 letters, digits, ``_`` and ``-``; nothing was sent.
            ApiError: the API returned an error, or a response that is not a listing; the subclass says which.
            TransportError: the API could not be reached, or the link broke, and repeating did not help.
            LifecycleError: the client is closed.
        """
        return self._driver.run(list_terminals(merchant_id, self._bearer, self._settings))

    def close(self) -> None:
        """Close the connections, unless ``http_client`` was passed. A closed client sends nothing more."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
