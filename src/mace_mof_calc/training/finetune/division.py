"""All frames of a training in one file: each with the head that it is for, and its part in the division."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ase import Atoms

from ...frames import attach_labels, get_labels, read_frames
from ..job import Job, Part
from ..manifest import Dropped, Manifest
from ..progress import Track
from .atoms import is_free_atom
from .recipe import OWN_HEAD, Recipe
from .split import Split, split_by_distance, split_randomly
from .start import Foundation, compute_features

FREE = "free"
"""The part that free atoms are whose energies are taken, beside those that are trained, validated and tested with."""


def read_labelled(paths: Sequence[Path]) -> list[Atoms]:
    """Read frames, with stresses in Voigt order.

    Raises
    ------
    FramesError
        A file cannot be read, or a frame has no labels.
    """
    return [attach_labels(atoms, get_labels(atoms)) for path in paths for atoms in read_frames(path)]


def separate(given: Sequence[Atoms], cutoff: float) -> tuple[list[Atoms], list[Atoms]]:
    """Return the frames that are trained on, and the free atoms, at a cutoff (A)."""
    are_free = [is_free_atom(atoms, cutoff) for atoms in given]
    bound = [atoms for atoms, free in zip(given, are_free, strict=True) if not free]
    return bound, [atoms for atoms, free in zip(given, are_free, strict=True) if free]


def divide(
    job: Job,
    bound: Mapping[str, Sequence[Atoms]],
    free: Mapping[str, Sequence[Atoms]],
    base: Foundation | None,
    stand_ins: Mapping[int, int],
    recipe: Recipe,
    track: Track,
) -> Manifest:
    """Divide frames, and write them by a job.

    Parameters
    ----------
    job : Job
    bound, free : mapping of str to sequence of Atoms
        Frames that are trained on, and free atoms, by head.
    base : Foundation or None
    stand_ins : mapping of int to int
        Known elements by new ones.
    recipe : Recipe
    track : Track

    Raises
    ------
    TrainingError
        A head has fewer than three frames.
    """
    used = {OWN_HEAD} if base is None or recipe.energies == "free" else set()
    parts = [_keep_free(head, own, used=head in used) for head, own in free.items()]
    for head, own in bound.items():
        if base is not None and recipe.split == "fps":
            split = split_by_distance(compute_features(base, own, stand_ins, track), recipe.seed)
        else:
            split = split_randomly(len(own), recipe.seed)
        parts.append(Part([_mark(own[k], head, part) for part, k in _list(split)]))
    return job.finish(parts)


def read_division(path: Path) -> dict[tuple[str, str], list[Atoms]]:
    """Read frames that `divide` wrote, by head and part."""
    groups: dict[tuple[str, str], list[Atoms]] = {(OWN_HEAD, FREE): []}
    for atoms in read_frames(path):
        groups.setdefault((atoms.info["head"], atoms.info["split"]), []).append(atoms)
    return groups


def _keep_free(head: str, free: Sequence[Atoms], *, used: bool) -> Part:
    if used:
        return Part([_mark(atoms, head, FREE) for atoms in free])
    reason = "a free atom, whose energy does not count (--energies free)"
    return Part([], [Dropped(atoms.info.get("name", str(atoms.symbols)), reason) for atoms in free])


def _list(split: Split) -> list[tuple[str, int]]:
    named = {"train": split.train, "valid": split.valid, "test": split.test}
    return [(part, int(k)) for part, indices in named.items() for k in indices]


def _mark(atoms: Atoms, head: str, part: str) -> Atoms:
    marked: Atoms = atoms.copy()
    marked.info |= {"head": head, "split": part}
    return marked
