"""Strained cells."""

import numpy as np
import pytest
from ase import Atoms

from mace_mof_calc.training.sample.strain import make_strained


def test_lengths_are_strained_and_positions_scaled():
    crystal = Atoms("CO", cell=[4, 5, 6, 80, 95, 100], scaled_positions=[[0, 0, 0.1], [0.5, 0.4, 0.3]], pbc=True)
    crystal.info["source"] = "X"
    frames = make_strained(crystal, (-0.1, 0.1), 6)
    strains = [frame.cell.lengths() / crystal.cell.lengths() - 1 for frame in frames]
    np.testing.assert_allclose(strains, np.outer([-0.1, -0.06, -0.02, 0.02, 0.06, 0.1], [1, 1, 1]), atol=1e-12)
    assert frames[0].get_volume() / crystal.get_volume() == pytest.approx(0.9**3)
    assert frames[-1].get_volume() / crystal.get_volume() == pytest.approx(1.1**3)
    for frame in frames:
        np.testing.assert_allclose(frame.cell.angles(), crystal.cell.angles())
        np.testing.assert_allclose(frame.get_scaled_positions(), crystal.get_scaled_positions(), atol=1e-12)
        assert frame.info["kind"] == "strain"
    assert len({frame.info["name"] for frame in frames}) == 6
