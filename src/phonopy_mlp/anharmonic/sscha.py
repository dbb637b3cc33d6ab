"""Self-consistent harmonic approximation, phonopy's, on any ASE calculator."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy

from phonopy_mlp.anharmonic.iteration import Iteration, Settings, iterate
from phonopy_mlp.anharmonic.result import SschaPoint, SschaResult
from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import SettingsError, StructureWarning
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.phonons import MESH
from phonopy_mlp.unfinished import Unfinished

SNAPSHOTS, ITERATIONS, MIXING = 100, 10, 0.5
"""Defaults of `run_sscha`."""


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

    Warns
    -----
    StructureWarning
        Modes of a temperature's mean force constants are imaginary.

    References
    ----------
    I. Errea, M. Calandra, F. Mauri, Phys. Rev. B 89, 064302 (2014).
    A. Togo et al., phonopy, ``phonopy.sscha``.

    """
    if phonon.force_constants is None:
        raise SettingsError("A crystal without force constants", "there is nothing to start from", "Compute them first")
    transient = iterations // 2 if transient is None else transient
    check_settings(temperatures, snapshots, iterations, transient, mixing, seed)
    settings = Settings(snapshots, mixing, mesh, seed, progress)
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
    done: list[Iteration] = []
    for which, number in progress(plan, len(plan), "Iterations"):
        done.append(iterate(current, calculator, temperatures[which], settings, section, (which, number)))
        current.force_constants = np.array(done[-1].force_constants)
    points = tuple(
        _average(current, temperature, done[which * iterations : (which + 1) * iterations], transient, snapshots)
        for which, temperature in enumerate(temperatures)
    )
    for point in points:
        _warn_of_imaginary_modes(point)
    return SschaResult(points, done[-1].static_energy, len(plan) * (snapshots + 1))


def _average(
    phonon: Phonopy, temperature: float, done: Sequence[Iteration], transient: int, snapshots: int
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


def _warn_of_imaginary_modes(point: SschaPoint) -> None:
    count = point.modes.count_imaginary()
    if count:
        warnings.warn(
            f"{count} self-consistent modes are imaginary at {point.temperature:g} K, the lowest at "
            f"{point.modes.lowest:.4f} THz: the crystal is not stable there or the iterations have not converged, and "
            "the free energy lacks these modes. Give more iterations and snapshots, or remove the instability first.",
            StructureWarning,
            stacklevel=3,
        )


def _standard_error(values: Array) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _mean_force_constants(done: Sequence[Iteration]) -> Array:
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
    if len(set(temperatures)) < len(temperatures):
        raise SettingsError(f"Temperatures {list(temperatures)}", "one is there twice", "Give each once")
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
