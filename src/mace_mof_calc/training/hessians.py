"""Hessians of cells at Gamma: rows of one atom after the other, and the others by symmetry.

A frame carries its Hessian as ``arrays["REF_hessian"]``, shape=(natoms, 9 * natoms), in eV/Angstrom^2: the three rows
that belong to an atom, one behind the other, each with the three components of all atoms in turn.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculationFailed

from ..errors import FramesError
from .sample.physical import evaluate_forces

Array = np.ndarray[Any, Any]

HESSIAN = "REF_hessian"
DISPLACEMENT = 0.01
"""Of central differences, Angstrom."""

TOLERANCE = 1e-4
"""Within which atoms are symmetric, Angstrom."""

_ROWS = ("hessian_x", "hessian_y", "hessian_z")


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """A symmetry of a crystal.

    Attributes
    ----------
    rotation : ndarray, shape=(3, 3)
        Of vectors, as columns.
    images : ndarray of int, shape=(natoms,)
        The atom that each atom comes to lie on.
    """

    rotation: Array
    images: Array


def compute_rows(crystal: Atoms, index: int, calculator: BaseCalculator) -> Array:
    """Compute the rows of the Hessian that belong to an atom, whose periodic images move with it.

    By differentiation where the calculator can (``force_response``, as `mace_mof_calc.MaceMOF` has it), else by central
    differences of `DISPLACEMENT`.

    Returns
    -------
    ndarray, shape=(3, natoms, 3)
        eV/Angstrom^2.

    Raises
    ------
    CalculationFailed
        A number is not finite.
    Exception
        Whatever the calculator raises.
    """
    moves = np.zeros((3, len(crystal), 3))
    moves[range(3), index, range(3)] = 1.0
    if getattr(calculator, "has_linear_response", False) and hasattr(calculator, "force_response"):
        rows: Array = -calculator.force_response(crystal, moves)
    else:
        rows = np.array([_differentiate(crystal, move, calculator) for move in moves])
    if not np.isfinite(rows).all():
        raise CalculationFailed("Hessian not finite")
    return rows


def _differentiate(crystal: Atoms, move: Array, calculator: BaseCalculator) -> Array:
    forces = []
    for side in (-DISPLACEMENT, DISPLACEMENT):
        displaced = crystal.copy()
        displaced.positions += side * move
        forces.append(evaluate_forces(displaced, calculator))
    slope: Array = (forces[0] - forces[1]) / (2 * DISPLACEMENT)
    return slope


def carry_rows(atoms: Atoms, rows: Array) -> Atoms:
    """Return a copy of a frame that carries the rows of one atom; `read_rows` returns them."""
    frame: Atoms = atoms.copy()
    for name, row in zip(_ROWS, rows, strict=True):
        frame.set_array(name, row)
    return frame


def read_rows(frame: Atoms) -> Array:
    """Return what `carry_rows` was given, shape=(3, natoms, 3)."""
    return np.array([frame.arrays[name] for name in _ROWS])


def find_operations(atoms: Atoms) -> list[Operation]:
    """Find the symmetries of a crystal, translations among them; nothing but the identity without spglib.

    Parameters
    ----------
    atoms : Atoms
        Atoms that are not periodic along all axes have no symmetry here.
    """
    identity = Operation(np.eye(3), np.arange(len(atoms)))
    if find_spec("spglib") is None or not atoms.pbc.all():
        return [identity]
    lattice, scaled = atoms.cell.array.T, atoms.get_scaled_positions()
    found = _ask_spglib((lattice.T, scaled, atoms.numbers))
    if found is None:
        return [identity]
    operations = []
    for rotation, translation in zip(found.rotations, found.translations, strict=True):
        apart = (scaled @ rotation.T + translation)[:, None] - scaled
        distances = np.linalg.norm((apart - np.round(apart)) @ lattice.T, axis=2)
        distances[atoms.numbers[:, None] != atoms.numbers] = np.inf
        operations.append(Operation(lattice @ rotation @ np.linalg.inv(lattice), distances.argmin(axis=1)))
    return operations


def _ask_spglib(cell: Any) -> Any:
    """Return what spglib finds, or None; it fails with an error or with a warning, as the process has it."""
    import spglib

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Set OLD_ERROR_HANDLING", category=DeprecationWarning)
        try:
            return spglib.get_symmetry_dataset(cell, symprec=TOLERANCE)
        except spglib.SpglibError:  # atoms that overlap
            return None


def choose_atoms(operations: Sequence[Operation]) -> list[int]:
    """Return one of each set of atoms that are images of each other, the first."""
    return sorted(set(np.min([each.images for each in operations], axis=0).tolist()))


def complete(known: Mapping[int, Array], operations: Sequence[Operation]) -> Array:
    """Make a Hessian of the rows of some atoms, averaged over the symmetries that give the same.

    Parameters
    ----------
    known : mapping of int to ndarray, shape=(3, natoms, 3)
        As `compute_rows` returns them, at least of the atoms that `choose_atoms` returns.
    operations : sequence of Operation

    Returns
    -------
    ndarray, shape=(3 * natoms, 3 * natoms)
        eV/Angstrom^2; symmetric to the noise of the rows.
    """
    size = len(operations[0].images)
    blocks, counts = np.zeros((size, size, 3, 3)), np.zeros(size)
    for index, rows in known.items():
        for each in operations:
            turned = np.einsum("ac,ckd,bd->kab", each.rotation, rows, each.rotation, optimize=True)
            blocks[each.images[index], each.images] += turned
            counts[each.images[index]] += 1
    blocks /= counts[:, None, None, None]
    hessian: Array = blocks.transpose(0, 2, 1, 3).reshape(3 * size, 3 * size)
    return hessian


def attach_hessian(atoms: Atoms, hessian: Array) -> Atoms:
    """Return a copy of a structure that carries its Hessian, shape=(3 * natoms, 3 * natoms)."""
    labelled: Atoms = atoms.copy()
    labelled.arrays[HESSIAN] = np.reshape(hessian, (len(atoms), 9 * len(atoms)))
    return labelled


def get_hessian(atoms: Atoms) -> Array:
    """Return the Hessian of a frame, shape=(3 * natoms, 3 * natoms), eV/Angstrom^2.

    Raises
    ------
    FramesError
        It has none, or one of another size, or one that is not finite.
    """
    title, found = atoms.info.get("name", atoms.get_chemical_formula()), atoms.arrays.get(HESSIAN)
    if found is None:
        raise FramesError(f"Frame {title} has no {HESSIAN}", "", "Label it with 'mace-mof label --hessians'")
    if found.dtype.kind not in "if" or found.size != (3 * len(atoms)) ** 2 or not np.isfinite(found).all():
        raise FramesError(
            f"The {HESSIAN} of frame {title} has the shape {found.shape}, or numbers that are not finite",
            f"Expected {(len(atoms), 9 * len(atoms))}",
            "Label it again",
        )
    hessian: Array = found.reshape(3 * len(atoms), 3 * len(atoms))
    return hessian
