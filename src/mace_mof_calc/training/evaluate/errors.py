"""Errors of energies, forces and stresses: the numbers of Tables 3 and 4 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from ...frames import Labels, get_labels

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors on a set of frames: of its energies, of all components of its forces, and of its stresses.

    Attributes
    ----------
    group : str
        ``all``, ``source NAME``, ``kind NAME``, or ``element SYMBOL``: forces on its atoms alone.
    frames : int
        Number of frames.
    energy_rmse_total : float or None
        eV, of whole cells, energies as they are.
    energy_rmse, energy_mae : float or None
        eV/atom, energies as they are.
    energy_rmse_shifted : float or None
        eV/atom, after the mean error of each composition was taken off: what is left where two methods count energies
        from another zero.
    forces_rmse, forces_mae : float
        eV/A.
    forces_relative : float or None
        `forces_rmse` by the root mean square of the forces themselves; None where these are zero.
    stress_rmse, stress_mae : float or None
        eV/A^3, of all six components; None where no frame has a stress.
    """

    group: str
    frames: int
    energy_rmse_total: float | None
    energy_rmse: float | None
    energy_mae: float | None
    energy_rmse_shifted: float | None
    forces_rmse: float
    forces_mae: float
    forces_relative: float | None
    stress_rmse: float | None
    stress_mae: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """A frame with what was computed for it besides its labels.

    Attributes
    ----------
    atoms : Atoms
    labels, predicted : Labels
    """

    atoms: Atoms
    labels: Labels
    predicted: Labels


def pair(frames: Sequence[Atoms], predicted: Sequence[Labels]) -> list[Compared]:
    """Put labelled frames and what was computed for them together."""
    return [Compared(atoms, get_labels(atoms), found) for atoms, found in zip(frames, predicted, strict=True)]


def compute_errors(compared: Sequence[Compared]) -> tuple[Errors, ...]:
    """Compute errors of all frames, of each source, of each kind, and of the forces on each element.

    Sources and kinds are those of ``info["source"]`` and ``info["kind"]``, where frames have them.
    """
    rows = [_errors("all", compared, _energies(compared))]
    for key in ("source", "kind"):
        for name in _sorted({each.atoms.info[key] for each in compared if key in each.atoms.info}):
            own = [each for each in compared if each.atoms.info.get(key) == name]
            rows.append(_errors(f"{key} {name}", own, _energies(own)))
    for symbol in _sorted({symbol for each in compared for symbol in each.atoms.symbols}):
        own = [each for each in compared if symbol in each.atoms.symbols]
        rows.append(_errors(f"element {symbol}", own, None, symbol))
    return tuple(rows)


def _energies(compared: Sequence[Compared]) -> Array:
    """Return errors of energies, shape=(3, frames): eV, eV/atom, and the latter without each composition's mean."""
    totals = np.array([each.predicted.energy - each.labels.energy for each in compared])
    errors = totals / [len(each.atoms) for each in compared]
    compositions = np.array([each.atoms.get_chemical_formula(empirical=True) for each in compared])
    shifted = errors.copy()
    for composition in set(compositions):
        own = compositions == composition
        shifted[own] -= errors[own].mean()
    return np.array([totals, errors, shifted])


def _errors(group: str, compared: Sequence[Compared], energies: Array | None, symbol: str | None = None) -> Errors:
    masks = [slice(None) if symbol is None else each.atoms.symbols == symbol for each in compared]
    reference = np.concatenate([each.labels.forces[mask].ravel() for each, mask in zip(compared, masks, strict=True)])
    found = np.concatenate([each.predicted.forces[mask].ravel() for each, mask in zip(compared, masks, strict=True)])
    size = _rms(reference)
    stresses = [_stress_error(each) for each in compared] if energies is not None else []
    stress = np.concatenate([np.empty(0), *(each for each in stresses if each is not None)])
    return Errors(
        group=group,
        frames=len(compared),
        energy_rmse_total=None if energies is None else _rms(energies[0]),
        energy_rmse=None if energies is None else _rms(energies[1]),
        energy_mae=None if energies is None else _mean(energies[1]),
        energy_rmse_shifted=None if energies is None else _rms(energies[2]),
        forces_rmse=_rms(found - reference),
        forces_mae=_mean(found - reference),
        forces_relative=_rms(found - reference) / size if size > 0 else None,
        stress_rmse=_rms(stress) if len(stress) else None,
        stress_mae=_mean(stress) if len(stress) else None,
    )


def _stress_error(each: Compared) -> Array | None:
    if each.labels.stress is None or each.predicted.stress is None:
        return None
    error: Array = each.predicted.stress - each.labels.stress
    return error


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _mean(values: Array) -> float:
    return float(np.mean(np.abs(values)))


def _sorted(names: set[str]) -> list[str]:
    return sorted(names, key=str)
