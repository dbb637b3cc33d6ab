"""Filters: bonds, frameworks and what is not part of them, overlaps, electrons."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell, molecule

from mace_mof_calc import structures
from mace_mof_calc.training.curate.bonds import find_bonds, find_components, find_nodes, fingerprint_bonds
from mace_mof_calc.training.curate.filters import (
    check_electrons,
    check_elements,
    check_framework,
    check_overlap,
    check_pore,
    check_size,
)

PRIMITIVE = [[1, 1, 0], [0, 1, 0], [0, -1, 1]]


def framework_reason(atoms):
    return check_framework(atoms, find_bonds(atoms))


def periodicities(atoms):
    return sorted(find_components(find_bonds(atoms), len(atoms))[1].tolist())


def test_periodicity_of_components():
    # One bond length along one, two and three axes, in supercells and another basis as well.
    wires = {n: Atoms("C", cell=[1.5 if k < n else 6.0 for k in range(3)], pbc=True) for n in range(4)}
    for n, atoms in wires.items():
        assert periodicities(atoms) == [n]
        assert periodicities(make_supercell(atoms, PRIMITIVE)) == [n]
    assert periodicities(wires[1] * (3, 2, 1)) == [1, 1]
    assert periodicities(wires[0] * (2, 1, 1)) == [0, 0]


def test_interpenetrated_networks_are_several():
    cubic = Atoms("C", cell=[1.6] * 3, pbc=True)
    assert periodicities(cubic) == [3]
    # Chains along the edges of a cube that is 6.4 A wide leave room for another such net.
    edges = [[0, 0, 0], *(np.eye(3)[axis] * 1.6 * k for axis in range(3) for k in (1, 2, 3))]
    one = Atoms("C10", positions=edges, cell=[6.4] * 3, pbc=True)
    two = one + Atoms("C10", positions=np.array(edges) + 3.2)
    assert periodicities(two) == [3, 3]


@pytest.mark.parametrize("name", structures.names())
def test_nodes_and_linkers(name):
    atoms = structures.load(name)
    assert framework_reason(atoms) is None
    bonds = find_bonds(atoms)
    node = find_nodes(atoms.numbers, bonds)
    linker = atoms[~node]
    # Without the oxygen and nitrogen that metals are bonded to; hydroxyl groups are on the nodes.
    assert linker.symbols.count("C") == atoms.symbols.count("C")
    assert linker.symbols.count("H") == atoms.symbols.count("H") - {"UiO-66": 4, "MIL-53": 2}.get(name, 0)
    assert set(linker.symbols) == {"C", "H"}


def test_bonds_are_chemistry():
    atoms = structures.load("MOF-5")
    coordination = np.bincount(find_bonds(atoms).first)
    assert set(coordination[atoms.symbols == "Zn"]) == {4}
    assert set(coordination[atoms.symbols == "H"]) == {1}
    assert set(coordination[atoms.symbols == "C"]) == {3}
    assert set(coordination[atoms.symbols == "O"]) == {2, 4}


def test_what_floats_in_the_pores():
    atoms = structures.load("MOF-5")
    water = molecule("H2O")
    water.translate(atoms.cell.array.sum(axis=0) / 2 - water.get_center_of_mass())
    assert framework_reason(atoms + water) == "charge or solvent: 1 H2O not bonded to its framework"
    ion = Atoms("Na", positions=water.positions[:1])
    assert "1 Na not bonded" in framework_reason(atoms + ion)
    assert "2 H2O" in framework_reason((atoms + water) * (2, 1, 1))


def test_what_is_no_metal_organic_framework():
    ice = Atoms("H2O", molecule("H2O").positions, cell=[6, 6, 6], pbc=True)
    assert "molecules or ions" in framework_reason(ice)
    assert "chains" in framework_reason(Atoms("C", cell=[1.5, 9, 9], pbc=True))
    assert "layers" in framework_reason(Atoms("C", cell=[1.5, 1.5, 9], pbc=True))
    assert framework_reason(bulk("C", "diamond", a=3.57)) == "framework: no metal"
    assert "no linker" in framework_reason(bulk("ZnO", "zincblende", a=4.6))


def test_overlap_names_the_closest_pair():
    for name in structures.names():
        assert check_overlap(structures.load(name)) is None
    atoms = structures.load("MOF-5")
    atoms.positions[5] = atoms.positions[60] + [0.0, 0.0, 0.3]
    reason = check_overlap(atoms)
    assert reason.startswith("overlap: ")
    assert f"{atoms.symbols[5]} 5" in reason
    assert f"{atoms.symbols[60]} 60" in reason
    assert "0.30 A" in reason
    # also where the two are images of one atom
    assert "0 and" in check_overlap(Atoms("C", cell=[0.8, 5, 5], pbc=True))


def test_elements_size_pores_electrons():
    atoms = structures.load("MIL-53")
    assert check_elements(atoms, ("Al", "C", "H", "O", "Zn"), "of x") is None
    assert check_elements(atoms, ("C", "O"), "of x") == "elements: holds Al H, not among the elements of x"
    assert check_size(atoms, 38) is None
    assert "38 atoms" in check_size(atoms, 37)
    assert check_pore(3.61, 3.6) is None
    assert "3.60 A" in check_pore(3.6, 3.6)
    assert check_electrons(atoms) is None
    atoms.symbols[int(np.flatnonzero(atoms.symbols == "H")[0])] = "F"
    assert check_electrons(atoms) is None  # still even
    del atoms[-1]
    while sum(atoms.numbers) % 2 == 0:
        del atoms[-1]
    assert "odd number of electrons" in check_electrons(atoms)


def digest(atoms):
    return fingerprint_bonds(atoms.numbers, find_bonds(atoms))


@pytest.mark.parametrize("name", structures.names())
def test_fingerprint_is_that_of_the_net(name):
    atoms = structures.load(name)
    own = digest(atoms)
    moved = make_supercell(atoms, PRIMITIVE)[np.random.default_rng(1).permutation(len(atoms))]
    moved.rattle(0.02, seed=1)
    moved.set_cell(moved.cell.array * 1.01, scale_atoms=True)
    assert digest(moved) == own
    assert digest(atoms * (2, 1, 1)) == own
    assert len({digest(structures.load(other)) for other in structures.names()}) == len(structures.names())
    other = atoms.copy()
    other.symbols[int(np.flatnonzero(other.symbols == "H")[0])] = "F"
    assert digest(other) != own
