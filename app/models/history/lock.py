"""A file lock that the system lets go of when its holder dies."""

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Held by one process at a time; the file beside the locked one stays behind and means nothing by itself."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self) -> bool:
        """Take the lock if it is free. One whose file was removed meanwhile is none: others would not find it."""
        try:
            _try_lock(self._descriptor)
            there = os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except OSError:
            there = False
        if not there:
            os.close(self._descriptor)
        return there

    def release(self) -> None:
        """Let go."""
        os.close(self._descriptor)
