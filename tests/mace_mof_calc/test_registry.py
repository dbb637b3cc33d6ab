"""The factories behind the entry points."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from mace_mof_calc import GFN1xTB, MaceMOF, registry
from mace_mof_calc.errors import DeviceError, PrecisionError, UnknownHeadError

STANDINS = Path(__file__).parent / "standins"
NAMES = {"mof0", "mof0-v2", "mini", "mp-0b", "mp-0b-d3", "gfn1-xtb"}


def test_entry_points_name_the_factories() -> None:
    found = {point.name: point.load() for point in entry_points(group="phonopy_mlp.calculators")}
    assert set(found) >= NAMES
    for name in NAMES:
        assert found[name] is getattr(registry, name.replace("-", "_"))


@pytest.mark.parametrize("suffix", ["model", "safetensors", "json"])
def test_model_files_have_a_factory(suffix: str) -> None:
    (point,) = entry_points(group="phonopy_mlp.model_files", name=suffix)
    assert point.load() is registry.from_file


def test_importing_the_registry_is_light() -> None:
    code = "import sys; import mace_mof_calc.registry; print({'torch', 'mace', 'tblite'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"


def test_each_call_makes_a_calculator_of_its_own() -> None:
    first, second = registry.mini(), registry.mini()
    assert isinstance(first, MaceMOF)
    assert first is not second
    assert first.describe()["name"] == "mini"


def test_file_with_heads_takes_a_head() -> None:
    path = STANDINS / "multihead-0.3.8.model"
    assert registry.from_file(path, device="cpu").describe()["head"] == "Default"
    assert registry.from_file(str(path), head="pt_head").describe()["head"] == "pt_head"
    with pytest.raises(UnknownHeadError, match="pt_head"):
        registry.from_file(path, head="dft")


def test_gfn1_runs_on_the_cpu_in_double_precision_only() -> None:
    pytest.importorskip("tblite", reason="tblite is not installed")
    assert isinstance(registry.gfn1_xtb(device="cpu"), GFN1xTB)
    with pytest.raises(DeviceError, match="CPU only"):
        registry.gfn1_xtb(device="cuda")
    with pytest.raises(PrecisionError, match="float64 only"):
        registry.gfn1_xtb(dtype="float32")


@pytest.mark.parametrize("name", ["mof0", "mof0-v2", "mp-0b", "mp-0b-d3"])
def test_published_models_are_asked_for_by_their_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Asked(Exception):
        pass

    def load(model: str, **options: object) -> None:
        asked.append((model, options))
        raise Asked

    monkeypatch.setattr("mace_mof_calc.calculator.load", load)
    with pytest.raises(Asked):
        getattr(registry, name.replace("-", "_"))(device="cpu", dtype="float32", head="Default")
    options = {"device": "cpu", "dtype": "float32", "head": "Default", "trust": False}
    assert asked == [(name.removesuffix("-d3"), options)]
