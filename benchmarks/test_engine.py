"""The engine against mace, on the architecture of MACE-MP-0b (medium) with random weights; one thread, float64.

``make bench`` runs it. Cost does not depend on the weights.
"""

from __future__ import annotations

import collections
import time

import numpy as np
import pytest
import torch
from production import production_module

from mace_mof_calc import structures
from mace_mof_calc.calculator import MACECalculator
from mace_mof_calc.engine.compiled import Compiled
from mace_mof_calc.engine.engine import TOGETHER, Engine
from mace_mof_calc.engine.evaluate import evaluate
from mace_mof_calc.engine.graph import SKIN, NeighbourList
from mace_mof_calc.engine.operations import Operations
from mace_mof_calc.engine.radial import evaluate_radial
from mace_mof_calc.models.loading import load
from mace_mof_calc.models.weights import resolve


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
def test_mace_torch_compile(benchmark, module, atoms):
    """Time the ``compile_mode`` of mace itself; the first evaluation, which compiles, is not counted."""
    calculator = MACECalculator(models=[module], device="cpu", default_dtype="float64", compile_mode="default")
    benchmark.pedantic(moving(atoms, lambda a: calculator.get_property("forces", a)), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="energy, forces and stress")
def test_symmetrix(benchmark, tmp_path, atoms):
    """Time symmetrix where somebody has built it, on a model of the same size whose first block it can read."""
    symmetrix = pytest.importorskip("symmetrix", reason="symmetrix is not built here, nor on the package index")
    path = tmp_path / "production.model"
    torch.save(production_module(first="RealAgnosticInteractionBlock"), path)
    calculator = symmetrix.Symmetrix(path, species=sorted({int(z) for z in atoms.numbers}), use_kokkos=False)
    benchmark.pedantic(moving(atoms, lambda a: calculator.get_property("forces", a)), rounds=5, warmup_rounds=1)


@pytest.fixture(params=["compiled", "pytorch"])
def backend(request):
    return request.param


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dtype(request):
    return request.param


@pytest.mark.benchmark(group="energy, forces and stress")
def test_engine(benchmark, module, atoms, backend, dtype):
    engine = Engine(module, backend=backend, dtype=dtype)
    benchmark.pedantic(moving(atoms, engine.evaluate), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="threads, 848 atoms")
@pytest.mark.parametrize("threads", [1, 2])
def test_threads(benchmark, module, backend, threads):
    atoms = structures.load("MOF-5") * (2, 2, 2)
    atoms.rattle(0.05, seed=1)
    engine = Engine(module, backend=backend)
    torch.set_num_threads(threads)
    try:
        benchmark.pedantic(moving(atoms, engine.evaluate), rounds=5, warmup_rounds=1)
    finally:
        torch.set_num_threads(1)


@pytest.mark.benchmark(group="linear response of one atom, three directions")
@pytest.mark.parametrize("together", [1, 3], ids=["one by one", "together"])
def test_response(benchmark, monkeypatch, module, backend, dtype, together):
    monkeypatch.setitem(TOGETHER, "cpu", together)
    engine, atoms = Engine(module, backend=backend, dtype=dtype), structures.load("MOF-5")
    engine.atom_response(atoms, 0, np.eye(3))  # the state of the unit cell stays
    benchmark.pedantic(engine.atom_response, (atoms, 0, np.eye(3)), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="eight displaced cells of 54 atoms")
@pytest.mark.parametrize("together", [True, False], ids=["batch", "one by one"])
def test_batch(benchmark, module, backend, together):
    frames = [structures.load("MOF-74") for _ in range(8)]
    for seed, frame in enumerate(frames):
        frame.rattle(0.01, seed=seed)
    engine = Engine(module, backend=backend)

    def run():
        return engine.evaluate_batch(frames) if together else [engine.evaluate(frame) for frame in frames]

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="neighbour list, 848 atoms")
@pytest.mark.parametrize("skin", [0.0, SKIN], ids=["built", "used again"])
def test_neighbours(benchmark, module, skin):
    atoms = structures.load("MOF-5") * (2, 2, 2)
    model, neighbours = Engine(module).model(atoms.numbers), NeighbourList(skin)
    benchmark.pedantic(moving(atoms, lambda a: neighbours.update(model, a)), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="load of mini")
def test_load(benchmark):
    """Reading the embedded model and building its module, with mace imported."""
    benchmark.pedantic(load, (resolve("mini"),), rounds=5, warmup_rounds=1)


class Stopwatch:
    """Kernels that count the time each of them takes."""

    def __init__(self, kernels):
        self.kernels, self.seconds = kernels, collections.Counter()

    def __getattr__(self, name):
        def timed(*arguments):
            started = time.perf_counter()
            result = getattr(self.kernels, name)(*arguments)
            self.seconds[name] += time.perf_counter() - started
            return result

        return timed


@pytest.mark.benchmark(group="parts, 106 atoms")
def test_parts(benchmark, module, backend):
    """Where the time goes: seconds of each kernel, of the radial functions and of the rest, per evaluation."""
    atoms = structures.load("MOF-5")
    atoms.rattle(0.05, seed=1)
    engine = Engine(module, backend=backend)
    model = engine.model(atoms.numbers)
    crystal = NeighbourList().update(model, atoms)
    watch = Stopwatch(Compiled() if backend == "compiled" else Operations())
    evaluate(model, crystal, watch)
    watch.seconds.clear()
    rounds = 5
    benchmark.pedantic(evaluate, (model, crystal, watch), rounds=rounds)
    distances = crystal.vectors.norm(dim=1)
    ends = crystal.elements[crystal.receiver], crystal.elements[crystal.sender]
    started = time.perf_counter()
    for _ in range(rounds):
        evaluate_radial(model, distances, *ends, 1)
    watch.seconds["radial functions"] = time.perf_counter() - started
    shares = {name: seconds / rounds for name, seconds in watch.seconds.items()}
    benchmark.extra_info.update(shares, rest=benchmark.stats.stats.mean - sum(shares.values()))
