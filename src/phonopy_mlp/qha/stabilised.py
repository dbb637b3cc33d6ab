"""Lattices at which a crystal has imaginary modes, and the crystal that it becomes there."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from ase import Atoms

from phonopy_mlp.errors import ImaginaryModesError
from phonopy_mlp.qha.point import LatticePoint, Stabilisation, Workshop, make_point, measure
from phonopy_mlp.relax import Cell
from phonopy_mlp.stability.stabilise import stabilise
from phonopy_mlp.stability.trail import StabilityResult


def stabilise_point(workshop: Workshop, point: LatticePoint, cell: Cell, name: str, *, seed: int) -> LatticePoint:
    """Follow a crystal's imaginary modes to where it has none, within what `cell` lets its lattice do.

    Parameters
    ----------
    workshop : Workshop
        Keeps the result, and the steps on the way until the whole is finished.
    point : LatticePoint
        Relaxed, with imaginary modes.
    cell : {'fixed', 'constant-volume'}
        What its cell may do.
    name : str
        Of the point.
    seed : int
        As of `stabilise`.

    Raises
    ------
    ImaginaryModesError
        Modes are imaginary in the end, be it within their noise.

    """
    kept = workshop.get(f"stabilised-{name}")
    if kept is None:
        inner = workshop.inner(f"stabilising-{name}")
        result = stabilise(
            point.atoms,
            workshop.calculator,
            supercell_matrix=point.crystal.supercell_matrix,
            fmax=workshop.fmax,
            max_steps=workshop.max_steps,
            cell=cell,
            seed=seed,
            # The number of primitive cells stays whole.
            reduce_cell=False,
            on_step=workshop.on_step,
            unfinished=inner,
        )
        check, found = result.check, result.atoms
        if check.modes.count_imaginary():
            raise _not_stabilised(point, result)
        kept = workshop.keep(
            f"stabilised-{name}",
            **measure(workshop, check),
            lattice=found.cell.array,
            positions=found.positions,
            numbers=found.numbers,
            masses=found.get_masses(),
            supercell_matrix=result.supercell_matrix,
            energy_per_atom=result.energy,
            gain_per_atom=result.energy_gain,
            rounds=result.rounds,
            audit=np.array(json.dumps(result.describe())),
        )
        if inner is not None:
            inner.remove()
    found = Atoms(
        numbers=kept["numbers"], masses=kept["masses"], positions=kept["positions"], cell=kept["lattice"], pbc=True
    )
    crystal = replace(
        point.crystal.moved_to(found),
        supercell_matrix=kept["supercell_matrix"],
        cells=point.crystal.cells * len(found) // len(point.atoms),
    )
    gain = float(kept["gain_per_atom"]) * len(found) / crystal.cells
    energy = float(kept["energy_per_atom"]) * len(found)
    return make_point(crystal, energy, kept, Stabilisation(int(kept["rounds"]), gain, json.loads(str(kept["audit"]))))


def _not_stabilised(point: LatticePoint, result: StabilityResult) -> ImaginaryModesError:
    modes = result.check.modes
    left = f"{modes.count_imaginary()} are, the lowest at {modes.lowest:.4f} THz"
    if result.check.unstable_modes:
        left += f" ({result.trail[-1].method}: {result.trail[-1].reason})"
    else:
        left += ", all within their numerical noise"
    return ImaginaryModesError(
        f"The crystal could not be stabilised at a volume of {point.volume:.3f} A^3 per primitive cell",
        f"{point.imaginary_modes} modes were imaginary, the lowest at {point.describe_mode()}; "
        f"after {result.rounds} steps {left}",
        "Leave such volumes out (imaginary='exclude'), choose a smaller strain, relax further, or see what `stabilise` "
        "says of this crystal",
    )
