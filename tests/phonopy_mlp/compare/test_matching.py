"""A crystal is found in itself however it is written, and not in another."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from numpy.testing import assert_allclose
from rewriting import BASES, TURN, rewritten

from phonopy_mlp.compare.matching import in_setting_of, match_crystals
from phonopy_mlp.errors import StructureError


def triclinic() -> Atoms:
    """Return a crystal without any symmetry."""
    random = np.random.default_rng(5)
    cell = [[4.1, 0.2, -0.3], [0.5, 5.0, 0.4], [-0.7, 0.6, 6.2]]
    return Atoms("CuCuAuCuAg", scaled_positions=random.random((5, 3)), cell=cell, pbc=True)


LEFT_HANDED = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize("basis", [*BASES, LEFT_HANDED])
def test_a_crystal_written_in_two_ways_is_one(basis):
    a = triclinic()
    b, order = rewritten(a, basis=basis, order=[3, 0, 4, 2, 1], origin=(0.3, 1.7, -0.4), rotation=TURN)
    match = match_crystals(a, b)
    assert_allclose(match.matrix, basis)
    assert_allclose(match.rotation, TURN, atol=1e-12)
    assert_allclose(match.strains, 0, atol=1e-12)
    assert_allclose(match.distances, 0, atol=1e-10)
    assert_allclose(np.array(order)[match.permutation], np.arange(5))
    back = in_setting_of(a, b, match)
    assert_allclose(back.cell, a.cell, atol=1e-12)
    assert_allclose(back.positions, a.positions, atol=1e-10)


def test_strains_and_displacements_are_those_made():
    a = triclinic()
    b = a.copy()
    strain = np.diag([0.03, -0.02, 0.01])
    b.set_cell(a.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    moved = np.random.default_rng(1).normal(scale=0.05, size=(5, 3))
    moved -= moved.mean(axis=0)
    b.positions += moved
    b, _ = rewritten(b, basis=BASES[1], order=[4, 3, 2, 1, 0], origin=(0.1, 0.2, 0.3), rotation=TURN)
    match = match_crystals(a, b)
    assert_allclose(match.strains, [-0.02, 0.01, 0.03], atol=1e-12)
    assert_allclose(match.distances, np.linalg.norm(moved, axis=1), atol=1e-10)


def test_symmetric_cells_are_left_as_they_are():
    a = bulk("Cu", cubic=True)
    assert_allclose(match_crystals(a, a.copy()).matrix, np.eye(3))


@pytest.mark.parametrize(
    ("b", "reason"),
    [
        (bulk("Ag"), "other atoms"),
        (bulk("Cu", cubic=True), "other atoms"),
        (bulk("Cu", "sc", a=2.3), "bases are within 20 %"),
    ],
)
def test_other_crystals_are_refused(b, reason):
    with pytest.raises(StructureError, match=reason):
        match_crystals(bulk("Cu"), b)


def test_atoms_at_other_places_are_refused():
    cell = np.diag([4.0, 5.0, 9.0])
    a = Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=cell, pbc=True)
    b = Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.1]], cell=cell, pbc=True)
    with pytest.raises(StructureError, match="from the nearest that it could be"):
        match_crystals(a, b)


def test_published_minima_of_one_crystal_match_and_a_collapsed_one_does_not(reference):
    frames = read(reference / "structures/MOF-5_optimized_5methods.extxyz", ":")
    # DFT's file has another orientation and order than the others.
    assert match_crystals(frames[0], frames[3]).distances.max() < 0.01
    frames = read(reference / "structures/MIL-53_optimized_5methods.extxyz", ":")
    assert match_crystals(frames[3], frames[4]).strains.min() < -0.1
    with pytest.raises(StructureError, match="lattices"):
        match_crystals(frames[0], frames[2])
