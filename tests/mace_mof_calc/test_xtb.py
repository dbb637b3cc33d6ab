"""GFN1-xTB, for real."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed

from mace_mof_calc import GFN1xTB
from mace_mof_calc.comparators import GammaPointWarning

TBLite = pytest.importorskip("tblite.ase", reason="tblite is not installed").TBLite


def test_gfn1_is_gfn1() -> None:
    atoms = molecule("H2O")
    atoms.calc = GFN1xTB()
    assert atoms.get_potential_energy() == pytest.approx(-156.96750590276173, abs=1e-6)  # from tblite's documentation
    other = atoms.copy()
    other.calc = TBLite(method="GFN1-xTB", verbosity=0, accuracy=0.01)
    np.testing.assert_allclose(atoms.get_forces(), other.get_forces(), atol=1e-6)


def test_gfn1_noise_is_below_what_it_declares() -> None:
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=1)
    atoms.calc = GFN1xTB()
    forces = atoms.get_forces()
    away = atoms.copy()
    away.rattle(0.1, seed=2)
    atoms.calc.get_property("forces", away)
    again = atoms.calc.get_property("forces", atoms)  # from another starting density
    exact = GFN1xTB(accuracy=1e-4).get_property("forces", atoms)
    noise = atoms.calc.describe()["force_noise"]
    assert np.abs(again - forces).max() < noise
    assert np.abs(forces - exact).max() < noise


def test_narrow_cell_warns_once() -> None:
    atoms = molecule("H2O", cell=[12, 6.5, 12], pbc=True)
    atoms.calc = GFN1xTB()
    with pytest.warns(GammaPointWarning, match="6.5 Angstrom wide"):
        atoms.get_potential_energy()
    atoms.positions += 0.1
    atoms.get_potential_energy()


def test_width_is_that_between_faces() -> None:
    atoms = molecule("H2O", cell=[11, 11, 11, 90, 90, 60], pbc=True)  # edges of 11, faces 9.5 apart
    atoms.calc = GFN1xTB()
    with pytest.warns(GammaPointWarning, match="9.5 Angstrom wide"):
        atoms.get_potential_energy()


@pytest.mark.parametrize(
    ("cell", "pbc"), [([12, 12, 12], True), ([5, 5, 5], False), ([12, 12, 5], (True, True, False))]
)
def test_wide_or_open_cell_does_not_warn(cell: list[float], pbc: object) -> None:
    atoms = molecule("H2O", cell=cell, pbc=pbc)
    atoms.calc = GFN1xTB()
    atoms.get_potential_energy()


def test_failure_is_told_and_leaves_nothing_behind() -> None:
    atoms = molecule("CH3OH")
    atoms.calc = GFN1xTB()
    energy = atoms.get_potential_energy()
    atoms.calc.set(max_iterations=2)
    with pytest.raises(CalculationFailed):
        atoms.get_potential_energy()
    atoms.calc.set(max_iterations=250)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-8)
