"""Atoms and cells moved at random."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from .crystals import make_frame


def make_rattled(crystal: Atoms, count: int, sigma: float, strain: float, random: np.random.Generator) -> list[Atoms]:
    """Draw displacements of all atoms and strains of the cell from normal distributions.

    Parameters
    ----------
    crystal : Atoms
    count : int
        How many frames.
    sigma : float
        Standard deviation of each coordinate, Angstrom.
    strain : float
        Standard deviation of each component of the strain, which is symmetric.
    random : numpy.random.Generator
    """
    frames = []
    for number in range(count):
        frame = make_frame(crystal, crystal.info["source"], "rattle", str(number))
        lower = np.tril(random.normal(scale=strain, size=(3, 3)))
        frame.set_cell(crystal.cell.array @ (np.eye(3) + lower + np.tril(lower, -1).T), scale_atoms=True)
        frame.positions += random.normal(scale=sigma, size=frame.positions.shape)
        frames.append(frame)
    return frames
