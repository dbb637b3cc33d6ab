"""Labels in parallel: what fails is listed, what does not is labelled."""

import os
from pathlib import Path

import labellers
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mace_mof_calc.errors import MissingExtraError, TrainingError
from mace_mof_calc.frames import get_labels
from mace_mof_calc.training.label.parallel import find_warnings, label_frames


def make_frames(moods):
    frames = []
    for k, mood in enumerate(moods):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.info.update(name=f"frame-{k}", source="copper", **({"mood": mood} if mood else {}))
        frames.append(atoms)
    return frames


def test_the_others_are_labelled(registered, tmp_path, monkeypatch):
    monkeypatch.setenv(labellers.LOG, str(tmp_path))
    frames = make_frames([None, "raise", None, "hang", "die", "nan", None, "exit", None, "disk", "kill"])
    before = dict(os.environ)
    parts = dict(label_frames(frames, "moody", device="here", dtype="float32", workers=2, timeout=3.0))
    assert dict(os.environ) == before
    assert sorted(parts) == list(range(11))
    reasons = {each.name: each.reason for part in parts.values() for each in part.dropped}
    assert reasons == {
        "frame-1": "CalculationFailed: SCF not converged",
        "frame-3": "took longer than 3 s",
        "frame-4": "its process died with exit status 7",
        "frame-5": "CalculationFailed: forces not finite",
        "frame-7": "SystemExit: 3",
        "frame-9": "OSError: [Errno 28] No space left on device",
        "frame-10": "its process died with exit status -9 (killed, by lack of memory perhaps)",
    }
    for k in (0, 2, 6, 8):
        (atoms,) = parts[k].frames
        expected = frames[k].copy()
        expected.calc = EMT()
        labels = get_labels(atoms)
        assert labels.energy == pytest.approx(expected.get_potential_energy(), abs=1e-12)
        np.testing.assert_allclose(labels.forces, expected.get_forces(), atol=1e-12)
        assert atoms.info == {**frames[k].info, **atoms.info}
        assert atoms.info["level_of_theory"] == "moody on here in float32"
    # Two processes at first, and at most one in place of each that was ended or died: each with one calculator.
    made = [path.read_text() for path in Path(tmp_path).iterdir()]
    assert set(made) == {"1"}
    assert 2 <= len(made) <= 5


def test_a_calculator_that_cannot_be_made_is_one_error(registered):
    with pytest.raises(TrainingError, match=r"'broken' cannot be made.*RuntimeError: no licence"):
        list(label_frames(make_frames([None, None]), "broken"))
    with pytest.raises(TrainingError, match="died before it was ready"):
        list(label_frames(make_frames([None]), "deadly"))


def test_nothing_is_started_for_what_cannot_be_done(registered):
    frames = make_frames([None])
    with pytest.raises(TrainingError, match="There is no calculator 'mody'"):
        list(label_frames(frames, "mody"))
    with pytest.raises(TrainingError, match="0 workers"):
        list(label_frames(frames, "moody", workers=0))
    with pytest.raises(TrainingError, match="limit of 0 s"):
        list(label_frames(frames, "moody", timeout=0.0))
    assert list(label_frames([], "moody")) == []


def test_pebble_may_be_absent(registered, monkeypatch):
    monkeypatch.setattr("mace_mof_calc.training.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mace-mof-calc\[training\]"):
        list(label_frames(make_frames([None]), "moody"))


def test_narrow_cells_are_told_of_once_for_each_crystal():
    frames = make_frames([None, None])
    frames += [frames[0].copy() * 3, frames[0].copy()]
    frames[2].info["source"], frames[3].info["source"] = "large", "other"
    first, second = find_warnings(frames, "gfn1-xtb")
    assert first.startswith("copper: The cell is 3.6 Angstrom wide")
    assert second.startswith("other: ")
    assert find_warnings(frames, "moody") == ()
