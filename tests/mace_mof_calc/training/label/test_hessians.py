"""Hessians as labels: in pieces that are kept, of which any may fail."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mace_mof_calc.frames import get_labels, read_frames, write_frames
from mace_mof_calc.training.hessians import carry_rows, compute_rows, get_hessian
from mace_mof_calc.training.job import Job, Part
from mace_mof_calc.training.label.compute import compute_labels, label_frame
from mace_mof_calc.training.label.hessians import label_hessians
from mace_mof_calc.training.label.run import run_label
from mace_mof_calc.training.manifest import Dropped


@pytest.fixture
def frames(tmp_path):
    found = []
    for name, symbol in (("a", "Cu"), ("b", "Au")):
        atoms = bulk("Cu", cubic=True)
        atoms.symbols[0] = symbol
        atoms.info.update(name=name, source=name)
        found.append(atoms)
    write_frames(tmp_path / "in.extxyz", found)
    return found


class Worker:
    """Labels in this process, as `label_frames` does; fails at some frames, and stops after some."""

    def __init__(self, fails=(), lasts=99):
        self.asked, self.fails, self.lasts = [], fails, lasts

    def __call__(self, tasks):
        self.asked = [(atoms.info["name"], atoms.info.get("displaced")) for atoms in tasks]
        return self._compute(tasks)

    def _compute(self, tasks):
        for k, atoms in reversed(list(enumerate(tasks))):
            if not self.lasts:
                raise KeyboardInterrupt
            self.lasts -= 1
            if atoms.info["name"] in self.fails:
                yield k, Part([], [Dropped(atoms.info["name"], "CalculationFailed: SCF")])
            elif "displaced" in atoms.info:
                yield k, Part([carry_rows(atoms, compute_rows(atoms, atoms.info["displaced"], EMT()))])
            else:
                yield k, Part([label_frame(atoms, compute_labels(atoms, EMT()), "EMT")])


def run(tmp_path, frames, worker, **options):
    job = Job(tmp_path / "out.extxyz", "label", [tmp_path / "in.extxyz"], {})
    return run_label(job, frames, lambda chosen: label_hessians(chosen, job, worker), **options)


def test_frames_get_labels_and_all_rows(tmp_path, frames):
    worker = Worker()
    assert run(tmp_path, frames, worker).dropped == ()
    # All atoms of copper are alike; those of the other are of two kinds.
    assert worker.asked == [("a", None), ("a/atom 0", 0), ("b", None), ("b/atom 0", 0), ("b/atom 1", 1)]
    for atoms, expected in zip(read_frames(tmp_path / "out.extxyz"), frames, strict=True):
        rows = np.array([compute_rows(expected, index, EMT()) for index in range(4)])
        np.testing.assert_allclose(get_hessian(atoms), rows.reshape(12, 12), atol=1e-7)
        assert get_labels(atoms).energy == pytest.approx(compute_labels(expected, EMT()).energy)
        assert (atoms.info["name"], atoms.info["source"]) == (expected.info["name"],) * 2
        assert set(atoms.arrays) == {"numbers", "positions", "REF_forces", "REF_hessian"}
        assert "displaced" not in atoms.info


def test_a_kill_loses_what_was_not_kept(tmp_path, frames):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, frames, Worker(lasts=4))
    worker = Worker()
    run(tmp_path, frames, worker)
    assert worker.asked == [("a", None)]


def test_a_kill_after_all_pieces_needs_no_more(tmp_path, frames):
    job = Job(tmp_path / "out.extxyz", "label", [tmp_path / "in.extxyz"], {})
    list(label_hessians(frames, job, Worker()))
    worker = Worker()
    assert run(tmp_path, frames, worker).frames == 2
    assert worker.asked == []


def test_a_piece_that_fails_is_a_frame_that_fails_and_can_be_tried_again(tmp_path, frames):
    manifest = run(tmp_path, frames, Worker(fails=["b/atom 1"]))
    assert manifest.frames == 1
    assert manifest.dropped == (Dropped("b", "atom 1: CalculationFailed: SCF"),)
    worker = Worker(fails=["b"])
    manifest = run(tmp_path, frames, worker, retry_failed=True)
    assert manifest.dropped == (Dropped("b", "CalculationFailed: SCF"),)
    assert {name for name, _ in worker.asked} == {"b", "b/atom 0", "b/atom 1"}
    assert run(tmp_path, frames, Worker(), retry_failed=True).dropped == ()
    assert [atoms.info["name"] for atoms in read_frames(tmp_path / "out.extxyz")] == ["a", "b"]
