"""Energies of free atoms, against which a network learns energies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from ...errors import TrainingError
from ...frames import get_labels

Array = np.ndarray[Any, Any]


def is_free_atom(atoms: Atoms, cutoff: float) -> bool:
    """Return whether a frame is one atom with none, not even its image, within the cutoff (A)."""
    return len(atoms) == 1 and not len(neighbor_list("i", atoms, cutoff))


def read_free_atoms(frames: Sequence[Atoms]) -> dict[int, float]:
    """Return the energy of each free atom, eV, by atomic number.

    Raises
    ------
    TrainingError
        An element is there twice, with two energies.
    """
    energies: dict[int, float] = {}
    for atoms in frames:
        number, energy = int(atoms.numbers[0]), get_labels(atoms).energy
        if abs(energies.setdefault(number, energy) - energy) > 1e-6:
            raise TrainingError(
                f"There are two energies of a free atom of {atoms.symbols[0]}",
                f"{energies[number]:.6f} and {energy:.6f} eV",
                "Leave one out",
            )
    return energies


def fit_energies(frames: Sequence[Atoms], energies: Array, numbers: Sequence[int]) -> dict[int, float]:
    """Fit energies of atoms to energies of frames by least squares.

    Where the compositions of the frames leave several solutions, it is the smallest.

    Parameters
    ----------
    frames : sequence of Atoms
    energies : ndarray, shape=(frames,)
        What the atoms of each are to add up to, eV.
    numbers : sequence of int
        Atomic numbers to find an energy of; others have none.

    Returns
    -------
    mapping of int to float
        Energy per atom, eV.
    """
    counts = np.array([[(atoms.numbers == number).sum() for number in numbers] for atoms in frames], dtype=float)
    # Per atom, so that large cells do not count more than small ones.
    sizes = np.array([len(atoms) for atoms in frames])
    solution = np.linalg.lstsq(counts / sizes[:, None], energies / sizes, rcond=None)[0]
    return dict(zip(numbers, solution.tolist(), strict=True))


def complete(
    frames: Sequence[Atoms], energies: Array, known: Mapping[int, float], numbers: Sequence[int]
) -> dict[int, float]:
    """Add to energies of atoms that are known those of other elements, fitted to what the known ones leave.

    Parameters
    ----------
    frames, energies
        As in `fit_energies`.
    known : mapping of int to float
        Energy per atom, eV, by atomic number.
    numbers : sequence of int
        Atomic numbers that are to have one.
    """
    missing = [number for number in numbers if number not in known]
    left = energies - [add_up(atoms, known) for atoms in frames]
    return {**known, **fit_energies(frames, left, missing)}


def compute_error(frames: Sequence[Atoms], energies: Array, atomic: Mapping[int, float]) -> float:
    """Return by how much the atoms' energies miss what they are to add up to: root mean square, eV/atom."""
    left = energies - [add_up(atoms, atomic) for atoms in frames]
    return float(np.sqrt(np.mean((left / [len(atoms) for atoms in frames]) ** 2)))


def choose_covering(frames: Sequence[Atoms], most: int) -> list[Atoms]:
    """Choose at most so many frames, from all over the sequence, and more where an element would be in none."""
    chosen = set(range(0, len(frames), -(-len(frames) // most)))
    for number in sorted({int(number) for atoms in frames for number in set(atoms.numbers)}):
        having = [k for k, atoms in enumerate(frames) if number in atoms.numbers]
        if chosen.isdisjoint(having):
            chosen.add(having[0])
    return [frames[k] for k in sorted(chosen)]


def add_up(atoms: Atoms, energies: Mapping[int, float]) -> float:
    """Return the sum of the energies of a frame's atoms, of those elements that have one."""
    return float(sum(energies.get(int(number), 0.0) for number in atoms.numbers))
