"""Batches of structures: bins, memory that does not suffice, failures, and the results of the calculator."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from numpy.testing import assert_allclose
from processes import run_program
from tiny_models import pack_variant

from mace_mof_calc import MaceMOF, structures
from mace_mof_calc.engine import engine as engine_module
from mace_mof_calc.engine.batching import BatchError, pack, run_in_bins
from mace_mof_calc.engine.engine import Backend, Engine, Results
from mace_mof_calc.engine.graph import Crystal, Pairs
from mace_mof_calc.engine.tables import FoldedModel
from mace_mof_calc.errors import StructureError, UnsupportedElementError

from ..conftest import TINY, make_module


def test_bins_hold_every_item_once_and_no_more_than_they_can() -> None:
    weights = [int(w) for w in np.random.default_rng(0).integers(1, 60, 100)]
    bins = pack(weights, 100)
    assert sorted(k for own in bins for k in own) == list(range(100))
    assert max(sum(weights[k] for k in own) for own in bins) <= 100
    assert len(bins) <= 1.25 * sum(weights) / 100
    assert pack([5, 200, 5], 100) == [[1], [0, 2]]
    assert pack([], 100) == []


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError(), RuntimeError("DefaultCPUAllocator: no")])
def test_a_bin_that_is_too_large_is_halved(error: Exception) -> None:
    tried: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        tried.append(len(items))
        if len(items) > 2:
            raise error
        return [10 * k for k in items]

    assert run_in_bins(run, [1.0] * 7, 7) == [0, 10, 20, 30, 40, 50, 60]
    assert tried[:2] == [7, 3]
    assert max(tried[2:]) <= 3


def test_whoever_fails_is_named() -> None:
    def run(items: Sequence[int]) -> list[int]:
        if 4 in items:
            raise ValueError("four")
        return list(items)

    with pytest.raises(BatchError) as caught:
        run_in_bins(run, [1.0] * 6, 6)
    assert caught.value.index == 4
    assert isinstance(caught.value.cause, ValueError)


def several() -> list[Atoms]:
    small = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    small.rattle(0.1, seed=1)
    return [small * (2, 1, 1), molecule("CH3OH"), small, structures.load("MOF-74"), molecule("H2O")]


@pytest.mark.parametrize("memory", [None, 1, 3_000_000])
@pytest.mark.parametrize("backend", ["compiled", "pytorch"])
def test_a_batch_is_what_single_structures_are(backend: Backend, memory: int | None) -> None:
    engine = Engine(make_module(replace(TINY, interaction_cls_first="RealAgnosticResidualInteractionBlock")),
                    backend=backend, memory=memory)  # fmt: skip
    for atoms, found in zip(several(), engine.evaluate_batch(several()), strict=True):
        alone = engine.evaluate(atoms)
        assert_allclose(found.forces, alone.forces, atol=1e-12)
        assert_allclose(found.energies, alone.energies, rtol=1e-12)
        assert_allclose(found.virial, alone.virial, atol=1e-12)


@pytest.mark.parametrize("accelerate", [True, False])
def test_the_calculator_takes_batches(accelerate: bool) -> None:
    calculator = MaceMOF("mini", device="cpu", accelerate=accelerate)
    frames = [atoms for atoms in several() if set(atoms.symbols) <= {"H", "C", "O", "Zn"}]
    for atoms, found in zip(frames, calculator.calculate_batch(frames), strict=True):
        alone = MaceMOF("mini", device="cpu")
        alone.calculate(atoms)
        assert found.keys() == alone.results.keys()
        for key, value in alone.results.items():
            assert_allclose(found[key], value, rtol=1e-10, atol=1e-10, err_msg=key)
    assert calculator.calculate_batch([]) == []


def test_the_calculator_names_the_structure_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    calculator = MaceMOF("mini", device="cpu")
    good = molecule("H2O")
    with pytest.raises(UnsupportedElementError, match=r"Structure 2 of the batch \(CH3Cl\).*Cl"):
        calculator.calculate_batch([good, molecule("CH3Cl")])
    engine = calculator._engines[0]
    results = engine._results

    def fail(model: object, crystal: object, sizes: list[int]) -> object:
        if 6 in sizes:
            raise RuntimeError("DefaultCPUAllocator: not enough memory")
        return results(model, crystal, sizes)

    monkeypatch.setattr(engine, "_results", fail)
    with pytest.raises(StructureError, match=r"Structure 2 of the batch \(CH4O\) failed.*not enough memory"):
        calculator.calculate_batch([good, molecule("CH3OH"), good])
    assert len(calculator.calculate_batch([good, good])) == 2


def test_a_structure_whose_neighbours_cannot_be_found_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    calculator = MaceMOF("mini", device="cpu")
    find = engine_module.find_pairs

    def fail(model: FoldedModel, atoms: Atoms) -> Pairs:
        if len(atoms) == 6:
            raise MemoryError("no more")
        return find(model, atoms)

    monkeypatch.setattr(engine_module, "find_pairs", fail)
    with pytest.raises(StructureError, match=r"Structure 2 of the batch \(CH4O\) failed.*MemoryError: no more"):
        calculator.calculate_batch([molecule("H2O"), molecule("CH3OH")])


def test_a_structure_whose_memory_cannot_be_measured_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(run: object, device: object) -> float:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(engine_module, "measure_memory", fail)
    with pytest.raises(StructureError, match=r"Structure 2 of the batch \(H2O\) failed.*not enough memory"):
        MaceMOF("mini", device="cpu").calculate_batch([molecule("CH3OH"), molecule("H2O")])


@pytest.mark.parametrize("backend", ["compiled", "pytorch"])
def test_bins_stay_within_memory(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = 1_000_000
    engine = Engine(make_module(TINY), backend=backend, memory=memory)
    results, bins = engine._results, []

    def recording(model: FoldedModel, crystal: Crystal, sizes: list[int]) -> list[Results]:
        bins.append((len(sizes), len(crystal.order) + len(crystal.sender)))
        return results(model, crystal, sizes)

    monkeypatch.setattr(engine, "_results", recording)
    engine.evaluate_batch([molecule("CH3OH"), molecule("H2O"), bulk("ZnO", "wurtzite", a=3.25, c=5.2)] * 8)
    assert engine._bytes is not None
    assert max(weight * engine._bytes for _, weight in bins) <= memory
    assert len(bins) > 1
    assert max(count for count, _ in bins) > 1
    assert sum(count for count, _ in bins) == 24


IN_MEMORY = """
from mace_mof_calc import structures
from mace_mof_calc.engine.engine import Engine
from mace_mof_calc.models.loading import load
from processes import peak_memory

engine = Engine(load("mini").module, backend="pytorch", memory=300_000_000)
frames = [structures.load("MOF-5") for _ in range(16)]
engine.evaluate_batch(frames[:1])
before = peak_memory()
engine.evaluate_batch(frames)
print(peak_memory() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts memory as Linux does")
def test_a_batch_takes_the_memory_that_it_may() -> None:
    assert 0.3 < int(run_program(IN_MEMORY)) / 300_000_000 < 1.2


def test_a_committee_takes_batches_and_has_the_mean_response_of_its_members(tmp_path: Path) -> None:
    paths = [pack_variant(tmp_path, seed) for seed in (1, 2)]
    committee, members = MaceMOF(paths, device="cpu"), [MaceMOF(path, device="cpu") for path in paths]
    atoms = structures.load("MOF-74")
    (found,), alone = committee.calculate_batch([atoms]), [each.calculate_batch([atoms])[0] for each in members]
    assert_allclose(found["forces"], np.mean([each["forces"] for each in alone], axis=0), atol=1e-12)
    assert found["energy_comm"].shape == (2,)
    move = np.zeros((1, len(atoms), 3))
    move[0, 3, 1] = 1.0
    responses = np.array([each.force_response(atoms, move) for each in members])
    scale = np.abs(responses).max()
    assert np.abs(responses[0] - responses[1]).max() > 1e-3 * scale
    assert_allclose(committee.force_response(atoms, move), responses.mean(axis=0), atol=1e-12 * scale)
    atom, cell, response = committee.atom_response(atoms, 3, np.eye(3)[[1]])
    whole = np.zeros((len(atoms), 3))
    np.add.at(whole, atom, response[0])
    assert_allclose(whole, responses.mean(axis=0)[0], atol=1e-12 * scale)
    assert len(atom) == len(cell)
