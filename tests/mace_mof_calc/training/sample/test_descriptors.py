"""Frames as points: what must not change them, and what must."""

import numpy as np
import pytest
from ase.build import bulk

from mace_mof_calc.models.loading import load
from mace_mof_calc.training.sample.descriptors import choose_frames, describe


@pytest.fixture(params=["distances", "model"])
def model(request, tiny_packed):
    return load(tiny_packed) if request.param == "model" else None


def test_a_crystal_is_the_same_however_it_is_written(crystal, model):
    point = describe(crystal, model)
    turned, shifted, permuted = crystal.copy(), crystal.copy(), crystal[[2, 0, 3, 1]]
    turned.rotate(50, (1, 2, 3), rotate_cell=True)
    shifted.positions += [0.3, 0.2, 0.1]
    shifted.wrap()
    for same in (turned, shifted, permuted, crystal * (1, 2, 1)):
        np.testing.assert_allclose(describe(same, model), point, rtol=1e-9, atol=1e-9)
    other = crystal.copy()
    other.positions[3] += [0.1, 0, 0]
    assert np.abs(describe(other, model) - point).max() > 1e-4


def test_neighbours_are_counted():
    counts = describe(bulk("Cu", a=3.6), None)
    grid = np.arange(0.5, 6.0, 0.1)
    # 12, 6, 24, 12 neighbours of an fcc atom; a normalised smearing of width 0.1 A on a grid of 0.1 A sums to 1.
    for number, distance in ((12, 3.6 / 2**0.5), (6, 3.6), (24, 3.6 * 1.5**0.5)):
        shell = np.abs(grid - distance) < 0.45
        assert counts[shell].sum() / (2 * np.pi) ** 0.5 == pytest.approx(number, rel=1e-2)


def test_the_odd_one_out_is_chosen(crystal, model):
    random = np.random.default_rng(1)
    frames = []
    for number in range(8):
        frame = crystal.copy()
        frame.positions += random.normal(scale=0.001, size=(4, 3))
        if number == 5:
            frame.set_cell(crystal.cell * 1.1, scale_atoms=True)
        frames.append(frame)
    assert frames[5] in choose_frames(frames, 2, model)
    # In the order in which they were, with those that are asked for.
    assert choose_frames(frames, 3, model, (0, 7)) == [frames[0], frames[5], frames[7]]
    assert choose_frames(frames, 8, model) == frames
    assert choose_frames([], 3, model) == []
