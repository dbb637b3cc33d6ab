"""Steps, and what a kill does to them."""

import threading

import numpy as np
import pytest
import torch
from ase.build import bulk
from numpy.testing import assert_allclose

from mace_mof_calc.errors import TrainingError
from mace_mof_calc.frames import ENERGY, FORCES
from mace_mof_calc.training.checkpoints import load_checkpoint
from mace_mof_calc.training.curvature import loop
from mace_mof_calc.training.curvature.gradients import Gradients
from mace_mof_calc.training.curvature.loop import Data, train
from mace_mof_calc.training.curvature.losses import WEIGHTS, Minimum, Scales, Targets, errors, scales, tempered
from mace_mof_calc.training.curvature.network import FastMACE
from mace_mof_calc.training.curvature.schedule import Schedule
from mace_mof_calc.training.curvature.start import begin
from mace_mof_calc.training.curvature.validation import make_title, measure_model
from mace_mof_calc.training.finetune.extend import mark_own
from mace_mof_calc.training.finetune.model import make_trainable
from mace_mof_calc.training.finetune.recipe import Architecture

from .conftest import make_small


@pytest.fixture
def model():
    return make_small((13, 29))


@pytest.fixture
def data(frames, minimum):
    return Data(frames[:16], frames[16:20], {"Cu": minimum})


def test_the_gradients_of_a_step_are_the_slope_of_its_losses(model, frames, minimum):
    network = FastMACE(make_trainable(model, "float64", "cpu"))
    energies = {13: 0.0, 29: 0.5}
    least = Minimum(minimum, energies, network)
    targets = Targets(frames[:2], ["Cu", "Cu"], energies, network)
    amplitudes = torch.randn(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draw = amplitudes, [0, 1], Scales(7.0, 0.1, 0.05, 5e-3)
    pieces = Gradients(network, least, targets)(*draw)

    def losses():
        return least.losses(network, draw[0], draw[2]) | errors(network, *targets.joined(draw[1]), draw[2])

    assert list(losses()) == list(WEIGHTS)  # the order in which they are named
    means = torch.stack([value.detach().mean() for value in losses().values()])
    assert_allclose(torch.cat([found for found, _ in pieces]), means, rtol=1e-12)
    slope = sum(derivatives for _, derivatives in pieces)
    parameters = list(network.model.parameters())

    def total(move):
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(before + move, parameters)
        return sum((WEIGHTS[name] * tempered(value)).item() for name, value in losses().items())

    before = torch.nn.utils.parameters_to_vector(parameters).detach().clone()
    move = 1e-6 * slope / slope.norm()
    assert (total(move) - total(-move)) / 2e-6 == pytest.approx(float(slope.norm()), rel=1e-5)


def run(model, data, folder, steps=6, device="cpu", **options):
    schedule = Schedule(steps=steps, rates=(1e-2, 1e-3), batch=2, **options)
    return train(model, data, schedule, folder, question="this", device=device)


def test_a_tiny_network_learns(data, minimum, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_EVERY", 10)
    model = begin(Architecture(4, 3.6, 2, 2), [minimum], [], {}, seed=1)
    schedule = Schedule(steps=40, rates=(4e-2, 4e-3), tighten=(0.0, 0.0), batch=2)
    learnt = train(model, data, schedule, tmp_path, question="this")
    rows = np.genfromtxt(tmp_path / "losses.csv", delimiter=",", names=True)
    assert rows["step"].tolist() == [10, 20, 30, 40]
    assert rows["curvature"][-1] < rows["curvature"][0] / 3
    before = measure_model(model, data.valid, epoch=0)
    after = measure_model(learnt.model, data.valid, epoch=40)
    assert after.forces_rmse < before.forces_rmse / 3
    # The last validation is of the same model, in single precision.
    assert learnt.history[-1].forces_rmse == pytest.approx(after.forces_rmse, rel=1e-3)
    assert learnt.history[-1].loss == pytest.approx(after.loss, rel=1e-2)
    # Energies of atoms are not trained, and keep their precision.
    name = "atomic_energies_fn.atomic_energies"
    assert torch.equal(learnt.model.state[name], model.state[name])


def test_only_what_belongs_to_an_element_is_trained(model, data, frames, tmp_path, evaluate_with_mace):
    learnt = run(model, data, tmp_path, elements=("Cu",)).model
    marks = mark_own(model, [29])
    for name, tensor in model.state.items():
        changed = learnt.state[name] != tensor
        assert not (changed & ~marks[name]).any()
    assert all((learnt.state[name] != model.state[name]).any() for name, mark in marks.items() if mark.any())
    aluminium = bulk("Al", cubic=True)
    aluminium.rattle(0.05, seed=1)
    assert (evaluate_with_mace(learnt, aluminium) == evaluate_with_mace(model, aluminium)).all()
    assert (evaluate_with_mace(learnt, frames[0]) != evaluate_with_mace(model, frames[0])).any()


def test_errors_are_those_of_the_model(model, frames, evaluate_with_mace):
    found = measure_model(model, frames[:2], epoch=3)
    left = [evaluate_with_mace(model, atoms) for atoms in frames[:2]]
    energy = [each[0] - atoms.info[ENERGY] for each, atoms in zip(left, frames, strict=False)]
    forces = [each[1:13] - atoms.arrays[FORCES].ravel() for each, atoms in zip(left, frames, strict=False)]
    assert found.epoch == 3
    assert found.energy_mae == pytest.approx(np.mean(np.abs(energy)) / 4)
    assert found.forces_rmse == pytest.approx(np.sqrt(np.mean(np.square(forces))))
    assert found.stress_rmse > 0


def test_a_training_that_was_stopped_ends_as_if_it_had_not_been(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(loop, "REPORT_EVERY", 2)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    expected = run(model, data, whole)
    kept = load_checkpoint(whole / "checkpoint.pt")
    name = "products.0.linear.weight"
    assert torch.equal(expected.model.state[name], kept["average"][name])
    assert not torch.equal(kept["module"][name], kept["average"][name])
    real, steps = loop._Run.do_step, []

    def stop(self):
        if self.progress.step == 3 and len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(self.progress.step)
        real(self)

    monkeypatch.setattr(loop._Run, "do_step", stop)
    with pytest.raises(KeyboardInterrupt):
        run(model, data, stopped)
    found = run(model, data, stopped)
    assert steps == [0, 1, 2, 2, 3, 4, 5]
    for name, tensor in expected.model.state.items():
        assert torch.equal(found.model.state[name], tensor)
    tables = [
        [line.split(",")[:3] + line.split(",")[4:] for line in (each / "losses.csv").read_text().splitlines()]
        for each in (whole, stopped)
    ]
    assert tables[0] == tables[1]
    assert [row[0] for row in tables[0]] == ["step", "2", "4", "6"]
    # One that is finished is not begun again.
    run(model, data, stopped)
    assert len(steps) == 7


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_gives_the_same_gradients_and_steps(model, data, tmp_path, monkeypatch):
    drawn, losses = {}, {}
    for device in ("cpu", "cuda"):
        run_ = loop._Run(model, data, Schedule(), "q", torch.device(device))
        drawn[device] = []
        for step in range(3):  # the first is recorded, and replayed for the others
            pieces = run_._draw(step, scales(0.1 * step), 0)
            torch.cuda.synchronize()
            drawn[device] += [each.cpu().clone() for piece in pieces for each in piece]
    for found, expected in zip(drawn["cuda"], drawn["cpu"], strict=True):
        assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 3)
    monkeypatch.setattr(loop, "REPORT_EVERY", 3)
    for device in ("cpu", "cuda"):
        folder = tmp_path / device
        folder.mkdir()
        run(model, data, folder, device=device)
        losses[device] = np.genfromtxt(folder / "losses.csv", delimiter=",", names=True)
    for name in ("gradient", *WEIGHTS):
        assert_allclose(losses["cuda"][name], losses["cpu"][name], rtol=1e-2, atol=1e-6)
    # A checkpoint of the one is continued on the other.
    content = load_checkpoint(tmp_path / "cuda" / "checkpoint.pt")
    assert all(tensor.device.type == "cpu" for tensor in content["module"].values())


def test_the_draws_of_a_step_share_the_threads(model, data, monkeypatch, tmp_path):
    before, found = torch.get_num_threads(), []
    real = loop._Run._draw
    monkeypatch.setattr(
        loop._Run,
        "_draw",
        lambda *words: found.append((threading.get_ident(), torch.get_num_threads())) or real(*words),
    )
    torch.set_num_threads(6)
    try:
        run(model, data, tmp_path, steps=4, draws=3)
        assert torch.get_num_threads() == 6
    finally:
        torch.set_num_threads(before)
    assert [count for _, count in found] == 12 * [2]
    assert threading.get_ident() not in {thread for thread, _ in found}


def test_a_step_averages_over_its_draws(model, data, monkeypatch, tmp_path):
    given, real = [], loop._set_gradients
    monkeypatch.setattr(loop, "_set_gradients", lambda module, flat: given.append(flat) or real(module, flat))
    averages = []
    for draws in (1, 3):
        run_ = loop._Run(model, data, Schedule(draws=draws), "q", torch.device("cpu"))
        own = [sum(derivatives for _, derivatives in run_._draw(0, scales(0.0), draw)) for draw in range(draws)]
        averages.append(sum(own) / draws)
        run_.do_step()
    for average, flat in zip(averages, given, strict=True):
        assert_allclose(flat, average, rtol=1e-5, atol=1e-5 * float(average.abs().max()))
    assert not torch.allclose(*given)


def test_a_checkpoint_of_another_training_is_refused(model, data, tmp_path):
    run(model, data, tmp_path, steps=1)
    with pytest.raises(TrainingError, match="is of another training"):
        train(model, data, Schedule(steps=1), tmp_path, question="that")


def test_a_loss_that_is_not_finite_ends_it(model, data, tmp_path):
    data.train[0].arrays[FORCES][0, 0] = 1e30
    try:
        with pytest.raises(TrainingError, match="not finite in step"):
            run(model, data, tmp_path, steps=40)
    finally:
        data.train[0].arrays[FORCES][0, 0] = 0.0


def test_crystals_are_drawn_as_often_as_they_have_frames(model, data, minimum, monkeypatch, tmp_path):
    def other(atoms):
        found = atoms.copy()
        found.info["source"] = "other"
        return found

    drawn = []
    monkeypatch.setattr(Gradients, "__call__", lambda self, amplitudes, chosen, scale: drawn.append(chosen) or [])
    both = Data([*data.train[:12], *map(other, data.train[:3])], data.valid, {"Cu": minimum, "other": minimum})
    run_ = loop._Run(model, both, Schedule(batch=4), "q", torch.device("cpu"))
    for step in range(500):
        run_._draw(step, None, 0)
    few = [chosen for chosen in drawn if min(chosen) >= 12]
    assert all(max(chosen) < 12 for chosen in drawn if chosen not in few)
    assert len(few) / 500 == pytest.approx(0.2, abs=0.06)  # 0.018
    assert all(len(chosen) == 4 for chosen in drawn)
    assert make_title(both.train[-1]) == "other Cu4"
