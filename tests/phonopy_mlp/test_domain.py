"""Structures outside of what a calculator was made for, on the command line."""

from pathlib import Path

import pytest
import yaml
from ase.build import bulk
from ase.io import write

from phonopy_mlp.cli.main import main


@pytest.fixture(autouse=True)
def _place(registered, workdir):
    write("near.cif", bulk("Cu", a=3.5, cubic=True))


def command(line: str) -> int:
    return main(line.split())


def record(line: str) -> dict:
    name = line.split()[0]
    path = "phonopy_mlp.yaml" if name == "run" else f"phonopy_mlp-{name}.yaml"
    with open(path) as file:  # noqa: PTH123
        return yaml.safe_load(file)["phonopy_mlp"]


@pytest.mark.parametrize("line", ["run --dim 2 2 2 --mesh 3 3 3", "eos --eos-strain 0.08"])
def test_a_finding_is_a_warning_and_in_the_record(line, capfd):
    assert command(f"{line} --mlp choosy near.cif") == 0
    assert "Warning: Atoms 0 and 1 are too close." in capfd.readouterr().err
    found = record(line)
    assert found["domain"]["checked"] == ["contact"]
    assert found["domain"]["findings"] == [
        {"kind": "contact", "atoms": [0, 1], "message": "Atoms 0 and 1 are too close."}
    ]
    assert "Atoms 0 and 1 are too close." in found["warnings"]


@pytest.mark.parametrize("line", ["run --dim 2 2 2 --mesh 3 3 3", "eos --eos-strain 0.08"])
def test_strict_makes_it_an_error_of_one_sentence(line, capfd):
    assert command(f"{line} --mlp choosy near.cif --strict") == 2
    error = capfd.readouterr().err
    assert "outside of what the model was trained on: Atoms 0 and 1 are too close. Leave out --strict" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("name", ["run", "committee"])
def test_the_other_models_of_a_committee_are_asked_before_any_of_them_computes(name, capfd):
    line = f"{name} --mlp emt --committee twice,choosy near.cif --dim 1 1 1 --mesh 3 3 3 --tmax 0"
    assert command(f"{line} --strict") == 2
    assert "choosy: Atoms 0 and 1 are too close. Leave out --strict" in capfd.readouterr().err
    assert not Path("committee.yaml").exists()
    assert command(line) == 0
    assert "Warning: choosy: Atoms 0 and 1 are too close." in capfd.readouterr().err
    found = record(name)["domain"]
    assert (found["checked"], found["findings"]) == ([], [])
    assert list(found["others"]) == ["choosy"]
    assert found["others"]["choosy"]["findings"][0]["atoms"] == [0, 1]


def test_the_structure_that_counts_is_the_relaxed_one(capfd):
    assert command("relax --mlp choosy near.cif --strict") == 0
    assert record("relax")["domain"] == {"checked": ["contact"], "findings": []}
    assert record("relax")["settings"]["strict"]


def test_calculators_that_cannot_tell_say_nothing(capfd):
    assert command("run --mlp emt near.cif --dim 2 2 2 --strict") == 0
    assert record("run")["domain"] is None


def test_a_check_that_fails_is_one_sentence(capfd):
    assert command("run --mlp unsure near.cif --dim 2 2 2") == 2
    error = capfd.readouterr().err
    assert "failed on the check of its domain, Cu4: RuntimeError: the record is of another model" in error
    assert "Traceback" not in error
