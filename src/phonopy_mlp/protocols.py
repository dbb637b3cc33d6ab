"""What phonopy_mlp uses of a calculator beyond ASE's own interface, where it is offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from ase import Atoms


@runtime_checkable
class SupportsBatch(Protocol):
    """A calculator that evaluates several structures at once."""

    def calculate_batch(self, structures: Sequence[Atoms]) -> Sequence[Mapping[str, Any]]:
        """Return ASE results (``energy``, ``forces``, ``stress``), one mapping per structure, in input order."""


@runtime_checkable
class SupportsDescription(Protocol):
    """A calculator that says what it is.

    Keys that phonopy_mlp reads, all optional: ``name``, ``digest``, ``elements`` (symbols the potential knows),
    ``level_of_theory``, ``dispersion``, ``licence``, ``citation``, and ``force_noise`` (scatter of the forces, eV/A).
    All of it goes into the provenance file.

    """

    def describe(self) -> Mapping[str, Any]:
        """Return the description as plain data."""
