"""One set of cloud credentials: its token and HTTP client, shared by every terminal that is driven through it."""

from ._aio import AsyncCloudAccount
from ._blocking import CloudAccount
from .settings import CloudOptions, CloudSettings

__all__ = ["AsyncCloudAccount", "CloudAccount", "CloudOptions", "CloudSettings"]
