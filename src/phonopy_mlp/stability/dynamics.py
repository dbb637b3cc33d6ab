"""Removal of imaginary modes by molecular dynamics at low temperature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.md.verlet import VelocityVerlet

from phonopy_mlp.evaluator import calling
from phonopy_mlp.stability.proposals import Problem, Proposal, cell_of_lowest_mode, find_images
from phonopy_mlp.structures import bare

Array = np.ndarray[Any, Any]


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

    """

    temperature: float = 10.0
    steps: int = 40
    timestep: float = 1.0
    held: tuple[str, ...] = ()
    name = "md"

    def propose(self, problem: Problem) -> Iterator[Proposal]:
        """Yield where the atoms are in the end."""
        start, rows, mode = cell_of_lowest_mode(problem)
        still = {*np.flatnonzero(np.isin(start.get_chemical_symbols(), self.held)).tolist()}
        still |= {*find_images(problem.fixed, problem.atoms, start).tolist()}
        moving = bare(start)
        moving.set_constraint(FixAtoms(indices=sorted(still)))
        moving.set_momenta(self._draw_momenta(moving, problem.seed, drift=bool(still)))
        moving.calc = problem.calculator
        with calling(f"molecular dynamics of {moving.get_chemical_formula()}"):
            dynamics = VelocityVerlet(moving, timestep=self.timestep * units.fs).irun(self.steps)
            for _ in problem.progress(dynamics, self.steps + 1, "Molecular dynamics"):
                pass
        largest = float(np.linalg.norm(moving.positions - start.positions, axis=1).max())
        yield Proposal(bare(moving), rows, mode, amplitude=largest, seed=problem.seed)

    def _draw_momenta(self, atoms: Atoms, seed: int, *, drift: bool) -> Array:
        """Return momenta of the Maxwell-Boltzmann distribution in ASE's units; without drift they add up to zero."""
        masses = atoms.get_masses()[:, None]
        spread = np.sqrt(units.kB * self.temperature * masses)
        momenta: Array = np.random.default_rng(seed).normal(size=(len(atoms), 3)) * spread
        return momenta if drift else momenta - momenta.sum(axis=0) * masses / masses.sum()
