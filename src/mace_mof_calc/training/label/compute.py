"""Labels of one frame by a calculator."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculationFailed

from ...frames import ENERGY, FORCES, STRESS, Labels, attach_labels


def compute_labels(atoms: Atoms, calculator: BaseCalculator) -> Labels:
    """Compute energy, forces and stress.

    The energy is the one that the forces are the derivative of: ``free_energy`` where the calculator has it. The stress
    is left out where the frame is not periodic along all axes, or the calculator has none.

    Raises
    ------
    CalculationFailed
        A result is not a finite number.
    Exception
        Whatever the calculator raises.
    """
    work = atoms.copy()
    work.set_constraint()  # ASE would take away the forces on what is fixed
    work.calc = calculator
    known = calculator.implemented_properties
    forces = work.get_forces()
    energy = float(work.get_potential_energy(force_consistent="free_energy" in known))
    stress = work.get_stress() if work.pbc.all() and "stress" in known else None
    results = {"energy": energy, "forces": forces, "stress": 0.0 if stress is None else stress}
    wrong = [name for name, value in results.items() if not np.isfinite(value).all()]
    if wrong:
        raise CalculationFailed(f"{' and '.join(wrong)} not finite")
    return Labels(energy, np.array(forces), stress)


def label_frame(atoms: Atoms, labels: Labels, level_of_theory: str) -> Atoms:
    """Return a copy of a frame with these labels, and no others, that says how they were computed."""
    bare = atoms.copy()
    for name, place in ((ENERGY, bare.info), (STRESS, bare.info), (FORCES, bare.arrays)):
        place.pop(name, None)
    bare.info["level_of_theory"] = level_of_theory
    return attach_labels(bare, labels)
