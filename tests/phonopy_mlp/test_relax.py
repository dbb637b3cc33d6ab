import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa
from numpy.testing import assert_allclose
from scipy.linalg import logm, polar
from scipy.optimize import brentq
from springs import BondedSprings, Springs

import phonopy_mlp.relax as relax_module
from phonopy_mlp.errors import CalculatorError, ConvergenceError, SettingsError
from phonopy_mlp.newton import make_newton
from phonopy_mlp.relax import quiet, relax
from phonopy_mlp.stability.descent import descend


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
    with pytest.raises(ConvergenceError, match=r"after 2 steps.*the volume became 0\.\d+ times"):
        relax(bulk("Cu", cubic=True, a=3.7), EMT(), max_steps=2)


def test_not_converging_may_be_allowed_and_is_told():
    result = relax(bulk("Cu", cubic=True, a=3.7), EMT(), max_steps=2, must_converge=False)
    assert (result.converged, result.steps) == (False, 2)
    assert result.residual_stress > 1e-6
    assert relax(bulk("Cu"), EMT()).converged


WRONG = [
    ({"fmax": 0.0}, "goal 0"),
    ({"fmax": np.nan}, "goal nan"),
    ({"max_steps": 0}, "0 relaxation steps"),
    ({"cell": "soft"}, "'soft'"),
    ({"pressure": 1.0, "cell": "fixed"}, "1 GPa"),
    ({"pressure": np.inf}, "inf GPa"),
    ({"fixed": [1]}, "atoms 0 to 0"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        relax(bulk("Cu"), EMT(), **wrong)


def sheared_zinc():
    """Hexagonal cell of springs whose ideal shape is another one at this volume."""
    atoms = bulk("Zn", "hcp", a=2.6, c=3.9)
    atoms.rattle(0.02, seed=1)
    return atoms


def test_pressure_is_what_the_stress_becomes():
    result = relax(bulk("Cu", cubic=True), EMT(), pressure=2.0)
    atoms = result.atoms
    assert_allclose(EMT().get_stress(atoms)[:3], -2.0 * GPa, atol=1e-7)
    assert result.residual_stress < 1e-7
    assert result.volume_change < 0
    assert (result.pressure, result.cell) == (2.0, "free")


def test_constant_volume_relaxes_positions_and_shape():
    atoms, springs = sheared_zinc(), Springs(k=5.0, r0=2.5, cutoff=3.4)
    result = relax(atoms, springs, cell="constant-volume")
    assert result.atoms.get_volume() == pytest.approx(atoms.get_volume(), rel=1e-10)
    stress = springs.get_stress(result.atoms)
    assert_allclose(stress[:3], stress[:3].mean(), atol=1e-7)
    assert_allclose(stress[3:], 0, atol=1e-7)
    assert result.residual_stress < 1e-7 < np.abs(stress).max()
    assert not np.allclose(result.atoms.cell.cellpar(), atoms.cell.cellpar(), rtol=1e-3)


def test_a_fixed_cell_stays_and_needs_no_stress():
    class NoStress(EMT):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012

    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=2)
    result = relax(atoms, NoStress(), cell="fixed")
    assert_allclose(result.atoms.cell.array, atoms.cell.array, atol=0)
    assert result.residual_force < 1e-6
    assert result.residual_stress == 0
    with pytest.raises(CalculatorError, match="stress"):
        relax(atoms, NoStress())


def test_fixed_atoms_keep_their_place_in_the_cell():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=2)
    result = relax(atoms, EMT(), fixed=[0, 2])
    moved = result.atoms.get_scaled_positions() - atoms.get_scaled_positions()
    assert_allclose(moved[[0, 2]], 0, atol=1e-12)
    assert np.abs(moved[[1, 3]]).max() > 1e-3
    assert result.residual_force < 1e-6
    assert not result.atoms.constraints


class Expanding(Springs):
    """Springs under a tension that nothing balances."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": -atoms.get_volume(),
            "forces": np.zeros((len(atoms), 3)),
            "stress": np.array([-1.0, -1.0, -1.0, 0, 0, 0]),
        }


def test_a_cell_that_runs_away_is_an_error_with_its_reason():
    with pytest.raises(ConvergenceError, match="no minimum near"):
        relax(bulk("Cu", cubic=True), Expanding(1.0, 1.0, 1.0))


def test_forces_are_below_the_goal_however_far_the_cell_has_gone():
    atoms = bulk("Cu", cubic=True, a=4.4)
    atoms.rattle(0.1, seed=4)
    result = relax(atoms, EMT())
    assert result.volume_change < -0.4
    assert result.residual_force <= result.fmax


def test_after_a_round_that_stalled_another_optimiser_goes_on(monkeypatch):
    used = []
    for name in ("LBFGS", "FIRE"):
        original = getattr(relax_module, name)

        def make(*args, original=original, name=name, **kwargs):
            used.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(relax_module, name, make)
    monkeypatch.setattr(relax_module, "_STEPS_PER_ROUND", 1)
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.2, seed=2)
    relax(atoms, EMT(), max_steps=40, must_converge=False)
    assert used[0] == "LBFGS"
    assert "FIRE" in used


@pytest.fixture
def stiff_and_soft(monkeypatch):
    """A crystal with springs of 100 and of 0.01 eV/A^2, off its minimum, and a relaxation whose rounds are short."""
    monkeypatch.setattr(relax_module, "_STEPS_PER_ROUND", 1)
    rng = np.random.default_rng(3)
    atoms = bulk("Cu", a=4.0, cubic=True) * (2, 1, 1)
    atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
    calculator = BondedSprings.within(atoms, 4.2, lambda i, j, d: 100.0 if d < 2.8 else 0.01)
    moved = atoms.copy()
    moved.positions += rng.normal(scale=1e-3, size=atoms.positions.shape)
    return atoms, moved, calculator


@pytest.mark.parametrize("options", [{"cell": "fixed"}, {"cell": "fixed", "fixed": [0]}, {}])
def test_the_exact_hessian_finishes_what_one_step_of_lbfgs_did_not(stiff_and_soft, options):
    rest, moved, calculator = stiff_and_soft
    if "fixed" in options:
        moved.positions[0] = rest.positions[0]
    result = relax(moved, calculator, **options, max_steps=40)
    assert result.residual_force < 1e-6
    assert calculator.get_potential_energy(result.atoms) < 1e-10
    assert result.steps < 30


def test_the_exact_hessian_keeps_the_volume_that_is_to_stay(stiff_and_soft):
    _, moved, calculator = stiff_and_soft
    moved.set_cell(moved.cell.array @ (np.eye(3) + np.diag([0.01, -0.005, 0.003])), scale_atoms=True)
    result = relax(moved, calculator, cell="constant-volume", max_steps=400)
    assert result.atoms.get_volume() == pytest.approx(moved.get_volume(), rel=1e-10)
    assert result.residual_force < 1e-6
    assert result.residual_stress < 1e-6
    assert result.steps < 100


@pytest.fixture
def newtons(monkeypatch):
    """Let L-BFGS do one step in a round, and count how often the exact Hessian goes on."""
    made = []

    def make(*args):
        made.append(args)
        return make_newton(*args)

    monkeypatch.setattr(relax_module, "_STEPS_PER_ROUND", 1)
    monkeypatch.setattr(relax_module, "make_newton", make)
    return made


@pytest.mark.parametrize("pressure", [5.0, -2.0])
def test_the_exact_hessian_finds_the_minimum_under_pressure(newtons, pressure):
    """Simple cubic with springs along edges and face diagonals, known from its one length."""
    edge, k, diagonal = 3.0, 20.0, 2.0
    atoms = bulk("Po", "sc", a=edge) * (2, 1, 1)
    springs = BondedSprings.within(atoms, 1.5 * edge, lambda i, j, d: k if d < 1.1 * edge else diagonal)
    atoms.set_cell(atoms.cell.array @ [[1.01, 0.02, 0], [0, 0.99, -0.01], [0, 0, 1.02]], scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    result = relax(atoms, springs, pressure=pressure)
    # Per atom, dE/da of three edges and six diagonals is -p dV/da.
    length = brentq(lambda a: (3 * k + 12 * diagonal) * (a - edge) + 3 * pressure * GPa * a**2, 2.0, 4.0)
    assert newtons
    assert_allclose(result.atoms.cell.cellpar(), [2 * length, length, length, 90, 90, 90], rtol=1e-6)
    assert result.atoms.get_distance(0, 1) == pytest.approx(length, rel=1e-6)
    assert result.residual_stress < 1e-7
    # Nothing turns the crystal, and the step of a force that is almost none is not long.
    turned, _ = polar(np.linalg.solve(atoms.cell.array, result.atoms.cell.array))
    assert np.trace(turned) > 1 + 2 * np.cos(np.deg2rad(0.02))
    assert result.steps < 12


@pytest.mark.parametrize("pressure", [0.0, 5.0])
@pytest.mark.parametrize("cell", ["free", "constant-volume"])
def test_the_exact_hessian_keeps_the_symmetry_that_is_to_stay(newtons, monkeypatch, pressure, cell):
    rest = Atoms("CuAu", cell=[3.0, 3.0, 4.0], scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.4]], pbc=True)
    springs = BondedSprings.within(rest, 4.5, lambda i, j, d: 50.0 if d < 2.8 else 0.5)
    moved = rest.copy()
    moved.set_cell([3.05, 3.05, 3.9], scale_atoms=True)
    moved.positions[1, 2] += 0.1
    settings = {"fix_symmetry": 1e-3, "cell": cell, "pressure": pressure if cell == "free" else 0.0}
    result = relax(moved, springs, **settings)
    assert len(newtons) > 0
    assert [group.number for group in (*result.initial_groups, *result.final_groups)] == [99] * 4
    monkeypatch.setattr(relax_module, "_STEPS_PER_ROUND", 250)
    springs.has_linear_response = False
    by_lbfgs = relax(moved, springs, **settings)
    assert result.energy == pytest.approx(by_lbfgs.energy, abs=1e-7)
    assert_allclose(result.atoms.cell.array, by_lbfgs.atoms.cell.array, atol=1e-5)
    distances = [each.get_all_distances() for each in (result.atoms, by_lbfgs.atoms)]
    assert_allclose(*distances, atol=1e-5)
    if cell == "constant-volume":
        assert result.volume_change == pytest.approx(0, abs=1e-12)
    elif pressure == 0:
        assert_allclose(result.atoms.cell.array, rest.cell.array, atol=1e-5)
        assert result.energy == pytest.approx(0, abs=1e-9)


def test_rounding_in_the_logarithm_of_the_cells_deformation_is_no_warning(stiff_and_soft, monkeypatch):
    asked = []

    def doubtful(matrix):
        asked.append(matrix)
        warnings.warn("logm result may be inaccurate, approximate err = 2e-13", RuntimeWarning, stacklevel=2)
        return logm(matrix)

    monkeypatch.setattr("scipy.linalg.logm", doubtful)
    _, moved, calculator = stiff_and_soft
    # Every warning is an error here: of L-BFGS, of the exact Hessian, and of FIRE.
    relax(moved, calculator, max_steps=40)
    descend(moved, calculator, below=np.inf, fmax=1e-3, cell="free", pressure=0.0, fixed=())
    assert asked


@pytest.mark.parametrize("error", ["1.1e-08", "4e-05", "0.3", "nan"])
def test_a_logarithm_that_is_far_off_is_a_warning(error):
    with pytest.warns(RuntimeWarning, match=f"err = {error}"), quiet():
        warnings.warn(f"logm result may be inaccurate, approximate err = {error}", RuntimeWarning, stacklevel=2)


def test_without_linear_response_the_same_takes_many_steps(stiff_and_soft):
    _, moved, calculator = stiff_and_soft
    calculator.has_linear_response = False
    with pytest.raises(ConvergenceError):
        relax(moved, calculator, cell="fixed", max_steps=100)


@pytest.mark.parametrize("tolerance", [0, -1e-3, np.nan])
def test_symmetry_is_kept_at_a_positive_tolerance(tolerance):
    with pytest.raises(SettingsError, match="must be positive"):
        relax(bulk("Cu"), EMT(), fix_symmetry=tolerance)
