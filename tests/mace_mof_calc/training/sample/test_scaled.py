"""Displacements of given sizes, and what they weigh."""

import numpy as np
import pytest
from ase.build import bulk
from springs import Springs

from mace_mof_calc.training.hessians import compute_rows
from mace_mof_calc.training.modes import THZ, make_modes
from mace_mof_calc.training.sample.scaled import make_alike, make_equal, make_mixed

EDGE = 3.6
SIZES = (0.02, 0.05, 0.1)


@pytest.fixture(scope="module")
def cube():
    atoms = bulk("Cu", a=EDGE, cubic=True)
    atoms.symbols[0] = "Al"
    atoms.info["source"] = "Cu"
    return atoms


@pytest.fixture(scope="module")
def modes(cube):
    springs = Springs(2.0, EDGE / 2**0.5, 3.0)
    hessian = np.reshape([compute_rows(cube, index, springs) for index in range(4)], (12, 12))
    return make_modes(hessian, cube.get_masses(), 0.5)


def shifts(frames, cube):
    return np.array([frame.positions - cube.positions for frame in frames])


def amplitudes(frames, cube, modes):
    """Mass-weighted, scaled back to what they were before they had a size."""
    weighted = shifts(frames, cube) * np.sqrt(cube.get_masses())[:, None]
    return np.einsum("nai,mai->nm", weighted, modes.vectors)


@pytest.mark.parametrize(("make", "power"), [(make_alike, 1), (make_equal, 2)])
def test_energies_or_forces_are_alike(cube, modes, make, power):
    frames = make(cube, modes=modes, count=600, sizes=[0.05], random=np.random.default_rng(1))
    found = amplitudes(frames, cube, modes) * (modes.frequencies * THZ) ** power
    spread = found.std(axis=0)
    np.testing.assert_allclose(spread / spread.mean(), 1, atol=0.12)  # 600 draws: 3 %
    # The other power is far from that.
    other = (found * modes.frequencies).std(axis=0)
    assert other.max() / other.min() > 1.4
    np.testing.assert_allclose(np.einsum("nai,a->ni", shifts(frames, cube), cube.get_masses()), 0, atol=1e-9)


@pytest.mark.parametrize("make", [make_alike, make_equal])
def test_sizes_are_those_asked_for_in_turn(cube, modes, make):
    frames = make(cube, modes=modes, count=4, sizes=SIZES, random=np.random.default_rng(1))
    found = np.sqrt(np.mean(shifts(frames, cube) ** 2, axis=(1, 2)))
    np.testing.assert_allclose(found, [0.02, 0.05, 0.1, 0.02])
    assert len({frame.info["name"] for frame in frames}) == 4


def test_soft_modes_are_mixed_with_mirror_images(cube, modes):
    limit = modes.frequencies[3:5].mean()
    soft = int((modes.frequencies < limit).sum())
    frames = make_mixed(cube, modes=modes, count=40, sizes=SIZES, limit=limit, random=np.random.default_rng(1))
    assert [frame.info["name"] for frame in frames[:3]] == ["Cu-mixed-0+", "Cu-mixed-0-", "Cu-mixed-1+"]
    moved = shifts(frames, cube)
    np.testing.assert_allclose(moved[::2], -moved[1::2], atol=1e-12)
    np.testing.assert_allclose(np.sqrt(np.mean(moved[::2] ** 2, axis=(1, 2)))[:4], [0.02, 0.05, 0.1, 0.02])
    found = np.abs(amplitudes(frames[::2], cube, modes)) > 1e-9
    assert not found[:, soft:].any()
    assert found[::2, :soft].all()
    assert found[1::2].sum(axis=1).min() >= 1
    assert found[1::2].mean() < 0.3
    assert len(make_mixed(cube, modes=modes, count=3, sizes=SIZES, limit=limit, random=np.random.default_rng(1))) == 3


def test_the_softest_mode_moves_where_none_is_soft(cube, modes):
    (frame,) = make_mixed(cube, modes=modes, count=1, sizes=[0.1], limit=0.0, random=np.random.default_rng(1))
    lowest = modes.frequencies < modes.frequencies[0] + 1e-6
    found = np.abs(amplitudes([frame], cube, modes)[0]) > 1e-9
    assert found.any()
    assert not found[~lowest].any()
