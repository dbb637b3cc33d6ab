"""Labels of many frames in parallel processes, of which any may fail, hang or die."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

from ase import Atoms

from ...errors import TrainingError
from ...xtb import describe_narrow
from ..calculators import find_calculator
from ..defaults import DEVICE, DTYPE, TIMEOUT, WORKERS
from ..extras import require
from ..job import Part
from ..manifest import Dropped
from ..progress import Track, silently
from . import worker
from .naming import get_source

_THREADS = ("MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def label_frames(
    frames: Sequence[Atoms],
    calculator: str,
    *,
    device: str = DEVICE,
    dtype: str = DTYPE,
    workers: int = WORKERS,
    timeout: float = TIMEOUT,
    track: Track = silently,
) -> Iterator[tuple[int, Part]]:
    """Label frames as they come out of worker processes, each with a calculator and one thread of its own.

    A script that calls this needs ``if __name__ == "__main__":``, since the processes import it.

    Parameters
    ----------
    frames : sequence of Atoms
        Each with ``info["name"]``.
    calculator : str
        As in `training.calculators.make_calculator`.
    device, dtype : str, optional
        The same.
    workers : int, optional
        Number of processes.
    timeout : float, optional
        Longest time for one frame, s; the process of one that takes longer is ended, and another is started.
    track : Track, optional
        Shows progress.

    Returns
    -------
    iterator of (int, Part)
        Index of a frame, and the labelled frame or why there is none: an error of the calculator, a result that is not
        finite, a process that took too long or died.

    Raises
    ------
    MissingExtraError
        pebble is not installed.
    TrainingError
        Nothing has that name, a number is out of range, or all processes died before they were ready.
    MaceMofError
        The calculator could not be made.
    """
    require("pebble")
    if workers < 1:
        raise TrainingError(f"{workers} workers were asked for", "One is the least", "Give a larger number")
    if not timeout > 0:
        raise TrainingError(
            f"A time limit of {timeout:g} s was asked for", "No frame is that fast", "Give a larger one"
        )
    find_calculator(calculator)
    return (
        _label_all(frames, (calculator, device, dtype), min(workers, len(frames)), timeout, track)
        if frames
        else iter(())
    )


def _label_all(
    frames: Sequence[Atoms], settings: tuple[str, str, str], workers: int, timeout: float, track: Track
) -> Iterator[tuple[int, Part]]:
    from pebble import ProcessPool

    with _single_threaded():
        pool = ProcessPool(
            max_workers=workers, initializer=worker.start, initargs=settings, context=get_context("spawn")
        )
        try:
            futures: dict[Future[Part], int] = {
                pool.schedule(worker.label, (atoms,), timeout=timeout): k for k, atoms in enumerate(frames)
            }
            for future, _ in zip(as_completed(futures), track(list(futures), "label"), strict=True):
                k = futures[future]
                yield k, _get_part(future, frames[k].info["name"], timeout)
        finally:
            pool.stop()  # type: ignore[no-untyped-call]  # pebble's method has no annotations
            pool.join()


def find_warnings(frames: Sequence[Atoms], calculator: str) -> tuple[str, ...]:
    """Say of which crystals the calculator's labels are doubtful, each once: cells too narrow for GFN1-xTB here."""
    if calculator != "gfn1-xtb":
        return ()
    found: dict[str, str] = {}
    for atoms in frames:
        if message := describe_narrow(atoms):
            found.setdefault(get_source(atoms), message)
    return tuple(f"{source}: {message}" for source, message in found.items())


def _get_part(future: Future[Part], name: str, timeout: float) -> Part:
    from pebble import ProcessExpired

    try:
        return future.result()
    except TimeoutError:
        return Part([], [Dropped(name, f"took longer than {timeout:g} s")])
    except ProcessExpired as error:
        killed = " (killed, by lack of memory perhaps)" if error.exitcode == -9 else ""
        return Part([], [Dropped(name, f"its process died with exit status {error.exitcode}{killed}")])
    except BrokenProcessPool as error:
        raise TrainingError(
            "A worker process died before it was ready", str(error), "Try the calculator on its own first"
        ) from error


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Have the processes that are started compute with one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
