"""Atoms that are closer than atoms are."""

from __future__ import annotations

from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list


def find_contact(atoms: Atoms, factor: float) -> tuple[str, float] | None:
    """Find the two atoms that are closest in units of the sum of their covalent radii (Cordero et al., in ASE).

    Parameters
    ----------
    atoms : Atoms
    factor : float
        Nothing is found where no two are closer than this many times that sum.

    Returns
    -------
    str and float
        What they are, such as ``C 3 and H 7``, and their distance, Angstrom.
    """
    radii = covalent_radii[atoms.numbers]
    first, second, distances = neighbor_list("ijd", atoms, factor * radii)
    if not len(distances):
        return None
    k = int((distances / (radii[first] + radii[second])).argmin())
    names = " and ".join(f"{atoms.symbols[n]} {n}" for n in (first[k], second[k]))
    return names, float(distances[k])
