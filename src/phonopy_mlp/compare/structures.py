"""Two structures of one crystal: cells, positions, symmetry, and the displacements it leaves to compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.compare.matching import CrystalMatch, match_crystals, wrapped
from phonopy_mlp.errors import StructureError
from phonopy_mlp.force_constants import DISTANCE, displace, make_phonopy
from phonopy_mlp.symmetry import LOOSE, TIGHT, SpaceGroup, find_space_group


@dataclass(frozen=True, slots=True)
class ElementDeviation:
    """How far the atoms of an element are from where they were, atoms being paired in file order.

    Root mean squares over all three components of fractional coordinates.

    Attributes
    ----------
    element : str
    count : int
        Number of atoms.
    rmsd : float
        Of the shortest differences: with minimum image.
    paper_rmsd : float
        Of the differences of coordinates between 0 and 1, without minimum image, as in Table 7 of the paper: an atom
        that crosses the face of the cell counts as if it had gone all through it.
    rms_distance : float or None
        In A, atoms being paired by place, origins aligned; see `match_crystals`. None where there is no match.

    """

    element: str
    count: int
    rmsd: float
    paper_rmsd: float
    rms_distance: float | None


@dataclass(frozen=True, slots=True)
class Symmetry:
    """Symmetry of a structure at a tolerance.

    Attributes
    ----------
    group : SpaceGroup
    displacements : int
        How many displaced supercells phonopy needs, in n x n x n cells with any n.

    """

    group: SpaceGroup
    displacements: int


@dataclass(frozen=True, slots=True)
class StructureComparison:
    """How a structure B deviates from a structure A, of which it is another minimum.

    Attributes
    ----------
    cell_a, cell_b : ndarray
        a, b, c in A, and alpha, beta, gamma in degrees. shape=(6,)
    length_deviations : ndarray
        Of a, b and c, in percent of A's. shape=(3,)
    mean_length_deviation : float
        Of the mean of a, b and c, in percent of A's: Fig. 3 of the paper.
    volume_deviation : float
        In percent of A's.
    elements : tuple of ElementDeviation
        In A's order.
    symmetry_a, symmetry_b : tuple of Symmetry
        At tolerances of 1e-5 and 1e-2 A.
    match : CrystalMatch or None
        How A is found in B; None where it is not.

    """

    cell_a: Array
    cell_b: Array
    length_deviations: Array
    mean_length_deviation: float
    volume_deviation: float
    elements: tuple[ElementDeviation, ...]
    symmetry_a: tuple[Symmetry, ...]
    symmetry_b: tuple[Symmetry, ...]
    match: CrystalMatch | None

    def describe(self) -> dict[str, Any]:
        """Return the comparison as plain data."""
        return {
            "cells": [[round(float(each), 6) for each in cell] for cell in (self.cell_a, self.cell_b)],
            "length_deviations_percent": [round(float(each), 4) for each in self.length_deviations],
            "mean_length_deviation_percent": round(self.mean_length_deviation, 4),
            "volume_deviation_percent": round(self.volume_deviation, 4),
            "fractional_coordinates": {
                each.element: {
                    "count": each.count,
                    "rmsd": round(each.rmsd, 6),
                    "rmsd_without_minimum_image": round(each.paper_rmsd, 6),
                    "rms_distance": None if each.rms_distance is None else round(each.rms_distance, 6),
                }
                for each in self.elements
            },
            "symmetry": [
                {str(each.group): {"displacements": each.displacements} for each in symmetry}
                for symmetry in (self.symmetry_a, self.symmetry_b)
            ],
            "match": None if self.match is None else self.match.describe(),
        }


def compare_structures(a: Atoms, b: Atoms) -> StructureComparison:
    """Compare two structures in the cells that they are given in.

    Lengths are compared with lengths, and within each element the first atom with the first one, as the paper does. It
    means something where both files write the crystal in one way. The distances of matched atoms do not depend on it.

    Parameters
    ----------
    a, b : Atoms
        As many atoms of each element.

    Raises
    ------
    StructureError
        The structures do not hold the same atoms.

    """
    if sorted(a.numbers) != sorted(b.numbers):
        raise StructureError(
            f"{a.get_chemical_formula()} and {b.get_chemical_formula()} cannot be compared",
            "one cell holds other atoms than the other",
            "Give two cells of the same atoms",
        )
    try:
        match = match_crystals(a, b)
    except StructureError:
        match = None
    lengths_a, lengths_b = a.cell.lengths(), b.cell.lengths()
    return StructureComparison(
        cell_a=frozen(a.cell.cellpar()),
        cell_b=frozen(b.cell.cellpar()),
        length_deviations=frozen(100 * (lengths_b / lengths_a - 1)),
        mean_length_deviation=100 * float(lengths_b.mean() / lengths_a.mean() - 1),
        volume_deviation=100 * float(b.get_volume() / a.get_volume() - 1),
        elements=tuple(_element_deviation(element, a, b, match) for element in dict.fromkeys(a.symbols)),
        symmetry_a=_symmetries(a),
        symmetry_b=_symmetries(b),
        match=match,
    )


def count_displacements(atoms: Atoms, tolerance: float) -> int:
    """Return how many displaced supercells phonopy needs at a tolerance in A.

    Supercells of n x n x n cells have all symmetries of the cell: it takes as many displacements, in no time.
    """
    phonon = make_phonopy(atoms, np.eye(3, dtype=int), symprec=tolerance)
    displace(phonon, DISTANCE)
    return len(phonon.displacements)


def _element_deviation(element: str, a: Atoms, b: Atoms, match: CrystalMatch | None) -> ElementDeviation:
    chosen = a.symbols == element
    differences = b.get_scaled_positions()[b.symbols == element] - a.get_scaled_positions()[chosen]
    return ElementDeviation(
        element=element,
        count=int(chosen.sum()),
        rmsd=_root_mean_square(wrapped(differences)),
        paper_rmsd=_root_mean_square(differences),
        rms_distance=None if match is None else _root_mean_square(match.distances[chosen]),
    )


def _symmetries(atoms: Atoms) -> tuple[Symmetry, ...]:
    return tuple(
        Symmetry(find_space_group(atoms, tolerance), count_displacements(atoms, tolerance))
        for tolerance in (TIGHT, LOOSE)
    )


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
