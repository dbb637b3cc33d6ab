"""How it is shown how far a step is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """How progress is shown: goes through a sequence, saying what is done with it."""

    def __call__(self, sequence: Sequence[T], title: str) -> Iterator[T]:
        """Go through a sequence."""
        ...


def silently(sequence: Sequence[T], title: str) -> Iterator[T]:
    """Show no progress."""
    return iter(sequence)
