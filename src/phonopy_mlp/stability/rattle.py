"""Removal of imaginary modes by random displacements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phonopy_mlp.stability.proposals import Problem, Proposal, cell_of_lowest_mode, check_size, find_images

CARRIER = 0.1
"""An atom carries a mode if its share of the eigenvector is at least this part of the largest share."""

_LARGEST = 1.0
"""Standard deviation in A beyond which atoms change places with their neighbours."""


@dataclass(frozen=True, slots=True)
class Rattle:
    """Displace atoms at random, in the smallest supercell in which the lowest unstable mode can grow.

    Attributes
    ----------
    sigma : float
        Standard deviation of each coordinate in A; the paper's by default.
    carriers_only : bool
        Whether only the atoms that carry the mode are displaced.

    Raises
    ------
    SettingsError
        `sigma` is not positive, or larger than 1 A.

    """

    sigma: float = 0.01
    carriers_only: bool = False
    name = "rattle"

    def __post_init__(self) -> None:
        check_size("Rattling with a standard deviation", self.sigma, "A", most=_LARGEST, example="0.01, the paper's")

    def propose(self, problem: Problem) -> Iterator[Proposal]:
        """Yield one rattled structure."""
        atoms, rows, mode = cell_of_lowest_mode(problem)
        moves = np.random.default_rng(problem.seed).normal(scale=self.sigma, size=(len(atoms), 3))
        if self.carriers_only and mode is not None:
            shares = (np.abs(mode.eigenvector.reshape(-1, 3)) ** 2).sum(axis=1)
            idle = np.flatnonzero(shares < CARRIER * shares.max())
            moves[find_images(tuple(idle), problem.atoms, atoms)] = 0.0
        moves[find_images(problem.fixed, problem.atoms, atoms)] = 0.0
        atoms.positions += moves
        largest = float(np.linalg.norm(moves, axis=1).max())
        yield Proposal(atoms, rows, mode, amplitude=largest, seed=problem.seed)
