import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from numpy.testing import assert_allclose
from springs import Springs

from phonopy_mlp.errors import ConvergenceError, SettingsError
from phonopy_mlp.relax import relax


def test_springs_come_to_rest_at_their_length():
    atoms = bulk("Cu", a=3.7, cubic=True)
    atoms.rattle(0.05, seed=2)
    result = relax(atoms, Springs(k=5.0, r0=2.5, cutoff=3.1))
    assert result.residual_force < 1e-6
    assert result.energy == pytest.approx(0, abs=1e-10)
    assert result.atoms.get_volume() == pytest.approx((2.5 * np.sqrt(2)) ** 3, rel=1e-6)
    assert result.volume_change == pytest.approx((2.5 * np.sqrt(2) / 3.7) ** 3 - 1, rel=1e-6)


def test_the_input_stays_as_it_was_and_the_result_cannot_be_changed():
    atoms = bulk("Cu", cubic=True)
    before = atoms.positions.copy()
    result = relax(atoms, EMT())
    assert_allclose(atoms.positions, before)
    result.atoms.positions += 1
    assert result.atoms.positions[0, 0] < 0.5


def test_symmetry_is_kept_when_asked():
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array * [[1.02], [1.02], [1]], scale_atoms=True)
    result = relax(atoms, EMT(), fix_symmetry=1e-3, fmax=1e-4)
    assert result.final_groups[0].number == result.initial_groups[0].number == 139


def test_progress_is_told():
    steps = []
    relax(bulk("Cu", cubic=True, a=3.7), EMT(), on_step=lambda step, largest: steps.append((step, largest)))
    assert steps[-1][1] <= 1e-6
    assert [step for step, _ in steps] == sorted(step for step, _ in steps)


class Exploding(EMT):
    """Forces that stop being numbers after the first step."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if atoms.get_volume() < 50.0:
            self.results["forces"] = np.full((len(atoms), 3), np.nan)


def test_forces_that_are_not_numbers_are_an_error():
    with pytest.raises(ConvergenceError, match="not finite"):
        relax(bulk("Cu", cubic=True, a=3.7), Exploding())


def test_not_converging_is_an_error():
    with pytest.raises(ConvergenceError, match="after 2 steps"):
        relax(bulk("Cu", cubic=True, a=3.7), EMT(), max_steps=2)


@pytest.mark.parametrize("wrong", [{"fmax": 0.0}, {"fmax": np.nan}, {"max_steps": 0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(SettingsError):
        relax(bulk("Cu"), EMT(), **wrong)
