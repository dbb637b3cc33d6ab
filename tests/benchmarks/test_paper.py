"""The drivers of the paper's tables run to their end, and its expansion curve agrees with its table."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paper import expansion, frequencies, labels, moduli
from paper.gfn1 import Reference
from paper.published import Published
from paper.study import NotDone, Study

from mace_mof_calc.models.cards import get_card

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT.parent / "shared" / "reference"
MOF5 = ROOT / "src" / "mace_mof_calc" / "data" / "structures" / "MOF-5.cif"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    (folder / "out").mkdir()
    return Study(
        model="mini",
        frameworks={"MOF-5": MOF5},
        work=folder / "work",
        out=folder / "out",
        published=Published(REFERENCE if REFERENCE.is_dir() else None),
        reference=Reference(folder / "gfn1"),
        quick=True,
    )


def read(study, name):
    with (study.out / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def accepted(quantity):
    """Return a number of mini's card, which training/mini/evaluate.py found in another way."""
    return next(float(row.result) for row in get_card("mini").validation if quantity in row.quantity)


def test_errors_on_labels_are_those_of_the_models_own_evaluation(study):
    labels.run(study)
    ours = next(row for row in read(study, "table4") if row["framework"] == "MOF-5")
    assert int(ours["configurations"]) == 20
    kinds = ("equal-force", "strain", "thermal")
    sizes = [accepted(f"MOF-5 {kind}: forces rms") for kind in kinds]
    shares = [accepted(f"MOF-5 {kind}: forces RMSE") / 100 for kind in kinds]
    expected = np.sqrt(np.average(np.multiply(sizes, shares) ** 2, weights=[5, 5, 10]))
    assert float(ours["rmsd_forces_eV_per_A"]) == pytest.approx(expected, rel=0.01)
    assert (study.out / "table4.png").stat().st_size > 0


def test_frequencies_deviate_as_in_the_models_own_evaluation(study):
    frequencies.run(study)
    row = read(study, "table5")[0]
    assert float(row["rmsd_THz"]) == pytest.approx(accepted("Gamma frequencies, RMSD"), abs=0.005)
    assert float(row["rmsd_below_20_THz"]) == pytest.approx(accepted("RMSD below 20 THz"), abs=0.005)


def test_a_framework_without_labels_is_not_compared(study, tmp_path):
    other = replace(study, frameworks={"IRMOF-1": MOF5}, out=tmp_path, published=Published(None))
    labels.run(other)
    frequencies.run(other)
    assert list(tmp_path.iterdir()) == []


def test_the_bulk_modulus_is_that_of_the_equation_of_state(study):
    moduli.run(study)
    row = read(study, "fig6")[0]
    assert float(row["uncertainty_GPa"]) < 0.05 * float(row["bulk_modulus_GPa"])
    assert (study.out / "fig6.png").stat().st_size > 0


def test_what_cannot_be_done_is_kept_with_its_reason(study):
    with pytest.raises(NotDone):
        study.run("MOF-5", "eos", "--eos-strain", "9")
    assert "must be positive and at most" in study.failures.pop(("MOF-5", "eos"))


def test_what_is_finished_is_not_done_again(study):
    record = study.run("MOF-5", "eos", "--relax") / "phonopy_mlp-eos.yaml"
    before = record.stat().st_mtime_ns
    study.run("MOF-5", "eos", "--relax")
    assert record.stat().st_mtime_ns == before


def test_the_published_expansion_curve_gives_table_6():
    if not REFERENCE.is_dir():
        pytest.skip(f"published reference data are not at {REFERENCE}")
    published = Published(REFERENCE)
    curve = {float(row["Temperature"]): row for row in published.table("NegativeThermalExpansion")}
    for row in published.table("table6_cte_1e-6_per_K"):
        value = float(curve[float(row["T_K"])][expansion.COLUMN.format(row["mof"])])
        assert value == pytest.approx(float(row["MACE_MP_MOF0_v2"]), abs=0.006)
