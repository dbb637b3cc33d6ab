"""VASP: inputs, and what may be taken from outputs.

There is no VASP here. Two vasprun.xml of VASP 6.3 that come with ASE are read as they are; all others are synthetic,
written by `tests/support/vasp_files.py` in that layout from numbers that the tests know.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from processes import ENVIRONMENT
from vasp_files import write_output

from mace_mof_calc.cli import main
from mace_mof_calc.errors import MissingExtraError, TrainingError
from mace_mof_calc.frames import get_labels, read_frames, write_frames
from mace_mof_calc.training.label.isolated import make_isolated_atoms
from mace_mof_calc.training.label.vasp_inputs import plan_inputs, write_inputs
from mace_mof_calc.training.label.vasp_outputs import find_differences, read_calculation, read_labels

RECORDED = Path(ase.__file__).parent / "test" / "testdata" / "vasp"

#: Of eV/Angstrom^3, from the definition of the electron volt.
KILOBARS = 1602.1766340


@pytest.fixture
def frame():
    """Crystal without symmetry whose elements are mixed: Zn O H O C Zn."""
    rng = np.random.default_rng(3)
    atoms = Atoms("ZnOHOCZn", cell=[[6.0, 0.1, 0.0], [0.3, 7.0, 0.0], [0.0, 0.2, 12.0]], pbc=True)
    atoms.set_scaled_positions(rng.uniform(-0.5, 1.5, (6, 3)))  # some outside of the cell
    atoms.info.update(name="MIL-0/rattled 1", source="MIL-0")
    return atoms


@pytest.fixture
def forces():
    return np.arange(18.0).reshape(6, 3) / 10


def read_labels_of(folder, frame):
    ((_, part),) = read_labels([frame], folder)
    return part.frames


def read_reason(folder, frame):
    ((_, part),) = read_labels([frame], folder)
    assert not part.frames
    (dropped,) = part.dropped
    assert dropped.name == "MIL-0/rattled 1"
    return dropped.reason


def test_inputs_have_the_papers_settings(frame, tmp_path, monkeypatch):
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    (folder,), have_potentials = write_inputs([frame], tmp_path)
    assert not have_potentials
    assert folder == tmp_path / "MIL-0_rattled_1"
    assert sorted(path.name for path in folder.iterdir()) == ["INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"]
    tags = dict(line.split(" = ") for line in (folder / "INCAR").read_text().splitlines() if line)
    assert tags["GGA"] == "PE"
    assert int(tags["IVDW"]) == 12
    assert (float(tags["ENCUT"]), float(tags["EDIFF"]), float(tags["EDIFFG"])) == (520.0, 1e-5, -0.02)
    assert (int(tags["NSW"]), int(tags["ISIF"])) == (0, 2)
    kpoints = (folder / "KPOINTS").read_text().splitlines()
    assert kpoints[1:4] == ["0", "Gamma", "4 4 2"]  # 3.5 A times 2 pi over 6, 7 and 12 A, rounded up
    assert (folder / "POTCAR.spec").read_text().split() == ["C", "H", "O", "Zn"]
    written = read(folder / "POSCAR")
    assert written.get_chemical_symbols() == ["C", "H", "O", "O", "Zn", "Zn"]
    expected = frame[[4, 2, 1, 3, 0, 5]]
    np.testing.assert_allclose(written.cell.array, expected.cell.array, atol=1e-12)
    shifts = written.cell.scaled_positions(written.positions - expected.positions)
    np.testing.assert_allclose(shifts - np.rint(shifts), 0.0, atol=1e-12)


def test_potentials_are_joined_in_the_order_of_the_elements(frame, tmp_path, monkeypatch):
    library = tmp_path / "library"
    for name in ("C", "H", "O", "Zn", "Zr_sv"):
        (library / "potpaw_PBE.54" / name).mkdir(parents=True)
        (library / "potpaw_PBE.54" / name / "POTCAR").write_text(f"{name}\n")
    monkeypatch.setenv("VASP_PP_PATH", str(library))
    (folder,), have_potentials = write_inputs([frame], tmp_path / "vasp")
    assert have_potentials
    assert (folder / "POTCAR").read_text() == "C\nH\nO\nZn\n"
    frame.symbols[0] = "Zr"
    frame.info["name"] = "second"
    (folder,), _ = write_inputs([frame], tmp_path / "vasp")
    assert (folder / "POTCAR").read_text() == "C\nH\nO\nZn\nZr_sv\n"
    frame.symbols[0], frame.info["name"] = "Cu", "third"
    with pytest.raises(TrainingError, match=r"potential Cu_pv cannot be read.*VASP_PP_PATH"):
        write_inputs([frame], tmp_path / "vasp")
    assert not (tmp_path / "vasp" / "third").exists()


def test_files_of_another_frame_are_kept(frame, tmp_path, monkeypatch):
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    (folder,), _ = write_inputs([frame], tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_inputs([frame], tmp_path)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    other, moved = frame.copy(), frame.copy()
    other.info["name"] = "other"
    moved.positions[0, 0] += 0.1
    with pytest.raises(TrainingError, match=r"MIL-0_rattled_1/POSCAR is there already"):
        write_inputs([other, moved], tmp_path)
    assert not (tmp_path / "other").exists()


def test_frames_of_a_crystal_share_a_mesh(frame):
    wide = frame.copy()
    wide.set_cell(frame.cell.array * [[1.0], [1.4], [1.0]], scale_atoms=True)
    wide.info["name"] = "wide"
    alone = plan_inputs([wide])[0].mesh
    assert alone != plan_inputs([frame])[0].mesh
    first, second = plan_inputs([frame, wide])
    assert first.mesh == second.mesh
    assert plan_inputs([frame], density=0.5)[0].mesh == (1, 1, 1)


def test_isolated_atoms_are_polarised_at_gamma():
    (planned,) = plan_inputs(make_isolated_atoms([Atoms("Zr")]))
    assert (planned.mesh, planned.incar["ISPIN"], planned.potentials) == ((1, 1, 1), 2, ("Zr_sv",))


def test_what_vasp_cannot_be_given(frame):
    molecule = frame.copy()
    molecule.pbc = [True, True, False]
    with pytest.raises(TrainingError, match="not periodic"):
        plan_inputs([molecule])
    twin = frame.copy()
    twin.info["name"] = "MIL-0 rattled_1"
    with pytest.raises(TrainingError, match="2 frames would have the folder 'MIL-0_rattled_1'"):
        plan_inputs([frame, twin])
    for density in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(TrainingError, match=f"density of {density:g} was asked for"):
            plan_inputs([frame], density=density)


def test_pymatgen_may_be_absent(frame, tmp_path, monkeypatch):
    monkeypatch.setattr("mace_mof_calc.training.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mace-mof-calc\[training\]"):
        write_inputs([frame], tmp_path / "vasp")
    assert not (tmp_path / "vasp").exists()


@pytest.mark.parametrize("name", ["vasprun_pstress.xml", "vasprun_dfpt.xml"])
def test_recorded_calculations_are_read(name):
    path = RECORDED / name
    if not path.is_file():
        pytest.skip(f"this ASE comes without {name}")
    calculation = read_calculation(path)
    theirs = read(path)
    assert calculation.converged
    assert list(calculation.symbols) == theirs.get_chemical_symbols()
    labels = calculation.labels
    np.testing.assert_allclose(labels.forces, theirs.get_forces(), atol=1e-8)
    np.testing.assert_allclose(labels.stress, theirs.get_stress(), atol=1e-8)
    # ASE takes the work against PSTRESS from the energy; here a file with that tag is refused.
    work = calculation.tags.get("PSTRESS", 0.0) / KILOBARS * theirs.get_volume()
    assert labels.energy - work == pytest.approx(theirs.get_potential_energy(force_consistent=True), abs=1e-7)


def test_a_recorded_calculation_is_refused_or_matched():
    path = RECORDED / "vasprun_dfpt.xml"
    if not path.is_file():
        pytest.skip("this ASE comes without it")
    calculation = read_calculation(path)
    frame = read(path, 0)
    frame.info["name"] = "NaCl"
    (planned,) = plan_inputs([frame[[1, 0]]])  # POSCAR had Na before Cl
    problems = " ".join(find_differences(calculation, frame[[1, 0]], planned))
    for problem in ("ENCUT is 400.0, not 520.0", "IVDW is not set, not 12", "LEPSILON", "k-points are Monkhorst 3x3x3"):
        assert problem in problems
    assert "another order" in problems
    right = replace(planned, order=(0, 1), incar=calculation.tags, mesh=(3, 3, 3), potentials=("Na", "Cl"))
    assert find_differences(calculation, frame, right) == ["k-points are Monkhorst 3x3x3, not Gamma 3x3x3"]


def test_synthetic_labels_come_back_in_units_and_order(frame, forces, tmp_path):
    write_output(tmp_path, frame, forces)
    ((number, part),) = read_labels([frame], tmp_path)
    (labelled,) = part.frames
    labels = get_labels(labelled)
    assert number == 0
    assert labels.energy == -31.5  # free energy of the ionic step, with the dispersion
    np.testing.assert_allclose(labels.forces, forces, atol=1e-12)
    expected = -np.array([10.0, 20.0, 30.0, 3.0, 2.0, 1.0]) / KILOBARS
    np.testing.assert_allclose(labels.stress, expected, rtol=1e-6)
    np.testing.assert_array_equal(labelled.positions, frame.positions)
    assert labelled.get_chemical_symbols() == frame.get_chemical_symbols()
    assert labelled.info["level_of_theory"] == "PBE-D3(BJ), PAW (PBE.54), 520 eV, VASP 6.3.2"


def test_asks_reader_finds_the_same_in_synthetic_files(frame, forces, tmp_path):
    path = write_output(tmp_path, frame, forces)
    theirs, ours = read(path), read_calculation(path).labels
    assert theirs.get_potential_energy(force_consistent=True) == pytest.approx(ours.energy, abs=1e-9)
    np.testing.assert_allclose(theirs.get_stress(), ours.stress, atol=1e-9)
    np.testing.assert_allclose(theirs.get_forces(), ours.forces, atol=1e-9)


def test_free_tags_may_differ(frame, forces, tmp_path):
    (planned,) = plan_inputs([frame])
    incar = {**planned.incar, "NCORE": 4, "ALGO": "Fast", "ICHARG": 1, "NELM": 100}
    write_output(tmp_path, frame, forces, incar=incar)
    assert len(read_labels_of(tmp_path, frame)) == 1


def test_what_did_not_finish_is_refused(frame, forces, tmp_path):
    assert read_reason(tmp_path, frame) == "no vasprun.xml"
    path = write_output(tmp_path, frame, forces, electronic=200)
    assert read_reason(tmp_path, frame) == "the electrons did not converge"
    whole = path.read_text()
    for share in (0.0, 0.3, 0.6, 0.99):
        path.write_text(whole[: int(share * len(whole))])
        assert "breaks off" in read_reason(tmp_path, frame)
    write_output(tmp_path, frame, np.full_like(forces, np.nan))
    assert "not finite" in read_reason(tmp_path, frame)


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("ENCUT", 400.0, "ENCUT is 400.0, not 520.0"),
        ("LREAL", "Auto", "LREAL is Auto, not False"),
        ("IVDW", 11, "IVDW is 11, not 12"),
        ("EDIFF", 1e-4, "EDIFF is 0.0001, not 1e-05"),
        ("GGA", "PS", "GGA is Ps, not PE"),
        ("NSW", 50, "NSW is 50, not 0"),
        ("LHFCALC", True, "LHFCALC is True, and was not asked for"),
        ("PSTRESS", 10.0, "PSTRESS is 10.0, and was not asked for"),
        ("IVDW", None, "IVDW is not set, not 12"),
        ("ICHARG", 11, "ICHARG is 11, so the density was fixed"),
        ("ALGO", "None", "ALGO is None, which does not minimise the energy"),
        ("ALGO", "Eigenval", "ALGO is Eigenval, which does not minimise the energy"),
        ("IALGO", 2, "IALGO is 2, which does not minimise the energy"),
    ],
)
def test_other_settings_are_refused(frame, forces, tmp_path, tag, value, reason):
    (planned,) = plan_inputs([frame])
    incar = {**planned.incar, tag: value}
    write_output(tmp_path, frame, forces, incar={name: each for name, each in incar.items() if each is not None})
    assert read_reason(tmp_path, frame) == reason


def test_what_vasp_chose_itself_is_looked_at(frame, forces, tmp_path):
    write_output(tmp_path, frame, forces, parameters={"IALGO": 38, "ICHARG": 2})
    assert len(read_labels_of(tmp_path, frame)) == 1
    write_output(tmp_path, frame, forces, parameters={"IALGO": 3, "ICHARG": 12})
    assert read_reason(tmp_path, frame) == (
        "ICHARG is 12, so the density was fixed; IALGO is 3, which does not minimise the energy"
    )


@pytest.mark.parametrize(
    ("written", "altered", "problem"),
    [
        ('"ICHARG">     2<', '"ICHARG">    11<', "ICHARG is 11, so the density was fixed"),
        ('"IALGO">    38<', '"IALGO">     2<', "IALGO is 2, which does not minimise the energy"),
        ('"usershift">      0.0', '"usershift">      0.5', "k-points are shifted by 0.5 0 0"),
        ("PAW_PBE Cl 06Sep2000", "PAW_PBE Cl 17Jan2003", "potential PAW_PBE Cl 17Jan2003 is not of release 54"),
    ],
)
def test_recorded_calculations_that_were_altered_are_refused(tmp_path, written, altered, problem):
    path = RECORDED / "vasprun_dfpt.xml"
    if not path.is_file():
        pytest.skip("this ASE comes without it")
    frame = read(path, 0)
    frame.info["name"] = "NaCl"
    (planned,) = plan_inputs([frame])
    text = path.read_text()
    assert written in text
    (tmp_path / "vasprun.xml").write_text(text.replace(written, altered))
    recorded, changed = read_calculation(path), read_calculation(tmp_path / "vasprun.xml")
    right = replace(planned, order=(0, 1), incar=recorded.tags, mesh=(3, 3, 3), potentials=("Na", "Cl"))
    before, after = (find_differences(each, frame, right) for each in (recorded, changed))
    assert problem in after
    assert [each for each in after if each != problem] == before


def test_other_points_potentials_and_steps_are_refused(frame, forces, tmp_path):
    write_output(tmp_path, frame, forces, mesh=(1, 1, 1))
    assert read_reason(tmp_path, frame) == "k-points are Gamma 1x1x1, not Gamma 4x4x2"
    write_output(tmp_path, frame, forces, style="Monkhorst-Pack")
    assert "k-points are Monkhorst 4x4x2" in read_reason(tmp_path, frame)
    write_output(tmp_path, frame, forces, shift=(0.0, 0.5, 0.0))
    assert read_reason(tmp_path, frame) == "k-points are shifted by 0 0.5 0"
    write_output(tmp_path, frame, forces, dates={"H": "05Jul1998"})
    assert read_reason(tmp_path, frame) == "potential PAW_PBE H 05Jul1998 is not of release 54"
    write_output(tmp_path, frame, forces, potentials=["C", "H", "O", "Zr_sv"])
    assert "potentials are PAW_PBE C 08Apr2002," in read_reason(tmp_path, frame)
    write_output(tmp_path, frame, forces, ionic=3)
    assert read_reason(tmp_path, frame) == "it has 3 ionic steps, not 1"


def test_other_structures_are_refused(frame, forces, tmp_path):
    order = list(plan_inputs([frame])[0].order)
    right = frame[order]
    swapped = right[[0, 1, 3, 2, 4, 5]]
    write_output(tmp_path, frame, forces, atoms=swapped)
    assert read_reason(tmp_path, frame).startswith("atoms are elsewhere, or in another order, by up to")
    shuffled = right[[2, 3, 1, 0, 4, 5]]
    write_output(tmp_path, frame, forces, atoms=shuffled, potentials=["O", "H", "C", "Zn"])
    assert "atoms are in another order" in read_reason(tmp_path, frame)
    moved = right.copy()
    moved.positions[3, 1] += 0.001
    write_output(tmp_path, frame, forces, atoms=moved)
    assert "by up to 0.001 Angstrom" in read_reason(tmp_path, frame)
    strained = right.copy()
    strained.set_cell(right.cell.array * 1.001, scale_atoms=True)
    write_output(tmp_path, frame, forces, atoms=strained)
    assert read_reason(tmp_path, frame).startswith("the cell is another, by up to 0.012")


def test_missing_atoms_are_refused(frame, forces, tmp_path):
    fewer = frame[[0, 1, 2, 3, 5]]
    fewer.info = dict(frame.info)
    write_output(tmp_path, fewer, forces[[0, 1, 2, 3, 5]], mesh=(4, 4, 2))
    assert "atoms are HO2Zn2, not CHO2Zn2" in read_reason(tmp_path, frame)


def test_isolated_atoms_have_no_stress(tmp_path):
    (atom,) = make_isolated_atoms([Atoms("O")])
    write_output(tmp_path, atom, np.zeros((1, 3)))
    ((_, part),) = read_labels([atom], tmp_path)
    assert get_labels(part.frames[0]).stress is None


def test_one_process_writes_inputs_at_a_time(frame, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_frames(tmp_path / "in.extxyz", [frame])
    code = (
        "import sys; from pathlib import Path; from mace_mof_calc.lock import holding\n"
        "with holding(Path('vasp/inputs.lock')): print(flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    other.stdout.readline()
    assert main(["label", "in.extxyz", "--write-vasp", "vasp"]) == 2
    assert "Another process is at work on vasp/inputs" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "vasp").iterdir()] == ["inputs.lock"]
    other.communicate()
    assert not (tmp_path / "vasp").exists()
    # What is refused leaves no lock, and what was written keeps none.
    with pytest.raises(TrainingError, match="k-point density"):
        write_inputs([frame], tmp_path / "vasp", -1)
    assert main(["label", "in.extxyz", "--write-vasp", "vasp"]) == 0
    (tmp_path / "vasp" / "MIL-0_rattled_1" / "INCAR").write_text("changed")
    assert main(["label", "in.extxyz", "--write-vasp", "vasp"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert not list(tmp_path.glob("**/*.lock"))


def test_the_command_writes_and_reads(frame, forces, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    copper = bulk("Cu", cubic=True)
    copper.info.update(name="copper", source="copper")
    write_frames(tmp_path / "in.extxyz", [copper, frame])
    assert main(["label", "in.extxyz", "--write-vasp", "vasp", "--isolated-atoms"]) == 0
    printed = capsys.readouterr().out
    assert "vasp: inputs of 7 frames" in printed
    assert "VASP_PP_PATH" in printed
    stored = read_frames(tmp_path / "in.extxyz")[1]
    write_output(tmp_path / "vasp", stored, forces)
    arguments = ["label", "in.extxyz", "--read-vasp", "vasp", "-o", "out.extxyz"]
    assert main(arguments) == 1
    assert "1 frames labelled, 1 failed\n  copper: no vasprun.xml" in capsys.readouterr().out
    (labelled,) = read_frames(tmp_path / "out.extxyz")
    np.testing.assert_allclose(get_labels(labelled).forces, forces, atol=1e-8)
    # Another density is another calculation, and so are other files.
    assert main([*arguments, "--kpoints-density", "3"]) == 2
    assert "kpoints_density was 3.5 and is 3.0" in capsys.readouterr().err
    write_output(tmp_path / "vasp", stored, forces, energies=(-1.0, -1.0, -1.0))
    assert main(arguments) == 2
    assert "from other input files" in capsys.readouterr().err
    assert main(["label", "in.extxyz", "--write-vasp", "coarse", "--kpoints-density", "1.5"]) == 0
    assert (tmp_path / "coarse/MIL-0_rattled_1/KPOINTS").read_text().splitlines()[3] == "2 2 1"
