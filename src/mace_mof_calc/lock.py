"""A lock on what one process at a time may work on."""

from __future__ import annotations

import contextlib
import errno
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import OutputError, TrainingError
from .files import REMEDY, make_folder

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def hold(path: Path, owner: object) -> None:
    """Keep other processes away for as long as an object lives.

    The kernel lets go of the lock of a process that dies, however it does. Objects of one process do not exclude each
    other, since what was interrupted may live on in a traceback.

    Parameters
    ----------
    path : Path
        File to lock, removed in the end. Its folder is made, and removed in the end where nothing else came into it.
    owner : object

    Raises
    ------
    TrainingError
        Another process has it.
    OutputError
        The folder cannot be written.
    """
    folder = None if path.parent.is_dir() else path.parent
    make_folder(path.parent)
    # Where a file system has no locks, a file in their place would outlive a process that is killed.
    lock = FileLock(path.resolve(), thread_local=False, is_singleton=True, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TrainingError(
            f"Another process is at work on {path.with_suffix('')}",
            f"It has locked {path}",
            "Wait until it has ended, or name another output",
        ) from error
    except (OSError, NotImplementedError) as error:  # the latter is filelock's, of a system that lacks flock
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise OutputError(f"{path} cannot be written", str(error), REMEDY) from error
        warnings.warn(f"The file system of {path.parent} has no locks: nothing keeps another run out", stacklevel=2)
        return
    weakref.finalize(owner, _let_go, lock, folder)


@contextlib.contextmanager
def holding(path: Path) -> Iterator[None]:
    """Keep other processes away as `hold` does, until the end of a block.

    Raises
    ------
    TrainingError, OutputError
        As in `hold`.
    """
    owner = _Owner()
    hold(path, owner)
    try:
        yield
    finally:
        del owner  # which the traceback of an error would keep


class _Owner:
    """What lives as long as a block."""


def _let_go(lock: FileLock, folder: Path | None) -> None:
    if lock.lock_counter == 1:
        with contextlib.suppress(OSError):  # Windows removes no file that is open; there filelock does it
            Path(lock.lock_file).unlink()
    lock.release()
    if folder is not None:
        with contextlib.suppress(OSError):  # something is in it
            folder.rmdir()
