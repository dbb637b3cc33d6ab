"""Evaluation by the command: predictions are those of the calculator, nothing is done twice."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from metals import label, make_metals

from mace_mof_calc import MaceMOF
from mace_mof_calc.cli import main
from mace_mof_calc.errors import TrainingError
from mace_mof_calc.frames import FORCES, read_frames, write_frames
from mace_mof_calc.models.own import MODELS_VARIABLE
from mace_mof_calc.training.evaluate import phonons, run
from mace_mof_calc.training.evaluate import predict as predictions
from mace_mof_calc.training.evaluate.predict import predict
from mace_mof_calc.training.label.compute import compute_labels


@pytest.fixture
def labelled(tiny_packed, crystal, tmp_path):
    """File of frames that the tiny model itself has labelled, with all forces 0.01 eV/A too large."""
    frames = []
    calculator = MaceMOF(tiny_packed, device="cpu")
    for k in range(3):
        atoms = crystal.copy()
        atoms.rattle(0.02, seed=k)
        atoms = label(atoms, calculator)
        atoms.arrays[FORCES] += 0.01
        atoms.info |= {"source": "toy", "name": f"toy-{k}"}
        frames.append(atoms)
    write_frames(tmp_path / "labelled.extxyz", frames)
    return tmp_path / "labelled.extxyz"


def test_a_model_has_no_errors_on_labels_of_its_own(labelled, tiny_packed, tmp_path, capsys):
    out = tmp_path / "evaluated"
    words = ["evaluate", str(labelled), "--model", str(tiny_packed), "-o", str(out)]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["all", "3"]
    document = json.loads((out / "errors.json").read_text())
    assert document["model"] == str(tiny_packed)
    rows = document["errors"]
    assert rows[0]["forces_rmse_meV_per_A"] == pytest.approx(10, abs=1e-4)
    assert rows[0]["energy_rmse_meV_per_atom"] == pytest.approx(0, abs=1e-4)
    assert rows[0]["stress_rmse_meV_per_A3"] == pytest.approx(0, abs=1e-4)
    assert (out / "errors.csv").read_text().startswith("group,frames,energy_rmse_eV,energy_rmse_meV_per_atom")
    assert (out / "parity.png").stat().st_size > 1000
    assert len(read_frames(out / "predictions.extxyz")) == 3
    assert main(words) == 0
    assert "computed before" in capsys.readouterr().out
    assert main([*words, "--dtype", "float32"]) == 2
    assert "dtype was 'float64' and is 'float32'" in capsys.readouterr().err


def test_a_broken_evaluation_goes_on(labelled, tiny_packed, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "CHUNK", 1)
    out, done = tmp_path / "evaluated", []
    out.mkdir()

    def kill(frames, calculator):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(frames[0].info["name"])
        return predictions.predict(frames, calculator)

    monkeypatch.setattr(run, "predict", kill)
    with pytest.raises(KeyboardInterrupt):
        run.evaluate([labelled], out, str(tiny_packed))
    done.pop()
    found = run.evaluate([labelled], out, str(tiny_packed))
    assert done == ["toy-0", "toy-2"]
    assert (found.errors[0].frames, found.known_before) == (3, False)


def test_each_head_can_be_evaluated(tuned, copper, workshop, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(MODELS_VARIABLE, str(workshop.models))
    errors = {}
    for head in ("pt_head", "Default"):
        words = ["evaluate", str(workshop.copper), "--model", "my-alloy", "--head", head, "-o", str(tmp_path / head)]
        assert main(words) == 0
        errors[head] = json.loads((tmp_path / head / "errors.json").read_text())["errors"][0]["forces_rmse_meV_per_A"]
    assert errors["pt_head"] != errors["Default"]


def test_any_calculator_is_asked_one_frame_at_a_time():
    frames = make_metals("CuAu", 2, seed=1)
    for atoms, found in zip(frames, predict(frames, EMT()), strict=True):
        assert found.energy == pytest.approx(atoms.info["REF_energy"])
        np.testing.assert_allclose(found.forces, atoms.arrays["REF_forces"])
        np.testing.assert_allclose(found.stress, atoms.info["REF_stress"])
    frames[1].numbers[:] = 3
    with pytest.raises(TrainingError, match=r"failed on frame CuAu-1-1\. NotImplementedError"):
        predict(frames, EMT())


def test_the_energy_is_that_of_labels():
    """The one that forces are the derivative of, where occupations are smeared."""

    class Smeared(EMT):
        def calculate(self, *words, **options):
            super().calculate(*words, **options)
            self.results["free_energy"] -= 0.5

    (atoms,) = make_metals("CuAu", 1, seed=1)
    assert predict([atoms], Smeared())[0].energy == compute_labels(atoms, Smeared()).energy
    assert predict([atoms], Smeared())[0].energy == pytest.approx(predict([atoms], EMT())[0].energy - 0.5)


def test_frames_without_labels_are_refused(labelled, tiny_packed, tmp_path, capsys):
    frames = read_frames(labelled)
    del frames[1].info["REF_energy"]
    write_frames(labelled, frames)
    assert main(["evaluate", str(labelled), "--model", str(tiny_packed), "-o", str(tmp_path / "out")]) == 2
    assert "toy-1 has no REF_energy" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_half_a_wish_for_phonons(labelled, tmp_path, capsys):
    words = ["evaluate", str(labelled), "--model", "mini", "-o", str(tmp_path / "out"), "--phonons", "x.cif"]
    assert main(words) == 2
    assert "--reference is missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_phonons_are_asked_for(labelled, tiny_packed, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(phonons, "compare_phonons", lambda *words, **options: asked.append((words, options)) or "made")
    words = ["evaluate", str(labelled), "--model", str(tiny_packed), "-o", str(tmp_path / "out"), "--phonons", "x.cif"]
    assert main([*words, "--reference", "mini", "--dim", "1", "1", "2", "--mesh", "3", "3", "3", "--fmax", "1e-4"]) == 0
    (arrived,) = asked
    assert arrived[0] == (Path("x.cif"), tmp_path / "out", str(tiny_packed), "mini")
    assert arrived[1] == {"dim": [1, 1, 2], "mesh": [3, 3, 3], "fmax": 1e-4, "device": "auto"}
    assert capsys.readouterr().out.endswith("made\n")


def test_an_unknown_calculator(labelled, tmp_path, capsys):
    assert main(["evaluate", str(labelled), "--model", "minni", "-o", str(tmp_path / "out")]) == 2
    assert "Did you mean mini" in capsys.readouterr().err
