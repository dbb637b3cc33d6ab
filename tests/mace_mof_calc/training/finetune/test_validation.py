"""Losses and errors on frames, against their definitions."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms
from metals import label, make_metals

from mace_mof_calc.frames import Labels, get_labels
from mace_mof_calc.training.evaluate.errors import compute_errors, pair
from mace_mof_calc.training.finetune.graphs import default_dtype, make_graphs, make_loader
from mace_mof_calc.training.finetune.model import describe_module, make_trainable
from mace_mof_calc.training.finetune.recipe import Recipe
from mace_mof_calc.training.finetune.validation import make_loss, measure

from ...conftest import TINY, make_module

SMALL = dataclasses.replace(TINY, r_max=3.2, max_ell=1, hidden_irreps="4x0e", atomic_numbers=(29, 79))


@pytest.fixture(scope="module")
def model():
    return describe_module(make_module(SMALL))


@pytest.fixture(scope="module")
def frames():
    """Crystals of 2 and of 16 atoms, and a molecule, which has no stress."""
    crystals = make_metals("CuAu", 4, seed=1)
    crystals[1] = label(crystals[1].repeat(2))
    return [*crystals, label(Atoms("CuAu", positions=[(0, 0, 0), (0.3, 0, 2.4)]))]


def make(model, frames, dtype="float64"):
    with default_dtype(dtype):
        return make_graphs(frames, "Default", model.hyperparameters)


def evaluate(model, frames):
    """Return what the module itself says to frames."""
    module, found = make_trainable(model, "float64", "cpu"), []
    with default_dtype("float64"):
        for graph in make_loader(make(model, frames), 1, shuffle=False):
            output = module(graph.to_dict(), compute_stress=True)
            energy, forces, stress = (output[name].detach().numpy() for name in ("energy", "forces", "stress"))
            found.append(Labels(float(energy[0]), forces, stress[0][(0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)]))
    return found


def find_errors(model, frames, dtype="float64", **settings):
    (found,) = measure(
        make_trainable(model, dtype, "cpu"),
        {"Default": make(model, frames, dtype)},
        Recipe(**settings, dtype=dtype).describe(tuning=True),
    )
    return found


def test_errors_are_those_that_evaluation_finds(model, frames):
    predicted = [
        dataclasses.replace(found, stress=found.stress if atoms.pbc.all() else None)
        for atoms, found in zip(frames, evaluate(model, frames), strict=True)
    ]
    expected = compute_errors(pair(frames, predicted))[0]
    found = find_errors(model, frames)
    for name in ("energy", "forces", "stress"):
        for kind in ("rmse", "mae"):
            assert getattr(found, f"{name}_{kind}") == pytest.approx(getattr(expected, f"{name}_{kind}"))
    alone = find_errors(model, frames[-1:])
    assert (alone.stress_rmse, alone.stress_mae) == (None, None)


def huber(difference):
    size = np.abs(difference)
    return np.where(size < 0.01, 0.5 * size**2, 0.01 * (size - 0.005))


def test_weights_reach_the_loss_in_their_order(model, frames):
    """The loss by hand: Huber's, of energies per atom, components of forces, and the nine of stresses."""
    crystals = frames[:4]
    labels, found = [get_labels(atoms) for atoms in crystals], evaluate(model, crystals)
    both = list(zip(crystals, labels, found, strict=True))
    energy = np.mean(huber([(a.energy - b.energy) / len(atoms) for atoms, a, b in both]))
    forces = np.mean(huber(np.concatenate([a.forces - b.forces for _, a, b in both])))
    nine = [0, 1, 2, 3, 3, 4, 4, 5, 5]
    stress = np.mean(huber(np.array([a.stress - b.stress for _, a, b in both])[:, nine]))
    for weights in ((2.0, 3.0, 5.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        expected = np.dot(weights, [energy, forces, stress])
        assert find_errors(model, crystals, weights=weights).loss == pytest.approx(expected)
    assert len({round(float(each), 9) for each in (energy, forces, stress)}) == 3


def test_batches_change_nothing(model, frames):
    alone, together = (find_errors(model, frames, batch=batch) for batch in (1, len(frames)))
    assert dataclasses.asdict(alone) == pytest.approx(dataclasses.asdict(together))


def test_one_batch_has_the_loss_that_is_trained_on(model, frames):
    module = make_trainable(model, "float64", "cpu")
    with default_dtype("float64"):
        (batch,) = make_loader(make(model, frames), len(frames), shuffle=False)
        output = module(batch.to_dict(), training=True, compute_stress=True)
        loss = make_loss(Recipe().describe(tuning=True), module)(pred=output, ref=batch)
    assert find_errors(model, frames).loss == pytest.approx(loss.item())


def test_parameters_can_be_trained_afterwards(model, frames):
    module = make_trainable(model, "float64", "cpu")
    graphs = make(model, frames)
    before = copy.deepcopy(module.state_dict())
    measure(module, {"Default": graphs}, Recipe().describe(tuning=True))
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_single_precision_is_near_double(model, frames):
    double, single = (find_errors(model, frames, dtype) for dtype in ("float64", "float32"))
    assert single.forces_rmse == pytest.approx(double.forces_rmse, rel=1e-4)
    assert single.forces_rmse != double.forces_rmse
    assert torch.get_default_dtype() == torch.float32
