"""The driver of the relaxations tells what is outside of a model's domain, and the document what is in its table."""

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
