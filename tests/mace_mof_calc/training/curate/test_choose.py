"""Choice: spread, nested, and with every crystal system."""

import numpy as np
import pytest

from mace_mof_calc.training.curate.choose import choose
from mace_mof_calc.training.curate.describe import Description
from mace_mof_calc.training.curate.symmetry import SYSTEMS


def describe(linkers, nodes):
    pairs = zip(linkers, nodes, strict=True)
    return [Description(*(np.atleast_1d(each).astype(float) for each in pair)) for pair in pairs]


@pytest.fixture
def cloud():
    rng = np.random.default_rng(1)
    return describe(rng.normal(size=(60, 5)), rng.normal(size=(60, 3)))


def test_all_systems_are_kept(cloud):
    systems = [SYSTEMS[0]] * 50 + [SYSTEMS[k] for k in range(1, 7)] + [SYSTEMS[1]] * 4
    for count in (7, 12, 60, 99):
        choice = choose(cloud, systems, count)
        assert choice.count == min(count, 60)
        assert {systems[k] for k in choice.chosen} == set(SYSTEMS)
    # fewer than there are systems: the rare ones first
    assert [systems[k] for k in choose(cloud, systems, 3).chosen].count(SYSTEMS[0]) == 0


def test_a_small_choice_is_the_beginning_of_a_larger_one(cloud):
    systems = ["cubic"] * 60
    large = choose(cloud, systems, 30)
    assert (choose(cloud, systems, 5).chosen == large.chosen[:5]).all()
    assert sorted(large.order) == list(range(60))
    assert (np.diff(large.gaps) <= 0.0).all()
    assert large.gaps[-1] == 0.0


def test_it_spreads():
    # Two clusters and a point far away: one of each comes first.
    linkers = [0.0, 0.01, 0.02, 5.0, 5.01, 5.02, 20.0]
    choice = choose(describe(linkers, np.zeros(7)), ["cubic"] * 7, 3)
    assert {round(linkers[k] / 5) for k in choice.chosen} == {0, 1, 4}


def test_linkers_and_nodes_count_alike():
    # In other units the choice is the same.
    rng = np.random.default_rng(2)
    linkers, nodes = rng.normal(size=(40, 4)), rng.normal(size=(40, 2))
    one = choose(describe(linkers, nodes), ["cubic"] * 40, 10)
    other = choose(describe(1000.0 * linkers + 7.0, nodes), ["cubic"] * 40, 10)
    assert (one.chosen == other.chosen).all()
    assert one.gaps == pytest.approx(other.gaps)


def test_one_structure_and_structures_that_are_alike():
    assert choose(describe([1.0], [2.0]), ["cubic"], 5).chosen.tolist() == [0]
    assert len(choose(describe(np.ones(4), np.ones(4)), ["cubic"] * 4, 2).chosen) == 2
