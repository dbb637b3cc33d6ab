"""Division of frames into those that are trained on, validated with, and never seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import TrainingError
from ...farthest import choose_farthest

Array = np.ndarray[Any, Any]

HELD_OUT = 0.075
"""Share of the frames that are validated with, and the share that is never seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A division of frames.

    Attributes
    ----------
    train, valid, test : ndarray of int
        Indices of frames, in an order without meaning.
    """

    train: Array
    valid: Array
    test: Array


def split_randomly(count: int, seed: int) -> Split:
    """Divide frames at random, 85 to 7.5 to 7.5, each of the three at least one frame.

    Parameters
    ----------
    count : int
        Number of frames.
    seed : int

    Raises
    ------
    TrainingError
        There are fewer than three frames.
    """
    held_out = _count_held_out(count)
    order = np.random.default_rng(seed).permutation(count)
    return Split(order[2 * held_out :], order[:held_out], order[held_out : 2 * held_out])


def split_by_distance(features: Array, seed: int) -> Split:
    """Divide frames so that those trained on are as far from each other as they go; the others at random.

    Parameters
    ----------
    features : ndarray, shape=(frames, features)
    seed : int

    Raises
    ------
    TrainingError
        There are fewer than three frames.
    """
    held_out, random = _count_held_out(len(features)), np.random.default_rng(seed)
    train = choose_farthest(features, len(features) - 2 * held_out)
    others = random.permutation(np.setdiff1d(np.arange(len(features)), train))
    return Split(random.permutation(train), others[:held_out], others[held_out:])


def _count_held_out(count: int) -> int:
    if count < 3:
        raise TrainingError(
            f"There are {count} frames to train on, besides free atoms",
            "They are divided into three parts",
            "Give three or more",
        )
    return max(1, round(HELD_OUT * count))
