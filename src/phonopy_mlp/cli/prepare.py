"""The structure that a calculation starts from: relaxed and symmetrised as asked."""

from __future__ import annotations

import time
from dataclasses import replace

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.cli.arguments import RelaxOptions
from phonopy_mlp.cli.messages import describe_relaxation
from phonopy_mlp.cli.progress import RelaxationBar
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.output import RELAXED_FILE, write_cif
from phonopy_mlp.relax import relax
from phonopy_mlp.symmetry import find_space_group, symmetrise


def prepare(
    atoms: Atoms,
    calculator: BaseCalculator,
    relaxation: RelaxOptions | None,
    tolerance: float | None,
    record: RunRecord,
) -> Atoms:
    """Relax a structure, project it onto the space group at a tolerance (A), relax it again within, as asked.

    What comes out of each of these is also ``relaxed.cif``.
    """
    if relaxation is not None:
        atoms = _relax(atoms, calculator, relaxation, "relax", record)
    if tolerance is not None:
        group = find_space_group(atoms, tolerance)
        atoms = symmetrise(atoms, tolerance)
        write_cif(atoms, record.folder / RELAXED_FILE)
        record.add("symmetrise", {"tolerance": tolerance, "space_group": str(group)})
        record.say(f"Symmetrised to {group}.")
        if relaxation is not None:
            within = replace(relaxation, fix_symmetry=tolerance)
            atoms = _relax(atoms, calculator, within, "relax_in_symmetry", record)
    return atoms


def _relax(atoms: Atoms, calculator: BaseCalculator, relaxation: RelaxOptions, name: str, record: RunRecord) -> Atoms:
    started = time.perf_counter()
    with RelaxationBar(relaxation.fmax) as show:
        result = relax(atoms, calculator, **relaxation.keywords(), on_step=show, unfinished=record.unfinished)
    seconds = time.perf_counter() - started
    write_cif(result.atoms, record.folder / RELAXED_FILE)
    record.add_relaxation(name, result, seconds)
    record.say(describe_relaxation(result))
    return result.atoms
