"""Hessians of frames, whose pieces are computed like labels: by any process, each kept when it is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ase import Atoms

from ..hessians import Operation, attach_hessian, choose_atoms, complete, find_operations, read_rows
from ..job import Job, Part
from ..manifest import Dropped
from .run import Work
from .worker import DISPLACED


def label_hessians(frames: Sequence[Atoms], job: Job, work: Work) -> Iterator[tuple[int, Part]]:
    """Label frames with their Hessians, too.

    Only one of each set of symmetric atoms is displaced.

    Parameters
    ----------
    frames : sequence of Atoms
        Each with an ``info["name"]`` of its own.
    job : Job
        Where the pieces of each frame are kept.
    work : callable
        Labels frames, and computes the rows of those with ``info["displaced"]``; see `parallel.label_frames`.

    Returns
    -------
    iterator of (int, Part)
        Index of a frame, and the labelled frame or why there is none: the first piece that failed.
    """
    plans = [_plan(atoms) for atoms in frames]
    missing = [
        (k, name) for k, plan in enumerate(plans) for name in plan.pieces if not job.has(name) or job.read(name).dropped
    ]
    computed = work([plans[k].pieces[name] for k, name in missing])
    return _assemble(plans, job, missing, computed)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is computed for a frame: its labels, and the rows of some of its atoms."""

    name: str
    operations: Sequence[Operation]
    pieces: Mapping[str, Atoms]


def _plan(atoms: Atoms) -> _Plan:
    name, operations = atoms.info["name"], find_operations(atoms)
    pieces = {f"{name}/labels": atoms}
    for index in choose_atoms(operations):
        piece = f"{name}/atom {index}"
        pieces[piece] = atoms.copy()
        pieces[piece].info |= {"name": piece, DISPLACED: index}
    return _Plan(name, operations, pieces)


def _assemble(
    plans: Sequence[_Plan], job: Job, missing: Sequence[tuple[int, str]], computed: Iterable[tuple[int, Part]]
) -> Iterator[tuple[int, Part]]:
    left = {k: {name for other, name in missing if other == k} for k in range(len(plans))}
    for k, plan in enumerate(plans):
        if not left[k]:
            yield k, _join(plan, job)
    for number, part in computed:
        k, name = missing[number]
        job.keep(name, part)
        left[k].remove(name)
        if not left[k]:
            yield k, _join(plans[k], job)


def _join(plan: _Plan, job: Job) -> Part:
    parts = {name: job.read(name) for name in plan.pieces}
    failed = [each for part in parts.values() for each in part.dropped]
    if failed:
        where = "" if failed[0].name == plan.name else f"{failed[0].name.removeprefix(plan.name + '/')}: "
        return Part([], [Dropped(plan.name, where + failed[0].reason)])
    (labelled,), *others = (part.frames for part in parts.values())
    rows = {int(frame.info[DISPLACED]): read_rows(frame) for (frame,) in others}
    return Part([attach_hessian(labelled, complete(rows, plan.operations))])
