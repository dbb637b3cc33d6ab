"""Cells as an equation of state passes through them."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from .crystals import make_frame


def make_strained(crystal: Atoms, strains: tuple[float, float], count: int) -> list[Atoms]:
    """Make isotropically strained cells, atoms scaled with them.

    Parameters
    ----------
    crystal : Atoms
    strains : tuple of float
        Smallest and largest strain of the cell lengths: -0.1 and 0.1 are 0.73 and 1.33 times the volume.
    count : int
        How many, equally spaced, both ends among them.
    """
    frames = []
    for number, strain in enumerate(np.linspace(*strains, count)):
        frame = make_frame(crystal, crystal.info["source"], "strain", str(number))
        frame.set_cell(crystal.cell * (1 + strain), scale_atoms=True)
        frames.append(frame)
    return frames
