"""The whole way, by the command."""

import json

import numpy as np
import pytest
import torch
from metals import make_free_atom
from tiny_models import MULTIHEAD

from mace_mof_calc import MaceMOF
from mace_mof_calc.frames import read_frames, write_frames
from mace_mof_calc.models.loading import load
from mace_mof_calc.models.packed import read_packed
from mace_mof_calc.training.curvature import loop
from mace_mof_calc.training.curvature import run as curvature_run
from mace_mof_calc.training.hessians import attach_hessian

from ..conftest import run


@pytest.fixture(scope="module")
def place(workshop, frames, minimum):
    folder = workshop.folder / "curvature"
    folder.mkdir()
    write_frames(folder / "own.extxyz", [*frames, make_free_atom("Cu", 3.5)])
    write_frames(folder / "hessians.extxyz", [minimum])
    return folder


def words(place, name, *more, foundation="none"):
    files = [place / "own.extxyz", "--hessians", place / "hessians.extxyz"]
    return [*files, "--name", name, "-o", place / name, "--foundation", foundation, "--device", "cpu", *more]


SMALL = ["--channels", "4", "--cutoff", "3.6", "--correlation", "2"]


@pytest.fixture(scope="module")
def trained(place, workshop):
    more = ["--steps", "20", "--rates", "1e-2", "1e-3", "--tighten", "0", "0.2", "--batch", "2", "--draws", "1"]
    assert run(workshop, *words(place, "curved", *SMALL, *more, "--level-of-theory", "EMT")) == 0
    return place / "curved" / "curved.json"


def test_a_model_from_nothing_is_trained_packed_and_described(trained, frames, workshop, monkeypatch):
    packed = read_packed(trained)
    values = packed.hyperparameters
    assert (values.hidden_irreps, values.r_max, values.correlation) == ("4x0e+4x1o", 3.6, (2, 2))
    assert (values.avg_num_neighbors, values.pair_repulsion) == (1.5, True)
    assert (packed.card.level_of_theory, packed.card.title) == ("EMT", "Trained from nothing")
    (energy,) = packed.state["atomic_energies_fn.atomic_energies"].flatten().tolist()
    (free,) = (a for a in read_frames(trained.parent / "frames.extxyz") if a.info["split"] == "free")
    assert energy != pytest.approx(free.info["REF_energy"], abs=0.1)  # corrected for the minimum
    parts = [atoms.info["split"] for atoms in read_frames(trained.parent / "frames.extxyz")]
    assert {part: parts.count(part) for part in set(parts)} == {"train": 20, "valid": 2, "test": 2, "free": 1}
    test = read_frames(trained.parent / "test.extxyz")
    left = [MaceMOF(trained).get_forces(atoms.copy()) - atoms.arrays["REF_forces"] for atoms in test]
    (stated,) = json.loads((trained.parent / "result.json").read_text())["test"]
    assert stated["forces_rmse"] == pytest.approx(np.sqrt(np.mean(np.square(left))), rel=1e-4)
    assert (trained.parent / "curves.csv").read_text().startswith("step,head,loss")
    assert (trained.parent / "curves.png").stat().st_size > 1000
    assert len((trained.parent / "losses.csv").read_text().splitlines()) == 2  # at the end


def test_what_is_done_is_not_done_again(trained, place, workshop, monkeypatch, capsys):
    monkeypatch.setattr(loop._Run, "do_step", None)
    more = ["--steps", "20", "--rates", "1e-2", "1e-3", "--tighten", "0", "0.2", "--batch", "2", "--draws", "1"]
    assert run(workshop, *words(place, "curved", *SMALL, *more, "--level-of-theory", "EMT")) == 0
    assert "20 steps, all done; the best was 20 (done before)" in capsys.readouterr().out
    assert run(workshop, *words(place, "curved", *SMALL, *more, "--seed", "2")) == 2
    assert "made otherwise" in capsys.readouterr().err


def test_what_was_stopped_at_any_stage_ends_as_if_it_had_not_been(trained, place, workshop, monkeypatch):
    more = ["--steps", "20", "--rates", "1e-2", "1e-3", "--tighten", "0", "0.2", "--batch", "2", "--draws", "1"]
    asked = words(place, "stopped", *SMALL, *more, "--level-of-theory", "EMT")

    def stop(*_, **__):
        raise KeyboardInterrupt

    for stage in ("divide", "_make_model", "_train", "write_frames", "pack"):
        with monkeypatch.context() as patch:
            patch.setattr(curvature_run, stage, stop)
            with pytest.raises(KeyboardInterrupt):
                run(workshop, *asked)
        assert not (place / "stopped" / "stopped.json").exists()
    assert run(workshop, *asked) == 0
    expected = read_packed(trained).state
    for name, tensor in read_packed(place / "stopped" / "stopped.json").state.items():
        assert torch.equal(tensor, expected[name])


def test_a_head_of_a_foundation_model_is_trained_on(place, workshop, capsys):
    more = ["--steps", "2", "--batch", "1", "--no-register", "--foundation-head", "pt_head"]
    assert run(workshop, *words(place, "tuned", *more, foundation=MULTIHEAD)) == 0
    assert "Cu is new to the foundation model" in capsys.readouterr().out
    packed = read_packed(place / "tuned" / "tuned.json")
    assert (packed.hyperparameters.heads, packed.hyperparameters.atomic_numbers) == (("Default",), (1, 6, 8, 29, 30))
    before = load(MULTIHEAD, head="pt_head").module.node_embedding.linear.weight.detach().reshape(4, -1)
    after = packed.state["node_embedding.linear.weight"].reshape(5, -1)[[0, 1, 2, 4]]
    # Two steps with a rising rate change next to nothing.
    assert after.numpy() == pytest.approx((5 / 4) ** 0.5 * before.numpy(), abs=0.01)
    assert (after.numpy() != (5 / 4) ** 0.5 * before.numpy()).any()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--replay", "own.extxyz"], "--replay with --hessians"),
        (["--epochs", "3", "--lr", "1e-3"], "--lr, --epochs with --hessians"),
        (["--tighten", "0", "2"], "Scales from 0 to 2"),
        (["--draws", "0"], "0 draws"),
        (["--correlation", "4"], "correlation 4, more than 3"),
        (["--elements", "Cu"], "Only Cu is to be trained, of a network that knows nothing yet"),
        (["--elements", "Cu", "Xy"], "There is no element Xy"),
    ],
)
def test_options_that_do_not_fit_are_refused(more, message, place, workshop, capsys):
    assert run(workshop, *words(place, "wrong", "--channels", "2", "--cutoff", "3.6", *more)) == 2
    assert message in capsys.readouterr().err
    assert not (place / "wrong" / "wrong.json").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--elements", "Cu", "--energies", "fit"], "energies of all atoms are to be corrected"),
        (["--elements", "Zr"], "Only Zr is to be trained, which is in no frame and not in the foundation model"),
    ],
)
def test_elements_that_do_not_fit_are_refused(more, message, place, workshop, capsys):
    asked = words(place, "wrong", "--foundation-head", "pt_head", *more, foundation=MULTIHEAD)
    assert run(workshop, *asked) == 2
    assert message in capsys.readouterr().err
    assert not (place / "wrong" / "frames.extxyz").exists()


def test_one_element_is_trained_by_the_command(place, workshop):
    more = ["--steps", "2", "--batch", "1", "--no-register", "--foundation-head", "pt_head", "--elements", "Cu"]
    assert run(workshop, *words(place, "copper", *more, foundation=MULTIHEAD)) == 0
    before = load(MULTIHEAD, head="pt_head").module.products[0].linear.weight.detach()
    after = read_packed(place / "copper" / "copper.json").state["products.0.linear.weight"]
    assert after.numpy() == pytest.approx(before.numpy(), rel=1e-7)


def test_options_for_hessians_are_refused_without(place, workshop, capsys):
    assert run(workshop, place / "own.extxyz", "--name", "wrong", "-o", place / "wrong", "--steps", "3") == 2
    assert "--steps without --hessians" in capsys.readouterr().err


def test_crystals_and_hessians_must_belong_together(place, workshop, frames, minimum, tmp_path, capsys):
    def refuse(own, minima, message):
        write_frames(tmp_path / "own.extxyz", own)
        write_frames(tmp_path / "hessians.extxyz", minima)
        assert run(workshop, *words(tmp_path, "wrong", *SMALL)) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "wrong" / "frames.extxyz").exists()

    def rename(atoms, source):
        found = atoms.copy()
        found.info["source"] = source
        return found

    nameless = frames[0].copy()
    del nameless.info["source"]
    refuse([*frames[1:], nameless], [minimum], "does not say which crystal it is of")
    refuse([*frames, rename(frames[0], "Al")], [minimum], "There is no Hessian of Al")
    refuse(frames, [minimum, rename(minimum, "Al")], "There is a Hessian of Al, and no frame")
    refuse(frames, [minimum, attach_hessian(minimum, np.eye(12))], "has two Hessians of Cu")
    refuse(frames, [frames[0]], "has no REF_hessian")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--channels", "16", "--layers", "1"], "--channels, --layers without --foundation none"),
        (["--foundation", "none", "--energies", "fit"], "--energies with --foundation none"),
        (["--foundation", "none", "--foundation-head", "a"], "--foundation-head with --foundation none"),
        (["--foundation", "none", "--replay", "own.extxyz"], "--replay with --foundation none"),
    ],
)
def test_options_are_refused_that_a_foundation_model_leaves_no_meaning(more, message, place, workshop, capsys):
    assert run(workshop, place / "own.extxyz", "--name", "wrong", "-o", place / "wrong", *more) == 2
    assert message in capsys.readouterr().err
    assert not (place / "wrong").exists()
