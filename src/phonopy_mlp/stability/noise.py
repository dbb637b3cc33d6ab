"""How much of a frequency is numerical noise."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from phonopy.physical_units import get_physical_units

from phonopy_mlp.force_constants import ForceConstantsResult

STIFFENING = 6.0
"""Relative change of a bond's stiffness with its length in 1/A: 3 a for a Morse bond with its usual a of 2 / A."""

UNIT_STEP = 1.0
"""Displacement in A that force noise is divided by where the response is differentiated: it is given for 1 A."""


def estimate_force_constant_error(result: ForceConstantsResult, force_noise: float) -> float:
    """Return the error in eV/A^2 that the force constants of a supercell make at one q-point.

    Each element of the force constants has an error of its own, whose contributions add up at random. For a
    normalised motion w, shared by all n cells of the supercell, the sum of w_i dPhi_ij w_j over the atoms i of one cell
    and j of all has the standard deviation dPhi sqrt(n). The parts of dPhi are

    * the scatter of the forces over the displacement, ``force_noise`` / d;
    * what symmetrisation changed, which is how far the force constants missed conditions that hold exactly;
    * rounding, 2.2e-16 of the largest force constant.

    One more error is the same in every cell: the residual force F says that the structure is not the minimum. A bond
    of stiffness k is off its length by F / k, and so its stiffness by F k'/k, with k'/k = `STIFFENING`.

    Parameters
    ----------
    result : ForceConstantsResult
        Force constants.
    force_noise : float
        Scatter of the calculator's forces in eV/A.

    """
    phonon = result.phonon
    cells = len(phonon.supercell) / len(phonon.primitive)
    rounding = float(np.finfo(float).eps * np.abs(result.force_constants).max())
    scatter = force_noise / (UNIT_STEP if result.method == "linear-response" else _displacement(result))
    residual = STIFFENING * (result.residual_force or 0.0)
    return float(np.sqrt(cells * (scatter**2 + result.change**2 + rounding**2) + residual**2))


def frequency_noise(error: float, mass: float) -> float:
    """Return the frequency in THz below which a mode is noise.

    A force-constant error dPhi shifts the squared frequency of a mode of mass m by dPhi / (4 pi^2 m). A mode that
    lies closer to zero than sqrt(dPhi / m) / 2 pi may therefore be zero, real or imaginary.

    Parameters
    ----------
    error : float
        dPhi in eV/A^2.
    mass : float
        Effective mass of the mode in u, as in `ImaginaryMode`.

    """
    return float(np.sqrt(error / mass) * get_physical_units().DefaultToTHz)


def _displacement(result: ForceConstantsResult) -> float:
    """Return the shortest displacement in A of a dataset."""
    dataset = cast("Any", result.phonon.dataset)
    if "displacements" in dataset:
        return float(np.linalg.norm(dataset["displacements"], axis=-1).min())
    return float(min(np.linalg.norm(each["displacement"]) for each in dataset["first_atoms"]))
