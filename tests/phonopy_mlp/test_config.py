"""Options from a file, and a run repeated from its own record."""

from pathlib import Path

import pytest
import yaml

from phonopy_mlp.cli.config import expand
from phonopy_mlp.cli.main import main
from phonopy_mlp.errors import SettingsError


@pytest.fixture(autouse=True)
def _place(registered, workdir):
    pass


def settings(text: str) -> str:
    Path("settings.yaml").write_text(text)
    return "settings.yaml"


def test_every_kind_of_option_becomes_words():
    file = settings("""
structure: Cu.cif
mlp: emt
relax: true
symmetrise: false
relax_fmax: 1e-5
dim: [2, 2, 2]
pa: auto
t: true
tmax: 300
amplitude: 0.01
fix_atoms: [1, 2-3]
mesh: 11 11 11
""")
    assert expand(["--mlp-config", file, "--tmax", "100"], "run") == [
        "Cu.cif", "--mlp=emt", "--relax", "--relax-fmax=1e-5", "--dim", "2", "2", "2", "--pa=auto", "-t", "--tmax=300",
        "--amplitude=0.01", "--fix-atoms=1,2-3", "--mesh", "11 11 11", "--tmax", "100",
    ]  # fmt: skip


def test_the_model_of_the_file_stands_unless_the_command_names_another():
    file = settings("mlp: emt")
    assert expand(["--mlp", f"--mlp-config={file}", "Cu.cif"], "run") == ["--mlp=emt", "Cu.cif"]
    assert expand(["--mlp", "Cu.cif", "--mlp-config", file], "run") == ["--mlp=emt", "Cu.cif"]
    assert expand(["--mlp", "failing", "--mlp-config", file], "run") == ["--mlp=emt", "--mlp", "failing"]
    assert expand(["--mlp", "Cu.cif"], "run") == ["--mlp", "Cu.cif"]


BAD = {
    "no file": (None, "No such file"),
    "no YAML": ("a: [", "must be YAML"),
    "no mapping": ("- relax", "not a mapping"),
    "nested": ("relax: {fmax: 1}", "Option 'relax'"),
    "empty": ("relax:", "Option 'relax'"),
    "record without a command": ("phonopy_mlp: {settings: {}}", "does not say the command"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_options_file_is_refused(case, capfd):
    text, message = BAD[case]
    file = "missing.yaml" if text is None else settings(text)
    with pytest.raises(SettingsError, match=message):
        expand(["--mlp-config", file], "run")
    assert main(["run", "--mlp-config", file]) == 2
    assert message in capfd.readouterr().err


def test_an_option_that_does_not_exist_is_named(capfd):
    assert main(["run", "--mlp-config", settings("structure: Cu.cif\nmlp: emt\nrelaxx: true")]) == 2
    assert "--relaxx" in capfd.readouterr().err


def test_the_option_needs_a_file(capfd):
    assert main(["run", "Cu.cif", "--mlp-config"]) == 2
    assert "no file was named" in capfd.readouterr().err


def test_a_run_can_be_repeated_from_its_record(capfd):
    line = "run --mlp emt Cu.cif --relax --dim 2 2 2 --amplitude 0.02 --mesh 5 5 5 -t --tmax 100 --tstep 50"
    assert main(line.split()) == 0
    first = yaml.safe_load(Path("thermal_properties.yaml").read_text())
    Path("thermal_properties.yaml").unlink()
    Path("phonopy_mlp.yaml").rename("record.yaml")
    for name in ("phonopy_params.yaml", "force_constants.hdf5", "relaxed.cif"):
        Path(name).unlink()
    assert main(["run", "--mlp-config", "record.yaml"]) == 0
    again = yaml.safe_load(Path("thermal_properties.yaml").read_text())
    assert again["thermal_properties"] == first["thermal_properties"]
    one, two = (yaml.safe_load(Path(name).read_text())["phonopy_mlp"] for name in ("record.yaml", "phonopy_mlp.yaml"))
    assert one["command"] == two["command"]
    assert one["settings"] == two["settings"]
