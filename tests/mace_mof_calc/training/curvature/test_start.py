"""Networks that begin balanced, and energies that begin at the minima."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from mace_mof_calc.frames import Labels, attach_labels
from mace_mof_calc.training.curvature.losses import TIGHT, Minimum
from mace_mof_calc.training.curvature.network import FastMACE
from mace_mof_calc.training.curvature.start import balance, begin, fit_to_minima
from mace_mof_calc.training.finetune.model import make_trainable
from mace_mof_calc.training.finetune.recipe import Architecture


def make_minimum(symbols, energy):
    atoms = bulk("NaCl", "cesiumchloride", a=3.0)
    atoms.symbols[:] = symbols
    return attach_labels(atoms, Labels(energy, np.zeros((2, 3)), np.zeros(6)))


def test_energies_of_atoms_leave_nothing_of_those_of_the_minima():
    minima = [make_minimum("CuAu", -7.0), make_minimum("Cu2", -9.0)]
    found = fit_to_minima(minima, {29: -1.0, 79: -2.0})
    assert found == pytest.approx({29: -4.5, 79: -2.5})
    # Where they are not determined, the change is the smallest.
    assert fit_to_minima(minima[:1], {29: -1.0, 79: -2.0}) == pytest.approx({29: -3.0, 79: -4.0})
    assert fit_to_minima(minima[:1], {13: 0.5, 29: 0.0, 79: 0.0}) == pytest.approx({13: 0.5, 29: -3.5, 79: -3.5})


def test_a_network_from_nothing_is_as_mini_was(minimum, frames):
    model = begin(Architecture(4, 4.0), [minimum], [*frames, Atoms("Al", cell=[9, 9, 9])], {29: -1.0}, seed=1)
    values = model.hyperparameters
    assert (values.atomic_numbers, values.r_max, values.hidden_irreps) == ((13, 29), 4.0, "4x0e+4x1o")
    assert (values.avg_num_neighbors, values.pair_repulsion, values.radial_MLP) == (1.5, True, (32, 32, 32))
    energy = model.state["atomic_energies_fn.atomic_energies"].flatten()[1].item()
    assert 4 * energy == pytest.approx(minimum.info["REF_energy"])
    assert model.state["scale_shift.scale"].item() == 1.0


def sensitivities(model, minimum, samples=8):
    """Return how much the curvature of a network changes with its weights of one, two and three messages."""
    network = FastMACE(make_trainable(model, "float64", "cpu"))
    weights = network.model.products[0].symmetric_contractions.contractions[0]
    orders = (weights.weights[1], weights.weights[0], weights.weights_max)
    least, generator = Minimum(minimum, {29: 0.0}, network), torch.Generator().manual_seed(0)
    squares = np.zeros(3)
    for _ in range(samples):
        found = network.evaluate(least.graph, train=True)
        amplitudes, direction = torch.randn((2, len(least.squares)), generator=generator, dtype=torch.float64)
        error = least.curvature_error(network, found, amplitudes, TIGHT.frequency)
        squares += [float((each**2).sum()) for each in torch.autograd.grad(error @ direction, orders)]
    return np.sqrt(squares)


def test_a_balanced_network_depends_on_all_orders_alike(minimum):
    fresh = begin(Architecture(16, 5.0), [minimum], [], {}, seed=1)
    first, second, third = sensitivities(fresh, minimum)
    assert 0.05 < second / first < 20
    assert 0.05 < third / first < 20
    names = [name for name in fresh.state if "weights" in name or "readouts" in name]
    again = balance(fresh)
    changed = [name for name in names if not torch.equal(again.state[name], fresh.state[name])]
    assert "readouts.0.linear.weight" in changed
    assert "readouts.1.linear_2.weight" in changed
    assert "readouts.1.linear_1.weight" not in changed
