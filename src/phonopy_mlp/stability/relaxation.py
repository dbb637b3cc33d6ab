"""Relaxations of crystals that are to become stable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.units import GPa

from phonopy_mlp.relax import Cell, relax
from phonopy_mlp.stability.descent import descend
from phonopy_mlp.stability.noise import SIGMAS, measure_scatter
from phonopy_mlp.structures import bare, structure_digest
from phonopy_mlp.symmetry import symmetrise
from phonopy_mlp.unfinished import Unfinished

ENERGY_NOISE = 1e-9
"""Energy in eV per atom that no difference can be trusted to: what an atom at 1e-6 eV/A is above its minimum where the
stiffness is 5e-4 eV/A^2."""

_NOISE_DISTANCE = 0.01
"""Distance in A over which a force noise makes a noise of energy."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """How structures are relaxed, and where finished relaxations are kept.

    Attributes
    ----------
    calculator, fmax, max_steps, cell, pressure
        As of `relax`.
    unfinished : Unfinished or None
        Keeps finished relaxations.
    energy_noise : float
        In eV per atom; smaller differences mean nothing.
    on_step : callable or None
        As of `relax`.
    symmetrise : float or None
        Tolerance (A) at which what is relaxed is projected onto its space group and relaxed again within.

    """

    calculator: BaseCalculator
    fmax: float
    max_steps: int
    cell: Cell
    pressure: float
    unfinished: Unfinished | None
    energy_noise: float
    on_step: Callable[[int, float], None] | None = None
    symmetrise: float | None = None

    def run(self, atoms: Atoms, fixed: Sequence[int], *, below: float | None = None) -> tuple[Atoms, float]:
        """Return the relaxed structure and its energy in eV per atom, with the work of the pressure.

        Where an energy per atom is given, the structure slides below it first.
        """
        settings: dict[str, Any] = {
            "fmax": self.fmax,
            "max_steps": self.max_steps,
            "cell": self.cell,
            "pressure": self.pressure,
            "fixed": [int(k) for k in fixed],
        }
        section, name = None, f"relaxed-{structure_digest(atoms).removeprefix('sha256:')[:16]}"
        if self.unfinished is not None:
            section = self.unfinished.section(
                self.calculator,
                relaxation=settings | ({} if self.symmetrise is None else {"symmetrise": self.symmetrise}),
                below=below,
                masses=atoms.get_masses(),
            )
            kept = section.get(name)
            if kept is not None:
                relaxed = bare(atoms)
                relaxed.set_cell(kept["cell"])
                relaxed.positions = kept["positions"]
                return relaxed, float(kept["energy"])
        started = atoms
        if below is not None:
            started = descend(
                atoms,
                self.calculator,
                below=below * len(atoms),
                fmax=self.fmax,
                cell=self.cell,
                pressure=self.pressure,
                fixed=fixed,
            )
        result = relax(started, self.calculator, **settings, on_step=self.on_step)
        if self.symmetrise is not None:
            # Symmetry within the last digits of a relaxation is none to phonopy, which displaces distinct atoms alone.
            symmetric = symmetrise(result.atoms, self.symmetrise)
            within = {**settings, "fix_symmetry": self.symmetrise}
            result = relax(symmetric, self.calculator, **within, on_step=self.on_step)
        relaxed = result.atoms
        energy = self.with_pressure(result.energy, relaxed) / len(relaxed)
        if section is not None:
            section.keep(name, cell=relaxed.cell.array, positions=relaxed.positions, energy=energy)
        return relaxed, energy

    def with_pressure(self, energy: float, atoms: Atoms) -> float:
        """Return the energy in eV with the work of the pressure."""
        return energy + self.pressure * GPa * float(atoms.get_volume())


def estimate_energy_noise(atoms: Atoms, calculator: BaseCalculator, unfinished: Unfinished | None = None) -> float:
    """Return the difference of energies in eV per atom that means nothing; as `measure_scatter`.

    Raises
    ------
    CalculatorError
        The calculator failed.

    """
    scatter = measure_scatter(atoms, calculator, unfinished)
    return max(ENERGY_NOISE, _NOISE_DISTANCE * scatter.forces, SIGMAS * float(np.sqrt(2)) * scatter.energy)


def not_lower(change: float) -> str:
    """Return the reason of a rejected step whose energy per atom changed by so much (eV)."""
    return f"relaxed to {change:+.2e} eV per atom, which is not lower"
