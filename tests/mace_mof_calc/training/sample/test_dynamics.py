"""Molecular dynamics against statistical mechanics, and in pieces against the whole."""

import numpy as np
import pytest
from ase import units
from ase.calculators.emt import EMT
from springs import triclinic_springs

from mace_mof_calc.training.sample.dynamics import run_segment
from mace_mof_calc.training.sample.settings import Limits


def run(atoms, calculator, random, *, limits=None, **changes):
    options = {"temperature": 300.0, "pressure": 0.0, "timestep": 2.0, "steps": 20, "every": 10} | changes
    return run_segment(atoms, atoms, calculator, limits or Limits(), random, **options)


def test_temperature_pressure_and_fluctuations():
    """A cell of no symmetry and any orientation: the averages that statistical mechanics has for it."""
    atoms, springs = triclinic_springs()
    compliance = np.linalg.inv(springs.stiffness(atoms))
    bulk_modulus = 1 / compliance[:3, :3].sum()  # Reuss's, which is what uniform pressure sees
    temperature, pressure = 20.0, 0.01 * bulk_modulus / units.GPa
    options = {"temperature": temperature, "pressure": pressure, "timestep": 5.0}
    start = run(atoms, springs, np.random.default_rng(1), steps=200, every=200, **options)
    segment = run(start.frames[-1], springs, np.random.default_rng(2), steps=3000, every=5, **options)
    assert segment.fault is None
    assert len(segment.frames) == 600
    kinetic = np.array([frame.get_kinetic_energy() for frame in segment.frames])
    thermal = units.kB * temperature
    assert kinetic.mean() == pytest.approx(6 / 2 * thermal, rel=0.08)
    volumes = np.array([frame.get_volume() for frame in segment.frames])
    assert volumes.mean() / atoms.get_volume() - 1 == pytest.approx(-0.01, rel=0.15)
    assert volumes.var() == pytest.approx(thermal * atoms.get_volume() / bulk_modulus, rel=0.35)
    shapes = np.array([frame.cell.array for frame in segment.frames])
    assert (shapes.reshape(600, 9).std(axis=0) > 1e-3).all()


def test_pieces_make_the_whole(copper):
    whole = run(copper, EMT(), np.random.default_rng(3), steps=40)
    random, here, pieces = np.random.default_rng(3), copper, []
    for _ in range(4):
        pieces += run(here, EMT(), random, steps=10).frames
        here = pieces[-1]
    # Where a piece begins, the pressure is that of the whole step before, rather than of half of it.
    for one, other in zip(whole.frames, pieces, strict=True):
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-4)
        np.testing.assert_allclose(one.cell.array, other.cell.array, atol=1e-4)
        np.testing.assert_allclose(one.get_momenta(), other.get_momenta(), atol=1e-2)
    # What would be lost if the cell stood still at the beginning of a piece.
    forgetful = pieces[0].copy()
    del forgetful.info["cell_momentum"]
    kept, lost = (run(here, EMT(), np.random.default_rng(1)).frames[0].cell.array for here in (pieces[0], forgetful))
    assert np.abs(kept - lost).max() > 1e-3


def test_what_is_random_and_what_is_not(copper):
    first = run(copper, EMT(), np.random.default_rng(4)).frames[-1]
    assert (run(copper, EMT(), np.random.default_rng(4)).frames[-1].positions == first.positions).all()
    assert (run(copper, EMT(), np.random.default_rng(5)).frames[-1].positions != first.positions).all()
    assert not copper.has("momenta")
    assert copper.calc is None


def test_a_run_that_explodes_ends_with_what_it_has(copper):
    limits = Limits(force=15.0)
    segment = run(copper, EMT(), np.random.default_rng(1), limits=limits, temperature=2e4, steps=2000, every=1)
    assert segment.fault is not None
    assert 0 < len(segment.frames) < 2000
    assert segment.fault.partition(":")[0] in {"force", "contact", "exploded cell"}


def test_a_calculation_that_fails_ends_the_run(copper, unreliable):
    segment = run(copper, unreliable(8), np.random.default_rng(1), every=5)
    assert segment.fault == "calculation failed: CalculationFailed: no convergence"
    assert len(segment.frames) == 1
    assert run(copper, unreliable(0), np.random.default_rng(1)).frames == ()
