"""From the symmetric parent of MIL-53 to a structure without imaginary modes, on the embedded model mini.

MIL-53 as it ships with mace-mof-calc is monoclinic (C2/c), a distortion of the orthorhombic large-pore form (Imma).
That parent is made again here by symmetrising with a tolerance of 0.5 A and relaxing with its symmetry kept. mini is a
small stand-in, so energies and final structures are its own and not MIL-53's; the instabilities are real ones of this
potential, at Gamma and at the zone boundary; docs/stability.md has the trails.

    python examples/stabilise_mil53.py                            # modes at Gamma alone, the cell relaxes
    python examples/stabilise_mil53.py --dim 1 2 1 --cell fixed   # at the zone boundary as well

It prints a line for each step, then what is left, and writes ``stabilised.cif`` and ``stabilised.yaml`` (the trail)
into the folder it runs in.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import get_args

import numpy as np
import yaml

from mace_mof_calc import structures
from phonopy_mlp.registry import get_calculator
from phonopy_mlp.relax import Cell, relax
from phonopy_mlp.stability.stabilise import stabilise
from phonopy_mlp.stability.trail import Step
from phonopy_mlp.symmetry import symmetrise

STARTED = time.perf_counter()


def show(step: Step) -> None:
    """Print a line on a step."""
    target = ""
    if step.qpoint is not None:
        target = f" {step.frequency:.3f} THz at q = ({', '.join(f'{x:.3g}' for x in step.qpoint)})"
    elif step.direction is not None:
        target = f" long wave along ({', '.join(f'{x:.2f}' for x in step.direction)})"
    elif step.strain is not None:
        target = f" strain of {step.amplitude or 0:.3f}"
    outcome = f"rejected: {step.reason}"
    if step.accepted:
        groups = " / ".join(f"{group.symbol}" for group in step.groups_after)
        outcome = f"{step.energy_change * 1000:+.3f} meV per formula unit, {step.atoms_after} atoms, {groups}"
    print(f"{time.perf_counter() - STARTED:5.0f} s  {step.method}{target}: {outcome}", flush=True)


def main() -> None:
    """Make the parent, stabilise it, and say what is left."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dim", nargs=3, type=int, default=[1, 1, 1], help="supercell of the checks")
    parser.add_argument("--fmax", type=float, default=1e-5, help="goal of the relaxations in eV/A")
    parser.add_argument("--cell", choices=get_args(Cell), default="free", help="what the cell may do")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    calculator = get_calculator("mini")
    parent = relax(symmetrise(structures.load("MIL-53"), 0.5), calculator, fix_symmetry=1e-2, fmax=arguments.fmax)
    print(
        f"{time.perf_counter() - STARTED:5.0f} s  parent: {parent.final_groups[0]}, {len(parent.atoms)} atoms",
        flush=True,
    )
    result = stabilise(
        parent.atoms,
        calculator,
        supercell_matrix=np.diag(arguments.dim),
        fmax=arguments.fmax,
        cell=arguments.cell,
        seed=arguments.seed,
        on_event=show,
    )
    check = result.check
    print(f"stable: {result.stable} in supercell {result.supercell_matrix.tolist()}")
    print(
        f"lowest commensurate frequency {check.modes.lowest:.4f} THz; force constants good to "
        f"{check.force_constant_error:.1e} eV/A^2"
    )
    print(
        f"left: {len(check.unstable_modes)} modes, {len(check.unstable_waves)} long waves, "
        f"{len(check.unstable_strains)} strains; within the noise: {len(check.modes_within_noise)} modes; "
        f"contradicted by energies: "
        f"{len(check.contradicted_waves)} long waves, {len(check.contradicted_strains)} strains"
    )
    for mode in check.unstable_modes:
        print(f"  {mode.frequency:.4f} THz at q = {mode.qpoint.tolist()}, noise {check.noise(mode):.4f} THz")
    result.atoms.write("stabilised.cif")
    Path("stabilised.yaml").write_text(yaml.safe_dump(dict(result.describe()), sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
