"""Energies, forces and stresses of phonopy's supercells from any ASE calculator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError
from phonopy.structure.atoms import PhonopyAtoms

from phonopy_mlp.errors import CalculatorError, PhonopyMlpError
from phonopy_mlp.protocols import SupportsBatch
from phonopy_mlp.structures import from_phonopy
from phonopy_mlp.unfinished import Section

Array = np.ndarray[Any, Any]

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Wraps an iterable (items, total, label) to show how far it has come."""

_BATCH_SIZE = 8


def silent(items: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    """Show nothing."""
    return items


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What phonopy calls an MLP, made of an ASE calculator.

    ``phonon.mlp = Evaluator(calculator); phonon.evaluate_mlp()`` fills a phonopy displacement dataset with forces.

    Attributes
    ----------
    calculator : BaseCalculator
        Any ASE calculator. One that `SupportsBatch` gets several structures at a time.
    progress : Progress, optional
        Shows how far an evaluation has come.
    section : Section, optional
        Keeps each finished cell, and has those that were finished before.

    """

    calculator: BaseCalculator
    progress: Progress = silent
    section: Section | None = None

    def evaluate(
        self, cells: Sequence[PhonopyAtoms]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return energies, forces and stresses of phonopy cells.

        Returns
        -------
        energies : ndarray
            Energy per cell in eV. shape=(cells,)
        forces : ndarray
            Forces in eV/A. shape=(cells, atoms, 3)
        stresses : ndarray
            Stresses in eV/A^3 with ASE's sign, ordered xx, yy, zz, xy, yz, zx as phonopy expects. NaN where the
            calculator has no stress. shape=(cells, 6)

        Raises
        ------
        CalculatorError
            The calculator failed or returned numbers that are not finite; says for which cell.

        """
        found: dict[int, tuple[float, Array, Array]] = {}
        if self.section is not None:
            for k in range(len(cells)):
                kept = self.section.get(f"supercell-{k}")
                if kept is not None:
                    found[k] = float(kept["energy"]), kept["forces"], kept["stress"]
        missing = [k for k in range(len(cells)) if k not in found]
        for k, result in self._results(cells, missing):
            found[k] = energy, forces, stress = _unpack(result, k)
            if self.section is not None:
                self.section.keep(f"supercell-{k}", energy=energy, forces=forces, stress=stress)
        energies, all_forces, stresses = zip(*(found[k] for k in range(len(cells))), strict=True)
        return np.array(energies), np.array(all_forces), np.array(stresses)

    def _results(self, cells: Sequence[PhonopyAtoms], missing: Sequence[int]) -> Iterable[tuple[int, dict[str, Any]]]:
        label = "Forces of supercells"
        if isinstance(self.calculator, SupportsBatch):
            batches = [missing[start : start + _BATCH_SIZE] for start in range(0, len(missing), _BATCH_SIZE)]
            for own in self.progress(batches, len(batches), label):
                batch = [from_phonopy(cells[k]) for k in own]
                with calling(f"supercells {own[0] + 1} to {own[-1] + 1} ({batch[0].get_chemical_formula()})"):
                    results = [dict(result) for result in self.calculator.calculate_batch(batch)]
                yield from zip(own, results, strict=True)
            return
        for k in self.progress(missing, len(missing), label):
            yield k, _calculate(self.calculator, from_phonopy(cells[k]), k)


@contextmanager
def calling(on: str) -> Iterator[None]:
    """Turn whatever a calculator raises into a `CalculatorError` that says what it was computing."""
    try:
        yield
    except PhonopyMlpError:
        raise
    except PropertyNotImplementedError as error:
        raise CalculatorError(
            f"The calculator failed on {on}", f"it has no {error or 'such property'}", "Choose one that has"
        ) from error
    except Exception as error:
        raise CalculatorError(
            f"The calculator failed on {on}",
            f"{type(error).__name__}: {error}".rstrip(": "),
            "Check that it can compute this structure at all",
        ) from error


def _calculate(calculator: BaseCalculator, atoms: Atoms, number: int) -> dict[str, Any]:
    properties = [p for p in ("energy", "forces", "stress") if p in calculator.implemented_properties]
    with calling(f"supercell {number + 1} ({atoms.get_chemical_formula()})"):
        return {p: calculator.get_property(p, atoms) for p in properties}


def _unpack(result: dict[str, Any], number: int) -> tuple[float, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    energy, forces = float(result["energy"]), np.asarray(result["forces"], dtype=float)
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise CalculatorError(
            f"The calculator returned an energy or forces that are not finite for supercell {number + 1}",
            "the potential is outside its range there",
            "Check the structure and whether the model covers it",
        )
    stress = np.asarray(result.get("stress", np.full(6, np.nan)), dtype=float)
    return energy, forces, stress[[0, 1, 2, 5, 3, 4]]
