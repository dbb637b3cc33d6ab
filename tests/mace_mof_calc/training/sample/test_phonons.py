"""Vibrations against springs whose frequencies are known, and displacements against equipartition."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from springs import Springs, fcc_frequencies_at_x

from mace_mof_calc import MaceMOF
from mace_mof_calc.training.hessians import compute_rows
from mace_mof_calc.training.modes import make_modes
from mace_mof_calc.training.sample.phonons import make_soft, make_thermal

K, EDGE = 2.0, 3.6
PLANCK = units._hplanck * units.J  # eV s


@pytest.fixture(scope="module")
def cube():
    atoms = bulk("Cu", a=EDGE, cubic=True)
    atoms.info["source"] = "Cu"
    return atoms


@pytest.fixture(scope="module")
def hessian(cube):
    springs = Springs(K, EDGE / 2**0.5, 3.0)
    return np.reshape([compute_rows(cube, index, springs) for index in range(4)], (12, 12))


@pytest.fixture(scope="module")
def modes(cube, hessian):
    return make_modes(hessian, cube.get_masses(), 0.5)


def energies(frames, cube, matrix):
    shifts = np.array([(frame.positions - cube.positions).ravel() for frame in frames])
    return 0.5 * np.einsum("ni,ij,nj->n", shifts, matrix, shifts)


def test_frequencies_of_a_crystal_of_springs(cube, modes):
    # At Gamma a cube of fcc has Gamma and the three points X of the primitive cell.
    known = np.sort(np.tile(fcc_frequencies_at_x(K, cube.get_masses()[0]), 3))
    np.testing.assert_allclose(modes.frequencies, known, rtol=1e-3)  # cubic terms of the springs, over 0.01 A
    flat = modes.vectors.reshape(9, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(9), atol=1e-10)
    np.testing.assert_allclose(modes.vectors.sum(axis=1), 0, atol=1e-10)  # of equal masses: no translation


def test_differentiation_and_differences_agree(crystal, tiny_packed):
    calculator, plain = MaceMOF(tiny_packed, device="cpu"), MaceMOF(tiny_packed, device="cpu", accelerate=False)
    assert not plain.has_linear_response
    exact = compute_rows(crystal, 2, calculator)
    np.testing.assert_allclose(compute_rows(crystal, 2, plain), exact, atol=2e-3 * np.abs(exact).max())
    # Moving all atoms alike moves nothing.
    np.testing.assert_allclose(exact.sum(axis=1), 0, atol=1e-8)


def test_every_mode_has_half_a_kt(cube, hessian, modes):
    temperature, count = 300.0, 400
    frames = make_thermal(
        cube, modes=modes, count=count, temperature=temperature, random=np.random.default_rng(1), quantum=False
    )
    roots = np.sqrt(cube.get_masses())[:, None]
    shifts = np.array([(frame.positions - cube.positions) * roots for frame in frames])
    amplitudes = np.einsum("nai,mai->nm", shifts, modes.vectors)
    per_mode = 0.5 * (amplitudes * modes.frequencies * 2e12 * np.pi / units.s) ** 2
    thermal = units.kB * temperature
    np.testing.assert_allclose(per_mode.mean(axis=0), thermal / 2, rtol=0.3)  # 400 draws: 7 %
    assert energies(frames, cube, hessian).mean() == pytest.approx(9 * thermal / 2, rel=0.08)  # 2.4 %
    np.testing.assert_allclose(shifts.sum(axis=1), 0, atol=1e-6)  # the centre of mass is at rest
    correlations = np.corrcoef(amplitudes.T) - np.eye(9)
    assert np.abs(correlations).max() < 0.25  # 5 %


def test_quantum_oscillators(cube, hessian, modes):
    def mean(temperature, quantum):
        frames = make_thermal(
            cube, modes=modes, count=400, temperature=temperature, random=np.random.default_rng(2), quantum=quantum
        )
        return energies(frames, cube, hessian).mean()

    # Half of h nu / 2 is potential energy.
    zero_point = PLANCK * modes.frequencies.sum() * 1e12 / 4
    assert mean(1.0, True) == pytest.approx(zero_point, rel=0.08)
    assert mean(1.0, False) < 0.02 * zero_point
    assert mean(1e4, True) == pytest.approx(mean(1e4, False), rel=1e-3)


def test_imaginary_and_soft_modes_are_floored(cube, hessian):
    masses = cube.get_masses()
    plain = make_modes(hessian, masses, 0.5)
    unit = 2e12 * np.pi / units.s
    roots = np.sqrt(masses).repeat(3)
    changed = hessian.copy()
    # Turn the lowest mode imaginary, at 2 THz, and the next one soft, at 0.1 THz.
    for k, square in ((0, -4.0), (1, 0.01)):
        vector = plain.vectors[k].ravel() * roots
        changed += (square - plain.frequencies[k] ** 2) * unit**2 * np.outer(vector, vector)
    modes = make_modes(changed, masses, 0.5)
    np.testing.assert_allclose(modes.frequencies, [-2.0, 0.1, *plain.frequencies[2:]], atol=1e-6)
    np.testing.assert_allclose(make_modes(modes.stiffness, masses, 0.01).frequencies[:2], [0.5, 2.0], atol=1e-6)
    # A floor below all translations' rounding, and modes softer than it, leave translations out all the same.
    low = make_modes(changed, masses, 0.05)
    frames = make_thermal(cube, modes=low, count=20, temperature=300, random=np.random.default_rng(1))
    shifts = np.array([frame.positions - cube.positions for frame in frames])
    np.testing.assert_allclose(shifts.mean(axis=1), 0, atol=1e-9)


def test_soft_modes_are_displaced_forth_and_back(cube, hessian, modes):
    frames = make_soft(cube, modes=modes, count=3, temperature=300)
    assert [frame.info["name"] for frame in frames] == [f"Cu-soft-300K-{k}{sign}" for k in range(3) for sign in "+-"]
    np.testing.assert_allclose(energies(frames, cube, hessian), units.kB * 300, rtol=1e-6)
    for forth, back in zip(frames[::2], frames[1::2], strict=True):
        np.testing.assert_allclose(forth.positions + back.positions, 2 * cube.positions, atol=1e-12)
    assert len(make_soft(cube, modes=modes, count=100, temperature=300)) == 18
    # A floor bounds the amplitude.
    stiff = make_modes(hessian, cube.get_masses(), 10.0)
    bounded = make_soft(cube, modes=stiff, count=1, temperature=300)[0]
    ratio = np.abs(bounded.positions - cube.positions).max() / np.abs(frames[0].positions - cube.positions).max()
    assert ratio == pytest.approx(modes.frequencies[0] / 10.0)
