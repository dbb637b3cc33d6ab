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
from fast import FastMACE
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
    graph = fast.graph(atoms)
    found = fast.evaluate(graph)
    atoms.calc = calculator
    moved = atoms.copy()
    moved.rattle(0.01, seed=2)
    difference = (fast.evaluate(fast.graph(moved)).energy - found.energy).item()
    assert difference == pytest.approx(calculator.get_potential_energy(moved) - atoms.get_potential_energy(), abs=1e-8)
    assert_allclose(-found.gradient.detach().numpy(), atoms.get_forces()[graph.order], atol=1e-9)
    assert_allclose(found.stress.detach().numpy(), atoms.get_stress(voigt=False), atol=1e-10)


def test_the_product_with_the_hessian_is_the_slope_of_the_forces(atoms, double):
    fast = FastMACE(MaceMOF("mini").loaded[0].module)
    graph = fast.graph(atoms, curvature=True)
    direction = np.random.default_rng(0).normal(size=(len(atoms), 3))
    product = fast.product(graph, fast.evaluate(graph, train=True), torch.as_tensor(direction[graph.order]))
    gradients = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * 1e-4 * direction
        gradients.append(fast.evaluate(fast.graph(moved)).gradient.detach().numpy())
    slope = (gradients[0] - gradients[1]) / 2e-4
    assert_allclose(product.detach().numpy(), slope, atol=1e-6 * np.abs(slope).max())


def test_the_curvature_loss_vanishes_for_the_models_own_hessian(double):
    atoms = structures.load("MIL-53")[:12]
    atoms.set_cell(np.eye(3) * 12)
    fast = FastMACE(MaceMOF("mini").loaded[0].module)
    graph = fast.graph(atoms, curvature=True)
    found = fast.evaluate(graph, train=True)
    columns = [fast.product(graph, found, unit.view(-1, 3)).ravel() for unit in torch.eye(3 * len(atoms))]
    back = (3 * np.argsort(graph.order)[:, None] + np.arange(3)).ravel()
    hessian = torch.stack(columns, dim=1).detach().numpy()[np.ix_(back, back)]
    scale, generator = Scales(1.5, 0.01, 0.001, 2e-4), torch.Generator().manual_seed(0)
    own = Minimum(diagonalise(atoms, hessian), fast).losses(fast, generator, scale)["curvature"]
    other = Minimum(diagonalise(atoms, 1.1 * hessian), fast)
    assert own < 1e-12
    assert other.losses(fast, generator, scale)["curvature"].sqrt().item() == pytest.approx(0.1 / 1.1, rel=0.3)


def test_the_record_of_its_domain_is_of_the_frameworks_on_its_card():
    reference = find_reference(load("mini"))
    trained = [name for name in FRAMEWORKS if name in get_card("mini").notes]
    elements = {symbol for name in trained for symbol in structures.load(name).symbols}
    assert trained
    assert set(reference.environments) == elements
