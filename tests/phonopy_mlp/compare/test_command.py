"""``phonopy-mlp compare``: what two paths are is recognised, and said."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write
from matplotlib.figure import Figure
from phonopy import Phonopy
from rewriting import BASES, TURN, rewritten

from phonopy_mlp.cli.main import main
from phonopy_mlp.compare.frequencies import compare_frequencies
from phonopy_mlp.compare.reading import read_phonons
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.output import write_force_constants

POSITIONS = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def alloy(edge: float = 3.708) -> Atoms:
    return Atoms("AuCu3", scaled_positions=POSITIONS, cell=[edge] * 3, pbc=True)


def keep(atoms: Atoms, name: str) -> Phonopy:
    """Write the files of a run."""
    result = compute_force_constants(make_phonopy(atoms, np.diag([2, 2, 2])), EMT())
    Path(name).mkdir()
    write_force_constants(result, Path(name))
    return result.phonon


def labelled(name: str, higher: float) -> None:
    frames = []
    for k in range(3):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.calc = EMT()
        atoms.get_stress()
        atoms.get_forces()
        atoms.calc.results["energy"] += higher
        frames.append(atoms)
    write(name, frames)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Folder with two of each kind."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        phonon = keep(alloy(), "run")
        strained, _ = rewritten(alloy(3.75), basis=BASES[2], order=[2, 0, 3, 1], origin=(1, 2, 3), rotation=TURN)
        keep(strained, "strained")
        write("one.cif", alloy())
        write("other.cif", alloy(3.745))
        labelled("a.extxyz", 0.0)
        labelled("b.extxyz", 0.02)
        for name, pitch in (("total_dos.dat", 0.01), ("coarse.dat", 0.02)):
            phonon.run_mesh([5, 5, 5], is_gamma_center=True)
            phonon.run_total_dos(freq_pitch=pitch)
            phonon.write_total_dos(filename=name)
    return folder


@pytest.fixture(autouse=True)
def _place(examples, tmp_path, monkeypatch):
    shutil.copytree(examples, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are written."""
    found: list[Figure] = []
    monkeypatch.setattr("phonopy_mlp.cli.compare.write_figure", lambda figure, path: found.append(figure))
    return found


def command(line: str) -> int:
    return main(["compare", *line.split()])


def results() -> dict:
    return yaml.safe_load(Path("compare.yaml").read_text())


def labels_of(figure: Figure) -> set[str]:
    return {text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())}


def test_runs_are_compared_mode_by_mode_and_in_their_structures(capfd):
    assert command("run strained/phonopy_params.yaml --mesh 3 3 3 --cut 4") == 0
    expected = compare_frequencies(read_phonons(Path("run")), read_phonons(Path("strained")), mesh=(3, 3, 3), cut=4.0)
    found = results()
    assert (found["a"], found["b"]) == ("run", "strained/phonopy_params.yaml")
    low = found["frequencies"]["by_overlap"]["below_4_THz"]
    assert low["rmsd"] == pytest.approx(expected.deviation("overlap", below=4.0).rmsd, abs=1e-6)
    assert low["largest"] < 0  # the larger cell is softer
    assert found["frequencies"]["mesh"] == [3, 3, 3]
    assert found["primitive_cells"]["mean_length_deviation_percent"] == pytest.approx(
        100 * (3.75 / 3.708 - 1), abs=1e-4
    )
    assert found["primitive_cells"]["fractional_coordinates"]["Cu"]["rmsd"] == 0
    said = capfd.readouterr().out
    assert "below 4 THz, paired by overlap" in said
    assert "Pm-3m (221) at 1e-05 A, 2 displacements" in said


@pytest.mark.parametrize("band", ["", "--band auto", "--band 0 0 0 1/2 0 0, 0 0 0 1/2 1/2 1/2"])
def test_figure_of_runs(band, figures):
    assert command(f"run strained --mesh 3 3 3 --cut 4 --figure runs.png {band}") == 0
    (figure,) = figures
    quantities = {"A (THz)", "B (THz)", "DOS (states/THz/primitive cell)"} | ({"Frequency (THz)"} if band else set())
    assert labels_of(figure) >= quantities
    assert len([axes for axes in figure.axes if axes.get_xlabel()]) == 6  # full range and below the cut
    parity = next(axes for axes in figure.axes if axes.get_xlabel() == "A (THz)")
    a, b = parity.collections[0].get_offsets().T
    assert a.mean() > b.mean()
    dos = next(axes for axes in figure.axes if axes.get_ylabel().startswith("DOS"))
    for line in dos.lines:
        points, density = line.get_data()
        # 12 modes at each of 27 q-points, but for the translations.
        assert density.sum() * (points[1] - points[0]) == pytest.approx(12 - 3 / 27, rel=1e-3)
    ticks = {tick.get_text() for axes in figure.axes for tick in axes.get_xticklabels()}
    assert ("1/2 1/2 1/2" in ticks) == ("1/2" in band)


def test_structures(capfd):
    assert command("one.cif other.cif") == 0
    found = results()["structures"]
    assert found["length_deviations_percent"] == pytest.approx([0.9978] * 3, abs=1e-4)
    assert found["symmetry"][1] == {
        "Pm-3m (221) at 1e-05 A": {"displacements": 2},
        "Pm-3m (221) at 0.01 A": {"displacements": 2},
    }
    assert "Fractional coordinates of Au" in capfd.readouterr().out


def test_densities_of_states(capfd, figures):
    assert command("total_dos.dat coarse.dat --cut 3 --figure dos.png") == 0
    found = results()["density_of_states"]
    assert found["cumulative"]["rmsd"] < 0.04
    assert found["integrals"] == pytest.approx([12, 12], abs=0.3)
    assert "Lowest modes, begun below 3.00 THz" in capfd.readouterr().out
    (figure,) = figures
    assert labels_of(figure) >= {"Frequency (THz)", "Cumulated states per primitive cell", "B $-$ A (THz)"}


def test_energies_and_forces(capfd, figures):
    assert command("a.extxyz b.extxyz --figure labels.png") == 0
    found = results()["labels"]
    assert found["energy (eV)"]["mae"] == pytest.approx(0.02)
    assert found["forces on Cu (eV/A)"] == {"rmsd": 0, "mae": 0, "largest": 0, "count": 36}
    assert "energy per atom (eV)" in capfd.readouterr().out
    (figure,) = figures
    assert [axes.get_title() for axes in figure.axes] == ["Energy", "Force components", "Stress components"]


def test_relaxed_structures_with_energies_are_structures():
    for name, edge in (("a.extxyz", 3.7), ("b.extxyz", 3.75)):
        atoms = alloy(edge)
        atoms.calc = EMT()
        atoms.get_forces()
        write(name, atoms)
    assert command("a.extxyz b.extxyz") == 0
    assert results()["structures"]["volume_deviation_percent"] == pytest.approx(100 * ((3.75 / 3.7) ** 3 - 1), abs=1e-3)


def test_other_yaml_files_give_the_same(examples):
    phonon = read_phonons(Path("run"))
    phonon.save("constants.yaml", settings={"force_sets": False, "displacements": False, "force_constants": True})
    shutil.copy("run/phonopy_params.yaml", "forces.yaml")
    for name in ("constants.yaml", "forces.yaml"):
        found = compare_frequencies(phonon, read_phonons(Path(name)), mesh=(2, 2, 2))
        assert found.deviation("overlap").rmsd < 1e-6


BAD = {
    "two kinds": ("run one.cif", "Give two of one kind"),
    "missing": ("one.cif nothing.cif", "there is no such file"),
    "missing beside a run": ("run nothing", "there is no such file or folder"),
    "missing folder": ("run nothing.yaml", "there is no such file"),
    "folder without files": ("run .", "there is no such file"),
    "other crystals": ("one.cif Cu.cif", "other atoms"),
    "not a structure": ("one.cif broken.extxyz", "does not parse"),
    "other structures": ("a.extxyz fewer.extxyz", "3 of one and 2 of the other"),
    "several structures": ("one.cif several.extxyz", "'several.extxyz' holds 2 structures: without energies"),
    "results of one file alone": ("several.extxyz a.extxyz", "'several.extxyz' holds 2 structures"),
    "energies that are no numbers": ("a.extxyz lost.extxyz", "its energy is not a finite number"),
    "no forces": ("run empty.yaml", "has no forces"),
    "not phonopy's": ("run plain.yaml", "not a phonopy yaml"),
    "another run's constants": ("run mixed", "does not belong"),
    "broken constants": ("run broken", "cannot be read"),
    "mesh": ("run run --mesh 0 3 3", "positive integers"),
    "cut": ("run run --mesh 1 1 1 --cut -1", "positive"),
    "band alone": ("run run --band auto", "Add --figure"),
    "band of nothing": ("run run --figure x.png --band Gamma X", "neither 'auto' nor paths"),
    "band of one point": ("run run --figure x.png --band 0 0 0", "at least two q-points"),
    "figure": ("run run --figure x.nonsense", "its suffix be one of"),
    "figure of structures": ("one.cif other.cif --figure x.png", "nothing to draw"),
    "cut of structures": ("one.cif other.cif --cut 3", "no frequencies"),
    "mesh of densities": ("total_dos.dat coarse.dat --mesh 3 3 3", "which state belongs to which"),
    "below all modes": ("total_dos.dat coarse.dat --cut 0.001 --figure x.png", "no mode of A begins below"),
    "no density": ("total_dos.dat broken.dat", "no density of states"),
    "empty density": ("total_dos.dat empty.dat", "it holds no numbers"),
    "beyond the file": ("total_dos.dat lost.dat --cut 6", "flatter than the pitch"),
    "three": ("run run run", "unrecognized arguments"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_and_status_2(case, capfd):
    line, message = BAD[case]
    write("Cu.cif", bulk("Cu"))
    write("fewer.extxyz", read("a.extxyz", ":2"))
    write("several.extxyz", [alloy(), alloy()])
    frames = read("a.extxyz", ":")
    frames[1].calc.results["energy"] = np.nan
    write("lost.extxyz", frames)
    Path("empty.dat").write_text("")
    Path("broken.extxyz").write_text("2\nnothing\nCu 0\n")
    Path("broken.dat").write_text("nothing\n")
    table = np.loadtxt("total_dos.dat")
    table[table[:, 0] > 3, 1] *= 0.9
    np.savetxt("lost.dat", table)
    Path("plain.yaml").write_text("a: 1\n")
    make_phonopy(alloy(), np.diag([2, 2, 2])).save("empty.yaml")
    for name in ("mixed", "broken"):
        Path(name).mkdir()
        shutil.copy("run/phonopy_params.yaml", name)
    write_force_constants(
        compute_force_constants(make_phonopy(alloy(), np.diag([1, 1, 1])), EMT()), Path("mixed"), keep_params=True
    )
    Path("broken/force_constants.hdf5").write_text("nothing")
    assert command(line) == 2
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not Path("compare.yaml").exists()
