"""Structures of one framework by two methods, written alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms

from paper.gfn1 import NAME
from paper.study import Study
from phonopy_mlp.compare.matching import in_setting_of, match_crystals
from phonopy_mlp.force_constants import make_phonopy
from phonopy_mlp.structures import from_phonopy
from phonopy_mlp.symmetry import LOOSE


class Pair(NamedTuple):
    """A structure by a method, and by another that it is measured against."""

    method: str
    against: str
    reference: Atoms
    atoms: Atoms


def find_pairs(study: Study, framework: str) -> list[Pair]:
    """Pair our minimum with GFN1-xTB's and with the published DFT cell, and the published cells with that of DFT."""
    published = study.published.structures(framework)
    references = {"DFT (paper)": published["DFT"]} if published else {}
    if study.reference.knows(framework):
        references = {NAME: study.reference.minimum(framework), **references}
    found = []
    for against, reference in references.items():
        with study.trying(framework, f"minimum against {against}"):
            own = written_as(reference, study.relaxed(framework))
            found.append(Pair(study.title, against, reference, own))
    for method, atoms in published.items():
        if method != "DFT":
            found.append(Pair(f"{method} (paper's structures)", "DFT (paper)", published["DFT"], atoms))
    return found


def written_as(reference: Atoms, atoms: Atoms) -> Atoms:
    """Return a crystal in the cell, orientation, order and about the origin of another, whose cell may be a multiple.

    Raises
    ------
    StructureError
        They are not the same crystal.

    """
    if len(reference) == len(atoms):
        return in_setting_of(reference, atoms, match_crystals(reference, atoms))
    small, sites = _primitive(reference)
    own, _ = _primitive(atoms)
    own = in_setting_of(small, own, match_crystals(small, own))
    basis = np.rint(reference.cell.array @ np.linalg.inv(small.cell.array))
    places = reference.get_scaled_positions(wrap=False) @ basis
    cells = np.rint(places - small.get_scaled_positions(wrap=False)[sites])
    places = own.get_scaled_positions(wrap=False)[sites] + cells
    return Atoms(numbers=reference.numbers, positions=places @ own.cell.array, cell=basis @ own.cell.array, pbc=True)


def _primitive(atoms: Atoms) -> tuple[Atoms, list[int]]:
    """Return the primitive cell, and for each atom which one of its it is an image of."""
    primitive = make_phonopy(atoms, np.eye(3, dtype=int), symprec=LOOSE, is_symmetry=False).primitive
    return from_phonopy(primitive), [primitive.p2p_map[k] for k in primitive.s2p_map]
