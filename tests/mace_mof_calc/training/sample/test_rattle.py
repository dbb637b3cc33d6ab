"""Random displacements and strains."""

import numpy as np
import pytest
from ase.build import bulk

from mace_mof_calc.training.sample.rattle import make_rattled


@pytest.fixture
def cube():
    atoms = bulk("Cu", cubic=True)
    atoms.info["source"] = "Cu"
    return atoms


def test_displacements_have_the_width_asked_for(cube):
    frames = make_rattled(cube, 300, 0.05, 0.0, np.random.default_rng(1))
    shifts = np.array([frame.positions - cube.positions for frame in frames])
    assert shifts.std() == pytest.approx(0.05, rel=0.05)  # 3600 numbers: 1.2 %
    assert abs(shifts.mean()) < 0.003
    assert all((frame.cell == cube.cell).all() for frame in frames)
    assert len({frame.info["name"] for frame in frames}) == 300


def test_strains_are_symmetric_and_have_the_width_asked_for(cube):
    frames = make_rattled(cube, 300, 0.0, 0.02, np.random.default_rng(2))
    strains = np.array([np.linalg.solve(cube.cell.array, frame.cell.array) - np.eye(3) for frame in frames])
    np.testing.assert_allclose(strains, strains.transpose(0, 2, 1), atol=1e-12)
    for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        assert strains[:, i, j].std() == pytest.approx(0.02, rel=0.15)  # 300 numbers: 4 %
    np.testing.assert_allclose(frames[0].get_scaled_positions(), cube.get_scaled_positions(), atol=1e-12)
