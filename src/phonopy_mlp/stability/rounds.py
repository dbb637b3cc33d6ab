"""One round of stabilisation: an unstable crystal, and what the methods make of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa

from phonopy_mlp.errors import PhonopyMlpError
from phonopy_mlp.evaluator import Progress
from phonopy_mlp.stability.cells import carry_supercell, reduce_to_primitive
from phonopy_mlp.stability.check import StabilityCheck
from phonopy_mlp.stability.proposals import Method, Problem, Proposal, find_images
from phonopy_mlp.stability.relaxation import Relaxation, not_lower
from phonopy_mlp.stability.trail import Step, count_atoms_per_formula
from phonopy_mlp.symmetry import SpaceGroup, find_space_groups

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Relaxed:
    """A relaxed crystal.

    Attributes
    ----------
    atoms : Atoms
        Its cell and positions. A.
    energy : float
        In eV per atom, with the work of the pressure.
    supercell_matrix : ndarray
        For its check. shape=(3, 3), dtype=int
    fixed : tuple of int
        Atoms that must not move.
    groups : tuple of SpaceGroup
        At 1e-5 and 1e-2 A.

    """

    atoms: Atoms
    energy: float
    supercell_matrix: Array
    fixed: tuple[int, ...]
    groups: tuple[SpaceGroup, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """One attempt to leave an unstable crystal.

    Attributes
    ----------
    crystal : Relaxed
        To be left.
    check : StabilityCheck
        What is unstable in it.
    relaxation : Relaxation
        Relaxes what is proposed.
    reduce_cell : bool
        Whether a larger cell that turns out not to be primitive is reduced.
    seed : int
        Of the first method's random numbers; it is counted up.
    record : callable
        Takes each `Step` as it is decided.
    progress : Progress
        Shows how far a method has come.

    """

    crystal: Relaxed
    check: StabilityCheck
    relaxation: Relaxation
    reduce_cell: bool
    seed: int
    record: Callable[[Step], None]
    progress: Progress

    def run(self, methods: Sequence[Method]) -> Relaxed | None:
        """Return the first crystal that is accepted, or None."""
        for number, method in enumerate(methods):
            problem = Problem(
                atoms=self.crystal.atoms,
                check=self.check,
                calculator=self.relaxation.calculator,
                fixed=self.crystal.fixed,
                energy_noise=self.relaxation.energy_noise,
                pressure=self.relaxation.pressure * GPa,
                cell=self.relaxation.cell,
                seed=self.seed + number,
                progress=self.progress,
            )
            try:
                for proposal in method.propose(problem):
                    accepted = self._try(proposal, method.name)
                    if accepted is not None:
                        return accepted
            except PhonopyMlpError as error:
                self._record(Proposal(None, np.eye(3, dtype=int), refusal=str(error)), method.name)
        return None

    def _try(self, proposal: Proposal, method: str) -> Relaxed | None:
        """Relax a proposal; return what it led to if that is lower in energy."""
        if proposal.atoms is None:
            self._record(proposal, method)
            return None
        fixed = tuple(find_images(self.crystal.fixed, self.crystal.atoms, proposal.atoms).tolist())
        try:
            relaxed, energy = self.relaxation.run(
                proposal.atoms, fixed, below=self.crystal.energy - self.relaxation.energy_noise
            )
        except PhonopyMlpError as error:
            self._record(replace(proposal, refusal=str(error)), method)
            return None
        rows = np.asarray(proposal.rows, dtype=float)
        if self.reduce_cell and not fixed and len(relaxed) > len(self.crystal.atoms):
            relaxed, reduction = reduce_to_primitive(relaxed)
            rows = reduction @ rows
        gain = self.crystal.energy - energy
        reason = ""
        if not gain > self.relaxation.energy_noise:
            reason = not_lower(-gain)
        matrix = carry_supercell(self.crystal.supercell_matrix, rows)
        found = Relaxed(relaxed, energy, matrix, fixed, find_space_groups(relaxed))
        self._record(replace(proposal, refusal=reason), method, found)
        return None if reason else found

    def _record(self, proposal: Proposal, method: str, found: Relaxed | None = None) -> None:
        mode, wave, strain = proposal.mode, proposal.wave, proposal.strain
        self.record(
            Step(
                method=method,
                accepted=found is not None and not proposal.refusal,
                reason=proposal.refusal,
                qpoint=None if mode is None else tuple(mode.qpoint.tolist()),
                band=None if mode is None else mode.band,
                frequency=None if mode is None else mode.frequency,
                direction=None if wave is None else tuple(wave.direction.tolist()),
                strain=None if strain is None else tuple(map(tuple, strain.strain.tolist())),
                amplitude=proposal.amplitude,
                seed=proposal.seed,
                energy_before=self.crystal.energy,
                energy_after=None if found is None else found.energy,
                groups_before=self.crystal.groups,
                groups_after=() if found is None else found.groups,
                atoms_before=len(self.crystal.atoms),
                atoms_after=None if found is None else len(found.atoms),
                atoms_per_formula=count_atoms_per_formula(self.crystal.atoms),
            )
        )
