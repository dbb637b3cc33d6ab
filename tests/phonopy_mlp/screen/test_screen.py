"""Whole screenings: what comes of them, and what they survive."""

import json
import os
import signal
from pathlib import Path

import pytest
from ase.build import bulk
from ase.db import connect
from ase.io import write

from phonopy_mlp.cli.main import main
from phonopy_mlp.files import alone
from phonopy_mlp.screen.run import LOCK

from .conftest import (
    BOTH,
    LONG,
    OPTIONS,
    RELAX,
    assert_same,
    make_metals,
    read_rows,
    relax,
    screen,
    start,
    wait_for,
)


def test_each_structure_has_a_row_with_what_its_steps_found(place, capsys):
    make_metals(place / "cifs", "Cu", "Al")
    assert screen() == 0
    assert "2 done, 0 failed, 0 lost" in capsys.readouterr().out
    rows = read_rows()
    assert set(rows) == {"Cu", "Al"}
    atoms, values, data = rows["Cu"]
    assert (values["state"], values["steps"], values["group_relaxed"]) == ("done", "relax,phonons", "Fm-3m (225)")
    # Of EMT's own minimum, by hand.
    assert atoms.cell.lengths() == pytest.approx([3.5903] * 3, abs=2e-3)
    assert atoms.get_potential_energy() == pytest.approx(4 * -0.0070, abs=4e-3)
    assert values["phonon_imaginary_modes"] == 0
    # Debye's, with 343 K, on 26 of the 27 points of the mesh: phonopy leaves out what does not move at Gamma.
    assert values["heat_capacity_300K"] == pytest.approx(24.94 * (1 - (343 / 300) ** 2 / 20) * 26 / 27, abs=0.2)
    assert data["input"]["digest"].startswith("sha256:")
    record = data["steps"]["phonons"]["record"]
    assert record["calculator"]["name"] == "moody"
    assert set(data["steps"]["phonons"]["files"]) >= {"force_constants.hdf5", "thermal_properties.yaml"}


def test_what_is_done_is_not_done_again(place, monkeypatch, capsys):
    make_metals(place / "cifs", "Cu")
    assert relax() == 0
    before = read_rows()
    monkeypatch.setenv("MOODY_LOG", str(place / "made"))
    assert relax() == 0
    assert len((place / "made").read_text().split()) == 1  # to ask who it is
    make_metals(place / "cifs", "Al")
    assert relax() == 0
    assert_same(read_rows()["Cu"], before["Cu"])
    assert set(read_rows()) == {"Cu", "Al"}


def test_structures_that_ruin_their_process_do_not_stop_the_others(place, capsys):
    make_metals(place / "cifs", "Cu", "Ni", "Ir", "Pd", "Pt", "Ag", "Au", "Rh", "Al")
    (place / "cifs" / "broken.cif").write_text("nonsense")
    assert relax("--time-limit", 20, "--memory-limit", 1) == 1
    errors = {name: values.get("error") for name, (_, values, _) in read_rows().items()}
    assert "2 done, 6 failed, 2 lost" in capsys.readouterr().out, errors
    assert errors["Cu"] is errors["Al"] is None
    assert errors["Ni"] == "its process ended with status 7"
    assert errors["Ir"] == "its process ended with status 0"
    assert errors["Pd"] == "its process crashed (SIGSEGV)"
    assert errors["Pt"] == "took longer than 20 s"
    assert errors["Ag"] == "took more than 1 GiB of memory"
    assert errors["Au"] == "its process was killed (SIGKILL), by lack of memory perhaps"
    assert errors["Rh"] == "its process was killed (SIGTERM), by lack of memory perhaps"
    assert "does not parse" in errors["broken"]
    # What was lost is done the next time, what failed is not.
    assert relax("--time-limit", 20, "--memory-limit", 1) == 1
    assert "3 done, 7 failed, 0 lost" in capsys.readouterr().out
    assert read_rows()["Au"][1]["state"] == "done"


def test_what_a_structure_does_to_a_gpu_is_not_the_end_of_the_others(place, capsys):
    make_metals(place / "cifs", "Cu", "Pb", "Al")
    with (place / "cifs" / "Pb.cif").open("a") as file:
        file.write("# the largest comes first\n")
    assert relax("--workers", "1") == 1
    assert "2 done, 0 failed, 1 lost" in capsys.readouterr().out
    assert "CUDA error: an illegal memory access" in read_rows()["Pb"][1]["error"]
    assert "CUDA error" in (place / "r" / "tasks" / "Pb" / "relax" / "log.txt").read_text()


def test_a_killed_driver_loses_nothing(place, monkeypatch):
    make_metals(place / "cifs", "Cu", "Al")
    monkeypatch.setenv("MOODY_SECONDS", "0.05")
    process = start(*BOTH)
    wait_for(lambda: len(list(place.glob("r/tasks/*/relax/task.json"))) >= 1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=LONG)
    done = {path: path.stat().st_mtime_ns for path in place.glob("r/tasks/*/*/task.json")}
    Path("r.db.lock").touch()  # what ASE leaves where a process is killed while it writes
    assert screen() == 0
    assert {path: path.stat().st_mtime_ns for path in done} == done
    Path("r.db.lock").unlink()
    found = read_rows()
    Path("r").rename("killed")
    Path("r.db").rename("killed.db")
    assert screen() == 0
    for name, row in read_rows().items():
        assert_same(found[name], row)


def test_a_killed_worker_is_replaced(place, monkeypatch, capsys):
    make_metals(place / "cifs", "Cu", "Al")
    monkeypatch.setenv("MOODY_SECONDS", "0.1")
    monkeypatch.setenv("MOODY_LOG", str(place / "made"))
    process = start(*RELAX)
    wait_for(lambda: (place / "made").exists() and len((place / "made").read_text().split()) >= 3)
    os.kill(int((place / "made").read_text().split()[-1]), signal.SIGKILL)
    said, _ = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert "1 done, 0 failed, 1 lost" in said
    assert relax() == 0
    assert "2 done" in capsys.readouterr().out


def test_a_screening_that_is_interrupted_goes_on(place, monkeypatch, capsys):
    make_metals(place / "cifs", "Cu", "Al")
    monkeypatch.setenv("MOODY_SECONDS", "1")
    process = start(*RELAX, "--workers", "1")
    wait_for(lambda: list(place.glob("r/tasks/*/relax/phonopy_mlp-relax.yaml")))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert "the same command goes on from here" in said
    monkeypatch.setenv("MOODY_SECONDS", "0")
    assert relax() == 0
    found = read_rows()
    assert relax("--db", "unbroken.db") == 0
    for name, row in read_rows("unbroken.db").items():
        assert_same(found[name], row)


def test_other_settings_or_another_model_are_not_mixed_in(place, monkeypatch, capsys):
    make_metals(place / "cifs", "Cu")
    assert relax() == 0
    before = read_rows()
    for other in ("--relax-fmax 1e-4", "--fix-symmetry"):
        assert relax("--set", "relax", other) == 2
        assert "has results of 'relax' that were made otherwise: words" in capsys.readouterr().err
    monkeypatch.setenv("MOODY_DIGEST", "1")
    assert relax() == 2
    assert "calculator: digest '0', now '1'" in capsys.readouterr().err
    monkeypatch.delenv("MOODY_DIGEST")
    assert_same(read_rows()["Cu"], before["Cu"])


def test_a_structure_that_was_changed_is_done_again(place):
    make_metals(place / "cifs", "Cu", "Al")
    assert relax() == 0
    before = read_rows()
    write(place / "cifs" / "Cu.cif", bulk("Cu"))
    assert relax() == 0
    rows = read_rows()
    assert len(rows["Cu"][0]) == 1
    assert_same(rows["Al"], before["Al"])
    # Until that is done it is told, not what was of the file before.
    write(place / "cifs" / "Cu.cif", bulk("Pt"))  # which hangs
    process = start(*RELAX)
    wait_for(lambda: read_rows()["Cu"][1]["state"] == "unfinished")
    process.kill()
    process.communicate(timeout=LONG)
    assert read_rows()["Cu"][0].symbols[0] == "Pt"


def test_a_structure_that_is_gone_is_told(place, capsys):
    make_metals(place / "cifs", "Cu", "Al")
    assert relax() == 0
    (place / "cifs" / "Al.cif").rename(place / "Al.cif")
    for state in ("gone", "done"):
        assert relax() == 0
        assert f"{1 + (state == 'done')} done" in capsys.readouterr().out
        rows = read_rows()
        assert (rows["Cu"][1]["state"], rows["Al"][1]["state"]) == ("done", state)
        assert rows["Al"][1]["steps"] == "relax"
        assert screen("--report", *RELAX) == 0
        assert ("<span>gone</span><b>1</b>" in (place / "r" / "screen.html").read_text()) == (state == "gone")
        if state == "gone":
            (place / "Al.cif").rename(place / "cifs" / "Al.cif")


def test_steps_can_be_added(place, capsys):
    make_metals(place / "cifs", "Cu")
    assert relax() == 0
    assert relax("--steps", "relax,eos") == 0
    values = read_rows()["Cu"][1]
    assert values["steps"] == "relax,eos"
    assert values["bulk_modulus"] == pytest.approx(134, abs=3)  # EMT's for copper
    assert relax() == 2
    assert "has results of eos, too" in capsys.readouterr().err
    assert relax("--steps", "eos,relax") == 2
    assert "made otherwise" in capsys.readouterr().err


def test_what_a_screening_has_written_is_not_screened(place, capsys):
    make_metals(place, "Cu")
    for _ in range(2):
        assert main(["screen", ".", *OPTIONS, *RELAX]) == 0
        assert capsys.readouterr().out == "1 done, 0 failed, 0 lost\n"


def test_a_screening_that_was_moved_is_not_done_again(place, monkeypatch):
    make_metals(place / "cifs", "Cu")
    assert relax() == 0
    before = read_rows()
    Path("r").rename("moved")
    Path("r.db").rename("moved.db")
    monkeypatch.setenv("MOODY_LOG", str(place / "made"))
    assert relax("--db", "moved.db") == 0
    assert len((place / "made").read_text().split()) == 1  # to ask who it is
    assert_same(read_rows("moved.db")["Cu"], before["Cu"])


def test_elasticity_and_expansion_are_steps_too(place):
    make_metals(place / "cifs", "Cu")
    qha = ["--set", "qha", "--dim 2 2 2 --mesh 5 5 5 --tmax 400"]
    assert main(["screen", "cifs", *OPTIONS, "--steps", "relax,elastic,qha", *qha]) == 0
    values = read_rows()["Cu"][1]
    # EMT's constants of copper are fitted to 173 and 116 GPa, which make a bulk modulus of 135 GPa.
    assert values["hill_bulk_modulus"] == pytest.approx(135, abs=2)
    assert values["elastically_stable"]
    assert values["anisotropy"] > 1
    # What is soft at first is softer when warm, by the anharmonicity that expands it: Grueneisen's relation.
    assert 0.9 < values["bulk_modulus_300K"] / values["hill_bulk_modulus"] < 0.95
    heat = 4 * 1.380649e-23 * 3 * 0.93  # J/K of four atoms, Debye's 93 % at 300 K
    alpha = values["grueneisen_300K"] * heat / (values["bulk_modulus_300K"] * 1e9 * 4 * values["volume_300K"] * 1e-30)
    assert values["volumetric_expansion_300K"] == pytest.approx(alpha, rel=0.05)
    assert values["linear_expansion_300K"] == pytest.approx(values["volumetric_expansion_300K"] / 3, rel=1e-6)


def test_a_database_is_not_screened_into_itself(place, capsys):
    with connect("own.db") as database:
        database.write(bulk("Cu"))
    before = Path("own.db").read_bytes()
    assert main(["screen", "own.db", *OPTIONS, *RELAX, "--db", "own.db"]) == 2
    assert "its structures are to be screened into it" in capsys.readouterr().err
    assert Path("own.db").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
def test_a_name_that_is_not_text_is_no_loss(place):
    make_metals(place / "cifs", "Cu")
    Path("cifs/Cu.cif").rename(os.fsdecode(b"cifs/Cu\xe9.cif"))
    assert relax() == 0
    ((name, (_, values, _)),) = read_rows().items()
    assert values["state"] == "done"
    assert relax() == 0
    assert name in read_rows()


def test_what_has_failed_is_done_again_where_that_is_asked_for(place):
    make_metals(place / "cifs", "Ni")
    outcome = place / "elsewhere" / "tasks" / "Ni" / "relax" / "task.json"
    assert relax("--folder", "elsewhere") == 1
    first = outcome.stat().st_mtime_ns
    assert relax("--folder", "elsewhere") == 1
    assert outcome.stat().st_mtime_ns == first
    assert relax("--folder", "elsewhere", "--retry-failed") == 1
    assert outcome.stat().st_mtime_ns > first
    assert not (place / "r").exists()


def test_one_screening_at_a_time(place, capsys):
    make_metals(place / "cifs", "Cu")
    (place / "r").mkdir()
    with alone(Path("r"), LOCK):
        assert relax() == 2
    assert "Another run is at work in 'r'" in capsys.readouterr().err
    assert relax() == 0


def test_the_state_of_a_screening_is_told_elsewhere(place, monkeypatch, capsys):
    make_metals(place / "cifs", "Cu", "Al")
    assert relax("--status") == 2
    assert "no screening was started here" in capsys.readouterr().err
    monkeypatch.setenv("MOODY_SECONDS", "0.3")
    process = start(*RELAX)
    wait_for(
        lambda: (place / "r" / "status.json").exists() and json.loads((place / "r/status.json").read_text())["running"]
    )
    assert relax("--status") == 0
    assert "0 of 2 structures" in (said := capsys.readouterr().out)
    assert "running: " in said
    assert "not running" not in said
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=LONG)
    monkeypatch.setattr("phonopy_mlp.screen.progress._SILENT", 0.0)
    assert relax("--status") == 0
    assert "not running" in capsys.readouterr().out
    monkeypatch.setenv("MOODY_SECONDS", "0")
    assert relax() == 0
    capsys.readouterr()
    assert relax("--status") == 0
    assert capsys.readouterr().out == "2 of 2 structures: 2 done, 0 failed, 0 lost\n"
