"""One crystal found in another: the same atoms in another basis, orientation, order, or about other origins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce
from scipy.optimize import linear_sum_assignment

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import StructureError

LARGEST_STRAIN = 0.2
"""Lattices that differ by a larger principal strain are not the same."""

LARGEST_DISTANCE = 1.2
"""Atoms further apart than this (A) after all else is matched are not the same."""

_REACH = 2
_BETTER = 1e-6


@dataclass(frozen=True, slots=True)
class CrystalMatch:
    """How a crystal A is found in a crystal B.

    Vectors are rows: a point r of A lies at (r @ `rotation`), but for strain and origin, in B.

    Attributes
    ----------
    matrix : ndarray
        Unimodular: B's lattice vectors in units of A's; (matrix @ q) is in units of B's reciprocal vectors what q is
        in units of A's. shape=(3, 3), dtype=int
    rotation : ndarray
        Proper, of A's Cartesian axes onto B's. shape=(3, 3)
    permutation : ndarray
        For each atom of A which one of B it is. shape=(atoms,), dtype=int
    shift : ndarray
        Of A's origin, in units of B's lattice vectors. shape=(3,)
    strains : ndarray
        Principal strains that make A's lattice B's, ascending. shape=(3,)
    distances : ndarray
        How far each atom of A is from its own in B, in B's lattice and with no common drift, in A. shape=(atoms,)

    """

    matrix: Array
    rotation: Array
    permutation: Array
    shift: Array
    strains: Array
    distances: Array

    def describe(self) -> dict[str, Any]:
        """Return the match as plain data."""
        return {
            "basis": self.matrix.tolist(),
            "principal_strains": [round(float(strain), 6) for strain in self.strains],
            "rms_distance": round(float(np.sqrt(np.mean(self.distances**2))), 6),
            "largest_distance": round(float(self.distances.max()), 6),
        }


def match_crystals(a: Atoms, b: Atoms) -> CrystalMatch:
    """Find a crystal in another that may be written in another way, and be a little strained and displaced.

    All unimodular matrices between the reduced lattices are tried, and for each all origins that put an atom of the
    rarest element on one of its kind; atoms are then paired so that the squared distances add up to least. Of several
    ways, as symmetry makes them, the first is taken: the cells as they are, if that is one.

    Parameters
    ----------
    a, b : Atoms
        Of as many atoms each: primitive cells, as a rule.

    Raises
    ------
    StructureError
        Other atoms, another lattice (principal strains above `LARGEST_STRAIN`), or atoms at other places (further than
        `LARGEST_DISTANCE`).

    """
    if sorted(a.numbers) != sorted(b.numbers):
        raise StructureError(
            f"{a.get_chemical_formula()} and {b.get_chemical_formula()} are not the same crystal",
            "one cell holds other atoms than the other",
            "Give two cells of the same atoms, for example both primitive",
        )
    matrices = _lattice_matrices(a.cell.array, b.cell.array)
    if not matrices:
        raise StructureError(
            f"The lattices of the two {a.get_chemical_formula()} are not the same",
            f"none of their bases are within {100 * LARGEST_STRAIN:g} % of each other",
            "Compare crystals that differ by less",
        )
    best: CrystalMatch | None = None
    least = np.inf
    for matrix in matrices:
        rotation, strains = _rotation_and_strains(matrix @ a.cell.array, b.cell.array)
        stretch = float(np.abs(strains).max()) * b.get_volume() ** (1 / 3)
        if stretch > least - _BETTER:
            continue
        places = a.get_scaled_positions(wrap=False) @ np.linalg.inv(matrix)
        for permutation, shift, distances in _pairings(places, a.numbers, b):
            cost = stretch + float(np.sqrt(np.mean(distances**2)))
            if cost < least - _BETTER:
                least = cost
                best = CrystalMatch(
                    *map(frozen, (matrix, rotation, permutation, shift, strains, distances)),
                )
    assert best is not None
    if best.distances.max() > LARGEST_DISTANCE:
        worst = int(best.distances.argmax())
        raise StructureError(
            f"The atoms of the two {a.get_chemical_formula()} are not at the same places",
            f"{a.symbols[worst]} {worst} is {best.distances[worst]:.2f} A from the nearest that it could be",
            f"Compare crystals whose atoms differ by less than {LARGEST_DISTANCE:g} A",
        )
    return best


def in_setting_of(a: Atoms, b: Atoms, match: CrystalMatch) -> Atoms:
    """Return B in A's basis, orientation, order, and as near to A's positions as its own allow."""
    inverse = np.linalg.inv(match.matrix)
    cell = inverse @ b.cell.array @ match.rotation.T
    places = (b.get_scaled_positions(wrap=False)[match.permutation] - match.shift) @ match.matrix
    own = a.get_scaled_positions(wrap=False)
    places = own + wrapped(places - own)
    return Atoms(numbers=a.numbers, scaled_positions=places, cell=cell, pbc=True)


def wrapped(fractions: Array) -> Array:
    """Return differences of fractional coordinates between -1/2 and 1/2."""
    return np.asarray(fractions - np.rint(fractions))


def _lattice_matrices(a: Array, b: Array) -> list[Array]:
    """Return unimodular matrices that make a lattice another within `LARGEST_STRAIN`, identity first.

    Rows of the lattices are vectors in A. Determinants are 1, or -1 where one basis is right-handed and the other not.
    """
    reduced_a, steps_a = minkowski_reduce(a)
    reduced_b, steps_b = minkowski_reduce(b)
    numbers = np.array(list(product(range(-_REACH, _REACH + 1), repeat=3)))
    vectors = numbers @ reduced_a
    lengths = np.linalg.norm(vectors, axis=1)
    near = [
        np.flatnonzero(np.abs(lengths / length - 1) < 1.01 * LARGEST_STRAIN + 1e-9)
        for length in np.linalg.norm(reduced_b, axis=1)
    ]
    chosen = np.array(list(product(*near)), dtype=int).reshape(-1, 3)
    handedness = np.sign(np.linalg.det(reduced_a) * np.linalg.det(reduced_b))
    chosen = chosen[np.rint(np.linalg.det(numbers[chosen])) == handedness]
    stretches = np.linalg.svd(np.linalg.inv(vectors[chosen]) @ reduced_b, compute_uv=False)
    chosen = chosen[np.abs(stretches - 1).max(axis=1) <= LARGEST_STRAIN]
    back = np.linalg.inv(steps_b)
    found = [np.rint(back @ numbers[three] @ steps_a).astype(int) for three in chosen]
    return sorted(found, key=lambda matrix: int(np.abs(matrix - np.eye(3)).sum()))


def _rotation_and_strains(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the rotation, and the principal strains, of the deformation that makes a basis (rows) another."""
    left, stretches, right = np.linalg.svd(np.linalg.inv(a) @ b)
    return left @ right, np.sort(stretches) - 1


def _pairings(places: Array, numbers: Array, b: Atoms) -> Iterator[tuple[Array, Array, Array]]:
    """Yield permutation, shift and distances for each origin that puts an atom of the rarest kind on another.

    Fractional coordinates in B's basis.
    """
    own = b.get_scaled_positions(wrap=False)
    elements, counts = np.unique(numbers, return_counts=True)
    rarest = elements[counts.argmin()]
    start = own[b.numbers == rarest][0]
    for place in places[numbers == rarest]:
        shift = start - place
        # The atom that set the origin may itself be displaced: once more about the mean of all.
        permutation, differences = _assign(places + shift, numbers, own, b)
        shift = shift + differences.mean(axis=0)
        permutation, differences = _assign(places + shift, numbers, own, b)
        drift = differences.mean(axis=0)
        yield permutation, shift + drift, np.linalg.norm((differences - drift) @ b.cell.array, axis=1)


def _assign(places: Array, numbers: Array, own: Array, b: Atoms) -> tuple[Array, Array]:
    """Return for each place the atom of B that it is, and the way there in fractions of B's vectors."""
    permutation = np.empty(len(places), dtype=int)
    differences = np.empty_like(places)
    for element in np.unique(numbers):
        here, there = np.flatnonzero(numbers == element), np.flatnonzero(b.numbers == element)
        ways = wrapped(own[there][None] - places[here][:, None])
        rows, columns = linear_sum_assignment(((ways @ b.cell.array) ** 2).sum(axis=-1))
        permutation[here[rows]] = there[columns]
        differences[here[rows]] = ways[rows, columns]
    return permutation, differences
