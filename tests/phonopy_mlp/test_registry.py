import pytest
from ase.calculators.emt import EMT

from phonopy_mlp.errors import CalculatorError
from phonopy_mlp.registry import calculator_names, describe, get_calculator, is_model_file


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
