"""Axial expansion of MOF-74 with the embedded model, from the free energy over its lattice.

    python examples/axes_mof74.py [folder]

Killed and started again, it goes on where it was.
"""

import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np

from mace_mof_calc.structures import load
from phonopy_mlp.qha.axes import run_axial_qha
from phonopy_mlp.qha.output import write_axial_qha
from phonopy_mlp.qha.plot import plot_axial_qha
from phonopy_mlp.registry import get_calculator
from phonopy_mlp.unfinished import UNFINISHED_FOLDER, Unfinished


def _told(lattices, total, label):
    started = time.perf_counter()
    for count, lattice in enumerate(lattices):
        yield lattice
        print(f"{label}: {count + 1} of {total} after {time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    """Run it, and print lengths and axial coefficients."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "axes-MOF-74")
    unfinished = Unfinished(folder / UNFINISHED_FOLDER, model="mini")
    result = run_axial_qha(
        load("MOF-74"),
        get_calculator("mini"),
        supercell_matrix=np.diag([2, 2, 2]),
        temperatures=np.arange(0, 310, 10),
        strains=[-0.004, 0.0, 0.004, 0.008],
        mesh=(5, 5, 5),
        fmax=1e-5,
        symprec=1e-3,
        progress=_told,
        unfinished=unfinished,
    )
    write_axial_qha(result, folder)
    mpl.use("Agg")
    plot_axial_qha(result, folder, suffix="png")
    for k in range(0, len(result.temperatures), 5):
        a, _, c = result.lengths[k]
        alpha_a, _, alpha_c = 1e6 * result.axial_expansion[k]
        print(
            f"{result.temperatures[k]:5.0f} K  a {a:.4f} A  c {c:.4f} A  alpha_a {alpha_a:.2f}  alpha_c {alpha_c:.2f}  "
            f"alpha_V {1e6 * result.volumetric_expansion[k]:.2f} 1e-6/K"
        )
    unfinished.remove()


if __name__ == "__main__":
    main()
