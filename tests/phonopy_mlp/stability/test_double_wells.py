"""The crystals that the other tests here trust."""

import pytest
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from double_wells import Appearing, DoubleWells, Shearing, argon, caesium_chloride
from numpy.testing import assert_allclose

CRYSTALS = [
    (caesium_chloride().repeat((2, 1, 1)), DoubleWells((-1, 2, 3), coupling=-0.2)),
    (caesium_chloride().repeat((2, 1, 1)), Appearing(appears=0.9)),
    (argon().repeat((2, 2, 1)), Shearing()),
    (argon().repeat((2, 2, 1)), Shearing(alpha=-1.0, gamma=30.0, delta=200.0)),
]


@pytest.mark.parametrize(("atoms", "calculator"), CRYSTALS, ids=["wells", "appearing", "shearing", "swelling"])
def test_forces_and_stress_are_derivatives_of_the_energy(atoms, calculator):
    moved = atoms.copy()
    moved.rattle(0.05, seed=1)
    moved.calc = calculator
    assert_allclose(moved.get_forces(), calculate_numerical_forces(moved, 1e-4), atol=1e-7)
    numerical = calculate_numerical_stress(moved, 1e-5, force_consistent=False)
    assert_allclose(moved.get_stress(), numerical, atol=1e-8)
