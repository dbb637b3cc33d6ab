"""How sound force constants are numerically: what must vanish, how far it does not, and from where that matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from phonopy_mlp.force_constants import ForceConstantsResult
from phonopy_mlp.imaginary import THRESHOLD, CommensurateModes
from phonopy_mlp.stability.noise import frequency_noise

LARGE_FORCE = 1e-2
"""Residual force in eV/A: with `stability.noise.STIFFENING` it changes force constants by 0.06 eV/A^2, which is more
than what a mode of 1 THz has in a framework (mean mass 10 u)."""

LARGE_NET_FORCE = 1e-4
"""Sum of all forces in eV/A: if a tenth of it changes with a displacement of 0.001 A, force constants are off by
0.01 eV/A^2, which is what a mode of 0.5 THz has."""

LARGE_ERROR = 0.1
"""Frequency in THz that a mode would have of an error of the force constants alone. It shifts a mode of 0.5 THz by
0.01 THz, the pitch of the paper's densities of states."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One number that says something about the force constants.

    Attributes
    ----------
    name : str
    value : float, str or None
        None where it is not known: what was read from a file has no forces at rest.
    unit : str
    limit : float or str
        The largest value, or the one value, that is sound.
    is_sound : bool
    label : str
        Name and value in a few words.
    warning : str
        What it means where it is not sound.

    """

    name: str
    value: float | str | None
    unit: str
    limit: float | str
    is_sound: bool
    label: str
    warning: str


@dataclass(frozen=True, slots=True)
class Health:
    """Numerical health of force constants.

    Attributes
    ----------
    checks : tuple of HealthCheck
        ``residual_force``, ``net_force``, ``acoustic_sum_rule``, ``symmetrisation``, ``precision`` and, where modes
        were given, ``imaginary_modes``.

    """

    checks: tuple[HealthCheck, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not sound, a sentence or two each."""
        return tuple(check.warning for check in self.checks if not check.is_sound)

    @property
    def doubts(self) -> dict[str, dict[str, Any]]:
        """The checks that are not sound by name: value and warning, as plain data."""
        return {
            check.name: {"value": check.value, "warning": check.warning} for check in self.checks if not check.is_sound
        }

    @property
    def summary(self) -> str:
        """One line."""
        known = ", ".join(check.label for check in self.checks if check.value is not None)
        doubtful = [_in_words(check.name) for check in self.checks if not check.is_sound]
        return f"Health: {known}; {'doubtful: ' + ', '.join(doubtful) if doubtful else 'sound'}."

    def describe(self) -> dict[str, Any]:
        """Return the checks as plain data, by name."""
        return {
            check.name: {"value": check.value, "unit": check.unit, "limit": check.limit, "sound": check.is_sound}
            for check in self.checks
        }


def assess_health(
    result: ForceConstantsResult, modes: CommensurateModes | None, calculator: Mapping[str, Any] | None = None
) -> Health:
    """Judge force constants by what must hold whatever the crystal is.

    Parameters
    ----------
    result : ForceConstantsResult
        Force constants.
    modes : CommensurateModes or None
        Their modes; None where imaginary ones are told of elsewhere.
    calculator : mapping, optional
        What the calculator says of itself; its ``dtype`` is looked at, where it has one.

    """
    dtype = (calculator or {}).get("dtype")
    return Health(
        (
            _force(
                "residual_force",
                result.residual_force,
                LARGE_FORCE,
                "Forces of up to {:.3f} eV/A are left on the atoms: this is not the minimum of this calculator, and "
                "its phonons mean little. Relax first (--relax).",
            ),
            _force(
                "net_force",
                result.net_force,
                LARGE_NET_FORCE,
                "The forces add up to {:.1e} eV/A and not to nothing: the energy changes where all atoms move "
                "together. Compute in a higher precision, or with a calculator whose forces are exact.",
            ),
            _error("acoustic_sum_rule", result.drift, result, "The acoustic sum rule, imposed since, was off"),
            _error("symmetrisation", result.change, result, "Symmetrisation changed force constants"),
            _precision(None if dtype is None else str(dtype)),
            *(() if modes is None else (_imaginary(modes),)),
        )
    )


def _force(name: str, force: float | None, limit: float, warning: str) -> HealthCheck:
    if force is None:
        return HealthCheck(name, None, "eV/angstrom", limit, is_sound=True, label="", warning="")
    label = f"{_in_words(name)} {force:.1e} eV/A"
    return HealthCheck(name, force, "eV/angstrom", limit, force <= limit, label, warning.format(force))


def _error(name: str, error: float, result: ForceConstantsResult, what: str) -> HealthCheck:
    """Judge an error of force constants in eV/A^2 by the frequency that it would give to all atoms of the cell."""
    mass = float(result.phonon.primitive.masses.mean())
    frequency = frequency_noise(error, mass)
    return HealthCheck(
        name,
        error,
        "eV/angstrom^2",
        (LARGE_ERROR / frequency_noise(1.0, mass)) ** 2,
        frequency <= LARGE_ERROR,
        f"{_in_words(name)} {error:.1e} eV/A^2 ({frequency:.1g} THz)",
        f"{what} by {error:.1e} eV/A^2, as much as a mode of {frequency:.2f} THz has: lower modes are not determined. "
        "Use linear response or a shorter displacement, in double precision.",
    )


def _precision(dtype: str | None) -> HealthCheck:
    return HealthCheck(
        "precision",
        dtype,
        "",
        "float64",
        dtype in (None, "float64"),
        f"{dtype}",
        f"The model computed in {dtype}, which is not enough for modes below some 0.1 THz, nor for displacements of "
        "0.001 A. Use --dtype float64.",
    )


def _imaginary(modes: CommensurateModes) -> HealthCheck:
    count = modes.count_imaginary()
    share = count / int(np.isfinite(modes.frequencies).sum())
    return HealthCheck(
        "imaginary_modes",
        share,
        "share of modes at commensurate q-points",
        0.0,
        count == 0,
        f"{100 * share:.3g} % of modes imaginary",
        f"{count} imaginary modes below -{THRESHOLD:g} THz at commensurate q-points ({100 * share:.3g} % of all, "
        f"lowest {modes.lowest:.3f} THz). phonopy leaves imaginary modes out of thermal properties without a word: "
        "relax further (--relax), or remove them (--stabilise).",
    )


def _in_words(name: str) -> str:
    return name.replace("_", " ")
