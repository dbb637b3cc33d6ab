"""Energies, forces and stresses of the same structures by two methods."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import find_mic
from ase.io import read

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.compare.deviation import Deviation, deviation
from phonopy_mlp.errors import StructureError
from phonopy_mlp.evaluator import calling
from phonopy_mlp.structures import check_exists

_QUANTITIES = ("energy", "forces", "stress")
_SAME_PLACE = 1e-3
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Parity:
    """One quantity by both methods.

    Attributes
    ----------
    a, b : ndarray
        Its values. Same shape.

    """

    a: Array
    b: Array

    def deviation(self) -> Deviation | None:
        """Return how far B is from A."""
        return deviation(self.b - self.a)


@dataclass(frozen=True, slots=True)
class LabelComparison:
    """Energies, forces and stresses of some structures by two methods, each where both have it.

    Attributes
    ----------
    structures : int
        Number of structures.
    energies : Parity or None
        In eV. shape of each=(structures,)
    energies_per_atom : Parity or None
        In eV. shape of each=(structures,)
    forces : dict of str to Parity
        All components on the atoms of an element, in eV/A; empty where forces are not known.
        shape of each=(3 atoms,)
    stresses : Parity or None
        All six components in ASE's sign and order, in eV/A^3. shape of each=(structures, 6)

    """

    structures: int
    energies: Parity | None
    energies_per_atom: Parity | None
    forces: dict[str, Parity]
    stresses: Parity | None

    @property
    def all_forces(self) -> Parity | None:
        """The forces of all elements, in eV/A. shape of each=(3 atoms,)."""
        if not self.forces:
            return None
        return Parity(*(np.concatenate([getattr(each, side) for each in self.forces.values()]) for side in "ab"))

    def deviations(self) -> dict[str, Deviation]:
        """Return how far B is from A in each quantity that is known."""
        known = {
            "energy (eV)": self.energies,
            "energy per atom (eV)": self.energies_per_atom,
            "forces (eV/A)": self.all_forces,
            **{f"forces on {element} (eV/A)": parity for element, parity in self.forces.items()},
            "stress (eV/A^3)": self.stresses,
        }
        found = {name: parity.deviation() for name, parity in known.items() if parity is not None}
        return {name: each for name, each in found.items() if each is not None}

    def describe(self) -> dict[str, Any]:
        """Return deviations as plain data."""
        return {
            "structures": self.structures,
            **{name: each.describe(_DIGITS) for name, each in self.deviations().items()},
        }


def compare_labels(a: Sequence[Atoms], b: Sequence[Atoms] | BaseCalculator) -> LabelComparison:
    """Compare energies, forces and stresses of the same structures.

    Parameters
    ----------
    a : sequence of Atoms
        With results of a calculator, as ASE reads them from an extxyz file.
    b : sequence of Atoms or BaseCalculator
        The same structures with other results, or a calculator that computes all that `a` has.

    Raises
    ------
    StructureError
        The two are not the same structures, have no quantity in common, or one that is not a finite number.
    CalculatorError
        The calculator failed.

    """
    theirs = _computed(a, b) if isinstance(b, BaseCalculator) else list(b)
    if len(a) != len(theirs):
        raise _different(f"there are {len(a)} of one and {len(theirs)} of the other")
    for k, (one, other) in enumerate(zip(a, theirs, strict=True)):
        if not same_structure(one, other):
            raise _different(f"number {k + 1} ({one.get_chemical_formula()}) is not the same in both")
    labels = [(results_of(one), results_of(other)) for one, other in zip(a, theirs, strict=True)]
    known = {name for name in _QUANTITIES if all(name in one and name in other for one, other in labels)}
    if not known:
        raise StructureError(
            "The structures have no energies, forces or stresses in common",
            "there is nothing to compare",
            "Give files that both have them for every structure",
        )
    for k, pair in enumerate(labels):
        for name in known:
            if not all(side[name].dtype.kind in "if" and np.isfinite(side[name]).all() for side in pair):
                raise StructureError(
                    f"Number {k + 1} ({a[k].get_chemical_formula()}) cannot be compared",
                    f"its {name} is not a finite number in both",
                    "Leave the structure out, or compute it again",
                )
    values = {name: [[side[name] for side in sides] for sides in zip(*labels, strict=True)] for name in known}
    energies = _parity(values["energy"]) if "energy" in known else None
    sizes = np.array([len(atoms) for atoms in a])
    return LabelComparison(
        structures=len(a),
        energies=energies,
        energies_per_atom=None if energies is None else Parity(frozen(energies.a / sizes), frozen(energies.b / sizes)),
        forces=_by_element(a, values["forces"]) if "forces" in known else {},
        stresses=_parity(values["stress"]) if "stress" in known else None,
    )


def read_labelled(path: Path) -> list[Atoms]:
    """Read all structures of a file with what it knows of their energies, forces and stresses.

    Raises
    ------
    StructureError
        The file is missing or does not parse.

    """
    check_exists(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read(path, index=":", do_not_split_by_at_sign=True)
    except Exception as error:
        raise StructureError(
            f"'{path}' cannot be read", f"it does not parse ({type(error).__name__}: {error})", "Write it again"
        ) from error
    return list(found)


def results_of(atoms: Atoms) -> dict[str, Array]:
    """Return the energy (eV), forces (eV/A) and stress (eV/A^3) that came with a structure, where it has them."""
    results = {} if atoms.calc is None else atoms.calc.results
    return {name: np.asarray(results[name]) for name in _QUANTITIES if results.get(name) is not None}


def same_structure(a: Atoms, b: Atoms) -> bool:
    """Return whether two structures have the same cell and the same atoms, in order, at the same places."""
    if not np.array_equal(a.numbers, b.numbers) or np.abs(a.cell.array - b.cell.array).max() > _SAME_PLACE:
        return False
    away = find_mic(a.positions - b.positions, a.cell, a.pbc)[1] if len(a) else np.zeros(1)
    return bool(away.max() < _SAME_PLACE)


def _computed(structures: Sequence[Atoms], calculator: BaseCalculator) -> list[Atoms]:
    """Return the structures with what a calculator has to say of each quantity that they have already."""
    found = []
    for atoms in structures:
        copy = atoms.copy()
        names = [name for name in results_of(atoms) if name in calculator.implemented_properties]
        with calling(f"a structure ({atoms.get_chemical_formula()})"):
            results = {name: calculator.get_property(name, copy) for name in names}
        copy.calc = SinglePointCalculator(copy, **results)
        found.append(copy)
    return found


def _by_element(structures: Sequence[Atoms], forces: Sequence[Sequence[Array]]) -> dict[str, Parity]:
    symbols = np.concatenate([atoms.get_chemical_symbols() for atoms in structures])
    both = [np.concatenate(side) for side in forces]
    return {
        str(element): Parity(*(frozen(side[symbols == element].ravel()) for side in both))
        for element in dict.fromkeys(symbols)
    }


def _parity(sides: Sequence[Sequence[Array]]) -> Parity:
    return Parity(*(frozen(np.array(side)) for side in sides))


def _different(reason: str) -> StructureError:
    return StructureError(
        "Energies and forces of different structures cannot be compared",
        reason,
        "Give the same structures, in the same order",
    )
