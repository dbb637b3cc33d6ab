"""The whole command in small, with a potential that costs nothing."""

import io
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write
from numpy.testing import assert_allclose
from phonopy import Phonopy
from phonopy.file_IO import read_force_constants_hdf5

from phonopy_mlp.cli.main import main, phonopy_main
from phonopy_mlp.structures import to_phonopy


@pytest.fixture(autouse=True)
def _place(registered, workdir):
    pass


def phonopy_mlp(line: str) -> int:
    return main(["run", *line.split()])


def plain(program: str, line: str) -> subprocess.CompletedProcess:
    """Run one of phonopy's own commands."""
    command = Path(sys.executable).parent / program
    return subprocess.run([command, *line.split()], capture_output=True, text=True, check=False)


def record() -> dict:
    return yaml.safe_load(Path("phonopy_mlp.yaml").read_text())["phonopy_mlp"]


def thermal(path="thermal_properties.yaml"):
    return np.array([list(row.values()) for row in yaml.safe_load(Path(path).read_text())["thermal_properties"]])


def test_the_files_are_those_of_phonopy_with_the_same_forces(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --amplitude 0.01 --mesh 7 7 7 -t --tmax 300 --pa P") == 0
    ours = thermal()
    Path("by_hand").mkdir()
    phonon = Phonopy(to_phonopy(read("Cu.cif")), np.diag([2, 2, 2]), primitive_matrix="P", log_level=0)
    phonon.generate_displacements(distance=0.01)
    phonon.forces = [EMT().get_forces(atoms) for atoms in (_atoms(c) for c in phonon.supercells_with_displacements)]
    phonon.save("by_hand/params.yaml", settings={"force_sets": True})
    shutil.move("force_constants.hdf5", "by_hand/ours.hdf5")
    done = plain("phonopy", "by_hand/params.yaml --mesh 7 7 7 -t --tmax 300 --exclude-gamma-acoustic --pa P")
    assert done.returncode == 0, done.stdout + done.stderr
    assert_allclose(ours, thermal(), atol=2e-4)


def _atoms(cell) -> Atoms:
    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)


ALL_FILES = """phonopy_params.yaml force_constants.hdf5 phonopy_mlp.yaml relaxed.cif all.png band.yaml total_dos.dat
thermal_properties.yaml band_dos.pdf thermal_properties.pdf FORCE_CONSTANTS"""


def test_everything_asked_for_is_written(capfd):
    line = "--mlp emt Cu.cif --relax --dim 2 2 2 --mesh 7 7 7 --band auto --dos -t -p -s --writefc --figure all.png"
    assert phonopy_mlp(line) == 0
    for name in ALL_FILES.split():
        assert Path(name).stat().st_size > 0, name
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]
    table = capfd.readouterr().out
    assert "Heat capacity at 300 K" in table
    found = record()
    assert found["calculator"]["name"] == "emt"
    assert found["input"]["file_digest"].startswith("sha256:")
    assert found["steps"]["relax"]["residual_force"] < 1e-6
    assert found["settings"]["supercell_matrix"] == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]


def test_projected_dos_and_animation_are_phonopys(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 5 5 5 --pdos auto") == 0
    assert Path("projected_dos.dat").exists()
    assert phonopy_mlp("phonopy_params.yaml --anime 0 0 0") == 0
    assert Path("anime.ascii").exists()


def test_an_earlier_result_needs_no_forces_and_no_calculator(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 5 5 5 -t") == 0
    first = thermal()
    constants = read_force_constants_hdf5("force_constants.hdf5")
    capfd.readouterr()
    assert phonopy_mlp("--mlp broken phonopy_params.yaml --mesh 5 5 5 -t --tmax 200") == 0
    assert "calculator is not needed" in capfd.readouterr().out
    assert len(thermal()) == 21
    assert_allclose(thermal(), first[:21], atol=1e-6)
    assert_allclose(read_force_constants_hdf5("force_constants.hdf5"), constants, atol=1e-10)


def test_displacements_made_for_vasp_are_used(capfd):
    write("POSCAR", read("Cu.cif"), format="vasp")
    assert plain("phonopy-init", "-d --dim 2 2 2 --pa auto --amplitude 0.03 -c POSCAR").returncode == 0
    assert phonopy_mlp("--mlp emt phonopy_disp.yaml --mesh 5 5 5 -t") == 0
    found = record()
    assert found["settings"]["displacements"]["length"] == pytest.approx(0.03)
    assert thermal().shape[0] == 101


def test_a_configuration_file_with_setup_tags_works(capfd):
    Path("my.conf").write_text("DIM = 2 2 2\nCREATE_DISPLACEMENTS = .TRUE.\nMESH = 5 5 5\nTPROP = .TRUE.\n")
    assert phonopy_mlp("--mlp emt Cu.cif --config my.conf") == 0
    assert Path("thermal_properties.yaml").exists()
    assert "CREATE_DISPLACEMENTS" in Path("my.conf").read_text()


def test_random_displacements(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --rd 3 --random-seed 1 --amplitude 0.01 --mesh 5 5 5 -t") == 0
    assert thermal().shape[0] == 101


def test_phonopys_own_force_constants_when_asked(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 5 5 5 -t") == 0
    assert "force_constants.hdf5" in capfd.readouterr().out
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --fc-calc traditional --mesh 5 5 5 -t") == 0
    assert "force_constants.hdf5" not in capfd.readouterr().out


ESTIMATES = (
    r"Estimated time of the force constants: (\d+ (s|min)|\d+\.\d h)",
    r"Estimated peak memory: (\d+\.\d GB|unknown here)",
)


def test_dry_run_writes_nothing(capfd):
    before = sorted(Path().iterdir())
    assert phonopy_mlp("--mlp emt Cu.cif --dim auto --dim-length 9 --dry-run") == 0
    out = capfd.readouterr().out
    assert sorted(Path().iterdir()) == before
    assert "Displacements: 1, in a supercell of 108 atoms" in out
    assert "exceeds 9 A" in out
    for line in (r"Evaluation of the unit cell: \d+\.\d\d s", *ESTIMATES):
        assert re.search(f"^{line}$", out, re.M), line
    assert "Nothing was computed or written." in out
    assert "Only force constants" not in out


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ("--relax", "the relaxation"),
        ("--stabilise", "the stabilisation"),
        ("--relax --qha", "the relaxation or the steps that follow"),
    ],
)
def test_dry_run_says_what_its_estimate_leaves_out(options, left_out, capfd):
    assert phonopy_mlp(f"--mlp emt Cu.cif --dim 2 2 2 {options} --dry-run") == 0
    found = re.findall(r"Only force constants .* not (.*)\.", capfd.readouterr().out)
    assert found == [left_out]


def test_noisy_forces_get_long_displacements(capfd):
    assert phonopy_mlp("--mlp copper-only Cu.cif --dim 2 2 2") == 0
    found = record()
    assert found["settings"]["displacements"]["length"] == pytest.approx(0.01)


def test_symmetrise_saves_displacements(capfd):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(1e-3, seed=1)
    write("rough.cif", atoms)
    assert phonopy_mlp("--mlp emt rough.cif --dim 2 2 2 --symmetrise 0.05") == 0
    assert "1 displacements" in capfd.readouterr().out


def test_imaginary_modes_are_announced(capfd):
    write("bcc.cif", bulk("Cu", "bcc", a=2.85, cubic=True))
    assert phonopy_mlp("--mlp emt bcc.cif --dim 2 2 2") == 0
    assert "imaginary modes below" in capfd.readouterr().err
    found = record()
    assert found["steps"]["force_constants"]["imaginary_commensurate_modes"] > 0
    assert "imaginary" in found["warnings"][0]


def test_a_born_file_is_seen_and_not_used(capfd):
    Path("BORN").write_text("14.4\n1 0 0 0 1 0 0 0 1\n0 0 0 0 0 0 0 0 0\n")
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 3 3 3 -t") == 0
    captured = capfd.readouterr()
    assert "BORN file lies here and is not used" in captured.err
    assert "(NAC): off" in captured.out
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 3 3 3 -t --use-born") == 0
    assert "NAC parameters were read from" in capfd.readouterr().out


def test_an_earlier_results_record_is_carried_over(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --relax --dim 2 2 2") == 0
    first, params = record(), Path("phonopy_params.yaml").read_bytes()
    for _ in range(3):
        assert phonopy_mlp("phonopy_params.yaml --mesh 3 3 3") == 0
        assert record()["settings"]["model"] is None
        assert record()["calculator"]["name"] == "emt"
        assert record()["steps"]["forces_from"] == first
    assert Path("phonopy_params.yaml").read_bytes() == params
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 0
    assert not Path("relaxed.cif").exists()


def test_a_record_tells_when_the_run_began_and_of_the_structure_that_was_given(capfd):
    write("bcc.cif", bulk("Cu", "bcc", a=2.9))
    before = datetime.now(UTC).replace(microsecond=0)
    assert phonopy_mlp("--mlp emt bcc.cif --stabilise --dim 2 2 2 --eos") == 0
    after, found = datetime.now(UTC), record()
    seconds = sum(step["seconds"] for step in found["steps"].values())
    assert before <= datetime.fromisoformat(found["started"]) <= after - timedelta(seconds=seconds)
    assert (found["input"]["formula"], found["input"]["atoms"]) == ("Cu", 1)


def test_the_tolerance_of_an_earlier_result_is_kept(capfd):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(1e-3, seed=1)
    write("rough.cif", atoms)
    assert phonopy_mlp("--mlp emt rough.cif --dim 2 2 2 --tolerance 1e-2") == 0
    assert phonopy_mlp("phonopy_params.yaml --mesh 3 3 3 -t") == 0


def test_another_calculations_file_is_not_overwritten(capfd):
    Path("phonopy_params.yaml").write_text("of a DFT calculation")
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 2
    assert "another calculation" in capfd.readouterr().err
    assert Path("phonopy_params.yaml").read_text() == "of a DFT calculation"


def test_another_calculations_force_constants_are_not_overwritten(capfd):
    Path("force_constants.hdf5").write_text("of a DFT calculation")
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 2
    assert "force_constants.hdf5 of another calculation" in capfd.readouterr().err
    assert Path("force_constants.hdf5").read_text() == "of a DFT calculation"


def test_forces_that_were_only_read_remain_another_calculations(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 0
    Path("phonopy_mlp.yaml").unlink()
    Path("force_constants.hdf5").unlink()
    for _ in range(2):
        assert phonopy_mlp("phonopy_params.yaml --mesh 3 3 3") == 0
        assert record()["calculator"]["name"] == "unknown"
        assert "forces_from" not in record()["steps"]
    assert phonopy_mlp("--mlp twice Cu.cif --dim 2 2 2") == 2
    assert "phonopy_params.yaml of another calculation" in capfd.readouterr().err


def test_parameters_without_forces_are_not_taken_for_the_results(capfd):
    write("POSCAR", read("Cu.cif"), format="vasp")
    assert plain("phonopy-init", "-d --dim 2 2 2 --pa auto -c POSCAR").returncode == 0
    Path("phonopy_disp.yaml").rename("phonopy_params.yaml")
    assert phonopy_mlp("--mlp emt phonopy_params.yaml") == 2
    assert "lacks forces" in capfd.readouterr().err


def test_a_structure_that_an_earlier_run_relaxed_is_kept_where_another_starts_from_it(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --relax --dim 2 2 2") == 0
    before = Path("relaxed.cif").read_bytes()
    assert phonopy_mlp("--mlp emt relaxed.cif --dim 1 1 1") == 0
    assert Path("relaxed.cif").read_bytes() == before


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("run --relax --dim 2 2 2", "relaxed.cif"),
        ("run --symmetrise", "relaxed.cif"),
        ("run --stabilise", "stabilised.cif"),
        ("relax", "relaxed.cif"),
        ("eos --relax", "relaxed.cif"),
        ("stabilise", "stabilised.cif"),
    ],
)
def test_a_structure_is_not_overwritten_by_what_comes_of_it(line, name, capfd):
    Path("Cu.cif").rename(name)
    before = Path(name).read_bytes()
    command, *options = line.split()
    assert main([command, "--mlp", "emt", name, *options]) == 2
    assert "would be overwritten" in capfd.readouterr().err
    assert Path(name).read_bytes() == before


def test_a_run_that_fails_leaves_the_results_of_the_one_before(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --relax --dim 2 2 2 --writefc") == 0
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert phonopy_mlp("--mlp failing Cu.cif --dim 2 2 2") == 2
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_a_run_killed_while_it_writes_can_be_started_again(monkeypatch, capfd):
    def die(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("phonopy_mlp.output.write_force_constants_to_hdf5", die)
        assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 130
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 0


def test_units_of_another_program_are_refused(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 0
    text = Path("phonopy_params.yaml").read_text().replace("force_constants_unit", "force_constants: ignored\n#")
    units = 'physical_unit:\n  length: "angstrom"\n  force: "hartree/au"\n'
    start, end = text.index("physical_unit:"), text.index("space_group:")
    Path("cp2k.yaml").write_text(text[:start] + units + "\n" + text[end:])
    assert phonopy_mlp("cp2k.yaml --mesh 3 3 3") == 2
    assert "hartree" in capfd.readouterr().err


def test_the_working_folder_hides_no_module(capfd):
    Path("random.py").write_text("raise SystemExit('shadowed')")
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 3 3 3 -t") == 0


def test_the_default_supercell_is_the_papers(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif") == 0
    found = record()
    assert found["settings"]["supercell_matrix"] == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]


def test_random_displacements_reach_their_largest_length(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --rd 4 --random-seed 1 --amplitude 0.01 --amax 0.2") == 0
    assert record()["settings"]["displacements"]["length"] > 0.02


def test_saving_parameters_keeps_the_forces(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --sp --mesh 3 3 3") == 0
    assert phonopy_mlp("phonopy_params.yaml --mesh 3 3 3 -t") == 0
    assert "calculator is not needed" in capfd.readouterr().out


def test_dry_run_symmetrises_as_the_run_does(capfd):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(1e-3, seed=1)
    write("rough.cif", atoms)
    assert phonopy_mlp("--mlp emt rough.cif --symmetrise 0.05 --dry-run") == 0
    assert "Displacements: 1," in capfd.readouterr().out


def test_a_second_run_in_a_folder_replaces_its_own_results(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --relax --dim 2 2 2 --writefc") == 0
    assert Path("FORCE_CONSTANTS").exists()
    assert Path("relaxed.cif").exists()
    assert phonopy_mlp("phonopy_params.yaml --mesh 3 3 3") == 0
    assert not Path("FORCE_CONSTANTS").exists()
    assert Path("relaxed.cif").exists()
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2") == 0
    assert not Path("relaxed.cif").exists()


def test_a_configuration_file_may_ask_for_dos_and_thermal_properties(capfd):
    Path("my.conf").write_text("DOS = .TRUE.\nTPROP = .TRUE.\nMESH = 5 5 5\n")
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --config my.conf") == 0
    assert Path("total_dos.dat").exists()
    assert Path("thermal_properties.yaml").exists()


def test_values_that_go_on_in_the_next_line_go_with_their_tag(capfd):
    # phonopy reads such values of tags in small letters alone.
    Path("my.conf").write_text("tprop = .TRUE.\nmesh = 5 5 5\ndos = .TRUE.\nband = 0 0 0 +++\n1/2 0 0 +++\n1/2 1/2 0\n")
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --config my.conf") == 0
    assert yaml.safe_load(Path("mesh.yaml").read_text())["mesh"] == [5, 5, 5]
    assert yaml.safe_load(Path("band.yaml").read_text())["npath"] == 2


def test_bundled_flags_are_options_of_their_own(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 3 3 3 --dos -tps") == 0
    for name in ("total_dos.dat", "total_dos.pdf", "thermal_properties.yaml", "thermal_properties.pdf"):
        assert Path(name).exists(), name


def test_the_default_mesh_is_the_papers(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 -t") == 0
    assert yaml.safe_load(Path("mesh.yaml").read_text())["mesh"] == [11, 11, 11]


@pytest.mark.parametrize("way", ["tag", "option"])
def test_acoustic_modes_at_gamma_are_left_in_when_asked(way, capfd):
    Path("my.conf").write_text("MESH = 3 3 3\nTPROP = .TRUE.\nEXCLUDE_GAMMA_ACOUSTIC = .FALSE.\n")
    line = "--config my.conf" if way == "tag" else "--mesh 3 3 3 -t --no-exclude-gamma-acoustic"
    excluded = "acoustic modes at Gamma are excluded"
    assert phonopy_mlp(f"--mlp emt Cu.cif --dim 2 2 2 {line}") == 0
    assert excluded not in capfd.readouterr().out
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 3 3 3 -t") == 0
    assert excluded in capfd.readouterr().out
    assert record()["settings"]["phonopy_tags"] == {"mesh_numbers": "3 3 3", "tprop": ".true."}


def test_quiet_says_nothing(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 -q --mesh 3 3 3") == 0
    assert capfd.readouterr().out == ""


def test_underscores_in_options_are_hyphens_as_in_phonopy(capfd):
    line = ["--mlp", "emt", "Cu.cif", "--dim", "2 2 2", "--band", "0 0 0 1/2 0 0", "--band_labels", "A", "B"]
    assert main(["run", *line]) == 0
    assert "label" in Path("band.yaml").read_text()


def test_born_charges_of_a_yaml_are_used_when_asked(capfd):
    Path("BORN").write_text("14.4\n1 0 0 0 1 0 0 0 1\n0 0 0 0 0 0 0 0 0\n")
    write("POSCAR", read("Cu.cif"), format="vasp")
    assert plain("phonopy-init", "-d --dim 2 2 2 --pa auto -c POSCAR").returncode == 0
    assert phonopy_mlp("--mlp emt phonopy_disp.yaml --use-born --sp") == 0
    Path("BORN").unlink()
    capfd.readouterr()
    assert phonopy_mlp("phonopy_params.yaml --mesh 3 3 3 -t --use-born") == 0
    assert 'NAC parameters were read from "phonopy_params.yaml"' in capfd.readouterr().out
    assert phonopy_mlp("phonopy_params.yaml --mesh 3 3 3 -t") == 0
    assert "NAC parameters" not in capfd.readouterr().out


def test_phonopys_failure_is_ours(capfd):
    assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 3 3 3 --td --cutoff-freq 0.1") == 1
    assert "Traceback" not in capfd.readouterr().err


def test_help_and_commands(capfd):
    assert phonopy_main(["--mlp", "--help"]) == 0
    assert "--relax-fmax" in capfd.readouterr().out
    assert main(["--help"]) == 0
    assert main([]) == 2
    assert main(["fly"]) == 2
    assert main(["calculators"]) == 0
    assert "emt" in capfd.readouterr().out


def test_who_redirects_the_output_gets_that_of_phonopy_too(capfd):
    said = io.StringIO()
    with redirect_stdout(said):
        assert phonopy_mlp("--mlp emt Cu.cif --dim 2 2 2 --mesh 3 3 3 -t") == 0
    assert "Mesh numbers" in said.getvalue()
    assert capfd.readouterr().out == ""


def test_what_a_killed_run_of_phonopy_has_left_goes():
    left = Path(".phonopy-killed/force_constants.hdf5")
    left.parent.mkdir()
    left.touch()
    assert phonopy_mlp("--mlp emt Cu.cif --dim 1 1 1 --mesh 3 3 3 -t -q") == 0
    assert not list(Path().glob(".phonopy*"))
