import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from numpy.testing import assert_allclose

from phonopy_mlp.errors import StructureError, StructureWarning
from phonopy_mlp.structures import (
    check_elements,
    check_structure,
    from_phonopy,
    loose_molecules,
    read_structure,
    structure_digest,
    to_phonopy,
)

DISORDERED = """data_x
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cu1 Cu 0 0 0 1.0
O1 O 0.5 0.5 0.5 0.5
"""


def framework_with(guest: Atoms) -> Atoms:
    guest.translate([4.0, 4.0, 4.0] - guest.get_center_of_mass())
    return Atoms("Cu", cell=[2.4, 2.4, 8], pbc=True).repeat((3, 3, 1)) + guest


def test_a_good_structure_survives_the_round_trip(tmp_path):
    atoms = bulk("MgO", "rocksalt", a=4.2)
    write(tmp_path / "MgO.cif", atoms)
    back = read_structure(tmp_path / "MgO.cif")
    assert_allclose(from_phonopy(to_phonopy(back)).positions, back.positions, atol=1e-12)
    assert_allclose(from_phonopy(to_phonopy(back)).get_masses(), back.get_masses())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StructureError, match="not found"):
        read_structure(tmp_path / "nothing.cif")


@pytest.mark.parametrize("content", ["", "data_x\nloop_\n_cell_length_a", "<html></html>", "\x00\x01"])
def test_a_cif_that_does_not_parse_is_refused(tmp_path, content):
    (tmp_path / "bad.cif").write_text(content)
    with pytest.raises(StructureError, match=r"cannot be read|no atoms"):
        read_structure(tmp_path / "bad.cif")


def test_an_unknown_format_is_refused(tmp_path):
    (tmp_path / "thing.unknown").write_text("what is this\n")
    with pytest.raises(StructureError, match="cannot be read"):
        read_structure(tmp_path / "thing.unknown")


def test_partial_occupancies_are_refused(tmp_path):
    (tmp_path / "disordered.cif").write_text(DISORDERED)
    with pytest.raises(StructureError, match=r"partially occupied sites \(O 0.5\)"):
        read_structure(tmp_path / "disordered.cif")


def test_one_alternative_of_each_assembly_is_ordered(tmp_path):
    site = "_atom_site_occupancy\nCu1 Cu 0 0 0 1.0\nO1 O 0.5 0.5 0.5 0.5\n"
    columns = "_atom_site_disorder_assembly\n_atom_site_disorder_group\n"
    sites = "Cu1 Cu 0 0 0 . .\nO1 O 0.5 0.5 0.5 A 1\nO2 O 0.5 0.5 0 B 2\n"
    (tmp_path / "chosen.cif").write_text(DISORDERED.replace(site, columns + sites))
    assert len(read_structure(tmp_path / "chosen.cif")) == 3


def test_no_atoms_are_refused():
    with pytest.raises(StructureError, match="holds no atoms"):
        check_structure(Atoms(cell=[5, 5, 5], pbc=True), name="x")


@pytest.mark.parametrize("pbc", [False, (True, True, False)])
def test_no_periodicity_is_refused(pbc):
    with pytest.raises(StructureError, match="not periodic"):
        check_structure(Atoms("Cu", cell=[5, 5, 5], pbc=pbc), name="x")


def test_a_flat_cell_is_refused():
    with pytest.raises(StructureError, match="not periodic"):
        check_structure(Atoms("Cu", cell=[5, 5, 0], pbc=True), name="x")


def test_coordinates_that_are_not_numbers_are_refused():
    with pytest.raises(StructureError, match=r"not numbers: atoms \[1\]"):
        check_structure(Atoms("Cu2", positions=[[0, 0, 0], [np.nan, 0, 0]], cell=[5, 5, 5], pbc=True), name="x")


def test_overlapping_atoms_are_refused_also_across_the_boundary():
    atoms = Atoms("CuO", positions=[[0.1, 0, 0], [4.9, 0, 0]], cell=[5, 5, 5], pbc=True)
    with pytest.raises(StructureError, match=r"Cu 0 and O 1 are 0.200 A apart|O 1 and Cu 0 are 0.200 A apart"):
        check_structure(atoms, name="x")


def test_loose_molecules_are_counted():
    atoms = framework_with(molecule("H2O"))
    assert loose_molecules(atoms) == {"H2O": 1}
    with pytest.warns(StructureWarning, match=r"a loose molecule in its pores \(1 x H2O\)"):
        check_structure(atoms, name="x")


@pytest.mark.parametrize("symbol", ["O", "Cl", "Ar"])
def test_a_single_atom_in_a_pore_is_loose(symbol):
    assert loose_molecules(framework_with(Atoms(symbol))) == {symbol: 1}


def test_a_crystal_of_single_atoms_has_no_loose_ones():
    assert loose_molecules(bulk("Xe", "fcc", a=6.2, cubic=True)) == {}


def test_an_at_sign_in_a_file_name_is_part_of_it(tmp_path):
    write(tmp_path / "Cu@300K.cif", bulk("Cu"))
    assert len(read_structure(tmp_path / "Cu@300K.cif")) == 1


def test_a_molecule_split_by_the_boundary_counts_once():
    atoms = framework_with(molecule("H2O"))
    atoms.positions[:, 2] += 4.0
    atoms.wrap()
    assert loose_molecules(atoms) == {"H2O": 1}


def test_a_molecular_crystal_has_no_loose_molecules():
    atoms = molecule("CO2", cell=[6, 6, 6], pbc=True) + Atoms("N2", positions=[[3, 3, 3], [3, 3, 4.1]])
    assert loose_molecules(atoms) == {}


def test_a_molecule_with_a_ring_is_loose():
    assert loose_molecules(framework_with(molecule("C6H6"))) == {"C6H6": 1}


def test_two_interpenetrating_frameworks_are_not_loose():
    chain = Atoms("Cu", cell=[2.4, 8, 8], pbc=True)
    other = chain.copy()
    other.translate([0, 4, 4])
    assert loose_molecules(chain + other) == {}


def test_missing_elements_are_named():
    with pytest.raises(StructureError, match="'small' lacks O"):
        check_elements(bulk("MgO", "rocksalt", a=4.2), {"name": "small", "elements": ("Mg", "H")})


def test_a_model_that_lists_no_elements_takes_all():
    check_elements(bulk("MgO", "rocksalt", a=4.2), {"name": "any"})


def test_the_digest_depends_on_the_structure_alone():
    atoms = bulk("Cu")
    moved = atoms.copy()
    moved.positions += 1e-12
    assert structure_digest(atoms) == structure_digest(moved)
    moved.positions += 1e-3
    assert structure_digest(atoms) != structure_digest(moved)
