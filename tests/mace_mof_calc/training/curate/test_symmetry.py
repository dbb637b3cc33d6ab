"""Primitive cells and crystal systems."""

import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from mace_mof_calc import structures
from mace_mof_calc.errors import StructureError
from mace_mof_calc.training.curate.symmetry import SYSTEMS, find_crystal_system, reduce_to_primitive

# One space group of each system, the first and the last of it where that is one number.
CELLS = {
    "triclinic": (2, [5.1, 6.2, 7.3, 81, 95, 103]),
    "monoclinic": (15, [5.1, 6.2, 7.3, 90, 103, 90]),
    "orthorhombic": (74, [5.1, 6.2, 7.3, 90, 90, 90]),
    "tetragonal": (142, [6.2, 6.2, 9.3, 90, 90, 90]),
    "trigonal": (167, [6.2, 6.2, 9.3, 90, 90, 120]),
    "hexagonal": (194, [6.2, 6.2, 9.3, 90, 90, 120]),
    "cubic": (230, [9.3, 9.3, 9.3, 90, 90, 90]),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_system(system):
    number, cell = CELLS[system]
    atoms = crystal("C", [(0.07, 0.13, 0.21)], spacegroup=number, cellpar=cell)
    assert find_crystal_system(atoms)[1] == system
    moved = atoms.copy()
    moved.rattle(0.001, seed=1)
    assert find_crystal_system(moved)[1] == system


def test_primitive_cells():
    cubic = bulk("Cu", cubic=True)
    assert len(reduce_to_primitive(cubic)) == 1
    assert reduce_to_primitive(cubic).get_volume() == pytest.approx(cubic.get_volume() / 4)
    mof5 = structures.load("MOF-5")
    assert reduce_to_primitive(mof5) is mof5
    twice = reduce_to_primitive(mof5 * (2, 1, 1))
    assert twice.get_chemical_formula() == mof5.get_chemical_formula()
    assert twice.get_volume() == pytest.approx(mof5.get_volume())
    assert find_crystal_system(mof5) == ("Fm-3m", "cubic")


def test_atoms_on_top_of_each_other():
    atoms = Atoms("C2", cell=[3, 3, 3], pbc=True)
    with pytest.raises(StructureError, match="spglib finds no symmetry"):
        find_crystal_system(atoms)
    with pytest.raises(StructureError, match="spglib finds no symmetry"):
        reduce_to_primitive(atoms)
