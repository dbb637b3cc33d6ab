"""What phonopy_mlp uses of a calculator beyond ASE's own interface, where it is offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator


@runtime_checkable
class SupportsBatch(Protocol):
    """A calculator that evaluates several structures at once."""

    def calculate_batch(self, structures: Sequence[Atoms]) -> Sequence[Mapping[str, Any]]:
        """Return ASE results (``energy``, ``forces``, ``stress``), one mapping per structure, in input order."""


@runtime_checkable
class SupportsLinearResponse(Protocol):
    """A calculator that differentiates its forces exactly, in the crystal without end.

    Attributes
    ----------
    has_linear_response : bool
        Whether it can do so in its present settings.

    """

    has_linear_response: bool

    def atom_response(
        self, atoms: Atoms, index: int, directions: np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the response of all forces to the displacement of one atom of a unit cell, its images staying.

        Parameters
        ----------
        atoms : Atoms
            Unit cell.
        index : int
            The atom that moves, in cell 0.
        directions : ndarray
            shape=(count, 3)

        Returns
        -------
        atom : ndarray
            Atoms whose forces change. shape=(nodes,), dtype=int
        cell : ndarray
            Their cells, counted in the unit cell's vectors. shape=(nodes, 3), dtype=int
        response : ndarray
            Derivatives of their forces in eV/A^2, for unit vectors. shape=(count, nodes, 3)

        """


@runtime_checkable
class SupportsDomain(Protocol):
    """A calculator that tells whether a structure is inside what it was made for.

    Attributes
    ----------
    domain_checks : sequence of str
        Kinds of findings that it looks for; without one of them its absence says nothing.

    """

    domain_checks: Sequence[str]

    def check_domain(self, atoms: Atoms) -> Sequence[Mapping[str, Any]]:
        """Return what is outside: plain data with ``kind``, ``atoms`` (indices) and ``message``, a sentence."""


@runtime_checkable
class SupportsMembers(Protocol):
    """A committee: a calculator whose results are means over several others."""

    def make_members(self) -> Sequence[BaseCalculator]:
        """Return these as calculators of their own; a calculator that is none of a committee returns itself."""


@runtime_checkable
class SupportsDescription(Protocol):
    """A calculator that says what it is.

    Keys that phonopy_mlp reads, all optional: ``name``, ``digest``, ``elements`` (symbols the potential knows),
    ``level_of_theory``, ``dispersion``, ``licence``, ``citation``, and ``force_noise`` (scatter of the forces, eV/A).
    All of it goes into the provenance file.

    """

    def describe(self) -> Mapping[str, Any]:
        """Return the description as plain data."""
