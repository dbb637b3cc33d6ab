"""MACE + D3 on a stand-in of the same class."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.units import Bohr, Hartree
from tiny_models import FOUNDATION, pack_variant

from mace_mof_calc import GFN1xTB, MaceMOF, MaceMP0bD3, structures
from mace_mof_calc.comparators import DispersionCorrected
from mace_mof_calc.dispersion.calculator import CUTOFF, D3
from mace_mof_calc.errors import DispersionError, MissingExtraError

pytest.importorskip("torch_dftd", reason="torch-dftd is not installed")
from torch_dftd.torch_dftd3_calculator import TorchDFTD3Calculator


@pytest.fixture
def atoms() -> Atoms:
    structure = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    structure.rattle(0.05, seed=1)
    return structure


def test_dispersion_has_the_units_and_the_damping_of_d3_bj() -> None:
    # E = -C6 / (r^6 + f^6) - s8 C8 / (r^8 + f^8), f = a1 sqrt(C8 / C6) + a2, C8 = 3 C6 Q^2 in atomic units.
    # PBE: s8, a1, a2 of Grimme, Ehrlich, Goerigk 2011. Ar: C6 and Q of Grimme et al. 2010.
    s8, a1, a2, c6, q, r = 0.7875, 0.4289, 4.4407, 64.6462, 3.4468, 4.0 / Bohr
    ratio = 3 * q**2
    f = a1 * np.sqrt(ratio) + a2
    expected = -Hartree * c6 * (1 / (r**6 + f**6) + s8 * ratio / (r**8 + f**8))
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 4.0]])
    atoms.calc = D3()
    assert atoms.get_potential_energy() == pytest.approx(expected, rel=1e-5)


def test_sum_is_the_sum(atoms: Atoms) -> None:
    mace, d3 = MaceMOF(FOUNDATION), TorchDFTD3Calculator(damping="bj", xc="pbe", dtype=torch.float64)
    atoms.calc = DispersionCorrected(mace)
    for name, get in (
        ("energy", Atoms.get_potential_energy),
        ("forces", Atoms.get_forces),
        ("stress", Atoms.get_stress),
    ):
        bare = atoms.copy()
        bare.calc = mace
        correction = atoms.copy()
        correction.calc = d3
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Creating a tensor from a list")
            dispersion = get(correction)
        assert np.abs(dispersion).max() > 1e-4
        np.testing.assert_allclose(get(atoms), get(bare) + dispersion, atol=1e-12)
        np.testing.assert_allclose(atoms.calc.results[f"{name}_contributions"][1], dispersion, atol=1e-12)


def test_one_calculation_gives_all_results(atoms: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms.calc = MaceMP0bD3(FOUNDATION)
    calls = []
    for term in (atoms.calc.mace, atoms.calc.d3):
        calculate = term.calculate
        monkeypatch.setattr(term, "calculate", lambda *args, c=calculate: calls.append(c) or c(*args))
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.get_stress()
    assert len(calls) == 2


def test_cutoff_matters_and_is_described(atoms: Atoms) -> None:
    energies = []
    for cutoff in (40 * Bohr, CUTOFF):
        atoms.calc = D3(cutoff=cutoff)
        energies.append(atoms.get_potential_energy())
    assert 1e-5 < energies[0] - energies[1] < 1e-2
    description = MaceMP0bD3(FOUNDATION, device="cpu").describe()
    assert "95 Bohr" in description["dispersion"]
    assert "D3(BJ), PBE" in description["dispersion"]
    assert "torch-dftd" in description["versions"]
    assert description["level_of_theory"].endswith("D3(BJ)")


def test_cutoffs_of_mace_and_torch_dftd_are_6_mev_apart_on_mof5() -> None:
    mof5 = structures.load("MOF-5")
    wide, narrow = (D3(cutoff=radius).get_potential_energy(mof5) for radius in (CUTOFF, 40 * Bohr))
    assert narrow - wide == pytest.approx(6e-3, abs=1e-3)


def test_sum_has_a_name_and_an_order_of_its_own(atoms: Atoms) -> None:
    calculator = MaceMP0bD3(FOUNDATION)
    assert calculator.name == "mace-mp-0b-d3"
    assert calculator.implemented_properties == ["energy", "free_energy", "forces", "stress"]
    assert DispersionCorrected(MaceMOF(FOUNDATION)).name == "mace-mof-d3"


def test_dispersion_is_not_counted_twice(tmp_path: Path) -> None:
    model = pack_variant(tmp_path, 1, level_of_theory="PBE-D3(BJ)", dispersion_included=True)
    with pytest.raises(DispersionError, match=r"variant-1.*PBE-D3\(BJ\)"):
        DispersionCorrected(MaceMOF(model))
    with pytest.raises(DispersionError):
        MaceMP0bD3(model)
    assert MaceMOF(model).describe()["dispersion"] == "in the model (PBE-D3(BJ))"


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [("torch_dftd.torch_dftd3_calculator", D3, "d3"), ("tblite.ase", GFN1xTB, "xtb")],
)
def test_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str, make: type, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "mace-mof-calc\[{extra}\]"'):
        make()
