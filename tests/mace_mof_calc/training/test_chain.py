"""The steps one after the other, each reading what the one before has written, as a user calls them."""

import csv

import numpy as np
import pytest

from mace_mof_calc import MaceMOF, structures
from mace_mof_calc.cli import main
from mace_mof_calc.frames import read_frames
from mace_mof_calc.models.own import MODELS_VARIABLE
from mace_mof_calc.training.curate import curation
from mace_mof_calc.training.curate.pores import PoreDiameters


def mace_mof(line):
    assert main(line.split()) == 0, line


def test_from_crystals_to_a_model_that_is_found_by_name(tmp_path, tiny_packed, monkeypatch):
    """`mini` is what labels, and the model that learns from it starts from nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    monkeypatch.setattr(curation, "compute_pore_diameters", lambda atoms: PoreDiameters(5.0, 6.0))
    (tmp_path / "cifs").mkdir()
    for name in ("MIL-53", "MOF-74"):
        structures.load(name).write(tmp_path / "cifs" / f"{name}.cif")
    mace_mof(f"curate cifs -o crystals.extxyz --model {tiny_packed} --elements Al Zn C O H --count 2")
    mace_mof("sample crystals.extxyz -o sampled.extxyz --calculator mini --as-given --kind rattle --rattle-frames 10")
    mace_mof("label sampled.extxyz -o labelled.extxyz --calculator mini --workers 1")
    mace_mof(
        "finetune labelled.extxyz --name own --foundation none --epochs 2 --batch 2 --level-of-theory mini "
        "--channels 4 --cutoff 3.5 --layers 1 --correlation 2 --device cpu"
    )
    mace_mof("evaluate own/test.extxyz --model own -o evaluated")

    assert {atoms.info["source"] for atoms in read_frames("labelled.extxyz")} == {"MIL-53", "MOF-74"}
    with (tmp_path / "own" / "curves.csv").open() as file:
        first, *_, last = (float(row["forces_rmse_meV_per_A"]) for row in csv.DictReader(file))
    assert last < first
    with (tmp_path / "evaluated" / "errors.csv").open() as file:
        row = next(csv.DictReader(file))
    # What the table says is what the model gives, which is found by its name.
    frames, model = read_frames("own/test.extxyz"), MaceMOF("own")
    assert int(row["frames"]) == len(frames) > 0
    errors = np.concatenate([model.get_forces(atoms) - atoms.arrays["REF_forces"] for atoms in frames])
    assert float(row["forces_rmse_meV_per_A"]) == pytest.approx(1e3 * np.sqrt(np.mean(errors**2)), rel=1e-6)
