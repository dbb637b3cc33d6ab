"""What a calculator gives for frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ...errors import MaceMofError, TrainingError
from ...frames import Labels
from ..label.compute import compute_labels

ENERGY, FORCES, STRESS = "predicted_energy", "predicted_forces", "predicted_stress"
"""Names in a file of frames."""


def predict(frames: Sequence[Atoms], calculator: BaseCalculator) -> list[Labels]:
    """Compute energies, forces and, of periodic frames, stresses, several frames at once where the calculator can.

    Raises
    ------
    TrainingError
        The calculator failed; says on which frame, where it does one at a time.
    """
    structures = [Atoms(each.numbers, positions=each.positions, cell=each.cell, pbc=each.pbc) for each in frames]
    if hasattr(calculator, "calculate_batch"):
        return [_make_labels(results) for results in calculator.calculate_batch(structures)]
    return [_predict_one(atoms, frame, calculator) for atoms, frame in zip(structures, frames, strict=True)]


def attach_prediction(atoms: Atoms, predicted: Labels) -> Atoms:
    """Return a copy of a frame that carries what was computed for it besides its labels."""
    carrying: Atoms = atoms.copy()
    carrying.info[ENERGY] = predicted.energy
    carrying.arrays[FORCES] = predicted.forces
    if predicted.stress is not None:
        carrying.info[STRESS] = predicted.stress
    return carrying


def get_prediction(atoms: Atoms) -> Labels:
    """Return what `attach_prediction` attached."""
    return Labels(float(atoms.info[ENERGY]), atoms.arrays[FORCES], atoms.info.get(STRESS))


def _predict_one(atoms: Atoms, frame: Atoms, calculator: BaseCalculator) -> Labels:
    try:
        return compute_labels(atoms, calculator)
    except MaceMofError:
        raise
    except Exception as error:  # of anybody's calculator
        title = frame.info.get("name", frame.get_chemical_formula())
        raise TrainingError(
            f"The calculator failed on frame {title}", f"{type(error).__name__}: {error}", "Leave it out"
        ) from error


def _make_labels(results: dict[str, Any]) -> Labels:
    stress = results.get("stress")
    return Labels(
        float(results.get("free_energy", results["energy"])),
        np.array(results["forces"]),
        None if stress is None else np.array(stress).ravel(),
    )
