"""Files that must not change while a screening is at work: by size and time, which costs nothing to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a file was when its digest was taken.

    Attributes
    ----------
    path : str
    size : int
    time : int
        Of its last change, ns.
    """

    path: str
    size: int
    time: int


def take_stamp(path: Path) -> Stamp:
    """Look at a file.

    Raises
    ------
    OSError
        It is not there.
    """
    found = path.stat()
    return Stamp(str(path.resolve()), found.st_size, found.st_mtime_ns)


def find_changed(stamps: Iterable[Stamp]) -> str | None:
    """Return the first file that has changed since, or is gone."""
    return next((stamp.path for stamp in stamps if not _is_same(stamp)), None)


def _is_same(stamp: Stamp) -> bool:
    try:
        return take_stamp(Path(stamp.path)) == stamp
    except OSError:
        return False
