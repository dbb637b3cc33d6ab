"""The driver of the relaxations tells what is outside of a model's domain, and the document what is in its table."""

import csv

import relaxations
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from mace_mof_calc import structures
from phonopy_mlp.registry import get_calculator


def test_what_is_outside_of_the_domain_is_counted_by_kind_and_element():
    calculator = get_calculator("mini")
    water = molecule("H2O")
    water.center(vacuum=8.0)
    water.pbc = True
    assert relaxations.outside(structures.load("MOF-5"), calculator) == ""
    assert relaxations.outside(water, calculator) == "contact: 2 H; environment: 1 O, 2 H"
    assert relaxations.outside(bulk("Cu"), EMT()) == "not known"


def test_a_row_says_how_a_relaxation_ended(monkeypatch):
    row = relaxations.relax_one("copper", bulk("Cu", cubic=True, a=3.7), EMT())
    assert (row["outcome"], row["space group after (0.01 A)"]) == ("converged", "Fm-3m")
    assert float(row["residual force (eV/A)"]) <= 1e-6
    assert row.keys() | {"warnings"} == set(relaxations.COLUMNS)
    monkeypatch.setattr(relaxations, "STEPS", 1)
    row = relaxations.relax_one("copper", bulk("Cu", cubic=True, a=3.7), EMT())
    assert row["outcome"].startswith("Relaxation stopped at")
    assert "space group after (0.01 A)" not in row


def test_the_document_says_what_is_in_the_table():
    text = " ".join((relaxations.RESULTS.parents[1] / "README.md").read_text().split())
    with relaxations.RESULTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    converged = [row for row in rows if row["outcome"] == "converged"]
    steps = [int(row["steps"]) for row in converged]
    assert f"| converged | {len(converged)}, in {min(steps)} to {max(steps)} steps |" in text
    assert all(float(row["residual force (eV/A)"]) <= 1e-6 for row in converged)
    grown = sum(abs(float(row["volume change (%)"])) > 10 for row in converged)
    inside = [row["name"] for row in rows if not row["outside of the domain before"]]
    assert f"{len(rows) - len(inside)} of the 20 have surroundings or contacts unlike" in text
    assert f"{', '.join(inside[:-1])} and {inside[-1]} do not" in text
    assert f"{grown} of the 20 changed their volume by more than a tenth" in text
    assert "more than two and a half minutes" in text
    assert max(float(row["processor time (s)"]) for row in rows) < 150
    assert not any(row["warnings"] for row in rows)
