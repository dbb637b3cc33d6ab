import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa
from double_wells import SHEARED_EDGES, DoubleWells, Noisy, Shearing, Single, argon, caesium_chloride
from numpy.testing import assert_allclose
from phonopy.physical_units import get_physical_units
from springs import BondedSprings, ExactSprings, Springs, triclinic_springs

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.relax import relax
from phonopy_mlp.stability.cells import find_periodic_cell, make_pattern
from phonopy_mlp.stability.check import check_stability
from phonopy_mlp.stability.long_waves import LongWaves, compute_long_waves, confirm_with_energies, distinct_directions
from phonopy_mlp.stability.noise import STIFFENING, estimate_force_constant_error, frequency_noise, measure_scatter
from phonopy_mlp.stability.strains import confirm_strains, find_soft_strains

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
    assert found.soft_strains == ()
    assert found.born_stable is True


def test_long_waves_and_strains_are_not_judged_before_gamma_is_stable():
    found = check(caesium_chloride(), DoubleWells((5, 5, -1)), 1, 1, 1)
    assert found.long_waves is None
    assert found.elastic is None
    assert found.born_stable is None
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
    # The same as a strain: twice C44.
    (strain,) = found.unstable_strains
    assert_allclose(np.abs(strain.strain), np.sqrt(0.5) * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]), atol=1e-6)
    assert found.elastic.fit_residual < 1e-3
    assert strain.modulus == pytest.approx(-2 * 0.5 / argon().get_volume() / GPa, rel=1e-3)
    assert found.born_stable is False
    # In too small a supercell no elastic tensor fits, and the wave alone shows it.
    small = check(argon(), Shearing(alpha=0.5), 4, 4, 2)
    assert small.elastic.fit_residual > 1
    assert small.unstable_strains == ()
    assert small.born_stable is False


def test_a_negative_bulk_modulus_is_found_where_every_wave_is_stable():
    found = check(argon(), Shearing(alpha=-1.0, gamma=30.0, delta=200.0), 4, 4, 4)
    assert found.modes.lowest > 1
    assert found.long_waves.suspected == ()
    assert min(wave.square_velocity for wave in found.long_waves.waves) > 0
    assert not found.stable
    assert found.born_stable is False
    # C11 and its like are of springs along the edges, less gamma.
    stretching = (np.diag(5.0 * SHEARED_EDGES**2) - 30.0) / argon().get_volume() / GPa
    moduli, strains = np.linalg.eigh(stretching)
    (strain,) = found.unstable_strains
    assert strain.modulus == pytest.approx(moduli[0], rel=1e-3)
    assert strain.energy_modulus == pytest.approx(moduli[0], rel=1e-2)
    assert_allclose(np.abs(strain.strain), np.diag(np.abs(strains[:, 0])), atol=1e-5)
    assert_allclose(found.elastic.eigenvalues[[0, 4, 5]], moduli, rtol=1e-3)


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


AT_REST = [
    # Atoms follow strains, in a crystal without symmetry along all of them.
    (*triclinic_springs(), 0.0),
    (bulk("Cu", a=2.5 * np.sqrt(2)), Springs(3.0, 2.5, 3.2), 10.0),
    (argon(), Shearing(alpha=-1.0), 0.0),
]


@pytest.mark.parametrize(("atoms", "calculator", "pressure"), AT_REST, ids=["triclinic", "pressure", "angles"])
def test_moduli_are_those_of_strained_cells(atoms, calculator, pressure):
    relaxed = relax(atoms, calculator, pressure=pressure).atoms
    found = check(relaxed, calculator, 4, 4, 4)
    every = find_soft_strains(found.force_constants.phonon, found.elastic, -np.inf)
    assert len(every) == 6
    for strain in confirm_strains(every, relaxed, calculator):
        assert strain.energy_modulus == pytest.approx(strain.modulus, rel=1e-3)


def test_strains_of_a_crystal_under_pressure_cost_enthalpy():
    pressure = 10.0 * GPa
    springs = Springs(3.0, 2.5, 3.2)
    atoms = relax(bulk("Cu", a=2.5 * np.sqrt(2)), springs, pressure=pressure / GPa).atoms
    found = check(atoms, springs, 3, 3, 3)

    def enthalpy(strain):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return springs.get_property("energy", strained) + pressure * strained.get_volume()

    for strain in find_soft_strains(found.force_constants.phonon, found.elastic, -np.inf):
        step = 1e-3 * strain.strain
        bend = (enthalpy(step) + enthalpy(-step) - 2 * enthalpy(0 * step)) / 1e-6
        assert strain.modulus == pytest.approx(bend / atoms.get_volume() / GPa, rel=1e-4)


def reaching():
    """Return a stable crystal with springs along x that a supercell of four cells folds into an instability.

    With constants k1, k2 and k3 to the first three neighbours its stiffness has k1 + 4 k2 + 9 k3, positive, and four
    cells make k1 + 4 k2 + k3 of it, negative.
    """
    atoms = Atoms("Ar", cell=[2.5, 2.6, 2.7], pbc=True)
    along = [(0, 0, (n, 0, 0), k) for n, k in ((1, 8.5), (2, -4.0), (3, 1.5))]
    across = [(0, 0, cell, 3.0) for cell in ((0, 1, 0), (0, 0, 1))]
    slanted = [(0, 0, cell, 1.0) for cell in ((1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1))]
    return atoms, BondedSprings(atoms, along + across + slanted)


def test_energies_decide_where_a_supercell_is_too_small_for_strains():
    atoms, calculator = reaching()
    small, large = (check(atoms, calculator, size, 4, 4) for size in (4, 7))
    assert not small.elastic.born_stable
    (strain,) = small.contradicted_strains
    assert np.abs(strain.strain).argmax() == 0
    assert strain.modulus < -100
    v = np.diag(strain.strain)
    expected = v @ calculator.stiffness(atoms)[:3, :3] @ v / GPa
    assert strain.energy_modulus == pytest.approx(expected, rel=1e-3)
    assert small.contradicted_waves
    assert small.born_stable is True
    assert small.stable
    assert large.soft_strains == ()
    assert large.elastic.born_stable


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
    # Imaginary all the same, so that atoms have no place of rest in a strained cell.
    assert found.born_stable is None
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
    # What a force of 1e-6 eV/A leaves, of carbon and of hydrogen.
    assert [round(frequency_noise(STIFFENING * 1e-6, mass), 2) for mass in (12.011, 1.008)] == [0.01, 0.04]


def test_the_scatter_of_single_precision_is_seen_where_nothing_is_declared():
    atoms, random = caesium_chloride(), np.random.default_rng(1)
    seen = measure_scatter(atoms, Single((5, 5, 1)))
    errors = []
    for _ in range(300):
        moved = atoms.copy()
        moved.positions += 0.01 * random.normal(size=3)
        rounded, exact = (calculator((5, 5, 1)).get_property("forces", moved) for calculator in (Single, DoubleWells))
        errors.append(rounded - exact)
    assert 1e-7 < np.std(errors) < 1e-5
    assert seen.forces == pytest.approx(np.std(errors), rel=0.5)
    # Floats of 512 to 1024 are 2^-14 apart, and errors of rounding spread evenly over that.
    assert seen.energy == pytest.approx(2.0**-14 / np.sqrt(12) / 2, rel=1e-6)


class Bound(DoubleWells):
    """The same with an energy of many eV in double precision."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["energy"] -= 1000.1


@pytest.mark.parametrize("calculator", [DoubleWells, Bound])
def test_double_precision_scatters_by_next_to_nothing(calculator):
    seen = measure_scatter(caesium_chloride(), calculator((5, 5, 1)))
    assert seen.forces < 1e-10
    assert seen.energy < 1e-11 + np.spacing(1000.1)


def test_declared_scatter_counts_where_less_is_seen():
    class Modest(DoubleWells):
        def describe(self):
            return {"name": "modest", "force_noise": 1e-4}

    assert measure_scatter(caesium_chloride(), Modest((5, 5, 1))).forces == 1e-4
    assert measure_scatter(caesium_chloride(), Noisy((5, 5, 1))).forces == pytest.approx(1e-5, rel=0.5)


def test_single_precision_makes_noise_of_soft_modes():
    soft = -CS * CL / (CS + CL) * (0.05 / THZ) ** 2
    found = check(caesium_chloride(), Single((5, 5, soft)), 2, 2, 2)
    exact = check(caesium_chloride(), DoubleWells((5, 5, soft)), 2, 2, 2)
    assert exact.unstable_modes
    assert found.unstable_modes == ()
    # What the scatter over phonopy's displacement of 0.001 A makes, in 8 cells.
    scatter = measure_scatter(caesium_chloride(), Single((5, 5, soft))).forces
    assert found.force_constant_error >= np.sqrt(8) * scatter / 0.001 > 100 * exact.force_constant_error


def test_energies_that_single_precision_rounds_confirm_no_strain():
    class Rounded(Shearing):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.results["energy"] = float(np.float32(self.results["energy"] - 1e4))

    exact, rounded = (check(argon(), calculator(alpha=0.5), 4, 4, 4) for calculator in (Shearing, Rounded))
    assert exact.born_stable is False
    assert rounded.soft_strains
    assert (rounded.unstable_strains, rounded.unstable_waves) == ((), ())
    assert rounded.contradicted_strains == rounded.soft_strains
    # Energies are 2^-10 eV apart, a bend is that of three, and three standard deviations count.
    bend = 3 * np.sqrt(6) * 2.0**-10 / np.sqrt(12) / 0.003**2
    assert rounded.soft_strains[0].energy_noise == pytest.approx(bend / argon().get_volume() / GPa, rel=1e-6)


def test_noise_is_what_random_errors_of_force_constants_do():
    atoms = Atoms("CuAu", cell=[2.5, 2.6, 3.9], scaled_positions=[[0, 0, 0], [0.4, 0.5, 0.5]], pbc=True)
    springs = BondedSprings.within(atoms, 4.0, lambda i, j, d: 3.0 if d < 3 else 1.0)
    phonon = make_phonopy(atoms, np.diag([3, 3, 3]), primitive_matrix=np.eye(3), is_symmetry=False)
    exact = compute_force_constants(phonon, springs).force_constants
    random, scatter = np.random.default_rng(0), 1e-3
    error = np.sqrt(27) * scatter
    waves, squares = [], []
    for _ in range(25):
        phonon.force_constants = exact + scatter * random.normal(size=exact.shape)
        phonon.symmetrize_force_constants(level=5, show_drift=False)
        waves.append(compute_long_waves(phonon, error))
        squares.append(np.sign(frequencies := compute_commensurate_modes(phonon).frequencies) * frequencies**2)
    velocities = np.std([[wave.square_velocity for wave in each.waves] for each in waves], axis=0)
    assert 0.5 < np.median(velocities) / waves[0].noise < 2
    # Effective masses lie between those of the two elements.
    lightest, heaviest = (frequency_noise(error, mass) ** 2 for mass in sorted(atoms.get_masses()))
    assert 0.5 * heaviest < np.nanmedian(np.std(squares, axis=0)) < 2 * lightest


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
