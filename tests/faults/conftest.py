"""What these tests count is printed at the end of the run."""

import os

from tests.evidence import evidence, folder

__all__ = ["evidence", "folder"]

collect_ignore_glob = [] if os.name == "posix" else ["test_*.py"]  # no kill -9, and no pseudo-terminals there
