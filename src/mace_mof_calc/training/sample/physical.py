"""What no crystal looks like: atoms inside each other, exploded cells, forces that tear it apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculatorError

from ..contacts import find_contact
from ..job import Part
from ..manifest import Dropped
from .settings import Limits

Array = np.ndarray[Any, Any]

_NOT_FINITE, _EXPLODED = "not finite", "exploded cell"


def find_fault(atoms: Atoms, crystal: Atoms, limits: Limits, forces: Array, *, contacts: bool = True) -> str | None:
    """Say what is unphysical about a frame.

    Parameters
    ----------
    atoms : Atoms
    crystal : Atoms
        That it was made from.
    limits : Limits
    forces : ndarray, shape=(natoms, 3)
        On `atoms`, eV/Angstrom.
    contacts : bool, optional
        Look for contacts, which takes longest.

    Returns
    -------
    str or None
        Kind of the fault, a colon, and the numbers; None where all is well.
    """
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all() and np.isfinite(forces).all()):
        return f"{_NOT_FINITE}: positions, cell or forces"
    close = _find_contact(atoms, limits) if contacts else None
    return _find_stretch(atoms, crystal, limits) or close or _find_force(atoms, limits, forces)


def has_cell_fault(fault: str | None) -> bool:
    """Return whether a fault is one that nothing comes back from."""
    return fault is not None and fault.startswith((_NOT_FINITE, _EXPLODED))


def keep_physical(frames: Sequence[Atoms], crystal: Atoms, calculator: BaseCalculator, limits: Limits) -> Part:
    """Evaluate frames, and keep those that are physical and can be evaluated."""
    kept, dropped = [], []
    for frame in frames:
        try:
            fault = find_fault(frame, crystal, limits, evaluate_forces(frame, calculator))
        except CalculatorError as error:
            fault = describe_failure(error)
        if fault is None:
            kept.append(frame)
        else:
            dropped.append(Dropped(frame.info["name"], fault))
    return Part(kept, dropped)


def evaluate_forces(atoms: Atoms, calculator: BaseCalculator) -> Array:
    """Return the forces on a structure, eV/Angstrom, shape=(natoms, 3), leaving it as it is."""
    evaluated = atoms.copy()
    evaluated.set_constraint()
    evaluated.calc = calculator
    forces: Array = evaluated.get_forces()
    return forces


def describe_failure(error: CalculatorError) -> str:
    """Say that a calculator failed, as `find_fault` says what is unphysical."""
    return f"calculation failed: {type(error).__name__}: {error}"


def _find_stretch(atoms: Atoms, crystal: Atoms, limits: Limits) -> str | None:
    factors = np.linalg.svd(np.linalg.solve(crystal.cell.array, atoms.cell.array), compute_uv=False)
    if factors[0] <= limits.stretch and factors[-1] >= 1 / limits.stretch:
        return None
    return f"{_EXPLODED}: {factors[-1]:.2f} to {factors[0]:.2f} times the crystal's"


def _find_contact(atoms: Atoms, limits: Limits) -> str | None:
    found = find_contact(atoms, limits.contact)
    return None if found is None else f"contact: {found[0]} at {found[1]:.2f} Angstrom"


def _find_force(atoms: Atoms, limits: Limits, forces: Array) -> str | None:
    sizes = np.linalg.norm(forces, axis=1)
    n = int(sizes.argmax())
    return None if sizes[n] <= limits.force else f"force: {sizes[n]:.1f} eV/Angstrom on {atoms.symbols[n]} {n}"
