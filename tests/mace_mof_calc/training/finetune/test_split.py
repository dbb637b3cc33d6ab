"""The three parts: sizes, nothing twice, nothing lost."""

import numpy as np
import pytest

from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.finetune.split import split_by_distance, split_randomly


def parts(split):
    return [split.train.tolist(), split.valid.tolist(), split.test.tolist()]


@pytest.mark.parametrize(("count", "sizes"), [(200, (170, 15, 15)), (40, (34, 3, 3)), (10, (8, 1, 1)), (3, (1, 1, 1))])
def test_shares_are_those_of_the_paper(count, sizes):
    features = np.random.default_rng(1).normal(size=(count, 4))
    for split in (split_randomly(count, seed=1), split_by_distance(features, seed=1)):
        assert tuple(len(part) for part in parts(split)) == sizes
        assert sorted(k for part in parts(split) for k in part) == list(range(count))


def test_the_seed_decides():
    assert parts(split_randomly(50, seed=1)) == parts(split_randomly(50, seed=1))
    assert parts(split_randomly(50, seed=1)) != parts(split_randomly(50, seed=2))
    features = np.random.default_rng(1).normal(size=(50, 4))
    assert parts(split_by_distance(features, seed=1)) == parts(split_by_distance(features, seed=1))
    assert parts(split_by_distance(features, seed=1)) != parts(split_by_distance(features, seed=2))


def test_what_is_far_from_all_is_trained_on():
    features = np.random.default_rng(1).normal(scale=0.1, size=(40, 2))
    features[[7, 23]] = [[10.0, 0.0], [0.0, -10.0]]
    assert {7, 23} <= set(split_by_distance(features, seed=1).train)


def test_too_few():
    with pytest.raises(TrainingError, match="2 frames"):
        split_randomly(2, seed=1)
    with pytest.raises(TrainingError, match="2 frames"):
        split_by_distance(np.eye(2), seed=1)
