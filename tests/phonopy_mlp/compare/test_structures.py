"""Structures against the paper's figures and tables, and against what was done to them."""

import csv

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from numpy.testing import assert_allclose

from phonopy_mlp.compare.structures import compare_structures, count_displacements
from phonopy_mlp.errors import StructureError
from phonopy_mlp.force_constants import displace, make_phonopy

MOFS = ("MOF-5", "MIL-53", "MOF-74")


@pytest.fixture(scope="module")
def minima(reference):
    """The published minima of each method, of each framework."""
    return {
        mof: {
            frame.info["method"]: frame
            for frame in read(reference / f"structures/{mof}_optimized_5methods.extxyz", ":")
        }
        for mof in MOFS
    }


@pytest.fixture(scope="module")
def compared(minima):
    """Each method against DFT."""
    return {
        (mof, method): compare_structures(frames["DFT"], frame)
        for mof, frames in minima.items()
        for method, frame in frames.items()
        if method != "DFT"
    }


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_mean_lengths_of_figure_3(compared, reference):
    for row in rows(reference / "derived/fig3_mean_length_deviation_percent.csv"):
        for method in set(row) - {"mof"}:
            found = compared[row["mof"], method].mean_length_deviation
            assert found == pytest.approx(float(row[method]), abs=5.1e-5)


def test_fractional_coordinates_with_and_without_minimum_image(compared, reference):
    for row in rows(reference / "derived/table7_fractional_rmsd_recomputed.csv"):
        elements = {each.element: each for each in compared[row["mof"], row["method"]].elements}
        found = elements[row["element"]]
        assert found.rmsd == pytest.approx(float(row["rmsd_mic"]), abs=5.1e-7)
        assert found.paper_rmsd == pytest.approx(float(row["rmsd_wrapped_no_mic"]), abs=5.1e-7)


def test_the_mace_entries_of_table_7(compared, reference):
    checked = 0
    for row in rows(reference / "paper_tables/table7_mof74_fractional_rmsd.csv"):
        for each in compared["MOF-74", row["method"]].elements:
            if row["method"].startswith("MACE"):
                assert each.paper_rmsd == pytest.approx(float(row[each.element]), abs=5e-4)
                checked += 1
    assert checked == 12


def test_cells_space_groups_and_displacements_of_table_2(compared, reference):
    for row in rows(reference / "derived/table2_recomputed.csv"):
        if row["method"] == "DFT":
            found = compared[row["mof"], "MACE-MP-MOF0"]
            cell, symmetry = found.cell_a, found.symmetry_a
        else:
            found = compared[row["mof"], row["method"]]
            cell, symmetry = found.cell_b, found.symmetry_b
        names = ("a", "b", "c", "alpha", "beta", "gamma")
        assert_allclose(cell, [float(row[name]) for name in names], atol=5.1e-6)
        for each, tolerance in zip(symmetry, ("1e-05", "0.01"), strict=True):
            assert each.group.symbol == row[f"sg_{tolerance}"]
            assert each.displacements == int(row[f"n_disp_{tolerance}"])


def test_an_atom_that_crosses_the_face_of_the_cell_goes_a_long_way_in_the_papers_convention_alone():
    a = Atoms("CuAu", scaled_positions=[[0.999, 0, 0], [0.5, 0.5, 0.5]], cell=[4, 5, 6], pbc=True)
    b = Atoms("CuAu", scaled_positions=[[0.001, 0, 0], [0.5, 0.5, 0.5]], cell=[4, 5, 6], pbc=True)
    copper = compare_structures(a, b).elements[0]
    assert copper.rmsd == pytest.approx(0.002 / np.sqrt(3))
    assert copper.paper_rmsd == pytest.approx(0.998 / np.sqrt(3))
    # The two are one crystal, turned by half a circle about b.
    assert copper.rms_distance == pytest.approx(0, abs=1e-12)


def test_volume_and_lengths():
    a, b = bulk("Cu", a=3.6, cubic=True), bulk("Cu", a=3.6, cubic=True)
    b.set_cell([3.636, 3.6, 3.564], scale_atoms=True)
    found = compare_structures(a, b)
    assert_allclose(found.length_deviations, [1, 0, -1], atol=1e-9)
    assert found.mean_length_deviation == pytest.approx(0, abs=1e-9)
    assert found.volume_deviation == pytest.approx(-0.01, abs=1e-9)
    assert found.match is not None
    assert [each.displacements for each in found.symmetry_b] == [1, 1]


def test_a_collapsed_structure_is_compared_without_a_match(compared):
    found = compared["MIL-53", "MACE-MP-0b"]
    assert found.match is None
    assert all(each.rms_distance is None for each in found.elements)


def test_other_atoms_are_refused():
    with pytest.raises(StructureError, match="other atoms"):
        compare_structures(bulk("Cu"), bulk("Cu", cubic=True))


@pytest.mark.parametrize("conventional", [False, True])
def test_displacements_are_those_of_a_supercell(conventional):
    copper = bulk("Cu", cubic=conventional)
    copper.positions[0] += 0.003
    for tolerance in (1e-5, 1e-2):
        phonon = make_phonopy(copper, np.diag([2, 2, 2]), symprec=tolerance)
        displace(phonon, 0.01)
        assert count_displacements(copper, tolerance) == len(phonon.displacements)
