"""The scripted way from crystals to a model: its commands follow from one another, and its table is what was found."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import spglib
import yaml

from mace_mof_calc.cli.main import _make_parser
from mace_mof_calc.frames import get_labels, read_frames
from mace_mof_calc.training.hessians import get_hessian
from phonopy_mlp.cli.main import main as phonopy_mlp_main

sys.path.insert(0, str(Path(__file__).parents[2] / "training" / "zif8"))
import prepare
import results

SCRIPTS = Path(prepare.__file__).parent

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zif8")
    subprocess.run([sys.executable, SCRIPTS / "prepare.py", folder, "crystals"], check=True)
    return folder


def test_the_crystals(prepared):
    for name, formula, count in (("zif-8", "C8H10N4Zn", 6), ("salem-2", "C6H6N4Zn", 6)):
        (atoms,) = read_frames(prepared / f"{name}.extxyz")
        assert atoms.info["source"] == name.upper()
        assert atoms.symbols.formula.reduce()[0] == atoms.symbols.formula.__class__(formula).reduce()[0]
        assert len(atoms.symbols[atoms.symbols == "Zn"]) == count
        cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
        assert spglib.get_spacegroup(cell, symprec=1e-3) == "I-43m (217)"


def test_what_was_known_before(prepared):
    replay, old = (read_frames(prepared / f"{name}.extxyz") for name in ("replay", "old"))
    hessians = read_frames(prepared / "replay-hessians.extxyz")
    assert len(replay) == prepare.REPLAYED
    assert len(old) == len(prepare.FRAMEWORKS) * prepare.KEPT_BACK
    # All that has nitrogen, whose parameters are trained.
    with_nitrogen = {atoms.info["source"] for atoms in old if "N" in atoms.symbols}
    assert with_nitrogen == {atoms.info["source"] for atoms in [*replay, *hessians]} == {"DMOF-1"}
    energies = [get_labels(atoms).energy for atoms in [*replay, *old]]
    assert len(set(energies)) == len(energies)
    for atoms in [*replay[::5], *old[::8]]:
        assert get_labels(atoms).stress is not None
        assert abs(get_labels(atoms).forces.sum(axis=0)).max() < 1e-3


def test_what_is_there_is_left_alone(prepared, monkeypatch):
    (prepared / "salem-2.extxyz").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in prepared.glob("*.extxyz")}
    monkeypatch.setattr(sys, "argv", ["prepare.py", str(prepared), "crystals"])
    prepare.main()
    after = {path.name: path.stat().st_mtime_ns for path in prepared.glob("*.extxyz")}
    assert set(after) - set(before) == {"salem-2.extxyz"}
    assert after.items() >= before.items()


PROGRAM = """#!/bin/sh
printf '%s\\t' "$(ls *.extxyz 2> /dev/null | tr '\\n' ' ')" {name} "$@" >> "{log}"
echo >> "{log}"
[ "$(wc -l < "{log}")" -ne "$ENDS_AT" ] || exit 3
while [ $# -gt 1 ]; do
    [ "$1" != -o ] || touch "$2"
    shift
done
"""
"""Says which frames there are and what it was called with, and writes its output; one call of it fails."""


@pytest.fixture
def script(tmp_path):
    """Return what runs the script with programs that do nothing, and gives the calls of them."""
    log, programs, work = tmp_path / "log", tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    for name in ("mace-mof", "phonopy-mlp", "python"):
        (programs / name).write_text(PROGRAM.format(name=name, log=log))
        (programs / name).chmod(0o755)
    for name in prepare.list_contents(work, "crystals"):
        (work / f"{name}.extxyz").touch()

    def run(*options, ends_at=0):
        log.unlink(missing_ok=True)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", SCRIPTS / "run.sh", *options, work],
            env={**os.environ, "PATH": path, "ENDS_AT": str(ends_at)},
            check=False,
        )
        return done.returncode, [line.split("\t")[:-1] for line in log.read_text().splitlines()]

    return run


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_the_script_goes_on_after_any_of_its_commands_has_ended_early(script):
    ends_at, failed = 1, []
    while (ran := script("--relabel", ends_at=ends_at))[0] != 0:
        _, calls = ran
        assert len(calls) == ends_at, "it goes on after a command that failed"
        failed.append(calls[-1][1:])
        # What phonopy-mlp has done is not begun anew.
        ends_at += 1 - [words[1] for words in calls[:-1]].count("phonopy-mlp")
    _, calls = ran
    assert [words for words in failed if words[0] != "phonopy-mlp"] == [words[1:] for words in calls]
    assert [words[0] for words in failed].count("phonopy-mlp") == len(prepare.CRYSTALS)
    assert calls[-1][1:] == ["python", str(SCRIPTS / "results.py"), "."]


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_modes_that_cannot_be_paired_are_not_the_end(script, tmp_path):
    (tmp_path / "work" / "zif-8-hessian.extxyz").touch()
    _, calls = script()
    (ends_at,) = (k for k, words in enumerate(calls, 1) if "mini-zif8-evaluated/salem-2" in words)
    status, calls = script(ends_at=ends_at)
    assert status != 0
    assert len(calls) == ends_at
    evaluated = tmp_path / "work" / "mini-zif8-evaluated" / "salem-2"
    evaluated.unlink()
    (evaluated / "model").mkdir(parents=True)
    (evaluated / "model" / "done.json").touch()
    status, calls = script(ends_at=ends_at)
    assert (status, calls[-1][2:]) == (0, [str(SCRIPTS / "results.py"), "."])


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_labels_of_here_and_new_ones_are_not_mixed(script, tmp_path, capfd):
    (tmp_path / "work" / "zif-8-hessian.extxyz").touch()
    assert script()[0] == 0
    status, calls = script("--relabel")
    assert (status, len(calls)) == (2, 1)
    assert "was begun without --relabel" in capfd.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_each_command_reads_what_is_there_by_then(script, tmp_path, monkeypatch, capsys):
    work = tmp_path / "work"
    there = {path.name for path in work.glob("*.extxyz")}
    status, ((_, _, *first), *commands, (_, _, *last)) = script("--relabel")
    assert status == 0
    assert first == [str(SCRIPTS / "prepare.py"), str(work), "crystals"]
    assert last == [str(SCRIPTS / "results.py"), "."]
    models = {"mini", "gfn1-xtb"}
    monkeypatch.chdir(tmp_path / "bin")
    for listing, program, *words in commands:
        if program == "phonopy-mlp":
            (crystal,) = {word for word in words if word.endswith(".extxyz")}
            assert crystal.removeprefix("../../") in there
            assert phonopy_mlp_main(words) == 2
            assert f"Structure file '{crystal}' was not found" in capsys.readouterr().err
            there.add(f"reference/{Path(crystal).stem}")
        elif program == "python":
            script_, folder, what = words
            assert (script_, folder) == (str(SCRIPTS / "prepare.py"), ".")
            if what == "minima":
                assert {f"reference/{name}" for name in prepare.CRYSTALS} <= there
                there |= {f"{name}.extxyz" for name in prepare.list_contents(work, "minima")}
            elif what == "store":
                assert {name for name in prepare.LABELS.names if "/" not in name} <= there
        else:
            asked = _make_parser().parse_args(words)
            there |= {"hessians.extxyz"} & set(listing.split())
            _check_inputs(asked, words[0], there, models)
            if words[0] == "finetune":
                models.add(asked.name)
            else:
                there.add(str(asked.output))
    with (work / "times.csv").open() as file:
        assert [row["part"] for row in csv.DictReader(file)] == ["labels", "training", "evaluation"]
    evaluated = {f"{model}-evaluated/{name}" for model in (results.BEFORE, results.AFTER) for name in results.SETS}
    assert evaluated <= there


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_labels_that_lie_here_are_not_made_anew(script, tmp_path):
    (tmp_path / "work" / "zif-8-hessian.extxyz").touch()
    status, ((_, _, *first), (_, _, *second), *others) = script()
    assert status == 0
    assert [first[-1], second[-1]] == ["crystals", "labels"]
    assert {words[2] for words in others if words[1] == "mace-mof"} == {"finetune", "evaluate"}
    assert not [words for words in others if words[1] == "phonopy-mlp"]


def test_the_labels(tmp_path, monkeypatch):
    prepare.LABELS.restore(tmp_path)
    frames = {Path(name).stem: read_frames(tmp_path / name) for name in prepare.LABELS.names if name.endswith("xyz")}
    (cell,) = frames["zif-8-hessian"]
    hessian = get_hessian(cell)
    assert abs(hessian - hessian.T).max() < 1e-3 * abs(hessian).max()
    assert abs(get_labels(cell).forces).max() < 2e-4
    assert cell.positions == pytest.approx(frames["zif-8-minimum"][0].positions, abs=1e-6)
    for name, source in (("learnt", "ZIF-8"), ("unseen", "ZIF-8"), ("held-out", "SALEM-2")):
        found = frames[f"{name}-labelled"]
        assert {atoms.info["source"] for atoms in found} == {source}
        assert all(get_labels(atoms).stress is not None for atoms in found)
        energies = [get_labels(atoms).energy for atoms in found]
        assert len(set(energies)) == len(energies)
        # Nothing lies below the minimum that was stepped away from, but for its imaginary modes.
        if source == "ZIF-8":
            assert min(energies) > get_labels(cell).energy - 0.1
    # What is tried was not learnt.
    learnt = {round(get_labels(atoms).energy, 6) for atoms in frames["learnt-labelled"]}
    assert learnt.isdisjoint(round(get_labels(atoms).energy, 6) for atoms in frames["unseen-labelled"])
    # A run's record and parameters are enough to compare with.
    monkeypatch.chdir(tmp_path)
    for name in prepare.CRYSTALS:
        assert phonopy_mlp_main(["compare", f"reference/{name}", f"reference/{name}", "--mesh", "1", "1", "1"]) == 0
    # Methyl groups turn in the idealised ZIF-8, as the documents say.
    assert results.read_step(tmp_path / "reference" / "zif-8", "force_constants")["imaginary_commensurate_modes"] > 0


def _check_inputs(asked, command, there, models):
    inputs = {
        "sample": lambda: [asked.crystals],
        "label": lambda: asked.frames,
        "finetune": lambda: [*asked.frames, asked.hessians or asked.frames[0]],
        "evaluate": lambda: [*asked.frames, asked.phonons or asked.frames[0], asked.reference or asked.frames[0]],
    }[command]()
    assert {str(path) for path in inputs} <= there
    model = {"finetune": "foundation", "evaluate": "model"}.get(command, "calculator")
    assert getattr(asked, model) in models


def test_where_the_minima_come_from(tmp_path):
    for name, framework in prepare.CRYSTALS.items():
        folder = tmp_path / "reference" / name
        folder.mkdir(parents=True)
        framework.primitive().write(folder / "relaxed.cif")
    for name, make in prepare.list_contents(tmp_path, "minima").items():
        (atoms,) = make()
        assert atoms.info["source"] == name.removesuffix("-minimum").upper()
        assert atoms.info["kind"] == "minimum"


@pytest.fixture
def evaluated(tmp_path):
    """Write evaluations in which each error after is a tenth of the one before."""
    for model, factor in ((results.BEFORE, 1.0), (results.AFTER, 0.1)):
        for place, (evaluation, groups) in enumerate(results.SETS.items(), 1):
            folder = tmp_path / f"{model}-evaluated" / evaluation
            folder.mkdir(parents=True)
            with (folder / "errors.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, ["group", "frames", *results.ERRORS])
                writer.writeheader()
                for group in groups:
                    writer.writerow({"group": group, "frames": 7, **dict.fromkeys(results.ERRORS, factor * place)})
            _write_modes(folder / "model", int(20 * factor), 0.5 - factor)
            _write_modes(tmp_path / "reference" / evaluation, 0, 0.6)
            deviations = {part: {"rmsd": factor} for part in ("full_range", "below_20_THz")}
            record = {"frequencies": {"by_overlap": deviations}}
            (folder / "compare.yaml").write_text(yaml.safe_dump(record))
    return tmp_path


def _write_modes(folder, imaginary, lowest):
    folder.mkdir(parents=True, exist_ok=True)
    modes = {"imaginary_commensurate_modes": imaginary, "lowest_commensurate_frequency": lowest}
    record = {"phonopy_mlp": {"steps": {"force_constants": modes, "relax": {"volume_change": lowest / 10}}}}
    (folder / "phonopy_mlp.yaml").write_text(yaml.safe_dump(record))


def test_the_table(evaluated, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["results.py", str(evaluated)])
    results.main()
    with (evaluated / "table.csv").open() as file:
        rows = {(row["set"], row["quantity"]): row for row in csv.DictReader(file)}
    learnt = rows["ZIF-8 (learnt)", "forces RMSE (meV/A)"]
    assert (learnt["before"], learnt["after"], learnt["after / before"], learnt["frames"]) == ("1", "0.1", "0.1", "7")
    pooled = rows["all eight (known before)", "forces RMSE over forces rms"]
    assert (pooled["before"], pooled["after"], pooled["after / before"]) == ("3", "0.3", "0.1")
    known = rows["UiO-66 (known before)", "stress RMSE (meV/A^3)"]
    assert (known["before"], known["after"]) == ("3", "0.3")
    unseen = [row for (name, _), row in rows.items() if name.startswith("SALEM-2")]
    assert [(row["before"], row["after"], row["GFN1-xTB"]) for row in unseen[5:]] == [
        ("20", "2", "0"),
        ("-0.5", "0.4", "0.6"),
        ("-5", "4", ""),
        ("1", "0.1", ""),
        ("1", "0.1", ""),
    ]
    assert (evaluated / "table.png").read_bytes().startswith(b"\x89PNG")


def test_modes_that_cannot_be_paired_are_left_out_of_the_table(evaluated, monkeypatch):
    (evaluated / "mini-zif8-evaluated" / "salem-2" / "compare.yaml").unlink()
    monkeypatch.setattr(sys, "argv", ["results.py", str(evaluated)])
    results.main()
    with (evaluated / "table.csv").open() as file:
        *_, modes, _, paired, _ = [row for row in csv.DictReader(file) if row["set"].startswith("SALEM-2")]
    assert (modes["before"], modes["after"]) == ("-0.5", "0.4")
    assert (paired["before"], paired["after"]) == ("1", "")
