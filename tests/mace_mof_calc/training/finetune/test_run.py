"""The whole way, by the command."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from metals import make_free_atom
from processes import ENVIRONMENT

from mace_mof_calc import MaceMOF
from mace_mof_calc.cli import main
from mace_mof_calc.domain.reference import find_reference
from mace_mof_calc.errors import FramesError, TrainingError
from mace_mof_calc.frames import read_frames, write_frames
from mace_mof_calc.models.loading import load
from mace_mof_calc.models.own import MODELS_VARIABLE
from mace_mof_calc.models.packed import read_packed
from mace_mof_calc.training.finetune.recipe import Architecture, Description, Recipe
from mace_mof_calc.training.finetune.run import LEAST_SHARE, Finetuned, count_repeats, finetune
from mace_mof_calc.training.finetune.split import split_randomly

from ..conftest import run


def find_files(folder):
    """Return the files in a folder, but for locks, which live as long as what Python keeps of a failure."""
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_the_papers_recipe_is_that_of_the_command_alone(workshop, tmp_path, monkeypatch):
    asked = {}

    def note(frames, folder, name, **options):
        asked.update(options)
        raise TrainingError("Enough", "", "")

    monkeypatch.setattr("mace_mof_calc.training.finetune.run.finetune", note)
    assert main(["finetune", str(workshop.copper), "--name", "alone", "-o", str(tmp_path / "alone")]) == 2
    recipe = asked["recipe"]
    # Of the paper; the shares of the division are in test_split.py.
    assert (asked["foundation"], recipe.weights, recipe.split) == ("mp-0b", (1, 10, 100), "random")
    # mace's own for a foundation model, and those of docs/training.md.
    assert (recipe.learning_rate, recipe.averaging) == (None, None)
    assert (recipe.batch, asked["epochs"], asked["patience"], recipe.dtype) == (4, 100, 20, "float64")


def curves(folder):
    lines = (folder / "curves.csv").read_text().splitlines()
    return [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]


def test_a_model_from_nothing_learns(copper):
    rows = curves(copper.parent)
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert float(rows[-1]["forces_rmse_meV_per_A"]) < float(rows[0]["forces_rmse_meV_per_A"])
    assert (copper.parent / "curves.png").stat().st_size > 1000
    values = read_packed(copper).hyperparameters
    assert (values.r_max, values.hidden_irreps, values.correlation) == (3.6, "4x0e+4x1o", (2, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_gives_the_same_curves_and_a_model_for_all(copper, scratch_words, workshop, tmp_path):
    words = [{"cpu": "cuda", copper.parent: tmp_path}.get(word, word) for word in scratch_words]
    assert run(workshop, *words, "--no-register") == 0
    for row, expected in zip(curves(tmp_path), curves(copper.parent), strict=True):
        assert float(row["forces_rmse_meV_per_A"]) == pytest.approx(float(expected["forces_rmse_meV_per_A"]), rel=1e-3)
    atoms = read_frames(workshop.copper)[0]
    forces, expected = (
        MaceMOF(path, device="cpu").get_forces(Atoms(atoms)) for path in (tmp_path / "copper.json", copper)
    )
    assert np.abs(forces - expected).max() < 1e-2 * np.abs(expected).max()


def test_a_division_is_kept_in_a_file(tuned):
    frames = read_frames(tuned.parent / "frames.extxyz")
    parts = {}
    for atoms in frames:
        parts.setdefault((atoms.info["head"], atoms.info["split"]), []).append(atoms.info["name"])
    assert {key: len(names) for key, names in parts.items()} == {
        ("pt_head", "train"): 14,
        ("pt_head", "valid"): 1,
        ("pt_head", "test"): 1,
        ("Default", "train"): 12,
        ("Default", "valid"): 1,
        ("Default", "test"): 1,
    }
    assert len({name for names in parts.values() for name in names}) == 30
    (dropped,) = json.loads((tuned.parent / "frames.manifest.json").read_text())["dropped"]
    assert (dropped["name"], "--energies free" in dropped["reason"]) == ("free Au", True)
    (unseen,) = read_frames(tuned.parent / "test.extxyz")
    assert unseen.info["name"] == parts["Default", "test"][0]


def test_both_heads_are_validated_and_the_start_is_the_foundation(tuned, copper, workshop):
    rows = curves(tuned.parent)
    assert [row["head"] for row in rows] == ["pt_head", "Default"] * 3
    (valid,) = (
        atoms
        for atoms in read_frames(tuned.parent / "frames.extxyz")
        if (atoms.info["head"], atoms.info["split"]) == ("pt_head", "valid")
    )
    errors = MaceMOF(copper).get_forces(Atoms(valid)) - valid.arrays["REF_forces"]
    assert float(rows[0]["forces_rmse_meV_per_A"]) == pytest.approx(1e3 * np.sqrt((errors**2).mean()), rel=1e-4)


def test_without_an_epoch_it_is_how_it_would_begin(tuned, copper, workshop, tmp_path):
    words = ["--foundation", "copper", "--split", "fps", "--replay", workshop.copper, "--no-register", "--epochs", "0"]
    assert run(workshop, workshop.folder / "alloy.extxyz", "--name", "start", "-o", tmp_path, *words) == 0
    (rows, begun) = (curves(each)[:2] for each in (tmp_path, tuned.parent))
    assert [row["forces_rmse_meV_per_A"] for row in rows] == [row["forces_rmse_meV_per_A"] for row in begun]
    atoms = read_frames(workshop.copper)[0]
    known = MaceMOF(copper).get_forces(Atoms(atoms))
    assert np.abs(MaceMOF(tmp_path / "start.json").get_forces(Atoms(atoms)) - known).max() < 1e-6


def test_the_packed_model_is_the_trained_one(tuned, crystal):
    packed = read_packed(tuned)
    assert packed.hyperparameters.heads == ("pt_head", "Default")
    assert packed.hyperparameters.atomic_numbers == (29, 79)
    trained = torch.load(tuned.parent / "best.pt", weights_only=True)
    for name, tensor in packed.state.items():
        torch.testing.assert_close(tensor.to(trained[name]), trained[name], rtol=1e-6, atol=1e-6)
    assert load(tuned).head == "Default"


def test_free_atoms_that_nobody_asked_for_do_not_count(tuned, copper):
    before = read_packed(copper).state["atomic_energies_fn.atomic_energies"]
    energies = read_packed(tuned).state["atomic_energies_fn.atomic_energies"]
    assert energies[:, 0].tolist() == [before.item()] * 2
    assert abs(energies[1, 1].item() - 0.25) > 0.1


def test_free_atoms_that_make_the_start_much_worse_are_refused(tuned_words, workshop, tmp_path, capsys):
    words = [{workshop.folder / "tuned": tmp_path / "x"}.get(word, word) for word in tuned_words[1:]]
    frames = [make_free_atom("Au", 5.45), *read_frames(tuned_words[0])[1:]]
    write_frames(tmp_path / "frames.extxyz", frames)
    assert run(workshop, tmp_path / "frames.extxyz", *words, "--energies", "free", "--no-register") == 2
    assert "With the energies of free atoms the model would begin 2.5" in capsys.readouterr().err
    assert find_files(tmp_path) == [tmp_path / "frames.extxyz"]  # other settings are not in its way


def test_the_card_says_what_it_is(tuned, copper):
    card = read_packed(tuned).card
    assert (card.level_of_theory, card.dispersion_included) == ("EMT", True)
    assert (card.title, card.elements, card.curated_elements) == ("Fine-tuned from copper", ("Cu", "Au"), ("Cu", "Au"))
    assert "12 frames of one's own, with replay" in card.notes
    assert len(card.validation) == 6
    assert read_packed(copper).card.title == "Trained from nothing"
    assert not read_packed(copper).card.dispersion_included


def test_it_knows_what_it_was_trained_on(tuned):
    reference = find_reference(load(tuned))
    assert (reference.frames, set(reference.environments)) == (12, {"Cu", "Au"})


def test_it_is_found_by_its_name(tuned, workshop, monkeypatch, capsys):
    monkeypatch.setenv(MODELS_VARIABLE, str(workshop.models))
    calculator = MaceMOF("my-alloy")
    assert calculator.describe()["name"] == "my-alloy"
    assert calculator.domain_checks == ("element", "open-shell", "contact", "environment")
    assert main(["models"]) == 0
    (row,) = (line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("my-alloy "))
    assert row[1:5] == ["EMT", "2", "(2", "curated)"]
    assert " ".join(row[5:]) == str(workshop.models / "my-alloy.json")
    assert main(["info", "my-alloy"]) == 0
    assert "pt_head, Default (used)" in capsys.readouterr().out


def test_a_finished_training_says_so(tuned, tuned_words, workshop, capsys):
    before = {path: path.stat().st_mtime_ns for path in tuned.parent.iterdir()}
    assert run(workshop, *tuned_words) == 0
    out = capsys.readouterr().out
    assert "2 epochs, all done; the best was 2 (done before)" in out
    assert "Au is new to the foundation model; it began as Cu" in out
    assert "left out: free Au, a free atom, whose energy does not count (--energies free)" in out
    assert "registered as my-alloy" in out
    assert {path: path.stat().st_mtime_ns for path in tuned.parent.iterdir()} == before


def test_more_epochs_go_on(copper, scratch_words, workshop, tmp_path, capsys):
    folder = tmp_path / "copper"
    shutil.copytree(copper.parent, folder)
    words = [folder if word == copper.parent else word for word in scratch_words]
    words[words.index("--epochs") + 1] = "5"
    assert run(workshop, *words, "--no-register") == 0
    assert curves(folder)[:4] == curves(copper.parent)
    assert [row["epoch"] for row in curves(folder)[4:]] == ["4", "5"]
    assert "registered" not in capsys.readouterr().out


def test_another_training_in_the_folder_is_refused(tuned, tuned_words, workshop, capsys):
    words = [0.1 if word == "3e-3" else word for word in tuned_words]
    assert run(workshop, *words) == 2
    assert "recipe was" in capsys.readouterr().err


def test_names_that_are_taken_are_refused(tuned, scratch_words, workshop, tmp_path, capsys):
    taken = {
        "mof0": "calculator 'mof0' already",
        "my model": "cannot be called 'my model'",
        "my-alloy": "or replace it with --replace",
    }
    for name, complaint in taken.items():
        words = [{"copper": name, tuned.parent: tmp_path}.get(word, word) for word in scratch_words]
        assert run(workshop, *words) == 2
        assert complaint in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../outside", "result", "frames.manifest"])
def test_names_that_lead_elsewhere_are_refused_without_registering(scratch_words, workshop, tmp_path, capsys, name):
    words = [{"copper": name, workshop.folder / "copper": tmp_path / "in"}.get(word, word) for word in scratch_words]
    assert run(workshop, *words, "--no-register") == 2
    assert f"cannot be called '{name}'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--lr", "nan"], "learning rate of nan"),
        (["--lr", "inf"], "learning rate of inf"),
        (["--lr", "0"], "learning rate of 0"),
        (["--ema", "2"], "decay of 2"),
        (["--ema", "nan"], "decay of nan"),
        (["--seed", "-1"], "seed -1"),
        (["--batch", "-4"], "Batches of -4"),
        (["--weights", "1", "nan", "1"], "Loss weights"),
        (["--weights", "1", "inf", "1"], "Loss weights"),
        (["--patience", "0"], "patience of 0"),
        (["--epochs", "-1"], "-1 epochs"),
        (["--cutoff", "nan"], "cutoff = nan"),
        (["--device", "xpu"], "Device 'xpu'"),
        (["--device", "meta"], "Device 'meta'"),
    ],
)
def test_settings_without_meaning_end_in_one_error(scratch_words, workshop, tmp_path, capsys, words, complaint):
    own = [tmp_path / "in" if word == workshop.folder / "copper" else word for word in scratch_words]
    assert run(workshop, *own, *words, "--no-register") == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert err.count("\n") == 1
    assert not find_files(tmp_path)


def test_a_model_takes_the_place_of_another_where_asked(copper, scratch_words, workshop, tmp_path, monkeypatch):
    monkeypatch.setattr(workshop, "models", tmp_path / "models")
    workshop.models.mkdir()
    for suffix in (".json", ".safetensors"):
        (workshop.models / f"copper{suffix}").write_text("{}")
    assert run(workshop, *scratch_words) == 2
    assert run(workshop, *scratch_words, "--replace") == 0
    assert (workshop.models / "copper.json").read_bytes() == copper.read_bytes()


def test_a_kill_before_the_next_model_is_registered_is_gone_on_from(
    copper, scratch_words, workshop, tmp_path, monkeypatch, capsys
):
    def die(*arguments, **options):
        raise KeyboardInterrupt

    shutil.copytree(copper.parent, tmp_path / "copper")
    shutil.copytree(workshop.models, tmp_path / "models")
    monkeypatch.setattr(workshop, "models", tmp_path / "models")
    registered, made = tmp_path / "models" / "copper.json", tmp_path / "copper" / "copper.json"
    words = [{"EMT": "EMT of 1996", copper.parent: tmp_path / "copper"}.get(word, word) for word in scratch_words]
    with monkeypatch.context() as patch:
        patch.setattr("mace_mof_calc.cli.finetune.register", die)
        with pytest.raises(KeyboardInterrupt):
            run(workshop, *words)
    assert registered.read_bytes() == copper.read_bytes() != made.read_bytes()
    assert run(workshop, *words) == 0
    assert registered.read_bytes() == made.read_bytes()
    # Somebody else's model is none of it.
    registered.write_text("{}")
    assert run(workshop, *words) == 2
    assert "replace it with --replace" in capsys.readouterr().err


SUICIDE = """
import os, signal
from mace_mof_calc.cli import main
from mace_mof_calc.training.finetune import loop

def write(path, content):
    if path.name == "curves.csv" and b"\\n2," in content:
        os.kill(os.getpid(), signal.SIGKILL)
    work(path, content)

work, loop.write_file = loop.write_file, write
main(["finetune", *{words!r}])
"""
"""Is killed when the best parameters of the second epoch are kept, and the checkpoint is still that of the first."""


def test_killed_and_gone_on_with_it_is_the_model_of_one_that_was_not(
    copper, scratch_words, workshop, tmp_path, monkeypatch
):
    def die(path, content):
        raise KeyboardInterrupt

    words = [{copper.parent: tmp_path / "copper"}.get(word, word) for word in scratch_words] + ["--no-register"]
    code = SUICIDE.format(words=[str(word) for word in words])
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [row["epoch"] for row in curves(tmp_path / "copper")] == ["0", "1"]
    # And once more, when all but the result is there.
    with monkeypatch.context() as patch:
        patch.setattr("mace_mof_calc.training.finetune.run.write_file", die)
        with pytest.raises(KeyboardInterrupt):
            run(workshop, *words)
    assert [row["epoch"] for row in curves(tmp_path / "copper")] == ["0", "1", "2", "3"]
    assert run(workshop, *words) == 0
    for suffix in (".json", ".safetensors"):
        assert (tmp_path / f"copper/copper{suffix}").read_bytes() == copper.with_suffix(suffix).read_bytes()


def test_own_frames_and_replay_cannot_change_places(tuned, tuned_words, workshop, tmp_path, capsys):
    shutil.copytree(tuned.parent, tmp_path / "tuned")
    swap = {tuned_words[0]: workshop.copper, workshop.copper: tuned_words[0], tuned.parent: tmp_path / "tuned"}
    assert run(workshop, *[swap.get(word, word) for word in tuned_words]) == 2
    assert "replay was" in capsys.readouterr().err


def test_each_head_learns_its_own_labels(copper, workshop, tmp_path):
    """The same crystals, with energies that are 0.4 eV/atom higher in the one set."""
    frames = read_frames(workshop.copper)
    for atoms in frames:
        atoms.info["REF_energy"] += 0.4 * len(atoms)
    write_frames(tmp_path / "higher.extxyz", frames)
    found = finetune(
        [tmp_path / "higher.extxyz"],
        tmp_path,
        "x",
        foundation=str(copper),
        replay=workshop.copper,
        recipe=Recipe(weights=(1.0, 0.0, 0.0), learning_rate=0.03, averaging=0.5, batch=2),
        epochs=4,
    )
    crystal = Atoms(frames[0])
    higher, lower = (MaceMOF(found.path, head=head).get_potential_energy(crystal) for head in ("Default", "pt_head"))
    assert (higher - lower) / len(crystal) == pytest.approx(0.4, abs=0.1)


def test_replay_with_elements_that_the_foundation_model_lacks_is_refused(copper, tuned_words, workshop, tmp_path):
    with pytest.raises(TrainingError, match=r"Au is in the frames of replay.*as your own"):
        finetune([workshop.copper], tmp_path / "x", "x", foundation=str(copper), replay=tuned_words[0])
    assert not find_files(tmp_path)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"foundation": None, "replay": "copper"}, "Replay without a foundation"),
        ({"foundation": None, "recipe": Recipe(split="fps")}, "descriptors without a foundation"),
        ({"epochs": -1}, "-1 epochs"),
    ],
)
def test_what_makes_no_sense_is_refused(workshop, tmp_path, options, complaint):
    with pytest.raises(TrainingError, match=complaint):
        finetune([workshop.copper], tmp_path, "x", **options)
    assert not list(tmp_path.iterdir())


def test_frames_without_labels_are_refused(copper, workshop, tmp_path):
    bare = read_frames(workshop.copper)
    del bare[5].info["REF_energy"]
    write_frames(tmp_path / "bare.extxyz", bare)
    with pytest.raises(FramesError, match="Cu2-1-5 has no REF_energy"):
        finetune([tmp_path / "bare.extxyz"], tmp_path, "x", foundation=str(copper))
    assert [path.name for path in tmp_path.iterdir()] == ["bare.extxyz"]


def test_a_checkpoint_without_its_division_is_not_gone_on_with(copper, scratch_words, workshop, tmp_path, capsys):
    folder = tmp_path / "copper"
    shutil.copytree(copper.parent, folder)
    (folder / "frames.extxyz").unlink()
    words = [{copper.parent: folder}.get(word, word) for word in scratch_words]
    assert run(workshop, *words, "--seed", "7", "--epochs", "4", "--no-register") == 2
    assert "is of another training" in capsys.readouterr().err


def test_free_atoms_count_where_asked_for(copper, workshop, tmp_path):
    """That of an element in no frame is of no use."""
    known = read_packed(copper).state["atomic_energies_fn.atomic_energies"].item()
    frames = [make_free_atom("Au", 0.25), make_free_atom("Cu", known + 0.05), *read_frames(workshop.copper)]
    write_frames(tmp_path / "frames.extxyz", frames)
    recipe = Recipe(energies="free")
    found = finetune([tmp_path / "frames.extxyz"], tmp_path / "x", "x", foundation=str(copper), recipe=recipe, epochs=0)
    packed = read_packed(found.path)
    assert packed.hyperparameters.atomic_numbers == (29,)
    assert packed.state["atomic_energies_fn.atomic_energies"].item() == known + 0.05
    assert found.dropped == ()


def test_an_element_must_be_among_what_is_trained_on(workshop, tmp_path):
    frames = read_frames(workshop.copper)[:4]
    frames[0].numbers[:] = 79
    write_frames(tmp_path / "few.extxyz", frames)
    seed = next(seed for seed in range(99) if 0 not in split_randomly(4, seed).train)
    with pytest.raises(TrainingError, match="Au is in none"):
        finetune([tmp_path / "few.extxyz"], tmp_path, "x", foundation=None, recipe=Recipe(seed=seed))


@pytest.mark.parametrize(
    ("own", "replayed", "repeats"), [(10, 0, 1), (10, 50, 1), (10, 100, 1), (10, 250, 3), (1, 200, 21)]
)
def test_few_frames_are_repeated_beside_much_replay(own, replayed, repeats):
    assert count_repeats(own, replayed) == repeats
    assert own * repeats >= LEAST_SHARE * replayed


def test_a_card_can_be_corrected_without_training(copper, scratch_words, workshop, tmp_path):
    folder = tmp_path / "copper"
    shutil.copytree(copper.parent, folder)
    words = [{"EMT": "EMT of 1996", copper.parent: folder}.get(word, word) for word in scratch_words]
    before = (folder / "checkpoint.pt").stat().st_mtime_ns
    assert run(workshop, *words, "--dispersion", "--no-register") == 0
    card = read_packed(folder / "copper.json").card
    assert (card.level_of_theory, card.dispersion_included) == ("EMT of 1996", True)
    assert (folder / "checkpoint.pt").stat().st_mtime_ns == before


def test_all_options_arrive(workshop, tmp_path, monkeypatch):
    arrived = {}

    def record(frames, folder, name, **options):
        arrived.update(options, frames=frames, folder=folder, name=name)
        return Finetuned(tmp_path / "x.json", 1, 1, stopped_early=False, test=(), stand_ins={})

    monkeypatch.setattr("mace_mof_calc.training.finetune.run.finetune", record)
    monkeypatch.chdir(tmp_path)
    words = "a.extxyz b.extxyz --name x --foundation y.model --foundation-head h --replay r.extxyz --split fps"
    words += " --weights 1 2 3 --lr 0.1 --ema 0.2 --batch 5 --epochs 6 --patience 7 --energies fit --dtype float32"
    words += " --device cuda:1 --seed 8 --no-register"
    assert run(workshop, *words.split()) == 0
    assert arrived.pop("track") is not None
    assert arrived == {
        "frames": [Path("a.extxyz"), Path("b.extxyz")],
        "folder": Path("x"),
        "name": "x",
        "foundation": "y.model",
        "foundation_head": "h",
        "replay": Path("r.extxyz"),
        "recipe": Recipe((1, 2, 3), 0.1, 0.2, 5, "fps", "fit", "float32", 8),
        "architecture": Architecture(),
        "description": Description(),
        "epochs": 6,
        "patience": 7,
        "device": "cuda:1",
    }
    words = "a.extxyz --name x --foundation none --channels 9 --cutoff 4.5 --layers 1 --correlation 2 --no-register"
    assert run(workshop, *words.split()) == 0
    assert (arrived["foundation"], arrived["architecture"]) == (None, Architecture(9, 4.5, 1, 2))


def test_the_result_is_kept(tuned):
    result = json.loads((tuned.parent / "result.json").read_text())
    assert result["stand_ins"] == {"Au": "Cu"}
    assert [each["head"] for each in result["test"]] == ["pt_head", "Default"]
