"""The engine against mace, on the architecture of MACE-MP-0b (medium) with random weights; one thread, float64.

``make bench`` runs it. Cost does not depend on the weights.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from production import production_module

from mace_mof_calc import structures
from mace_mof_calc.calculator import MACECalculator
from mace_mof_calc.engine.engine import Engine


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def module():
    return production_module()


@pytest.fixture(scope="module", params=[1, 2], ids=["106 atoms", "848 atoms"])
def atoms(request):
    cell = structures.load("MOF-5") * ((request.param,) * 3)
    cell.rattle(0.05, seed=1)
    return cell


def moving(atoms, evaluate):
    """Evaluate a structure that has moved a little since the last time."""
    rng = np.random.default_rng(0)

    def step():
        atoms.positions += rng.normal(scale=1e-4, size=atoms.positions.shape)
        return evaluate(atoms)

    return step


@pytest.mark.benchmark(group="energy, forces and stress")
def test_mace(benchmark, module, atoms):
    calculator = MACECalculator(models=[module], device="cpu", default_dtype="float64")
    benchmark.pedantic(moving(atoms, lambda a: calculator.get_property("forces", a)), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="energy, forces and stress")
def test_engine(benchmark, module, atoms):
    engine = Engine(module)
    benchmark.pedantic(moving(atoms, engine.evaluate), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="linear response of one atom, three directions")
def test_response(benchmark, module):
    engine, atoms = Engine(module), structures.load("MOF-5")
    benchmark.pedantic(engine.atom_response, (atoms, 0, np.eye(3)), rounds=3, warmup_rounds=1)
