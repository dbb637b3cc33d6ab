import numpy as np
import pytest
from ase.build import bulk, make_supercell
from double_wells import caesium_chloride
from numpy.testing import assert_allclose

from phonopy_mlp.stability.cells import (
    carry_supercell,
    find_order,
    find_periodic_cell,
    reduce_to_primitive,
)
from phonopy_mlp.stability.follow import distinct_phases

QPOINTS = [((0, 0, 0), 1), ((0.5, 0.5, 0.5), 2), ((1 / 3, 2 / 3, 0), 3), ((0.5, 1 / 3, 0), 6), ((-0.25, 0.5, 0.75), 4)]


@pytest.mark.parametrize(("qpoint", "order"), QPOINTS)
@pytest.mark.parametrize("cell", [np.diag([4.0, 4.1, 4.3]), bulk("Cu").cell.array], ids=["orthorhombic", "fcc"])
def test_a_wave_repeats_in_the_smallest_cell(qpoint, order, cell):
    rows = find_periodic_cell(np.array(qpoint), cell)
    assert find_order(np.array(qpoint)) == order == round(np.linalg.det(rows))
    assert_allclose(rows @ qpoint, np.rint(rows @ qpoint), atol=1e-9)


def test_that_cell_divides_the_supercell_which_stays_as_it_was():
    atoms, matrix = bulk("Cu"), np.array([[0, 2, 2], [2, 0, 2], [2, 2, 0]])
    rows = find_periodic_cell(np.array([0.5, 0.5, 0]), atoms.cell.array)
    carried = carry_supercell(matrix, rows)
    assert_allclose(carried.T @ rows @ atoms.cell.array, matrix.T @ atoms.cell.array)


def test_a_cell_that_is_not_primitive_is_reduced_without_turning_it():
    atoms = caesium_chloride()
    doubled = make_supercell(atoms, np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 1]]))
    masses = doubled.get_masses()
    primitive, rows = reduce_to_primitive(doubled)
    assert len(primitive) == 2
    assert_allclose(rows @ doubled.cell.array, primitive.cell.array, atol=1e-12)
    assert sorted(primitive.get_masses()) == sorted(atoms.get_masses())
    masses[0] += 1
    doubled.set_masses(masses)
    assert len(reduce_to_primitive(doubled)[0]) == 4


def test_phases_that_a_lattice_vector_does_not_make_of_each_other():
    assert distinct_phases(np.zeros(3)) == (0, np.pi)
    assert distinct_phases(np.array([0.5, 0, 0.5])) == (0,)
    phases = distinct_phases(np.array([1 / 3, 0, 0]))
    assert max(phases) < 2 * np.pi / 3
    assert len(phases) == 4
