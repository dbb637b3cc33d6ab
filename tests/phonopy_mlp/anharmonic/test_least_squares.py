"""The fit beside symfc's, which solves the same equations in a basis of the symmetry."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from phonopy.harmonic.force_constants import compact_fc_to_full_fc

from phonopy_mlp.anharmonic.least_squares import fit_force_constants
from phonopy_mlp.evaluator import Evaluator
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy


def rattled_zinc():
    """Return a crystal whose only symmetry is its translations."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=3)
    return atoms


CRYSTALS = {
    "cubic": (bulk("Cu"), np.diag([2, 2, 2]), 4),
    "several atoms, another cell": (bulk("Cu", cubic=True), np.diag([2, 1, 1]), 6),
    "screw axes, hexagonal": (bulk("Ag", "hcp", a=2.9, c=4.7), np.diag([3, 3, 2]), 5),
    "slanted supercell": (bulk("Cu"), [[2, 1, 0], [0, 2, 0], [1, 0, 3]], 40),
    "no symmetry": (rattled_zinc(), np.diag([2, 1, 1]), 30),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_it_is_symfcs(name):
    atoms, supercell, snapshots = CRYSTALS[name]
    phonon = make_phonopy(atoms, supercell)
    phonon.generate_displacements(distance=0.1, number_of_snapshots=snapshots, random_seed=1)
    _, forces, _ = Evaluator(EMT()).evaluate(phonon.supercells_with_displacements)
    found = fit_force_constants(phonon, phonon.displacements, forces)
    phonon.forces = forces
    phonon.produce_force_constants(fc_calculator="symfc", calculate_full_force_constants=False)
    assert np.abs(found - phonon.force_constants).max() < 1e-7 * np.abs(found).max()
    full = compact_fc_to_full_fc(phonon.primitive, found)
    assert np.abs(full - full.transpose(1, 0, 3, 2)).max() < 1e-12 * np.abs(full).max()
    assert np.abs(full.sum(axis=1)).max() < 1e-12 * np.abs(full).max()


def test_harmonic_forces_give_their_own_force_constants():
    phonon = compute_force_constants(make_phonopy(bulk("Cu"), np.diag([2, 2, 2])), EMT()).phonon
    full = compact_fc_to_full_fc(phonon.primitive, phonon.force_constants)
    displacements = np.random.default_rng(0).normal(size=(3, len(phonon.supercell), 3))
    forces = -np.einsum("ijab,njb->nia", full, displacements)
    assert np.allclose(fit_force_constants(phonon, displacements, forces), phonon.force_constants, atol=1e-9)


def test_what_did_not_move_gets_no_force_constants():
    phonon = make_phonopy(rattled_zinc(), np.eye(3))
    displacements, forces = np.random.default_rng(0).normal(size=(2, 1, 4, 3))
    (found,) = fit_force_constants(phonon, displacements, forces)[None]
    shift = displacements[0] - displacements[0].mean(axis=0)
    motionless = np.linalg.svd(shift.reshape(1, 12))[2][1:]
    matrix = found.transpose(0, 2, 1, 3).reshape(12, 12)
    assert np.abs(motionless @ matrix @ motionless.T).max() < 1e-12
