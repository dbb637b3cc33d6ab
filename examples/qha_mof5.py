"""Thermal expansion of MOF-5 with the embedded model, in the quasi-harmonic approximation.

    python examples/qha_mof5.py [folder]

Nine volumes, a 2x2x2 supercell, an 11x11x11 mesh. Killed and started again, it goes on where it was.
"""

import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np

from mace_mof_calc.structures import load
from phonopy_mlp.qha.output import write_qha
from phonopy_mlp.qha.plot import plot_qha
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.registry import get_calculator
from phonopy_mlp.unfinished import UNFINISHED_FOLDER, Unfinished


def _told(rungs, total, label):
    started = time.perf_counter()
    for count, rung in enumerate(rungs):
        yield rung
        print(f"{label}: {count + 1} of {total} after {time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    """Run it, print the volumes and the expansion, and write phonopy-qha's files and figures."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "qha-MOF-5")
    folder.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    unfinished = Unfinished(folder / UNFINISHED_FOLDER, model="mini")
    result = run_mlp_qha(
        load("MOF-5"),
        get_calculator("mini"),
        supercell_matrix=np.diag([2, 2, 2]),
        temperatures=np.arange(0, 210, 10),
        # With this model the linkers buckle at 2 % less volume, and above 200 K F(V) has its minimum near there.
        strain=0.0045,
        # Vinet's equation has no value where B' is 1, and this crystal's goes through it.
        eos="birch_murnaghan",
        imaginary="exclude",
        progress=_told,
        unfinished=unfinished,
    )
    write_qha(result, folder)
    plot_qha(result, folder, suffix="png")
    unfinished.remove()
    for point, is_used in zip(result.points, result.used, strict=True):
        print(f"{point.volume:10.3f} A^3  {point.energy:.6f} eV  lowest {point.describe_mode()}  used: {is_used}")
    for k in range(0, len(result.temperatures), 5):
        print(
            f"{result.temperatures[k]:5.0f} K  V {result.volume[k]:.3f} A^3  "
            f"alpha_V {result.volumetric_expansion[k]:.3e} 1/K  "
            f"B {result.bulk_modulus[k]:.3f} GPa  Grueneisen {result.gruneisen[k]:.3f}"
        )


if __name__ == "__main__":
    main()
