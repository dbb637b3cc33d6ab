"""Self-consistent harmonic approximation, phonopy's, on any ASE calculator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy
from phonopy.harmonic.force_constants import full_fc_to_compact_fc
from phonopy.sscha.core import MLPSSCHA
from phonopy.structure.atoms import PhonopyAtoms

from phonopy_mlp.anharmonic.least_squares import fit_force_constants
from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.evaluator import Evaluator, Progress, silent
from phonopy_mlp.imaginary import CommensurateModes, compute_commensurate_modes
from phonopy_mlp.phonons import MESH
from phonopy_mlp.unfinished import Section, Unfinished

SNAPSHOTS, ITERATIONS, MIXING = 100, 10, 0.5
"""Defaults of `run_sscha`."""


@dataclass(frozen=True, slots=True)
class SschaPoint:
    """Self-consistent phonons at one temperature.

    Attributes
    ----------
    temperature : float
        In K.
    free_energy : float
        In eV per primitive cell, measured from the energy of the undisplaced crystal: mean over the iterations that
        count.
    free_energy_error : float
        Its statistical error in eV: that of the snapshots, or the standard error of the iterations' scatter where it is
        larger, for each iteration's own error does not know of the noise in the force constants that it samples with.
    force_constants : ndarray
        Mean of those that the iterations that count ended with, compact, in eV/A^2.
        shape=(atoms in primitive cell, atoms in supercell, 3, 3)
    modes : CommensurateModes
        Frequencies of `force_constants` at the q-points that the supercell represents exactly.
    history : ndarray
        Free energy of every iteration in eV per primitive cell. shape=(iterations,)
    history_errors : ndarray
        Their statistical errors in eV. shape=(iterations,)
    lowest_frequencies : ndarray
        Lowest commensurate frequency of the force constants that each iteration ended with, in THz. shape=(iterations,)
    mean_frequencies : ndarray
        Mean of the commensurate frequencies of the same, in THz. shape=(iterations,)
    transient : int
        Number of first iterations that do not count.
    snapshots : int
        Supercells in each iteration.

    """

    temperature: float
    free_energy: float
    free_energy_error: float
    force_constants: Array
    modes: CommensurateModes
    history: Array
    history_errors: Array
    lowest_frequencies: Array
    mean_frequencies: Array
    transient: int
    snapshots: int

    @property
    def departures(self) -> Array:
        """How far each iteration's free energy is from the mean, in its own errors: near 1 once converged."""
        return np.asarray((self.history - self.free_energy) / self.history_errors)

    def describe(self) -> Mapping[str, Any]:
        """Return the point as plain data, without its force constants."""
        columns = (self.history, self.history_errors, self.lowest_frequencies, self.mean_frequencies)
        names = ("free_energy", "free_energy_error", "lowest_frequency", "mean_frequency")
        return {
            "temperature": self.temperature,
            "free_energy": self.free_energy,
            "free_energy_error": self.free_energy_error,
            "lowest_frequency": self.modes.lowest,
            "imaginary_modes": self.modes.count_imaginary(),
            "snapshots": self.snapshots,
            "transient": self.transient,
            "iterations": [dict(zip(names, map(float, row), strict=True)) for row in zip(*columns, strict=True)],
        }


@dataclass(frozen=True, slots=True)
class SschaResult:
    """Self-consistent phonons against temperature.

    Attributes
    ----------
    points : tuple of SschaPoint
        One for each temperature, in the order given.
    static_energy : float
        Energy of the undisplaced crystal in eV per primitive cell.
    evaluations : int
        Supercells that the whole took: for each iteration the snapshots and the undisplaced one.

    """

    points: tuple[SschaPoint, ...]
    static_energy: float
    evaluations: int

    def describe(self) -> Mapping[str, Any]:
        """Return the result as plain data, without force constants: eV per primitive cell, THz, K."""
        return {
            "static_energy": self.static_energy,
            "evaluations": self.evaluations,
            "temperatures": [point.describe() for point in self.points],
        }


@dataclass(frozen=True, slots=True)
class _Iteration:
    """What one iteration of phonopy's gives: free energy of what it sampled, and new force constants."""

    free_energy: float
    error: float
    static_energy: float
    force_constants: Array


@dataclass(frozen=True, slots=True)
class _Settings:
    snapshots: int
    mixing: float
    mesh: Sequence[int]
    seed: int
    progress: Progress


class _Snapshots:
    """What phonopy calls an MLP; keeps each finished supercell."""

    def __init__(self, calculator: BaseCalculator, progress: Progress, unfinished: Unfinished | None) -> None:
        self._calculator, self._progress, self._unfinished = calculator, progress, unfinished

    def evaluate(self, cells: Sequence[PhonopyAtoms]) -> tuple[Array, Array, Array]:
        """Return energies, forces and stresses, as `Evaluator`."""
        section = None
        if self._unfinished is not None:
            section = self._unfinished.section(self._calculator, cells=[cell.totuple() for cell in cells])
        return Evaluator(self._calculator, self._progress, section).evaluate(cells)


def run_sscha(
    phonon: Phonopy,
    calculator: BaseCalculator,
    *,
    temperatures: Sequence[float],
    snapshots: int = SNAPSHOTS,
    iterations: int = ITERATIONS,
    transient: int | None = None,
    mixing: float = MIXING,
    mesh: Sequence[int] = MESH,
    seed: int = 0,
    progress: Progress = silent,
    unfinished: Unfinished | None = None,
) -> SschaResult:
    """Find the force constants that reproduce themselves when the crystal vibrates with them.

    Each iteration draws supercells from the canonical ensemble of the current force constants and evaluates them
    (phonopy's `MLPSSCHA`), fits new ones (`fit_force_constants`: those of symfc, in a fraction of its time and memory),
    and goes part of the way to them. The first temperature starts from the force constants of `phonon`, each other from
    the last of the one before. Positions and lattice stay as they are.
    Imaginary modes of the current force constants are drawn as if their frequencies were real, so that a run may start
    from an unstable crystal; they are not in the harmonic part of that iteration's free energy.

    Parameters
    ----------
    phonon : Phonopy
        With harmonic force constants, such as those of `compute_force_constants`; not changed.
    calculator : BaseCalculator
        Any ASE calculator; one that `SupportsBatch` gets several supercells at a time.
    temperatures : sequence of float
        In K.
    snapshots : int, optional
        Supercells in each iteration.
    iterations : int, optional
        Iterations at each temperature. The budget is ``(snapshots + 1) * iterations * len(temperatures)`` evaluations.
    transient : int, optional
        First iterations at each temperature that do not count; half of them where it is not said.
    mixing : float, optional
        Share of the fitted force constants in those of the next iteration, above 0 and at most 1; the rest is the
        current ones. Where anharmonicity is strong large shares overshoot, and small ones lessen the noise of the fits.
    mesh : sequence of int, optional
        Mesh of the harmonic part of the free energy. shape=(3,)
    seed : int, optional
        Of the whole run, 0 or more; each iteration has its own, made of it.
    progress : Progress, optional
        Shows how far the iterations have come, and the snapshots of each.
    unfinished : Unfinished, optional
        Keeps each evaluated supercell and each finished iteration, and has those of a run that was killed.

    Raises
    ------
    SettingsError
        A setting makes no sense, or `phonon` has no force constants.
    CalculatorError
        The calculator failed.

    References
    ----------
    I. Errea, M. Calandra, F. Mauri, Phys. Rev. B 89, 064302 (2014).
    A. Togo et al., phonopy, ``phonopy.sscha``.

    """
    if phonon.force_constants is None:
        raise SettingsError("A crystal without force constants", "there is nothing to start from", "Compute them first")
    transient = iterations // 2 if transient is None else transient
    check_settings(temperatures, snapshots, iterations, transient, mixing, seed)
    settings = _Settings(snapshots, mixing, mesh, seed, progress)
    section = None
    if unfinished is not None:
        section = unfinished.section(
            calculator,
            method="sscha",
            unit_cell=phonon.unitcell.totuple(),
            masses=phonon.unitcell.masses,
            symprec=phonon.symmetry.tolerance,
            primitive_matrix=phonon.primitive_matrix,
            supercell_matrix=phonon.supercell_matrix,
            force_constants=phonon.force_constants,
            temperatures=list(temperatures),
            snapshots=snapshots,
            # Each temperature starts from where the iterations of the one before ended.
            iterations=iterations if len(temperatures) > 1 else None,
            mixing=mixing,
            mesh=list(mesh),
            seed=seed,
        )
    current = phonon.replicate()
    current.force_constants = np.array(phonon.force_constants)
    plan = [(which, number) for which in range(len(temperatures)) for number in range(iterations)]
    done: list[_Iteration] = []
    for which, number in progress(plan, len(plan), "Iterations"):
        done.append(_iterate(current, calculator, temperatures[which], settings, section, (which, number)))
        current.force_constants = np.array(done[-1].force_constants)
    points = tuple(
        _average(current, temperature, done[which * iterations : (which + 1) * iterations], transient, snapshots)
        for which, temperature in enumerate(temperatures)
    )
    return SschaResult(points, done[-1].static_energy, len(plan) * (snapshots + 1))


def _iterate(
    phonon: Phonopy,
    calculator: BaseCalculator,
    temperature: float,
    settings: _Settings,
    section: Section | None,
    place: tuple[int, int],
) -> _Iteration:
    """Run one iteration of phonopy's with the current force constants, or take it from the finished ones."""
    name = f"iteration-{place[0]}-{place[1]}"
    kept = None if section is None else section.get(name)
    if kept is None:
        inner = None if section is None else Unfinished(section.path / f"{name}-snapshots")
        found = _sample(phonon, _Snapshots(calculator, settings.progress, inner), temperature, settings, place)
        if section is None or inner is None:
            return found
        section.keep(
            name,
            free_energy=found.free_energy,
            error=found.error,
            static_energy=found.static_energy,
            force_constants=found.force_constants,
        )
        inner.remove()
        return found
    return _Iteration(
        float(kept["free_energy"]), float(kept["error"]), float(kept["static_energy"]), kept["force_constants"]
    )


def _sample(
    phonon: Phonopy, snapshots: _Snapshots, temperature: float, settings: _Settings, place: tuple[int, int]
) -> _Iteration:
    seed = int(np.random.SeedSequence([settings.seed, *place]).generate_state(1)[0])
    # phonopy calls anything with its evaluate() an MLP.
    mlp: Any = snapshots
    sscha = MLPSSCHA(
        phonon,
        mlp,
        temperature=temperature,
        number_of_snapshots=settings.snapshots,
        mesh=settings.mesh,
        random_seed=seed,
    )
    sscha.sample_supercells()
    sscha.calculate_free_energy()
    displacements = np.asarray(sscha.phonopy.displacements)
    # What the snapshots leave undetermined stays as it is when it is the correction that is fitted.
    left = sscha.phonopy.forces + np.einsum("ijab,nia->njb", sscha.force_constants, displacements, optimize=True)
    correction = fit_force_constants(sscha.phonopy, displacements, left)
    return _Iteration(
        free_energy=sscha.free_energy,
        error=sscha.free_energy_error,
        static_energy=sscha.supercell_energy / sscha.n_cell,
        force_constants=_compact(phonon) + settings.mixing * correction,
    )


def _compact(phonon: Phonopy) -> Array:
    force_constants = np.array(phonon.force_constants)
    if force_constants.shape[0] == force_constants.shape[1]:
        force_constants = full_fc_to_compact_fc(phonon.primitive, force_constants)
    return force_constants


def _average(
    phonon: Phonopy, temperature: float, done: Sequence[_Iteration], transient: int, snapshots: int
) -> SschaPoint:
    modes = []
    for force_constants in [*(each.force_constants for each in done), _mean_force_constants(done[transient:])]:
        phonon.force_constants = np.array(force_constants)
        modes.append(compute_commensurate_modes(phonon))
    free_energies, errors = np.array([[each.free_energy, each.error] for each in done]).T
    sampling = float(np.sqrt((errors[transient:] ** 2).sum()) / len(errors[transient:]))
    scatter = _standard_error(free_energies[transient:])
    return SschaPoint(
        temperature=float(temperature),
        free_energy=float(free_energies[transient:].mean()),
        free_energy_error=max(sampling, scatter),
        force_constants=frozen(_mean_force_constants(done[transient:])),
        modes=modes[-1],
        history=frozen(free_energies),
        history_errors=frozen(errors),
        lowest_frequencies=frozen([each.lowest for each in modes[:-1]]),
        mean_frequencies=frozen([np.nanmean(each.frequencies) for each in modes[:-1]]),
        transient=transient,
        snapshots=snapshots,
    )


def _standard_error(values: Array) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _mean_force_constants(done: Sequence[_Iteration]) -> Array:
    mean: Array = np.mean([each.force_constants for each in done], axis=0)
    return mean


def check_settings(
    temperatures: Sequence[float], snapshots: int, iterations: int, transient: int, mixing: float, seed: int
) -> None:
    """Raise `SettingsError` for settings of `run_sscha` that make no sense."""
    if len(temperatures) == 0 or not (np.isfinite(temperatures).all() and np.min(temperatures) >= 0):
        raise SettingsError(
            f"Temperatures {list(temperatures)}", "they must be 0 K or more", "Give for example 100 300"
        )
    if snapshots < 2:
        raise SettingsError(f"{snapshots} snapshots", "a statistical error needs at least two", "Give for example 100")
    if not 0 <= transient < iterations:
        raise SettingsError(
            f"{iterations} iterations of which {transient} do not count",
            "at least one must count",
            "Give more iterations",
        )
    if not 0 < mixing <= 1:
        raise SettingsError(f"Mixing {mixing:g}", "it must be above 0 and at most 1", "Give for example 0.5")
    if seed < 0:
        raise SettingsError(f"Seed {seed}", "it cannot be negative", "Give 0 or more")
