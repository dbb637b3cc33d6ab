"""Hessians by symmetry against all rows, and through a file."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT

from mace_mof_calc.errors import FramesError
from mace_mof_calc.frames import read_frames, write_frames
from mace_mof_calc.training import hessians
from mace_mof_calc.training.hessians import (
    attach_hessian,
    choose_atoms,
    complete,
    compute_rows,
    find_operations,
    get_hessian,
)


@pytest.fixture(scope="module")
def alloy():
    """Eight atoms of tetragonal symmetry, in a cell that is turned, with a translation of its own."""
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[:2] = "AuAg"
    atoms *= (1, 1, 2)
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    return atoms


def compute(atoms, indices):
    return {index: compute_rows(atoms, index, EMT()) for index in indices}


def test_rows_that_follow_by_symmetry_are_those_that_are_computed(alloy):
    operations = find_operations(alloy)
    chosen = choose_atoms(operations)
    assert (len(operations), chosen) == (16, [0, 1, 2, 3])
    known = compute(alloy, range(8))
    full = np.reshape([known[index] for index in range(8)], (24, 24))
    # The cell is turned, and differences along other directions have other errors of the fourth order.
    found = complete(compute(alloy, chosen), operations)
    np.testing.assert_allclose(found, full, atol=1e-3)
    np.testing.assert_allclose(complete(known, operations), found, atol=1e-9)
    assert np.abs(full).max() > 15


def test_noise_is_averaged_over_what_is_the_same(alloy):
    operations, random = find_operations(alloy), np.random.default_rng(1)
    exact = compute(alloy, choose_atoms(operations))
    noisy = {index: rows + random.normal(scale=1e-3, size=rows.shape) for index, rows in exact.items()}
    left = complete(noisy, operations) - complete(exact, operations)
    assert 1e-5 < left.std() < 0.7e-3  # eight operations keep each atom where it is


@pytest.mark.parametrize("spglib", [True, False])
def test_without_symmetry_rows_stay_as_they_are(alloy, spglib, monkeypatch):
    atoms = alloy.copy()
    if spglib:
        atoms.rattle(0.05, seed=1)
    else:
        monkeypatch.setattr(hessians, "find_spec", lambda name: None)
    operations = find_operations(atoms)
    assert (len(operations), choose_atoms(operations)) == (1, list(range(8)))
    known = compute(atoms, range(8))
    rows = [known[index] for index in range(8)]
    np.testing.assert_allclose(complete(known, operations).reshape(8, 3, 8, 3), rows, atol=1e-12)


def test_what_is_not_periodic_or_overlaps_has_no_symmetry(alloy):
    open_axis, overlapping = alloy.copy(), alloy.copy()
    open_axis.pbc[2] = False
    overlapping.positions[4] = overlapping.positions[0]
    assert len(find_operations(open_axis)) == len(find_operations(overlapping)) == 1


def test_numbers_that_are_not_finite_are_a_failure(alloy):
    class Broken(EMT):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.results["forces"] = np.full((8, 3), np.nan)

    with pytest.raises(CalculationFailed, match="Hessian not finite"):
        compute_rows(alloy, 0, Broken())


def test_a_hessian_survives_a_file(alloy, tmp_path):
    random = np.random.default_rng(1)
    matrix = random.normal(size=(24, 24)) * 10.0 ** random.integers(-6, 3, size=(24, 24))
    write_frames(tmp_path / "h.extxyz", [attach_hessian(alloy, matrix), attach_hessian(alloy[:1], np.eye(3))])
    first, second = read_frames(tmp_path / "h.extxyz")
    np.testing.assert_allclose(get_hessian(first), matrix, rtol=0, atol=0.51e-8)
    assert np.array_equal(get_hessian(second), np.eye(3))


def test_hessians_that_are_none_are_refused(alloy):
    alloy = alloy.copy()
    alloy.info["name"] = "alloy"
    with pytest.raises(FramesError, match="Frame alloy has no REF_hessian"):
        get_hessian(alloy)
    alloy.arrays["REF_hessian"] = np.zeros((8, 9))
    with pytest.raises(FramesError, match=r"shape \(8, 9\).*Expected \(8, 72\)"):
        get_hessian(alloy)
    with pytest.raises(FramesError, match="not finite"):
        get_hessian(attach_hessian(alloy, np.full((24, 24), np.inf)))
