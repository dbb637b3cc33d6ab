"""The statements about speed: MACE-MP-MOF0 against MACE-MP-0b + D3, and against GFN1-xTB."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from production import production_module

from mace_mof_calc import GFN1xTB, structures
from mace_mof_calc.calculator import MACECalculator
from mace_mof_calc.dispersion.calculator import D3
from mace_mof_calc.engine.engine import Engine
from paper.study import Study

ROUNDS = 3

PAPER = (
    {"method": "MACE-MP-0b + D3 (paper)", "over_MACE_mace_itself": 1.5},
    {"method": "GFN1-xTB (paper)", "atoms": 500, "time_saved_percent": 90.0},
)
"""What the publication says of MACE-MP-MOF0 against these; of the first it does not give the number of atoms."""


def run(study: Study) -> None:
    """Write ``speed.csv``: seconds of one evaluation (energy, forces, stress), one thread, float64, on the CPU.

    The production architecture, random weights, stands in for the published models: cost does not depend on weights.
    The time saved is what the model in mace itself saves of a method's time.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for atoms in _cells(study.quick) for row in _measure(atoms, 1 if study.quick else ROUNDS)]
    finally:
        torch.set_num_threads(before)
    study.write_table("speed", [*rows, *PAPER])


def _cells(quick: bool) -> list[Atoms]:
    cell = structures.load("MIL-53" if quick else "MOF-5")
    return [cell] if quick else [cell, cell * (2, 2, 1)]


def _measure(atoms: Atoms, rounds: int) -> list[dict[str, object]]:
    module = production_module()
    stock = MACECalculator(models=[module], device="cpu", default_dtype="float64")
    engine = Engine(module, backend="compiled", dtype=torch.float64)
    evaluations: dict[str, Callable[[Atoms], object]] = {
        "MACE, mace itself": _ase(stock),
        "MACE, this engine": engine.evaluate,
        "D3(BJ)": _ase(D3()),
        "GFN1-xTB": _ase(GFN1xTB()),
    }
    seconds = {name: _time(atoms, evaluate, rounds) for name, evaluate in evaluations.items()}
    both = {
        "MACE-MP-0b + D3, mace itself": seconds["MACE, mace itself"] + seconds["D3(BJ)"],
        "MACE-MP-0b + D3, this engine": seconds["MACE, this engine"] + seconds["D3(BJ)"],
    }
    return [
        {
            "atoms": len(atoms),
            "method": name,
            "seconds": value,
            "over_MACE_mace_itself": value / seconds["MACE, mace itself"],
            "over_MACE_this_engine": value / seconds["MACE, this engine"],
            "time_saved_percent": 100 * (1 - seconds["MACE, mace itself"] / value),
        }
        for name, value in {**seconds, **both}.items()
    ]


def _ase(calculator: BaseCalculator) -> Callable[[Atoms], object]:
    return lambda atoms: calculator.get_property("forces", atoms)


def _time(atoms: Atoms, evaluate: Callable[[Atoms], object], rounds: int) -> float:
    moving, rng, seconds = atoms.copy(), np.random.default_rng(0), []
    for _ in range(rounds + 1):
        moving.positions += rng.normal(scale=1e-4, size=moving.positions.shape)
        started = time.perf_counter()
        evaluate(moving)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))
