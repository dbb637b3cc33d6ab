"""Duplicates: the same crystal however it is written down, and no others."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from hypothesis import given, settings
from hypothesis import strategies as st

from mace_mof_calc import structures
from mace_mof_calc.training.curate.bonds import find_bonds, find_nodes, fingerprint_bonds
from mace_mof_calc.training.curate.duplicates import SITE_TOLERANCE, find_duplicates


def permute(atoms, rng):
    return atoms[rng.permutation(len(atoms))]


def shift(atoms, rng):
    moved = atoms.copy()
    moved.translate(rng.uniform(-9, 9, 3))
    moved.wrap()
    return moved


def repeat(atoms, rng):
    return atoms * rng.permutation([2, 1, 1])


def change_basis(atoms, rng):
    shear = np.eye(3, dtype=int)
    i, j = rng.permutation(3)[:2]
    shear[i, j] = rng.choice([-2, -1, 1, 2])
    return make_supercell(atoms, shear)


def turn(atoms, rng):
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))  # an inversion as well, half of the time
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation, scale_atoms=True)
    return turned


def rattle(atoms, rng):
    moved = atoms.copy()
    moved.positions += rng.normal(scale=0.05, size=moved.positions.shape)
    return moved


def strain(atoms, rng):
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.005, 0.005, (3, 3))), scale_atoms=True)
    return strained


WAYS = (permute, shift, repeat, change_basis, turn, rattle, strain)


def turn_linker(atoms, angle):
    """Return a crystal with the ring of one of its terephthalates turned about its axis, by an angle in degrees."""
    bonds = find_bonds(atoms)
    linker = ~find_nodes(atoms.numbers, bonds)
    inside = linker[bonds.first] & linker[bonds.second]
    one = int(np.flatnonzero(linker)[0])
    ring = {one}
    while (grown := ring | {*bonds.second[inside & np.isin(bonds.first, list(ring))].tolist()}) != ring:
        ring = grown
    own = sorted(ring)
    alone = Atoms(atoms.numbers[own], positions=atoms.get_distances(one, own, mic=True, vector=True))
    centre = alone.positions.mean(axis=0)
    arms = (alone.positions - centre)[alone.numbers == 6]
    before = alone.positions.copy()
    alone.rotate(angle, arms[np.linalg.norm(arms, axis=1).argmax()], center=centre)  # its carboxylates' carbons
    turned = atoms.copy()
    turned.positions[own] += alone.positions - before
    return turned


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["MIL-53", "MOF-74"])
def test_each_way_of_writing_it_down(name, way):
    atoms = structures.load(name)
    assert find_duplicates([atoms, way(atoms, np.random.default_rng(3))]) == {1: 0}


@settings(max_examples=10, deadline=None, derandomize=True, database=None)
@given(ways=st.lists(st.sampled_from(WAYS), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_several_ways_at_once(ways, seed):
    atoms = structures.load("MIL-53")
    moved, rng = atoms, np.random.default_rng(seed)
    for way in ways:
        if way is not repeat or len(moved) < 100:
            moved = way(moved, rng)
    assert find_duplicates([atoms, moved]) == {1: 0}


@pytest.mark.parametrize("name", ["MOF-5", "UiO-66"])
def test_large_cells(name):
    rng = np.random.default_rng(5)
    atoms = structures.load(name)
    assert find_duplicates([atoms, rattle(shift(permute(repeat(atoms, rng), rng), rng), rng)]) == {1: 0}


@pytest.mark.parametrize("name", structures.names())
@pytest.mark.parametrize("factors", [(1, 1, 2), (1, 3, 1)])
def test_two_supercells_of_which_none_is_one_of_the_other(name, factors):
    rng = np.random.default_rng(2)
    cells = structures.load(name) * (2, 1, 1), shift(permute(structures.load(name) * factors, rng), rng)
    for cell in cells:
        cell.positions += rng.normal(scale=0.02, size=cell.positions.shape)
    assert find_duplicates(cells) == {1: 0}


def test_strains_within_the_tolerances():
    # Lengths and angles within theirs: the volume is 12.6 % larger.
    atoms = structures.load("MOF-74")
    lengths, angles = np.split(atoms.cell.cellpar(), 2)
    wide, wider = ([*(1.0 + length) * lengths, *(angles - 1.9)] for length in (0.028, 0.034))
    others = [atoms.copy(), atoms.copy()]
    for other, cell in zip(others, (wide, wider), strict=True):
        other.set_cell(cell, scale_atoms=True)
    assert others[0].get_volume() / atoms.get_volume() == pytest.approx(1.126, abs=1e-3)
    assert find_duplicates([atoms, *others[:1]]) == {1: 0}
    assert find_duplicates([atoms, *others[1:]]) == {}


@pytest.mark.parametrize(("factor", "same"), [(0.8, True), (1.3, False)])
@pytest.mark.parametrize("name", structures.names())
def test_each_atom_counts(name, factor, same):
    # However large the crystal, one atom that is elsewhere makes another.
    atoms = structures.load(name)
    moved = atoms.copy()
    moved.positions[0, 0] += factor * SITE_TOLERANCE * (atoms.get_volume() / len(atoms)) ** (1 / 3)
    assert find_duplicates([atoms, moved]) == ({1: 0} if same else {})


@pytest.mark.parametrize(("angle", "same"), [(5.0, True), (30.0, False), (90.0, False), (180.0, True)])
def test_conformers(angle, same):
    # By 5 degrees hydrogens move by 0.2 A; by half a turn the ring comes to lie on itself.
    mof5 = structures.load("MOF-5")
    turned = turn_linker(mof5, angle)
    moved = np.linalg.norm(turned.positions - mof5.positions, axis=1)
    assert sorted(mof5.symbols[moved > 1e-2]) == ["C"] * 4 + ["H"] * 4
    assert fingerprint_bonds(turned.numbers, find_bonds(turned)) == fingerprint_bonds(mof5.numbers, find_bonds(mof5))
    assert find_duplicates([mof5, turned]) == ({1: 0} if same else {})
    assert find_duplicates([turned, mof5 * (2, 1, 1)]) == ({1: 0} if same else {})


def test_others_are_not_the_same():
    mof5 = structures.load("MOF-5")
    strained = mof5.copy()
    strained.set_cell(mof5.cell.array * 1.05, scale_atoms=True)
    twice = mof5 + Atoms(mof5.numbers, positions=mof5.positions + mof5.cell.array.sum(axis=0) / 2)
    magnesium = mof5.copy()
    magnesium.symbols[mof5.symbols == "Zn"] = "Mg"
    others = [structures.load(name) for name in structures.names() if name != "MOF-5"]
    assert find_duplicates([mof5, strained, twice, magnesium, *others]) == {}


def test_polymorphs_are_not_the_same():
    # wurtzite and zincblende have the same composition and nearly the same volume, diamond and lonsdaleite as well
    zincblende, wurtzite = bulk("ZnS", "zincblende", a=5.41), bulk("ZnS", "wurtzite", a=3.825, c=6.246)
    assert find_duplicates([zincblende, wurtzite, zincblende * (1, 1, 2), wurtzite * (2, 1, 1)]) == {2: 0, 3: 1}


def test_the_first_is_kept_and_named():
    one, other = structures.load("MIL-53"), structures.load("MOF-74")
    rng = np.random.default_rng(1)
    copies = [one, other, shift(one, rng), permute(other, rng), rattle(one, rng)]
    assert find_duplicates(copies) == {2: 0, 3: 1, 4: 0}
    assert find_duplicates([]) == {}
