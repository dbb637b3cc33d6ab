"""Several structures at once, as many as there is memory for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TypeVar

import torch

Result = TypeVar("Result")


class BatchError(Exception):
    """An item of a batch failed.

    Attributes
    ----------
    index : int
        Which item it was.
    cause : Exception
        What it failed with.
    """

    def __init__(self, index: int, cause: Exception) -> None:
        self.index, self.cause = index, cause
        super().__init__(f"item {index} of a batch failed")


@contextmanager
def blaming(index: int) -> Iterator[None]:
    """Name an item in the error of what is done for it alone."""
    try:
        yield
    except Exception as error:
        raise BatchError(index, error) from error


def pack(weights: Sequence[float], capacity: float) -> list[list[int]]:
    """Put items into as few bins as one easily can: the heaviest first, each into the first bin that has room.

    An item heavier than the capacity has a bin of its own.
    """
    bins: list[list[int]] = []
    rooms: list[float] = []
    for item in sorted(range(len(weights)), key=lambda k: -weights[k]):
        place = next((k for k, room in enumerate(rooms) if weights[item] <= room), None)
        if place is None:
            bins.append([])
            rooms.append(capacity)
            place = len(bins) - 1
        bins[place].append(item)
        rooms[place] -= weights[item]
    return bins


def run_in_bins(
    run: Callable[[Sequence[int]], Sequence[Result]], weights: Sequence[float], capacity: float
) -> list[Result]:
    """Run items in bins, and return their results in the order of the items.

    A bin that memory does not suffice for is halved until it does.

    Parameters
    ----------
    run : callable
        Takes the numbers of some items and returns their results.
    weights : sequence of float
        Of each item.
    capacity : float
        Weight of a bin.

    Raises
    ------
    BatchError
        An item failed alone, also for want of memory; names it.
    """
    results: dict[int, Result] = {}
    bins = pack(weights, capacity)[::-1]
    while bins:
        items = bins.pop()
        try:
            results.update(zip(items, run(items), strict=True))
        except Exception as error:
            if len(items) == 1:
                raise BatchError(items[0], error) from error
            half = len(items) // 2 if _is_out_of_memory(error) else 1
            # Of any other failure the items are run one by one, to find the one to blame.
            bins += [items[k : k + half] for k in range(0, len(items), half)][::-1]
    return [results[k] for k in range(len(weights))]


def measure_memory(run: Callable[[], object], device: torch.device) -> float:
    """Return how many bytes a computation takes.

    On a GPU this is the most that was allocated while it ran. On a CPU PyTorch does not tell; there it is twice what
    the result holds, since about as much again comes and goes.
    """
    if device.type != "cuda":
        return 2.0 * _size(run())
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return float(torch.cuda.max_memory_allocated(device) - before)


def _size(thing: object) -> int:
    if isinstance(thing, torch.Tensor):
        return thing.nbytes
    if isinstance(thing, tuple):
        return sum(_size(each) for each in thing)
    if is_dataclass(thing):
        return sum(_size(getattr(thing, field.name)) for field in fields(thing))
    return 0


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory was wanting; PyTorch has no class of error for that on a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
