"""Who is at work on a payment command: a lease that ends with its holder, however that ends.

In a file it is a lock of the operating system, which frees it when a process is killed and not when one is stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import weakref
from pathlib import Path

from .rules import Lease

__all__ = ["claim_file"]


_held: weakref.WeakSet[Lease] = weakref.WeakSet()


def claim_file(folder: Path, intent_id: str) -> Lease | None:
    """Hold an intent by a locked file in ``folder``; ``None`` where another holder lives.

    Raises:
        OSError: there can be no file, or no lock on it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / _name(intent_id)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _lock(handle):
                os.close(handle)
                return None
            if _is_there(path, handle):
                break
        except BaseException:
            os.close(handle)
            raise
        # The holder before has just removed it: a lock on it would be seen by nobody.
        os.close(handle)
    lease = Lease(_Release(path, handle))
    _held.add(lease)
    return lease


def _name(intent_id: str) -> str:
    usable = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", intent_id)
    return intent_id if usable else hashlib.sha256(intent_id.encode(errors="replace")).hexdigest()


def _is_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


class _Release:
    """Removes the file and with it the lock; in a child of a fork it only lets go of what is the parent's."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle, self._process = path, handle, os.getpid()

    def __call__(self) -> None:
        if os.getpid() == self._process and sys.platform != "win32":
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        with contextlib.suppress(OSError):
            os.close(self._handle)
        if sys.platform == "win32":
            # An open file cannot be removed there; whoever has opened it meanwhile removes it.
            with contextlib.suppress(OSError):
                os.unlink(self._path)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _after_fork() -> None:
    """A child is no holder: what it inherited must not outlive the parent."""
    for lease in list(_held):
        lease.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # Windows is not where coverage is taken
    os.register_at_fork(after_in_child=_after_fork)
