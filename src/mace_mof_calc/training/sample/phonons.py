"""Displacements along the vibrations of a crystal: all of them as heat has them, or the softest one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.md.velocitydistribution import phonon_harmonics

from .crystals import make_frame
from .physical import evaluate_forces

Array = np.ndarray[Any, Any]

_DISPLACEMENT = 0.01  # Angstrom
_THZ = 1e12 * 2 * np.pi / units.s  # angular frequency of 1 THz in ASE's units


@dataclass(frozen=True, slots=True, eq=False)
class Modes:
    """Vibrations of a cell at Gamma, without the translations.

    Attributes
    ----------
    frequencies : ndarray, shape=(3 * natoms - 3,)
        THz, ascending, those of imaginary modes negative.
    vectors : ndarray, shape=(3 * natoms - 3, natoms, 3)
        Orthonormal, in coordinates times the square root of the mass.
    stiffness : ndarray, shape=(3 * natoms, 3 * natoms)
        The Hessian with each frequency replaced by its absolute value, and softer ones than a smallest by that;
        eV/Angstrom^2.
    floor : float
        That smallest one, THz.
    """

    frequencies: Array
    vectors: Array
    stiffness: Array
    floor: float


def compute_rows(crystal: Atoms, index: int, calculator: BaseCalculator) -> Array:
    """Compute the rows of the Hessian that belong to an atom, whose periodic images move with it.

    By differentiation where the calculator can (``force_response``, as `mace_mof_calc.MaceMOF` has it), else by central
    differences of 0.01 Angstrom.

    Returns
    -------
    ndarray, shape=(3, natoms, 3)
        eV/Angstrom^2.
    """
    moves = np.zeros((3, len(crystal), 3))
    moves[range(3), index, range(3)] = 1.0
    if getattr(calculator, "has_linear_response", False) and hasattr(calculator, "force_response"):
        exact: Array = -calculator.force_response(crystal, moves)
        return exact
    rows = np.empty_like(moves)
    for row, move in zip(rows, moves, strict=True):
        there, back = crystal.copy(), crystal.copy()
        there.positions += _DISPLACEMENT * move
        back.positions -= _DISPLACEMENT * move
        row[:] = (evaluate_forces(back, calculator) - evaluate_forces(there, calculator)) / (2 * _DISPLACEMENT)
    return rows


def make_modes(hessian: Array, masses: Array, floor: float) -> Modes:
    """Diagonalise a Hessian, translations projected out.

    Parameters
    ----------
    hessian : ndarray, shape=(3 * natoms, 3 * natoms)
        eV/Angstrom^2.
    masses : ndarray, shape=(natoms,)
        u.
    floor : float
        Smallest frequency that displacements are drawn with, THz.
    """
    roots = np.sqrt(masses).repeat(3)
    translations = np.linalg.qr(np.tile(np.eye(3), (len(masses), 1)) * roots[:, None])[0]
    rest = np.eye(len(roots)) - translations @ translations.T
    dynamical = rest @ ((hessian + hessian.T) / 2 / np.outer(roots, roots)) @ rest
    # Far above every vibration, translations are the last three, whatever is soft or imaginary.
    far = 10.0 * np.abs(dynamical).sum(axis=1).max() + 1.0
    squares, vectors = np.linalg.eigh(dynamical + far * translations @ translations.T)
    squares, vectors = squares[:-3], vectors[:, :-3]
    frequencies = np.sign(squares) * np.sqrt(np.abs(squares)) / _THZ
    bounded = (np.maximum(np.abs(frequencies), floor) * _THZ) ** 2
    stiffness = (vectors * bounded) @ vectors.T * np.outer(roots, roots)
    return Modes(frequencies, vectors.T.reshape(-1, len(masses), 3), stiffness, floor)


def make_thermal(
    crystal: Atoms, *, modes: Modes, count: int, temperature: float, random: np.random.Generator, quantum: bool = False
) -> list[Atoms]:
    """Draw displacements from the harmonic crystal at a temperature, the centre of mass at rest.

    Parameters
    ----------
    crystal : Atoms
    modes : Modes
    count : int
        How many frames.
    temperature : float
        K.
    random : numpy.random.Generator
    quantum : bool, optional
        With the width of quantum oscillators, zero-point motion and all, rather than of classical ones.

    Notes
    -----
    Drawn by ASE's `phonon_harmonics` (D. West, S. K. Estreicher, Phys. Rev. Lett. 96, 115504 (2006)).
    """
    frames = []
    for number in range(count):
        shift, _ = phonon_harmonics(
            modes.stiffness, crystal.get_masses(), temperature_K=temperature, rng=random.random, quantum=quantum
        )
        frame = make_frame(crystal, crystal.info["source"], "phonons", f"{temperature:g}K-{number}")
        frame.positions += shift
        frames.append(frame)
    return frames


def make_soft(crystal: Atoms, *, modes: Modes, count: int, temperature: float) -> list[Atoms]:
    """Displace the lowest modes one by one, forth and back, to where their harmonic energy is kT.

    Parameters
    ----------
    crystal : Atoms
    modes : Modes
    count : int
        How many modes.
    temperature : float
        K.
    """
    masses = crystal.get_masses()[:, None]
    frames = []
    for number, (frequency, vector) in enumerate(zip(modes.frequencies[:count], modes.vectors, strict=False)):
        amplitude = np.sqrt(2 * units.kB * temperature) / (_THZ * max(abs(frequency), modes.floor))
        # An eigenvector's sign is arbitrary, and the order of its two frames ought not to be.
        sign = np.sign(vector.flat[np.abs(vector).argmax()])
        for name, side in (("+", sign), ("-", -sign)):
            frame = make_frame(crystal, crystal.info["source"], "soft", f"{temperature:g}K-{number}{name}")
            frame.positions += side * amplitude * vector / np.sqrt(masses)
            frames.append(frame)
    return frames
