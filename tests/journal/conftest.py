"""What these tests count is printed at the end of the run."""

from tests.evidence import evidence, folder

__all__ = ["evidence", "folder"]
