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
    assert len(replay) == len(prepare.FRAMEWORKS) * prepare.REPLAYED
    assert len(old) == len(prepare.FRAMEWORKS) * prepare.KEPT_BACK
    assert {atoms.info["source"] for atoms in replay} == {atoms.info["source"] for atoms in old}
    energies = [get_labels(atoms).energy for atoms in [*replay, *old]]
    assert len(set(energies)) == len(energies)
    for atoms in [*replay[::20], *old[::8]]:
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
printf '%s\\t' {name} "$@" >> "{log}"
echo >> "{log}"
while [ $# -gt 1 ]; do
    [ "$1" != -o ] || touch "$2"
    shift
done
"""
"""Says what it was called with, and writes its output."""


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_each_command_reads_what_is_there_by_then(tmp_path, monkeypatch, capsys):
    log, programs, work = tmp_path / "log", tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    for name in ("mace-mof", "phonopy-mlp", "python"):
        (programs / name).write_text(PROGRAM.format(name=name, log=log))
        (programs / name).chmod(0o755)
    there = {f"{name}.extxyz" for name in prepare.list_contents(work, "crystals")}
    for name in there:
        (work / name).touch()
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", SCRIPTS / "run.sh", work], env=environment, check=True)
    (_, *first), *commands, (_, *last) = (line.split("\t")[:-1] for line in log.read_text().splitlines())
    assert first == [str(SCRIPTS / "prepare.py"), str(work), "crystals"]
    assert last == [str(SCRIPTS / "results.py"), "."]
    models = {"mini", "gfn1-xtb"}
    monkeypatch.chdir(programs)
    for program, *words in commands:
        if program == "phonopy-mlp":
            (crystal,) = {word for word in words if word.endswith(".extxyz")}
            assert crystal.removeprefix("../../") in there
            assert phonopy_mlp_main(words) == 2
            assert f"Structure file '{crystal}' was not found" in capsys.readouterr().err
            there.add(f"reference/{Path(crystal).stem}")
        elif program == "python":
            assert words == [str(SCRIPTS / "prepare.py"), ".", "minima"]
            assert {f"reference/{name}" for name in prepare.CRYSTALS} <= there
            there |= {f"{name}.extxyz" for name in prepare.list_contents(work, "minima")}
        else:
            asked = _make_parser().parse_args(words)
            there.add("hessians.extxyz" if (work / "hessians.extxyz").exists() else "")
            _check_inputs(asked, words[0], there, models)
            if words[0] == "finetune":
                models.add(asked.name)
            else:
                there.add(str(asked.output))
    evaluated = {f"{model}-evaluated/{name}" for model in (results.BEFORE, results.AFTER) for name in results.SETS}
    assert evaluated <= there


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
    record = {"steps": {"force_constants": modes}}
    (folder / "phonopy_mlp.yaml").write_text(yaml.safe_dump(record))


def test_the_table(evaluated, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["results.py", str(evaluated)])
    results.main()
    with (evaluated / "table.csv").open() as file:
        rows = {(row["set"], row["quantity"]): row for row in csv.DictReader(file)}
    learnt = rows["ZIF-8 (learnt)", "forces RMSE (meV/A)"]
    assert (learnt["before"], learnt["after"], learnt["frames"]) == ("1", "0.1", "7")
    known = rows["UiO-66 (known before)", "stress RMSE (meV/A^3)"]
    assert (known["before"], known["after"]) == ("3", "0.3")
    unseen = [row for (name, _), row in rows.items() if name.startswith("SALEM-2")]
    assert [(row["before"], row["after"], row["GFN1-xTB"]) for row in unseen[4:]] == [
        ("20", "2", "0"),
        ("-0.5", "0.4", "0.6"),
        ("1", "0.1", ""),
        ("1", "0.1", ""),
    ]
    assert (evaluated / "table.png").read_bytes().startswith(b"\x89PNG")
