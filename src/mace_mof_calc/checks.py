"""What every calculator of this package asks of a structure before it starts to work."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

from .errors import DisplacementError, StructureError, UnsupportedElementError

_SHOWN = 5


def check_structure(atoms: Atoms | None, numbers: Collection[int], calculator: str) -> Atoms:
    """Refuse a structure that `calculator` cannot evaluate.

    Parameters
    ----------
    atoms : Atoms or None
        Structure to check; it is not changed.
    numbers : collection of int
        Atomic numbers that the calculator knows.
    calculator : str
        Name of the calculator, for the message.

    Returns
    -------
    Atoms
        The structure itself.

    Raises
    ------
    StructureError
        No structure, no atoms, a position or cell vector that is not finite, or periodic axes that do not span their
        space.
    UnsupportedElementError
        An element that the calculator does not know; the message names the atoms.
    """
    if atoms is None:
        raise StructureError(
            "No structure was given", f"{calculator} has none from before", "Set atoms.calc or pass atoms"
        )
    if len(atoms) == 0:
        raise StructureError("The structure has no atoms", "There is nothing to calculate", "Check where it came from")
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if bad.size:
        raise StructureError(
            f"The positions of {name_atoms(bad)} are not finite numbers",
            "A relaxation or dynamics that blew up leaves such positions behind",
            "Start from the last good structure",
        )
    if not np.isfinite(atoms.cell.array).all():
        raise StructureError(
            f"The cell {atoms.cell.array.tolist()} holds numbers that are not finite", "", "Check its source"
        )
    periodic = atoms.cell.array[atoms.pbc]
    if len(periodic) and np.linalg.matrix_rank(periodic) < len(periodic):
        raise StructureError(
            f"The structure is periodic along the vectors {periodic.tolist()}",
            "These do not span a cell",
            "Set the cell, or atoms.pbc = False for a molecule",
        )
    _check_elements(atoms.numbers, numbers, calculator)
    return atoms


def check_directions(index: int, directions: ArrayLike, count: int) -> NDArray[np.float64]:
    """Return directions of one of `count` atoms, shape=(directions, 3).

    Raises
    ------
    DisplacementError
        There is no such atom, or the directions have another shape or are not finite numbers.
    """
    if not isinstance(index, int | np.integer) or not 0 <= index < count:
        raise DisplacementError(f"Atom {index} was to move", f"The structure has atoms 0 to {count - 1}")
    found = _finite(directions, "Directions")
    if found.ndim != 2 or found.shape[1] != 3:
        raise DisplacementError(
            f"Directions of shape {found.shape} were given", "Each is a row: (count, 3)", "Put one alone into a list"
        )
    return found


def check_displacements(displacements: ArrayLike, count: int) -> NDArray[np.float64]:
    """Return displacements of all of `count` atoms, shape=(displacements, count, 3).

    Raises
    ------
    DisplacementError
        They have another shape, or are not finite numbers.
    """
    found = _finite(displacements, "Displacements")
    if found.ndim != 3 or found.shape[1:] != (count, 3):
        raise DisplacementError(
            f"Displacements of shape {found.shape} were given",
            f"Each moves all atoms: (displacements, {count}, 3)",
            "Put one alone into a list",
        )
    return found


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return values as an array of finite numbers."""
    try:
        found = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DisplacementError(f"{name} that are no array of numbers were given", str(error)) from error
    if not np.isfinite(found).all():
        raise DisplacementError(f"{name} were given that are not finite numbers", "", "Check where they came from")
    return found


def _check_elements(present: NDArray[np.integer], known: Collection[int], calculator: str) -> None:
    missing = sorted(set(present.tolist()) - set(known))
    if not missing:
        return
    where = "; ".join(
        f"{chemical_symbols[number]} ({name_atoms(np.flatnonzero(present == number))})" for number in missing
    )
    raise UnsupportedElementError(
        f"{calculator} does not know {where}",
        f"Its elements are {' '.join(chemical_symbols[number] for number in sorted(known))}",
        "Use a calculator that covers these elements",
    )


def name_atoms(indices: NDArray[np.integer]) -> str:
    """Say which atoms, at most `_SHOWN` of them by number (from 0, as ASE counts)."""
    shown = ", ".join(str(index) for index in indices[:_SHOWN])
    more = f", ... {len(indices)} in all" if len(indices) > _SHOWN else ""
    return f"{'atom' if len(indices) == 1 else 'atoms'} {shown}{more}"
