"""What was done to a crystal to make it stable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from ase import Atoms

from phonopy_mlp.imaginary import ImaginaryMode
from phonopy_mlp.provenance import plain
from phonopy_mlp.stability.check import StabilityCheck
from phonopy_mlp.stability.long_waves import SoundWave
from phonopy_mlp.stability.strains import EigenStrain
from phonopy_mlp.structures import bare
from phonopy_mlp.symmetry import SpaceGroup


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt to lower the energy.

    Attributes
    ----------
    method : str
        ``relax`` for relaxations at the beginning, then ``follow``, ``rattle``, ``md`` or another method's name.
    accepted : bool
        Whether the crystal became what the step led to.
    reason : str
        Why it was not accepted; empty where it was.
    qpoint : tuple of float or None
        Of the mode that was meant to go, in units of the reciprocal vectors of the cell before the step. shape=(3,)
    band : int or None
        Place of that mode among those of its q-point, from 0.
    frequency : float or None
        Of that mode in THz, negative.
    direction : tuple of float or None
        Of the long wave that was meant to go, Cartesian. shape=(3,)
    strain : tuple of tuple of float or None
        Unit strain that was meant to go, Cartesian. shape=(3, 3)
    amplitude : float or None
        Displacement in A of the atom that was moved most, before relaxation; for a long wave or a strain that was
        followed, the strain.
    seed : int or None
        Of the random numbers.
    energy_before, energy_after : float
        In eV per atom; with the work of the pressure, where there is one. After: None where nothing was relaxed.
    groups_before, groups_after : tuple of SpaceGroup
        At 1e-5 and 1e-2 A. After: empty where nothing was relaxed.
    atoms_before, atoms_after : int
        Atoms in the cell. After: None where nothing was relaxed.
    atoms_per_formula : int
        Atoms in a formula unit, to convert the energies with.

    """

    method: str
    accepted: bool
    reason: str
    qpoint: tuple[float, ...] | None
    band: int | None
    frequency: float | None
    direction: tuple[float, ...] | None
    strain: tuple[tuple[float, ...], ...] | None
    amplitude: float | None
    seed: int | None
    energy_before: float
    energy_after: float | None
    groups_before: tuple[SpaceGroup, ...]
    groups_after: tuple[SpaceGroup, ...]
    atoms_before: int
    atoms_after: int | None
    atoms_per_formula: int

    @property
    def energy_change(self) -> float | None:
        """Energy after less energy before, in eV per formula unit."""
        return None if self.energy_after is None else (self.energy_after - self.energy_before) * self.atoms_per_formula

    def describe(self) -> Mapping[str, Any]:
        """Return the step as plain data."""
        return {
            "method": self.method,
            "accepted": self.accepted,
            "reason": self.reason or None,
            "qpoint": plain(self.qpoint),
            "band": self.band,
            "frequency": self.frequency,
            "direction": plain(self.direction),
            "strain": plain(self.strain),
            "amplitude": self.amplitude,
            "seed": self.seed,
            "energy_per_atom": [self.energy_before, self.energy_after],
            "energy_change_per_formula_unit": self.energy_change,
            "space_groups_before": [str(group) for group in self.groups_before],
            "space_groups_after": [str(group) for group in self.groups_after],
            "atoms": [self.atoms_before, self.atoms_after],
        }


@dataclass(frozen=True, slots=True)
class StabilityResult:
    """A crystal that was made as stable as could be, and how.

    Attributes
    ----------
    atoms : Atoms
        Final structure, relaxed; each access gives a fresh copy. A.
    stable : bool
        Whether the last check found nothing unstable.
    check : StabilityCheck
        The last check: force constants, modes, long waves and elastic constants of the final structure.
    supercell_matrix : ndarray
        Of the last check, as phonopy's ``--dim`` for the final structure's cell. shape=(3, 3), dtype=int, read-only
    trail : tuple of Step
        Everything that was tried, in order.
    rounds : int
        Accepted steps, the relaxation at the beginning not counted.
    energy : float
        Of the final structure in eV per atom, with the work of the pressure.
    energy_gain : float
        In eV per atom, by all steps after the relaxation at the beginning.

    """

    _atoms: Atoms
    check: StabilityCheck
    supercell_matrix: np.ndarray[Any, Any]
    trail: tuple[Step, ...]

    @property
    def atoms(self) -> Atoms:
        """A copy of the final structure."""
        return bare(self._atoms)

    @property
    def stable(self) -> bool:
        """Whether the last check found nothing unstable."""
        return self.check.stable

    @property
    def rounds(self) -> int:
        """Number of accepted steps after the relaxation at the beginning."""
        return len(self._accepted) - 1

    @property
    def energy(self) -> float:
        """Energy of the final structure in eV per atom, with the work of the pressure."""
        return self._accepted[-1]

    @property
    def energy_gain(self) -> float:
        """What the steps after the relaxation at the beginning have gained, in eV per atom."""
        return self._accepted[0] - self.energy

    @property
    def _accepted(self) -> list[float]:
        """Energies after the accepted steps."""
        return [step.energy_after for step in self.trail if step.accepted and step.energy_after is not None]

    def describe(self) -> Mapping[str, Any]:
        """Return result and trail as plain data, for the provenance file.

        Frequencies are in THz, squared velocities in (km/s)^2, moduli in GPa, energies in eV.
        """
        check = self.check
        return {
            "stable": self.stable,
            "supercell_matrix": plain(self.supercell_matrix),
            "threshold": check.threshold,
            "force_constant_error": check.force_constant_error,
            "lowest_frequency": check.modes.lowest,
            "unstable_modes": [_describe_mode(mode, check) for mode in check.unstable_modes],
            "modes_within_noise": [_describe_mode(mode, check) for mode in check.modes_within_noise],
            "long_waves_checked": check.long_waves is not None,
            "unstable_long_waves": [_describe_wave(wave) for wave in check.unstable_waves],
            "contradicted_long_waves": [_describe_wave(wave) for wave in check.contradicted_waves],
            "born_stable": check.born_stable,
            "elastic_moduli": None if check.elastic is None else plain(check.elastic.eigenvalues),
            "elastic_fit_residual": None if check.elastic is None else check.elastic.fit_residual,
            "unstable_strains": [_describe_strain(strain) for strain in check.unstable_strains],
            "unstable_isochoric_strains": [_describe_strain(strain) for strain in check.unstable_isochoric_strains],
            "contradicted_strains": [_describe_strain(strain) for strain in check.contradicted_strains],
            "trail": [step.describe() for step in self.trail],
        }


def count_atoms_per_formula(atoms: Atoms) -> int:
    """Return the number of atoms in the smallest formula unit of a cell's composition."""
    return len(atoms) // gcd(*np.unique(atoms.numbers, return_counts=True)[1].tolist())


def _describe_wave(wave: SoundWave) -> Mapping[str, Any]:
    return {
        "direction": plain(wave.direction),
        "reciprocal_indices": plain(wave.indices),
        "polarisation": plain(wave.polarisation),
        "square_velocity": wave.square_velocity,
        "square_velocity_from_energies": wave.energy_square_velocity,
    }


def _describe_strain(strain: EigenStrain) -> Mapping[str, Any]:
    return {
        "strain": plain(strain.strain),
        "modulus": strain.modulus,
        "modulus_from_energies": strain.energy_modulus,
    }


def _describe_mode(mode: ImaginaryMode, check: StabilityCheck) -> Mapping[str, Any]:
    return {
        "qpoint": plain(mode.qpoint),
        "band": mode.band,
        "frequency": mode.frequency,
        "noise": check.noise(mode),
    }
