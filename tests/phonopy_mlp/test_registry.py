import subprocess
import sys

import pytest
from ase.calculators.emt import EMT

from phonopy_mlp.errors import CalculatorError
from phonopy_mlp.registry import calculator_names, describe, find_calculator, get_calculator, is_model_file

CATALOGUE = """
def offer():
    return {"copper-twice": make, "emt": None}


def make(*, device, dtype):
    from ase.calculators.emt import EMT

    return EMT()


def fail():
    raise OSError("disk gone")
"""


@pytest.fixture
def add_catalogue(tmp_path, monkeypatch):
    """Function that installs a catalogue of calculators, by the name of what reads it."""

    def add(function):
        module = f"catalogue_that_may_{function}"
        (tmp_path / f"{module}.py").write_text(CATALOGUE)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[phonopy_mlp.catalogues]\n{function} = {module}:{function}\n")
        monkeypatch.syspath_prepend(tmp_path)

    return add


def test_names_come_from_entry_points(registered):
    assert {"emt", "broken", "copper-only"} <= set(calculator_names())


def test_a_name_gives_its_calculator(registered):
    assert isinstance(get_calculator("emt"), EMT)


def test_a_model_file_is_opened_by_its_suffix(registered, tmp_path):
    path = tmp_path / "mine.model"
    path.write_text("emt")
    assert isinstance(get_calculator(str(path)), EMT)


def test_an_unknown_name_suggests_the_close_one(registered):
    with pytest.raises(CalculatorError, match="Did you mean copper-only"):
        get_calculator("cooper-only")


def test_a_factory_that_fails_keeps_its_reason_and_cause(registered):
    with pytest.raises(
        CalculatorError, match=r"no such device: cuda\. The calculator comes from '.*:broken'"
    ) as caught:
        get_calculator("broken", device="cuda")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_clear_error_of_a_factory_is_all_that_is_said(registered):
    with pytest.raises(CalculatorError) as caught:
        get_calculator("clear")
    expected = "Calculator 'clear' could not be made: Device abacus was asked for. There is none. Use cpu."
    assert str(caught.value) == expected


def test_a_head_is_refused_by_a_calculator_without_heads(registered):
    with pytest.raises(CalculatorError, match="no heads"):
        get_calculator("emt", head="pbe")


def test_a_file_that_is_no_model_is_refused(registered, tmp_path):
    path = tmp_path / "page.model"
    path.write_text("<html>")
    with pytest.raises(CalculatorError, match="not a model file"):
        get_calculator(str(path))


@pytest.mark.parametrize(
    ("word", "expected"), [("a.model", True), ("b.safetensors", True), ("c.json", True), ("d.cif", False)]
)
def test_model_files_are_known_by_suffix(word, expected):
    assert is_model_file(word) is expected


def test_a_calculator_without_description_has_a_name():
    assert describe(EMT()) == {"name": "emt"}


def test_a_catalogue_adds_names_that_are_known_at_run_time_alone(registered, add_catalogue):
    assert "copper-twice" not in calculator_names()
    add_catalogue("offer")
    assert {"copper-twice", "emt", "copper-only"} <= set(calculator_names())
    assert isinstance(get_calculator("copper-twice"), EMT)
    assert find_calculator("copper-twice").value == "catalogue_that_may_offer:offer"
    assert isinstance(get_calculator("emt"), EMT)  # not that of the catalogue
    with pytest.raises(CalculatorError, match="Did you mean copper-twice"):
        get_calculator("coper-twice")


def test_a_catalogue_that_fails_is_warned_of_and_in_nobodys_way(registered, add_catalogue):
    add_catalogue("fail")
    with pytest.warns(UserWarning, match="catalogue_that_may_fail:fail' failed: OSError: disk gone"):
        assert "emt" in calculator_names()
    assert isinstance(get_calculator("emt"), EMT)
    with pytest.warns(UserWarning, match="disk gone"), pytest.raises(CalculatorError, match="Unknown calculator"):
        get_calculator("copper-twice")


def test_names_are_listed_without_torch():
    code = "import sys; from phonopy_mlp import registry; registry.calculator_names(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
