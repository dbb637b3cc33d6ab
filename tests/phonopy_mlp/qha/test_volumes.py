"""Free energy over volumes: a crystal that is solved exactly, a metal beside phonopy-qha, and what goes wrong."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from ase.build import bulk, make_supercell
from ase.calculators.emt import EMT
from ase.units import GPa
from kills import watching
from lattices import ScalingSprings
from numpy.testing import assert_allclose
from phonopy.physical_units import get_physical_units
from phonopy.qha.qha import run_qha
from processes import ENVIRONMENT
from scipy.optimize import minimize_scalar
from springs import Springs

from phonopy_mlp.errors import ConvergenceError, ImaginaryModesError, SettingsError
from phonopy_mlp.evaluator import Evaluator
from phonopy_mlp.force_constants import make_phonopy
from phonopy_mlp.qha.fit import fit_volumes
from phonopy_mlp.qha.output import write_qha
from phonopy_mlp.qha.plot import plot_qha
from phonopy_mlp.qha.thermal import compute_thermal, mode_properties, sample_mesh, without_translations
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.unfinished import Unfinished

SMALL = {"supercell_matrix": np.diag([2, 2, 2]), "mesh": (5, 5, 5)}
GAMMA, V0 = 2.0, 12.0


def exact_springs():
    return ScalingSprings(k0=2.0, v0=V0, b0=120 * GPa, gamma=GAMMA)


@pytest.fixture(scope="module")
def exact():
    """Return the calculator that is solved exactly, and its quasi-harmonic result."""
    calculator = exact_springs()
    atoms = bulk("Cu", a=np.cbrt(4 * V0) * 1.01)
    return calculator, run_mlp_qha(atoms, calculator, temperatures=np.arange(0, 620, 20), strain=0.02, **SMALL)


def _free_energy(calculator, temperature):
    """Return F(V) from the frequencies at V0 and their known dependence on the volume."""
    phonon = make_phonopy(bulk("Cu", a=np.cbrt(4 * V0)), np.diag([2, 2, 2]))
    phonon.generate_displacements(distance=0.001)
    phonon.mlp = Evaluator(calculator)
    forces = Evaluator(calculator).evaluate(phonon.supercells_with_displacements)[1]
    phonon.forces = forces
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    points = sample_mesh(phonon, (5, 5, 5))
    phonon.run_qpoints(points.qpoints)
    frequencies = without_translations(points.qpoints, phonon.qpoints.frequencies)
    known = np.isfinite(frequencies)
    weights = np.broadcast_to(points.weights[:, None], frequencies.shape)[known]

    def total(v):
        return (
            calculator.static(v)[0] + weights @ mode_properties(frequencies[known] * (v / V0) ** -GAMMA, temperature)[0]
        )

    return total


@pytest.mark.parametrize("temperature", [0, 100, 300, 600])
def test_exact_volume_and_bulk_modulus(exact, temperature):
    calculator, result = exact
    free_energy = _free_energy(calculator, temperature)
    volume = minimize_scalar(free_energy, bounds=(0.95 * V0, 1.06 * V0), method="bounded", options={"xatol": 1e-9}).x
    h = 0.02
    curvature = (free_energy(volume + h) - 2 * free_energy(volume) + free_energy(volume - h)) / h**2
    k = int(np.flatnonzero(result.temperatures == temperature)[0])
    assert result.volume[k] == pytest.approx(volume, rel=1e-6)
    assert result.bulk_modulus[k] == pytest.approx(volume * curvature / GPa, rel=1e-4)


def test_exact_expansion(exact):
    calculator, result = exact
    k = int(np.flatnonzero(result.temperatures == 300)[0])
    volumes = [
        minimize_scalar(_free_energy(calculator, t), bounds=(0.95 * V0, 1.06 * V0), method="bounded",
                        options={"xatol": 1e-9}).x
        for t in (280, 320)
    ]  # fmt: skip
    expansion = (volumes[1] - volumes[0]) / 40 / result.volume[k]
    assert result.volumetric_expansion[k] == pytest.approx(expansion, rel=2e-3)
    assert_allclose(result.linear_expansion, result.volumetric_expansion / 3)
    # Every mode has the same Grueneisen parameter, so the thermodynamic one is that, too.
    assert_allclose(result.gruneisen[result.temperatures >= 140], GAMMA, rtol=5e-3)


def test_arrays_cannot_be_changed_and_all_temperatures_are_there(exact):
    result = exact[1]
    assert_allclose(result.temperatures, np.arange(0, 620, 20))
    for array in (result.volume, result.volumetric_expansion, result.linear_expansion, result.bulk_modulus):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert result.phonopy.lattice is None


@pytest.fixture(scope="module")
def copper():
    return run_mlp_qha(bulk("Cu"), EMT(), temperatures=np.arange(0, 410, 20), strain=0.02, **SMALL)


def test_phonopy_qha_by_hand_on_the_same_force_sets(copper):
    phonons = []
    for point in copper.points:
        phonon = make_phonopy(point.atoms, np.diag([2, 2, 2]))
        phonon.generate_displacements(distance=0.001)
        phonon.mlp = Evaluator(EMT())
        forces = Evaluator(EMT()).evaluate([phonon.supercell, *phonon.supercells_with_displacements])[1]
        phonon.forces = forces[1:] - forces[0]
        phonon.produce_force_constants()
        phonon.symmetrize_force_constants(level=20)
        phonons.append(phonon)
    energies = [EMT().get_potential_energy(point.atoms) for point in copper.points]
    other = run_qha(
        phonons, np.arange(0, 430, 20), energies, mesh=SMALL["mesh"], eos="vinet", exclude_gamma_acoustic=True
    )
    assert_allclose(copper.volume, other.equilibrium_volumes, rtol=1e-7)
    assert_allclose(copper.volumetric_expansion, other.thermal_expansion, rtol=1e-5, atol=1e-12)
    assert_allclose(copper.bulk_modulus, other.bulk_moduli / GPa, rtol=1e-4)
    assert_allclose(copper.heat_capacity, other.heat_capacity_P.heat_capacities, rtol=1e-4, atol=1e-12)
    assert_allclose(copper.gruneisen, other.gruneisen_parameters, rtol=1e-4, atol=1e-9)


def test_phonopy_qha_the_command_on_the_files_we_write(copper, tmp_path):
    for number in (10, 11):
        (tmp_path / f"thermal_properties-{number}.yaml").write_text("of an earlier run with 11 volumes")
    write_qha(copper, tmp_path)
    ours = {path.name: path.read_text() for path in tmp_path.glob("*.dat")}
    inputs = sorted(path.name for path in tmp_path.glob("thermal_properties-*.yaml"))
    assert len(inputs) == sum(copper.used)
    command = Path(sys.executable).with_name("phonopy-qha")
    subprocess.run(
        [sys.executable, command, "e-v.dat", *inputs, "--eos", "vinet", "--tmax", "400"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        env={"MPLBACKEND": "Agg", "PATH": ""},
    )
    compared = 0
    for name, written in ours.items():
        theirs = (tmp_path / name).read_text()
        if name in ("volume-temperature.dat", "thermal_expansion.dat", "bulk_modulus-temperature.dat"):
            compared += 1
            a, b = np.loadtxt(written.splitlines()), np.loadtxt(theirs.splitlines())
            n = min(len(a), len(b))
            assert n >= 20
            assert_allclose(a[:n], b[:n], rtol=1e-5, atol=1e-9)
    assert compared == 3
    assert (tmp_path / "qha_volumes.yaml").read_text().count("used: true") == len(inputs)


def test_the_linear_coefficient_of_a_cubic_crystal_is_written_at_every_temperature(copper, tmp_path):
    write_qha(copper, tmp_path)
    temperatures, alpha = np.loadtxt(tmp_path / "linear_thermal_expansion.dat").T
    assert_allclose(temperatures, copper.temperatures)
    assert_allclose(alpha, copper.linear_expansion, atol=1e-15)
    assert_allclose(3 * alpha, np.loadtxt(tmp_path / "thermal_expansion.dat")[:, 1], atol=3e-15)
    # Another crystal in the same folder does not take it over.
    write_qha(replace(copper, linear_expansion=None), tmp_path)
    assert not (tmp_path / "linear_thermal_expansion.dat").exists()


def test_figures(copper, tmp_path):
    mpl.use("Agg")
    plot_qha(copper, tmp_path, suffix="png")
    assert {path.stem for path in tmp_path.iterdir()} >= {
        "qha",
        "helmholtz-volume",
        "thermal_expansion",
        "free_energies",
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


def test_every_cell_of_a_crystal_gives_the_same():
    # The same supercell, made of cells of 1, 4 and 32 atoms.
    primitive, conventional = bulk("Cu", a=3.63), bulk("Cu", a=3.63, cubic=True)
    to_cube = np.rint(np.linalg.inv(primitive.cell.array.T) @ conventional.cell.array.T).astype(int)
    settings = {"temperatures": np.arange(0, 200, 50), "mesh": (4, 4, 4), "volumes": 5, "strain": 0.015}
    first = run_mlp_qha(primitive, exact_springs(), supercell_matrix=2 * to_cube, **settings)
    doubled = make_supercell(conventional, np.diag([2, 2, 2]))
    for atoms, matrix in ((conventional, np.diag([2, 2, 2])), (doubled, np.eye(3, dtype=int))):
        other = run_mlp_qha(atoms, exact_springs(), supercell_matrix=matrix, **settings)
        assert_allclose([p.volume for p in other.points], [p.volume for p in first.points], rtol=1e-8)
        assert_allclose([p.energy for p in other.points], [p.energy for p in first.points], atol=1e-8)
        for name in ("volume", "gibbs_energy", "heat_capacity", "bulk_modulus"):
            assert_allclose(getattr(other, name), getattr(first, name), rtol=1e-5, atol=1e-9)


def test_thermal_properties_are_phonopys():
    phonon = make_phonopy(bulk("NaCl", "rocksalt", a=5.0), np.diag([2, 2, 2]))
    phonon.generate_displacements(distance=0.001)
    phonon.forces = Evaluator(Springs(3.0, 2.5, 3.0)).evaluate(phonon.supercells_with_displacements)[1]
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants(level=20)
    temperatures = np.array([0.0, 5.0, 100.0, 1000.0])
    ours = compute_thermal(phonon, (4, 4, 4), temperatures)
    phonon.run_mesh((4, 4, 4), is_gamma_center=True)
    theirs = phonon.run_thermal_properties(temperatures=temperatures, exclude_gamma_acoustic=True)
    unit = get_physical_units().EvTokJmol
    assert_allclose(ours.free_energy * unit, theirs.free_energy, rtol=1e-7)
    assert_allclose(ours.entropy * unit * 1000, theirs.entropy, rtol=1e-6, atol=1e-12)
    assert_allclose(ours.heat_capacity * unit * 1000, theirs.heat_capacity, rtol=1e-6, atol=1e-12)
    assert np.isfinite(ours.free_energy).all()


def test_the_range_grows_at_the_end_that_needs_it():
    calculator = ScalingSprings(k0=2.0, v0=V0, b0=30 * GPa, gamma=GAMMA)
    settings = {"temperatures": np.arange(0, 410, 50), "volumes": 5, "strain": 0.01, **SMALL}
    atoms = bulk("Cu", a=np.cbrt(4 * V0))
    result = run_mlp_qha(atoms, calculator, **settings)
    volumes = np.array([point.volume for point in result.points])
    assert len(volumes) > 5
    assert volumes[0] == pytest.approx(V0 * 0.99**3, rel=1e-6)
    assert volumes[-3] > result.volume.max()
    with pytest.raises(ConvergenceError, match=r"at 450 K.* larger volumes, and 1 were added.*larger strain"):
        run_mlp_qha(atoms, calculator, most_added=1, **settings)


class Buckling(ScalingSprings):
    """Springs that turn negative above a volume."""

    limit = np.inf

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if atoms.get_volume() / len(atoms) > self.limit:
            self.results["forces"] *= -1


def buckling(limit):
    calculator = Buckling(k0=2.0, v0=V0, b0=120 * GPa, gamma=GAMMA)
    calculator.limit = limit
    return bulk("Cu", a=np.cbrt(4 * V0)), calculator


def test_imaginary_modes_stop_the_run_and_name_volume_and_mode():
    atoms, calculator = buckling(V0 * 1.04)
    with pytest.raises(ImaginaryModesError, match=r"imaginary at a volume of 12\.\d+ A\^3.*THz at q = \("):
        run_mlp_qha(atoms, calculator, temperatures=[0, 50, 100], strain=0.02, **SMALL)


def test_imaginary_modes_may_be_left_out_and_are_told(tmp_path):
    atoms, calculator = buckling(V0 * 1.05)
    result = run_mlp_qha(atoms, calculator, temperatures=[0, 50, 100], strain=0.02, imaginary="exclude", **SMALL)
    assert result.used == (True,) * 8 + (False,)
    assert result.points[-1].lowest_frequency < -1
    assert result.points[-1].imaginary_modes > 0
    assert result.points[-1].thermal.left_out > 0.9
    assert len(result.phonopy.volumes) == 8
    write_qha(result, tmp_path)
    assert (tmp_path / "qha_volumes.yaml").read_text().count("used: false") == 1


def test_imaginary_modes_that_cannot_be_removed_are_an_error():
    # Energies rise along the modes that forces call imaginary.
    atoms, calculator = buckling(V0 * 1.04)
    with pytest.raises(
        ImaginaryModesError, match=r"not be stabilised at a volume of 12\.\d+ A\^3.*after 0 steps \d+ are, .*md: "
    ):
        run_mlp_qha(atoms, calculator, temperatures=[0, 50, 100], strain=0.02, imaginary="stabilise", **SMALL)


def test_a_minimum_among_imaginary_modes_is_an_error():
    atoms, calculator = buckling(V0 * 1.02)
    settings = {"temperatures": [0, 500, 1000], "imaginary": "exclude", **SMALL}
    with pytest.raises(ConvergenceError, match="where modes are imaginary"):
        run_mlp_qha(atoms, calculator, strain=0.02, **settings)
    with pytest.raises(ImaginaryModesError, match=r"Only 3 of 5 volumes.*12\.\d+ A\^3: -"):
        run_mlp_qha(atoms, calculator, strain=0.02, volumes=5, **settings)


@pytest.mark.parametrize(
    ("energies", "message"),
    [
        (np.linspace(0, -1, 9), "minimum at 0 K is at .* outside"),
        (np.where(np.arange(9) % 2, 1e6, -1e6), "could not be fitted"),
    ],
)
def test_a_fit_that_fails_is_an_error(exact, energies, message):
    points = [replace(point, energy=energy) for point, energy in zip(exact[1].points[:9], energies, strict=True)]
    with pytest.raises(ConvergenceError, match=message):
        fit_volumes(points, exact[1].all_temperatures, "vinet")


@pytest.mark.parametrize("eos", ["murnaghan", "birch_murnaghan"])
def test_other_equations_of_state(exact, eos):
    points = [point for point, used in zip(exact[1].points, exact[1].used, strict=True) if used]
    fitted = fit_volumes(points, exact[1].all_temperatures, eos)
    assert fitted.eos_name == eos
    assert_allclose(fitted.equilibrium_volumes, exact[1].volume, rtol=1e-3)
    assert not np.array_equal(fitted.equilibrium_volumes, exact[1].volume)


class Counting(ScalingSprings):
    """Its results do not depend on what it computed before."""

    calls = 0

    def calculate(self, *args, **kwargs):
        self.calls += 1
        super().calculate(*args, **kwargs)


def counting():
    return Counting(k0=2.0, v0=V0, b0=120 * GPa, gamma=GAMMA)


FEW = {"supercell_matrix": np.diag([2, 2, 2]), "mesh": (3, 3, 3), "temperatures": [0, 50, 100], "volumes": 5}


def test_killed_anywhere_it_goes_on_and_gives_the_same(tmp_path):
    atoms, calculator = bulk("Cu", a=3.65), counting()
    with watching(Counting, tmp_path / "kept", tmp_path) as moments:
        whole = run_mlp_qha(atoms, calculator, unfinished=Unfinished(tmp_path / "kept"), **FEW)
    # The crystal's relaxation, and relaxation and forces of every volume.
    assert len(moments) >= 1 + 2 * len(whole.points)
    for folder, finished in moments:
        again, kept = counting(), Unfinished(folder)
        result = run_mlp_qha(atoms, again, unfinished=kept, **FEW)
        assert again.calls == calculator.calls - finished
        for name in ("volume", "volumetric_expansion", "bulk_modulus", "gibbs_energy", "heat_capacity", "gruneisen"):
            assert np.array_equal(getattr(result, name), getattr(whole, name)), (finished, name)
        kept.remove()
        assert not folder.exists()


LONG = """
import sys
from pathlib import Path
from ase.build import bulk
from ase.calculators.emt import EMT
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.unfinished import Unfinished
run_mlp_qha(bulk("Cu"), EMT(), unfinished=Unfinished(Path(sys.argv[1])), **eval(sys.argv[2]))
"""


def test_a_process_that_is_killed_is_gone_on_with(tmp_path):
    settings = FEW | {"supercell_matrix": [[2, 0, 0], [0, 2, 0], [0, 0, 2]]}
    process = subprocess.Popen([sys.executable, "-c", LONG, tmp_path, repr(settings)], env=ENVIRONMENT)
    while process.poll() is None and not list(tmp_path.rglob("phonons-*")):
        time.sleep(0.01)
    process.kill()
    assert process.wait() != 0
    kept = [path.name for path in tmp_path.rglob("phonons-*.npz")]
    assert 0 < len(kept) < 5
    calls = []

    class Counted(EMT):
        def calculate(self, *args, **kwargs):
            calls.append(1)
            super().calculate(*args, **kwargs)

    Counted.__name__ = "EMT"
    expected = run_mlp_qha(bulk("Cu"), Counted(), **settings)
    whole = len(calls)
    result = run_mlp_qha(bulk("Cu"), Counted(), unfinished=Unfinished(tmp_path), **settings)
    assert np.array_equal(result.volume, expected.volume)
    assert len(calls) < 2 * whole


def test_nothing_finished_is_computed_again(tmp_path):
    run_mlp_qha(bulk("Cu"), counting(), unfinished=Unfinished(tmp_path), **FEW)
    again = counting()
    run_mlp_qha(bulk("Cu"), again, unfinished=Unfinished(tmp_path), **FEW)
    assert again.calls == 0
    run_mlp_qha(bulk("Cu"), again, unfinished=Unfinished(tmp_path), **(FEW | {"mesh": (2, 2, 2)}))
    assert again.calls > 0


WRONG = [
    ({"volumes": 4}, "4 volumes"),
    ({"volumes": 6}, "6 volumes"),
    ({"strain": 0.0}, "Strain 0"),
    ({"most_added": -1}, "-1 volumes more"),
    ({"eos": "birch"}, "'birch'"),
    ({"imaginary": "hide"}, "'hide'"),
    ({"seed": -1}, "Seed -1"),
    ({"temperatures": [100, 200]}, "ascend from 0 K"),
    ({"temperatures": [0, 200, 200]}, "ascend from 0 K"),
    ({"mesh": (3, 3)}, "three positive integers"),
    ({"mesh": (3, 3, 0)}, "three positive integers"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_settings_that_make_no_sense(wrong, message):
    settings = {"temperatures": [0, 50, 100], **SMALL} | wrong
    with pytest.raises(SettingsError, match=message):
        run_mlp_qha(bulk("Cu"), EMT(), **settings)
