"""The whole of ``make paper`` on crystals that take no time, what it refuses, and how it goes on after failures."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from paper import __main__ as command
from paper import expansion, labels
from paper.gfn1 import Reference
from paper.published import Published
from paper.study import NotDone, Study
from toys import EDGE

from phonopy_mlp.errors import CalculatorError
from phonopy_mlp.unfinished import UNFINISHED_FOLDER

# Of torch, D3 and tblite, where speed is measured.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{beginning}")
    for beginning in ("The TorchScript type system", "`torch.jit", "Creating a tensor from a list", "The cell is")
]

FIGURES = {"fig3", "table4", "table5", "fig6", "expansion", "fig4-5-Cu", "fig4-Cu", "fig5-Cu", "fig4-5-CuAu"}


def read(folder, name):
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def out(toy, crystals, publication, tmp_path_factory):
    """Tables and figures of all drivers, in two processes; iron is not among the calculator's elements."""
    folder = tmp_path_factory.mktemp("paper")
    write(folder / "Fe.cif", bulk("Fe", cubic=True))
    files = [folder / "Fe.cif", crystals / "Cu.cif", crystals / "CuAu.cif"]
    words = ["--model", toy, "--structures", *files, "--published", publication, "--quick", "--jobs", "2"]
    words += ["--qha-strain", "0.01", "--work", folder / "work", "--out", folder / "out"]
    assert command.main(list(map(str, words))) == 0
    return folder / "out"


def test_every_driver_writes_its_table_and_figures(out):
    assert {path.stem for path in out.glob("*.png")} == FIGURES
    tables = {"table2", "fig3", "table4", "table5", "table6", "table7", "fig4-5", "fig6", "speed", "failures"}
    assert {path.stem for path in out.glob("*.csv")} == tables


def test_one_framework_that_fails_is_the_only_one_missing(out):
    (failure,) = read(out, "failures")
    assert (failure["framework"], failure["command"]) == ("Fe", "relax")
    assert "Fe" in failure["reason"]
    assert {row["framework"] for row in read(out, "fig6") if row["method"] == "toy"} == {"Cu", "CuAu"}


def test_our_minimum_is_beside_the_published_cells(out):
    rows = {row["method"]: row for row in read(out, "fig3")}
    assert len(rows) == 5
    ours = next(row for row in read(out, "table2") if row["method"] == "toy" and row["framework"] == "Cu")
    expected = 100 * (float(ours["a"]) / EDGE - 1)
    assert float(rows["toy"]["mean_length_deviation_percent"]) == pytest.approx(expected, abs=3e-4)
    theirs = rows["MACE-MP-0b (paper's structures)"]
    assert float(theirs["mean_length_deviation_percent"]) == pytest.approx(100 * 0.02 / EDGE, abs=1e-4)
    assert float(read(out, "table7")[0]["rmsd"]) == pytest.approx(0, abs=1e-6)


def test_expansion_is_that_of_cubic_crystals_over_the_strain_that_was_asked_for(out):
    rows = read(out, "table6")
    assert [(row["framework"], row["T_K"], row["strain"]) for row in rows] == [
        ("Cu", kelvin, "0.01") for kelvin in ("300", "100", "200", "350")
    ]
    assert [row["experiment (paper)"] for row in rows] == ["4 to 5", "", "", ""]
    for row in rows:
        assert float(row["toy, volumetric"]) == pytest.approx(3 * float(row["toy, linear"]), rel=1e-5)
        assert 5 < float(row["toy, linear"]) < 50


def test_nothing_is_said_beyond_where_a_curve_ends(study):
    curve = np.array([[0.0, 100.0, 200.0], [0.0, 1e-6, 2e-6]])
    beyond, inside = (expansion.make_row(study, {"Cu": curve}, {}, "Cu", kelvin) for kelvin in (300.0, 200.0))
    assert beyond == {"framework": "Cu", "T_K": 300.0}
    assert inside["toy, volumetric"] == pytest.approx(2)


def test_densities_of_states_are_measured_against_dfts(out):
    ours, dft, theirs = (row for row in read(out, "fig4-5") if row["framework"] == "Cu")
    assert [row["model"] for row in (ours, dft, theirs)] == ["toy", "DFT (paper)", "MACE-MP-MOF0 (paper)"]
    assert float(theirs["lowest_modes_rmsd_THz"]) == 0
    assert 0 < float(ours["lowest_modes_rmsd_THz"]) < 1
    assert dft["lowest_modes_rmsd_THz"] == ""
    for column in ("highest_THz", "zero_point_kJ_per_mol", "heat_capacity_300_K_J_per_K_mol"):
        # Of four atoms ours, whose cell has one: the primitive one counts.
        assert float(ours[column]) == pytest.approx(float(theirs[column]), rel=0.15)


def test_published_moduli_come_once_each_with_the_source_of_dft(out):
    rows = [row for row in read(out, "fig6") if row["method"].endswith("(paper)")]
    names = [(row["framework"], row["method"]) for row in rows]
    assert len(set(names)) == len(names) == 8
    assert [row["source_of_dft"] for row in rows if row["framework"] == "Cu"] == ["SELF", "", "", ""]


def test_speed_has_what_the_paper_says(out):
    rows = {row["method"]: row for row in read(out, "speed")}
    assert rows["MACE-MP-0b + D3 (paper)"]["over_MACE_mace_itself"] == "1.5"
    assert rows["GFN1-xTB (paper)"]["time_saved_percent"] == "90"
    ours = rows["MACE-MP-0b + D3, mace itself"]
    saved = 100 * (1 - 1 / float(ours["over_MACE_mace_itself"]))
    assert float(ours["time_saved_percent"]) == pytest.approx(saved, abs=1e-3)


def test_the_machine_is_described_without_telling_whose_it_is(out):
    text = (out / "machine.yaml").read_text()
    found = yaml.safe_load(text)
    assert found.keys() == {"processor", "cores", "memory_GB", "OMP_NUM_THREADS", "versions", "processes", "seconds"}
    assert found["seconds"].keys() == {"runs", *command.DRIVERS}
    assert found["versions"]["phonopy"]
    assert not {os.uname().nodename, str(Path.home())} & set(text.split())


def test_the_command_itself_with_one_driver(toy, crystals, tmp_path):
    words = ["--model", toy, "--structures", crystals / "Cu.cif", "--only", "moduli", "--quick"]
    words += ["--published", tmp_path / "none", "--work", tmp_path / "work", "--out", tmp_path / "out"]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "paper", *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    (row,) = read(tmp_path / "out", "fig6")
    assert (row["framework"], row["method"]) == ("Cu", "toy")
    assert read(tmp_path / "out", "failures")[0]["reason"] == "none"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--structures", "a/Cu.cif", "b/Cu.cif"), "called 'Cu'"),
        (("--structures", "c/Cu.cif"), "was not found"),
        (("--labels", "a"), "no .extxyz"),
        (("--jobs", "0"), "at least one"),
        (("--model", "mono"), "Did you mean"),
    ],
)
def test_bad_input_ends_in_one_sentence(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "Cu.cif", bulk("Cu"))
    assert command.main([*words, "--work", "work", "--out", "out"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("paper: error: ")
    assert said in line


def test_a_relative_model_file_is_found_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = command.make_study(command.parse(["--model", "own.model", "--work", "work", "--out", "out"]))
    assert (study.model, study.title) == (str(tmp_path / "own.model"), "own")


def test_failures_are_written_also_where_a_driver_breaks(toy, crystals, tmp_path, monkeypatch):
    def fail(study):
        raise RuntimeError("broken")

    monkeypatch.setattr("paper.moduli.run", fail)
    words = ["--model", toy, "--structures", crystals / "Cu.cif", "--only", "moduli", "--jobs", "1"]
    words += ["--work", tmp_path / "work", "--out", tmp_path / "out"]
    with pytest.raises(RuntimeError, match="broken"):
        command.main(list(map(str, words)))
    assert read(tmp_path / "out", "failures")


@pytest.fixture
def study(toy, tmp_path):
    write(tmp_path / "Cu.cif", bulk("Cu"))
    (tmp_path / "out").mkdir()
    return Study(
        model=toy,
        frameworks={"Cu": tmp_path / "Cu.cif"},
        work=tmp_path / "work",
        out=tmp_path / "out",
        published=Published(None),
        reference=Reference(tmp_path / "gfn1"),
        quick=True,
    )


def changed(study, act):
    """Whether the relaxation is done again after something was done to it."""
    record = study.run("Cu", "relax") / "phonopy_mlp-relax.yaml"
    before = record.stat().st_mtime_ns
    act(record.parent)
    study.run("Cu", "relax")
    return record.stat().st_mtime_ns != before


def test_a_run_that_failed_after_its_relaxation_is_done_again(study, monkeypatch):
    def fail(*args, **keywords):
        raise CalculatorError("No energy", "the test says so", "Go on")

    with monkeypatch.context() as patch:
        patch.setattr("phonopy_mlp.cli.steps.eos.run_eos", fail)
        for _ in range(2):
            with pytest.raises(NotDone):
                study.run("Cu", "eos", "--relax")
    folder = study.work / "toy" / "Cu" / "eos"
    record = yaml.safe_load((folder / "phonopy_mlp-eos.yaml").read_text())["phonopy_mlp"]
    assert record["steps"].keys() == {"relax"}
    assert "the test says so" in study.failures.pop(("Cu", "eos"))
    assert (study.run("Cu", "eos", "--relax") / "eos.yaml").is_file()


def test_what_is_finished_is_done_again_only_for_another_model_or_structure_or_where_parts_are_left(study, monkeypatch):
    assert not changed(study, lambda folder: None)
    assert changed(study, lambda folder: (folder / UNFINISHED_FOLDER / "part").mkdir(parents=True))
    assert not changed(study, lambda folder: None)
    assert changed(study, lambda folder: write(study.frameworks["Cu"], bulk("Cu", a=3.5)))
    assert changed(study, lambda folder: monkeypatch.setattr("paper.study._description", lambda model: {}))


def test_an_interrupted_run_stops_all(study, monkeypatch):
    def interrupt(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr("phonopy_mlp.cli.steps.eos.run_eos", interrupt)
    with pytest.raises(KeyboardInterrupt):
        study.run("Cu", "eos", "--relax")
    assert not study.failures


def test_labels_of_a_folder_take_the_place_of_gfn1_xtbs(study, tmp_path):
    frames = []
    for seed in range(3):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    folder = tmp_path / "DFT"
    folder.mkdir()
    for name, own in (("one", frames), ("without", frames[:1])):
        write(folder / f"{name}.extxyz", own)
    for atoms in frames:
        del atoms.calc.results["stress"]
    write(folder / "without.extxyz", frames[:1])
    (folder / "broken.extxyz").write_text("nothing")
    labels.run(replace(study, labels=folder))
    rows = {row["framework"]: row for row in read(study.out, "table4")}
    assert [rows[name]["configurations"] for name in ("one", "without", "all")] == ["3", "1", "4"]
    assert all(row["against"] == "DFT" for row in rows.values())
    assert float(rows["one"]["rmsd_forces_eV_per_A"]) == pytest.approx(0, abs=1e-6)
    assert rows["one"]["rmsd_stress_meV_per_A3"] != rows["all"]["rmsd_stress_meV_per_A3"] == ""
    assert "does not parse" in study.failures["broken", "labels"]


def test_only_mini_has_a_strain_of_its_own(study):
    assert expansion.strain(study) == expansion.STRAIN
    assert expansion.strain(replace(study, model="mini")) == 0.0045
    assert expansion.strain(replace(study, model="mini", qha_strain=0.01)) == 0.01
