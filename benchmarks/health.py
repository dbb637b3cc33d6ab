"""Numerical health of force constants by several methods; writes ``results/health.csv``.

MOF-5 with `mini` in one cell of 106 atoms, relaxed to 1e-4 eV/A and, but for the last row, projected onto its space
group: phonopy uses the symmetry of a crystal that has it to 1e-5 A as if it had it exactly.
"""

from __future__ import annotations

import numpy as np
from rows import RESULTS, write_rows

from mace_mof_calc import MaceMOF, structures
from phonopy_mlp.force_constants import compute_force_constants, displace, make_phonopy
from phonopy_mlp.health import assess_health
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.relax import relax
from phonopy_mlp.symmetry import LOOSE, symmetrise

PROJECTED = "projected"
CASES = (
    (PROJECTED, "linear-response", "float64", None),
    (PROJECTED, "linear-response", "float32", None),
    (PROJECTED, "finite-displacement", "float64", 0.001),
    (PROJECTED, "finite-displacement", "float32", 0.001),
    (PROJECTED, "finite-displacement", "float64", 0.01),
    ("relaxed", "linear-response", "float64", None),
)


def main() -> None:
    """Write the table."""
    relaxed = relax(structures.load("MOF-5"), MaceMOF("mini"), fmax=1e-4).atoms
    rows = []
    for structure, method, dtype, distance in CASES:
        atoms = symmetrise(relaxed, LOOSE) if structure == PROJECTED else relaxed
        calculator = MaceMOF("mini", dtype=dtype)
        phonon = make_phonopy(atoms, np.eye(3, dtype=int))
        if distance is not None:
            displace(phonon, distance)
        result = compute_force_constants(phonon, calculator, method=method)
        health = assess_health(result, compute_commensurate_modes(phonon), calculator.describe())
        values = {check.name: check.value for check in health.checks}
        rows.append({"structure": structure, "method": method, "dtype": dtype, "distance_A": distance or "", **values})
    write_rows(RESULTS / "health.csv", rows, digits=3)


if __name__ == "__main__":
    main()
