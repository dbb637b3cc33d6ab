"""Whether a crystal is stable: modes at commensurate q-points, long waves, and homogeneous strains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.elasticity.long_wave import elastic_from_phonons
from phonopy_mlp.elasticity.result import ElasticResult
from phonopy_mlp.errors import SettingsError, StructureError
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.force_constants import ForceConstantsResult, compute_force_constants, make_phonopy
from phonopy_mlp.imaginary import THRESHOLD, CommensurateModes, ImaginaryMode, compute_commensurate_modes
from phonopy_mlp.stability.curvature import curvature_noise
from phonopy_mlp.stability.long_waves import LongWaves, SoundWave, compute_long_waves, confirm_with_energies
from phonopy_mlp.stability.noise import estimate_force_constant_error, frequency_noise, measure_scatter
from phonopy_mlp.stability.strains import EigenStrain, confirm_strains, find_soft_strains
from phonopy_mlp.symmetry import TIGHT
from phonopy_mlp.unfinished import Unfinished


@dataclass(frozen=True, slots=True)
class StabilityCheck:
    """What is unstable in a crystal.

    Attributes
    ----------
    force_constants : ForceConstantsResult
        What all else was made of. Its primitive cell is the unit cell as given.
    modes : CommensurateModes
        At all commensurate q-points of the supercell.
    threshold : float
        In THz; smaller imaginary frequencies do not count.
    force_constant_error : float
        In eV/A^2, from `estimate_force_constant_error`.
    long_waves : LongWaves or None
        None where a mode at Gamma is unstable: sound velocities mean nothing before it is gone.
    elastic : ElasticResult or None
        As the force constants have it, by `elastic_from_phonons`; of a crystal under pressure it holds the coefficients
        of stress over strain at this pressure. None where a mode at Gamma is imaginary, be it within its noise: atoms
        have no place of rest in a strained cell.
    soft_strains : tuple of EigenStrain
        Eigenstrains of `elastic` whose moduli are negative beyond noise, with what energies say; lowest first.
    soft_isochoric_strains : tuple of EigenStrain
        The same among the strains of constant volume.

    """

    force_constants: ForceConstantsResult
    modes: CommensurateModes
    threshold: float
    force_constant_error: float
    long_waves: LongWaves | None = None
    elastic: ElasticResult | None = None
    soft_strains: tuple[EigenStrain, ...] = ()
    soft_isochoric_strains: tuple[EigenStrain, ...] = ()

    def noise(self, mode: ImaginaryMode) -> float:
        """Return the frequency (THz) below which a mode like this one is noise."""
        return frequency_noise(self.force_constant_error, mode.effective_mass)

    @property
    def unstable_modes(self) -> tuple[ImaginaryMode, ...]:
        """Modes below minus threshold and noise, lowest first."""
        return tuple(mode for mode in self.modes.imaginary if mode.frequency < -max(self.threshold, self.noise(mode)))

    @property
    def modes_within_noise(self) -> tuple[ImaginaryMode, ...]:
        """Modes below minus the threshold that may be noise, lowest first."""
        return tuple(mode for mode in self.modes.imaginary if -self.noise(mode) <= mode.frequency < -self.threshold)

    @property
    def unstable_waves(self) -> tuple[SoundWave, ...]:
        """Long waves that force constants and energies call unstable, lowest first; none where not looked at."""
        return tuple(wave for wave in self._suspected_waves if wave.confirmed)

    @property
    def contradicted_waves(self) -> tuple[SoundWave, ...]:
        """Long waves that force constants call unstable, and energies do not: the supercell is too small for them."""
        return tuple(wave for wave in self._suspected_waves if not wave.confirmed)

    @property
    def _suspected_waves(self) -> tuple[SoundWave, ...]:
        return () if self.long_waves is None else self.long_waves.suspected

    @property
    def unstable_strains(self) -> tuple[EigenStrain, ...]:
        """Homogeneous strains that force constants and energies call unstable, lowest first."""
        return tuple(strain for strain in self.soft_strains if strain.confirmed)

    @property
    def unstable_isochoric_strains(self) -> tuple[EigenStrain, ...]:
        """The same of constant volume: each lowers the energy, though not as fast as the lowest of all strains does."""
        return tuple(strain for strain in self.soft_isochoric_strains if strain.confirmed)

    @property
    def contradicted_strains(self) -> tuple[EigenStrain, ...]:
        """Strains that force constants call unstable, and energies do not: the supercell is too small for them."""
        return tuple(strain for strain in self.soft_strains if not strain.confirmed)

    @property
    def born_stable(self) -> bool | None:
        """Whether no homogeneous strain lowers the energy, or the enthalpy under the pressure the crystal is at rest.

        Force constants suspect a strain, and energies decide: `elastic.born_stable` alone may be wrong where the
        supercell is too small. An unstable long wave is an unstable strain; the opposite need not be: a crystal with a
        negative bulk modulus may carry every wave. None where `elastic` is None.
        """
        return None if self.elastic is None else not self._deforms

    @property
    def stable(self) -> bool:
        """Whether nothing is unstable as far as was looked."""
        return not self.unstable_modes and not self._deforms

    @property
    def _deforms(self) -> bool:
        return bool(self.unstable_waves or self.unstable_strains or self.unstable_isochoric_strains)


def check_stability(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    supercell_matrix: np.ndarray[Any, Any],
    threshold: float = THRESHOLD,
    symprec: float = TIGHT,
    progress: Progress = silent,
    unfinished: Unfinished | None = None,
) -> StabilityCheck:
    """Look for instabilities of a relaxed crystal.

    Parameters
    ----------
    atoms : Atoms
        Unit cell, at a minimum or a saddle point. It is not reduced: q-points refer to it.
    calculator : BaseCalculator
        Any ASE calculator; its linear response is used where it has one.
    supercell_matrix : ndarray
        As phonopy's ``--dim``. shape=(3, 3), dtype=int
    threshold : float, optional
        In THz.
    symprec : float, optional
        Tolerance in A at which symmetry is read.
    progress : Progress, optional
        Shows how far the force constants have come.
    unfinished : Unfinished, optional
        Keeps finished parts of the force constants.

    Raises
    ------
    CalculatorError
        The calculator failed.
    SettingsError
        The supercell matrix is not one, or makes a supercell of too many atoms.

    """
    matrix = np.asarray(supercell_matrix)
    if matrix.shape != (3, 3) or round(float(np.linalg.det(matrix))) < 1:
        raise SettingsError(
            f"Supercell matrix {matrix.tolist()}",
            "it must be 3 x 3 with a positive determinant",
            "Give np.diag([2, 2, 2])",
        )
    phonon = make_phonopy(atoms, matrix, primitive_matrix=np.eye(3), symprec=symprec)
    result = compute_force_constants(phonon, calculator, progress=progress, unfinished=unfinished)
    scatter = measure_scatter(atoms, calculator, unfinished)
    error = estimate_force_constant_error(result, scatter.forces)
    bending = curvature_noise(scatter.energy * len(atoms))
    modes = compute_commensurate_modes(phonon)
    check = StabilityCheck(result, modes, threshold, error)
    if any(np.allclose(mode.qpoint, 0) for mode in check.unstable_modes):
        return check
    waves = confirm_with_energies(compute_long_waves(phonon, error), atoms, calculator, noise=bending)
    try:
        elastic = elastic_from_phonons(phonon, symprec=TIGHT)
    except StructureError:
        # A mode at Gamma that is imaginary within its noise.
        return replace(check, long_waves=waves)
    # Density times squared velocity is a modulus, of a wave whose gradient is as long as that of a unit strain.
    noise = waves.noise * elastic.density
    soft, isochoric = (
        confirm_strains(
            find_soft_strains(phonon, elastic, noise, constant_volume=constant_volume),
            atoms,
            calculator,
            noise=bending,
        )
        for constant_volume in (False, True)
    )
    return replace(check, long_waves=waves, elastic=elastic, soft_strains=soft, soft_isochoric_strains=isochoric)
