"""Quasi-harmonic approximation over volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from phonopy.physical_units import get_physical_units
from phonopy.qha.qha import QHAResult

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.eos.fit import Eos, check_name
from phonopy_mlp.errors import ConvergenceError, ImaginaryModesError, SettingsError
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.phonons import MESH
from phonopy_mlp.qha.caveats import warn_of_deformations, warn_of_doubts, warn_of_left_out
from phonopy_mlp.qha.crystal import Crystal, make_crystal
from phonopy_mlp.qha.fit import fit_volumes
from phonopy_mlp.qha.point import (
    LatticePoint,
    Stabilisation,
    Workshop,
    compute_point,
    open_workshop,
    relax_lattice,
)
from phonopy_mlp.qha.stabilised import stabilise_point
from phonopy_mlp.qha.thermal import check_temperatures, with_one_more
from phonopy_mlp.relax import FMAX, MAX_STEPS, Cell
from phonopy_mlp.structures import with_volume
from phonopy_mlp.symmetry import TIGHT
from phonopy_mlp.unfinished import Unfinished

Imaginary = Literal["stop", "exclude", "stabilise"]
"""What becomes of a volume with imaginary modes."""

STRAIN = 0.015
"""Default largest strain of the cell lengths, some 4.5 % in volume."""

VOLUMES = 9
"""Default number of volumes."""

FEWEST = 5
"""Volumes that phonopy's fits need."""

MOST_ADDED = 8
"""Default number of volumes that may be added where the minimum of F(V) is too near to the end."""

_MARGIN = 2
"""Volumes that must lie on either side of the one with the lowest free energy."""


@dataclass(frozen=True, slots=True)
class MlpQhaResult:
    """Quasi-harmonic properties of a crystal at zero pressure, per primitive cell whatever the input cell.

    Attributes
    ----------
    points : tuple of LatticePoint
        Every volume that was computed, from the smallest to the largest, with its lowest mode.
    used : tuple of bool
        Which of `points` entered the fits; the others have imaginary modes.
    imaginary : str
        What was to become of volumes with imaginary modes.
    temperatures : ndarray
        In K. shape=(temperatures,)
    volume : ndarray
        Equilibrium volume in A^3. shape=(temperatures,)
    volumetric_expansion : ndarray
        Coefficient alpha_V = (dV/dT)/V in 1/K. shape=(temperatures,)
    linear_expansion : ndarray or None
        Coefficient alpha = alpha_V/3 in 1/K of a cubic crystal; None for any other, whose axes expand differently.
        shape=(temperatures,)
    bulk_modulus : ndarray
        Isothermal, in GPa. shape=(temperatures,)
    heat_capacity : ndarray
        At constant pressure, in eV/K. shape=(temperatures,)
    gibbs_energy : ndarray
        In eV. shape=(temperatures,)
    gruneisen : ndarray
        Thermodynamic Grueneisen parameter B alpha_V V / C_V; 0 at 0 K, where it has no meaning.
        shape=(temperatures,)
    phonopy : QHAResult
        phonopy's result, for its writers and plots. Its ``lattice`` is None: along this path the axes are those of the
        static crystal at each volume, not of the warm one.
    all_temperatures : ndarray
        Temperatures at which `points` have their thermal properties: one more than `temperatures`, for the last
        difference. In K.

    """

    points: tuple[LatticePoint, ...]
    used: tuple[bool, ...]
    imaginary: Imaginary
    temperatures: Array
    volume: Array
    volumetric_expansion: Array
    linear_expansion: Array | None
    bulk_modulus: Array
    heat_capacity: Array
    gibbs_energy: Array
    gruneisen: Array
    phonopy: QHAResult
    all_temperatures: Array


def run_mlp_qha(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    supercell_matrix: Array,
    temperatures: Sequence[float] | Array,
    volumes: int = VOLUMES,
    strain: float = STRAIN,
    most_added: int = MOST_ADDED,
    mesh: Sequence[int] = MESH,
    eos: Eos = "vinet",
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    imaginary: Imaginary = "stop",
    seed: int = 0,
    symprec: float = TIGHT,
    progress: Progress = silent,
    on_step: Callable[[int, float], None] | None = None,
    unfinished: Unfinished | None = None,
) -> MlpQhaResult:
    """Minimise the quasi-harmonic free energy over the volume.

    The crystal is reduced to its primitive cell and relaxed. From this centre outwards, each volume starts from the
    relaxed structure of its neighbour; shape and positions relax at constant volume, in a cubic crystal the positions
    alone. Where the free energy of any temperature is lowest at one of the outer two volumes of either end, volumes are
    added there. phonopy's `run_qha` does the rest.

    Parameters
    ----------
    atoms : Atoms
        Primitive, conventional or larger cell; not changed.
    calculator : BaseCalculator
        Any ASE calculator with stress.
    supercell_matrix : ndarray
        Supercell of `atoms` for the force constants, as phonopy's ``--dim``. shape=(3, 3)
    temperatures : sequence of float
        Ascending from 0 K.
    volumes : int, optional
        Number of volumes, odd, at least 5.
    strain : float, optional
        Strain of the cell lengths of the outermost volumes against the relaxed crystal.
    most_added : int, optional
        Number of volumes that may be added.
    mesh : sequence of int, optional
        Gamma-centred sampling mesh. shape=(3,)
    eos : {'vinet', 'murnaghan', 'birch_murnaghan'}, optional
        Equation of state that is fitted to F(V).
    fmax, max_steps : optional
        As of `relax`, for all relaxations.
    imaginary : {'stop', 'exclude', 'stabilise'}, optional
        What becomes of a volume with imaginary modes at commensurate q-points: an error that names volume and mode, a
        record of it and no part in the fits, or the crystal that `stabilise` makes of it at this volume, in a fixed
        cell where the crystal is cubic. Its cell may be larger, and `mesh` stays; all results are per primitive cell of
        the crystal as given. Volumes farther out start from the stabilised crystal: F(V) goes on along its branch, and
        where the instability is gone it relaxes back by itself.
    seed : int, optional
        As of `stabilise`, for each volume that is stabilised.
    symprec : float, optional
        Tolerance in A at which symmetry is read.
    progress : Progress, optional
        Shows how far the volumes have come, and then those that are added.
    on_step : callable, optional
        As of `relax`, called in all relaxations.
    unfinished : Unfinished, optional
        Keeps each finished volume, and has those that were finished by a run that was killed.

    Raises
    ------
    ImaginaryModesError
        A volume has imaginary modes and `imaginary` is 'stop' or they cannot be removed, or too few volumes have none.
    ConvergenceError
        A relaxation did not converge, F(V) has no minimum well inside the volumes, or a fit failed.
    SettingsError
        A setting makes no sense.

    Warns
    -----
    StructureWarning
        Modes of a volume that is used are imaginary between the commensurate q-points, and left out of its free energy,
        or long acoustic waves or homogeneous strains (Born's criteria) are unstable there; or force constants of
        volumes that are used are not sound (`health`).

    References
    ----------
    phonopy: A. Togo, J. Phys. Soc. Jpn. 92, 012001 (2023).

    """
    check_settings(volumes, strain, most_added, eos, imaginary, seed)
    every = with_one_more(check_temperatures(temperatures))
    crystal = make_crystal(atoms, supercell_matrix, symprec=symprec)
    step = 2 * strain / (volumes - 1)
    workshop = open_workshop(
        crystal,
        calculator,
        temperatures=every,
        mesh=mesh,
        fmax=fmax,
        max_steps=max_steps,
        on_step=on_step,
        unfinished=unfinished,
        method="volumes",
        step=step,
        seed=seed,
    )
    relaxed = crystal.moved_to(relax_lattice(workshop, crystal.atoms, "free", "centre")[0])
    ladder = _Ladder(workshop, relaxed, step, imaginary, seed)
    half = volumes // 2
    ladder.climb(progress(sorted(range(-half, half + 1), key=abs), volumes, "Volumes"))
    ladder.extend(most_added, progress)
    warn_of_doubts([point.doubts for point in ladder.used])
    fitted = fit_volumes(ladder.used, every, eos)
    return _make_result(ladder, fitted, every)


class _Ladder:
    """Volumes as they are computed, numbered from the relaxed crystal outwards."""

    def __init__(self, workshop: Workshop, crystal: Crystal, step: float, imaginary: Imaginary, seed: int) -> None:
        self.points: dict[int, LatticePoint] = {}
        self.is_cubic = crystal.space_group.is_cubic
        self.imaginary, self._seed = imaginary, seed
        self._workshop, self._crystal, self._step = workshop, crystal, step
        self._cell: Cell = "fixed" if self.is_cubic else "constant-volume"

    @property
    def used(self) -> list[LatticePoint]:
        """Volumes without imaginary modes, ascending."""
        return [self.points[k] for k in sorted(self.points) if self.points[k].is_stable]

    def climb(self, rungs: Iterable[int]) -> None:
        """Compute volumes, each from its inner neighbour."""
        for k in rungs:
            crystal, was_unstable = self._crystal, False
            if k != 0:
                inner = self.points[k - int(np.sign(k))]
                crystal, was_unstable = inner.crystal, inner.stabilisation is not None
            volume = crystal.cells * self._crystal.atoms.get_volume() * (1 + k * self._step) ** 3
            start = with_volume(crystal.atoms, volume)
            point = self._compute(crystal.moved_to(start), f"{k:+d}", was_unstable)
            if point.is_stable:
                place = f"at a volume of {point.volume:.3f} A^3 per primitive cell"
                warn_of_left_out(point.thermal.left_out, place)
                warn_of_deformations(point.unstable_waves, point.unstable_strains, place)
            self.points[k] = point

    def _compute(self, crystal: Crystal, name: str, was_unstable: bool) -> LatticePoint:
        if was_unstable:
            # Not the point that another run, without stabilisation, has kept of this volume.
            name += "-stabilised"
        point = compute_point(self._workshop, crystal, self._cell, name)
        if point.is_stable or self.imaginary == "exclude":
            return replace(point, stabilisation=Stabilisation(0, 0.0)) if was_unstable else point
        if self.imaginary == "stop":
            raise _imaginary_modes(point)
        return stabilise_point(self._workshop, point, self._cell, name, seed=self._seed)

    def extend(self, most: int, progress: Progress) -> None:
        """Add volumes until the free energy is lowest well inside at every temperature."""
        for left in progress(range(most, -1, -1), most, "Volumes added, at most"):
            if len(self.used) < FEWEST:
                raise _too_few(self.points)
            found = _find_open_end(self.used, self._workshop.temperatures)
            if found is None:
                return
            side, temperature = found
            outermost = max(self.points) if side > 0 else min(self.points)
            if left == 0 or not self.points[outermost].is_stable:
                raise _not_bracketed(side, temperature, self.points[outermost], most)
            self.climb([outermost + side])


def _find_open_end(points: Sequence[LatticePoint], temperatures: Array) -> tuple[int, float] | None:
    """Return the end (1: large volumes, -1: small) that has the lowest free energy at some temperature, and that."""
    free_energies = np.array([point.energy + point.thermal.free_energy for point in points])
    for temperature, lowest in zip(temperatures[::-1], free_energies.argmin(axis=0)[::-1], strict=True):
        if lowest >= len(points) - _MARGIN:
            return 1, float(temperature)
        if lowest < _MARGIN:
            return -1, float(temperature)
    return None


def _make_result(ladder: _Ladder, fitted: QHAResult, temperatures: Array) -> MlpQhaResult:
    points = tuple(ladder.points[k] for k in sorted(ladder.points))
    return MlpQhaResult(
        points=points,
        used=tuple(point.is_stable for point in points),
        imaginary=ladder.imaginary,
        temperatures=fitted.temperatures,
        volume=fitted.equilibrium_volumes,
        volumetric_expansion=fitted.thermal_expansion,
        linear_expansion=frozen(fitted.thermal_expansion / 3) if ladder.is_cubic else None,
        bulk_modulus=frozen(fitted.bulk_moduli * get_physical_units().EVAngstromToGPa),
        heat_capacity=fitted.heat_capacity_P.heat_capacities,
        gibbs_energy=fitted.gibbs_free_energies,
        gruneisen=fitted.gruneisen_parameters,
        phonopy=fitted,
        all_temperatures=frozen(temperatures),
    )


def check_settings(volumes: int, strain: float, most_added: int, eos: str, imaginary: str, seed: int) -> None:
    """Raise `SettingsError` for settings of `run_mlp_qha` that make no sense."""
    if volumes < FEWEST or volumes % 2 == 0:
        raise SettingsError(
            f"{volumes} volumes", f"there must be an odd number of them, at least {FEWEST}", "Give for example 9"
        )
    if not 0 < strain < 0.2:
        raise SettingsError(f"Strain {strain:g}", "it must be between 0 and 0.2", f"Give for example {STRAIN}")
    if most_added < 0:
        raise SettingsError(f"{most_added} volumes more", "the number cannot be negative", "Give 0 or more")
    check_name(eos)
    if imaginary not in get_args(Imaginary):
        raise SettingsError(
            f"Imaginary modes '{imaginary}'", "there is no such way", f"Give {', '.join(get_args(Imaginary))}"
        )
    if seed < 0:
        raise SettingsError(f"Seed {seed}", "it cannot be negative", "Give 0 or more")


def _imaginary_modes(point: LatticePoint) -> ImaginaryModesError:
    return ImaginaryModesError(
        f"{point.imaginary_modes} modes are imaginary at a volume of {point.volume:.3f} A^3 per primitive cell",
        f"the lowest is at {point.describe_mode()}, so the crystal is not at a minimum there",
        "Follow the instability there (imaginary='stabilise'), leave such volumes out ('exclude'), choose a smaller "
        "strain, or remove the instability first",
    )


def _too_few(points: dict[int, LatticePoint]) -> ImaginaryModesError:
    unstable = [points[k] for k in sorted(points) if not points[k].is_stable]
    named = "; ".join(f"{point.volume:.3f} A^3: {point.describe_mode()}" for point in unstable)
    return ImaginaryModesError(
        f"Only {len(points) - len(unstable)} of {len(points)} volumes have no imaginary modes",
        f"at least {FEWEST} are needed ({named})",
        "Choose a smaller strain, or remove the instability first",
    )


def _not_bracketed(side: int, temperature: float, point: LatticePoint, most: int) -> ConvergenceError:
    towards = "larger" if side > 0 else "smaller"
    if point.is_stable:
        why = f"it lies at {towards} volumes, and {most} were added"
        remedy = "Choose a larger strain or allow more volumes, or lower temperatures"
    else:
        why = f"it lies at {towards} volumes, where modes are imaginary ({point.describe_mode()})"
        remedy = "Choose a smaller strain or lower temperatures, or remove the instability first"
    return ConvergenceError(
        f"F(V) has no minimum well inside the volumes at {temperature:g} K; the "
        f"{'largest' if side > 0 else 'smallest'} is {point.volume:.3f} A^3 per primitive cell",
        why,
        remedy,
    )
