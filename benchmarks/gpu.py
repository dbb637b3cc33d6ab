"""Force constants of MOF-5 on a GPU beside stock finite differences there; writes ``results/gpu.csv``.

Both sides in one process, in double precision, on the production architecture: force constants by linear response with
the engine, and by finite displacements in the 2x2x2 supercell with mace's own calculator, each from a loaded calculator
to phonopy's force constants. The first run of each, in which libraries start, is told apart from the others.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase.calculators.calculator import Calculator
from mace.calculators import MACECalculator
from production import production_module

from mace_mof_calc import MaceMOF, structures
from phonopy_mlp.force_constants import ForceConstantsResult, compute_force_constants, make_phonopy

ROUNDS = 3
AGREEMENT = 5e-5  # of the largest force constant, as of central differences over 0.001 A


def timed(compute: Callable[[], ForceConstantsResult]) -> tuple[list[float], float, ForceConstantsResult]:
    """Return seconds of each run, the first and `ROUNDS` more, the peak memory (GB), and the last result."""
    seconds = []
    torch.cuda.reset_peak_memory_stats()
    for _ in range(ROUNDS + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        result = compute()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds, torch.cuda.max_memory_allocated() / 1e9, result


def main() -> None:
    """Compute, compare, and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "production.model"
        torch.save(production_module(), path)
        calculators: dict[str, tuple[str, Calculator]] = {
            "stock mace": ("finite-displacement", MACECalculator(str(path), device="cuda", default_dtype="float64")),
            "engine": ("linear-response", MaceMOF(path, device="cuda", trust=True)),
        }
    rows, found = [], {}
    for label, (method, calculator) in calculators.items():

        def compute(method: str = method, calculator: Calculator = calculator) -> ForceConstantsResult:
            phonon = make_phonopy(structures.load("MOF-5"), 2 * np.eye(3))
            return compute_force_constants(phonon, calculator, method=method)

        seconds, memory, result = timed(compute)
        found[label] = result.force_constants
        rows.append(
            {
                "GPU": torch.cuda.get_device_name(),
                "torch": torch.__version__,
                "what": f"{label}, {method}",
                "evaluations": result.evaluations,
                "first (s)": f"{seconds[0]:.3f}",
                "least (s)": f"{min(seconds[1:]):.3f}",
                "median (s)": f"{np.median(seconds[1:]):.3f}",
                "most (s)": f"{max(seconds[1:]):.3f}",
                "evaluations alone (s)": f"{result.seconds:.3f}",
                "peak (GB)": f"{memory:.2f}",
            }
        )
        print(*rows[-1].values(), sep="  ", flush=True)
    other, ours = found.values()
    difference = np.abs(other - ours).max() / np.abs(ours).max()
    print(f"largest difference, relative to the largest force constant: {difference:.1e}")
    if difference > AGREEMENT:
        raise SystemExit("They disagree")
    target = Path(__file__).parent / "results" / "gpu.csv"
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
