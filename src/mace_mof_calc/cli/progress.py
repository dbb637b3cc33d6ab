"""Progress of a command, drawn where somebody looks on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def show(sequence: Sequence[T], title: str) -> Iterator[T]:
    """Go through a sequence with a bar on standard error, if that is a terminal."""
    return iter(tqdm(sequence, desc=title, disable=None))
