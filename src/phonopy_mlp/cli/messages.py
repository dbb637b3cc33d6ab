"""What a run says on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy

from phonopy_mlp.arrays import Array
from phonopy_mlp.evaluator import calling
from phonopy_mlp.force_constants import ForceConstantsResult
from phonopy_mlp.imaginary import CommensurateModes
from phonopy_mlp.linear_response import find_moves
from phonopy_mlp.phonons import PhononResult
from phonopy_mlp.protocols import SupportsLinearResponse
from phonopy_mlp.relax import RelaxResult
from phonopy_mlp.symmetry import LOOSE, TIGHT, find_space_group

_GIGABYTE = 1e9


def describe_groups(atoms: Atoms, name: str) -> str:
    """Return formula and space groups of a structure."""
    groups = "; ".join(str(find_space_group(atoms, tolerance)) for tolerance in (TIGHT, LOOSE))
    return f"{name}: {atoms.get_chemical_formula()}, {len(atoms)} atoms, {groups}."


def describe_relaxation(result: RelaxResult) -> str:
    """Return what a relaxation did."""
    return (
        f"Relaxed in {result.steps} steps to {result.residual_force:.1e} eV/A: energy {result.energy_change:+.6f} eV, "
        f"volume {100 * result.volume_change:+.3f} %, {'; '.join(str(group) for group in result.final_groups)}."
    )


def describe_modes(modes: CommensurateModes) -> str:
    """Return the lowest of the frequencies at commensurate q-points."""
    return (
        f"Lowest frequency at the {len(modes.qpoints)} commensurate q-points, translations left out: "
        f"{modes.lowest:.4f} THz."
    )


def describe_plan(phonon: Phonopy, atoms: Atoms, calculator: BaseCalculator, method: str) -> str:
    """Return size and estimated cost of a run, from one evaluation of the unit cell.

    Displaced supercells: time and memory of a short-ranged potential grow with the number of atoms, and both are scaled
    so, on top of what the process holds already. Linear response: each atom that moves costs what the one with the most
    displacements does, which are computed together.
    """
    count, size = len(phonon.displacements), len(phonon.supercell)
    if method == "linear-response":
        number, moves, runs = _largest(phonon)
        work, scale, measured = _response(atoms, calculator, number, moves), 1.0, "Response to one atom"
    else:
        work, scale, measured = _evaluation(atoms, calculator), size / len(atoms), "Evaluation of the unit cell"
        runs = count + 1  # one of them is at rest
    seconds, held, grown = _cost(work, f"the unit cell ({atoms.get_chemical_formula()})")
    constants = 8 * 9 * len(phonon.primitive) * size * 3
    memory = "unknown here" if held is None else f"{(held + grown * scale + constants) / _GIGABYTE:.1f} GB"
    return "\n".join(
        [
            f"Displacements: {count}, in a supercell of {size} atoms ({len(phonon.primitive)} in the primitive cell)",
            f"Method: {method}",
            f"Space group used: {phonon.symmetry.get_international_table()} at {phonon.symmetry.tolerance:g} A",
            f"{measured}: {seconds:.2f} s",
            f"Estimated time of the force constants: {_duration(runs * seconds * scale)}",
            f"Estimated peak memory: {memory}",
            "Nothing was computed or written.",
        ]
    )


def summarise(phonons: PhononResult, atoms: Atoms, result: ForceConstantsResult) -> str:
    """Return a table of the main results, per primitive cell."""
    room = int(np.argmin(np.abs(phonons.temperatures - 300)))
    temperature = float(phonons.temperatures[room])
    weights = phonons.weights[:, None] / phonons.weights.sum()
    imaginary = float((weights * (phonons.frequencies < -1e-3)).sum())
    rows = [
        ("Space group", str(find_space_group(atoms, LOOSE))),
        ("Volume of the cell given", f"{atoms.get_volume():.3f} A^3"),
        ("Force constants", f"{result.evaluations} displacements, {result.method}"),
        (
            "Largest residual force",
            "from file" if result.residual_force is None else f"{result.residual_force:.1e} eV/A",
        ),
        ("Lowest and highest frequency", f"{phonons.frequencies.min():.3f} and {phonons.frequencies.max():.3f} THz"),
        ("Imaginary modes per q-point", f"{imaginary:.3f}"),
        ("Zero-point energy", f"{_at_zero(phonons)} kJ/mol"),
        (f"Free energy at {temperature:g} K", f"{phonons.free_energy[room]:.3f} kJ/mol"),
        (f"Entropy at {temperature:g} K", f"{phonons.entropy[room]:.3f} J/K/mol"),
        (f"Heat capacity at {temperature:g} K", f"{phonons.heat_capacity[room]:.3f} J/K/mol"),
    ]
    width = max(len(name) for name, _ in rows)
    mesh = " x ".join(str(n) for n in phonons.mesh)
    return "\n".join([f"Phonons on a {mesh} mesh, per primitive cell", *(f"  {n:<{width}}  {v}" for n, v in rows)])


def _at_zero(phonons: PhononResult) -> str:
    at_zero = np.flatnonzero(phonons.temperatures == 0)
    return f"{phonons.free_energy[at_zero[0]]:.3f}" if len(at_zero) else "not asked"


def _evaluation(atoms: Atoms, calculator: BaseCalculator) -> Callable[[], None]:
    moving = atoms.copy()
    moving.calc = calculator

    def work() -> None:
        moving.positions[0] += 1e-3
        moving.get_forces()

    return work


def _largest(phonon: Phonopy) -> tuple[int, Array, int]:
    """Return the atom of the unit cell with the most displacements, these in A, and how many atoms are displaced."""
    moves_of = find_moves(phonon)
    number = max(moves_of, key=lambda moved: len(moves_of[moved][0]))
    supercell = phonon.supercell
    return int(supercell.u2u_map[int(supercell.s2u_map[number])]), moves_of[number][1], len(moves_of)


def _response(atoms: Atoms, calculator: BaseCalculator, index: int, moves: Array) -> Callable[[], None]:
    assert isinstance(calculator, SupportsLinearResponse)

    def work() -> None:
        calculator.atom_response(atoms, index, moves)

    return work


def _cost(work: Callable[[], None], on: str) -> tuple[float, float | None, float]:
    """Return seconds of some work, bytes that the process held before (if that can be known), and its growth."""
    with calling(on):
        before = _peak_memory()
        work()
        after = _peak_memory()
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
    return seconds, before, 0.0 if before is None or after is None else after - before


def _peak_memory() -> float | None:
    try:
        import resource
    except ImportError:
        return None
    scale = 1 if sys.platform == "darwin" else 1024
    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak * scale)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
