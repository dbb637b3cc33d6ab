"""The two packages as one installs them: names, model files and errors through the command line."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk, molecule
from ase.geometry import get_distances
from ase.io import write
from phonopy.file_IO import read_force_constants_hdf5
from phonopy.harmonic.force_constants import compact_fc_to_full_fc

from mace_mof_calc import structures
from mace_mof_calc.models.cards import EMBEDDED_DIRECTORY
from mace_mof_calc.models.own import register
from phonopy_mlp.cli.main import main
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.registry import calculator_names, describe, get_calculator
from phonopy_mlp.relax import relax
from phonopy_mlp.structures import loose_molecules
from phonopy_mlp.symmetry import symmetrise

STANDINS = Path(__file__).parent / "mace_mof_calc" / "standins"


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MACE_MOF_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    structures.load("MOF-5").write("MOF-5.cif")
    write("gold.cif", bulk("Au", cubic=True))
    Path("page.model").write_text("<html>not here</html>")


def test_a_model_of_ones_own_has_a_name(tmp_path, capsys):
    packed = EMBEDDED_DIRECTORY / "mini.json"
    assert "my-mof" not in calculator_names()
    register(packed, "my-mof")
    assert "my-mof" in calculator_names()
    assert describe(get_calculator("my-mof"))["elements"] == describe(get_calculator("mini"))["elements"]
    assert main(["run", "--mlp", "my-mof", "gold.cif"]) == 2
    assert "Au" in capsys.readouterr().err  # the word is the model, and the model knows no gold
    assert main(["run", "--mlp=my-mofs", "gold.cif"]) == 2
    assert "Did you mean my-mof" in capsys.readouterr().err


def test_our_names_are_registered():
    assert {"mof0", "mof0-v2", "mini", "mp-0b", "mp-0b-d3", "gfn1-xtb"} <= set(calculator_names())


def test_a_calculator_describes_itself_for_the_provenance():
    description = describe(get_calculator("mini"))
    assert description["name"] == "mini"
    assert description["digest"].startswith("sha256:")
    assert "GFN1-xTB" in description["level_of_theory"]
    assert {"H", "C", "O", "Zn", "Zr", "Al"} <= set(description["elements"])


def test_dry_run_tells_size_and_cost(capfd):
    assert main(["run", "--mlp", "mini", "MOF-5.cif", "--dim", "2", "2", "2", "--dry-run"]) == 0
    out = capfd.readouterr().out
    assert "Displacements: 10, in a supercell of 848 atoms (106 in the primitive cell)" in out
    assert "Method: linear-response" in out
    assert "Fm-3m (225)" in out
    assert re.search(r"^Response to one atom: \d+\.\d\d s$", out, re.M)
    assert re.search(r"^Estimated time of the force constants: (\d+ (s|min)|\d+\.\d h)$", out, re.M)
    assert re.search(r"^Estimated peak memory: (\d+\.\d GB|unknown here)$", out, re.M)


def with_guest(framework: Atoms, guest: Atoms) -> Atoms:
    """A framework with a molecule where its pore is widest."""
    grid = np.stack(np.meshgrid(*(3 * [np.arange(12) / 12]), indexing="ij"), axis=-1).reshape(-1, 3)
    points = grid @ framework.cell.array
    _, distances = get_distances(points, framework.positions, cell=framework.cell, pbc=True)
    guest.translate(points[distances.min(axis=1).argmax()] - guest.get_center_of_mass())
    full = framework + guest
    full.wrap()
    return full


@pytest.mark.parametrize("name", structures.names())
def test_guests_are_told_from_each_framework(name):
    framework = structures.load(name)
    assert loose_molecules(framework) == {}
    for formula, found in {"H2O": "H2O", "CO2": "CO2", "N2": "N2", "CH3OH": "CH4O"}.items():
        assert loose_molecules(with_guest(framework, molecule(formula))) == {found: 1}


def test_a_guest_in_the_pore_is_a_warning(capfd):
    with_guest(structures.load("MOF-5"), molecule("CH3OH")).write("loaded.cif")
    assert main(["run", "--mlp", "mini", "loaded.cif", "--dim", "1", "1", "1", "--dry-run"]) == 0
    assert "a loose molecule in its pores (1 x CH4O)" in capfd.readouterr().err


BAD_LINES = {
    "element": ("--mlp mini gold.cif", "lacks Au"),
    "no such device": ("--mlp mini MOF-5.cif --device abacus", "abacus"),
    "no model file": ("--mlp page.model MOF-5.cif", "page.model"),
    "unknown head": (f"--mlp {STANDINS / 'multihead-0.3.8.model'} MOF-5.cif --head pbe", "pt_head"),
    "close name": ("--mlp mof-0 MOF-5.cif", "Did you mean mof0"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_bad_input_is_one_message_and_status_2(case, capfd):
    line, message = BAD_LINES[case]
    before = sorted(Path().iterdir())
    assert main(["run", *line.split()]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert sorted(Path().iterdir()) == before


def test_cuda_that_is_not_here_is_one_message(monkeypatch, capfd):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["run", "--mlp", "mini", "MOF-5.cif", "--device", "cuda"]) == 2
    error = capfd.readouterr().err
    assert "Device 'cuda' was asked for and there is none" in error
    assert "comes from" not in error


def test_a_missing_extra_is_one_message(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "tblite.ase", None)
    assert main(["run", "--mlp", "gfn1-xtb", "MOF-5.cif"]) == 2
    assert 'pip install "mace-mof-calc[xtb]"' in capfd.readouterr().err


def test_linear_response_and_displacements_agree(monkeypatch, capfd):
    constants = {}
    for method in ("linear-response", "finite-displacement"):
        Path(method).mkdir()
        with monkeypatch.context() as inside:
            inside.chdir(method)
            assert main(["run", "--mlp", "mini", "../MOF-5.cif", "--dim", "1", "1", "1", "--fc-method", method]) == 0
            constants[method] = read_force_constants_hdf5("force_constants.hdf5")
            record = yaml.safe_load(Path("phonopy_mlp.yaml").read_text())["phonopy_mlp"]
        assert record["steps"]["force_constants"]["method"] == method
        assert record["calculator"]["accelerated"]
        assert "not for research" in str(record["calculator"])
    exact, differences = constants.values()
    # Displacements of 0.001 A leave the third order of one direction in the other.
    assert np.abs(exact - differences).max() < 2e-3 * np.abs(exact).max()


def test_mini_has_a_stable_minimum_where_its_reference_has():
    shipped, calculator = structures.load("MOF-5"), get_calculator("mini", device="cpu")
    relaxed = relax(shipped, calculator, fmax=1e-4)
    assert relaxed.converged
    # The shipped structure is at the minimum of GFN1-xTB, which mini was trained on.
    assert relaxed.atoms.cell.lengths() == pytest.approx(shipped.cell.lengths(), rel=0.005)
    phonon = make_phonopy(symmetrise(relaxed.atoms, 1e-3), np.diag([2, 2, 2]))
    modes = compute_commensurate_modes(compute_force_constants(phonon, calculator).phonon)
    assert len(modes.qpoints) == 8
    assert modes.count_imaginary() == 0


def test_force_constants_of_linear_response_have_all_symmetries_before_any_is_imposed():
    # The file has ten digits; with those alone the symmetry holds to 1e-8.
    atoms, calculator = symmetrise(structures.load("MOF-74"), 1e-3), get_calculator("mini")
    found = {}
    for is_symmetry in (True, False):
        phonon = make_phonopy(atoms, np.eye(3, dtype=int), primitive_matrix="P", is_symmetry=is_symmetry)
        result = compute_force_constants(phonon, calculator, symmetrise=False)
        full = compact_fc_to_full_fc(phonon.primitive, result.force_constants)
        largest = np.abs(full).max()
        assert result.drift < 1e-12 * largest
        assert np.abs(full - full.transpose(1, 0, 3, 2)).max() < 1e-12 * largest
        found[is_symmetry] = full
    # phonopy made one of them of 9 atoms by the space group, and the other of all 54.
    assert len(result.phonon.displacements) == 3 * len(atoms)
    assert np.abs(found[True] - found[False]).max() < 1e-12 * largest
