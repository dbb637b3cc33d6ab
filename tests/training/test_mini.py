"""The training of mini: what it is compared with must be what ships."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from mace_mof_calc import MaceMOF, structures
from mace_mof_calc.domain.reference import find_reference
from mace_mof_calc.models.cards import get_card
from mace_mof_calc.models.loading import load

sys.path.insert(0, str(Path(__file__).parents[2] / "training" / "mini"))
pytest.importorskip("tblite.ase", reason="tblite is not installed")

from crystals import FRAMEWORKS
from fast import FastMACE, build_graph
from hessian import diagonalise
from losses import Minimum, Scales


@pytest.fixture
def atoms():
    atoms = structures.load("MOF-5")
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + np.diag([0.01, -0.02, 0.005])), scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_the_reordered_evaluation_is_maces_own(atoms, double):
    calculator = MaceMOF("mini")
    fast = FastMACE(calculator.loaded[0].module)
    graph = build_graph([atoms], fast.numbers, fast.r_max)
    positions, strain = graph.positions.requires_grad_(True), torch.zeros((1, 3, 3), requires_grad=True)
    energy = fast.energy(graph, positions, strain)
    gradient, virial = torch.autograd.grad(energy.sum(), (positions, strain))
    order = graph.order.numpy()
    atoms.calc = calculator
    moved = atoms.copy()
    moved.rattle(0.01, seed=2)
    other = build_graph([moved], fast.numbers, fast.r_max)
    difference = (fast.energy(other, other.positions) - energy).item()
    assert difference == pytest.approx(calculator.get_potential_energy(moved) - atoms.get_potential_energy(), abs=1e-8)
    assert_allclose(-gradient.numpy(), atoms.get_forces()[order], atol=1e-9)
    symmetric = 0.5 * (virial[0] + virial[0].T).numpy() / atoms.get_volume()
    assert_allclose(symmetric, atoms.get_stress(voigt=False), atol=1e-10)


def test_the_curvature_loss_vanishes_for_the_models_own_hessian(double):
    atoms = structures.load("MIL-53")[:12]
    atoms.set_cell(np.eye(3) * 12)
    fast = FastMACE(MaceMOF("mini").loaded[0].module)
    graph = build_graph([atoms], fast.numbers, fast.r_max)
    order = graph.order.numpy()

    def energy(flat):
        return fast.energy(graph, flat.view(-1, 3)).sum()

    hessian = torch.autograd.functional.hessian(energy, graph.positions.reshape(-1)).numpy()
    back = (3 * np.argsort(order)[:, None] + np.arange(3)).ravel()
    hessian = hessian[np.ix_(back, back)]
    scale, generator = Scales(1.5, 0.01, 0.001, 2e-4), torch.Generator().manual_seed(0)
    own = Minimum(diagonalise(atoms, hessian), fast.numbers, fast.r_max).losses(fast, generator, scale)["curvature"]
    other = Minimum(diagonalise(atoms, 1.1 * hessian), fast.numbers, fast.r_max)
    assert own < 1e-12
    assert other.losses(fast, generator, scale)["curvature"].sqrt().item() == pytest.approx(0.1 / 1.1, rel=0.3)


def test_the_record_of_its_domain_is_of_the_frameworks_on_its_card():
    reference = find_reference(load("mini"))
    trained = [name for name in FRAMEWORKS if name in get_card("mini").notes]
    elements = {symbol for name in trained for symbol in structures.load(name).symbols}
    assert trained
    assert set(reference.environments) == elements
