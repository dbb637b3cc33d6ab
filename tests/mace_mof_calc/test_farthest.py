"""Choice of the farthest points."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mace_mof_calc.farthest import choose_farthest


def test_ends_of_a_line_come_first():
    line = np.arange(11.0)[:, None]
    assert_array_equal(choose_farthest(line, 3), [5, 0, 10])
    assert_array_equal(choose_farthest(line, 4, chosen=[2, 3]), [2, 3, 10, 6])


def test_given_points_count_and_are_kept():
    line = np.arange(5.0)[:, None]
    assert_array_equal(choose_farthest(line, 2, chosen=[4]), [4, 0])
    assert sorted(choose_farthest(line, 99, chosen=[1])) == [0, 1, 2, 3, 4]


def test_no_points():
    assert len(choose_farthest(np.empty((0, 3)), 4)) == 0


@given(st.integers(1, 30), st.integers(1, 35), st.integers(0, 10**6))
def test_no_point_is_taken_twice_and_a_choice_continues(npoints, count, seed):
    points = np.random.default_rng(seed).integers(0, 3, (npoints, 2)).astype(float)  # many coincide
    found = choose_farthest(points, count)
    assert len(set(found)) == len(found) == min(count, npoints)
    assert_array_equal(found[: count // 2], choose_farthest(points, count // 2) if count // 2 else [])
    distinct = len({tuple(point) for point in points})
    assert len({tuple(points[k]) for k in found}) == min(distinct, count)
