"""phonopy's fit of F(V) on a free energy that is an equation of state at each temperature."""

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from phonopy.qha.eos import get_eos

from phonopy_mlp.qha.crystal import Crystal
from phonopy_mlp.qha.fit import fit_volumes
from phonopy_mlp.qha.point import LatticePoint
from phonopy_mlp.qha.thermal import ThermalProperties

TEMPERATURES = np.arange(0, 220, 20)
VOLUMES = np.linspace(4250, 4400, 9)


def known(temperature):
    """Return E_0, B_0, B'_0 and V_0 of a soft framework."""
    return 17 - 3e-5 * temperature**2, 0.06 - 1e-4 * temperature, 2 - 0.02 * temperature, 4360 - 0.15 * temperature


def points(energy):
    """Return volumes whose static energy is one number, with all else in the free energy."""
    eos = get_eos("birch_murnaghan")
    flat = np.ones(len(TEMPERATURES))
    return [
        LatticePoint(
            Crystal(Atoms("H", cell=[np.cbrt(volume)] * 3, pbc=True), np.eye(3, dtype=int), 1e-5),
            volume,
            energy,
            0.1,
            np.zeros(3),
            0,
            ThermalProperties(np.array([eos(volume, known(t)) for t in TEMPERATURES]), flat, flat, 0.0),
            0,
            0,
            {},
        )
        for volume in VOLUMES
    ]


@pytest.mark.parametrize("energy", [0.0, -6630.0])
def test_a_large_total_energy_costs_no_digits(energy):
    found = fit_volumes(points(energy), TEMPERATURES, "birch_murnaghan")
    base, bulk, slope, volume = np.transpose([known(t) for t in TEMPERATURES[:-1]])
    assert_allclose(found.bulk_moduli, bulk, rtol=1e-5)
    assert_allclose(found.eos_parameters, np.transpose([base + energy, bulk, slope, volume]), rtol=1e-5, atol=1e-3)
    assert_allclose(found.equilibrium_volumes, volume, rtol=1e-7)
    assert_allclose(found.gibbs_free_energies, base + energy, atol=1e-7)
    assert_allclose(
        found.enthalpy_temperature, found.gibbs_free_energies + TEMPERATURES[:-1] * found.entropy_temperature
    )
    assert_allclose(found.helmholtz_volume[0], [p.energy + p.thermal.free_energy[0] for p in points(energy)])
