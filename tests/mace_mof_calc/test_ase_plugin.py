"""Both ways in which ASE finds the calculators, and that neither loads PyTorch or can break ASE."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ase._4.plugins import PluginCollection
from ase.calculators.calculator import get_calculator_class

from mace_mof_calc import GFN1xTB, MaceMOF, MaceMP0bD3, ase_plugin

CLASSES = {"mace-mof": MaceMOF, "mace-mp-0b-d3": MaceMP0bD3, "gfn1-xtb": GFN1xTB}


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_ase_info_lists_the_calculators() -> None:
    listing = subprocess.run(
        [sys.executable, "-m", "ase", "info", "--plugins"], check=True, capture_output=True, text=True
    ).stdout
    ours = listing[listing.index("mace_mof_calc") :]
    assert all(name in ours for name in CLASSES)


@pytest.mark.parametrize("first", ["import mace_mof_calc", "import mace_mof_calc.ase_plugin", "import ase._4.plugins"])
def test_plugins_are_complete_and_light_whatever_is_imported_first(first: str) -> None:
    code = f"{first}; import sys; from ase._4.plugins import plugins; "
    names = run_python(
        code + "print(*sorted(p.name for p in plugins.by_package['mace_mof_calc']), 'torch' in sys.modules)"
    )
    assert names.split() == [*sorted(CLASSES), "False"]


@pytest.mark.parametrize("name", CLASSES)
def test_plugin_gives_the_class(name: str) -> None:
    (plugin,) = (plugin for plugin in PluginCollection.from_entry_points().calculators if plugin.name == name)
    assert plugin.implementation is CLASSES[name]
    assert plugin.citation


def test_importing_the_package_is_light() -> None:
    heavy = run_python("import sys, mace_mof_calc; print({'torch', 'mace', 'tblite', 'torch_dftd'} & set(sys.modules))")
    assert heavy == "set()"


def test_gfn1_does_not_load_torch() -> None:
    pytest.importorskip("tblite", reason="tblite is not installed")
    assert (
        run_python("import sys; from mace_mof_calc import GFN1xTB; GFN1xTB(); print('torch' in sys.modules)") == "False"
    )


@pytest.mark.parametrize("name", CLASSES)
def test_ase_looks_the_class_up(name: str) -> None:
    found = get_calculator_class(name)
    assert found.implemented_properties == CLASSES[name].implemented_properties
    assert issubclass(CLASSES[name], found)
    assert found.__name__ == CLASSES[name].__name__


def test_class_that_ase_looked_up_makes_calculators() -> None:
    pytest.importorskip("tblite", reason="tblite is not installed")
    found = get_calculator_class("gfn1-xtb")
    calculator = found(accuracy=0.1)
    assert type(calculator) is GFN1xTB
    assert isinstance(calculator, found)
    assert calculator.parameters["accuracy"] == 0.1
    assert calculator.name == "gfn1-xtb"


def test_name_that_is_taken_stays_with_its_owner() -> None:
    code = """
from ase.calculators.calculator import get_calculator_class, register_calculator_class
from ase.calculators.emt import EMT
register_calculator_class("mace-mof", EMT)
import mace_mof_calc
print(get_calculator_class("mace-mof") is EMT, get_calculator_class("gfn1-xtb").__name__)
"""
    assert run_python(code) == "True GFN1xTB"


def test_registering_twice_changes_nothing() -> None:
    found = get_calculator_class("mace-mof")
    ase_plugin.register_calculators()
    assert get_calculator_class("mace-mof") is found


@pytest.mark.parametrize("broken", ["ase._4.plugins.plugin", "ase._4"])
def test_ase_without_plugins_is_no_error(broken: str) -> None:
    code = f"import sys; sys.modules[{broken!r}] = None; from mace_mof_calc import ase_plugin; "
    assert run_python(code + "print(set(ase_plugin.__ase_plugins__))") == "set()"


def test_ase_that_takes_no_classes_is_no_error() -> None:
    code = """
import ase.calculators.calculator
del ase.calculators.calculator.register_calculator_class
import mace_mof_calc
print(mace_mof_calc.__version__ != "")
"""
    assert run_python(code) == "True"


def test_unknown_attributes_are_errors() -> None:
    import mace_mof_calc

    with pytest.raises(AttributeError, match="no attribute 'MaceMOFF'"):
        _ = mace_mof_calc.MaceMOFF
    with pytest.raises(AttributeError, match="no attribute 'plugins'"):
        _ = ase_plugin.plugins
    assert {"MaceMOF", "MaceMP0bD3", "GFN1xTB"} <= set(dir(mace_mof_calc))
