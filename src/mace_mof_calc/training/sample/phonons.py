"""Displacements along the vibrations of a crystal: all of them as heat has them, or the softest one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.velocitydistribution import phonon_harmonics

from ..modes import THZ, Modes
from .crystals import make_frame

Array = np.ndarray[Any, Any]


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
        amplitude = np.sqrt(2 * units.kB * temperature) / (THZ * max(abs(frequency), modes.floor))
        # An eigenvector's sign is arbitrary, and the order of its two frames ought not to be.
        sign = np.sign(vector.flat[np.abs(vector).argmax()])
        for name, side in (("+", sign), ("-", -sign)):
            frame = make_frame(crystal, crystal.info["source"], "soft", f"{temperature:g}K-{number}{name}")
            frame.positions += side * amplitude * vector / np.sqrt(masses)
            frames.append(frame)
    return frames
