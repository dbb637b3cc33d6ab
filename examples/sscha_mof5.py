"""Self-consistent phonons of MOF-5 at 300 K with the embedded model.

    python examples/sscha_mof5.py [folder]

Killed and started again, it goes on where it was.
"""

import sys
import time
from pathlib import Path

import numpy as np

from mace_mof_calc.structures import load
from phonopy_mlp.anharmonic import run_sscha
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.plot import plot_sscha, write_figure
from phonopy_mlp.registry import get_calculator
from phonopy_mlp.relax import relax
from phonopy_mlp.unfinished import UNFINISHED_FOLDER, Unfinished

SUPERCELL = np.diag([1, 1, 1])
SNAPSHOTS, ITERATIONS, TRANSIENT = 150, 10, 5


def _told(plan, total, label):
    started = time.perf_counter()
    for count, step in enumerate(plan):
        yield step
        print(f"{label}: {count + 1} of {total} after {time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    """Run it, and print the history and how the lowest modes move."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "sscha-MOF-5")
    calculator = get_calculator("mini")
    relaxed = relax(load("MOF-5"), calculator).atoms
    phonon = compute_force_constants(make_phonopy(relaxed, SUPERCELL, symprec=1e-4), calculator).phonon
    harmonic = compute_commensurate_modes(phonon)
    unfinished = Unfinished(folder / UNFINISHED_FOLDER, model="mini")
    result = run_sscha(
        phonon,
        calculator,
        temperatures=[300],
        snapshots=SNAPSHOTS,
        iterations=ITERATIONS,
        transient=TRANSIENT,
        mesh=(5, 5, 5),
        progress=_told,
        unfinished=unfinished,
    )
    (point,) = result.points
    print(f"{result.evaluations} evaluations of {len(phonon.supercell)} atoms")
    print(f"F = {point.free_energy:.4f} +- {point.free_energy_error:.4f} eV per primitive cell")
    for number, (energy, error, lowest) in enumerate(
        zip(point.history, point.history_errors, point.lowest_frequencies, strict=True)
    ):
        print(f"iteration {number + 1}: F = {energy:.4f} +- {error:.4f} eV, lowest mode {lowest:.3f} THz")
    lowest = np.sort(harmonic.frequencies[np.isfinite(harmonic.frequencies)])[:10]
    print("harmonic THz ", np.round(lowest, 3))
    lowest = np.sort(point.modes.frequencies[np.isfinite(point.modes.frequencies)])[:10]
    print("at 300 K THz ", np.round(lowest, 3))
    write_figure(plot_sscha(result, "MOF-5, mini, 106 atoms", harmonic=harmonic), folder / "sscha.png")
    unfinished.remove()


if __name__ == "__main__":
    main()
