import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from numpy.testing import assert_allclose
from springs import Springs, fcc_frequencies_at_x

from phonopy_mlp.errors import SettingsError, StructureError
from phonopy_mlp.force_constants import (
    NOISY_DISTANCE,
    compute_force_constants,
    default_distance,
    force_constants_from_dataset,
    make_phonopy,
)

K, LENGTH = 4.0, 2.5


def spring_crystal(size: int = 2):
    atoms = bulk("Cu", a=LENGTH * np.sqrt(2))
    return make_phonopy(atoms, np.diag([size] * 3)), Springs(K, LENGTH, 3.0)


def rattled():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=5)
    return make_phonopy(atoms, np.diag([2, 2, 2]), primitive_matrix="P")


def test_springs_have_their_known_frequencies():
    phonon, calculator = spring_crystal()
    result = compute_force_constants(phonon, calculator, distance=1e-4)
    result.phonon.run_qpoints([[0.5, 0, 0.5]])
    mass = phonon.masses[0]
    assert_allclose(result.phonon.qpoints.frequencies[0], fcc_frequencies_at_x(K, mass), rtol=1e-6)


def test_sum_rule_and_permutation_hold_to_rounding():
    result = compute_force_constants(rattled(), EMT())
    constants = result.force_constants
    assert np.abs(constants.sum(axis=1)).max() < 1e-12
    assert result.drift > 1e-8
    phonon = result.phonon
    on_primitive = constants[:, phonon.primitive.p2s_map]
    assert_allclose(on_primitive, on_primitive.transpose(1, 0, 3, 2), atol=1e-12)


def test_unsymmetrised_constants_are_phonopys_own():
    phonon, calculator = rattled(), EMT()
    result = compute_force_constants(phonon, calculator, symmetrise=False)
    assert result.change == 0
    theirs = type(phonon)(phonon.unitcell, phonon.supercell_matrix, primitive_matrix="P", log_level=0)
    theirs.dataset = phonon.dataset
    theirs.produce_force_constants(calculate_full_force_constants=False)
    assert_allclose(result.force_constants, theirs.force_constants, atol=1e-10)


def test_residual_forces_do_not_enter():
    phonon = rattled()
    result = compute_force_constants(phonon, EMT(), distance=1e-3, is_plusminus=False, symmetrise=False)
    exact = compute_force_constants(rattled(), EMT(), distance=1e-4, is_plusminus=True, symmetrise=False)
    assert result.residual_force > 0.1
    assert_allclose(result.force_constants, exact.force_constants, atol=2e-2)


def test_a_dataset_with_forces_needs_no_calculator():
    phonon, calculator = spring_crystal()
    first = compute_force_constants(phonon, calculator)
    again = make_phonopy(bulk("Cu", a=LENGTH * np.sqrt(2)), np.diag([2, 2, 2]))
    again.dataset = phonon.dataset
    second = force_constants_from_dataset(again)
    assert_allclose(second.force_constants, first.force_constants, atol=1e-10)
    assert (second.evaluations, second.residual_force) == (0, None)


def test_random_displacements_give_the_same_constants():
    phonon, calculator = spring_crystal()
    phonon.generate_displacements(distance=1e-4, number_of_snapshots=4, random_seed=1)
    random = compute_force_constants(phonon, calculator)
    regular = compute_force_constants(*spring_crystal(), distance=1e-4)
    assert random.evaluations == 5
    assert_allclose(random.force_constants, regular.force_constants, atol=1e-3)


def test_a_noisy_calculator_gets_long_displacements():
    noisy = EMT()
    noisy.describe = lambda: {"force_noise": 1e-6}
    assert default_distance(noisy) == NOISY_DISTANCE
    assert default_distance(EMT()) == 0.001


def test_isotopes_do_not_get_the_mass_of_the_first():
    atoms = bulk("Cu", cubic=True)
    atoms.set_masses([63.0, 65.0, 63.0, 65.0])
    with pytest.raises(SettingsError, match=r"Isotopes in Cu4.*one mass"):
        make_phonopy(atoms, np.eye(3))
    assert_allclose(make_phonopy(atoms, np.eye(3), primitive_matrix="P").primitive.masses, atoms.get_masses())


def test_the_result_cannot_be_changed():
    result = compute_force_constants(*spring_crystal())
    with pytest.raises(ValueError, match="read-only"):
        result.force_constants[0] = 0


@pytest.mark.parametrize("distance", [0, -0.1, np.nan])
def test_a_displacement_that_makes_no_sense_is_refused(distance):
    with pytest.raises(SettingsError, match="must be positive"):
        compute_force_constants(*spring_crystal(), distance=distance)


def test_a_left_handed_cell_is_refused_before_phonopy_sees_it():
    atoms = bulk("Cu")
    atoms.set_cell(-atoms.cell.array)
    with pytest.raises(StructureError, match="left-handed"):
        make_phonopy(atoms, np.diag([2, 2, 2]))
    atoms.set_cell(-atoms.cell.array)
    assert len(make_phonopy(atoms, np.diag([2, 2, 2])).supercell) == 8
