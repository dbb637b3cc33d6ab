"""``phonopy-mlp committee``, and the same as an option of a run."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import write
from numpy.testing import assert_allclose

from phonopy_mlp.cli.main import main

SAMPLING = "--dim 2 2 2 --mesh 3 3 3 --tmax 300 --tstep 150"


@pytest.fixture(autouse=True)
def _place(registered, workdir):
    write("Cu.cif", bulk("Cu"))


def command(line: str) -> int:
    return main(line.split())


def record(name: str) -> dict:
    return yaml.safe_load(Path(name).read_text())["phonopy_mlp"]


@pytest.mark.parametrize("models", ["--mlp emt --committee twice", "--mlp both"])
def test_two_models_are_a_difference(models, capfd):
    assert command(f"committee {models} Cu.cif {SAMPLING}") == 0
    content = yaml.safe_load(Path("committee.yaml").read_text())
    assert content["spread"] == "difference"
    for row in content["frequencies"]:
        first, second = row["members"]
        assert_allclose(second, np.sqrt(2) * np.array(first), rtol=1e-4)
        assert_allclose(row["difference"], np.subtract(second, first), atol=1e-9)
    assert {"committee_bands.dat", "committee_dos.dat", "committee_thermal.dat", "committee.png"} <= {
        path.name for path in Path().iterdir()
    }
    out = capfd.readouterr().out
    assert "2 models (emt, stretched)" in out
    assert "standard deviation" not in out
    assert not Path("phonopy_mlp_unfinished").exists()
    assert record("phonopy_mlp-committee.yaml")["steps"]["committee"]["spread"] == "difference"


def test_bulk_modulus_and_expansion_on_request():
    line = f"committee --mlp emt --committee twice,emt Cu.cif {SAMPLING} --committee-eos --committee-qha"
    assert command(line) == 0
    step = record("phonopy_mlp-committee.yaml")["steps"]["committee"]
    assert step["spread"] == "standard_deviation"
    first, second, third = step["bulk_modulus"]["members"]
    assert (second / first, third / first) == pytest.approx((2, 1), rel=1e-4)
    heads = Path("committee_expansion.dat").read_text().splitlines()[1]
    assert "alpha_V_1/K:standard_deviation" in heads
    assert np.loadtxt("committee_expansion.dat").shape == (3, 1 + 3 * 5)


def test_as_a_step_of_a_run_and_again_from_its_record(capfd):
    assert command(f"run --mlp emt Cu.cif {SAMPLING} --relax --committee twice") == 0
    first = record("phonopy_mlp.yaml")
    assert list(first["steps"]) == ["relax", "force_constants", "phonopy", "committee"]
    shutil.copy("phonopy_mlp.yaml", "record.yaml")
    assert command("run --mlp-config record.yaml") == 0
    assert record("phonopy_mlp.yaml")["settings"]["steps"] == first["settings"]["steps"]


BAD_LINES = {
    "alone": ("committee --mlp emt Cu.cif --dim 2 2 2", "A committee of one model"),
    "unknown": ("committee --mlp emt --committee emp Cu.cif --dim 2 2 2", "Unknown calculator 'emp'"),
    "no step": ("run --mlp emt Cu.cif --committee-eos", "--committee-eos without --committee"),
    "one atom": ("committee --mlp emt --committee twice Cu.cif --dim 1 1 1 --mesh 3 3 3", "A supercell of one atom"),
    "temperatures": ("committee --mlp emt --committee twice Cu.cif --committee-qha --tmin 10", "ascend from 0 K"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_bad_input_is_one_message(case, capfd):
    line, message = BAD_LINES[case]
    assert command(line) == 2
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
