"""The whole of ``make paper`` on crystals that take no time, what it refuses, and how it goes on after failures."""

import csv
from dataclasses import replace

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

from phonopy_mlp.errors import CalculatorError
from phonopy_mlp.unfinished import UNFINISHED_FOLDER


def read(folder, name):
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


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
