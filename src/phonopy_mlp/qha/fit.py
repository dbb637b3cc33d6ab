"""phonopy's fit of the free energy over volumes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from phonopy.physical_units import get_physical_units
from phonopy.qha.qha import QHAResult, run_qha
from phonopy.structure.symmetry import NosymDataset

from phonopy_mlp.eos.fit import Eos
from phonopy_mlp.errors import ConvergenceError
from phonopy_mlp.qha.point import LatticePoint

Array = np.ndarray[Any, Any]


def fit_volumes(points: Sequence[LatticePoint], temperatures: Array, eos: Eos) -> QHAResult:
    """Run phonopy's quasi-harmonic approximation on thermal properties that are there already.

    Parameters
    ----------
    points : sequence of LatticePoint
        At least five volumes, ascending.
    temperatures : ndarray
        In K, of the points' thermal properties; the last is used up by differences.
    eos : str
        Equation of state.

    Returns
    -------
    QHAResult
        Per primitive cell, in eV, A and K, without lattice parameters: those of the points are of the static crystal.

    Raises
    ------
    ConvergenceError
        The equation of state does not fit at some temperature, or has its minimum outside the volumes.

    """
    stand_ins: Any = [_stand_in(point) for point in points]
    # Derivatives that phonopy's fit takes by differences drown in the rounding of a total energy.
    origin = min(point.energy + point.thermal.free_energy[0] for point in points)
    with warnings.catch_warnings():
        # Fits that fail are missed below, and the static lattice parameters are not kept.
        warnings.simplefilter("ignore")
        try:
            result = run_qha(stand_ins, temperatures, [point.energy - origin for point in points], eos=eos)
        except RuntimeError as error:
            raise _fit_failed(eos, str(error)) from error
    if len(result.temperatures) != len(temperatures) - 1:
        missed = sorted(set(temperatures[:-1]) - set(result.temperatures))
        raise _fit_failed(eos, f"at {len(missed) or 1} temperatures, from {min(missed, default=temperatures[-1]):g} K")
    volumes = result.equilibrium_volumes
    outside = np.flatnonzero(~((volumes > points[0].volume) & (volumes < points[-1].volume)))
    if len(outside):
        k = outside[0]
        raise _fit_failed(
            eos, f"its minimum at {result.temperatures[k]:g} K is at {volumes[k]:g} A^3, outside the volumes computed"
        )
    return replace(
        result,
        helmholtz_volume=result.helmholtz_volume + origin,
        eos_parameters=result.eos_parameters + np.array([origin, 0, 0, 0]),
        gibbs_free_energies=result.gibbs_free_energies + origin,
        enthalpy_temperature=result.enthalpy_temperature + origin,
        lattice=None,
    )


def _stand_in(point: LatticePoint) -> SimpleNamespace:
    """Return what `run_qha` asks of a Phonopy object, with the answers that are known: nothing is computed twice."""
    units = get_physical_units()
    thermal = SimpleNamespace(
        free_energy=point.thermal.free_energy * units.EvTokJmol,
        entropy=point.thermal.entropy * units.EvTokJmol * 1000,
        heat_capacity=point.thermal.heat_capacity * units.EvTokJmol * 1000,
    )
    none = NosymDataset(np.eye(3, dtype=int)[None], np.zeros((1, 3)), np.eye(3), "1")
    return SimpleNamespace(
        primitive=SimpleNamespace(volume=point.volume),
        unitcell=SimpleNamespace(cell=point.atoms.cell.array),
        symmetry=SimpleNamespace(dataset=none),
        force_constants=(),
        run_mesh=lambda *_, **__: None,
        run_thermal_properties=lambda **_: thermal,
    )


def _fit_failed(eos: str, reason: str) -> ConvergenceError:
    return ConvergenceError(
        f"The equation of state '{eos}' could not be fitted to F(V)",
        reason,
        "Look at F(V), and choose another equation of state, strain or temperatures",
    )
