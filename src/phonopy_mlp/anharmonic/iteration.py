"""One iteration of phonopy's self-consistent harmonic approximation, computed or finished before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy
from phonopy.harmonic.force_constants import full_fc_to_compact_fc
from phonopy.sscha.core import MLPSSCHA
from phonopy.structure.atoms import PhonopyAtoms

from phonopy_mlp.anharmonic.least_squares import fit_force_constants
from phonopy_mlp.arrays import Array
from phonopy_mlp.evaluator import Evaluator, Progress
from phonopy_mlp.unfinished import Section, Unfinished


@dataclass(frozen=True, slots=True)
class Iteration:
    """What one iteration of phonopy's gives: free energy of what it sampled, and new force constants."""

    free_energy: float
    error: float
    static_energy: float
    force_constants: Array


@dataclass(frozen=True, slots=True)
class Settings:
    """What all iterations have in common; as of `run_sscha`."""

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


def iterate(
    phonon: Phonopy,
    calculator: BaseCalculator,
    temperature: float,
    settings: Settings,
    section: Section | None,
    place: tuple[int, int],
) -> Iteration:
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
    return Iteration(
        float(kept["free_energy"]), float(kept["error"]), float(kept["static_energy"]), kept["force_constants"]
    )


def _sample(
    phonon: Phonopy, snapshots: _Snapshots, temperature: float, settings: Settings, place: tuple[int, int]
) -> Iteration:
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
    return Iteration(
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
