"""Who is bonded to whom, and what belongs together: the framework, and what is not part of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list

Array = np.ndarray[Any, Any]

#: Atoms are bonded where they are closer than this many times the sum of their covalent radii.
BONDED = 1.25

_NOT_METALS = "H He B C N O F Ne Si P S Cl Ar Ge As Se Br Kr Te I Xe At Rn"
NOT_METALS = frozenset(atomic_numbers[symbol] for symbol in _NOT_METALS.split())


@dataclass(frozen=True, slots=True, eq=False)
class Bonds:
    """Bonds of a crystal, each of them both ways.

    Attributes
    ----------
    first, second : ndarray of int, shape=(nbonds,)
        Atoms.
    offsets : ndarray of int, shape=(nbonds, 3)
        Cell of the second atom, the first being in cell 0.
    """

    first: Array
    second: Array
    offsets: Array


def find_bonds(atoms: Atoms) -> Bonds:
    """Find bonds: atoms closer than `BONDED` times the sum of their covalent radii (Cordero et al., in ASE).

    Two metals are not bonded: what holds the metals of a node together is between them, and their distances lie on
    either side of any limit.
    """
    first, second, offsets = neighbor_list("ijS", atoms, BONDED * covalent_radii[atoms.numbers])
    metal = find_metals(atoms.numbers)
    kept = ~(metal[first] & metal[second])
    found = [array[kept] for array in (first, second, offsets)]
    for array in found:
        array.setflags(write=False)
    return Bonds(*found)


def find_metals(numbers: Array) -> Array:
    """Return which atoms are metals: neither non-metals nor B, Si, Ge, As, Te; shape=(natoms,)."""
    return ~np.isin(numbers, sorted(NOT_METALS))


def find_components(bonds: Bonds, natoms: int) -> tuple[Array, Array]:
    """Find what is bonded together, and along how many directions without end.

    Returns
    -------
    component : ndarray of int, shape=(natoms,)
        Number of the component of each atom.
    periodicity : ndarray of int, shape=(ncomponents,)
        0 for a molecule or ion, 1 for a chain, 2 for a layer, 3 for a framework.
    """
    order = np.argsort(bonds.first, kind="stable")
    starts = np.searchsorted(bonds.first[order], np.arange(natoms + 1))
    component = np.full(natoms, -1)
    cell = np.zeros((natoms, 3), dtype=int)  # in which each atom is, seen from the first of its component
    periodicity: list[int] = []
    for seed in range(natoms):
        if component[seed] >= 0:
            continue
        component[seed] = len(periodicity)
        loops = [np.zeros(3, dtype=int)]
        waiting = [seed]
        while waiting:
            atom = waiting.pop()
            for bond in order[starts[atom] : starts[atom + 1]]:
                other, there = bonds.second[bond], cell[atom] + bonds.offsets[bond]
                if component[other] < 0:
                    component[other], cell[other] = component[seed], there
                    waiting.append(other)
                elif (there != cell[other]).any():
                    loops.append(there - cell[other])
        periodicity.append(int(np.linalg.matrix_rank(np.array(loops))))
    return component, np.array(periodicity)


def find_nodes(numbers: Array, bonds: Bonds) -> Array:
    """Tell the atoms of the nodes from those of the linkers.

    Nodes are the metals, the atoms that are bonded to them, and the hydrogens on those; linkers are all other atoms. So
    the oxygens of a carboxylate, of an oxide and of a hydroxide, and the nitrogens of an imidazolate, belong to the
    node, and the carbon of the carboxylate to the linker.

    Returns
    -------
    ndarray of bool, shape=(natoms,)
    """
    metal = find_metals(numbers)
    node = metal.copy()
    node[bonds.second[metal[bonds.first]]] = True
    on_node = bonds.second[node[bonds.first]]
    node[on_node[numbers[on_node] == 1]] = True
    return node


def fingerprint_bonds(numbers: Array, bonds: Bonds) -> str:
    """Return a digest of who is bonded to whom, the same for every choice of cell and for any geometry.

    Atoms are told apart by their elements, then by those of their neighbours, then by the neighbours of these, until
    nothing more is told apart (Weisfeiler and Leman); what counts is how many there are of each kind. Frameworks in
    which all neighbourhoods are alike but rings close differently, such as the polymorphs of a zeolitic imidazolate,
    have the same digest.
    """
    order = np.argsort(bonds.first, kind="stable")
    neighbours = np.split(bonds.second[order], np.searchsorted(bonds.first[order], np.arange(1, len(numbers))))
    colours = [str(number) for number in numbers]
    for _ in range(len(numbers)):
        around = [",".join(sorted(colours[k] for k in own)) for own in neighbours]
        finer = [_digest(f"{own}:{others}") for own, others in zip(colours, around, strict=True)]
        finished = len(set(finer)) == len(set(colours))
        colours = finer
        if finished:
            break
    counts = Counter(colours)
    common = gcd(*counts.values())
    return _digest(" ".join(f"{colour}x{count // common}" for colour, count in sorted(counts.items())))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
