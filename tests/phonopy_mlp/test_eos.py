import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.units import GPa
from numpy.testing import assert_allclose
from phonopy.qha.eos import get_eos
from springs import Springs, triclinic_springs

from phonopy_mlp.elasticity import elastic_from_phonons, run_elasticity
from phonopy_mlp.eos import fit_eos, run_eos
from phonopy_mlp.errors import ConvergenceError, SettingsError, StructureError
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.plot import plot_eos, write_figure
from phonopy_mlp.relax import relax
from phonopy_mlp.unfinished import Unfinished

KNOWN = np.array([-730.25, 15.9 * GPa, 5.5, 4421.0])
"""Energy (eV), bulk modulus, its derivative and volume (A^3), as of MOF-5."""


class Compressible(Calculator):
    """Energy by an equation of state, whatever the atoms do."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, eos, parameters):
        super().__init__()
        self.function, self.per_atom = get_eos(eos), parameters

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        volume = np.array([atoms.get_volume() / len(atoms)])
        energy = float(self.function(volume, self.per_atom)[0]) * len(atoms)
        self.results = {"energy": energy, "forces": np.zeros((len(atoms), 3))}


@pytest.mark.parametrize("eos", ["birch_murnaghan", "vinet", "murnaghan"])
def test_exact_energies_give_their_parameters_back(eos):
    volumes = KNOWN[3] * np.linspace(0.95, 1.08, 9)
    fit = fit_eos(volumes, get_eos(eos)(volumes, KNOWN), eos)
    found = [fit.energy, fit.bulk_modulus * GPa, fit.derivative, fit.volume]
    assert_allclose(found, KNOWN, rtol=1e-6)
    assert fit.residual_rms < 1e-9
    assert fit.bulk_modulus_error < 1e-5
    assert_allclose(fit.energies(volumes), get_eos(eos)(volumes, KNOWN), atol=1e-8)


def test_equations_differ():
    volumes = KNOWN[3] * np.linspace(0.8, 1.2, 9)
    energies = get_eos("vinet")(volumes, KNOWN)
    fits = {eos: fit_eos(volumes, energies, eos) for eos in ("vinet", "birch_murnaghan", "murnaghan")}
    assert fits["vinet"].residual_rms < 1e-9 < 1e-5 < fits["birch_murnaghan"].residual_rms
    assert len({round(fit.bulk_modulus, 4) for fit in fits.values()}) == 3


def test_uncertainties_are_the_scatter_of_repeated_fits():
    volumes = KNOWN[3] * (1 + np.linspace(-0.02, 0.02, 11)) ** 3
    random, noise = np.random.default_rng(1), 1e-4
    energies = get_eos("birch_murnaghan")(volumes, KNOWN)
    fits = [fit_eos(volumes, energies + noise * random.normal(size=11)) for _ in range(300)]
    for name in ("energy", "volume", "bulk_modulus", "derivative"):
        scatter = np.std([getattr(fit, name) for fit in fits])
        stated = np.sqrt(np.mean([getattr(fit, f"{name}_error") ** 2 for fit in fits]))
        assert stated == pytest.approx(scatter, rel=0.15)
    assert np.mean([fit.residual_rms**2 for fit in fits]) == pytest.approx(noise**2 * 7 / 11, rel=0.1)


def test_volumes_are_evenly_strained_and_energies_fitted():
    atoms = bulk("Cu", a=3.6)
    per_atom = np.array([-3.5, 140 * GPa, 5.0, atoms.get_volume() * 1.01])
    result = run_eos(atoms, Compressible("vinet", per_atom), eos="vinet", strain=0.03, points=8)
    assert_allclose(result.strains, np.linspace(-0.03, 0.03, 8))
    assert_allclose(result.volumes, atoms.get_volume() * (1 + result.strains) ** 3)
    assert result.fit.eos == "vinet"
    assert result.fit.bulk_modulus == pytest.approx(140, rel=1e-6)
    assert not result.shape_relaxed


def test_close_packed_springs_have_their_bulk_modulus():
    k, r0 = 4.0, 2.5
    result = run_eos(bulk("Cu", a=r0 * np.sqrt(2)), Springs(k, r0, 1.2 * r0), strain=0.01)
    # B = 2 sqrt(2) k / (3 r0), and E = 3 k (r - r0)^2 has B' = 1: see E as a function of V^(1/3).
    assert result.fit.bulk_modulus == pytest.approx(2 * np.sqrt(2) * k / (3 * r0) / GPa, rel=1e-3)
    assert result.fit.derivative == pytest.approx(1, abs=0.05)
    assert result.fit.volume == pytest.approx(r0**3 / np.sqrt(2), rel=1e-4)


def test_stresses_waves_and_energies_agree_on_the_bulk_modulus():
    rest = relax(bulk("Cu", a=3.59), EMT(), fmax=1e-8).atoms
    fit = run_eos(rest, EMT()).fit
    assert fit.volume == pytest.approx(rest.get_volume(), rel=1e-4)
    assert run_elasticity(rest, EMT()).reuss.bulk == pytest.approx(fit.bulk_modulus, rel=0.01)
    waves = elastic_from_phonons(compute_force_constants(make_phonopy(rest, np.diag([5, 5, 5])), EMT()).phonon)
    assert waves.reuss.bulk == pytest.approx(fit.bulk_modulus, rel=0.01)


@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 1, 1)])
def test_primitive_cells_are_counted(repeat):
    rest = relax(bulk("Cu", cubic=True), EMT(), fmax=1e-8).atoms
    result = run_eos(rest.repeat(repeat), EMT())
    single = run_eos(relax(bulk("Cu"), EMT(), fmax=1e-8).atoms, EMT()).fit
    cells = 4 * np.prod(repeat)
    assert result.primitive_cells == cells
    fit, primitive = result.fit, result.primitive_fit
    assert primitive.volume == pytest.approx(single.volume, rel=1e-5)
    assert primitive.energy == pytest.approx(single.energy, abs=1e-6)
    assert primitive.bulk_modulus == fit.bulk_modulus == pytest.approx(single.bulk_modulus, rel=1e-4)
    assert fit.volume == pytest.approx(primitive.volume * cells)
    assert_allclose(result.primitive_volumes * cells, result.volumes)
    assert_allclose(primitive.energies(result.primitive_volumes) + primitive.residuals, result.primitive_energies)


def test_the_shape_relaxes_where_the_crystal_is_not_cubic():
    atoms, springs = triclinic_springs()
    known = springs.stiffness(atoms) / GPa
    voigt, reuss = known[:3, :3].sum() / 9, 1 / np.linalg.inv(known)[:3, :3].sum()
    assert voigt > 1.1 * reuss
    result = run_eos(atoms, springs, strain=0.002)
    assert result.shape_relaxed
    assert_allclose(result.volumes, atoms.get_volume() * (1 + result.strains) ** 3, rtol=1e-10)
    # Where the shape follows, pressure is hydrostatic: Reuss's modulus. Where it does not, Voigt's.
    assert result.fit.bulk_modulus == pytest.approx(reuss, rel=1e-3)
    held = run_eos(atoms, springs, strain=0.002, relax_shape=False)
    assert not held.shape_relaxed
    assert held.fit.bulk_modulus == pytest.approx(voigt, rel=1e-3)
    assert run_eos(bulk("Cu", a=3.59), EMT(), relax_shape=True).shape_relaxed


def test_atoms_relax_at_each_volume():
    atoms = bulk("Cu", "hcp", a=2.5, c=4.2)
    atoms.positions[1] += [0.1, 0.05, 0]
    result = run_eos(relax(atoms, EMT()).atoms, EMT(), strain=0.01)
    for structure in result.structures:
        structure.calc = EMT()
        assert np.abs(structure.get_forces()).max() < 1e-6


@pytest.mark.parametrize(("lattice", "way"), [(3.4, "larger volumes. Expand"), (3.85, "smaller volumes. Compress")])
def test_a_minimum_elsewhere_is_an_error_that_says_where(lattice, way):
    with pytest.raises(StructureError, match="no minimum") as caught:
        run_eos(bulk("Cu", a=lattice), EMT())
    assert way in str(caught.value)


def test_energies_that_curve_downwards_have_no_minimum():
    volumes = np.linspace(90, 110, 7)
    with pytest.raises(StructureError, match="larger volumes"):
        fit_eos(volumes, -((volumes - 99) ** 2))


@pytest.mark.parametrize("eos", ["murnaghan", "vinet"])
def test_a_fit_that_fails_is_an_error(eos):
    volumes = np.linspace(90, 110, 7)
    with pytest.raises(ConvergenceError, match=f"'{eos}' was not fitted"):
        fit_eos(volumes, np.array([0.4, 0.6, 0.9, 0.3, 0.6, 0.4, 0.8]), eos)
    with pytest.raises(StructureError, match="smaller volumes"):
        fit_eos(volumes, np.array([0.3, 0.4, 0.6, 0.5, 0.6, 0.6, 0.9]), eos)


def test_energies_that_are_not_numbers_are_an_error():
    volumes = KNOWN[3] * np.linspace(0.94, 1.06, 7)
    energies = get_eos("birch_murnaghan")(volumes, KNOWN)
    energies[3] = np.nan
    with pytest.raises(ConvergenceError, match="1 of 7"):
        fit_eos(volumes, energies)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strain": 0.0}, "Strain 0"),
        ({"strain": np.nan}, "Strain nan"),
        ({"strain": 0.5}, "Strain 0.5"),
        ({"points": 6}, "6 volumes"),
        ({"eos": "birch"}, "'birch'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        run_eos(bulk("Cu"), EMT(), **wrong)


def test_an_unknown_equation_does_not_become_vinets():
    volumes = KNOWN[3] * np.linspace(0.94, 1.06, 7)
    with pytest.raises(SettingsError, match="no such equation"):
        fit_eos(volumes, get_eos("vinet")(volumes, KNOWN), "birch")


def test_results_cannot_be_changed_and_the_input_is_not():
    atoms = bulk("Cu", a=3.6)
    result = run_eos(atoms, EMT())
    assert atoms.cell.array[0, 1] == 1.8
    for array in (result.strains, result.volumes, result.energies, result.fit.residuals):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    result.structures[0].positions += 1
    assert_allclose(result.structures[0].positions, 0, atol=1e-9)


def test_finished_volumes_are_not_computed_twice(tmp_path):
    class Mortal(EMT):
        life = 10**9

        def calculate(self, *args, **kwargs):
            if self.life == 0:
                raise KeyboardInterrupt
            self.life -= 1
            super().calculate(*args, **kwargs)

    seen = []

    def progress(items, total, label):
        for item in items:
            seen.append(int(item))
            yield item

    atoms = relax(bulk("Cu", "hcp", a=2.5, c=4.2), EMT()).atoms
    atoms.positions[1] += [0.01, 0.02, 0]
    atoms.set_masses([60.0, 65.0])
    unharmed = Mortal()
    whole = run_eos(atoms, unharmed, progress=progress)
    used = 10**9 - unharmed.life
    assert seen[0] == 3
    assert sorted(seen[1:3]) == [2, 4]
    assert sorted(seen) == list(range(7))
    first = Mortal()
    first.life = used - 5
    with pytest.raises(KeyboardInterrupt):
        run_eos(atoms, first, unfinished=Unfinished(tmp_path))
    assert 0 < len(list(tmp_path.rglob("relaxed.npz"))) < 7
    second = Mortal()
    result = run_eos(atoms, second, unfinished=Unfinished(tmp_path))
    assert np.array_equal(result.energies, whole.energies)
    for one, other in zip(result.structures, whole.structures, strict=True):
        assert np.array_equal(one.positions, other.positions)
        assert np.array_equal(one.get_masses(), other.get_masses())
    third = Mortal()
    third.life = 0
    assert run_eos(atoms, third, eos="vinet", unfinished=Unfinished(tmp_path)).fit.eos == "vinet"


def test_the_figure_shows_energies_fit_and_residuals(tmp_path):
    result = run_eos(bulk("Cu", cubic=True, a=3.59), EMT())
    figure = plot_eos(result, "copper")
    assert figure.get_suptitle() == "copper"
    above, below = figure.axes
    line, points = above.lines[:2]
    assert_allclose(points.get_xdata(), result.volumes / 4)
    assert_allclose(points.get_ydata(), 1e3 * (result.energies - result.fit.energy) / 4)
    assert_allclose(np.interp(points.get_xdata(), line.get_xdata(), line.get_ydata()), points.get_ydata(), atol=0.1)
    assert "meV/primitive cell" in above.get_ylabel()
    assert "primitive cell" in below.get_xlabel()
    assert f"{result.fit.bulk_modulus:.3f}" in above.texts[0].get_text()
    write_figure(figure, tmp_path / "eos.png")
    assert (tmp_path / "eos.png").read_bytes().startswith(b"\x89PNG")
