"""The example frameworks that ship with the package."""

from __future__ import annotations

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from mace_mof_calc import structures
from mace_mof_calc.errors import UnknownStructureError

# Atoms of each element in the primitive cell.
FORMULAS = {
    "MOF-5": {"Zn": 8, "O": 26, "C": 48, "H": 24},
    "UiO-66": {"Zr": 6, "O": 32, "C": 48, "H": 28},
    "MOF-74": {"Zn": 6, "O": 18, "C": 24, "H": 6},
    "MIL-53": {"Al": 2, "O": 10, "C": 16, "H": 10},
    "HKUST-1": {"Cu": 12, "O": 48, "C": 72, "H": 24},
    "Mg-MOF-74": {"Mg": 6, "O": 18, "C": 24, "H": 6},
    "MIL-47(Ti)": {"Ti": 2, "O": 10, "C": 16, "H": 8},
    "DMOF-1": {"Zn": 2, "O": 8, "N": 2, "C": 22, "H": 20},
}


def test_names_are_the_frameworks() -> None:
    assert structures.names() == tuple(sorted(FORMULAS))


@pytest.mark.parametrize("name", FORMULAS)
def test_framework_is_whole_and_bare(name: str) -> None:
    atoms = structures.load(name)
    assert atoms.symbols.formula.count() == FORMULAS[name]
    assert atoms.pbc.all()
    assert atoms.calc is None
    assert atoms.info == {}
    assert set(atoms.arrays) == {"numbers", "positions"}
    assert neighbor_list("d", atoms, 3.0).min() > 0.9


def test_each_call_gives_a_structure_of_its_own() -> None:
    first, second = structures.load("MOF-5"), structures.load("MOF-5")
    first.positions[:] = 0.0
    assert not np.allclose(second.positions, 0.0)


@pytest.mark.parametrize(
    ("name", "remedy"), [("mof-5", "Did you mean MOF-5"), ("UIO66", "UiO-66"), ("quartz", "MIL-53")]
)
def test_unknown_name_suggests_others(name: str, remedy: str) -> None:
    with pytest.raises(UnknownStructureError, match=remedy):
        structures.load(name)
