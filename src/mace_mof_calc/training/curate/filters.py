"""What a framework must be to be of use for training.

Each check returns why a structure is not, after the name of the check and a colon, or nothing.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from ..contacts import find_contact
from .bonds import Bonds, find_components, find_metals, find_nodes

#: Atoms overlap where they are closer than this many times the sum of their covalent radii. Triple bonds have 0.78.
OVERLAP = 0.7


def check_elements(atoms: Atoms, elements: Collection[str], whose: str) -> str | None:
    """Say which elements are not among those allowed."""
    missing = sorted(set(atoms.symbols) - set(elements))
    return f"elements: holds {' '.join(missing)}, not among the elements {whose}" if missing else None


def check_size(atoms: Atoms, max_atoms: int) -> str | None:
    """Say whether the primitive cell is too large."""
    return f"size: {len(atoms)} atoms in its primitive cell, more than {max_atoms}" if len(atoms) > max_atoms else None


def check_overlap(atoms: Atoms) -> str | None:
    """Say which two atoms are closest, in units of the sum of their covalent radii, where that is below `OVERLAP`."""
    if (found := find_contact(atoms, OVERLAP)) is None:
        return None
    names, distance = found
    return (
        f"overlap: atoms {names} are {distance:.2f} A apart, nearer than {OVERLAP:g} of the sum of their covalent radii"
    )


def check_framework(atoms: Atoms, bonds: Bonds) -> str | None:
    """Say why the structure is no framework of metal nodes and linkers alone.

    Every atom must be bonded, at whatever distance, to a network that goes on along three directions; there may be
    several, one through the other. What floats in the pores, solvent or counter-ion, is no part of it.
    """
    component, periodicity = find_components(bonds, len(atoms))
    largest = int(periodicity.max())
    if largest < 3:
        pieces = ("molecules or ions", "chains", "layers")[largest]
        return f"framework: there is none, it consists of {pieces}"
    loose = [atoms[component == k].get_chemical_formula() for k in np.flatnonzero(periodicity < 3)]
    if loose:
        named = ", ".join(f"{loose.count(formula)} {formula}" for formula in sorted(set(loose)))
        return f"charge or solvent: {named} not bonded to its framework"
    if not find_metals(atoms.numbers).any():
        return "framework: no metal"
    if find_nodes(atoms.numbers, bonds).all():
        return "framework: no linker, every atom is bonded to a metal"
    return None


def check_electrons(atoms: Atoms) -> str | None:
    """Say whether the number of electrons of the primitive cell is odd: it is no neutral closed shell then."""
    odd = sum(atomic_numbers[symbol] for symbol in atoms.symbols) % 2
    return "charge: odd number of electrons, so charged, open-shell, or an atom is missing" if odd else None


def check_pore(diameter: float, smallest: float) -> str | None:
    """Say whether the pore limiting diameter, Angstrom, is too small."""
    return f"pores: limiting diameter of {diameter:.2f} A, not above {smallest:g} A" if diameter <= smallest else None
