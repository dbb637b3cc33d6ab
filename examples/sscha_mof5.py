"""Self-consistent phonons of MOF-5 against temperature with the embedded model.

    python examples/sscha_mof5.py [folder]

The 2x2x2 supercell (848 atoms), 100 snapshots in each iteration, at the lattice of the static crystal. Killed and
started again, it goes on where it was.
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

SUPERCELL = np.diag([2, 2, 2])
# Ascending, for each starts from the one before: sampled with harmonic frequencies the warm linkers would tear.
TEMPERATURES = [100, 300, 500]
SNAPSHOTS, ITERATIONS, TRANSIENT = 100, 8, 4


def _told(plan, total, label):
    started = time.perf_counter()
    for count, step in enumerate(plan):
        yield step
        if label == "Iterations":
            print(f"{label}: {count + 1} of {total} after {time.perf_counter() - started:.0f} s", flush=True)


def _lowest(modes):
    known = modes.frequencies[np.isfinite(modes.frequencies)]
    return " ".join(f"{frequency:.3f}" for frequency in np.sort(known)[:10])


def main() -> None:
    """Run it, and print the history and how the lowest modes move."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "sscha-MOF-5")
    calculator = get_calculator("mini")
    unfinished = Unfinished(folder / UNFINISHED_FOLDER, model="mini")
    relaxed = relax(load("MOF-5"), calculator, unfinished=unfinished).atoms
    phonon = make_phonopy(relaxed, SUPERCELL, symprec=1e-4)
    phonon = compute_force_constants(phonon, calculator, unfinished=unfinished).phonon
    harmonic = compute_commensurate_modes(phonon)
    result = run_sscha(
        phonon,
        calculator,
        temperatures=TEMPERATURES,
        snapshots=SNAPSHOTS,
        iterations=ITERATIONS,
        transient=TRANSIENT,
        progress=_told,
        unfinished=unfinished,
    )
    print(f"{result.evaluations} evaluations of {len(phonon.supercell)} atoms")
    print(f"lowest harmonic modes {_lowest(harmonic)} THz")
    for point in result.points:
        print(
            f"{point.temperature:g} K: F = {point.free_energy:.4f} +- {point.free_energy_error:.4f} eV/primitive cell"
        )
        for number, (energy, error, lowest, mean) in enumerate(
            zip(point.history, point.history_errors, point.lowest_frequencies, point.mean_frequencies, strict=True)
        ):
            print(
                f"  iteration {number + 1}: F = {energy:.4f} +- {error:.4f} eV, "
                f"frequencies: lowest {lowest:.3f}, mean {mean:.3f} THz"
            )
        print(f"  lowest modes {_lowest(point.modes)} THz")
    write_figure(
        plot_sscha(result, f"MOF-5, mini, {len(phonon.supercell)} atoms", harmonic=harmonic), folder / "sscha.png"
    )
    unfinished.remove()


if __name__ == "__main__":
    main()
