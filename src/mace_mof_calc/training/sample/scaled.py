"""Displacements along the vibrations of a crystal, scaled to given sizes.

At equal energies the force along a mode grows with its frequency, so that soft modes drown in the errors of stiff ones.
Equal forces, and soft modes on their own, show them to a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from ..modes import Modes
from .crystals import make_frame

Array = np.ndarray[Any, Any]

SHARE = 0.15
"""Of the soft modes that move in every other of their combinations."""


def make_alike(
    crystal: Atoms, *, modes: Modes, count: int, sizes: Sequence[float], random: np.random.Generator
) -> list[Atoms]:
    """Draw displacements with equal energies in all modes, as heat has them.

    Parameters
    ----------
    crystal : Atoms
    modes : Modes
        Softer modes, and imaginary ones, are displaced as if they had the floor's frequency.
    count : int
        How many frames.
    sizes : sequence of float
        Root mean square of the Cartesian components of each displacement, Angstrom, in turn.
    random : numpy.random.Generator
    """
    return _draw(
        crystal, "phonons", count, sizes, modes, lambda _: random.normal(size=len(modes.frequencies)) / _floor(modes)
    )


def make_equal(
    crystal: Atoms, *, modes: Modes, count: int, sizes: Sequence[float], random: np.random.Generator
) -> list[Atoms]:
    """Draw displacements with equal forces along all modes; parameters as of `make_alike`."""
    return _draw(
        crystal, "equal", count, sizes, modes, lambda _: random.normal(size=len(modes.frequencies)) / _floor(modes) ** 2
    )


def make_mixed(
    crystal: Atoms, *, modes: Modes, count: int, sizes: Sequence[float], limit: float, random: np.random.Generator
) -> list[Atoms]:
    """Draw displacements along the soft modes alone, all of them and few of them in turn, each with its mirror image.

    Parameters
    ----------
    crystal : Atoms
    modes : Modes
    count : int
        How many frames, mirror images counted.
    sizes : sequence of float
        As in `make_alike`, in turn for each pair.
    limit : float
        Frequency of modes that are not soft any more, THz; the softest mode moves in any case.
    random : numpy.random.Generator
    """
    soft = modes.frequencies < max(limit, modes.frequencies[0] + 1e-6)

    def draw(number: int) -> Array:
        chosen = soft
        if number % 2:
            chosen = soft & (random.random(len(soft)) < SHARE)
            chosen[0] |= not chosen.any()
        return np.where(chosen, random.normal(size=len(soft)), 0.0) / _floor(modes)

    frames = []
    for number, forth in enumerate(_draw(crystal, "mixed", -(-count // 2), sizes, modes, draw)):
        back = forth.copy()
        back.positions = 2 * crystal.positions - forth.positions
        for frame, sign in ((forth, "+"), (back, "-")):
            frame.info["name"] = f"{crystal.info['source']}-mixed-{number}{sign}"
            frames.append(frame)
    return frames[:count]


def _draw(
    crystal: Atoms, kind: str, count: int, sizes: Sequence[float], modes: Modes, draw: Callable[[int], Array]
) -> list[Atoms]:
    frames = []
    for number in range(count):
        frame = make_frame(crystal, crystal.info["source"], kind, f"{number}")
        shift = np.tensordot(draw(number), modes.vectors, axes=1) / np.sqrt(crystal.get_masses())[:, None]
        frame.positions += shift * sizes[number % len(sizes)] / np.sqrt(np.mean(shift**2))
        frames.append(frame)
    return frames


def _floor(modes: Modes) -> Array:
    floored: Array = np.maximum(np.abs(modes.frequencies), modes.floor)
    return floored
