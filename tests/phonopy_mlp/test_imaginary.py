import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from springs import Springs

from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.imaginary import compute_commensurate_modes


def test_a_stable_crystal_has_none_and_translations_are_gone():
    phonon = make_phonopy(bulk("Cu", a=3.5), np.diag([2, 2, 2]))
    modes = compute_commensurate_modes(compute_force_constants(phonon, EMT()).phonon)
    assert len(modes.qpoints) == 8
    assert np.isnan(modes.frequencies).sum() == 3
    assert modes.count_imaginary() == 0
    assert modes.lowest > 1


def test_translations_are_projected_out_whatever_the_sum_rule():
    phonon = make_phonopy(bulk("NaCl", "rocksalt", a=5.0), np.diag([2, 2, 2]))
    result = compute_force_constants(phonon, Springs(3.0, 2.5, 3.0), symmetrise=False)
    gamma = compute_commensurate_modes(result.phonon).frequencies[0]
    assert np.isfinite(gamma).sum() == 3


def test_compressed_springs_buckle():
    # Bonds pressed together have negative transverse stiffness: rock salt's optic and acoustic shear go soft.
    phonon = make_phonopy(bulk("NaCl", "rocksalt", a=4.6), np.diag([2, 2, 2]))
    modes = compute_commensurate_modes(compute_force_constants(phonon, Springs(3.0, 2.5, 2.8)).phonon)
    assert modes.count_imaginary() > 0
    assert modes.lowest < -0.5
