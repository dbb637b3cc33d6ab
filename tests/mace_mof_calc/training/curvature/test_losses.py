"""The loss at a minimum, for the model's own Hessian and for others."""

import dataclasses

import numpy as np
import pytest
import torch

from mace_mof_calc.frames import Labels, attach_labels
from mace_mof_calc.training.curvature.losses import LOOSE, TIGHT, Minimum, Targets, errors, scales
from mace_mof_calc.training.curvature.network import FastMACE
from mace_mof_calc.training.finetune.model import describe_module, make_trainable
from mace_mof_calc.training.hessians import attach_hessian

from ...conftest import TINY, make_module

NONE = dict.fromkeys(TINY.atomic_numbers, 0.0)


@pytest.fixture(scope="module")
def network():
    values = dataclasses.replace(TINY, pair_repulsion=True)
    return FastMACE(make_trainable(describe_module(make_module(values)), "float64", "cpu"))


@pytest.fixture
def own(network, crystal):
    """The crystal with all labels as the network has them, and its Hessian."""
    graph = network.graph(network.neighbours(crystal), curvature=True)
    found = network.evaluate(graph, train=True)
    columns = [network.product(graph, found, unit.view(-1, 3)).ravel() for unit in torch.eye(12, dtype=torch.float64)]
    back = (3 * np.argsort(graph.order.numpy())[:, None] + np.arange(3)).ravel()
    hessian = torch.stack(columns, dim=1).detach().numpy()[np.ix_(back, back)]
    forces = np.empty((4, 3))
    forces[graph.order] = -found.gradient.detach()
    stress = found.stress[0].detach().numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return attach_hessian(attach_labels(crystal, Labels(found.energy.item(), forces, stress)), hessian)


def draw(seed=0):
    return torch.randn(9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_all_losses_vanish_for_the_models_own_labels(network, own):
    found = Minimum(own, NONE, network).losses(network, draw(), TIGHT)
    assert list(found) == ["curvature", "rest", "tension", "zero"]
    assert max(value.item() for value in found.values()) < 1e-16
    graph, labels = Targets([own, own], ["one", "one"], NONE, network).joined([0, 1])
    found = errors(network, graph, labels, TIGHT)
    assert max(value.max().item() for value in found.values()) < 1e-16


def test_another_hessian_is_off_by_as_much(network, own):
    other = attach_hessian(own, 1.1 * own.arrays["REF_hessian"])
    found = [Minimum(other, NONE, network).losses(network, draw(k), TIGHT)["curvature"].item() for k in range(30)]
    assert np.mean(found) ** 0.5 == pytest.approx(0.1 / 1.1, rel=0.2)


def test_a_frame_without_stress_has_no_loss_of_stress(network, own):
    del own.info["REF_stress"]
    graph, labels = Targets([own], ["one"], NONE, network).joined([0])
    found = errors(network, graph, labels, TIGHT)
    assert found["stress"].item() == 0
    assert (
        torch.autograd.grad(found["stress"].sum(), list(network.model.parameters()), allow_unused=True)[0] is not None
    )
    assert Minimum(own, NONE, network).losses(network, draw(), TIGHT)["tension"].item() == 0


def test_energies_are_lenient_by_their_height_over_the_lowest_frame(network, own):
    """Energies of atoms that fit other crystals do not make them so."""
    higher = own.copy()
    higher.info["REF_energy"] += 0.4
    elsewhere = own.copy()
    elsewhere.info["REF_energy"] -= 40.0
    for energies in (NONE, dict.fromkeys(TINY.atomic_numbers, -7.0)):
        targets = Targets([own, higher, elsewhere], ["a", "a", "b"], energies, network)
        graph, labels = targets.joined([0, 1])
        found = network.evaluate(graph)
        missed = (found.energy - labels.energy) / 4
        expected = missed**2 / torch.tensor([0.001**2, 0.001**2 + (0.1 * 0.1) ** 2])
        assert torch.allclose(errors(network, graph, labels, TIGHT)["energy"], expected)


def test_scales_tighten_geometrically():
    assert scales(-1.0) == LOOSE == scales(0.0)
    assert scales(2.0) == TIGHT
    half = scales(0.5)
    assert half.frequency == pytest.approx((30 * 1.5) ** 0.5)
