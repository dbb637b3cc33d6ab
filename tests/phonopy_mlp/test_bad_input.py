"""Bad input ends in one sentence and status 2, and leaves nothing behind."""

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from phonopy_mlp.cli.main import main

BAD_LINES = {
    "missing file": ("--mlp emt nothing.cif", "was not found"),
    "missing file after the supercell": ("--mlp emt --dim 2 2 2 nothing.cif", "was not found"),
    "no file at all": ("--mlp emt --mesh 3 3 3 nothing.cif", "there is no file nothing.cif"),
    "unknown model": ("--mlp emmt Cu.cif", "Did you mean emt?"),
    "model file missing": ("--mlp none.model Cu.cif", "could not be made"),
    "supercell": ("--mlp emt Cu.cif --dim 2 2", "3 or 9 integers"),
    "supercell of words": ("--mlp emt Cu.cif --dim a b c", "not all integers"),
    "supercell too large": ("--mlp emt Cu.cif --dim 500 500 500", "would not fit in memory"),
    "supercell of one atom": ("--mlp emt one.cif --dim 1 1 1", "all modes that it represents are translations"),
    "overlap": ("--mlp emt overlap.extxyz", "on top of each other"),
    "not periodic": ("--mlp emt molecule.xyz", "not periodic"),
    "no atoms": ("--mlp emt empty.extxyz", "holds no atoms"),
    "not a number": ("--mlp emt nan.extxyz", "not numbers"),
    "no element": ("--mlp emt x.extxyz", "no element"),
    "left-handed": ("--mlp emt left.extxyz", "left-handed"),
    "does not parse": ("--mlp emt junk.cif", "does not parse"),
    "disorder": ("--mlp emt disordered.cif", "partially occupied"),
    "alternatives": ("--mlp emt alternatives.cif", "is disordered: its sites belong to alternatives"),
    "alternatives about an axis": ("--mlp emt around.cif", "_atom_site_disorder_group -1"),
    "not a number in a CIF": ("--mlp emt nan.cif", "coordinates that are not numbers: sites Cu3 (0.5 nan 0.5)"),
    "unknown in a CIF": ("--mlp emt unknown.cif", "coordinates that are not numbers: sites Cu3 (0.5 ? 0.5)"),
    "columns of a CIF": ("--mlp emt ragged.cif", "its sites differ in length: _atom_site_fract_x 2"),
    "alternatives of other sites": ("--mlp emt astray.cif", "_atom_site_disorder_assembly 1"),
    "element": ("--mlp copper-only gold.cif", "lacks Au"),
    "device": ("--mlp broken Cu.cif --device cuda", "no such device: cuda"),
    "head": ("--mlp emt Cu.cif --head pbe", "no heads"),
    "yaml": ("--mlp emt other.yaml", "not a phonopy yaml"),
    "relax goal": ("--mlp emt Cu.cif --relax --relax-fmax 0", "must be positive"),
    "figure folder": ("--mlp emt Cu.cif --figure out/x.png", "cannot be written"),
    "figure format": ("--mlp emt Cu.cif --figure x.bad", "suffix"),
    "figure and statistics": ("--mlp emt Cu.cif --figure x.png --classical -t", "quantum statistics"),
    "figure and smearing": ("--mlp emt Cu.cif --figure x.png --sigma 0.1 --dos", "tetrahedron"),
    "supercell before relaxation": ("--mlp emt Cu.cif --relax --dim 2 2 2 2", "3 or 9 integers"),
    "supercell length": ("--mlp emt Cu.cif --dim auto --dim-length nan", "must be a positive length"),
    "supercell length alone": ("--mlp emt Cu.cif --dim-length 9", "without --dim auto"),
    "tolerance": ("--mlp emt Cu.cif --symmetrise nan", "must be positive"),
    "tolerance that keeps symmetry": ("--mlp emt Cu.cif --relax --fix-symmetry 0", "must be positive"),
    "phonopy's tolerance": ("--mlp emt Cu.cif --tolerance -1", "must be positive"),
    "fixed atoms": ("--mlp emt Cu.cif --relax --fix-atoms 4-2", "'4-2' is no atom"),
    "primitive cell": ("--mlp emt Cu.cif --pa R", "cannot make that primitive cell"),
    "masses": ("--mlp emt Cu.cif --pa P --mass 63", "one for each atom"),
    "band path": ("--mlp emt Cu.cif --band 0 0 0", ""),
    "mesh": ("--mlp emt Cu.cif --mesh 0 0 0", "three positive integers"),
    "mesh of words": ("--mlp emt Cu.cif --mesh a b c", "cannot be read"),
    "temperatures": ("--mlp emt Cu.cif -t --tmin 300 --tmax 100", "must rise"),
    "temperatures without end": ("--mlp emt Cu.cif --tstep nan", "must be finite"),
    "models of a committee": ("--mlp emt Cu.cif --committee emmt", "Unknown calculator 'emmt'"),
    "tag that phonopy cannot read": ("--mlp emt Cu.cif --config continued.conf", "cannot be read"),
    "configuration": ("--mlp emt Cu.cif --config latin.conf", "cannot be read"),
    "configuration not named": ("--mlp emt Cu.cif --config", "expected one argument"),
    "displacement": ("--mlp emt Cu.cif --dim 2 2 2 --amplitude -1", "must be positive"),
    "random displacements": ("--mlp emt Cu.cif --dim 2 2 2 --rd 0", "at least one"),
    "displacements at a temperature": ("--mlp emt Cu.cif --dim 2 2 2 --rd-temperature 300", "drawn from phonons"),
    "magnetic moments": ("--mlp emt Cu.cif --dim 2 2 2 --magmom 1 1 1 1", "know no spin"),
    "no Born charges": ("--mlp emt Cu.cif --dim 2 2 2 --use-born", "no file BORN"),
    "relaxation without stress": ("--mlp no-stress Cu.cif --relax", "failed on the relaxation of Cu4"),
    "calculator fails": ("--mlp failing Cu.cif --dim 2 2 2", "out of memory"),
    "calculator fails at once": ("--mlp failing Cu.cif --dim 2 2 2 --dry-run", "failed on the unit cell"),
}

CUBE = """data_x
_cell_length_a 3.6
_cell_length_b 3.6
_cell_length_c 3.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""
DISORDERED = f"""{CUBE}_atom_site_occupancy
Cu1 Cu 0 0 0 0.5
Au1 Au 0 0 0 0.5
"""
ALTERNATIVES = f"""{CUBE}_atom_site_disorder_assembly
_atom_site_disorder_group
Cu1 Cu 0 0 0 . .
Cu2 Cu 0.5 0.5 0 A 1
Au2 Au 0.5 0.5 0.2 A 2
"""
LOST = f"""{CUBE}Cu1 Cu 0 0 0
Cu2 Cu 0.5 0.5 0
Cu3 Cu 0.5 nan 0.5
"""
RAGGED = f"""{CUBE.replace("_atom_site_fract_z", "").strip()}
Cu1 Cu 0 0
Cu2 Cu 0.5 0.5
loop_
_atom_site_fract_z
0
"""


@pytest.fixture(autouse=True)
def _place(registered, workdir):
    copper = bulk("Cu", cubic=True)
    write("one.cif", bulk("Cu"))
    write("gold.cif", bulk("Au", cubic=True))
    write("overlap.extxyz", Atoms("Cu2", positions=[[0, 0, 0], [0.1, 0, 0]], cell=[4, 4, 4], pbc=True))
    write("empty.extxyz", Atoms(cell=[3, 3, 3], pbc=True))
    write("left.extxyz", Atoms(copper.symbols, positions=copper.positions, cell=copper.cell[[1, 0, 2]], pbc=True))
    unknown, lost = copper.copy(), copper.copy()
    unknown.symbols[0] = "X"
    lost.positions[0] = np.nan
    write("x.extxyz", unknown)
    write("nan.extxyz", lost)
    Path("molecule.xyz").write_text("1\n\nCu 0 0 0\n")
    Path("other.yaml").write_text("a: 1\n")
    Path("junk.cif").write_text("data_x\nloop_\n_a\n")
    Path("disordered.cif").write_text(DISORDERED)
    Path("alternatives.cif").write_text(ALTERNATIVES)
    Path("around.cif").write_text(ALTERNATIVES.replace("A 1", ". -1").replace("A 2", ". ?"))
    Path("ragged.cif").write_text(RAGGED)
    Path("astray.cif").write_text(f"{LOST.replace('nan', '0')}loop_\n_atom_site_disorder_assembly\nA\n")
    Path("nan.cif").write_text(LOST)
    Path("unknown.cif").write_text(LOST.replace("nan", "?"))
    Path("continued.conf").write_text("BAND = 0 0 0 +++\n1/2 0 0\n")
    Path("latin.conf").write_bytes(b"# \xe9\nMESH = 3 3 3\n")


def phonopy_mlp(line: str) -> int:
    return main(["run", *line.split()])


@pytest.mark.parametrize("case", BAD_LINES)
def test_it_is_one_sentence_and_status_2_and_leaves_nothing(case, capfd):
    line, message = BAD_LINES[case]
    before = sorted(Path().iterdir())
    assert phonopy_mlp(line) == 2
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert sorted(Path().iterdir()) == before


def test_an_empty_word_is_refused(capfd):
    assert main(["run", "--mlp", "emt", "Cu.cif", ""]) == 2
    assert "An empty word" in capfd.readouterr().err


def test_a_folder_that_is_gone_is_an_error(tmp_path, monkeypatch, capfd):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert phonopy_mlp(f"--mlp emt {tmp_path}/Cu.cif --dim 2 2 2") == 2
    assert "current folder is gone" in capfd.readouterr().err


@pytest.mark.parametrize("line", ["--mlp emt Cu.cif --dim 2 2 2", "--mlp emt Cu.cif --relax"])
def test_a_folder_that_cannot_be_written_is_an_error(line, monkeypatch, capfd):
    # Permissions do not bind root, whom the tests may run as.
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    before = sorted(Path().iterdir())
    assert phonopy_mlp(line) == 2
    error = capfd.readouterr().err
    assert "cannot be written: [Errno 13] Permission denied. Choose a folder" in error
    assert "Traceback" not in error
    assert sorted(Path().iterdir()) == before


def test_displacements_of_a_file_exclude_others(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 0
    for option in ("--amplitude 0.02", "--pm", "--rd 4", "--nodiag", "--trigonal"):
        assert phonopy_mlp(f"--mlp emt phonopy_params.yaml {option}") == 2
        assert f"{option} would ask for others" in capfd.readouterr().err


def test_another_order_of_atoms_is_refused(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 0
    text = Path("phonopy_params.yaml").read_text()
    start = text.index("supercell:\n")
    first, second = text.index("coordinates:", start), text.index("coordinates:", text.index("coordinates:", start) + 1)
    ends = [text.index("]", place) + 1 for place in (first, second)]
    swapped = text[:first] + text[second : ends[1]] + text[ends[0] : second] + text[first : ends[0]] + text[ends[1] :]
    Path("swapped.yaml").write_text(swapped)
    assert phonopy_mlp("swapped.yaml --mesh 3 3 3") == 2
    assert "not in the order" in capfd.readouterr().err


def test_a_magnetic_yaml_is_refused(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 0
    text = Path("phonopy_params.yaml").read_text()
    unit = text.index("unit_cell:")
    Path("magnetic.yaml").write_text(
        text[:unit] + text[unit:].replace("mass: 63.546000", "mass: 63.5\n    magnetic_moment: 1.0", 4)
    )
    assert phonopy_mlp("--mlp emt magnetic.yaml --mesh 3 3 3") == 2
    assert "magnetic moments" in capfd.readouterr().err


def test_forces_from_a_file_exclude_changes_of_structure(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 0
    for option in ("--relax", "--symmetrise", "--dim 3 3 3"):
        assert phonopy_mlp(f"phonopy_params.yaml {option}") == 2
        assert "has its forces already" in capfd.readouterr().err


def test_a_stale_force_constants_file_is_an_error(capfd):
    Path("FORCE_CONSTANTS").write_text("")
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 2
    assert "FORCE_CONSTANTS lies in" in capfd.readouterr().err


def test_debug_shows_the_traceback(capfd):
    assert phonopy_mlp("--mlp emt nothing.cif --debug") == 2
    assert "Traceback" in capfd.readouterr().err
