"""Elastic constants of MOF-5 with `mini` by two ways that share nothing; writes ``results/elastic.csv``.

    python benchmarks/elastic.py [results.csv]

Stresses of strained cells whose atoms are relaxed, and long acoustic waves from the force constants of a 2x2x2
supercell, both at the same minimum. Minutes on one core.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from mace_mof_calc import structures
from phonopy_mlp.elasticity import ElasticResult, elastic_from_phonons, run_elasticity
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.registry import get_calculator
from phonopy_mlp.relax import FMAX, relax

RESULTS = Path(__file__).parent / "results" / "elastic.csv"

LIMITS = {"C11": 2, "C12": 2, "C44": 5, "B": 2}
"""Difference in per cent up to which the two ways agree."""

COLUMNS = ("quantity", "stress-strain (GPa)", "long waves (GPa)", "difference (%)", "limit (%)")


def compare(atoms: Atoms, calculator: BaseCalculator, size: int, *, fmax: float = FMAX) -> list[dict[str, float | str]]:
    """Return the independent constants of a cubic crystal and its bulk modulus, both ways.

    `fmax` is that of the strained cells.
    """
    rest = relax(atoms, calculator).atoms
    phonon = compute_force_constants(make_phonopy(rest, np.diag([size] * 3)), calculator).phonon
    waves = cubic_constants(elastic_from_phonons(phonon))
    stresses = cubic_constants(run_elasticity(rest, calculator, fmax=fmax))
    return [
        {
            "quantity": name,
            "stress-strain (GPa)": stresses[name],
            "long waves (GPa)": waves[name],
            "difference (%)": 100 * (waves[name] / stresses[name] - 1),
            "limit (%)": limit,
        }
        for name, limit in LIMITS.items()
    ]


def cubic_constants(result: ElasticResult) -> dict[str, float]:
    """Return what a cubic crystal has of independent constants, and its bulk modulus, in GPa."""
    stiffness = result.standard_stiffness
    c11, c12, c44 = (float(stiffness[index]) for index in ((0, 0), (0, 1), (3, 3)))
    return {"C11": c11, "C12": c12, "C44": c44, "B": result.hill.bulk}


def main() -> None:
    """Write the table."""
    rows = compare(structures.load("MOF-5"), get_calculator("mini"), 2)
    table = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()})


if __name__ == "__main__":
    main()
