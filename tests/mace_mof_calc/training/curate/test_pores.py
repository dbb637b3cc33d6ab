"""Pore diameters: packings with known answers, and a grid that knows nothing of Zeo++."""

import csv
import math
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.geometry import find_mic
from pore_grid import compute_on_grid
from pores import PITCH, PUBLISHED, make_frameworks
from rows import RESULTS

from mace_mof_calc import structures
from mace_mof_calc.errors import MissingExtraError, StructureError
from mace_mof_calc.training.curate import pores
from mace_mof_calc.training.curate.pores import compute_pore_diameters
from mace_mof_calc.training.curate.reading import read_cif
from mace_mof_calc.training.curate.symmetry import reduce_to_primitive

ROOT = Path(__file__).parents[4]
REFERENCE = ROOT.parent / "shared" / "reference"

RADII = {"H": 1.09, "C": 1.7, "N": 1.55, "O": 1.52, "Al": 2.0, "Zn": 1.39, "Kr": 2.02}
# What frameworks may be off published diameters: other refinements, and atoms made up of fewer spheres.
OFF = 0.4
EDGE = 6.0
# Distances of the bottleneck and of the middle of the largest hole from the nearest centres, in cell edges: of four
# spheres in a square and eight at the corners of a cube; of three in a triangle and six in an octahedron; of three in
# the isosceles triangle between tetrahedral holes, and of the four around such a hole.
PACKINGS = {
    "sc": (math.sqrt(2) / 2, math.sqrt(3) / 2),
    "fcc": (1 / math.sqrt(6), 1 / 2),
    "bcc": (3 / (4 * math.sqrt(2)), math.sqrt(5) / 4),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_packings_of_spheres(packing):
    atoms = bulk("Kr", packing, a=EDGE)
    radius = RADII["Kr"]
    limiting, largest = (2 * (EDGE * distance - radius) for distance in PACKINGS[packing])
    found = compute_pore_diameters(atoms)
    assert (found.limiting, found.largest) == pytest.approx((limiting, largest), abs=2e-5)
    pitch = 0.1
    on_grid = compute_on_grid(atoms, RADII, pitch)
    assert on_grid == pytest.approx((limiting, largest), abs=pitch * math.sqrt(3))


def test_the_choice_of_cell_does_not_matter():
    atoms = bulk("Kr", "sc", a=EDGE)
    found = compute_pore_diameters(atoms)
    other = make_supercell(atoms, [[1, 1, 0], [0, 1, 0], [0, -1, 2]])
    other.rotate(33, "y", rotate_cell=True)
    other.translate([1.0, 2.0, 3.0])
    again = compute_pore_diameters(other)
    assert (again.limiting, again.largest) == pytest.approx((found.limiting, found.largest), abs=1e-4)


def test_no_way_through():
    # Holes without a way out; and planes of spheres that overlap, between which there is one.
    closed = compute_pore_diameters(bulk("Kr", "fcc", a=4.5))
    assert (closed.limiting, closed.largest) == pytest.approx((0.0, 4.5 - 2 * RADII["Kr"]))
    layers = compute_pore_diameters(Atoms("Kr", cell=[2.0, 2.0, 10.0], pbc=True))
    assert layers.limiting == pytest.approx(10.0 - 2 * RADII["Kr"], abs=0.5)
    assert layers.largest >= layers.limiting


def test_radii_that_differ():
    # A channel between four large and, half way, four small spheres: the large ones decide.
    atoms = Atoms("KrC", scaled_positions=[[0, 0, 0], [0, 0, 0.5]], cell=[6.0, 6.0, 7.0], pbc=True)
    found = compute_pore_diameters(atoms)
    assert found.limiting == pytest.approx(6.0 * math.sqrt(2) - 2 * RADII["Kr"], abs=0.15)
    assert found.largest == pytest.approx(compute_on_grid(atoms, RADII, 0.1)[1], abs=0.1 * math.sqrt(3))


def test_a_framework_against_the_grid():
    atoms = structures.load("MIL-53")
    found = compute_pore_diameters(atoms)
    pitch = 0.15
    limiting, largest = compute_on_grid(atoms, RADII, pitch)
    assert -0.1 < found.limiting - limiting < pitch * math.sqrt(3)
    assert -0.1 < found.largest - largest < pitch * math.sqrt(3)


def test_what_zeo_cannot_do():
    with pytest.raises(StructureError, match=r"cannot compute.*Unable to find radius for X"):
        compute_pore_diameters(Atoms("X", cell=[5, 5, 5], pbc=True))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import time; time.sleep(60)", "not done after 0.3 s"),
        ("import os; os.abort()", "ended with status -6"),
        ("import sys; sys.exit(1)", "ended with status 1"),
        ("import sys; open(sys.argv[2], 'w').write('x 7.1')", "cannot compute"),
        ("import sys; open(sys.argv[2], 'w').write('x nan 3.0')", "diameters of 3.0 and nan"),
    ],
    ids=["hangs", "crashes", "fails", "writes-half", "not-finite"],
)
def test_whatever_befalls_zeo_is_an_error_of_this_structure(monkeypatch, program, reason):
    monkeypatch.setattr(pores, "_WORK", program)
    calls, call = [], pores._call_zeo
    monkeypatch.setattr(pores, "_call_zeo", lambda *words: (calls.append(words), call(*words))[1])
    if "sleep" in program:
        monkeypatch.setattr(pores, "TIME_LIMIT", 0.3)
    with pytest.raises(StructureError, match=f"Zeo.*{reason}"):
        compute_pore_diameters(bulk("Kr"))
    # What takes too long is not tried again.
    assert len(calls) == (1 if "sleep" in program else 3)


@pytest.fixture(scope="module")
def table():
    """Diameters of the four frameworks, from ``benchmarks/pores.py``."""
    with (RESULTS / "pores.csv").open() as file:
        return {row["framework"]: row for row in csv.DictReader(file)}


def test_the_table_of_known_frameworks(table):
    assert set(table) == set(PUBLISHED) == {"MOF-5", "UiO-66", "ZIF-8", "HKUST-1"}
    for name, row in table.items():
        for kind, published in zip(("limiting", "largest"), PUBLISHED[name], strict=False):
            ours, on_grid = float(row[kind]), float(row[f"{kind}_grid"])
            assert -0.1 < ours - on_grid < PITCH * math.sqrt(3)
            assert ours == pytest.approx(published, abs=OFF)


def test_the_document_has_the_table(table):
    lines = (ROOT / "docs" / "training.md").read_text().splitlines()
    for name, row in table.items():
        (line,) = (line for line in lines if line.startswith(f"| {name} | "))
        written = [float(word) for word in line.strip("| ").split(" | ")[1:]]
        columns = [f"{kind}{way}" for kind in ("limiting", "largest") for way in ("", "_grid", "_published")]
        assert written == pytest.approx([float(row[column]) for column in columns], abs=0.0051)


@pytest.mark.parametrize("name", ["MOF-5", "UiO-66", "ZIF-8"])  # HKUST-1 takes as long as these together
def test_known_frameworks(name, table):
    found = compute_pore_diameters(reduce_to_primitive(dict(make_frameworks())[name]))
    assert (found.limiting, found.largest) == pytest.approx(PUBLISHED[name][:2], abs=OFF)
    row = table[name]
    assert (found.limiting, found.largest) == pytest.approx((float(row["limiting"]), float(row["largest"])), abs=0.01)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="published data are not here")
def test_a_published_crystal(tmp_path):
    # ZIF-8 as the paper has it, relaxed by DFT: its window is wider than that of X-ray diffraction, on the grid, too.
    ZipFile(REFERENCE / "cifs" / "cifs.zip").extract("curated127/qmof-536d29b.cif", tmp_path)
    atoms = reduce_to_primitive(read_cif(tmp_path / "curated127" / "qmof-536d29b.cif"))
    found = compute_pore_diameters(atoms)
    limiting, largest = compute_on_grid(atoms, RADII, 0.25)
    assert (found.limiting, found.largest) == pytest.approx((limiting, largest), abs=0.1)
    assert (found.limiting, found.largest) == pytest.approx(PUBLISHED["ZIF-8"][:2], abs=0.5)


def test_it_is_asked_again_with_atoms_a_little_off_their_places(monkeypatch, tmp_path):
    # As if Zeo++ stumbled over the first structure, as it does over some that are symmetric.
    stumble = """
import pathlib, sys
kept = pathlib.Path({folder!r}) / "first.v1"
if not kept.exists():
    kept.write_text(pathlib.Path(sys.argv[1]).read_text())
    sys.exit("stumbled")
pathlib.Path({folder!r}, "second.v1").write_text(pathlib.Path(sys.argv[1]).read_text())
"""
    atoms = structures.load("MIL-53")
    monkeypatch.setattr(pores, "_WORK", stumble.format(folder=str(tmp_path)) + pores._WORK.replace('"OCC"', '"S4"'))
    again = compute_pore_diameters(atoms)
    assert again.limiting == pytest.approx(7.144, abs=0.01)
    first, second = (np.loadtxt(tmp_path / f"{name}.v1", skiprows=5, usecols=(1, 2, 3)) for name in ("first", "second"))
    _, distances = find_mic(second - first, atoms.cell.standard_form()[0])
    assert 0.0 < distances.max() < 1e-3


def test_without_pyzeo(monkeypatch):
    monkeypatch.setattr("mace_mof_calc.training.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mace-mof-calc\[training\]"):
        compute_pore_diameters(bulk("Kr"))


def test_the_grid_itself():
    # A hole of known size in a wall is found whichever way the wall stands.
    wall = [[x, y, 0] for x in np.arange(8) for y in np.arange(8) if (x, y) != (4, 4)]
    atoms = Atoms(f"H{len(wall)}", positions=wall, cell=[8, 8, 6], pbc=True)
    through = Atoms(f"H{len(wall)}", positions=wall, cell=[8, 8, 1.0], pbc=True)
    between, _ = compute_on_grid(atoms, {"H": 0.5}, 0.1)
    assert between == pytest.approx(5.0, abs=0.2)
    limiting, largest = compute_on_grid(through, {"H": 0.5}, 0.1)
    assert limiting == pytest.approx(1.0, abs=0.18)
    assert largest == pytest.approx(math.sqrt(1.25) * 2 - 1.0, abs=0.18)
