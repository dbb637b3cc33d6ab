"""A job of labelling, of which each frame is a part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ase import Atoms

from ..job import Job, Part
from ..manifest import Manifest
from .naming import read_named_frames

Work = Callable[[Sequence[Atoms]], Iterable[tuple[int, Part]]]


def run_label(
    job: Job, frames: Sequence[Atoms], work: Work, *, retry_failed: bool = False, warnings: Sequence[str] = ()
) -> Manifest:
    """Label frames, or go on with it.

    Parameters
    ----------
    job : Job
        Where each frame that is done is kept.
    frames : sequence of Atoms
        Each with an ``info["name"]`` of its own.
    work : callable
        Labels the frames that it is given, in any order; gives the index of each and its part.
    retry_failed : bool, optional
        Try again the frames that failed before. Otherwise they stay failed.
    warnings : sequence of str, optional
        For the manifest.

    Returns
    -------
    Manifest
        Its ``dropped`` has the frames that failed, and why.

    Raises
    ------
    TrainingError
        Not one frame could be labelled.
    """
    names = [atoms.info["name"] for atoms in frames]
    if job.finished is None:
        todo = [k for k, name in enumerate(names) if not job.has(name) or (retry_failed and job.read(name).dropped)]
        labelled = work([frames[k] for k in todo])
    else:
        failed = {each.name for each in job.finished.dropped}
        if not (retry_failed and failed):
            return job.finished
        todo = [k for k, name in enumerate(names) if name in failed]
        labelled = work([frames[k] for k in todo])  # complains, if at all, before the finished job is opened again
        job.reopen({atoms.info["name"]: Part([atoms]) for atoms in read_named_frames([job.output])})
    for k, part in labelled:
        job.keep(names[todo[k]], part)
    return job.finish([job.read(name) for name in names], warnings)
