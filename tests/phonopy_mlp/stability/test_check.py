import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from double_wells import DoubleWells, Noisy, Shearing, argon, caesium_chloride
from numpy.testing import assert_allclose
from phonopy.physical_units import get_physical_units
from springs import ExactSprings, Springs

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.relax import relax
from phonopy_mlp.stability.cells import find_periodic_cell, make_pattern
from phonopy_mlp.stability.check import check_stability
from phonopy_mlp.stability.long_waves import LongWaves, confirm_with_energies, distinct_directions
from phonopy_mlp.stability.noise import STIFFENING, estimate_force_constant_error, frequency_noise

THZ = get_physical_units().DefaultToTHz
CS, CL = caesium_chloride().get_masses()


def check(atoms, calculator, *dimensions):
    return check_stability(atoms, calculator, supercell_matrix=np.diag(dimensions))


def test_the_frequency_of_a_ferroelectric_mode_is_that_of_its_curvature():
    found = check(caesium_chloride(), DoubleWells((5, 5, -1)), 2, 2, 2)
    mode = found.unstable_modes[0]
    reduced = CS * CL / (CS + CL)
    assert_allclose(mode.qpoint, 0)
    assert mode.frequency == pytest.approx(-THZ * np.sqrt(1 / reduced), rel=1e-5)
    # Each atom's share of the motion is the other's share of the mass.
    assert mode.effective_mass == pytest.approx((CS + CL) / (CS / CL + CL / CS), rel=1e-9)


def test_the_frequency_of_an_alternating_mode_is_that_of_its_curvature():
    found = check(caesium_chloride(), DoubleWells((5, 5, 1), coupling=-0.1), 2, 2, 2)
    (mode,) = found.unstable_modes
    assert_allclose(mode.qpoint, 0.5)
    assert mode.frequency == pytest.approx(-THZ * np.sqrt(0.2 / CL), rel=1e-4)
    assert mode.effective_mass == pytest.approx(CL, rel=1e-9)
    assert found.long_waves is not None


WAVES = [
    ((0, 0, 0), 0.0),
    ((0.5, 0.5, 0.5), 0.0),
    ((1 / 3, 0, 0), 0.0),
    ((1 / 3, 0, 0), 1.0),
    ((0.25, 0.5, 0), 0.0),
    ((0.25, 0.5, 0), 1.0),
]


@pytest.mark.parametrize(("qpoint", "phase"), WAVES)
def test_the_energy_along_a_pattern_bends_as_the_frequency_says(qpoint, phase):
    atoms, calculator = caesium_chloride(), DoubleWells((-1, -1, -1), coupling=-0.05)
    order = np.lcm.reduce([round(1 / x) for x in qpoint if x] or [1])
    found = check(atoms, calculator, *(order if x else 1 for x in qpoint))
    (mode, *_) = [mode for mode in found.unstable_modes if np.allclose(mode.qpoint, qpoint)]
    supercell, pattern = make_pattern(atoms, mode, find_periodic_cell(mode.qpoint, atoms.cell.array), phase)
    assert len(supercell) == len(atoms) * order
    assert np.linalg.norm(pattern, axis=1).max() == pytest.approx(1)
    step, energies = 1e-3, []
    for amplitude in (-step, 0.0, step):
        moved = supercell.copy()
        moved.positions += amplitude * pattern
        energies.append(calculator.get_property("energy", moved))
    bend = (energies[0] - 2 * energies[1] + energies[2]) / step**2
    inertia = (supercell.get_masses()[:, None] * pattern**2).sum()
    assert bend / inertia == pytest.approx(-((mode.frequency / THZ) ** 2), rel=1e-3)


def test_a_stable_crystal_has_nothing():
    found = check(caesium_chloride(), DoubleWells((5, 5, 1)), 2, 2, 2)
    assert found.stable
    assert (found.unstable_modes, found.modes_within_noise, found.unstable_waves) == ((), (), ())
    assert found.born_stable is None


def test_long_waves_are_not_judged_before_gamma_is_stable():
    found = check(caesium_chloride(), DoubleWells((5, 5, -1)), 1, 1, 1)
    assert found.long_waves is None
    assert not found.stable


def test_an_instability_of_long_waves_alone_is_found_with_its_direction():
    found = check(argon(), Shearing(alpha=0.5), 4, 4, 4)
    assert found.unstable_modes == ()
    assert found.modes.lowest > 1
    assert not found.stable
    wave = found.unstable_waves[0]
    assert sorted(wave.indices) == [0, 0, 1]
    assert_allclose(np.abs(wave.direction @ wave.polarisation), 0, atol=1e-6)
    assert_allclose(wave.direction[2] + wave.polarisation[2], 0, atol=1e-6)
    square_velocity = -((2 * np.pi * THZ / 10) ** 2) * 0.5 / argon().get_masses()[0]
    assert wave.square_velocity == pytest.approx(square_velocity, rel=1e-3)
    assert wave.energy_square_velocity == pytest.approx(square_velocity, rel=1e-2)


CRYSTALS = [
    (bulk("Cu"), EMT(), 4),
    # Atoms of a close-packed hexagonal crystal follow a shear of the basal plane.
    (bulk("Mg", "hcp", a=2.5, c=4.08), Springs(3.0, 2.5, 3.2), 4),
    (argon(), Shearing(), 4),
]


@pytest.mark.parametrize(("atoms", "calculator", "size"), CRYSTALS, ids=["EMT", "hcp", "shearing"])
def test_sound_velocities_are_those_of_strained_cells(atoms, calculator, size):
    relaxed = relax(atoms, calculator).atoms
    waves = check(relaxed, calculator, size, size, size).long_waves
    tested = confirm_with_energies(LongWaves(waves.waves, -np.inf), relaxed, calculator)
    assert len(tested.waves) >= 3 * 6
    largest = max(wave.square_velocity for wave in tested.waves)
    for wave in tested.waves:
        assert wave.energy_square_velocity == pytest.approx(wave.square_velocity, abs=5e-3 * largest)


def test_a_supercell_too_small_for_long_waves_is_contradicted_by_energies():
    found = check(caesium_chloride(), DoubleWells((5, 5, 1), coupling=-0.07), 1, 1, 1)
    assert all(wave.energy_square_velocity > 0 for wave in found.contradicted_waves)
    assert found.unstable_waves == ()


def test_directions_are_reduced_by_symmetry():
    assert len(distinct_directions(np.eye(3, dtype=int)[None])) == 49
    cubic = make_phonopy(caesium_chloride([4, 4, 4]), np.eye(3)).primitive_symmetry.reciprocal_operations
    kinds = {tuple(sorted(map(abs, n))) for n in distinct_directions(cubic).tolist()}
    assert kinds == {(0, 0, 1), (0, 1, 1), (1, 1, 1), (0, 1, 2), (1, 1, 2), (1, 2, 2)}
    assert len(distinct_directions(cubic)) == 6


def test_a_frequency_within_the_noise_of_the_forces_is_not_an_instability():
    reduced = CS * CL / (CS + CL)
    soft = -reduced * (0.05 / THZ) ** 2
    found = check(caesium_chloride(), Noisy((5, 5, soft)), 2, 2, 2)
    assert found.stable
    assert found.modes.count_imaginary() > 0
    (mode, *_) = found.modes_within_noise
    assert 0.05 < found.noise(mode) < 1
    assert check(caesium_chloride(), DoubleWells((5, 5, soft)), 2, 2, 2).unstable_modes


def test_noise_has_its_parts():
    result = compute_force_constants(make_phonopy(caesium_chloride(), np.diag([2, 2, 2])), DoubleWells((5, 5, 1)))
    exact = estimate_force_constant_error(result, 0.0)
    assert exact == pytest.approx(np.sqrt(8) * result.change, rel=1e-3)
    assert estimate_force_constant_error(result, 1e-4) == pytest.approx(np.sqrt(8) * 1e-4 / 0.001, rel=1e-3)
    shifted = caesium_chloride()
    shifted.positions[1, 2] += 0.01
    result = compute_force_constants(make_phonopy(shifted, np.eye(3)), DoubleWells((5, 5, 1)))
    assert estimate_force_constant_error(result, 0.0) >= STIFFENING * 0.01
    assert frequency_noise(4.0, 1.0) == pytest.approx(2 * THZ)


def test_random_displacements_have_a_step_as_well():
    phonon = make_phonopy(bulk("Cu"), np.diag([2, 2, 2]))
    phonon.generate_displacements(distance=0.02, number_of_snapshots=4, random_seed=1)
    pytest.importorskip("symfc")
    result = compute_force_constants(phonon, EMT())
    assert estimate_force_constant_error(result, 1e-2) >= np.sqrt(8) * 1e-2 / 0.02


def test_linear_response_is_used_where_offered():
    atoms = bulk("Cu", a=2.5 * np.sqrt(2))
    springs = ExactSprings(5.0, 2.5, 3.0)
    found = check(atoms, springs, 2, 2, 2)
    assert found.force_constants.method == "linear-response"
    assert springs.responses == 1
    assert found.stable
    assert estimate_force_constant_error(found.force_constants, 1e-4) == pytest.approx(np.sqrt(8) * 1e-4, rel=1e-3)


@pytest.mark.parametrize("matrix", [np.eye(2), -np.eye(3), [2, 2, 2]])
def test_a_supercell_matrix_that_is_none_is_refused(matrix):
    with pytest.raises(SettingsError, match="Supercell matrix"):
        check_stability(bulk("Cu"), EMT(), supercell_matrix=matrix)
