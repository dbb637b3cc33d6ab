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

sys.path.insert(0, str(Path(__file__).parents[2] / "training" / "zif8"))
import prepare
import tabulate

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
    assert len(replay) == 4 * prepare.REPLAYED
    assert len(old) == 4 * prepare.KEPT_BACK
    assert {atoms.info["source"] for atoms in replay} == {atoms.info["source"] for atoms in old}
    names = [atoms.info["name"] for atoms in [*replay, *old]]
    assert len(set(names)) == len(names)
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


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_each_command_reads_what_is_there_by_then(tmp_path):
    log, programs = tmp_path / "log", tmp_path / "bin"
    programs.mkdir()
    for name in ("mace-mof", "python"):
        (programs / name).write_text(f'#!/bin/sh\nprintf "%s\\t" {name} "$@" >> "{log}"\necho >> "{log}"\n')
        (programs / name).chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", SCRIPTS / "run.sh", work], env=environment, check=True)
    (_, *first), *commands, (_, *last) = (line.split("\t")[:-1] for line in log.read_text().splitlines())
    assert first == [str(SCRIPTS / "prepare.py"), str(work)]
    assert last == [str(SCRIPTS / "tabulate.py"), "."]
    there = {"zif-8.extxyz", "salem-2.extxyz", "replay.extxyz", "old.extxyz"}
    models = {"mini", "gfn1-xtb"}
    for program, *words in commands:
        assert program == "mace-mof"
        asked = _make_parser().parse_args(words)
        read = {"sample": ["crystals"], "label": ["frames"], "finetune": ["frames"], "evaluate": ["frames"]}[words[0]]
        inputs = [path for name in read for path in _as_list(getattr(asked, name))]
        inputs += [asked.phonons] if words[0] == "evaluate" and asked.phonons else []
        assert {str(path) for path in inputs} <= there
        if words[0] == "finetune":
            assert asked.foundation in models
            models.add(asked.name)
            there.add(f"{asked.name}/test.extxyz")
        elif words[0] == "evaluate":
            assert asked.model in models
            assert asked.reference in {None, "gfn1-xtb", *there}
            there.add(f"{asked.output}/reference")
        else:
            assert asked.calculator in models
            there.add(str(asked.output))
    assert {asked.split("/")[0] for asked in there if "evaluated" in asked} == {
        f"{model}-evaluated" for model in (tabulate.BEFORE, tabulate.AFTER)
    }


def _as_list(value):
    return value if isinstance(value, list) else [value]


@pytest.fixture
def evaluated(tmp_path):
    """Write evaluations in which each error after is a tenth of the one before."""
    for model, factor in ((tabulate.BEFORE, 1.0), (tabulate.AFTER, 0.1)):
        for place, (evaluation, groups) in enumerate(tabulate.SETS.items(), 1):
            folder = tmp_path / f"{model}-evaluated" / evaluation
            folder.mkdir(parents=True)
            with (folder / "errors.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, ["group", "frames", *tabulate.ERRORS])
                writer.writeheader()
                for group in groups:
                    writer.writerow({"group": group, "frames": 7, **dict.fromkeys(tabulate.ERRORS, factor * place)})
            for run, imaginary in (("model", 20 * factor), ("reference", 0)):
                (folder / run).mkdir()
                modes = {"imaginary_commensurate_modes": int(imaginary), "lowest_commensurate_frequency": 0.5 - factor}
                record = {"steps": {"force_constants": modes}}
                (folder / run / "phonopy_mlp.yaml").write_text(yaml.safe_dump(record))
            deviations = {part: {"rmsd": factor} for part in ("full_range", "below_20_THz")}
            record = {"frequencies": {"by_overlap": deviations}}
            (folder / "compare.yaml").write_text(yaml.safe_dump(record))
    return tmp_path


def test_the_table(evaluated, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tabulate.py", str(evaluated)])
    tabulate.main()
    with (evaluated / "table.csv").open() as file:
        rows = {(row["set"], row["quantity"]): row for row in csv.DictReader(file)}
    learnt = rows["ZIF-8 (learnt)", "forces RMSE (meV/A)"]
    assert (learnt["before"], learnt["after"], learnt["frames"]) == ("1", "0.1", "7")
    known = rows["UiO-66 (known before)", "stress RMSE (meV/A^3)"]
    assert (known["before"], known["after"]) == ("3", "0.3")
    unseen = [row for (name, _), row in rows.items() if name.startswith("SALEM-2")]
    assert [(row["before"], row["after"], row["GFN1-xTB"]) for row in unseen[4:]] == [
        ("20", "2", "0"),
        ("-0.5", "0.4", "-0.5"),
        ("1", "0.1", ""),
        ("1", "0.1", ""),
    ]
    assert (evaluated / "table.png").read_bytes().startswith(b"\x89PNG")
