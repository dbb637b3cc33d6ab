"""Molecular dynamics at constant pressure and temperature, in segments that follow on from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator, CalculatorError
from ase.md.langevinbaoab import LangevinBAOAB

from .physical import describe_failure, find_fault
from .settings import Limits

Array = np.ndarray[Any, Any]

#: Times in which the velocities of the atoms and of the cell are forgotten, fs.
FRICTION_TIME, CELL_FRICTION_TIME = 100.0, 500.0

#: Sets the mass of the cell, fs; at 300 K that of MOF-5 oscillates in about a third of it.
CELL_TIME = 1000.0

CELL_MOMENTUM = "cell_momentum"


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A piece of a trajectory.

    Attributes
    ----------
    frames : tuple of Atoms
        One every so many steps. The last has all that the next segment starts from: momenta, and
        ``info["cell_momentum"]``.
    fault : str or None
        Why it ended early.
    """

    frames: tuple[Atoms, ...]
    fault: str | None


def run_segment(
    atoms: Atoms,
    crystal: Atoms,
    calculator: BaseCalculator,
    limits: Limits,
    random: np.random.Generator,
    *,
    temperature: float,
    pressure: float,
    timestep: float,
    steps: int,
    every: int,
) -> Segment:
    """Run Langevin dynamics of the atoms and of all lengths and angles of the cell.

    Cell and forces are looked at after each step, contacts of atoms in frames alone. What is unphysical, or cannot be
    evaluated, ends the run.

    Parameters
    ----------
    atoms : Atoms
        Where to start: the last frame of a segment, or a structure without momenta, which are then drawn.
    crystal : Atoms
        That the limits refer to.
    calculator : BaseCalculator
        With stress.
    limits : Limits
    random : numpy.random.Generator
    temperature : float
        K.
    pressure : float
        GPa.
    timestep : float
        fs.
    steps, every : int
        How many steps, and after how many there is a frame.

    Notes
    -----
    ASE's `LangevinBAOAB` (B. Leimkuhler, C. Matthews, J. Chem. Phys. 138, 174102 (2013); D. Quigley, M. I. J. Probert,
    J. Chem. Phys. 120, 11432 (2004)). It takes cells of any orientation. Its state is no more than positions, cell and
    their momenta, so that segments make the same trajectory as a single piece, to the order of a time step.
    A test has its fluctuations of the volume at ``kT V / B``; those of ASE's `MTKNPT`, which gives nine degrees of
    freedom to the six of a cell that does not turn, were larger.
    """
    running = atoms.copy()
    frames: list[Atoms] = []
    try:
        dynamics = _make_dynamics(running, calculator, random, temperature, pressure, timestep)
        for _ in dynamics.irun(steps):
            due = dynamics.nsteps > 0 and dynamics.nsteps % every == 0
            if fault := find_fault(running, crystal, limits, running.get_forces(), contacts=due):
                return Segment(tuple(frames), fault)
            if due:
                frames.append(running.copy())
                frames[-1].info[CELL_MOMENTUM] = np.array(dynamics.p_eps)
    except CalculatorError as error:
        return Segment(tuple(frames), describe_failure(error))
    return Segment(tuple(frames), None)


def _make_dynamics(
    atoms: Atoms,
    calculator: BaseCalculator,
    random: np.random.Generator,
    temperature: float,
    pressure: float,
    timestep: float,
) -> Any:
    thermal = units.kB * temperature
    cell_momentum = atoms.info.pop(CELL_MOMENTUM, np.zeros((3, 3)))
    if not atoms.has("momenta"):
        atoms.set_momenta(random.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses() * thermal)[:, None])
    atoms.calc = calculator
    dynamics: Any = LangevinBAOAB(
        atoms,
        timestep * units.fs,
        temperature_K=temperature,
        externalstress=-pressure * units.GPa,
        T_tau=FRICTION_TIME * units.fs,
        P_tau=CELL_FRICTION_TIME * units.fs,
        # As Martyna, Tobias and Klein choose it for that time, J. Chem. Phys. 101, 4177 (1994).
        P_mass=(len(atoms) + 1) * thermal * (CELL_TIME * units.fs) ** 2,
        rng=random,
    )
    dynamics.p_eps = np.array(cell_momentum)
    return dynamics
