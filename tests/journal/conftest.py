"""The evidence of these tests is printed at the end of the run."""

from tests.evidence import evidence, folder, pytest_terminal_summary

__all__ = ["evidence", "folder", "pytest_terminal_summary"]
