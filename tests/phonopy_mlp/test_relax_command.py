"""``phonopy-mlp relax``."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write
from numpy.testing import assert_allclose

from phonopy_mlp.cli.main import main


@pytest.fixture(autouse=True)
def _place(registered, workdir):
    pass


def relax(line: str) -> int:
    return main(["relax", *line.split()])


def record() -> dict:
    return yaml.safe_load(Path("phonopy_mlp-relax.yaml").read_text())["phonopy_mlp"]


@pytest.mark.parametrize("line", ["--mlp emt Cu.cif", "Cu.cif --mlp=emt", "--fix-symmetry Cu.cif --mlp emt"])
def test_the_relaxed_structure_and_its_record_are_written(line, capfd):
    assert relax(line) == 0
    atoms = read("relaxed.cif")
    assert np.abs(EMT().get_stress(atoms)).max() < 1e-7
    step = record()["steps"]["relax"]
    assert step["converged"]
    assert step["space_groups_after"] == ["Fm-3m (225) at 1e-05 A", "Fm-3m (225) at 0.01 A"]
    assert "Relaxed in" in capfd.readouterr().out
    assert sorted(path.name for path in Path().iterdir()) == ["Cu.cif", "phonopy_mlp-relax.yaml", "relaxed.cif"]


def test_space_groups_before_and_after_are_in_the_record(capfd):
    rough = bulk("Cu", cubic=True)
    rough.positions[0] += [1e-3, 2e-3, 3e-3]
    write("rough.cif", rough)
    assert relax("--mlp emt rough.cif") == 0
    step = record()["steps"]["relax"]
    assert step["space_groups_before"] == ["P1 (1) at 1e-05 A", "Fm-3m (225) at 0.01 A"]
    assert step["space_groups_after"] == ["Fm-3m (225) at 1e-05 A", "Fm-3m (225) at 0.01 A"]


def test_options_reach_the_relaxation_and_the_record(capfd):
    assert relax("Cu.cif --mlp emt --pressure 3 --relax-fmax 1e-4 -q") == 0
    assert capfd.readouterr().out == ""
    found = record()
    assert (found["settings"]["relax"]["pressure"], found["settings"]["relax"]["fmax"]) == (3.0, 1e-4)
    assert_allclose(EMT().get_stress(read("relaxed.cif"))[:3], -3.0 / 160.21766, atol=1e-5)


def test_a_run_can_be_repeated_from_its_record(capfd):
    assert relax("Cu.cif --mlp emt --relax-cell constant-volume --symmetrise") == 0
    first = record()
    Path("phonopy_mlp-relax.yaml").rename("record.yaml")
    assert relax("--mlp-config record.yaml") == 0
    assert record()["settings"] == first["settings"]
    assert first["steps"].keys() == {"relax", "symmetrise", "relax_in_symmetry"}


def test_a_negative_pressure_is_a_value_in_any_notation():
    assert relax("Cu.cif --mlp emt --pressure -5e-1 --relax-fmax 1e-4") == 0
    assert record()["settings"]["relax"]["pressure"] == -0.5


BAD = {
    "no structure": ("--mlp emt", "No structure was given"),
    "two structures": ("--mlp Cu.cif Cu.cif", "2 structures"),
    "no such file": ("--mlp emt Ag.cif", "Ag.cif"),
    "not converged": ("--mlp emt Cu.cif --relax-steps 1 --relax-fmax 1e-12", "not reached"),
    "no stress": ("--mlp no-stress Cu.cif", "stress"),
    "pressure": ("--mlp emt Cu.cif --relax-cell fixed --pressure 1", "only a free cell"),
    "atoms": ("--mlp emt Cu.cif --fix-atoms 9", "atoms 0 to 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_and_status_2(case, capfd):
    line, message = BAD[case]
    assert relax(line) == 2
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert sorted(path.name for path in Path().iterdir()) == ["Cu.cif"]


def test_help_lists_the_options(capsys):
    assert main(["relax", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--relax-cell" in out
    assert "--mlp-config" in out
