import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.testing import assert_array_equal

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.supercell import auto_supercell, parse_supercell, shortest_image_distance


def test_three_and_nine_integers():
    assert_array_equal(parse_supercell(["2", "3", "4"]), np.diag([2, 3, 4]))
    assert_array_equal(parse_supercell(list("011101110")), [[0, 1, 1], [1, 0, 1], [1, 1, 0]])


@pytest.mark.parametrize("words", ["2 2", "2 2 2 2", "2 2 x", "2 2 1.5", "0 2 2", "2 2 -2", "1 0 0 0 1 0 0 0 0"])
def test_other_words_are_refused(words):
    with pytest.raises(SettingsError, match="3 or 9 integers"):
        parse_supercell(words.split())


def test_the_shortest_image_of_fcc_is_the_neighbour_distance():
    assert shortest_image_distance(bulk("Cu", a=3.6).cell.array) == pytest.approx(3.6 / np.sqrt(2))


def test_a_skewed_cell_has_images_shorter_than_its_edges():
    cell = np.array([[5.0, 0, 0], [4.0, 1.0, 0], [0, 0, 5.0]])
    assert shortest_image_distance(cell) == pytest.approx(np.sqrt(2))


def test_auto_is_the_smallest_that_reaches():
    atoms = Atoms("Cu", cell=[4, 6, 12.5], pbc=True)
    assert_array_equal(np.diag(auto_supercell(atoms, 12)), [4, 3, 1])
    assert_array_equal(np.diag(auto_supercell(atoms, 11.9)), [3, 2, 1])


@pytest.mark.parametrize("length", [0, -1, np.nan, 1000])
def test_auto_refuses_lengths_that_make_no_sense(length):
    with pytest.raises(SettingsError):
        auto_supercell(bulk("Cu"), length)
