"""Frequencies of two crystals: nothing for one written twice, and what is known for springs."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from numpy.testing import assert_allclose
from rewriting import BASES, TURN, rewritten
from scipy.linalg import block_diag
from springs import BondedSprings, ExactSprings, fcc_frequencies_at_x

from phonopy_mlp.compare.frequencies import _modes, compare_bands, compare_frequencies, match_modes
from phonopy_mlp.compare.matching import match_crystals
from phonopy_mlp.compare.reading import read_phonons
from phonopy_mlp.errors import SettingsError, StructureError
from phonopy_mlp.force_constants import compute_force_constants, force_constants_from_dataset, make_phonopy
from phonopy_mlp.phonons import DEGENERATE
from phonopy_mlp.structures import from_phonopy


def phonons(atoms, calculator, supercell=2):
    return compute_force_constants(make_phonopy(atoms, supercell * np.eye(3, dtype=int)), calculator).phonon


def low_symmetry() -> Atoms:
    cell = [[3.4, 0.1, -0.2], [0.4, 3.6, 0.3], [-0.5, 0.6, 4.9]]
    places = [[0.02, 0.01, 0.03], [0.41, 0.58, 0.36], [0.55, 0.12, 0.71]]
    return Atoms("CuAuCu", scaled_positions=places, cell=cell, pbc=True)


def springs_of(atoms):
    """Join atoms by springs whose constants tell one distance from another, in whatever way a crystal is written."""
    return BondedSprings.within(atoms, 4.2, lambda i, j, distance: 1 + 7.3 * distance % 4)


@pytest.mark.parametrize("basis", BASES)
def test_the_same_crystal_written_in_two_ways_gives_nothing(basis):
    a = low_symmetry()
    b, _ = rewritten(a, basis=basis, order=[2, 1, 0], origin=(0.3, 1.7, -0.4), rotation=TURN)
    found = compare_frequencies(phonons(a, springs_of(a)), phonons(b, springs_of(b)), mesh=(3, 2, 2))
    assert len(found.qpoints) < found.weights.sum() == 12  # time reversal alone
    for pairing in ("order", "overlap"):
        assert found.deviation(pairing).rmsd < 1e-7
    assert_allclose(found.overlaps[np.isfinite(found.overlaps)], 1, atol=1e-6)
    assert np.ptp(found.a[np.isfinite(found.a)]) > 3


def test_stiffer_springs_give_higher_frequencies_by_the_root():
    copper, reach = bulk("Cu"), 3.61 / np.sqrt(2)
    a, b = (phonons(copper, ExactSprings(k, reach, 3.0), 4) for k in (2.0, 2.42))
    found = compare_frequencies(a, b, mesh=(4, 4, 4), cut=5.0)
    known = np.isfinite(found.a)
    assert_allclose(found.b[known], 1.1 * found.a[known], rtol=1e-6)
    squares = np.where(known, found.a, 0) ** 2
    # m omega^2 summed over the modes of a q-point, averaged over q: 12 neighbours with k each, over the whole mesh; the
    # translations at Gamma have none of it.
    mean = float(found.weights @ squares.sum(axis=1) / 64)
    x = fcc_frequencies_at_x(2.0, copper.get_masses()[0])
    assert mean == pytest.approx(12 / 16 * (x**2).sum(), rel=1e-6)
    count = 3 * 64 - 3
    assert found.deviation("overlap").rmsd == pytest.approx(0.1 * np.sqrt(64 * mean / count), rel=1e-6)
    low = found.deviation("order", below=5.0)
    assert abs(low.largest) == pytest.approx(0.1 * found.a[found.a < 5.0].max(), rel=1e-6)
    assert low.mae == pytest.approx(
        0.1 * np.average(found.a[found.a < 5], weights=np.repeat(found.weights, 3)[(found.a < 5).ravel()]), rel=1e-6
    )


def along_axes(constants):
    """Return a crystal of one atom whose motions along x, y and z know nothing of one another."""
    atoms = Atoms("Cu", cell=[2.5, 2.7, 2.9], pbc=True)
    bonds = [(0, 0, tuple(row), k) for row, k in zip(np.eye(3, dtype=int).tolist(), constants, strict=True)]
    return phonons(atoms, BondedSprings(atoms, bonds))


def test_modes_are_paired_by_their_eigenvectors_where_their_order_changes():
    a, b = along_axes((1.0, 2.0, 3.0)), along_axes((3.0, 2.0, 1.0))
    found = compare_frequencies(a, b, mesh=(2, 2, 2))
    corner = int(np.flatnonzero((np.abs(found.qpoints) == 0.5).all(axis=1))[0])
    # There omega^2 = 4 k / m along each axis.
    assert_allclose(found.a[corner] ** 2 / found.a[corner, 0] ** 2, [1, 2, 3], rtol=1e-6)
    assert_allclose(found.paired("order")[corner], found.a[corner], rtol=1e-6)
    assert_allclose(found.paired("overlap")[corner], found.a[corner, ::-1], rtol=1e-6)
    assert_allclose(found.overlaps[corner], 1, atol=1e-9)


@pytest.fixture(scope="module")
def alloys():
    """Phonons of a cubic alloy, whose modes are degenerate, and of the same with a strain that parts them."""
    places = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    lattices = [3.708] * 3, [3.708, 3.7085, 3.709]
    return [phonons(Atoms("AuCu3", scaled_positions=places, cell=lattice, pbc=True), EMT()) for lattice in lattices]


def test_degenerate_modes_of_either_side_are_their_own_where_they_are_parted(alloys):
    forth, back = (compare_frequencies(*pair, mesh=(3, 3, 3)) for pair in (alloys, alloys[::-1]))
    for found in (forth, back):
        assert np.nanmin(found.overlaps) > 0.999
        assert found.deviation("overlap").rmsd < 0.01
    assert forth.mean_overlap == pytest.approx(back.mean_overlap, abs=1e-9)
    assert forth.deviation("overlap").rmsd == pytest.approx(back.deviation("overlap").rmsd, rel=1e-4)


@pytest.mark.parametrize("turned", [0, 1])
def test_the_basis_of_degenerate_modes_does_not_matter(alloys, turned, monkeypatch):
    a, b = alloys
    match = match_crystals(from_phonopy(a.primitive), from_phonopy(b.primitive))
    qpoints = np.array([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0]])
    plain = match_modes(a, b, qpoints, match)
    random = np.random.default_rng(0)

    def modes_in_another_basis(phonon, points):
        frequencies, vectors = _modes(phonon, points)
        if phonon is not alloys[turned]:
            return frequencies, vectors
        found = []
        for row, own in zip(frequencies, vectors, strict=True):
            known = row[: own.shape[1]]
            sets = np.split(np.arange(len(known)), np.flatnonzero(np.diff(known) > DEGENERATE) + 1)
            turns = [np.linalg.qr(random.normal(size=(len(each), len(each))))[0] for each in sets]
            found.append(own @ block_diag(*turns))
        return frequencies, found

    monkeypatch.setattr("phonopy_mlp.compare.frequencies._modes", modes_in_another_basis)
    other = match_modes(a, b, qpoints, match)
    assert_allclose(other.overlaps, plain.overlaps, atol=1e-9)
    assert_allclose(other.paired, plain.paired)


def test_shares_of_elements_add_up():
    atoms = low_symmetry()
    a = phonons(atoms, springs_of(atoms))
    found = compare_frequencies(a, a, mesh=(2, 1, 1))
    total = sum(found.element_weights_a.values())
    assert_allclose(total[np.isfinite(found.a)], 1)
    # All modes of a q-point together: 3 for each atom.
    away = int(np.flatnonzero(found.qpoints.any(axis=1))[0])
    assert found.element_weights_b["Cu"][away].sum() == pytest.approx(6)


def test_bands_of_both_are_along_the_path_of_a():
    atoms = low_symmetry()
    other, _ = rewritten(atoms, basis=BASES[2], order=[1, 2, 0], origin=(0.1, 0.2, 0.3), rotation=TURN)
    a, b = phonons(atoms, springs_of(atoms)), phonons(other, springs_of(other))
    match = compare_frequencies(a, b, mesh=(1, 1, 1)).match
    for paths in (None, [np.array([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0]]), np.array([[0, 0, 0], [0, 0, 0.5]])]):
        ours, theirs = compare_bands(a, b, match, points=5, paths=paths)
        assert_allclose(np.concatenate(theirs.frequencies), np.concatenate(ours.frequencies), atol=2e-3)
        assert theirs.labels == ours.labels
    assert ours.labels == (("$\\Gamma$", "1/2 0 0"), ("1/2 0 0", "1/2 1/2 0"), ("$\\Gamma$", "0 0 1/2"))


def test_the_published_forces_in_another_cell_give_nothing(mof5_forces):
    a = read_phonons(mof5_forces)
    b = make_phonopy(from_phonopy(a.unitcell), a.supercell_matrix, primitive_matrix=BASES[2].T)
    b.dataset = a.dataset
    found = compare_frequencies(a, force_constants_from_dataset(b).phonon, mesh=(2, 2, 2))
    assert not np.allclose(a.primitive.cell, b.primitive.cell, atol=1)
    assert found.a.shape == (3, 318)
    assert found.weights.sum() == 8
    for pairing in ("order", "overlap"):
        assert abs(found.deviation(pairing).largest) < 1e-5
    assert np.nanmin(found.overlaps) > 0.999


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"mesh": (2, 0, 2)}, "positive integers"), ({"mesh": (1, 1, 1)}, "all translations"), ({"cut": 0}, "positive")],
)
def test_settings_that_make_no_sense_are_refused(settings, reason):
    a = phonons(bulk("Cu"), EMT())
    with pytest.raises(SettingsError, match=reason):
        compare_frequencies(a, a, **settings)


def test_other_crystals_are_refused():
    with pytest.raises(StructureError, match="not the same crystal"):
        compare_frequencies(phonons(bulk("Cu"), EMT()), phonons(bulk("Ag"), EMT()))
