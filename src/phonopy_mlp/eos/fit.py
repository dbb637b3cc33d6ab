"""Equations of state, fitted to energies and volumes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from ase.units import GPa
from phonopy.qha.eos import get_eos
from scipy.optimize import OptimizeWarning, curve_fit

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import ConvergenceError, SettingsError, StructureError

Eos = Literal["birch_murnaghan", "vinet", "murnaghan"]
"""phonopy's names. phonopy itself takes every other name for Vinet's."""

_FIT_TOLERANCE = 1e-12

_FIT_STEP = 1e-6
"""Relative step of numerical derivatives: over a few per cent shorter ones are lost in Murnaghan's rounding."""


@dataclass(frozen=True, slots=True)
class EosFit:
    """An equation of state fitted to energies at some volumes, all in whatever cell these are of.

    Attributes
    ----------
    eos : str
        Name of the equation.
    volume, volume_error : float
        Volume of least energy and its standard uncertainty in A^3.
    energy, energy_error : float
        Energy there in eV.
    bulk_modulus, bulk_modulus_error : float
        Bulk modulus there in GPa.
    derivative, derivative_error : float
        Its derivative with respect to pressure.
    residuals : ndarray
        Energies minus fit in eV, read-only. shape=(volumes,)

    """

    eos: Eos
    volume: float
    volume_error: float
    energy: float
    energy_error: float
    bulk_modulus: float
    bulk_modulus_error: float
    derivative: float
    derivative_error: float
    residuals: Array

    @property
    def residual_rms(self) -> float:
        """Root mean square of `residuals` in eV."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def energies(self, volumes: Array) -> Array:
        """Return the equation's energies in eV at some volumes in A^3."""
        parameters = np.array([self.energy, self.bulk_modulus * GPa, self.derivative, self.volume])
        return get_eos(self.eos)(np.asarray(volumes, dtype=float), parameters)


def fit_eos(volumes: Array, energies: Array, eos: Eos = "birch_murnaghan") -> EosFit:
    """Fit an equation of state by least squares.

    Standard uncertainties are those of unweighted energies whose scatter is that of the residuals. Such scatter is no
    noise, as a rule, but the equation's own failure, and the true error may be several times as large: soft frameworks
    do not follow any of these equations over 6 % in volume. Fewer per cent tell how much it matters.

    Parameters
    ----------
    volumes : ndarray
        In A^3. shape=(volumes,)
    energies : ndarray
        In eV. shape=(volumes,)
    eos : str, optional
        phonopy's name of the equation.

    Raises
    ------
    StructureError
        The energy has no minimum between the volumes; says which way it lies.
    ConvergenceError
        Energies are not finite, or the fit did not converge.
    SettingsError
        There is no such equation.

    """
    check_name(eos)
    if not np.isfinite(energies).all():
        raise ConvergenceError(
            "Energies that are not finite cannot be fitted",
            f"{np.count_nonzero(~np.isfinite(energies))} of {len(energies)} are not",
            "Check whether the model covers this structure",
        )
    function = get_eos(eos)
    # The equations are homogeneous in energy and volume. In these units all parameters but one are of the order of 1.
    scale, shift = float(volumes.mean()), float(energies.min())
    x, y = volumes / scale, (energies - shift) / scale
    curvature, slope, constant = np.polyfit(x - 1, y, 2)
    if curvature <= 0:
        raise _no_minimum(volumes, energies)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            found, covariance = curve_fit(
                lambda v, *parameters: function(v, np.array(parameters)),
                x,
                y,
                p0=[constant, 2 * curvature, 4.0, np.clip(1 - slope / (2 * curvature), x.min(), x.max())],
                xtol=_FIT_TOLERANCE,
                ftol=_FIT_TOLERANCE,
                gtol=_FIT_TOLERANCE,
                epsfcn=_FIT_STEP**2,
            )
    except (RuntimeError, OptimizeWarning) as error:
        if np.argmin(energies) in (0, len(energies) - 1):
            raise _no_minimum(volumes, energies) from error
        raise ConvergenceError(
            f"The equation of state '{eos}' was not fitted", str(error), "Look at the energies, and take other volumes"
        ) from error
    energy, modulus, derivative, volume = found
    if not (modulus > 0 and x.min() <= volume <= x.max()):
        raise _no_minimum(volumes, energies)
    energy_error, modulus_error, derivative_error, volume_error = np.sqrt(np.diag(covariance))
    return EosFit(
        eos=eos,
        volume=float(volume) * scale,
        volume_error=float(volume_error) * scale,
        energy=float(energy) * scale + shift,
        energy_error=float(energy_error) * scale,
        bulk_modulus=float(modulus) / GPa,
        bulk_modulus_error=float(modulus_error) / GPa,
        derivative=float(derivative),
        derivative_error=float(derivative_error),
        residuals=frozen(scale * (y - function(x, found))),
    )


def _no_minimum(volumes: Array, energies: Array) -> StructureError:
    lowest = int(np.argmin(energies))
    smaller = volumes[lowest] < (volumes.min() + volumes.max()) / 2
    return StructureError(
        f"The energy has no minimum between {volumes.min():.6g} and {volumes.max():.6g} A^3",
        f"it falls towards {'smaller' if smaller else 'larger'} volumes",
        f"{'Compress' if smaller else 'Expand'} the cell, or relax it first",
    )


def check_name(eos: str) -> None:
    """Raise `SettingsError` for an equation of state that phonopy does not have: it would take Vinet's instead."""
    if eos not in get_args(Eos):
        raise SettingsError(
            f"Equation of state '{eos}'", "there is no such equation", f"Give {', '.join(get_args(Eos))}"
        )
