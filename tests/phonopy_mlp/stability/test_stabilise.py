import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa
from double_wells import EDGES, SHEARED_EDGES, DoubleWells, Noisy, Shearing, Single, argon, caesium_chloride
from numpy.testing import assert_allclose
from processes import ENVIRONMENT
from scipy.optimize import minimize

from phonopy_mlp.errors import CalculatorError, ConvergenceError, SettingsError, StabilityError
from phonopy_mlp.provenance import plain
from phonopy_mlp.relax import relax
from phonopy_mlp.stability.dynamics import Dynamics
from phonopy_mlp.stability.follow import Follow, search_line
from phonopy_mlp.stability.proposals import Proposal
from phonopy_mlp.stability.rattle import Rattle
from phonopy_mlp.stability.stabilise import stabilise
from phonopy_mlp.unfinished import Unfinished

ONE, TWO = np.eye(3, dtype=int), np.diag([2, 2, 2])


def ferroelectric():
    return DoubleWells((5, 5, -1), b=20.0)


def antiferroelectric():
    return DoubleWells((5, 5, 1), b=20.0, coupling=-0.1)


def test_symmetry_that_is_asked_for_is_exact():
    rough = bulk("Cu", cubic=True)
    rough.rattle(0.02, seed=1)
    settings = {"supercell_matrix": ONE, "fmax": 1e-2, "max_rounds": 0}
    loose = stabilise(rough, EMT(), **settings)
    exact = stabilise(rough, EMT(), symmetrise=0.05, **settings)
    assert loose.trail[0].groups_after[0].number < 225
    assert {group.number for group in exact.trail[0].groups_after} == {225}
    assert exact.energy == pytest.approx(loose.energy, abs=1e-4)


def test_a_ferroelectric_crystal_comes_to_its_minimum():
    atoms, calculator = caesium_chloride(), ferroelectric()
    result = stabilise(atoms, calculator, supercell_matrix=TWO)
    assert result.stable
    assert result.check.unstable_modes == ()
    w = calculator.displacements(result.atoms)[0]
    assert_allclose(np.abs(w), [0, 0, np.sqrt(1 / 20)], atol=1e-6)
    assert calculator.get_property("energy", result.atoms) == pytest.approx(-1 / 80, abs=1e-6)
    assert_allclose(result.atoms.cell.lengths(), EDGES, atol=1e-6)
    assert_allclose(atoms.positions, caesium_chloride().positions)
    assert result.rounds == 1
    relaxed, step = result.trail
    assert (relaxed.method, relaxed.accepted, relaxed.energy_change) == ("relax", True, 0)
    assert (step.method, step.accepted, step.reason, step.band, step.seed) == ("follow", True, "", 0, None)
    assert step.qpoint == (0, 0, 0)
    assert step.frequency < -2
    assert step.energy_change == pytest.approx(-1 / 80, abs=1e-6)
    assert step.energy_after == pytest.approx(-1 / 160, abs=1e-6)
    assert [group.number for group in (*step.groups_before, *step.groups_after)] == [123, 123, 99, 99]
    assert (step.atoms_before, step.atoms_after, step.atoms_per_formula) == (2, 2, 2)
    # Cl is the lighter of the two, and w is shared as the masses are.
    cs, cl = atoms.get_masses()
    assert step.amplitude == pytest.approx(np.sqrt(1 / 20) * cs / (cs + cl), rel=0.02)


def test_an_alternating_instability_doubles_the_cell():
    calculator = antiferroelectric()
    result = stabilise(caesium_chloride(), calculator, supercell_matrix=TWO)
    assert result.stable
    assert len(result.atoms) == 4
    assert_allclose(np.abs(calculator.displacements(result.atoms)[:, 2]), np.sqrt(0.2 / 20), atol=1e-6)
    assert calculator.get_property("energy", result.atoms) == pytest.approx(-2 * 0.2**2 / 80, abs=1e-6)
    # The same supercell in space.
    assert_allclose(np.linalg.det(result.supercell_matrix.T @ result.atoms.cell.array), np.prod(2 * EDGES), rtol=1e-6)
    step = result.trail[-1]
    assert step.qpoint == (0.5, 0.5, 0.5)
    assert (step.atoms_before, step.atoms_after) == (2, 4)
    assert step.energy_change == pytest.approx(-(0.2**2) / 80, abs=1e-6)
    assert step.groups_after[0].number == 139


def test_a_threefold_instability_ends_in_the_corner():
    calculator = DoubleWells((-1, -1, -1), b=20.0)
    result = stabilise(caesium_chloride([4, 4, 4.2]), calculator, supercell_matrix=ONE)
    assert result.stable
    assert_allclose(np.abs(calculator.displacements(result.atoms)), np.sqrt(1 / 20), atol=1e-6)
    assert calculator.get_property("energy", result.atoms) == pytest.approx(-3 / 80, abs=1e-6)
    energies = [step.energy_after for step in result.trail if step.accepted]
    assert energies == sorted(energies, reverse=True)
    assert result.trail[-1].energy_before == energies[-2]


def test_a_mode_with_complex_eigenvectors_triples_the_cell():
    calculator = DoubleWells((5, 5, 1), b=20.0, coupling=-0.5)
    result = stabilise(caesium_chloride(), calculator, supercell_matrix=np.diag([3, 1, 1]))
    assert result.stable
    assert len(result.atoms) == 6
    w = calculator.displacements(result.atoms)[:, 2]
    # Of w, -w, 0 and of the other solutions this has the lowest energy: (w, w', w') with w' near -w/2 loses.
    energies = []
    for start in ((1, -1, 0), (1, -0.5, -0.5), (1, 1, -1)):
        x = 0.2 * np.array(start)
        for _ in range(20000):
            x = x - 0.05 * (x + 20 * x**3 - 0.5 * (3 * x - x.sum()))
        pairs = sum((x[i] - x[j]) ** 2 for i, j in ((0, 1), (1, 2), (2, 0)))
        energies.append((x**2 / 2 + 5 * x**4).sum() - 0.25 * pairs)
    assert calculator.get_property("energy", result.atoms) == pytest.approx(min(energies), abs=1e-6)
    assert np.abs(w).max() > 0.1


def test_body_centred_copper_becomes_hexagonal():
    # Burgers' path: the transverse mode at the zone boundary N.
    result = stabilise(bulk("Cu", "bcc", a=2.87), EMT(), supercell_matrix=TWO, fmax=1e-5)
    assert result.stable
    assert sorted(result.trail[-1].qpoint) == [0, 0, 0.5]
    assert [group.number for group in result.trail[-1].groups_after] == [194, 194]
    hexagonal = relax(bulk("Cu", "hcp", a=2.55), EMT(), fmax=1e-5)
    assert EMT().get_potential_energy(result.atoms) == pytest.approx(hexagonal.energy, abs=1e-6)


def beside_the_saddle_point():
    """Return a crystal from which L-BFGS goes up to the saddle point, and not down to the minimum."""
    atoms = caesium_chloride()
    atoms.positions[1, 2] += 0.05
    return atoms


@pytest.mark.parametrize("cell", ["free", "constant-volume", "fixed"])
def test_a_relaxation_that_leads_uphill_is_not_accepted(cell):
    assert relax(beside_the_saddle_point(), ferroelectric(), cell=cell).energy_change > 1e-3
    result = stabilise(beside_the_saddle_point(), ferroelectric(), supercell_matrix=ONE, cell=cell)
    uphill, downhill = result.trail
    before = (-(0.05**2) / 2 + 5 * 0.05**4) / 2
    assert (uphill.method, uphill.accepted) == ("relax", False)
    assert uphill.reason == "relaxed to +6.09e-04 eV per atom, which is not lower"
    assert_allclose([uphill.energy_before, uphill.energy_after], [before, 0], atol=1e-9)
    assert (downhill.method, downhill.accepted) == ("relax", True)
    assert_allclose([downhill.energy_before, downhill.energy_after], [before, -1 / 160], atol=1e-9)
    assert result.stable
    assert (result.rounds, result.energy_gain) == (0, 0)
    for step in result.trail:
        assert not step.accepted or step.energy_after < step.energy_before


def test_a_relaxation_that_cannot_but_lead_uphill_is_an_error():
    class Rising(DoubleWells):
        """Energy that has nothing to do with the forces."""

        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            self.results["energy"] *= -1

    atoms = caesium_chloride()
    atoms.positions[1, 2] += 0.1
    with pytest.raises(ConvergenceError, match=r"does not lower the energy: relaxed to \+.* eV per atom"):
        stabilise(atoms, Rising((5, 5, 1)), supercell_matrix=ONE, cell="fixed")


def test_a_stable_crystal_stays_untouched():
    result = stabilise(caesium_chloride(), DoubleWells((5, 5, 1)), supercell_matrix=TWO)
    assert result.stable
    assert len(result.trail) == 1
    assert_allclose(result.atoms.positions, caesium_chloride().positions, atol=1e-9)


def test_noise_is_not_chased():
    soft = -28 * (0.05 / 15.633) ** 2
    result = stabilise(caesium_chloride(), Noisy((5, 5, soft)), supercell_matrix=TWO, fmax=1e-3)
    assert result.stable
    assert len(result.trail) == 1
    assert result.describe()["modes_within_noise"]


def test_wells_that_single_precision_does_not_resolve_are_not_chased():
    # a^2/4b is 1e-2 and 1e-6 eV for a cell; energies of 1000 eV are 6e-5 eV apart.
    deep, shallow = (
        stabilise(caesium_chloride(), Single((5, 5, a)), supercell_matrix=ONE, methods=["follow"], fmax=1e-4)
        for a in (-1.0, -0.01)
    )
    assert deep.stable
    assert deep.energy_gain == pytest.approx(1 / 160, abs=1e-4)
    assert not any(step.accepted for step in shallow.trail[1:])
    exact = stabilise(
        caesium_chloride(), DoubleWells((5, 5, -0.01)), supercell_matrix=ONE, methods=["follow"], fmax=1e-6
    )
    assert exact.trail[1].accepted


def test_a_long_wave_is_followed_as_a_strain():
    calculator = Shearing(alpha=0.5, beta=50.0)
    seen = []
    result = stabilise(argon(), calculator, supercell_matrix=np.diag([4, 4, 2]), on_event=seen.append)
    assert result.stable
    assert tuple(seen) == result.trail
    assert abs(np.cos(np.deg2rad(result.atoms.cell.angles()[2]))) == pytest.approx(0.1, abs=1e-5)
    assert calculator.get_property("energy", result.atoms) == pytest.approx(-(0.5**2) / 200, abs=1e-6)
    step = result.trail[-1]
    assert (step.qpoint, step.accepted) == (None, True)
    assert_allclose(np.abs(step.direction), np.abs(np.eye(3)[np.argmax(np.abs(step.direction))]), atol=1e-6)


def swelling():
    return Shearing(alpha=-1.0, gamma=30.0, delta=200.0)


def test_a_crystal_that_no_wave_can_leave_is_followed_as_a_strain():
    calculator = swelling()
    result = stabilise(argon(), calculator, supercell_matrix=np.diag([4, 4, 4]))
    assert result.stable
    assert result.check.born_stable is True
    step = result.trail[1]
    assert (step.method, step.accepted, step.qpoint, step.direction) == ("follow", True, None, None)
    assert_allclose(np.abs(step.strain), np.diag(np.abs(np.diag(step.strain))), atol=1e-6)
    assert 0.01 < step.amplitude < 0.2

    def energy(stretch):
        trace = (stretch**2 - 1).sum() / 2
        springs = calculator.spring / 2 * (SHEARED_EDGES**2 * (stretch - 1) ** 2).sum()
        return springs - calculator.gamma / 2 * trace**2 + calculator.delta / 4 * trace**4

    stretch = result.atoms.cell.lengths() / SHEARED_EDGES
    sign = np.sign(stretch[0] - 1)
    best = minimize(energy, 1 + 0.03 * sign * np.ones(3), tol=1e-12)
    assert_allclose(stretch, best.x, atol=1e-5)
    assert step.energy_after == pytest.approx(best.fun, abs=1e-8)
    assert best.fun < -1e-3


def sheared_at_constant_volume(calculator):
    """Return the least energy per atom of a cell of `Shearing` with its own volume, and the cosine of its angle."""
    volume = SHEARED_EDGES.prod()

    def energy(parameters):
        cosine, first, second = parameters
        lengths = np.array([first, second, volume / (first * second * np.sqrt(1 - cosine**2))])
        product = cosine * first * second / (SHEARED_EDGES[0] * SHEARED_EDGES[1])
        springs = calculator.spring / 2 * ((lengths - SHEARED_EDGES) ** 2).sum()
        return springs - calculator.alpha / 2 * product**2 + calculator.beta / 4 * product**4

    best = minimize(energy, [0.1, *SHEARED_EDGES[:2]], tol=1e-14)
    return best.fun, best.x[0]


@pytest.mark.parametrize("size", [[4, 4, 4], [4, 4, 2]], ids=["strain", "wave"])
def test_a_cell_of_constant_volume_changes_its_shape(size):
    # In the smaller supercell long waves alone show it.
    calculator = Shearing(alpha=0.5, beta=50.0)
    result = stabilise(argon(), calculator, supercell_matrix=np.diag(size), cell="constant-volume")
    assert result.stable
    assert result.atoms.get_volume() == pytest.approx(SHEARED_EDGES.prod(), rel=1e-9)
    energy, cosine = sheared_at_constant_volume(calculator)
    assert energy < -9e-4
    assert result.energy == pytest.approx(energy, abs=1e-8)
    assert abs(np.cos(np.deg2rad(result.atoms.cell.angles()[2]))) == pytest.approx(cosine, abs=1e-5)
    assert [(step.method, step.accepted) for step in result.trail] == [("relax", True), ("follow", True)]


def test_an_eigenstrain_of_constant_volume_is_followed_where_no_wave_is():
    calculator = Shearing(alpha=0.5, beta=50.0)
    method = Follow()

    class WithoutWaves:
        name = "without waves"

        def propose(self, problem):
            (strain,) = problem.check.unstable_isochoric_strains
            assert strain.modulus == pytest.approx(-2 * 0.5 / SHEARED_EDGES.prod() / GPa, rel=1e-3)
            assert strain.energy_modulus == pytest.approx(strain.modulus, rel=1e-2)
            waves = replace(problem.check.long_waves, waves=())
            yield from method.propose(replace(problem, check=replace(problem.check, long_waves=waves)))

    settings = {"supercell_matrix": np.diag([4, 4, 4]), "methods": [WithoutWaves()]}
    result = stabilise(argon(), calculator, cell="constant-volume", **settings)
    assert result.stable
    step = result.trail[1]
    assert (step.accepted, step.direction) == (True, None)
    assert_allclose(np.abs(step.strain), np.sqrt(0.5) * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]), atol=1e-6)
    assert result.energy == pytest.approx(sheared_at_constant_volume(calculator)[0], abs=1e-8)


@pytest.mark.parametrize("cell", ["fixed", "constant-volume"])
def test_a_strain_that_the_cell_forbids_is_stated(cell):
    result = stabilise(argon(), swelling(), supercell_matrix=np.diag([4, 4, 4]), cell=cell)
    assert result.check.unstable_isochoric_strains == ()
    assert not result.stable
    assert len(result.trail) == 1
    described = result.describe()
    assert described["unstable_long_waves"] == []
    (strain,) = described["unstable_strains"]
    assert strain["modulus"] == pytest.approx(described["elastic_moduli"][0])
    assert strain["modulus_from_energies"] < 0
    assert described["born_stable"] is False


def test_a_long_wave_is_not_followed_where_the_cell_may_not_change():
    result = stabilise(argon(), Shearing(), supercell_matrix=np.diag([4, 4, 2]), cell="fixed")
    assert not result.stable
    assert len(result.trail) == 1
    assert result.describe()["unstable_long_waves"][0]["square_velocity"] < 0


@pytest.mark.parametrize("method", ["rattle", Rattle(carriers_only=True), "md", Dynamics(temperature=7.5, steps=60)])
def test_random_methods_alone_find_the_minimum_too(method):
    calculator = antiferroelectric()
    result = stabilise(caesium_chloride(), calculator, supercell_matrix=TWO, methods=[method], seed=3)
    assert result.stable
    assert calculator.get_property("energy", result.atoms) / len(result.atoms) == pytest.approx(-1 / 4000, abs=1e-6)
    step = result.trail[1]
    assert (step.accepted, step.seed) == (True, 4)
    assert 0 < step.amplitude < 0.2


def test_rattling_leaves_atoms_alone_that_do_not_carry_the_mode():
    # Cs does not move in the alternating mode.
    for proposal in proposals(Rattle(carriers_only=True), antiferroelectric()):
        moved = np.linalg.norm(proposal.atoms.positions - undisplaced(proposal), axis=1)
        assert_allclose(moved[proposal.atoms.symbols == "Cs"], 0, atol=1e-12)
        assert moved[proposal.atoms.symbols == "Cl"].min() > 0


def test_held_atoms_do_not_move_in_dynamics():
    for proposal in proposals(Dynamics(held=("Cs",)), antiferroelectric()):
        moved = np.linalg.norm(proposal.atoms.positions - undisplaced(proposal), axis=1)
        assert_allclose(moved[proposal.atoms.symbols == "Cs"], 0, atol=1e-12)
        assert moved[proposal.atoms.symbols == "Cl"].min() > 0


@pytest.mark.parametrize("method", ["follow", "rattle", "md"])
def test_fixed_atoms_and_their_images_keep_their_place(method):
    calculator = antiferroelectric()
    result = stabilise(
        caesium_chloride(), calculator, supercell_matrix=TWO, methods=[method], fixed=[0], cell="fixed", max_rounds=1
    )
    assert len(result.atoms) == 4
    hosts = result.atoms[result.atoms.symbols == "Cs"]
    assert_allclose(hosts.positions / EDGES, np.rint(hosts.positions / EDGES), atol=1e-12)
    assert_allclose(np.abs(calculator.displacements(result.atoms)[:, 2]), np.sqrt(0.2 / 20), atol=1e-6)


class Squeezing:
    """Proposes a cell whose energy is higher however its atoms relax."""

    name = "squeezing"

    def propose(self, problem):
        atoms = problem.atoms.copy()
        atoms.set_cell(atoms.cell.array * 0.95, scale_atoms=True)
        yield Proposal(atoms, ONE, problem.check.unstable_modes[0], amplitude=0.2)


class Stacking:
    """Proposes more of the same, and something lower."""

    name = "stacking"

    def propose(self, problem):
        atoms = problem.atoms.repeat((2, 1, 1))
        atoms.positions[atoms.symbols == "Cl", 2] += 0.1
        yield Proposal(atoms, np.diag([2, 1, 1]))


class Breaking:
    """Cannot propose anything."""

    name = "breaking"

    def propose(self, problem):
        raise CalculatorError("no", "it broke", "Mend it")


def test_what_does_not_lower_the_energy_is_rejected_and_the_next_method_tried():
    methods = [Squeezing(), Breaking(), "rattle"]
    result = stabilise(caesium_chloride(), ferroelectric(), supercell_matrix=ONE, methods=methods, cell="fixed")
    assert result.stable
    _, squeezing, breaking, rattle = result.trail
    assert (squeezing.method, squeezing.accepted) == ("squeezing", False)
    assert "not lower" in squeezing.reason
    assert squeezing.energy_after > squeezing.energy_before
    assert (squeezing.amplitude, squeezing.qpoint, squeezing.atoms_after) == (0.2, (0, 0, 0), 2)
    assert (breaking.accepted, breaking.energy_after, breaking.energy_change) == (False, None, None)
    assert "it broke" in breaking.reason
    assert rattle.accepted
    assert rattle.energy_before == squeezing.energy_before


def test_a_larger_cell_that_nothing_distorted_is_reduced():
    settings = {"supercell_matrix": TWO, "methods": [Stacking()]}
    result = stabilise(caesium_chloride(), ferroelectric(), **settings)
    assert len(result.atoms) == 2
    assert result.trail[-1].atoms_after == 2
    assert abs(np.linalg.det(result.supercell_matrix)) == pytest.approx(8)
    assert len(stabilise(caesium_chloride(), ferroelectric(), reduce_cell=False, **settings).atoms) == 4


def test_following_finds_nothing_within_too_short_a_line_and_rattling_does():
    wide = DoubleWells((5, 5, -1e-3), b=20.0)
    methods = [Follow(largest=1e-3), Rattle()]
    result = stabilise(caesium_chloride(), wide, supercell_matrix=ONE, methods=methods, seed=1)
    follow, rattle = result.trail[1:3]
    assert (follow.method, follow.accepted) == ("follow", False)
    assert "no lower energy" in follow.reason
    assert (rattle.method, rattle.accepted) == ("rattle", True)
    assert result.stable


def test_what_is_left_is_stated():
    result = stabilise(caesium_chloride(), ferroelectric(), supercell_matrix=ONE, max_rounds=0)
    assert not result.stable
    (left,) = result.describe()["unstable_modes"]
    assert left["qpoint"] == [0, 0, 0]
    assert left["frequency"] < -2
    assert len(result.trail) == 1


def test_a_crystal_that_stays_unstable_is_an_error_when_asked():
    settings = {"methods": [Squeezing()], "cell": "fixed", "must_be_stable": True}
    with pytest.raises(StabilityError, match=r"1 imaginary modes, the lowest at -2\.955 THz"):
        stabilise(caesium_chloride(), ferroelectric(), supercell_matrix=ONE, **settings)
    with pytest.raises(StabilityError, match="0 imaginary modes, 2 long waves and 0 strains"):
        stabilise(argon(), Shearing(), supercell_matrix=np.diag([4, 4, 2]), max_rounds=0, must_be_stable=True)


def test_a_seed_makes_it_reproducible():
    settings = {"supercell_matrix": TWO, "methods": ["md"]}
    first, again, other = (
        stabilise(caesium_chloride(), antiferroelectric(), seed=seed, **settings) for seed in (7, 7, 8)
    )
    assert first.trail == again.trail
    assert_allclose(first.atoms.positions, again.atoms.positions, atol=0)
    assert first.trail[1].amplitude != other.trail[1].amplitude


class FailingOffCentre(DoubleWells):
    """Fails where Cl has moved."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if np.abs(self.displacements(atoms)).max() > 0.005:
            raise RuntimeError("out of memory")


def test_a_calculator_that_fails_on_the_way_is_recorded():
    result = stabilise(caesium_chloride(), FailingOffCentre((5, 5, -1)), supercell_matrix=ONE)
    assert not result.stable
    assert [step.method for step in result.trail] == ["relax", "follow", "rattle", "md"]
    assert all("out of memory" in step.reason for step in result.trail[1:])
    assert_allclose(result.atoms.positions, caesium_chloride().positions, atol=1e-9)


class Bounded(DoubleWells):
    """Has no energy beyond the wells."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if np.abs(self.displacements(atoms)).max() > 0.3:
            self.results["energy"] = np.nan


def test_a_line_ends_where_the_energy_is_no_number():
    calculator = Bounded((5, 5, -1), b=20.0)
    result = stabilise(caesium_chloride(), calculator, supercell_matrix=ONE, methods=["follow"])
    assert result.stable
    assert calculator.get_property("energy", result.atoms) == pytest.approx(-1 / 80, abs=1e-6)


def test_a_calculator_that_fails_at_once_is_an_error():
    moved = caesium_chloride()
    moved.positions[1] += 0.1
    with pytest.raises(CalculatorError, match="out of memory"):
        stabilise(moved, FailingOffCentre((5, 5, -1)), supercell_matrix=ONE)


def test_pressure_is_in_the_energies():
    result = stabilise(caesium_chloride(), ferroelectric(), supercell_matrix=ONE, pressure=1.0)
    assert result.stable
    relaxed, step = result.trail
    assert relaxed.energy_before == pytest.approx(np.prod(EDGES) / 160.21766 / 2, rel=1e-5)
    assert relaxed.energy_after < relaxed.energy_before
    assert step.energy_change == pytest.approx(-1 / 80, abs=1e-4)


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    first, again = antiferroelectric(), antiferroelectric()
    results = []
    for calculator in (first, again):
        results.append(
            stabilise(caesium_chloride(), calculator, supercell_matrix=TWO, unfinished=Unfinished(tmp_path / "kept"))
        )
    assert again.calls < 0.6 * first.calls
    assert results[0].trail == results[1].trail
    assert_allclose(results[0].atoms.positions, results[1].atoms.positions, atol=0)


_KILLED = """
import json, sys, time
from pathlib import Path
import numpy as np
from double_wells import DoubleWells, caesium_chloride
from phonopy_mlp.stability.stabilise import stabilise
from phonopy_mlp.unfinished import Unfinished

class Slow(DoubleWells):
    def calculate(self, *args, **kwargs):
        time.sleep(float(sys.argv[2]))
        super().calculate(*args, **kwargs)

calculator = Slow((5, 5, 1), b=20.0, coupling=-0.1)
atoms = caesium_chloride()
atoms.positions[1] += [0.05, -0.1, 0.1]
unfinished = Unfinished(Path(sys.argv[1]))
result = stabilise(atoms, calculator, supercell_matrix=np.diag([2, 2, 2]), unfinished=unfinished)
print(json.dumps([calculator.calls, result.describe(), result.atoms.positions.tolist()]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("finished", [1, 3])
def test_a_run_that_was_killed_for_real_goes_on_where_it_was(tmp_path, finished):
    def start(folder, pause):
        command = [sys.executable, "-c", _KILLED, str(tmp_path / folder), str(pause)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)

    def kept():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").rglob("[rs]*.npz")}

    whole = json.loads(start("whole", 0).communicate(timeout=120)[0])
    run = start("killed", 0.05)
    deadline = time.monotonic() + 120
    while len(kept()) < finished and time.monotonic() < deadline:
        time.sleep(0.01)
    run.kill()
    assert run.communicate() == ("", None)
    assert run.returncode == -signal.SIGKILL
    before = kept()
    assert finished <= len(before) < len(list((tmp_path / "whole").rglob("[rs]*.npz")))
    again = json.loads(start("killed", 0).communicate(timeout=120)[0])
    assert before.items() <= kept().items()
    assert again[0] < whole[0]
    assert again[1:] == whole[1:]
    assert again[1]["stable"]
    assert again[1]["trail"][-1]["energy_per_atom"][1] == pytest.approx(-1 / 4000, abs=1e-6)


def test_the_trail_is_plain_data():
    described = stabilise(caesium_chloride(), antiferroelectric(), supercell_matrix=TWO).describe()
    assert plain(described) == described
    assert yaml.safe_load(yaml.safe_dump(described)) == described
    assert described["stable"] is True
    assert described["born_stable"] is True
    assert [step["method"] for step in described["trail"]] == ["relax", "follow"]
    assert described["trail"][1]["space_groups_after"][0] == "I4/mmm (139) at 1e-05 A"


def test_both_signs_of_a_mode_at_gamma_have_the_same_energy():
    lines = []
    for sign in (1, -1):
        calculator = ferroelectric()

        def energy(amplitude, sign=sign, calculator=calculator):
            moved = caesium_chloride()
            moved.positions[1, 2] += sign * amplitude
            return calculator.get_property("energy", moved)

        lines.append(search_line(energy, largest=1.0, noise=1e-9))
    assert_allclose(lines[0], lines[1], rtol=1e-9)
    assert_allclose(lines[0], [np.sqrt(1 / 20), -1 / 80], rtol=0.02)


def test_a_line_that_falls_for_ever_ends_where_it_must():
    assert search_line(lambda x: -x, largest=1.0, noise=0.0) == (0.64, -0.64)
    assert search_line(lambda x: x * x, largest=1.0, noise=0.0) is None
    assert search_line(lambda x: -1e-12 * x, largest=1.0, noise=1e-9) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"methods": ["shake"]}, "Method 'shake'"), ({"max_rounds": -1}, "-1 rounds"), ({"seed": -1}, "Seed -1")],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        stabilise(caesium_chloride(), ferroelectric(), supercell_matrix=ONE, **wrong)


WRONG = [
    (Rattle, {"sigma": -0.01}, "standard deviation of -0.01 A: it must be positive and at most 1 A"),
    (Rattle, {"sigma": 0.0}, "standard deviation of 0 A"),
    (Rattle, {"sigma": np.nan}, "standard deviation of nan A"),
    (Rattle, {"sigma": 2.0}, "standard deviation of 2 A"),
    (Follow, {"largest": -1.0}, "a displacement of -1 A"),
    (Follow, {"largest": np.inf}, "a displacement of inf A"),
    (Follow, {"largest_strain": 0.0}, "a strain of 0: it must be positive and at most 0.5. Give 0.2."),
    (Follow, {"largest_strain": 1.0}, "a strain of 1"),
    (Dynamics, {"temperature": -10.0}, "a temperature of -10 K"),
    (Dynamics, {"temperature": 0.0}, "a temperature of 0 K"),
    (Dynamics, {"temperature": 1e6}, "at most 1000 K"),
    (Dynamics, {"temperature": np.nan}, "a temperature of nan K"),
    (Dynamics, {"steps": 0}, "0 steps"),
    (Dynamics, {"timestep": -1.0}, "a time step of -1 fs"),
    (Dynamics, {"timestep": 100.0}, "at most 10 fs"),
    (Dynamics, {"held": ("Zq",)}, "Held atoms 'Zq'"),
    (Dynamics, {"held": "Zr"}, "Held atoms 'Z'"),
]


@pytest.mark.parametrize(("method", "wrong", "message"), WRONG)
def test_methods_with_settings_that_make_no_sense_cannot_be_made(method, wrong, message):
    with pytest.raises(SettingsError, match=message.replace(".", r"\.")):
        method(**wrong)


@pytest.mark.parametrize(("held", "why"), [(("Zr",), "no Zr in the structure"), (("Cs", "Cl"), "no others")])
def test_atoms_to_be_held_must_be_there_and_others_as_well(held, why):
    with pytest.raises(SettingsError, match=why):
        stabilise(caesium_chloride(), ferroelectric(), supercell_matrix=ONE, methods=[Dynamics(held=held)])


@pytest.mark.parametrize("result", [np.nan, 1e9])
def test_dynamics_that_break_down_are_a_rejected_step(result):
    class Breakable(DoubleWells):
        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            if np.abs(self.displacements(atoms)).max() > 1e-3:
                self.results["forces"][:] = result

    calculator = Breakable((5, 5, -1))
    result = stabilise(caesium_chloride(), calculator, supercell_matrix=ONE, methods=["md"], cell="fixed")
    assert not result.stable
    assert "atoms fly apart at 10 K in steps of 1 fs" in result.trail[1].reason


def proposals(method, calculator):
    """Return what a method proposes first."""
    found = []

    class Recording:
        name = method.name

        def propose(self, problem):
            found.extend(method.propose(problem))
            return iter(())

    stabilise(caesium_chloride(), calculator, supercell_matrix=TWO, methods=[Recording()])
    assert found
    return found


def undisplaced(proposal):
    """Return where the atoms of a proposal would be without it."""
    sites = np.where((proposal.atoms.symbols == "Cl")[:, None], 0.5, 0.0)
    return (np.rint(proposal.atoms.positions / EDGES - sites) + sites) * EDGES
