"""The evidence of these tests is printed at the end of the run."""

import os

from tests.evidence import evidence, folder, pytest_terminal_summary

__all__ = ["evidence", "folder", "pytest_terminal_summary"]

collect_ignore_glob = [] if os.name == "posix" else ["test_*.py"]  # no kill -9, and no pseudo-terminals there
