"""Numerical health of force constants by several methods; writes ``results/health.csv``.

MOF-5 with `mini` in one cell of 106 atoms, relaxed to 1e-4 eV/A and projected onto its space group: phonopy uses the
symmetry of a crystal that has it to 1e-5 A as if it had it exactly, and that would be the largest error.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mace_mof_calc import MaceMOF, structures
from phonopy_mlp.force_constants import compute_force_constants, displace, make_phonopy
from phonopy_mlp.health import assess_health
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.relax import relax
from phonopy_mlp.symmetry import LOOSE, symmetrise

CASES = (
    ("linear-response", "float64", None),
    ("linear-response", "float32", None),
    ("finite-displacement", "float64", 0.001),
    ("finite-displacement", "float32", 0.001),
    ("finite-displacement", "float64", 0.01),
)


def main() -> None:
    """Write the table."""
    atoms = symmetrise(relax(structures.load("MOF-5"), MaceMOF("mini"), fmax=1e-4).atoms, LOOSE)
    rows = []
    for method, dtype, distance in CASES:
        calculator = MaceMOF("mini", dtype=dtype)
        phonon = make_phonopy(atoms, np.eye(3, dtype=int))
        if distance is not None:
            displace(phonon, distance)
        result = compute_force_constants(phonon, calculator, method=method)
        health = assess_health(result, compute_commensurate_modes(phonon), calculator.describe())
        values = {check.name: check.value for check in health.checks}
        rows.append({"method": method, "dtype": dtype, "distance_A": distance or "", **values})
    target = Path(__file__).parent / "results" / "health.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


if __name__ == "__main__":
    main()
