"""Labels of one frame."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import CalculationFailed, Calculator
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from mace_mof_calc.frames import FORCES, STRESS, Labels, get_labels
from mace_mof_calc.training.label.compute import compute_labels, label_frame
from mace_mof_calc.training.label.isolated import is_isolated, make_isolated_atoms


class Given(Calculator):
    """Has the results that it is given."""

    def __init__(self, **results):
        super().__init__()
        self.implemented_properties = list(results)
        self.given = results

    def calculate(self, atoms=None, properties=None, system_changes=None):
        super().calculate(atoms)
        self.results = dict(self.given)


def test_labels_are_those_of_the_calculator():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    labels = compute_labels(atoms, EMT())
    assert atoms.calc is None
    atoms.calc = EMT()
    assert labels.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(labels.forces, atoms.get_forces(), atol=1e-12)
    np.testing.assert_allclose(labels.stress, atoms.get_stress(), atol=1e-12)


def test_fixed_atoms_have_their_forces():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    free = compute_labels(atoms, EMT()).forces
    atoms.set_constraint(FixAtoms([0, 1]))
    np.testing.assert_array_equal(compute_labels(atoms, EMT()).forces, free)
    assert np.abs(free[:2]).min() > 1e-3


def test_the_energy_is_what_the_forces_are_the_derivative_of():
    atoms = bulk("Cu")
    smeared = Given(energy=-1.0, free_energy=-1.25, forces=np.zeros((1, 3)), stress=np.zeros(6))
    assert compute_labels(atoms, smeared).energy == -1.25
    assert compute_labels(atoms, Given(energy=-1.0, forces=np.zeros((1, 3)))).energy == -1.0


def test_no_stress_without_three_periodic_axes_or_where_there_is_none():
    assert compute_labels(molecule("H2"), EMT()).stress is None
    assert compute_labels(bulk("Cu"), Given(energy=0.0, forces=np.zeros((1, 3)))).stress is None


@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
def test_what_is_not_finite_is_an_error(name):
    results = {"energy": 0.0, "forces": np.zeros((1, 3)), "stress": np.zeros(6)}
    results[name] = results[name] + np.inf
    with pytest.raises(CalculationFailed, match=f"^{name} not finite"):
        compute_labels(bulk("Cu"), Given(**results))


def test_labels_of_before_are_replaced():
    atoms = bulk("Cu")
    atoms.info["source"] = "copper"
    old = label_frame(atoms, Labels(1.0, np.ones((1, 3)), np.ones(6)), "old")
    new = label_frame(old, Labels(2.0, np.zeros((1, 3)), None), "new")
    assert STRESS not in new.info
    assert (get_labels(new).energy, new.info["level_of_theory"], new.info["source"]) == (2.0, "new", "copper")
    assert (old.arrays[FORCES] == 1.0).all()


def test_isolated_atoms_are_one_of_each_element():
    frames = make_isolated_atoms([bulk("NaCl", "rocksalt", a=5.6), Atoms("HCl")])
    assert [atoms.get_chemical_formula() for atoms in frames] == ["H", "Na", "Cl"]
    assert all(is_isolated(atoms) and not atoms.pbc.any() and min(atoms.cell.lengths()) >= 15.0 for atoms in frames)
    assert not is_isolated(Atoms("H"))


def test_isolated_atoms_are_what_the_trainer_takes_them_for(tmp_path):
    from mace_mof_calc.backend import import_mace
    from mace_mof_calc.frames import write_frames

    import_mace()
    from mace.data import KeySpecification
    from mace.data.utils import load_from_xyz

    labels = Labels(-3.5, np.zeros((1, 3)), None)
    atoms = [label_frame(each, labels, "none") for each in make_isolated_atoms([Atoms("Zn")])]
    write_frames(tmp_path / "a.extxyz", [*atoms, label_frame(bulk("Zn"), Labels(1.0, np.zeros((2, 3)), None), "none")])
    keys = KeySpecification(
        info_keys={"energy": "REF_energy", "stress": "REF_stress", "head": "head"}, arrays_keys={"forces": "REF_forces"}
    )
    energies, rest = load_from_xyz(str(tmp_path / "a.extxyz"), keys, extract_atomic_energies=True)
    assert energies == {30: -3.5}
    assert len(rest) == 1
