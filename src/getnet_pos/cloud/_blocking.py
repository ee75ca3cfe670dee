# Made from _aio.py by tools/generate_blocking.py: change that one, and run this.
"""The account that blocks."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from ..drivers.blocking import BlockingDriver
from ..drivers.engine import Engine
from ..flows.cloud_listing import list_cloud_terminals
from ..messages import CloudResult, KeyPos
from ..profiles import Timeouts
from ._common import TerminalQueues, refuse_trust, status_of, way_to_the_cloud
from .settings import CloudOptions, CloudSettings

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self, Unpack

    from ..drivers.http import HttpClient

__all__ = ["CloudAccount"]


class CloudAccount:
    """Credentials of the cloud, blocking. Any number of ``Connector.create_cloud`` may share one: a whole fleet.

    Args:
        base_url: the address that ends in ``/api/postxs``, as Getnet gives it.
        http_client: an ``httpx.Client`` of your own, for a proxy or a client certificate. It is not closed here.
        timeouts: the time limits of the connectors that have none of their own.
        **settings: ``client_id`` and ``client_secret``, and what else ``CloudSettings`` has.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    def __init__(
        self,
        base_url: str,
        *,
        http_client: httpx.Client | None = None,
        timeouts: Timeouts | None = None,
        **settings: Unpack[CloudOptions],
    ) -> None:
        plain = http_client is not None
        self.settings = CloudSettings(base_url=base_url, timeouts=timeouts, plain=plain, **settings)
        # What the connectors of this account share.
        self.cloud = way_to_the_cloud(self.settings)
        self.queues = TerminalQueues()
        self.http: Engine | HttpClient
        if http_client is None:
            self.http = Engine(self.settings.verify, self.settings.pin_sha256)
        else:
            from ..drivers.http import HttpClient

            refuse_trust(self.settings)
            self.http = HttpClient(http_client)
        self._driver = BlockingDriver(http=self.http)

    def __repr__(self) -> str:
        return f"<CloudAccount of {self.cloud.base_url}>"

    def list_terminals(self, branch: int | None = None) -> list[KeyPos]:
        """The terminals that these credentials may drive: all, or those of one branch.

        Raises:
            ApiError: the cloud refused, or its answer cannot be read.
        """
        return self._driver.run(list_cloud_terminals(self.cloud, branch, self.settings.limits.report))

    def transaction_status(self, transaction_id: int | str) -> CloudResult:
        """What the cloud knows of a transaction, by its ``idPosTxs``.

        Raises:
            TransactionNotFound: the cloud does not know it, or not yet.
        """
        return self._driver.run(status_of(self.cloud, transaction_id, self.settings.limits.short))

    def close(self) -> None:
        """Send nothing more; close the HTTP client, if it is not the caller's."""
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
