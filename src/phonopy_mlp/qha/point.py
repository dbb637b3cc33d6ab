"""One lattice of a quasi-harmonic calculation: relaxed, checked for imaginary modes, and its thermal properties."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.force_constants import ForceConstantsResult, compute_force_constants, make_phonopy
from phonopy_mlp.health import assess_health
from phonopy_mlp.imaginary import THRESHOLD, CommensurateModes
from phonopy_mlp.qha.crystal import Crystal
from phonopy_mlp.qha.thermal import ThermalProperties, compute_thermal
from phonopy_mlp.registry import describe
from phonopy_mlp.relax import MAX_STEPS, Cell, relax
from phonopy_mlp.stability.check import StabilityCheck, check_stability
from phonopy_mlp.unfinished import Section, Unfinished


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all lattices of one calculation have in common.

    Attributes
    ----------
    calculator : BaseCalculator
        Any ASE calculator.
    fmax : float
        Goal of the relaxations in eV/A.
    mesh : sequence of int
        Gamma-centred sampling mesh. shape=(3,)
    temperatures : ndarray
        In K. shape=(temperatures,)
    section : Section, optional
        Keeps each finished lattice, and has those that were finished before.
    max_steps : int
        Of each relaxation.
    on_step : callable or None
        As of `relax`, called in all relaxations.

    """

    calculator: BaseCalculator
    fmax: float
    mesh: Sequence[int]
    temperatures: Array
    section: Section | None
    max_steps: int = MAX_STEPS
    on_step: Callable[[int, float], None] | None = None

    def get(self, name: str) -> Mapping[str, Array] | None:
        """Return a part that was finished before."""
        return None if self.section is None else self.section.get(name)

    def keep(self, name: str, **arrays: Array | float) -> Mapping[str, Array]:
        """Keep a finished part, and return it as `get` would."""
        if self.section is not None:
            self.section.keep(name, **arrays)
        return {key: np.asarray(value) for key, value in arrays.items()}

    def inner(self, name: str) -> Unfinished | None:
        """Return a folder for parts of a part, which goes when that is finished, or with the whole."""
        return None if self.section is None else Unfinished(self.section.path / name)


def open_workshop(
    crystal: Crystal,
    calculator: BaseCalculator,
    *,
    temperatures: Array,
    mesh: Sequence[int],
    fmax: float,
    max_steps: int,
    on_step: Callable[[int, float], None] | None,
    unfinished: Unfinished | None,
    **question: Any,
) -> Workshop:
    """Return a workshop whose section belongs to these settings and to whatever else is in the question."""
    section = None
    if unfinished is not None:
        section = unfinished.section(
            calculator, **question, **crystal.describe(), temperatures=temperatures, mesh=list(mesh), fmax=fmax
        )
    return Workshop(calculator, fmax, mesh, temperatures, section, max_steps, on_step)


@dataclass(frozen=True, slots=True)
class Stabilisation:
    """How a crystal with imaginary modes became one without.

    Attributes
    ----------
    rounds : int
        Steps that lowered the energy at this lattice; none where the crystal came stable from its stabilised neighbour.
    energy_gain : float
        By these steps, in eV per primitive cell.
    audit : mapping or None
        As of `StabilityResult.describe`, with every step in its ``trail``; None where none was made at this lattice.

    """

    rounds: int
    energy_gain: float
    audit: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class LatticePoint:
    """A crystal with one lattice; everything per primitive cell.

    Attributes
    ----------
    crystal : Crystal
        Relaxed, with the number of primitive cells that it is made of.
    volume : float
        In A^3.
    energy : float
        Static energy in eV.
    lowest_frequency : float
        Lowest frequency at the commensurate q-points, translations left out, in THz; negative where imaginary.
    lowest_qpoint : ndarray
        Where it is, in units of the reciprocal vectors of the crystal's cell. shape=(3,)
    imaginary_modes : int
        Number of modes at the commensurate q-points that are imaginary.
    unstable_waves, unstable_strains : int or None
        Number of long acoustic waves and of homogeneous strains (Born's criteria) that are unstable by force constants
        and energies; None where a mode at Gamma is imaginary, before which they mean nothing.
    thermal : ThermalProperties
        Vibrational free energy, entropy, heat capacity.
    doubts : mapping
        What is not sound about the force constants, as of `Health.doubts`.
    stabilisation : Stabilisation or None
        None where no imaginary modes had to be removed, here or nearer to the centre.

    """

    crystal: Crystal
    volume: float
    energy: float
    lowest_frequency: float
    lowest_qpoint: Array
    imaginary_modes: int
    thermal: ThermalProperties
    unstable_waves: int | None
    unstable_strains: int | None
    doubts: Mapping[str, Mapping[str, Any]]
    stabilisation: Stabilisation | None = None

    @property
    def atoms(self) -> Atoms:
        """A copy of the relaxed cell."""
        return self.crystal.atoms

    @property
    def is_stable(self) -> bool:
        """Whether no commensurate mode is imaginary."""
        return self.imaginary_modes == 0

    def describe_mode(self) -> str:
        """Return the lowest mode in words."""
        q = " ".join(f"{component:g}" for component in np.round(self.lowest_qpoint, 4) + 0.0)
        return f"{self.lowest_frequency:.4f} THz at q = ({q})"

    def describe(self) -> dict[str, Any]:
        """Return the point as plain data, without its thermal properties: A^3, eV, THz."""
        return {
            "volume": self.volume,
            "energy": self.energy,
            "lowest_frequency": self.lowest_frequency,
            "lowest_qpoint": self.lowest_qpoint.tolist(),
            "imaginary_modes": self.imaginary_modes,
            "unstable_long_waves": self.unstable_waves,
            "unstable_strains": self.unstable_strains,
            "share_of_mesh_modes_left_out": self.thermal.left_out,
            "doubtful": dict(self.doubts),
        }


def relax_lattice(workshop: Workshop, atoms: Atoms, cell: Cell, name: str) -> tuple[Atoms, float]:
    """Return a relaxed structure and its energy in eV, per cell as given.

    Raises
    ------
    ConvergenceError
        The relaxation did not reach its goal.

    """
    found = relax(
        atoms,
        workshop.calculator,
        fmax=workshop.fmax,
        max_steps=workshop.max_steps,
        cell=cell,
        on_step=workshop.on_step,
        unfinished=workshop.inner(f"relaxed-{name}"),
    )
    return found.atoms, found.energy


def compute_lattice_phonons(workshop: Workshop, crystal: Crystal, inner: Unfinished | None) -> ForceConstantsResult:
    """Return the force constants of a relaxed crystal."""
    phonon = make_phonopy(crystal.atoms, crystal.supercell_matrix, primitive_matrix=np.eye(3), symprec=crystal.symprec)
    return compute_force_constants(phonon, workshop.calculator, unfinished=inner)


def compute_point(workshop: Workshop, crystal: Crystal, cell: Cell, name: str) -> LatticePoint:
    """Relax a crystal as far as `cell` lets it, and compute its phonons.

    Raises
    ------
    ConvergenceError
        The relaxation did not reach its goal.
    CalculatorError
        The calculator failed.
    SettingsError
        The mesh is not three positive integers.

    """
    relaxed, energy = relax_lattice(workshop, crystal.atoms, cell, name)
    moved = crystal.moved_to(relaxed)
    kept = workshop.get(f"phonons-{name}")
    if kept is None:
        inner = workshop.inner(f"force_constants-{name}")
        kept = workshop.keep(f"phonons-{name}", **measure(workshop, check_lattice(workshop, moved, inner)))
        if inner is not None:
            inner.remove()
    return make_point(moved, energy, kept)


def check_lattice(workshop: Workshop, crystal: Crystal, inner: Unfinished | None) -> StabilityCheck:
    """Return the force constants of a relaxed crystal, and what is unstable in it."""
    return check_stability(
        crystal.atoms,
        workshop.calculator,
        supercell_matrix=crystal.supercell_matrix,
        symprec=crystal.symprec,
        unfinished=inner,
    )


def measure(workshop: Workshop, check: StabilityCheck) -> dict[str, Array | float]:
    """Return what is kept of the phonons of a crystal, for `make_point`."""
    thermal = compute_thermal(check.force_constants.phonon, workshop.mesh, workshop.temperatures)
    modes = check.modes
    kept: dict[str, Array | float] = {
        "lowest_frequency": modes.lowest,
        "lowest_qpoint": find_lowest(modes),
        "imaginary_modes": modes.count_imaginary(THRESHOLD),
        "free_energy": thermal.free_energy,
        "entropy": thermal.entropy,
        "heat_capacity": thermal.heat_capacity,
        "left_out": thermal.left_out,
        "doubts": np.array(json.dumps(find_doubts(workshop, check.force_constants))),
    }
    counts = zip(("unstable_waves", "unstable_strains"), count_deformations(check), strict=True)
    return kept | {name: count for name, count in counts if count is not None}


def find_doubts(workshop: Workshop, result: ForceConstantsResult) -> dict[str, dict[str, Any]]:
    """Return what is not sound about force constants; imaginary modes have entries of their own."""
    return assess_health(result, None, describe(workshop.calculator)).doubts


def count_deformations(check: StabilityCheck) -> tuple[int | None, int | None]:
    """Return how many long waves and homogeneous strains are unstable; None where they were not looked at."""
    return (
        None if check.long_waves is None else len(check.unstable_waves),
        None if check.elastic is None else len(check.unstable_strains),
    )


def make_point(
    crystal: Crystal, energy: float, kept: Mapping[str, Array], stabilisation: Stabilisation | None = None
) -> LatticePoint:
    """Return the point of a relaxed crystal.

    Parameters
    ----------
    crystal : Crystal
        Relaxed.
    energy : float
        Of its cell, in eV.
    kept : mapping
        What `measure` gave, of its cell.
    stabilisation : Stabilisation, optional
        Of the point.

    """
    thermal = ThermalProperties(
        kept["free_energy"], kept["entropy"], kept["heat_capacity"], float(kept["left_out"])
    ).per(crystal.cells)
    return LatticePoint(
        crystal=crystal,
        volume=float(crystal.atoms.get_volume()) / crystal.cells,
        energy=energy / crystal.cells,
        lowest_frequency=float(kept["lowest_frequency"]),
        lowest_qpoint=frozen(kept["lowest_qpoint"]),
        imaginary_modes=int(kept["imaginary_modes"]),
        thermal=thermal,
        unstable_waves=_count(kept, "unstable_waves"),
        unstable_strains=_count(kept, "unstable_strains"),
        doubts=json.loads(str(kept["doubts"])),
        stabilisation=stabilisation,
    )


def _count(kept: Mapping[str, Array], name: str) -> int | None:
    return int(kept[name]) if name in kept else None


def find_lowest(modes: CommensurateModes) -> Array:
    """Return the q-point of the lowest mode."""
    frequencies = np.where(np.isnan(modes.frequencies), np.inf, modes.frequencies)
    lowest: Array = modes.qpoints[frequencies.min(axis=1).argmin()]
    return lowest
