"""Calculators by name."""

import labellers
import pytest
from labellers import Moody

from mace_mof_calc.calculator import MaceMOF
from mace_mof_calc.errors import TrainingError
from mace_mof_calc.training.calculators import find_calculator, make_calculator


def test_any_entry_point_or_model_file(tmp_path, monkeypatch, tiny_packed):
    labellers.register(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(make_calculator("moody"), Moody)
    made = make_calculator(str(tiny_packed), device="cpu", dtype="float32")
    assert isinstance(made, MaceMOF)
    assert made.describe()["dtype"] == "float32"
    with pytest.raises(TrainingError, match=r"'modoy'.*Did you mean moody"):
        find_calculator("modoy")
    with pytest.raises(TrainingError, match=r"'zzzzzzz'.*gfn1-xtb"):
        make_calculator("zzzzzzz")


def test_a_head_is_handed_on_where_there_are_heads(tmp_path, monkeypatch, multihead_file):
    assert make_calculator(str(multihead_file), head="pt_head").loaded[0].head == "pt_head"
    labellers.register(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(TrainingError, match=r"'pt_head' of 'moody' was asked for\. It has no heads"):
        make_calculator("moody", head="pt_head")
