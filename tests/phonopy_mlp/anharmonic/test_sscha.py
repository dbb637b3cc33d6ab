"""Self-consistent phonons of independent quartic oscillators, which a scalar equation gives."""

import warnings

import numpy as np
import pytest
import yaml
from ase.build import bulk
from lattices import QuarticSites
from phonopy.harmonic.force_constants import compact_fc_to_full_fc
from phonopy.physical_units import get_physical_units
from scipy.optimize import brentq

from phonopy_mlp.anharmonic import run_sscha
from phonopy_mlp.anharmonic.output import write_sscha
from phonopy_mlp.errors import CalculatorError, SettingsError, StructureWarning
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.plot import plot_sscha, write_figure
from phonopy_mlp.report.page import write_report
from phonopy_mlp.unfinished import Unfinished

A, B, MASS, EDGE = 1.0, 40.0, 12.0, 5.0
UNITS = get_physical_units()


def crystal(calculator, mass=MASS):
    atoms = bulk("CPb", "rocksalt", a=EDGE)
    # The light atom is the one with the lower number; heavy ones stand almost still.
    atoms.set_masses(np.where(atoms.numbers == 6, mass, 1e6))
    return compute_force_constants(make_phonopy(atoms, np.diag([2, 2, 2])), calculator).phonon


def self_consistent(temperature):
    """Return frequency (THz) and free energy (eV) of one oscillator: m w^2 = a + 3 b <u^2>."""
    to_thz = np.sqrt(UNITS.EV / UNITS.AMU) / UNITS.Angstrom / (2 * np.pi) * 1e-12

    def spread(frequency):
        quantum = UNITS.THzToEv * frequency
        thermal = 1 if temperature == 0 else 1 / np.tanh(quantum / (2 * UNITS.KB * temperature))
        stiffness = MASS * (frequency / to_thz) ** 2
        return quantum / 2 * thermal / stiffness

    frequency = brentq(lambda f: MASS * (f / to_thz) ** 2 - A - 3 * B * spread(f), 1.0, 100.0)
    quantum, u2 = UNITS.THzToEv * frequency, spread(frequency)
    harmonic = quantum / 2
    if temperature > 0:
        harmonic += UNITS.KB * temperature * np.log1p(-np.exp(-quantum / (UNITS.KB * temperature)))
    stiffness = MASS * (frequency / to_thz) ** 2
    return frequency, harmonic + A / 2 * u2 + 3 * B / 4 * u2**2 - stiffness / 2 * u2


def harmonic_frequency():
    """Return the frequency (THz) of sqrt(a/m)."""
    return np.sqrt(A * UNITS.EV / UNITS.AMU / MASS) / UNITS.Angstrom / (2 * np.pi) * 1e-12


@pytest.fixture(scope="module")
def found():
    calculator = QuarticSites(A, B, EDGE)
    phonon = crystal(calculator)
    before = phonon.force_constants.copy()
    result = run_sscha(
        phonon, calculator, temperatures=[0, 300], snapshots=50, iterations=8, transient=4, mesh=(3, 3, 3), seed=1
    )
    assert np.array_equal(phonon.force_constants, before)
    return result


@pytest.mark.parametrize("number", [0, 1])
def test_frequencies_solve_the_scalar_equation(found, number):
    point = found.points[number]
    frequency, _ = self_consistent(point.temperature)
    # Three modes of the light atom at every q-point, above those of the heavy ones.
    own = point.modes.frequencies[:, -3:]
    own = np.where(np.isnan(own), point.modes.frequencies[:, :3], own)
    assert own.mean() == pytest.approx(frequency, rel=0.01)
    assert np.abs(own / frequency - 1).max() < 0.05
    # The harmonic frequency is far from it.
    assert frequency > 1.3 * harmonic_frequency()


def heavy_part(phonon, temperature):
    """Return the free energy of the heavy atoms' vibrations, harmonic whatever the light ones do."""
    phonon.run_mesh((3, 3, 3))
    quantum = UNITS.THzToEv * phonon.mesh.frequencies[:, :3]
    quantum[(phonon.mesh.qpoints == 0).all(axis=1)] = np.nan
    value = quantum / 2
    if temperature > 0:
        value = value + UNITS.KB * temperature * np.log(-np.expm1(-quantum / (UNITS.KB * temperature)))
    return np.nansum(phonon.mesh.weights[:, None] * value) / phonon.mesh.weights.sum()


@pytest.mark.parametrize("number", [0, 1])
def test_free_energy_is_right_within_its_error(found, number):
    point = found.points[number]
    exact = 3 * self_consistent(point.temperature)[1] + heavy_part(crystal(QuarticSites(A, B, EDGE)), point.temperature)
    assert point.free_energy_error < 5e-4
    assert abs(point.free_energy - exact) < 4 * point.free_energy_error + 1e-5


def test_the_history_shows_convergence_and_the_budget_is_told(found):
    for point in found.points:
        assert len(point.history) == len(point.history_errors) == len(point.mean_frequencies) == 8
        departures = (point.history - point.free_energy) / point.history_errors
        assert np.abs(departures[point.transient :]).max() < 4
        assert (point.transient, point.snapshots) == (4, 50)
        assert point.mean_frequencies[4:].std() < 0.02 * point.mean_frequencies.mean()
    assert found.evaluations == 2 * 8 * 51
    with pytest.raises(ValueError, match="read-only"):
        found.points[0].history[0] = 0


def test_figure(found, tmp_path):
    figure = plot_sscha(found, "oscillators", harmonic=compute_commensurate_modes(crystal(QuarticSites(A, B, EDGE))))
    labels = [tick.get_text() for tick in figure.axes[2].get_xticklabels()]
    assert labels == ["harmonic", "0 K", "300 K"]
    write_figure(figure, tmp_path / "sscha.png")
    assert (tmp_path / "sscha.png").read_bytes().startswith(b"\x89PNG")


def test_modes_that_stay_imaginary_are_told(workdir):
    # Harmonic wells upside down: m w^2 = a whatever the temperature, for three modes at each of eight q-points.
    phonon, calculator = crystal(QuarticSites(-A, 0.0, EDGE)), QuarticSites(-A, 0.0, EDGE)
    with pytest.warns(
        StructureWarning, match=r"^24 self-consistent modes are imaginary at 300 K, the lowest at"
    ) as told:
        result = run_sscha(phonon, calculator, **FEW)
    assert [issubclass(each.category, StructureWarning) for each in told].count(True) == 1
    own = result.points[0].modes.frequencies[1:, :3]
    np.testing.assert_allclose(own, -harmonic_frequency(), rtol=1e-4)
    write_sscha(result, phonon, workdir)
    content = yaml.safe_load((workdir / "sscha.yaml").read_text())
    assert content["temperatures"][0]["imaginary_modes"] == 24
    (workdir / "phonopy_mlp.yaml").write_text(yaml.safe_dump({"phonopy_mlp": {"steps": {"sscha": content}}}))
    assert "Modes are imaginary at 300 K; the free energy lacks them." in write_report(workdir).read_text()


def test_modes_that_a_quartic_term_makes_real_need_no_warning():
    phonon, calculator = crystal(QuarticSites(-A, B, EDGE)), QuarticSites(-A, B, EDGE)
    assert compute_commensurate_modes(phonon).count_imaginary() == 24
    with warnings.catch_warnings():
        warnings.simplefilter("error", StructureWarning)
        result = run_sscha(
            phonon, calculator, temperatures=[300], snapshots=20, iterations=6, transient=3, mesh=(3, 3, 3)
        )
    assert result.points[0].modes.count_imaginary() == 0


class Killed(Exception):
    pass


class Mortal(QuarticSites):
    """Dies at one evaluation, and counts them."""

    life = np.inf
    calls = 0

    def calculate(self, *args, **kwargs):
        self.calls += 1
        if self.calls == self.life:
            raise Killed
        super().calculate(*args, **kwargs)


FEW = {"temperatures": [300], "snapshots": 2, "iterations": 2, "transient": 1, "mesh": (3, 3, 3)}


def test_killed_anywhere_it_goes_on_and_gives_the_same(tmp_path, capfd):
    phonon = crystal(QuarticSites(A, B, EDGE))
    whole = run_sscha(phonon, QuarticSites(A, B, EDGE), **FEW)
    for life in range(1, whole.evaluations + 1):
        first, again = Mortal(A, B, EDGE), Mortal(A, B, EDGE)
        first.life = life
        with pytest.raises(CalculatorError, match="Killed"):
            run_sscha(phonon, first, unfinished=Unfinished(tmp_path / str(life)), **FEW)
        kept = Unfinished(tmp_path / str(life))
        result = run_sscha(phonon, again, unfinished=kept, **FEW)
        assert again.calls == whole.evaluations - (life - 1)
        for mine, other in zip(result.points, whole.points, strict=True):
            assert np.array_equal(mine.force_constants, other.force_constants)
            assert np.array_equal(mine.history, other.history)
        kept.remove()
        assert not (tmp_path / str(life)).exists()
    assert capfd.readouterr() == ("", "")


def test_what_another_run_has_kept_is_not_taken_for_this_ones(tmp_path):
    calculator, kept = QuarticSites(A, B, EDGE), Unfinished(tmp_path)
    light, heavy = (crystal(calculator, mass) for mass in (MASS, 2 * MASS))
    two = FEW | {"temperatures": [100, 300]}
    for phonon, settings in ((light, FEW), (heavy, FEW), (light, two), (light, two | {"iterations": 3})):
        alone = run_sscha(phonon, calculator, **settings)
        beside = run_sscha(phonon, calculator, unfinished=kept, **settings)
        assert beside.points[-1].free_energy == alone.points[-1].free_energy


def test_more_iterations_at_one_temperature_go_on_from_the_finished_ones(tmp_path):
    phonon, calculator = crystal(QuarticSites(A, B, EDGE)), Mortal(A, B, EDGE)
    run_sscha(phonon, Mortal(A, B, EDGE), unfinished=Unfinished(tmp_path), **FEW)
    longer = run_sscha(phonon, calculator, unfinished=Unfinished(tmp_path), **(FEW | {"iterations": 3}))
    assert calculator.calls == FEW["snapshots"] + 1
    whole = run_sscha(phonon, QuarticSites(A, B, EDGE), **(FEW | {"iterations": 3}))
    assert np.array_equal(longer.points[0].history, whole.points[0].history)


class Batched(QuarticSites):
    """Takes several structures at once."""

    batches = ()

    def calculate_batch(self, structures):
        self.batches = (*self.batches, len(structures))
        results = []
        for atoms in structures:
            self.calculate(atoms)
            results.append(dict(self.results))
        return results


def test_supercells_come_in_batches_and_another_seed_gives_other_ones():
    phonon, batched = crystal(QuarticSites(A, B, EDGE)), Batched(A, B, EDGE)
    settings = FEW | {"temperatures": [300], "snapshots": 10}
    first = run_sscha(phonon, batched, **settings)
    assert max(batched.batches) == 8
    assert sum(batched.batches) == first.evaluations
    assert first.points[0].free_energy == run_sscha(phonon, QuarticSites(A, B, EDGE), **settings).points[0].free_energy
    other = run_sscha(phonon, batched, seed=1, **settings)
    assert other.points[0].free_energy != first.points[0].free_energy


def test_the_fixed_point_does_not_depend_on_how_far_each_step_goes():
    calculator = QuarticSites(A, B, EDGE)
    phonon = crystal(calculator)
    phonon.force_constants = compact_fc_to_full_fc(phonon.primitive, phonon.force_constants)
    result = run_sscha(
        phonon, calculator, temperatures=[300], snapshots=30, iterations=6, transient=2, mixing=1.0, mesh=(3, 3, 3)
    )
    own = result.points[0].modes.frequencies[1:, -3:]
    assert own.mean() == pytest.approx(self_consistent(300)[0], rel=0.02)


WRONG = [
    ({"temperatures": []}, "0 K or more"),
    ({"temperatures": [-10]}, "0 K or more"),
    ({"temperatures": [100, 300, 100.0]}, "one is there twice"),
    ({"snapshots": 1}, "1 snapshots"),
    ({"mixing": 0.0}, "Mixing 0"),
    ({"mixing": 1.1}, "Mixing 1.1"),
    ({"seed": -1}, "Seed -1"),
    ({"iterations": 1, "transient": 1}, "at least one must count"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_settings_that_make_no_sense(wrong, message):
    calculator = QuarticSites(A, B, EDGE)
    with pytest.raises(SettingsError, match=message):
        run_sscha(crystal(calculator), calculator, **(FEW | wrong))


def test_no_force_constants_to_start_from():
    phonon = make_phonopy(bulk("Cu"), np.diag([2, 2, 2]))
    with pytest.raises(SettingsError, match="Compute them first"):
        run_sscha(phonon, QuarticSites(A, B, EDGE), **FEW)
