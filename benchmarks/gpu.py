"""Force constants of MOF-5 on a GPU beside stock finite differences there; writes ``results/gpu.csv``.

Both sides in one process, in double precision, on the production architecture: force constants by linear response with
the engine, and by finite displacements in the 2x2x2 supercell with mace's own calculator, each from a loaded calculator
to phonopy's force constants. The first run of each, in which libraries start, is told apart from the others.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase.calculators.calculator import Calculator
from mace.calculators import MACECalculator
from production import production_module
from rows import RESULTS, write_rows

from mace_mof_calc import MaceMOF, structures
from phonopy_mlp.force_constants import ForceConstantsResult, compute_force_constants, make_phonopy

ROUNDS = 3
AGREEMENT = 5e-5  # of the largest force constant, as of central differences over 0.001 A


@dataclass(frozen=True)
class Timed:
    """Runs of one side, the first and `ROUNDS` more.

    Attributes
    ----------
    seconds, evaluations : ndarray
        Of each run in all, and of its evaluations alone.
    memory : float
        Peak, GB.
    result : ForceConstantsResult
        Of the last run.
    """

    seconds: np.ndarray
    evaluations: np.ndarray
    memory: float
    result: ForceConstantsResult


def timed(compute: Callable[[], ForceConstantsResult]) -> Timed:
    """Run it several times."""
    seconds, evaluations = [], []
    torch.cuda.reset_peak_memory_stats()
    for _ in range(ROUNDS + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        result = compute()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        evaluations.append(result.seconds)
    return Timed(np.array(seconds), np.array(evaluations), torch.cuda.max_memory_allocated() / 1e9, result)


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

        run = timed(compute)
        found[label] = run.result.force_constants
        rows.append(
            {
                "GPU": torch.cuda.get_device_name(),
                "torch": torch.__version__,
                "what": f"{label}, {method}",
                "evaluations": run.result.evaluations,
                "first (s)": f"{run.seconds[0]:.3f}",
                "least (s)": f"{min(run.seconds[1:]):.3f}",
                "median (s)": f"{np.median(run.seconds[1:]):.3f}",
                "most (s)": f"{max(run.seconds[1:]):.3f}",
                "evaluations alone (s)": f"{np.median(run.evaluations[1:]):.3f}",
                "peak (GB)": f"{run.memory:.2f}",
            }
        )
        print(*rows[-1].values(), sep="  ", flush=True)
    other, ours = found.values()
    difference = np.abs(other - ours).max() / np.abs(ours).max()
    print(f"largest difference, relative to the largest force constant: {difference:.1e}")
    if difference > AGREEMENT:
        raise SystemExit("They disagree")
    write_rows(RESULTS / "gpu.csv", rows)


if __name__ == "__main__":
    main()
