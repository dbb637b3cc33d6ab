"""The reordered evaluation against mace's own, and the product with the Hessian against differences."""

import dataclasses

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.curvature.graph import join, join_atoms
from mace_mof_calc.training.curvature.network import FastMACE, check_network
from mace_mof_calc.training.finetune.model import make_trainable

from ...conftest import TINY


@pytest.fixture
def network(blueprint):
    check_network(blueprint.hyperparameters)
    return FastMACE(make_trainable(blueprint, "float64", "cpu"))


def gradient(network, atoms):
    graph = network.graph(network.neighbours(atoms))
    found = np.empty((len(atoms), 3))
    found[graph.order] = network.evaluate(graph).gradient.detach()
    return found


def test_the_reordered_evaluation_is_maces_own(crystal, blueprint, network, evaluate_with_mace):
    expected = evaluate_with_mace(blueprint, crystal)
    values = blueprint.state["atomic_energies_fn.atomic_energies"].flatten().tolist()
    own = dict(zip(blueprint.hyperparameters.atomic_numbers, values, strict=True))
    found = network.evaluate(network.graph(network.neighbours(crystal)))
    energy = found.energy.item() + sum(own[number] for number in crystal.numbers)
    forces = -gradient(network, crystal).ravel()
    assert_allclose(np.concatenate([[energy], forces, found.stress[0].detach().ravel()]), expected, atol=1e-9)
    assert np.abs(forces).max() > 1e-3


def test_joined_cells_evaluate_as_each_alone(crystal, network):
    cells = [crystal.copy() for _ in range(3)]
    for k, cell in enumerate(cells[1:]):
        cell.rattle(0.1, seed=k)
    found = [network.neighbours(cell) for cell in cells]
    widths = np.max([each.widths() for each in found], axis=0)
    together = network.evaluate(join([network.graph(each, widths=widths) for each in found]))
    alone = [network.graph(each) for each in found]
    apart = [network.evaluate(graph) for graph in alone]
    assert_allclose(together.energy.detach(), torch.cat([each.energy for each in apart]).detach(), rtol=1e-10)
    assert_allclose(together.stress.detach(), torch.cat([each.stress for each in apart]).detach(), atol=1e-11)
    gradients = join_atoms(alone[0].groups, [each.gradient for each in apart])
    assert_allclose(together.gradient.detach(), gradients.detach(), atol=1e-10)


def test_the_product_with_the_hessian_is_the_slope_of_the_forces(crystal, network):
    graph = network.graph(network.neighbours(crystal), curvature=True)
    direction = np.random.default_rng(0).normal(size=(len(crystal), 3))
    product = network.product(graph, network.evaluate(graph, train=True), torch.as_tensor(direction[graph.order]))
    gradients = []
    for sign in (1, -1):
        moved = crystal.copy()
        moved.positions += sign * 1e-4 * direction
        gradients.append(gradient(network, moved))
    slope = (gradients[0] - gradients[1]) / 2e-4
    assert_allclose(product.detach(), slope[graph.order], atol=2e-6 * np.abs(slope).max())


def test_atoms_without_a_cell_have_energies_and_forces(crystal, blueprint, network, evaluate_with_mace):
    crystal.pbc = False
    crystal.cell = np.zeros((3, 3))
    found = network.evaluate(network.graph(network.neighbours(crystal)))
    assert_allclose(-gradient(network, crystal).ravel(), evaluate_with_mace(blueprint, crystal)[1:-9], atol=1e-9)
    assert not found.stress.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"interaction_cls_first": "RealAgnosticDensityInteractionBlock"},
            "blocks RealAgnosticDensityInteractionBlock",
        ),
        ({"correlation": (4, 2)}, "correlation 4, more than 3"),
        ({"heads": ("pt_head", "Default")}, "2 heads"),
    ],
)
def test_other_networks_are_refused(changes, message):
    with pytest.raises(TrainingError, match=message):
        check_network(dataclasses.replace(TINY, **changes))
