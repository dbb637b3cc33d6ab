"""Thermal expansion tensor of MOF-74 with the embedded model, from elastic compliances and Grueneisen tensors.

    python examples/tensor_mof74.py [folder]

At the lattice of the static crystal, in a 2x2x2 supercell of the primitive cell. mini is a small stand-in, so the
numbers are its own. Killed and started again, it goes on where it was.
"""

import sys
import time
from pathlib import Path

import numpy as np

from mace_mof_calc.structures import load
from phonopy_mlp.elasticity import run_elasticity
from phonopy_mlp.plot import plot_expansion, write_figure
from phonopy_mlp.qha.tensor import compute_expansion_tensor
from phonopy_mlp.registry import get_calculator
from phonopy_mlp.relax import relax
from phonopy_mlp.symmetry import LOOSE, symmetrise
from phonopy_mlp.unfinished import UNFINISHED_FOLDER, Unfinished


def _told(rungs, total, label):
    started = time.perf_counter()
    for count, rung in enumerate(rungs):
        yield rung
        print(f"{label}: {count + 1} of {total} after {time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    """Run it, and print elastic constants and expansion."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tensor-MOF-74")
    folder.mkdir(parents=True, exist_ok=True)
    calculator = get_calculator("mini")
    unfinished = Unfinished(folder / UNFINISHED_FOLDER, model="mini")
    # From the minimum of GFN1-xTB it is a long way, on which the last digits of the symmetry go astray.
    relaxed = symmetrise(relax(load("MOF-74"), calculator, unfinished=unfinished).atoms, LOOSE)
    elastic = run_elasticity(relaxed, calculator, progress=_told, unfinished=unfinished)
    result = compute_expansion_tensor(
        relaxed,
        calculator,
        compliances=elastic.compliance,
        supercell_matrix=np.diag([2, 2, 2]),
        temperatures=np.arange(0, 510, 10),
        symprec=1e-3,
        progress=_told,
        unfinished=unfinished,
    )
    directions = {"a": elastic.standard_rotation[0], "c": elastic.standard_rotation[2]}
    write_figure(plot_expansion(result, "MOF-74, mini, static lattice", directions), folder / "expansion.png")
    unfinished.remove()
    print(f"volume {relaxed.get_volume():.3f} A^3 per primitive cell, {elastic.space_group}")
    print(f"stiffness (GPa), x along a and z along c\n{np.round(elastic.standard_stiffness, 3) + 0.0}")
    print("expansion (1e-6/K) along a and along c, and of the volume")
    axes = elastic.standard_rotation @ result.expansion @ elastic.standard_rotation.T
    for k in range(0, len(result.temperatures), 5):
        print(
            f"{result.temperatures[k]:4.0f} K {1e6 * axes[k, 0, 0]:10.3f} {1e6 * axes[k, 2, 2]:10.3f} "
            f"{1e6 * result.volumetric_expansion[k]:10.3f}"
        )


if __name__ == "__main__":
    main()
