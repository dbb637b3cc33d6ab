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
    with pytest.raises(TrainingError, match=r"'modoy'.*Close to it: moody"):
        find_calculator("modoy")
    with pytest.raises(TrainingError, match=r"'zzzzzzz'.*gfn1-xtb"):
        make_calculator("zzzzzzz")
