"""Removal of imaginary modes by molecular dynamics at low temperature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.data import chemical_symbols
from ase.md.verlet import VelocityVerlet

from phonopy_mlp.errors import ConvergenceError, SettingsError
from phonopy_mlp.evaluator import calling
from phonopy_mlp.stability.proposals import Problem, Proposal, cell_of_lowest_mode, check_size, find_images
from phonopy_mlp.structures import bare

Array = np.ndarray[Any, Any]

_FARTHEST = 10.0
"""Distance in A that no atom goes at a low temperature: positions beyond it, or none at all, end a calculator badly."""


@dataclass(frozen=True, slots=True)
class Dynamics:
    """Let atoms move at constant energy, in the smallest supercell in which the lowest unstable mode can grow.

    Attributes
    ----------
    temperature : float
        In K, of the initial velocities; the paper used 7.5 to 10.
    steps : int
        The paper used at least 40.
    timestep : float
        In fs.
    held : tuple of str
        Chemical symbols of atoms that do not move.

    Raises
    ------
    SettingsError
        The temperature is not positive or above 1000 K, there are no steps, the time step is not positive or longer
        than 10 fs, or a symbol is none of an element.

    """

    temperature: float = 10.0
    steps: int = 40
    timestep: float = 1.0
    held: tuple[str, ...] = ()
    name = "md"

    def __post_init__(self) -> None:
        check_size("Molecular dynamics at a temperature", self.temperature, "K", most=1000.0, example="10")
        check_size("Molecular dynamics with a time step", self.timestep, "fs", most=10.0, example="1")
        if self.steps < 1:
            raise SettingsError(f"Molecular dynamics of {self.steps} steps", "at least one is needed", "Give 40")
        unknown = [symbol for symbol in self.held if symbol not in chemical_symbols[1:]]
        if unknown:
            raise SettingsError(
                f"Held atoms '{unknown[0]}'", "this is no chemical symbol", "Give a tuple of such, for example ('Zr',)"
            )

    def check_held(self, atoms: Atoms) -> None:
        """Raise `SettingsError` where a structure has none of the atoms that are to be held, or no others."""
        present = dict.fromkeys(atoms.symbols)
        absent = [symbol for symbol in self.held if symbol not in present]
        if absent or present.keys() <= {*self.held}:
            raise SettingsError(
                f"Held atoms {', '.join(self.held)}",
                f"there is no {absent[0]} in the structure" if absent else "there are no others that could move",
                f"Give some of {', '.join(present)}",
            )

    def propose(self, problem: Problem) -> Iterator[Proposal]:
        """Yield where the atoms are in the end.

        Raises
        ------
        ConvergenceError
            An atom went farther than 10 A, or there are no forces any more.

        """
        start, rows, mode = cell_of_lowest_mode(problem)
        still = {*np.flatnonzero(np.isin(start.get_chemical_symbols(), self.held)).tolist()}
        still |= {*find_images(problem.fixed, problem.atoms, start).tolist()}
        moving = bare(start)
        moving.set_constraint(FixAtoms(indices=sorted(still)))
        moving.set_momenta(self._draw_momenta(moving, problem.seed, drift=bool(still)))
        moving.calc = problem.calculator
        with calling(f"molecular dynamics of {moving.get_chemical_formula()}"):
            steps = VelocityVerlet(moving, timestep=self.timestep * units.fs).irun(self.steps)
            for _ in problem.progress(steps, self.steps + 1, "Molecular dynamics"):
                largest = float(np.linalg.norm(moving.positions - start.positions, axis=1).max())
                if not (largest <= _FARTHEST and np.isfinite(moving.get_momenta()).all()):
                    raise ConvergenceError(
                        "Molecular dynamics broke down",
                        f"atoms fly apart at {self.temperature:g} K in steps of {self.timestep:g} fs",
                        "Use a shorter time step, or check whether the model covers this structure",
                    )
        yield Proposal(bare(moving), rows, mode, amplitude=largest, seed=problem.seed)

    def _draw_momenta(self, atoms: Atoms, seed: int, *, drift: bool) -> Array:
        """Return momenta of the Maxwell-Boltzmann distribution in ASE's units; without drift they add up to zero."""
        masses = atoms.get_masses()[:, None]
        spread = np.sqrt(units.kB * self.temperature * masses)
        momenta: Array = np.random.default_rng(seed).normal(size=(len(atoms), 3)) * spread
        return momenta if drift else momenta - momenta.sum(axis=0) * masses / masses.sum()
