"""``mace-mof label``: frames in, labelled frames out, and going on."""

import json
import os
import signal
import subprocess
import sys
import time

import labellers
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from processes import ENVIRONMENT

from mace_mof_calc.cli import main
from mace_mof_calc.frames import Labels, get_labels, read_frames, write_frames
from mace_mof_calc.models.loading import load
from mace_mof_calc.models.own import MODELS_VARIABLE, register
from mace_mof_calc.training.hessians import compute_rows, get_hessian
from mace_mof_calc.training.job import Job, Part
from mace_mof_calc.training.label import parallel
from mace_mof_calc.training.label.compute import label_frame
from mace_mof_calc.training.label.isolated import make_isolated_atoms


@pytest.fixture
def registered(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("distribution")
    labellers.register(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def write_copper(path, count, moods=()):
    frames = []
    for k in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.info.update(name=f"frame-{k}", source="copper")
        if k < len(moods):
            atoms.info["mood"] = moods[k]
        frames.append(atoms)
    write_frames(path, frames)


def heal(monkeypatch):
    """Have no frame fail any more; return the list of those that are asked for from now on."""
    real, asked = parallel.label_frames, []

    def succeed(frames, **options):
        asked.extend(atoms.info["name"] for atoms in frames)
        for atoms in frames:
            atoms.info.pop("mood", None)
        return real(frames, **options)

    monkeypatch.setattr(parallel, "label_frames", succeed)
    return asked


def test_frames_are_labelled_once(registered, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_copper(tmp_path / "in.extxyz", 2)
    arguments = ["label", "in.extxyz", "--calculator", "moody", "-o", "out.extxyz", "--isolated-atoms"]
    assert main(arguments) == 0
    assert "out.extxyz: 3 frames labelled, 0 failed" in capsys.readouterr().out
    frames = read_frames(tmp_path / "out.extxyz")
    assert [atoms.info["name"] for atoms in frames] == ["frame-0", "frame-1", "isolated-Cu"]
    assert frames[2].info["config_type"] == "IsolatedAtom"
    for atoms in frames:
        expected = atoms.copy()
        expected.calc = EMT()
        assert get_labels(atoms).energy == pytest.approx(expected.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(get_labels(atoms).forces, expected.get_forces(), atol=1e-6)
    settings = json.loads((tmp_path / "out.manifest.json").read_text())["settings"]
    assert settings == {"calculator": "moody", "digest": None, "dtype": "float64", "isolated_atoms": True}
    before = (tmp_path / "out.extxyz").stat()
    assert main([*arguments, "--retry-failed"]) == 0
    assert (tmp_path / "out.extxyz").stat() == before


def test_what_failed_is_tried_again_when_asked_for(registered, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    log.mkdir()
    write_copper(tmp_path / "in.extxyz", 3, ["raise"])
    arguments = ["label", "in.extxyz", "--calculator", "moody", "-o", "out.extxyz"]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "2 frames labelled, 1 failed" in printed
    assert "frame-0: CalculationFailed: SCF not converged" in printed
    monkeypatch.setenv(labellers.LOG, str(log))
    assert main(arguments) == 1
    assert "2 frames labelled, 1 failed" in capsys.readouterr().out
    assert [path.name for path in log.iterdir()] == [str(os.getpid())]  # no process was started
    kept = [atoms.info["name"] for atoms in read_frames(tmp_path / "out.extxyz")]
    assert main([*arguments, "--retry-failed", "--workers", "0"]) == 2
    assert "0 workers were asked for" in capsys.readouterr().err
    assert [atoms.info["name"] for atoms in read_frames(tmp_path / "out.extxyz")] == kept  # nothing was lost by that
    asked = heal(monkeypatch)
    assert main([*arguments, "--retry-failed"]) == 0
    assert asked == ["frame-0"]
    assert [atoms.info["name"] for atoms in read_frames(tmp_path / "out.extxyz")] == ["frame-0", *kept]


def test_a_job_that_was_begun_tries_failures_again_when_asked_for(registered, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_copper(tmp_path / "in.extxyz", 1, ["raise"])
    arguments = ["label", "in.extxyz", "--calculator", "moody", "-o", "out.extxyz"]
    assert main(arguments) == 2  # no frame is left
    assert "SCF not converged" in capsys.readouterr().err
    asked = heal(monkeypatch)
    assert main(arguments) == 2
    assert asked == []
    assert main([*arguments, "--retry-failed"]) == 0
    assert asked == ["frame-0"]


def test_a_kill_loses_nothing_and_leaves_nothing_running(registered, tmp_path, monkeypatch, capsys):
    write_copper(tmp_path / "in.extxyz", 10, ["hang"])
    log = tmp_path / "log"
    log.mkdir()
    code = "import sys; from mace_mof_calc.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["label", "in.extxyz", "--calculator", "moody", "-o", "out.extxyz", "--workers", "2"]
    path = os.pathsep.join([str(registered), ENVIRONMENT["PYTHONPATH"]])
    environment = {**ENVIRONMENT, "PYTHONPATH": path, labellers.LOG: str(log), labellers.SECONDS: "0.2"}
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=tmp_path, env=environment)
    parts = tmp_path / "out.parts"
    while len(list(parts.glob("frame-*.json"))) < 2:  # of the one process, while the other hangs
        assert process.poll() is None
        time.sleep(0.02)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert "Another process is at work on out" in capsys.readouterr().err
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in parts.glob("frame-*.json")}
    assert 2 <= len(done) < 10
    deadline = time.monotonic() + 20
    while any(_runs(int(path.name)) for path in log.iterdir()):
        assert time.monotonic() < deadline, "the processes of a killed command go on"
        time.sleep(0.05)
    assert not (tmp_path / "out.extxyz").exists()
    kept = {}
    original = Job.finish

    def look(job, *rest):
        kept.update({path.name: path.stat().st_mtime_ns for path in parts.glob("frame-*.json")})
        return original(job, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv(labellers.HANG, "0")
        patch.setattr(Job, "finish", look)
        assert main(arguments) == 0
    assert len(kept) == 10
    assert {name: kept[name] for name in done} == done
    assert [atoms.info["name"] for atoms in read_frames(tmp_path / "out.extxyz")] == [f"frame-{k}" for k in range(10)]


def test_real_tight_binding(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tblite")
    monkeypatch.chdir(tmp_path)
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    frames = []
    for k in range(2):
        frame = atoms.copy()
        frame.rattle(0.05, seed=k)
        frame.info.update(name=f"zincite-{k}", source="zincite")
        frames.append(frame)
    write_frames(tmp_path / "in.extxyz", frames)
    assert main(["label", "in.extxyz", "--calculator", "gfn1-xtb", "-o", "out.extxyz", "--workers", "2"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("zincite: The cell is 2.8 Angstrom wide") == 1
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    assert len(manifest["warnings"]) == 1
    from mace_mof_calc.xtb import GFN1xTB

    for frame in read_frames(tmp_path / "out.extxyz"):
        expected = frame.copy()
        expected.calc = GFN1xTB()
        with pytest.warns(UserWarning, match="Gamma"):
            energy = expected.get_potential_energy()
        labels = get_labels(frame)
        assert labels.energy == pytest.approx(energy, abs=1e-5)
        np.testing.assert_allclose(labels.forces, expected.get_forces(), atol=1e-4)
        np.testing.assert_allclose(labels.stress, expected.get_stress(), atol=1e-5)
        assert frame.info["level_of_theory"].startswith("GFN1-xTB")


def test_bad_input_is_one_error(registered, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_copper(tmp_path / "in.extxyz", 1)
    assert main(["label", "in.extxyz", "--calculator", "moody"]) == 2
    assert "-o FILE.extxyz" in capsys.readouterr().err
    assert main(["label", "in.extxyz", "in.extxyz", "--calculator", "moody", "-o", "out.extxyz"]) == 2
    assert "2 frames are called 'frame-0'" in capsys.readouterr().err
    assert main(["label", "in.extxyz", "--calculator", "modoy", "-o", "out.extxyz"]) == 2
    assert "Did you mean moody" in capsys.readouterr().err
    assert main(["label", "in.extxyz", "--calculator", "gone.model", "-o", "out.extxyz"]) == 2
    assert "gone.model" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["label", "in.extxyz", "-o", "out.extxyz"])
    assert main(["label", "in.extxyz", "--calculator", "broken", "-o", "out.extxyz"]) == 2
    assert "'broken' cannot be made. RuntimeError: no licence" in capsys.readouterr().err
    assert main(["label", "in.extxyz", "--calculator", "moody", "-o", "out.extxyz", "--timeout", "nan"]) == 2
    assert "limit of nan s" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.extxyz"]


@pytest.mark.parametrize(
    ("source", "option", "named"),
    [
        (["--write-vasp", "vasp"], ["-o", "out.extxyz"], "--output was given with --write-vasp"),
        (["--write-vasp", "vasp"], ["--workers", "2"], "--workers was given with --write-vasp"),
        (["--read-vasp", "vasp", "-o", "out.extxyz"], ["--timeout", "5"], "--timeout was given with --read-vasp"),
        (["--read-vasp", "vasp", "-o", "out.extxyz"], ["--retry-failed"], "--retry-failed was given with --read-vasp"),
        (
            ["--calculator", "moody", "-o", "out.extxyz"],
            ["--kpoints-density", "3"],
            "--kpoints-density was given with --calculator",
        ),
        (["--write-vasp", "vasp"], ["--kpoints-density", "inf"], "k-point density of inf"),
    ],
)
def test_options_of_no_use_are_refused(registered, tmp_path, monkeypatch, capsys, source, option, named):
    monkeypatch.chdir(tmp_path)
    write_copper(tmp_path / "in.extxyz", 1)
    assert main(["label", "in.extxyz", *source, *option]) == 2
    assert named in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.extxyz"]


def test_options_of_the_processes_arrive(registered, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_copper(tmp_path / "in.extxyz", 2, ["hang"])
    words = ["--workers", "2", "--timeout", "0.5", "--device", "there", "--dtype", "float32"]
    assert main(["label", "in.extxyz", "--calculator", "moody", "-o", "out.extxyz", *words]) == 1
    assert "frame-0: took longer than 0.5 s" in capsys.readouterr().out
    (labelled,) = read_frames(tmp_path / "out.extxyz")
    assert labelled.info["level_of_theory"] == "moody on there in float32"
    assert json.loads((tmp_path / "out.manifest.json").read_text())["settings"]["dtype"] == "float32"


def test_atoms_that_are_isolated_already_are_left_at_that(registered, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    isolated = make_isolated_atoms([bulk("Cu")])
    write_frames(tmp_path / "in.extxyz", [bulk("AuCu", "rocksalt", a=5.0), *isolated])
    arguments = ["label", "in.extxyz", "--calculator", "moody", "--isolated-atoms"]
    assert main([*arguments, "-o", "out.extxyz"]) == 0
    names = [atoms.info["name"] for atoms in read_frames(tmp_path / "out.extxyz")]
    assert names == ["in-0", "isolated-Cu", "isolated-Au"]
    crystal = bulk("Cu")
    crystal.info["name"] = "isolated-Cu"
    write_frames(tmp_path / "in.extxyz", [crystal])
    assert main([*arguments, "-o", "other.extxyz"]) == 2
    assert "2 frames are called 'isolated-Cu'" in capsys.readouterr().err


def test_a_model_is_known_by_what_it_holds(tmp_path, monkeypatch, tiny_packed, crystal, capsys):
    """Not by its name alone, nor by where it lies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    register(tiny_packed, "own")

    def label_frames(frames, **_):
        for k, atoms in enumerate(frames):
            yield k, Part([label_frame(atoms, Labels(0.0, np.zeros((len(atoms), 3)), None), "none")])

    monkeypatch.setattr(parallel, "label_frames", label_frames)
    write_frames(tmp_path / "in.extxyz", [crystal])
    arguments = ["label", "in.extxyz", "--calculator", "own", "-o", "out.extxyz", "--device", "cpu"]
    assert main(arguments) == 0
    settings = json.loads((tmp_path / "out.manifest.json").read_text())["settings"]
    assert settings["digest"] == load(tiny_packed).digest
    assert main(arguments) == 0
    assert main([*arguments, "--dtype", "float32"]) == 2
    assert "dtype was 'float64' and is 'float32'" in capsys.readouterr().err
    own = tmp_path / "models" / "own.json"
    own.write_text(own.read_text().replace("For tests.", "Another one."))
    assert main(arguments) == 2
    assert "digest was 'sha256:" in capsys.readouterr().err


def test_frames_without_names_are_called_after_their_file(registered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(tmp_path / "plain.extxyz", [bulk("Cu"), bulk("Al")])
    assert main(["label", "plain.extxyz", "--calculator", "moody", "-o", "out.extxyz"]) == 0
    assert [atoms.info["name"] for atoms in read_frames(tmp_path / "out.extxyz")] == ["plain-0", "plain-1"]


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_file_of_one_structure_is_a_crystal_of_its_name(registered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("fcc.cif", bulk("Cu", cubic=True))
    write("two.extxyz", [bulk("Cu"), bulk("Cu", a=3.5)])
    assert main(["label", "fcc.cif", "two.extxyz", "--calculator", "moody", "-o", "out.extxyz"]) == 0
    found = read_frames(tmp_path / "out.extxyz")
    assert [atoms.info["name"] for atoms in found] == ["fcc-0", "two-0", "two-1"]
    assert [atoms.info.get("source") for atoms in found] == ["fcc", None, None]


def test_hessians_are_labels_too(registered, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    atoms = bulk("Cu", cubic=True)
    atoms.info.update(name="fcc", source="copper")
    write_frames(tmp_path / "minima.extxyz", [atoms])
    words = ["label", "minima.extxyz", "--calculator", "moody", "--hessians", "-o", "hessians.extxyz"]
    assert main([*words, "--workers", "2"]) == 0
    (found,) = read_frames(tmp_path / "hessians.extxyz")
    rows = np.array([compute_rows(atoms, index, EMT()) for index in range(4)])
    np.testing.assert_allclose(get_hessian(found), rows.reshape(12, 12), atol=1e-7)
    np.testing.assert_allclose(get_labels(found).forces, 0, atol=1e-7)
    # Without them it is another file.
    assert main(["label", "minima.extxyz", "--calculator", "moody", "-o", "hessians.extxyz"]) == 2
    assert "hessians was True" in capsys.readouterr().err
    assert main([*words[:-1], "other.extxyz", "--isolated-atoms"]) == 2
    assert "Hessians of isolated atoms" in capsys.readouterr().err
    assert main(["label", "minima.extxyz", "--hessians", "--write-vasp", "vasp"]) == 2
    assert "--hessians was given with --write-vasp" in capsys.readouterr().err
