"""The cloud account on asyncio."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from ..drivers.aio import AsyncDriver
from ..drivers.engine import AsyncEngine
from ..flows.cloud_listing import list_cloud_terminals
from ..messages import CloudResult, KeyPos
from ..profiles import Timeouts
from ._common import TerminalQueues, refuse_trust, status_of, way_to_the_cloud
from .settings import CloudOptions, CloudSettings

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self, Unpack

    from ..drivers.http import AsyncHttpClient

__all__ = ["AsyncCloudAccount"]


class AsyncCloudAccount:
    """Credentials for Getnet's cloud, on asyncio. Any number of connectors may share one (``create_cloud``).

    Args:
        base_url: the address from Getnet, which ends in ``/api/postxs``.
        http_client: your own ``httpx.AsyncClient``, for a proxy or a client certificate. You close it.
        timeouts: the default time limits of the connectors.
        **settings: ``client_id``, ``client_secret`` and the other attributes of ``CloudSettings``.

    Raises:
        ConfigurationError: a setting is invalid, or the profile has no cloud.

    Examples:
        >>> import asyncio
        >>> from getnet_pos.cloud import AsyncCloudAccount
        >>> from getnet_pos.simulator.cloud import VirtualCloud
        >>> async def main():
        ...     with VirtualCloud(terminals=2) as cloud:
        ...         login = {"client_id": "my-client", "client_secret": "my-secret", "profile": Profile.CHILE}
        ...         async with AsyncCloudAccount(cloud.url, **login) as account:
        ...             return len(await account.list_terminals())
        >>> asyncio.run(main())
        2
    """

    def __init__(
        self,
        base_url: str,
        *,
        http_client: httpx.AsyncClient | None = None,
        timeouts: Timeouts | None = None,
        **settings: Unpack[CloudOptions],
    ) -> None:
        plain = http_client is not None
        self.settings = CloudSettings(base_url=base_url, timeouts=timeouts, plain=plain, **settings)
        # Shared by the connectors of this account.
        self.cloud = way_to_the_cloud(self.settings)
        self.queues = TerminalQueues()
        self.http: AsyncEngine | AsyncHttpClient
        if http_client is None:
            self.http = AsyncEngine(self.settings.verify, self.settings.pin_sha256)
        else:
            from ..drivers.http import AsyncHttpClient

            refuse_trust(self.settings)
            self.http = AsyncHttpClient(http_client)
        self._driver = AsyncDriver(http=self.http)

    def __repr__(self) -> str:
        return f"<AsyncCloudAccount of {self.cloud.base_url}>"

    async def list_terminals(self, branch: int | None = None) -> list[KeyPos]:
        """The terminals that these credentials have access to: all of them, or those of one branch.

        Raises:
            ApiError: the cloud refused, or its response cannot be read.
            TransportError: the cloud could not be reached.
        """
        return await self._driver.run(list_cloud_terminals(self.cloud, branch, self.settings.limits.report))

    async def transaction_status(self, transaction_id: int | str) -> CloudResult:
        """The status of a transaction, by its ``idPosTxs``.

        Raises:
            TransactionNotFound: the cloud does not know the transaction, or does not know it yet.
        """
        return await self._driver.run(status_of(self.cloud, transaction_id, self.settings.limits.short))

    async def close(self) -> None:
        """Close the connections, unless ``http_client`` was passed. A closed account sends nothing more."""
        await self.http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
