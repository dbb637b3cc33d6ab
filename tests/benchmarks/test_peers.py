"""The driver of the comparison with other programs: arithmetic, records, and one small run of ours and of mace."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import peers.__main__ as driver
import pytest
from ase import Atoms
from ase.build import bulk
from peers import agreement, measure, report, runs, tasks
from peers.measure import CommandFailedError, Usage
from peers.report import Spread
from peers.runs import Run
from springs import Springs

from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.output import write_force_constants


def make_run(task, peer, number, seconds, peak=10**9):
    identity = {"threads": 1, "model": "0" * 64, "command": ["janus", "phonons"]}
    return Run(task, peer, number, identity, load=0.5, usage=Usage(seconds, 0.9 * seconds, peak))


RUNS = [
    make_run("mof5", "ours", 0, 4.0),
    make_run("mof5", "ours", 1, 2.0),
    make_run("mof5", "ours", 2, 2.5),
    make_run("mof5", "janus", 0, 100.0, 3 * 10**9),
    make_run("mof5-3x3x3", "ours", 0, 3.0),
]


def test_ratios_span_what_the_runs_allow():
    ratios = report.compute_ratios(RUNS, base_task="mof5", grown_task="mof5-3x3x3")
    janus, grown = ratios
    assert (janus.task, janus.peer, janus.against) == ("mof5", "janus", "ours")
    assert janus.time == Spread(25.0, 40.0, 50.0)
    assert janus.memory == 3.0
    assert (grown.task, grown.peer, grown.against) == ("mof5-3x3x3", "ours", "mof5")
    assert grown.time == Spread(0.75, 1.2, 1.5)


def test_nothing_is_compared_with_what_was_not_run():
    alone = [run for run in RUNS if run.peer == "janus"]
    assert report.compute_ratios(alone, base_task="mof5", grown_task="mof5-3x3x3") == []


def test_the_table_shows_every_program_of_every_task():
    ratios = report.compute_ratios(RUNS, base_task="mof5", grown_task="mof5-3x3x3")
    titles = {key: task.title for key, task in tasks.TASKS.items()}
    _, _, ours, janus, grown = report.format_table(RUNS, ratios, titles).splitlines()
    assert ours.split(" | ")[1:4] == ["ours", "3", "2.5 (2 to 4)"]
    assert janus == "| MOF-5 force constants 2x2x2 | janus | 1 | 100 (100 to 100) | 90 | 3.00 | 40 (25 to 50) | 3 |"
    assert grown.endswith("| 1.2 (0.75 to 1.5) of mof5 | 1 |")


def test_the_csv_has_a_line_for_each_run(tmp_path):
    report.write_csv(tmp_path / "runs.csv", RUNS)
    header, first, *_ = lines = (tmp_path / "runs.csv").read_text().splitlines()
    assert len(lines) == 1 + len(RUNS)
    assert dict(zip(header.split(","), first.split(","), strict=True))["cpu_seconds"] == "3.6"


def test_a_finished_run_is_found_again_and_another_is_not(tmp_path):
    folder = runs.run_folder(tmp_path, "mof5", "janus", 0)
    assert runs.find_run(folder, {}) is None
    run = RUNS[3]
    runs.start_run(folder)
    runs.save_run(folder, run)
    assert runs.find_run(folder, run.identity) == run
    assert runs.find_run(folder, {**run.identity, "threads": 2}) is None
    runs.start_run(folder)
    assert runs.find_run(folder, run.identity) is None


def test_only_the_long_runs_of_others_are_done_once():
    assert not driver.is_enough("janus", [])
    assert not driver.is_enough("janus", [make_run("mof5", "janus", 0, 1.0)])
    assert driver.is_enough("janus", [make_run("mof5", "janus", 0, 1e4)])
    assert not driver.is_enough("ours", [make_run("mof5", "ours", 0, 1e4)])


def test_memory_of_a_command_and_of_what_it_starts_is_summed(tmp_path):
    allocate = "import time; block = b'x' * 200_000_000; time.sleep(1)"
    both = f"import subprocess, sys; block = b'x' * 200_000_000; subprocess.run([sys.executable, '-c', {allocate!r}])"
    # The peak of a new process starts at that of its parent, and this one may have grown large.
    code = f"""
import json, os, sys
from dataclasses import asdict
from pathlib import Path
from peers.measure import measure
print(json.dumps(asdict(measure([sys.executable, "-c", {both!r}], Path({str(tmp_path)!r}), os.environ))))
"""
    environment = {**os.environ, **driver.python_path()}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    usage = Usage(**json.loads(done.stdout))
    assert 4e8 < usage.peak_bytes < 6e8
    assert usage.seconds > 1
    assert usage.cpu_seconds < usage.seconds + 1


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(CommandFailedError, match=r"status 3(.|\n)*no such model"):
        measure.measure([sys.executable, "-c", "print('no such model'); exit(3)"], tmp_path, os.environ)


def test_all_libraries_get_the_same_number_of_threads():
    assert set(measure.thread_variables(2).values()) == {"2"}


def read_pins(name):
    lines = (Path(__file__).parents[2] / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_both_sides_stand_on_the_same_libraries():
    here, there = read_pins("constraints.txt"), read_pins("benchmarks/peers/requirements.txt")
    assert there["janus-core"] == "0.9.8"
    shared = here.keys() & there.keys()
    assert {"torch", "mace-torch", "phonopy", "numpy", "ase"} <= shared
    assert [name for name in shared if here[name] != there[name]] == []


@pytest.mark.parametrize("key", tasks.TASKS)
def test_every_program_gets_model_structure_and_supercell(key):
    task = tasks.TASKS[key]
    for peer in task.peers:
        words = tasks.command(peer, task, "a.model", "b.POSCAR", Path("janus"))
        assert {"a.model", "b.POSCAR"} < set(words)
        assert " ".join(str(n) for n in task.dim) in " ".join(words)
        assert ("11 11 11" in " ".join(words)) == task.whole


def test_mof74_is_rattled_out_of_its_symmetry():
    atoms = tasks.TASKS["mof74-p1"].structure()
    phonon = make_phonopy(atoms, np.eye(3))
    assert (len(atoms), phonon.symmetry.dataset.number) == (54, 1)
    assert np.array_equal(atoms.positions, tasks.TASKS["mof74-p1"].structure().positions)


def write_springs(folder: Path, k: float, *, wrapped: bool = True) -> Path:
    calculator = Springs(k, r0=2.5, cutoff=3.0)
    atoms = bulk("Cu", a=2.5 * np.sqrt(2), cubic=True)
    if not wrapped:
        atoms.positions[1] -= atoms.cell[0]
    phonon = make_phonopy(atoms, np.diag([2, 2, 2]), primitive_matrix="P")
    result = compute_force_constants(phonon, calculator, distance=0.001)
    folder.mkdir()
    write_force_constants(result, folder)
    return folder


def read(folder: Path):
    return agreement.read_phonon(folder / "phonopy_params.yaml", folder / "force_constants.hdf5")


def test_the_same_springs_agree_and_others_do_not(tmp_path):
    reference = read(write_springs(tmp_path / "a", 1.0))
    same = agreement.compare(reference, read(write_springs(tmp_path / "b", 1.0)))
    assert same.holds
    assert same.force_constants < 1e-12
    assert abs(same.lowest_frequency) < 1e-3
    other = agreement.compare(reference, read(write_springs(tmp_path / "c", 1.001)))
    assert not other.holds
    assert other.force_constants == pytest.approx(1e-3, rel=1e-3)
    assert other.squares == pytest.approx(1e-3, rel=1e-3)
    assert 0 < other.frequencies < 0.01
    assert not replace(same, squares=np.nan).holds


def test_atoms_may_be_wrapped_into_the_cell_differently(tmp_path):
    reference = read(write_springs(tmp_path / "a", 1.0))
    other = read(write_springs(tmp_path / "b", 1.0, wrapped=False))
    assert not np.allclose(reference.supercell.positions, other.supercell.positions)
    assert agreement.compare(reference, other).force_constants < 1e-12


def test_different_cells_are_not_compared(tmp_path):
    reference = read(write_springs(tmp_path / "a", 1.0))
    other = read(write_springs(tmp_path / "b", 1.0))
    other.supercell.cell = other.supercell.cell * 1.01
    with pytest.raises(ValueError, match="different cells"):
        agreement.compare(reference, other)


def test_disagreement_ends_with_status_1(tmp_path, capsys):
    same = agreement.compare(*[read(write_springs(tmp_path / name, 1.0)) for name in "ab"])
    assert driver.report_agreement({("mof5", "janus"): same}) == 0
    assert driver.report_agreement({("mof5", "janus"): replace(same, force_constants=1.0)}) == 1
    assert "FAILED: janus on mof5" in capsys.readouterr().err


def test_ours_and_mace_on_a_small_crystal(tmp_path, monkeypatch, capsys):
    def crystal():
        return Atoms("ZnO", scaled_positions=[[0, 0, 0], [0.5, 0, 0]], cell=np.eye(3) * 4.2, pbc=True)

    task = tasks.Task("small", crystal, (2, 1, 1), ("ours", "stock"))
    monkeypatch.setattr(driver, "TASKS", {"small": task})
    arguments = ["--model", "mini", "--peers", "stock,ours", "--rounds", "1", "--work", str(tmp_path)]
    assert driver.main(arguments) == 0
    record = json.loads((tmp_path / "mini" / "peers.json").read_text())
    assert [run["peer"] for run in record["runs"]] == ["ours", "stock"]
    assert record["agreement"][0]["force_constants"] < agreement.FORCE_CONSTANTS_TOLERANCE
    assert 0 < record["our_force_constants_seconds"]["small"][0] < record["runs"][0]["usage"]["seconds"]
    monkeypatch.setattr(driver, "measure", None)  # nothing is run again
    assert driver.main(arguments) == 0
    assert "small ours 0" in capsys.readouterr().out


def test_without_janus_the_driver_says_how_to_get_it(tmp_path, capsys):
    with pytest.raises(SystemExit):
        driver.main(["--work", str(tmp_path), "--janus", str(tmp_path / "janus")])
    assert "make bench-peers" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        driver.main(["--peers", "ours,siesta"])
    assert "no program siesta" in capsys.readouterr().err
