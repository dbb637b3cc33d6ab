"""How much of a frequency, and of a difference of energies, is numerical noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from phonopy.physical_units import get_physical_units

from phonopy_mlp.arrays import Array
from phonopy_mlp.evaluator import calling
from phonopy_mlp.force_constants import ForceConstantsResult
from phonopy_mlp.registry import describe
from phonopy_mlp.structures import bare
from phonopy_mlp.unfinished import Unfinished

STIFFENING = 6.0
"""Relative change of a bond's stiffness with its length in 1/A: 3 a for a Morse bond with its usual a of 2 / A."""

UNIT_STEP = 1.0
"""Displacement in A that force noise is divided by where the response is differentiated: it is given for 1 A."""


_SHIFT = 0.01
"""Typical shift of a whole crystal in A: far beyond the resolution of float32, and no surface or grid is far off."""

_JITTER = 3e-7
"""Typical displacement of each atom in A: vectors between atoms, which a shift leaves alone, are rounded anew in
float32 as well, and forces change to second order by no more than 1e-10 eV/A."""

_PAIRS = 2

SIGMAS = 3.0
"""Standard deviations that a difference of energies must exceed to mean something."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """Standard deviations of what a calculator says of a crystal.

    Attributes
    ----------
    forces : float
        Of a component of a force, in eV/A.
    energy : float
        Of the energy, in eV per atom.

    """

    forces: float
    energy: float


def measure_scatter(atoms: Atoms, calculator: BaseCalculator, unfinished: Unfinished | None = None) -> Scatter:
    """Return how far the numbers of a calculator scatter: as it declares, or as is seen, whichever is more.

    A calculator need not say in which precision it computes. A crystal is evaluated as it is, and shifted as a whole
    with its atoms jittered, by as much in both directions: to first order both changes of a force or an energy cancel,
    and what is left is rounding. An energy that float32 holds exactly was rounded to it, which alike energies hide.

    `unfinished` keeps the result, and has that of a run that was killed.

    Raises
    ------
    CalculatorError
        The calculator failed.

    """
    if unfinished is None:
        return _measure(atoms, calculator)
    where = {"numbers": atoms.numbers, "positions": atoms.positions, "lattice": atoms.cell.array}
    section = unfinished.section(calculator, method="scatter", **where)
    kept = section.get("scatter")
    if kept is not None:
        return Scatter(float(kept["forces"]), float(kept["energy"]))
    scatter = _measure(atoms, calculator)
    section.keep("scatter", forces=scatter.forces, energy=scatter.energy)
    return scatter


def _measure(atoms: Atoms, calculator: BaseCalculator) -> Scatter:
    random = np.random.default_rng(0)

    def evaluate(shifts: Array | float) -> tuple[float, Array]:
        moved = bare(atoms)
        moved.positions += shifts
        return float(calculator.get_property("energy", moved)), np.array(calculator.get_property("forces", moved))

    energies, forces = [], []
    with calling(f"the noise of {atoms.get_chemical_formula()}"):
        energy, at_rest = evaluate(0.0)
        for _ in range(_PAIRS):
            shifts = _SHIFT * random.normal(size=3) + _JITTER * random.normal(size=(len(atoms), 3))
            (there, forward), (back, backward) = evaluate(shifts), evaluate(-shifts)
            energies.append(there + back - 2 * energy)
            forces.append(forward + backward - 2 * at_rest)
    # Each is of variance 1 + 1 + 4 in that of one evaluation.
    seen = Scatter(*(float(np.sqrt(np.mean(np.square(each)) / 6)) for each in (forces, energies)))
    single = np.float32(energy)
    resolution = float(np.spacing(abs(single)) / np.sqrt(12)) if float(single) == energy else 0.0
    declared = float(describe(calculator).get("force_noise", 0.0))
    return Scatter(max(declared, seen.forces), max(seen.energy, resolution) / len(atoms))


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
