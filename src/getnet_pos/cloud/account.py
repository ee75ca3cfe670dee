"""One set of cloud credentials. All terminals that use it share its token and its HTTP client."""

from ._aio import AsyncCloudAccount
from ._blocking import CloudAccount
from .settings import CloudOptions, CloudSettings

__all__ = ["AsyncCloudAccount", "CloudAccount", "CloudOptions", "CloudSettings"]
