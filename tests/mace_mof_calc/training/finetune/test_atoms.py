"""Energies of free atoms: as labelled, or fitted."""

import numpy as np
import pytest
from ase import Atoms
from metals import make_free_atom

from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.finetune.atoms import add_up, fit_energies, is_free_atom, read_free_atoms


def test_a_free_atom_has_no_neighbour_nor_image():
    assert is_free_atom(Atoms("N"), 5.0)
    assert is_free_atom(Atoms("N", cell=[12] * 3, pbc=True), 5.0)
    assert not is_free_atom(Atoms("Cu", cell=[2.6] * 3, pbc=True), 5.0)
    assert not is_free_atom(Atoms("N2", positions=[[0, 0, 0], [0, 0, 20]]), 5.0)


def test_energies_are_read():
    assert read_free_atoms([make_free_atom("N", -3.0), make_free_atom("O", -4.0)]) == {7: -3.0, 8: -4.0}
    with pytest.raises(TrainingError, match="two energies of a free atom of N"):
        read_free_atoms([make_free_atom("N", -3.0), make_free_atom("N", -3.1)])


def test_a_fit_finds_what_was_put_in():
    true = {1: -1.5, 6: -40.0, 8: -75.25}
    frames = [Atoms(formula) for formula in ("H2O", "CO2", "CH4", "CH4O", "C6H6")]
    energies = np.array([add_up(atoms, true) for atoms in frames])
    assert fit_energies(frames, energies, [1, 6, 8]) == pytest.approx(true)


def test_one_composition_gives_the_smallest_solution():
    found = fit_energies([Atoms("H2O"), Atoms("H4O2")], np.array([5.0, 10.0]), [1, 8])
    assert found == pytest.approx({1: 2.0, 8: 1.0})  # along the composition (2, 1)
    assert fit_energies([Atoms("H2O")], np.array([5.0]), [7]) == {7: 0.0}
