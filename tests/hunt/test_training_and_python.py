"""The commands of `mace-mof` and the functions behind them give the same numbers, whatever the options."""

import csv

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st
from metals import make_metals
from numpy.testing import assert_allclose

from mace_mof_calc.cli import main
from mace_mof_calc.frames import ENERGY, FORCES, get_labels, read_frames, write_frames
from mace_mof_calc.training.evaluate.errors import compute_errors, pair
from mace_mof_calc.training.evaluate.predict import predict
from mace_mof_calc.training.hessians import get_hessian
from mace_mof_calc.training.job import Job
from mace_mof_calc.training.sample.crystals import prepare_crystals
from mace_mof_calc.training.sample.run import sample_crystals
from mace_mof_calc.training.sample.settings import Settings
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.registry import get_calculator

from .crystals import PROTOTYPES, fewer, floats

pytestmark = pytest.mark.usefixtures("calculators")

NAMES = st.sampled_from(["emt", "hunt-stiff"])


def command(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def strip(atoms: Atoms) -> Atoms:
    """Return a frame without its labels."""
    bare = atoms.copy()
    for name in (ENERGY, "REF_stress"):
        bare.info.pop(name, None)
    bare.arrays.pop(FORCES, None)
    return bare


@fewer(3)
@given(
    crystal=st.sampled_from(["fcc", "L1_0", "L1_2"]),
    name=NAMES,
    kinds=st.lists(
        st.sampled_from(["relax", "strain", "rattle", "phonons", "md"]), min_size=1, max_size=3, unique=True
    ),
    seed=st.integers(0, 99),
    strains=st.tuples(floats(-0.04, -0.01), floats(0.01, 0.04)),
    sigma=floats(0.01, 0.1),
    as_given=st.booleans(),
)
def test_sampled_frames_are_those_of_the_function(crystal, name, kinds, seed, strains, sigma, as_given, tally, fresh):
    tally("command and Python", "mace-mof sample")
    folder = fresh()
    write(folder / "in.extxyz", PROTOTYPES[crystal] * (2, 2, 2))
    words = ["--kind", ",".join(kinds), "--seed", seed, "--strain", *strains, "--rattle-sigma", sigma]
    words += [
        "--steps",
        20,
        "--every",
        5,
        "--md-frames",
        2,
        "--temperature",
        300,
        *(["--as-given"] if as_given else []),
    ]
    command("sample", folder / "in.extxyz", "-o", folder / "out.extxyz", "--calculator", name, *words)
    settings = Settings(
        kinds=tuple(kinds),
        seed=seed,
        strains=strains,
        rattle_sigma=sigma,
        as_given=as_given,
        steps=20,
        every=5,
        md_frames=2,
        temperatures=(300.0,),
    )
    crystals = prepare_crystals(read_frames(folder / "in.extxyz"))
    job = Job(folder / "own.extxyz", "sample", [folder / "in.extxyz"], {})
    sample_crystals(crystals, get_calculator(name), settings, job)
    found, expected = (read_frames(folder / file) for file in ("out.extxyz", "own.extxyz"))
    assert [atoms.info["kind"] for atoms in found] == [atoms.info["kind"] for atoms in expected]
    for own, other in zip(found, expected, strict=True):
        assert_allclose(own.cell.array, other.cell.array, atol=1e-6)
        assert_allclose(own.positions, other.positions, atol=1e-6)


@fewer(5)
@given(symbols=st.sampled_from(["Cu2", "CuAu"]), seed=st.integers(0, 99), name=NAMES, workers=st.integers(1, 2))
def test_labels_are_what_the_calculator_says(symbols, seed, name, workers, tally, fresh):
    tally("command and Python", "mace-mof label")
    folder = fresh()
    write_frames(folder / "in.extxyz", [strip(atoms) for atoms in make_metals(symbols, 3, seed)])
    command("label", folder / "in.extxyz", "-o", folder / "out.extxyz", "--calculator", name, "--workers", workers)
    for atoms in read_frames(folder / "out.extxyz"):
        labels, own = get_labels(atoms), strip(atoms)
        own.calc = get_calculator(name)
        assert labels.energy == pytest.approx(own.get_potential_energy(), abs=1e-10)
        assert_allclose(labels.forces, own.get_forces(), atol=1e-10)
        assert_allclose(labels.stress, own.get_stress(), atol=1e-10)


@fewer(5)
@given(crystal=st.sampled_from(["fcc", "L1_0"]), name=NAMES)
def test_labelled_hessians_are_force_constants(crystal, name, tally, fresh):
    tally("command and Python", "mace-mof label --hessians")
    folder, atoms = fresh(), PROTOTYPES[crystal] * (2, 2, 2)
    write(folder / "in.extxyz", atoms)
    command("label", folder / "in.extxyz", "-o", folder / "out.extxyz", "--calculator", name, "--hessians")
    (found,) = read_frames(folder / "out.extxyz")
    phonon = make_phonopy(atoms, np.eye(3), primitive_matrix="P")
    expected = compute_force_constants(phonon, get_calculator(name)).force_constants
    flat = expected.transpose(0, 2, 1, 3).reshape(3 * len(atoms), -1)
    assert_allclose(get_hessian(found), flat, atol=2e-3 * np.abs(flat).max())


@fewer(3)
@given(symbols=st.sampled_from(["Cu2", "CuAu"]), count=st.integers(1, 6), seed=st.integers(0, 99), name=NAMES)
def test_errors_are_those_of_the_functions(symbols, count, seed, name, tally, fresh):
    tally("command and Python", "mace-mof evaluate")
    folder = fresh()
    write_frames(folder / "in.extxyz", make_metals(symbols, count, seed))
    frames = read_frames(folder / "in.extxyz")  # of as many digits as the file has
    command("evaluate", folder / "in.extxyz", "-o", folder / "out", "--model", name)
    with (folder / "out" / "errors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = compute_errors(pair(frames, list(predict(frames, get_calculator(name)))))
    assert [row["group"] for row in rows] == [each.group for each in expected]
    for row, each in zip(rows, expected, strict=True):
        assert float(row["forces_rmse_meV_per_A"]) == pytest.approx(1e3 * each.forces_rmse, rel=1e-6, abs=1e-3)
        if each.energy_rmse is not None:
            assert float(row["energy_rmse_meV_per_atom"]) == pytest.approx(1e3 * each.energy_rmse, rel=1e-6, abs=1e-3)
