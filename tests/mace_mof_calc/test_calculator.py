"""What MaceMOF adds to mace's calculator."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator
from tiny_models import FOUNDATION, MULTIHEAD, pack_variant

from mace_mof_calc import MaceMOF, calculator
from mace_mof_calc.calculator import MACECalculator
from mace_mof_calc.errors import (
    CommitteeError,
    DeviceError,
    PrecisionError,
    StructureError,
    UnknownHeadError,
    UnknownModelError,
    UnsupportedElementError,
)
from mace_mof_calc.models.loading import LoadedModel, load


@pytest.fixture
def atoms() -> Atoms:
    structure = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    structure.rattle(0.05, seed=1)
    return structure


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [pack_variant(folder, seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def foundation() -> MaceMOF:
    return MaceMOF(FOUNDATION)


def evaluate(atoms: Atoms, calculator: MaceMOF) -> dict[str, object]:
    atoms = atoms.copy()
    atoms.calc = calculator
    atoms.get_potential_energy()
    return calculator.results


@pytest.mark.parametrize("accelerate", [True, False])
def test_results_are_those_of_mace(atoms: Atoms, accelerate: bool) -> None:
    ours = evaluate(atoms, MaceMOF(MULTIHEAD, device="cpu", accelerate=accelerate))
    module = load(MULTIHEAD).module
    theirs = evaluate(atoms, MACECalculator(models=[module], head="Default", default_dtype="float64"))
    for key in MaceMOF.implemented_properties:
        if accelerate:
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-12, atol=1e-13)
        else:
            np.testing.assert_array_equal(ours[key], theirs[key])


def test_a_committee_is_the_same_with_and_without_acceleration(atoms: Atoms, variants: list[Path]) -> None:
    fast, slow = (evaluate(atoms, MaceMOF(variants, device="cpu", accelerate=on)) for on in (True, False))
    assert set(fast) == set(slow)
    for key, value in slow.items():
        # Variances are differences of what members agree on to many digits.
        np.testing.assert_allclose(fast[key], value, rtol=1e-10 if key.endswith("_var") else 1e-12, atol=1e-13)


def test_is_a_mace_calculator(foundation: MaceMOF) -> None:
    assert isinstance(foundation, MACECalculator)
    assert foundation.name == "mace-mof"


def test_head_decides(atoms: Atoms) -> None:
    tuned, replay = MaceMOF(MULTIHEAD), MaceMOF(MULTIHEAD, head="pt_head")
    assert (tuned.head, replay.head) == ("Default", "pt_head")
    assert evaluate(atoms, tuned)["energy"] != evaluate(atoms, replay)["energy"]


def test_unknown_head_is_an_error_before_mace_can_guess(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UnknownHeadError, match="Default"):
        MaceMOF(MULTIHEAD, head="dft")
    assert not caplog.records


def test_unknown_model_is_an_error() -> None:
    with pytest.raises(UnknownModelError, match="mof0"):
        MaceMOF("mof-0")


def test_unknown_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="no option dispersion"):
        MaceMOF(FOUNDATION, dispersion=True)


def test_float32_computes_in_single_and_returns_double_precision(atoms: Atoms, foundation: MaceMOF) -> None:
    single, double = MaceMOF(FOUNDATION, dtype="float32"), foundation
    results, exact = evaluate(atoms, single), evaluate(atoms, double)
    assert next(single.models[0].parameters()).dtype == torch.float32
    assert results["forces"].dtype == np.float64
    difference = np.abs(results["forces"] - exact["forces"]).max()
    assert 1e-10 < difference < calculator.FORCE_NOISE["float32"]
    assert single.describe()["force_noise"] > double.describe()["force_noise"]
    with pytest.raises(PrecisionError, match="float16"):
        MaceMOF(FOUNDATION, dtype="float16")


def test_default_dtype_of_the_process_is_left_alone(atoms: Atoms, foundation: MaceMOF) -> None:
    evaluate(atoms, foundation)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x"])
def test_device_that_is_not_here_is_an_error(device: str) -> None:
    with pytest.raises(DeviceError, match=device):
        MaceMOF(FOUNDATION, device=device)


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no CUDA device"):
        MaceMOF(FOUNDATION, device="cuda")
    assert str(MaceMOF(FOUNDATION, device="auto").device) == "cpu"


def test_cuda_is_chosen_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from mace_mof_calc.devices import resolve_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cuda:0") == "cuda:0"
    with pytest.raises(DeviceError, match="1 CUDA device"):
        resolve_device("cuda:1")


def test_elements_are_checked_before_any_work(
    atoms: Atoms, foundation: MaceMOF, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foundation, "_atoms_to_batch", lambda _: pytest.fail("work was done"))
    atoms = atoms * (3, 1, 1)
    atoms.symbols[::2] = "Cu"
    atoms.symbols[1] = "Au"
    atoms.calc = foundation
    with pytest.raises(UnsupportedElementError, match=r"Cu \(atoms 0, 2, 4, 6, 8, ... 6 in all\); Au \(atom 1\)"):
        atoms.get_forces()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda atoms: atoms.positions.__setitem__((1, 2), np.inf), "positions of atom 1"),
        (lambda atoms: atoms.cell.__setitem__(2, atoms.cell[0]), "do not span a cell"),
        (lambda atoms: atoms.cell.__setitem__(2, [0, 0, 0]), "do not span a cell"),
        (lambda atoms: atoms.__delitem__(slice(None)), "no atoms"),
    ],
)
def test_structure_that_cannot_be_evaluated_is_refused(atoms: Atoms, foundation: MaceMOF, change, message: str) -> None:
    change(atoms)
    atoms.calc = foundation
    with pytest.raises(StructureError, match=message):
        atoms.get_potential_energy()


def test_no_structure_is_refused(foundation: MaceMOF) -> None:
    with pytest.raises(StructureError, match="No structure"):
        foundation.calculate()


def test_good_structure_after_a_bad_one(atoms: Atoms, foundation: MaceMOF) -> None:
    atoms.calc = foundation
    energy = atoms.get_potential_energy()
    position = atoms.positions[0, 0]
    atoms.positions[0, 0] = np.nan
    with pytest.raises(StructureError):
        atoms.get_potential_energy()
    atoms.positions[0, 0] = position
    assert atoms.get_potential_energy() == energy


def test_slab_has_forces_and_no_stress(foundation: MaceMOF) -> None:
    slab = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    slab.pbc = (True, True, False)
    slab.center(vacuum=4.0, axis=2)
    slab.calc = foundation
    cell = slab.cell.array.copy()
    assert np.abs(slab.get_forces()[:, 2]).max() > 1e-3
    np.testing.assert_array_equal(slab.cell.array, cell)
    with pytest.raises(PropertyNotImplementedError):
        slab.get_stress()


def test_results_are_what_ase_knows(atoms: Atoms, foundation: MaceMOF) -> None:
    results = evaluate(atoms, foundation)
    frozen = SinglePointCalculator(atoms, **results)
    assert frozen.get_potential_energy() == results["energy"]


def test_info_does_not_trigger_a_calculation(atoms: Atoms, foundation: MaceMOF) -> None:
    atoms.calc = foundation
    atoms.get_forces()
    before = atoms.calc.results
    atoms.info["step"] = [np.zeros(3)]
    atoms.get_forces()
    assert atoms.calc.results is before
    atoms.positions[0, 0] += 0.01
    atoms.get_forces()
    assert atoms.calc.results is not before


def test_settings_are_final_and_rebuild_the_calculator(atoms: Atoms) -> None:
    calc = MaceMOF(str(MULTIHEAD), head="pt_head", dtype="float32")
    settings = calc.todict()
    assert settings == {"model": str(MULTIHEAD), "head": "pt_head", "dtype": "float32"}
    assert evaluate(atoms, MaceMOF(**settings))["energy"] == evaluate(atoms, calc)["energy"]
    with pytest.raises(TypeError, match="final"):
        calc.set(dtype="float64")


def test_hessian_of_mace_is_there(atoms: Atoms, foundation: MaceMOF) -> None:
    hessian = foundation.get_hessian(atoms).reshape(3 * len(atoms), -1)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-10)


def test_logging_and_environment_are_left_alone() -> None:
    code = f"""
import logging, os
from mace_mof_calc import MaceMOF
MaceMOF({str(FOUNDATION)!r})
print(logging.root.handlers, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" in os.environ)
"""
    environment = {key: value for key, value in os.environ.items() if key != "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("[] False\n", "")


def test_handlers_of_the_program_stay(caplog: pytest.LogCaptureFixture) -> None:
    handlers = list(logging.root.handlers)
    MaceMOF(FOUNDATION)
    assert logging.root.handlers == handlers
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_description_of_a_registered_model_is_that_of_its_card(variants: list[Path]) -> None:
    description = MaceMOF(variants[0], device="cpu").describe()
    card = load(variants[0]).card
    assert description["name"] == card.name
    assert description["digest"] == card.digest
    assert description["elements"] == ("H", "C", "O", "Zn")
    assert description["level_of_theory"] == "LJ"
    assert description["dispersion"] is None
    assert (description["device"], description["dtype"], description["head"]) == ("cpu", "float64", "default")


def test_committee_averages_and_gives_the_variance(atoms: Atoms, variants: list[Path]) -> None:
    committee = MaceMOF(variants)
    results = evaluate(atoms, committee)
    members = [evaluate(atoms, MaceMOF(path)) for path in variants]
    for key in ("energy", "energies", "forces", "stress"):
        each = np.array([member[key] for member in members])
        np.testing.assert_allclose(results[key], each.mean(axis=0), atol=1e-12)
    for key in ("energy", "forces"):
        each = np.array([member[key] for member in members])
        np.testing.assert_allclose(results[f"{key}_comm"], each, atol=1e-12)
        np.testing.assert_allclose(results[f"{key}_var"], each.var(axis=0), atol=1e-12)
        assert np.max(results[f"{key}_var"]) > 1e-12
    assert results["stress_comm"].shape == (3, 3, 3)
    assert results["stress_var"].shape == (3, 3)
    assert results["energy_var"] == committee.get_property("energy_var")
    assert set(committee.implemented_properties) == set(results)


def test_committee_is_described_with_its_members(variants: list[Path]) -> None:
    description = MaceMOF(variants[:2]).describe()
    assert description["name"] == "committee of variant-1 and variant-2"
    assert [member["name"] for member in description["members"]] == ["variant-1", "variant-2"]
    assert description["digest"] != MaceMOF(variants[1:]).describe()["digest"]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"elements": ("H", "C")}, "elements"),
        ({"r_max": 5.0}, "cutoffs"),
        ({"heads": ("Default", "other")}, "heads"),
    ],
)
def test_models_that_are_not_alike_are_no_committee(
    variants: list[Path], monkeypatch: pytest.MonkeyPatch, change: dict[str, object], difference: str
) -> None:
    def load_altered(model: Path, **options: object) -> LoadedModel:
        loaded = load(model, **options)
        return loaded if model == variants[0] else dataclasses.replace(loaded, **change)

    monkeypatch.setattr(calculator, "load", load_altered)
    with pytest.raises(CommitteeError, match=f"variant-1, variant-2 differ in their {difference}"):
        MaceMOF(variants[:2])


def test_levels_of_theory_do_not_mix(variants: list[Path], tmp_path: Path) -> None:
    other = pack_variant(tmp_path, 4, level_of_theory="PBE")
    with pytest.raises(CommitteeError, match="levels of theory"):
        MaceMOF([variants[0], other])


def test_empty_committee_is_refused() -> None:
    with pytest.raises(CommitteeError, match="No model"):
        MaceMOF([])


def test_molecule_works(foundation: MaceMOF) -> None:
    atoms = molecule("CH3OH")
    atoms.calc = foundation
    assert np.isfinite(atoms.get_forces()).all()
