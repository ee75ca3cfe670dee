"""Getnet's cloud: credentials and discovery (``CloudAccount``, ``AsyncCloudAccount``), and the webhook receiver."""

from .account import AsyncCloudAccount, CloudAccount, CloudSettings
from .webhooks import Notice, WebhookReceiver

__all__ = ["AsyncCloudAccount", "CloudAccount", "CloudSettings", "Notice", "WebhookReceiver"]
