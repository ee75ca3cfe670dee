"""A database, and what these tests count."""

from __future__ import annotations

from tests.databases import common_server, dsn
from tests.evidence import evidence, folder

__all__ = ["common_server", "dsn", "evidence", "folder"]
