"""Supercell matrices: from words on a command line, or chosen by a length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce

from phonopy_mlp.errors import SettingsError

AUTO_LENGTH = 18.0
"""Default for `auto_supercell` in A. Force constants of a two-layer MACE with a cutoff r reach 4 r, but fall fast: an
atom's energy reaches 2 r, 12 A for the published models."""

_LARGEST_MULTIPLE = 12

_LARGEST = 1000  # number in a supercell matrix


def parse_supercell(words: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return the supercell matrix of 3 (diagonal) or 9 (row by row) integers.

    Returns
    -------
    ndarray
        shape=(3, 3), dtype=int. Rows as phonopy reads ``--dim``.

    Raises
    ------
    SettingsError
        Not 3 or 9 integers, or a determinant that is not positive.

    """
    try:
        numbers = [int(word) for word in words]
    except ValueError as error:
        raise _bad_supercell(words, "they are not all integers") from error
    if any(abs(number) > _LARGEST for number in numbers):
        raise _bad_supercell(words, f"no number may be larger than {_LARGEST}")
    if len(numbers) not in (3, 9):
        raise _bad_supercell(words, f"there are {len(numbers)} of them")
    matrix = np.diag(numbers) if len(numbers) == 3 else np.array(numbers).reshape(3, 3)
    if (len(numbers) == 3 and min(numbers) < 1) or round(float(np.linalg.det(matrix))) < 1:
        raise _bad_supercell(words, "they do not span a cell of positive volume")
    return matrix


def shortest_image_distance(cell: np.ndarray[Any, Any]) -> float:
    """Return the length in A of the shortest lattice vector of a cell (rows, A, shape=(3, 3))."""
    reduced, _ = minkowski_reduce(cell)
    return float(np.linalg.norm(reduced, axis=1).min())


def auto_supercell(atoms: Atoms, length: float = AUTO_LENGTH) -> np.ndarray[Any, Any]:
    """Return the smallest diagonal supercell whose shortest image distance exceeds a length.

    Parameters
    ----------
    atoms : Atoms
        Unit cell.
    length : float, optional
        Length in A that every distance between an atom and its periodic images must exceed.

    Returns
    -------
    ndarray
        shape=(3, 3), dtype=int, diagonal. Of two of the same size the one with the longer image distance.

    """
    if not (np.isfinite(length) and length > 0):
        raise SettingsError(f"Supercell length {length:g}", "it must be a positive length in A", "Give one, such as 18")
    most = int(np.ceil(length / shortest_image_distance(atoms.cell.array))) + 1
    if most > _LARGEST_MULTIPLE:
        raise SettingsError(
            f"No supercell up to {_LARGEST_MULTIPLE} x {_LARGEST_MULTIPLE} x {_LARGEST_MULTIPLE} reaches {length:g} A",
            f"the shortest lattice vector is {shortest_image_distance(atoms.cell.array):.2f} A",
            "Give --dim yourself",
        )
    best = min(
        (
            (int(np.prod(n)), -distance, n)
            for n in product(range(1, most + 1), repeat=3)
            if (distance := shortest_image_distance(atoms.cell.array * np.array(n)[:, None])) > length
        ),
    )
    return np.diag(best[2])


def _bad_supercell(words: Sequence[str], reason: str) -> SettingsError:
    return SettingsError(
        f"Supercell '{' '.join(words)}'", reason, "Give 3 or 9 integers, such as --dim 2 2 2, or --dim auto"
    )
