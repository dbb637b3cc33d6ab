"""The embedded model inside what ASE offers, in the way a user of ASE writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import get_calculator_class
from ase.db import connect
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, LBFGS
from ase.phonons import Phonons

from mace_mof_calc import MaceMOF, structures
from mace_mof_calc.calculator import MACECalculator

# Of the total energy during 100 fs at 300 K in steps of 0.5 fs, eV per atom; the kinetic energy is 0.04.
ENERGY_SCATTER = 6e-5
ENERGY_DRIFT = 1.5e-5


@pytest.fixture(scope="module")
def mini() -> MaceMOF:
    return MaceMOF("mini")


@pytest.fixture
def mil53(mini: MaceMOF) -> Atoms:
    """MIL-53(Al), 38 atoms, off its minimum."""
    atoms = structures.load("MIL-53")
    atoms.rattle(0.03, seed=1)
    atoms.calc = mini
    return atoms


def test_bfgs_finds_the_minimum(mil53: Atoms) -> None:
    energy = mil53.get_potential_energy()
    assert BFGS(mil53, logfile=None).run(fmax=0.2, steps=200)
    assert np.linalg.norm(mil53.get_forces(), axis=1).max() < 0.2
    assert mil53.get_potential_energy() < energy


@pytest.mark.filterwarnings("ignore:logm result may be inaccurate:RuntimeWarning")  # of SciPy, in ASE's filter
def test_lbfgs_relaxes_a_framework_with_its_cell(mini: MaceMOF) -> None:
    atoms = structures.load("MOF-5")
    atoms.set_cell(atoms.cell * 1.02, scale_atoms=True)
    atoms.calc = mini
    energy, volume, fmax = atoms.get_potential_energy(), atoms.get_volume(), 0.015
    assert LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=fmax, steps=100)
    assert atoms.get_potential_energy() < energy
    assert atoms.get_volume() < volume
    assert np.abs(atoms.get_stress()).max() * volume / len(atoms) < 1.1 * fmax


def test_nve_dynamics_keeps_the_energy(mil53: Atoms) -> None:
    long = total_energies(mil53.copy(), mil53.calc, timestep=0.5, duration=100.0)
    slope, _ = np.polyfit(np.linspace(0.0, 1.0, len(long)), long, 1)
    assert np.std(long) < ENERGY_SCATTER
    assert abs(slope) < ENERGY_DRIFT
    # Velocity Verlet conserves the energy to second order in the time step if smooth forces are its derivative.
    fine = total_energies(mil53.copy(), mil53.calc, timestep=0.25, duration=15.0)
    assert np.std(long[: len(fine) // 2 + 1]) / np.std(fine) == pytest.approx(4.0, rel=0.1)


def total_energies(atoms: Atoms, calculator: MaceMOF, *, timestep: float, duration: float) -> np.ndarray:
    """Total energies, eV per atom, of the steps of NVE dynamics; times in fs."""
    scale = np.sqrt(300 * units.kB * atoms.get_masses())
    atoms.set_momenta(scale[:, None] * np.random.default_rng(0).normal(size=(len(atoms), 3)))
    atoms.calc = calculator
    energies: list[float] = []
    dynamics = VelocityVerlet(atoms, timestep=timestep * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    dynamics.run(round(duration / timestep))
    return np.array(energies) / len(atoms)


def test_phonons_of_ase_are_the_second_derivative(mini: MaceMOF, tmp_path: Path) -> None:
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    phonons = Phonons(atoms, mini, supercell=(2, 2, 2), delta=0.005, name=str(tmp_path / "phonons"))
    phonons.run()
    phonons.read(acoustic=False)
    # All images of an atom moving together are the atom of the primitive cell moving.
    masses = np.repeat(atoms.get_masses(), 3)
    hessian = mini.get_hessian(atoms).reshape(3 * len(atoms), -1)
    dynamical = phonons.compute_dynamical_matrix(np.zeros(3), phonons.D_N).real
    np.testing.assert_allclose(dynamical * np.sqrt(np.outer(masses, masses)), hessian, atol=0.01)


def test_class_that_ase_looks_up_is_ours(mil53: Atoms) -> None:
    energy = mil53.get_potential_energy()
    mil53.calc = get_calculator_class("mace-mof")("mini", device="cpu")
    assert isinstance(mil53.calc, MaceMOF)
    assert mil53.get_potential_energy() == energy


def test_results_survive_a_file(mil53: Atoms, tmp_path: Path) -> None:
    forces = mil53.get_forces()
    for name in ("frame.extxyz", "frame.traj", "frame.json"):
        write(tmp_path / name, mil53)
        np.testing.assert_allclose(read(tmp_path / name).get_forces(), forces, atol=1e-8)


def test_database_row_makes_the_calculator_again(mil53: Atoms, tmp_path: Path) -> None:
    energy = mil53.get_potential_energy()
    with connect(tmp_path / "results.db") as database:
        number = database.write(mil53)
    row = connect(tmp_path / "results.db").get(number)
    assert row.calculator == "mace-mof"
    assert row.energy == energy
    atoms = row.toatoms()
    atoms.calc = get_calculator_class(row.calculator)(**row.calculator_parameters)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-10)


def test_stands_in_for_mace(mini: MaceMOF, mil53: Atoms) -> None:
    assert isinstance(mini, MACECalculator)
    assert mini.get_descriptors(mil53).shape[0] == len(mil53)
