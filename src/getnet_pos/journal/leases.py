"""Locks on payment commands in progress, next to a journal file. A lock ends with its process, however that ends.

It is a lock of the operating system, which releases it when a process is killed, but not while one is suspended. On
Linux each intent is one byte range of a file; elsewhere each has a file of its own.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import struct
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

from .rules import Lease

__all__ = ["claim_file"]


_held: weakref.WeakSet[Lease] = weakref.WeakSet()


def claim_file(folder: Path, intent_id: str) -> Lease | None:
    """Lock an intent in ``folder``; ``None`` if a living process holds it.

    Raises:
        OSError: the file cannot be created or locked.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    release: Callable[[], None] | None
    try:
        release = _hold_place(folder / "held", intent_id)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        release = _hold_file(folder / _name(intent_id))
    if release is None:
        return None
    lease = Lease(release)
    _held.add(lease)
    return lease


def _hold_place(path: Path, intent_id: str) -> _Place | None:
    # There are so many positions that no two intents share one. They need not exist in the file.
    place = int.from_bytes(hashlib.sha256(intent_id.encode(errors="replace")).digest()[:8], "big") >> 2
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _set_place(handle, place, locked=True)
        return _Place(handle, place)
    except BaseException as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            return None
        raise


class _Place:
    """Releases the byte range; in a forked child it only closes the parent's handle."""

    def __init__(self, handle: int, place: int) -> None:
        self._handle, self._place, self._process = handle, place, os.getpid()

    def __call__(self) -> None:
        if os.getpid() == self._process:
            # A child that is just being forked has the file open too, so closing it here may not release the lock.
            with contextlib.suppress(OSError):
                _set_place(self._handle, self._place, locked=False)
        with contextlib.suppress(OSError):
            os.close(self._handle)


def _hold_file(path: Path) -> _OwnFile | None:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _lock(handle):
                os.close(handle)
                return None
            if _is_there(path, handle):
                return _OwnFile(path, handle)
        except BaseException:
            os.close(handle)
            raise
        # The previous holder has just removed it: nobody would see a lock on it.
        os.close(handle)


def _name(intent_id: str) -> str:
    usable = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", intent_id)
    return intent_id if usable else hashlib.sha256(intent_id.encode(errors="replace")).hexdigest()


def _is_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


class _OwnFile:
    """Removes the file and with it the lock; in a forked child it only closes the parent's handle."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle, self._process = path, handle, os.getpid()

    def __call__(self) -> None:
        if os.getpid() == self._process and sys.platform != "win32":
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        with contextlib.suppress(OSError):
            os.close(self._handle)
        if sys.platform == "win32":
            # Windows cannot remove an open file; a process that has opened it in the meantime will remove it.
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

    def _set_place(handle: int, place: int, *, locked: bool) -> None:
        raise OSError(errno.EINVAL, "places of a file are numbered with too few bits here")

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _set_place(handle: int, place: int, *, locked: bool) -> None:
        """Use a lock that belongs to the open file, not to the process, which may open the file more than once."""
        command = getattr(fcntl, "F_OFD_SETLK", None)
        if command is None:
            raise OSError(errno.EINVAL, "locks belong to processes here")
        kind = fcntl.F_WRLCK if locked else fcntl.F_UNLCK
        fcntl.fcntl(handle, command, struct.pack("hhqqi", kind, os.SEEK_SET, place, 1, 0))


def _after_fork() -> None:
    """Release what a child inherited: it must not outlive the parent."""
    for lease in list(_held):
        lease.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # Windows is not where coverage is taken
    os.register_at_fork(after_in_child=_after_fork)
