import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from numpy.testing import assert_allclose
from springs import ExactSprings, Springs

from phonopy_mlp.cli.messages import describe_plan
from phonopy_mlp.errors import CalculatorError, SettingsError
from phonopy_mlp.force_constants import choose_method, compute_force_constants, displace, make_phonopy
from phonopy_mlp.linear_response import linear_forces

K, LENGTH = 4.0, 2.5


def crystal(supercell, *, cubic: bool = False):
    return make_phonopy(bulk("Cu", a=LENGTH * np.sqrt(2), cubic=cubic), np.array(supercell))


SUPERCELLS = {
    "diagonal": np.diag([3, 3, 3]),
    "long": np.diag([2, 3, 4]),
    "skewed": [[-2, 2, 2], [2, -2, 2], [2, 2, -2]],
    "sheared": [[3, 1, 0], [0, 3, 0], [1, 0, 4]],
}


@pytest.mark.parametrize("cubic", [True, False])
@pytest.mark.parametrize("name", SUPERCELLS)
def test_it_is_what_displacements_give(name, cubic):
    exact = compute_force_constants(crystal(SUPERCELLS[name], cubic=cubic), ExactSprings(K, LENGTH, 3.0))
    assert exact.method == "linear-response"
    differences = compute_force_constants(
        crystal(SUPERCELLS[name], cubic=cubic), Springs(K, LENGTH, 3.0), distance=1e-5, is_plusminus=True
    )
    assert differences.method == "finite-displacement"
    assert_allclose(exact.force_constants, differences.force_constants, atol=1e-5)
    assert exact.drift < 1e-12
    assert exact.change < 1e-12


def test_a_supercell_smaller_than_the_reach_adds_the_images_up():
    small = compute_force_constants(crystal(np.diag([1, 1, 1])), ExactSprings(K, LENGTH, 3.0), symmetrise=False)
    assert np.abs(small.force_constants).max() < 1e-12


def test_a_larger_supercell_asks_for_no_more():
    primitive = {}
    for size in (2, 3, 4):
        calculator = ExactSprings(K, LENGTH, 3.0)
        result = compute_force_constants(crystal(np.diag([size] * 3)), calculator)
        assert calculator.responses == 1
        primitive[size] = result.phonon.run_qpoints([[0.5, 0, 0]]).frequencies[0]
    # Springs between nearest neighbours fit into each of the even ones.
    assert_allclose(primitive[4], primitive[2], atol=1e-9)


def test_one_sign_of_each_displacement_is_enough():
    phonon, calculator = crystal(np.diag([2, 2, 2])), ExactSprings(K, LENGTH, 3.0)
    result = compute_force_constants(phonon, calculator)
    assert (result.evaluations, calculator.responses) == (1, 1)
    assert result.residual_force < 1e-12


def test_the_method_is_chosen_by_what_the_calculator_offers_and_what_was_given():
    exact, other = ExactSprings(K, LENGTH, 3.0), EMT()
    assert choose_method(exact, "auto", given=False) == "linear-response"
    assert choose_method(exact, "auto", given=True) == "finite-displacement"
    assert choose_method(exact, "finite-displacement", given=False) == "finite-displacement"
    assert choose_method(exact, "linear-response", given=True) == "linear-response"
    assert choose_method(other, "auto", given=False) == "finite-displacement"
    with pytest.raises(SettingsError, match="does not differentiate"):
        choose_method(other, "linear-response", given=False)
    exact.has_linear_response = False
    assert choose_method(exact, "auto", given=False) == "finite-displacement"


def test_random_displacements_are_refused():
    phonon = crystal(np.diag([2, 2, 2]))
    displace(phonon, 0.01, number_of_snapshots=2, random_seed=1)
    with pytest.raises(SettingsError, match="one atom at a time"):
        linear_forces(phonon, ExactSprings(K, LENGTH, 3.0))


def test_a_plan_measures_what_a_run_does():
    class Listed(ExactSprings):
        def atom_response(self, atoms, index, directions):
            seen.append((index, directions.tolist()))
            return super().atom_response(atoms, index, directions)

    atoms = bulk("Cu", a=LENGTH * np.sqrt(2), cubic=True)
    phonon = make_phonopy(atoms, np.diag([2, 2, 2]), primitive_matrix="P", is_symmetry=False)
    displace(phonon, 0.01, is_plusminus=False)
    seen = []
    plan = describe_plan(
        phonon, bulk("Cu", a=LENGTH * np.sqrt(2), cubic=True), Listed(K, LENGTH, 3.0), "linear-response"
    )
    measured = list(seen)
    seen.clear()
    linear_forces(phonon, Listed(K, LENGTH, 3.0))
    assert measured == [seen[0]] * 2
    assert len(seen) == 4
    assert "Response to one atom" in plan


def test_a_plan_of_random_displacements_is_refused():
    phonon = crystal(np.diag([2, 2, 2]))
    displace(phonon, 0.01, number_of_snapshots=2, random_seed=1)
    with pytest.raises(SettingsError, match="one atom at a time"):
        describe_plan(phonon, bulk("Cu"), ExactSprings(K, LENGTH, 3.0), "linear-response")


def test_a_failing_calculator_names_the_unit_cell():
    class Broken(ExactSprings):
        def atom_response(self, atoms, index, directions):
            raise RuntimeError("out of memory")

    with pytest.raises(CalculatorError, match=r"unit cell \(Cu\).*out of memory"):
        compute_force_constants(crystal(np.diag([2, 2, 2])), Broken(K, LENGTH, 3.0))
