"""Forces of phonopy's displacements from exact derivatives in the crystal without end, folded onto its supercell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import Supercell

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.evaluator import Progress, calling, silent
from phonopy_mlp.protocols import SupportsLinearResponse
from phonopy_mlp.structures import from_phonopy
from phonopy_mlp.unfinished import Section

Array = np.ndarray[Any, Any]

_SAME_CELL = 1e-3


def offers_linear_response(calculator: BaseCalculator) -> bool:
    """Return whether a calculator differentiates its forces itself."""
    return isinstance(calculator, SupportsLinearResponse) and calculator.has_linear_response


def find_moves(phonon: Phonopy) -> dict[int, tuple[list[int], Array]]:
    """Return which displacements move each displaced atom of the supercell, and these in A, shape=(count, 3).

    Raises
    ------
    SettingsError
        The displacements move several atoms at once.

    """
    dataset = phonon.dataset
    if dataset is None or "first_atoms" not in dataset:
        raise SettingsError(
            "Linear response of random displacements",
            "it moves one atom at a time",
            "Use --fc-method finite-displacement",
        )
    displacements: Sequence[Mapping[str, Any]] = cast("Any", dataset)["first_atoms"]
    by_atom: dict[int, list[int]] = {}
    for k, displaced in enumerate(displacements):
        by_atom.setdefault(int(displaced["number"]), []).append(k)
    return {
        number: (chosen, np.array([displacements[k]["displacement"] for k in chosen]))
        for number, chosen in by_atom.items()
    }


def linear_forces(
    phonon: Phonopy, calculator: BaseCalculator, *, progress: Progress = silent, section: Section | None = None
) -> tuple[Array, Array]:
    """Return the forces of phonopy's displaced supercells to first order in the displacement.

    Each displaced atom stands alone in a crystal without end; the forces on all images of an atom of the supercell add
    up. The cost does not depend on the size of the supercell.

    Parameters
    ----------
    phonon : Phonopy
        With displacements of one atom at a time.
    calculator : BaseCalculator
        One that `SupportsLinearResponse`.
    progress : Progress, optional
        Shows how far the work has come.
    section : Section, optional
        Keeps each finished atom, and has those that were finished before.

    Returns
    -------
    forces : ndarray
        eV/A. shape=(displacements, atoms in supercell, 3)
    at_rest : ndarray
        Forces on the atoms of the undisplaced unit cell, eV/A; they are not in `forces`. shape=(atoms in unit cell, 3)

    Raises
    ------
    CalculatorError
        The calculator failed.
    SettingsError
        The displacements move several atoms at once.

    """
    assert isinstance(calculator, SupportsLinearResponse)
    moves_of = find_moves(phonon)
    unit_cell = from_phonopy(phonon.unitcell)
    places = _Places(phonon.unitcell, phonon.supercell, phonon.supercell_matrix)
    forces = np.zeros((len(phonon.displacements), len(phonon.supercell), 3))
    with calling(f"the unit cell ({unit_cell.get_chemical_formula()})"):
        unit_cell.calc = calculator
        at_rest = unit_cell.get_forces()
        for number, (chosen, moves) in progress(moves_of.items(), len(moves_of), "Force constants of atoms"):
            kept = None if section is None else section.get(f"atom-{number}")
            if kept is not None:
                forces[chosen] = kept["forces"]
                continue
            atom, cell, response = calculator.atom_response(unit_cell, places.atom_of[number], moves)
            images = places.find(atom, cell + places.cell_of[number])
            for k, own in zip(chosen, response, strict=True):
                np.add.at(forces[k], images, own)
            if section is not None:
                section.keep(f"atom-{number}", forces=forces[chosen])
    return forces, at_rest


class _Places:
    """Where the atoms of a supercell are in the crystal."""

    def __init__(self, unit_cell: PhonopyAtoms, supercell: Supercell, matrix: Array) -> None:
        self._inverse = np.linalg.inv(matrix.T)
        self._volume = round(abs(float(np.linalg.det(matrix))))
        of_unit_cell = {int(k): atom for atom, k in enumerate(supercell.u2s_map)}
        self.atom_of = [of_unit_cell[int(k)] for k in supercell.s2u_map]
        in_unit_cells = supercell.scaled_positions @ matrix.T
        cells = in_unit_cells - unit_cell.scaled_positions[self.atom_of]
        self.cell_of = np.rint(cells).astype(int)
        assert np.abs(cells - self.cell_of).max() < _SAME_CELL
        keys = self._keys(np.array(self.atom_of), self.cell_of)
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]

    def find(self, atom: Array, cell: Array) -> Array:
        """Return the supercell's atoms that stand for some atoms in some cells."""
        keys = self._keys(atom, cell)
        found = np.searchsorted(self._sorted, keys)
        assert np.array_equal(self._sorted[found], keys)
        images: Array = self._order[found]
        return images

    def _keys(self, atom: Array, cell: Array) -> Array:
        """Return a number for each atom and cell, the same for cells that differ by a vector of the supercell."""
        inside = np.rint((cell @ self._inverse) * self._volume).astype(np.int64) % self._volume
        x, y, z = inside.T
        keys: Array = ((np.asarray(atom, dtype=np.int64) * self._volume + x) * self._volume + y) * self._volume + z
        return keys
