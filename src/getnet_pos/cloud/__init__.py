"""Getnet's cloud: credentials and discovery (``CloudAccount``, ``AsyncCloudAccount``), and a receiver of webhooks."""

from .account import AsyncCloudAccount, CloudAccount

__all__ = ["AsyncCloudAccount", "CloudAccount"]
