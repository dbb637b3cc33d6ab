"""Relaxations, and how they end."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState

from mace_mof_calc.training.sample.relaxation import relax
from mace_mof_calc.training.sample.settings import Limits


def find_minimum():
    """Return the volume per atom of fcc copper by EMT, from its equation of state."""
    points = []
    for edge in np.linspace(3.55, 3.63, 9):
        atoms = bulk("Cu", a=edge)
        atoms.calc = EMT()
        points.append((atoms.get_volume(), atoms.get_potential_energy()))
    return EquationOfState(*np.transpose(points)).fit()[0]


def test_a_crystal_relaxes_to_its_minimum(copper):
    found = relax(copper, EMT(), Limits(), fmax=1e-3, steps=100)
    assert found.converged
    assert found.failure is None
    assert found.largest < 1e-3
    assert (found.frames[0].positions == copper.positions).all()
    assert found.frames[-1].get_volume() / 4 == pytest.approx(find_minimum(), rel=1e-3)
    assert found.faults == (None,) * len(found.frames)


def test_a_fixed_cell_stays(copper):
    found = relax(copper, EMT(), Limits(), fmax=1e-3, steps=100, cell=False)
    assert found.converged
    assert found.largest < 1e-3
    assert all((frame.cell == copper.cell).all() for frame in found.frames)


def test_a_relaxation_may_take_too_long(copper):
    found = relax(copper, EMT(), Limits(), fmax=1e-6, steps=3)
    assert not found.converged
    assert found.failure is None
    assert len(found.frames) == 4


def test_it_goes_on_through_large_forces_and_not_through_cells(copper):
    found = relax(copper, EMT(), Limits(force=0.1), fmax=1e-2, steps=100)
    assert found.faults[0].startswith("force: ")
    assert found.faults[-1] is found.failure is None
    swollen = copper.copy()
    swollen.set_cell(copper.cell * 1.06, scale_atoms=True)  # shrinks by more than the limit
    found = relax(swollen, EMT(), Limits(stretch=1.01), fmax=1e-2, steps=100)
    assert found.failure.startswith("exploded cell: ")
    assert found.faults[-1] == found.failure
    assert not found.converged


def test_failures_are_told(copper, unreliable):
    found = relax(copper, unreliable(3), Limits(), fmax=1e-3, steps=100)
    assert found.failure == "calculation failed: CalculationFailed: no convergence"
    assert len(found.frames) == len(found.faults) == 3
    never = relax(copper, unreliable(0), Limits(), fmax=1e-3, steps=100)
    assert never.frames == ()
