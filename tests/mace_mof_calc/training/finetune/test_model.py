"""Heads and fresh networks."""

import dataclasses

import numpy as np
import pytest
import torch

from mace_mof_calc.backend import import_mace
from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.finetune.model import add_heads, describe_module, keep_head, make_fresh
from mace_mof_calc.training.finetune.recipe import Architecture, Recipe, make_arguments

from ...conftest import TINY, make_module


@pytest.mark.parametrize("blueprint", ["as MACE-MP-0b"], indirect=True)
def test_all_heads_begin_as_the_one_there_was(blueprint, crystal, evaluate_with_mace):
    numbers = blueprint.hyperparameters.atomic_numbers
    known = dict(zip(numbers, blueprint.state["atomic_energies_fn.atomic_energies"].flatten().tolist(), strict=True))
    other = {number: energy + 0.5 for number, energy in known.items()}
    model = add_heads(blueprint, {"pt_head": known, "Default": other})
    assert model.hyperparameters.heads == ("pt_head", "Default")
    before = evaluate_with_mace(blueprint, crystal)
    np.testing.assert_allclose(evaluate_with_mace(model, crystal, "pt_head"), before, rtol=1e-10, atol=1e-10)
    before[0] += 0.5 * len(crystal)
    np.testing.assert_allclose(evaluate_with_mace(model, crystal, "Default"), before, rtol=1e-10, atol=1e-10)


def test_one_head_is_kept(crystal, evaluate_with_mace):
    module = make_module(dataclasses.replace(TINY, heads=("pt_head", "Default")))
    whole = describe_module(module)
    for head in ("pt_head", "Default"):
        kept = describe_module(keep_head(module, head))
        assert kept.hyperparameters.heads == (head,)
        found, expected = (evaluate_with_mace(model, crystal, head) for model in (kept, whole))
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_a_fresh_network_is_what_was_asked_for(crystal, evaluate_with_mace):
    architecture = Architecture(channels=4, cutoff=3.5, layers=2, correlation=2)
    energies = {1: -1.0, 6: -2.0, 8: -3.0, 30: -4.0}
    made = [make_fresh(architecture, energies, scale=2.0, neighbours=9.0, head="Default", seed=seed) for seed in (1, 1)]
    values = made[0].hyperparameters
    assert (values.r_max, values.num_interactions, values.correlation) == (3.5, 2, (2, 2))
    assert (values.hidden_irreps, values.avg_num_neighbors) == ("4x0e+4x1o", 9.0)
    np.testing.assert_array_equal(*(evaluate_with_mace(model, crystal) for model in made))
    far = crystal.copy()
    far.pbc = False
    far.positions *= 20
    assert evaluate_with_mace(made[0], far)[0] == pytest.approx(-10.0)  # nothing but free atoms


def test_random_numbers_of_the_process_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    thin = Architecture(channels=2, cutoff=3.0, layers=1, correlation=1)
    one, other = (
        make_fresh(thin, {1: 0.0}, scale=1.0, neighbours=1.0, head="Default", seed=seed).state for seed in (1, 2)
    )
    assert torch.rand(2).equal(expected)
    assert not one["node_embedding.linear.weight"].equal(other["node_embedding.linear.weight"])


def test_settings_reach_the_trainer_of_mace():
    import_mace()
    made = make_arguments(
        Recipe(weights=(2.0, 3.0, 4.0), learning_rate=0.5, averaging=0.25, batch=7).describe(tuning=True)
    )
    assert (made.energy_weight, made.forces_weight, made.stress_weight) == (2.0, 3.0, 4.0)
    assert (made.lr, made.ema_decay, made.batch_size, made.loss) == (0.5, 0.25, 7, "universal")
    by_default = [make_arguments(Recipe().describe(tuning=tuning)) for tuning in (True, False)]
    assert [(each.lr, each.ema_decay) for each in by_default] == [(1e-4, 0.99999), (1e-2, 0.99)]
    assert (by_default[0].energy_weight, by_default[0].forces_weight, by_default[0].stress_weight) == (1, 10, 100)


@pytest.mark.parametrize(
    "settings",
    [
        {"weights": (0.0, 0.0, 0.0)},
        {"weights": (1.0, -1.0, 0.0)},
        {"batch": 0},
        {"learning_rate": 0.0},
        {"averaging": 1.0},
    ],
)
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(TrainingError):
        Recipe(**settings)


@pytest.mark.parametrize("name", ["channels", "cutoff", "layers", "correlation"])
def test_architectures_without_meaning_are_refused(name):
    with pytest.raises(TrainingError, match=f"{name} = 0"):
        Architecture(**{name: 0})
