"""CIFs: read where there is no doubt, and otherwise refused with the reason."""

import pytest

from mace_mof_calc import structures
from mace_mof_calc.errors import FramesError, StructureError
from mace_mof_calc.training.curate.reading import find_cifs, read_cif

CIF = """data_rocksalt
_cell_length_a 5.64(1)
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
{symmetry}
{extra}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""
SITES = "Na1 Na 0 0 0 1\nCl1 Cl 0.5 0 0 1.0(0)"
SYMMETRY = "_symmetry_space_group_name_H-M 'F m -3 m'"


def write(path, sites=SITES, symmetry=SYMMETRY, extra=""):
    path.write_text(CIF.format(sites=sites, symmetry=symmetry, extra=extra))
    return path


def test_symmetry_fills_the_cell(tmp_path):
    atoms = read_cif(write(tmp_path / "a.cif"))
    assert atoms.get_chemical_formula() == "Cl4Na4"
    assert atoms.pbc.all()
    assert atoms.get_distance(0, 4, mic=True) == pytest.approx(2.82)
    assert not atoms.info
    assert set(atoms.arrays) == {"numbers", "positions"}


@pytest.mark.parametrize(
    "extra_site",
    ["Na2 Na 0 0.5 0.5 1", "Na2 Na 1 1 0 1", "Na2 Na 0.0001 0 0 1", "Na2 Na -0.5 0.5 0 1"],
    ids=["image", "next-cell", "rounded", "negative"],
)
def test_sites_listed_twice_are_one(tmp_path, extra_site):
    atoms = read_cif(write(tmp_path / "a.cif", sites=f"{SITES}\n{extra_site}"))
    assert atoms.get_chemical_formula() == "Cl4Na4"


@pytest.mark.parametrize("symmetry", ["_space_group_IT_number 225", "_symmetry_Int_Tables_number 225", SYMMETRY])
def test_names_of_the_space_group(tmp_path, symmetry):
    assert len(read_cif(write(tmp_path / "a.cif", symmetry=symmetry))) == 8


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sites": "Na1 Na 0 0 0 0.5\nK1 K 0 0 0 0.5\nCl1 Cl 0.5 0 0 1"}, "Na1, K1 are partly occupied"),
        ({"sites": "Na1 Na 0 0 0 yes\nCl1 Cl 0.5 0 0 1"}, "Na1 are partly occupied"),
        ({"sites": "Na1 Na 0 0 ? 1\nCl1 Cl 0.5 0 0 1"}, "coordinates of Na1 are no numbers"),
        ({"sites": "Na1 Na 0 0 nan 1\nCl1 Cl 0.5 0 0 1"}, "coordinates of Na1 are no numbers"),
        ({"sites": "Na1 Na 0 0 0 1\nCl1 Cl 0.5 0"}, "does not parse|differ in length"),
        ({"sites": "X1 X 0 0 0 1"}, "no element|cannot read"),
        ({"symmetry": ""}, "no space group and no operations"),
        ({"symmetry": "_symmetry_space_group_name_H-M ?"}, "no space group and no operations"),
        ({"symmetry": "_symmetry_space_group_name_H-M 'Q 7'"}, "ASE cannot read it"),
        ({"extra": "_chemical_formula_moiety 'C8 H4 O4 2-, 2(Na 1+)'"}, "charged parts"),
        ({"extra": "_chemical_formula_moiety 'Na +, Cl -'"}, "charged parts"),
    ],
)
def test_what_is_in_doubt_is_refused(tmp_path, change, reason):
    with pytest.raises(StructureError, match=reason):
        read_cif(write(tmp_path / "a.cif", **change))


@pytest.mark.parametrize("moiety", ["'C8 H4 O4'", "'C24 H12 O13 Zn4, 2(H2 O)'", "?"])
def test_neutral_formulas_pass(tmp_path, moiety):
    assert len(read_cif(write(tmp_path / "a.cif", extra=f"_chemical_formula_moiety {moiety}"))) == 8


@pytest.mark.parametrize(
    ("groups", "refused"),
    [((". .", "1 A"), False), (("1 A", "2 A"), True), (("1 A", "2 B"), False), ((". .", "-1 ."), True)],
    ids=["one", "alternatives", "two-assemblies", "about-an-element"],
)
def test_alternatives(tmp_path, groups, refused):
    path = write(
        tmp_path / "a.cif", sites="\n".join(f"{a} {b}" for a, b in zip(SITES.split("\n"), groups, strict=True))
    )
    columns = "_atom_site_occupancy\n_atom_site_disorder_group\n_atom_site_disorder_assembly"
    path.write_text(path.read_text().replace("_atom_site_occupancy", columns))
    if refused:
        with pytest.raises(StructureError, match="alternatives"):
            read_cif(path)
    else:
        assert len(read_cif(path)) == 8


def test_one_structure_a_file(tmp_path):
    path = write(tmp_path / "a.cif")
    path.write_text(path.read_text() * 2)
    with pytest.raises(StructureError, match="2 structures"):
        read_cif(path)
    path.write_text("data_nothing\n_cell_length_a 5\n")
    with pytest.raises(StructureError, match="no coordinates"):
        read_cif(path)
    path.write_bytes(b"\x00\xff\x01")
    with pytest.raises(StructureError, match=r"does not parse|no coordinates"):
        read_cif(path)


def test_the_package_s_own_frameworks(tmp_path):
    structures.load("MOF-5").write(tmp_path / "MOF-5.cif")
    assert read_cif(tmp_path / "MOF-5.cif").get_chemical_formula() == "C48H24O26Zn8"


def test_folders(tmp_path):
    with pytest.raises(FramesError, match="no CIF in"):
        find_cifs(tmp_path)
    with pytest.raises(FramesError, match="no folder"):
        find_cifs(tmp_path / "absent")
    (tmp_path / "sub").mkdir()
    for name in ("b.cif", "sub/a.CIF", "sub/c.txt"):
        (tmp_path / name).write_text("")
    assert list(find_cifs(tmp_path)) == ["b", "sub/a"]
    (tmp_path / "b.CIF").write_text("")
    with pytest.raises(FramesError, match="same name"):
        find_cifs(tmp_path)
