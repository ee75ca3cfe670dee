"""The account on asyncio."""

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
    """Credentials of the cloud, on asyncio. Any number of ``AsyncConnector.create_cloud`` may share one: a whole fleet.

    Args:
        base_url: the address that ends in ``/api/postxs``, as Getnet gives it.
        http_client: an ``httpx.AsyncClient`` of your own, for a proxy or a client certificate. It is not closed here.
        timeouts: the time limits of the connectors that have none of their own.
        **settings: ``client_id`` and ``client_secret``, and what else ``CloudSettings`` has.

    Raises:
        ConfigurationError: a setting cannot work.
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
        # What the connectors of this account share.
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
        """The terminals that these credentials may drive: all, or those of one branch.

        Raises:
            ApiError: the cloud refused, or its answer cannot be read.
        """
        return await self._driver.run(list_cloud_terminals(self.cloud, branch, self.settings.limits.report))

    async def transaction_status(self, transaction_id: int | str) -> CloudResult:
        """What the cloud knows of a transaction, by its ``idPosTxs``.

        Raises:
            TransactionNotFound: the cloud does not know it, or not yet.
        """
        return await self._driver.run(status_of(self.cloud, transaction_id, self.settings.limits.short))

    async def close(self) -> None:
        """Send nothing more; close the HTTP client, if it is not the caller's."""
        await self.http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
