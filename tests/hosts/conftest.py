"""A database, and what these tests count."""

from __future__ import annotations

from tests import databases
from tests.databases import common_server, dsn
from tests.evidence import evidence, folder

__all__ = ["common_server", "dsn", "evidence", "folder"]

# What is left out then, the end of the run says.
collect_ignore_glob = [] if databases.is_there() else ["test_*.py"]
