import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from phonopy_mlp.errors import SettingsError, StructureError
from phonopy_mlp.symmetry import find_space_group, symmetrise


def test_the_tolerance_decides():
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.rattle(1e-3, seed=1)
    assert find_space_group(atoms, 1e-5).number == 1
    assert str(find_space_group(atoms, 1e-2)) == "Fm-3m (225) at 0.01 A"


def test_symmetrise_restores_the_group_and_moves_little():
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.rattle(1e-3, seed=1)
    projected = symmetrise(atoms, 1e-2)
    assert find_space_group(projected, 1e-5).number == 225
    assert np.abs(projected.positions - atoms.positions).max() < 1e-2
    assert projected.symbols.get_chemical_formula() == atoms.symbols.get_chemical_formula()


def test_atoms_closer_than_the_tolerance_are_an_error():
    atoms = Atoms("Cu2", positions=[[0, 0, 0], [0.6, 0, 0]], cell=[5, 5, 5], pbc=True)
    with pytest.raises(StructureError, match="Try a smaller tolerance"):
        find_space_group(atoms, 1.0)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan])
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance):
    with pytest.raises(SettingsError, match="must be positive"):
        find_space_group(bulk("Cu"), tolerance)
